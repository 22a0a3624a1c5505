"""The stages of a run: each has its time, in the order they come, and together they are the run."""

from __future__ import annotations

import json

from flow_operator.plan.types import ObservedRun
from tests.support import makers as m
from tests.support.decided import decided


def hook(name: str, since: float, until: float) -> dict[str, str]:
    stamps = {"startTime": m.at(since).replace("Z", ".000Z"), "endTime": m.at(until).replace("Z", ".500Z")}
    return {"name": name, "state": "Succeeded", **stamps}


def test_the_stages_of_a_run_with_callbacks_add_up() -> None:
    run = m.a_run()
    seen = ObservedRun(deployment=m.a_ready_deployment(callbacks=("on_start", "on_exit")))
    plan = decided(run, seen, 7)  # it waited seven seconds for its deployment
    run = m.with_status(run, plan.status)
    (pod,) = plan.create
    pod = m.running(m.scheduled(pod), since=9)
    run = m.with_status(run, decided(run, ObservedRun(runner=pod), 10).status)
    assert run["status"]["stages"] == {"wait": "7s", "setUp": "2s"}
    report = {"state": "Succeeded", "stages": {"load": 0.25, "flow": 3.0}, "peakMemoryBytes": 75_400_000}
    pod = m.ended(pod, message=json.dumps(report))
    receipts = {"hooks": [hook("on_start", 9, 10), hook("on_exit", 14, 16)]}
    pod = m.ended(pod, "flow-hooks", message=json.dumps(receipts))
    status = decided(run, ObservedRun(runner=pod), 18).status
    assert status is not None
    assert status["stages"] == {
        "wait": "7s", "setUp": "2s", "on_start": "1.5s", "load": "250ms", "flow": "3s", "on_exit": "2.5s",
    }  # fmt: skip
    assert status["peakMemory"] == "71.9Mi"


def test_times_that_somebody_else_wrote_are_no_stage() -> None:
    run = m.a_run()
    seen = ObservedRun(deployment=m.a_ready_deployment(callbacks=("on_exit",)))
    plan = decided(run, seen, 0)
    run = m.with_status(run, plan.status)
    pod = m.ended(m.running(m.scheduled(plan.create[0])), message=json.dumps({"state": "Succeeded"}))
    receipts = [{"name": "on_exit", "state": "Succeeded", "startTime": "soon", "endTime": "later"}]
    pod = m.ended(pod, "flow-hooks", message=json.dumps({"hooks": receipts}))
    status = decided(run, ObservedRun(runner=pod), 5).status
    assert status is not None
    assert "on_exit" not in status["stages"]
