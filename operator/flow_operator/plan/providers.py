"""Which provider a run's Dask cluster has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dask_cluster import DaskClusters
from .dask_pods import Pods

if TYPE_CHECKING:
    from ..api.flow_deployment import DaskKubernetesEnvironment
    from ..api.settings import Settings
    from .clusters import Provider
    from .pinned import Pinned

_PROVIDERS: dict[str, Provider] = {"DaskCluster": DaskClusters(), "Pods": Pods()}


def provider_of(pinned: Pinned) -> Provider | None:
    """Return the provider of a run's cluster, None where it has none."""
    # Runs of a release that knew one provider have pinned none.
    return _PROVIDERS[pinned.dask.provider or "DaskCluster"] if pinned.dask else None


def chosen(wanted: DaskKubernetesEnvironment, settings: Settings) -> DaskKubernetesEnvironment:
    """Return the environment with its provider: its own word, else the chart's."""
    # With Pods the scheduler is a process in the runner pod: there is no pod that a schedulerSpec could describe.
    name = "DaskCluster" if wanted.scheduler_spec is not None else wanted.provider or settings.dask.provider
    return wanted.model_copy(update={"provider": name})


def explained(pinned: Pinned) -> str:
    """Return, for a sentence, why the provider is not the one that might be expected."""
    if pinned.dask and pinned.dask.scheduler_spec is not None:
        return ", by DaskCluster: schedulerSpec is of a pod of the scheduler's own"
    return ""
