"""No operator runs while a run ends and its pod is deleted: what the pod said is read when one is back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import recorder
from tests.support.cluster import SYSTEM, deployment, eventually, kubectl, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import Namespace

pytestmark = pytest.mark.alone  # the operator is taken away

SOURCE = (
    recorder.CLIENT
    + """
import time
from flow_operator import flow
from flow_operator.environments import RemoteEnvironment

@flow(environment=RemoteEnvironment(on_exit=lambda: record("on_exit")))
def flow(seconds: float):
    record("flow")
    time.sleep(seconds)
    return "done"
"""
)
OPERATOR = "deployment/flow-operator"
LIMITS = {"stopGraceSeconds": 5, "callbackTimeoutSeconds": 5}


@pytest.fixture
def away() -> Iterator[None]:
    yield
    kubectl("-n", SYSTEM, "scale", OPERATOR, "--replicas=1")
    kubectl("-n", SYSTEM, "rollout", "status", OPERATOR, "--timeout=120s")


@pytest.mark.usefixtures("away")
def test_a_run_that_ended_and_whose_pod_was_deleted_meanwhile_keeps_its_outcome(namespace: Namespace) -> None:
    namespace.apply(deployment("away", SOURCE, run={"infrastructureBackoffLimit": 0, **LIMITS}))
    namespace.wait_ready("away")
    namespace.apply(run("quick", "away", parameters={"seconds": 12}), run("long", "away", parameters={"seconds": 600}))
    for name in ("quick", "long"):
        recorder.wait_for(namespace, name, "flow")
        namespace.wait_phase(name, "Running")
    kubectl("-n", SYSTEM, "scale", OPERATOR, "--replicas=0")
    kubectl("-n", SYSTEM, "wait", "--for=delete", "pod", "-l", "app.kubernetes.io/component=operator", "--timeout=60s")
    recorder.wait_for(namespace, "quick", "on_exit")
    pods = {name: namespace.get("flowrun", name)["status"]["pod"] for name in ("quick", "long")}
    eventually(
        lambda: namespace.get("pod", pods["quick"])["status"]["phase"], lambda seen: seen == "Succeeded", 20, "its end"
    )
    kubectl("-n", namespace.name, "delete", "pod", pods["quick"], "--wait=false")
    kubectl("-n", namespace.name, "delete", "pod", pods["long"], "--grace-period=0", "--force", "--wait=false")

    kubectl("-n", SYSTEM, "scale", OPERATOR, "--replicas=1")
    quick = namespace.wait_run("quick")
    assert (quick["status"]["phase"], quick["status"]["result"]) == ("Succeeded", "done")
    assert recorder.names(namespace, "quick") == ["flow", "on_exit"], "neither was begun again"
    long = namespace.wait_run("long")
    assert long["status"]["phase"] == "Failed"
    assert [each["state"] for each in long["status"]["hooks"] if each["name"] == "on_exit"] == ["Succeeded"]
    assert recorder.names(namespace, "long")[:2] == ["flow", "on_exit"]
    namespace.wait_pods_gone("flow-operator.io/run=quick")
