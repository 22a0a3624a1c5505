"""Runs with callbacks, and what our finalizers keep for their record."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flow_operator.controller.store import key_of
from tests.support import makers as m
from tests.support.world import World

Manifest = dict[str, Any]
RECEIPTS = [{"name": name, "state": "Succeeded", "tries": 1} for name in ("on_start", "on_exit")]


def a_world() -> World:
    return World(m.a_run(), m.a_ready_deployment(callbacks=("on_start", "on_exit")))


async def a_running_world() -> World:
    """Return a world whose run has begun."""
    world = a_world()
    await world.settle()
    world.kubelet(m.running)
    await world.settle()
    return world


def both_end(pod: Manifest) -> Manifest:
    """Return the runner pod of a flow that succeeded, its callbacks too."""
    done = m.ended(pod, message=json.dumps({"state": "Succeeded", "result": 285}))
    done = m.ended(done, "flow-hooks", message=json.dumps({"hooks": RECEIPTS}))
    done["status"]["phase"] = "Succeeded"
    return done


async def test_what_a_pod_has_said_is_read_although_it_was_deleted_while_no_operator_ran() -> None:
    world = await a_running_world()
    world.kubelet(both_end)
    (pod,) = world.pods()
    await world.kube.delete("v1", "Pod", "team-a", pod["metadata"]["name"])
    world.start()
    await world.settle()
    assert (world.run["status"]["phase"], world.run["status"]["result"]) == ("Succeeded", 285)
    assert [each["state"] for each in world.run["status"]["hooks"]] == ["Succeeded", "Succeeded"]
    assert not world.pods(), "it is not held any longer"


async def test_a_pod_that_began_and_was_deleted_unseen_is_not_made_again() -> None:
    world = a_world()
    await world.settle()
    world.kubelet(both_end)
    (pod,) = world.pods()
    await world.kube.delete("v1", "Pod", "team-a", pod["metadata"]["name"])
    world.start()
    await world.settle()
    assert world.kube.calls.count("create Pod") == 1
    assert world.run["status"]["phase"] == "Succeeded"


async def test_pods_of_a_run_that_is_gone_are_let_go() -> None:
    world = a_world()
    await world.settle()
    world.kubelet(both_end)
    (pod,) = world.pods()
    del world.kube.objects["FlowRun", "squares-1"]
    await world.kube.delete("v1", "Pod", "team-a", pod["metadata"]["name"])
    await world.settle()
    assert not world.pods()


async def test_a_copy_of_the_pod_is_let_go_and_does_not_count() -> None:
    world = a_world()
    await world.settle()
    world.kubelet(m.running)
    (pod,) = world.pods()
    copied = world.kube.put({**pod, "metadata": {**pod["metadata"], "name": "debug", "uid": "uid-copy"}})
    await world.settle()
    assert len(world.pods()) == 2, "it is left alone until somebody deletes it"
    world.delete({**copied, "status": {}})
    world.kube.objects["Pod", "debug"]["metadata"]["deletionGracePeriodSeconds"] = 0
    await world.settle()
    assert [each["metadata"]["name"] for each in world.pods()] == [pod["metadata"]["name"]]
    assert world.run["status"]["phase"] == "Running"


async def test_the_pod_of_an_attempt_that_is_over_is_let_go_when_that_is_told() -> None:
    world = World(m.a_run(backoffLimit=1), m.a_ready_deployment(callbacks=("on_start", "on_exit")))
    await world.settle()
    world.kubelet(m.running)
    await world.settle()
    failed = json.dumps({"state": "Failed", "reason": "FlowRaised"})
    world.kubelet(lambda pod: m.ended(both_end(pod), code=1, message=failed))
    await world.settle()
    assert world.run["status"]["phase"] == "Retrying"
    assert [each["metadata"].get("finalizers") for each in world.pods()] == [[]]
    assert world.kube.calls.index("replace_status FlowRun Retrying") < world.kube.calls.index("json_patch Pod")


def the_pod_dies(pod: Manifest) -> Manifest:
    """Return the runner pod after both of its containers were killed."""
    done = m.ended(m.ended(pod, code=137, reason="Error"), "flow-hooks", code=137, reason="Error")
    done["status"]["phase"] = "Failed"
    return done


def on_exit_ends(pod: Manifest) -> Manifest:
    done = m.ended(pod, "flow-hooks", message=json.dumps({"hooks": RECEIPTS[1:]}))
    done["status"]["phase"] = "Succeeded"
    return done


async def life(world: World, *, dies: bool) -> None:
    """Lead a run to its end; where its pod dies as a whole, on_exit is run in another."""
    await world.settle()
    world.kubelet(m.running)
    await world.settle()
    world.kubelet(the_pod_dies if dies else both_end)
    await world.settle()
    for pod in world.pods():
        if pod["metadata"]["name"].endswith("-exit"):
            world.kube.put(on_exit_ends(pod))
    await world.settle()


async def test_what_a_run_with_callbacks_costs() -> None:
    world = a_world()
    await life(world, dies=False)
    assert world.kube.calls == [
        "replace_status FlowRun SettingUp",
        "patch FlowRun",
        "create Pod",
        "replace_status FlowRun Running",
        "replace_status FlowRun Succeeded",
        "create Event",  # of on_start
        "create Event",  # of on_exit
        "create Event",  # of the run
        "json_patch Pod",
        "json_patch FlowRun",
    ]


@pytest.mark.parametrize("dies", [False, True])
async def test_a_crash_after_any_write_changes_nothing_about_the_end_of_a_run_with_callbacks(dies: bool) -> None:
    for number in range(1, 30):
        world = a_world()
        world.kube.crash_after = number
        await life(world, dies=dies)
        assert world.run["status"]["phase"] == ("Failed" if dies else "Succeeded")
        assert [each["state"] for each in world.run["status"]["hooks"] if each["name"] == "on_exit"] == ["Succeeded"]
        assert world.kube.calls.count("create Pod") == 1 + dies
        assert not world.run["metadata"].get("finalizers")
        assert not [each for each in world.pods() if each["metadata"].get("finalizers")]
        if world.kube.crash_after is not None:
            assert number > 8, "the crash found writes to follow"
            return
    raise AssertionError("a run writes without end")


@pytest.mark.parametrize("dies", [False, True])
async def test_a_deleted_run_goes_when_its_callbacks_are_settled_and_leaves_nothing(dies: bool) -> None:
    world = await a_running_world()
    await world.kube.delete("flow-operator.io/v1alpha1", "FlowRun", "team-a", "squares-1")
    await world.settle()
    (pod,) = world.pods()
    assert pod["metadata"]["deletionTimestamp"]
    world.kube.put((the_pod_dies if dies else both_end)(pod))
    await world.settle()
    for each in world.pods():
        if each["metadata"]["name"].endswith("-exit"):
            assert "ownerReferences" not in each["metadata"]
            world.kube.put(on_exit_ends(each))
    await world.settle()
    assert ("FlowRun", "squares-1") not in world.kube.objects
    left = [each["metadata"]["name"] for each in world.pods() if not each["metadata"].get("deletionTimestamp")]
    assert not [each for each in left if each.endswith("-exit")], "what nobody owns is deleted"


async def test_the_pod_of_on_exit_goes_with_its_finished_run_although_nobody_owns_it() -> None:
    world = a_world()
    await life(world, dies=True)
    assert its_exit_pod(world)
    await world.kube.delete("flow-operator.io/v1alpha1", "FlowRun", "team-a", "squares-1")
    await world.settle()
    assert ("FlowRun", "squares-1") not in world.kube.objects
    assert not [each for each in world.pods() if each["metadata"]["name"].endswith("-exit")]


async def test_a_pod_of_on_exit_that_was_made_unheard_is_taken_for_what_it_is() -> None:
    world = await a_running_world()
    world.kubelet(the_pod_dies)
    await world.settle()
    made = its_exit_pod(world)
    name = ("Pod", made["metadata"]["name"])
    del world.kube.objects[name]  # the answer to its creation was lost, and the watch is late
    world.start()
    world.look()
    world.kube.objects[name] = made
    await world.reconciler.reconcile(world.key)
    assert world.store.get(key_of(made)), "it is known now"
    await world.settle()
    assert "diagnosis" not in world.run["status"]
    assert world.kube.calls.count("create Pod") == 2


async def test_on_exit_whose_pod_is_refused_is_tried_again_soon_and_says_why_it_waits() -> None:
    world = await a_running_world()
    world.kubelet(the_pod_dies)
    world.kube.refuse["Pod"] = 'pods "x" is forbidden: exceeded quota: small'
    for _ in range(3):
        world.queue._due.clear()
        await world.step()
    assert world.queue._due[world.key] <= 10
    assert world.run["status"]["phase"] == "Finishing"
    assert world.run["status"]["diagnosis"]["reason"] == "PodRefused"
    assert "exceeded quota: small" in next(iter(world.run["status"]["conditions"]))["message"]
    world.kube.refuse.clear()
    world.seconds += 10
    await world.settle()
    assert [each["metadata"]["name"] for each in world.pods()][-1] == "squares-1-11111111-1-exit"
    assert "diagnosis" not in world.run["status"], "nothing is in its way any more"


async def a_deleted_run_that_waits_for_on_exit(refused: str = "") -> World:
    """Return a world whose run was deleted 10 s after its beginning, and whose pod then died as a whole."""
    world = await a_running_world()
    world.kube.grace_ends = m.at(10)
    await world.kube.delete("flow-operator.io/v1alpha1", "FlowRun", "team-a", "squares-1")
    await world.settle()
    if refused:
        world.kube.refuse["Pod"] = refused
    world.kube.put(the_pod_dies(world.pods()[0]))
    await world.settle()
    return world


def its_exit_pod(world: World) -> Manifest:
    (found,) = [each for each in world.pods() if each["metadata"]["name"].endswith("-exit")]
    return found


def losses(world: World) -> list[str]:
    events = [each for (kind, _), each in world.kube.objects.items() if kind == "Event"]
    return [each["note"] for each in events if each["reason"] == "CallbackLost"]


async def test_what_a_deleted_run_cannot_have_in_time_is_told_and_leaves_no_pod() -> None:
    world = await a_deleted_run_that_waits_for_on_exit()
    world.kube.put(m.scheduled(its_exit_pod(world), reason="Unschedulable", message="0/2 nodes"))
    world.seconds = 330
    await world.settle()
    assert ("FlowRun", "squares-1") not in world.kube.objects
    assert not [each for each in world.pods() if each["metadata"]["name"].endswith("-exit")]
    (said,) = losses(world)
    assert "pod squares-1-11111111-1-exit has not come to its end" in said


async def test_a_deleted_run_whose_on_exit_runs_leaves_it_to_its_end() -> None:
    world = await a_deleted_run_that_waits_for_on_exit()
    world.kube.put(m.running(its_exit_pod(world), "flow-hooks"))
    world.seconds = 330
    await world.settle()
    assert ("FlowRun", "squares-1") not in world.kube.objects
    assert len(losses(world)) == 1
    left = its_exit_pod(world)
    assert (left["metadata"].get("deletionTimestamp"), left["metadata"]["finalizers"]) == (None, [])
    world.kube.put(on_exit_ends(left))
    await world.settle()
    assert not [each for each in world.pods() if each["metadata"]["name"].endswith("-exit")]


async def test_a_deleted_run_whose_pod_is_refused_says_so_at_last() -> None:
    world = await a_deleted_run_that_waits_for_on_exit(refused="exceeded quota: small")
    world.seconds = 330
    await world.settle()
    (said,) = losses(world)
    assert "exceeded quota: small" in said


async def test_what_on_exit_came_to_while_no_operator_ran_is_no_loss() -> None:
    world = await a_deleted_run_that_waits_for_on_exit()
    world.kube.put(on_exit_ends(its_exit_pod(world)))
    world.seconds = 330
    world.start()
    await world.settle()
    assert not losses(world)


async def test_on_exit_that_never_began_goes_after_its_run() -> None:
    world = await a_deleted_run_that_waits_for_on_exit()
    world.kube.put(m.scheduled(its_exit_pod(world)))
    del world.kube.objects["FlowRun", "squares-1"]
    await world.settle()
    assert not [each for each in world.pods() if each["metadata"]["name"].endswith("-exit")]
