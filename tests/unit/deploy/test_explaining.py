"""One sentence for every state of a run and of a deployment."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from flow_operator.deploy import explaining
from tests.support import makers

NOW = makers.NOW + timedelta(seconds=5)
LATER = makers.NOW + timedelta(minutes=3)
WHY = {"reason": "FlowRaised", "message": "The flow failed: ValueError: empty.", "remedy": "Mend the flow."}
PULL = {"reason": "ImagePullFailed", "message": "Container main cannot pull x", "remedy": "Check the image."}


def a_run(status: dict[str, Any] | None, **spec: Any) -> dict[str, Any]:
    """Return a run with a status that speaks of its generation."""
    return makers.with_status(makers.a_run(**spec), status and {"observedGeneration": 1, **status})


def a_deployment(*conditions: tuple[str, str, str, str], **status: Any) -> dict[str, Any]:
    """Return a deployment with conditions."""
    said = [
        {"type": kind, "status": value, "reason": reason, "message": message, "lastTransitionTime": makers.at(0)}
        for kind, value, reason, message in conditions
    ]
    return makers.with_status(makers.a_deployment(), {"observedGeneration": 1, "conditions": said, **status})


@pytest.mark.parametrize(
    ("run", "state", "sentence"),
    [
        (a_run({"phase": "Succeeded", "duration": "2s"}), "Healthy", "FlowRun squares-1 succeeded in 2s."),
        (
            a_run({"phase": "Succeeded", "duration": "2s", "resultOmitted": "not JSON: DataFrame"}),
            "Healthy",
            "FlowRun squares-1 succeeded in 2s, with a result (not JSON: DataFrame).",
        ),
        (
            a_run({"phase": "Failed", "diagnosis": WHY}),
            "Failed",
            "FlowRun squares-1 failed (FlowRaised): The flow failed: ValueError: empty. Mend the flow.",
        ),
        (
            a_run({"phase": "Cancelled", "conditions": [{"type": "Succeeded", "message": "Stopped by request."}]}),
            "Cancelled",
            "FlowRun squares-1 was cancelled: Stopped by request. Create another run to have its result.",
        ),
        (
            a_run({"phase": "Running", "startTime": makers.at(0)}),
            "Working",
            "FlowRun squares-1 has been running for 3m.",
        ),
        (
            a_run({"phase": "Running", "startTime": makers.at(0), "attempt": 2}),
            "Working",
            "FlowRun squares-1 has been running for 3m, at attempt 2.",
        ),
        (
            a_run({"phase": "Succeeded", "duration": "2s", "attempt": 3}),
            "Healthy",
            "FlowRun squares-1 succeeded in 2s, at attempt 3.",
        ),
        (
            a_run(
                {
                    "phase": "Retrying",
                    "attempt": 1,
                    "diagnosis": WHY,
                    "nextAttemptTime": makers.at(198),
                    "pinned": {"bounds": {"backoffLimit": 3}},
                    "retries": {"flow": 1},
                }
            ),
            "Waiting",
            (
                "FlowRun squares-1 is tried again: attempt 2 begins in 18s (backoffLimit: 1 of 3), "
                "because The flow failed: ValueError: empty. Mend the flow."
            ),
        ),
        (
            a_run(
                {
                    "phase": "Retrying",
                    "attempt": 4,
                    "diagnosis": {**WHY, "reason": "Evicted"},
                    "nextAttemptTime": makers.at(0),
                    "retries": {"infrastructure": 2},
                }
            ),
            "Waiting",
            (
                "FlowRun squares-1 is tried again: attempt 5 begins any moment (infrastructureBackoffLimit: 2 of 3), "
                "because The flow failed: ValueError: empty. Mend the flow."
            ),
        ),
        (
            a_run(
                {"phase": "Suspended", "conditions": [{"type": "Suspended", "lastTransitionTime": makers.at(0)}]},
                suspend=True,
            ),
            "Suspended",
            (
                "FlowRun squares-1 has been suspended for 3m: nothing of it is there. "
                "Let it go on: kubectl flow resume squares-1"
            ),
        ),
        (
            a_run({"phase": "Running", "startTime": makers.at(0)}, suspend=True),
            "Working",
            "FlowRun squares-1 is being suspended; it is Running.",
        ),
        (
            a_run({"phase": "Running", "startTime": makers.at(0), "workers": {"ready": 1, "desired": 4}}),
            "Working",
            "FlowRun squares-1 has been running for 3m on 1 of 4 Dask workers.",
        ),
        (
            a_run({"phase": "Running", "diagnosis": PULL}),
            "Waiting",
            (
                "FlowRun squares-1 is Running but not well (ImagePullFailed): Container main cannot pull x. "
                "Check the image."
            ),
        ),
        (
            a_run({"phase": "SettingUp", "diagnosis": PULL}),
            "Waiting",
            "FlowRun squares-1 waits (ImagePullFailed): Container main cannot pull x. Check the image.",
        ),
        (
            a_run({"phase": "SettingUp"}),
            "Working",
            "FlowRun squares-1 is being set up: its pods are being made, for 3m now.",
        ),
        (
            a_run({"phase": "Finishing"}),
            "Working",
            "FlowRun squares-1 has run its flow, and its callbacks are at work.",
        ),
        (a_run({"phase": "Pending"}), "Working", "FlowRun squares-1 has not begun: it has been Pending for 3m."),
        (
            a_run({"phase": "Running"}, cancel="Graceful"),
            "Working",
            "FlowRun squares-1 is being cancelled (Graceful); it is Running.",
        ),
        (
            a_run(None),
            "Unseen",
            "FlowRun squares-1 has not been looked at by the operator in 3m. " + explaining.LOOK_AT_THE_OPERATOR + ".",
        ),
    ],
)
def test_runs(run: dict[str, Any], state: str, sentence: str) -> None:
    found = explaining.explain(run, LATER)
    assert (found.state, found.sentence) == (state, sentence.removesuffix(".") if state == "Unseen" else sentence)


@pytest.mark.parametrize(
    ("deployment", "state", "sentence"),
    [
        (
            makers.a_ready_deployment(),
            "Healthy",
            "FlowDeployment squares is ready: flow 'squares' can run. Run it: kubectl flow run squares",
        ),
        (
            a_deployment(("Ready", "False", "Building", "Pod x builds the image."), ("Reconciling", "True", "B", "")),
            "Working",
            "FlowDeployment squares is being made ready, for 3m now (Building): Pod x builds the image.",
        ),
        (
            a_deployment(("Ready", "False", "ImportFailed", "flow.py imports 'x'."), ("Stalled", "True", "I", "")),
            "Failed",
            "FlowDeployment squares is not ready (ImportFailed): flow.py imports 'x'.",
        ),
        (
            a_deployment(("Stalled", "True", "I", ""), diagnosis={**WHY, "reason": "BuilderFailed"}),
            "Failed",
            "FlowDeployment squares is not ready (BuilderFailed): The flow failed: ValueError: empty. Mend the flow.",
        ),
        (
            makers.a_deployment(),
            "Unseen",
            "FlowDeployment squares has not been looked at by the operator in 4m. " + explaining.LOOK_AT_THE_OPERATOR,
        ),
    ],
)
def test_deployments(deployment: dict[str, Any], state: str, sentence: str) -> None:
    found = explaining.explain(deployment, LATER)
    assert (found.state, found.sentence) == (state, sentence)


def test_a_new_object_is_given_time() -> None:
    assert explaining.explain(makers.a_run(), NOW).state == "Working"


def test_a_change_the_operator_has_not_seen() -> None:
    deployment = makers.a_ready_deployment()
    deployment["metadata"]["generation"] = 2
    deployment["metadata"]["managedFields"] = [{"manager": "kubectl", "time": makers.at(0)}]
    assert explaining.explain(deployment, NOW).state == "Working"
    unseen = explaining.explain(deployment, LATER)
    assert unseen.state == "Unseen"
    assert "was changed, and the operator has not looked at the change" in unseen.sentence


def test_what_is_going_away() -> None:
    run = makers.a_run()
    run["metadata"]["deletionTimestamp"] = makers.at(0)
    assert explaining.explain(run, NOW).sentence == "FlowRun squares-1 is being deleted. Nothing is to be done."


def test_what_is_not_there() -> None:
    found = explaining.missing("FlowRun", "x", "team-a", "Did you mean y?")
    assert found.sentence == "FlowRun x is not there, in namespace team-a. Did you mean y?"
