"""A FlowRun deleted in any phase, with and without the Dask controller: nothing of it is left within 30 seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import recorder
from tests.support.cluster import SYSTEM, Namespace, deployment, eventually, kubectl, operator_requests, run

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.alone  # the Dask controller is taken away, and requests are counted

SLOW = (
    recorder.CLIENT
    + """
import time
from flow_operator import flow
from flow_operator.environments import DaskKubernetesEnvironment

def leave():
    record("on_exit")
    time.sleep(4)

@flow(environment=DaskKubernetesEnvironment(min_workers=1, max_workers=2, on_exit=leave))
def flow(seconds: float = 60):
    record("flow")
    time.sleep(seconds)
"""
)
PLAIN = "import time\ndef flow(seconds: float = 60):\n    time.sleep(seconds)\n"
CLUSTER = {"daskKubernetes": {"minWorkers": 1, "maxWorkers": 2, "provider": "DaskCluster"}}
STUCK = {"nodeSelector": {"disk": "does-not-exist"}}
DASK_OPERATOR = "deployment/flow-operator-dask"


@pytest.fixture(scope="module", autouse=True)
def deployments(namespace: Namespace) -> None:
    namespace.apply(deployment("slow", SLOW), deployment("plain", PLAIN), deployment("stuck", SLOW, runner=STUCK))
    namespace.apply(deployment("cluster", SLOW, environment=CLUSTER))
    for each in ("slow", "plain", "cluster"):
        namespace.wait_ready(each)


def test_a_terminating_namespace_is_not_held_up(namespace: Namespace) -> None:
    """Nothing of ours sticks, though nothing may be made there any more: not even a callback's pod."""
    doomed = Namespace(f"{namespace.name}-doomed")
    kubectl("create", "namespace", doomed.name)
    doomed.apply(deployment("slow", SLOW, environment={"remote": {}}), deployment("plain", PLAIN))
    for each in ("slow", "plain"):
        doomed.wait_ready(each)
        doomed.apply(run(each, each), run(f"{each}-waits", "absent"))
    for each in ("slow", "plain"):
        doomed.wait_phase(each, "Running")
    kubectl("delete", "namespace", doomed.name, "--wait=false")

    def left() -> str:
        return kubectl("get", "namespace", doomed.name, "-o", "name", "--ignore-not-found").strip()

    eventually(left, lambda seen: not seen, 120, f"namespace {doomed.name} is gone", every=1.0)


@pytest.mark.parametrize(
    ("phase", "of", "seconds"),
    [
        ("Pending", "absent", 60),
        ("SettingUp", "slow", 60),
        ("Running", "slow", 60),
        ("Running", "plain", 60),
        ("Finishing", "slow", 0.1),
        ("Succeeded", "slow", 0.1),
        ("Succeeded", "plain", 0.1),
    ],
)
def test_nothing_is_left_of_a_deleted_run(namespace: Namespace, phase: str, of: str, seconds: float) -> None:
    name = f"{phase.lower()}-{of}"
    namespace.apply(run(name, of, parameters={"seconds": seconds}))
    namespace.wait_phase(name, phase)
    namespace.delete("flowrun", name)
    namespace.wait_gone(f"flow-operator.io/run={name}", within=30)
    assert namespace.find("flowrun", name) is None


def test_on_exit_runs_when_a_running_run_is_deleted(namespace: Namespace) -> None:
    namespace.apply(run("deleted", "slow"))
    recorder.wait_for(namespace, "deleted", "flow", within=60)
    namespace.delete("flowrun", "deleted")
    namespace.wait_gone("flow-operator.io/run=deleted", within=30)
    assert recorder.names(namespace, "deleted") == ["flow", "on_exit"]


def test_a_run_deleted_and_made_again_under_its_name_runs(namespace: Namespace) -> None:
    namespace.apply(run("again", "plain", parameters={"seconds": 0}))
    first = namespace.wait_run("again")
    namespace.delete("flowrun", "again")
    eventually(lambda: namespace.find("flowrun", "again"), lambda seen: seen is None, 20, "again is gone")
    namespace.apply(run("again", "plain", parameters={"seconds": 0}))
    second = namespace.wait_run("again")
    assert second["status"]["phase"] == "Succeeded"
    assert second["status"]["pod"] != first["status"]["pod"]


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
