"""Termination messages that somebody else wrote: a run comes to its end, and its status is one the API server takes."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest

from flow_operator.api.flow_run import FINISHED, FlowRunStatus
from flow_operator.plan import reports
from flow_operator.plan.types import ObservedRun
from tests.support import makers as m
from tests.support.decided import decided

Manifest = dict[str, Any]
REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
ON_EXIT = {"name": "on_exit", "state": "Succeeded"}

FOREIGN = (
    "disk full",
    "[]",
    "5",
    "[" * 2000,
    '{"error": "disk full"}',
    '{"error": {"message": 5}}',
    '{"error": {"type": ["x"], "message": "m"}, "state": "Failed"}',
    '{"error": {"type": "E", "message": "m", "frames": "f"}, "state": "Failed"}',
    '{"error": {"type": "E", "message": "m", "frames": [1, null]}, "state": "Failed"}',
    '{"level": "error", "error": "x"}',
    '{"stages": [1]}',
    '{"stages": {"load": "fast"}}',
    '{"stages": {"load": NaN, "flow": Infinity, "x": -1, "y": true}, "state": "Succeeded"}',
    '{"peakMemoryBytes": "lots"}',
    '{"peakMemoryBytes": 1e400}',
    '{"reason": 7, "state": "Failed"}',
    '{"reason": "no good!", "state": "Failed"}',
    '{"reason": "no good!", "remedy": "none", "state": "Failed"}',
    '{"remedy": "run", "state": "Failed"}',
    '{"reason": "' + "x" * 3000 + '", "state": "Failed"}',
    '{"state": "fine"}',
    '{"state": ["Succeeded"]}',
    '{"result": NaN, "state": "Succeeded"}',
    '{"result": {"a": [1' + "0" * 400 + ']}, "state": "Succeeded"}',
    '{"result": ' + "[" * 900 + "]" * 900 + ', "state": "Succeeded"}',
    '{"result": null, "state": "Succeeded"}',
    '{"resultOmitted": 5, "state": "Succeeded"}',
    '{"workersSeen": 5, "state": "Succeeded"}',
    '{"workersSeen": ["w", 5], "state": "Succeeded"}',
    '{"hooks": 5}',
    '{"hooks": ["x"]}',
    '{"hooks": [{"state": "Succeeded"}]}',
    '{"hooks": [{"name": ["on_exit"], "state": "Succeeded"}]}',
    '{"hooks": [{"name": "on_exit", "state": "fine"}]}',
    '{"hooks": [{"name": "on_exit", "state": {}}]}',
    '{"hooks": [{"name": "on_exit", "state": "Pending", "startTime": "now"}]}',
    '{"hooks": [{"name": "on_exit", "state": "Failed", "message": 5, "error": "e", "tries": "many"}]}',
    '{"hooks": [{"name": "on_exit", "state": "Succeeded", "tries": true, "startTime": 5, "endTime": "soon"}]}',
    '{"hooks": [{"name": "on_exit", "state": "Succeeded", "startTime": "2026-11-23", "endTime": "2026-11-23T12:00Z"}]}',
)


def finished(main: Manifest, hooks: str) -> Manifest:
    """Return the status of a run whose two containers ended with these words."""
    run = m.a_run()
    plan = decided(run, ObservedRun(deployment=m.a_ready_deployment(callbacks=("on_start", "on_exit"))), 0)
    run = m.with_status(run, plan.status)
    pod = m.running(m.running(m.scheduled(plan.create[-1])), "flow-hooks")
    run = m.with_status(run, decided(run, ObservedRun(runner=pod, runners=(pod,)), 2).status)
    pod = m.ended(m.ended(pod, **main), "flow-hooks", message=hooks)
    run = m.with_status(run, decided(run, ObservedRun(runner=pod, runners=(pod,)), 5).status)
    if run["status"]["phase"] == "Finishing":  # nobody can tell whether on_exit ran: it is run elsewhere
        away = copy.deepcopy(pod)
        away["metadata"]["name"] += "-exit"
        away = m.ended(away, "flow-hooks", message=json.dumps({"hooks": [ON_EXIT]}))
        seen = ObservedRun(runner=pod, runners=(pod,), fallback=away, fallbacks=(away,))
        run = m.with_status(run, decided(run, seen, 6).status)
    status: Manifest = run["status"]
    return status


def check(status: Manifest) -> None:
    assert status["phase"] in FINISHED
    FlowRunStatus.model_validate(status, strict=True)
    json.dumps(status, allow_nan=False)
    assert all(REASON.fullmatch(each["reason"]) and len(each["reason"]) <= 128 for each in status["conditions"])


@pytest.mark.parametrize("message", FOREIGN, ids=lambda each: each[:60])
@pytest.mark.parametrize("reason", ["Error", "OOMKilled"])
def test_a_run_ends_whatever_its_flow_leaves_as_its_last_words(message: str, reason: str) -> None:
    check(finished({"code": 1, "reason": reason, "message": message}, json.dumps({"hooks": [ON_EXIT]})))


@pytest.mark.parametrize("message", FOREIGN, ids=lambda each: each[:60])
def test_a_run_ends_whatever_its_callbacks_leave_as_their_last_words(message: str) -> None:
    check(finished({"message": json.dumps({"state": "Succeeded"})}, message))


def test_what_is_right_in_a_report_is_kept_beside_what_is_not() -> None:
    message = json.dumps({
        "state": "Failed", "reason": "FlowRaised", "error": {"type": "E", "message": "m", "frames": ["a", 1]},
        "stages": {"load": 0.5, "flow": "long"}, "workersSeen": ["w", None], "peakMemoryBytes": 5, "result": [1.5],
    })  # fmt: skip
    assert reports.of_flow(message) == {
        "state": "Failed", "reason": "FlowRaised", "error": {"type": "E", "message": "m", "frames": ["a"]},
        "stages": {"load": 0.5}, "workersSeen": ["w"], "peakMemoryBytes": 5, "result": [1.5],
    }  # fmt: skip


def test_a_flow_that_succeeds_with_a_number_beyond_all_bounds_has_succeeded_without_a_result() -> None:
    status = finished(
        {"message": '{"state": "Succeeded", "result": ' + "9" * 400 + "}"}, json.dumps({"hooks": [ON_EXIT]})
    )
    assert status["phase"] == "Succeeded"
    assert "result" not in status
    assert status["resultOmitted"] == "not JSON that the API server takes"


def test_a_receipt_told_twice_counts_once() -> None:
    again = {**ON_EXIT, "state": "Failed", "tries": 2}
    assert reports.of_hooks(json.dumps({"hooks": [ON_EXIT, again]})) == [again]
