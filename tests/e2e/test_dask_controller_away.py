"""A FlowRun whose DaskCluster has a finalizer of the Dask controller is deleted, with and without that controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.cluster import SYSTEM, deployment, kubectl, operator_requests, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import Namespace

pytestmark = pytest.mark.alone  # the Dask controller is taken away, and requests are counted

FLOW = "import time\ndef flow(seconds: float = 60):\n    time.sleep(seconds)\n"
CLUSTER = {"daskKubernetes": {"minWorkers": 1, "maxWorkers": 2, "provider": "DaskCluster"}}
DASK_OPERATOR = "deployment/flow-operator-dask"


@pytest.fixture(scope="module", autouse=True)
def deployments(namespace: Namespace) -> None:
    namespace.apply(deployment("cluster", FLOW, environment=CLUSTER))
    namespace.wait_ready("cluster")


def test_the_operator_leaves_finalizers_alone_while_the_dask_controller_lives(namespace: Namespace) -> None:
    before = operator_requests("PATCH", "DaskCluster") + operator_requests("PATCH", "DaskAutoscaler")
    namespace.apply(run("kept", "cluster"))
    namespace.wait_phase("kept", "Running")
    (cluster,) = namespace.list("daskclusters", "flow-operator.io/run=kept")
    assert cluster["metadata"]["finalizers"], "there is something to leave alone"
    namespace.delete("flowrun", "kept")
    namespace.wait_gone("flow-operator.io/run=kept", within=30)
    assert operator_requests("PATCH", "DaskCluster") + operator_requests("PATCH", "DaskAutoscaler") == before
    assert operator_requests("DELETE", "DaskCluster") > 0, "the counter counts"


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
    namespace.delete("flowrun", "orphan")
    namespace.wait_gone("flow-operator.io/run=orphan", within=30)
