"""The real Dask cluster of a run: scaled by the autoscaler under load, restricted, gone at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support import recorder
from tests.support.cluster import deployment, eventually, reason, run

if TYPE_CHECKING:
    from tests.support.cluster import Namespace

pytestmark = pytest.mark.alone  # the workers want both cores

LOAD = (
    recorder.CLIENT
    + """
import time
import dask
from flow_operator import flow
from flow_operator.environments import DaskKubernetesEnvironment

def busy(i):
    end = time.monotonic() + 0.4
    while time.monotonic() < end:
        pass
    return i

@flow(name="load", environment=DaskKubernetesEnvironment(
    min_workers=1, max_workers=3, on_start=lambda: record("on_start"), on_exit=lambda: record("on_exit")))
def flow(tasks: int = 120):
    record("flow")
    total = sum(dask.compute(*[dask.delayed(busy)(i) for i in range(tasks)]))
    record("flow_end")
    return total
"""
)


@pytest.fixture(scope="module", autouse=True)
def deployments(namespace: Namespace) -> None:
    namespace.apply(deployment("load", LOAD))
    namespace.wait_ready("load")


def test_workers_grow_by_the_autoscaler_compute_and_go(namespace: Namespace) -> None:
    namespace.apply(run("load", "load"))
    namespace.wait_phase("load", "Running", within=60)
    counts: list[int] = []

    def finished() -> dict[str, Any]:
        found = namespace.get("flowrun", "load")
        counts.append(found.get("status", {}).get("workers", {}).get("ready", 0))
        return found

    done = eventually(
        finished, lambda seen: seen.get("status", {}).get("phase") in ("Succeeded", "Failed"), 150, "the load"
    )
    assert done["status"]["phase"] == "Succeeded", done["status"]
    assert done["status"]["result"] == sum(range(120))
    assert done["status"]["workers"]["peak"] >= 2
    assert max(counts) >= 2
    assert counts[0] <= 1
    assert len(done["status"]["workers"]["computed"]) >= 2
    assert recorder.names(namespace, "load") == ["on_start", "flow", "flow_end", "on_exit"]
    left = "daskclusters,daskautoscalers,daskworkergroups,deployments.apps,services"
    eventually(
        lambda: [each["metadata"]["name"] for each in namespace.list(left, "flow-operator.io/run=load")],
        lambda found: not found,
        30,
        "the cluster is gone",
    )


def test_two_runs_have_clusters_of_their_own(namespace: Namespace) -> None:
    namespace.apply(run("left", "load", parameters={"tasks": 3}), run("right", "load", parameters={"tasks": 4}))
    assert [namespace.wait_run(name)["status"]["result"] for name in ("left", "right")] == [3, 6]
    cluster_of = [namespace.get("flowrun", name)["status"]["workers"]["computed"] for name in ("left", "right")]
    assert not set(cluster_of[0]) & set(cluster_of[1])


def test_a_cluster_whose_workers_crash_ends_with_a_reason(namespace: Namespace) -> None:
    broken = {
        "daskKubernetes": {
            "minWorkers": 1,
            "maxWorkers": 1,
            "workerSpec": {"containers": [{"command": ["python3", "-c", "import sys; sys.exit('no licence')"]}]},
        }
    }
    namespace.apply(deployment("crashing", LOAD, environment=broken), run("crashing", "crashing"))
    done = namespace.wait_run("crashing", within=150)
    assert reason(done, "Succeeded") == "WorkerCrashLoop"
    assert "no licence" in done["status"]["diagnosis"]["message"]
    namespace.wait_pods_gone("flow-operator.io/run=crashing,app.kubernetes.io/component=dask", within=45)
