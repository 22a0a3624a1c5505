"""Runs with callbacks, and what our finalizers keep for their record."""

from __future__ import annotations

import json
from typing import Any

from tests.support import makers as m
from tests.support.world import World

Manifest = dict[str, Any]
RECEIPTS = [{"name": name, "state": "Succeeded", "tries": 1} for name in ("on_start", "on_exit")]


def a_world() -> World:
    return World(m.a_run(), m.a_ready_deployment(callbacks=("on_start", "on_exit")))


def both_end(pod: Manifest) -> Manifest:
    """Return the runner pod of a flow that succeeded, its callbacks too."""
    done = m.ended(pod, message=json.dumps({"state": "Succeeded", "result": 285}))
    done = m.ended(done, "flow-hooks", message=json.dumps({"hooks": RECEIPTS}))
    done["status"]["phase"] = "Succeeded"
    return done


async def test_what_a_pod_has_said_is_read_although_it_was_deleted_while_no_operator_ran() -> None:
    world = a_world()
    await world.settle()
    world.kubelet(m.running)
    await world.settle()
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
