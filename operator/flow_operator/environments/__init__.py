"""How a flow is run: `RemoteEnvironment` (one pod; the default) or `DaskKubernetesEnvironment` (a Dask cluster)."""

from flow_operator.flow.environments import DaskKubernetesEnvironment, RemoteEnvironment

__all__ = ["DaskKubernetesEnvironment", "RemoteEnvironment"]
