"""How a flow is run: in one pod (`RemoteEnvironment`, the default), on a Dask cluster, in a Job or task of yours."""

from flow_operator.flow.environments import (
    DaskKubernetesEnvironment,
    Environment,
    FargateTaskEnvironment,
    KubernetesJobEnvironment,
    LocalEnvironment,
    RemoteEnvironment,
)

__all__ = [
    "DaskKubernetesEnvironment",
    "Environment",
    "FargateTaskEnvironment",
    "KubernetesJobEnvironment",
    "LocalEnvironment",
    "RemoteEnvironment",
]
