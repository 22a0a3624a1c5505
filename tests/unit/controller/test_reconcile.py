"""The hands: told before done, adopted on conflict, the same end after a crash at any write."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from flow_operator.api import labels
from flow_operator.controller.store import key_of
from flow_operator.plan.types import Heard
from tests.support import makers as m
from tests.support.condition_rules import violations
from tests.support.world import RUN, World

Manifest = dict[str, Any]
DASK = {"daskKubernetes": {"minWorkers": 1, "maxWorkers": 4, "provider": "DaskCluster"}}
PODS = {"daskKubernetes": {"minWorkers": 2, "maxWorkers": 4, "provider": "Pods"}}
KINDS = pytest.mark.parametrize("environment", [None, DASK, PODS], ids=["remote", "dask-cluster", "dask-pods"])


async def life(world: World) -> None:
    """Lead a run from its creation to its end."""
    await world.settle()
    world.seconds = 1
    world.kubelet(m.running)
    await world.settle()
    world.seconds = 3
    world.kubelet(lambda pod: m.ended(pod, message=json.dumps({"state": "Succeeded", "result": 285})))
    await world.settle()


def a_world(**deployment: Any) -> World:
    return World(m.a_run(), m.a_ready_deployment(**deployment))


async def test_a_plain_run_costs_five_writes_and_no_reads() -> None:
    world = a_world()
    await life(world)
    assert world.kube.calls == [
        "replace_status FlowRun SettingUp",
        "create Pod",
        "replace_status FlowRun Running",
        "replace_status FlowRun Succeeded",
        "create Event",
    ]


@pytest.mark.parametrize("run_is_there", [True, False])
async def test_of_a_cluster_that_is_over_only_the_dask_controllers_finalizer_is_taken_off(run_is_there: bool) -> None:
    world = a_world(environment=DASK)
    await world.settle()
    for kind, holds in (("DaskCluster", [labels.KOPF, "example.com/audit"]), ("DaskAutoscaler", [labels.KOPF])):
        made = next(each for (of, _), each in world.kube.objects.items() if of == kind)
        world.kube.put({**made, "metadata": {**made["metadata"], "finalizers": holds, "deletionTimestamp": m.at(4)}})
    if run_is_there:
        await life(world)
    else:
        del world.kube.objects["FlowRun", "squares-1"]
    world.seconds = 10
    await world.settle()
    assert "json_patch DaskCluster" not in world.kube.calls, "its controller has its time"
    world.seconds = 17
    await world.settle()
    left = {kind: each["metadata"]["finalizers"] for (kind, _), each in world.kube.objects.items() if "Dask" in kind}
    assert left == {"DaskCluster": ["example.com/audit"]}
    before = len(world.kube.calls)
    world.seconds = 3600
    await world.settle()
    assert len(world.kube.calls) == before


async def test_an_idle_run_costs_nothing() -> None:
    world = a_world()
    await life(world)
    before = len(world.kube.calls)
    for seconds in (60, 3600):
        world.seconds = seconds
        await world.step()
    assert len(world.kube.calls) == before


@KINDS
async def test_a_crash_after_any_write_changes_nothing_about_the_end(environment: Manifest | None) -> None:
    for number in range(1, 30):
        world = a_world(environment=environment)
        world.kube.crash_after = number
        await life(world)
        assert world.run["status"]["phase"] == "Succeeded"
        assert world.run["status"]["result"] == 285
        assert world.run["status"]["attempt"] == 1
        assert not violations(world.run)
        assert len([each for each in world.kube.calls if each == "create Pod"]) == _pods(environment), "each made once"
        left = [kind for kind, _ in world.kube.objects if kind.startswith(("Dask", "Service"))]
        assert not left, "nothing is leaked"
        if world.kube.crash_after is not None:
            assert number > 4, "the crash found writes to follow"
            return
    raise AssertionError("a run writes without end")


def _pods(environment: Manifest | None) -> int:
    """Return how many pods of a run the operator makes itself: the runner, and workers where they are its own."""
    return 3 if environment is PODS else 1


@pytest.mark.parametrize(("environment", "kind"), [(DASK, "DaskCluster"), (PODS, "Service")])
async def test_the_verdict_is_written_before_the_cluster_goes(environment: Manifest, kind: str) -> None:
    world = a_world(environment=environment)
    await life(world)
    told = world.kube.calls.index("replace_status FlowRun Succeeded")
    assert told < world.kube.calls.index(f"delete {kind}")


async def test_of_a_run_with_workers_of_its_own_nothing_is_left_but_the_runner() -> None:
    world = a_world(environment=PODS)
    await life(world)
    assert sorted(kind for kind, _ in world.kube.objects if kind != "Event") == ["FlowDeployment", "FlowRun", "Pod"]


async def test_a_count_of_workers_is_not_written_every_second() -> None:
    world = a_world(environment=PODS)
    await world.settle()
    world.kubelet(m.running)
    listener = Registered()
    world.reconciler._listener = listener  # type: ignore[assignment]
    for second in range(2, 12):
        world.seconds = second
        listener.workers = frozenset({f"squares-1-11111111-1-w{index}" for index in range(1 + second % 2)})
        await world.step()
    writes = [each for each in world.kube.calls if each == "replace_status FlowRun Running"]
    assert 2 <= len(writes) <= 4
    world.seconds = 20
    await world.step()
    assert world.run["status"]["workers"] == {"desired": 2, "ready": 2, "peak": 2}


async def test_an_error_of_ours_is_told_once_where_the_user_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    world = a_world()
    for error in (ValueError("odd\nin detail"), ValueError("odd\nagain"), KeyError("other")):
        monkeypatch.setattr("flow_operator.plan.run.decide", _raising(error))
        with pytest.raises(type(error)):
            await world.step()
    monkeypatch.undo()
    events = [each for (kind, _), each in world.kube.objects.items() if kind == "Event"]
    told = [each["note"] for each in events if each["reason"] == "OperatorFailed"]
    assert [note.partition("trying: ")[2] for note in told] == [
        "ValueError: odd. Its log says where.",
        "KeyError: 'other'. Its log says where.",
    ]
    await life(world)
    assert world.run["status"]["phase"] == "Succeeded"


def _raising(error: Exception) -> Any:
    def decide(*_: Any) -> Any:
        raise error

    return decide


class Registered:
    """A listener that has just heard of some workers."""

    workers: frozenset[str] = frozenset()

    def heard(self, _key: Any) -> Heard:
        """Return what the scheduler has said."""
        return Heard(m.NOW, m.NOW, self.workers, target=2)

    def listen(self, *_: Any) -> None:
        """Listen already."""


async def test_a_child_that_is_there_already_is_adopted_if_it_is_ours() -> None:
    world = a_world()
    await world.step()
    (pod,) = world.pods()
    world.start()  # a new process, whose watch of pods has not delivered yet
    world.store.put(world.run)
    await world.reconciler.reconcile(RUN)
    assert len(world.pods()) == 1
    assert world.store.get(key_of(pod)) is not None


async def test_a_strangers_pod_of_that_name_is_refused_in_words() -> None:
    world = a_world()
    stranger = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "squares-1-11111111-1", "namespace": "team-a"}}
    world.kube.put(stranger)
    await world.step()
    await world.step()
    assert "belongs to somebody else" in world.run["status"]["diagnosis"]["message"]


async def test_a_refused_pod_is_shown_and_made_when_it_may_be() -> None:
    world = a_world()
    world.kube.refuse["Pod"] = "exceeded quota: small"
    await world.step()
    await world.step()
    assert world.run["status"]["diagnosis"]["reason"] == "PodRefused"
    world.kube.refuse.clear()
    world.seconds = 20
    await world.settle()
    assert len(world.pods()) == 1
    assert "diagnosis" not in world.run["status"]


async def test_a_lagging_watch_does_not_end_a_run() -> None:
    world = a_world()
    await world.settle()
    world.kubelet(m.running)
    await world.settle()
    (pod,) = world.pods()
    world.start()
    world.store.put(world.run)  # Started, but the pod has not been delivered
    await world.reconciler.reconcile(RUN)
    assert world.run["status"]["phase"] == "Running"
    assert world.kube.calls[-1] == f"get Pod {pod['metadata']['name']}"


async def test_two_operators_at_once_make_one_runner() -> None:
    world = a_world()
    other = World()
    other.kube = world.kube
    other.start()
    world.look()
    other.look()
    results = await asyncio.gather(
        world.reconciler.reconcile(RUN), other.reconciler.reconcile(RUN), return_exceptions=True
    )
    assert len(world.pods()) == 1
    assert sum(isinstance(each, Exception) for each in results) == 1, "the slower one was told so (409)"


def cancel(world: World, how: str) -> None:
    """Set spec.cancel as a user would."""
    meta = {**world.run["metadata"], "generation": 2}
    world.kube.put({**world.run, "metadata": meta, "spec": {**world.run["spec"], "cancel": how}})


async def cancelled_life(world: World, when: str, how: str = "Graceful") -> None:
    """Lead a run to some phase, cancel it there, and let the kubelet end its pod."""
    if when == "pending":
        cancel(world, how)
    await world.settle()
    if when == "setting up":
        cancel(world, how)
    if when == "running":
        world.seconds = 1
        world.kubelet(m.running)
        await world.settle()
        world.seconds = 2
        cancel(world, how)
    await world.settle()
    for pod in world.pods():
        assert pod["metadata"].get("deletionTimestamp"), "it is being stopped"
        stopped = json.dumps({"state": "Failed", "reason": "Stopped"})
        world.kube.put(m.ended(pod, code=79, message=stopped))
    await world.settle()


@KINDS
@pytest.mark.parametrize("when", ["pending", "setting up", "running"])
@pytest.mark.parametrize("how", ["Graceful", "Now"])
async def test_a_cancelled_run_ends_the_same_after_a_crash_at_any_write(
    environment: Manifest | None, when: str, how: str
) -> None:
    for number in range(1, 30):
        world = a_world(environment=environment)
        world.kube.crash_after = number
        await cancelled_life(world, when, how)
        assert world.run["status"]["phase"] == "Cancelled"
        assert not violations(world.run)
        left = [kind for kind, _ in world.kube.objects if kind.startswith(("Dask", "Service"))]
        assert not left, "nothing is leaked"
        assert world.kube.calls.count("create Pod") == (0 if when == "pending" else _pods(environment))
        assert world.kube.calls.count("delete Pod") <= _pods(environment)
        if world.kube.crash_after is not None:
            return
    raise AssertionError("a cancelled run writes without end")


async def test_the_end_of_a_cancelled_run_is_told_before_its_cluster_goes() -> None:
    world = a_world(environment=DASK)
    await cancelled_life(world, "running")
    order = world.kube.calls
    assert (
        order.index("delete Pod") < order.index("replace_status FlowRun Cancelled") < order.index("delete DaskCluster")
    )


async def test_a_pod_that_is_deleted_at_once_is_not_kept_as_if_it_were_dying() -> None:
    world = a_world()
    await world.settle()
    (pod,) = world.pods()
    cancel(world, "Graceful")
    world.look()
    await world.reconciler.reconcile(RUN)  # whose answer may come after the watch's news of the deletion
    assert world.store.get(key_of(pod)) is None
    await world.reconciler.reconcile(RUN)
    assert world.run["status"]["phase"] == "Cancelled"


async def test_whether_a_node_is_on_its_way_is_asked_only_when_the_time_is_over() -> None:
    world = World(m.a_run(preRunningDeadlineSeconds=60), m.a_ready_deployment())
    await world.settle()
    world.kubelet(lambda pod: m.scheduled(pod, reason="Unschedulable", message="0/2 nodes"))
    (pod,) = world.pods()
    event = {"involvedObject": {"uid": pod["metadata"]["uid"]}, "lastTimestamp": m.at(20)}
    world.kube.put(
        {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "reason": "TriggeredScaleUp", **event}
    )
    world.seconds = 50
    await world.settle()
    assert "list Event" not in world.kube.calls
    for world.seconds in (70, 80):
        await world.settle()
    assert world.kube.calls.count("list Event") == 1
    assert world.run["status"]["scaleUpTime"] == m.at(20)
    assert world.run["status"]["phase"] == "SettingUp"
