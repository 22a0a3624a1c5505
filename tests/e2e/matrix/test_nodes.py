"""The ends that come from a node: its kubelet killed, drained, turned off; each once, to all kinds of callbacks.

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
from tests.support.cluster import SYSTEM, eventually, kubectl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.cluster import Namespace

pytestmark = pytest.mark.alone  # a node is drained and stopped

RELIED_ON = (("kube-system", "k8s-app=kube-dns"), (SYSTEM, "app.kubernetes.io/component=operator"))
CELLS = cells(KUBELET_KILLED, DRAINED, NODE_STOPPED)


@pytest.fixture(scope="module")
def worker(namespace: Namespace, images: dict[str, str]) -> Iterator[str]:
    node = nodes.worker()
    nodes.clear(node, *RELIED_ON)
    lives.start(namespace, images["runtime"])
    namespace.apply(*(each.deployment() for each in VARIANTS))
    for each in VARIANTS:
        namespace.wait_ready(each.name)
    yield node
    nodes.start(node)
    kubectl("uncordon", node)


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
