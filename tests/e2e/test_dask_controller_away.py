"""A FlowRun whose DaskCluster has a finalizer of the Dask controller is deleted, with and without that controller."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from flow_operator.plan.clean_up import FINALIZER_PATIENCE
from tests.support.cluster import SYSTEM, deployment, eventually, kubectl, operator_requests, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import Namespace

pytestmark = pytest.mark.alone  # the Dask controller is taken away, and requests are counted

FLOW = "import time\ndef flow(seconds: float = 60):\n    time.sleep(seconds)\n"
CLUSTER = {"daskKubernetes": {"minWorkers": 1, "maxWorkers": 2, "provider": "DaskCluster"}}
KEPT, ORPHAN = "flow-operator.io/run=kept", "flow-operator.io/run=orphan"
AUDIT = "example.com/audit"  # somebody else's finalizer
DASK_OPERATOR = "deployment/flow-operator-dask"


@pytest.fixture(scope="module", autouse=True)
def deployments(namespace: Namespace) -> None:
    namespace.apply(deployment("cluster", FLOW, environment=CLUSTER))
    namespace.wait_ready("cluster")


def test_the_dask_controller_has_its_time_to_take_its_finalizers_off(namespace: Namespace) -> None:
    before = operator_requests("PATCH", "DaskCluster") + operator_requests("PATCH", "DaskAutoscaler")
    namespace.apply(run("kept", "cluster"))
    namespace.wait_phase("kept", "Running")
    (cluster,) = namespace.list("daskclusters", "flow-operator.io/run=kept")
    assert cluster["metadata"]["finalizers"], "there is something to leave alone"
    deleted = time.monotonic()
    namespace.delete("flowrun", "kept")
    while left := [*namespace.list("daskclusters", KEPT), *namespace.list("daskautoscalers", KEPT)]:
        patched = operator_requests("PATCH", "DaskCluster") + operator_requests("PATCH", "DaskAutoscaler")
        # The API server's times are whole seconds.
        assert patched == before or time.monotonic() - deleted > FINALIZER_PATIENCE - 1
        assert time.monotonic() - deleted < FINALIZER_PATIENCE + 10, left
        time.sleep(0.25)
    namespace.wait_gone(KEPT, within=30)
    assert operator_requests("POST", "DaskCluster") > 0, "the counter counts"


@pytest.fixture
def no_dask_controller() -> Iterator[None]:
    kubectl("-n", SYSTEM, "scale", DASK_OPERATOR, "--replicas=0")
    yield
    kubectl("-n", SYSTEM, "scale", DASK_OPERATOR, "--replicas=1")
    kubectl("-n", SYSTEM, "rollout", "status", DASK_OPERATOR, "--timeout=120s")


def test_nothing_is_left_when_the_dask_controller_is_gone(namespace: Namespace, request: pytest.FixtureRequest) -> None:
    namespace.apply(run("orphan", "cluster"))
    namespace.wait_phase("orphan", "Running")
    (cluster,) = namespace.list("daskclusters", "flow-operator.io/run=orphan")
    assert cluster["metadata"]["finalizers"], "the Dask controller's own finalizer is what would block"
    request.getfixturevalue("no_dask_controller")
    ours = {"metadata": {"finalizers": [*cluster["metadata"]["finalizers"], AUDIT]}}
    patch = ("-n", namespace.name, "patch", "daskcluster", cluster["metadata"]["name"], "--type=merge", "-p")
    kubectl(*patch, json.dumps(ours))
    try:
        namespace.delete("flowrun", "orphan")
        eventually(
            lambda: [each["metadata"]["finalizers"] for each in namespace.list("daskclusters", ORPHAN)],
            lambda seen: seen == [[AUDIT]],
            FINALIZER_PATIENCE + 15,
            "it is held by somebody else only",
        )
    finally:
        kubectl(*patch, '{"metadata":{"finalizers":null}}')
    # Its autoscaler, which is its child, is deleted only now.
    namespace.wait_gone(ORPHAN, within=FINALIZER_PATIENCE + 15)
