"""The ends that come from a node: its kubelet killed, drained, turned off; each once, to all kinds of callbacks.

And what the node that is turned off takes along of a Dask cluster: the worker of one run, the scheduler of another.

Every runner pod is on the worker, and may be anywhere later; the keeper of records, the operator and the cluster's DNS
run on the control plane.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.e2e.matrix.cells import DRAINED, KUBELET_KILLED, NODE_STOPPED, VARIANTS, Cell, cells
from tests.e2e.matrix.play import Played, make, wait
from tests.support import lives, nodes
from tests.support.cluster import SYSTEM, deployment, eventually, kubectl, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.cluster import Manifest, Namespace

pytestmark = pytest.mark.alone  # a node is drained and stopped

RELIED_ON = (("kube-system", "k8s-app=kube-dns"), (SYSTEM, "app.kubernetes.io/component=operator"))
CELLS = cells(KUBELET_KILLED, DRAINED, NODE_STOPPED)

# It ends when a second worker has computed something, of which there is one at a time; a second attempt with its first.
DASK_FLOW = """
import json, os, socket, time
from distributed import get_client

def flow() -> int:
    wanted = 2 if json.loads(os.environ["FLOW_OPERATOR_RUN"])["run"]["attempt"] == 1 else 1
    workers = set()
    while len(workers) < wanted:
        workers.add(get_client().submit(socket.gethostname, pure=False).result())
        time.sleep(0.3)
    return len(workers)
"""
SMALL = [{"resources": {"requests": {"cpu": "50m", "memory": "128Mi"}}}]


@pytest.fixture(scope="module")
def worker(namespace: Namespace, images: dict[str, str]) -> Iterator[str]:
    node = nodes.worker()
    nodes.clear(node, *RELIED_ON)
    lives.start(namespace, images["runtime"])
    namespace.apply(*(each.deployment() for each in VARIANTS))
    namespace.apply(*_dask_deployments(node))
    for name in (*(each.name for each in VARIANTS), "worker-lost", "scheduler-lost"):
        namespace.wait_ready(name)
    yield node
    nodes.start(node)
    kubectl("uncordon", node)


def _dask_deployments(node: str) -> Iterator[Manifest]:
    """Return a flow whose runner stays on the control plane, its worker rather not; and one that runs anywhere."""
    there = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    rather = [{"weight": 100, "preference": {"matchExpressions": [there]}}]
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": rather}}
    elsewhere = {"nodeSelector": {}, "affinity": affinity}
    for name, runner, more in (
        ("worker-lost", {"nodeSelector": {nodes.CONTROL_PLANE: ""}}, elsewhere),
        ("scheduler-lost", {}, {}),
    ):
        one = {"minWorkers": 1, "maxWorkers": 1, "workerSpec": {"containers": SMALL, **more}}
        bounds = {"stopGraceSeconds": 5, "infrastructureBackoffLimit": 1}
        yield deployment(name, DASK_FLOW, environment={"daskKubernetes": one}, runner=runner, run=bounds)


@pytest.fixture(scope="module")
def played(namespace: Namespace, worker: str) -> dict[Cell, Played]:
    every: dict[Cell, Played] = {}
    for end, happen in ((KUBELET_KILLED, _kill_kubelet), (DRAINED, _drain), (NODE_STOPPED, _stop)):
        with nodes.closed(nodes.control_plane()):
            now = make(namespace, cells(end))
            wait(namespace, now.values(), _lives, 60)
        every |= now
        happen(namespace, worker, list(now.values()))
        if end is DRAINED:
            # What is left when the node stops would end by that.
            wait(namespace, every.values(), _ended, 90, strict=False)
    wait(namespace, every.values(), _ended, 120, strict=False)
    return every


def _kill_kubelet(namespace: Namespace, worker: str, played: list[Played]) -> None:
    """Kill it while on_start runs, while the flow runs and while on_exit runs."""
    with_callbacks = [each for each in played if each.cell.variant.on_start]
    for stage in ("on_start", "flow", "on_exit"):
        those = [each for each in with_callbacks if stage == "on_start" or not each.cell.variant.start_fails]
        wait(namespace, those, partial(_has_begun, stage), 60)
        nodes.kill_kubelet(worker)


def _drain(namespace: Namespace, worker: str, played: list[Played]) -> None:
    wait(namespace, played, _begun, 60)
    names = ",".join(each.cell.name for each in played)
    kubectl("cordon", worker)
    kubectl(
        "drain", worker, f"--pod-selector=flow-operator.io/run in ({names})", "--force", "--ignore-daemonsets",
        "--delete-emptydir-data", "--timeout=90s",
    )  # fmt: skip
    kubectl("uncordon", worker)


def _stop(namespace: Namespace, worker: str, played: list[Played]) -> None:
    """Turn it off; somebody sees that it is gone and says so, and the cluster forgets its pods."""
    wait(namespace, played, _begun, 60)
    with nodes.closed(nodes.control_plane()):
        namespace.apply(run("scheduler-lost", "scheduler-lost"))
        namespace.wait_phase("scheduler-lost", "Running")
    namespace.apply(run("worker-lost", "worker-lost"))
    namespace.wait_phase("worker-lost", "Running")
    nodes.stop(worker)
    began = time.monotonic()
    eventually(lambda: nodes.is_ready(worker), lambda ready: not ready, 90, "the node is not ready", every=1)
    kubectl("taint", "node", worker, nodes.OUT_OF_SERVICE)
    print(f"the cluster noticed after {time.monotonic() - began:.0f} s")


def _lives(played: Played) -> bool:
    return bool(played.lives)


def _has_begun(stage: str, played: Played) -> bool:
    return bool(lives.of(played.lives, stage))


def _begun(played: Played) -> bool:
    return played.begun


def _ended(played: Played) -> bool:
    return played.ended


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_the_promise_is_kept(cell: Cell, played: dict[Cell, Played], in_matrix: Callable[[Played], None]) -> None:
    in_matrix(played[cell])


@pytest.mark.usefixtures("played")
def test_a_run_gets_another_worker_when_the_node_of_its_worker_is_turned_off(namespace: Namespace) -> None:
    status = namespace.wait_run("worker-lost")["status"]
    assert (status["phase"], status.get("result"), status["attempt"]) == ("Succeeded", 2, 1), status
    assert len(status["workers"]["computed"]) == 2


@pytest.mark.usefixtures("played")
def test_a_run_is_tried_again_when_the_node_of_its_scheduler_is_turned_off(namespace: Namespace) -> None:
    status = namespace.wait_run("scheduler-lost")["status"]
    assert (status["phase"], status.get("result"), status["attempt"]) == ("Succeeded", 1, 2), status
    first, second = status["attempts"]
    assert (first["outcome"], second["outcome"]) == ("Failed", "Succeeded")
    assert status["retries"]["infrastructure"] == 1
