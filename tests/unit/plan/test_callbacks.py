"""What a run promises about its callbacks: limits, receipts, and who runs on_exit where the pod could not."""

from __future__ import annotations

import json
from typing import Any

from flow_operator.plan import run as run_plan
from flow_operator.plan.types import ObservedRun
from tests.support import makers as m

Manifest = dict[str, Any]


def runner(
    callbacks: tuple[str, ...] = ("on_start", "on_exit"), bounds: Manifest | None = None, **run: Any
) -> Manifest:
    """Return the runner pod of a run."""
    deployment = m.a_ready_deployment(callbacks=callbacks, run=bounds or {})
    plan = run_plan.decide(m.a_run(**run), ObservedRun(deployment=deployment), m.settings(), m.NOW)
    return plan.create[-1]


def request(pod: Manifest) -> Manifest:
    """Return what the runner is told."""
    (text,) = [each["value"] for each in pod["spec"]["containers"][0]["env"] if each["name"] == "FLOW_OPERATOR_RUN"]
    said: Manifest = json.loads(text)
    return said


def test_the_limits_are_the_deployments_unless_the_run_has_its_own_and_the_grace_period_follows() -> None:
    bounds = {"stopGraceSeconds": 60, "callbackTimeoutSeconds": 120}
    pod = runner(bounds=bounds, callbackTimeoutSeconds=200)
    assert (request(pod)["stopGraceSeconds"], request(pod)["hookTimeoutSeconds"]) == (60, 200)
    assert pod["spec"]["terminationGracePeriodSeconds"] == 60 + 200 + 5


def test_a_flow_without_callbacks_has_no_time_for_them() -> None:
    pod = runner(callbacks=(), stopGraceSeconds=60)
    assert pod["spec"]["terminationGracePeriodSeconds"] == 65
