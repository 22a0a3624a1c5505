"""The clocks of a run."""

from __future__ import annotations

from typing import Any

import pytest

from flow_operator.plan.types import ObservedRun
from tests.support import makers as m
from tests.unit.plan.test_attempts import RAISED, begun, decide, dying, running, seen

Manifest = dict[str, Any]


def verdict(status: Manifest | None) -> str:
    assert status is not None
    return str(next(each["reason"] for each in status["conditions"] if each["type"] == "Succeeded"))


def taken(pod: Manifest) -> Manifest:
    """Return the pod after a kubelet has taken it."""
    return {**pod, "status": {**pod["status"], "startTime": m.at(0)}}


def test_the_first_pod_gets_it_all_and_the_next_what_is_left() -> None:
    bounds = {"activeDeadlineSeconds": 100, "backoffLimit": 1}
    run, pod = running(None, **bounds)
    assert pod["spec"]["activeDeadlineSeconds"] == 100
    run = m.with_status(run, decide(run, seen(m.ended(pod, code=1, message=RAISED)), after=30).status)
    for after in (40, 45):  # whenever it is made, it is the same pod
        plan = decide(run, ObservedRun(), after=after)
        assert plan.create[0]["spec"]["activeDeadlineSeconds"] == 100 - after + 5


def test_an_attempt_that_would_begin_too_late_does_not() -> None:
    run, pod = running(None, activeDeadlineSeconds=40, backoffLimit=1)
    over = decide(run, seen(m.ended(pod, code=1, message=RAISED)), after=36)
    assert verdict(over.status) == "FlowRaised"
    assert over.status is not None
    assert "activeDeadlineSeconds leaves no time for another attempt" in over.status["diagnosis"]["message"]


def test_time_that_a_run_is_suspended_does_not_count() -> None:
    run, _ = running(None, activeDeadlineSeconds=100)
    run["spec"]["suspend"] = True
    run = m.with_status(run, decide(run, ObservedRun(runner_gone=True), after=25).status)
    assert run["status"]["active"] == {"spent": 20}
    assert decide(run, ObservedRun(), after=5000).status is None
    run["spec"]["suspend"] = False
    plan = decide(run, ObservedRun(), after=5000)
    assert plan.status is not None
    assert plan.status["active"] == {"since": m.at(5000), "spent": 20}
    assert plan.create[0]["spec"]["activeDeadlineSeconds"] == 80


def test_a_pod_that_no_kubelet_has_taken_is_ended_by_the_operator() -> None:
    run, pod = begun(activeDeadlineSeconds=30)
    stuck = m.scheduled(pod, reason="Unschedulable", message="0/2 nodes are available")
    assert decide(run, seen(stuck), after=20).again_after == pytest.approx(10, abs=6)
    waits = m.with_status(run, decide(run, seen(stuck), after=20).status)
    told = decide(waits, seen(stuck), after=40)
    assert told.status is not None
    assert told.status["ending"]["reason"] == "DeadlineExceeded"
    assert "0/2 nodes are available" in told.status["ending"]["message"], "what it waited for is told"
    over = decide(m.with_status(run, told.status), ObservedRun(runner_gone=True), after=41)
    assert verdict(over.status) == "DeadlineExceeded"


def test_a_kubelet_has_its_time_to_end_the_pod_and_a_lost_one_does_not_hold_the_run() -> None:
    run, pod = running(None, activeDeadlineSeconds=30)
    pod = taken(pod)
    assert decide(run, seen(pod), after=50).status is None
    told = decide(run, seen(pod), after=65)
    assert told.status is not None
    assert told.status["ending"]["reason"] == "DeadlineExceeded"
    over = decide(m.with_status(run, told.status), seen(dying(pod)), after=200)
    assert verdict(over.status) == "DeadlineExceeded"
    assert over.status is not None
    assert "the flow may still run there" in over.status["diagnosis"]["message"]


def test_a_run_that_is_out_of_time_is_not_tried_again() -> None:
    run, pod = running(None, activeDeadlineSeconds=30, backoffLimit=5)
    out = m.ended(pod, code=79)
    out["status"] |= {"phase": "Failed", "reason": "DeadlineExceeded"}
    assert verdict(decide(run, seen(out), after=36).status) == "DeadlineExceeded"
