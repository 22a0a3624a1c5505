"""The run's own Dask cluster: dask-kubernetes' DaskCluster and DaskAutoscaler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import labels
from . import dask_health, names
from .clusters import Counts, Provider
from .dask_specs import DASK_COMPONENT, HTTP_PORT, SCHEDULER_PORT, scheduler_spec, worker_spec

if TYPE_CHECKING:
    from datetime import datetime

    from ..api import wire
    from ..api.flow_deployment import DaskKubernetesEnvironment
    from ..api.settings import Settings
    from .clusters import Attempt
    from .pinned import Pinned
    from .types import Manifest, ObservedRun

API_VERSION = "kubernetes.dask.org/v1"


class DaskClusters(Provider):
    """dask-kubernetes makes scheduler and workers, and its autoscaler scales them."""

    def children(self, of: Attempt, settings: Settings) -> list[Manifest]:
        """Return the DaskCluster, and the DaskAutoscaler unless the number of workers is fixed."""
        cluster = dask_cluster(of.run, of.pinned, of.number, settings)
        if of.dask.min_workers == of.dask.max_workers:
            return [cluster]
        return [cluster, dask_autoscaler(of.run, of.pinned, of.number)]

    def executor(self, of: Attempt) -> wire.ExecutorSpec:
        """Return what the runner is told."""
        return {
            "kind": "Dask",
            "address": f"tcp://{of.scheduler_host}:{SCHEDULER_PORT}",
            "minWorkers": of.dask.min_workers,
            "connectTimeoutSeconds": of.pinned.pre_running_deadline,
        }

    def usable(self, seen: ObservedRun, wanted: DaskKubernetesEnvironment, now: datetime) -> bool:  # noqa: ARG002
        """Return whether the flow can begin: a scheduler that is ready, and a worker unless none was asked for."""
        return dask_health.usable(seen, wanted)

    def count(self, seen: ObservedRun, wanted: DaskKubernetesEnvironment, now: datetime) -> Counts:  # noqa: ARG002
        """Return how many workers there should be and are."""
        ready = sum(map(dask_health.is_ready, dask_health.workers(seen)))
        return Counts(desired=dask_health.count_deployments(seen), ready=ready)


def dask_cluster(run: Manifest, pinned: Pinned, attempt: int, settings: Settings) -> Manifest:
    """Return the DaskCluster of one attempt: scheduler and the workers it begins with."""
    assert pinned.dask is not None, "only a daskKubernetes run has a cluster"  # noqa: S101
    meta = run["metadata"]
    name = names.dask_cluster(meta["name"], meta["uid"], attempt)
    return {
        "apiVersion": API_VERSION,
        "kind": "DaskCluster",
        "metadata": _metadata(run, name, attempt),
        "spec": {
            "scheduler": {
                "spec": _always(scheduler_spec(pinned, settings)),
                "service": {
                    "type": "ClusterIP",
                    # The runner may look for it before it is ready, and connects the moment it listens.
                    "publishNotReadyAddresses": True,
                    "selector": {"dask.org/cluster-name": name, DASK_COMPONENT: "scheduler"},
                    "ports": [
                        {
                            "name": "tcp-comm",
                            "protocol": "TCP",
                            "port": SCHEDULER_PORT,
                            "targetPort": "tcp-comm",
                        },
                        {
                            "name": "http-dashboard",
                            "protocol": "TCP",
                            "port": HTTP_PORT,
                            "targetPort": "http-dashboard",
                        },
                    ],
                },
            },
            "worker": {"replicas": pinned.dask.min_workers, "spec": _always(worker_spec(pinned, settings))},
        },
    }


def _always(spec: Manifest) -> Manifest:
    """Return a PodSpec with the only restartPolicy that a Deployment takes: one from a Job's file has another."""
    return {**spec, "restartPolicy": "Always"} if "restartPolicy" in spec else spec


def dask_autoscaler(run: Manifest, pinned: Pinned, attempt: int) -> Manifest:
    """Return the DaskAutoscaler that holds the workers between the bounds."""
    assert pinned.dask is not None, "only a daskKubernetes run has a cluster"  # noqa: S101
    meta = run["metadata"]
    name = names.dask_cluster(meta["name"], meta["uid"], attempt)
    return {
        "apiVersion": API_VERSION,
        "kind": "DaskAutoscaler",
        "metadata": _metadata(run, name, attempt),
        "spec": {"cluster": name, "minimum": pinned.dask.min_workers, "maximum": pinned.dask.max_workers},
    }


def _metadata(run: Manifest, name: str, attempt: int) -> Manifest:
    meta = run["metadata"]
    return {
        "name": name,
        "namespace": meta["namespace"],
        # dask-kubernetes copies these to every Deployment, Service and pod of the cluster.
        "labels": names.run_labels(meta["name"], meta["uid"], attempt, labels.DASK),
        "ownerReferences": [names.owner("FlowRun", meta["name"], meta["uid"])],
    }
