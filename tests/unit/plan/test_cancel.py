"""A run that is cancelled, in each phase: what is stopped, how, and what is said at the end."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from flow_operator.plan import run as run_plan
from flow_operator.plan.types import ObservedRun, Plan
from tests.support import makers as m
from tests.support.decided import decided

Manifest = dict[str, Any]
DASK = {"daskKubernetes": {"minWorkers": 1, "maxWorkers": 4, "provider": "DaskCluster"}}
HOOKED = m.a_ready_deployment(callbacks=("on_exit",))
RECEIPT = json.dumps({"hooks": [{"name": "on_exit", "state": "Succeeded"}]})
STOPPED = json.dumps({"state": "Failed", "reason": "Stopped", "error": {"type": "Stopped", "message": "by SIGTERM"}})
SUCCEEDED = json.dumps({"state": "Succeeded", "result": 1})


def decide(run: Manifest, seen: ObservedRun, after: float = 5) -> Plan:
    return decided(run, seen, after)


def wished(run: Manifest, how: str = "Graceful") -> Manifest:
    return {**run, "spec": {**run["spec"], "cancel": how}}


def begun(deployment: Manifest | None = None) -> tuple[Manifest, Manifest]:
    """Return a run that is being set up, and its pod."""
    plan = decide(m.a_run(), ObservedRun(deployment=deployment or m.a_ready_deployment()))
    (pod,) = [m.scheduled(each) for each in plan.create if each["kind"] == "Pod"]
    return m.with_status(m.a_run(), plan.status), pod


def running(deployment: Manifest | None = None) -> tuple[Manifest, Manifest]:
    run, pod = begun(deployment)
    pod = m.running(pod)
    return m.with_status(run, decide(run, ObservedRun(runner=pod, runners=(pod,))).status), pod


def dying(pod: Manifest, grace: int = 45) -> Manifest:
    out = copy.deepcopy(pod)
    out["metadata"] |= {"deletionTimestamp": m.at(grace), "deletionGracePeriodSeconds": grace}
    return out


def seen(pod: Manifest, **more: Any) -> ObservedRun:
    return ObservedRun(runner=pod, runners=(pod,), **more)


def said(plan: Plan) -> tuple[str, str]:
    assert plan.status is not None
    ready = next(each for each in plan.status["conditions"] if each["type"] == "Ready")
    return plan.status["phase"], ready["reason"]


@pytest.mark.parametrize("how", ["Graceful", "Now"])
@pytest.mark.parametrize("deployment", [None, m.a_ready_deployment()], ids=["no deployment", "ready"])
def test_a_run_that_has_not_begun_ends_at_once(how: str, deployment: Manifest | None) -> None:
    plan = decide(m.a_run(cancel=how), ObservedRun(deployment=deployment))
    assert said(plan) == ("Cancelled", "Cancelled")
    assert not plan.create
    assert plan.status is not None
    assert plan.status["diagnosis"]["message"] == f"The run was cancelled before it began: spec.cancel is {how}."
    assert [(each.type, each.reason) for each in plan.announce] == [("Normal", "Cancelled")]


def test_a_run_whose_pod_was_never_made_ends_at_once_and_its_cluster_goes() -> None:
    run, _ = begun(m.a_ready_deployment(environment=DASK))
    plan = decide(wished(run), ObservedRun(refused="exceeded quota: small"))
    assert said(plan) == ("Cancelled", "Cancelled")
    assert not plan.create
    cluster = m.scheduled(decide(m.a_run(), ObservedRun(deployment=m.a_ready_deployment(environment=DASK))).create[0])
    left = run_plan.decide(m.with_status(wished(run), plan.status), ObservedRun(cluster=cluster), m.settings(), m.NOW)
    assert [each.kind for each in left.delete] == ["DaskCluster"]


@pytest.mark.parametrize(("how", "grace"), [("Graceful", None), ("Now", 1)])
@pytest.mark.parametrize("state", ["pending", "unpullable", "running"])
def test_a_pod_is_stopped_once_and_its_end_is_awaited(how: str, grace: int | None, state: str) -> None:
    run, pod = running() if state == "running" else begun()
    pod = m.waiting(pod, "ErrImagePull") if state == "unpullable" else pod
    plan = decide(wished(run, how), seen(pod))
    assert [(each.kind, each.name, each.grace) for each in plan.delete] == [("Pod", pod["metadata"]["name"], grace)]
    assert said(plan) == ("Running" if state == "running" else "SettingUp", "Cancelling")
    again = decide(m.with_status(wished(run, how), plan.status), seen(dying(pod, grace or 15)))
    assert not again.delete
    assert again.status is None
    assert not again.create


def test_graceful_may_be_made_urgent() -> None:
    run, pod = running()
    plan = decide(wished(run, "Now"), seen(dying(pod)))
    assert [each.grace for each in plan.delete] == [1]


def test_a_flow_that_was_stopped_is_cancelled_with_the_receipts_of_its_callbacks() -> None:
    run, pod = running(HOOKED)
    halfway = m.running(m.ended(dying(pod), code=79, message=STOPPED), "flow-hooks")
    finishing = decide(wished(run), seen(halfway))
    assert said(finishing) == ("Finishing", "Finishing")
    assert not finishing.delete, "the callbacks have their time"
    done = m.ended(halfway, "flow-hooks", message=RECEIPT)
    plan = decide(m.with_status(wished(run), finishing.status), seen(done))
    assert said(plan) == ("Cancelled", "Cancelled")
    assert plan.status is not None
    assert [(each["name"], each["state"]) for each in plan.status["hooks"]] == [("on_exit", "Succeeded")]
    assert plan.status["diagnosis"]["message"] == ("The run was cancelled in phase Finishing: spec.cancel is Graceful.")


def test_the_last_words_of_a_pod_that_is_gone_are_read() -> None:
    run, pod = running(HOOKED)
    done = m.ended(m.ended(dying(pod), code=79, message=STOPPED), "flow-hooks", message=RECEIPT)
    plan = decide(wished(run), ObservedRun(runner=done, runner_gone=True))
    assert said(plan) == ("Cancelled", "Cancelled")
    assert plan.status is not None
    assert plan.status["hooks"][0]["state"] == "Succeeded"


def test_a_callback_that_was_cut_short_is_run_in_a_pod_of_its_own() -> None:
    run, pod = running(HOOKED)
    done = m.running(m.ended(dying(pod, 1), code=137, message=""), "flow-hooks")
    plan = decide(wished(run, "Now"), ObservedRun(runner=done, runner_gone=True))
    assert said(plan) == ("Finishing", "Finishing")
    assert [each["metadata"]["name"] for each in plan.create] == ["squares-1-11111111-1-exit"]


def test_a_pod_that_is_gone_without_a_word_ends_the_run_too() -> None:
    run, _ = running()
    plan = decide(wished(run), ObservedRun(runner_gone=True))
    assert said(plan) == ("Cancelled", "Cancelled")
    assert plan.status is not None
    assert "gone without a verdict" in plan.status["diagnosis"]["message"]


@pytest.mark.parametrize("how", ["Graceful", "Now"])
def test_a_flow_that_ended_before_it_was_stopped_keeps_its_outcome(how: str) -> None:
    run, pod = running()
    failed = m.ended(pod, code=1, message=json.dumps({"state": "Failed", "reason": "FlowRaised"}))
    for end, expected in (
        (m.ended(pod, message=SUCCEEDED), ("Succeeded", "Succeeded")),
        (failed, ("Failed", "FlowRaised")),
    ):
        plan = decide(wished(run, how), seen(end))
        assert said(plan) == expected
        assert not plan.delete


@pytest.mark.parametrize("how", ["Graceful", "Now"])
def test_in_finishing_the_callbacks_have_their_time(how: str) -> None:
    run, pod = running(HOOKED)
    halfway = m.running(m.ended(pod, message=SUCCEEDED), "flow-hooks")
    assert not decide(wished(run, how), seen(halfway)).delete
    done = m.ended(halfway, "flow-hooks", message=RECEIPT)
    assert said(decide(wished(run, how), seen(done)))[0] == "Succeeded"


@pytest.mark.parametrize(("how", "grace"), [("Graceful", 45), ("Now", 1)])
def test_a_node_that_does_not_answer_holds_no_run(how: str, grace: int) -> None:
    run, pod = running()
    early = decide(wished(run, how), seen(dying(pod, grace)), after=grace + 10)
    assert said(early) == ("Running", "Cancelling")
    assert early.again_after == pytest.approx(50)
    plan = decide(wished(run, how), seen(dying(pod, grace)), after=grace + 61)
    assert said(plan) == ("Cancelled", "Cancelled")
    assert plan.status is not None
    assert "the flow may still run there" in plan.status["diagnosis"]["message"]


def test_a_pod_that_its_node_evicted_before_it_began_ends_the_run() -> None:
    run, pod = begun()
    pod["status"] = {"phase": "Failed", "reason": "Evicted"}
    assert said(decide(wished(run), seen(pod))) == ("Cancelled", "Cancelled")


def test_after_the_end_nothing_changes() -> None:
    run, pod = running()
    end = m.ended(pod, message=SUCCEEDED)
    run = m.with_status(run, decide(run, seen(end)).status)
    plan = run_plan.decide(wished(run, "Now"), seen(end), m.settings(), m.NOW)
    assert plan == Plan()


class TestReplaced:
    def test_an_earlier_run_of_the_schedule_is_stopped_for_a_later_one(self) -> None:
        run, pod = running()
        plan = decide(run, seen(pod, replaced_by="squares-2"))
        assert [each.grace for each in plan.delete] == [None]
        assert said(plan) == ("Running", "Cancelling")
        done = m.ended(dying(pod), code=79, message=STOPPED)
        end = decide(m.with_status(run, plan.status), seen(done, replaced_by="squares-2"))
        assert said(end) == ("Cancelled", "Replaced")
        assert end.status is not None
        assert "FlowRun squares-2 of its schedule replaces it" in end.status["diagnosis"]["message"]

    def test_the_later_one_waits_until_the_earlier_one_has_ended(self) -> None:
        deployment = m.a_ready_deployment()
        waiting = decide(m.a_run(), ObservedRun(deployment=deployment, replaces="squares-0"))
        assert said(waiting) == ("Pending", "Replacing")
        assert not waiting.create
        assert decide(m.with_status(m.a_run(), waiting.status), ObservedRun(deployment=deployment)).create
