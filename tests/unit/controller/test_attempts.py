"""Whatever happens to its pods, whenever: a run comes to an end, and never has two of them that may run the flow."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_operator.api import labels
from flow_operator.api.flow_run import FINISHED
from flow_operator.controller.store import labels_of
from flow_operator.plan import fence
from tests.support import makers as m
from tests.support.condition_rules import violations
from tests.support.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

Manifest = dict[str, Any]
RAISED = json.dumps({"state": "Failed", "reason": "FlowRaised"})
RECEIPTS = json.dumps({"hooks": [{"name": name, "state": "Succeeded", "tries": 1} for name in ("on_start", "on_exit")]})
SUCCEEDED = json.dumps({"state": "Succeeded", "result": 285})
DASK = {"daskKubernetes": {"minWorkers": 1, "maxWorkers": 4}}
CLUSTER = {"daskKubernetes": {**DASK["daskKubernetes"], "provider": "DaskCluster"}}


def living(world: World) -> list[Manifest]:
    return [each for each in world.pods() if fence.may_run(each)]


def change(world: World, **spec: Any) -> None:
    """Change the run's spec as a user would."""
    meta = {**world.run["metadata"], "generation": world.run["metadata"]["generation"] + 1}
    world.kube.put({**world.run, "metadata": meta, "spec": {**world.run["spec"], **spec}})


def start(world: World) -> None:
    for pod in living(world):
        for each in pod["spec"]["containers"]:
            pod = m.running(pod, each["name"])
        world.kube.put(pod)


def end(world: World, code: int, message: str) -> None:
    """Let every container end; a pod that was being deleted is gone then, unless a finalizer holds it."""
    for pod in living(world):
        done = pod
        for each in pod["spec"]["containers"]:
            said = message if each["name"] == "main" else RECEIPTS if message else ""
            done = m.ended(done, each["name"], code=code if each["name"] == "main" else 0, message=said)
        done["status"]["phase"] = "Succeeded" if code == 0 else "Failed"
        if pod["metadata"].get("deletionTimestamp"):
            done["metadata"]["deletionGracePeriodSeconds"] = 0
            if not pod["metadata"].get("finalizers"):
                del world.kube.objects["Pod", pod["metadata"]["name"]]
                continue
        world.kube.put(done)


def evict(world: World) -> None:
    for pod in living(world):
        world.kube.put({**pod, "status": {"phase": "Failed", "reason": "Evicted", "message": "disk"}})


def delete(world: World) -> None:
    """Delete the pod by hand: a running one dies, another is gone."""
    planned, world.kube.crash_after = world.kube.crash_after, None  # that is not the operator's write
    for pod in living(world):
        world.delete(pod)
    world.kube.crash_after = planned


def vanish(world: World) -> None:
    """Let the pod be gone without a word: its node was removed."""
    for pod in living(world):
        del world.kube.objects["Pod", pod["metadata"]["name"]]


def force(world: World) -> None:
    """Delete the pod by force: its node goes on with it, and only a finalizer still shows it."""
    for pod in living(world):
        meta = pod["metadata"]
        if labels_of(pod)[labels.COMPONENT] == labels.RUNNER and "containerStatuses" in pod.get("status", {}):
            world.unheard.append(world.seconds + pod["spec"]["terminationGracePeriodSeconds"])
        del world.kube.objects["Pod", meta["name"]]
        if meta.get("finalizers"):
            gone = {"deletionTimestamp": m.at(world.seconds), "deletionGracePeriodSeconds": 0}
            world.kube.put({**pod, "metadata": {**meta, **gone}})


def unheard(world: World) -> list[float]:
    """Return until when nodes go on with runner pods that were deleted by force."""
    return [each for each in world.unheard if each > world.seconds]


def crash(world: World) -> None:
    world.kube.crash_after = len(world.kube.writes) + 1


EVENTS: dict[str, Callable[[World], None]] = {
    "start": start,
    "raise": lambda world: end(world, 1, RAISED),
    "succeed": lambda world: end(world, 0, SUCCEEDED),
    "kill": lambda world: end(world, 137, ""),
    "evict": evict,
    "delete": delete,
    "vanish": vanish,
    "force": force,
    "suspend": lambda world: change(world, suspend=True),
    "resume": lambda world: change(world, suspend=False),
    "cancel": lambda world: change(world, cancel="Graceful"),
    "crash": crash,
    "restart": lambda world: world.start(),
}


async def happen(world: World, event: str, seconds: float) -> None:
    """Let something happen and some time pass, and look at what the operator makes of it."""
    if world.run["spec"].get("cancel") is None or event != "cancel":
        EVENTS[event](world)
    world.seconds += seconds
    for _ in range(4):
        await world.step()
        assert len(living(world)) + len(unheard(world)) <= 1, "two pods of one run may run its flow, or its callbacks"
        broken = violations(world.run)
        assert not broken, broken


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    events=st.lists(st.tuples(st.sampled_from(sorted(EVENTS)), st.sampled_from([0.0, 3.0, 12.0, 100.0])), max_size=14),
    environment=st.sampled_from([None, DASK, CLUSTER]),
    callbacks=st.sampled_from([(), ("on_start", "on_exit")]),
)
def test_whatever_happens_a_run_ends_and_never_has_two_runners(
    events: list[tuple[str, float]], environment: Manifest | None, callbacks: tuple[str, ...]
) -> None:
    async def life() -> None:
        world = World(m.a_run(backoffLimit=2), m.a_ready_deployment(callbacks, environment))
        await world.step()
        for event, seconds in events:
            await happen(world, event, seconds)
        await happen(world, "resume", 0)
        for _ in range(30):
            if world.run["status"]["phase"] in FINISHED:
                break
            await happen(world, "start", 400)
            await happen(world, "succeed", 0)
        assert world.run["status"]["phase"] in FINISHED
        numbers = [each["number"] for each in world.run["status"].get("attempts", ())]
        assert numbers == list(range(1, len(numbers) + 1)), "each attempt is recorded once"
        for _ in ("the flow", "an on_exit that was promised"):
            end(world, 137, "")  # a node that had not answered does
            await world.settle()
        assert not living(world)
        assert not [kind for kind, _ in world.kube.objects if kind.startswith(("Dask", "Service"))]

    asyncio.run(life())


async def tried_again(world: World) -> None:
    """Lead a run through a failed attempt and one that succeeds."""
    await world.settle()
    start(world)
    await world.settle()
    end(world, 1, RAISED)
    await world.settle()
    world.seconds += 30
    await world.settle()
    start(world)
    await world.settle()
    end(world, 0, SUCCEEDED)
    await world.settle()


@pytest.mark.parametrize("ways", [("force", "restart"), ("suspend", "force", "resume"), ("suspend", "resume", "force")])
async def test_a_runner_that_was_deleted_by_force_has_no_successor_beside_it(ways: tuple[str, ...]) -> None:
    world = World(m.a_run(), m.a_ready_deployment())
    await world.settle()
    for event in ("start", *ways):
        await happen(world, event, 0)
    await happen(world, "crash", 14)
    assert unheard(world)
    await happen(world, "restart", 2 + fence.FORCED_PATIENCE)
    await happen(world, "start", 0)
    assert world.run["status"]["attempt"] == 2
    assert living(world)


@pytest.mark.parametrize("environment", [None, DASK, CLUSTER], ids=["remote", "pods", "cluster"])
async def test_a_retry_ends_the_same_after_a_crash_at_any_write(environment: Manifest | None) -> None:
    for number in range(1, 40):
        world = World(m.a_run(backoffLimit=1), m.a_ready_deployment(environment=environment))
        world.kube.crash_after = number
        await tried_again(world)
        assert world.run["status"]["phase"] == "Succeeded"
        assert [each["outcome"] for each in world.run["status"]["attempts"]] == ["Failed", "Succeeded"]
        assert [each["metadata"]["name"][-2:] for each in world.pods()] == ["-1", "-2"]
        left = [name for kind, name in world.kube.objects if kind.startswith(("Dask", "Service"))]
        assert not left, "nothing is leaked"
        if world.kube.crash_after is not None:
            return
    raise AssertionError("a run writes without end")


async def test_a_retry_costs_five_writes_more() -> None:
    world = World(m.a_run(backoffLimit=1), m.a_ready_deployment())
    await tried_again(world)
    assert world.kube.calls == [
        "replace_status FlowRun SettingUp",
        "create Pod",
        "replace_status FlowRun Running",
        "replace_status FlowRun Retrying",
        "create Event",
        "replace_status FlowRun SettingUp",
        "create Pod",
        "replace_status FlowRun Running",
        "replace_status FlowRun Succeeded",
        "create Event",
    ]
