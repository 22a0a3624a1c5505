"""Whether a run's Dask cluster works: read from its pods, never from the DaskCluster's own status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import diagnosis, ends
from .dask_specs import DASK_COMPONENT
from .times import seconds_since

if TYPE_CHECKING:
    from datetime import datetime

    from ..api.flow_deployment import DaskKubernetesEnvironment, Diagnosis
    from ..api.wire import FlowError
    from .types import Manifest, ObservedRun

# A DaskCluster that nobody has touched for this long has no controller.
CONTROLLER_PATIENCE = 15.0
# What a flow gets whose task has taken a few workers down: distributed does not know why.
KILLED_WORKER = "distributed.scheduler.KilledWorker"


def _role(manifest: Manifest) -> str:
    role: str = manifest["metadata"].get("labels", {}).get(DASK_COMPONENT, "")
    return role


def schedulers(seen: ObservedRun) -> list[Manifest]:
    """Return the scheduler pods."""
    return [each for each in seen.dask_pods if _role(each) == "scheduler"]


def workers(seen: ObservedRun) -> list[Manifest]:
    """Return the worker pods."""
    return [each for each in seen.dask_pods if _role(each) == "worker"]


def is_ready(pod: Manifest) -> bool:
    """Return whether a pod is Ready and is to stay."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and not ends.dying(pod)


def count_deployments(seen: ObservedRun) -> int:
    """Return how many workers dask-kubernetes is to keep: one Deployment each."""
    return sum(1 for each in seen.dask_deployments if _role(each) == "worker" and not ends.dying(each))


def usable(seen: ObservedRun, wanted: DaskKubernetesEnvironment) -> bool:
    """Return whether the flow can begin: a scheduler that is ready, and a worker unless none was asked for."""
    return any(map(is_ready, schedulers(seen))) and (wanted.min_workers == 0 or any(map(is_ready, workers(seen))))


def broken(seen: ObservedRun) -> Diagnosis | None:
    """Return why the cluster will never work, or None."""
    return diagnosis.crash_loop(schedulers(seen), "scheduler", "SchedulerCrashLoop") or diagnosis.crash_loop(
        workers(seen), "worker", "WorkerCrashLoop"
    )


def behind(error: FlowError, seen: ObservedRun) -> Diagnosis | None:
    """Return what is behind an error that Dask has raised in the flow, where the pods of its workers show it."""
    if error.get("type") != KILLED_WORKER:
        return None
    return diagnosis.killed_for_memory(workers(seen), "worker")


def waiting(seen: ObservedRun, now: datetime) -> Diagnosis | None:
    """Return what the cluster waits for, or None where all is well."""
    for pod in seen.dask_pods:
        if why := diagnosis.waiting_for(pod):
            return why
    return diagnosis.replica_failure(seen.dask_deployments) or _no_controller(seen, now)


def _no_controller(seen: ObservedRun, now: datetime) -> Diagnosis | None:
    cluster = seen.cluster
    if cluster is None or seen.dask_deployments or (cluster.get("status") or {}).get("phase"):
        return None
    if seconds_since(cluster["metadata"].get("creationTimestamp"), now) < CONTROLLER_PATIENCE:
        return None
    return no_controller(f"Nothing has acted on DaskCluster {cluster['metadata']['name']}.")


def no_controller(why: str) -> Diagnosis:
    """Return the diagnosis of a missing dask-kubernetes controller."""
    return diagnosis.diagnosis(
        "DaskControllerAbsent",
        f"{why} dask-kubernetes' controller does not run.",
        "Install the chart with daskOperator.install=true, or start the controller you have.",
    )
