"""The clocks of a run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from flow_operator.plan import deadlines
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


class TestAutoscaler:
    """The clock of an attempt stands still while a node is on its way."""

    def stuck(self) -> tuple[Manifest, Manifest]:
        run, pod = begun(preRunningDeadlineSeconds=60)
        return run, m.scheduled(pod, reason="Unschedulable", message="0/2 nodes are available")

    def test_events_are_read_only_when_the_time_is_over_and_a_pod_has_no_node(self) -> None:
        run, pod = self.stuck()
        assert deadlines.asks_for_a_node(run, seen(pod), m.NOW + timedelta(seconds=50)) == ()
        late = m.NOW + timedelta(seconds=70)
        assert deadlines.asks_for_a_node(run, seen(pod), late) == (pod["metadata"]["uid"],)
        assert deadlines.asks_for_a_node(run, seen(placed(pod, 40)), late) == ()
        assert deadlines.asks_for_a_node(m.a_run(), ObservedRun(), late) == ()
        over = {**run, "status": {**run["status"], "phase": "Failed"}}
        assert deadlines.asks_for_a_node(over, seen(pod), late) == ()

    def test_a_node_that_comes_is_waited_for_and_one_that_does_not_ends_the_attempt(self) -> None:
        run, pod = self.stuck()
        waits = decide(run, seen(pod, scale_up=m.at(30)), after=80)
        assert waits.status is not None
        assert waits.status["scaleUpTime"] == m.at(30)
        assert "ending" not in waits.status
        run = m.with_status(run, waits.status)
        assert deadlines.asks_for_a_node(run, seen(pod), m.NOW + timedelta(seconds=90)) == (), "it is known"
        over = decide(run, seen(pod), after=30 + 900 + 40)
        assert over.status is not None
        assert over.status["ending"]["reason"] == "Unschedulable"

    def test_the_clock_goes_on_once_the_pod_has_its_node(self) -> None:
        run, pod = self.stuck()
        run = m.with_status(run, decide(run, seen(pod, scale_up=m.at(30)), after=80).status)
        here = placed(pod, 200)  # 25 s of patience were used, 35 are left
        pulls = m.waiting(here, "ContainerCreating")
        assert "ending" not in (decide(run, seen(pulls), after=230).status or {})
        late = decide(run, seen(pulls), after=240).status
        assert late is not None
        assert late["ending"]["reason"] == "NotStarted"


def placed(pod: Manifest, when: float) -> Manifest:
    """Return the pod after the scheduler has found it a node."""
    told = {"type": "PodScheduled", "status": "True", "lastTransitionTime": m.at(when)}
    return {**pod, "status": {**pod["status"], "conditions": [told]}}
