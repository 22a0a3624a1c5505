"""Environments: how a flow is run, and what happens before and after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flow_operator.flow.environments.base import Environment
from flow_operator.flow.environments.dask import DaskKubernetesEnvironment
from flow_operator.flow.environments.fargate import FargateTaskEnvironment
from flow_operator.flow.environments.job import KubernetesJobEnvironment
from flow_operator.flow.environments.local import LocalEnvironment
from flow_operator.flow.environments.remote import RemoteEnvironment

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS: dict[str, type[Environment]] = {
    kind.__name__: kind
    for kind in (
        LocalEnvironment,
        RemoteEnvironment,
        DaskKubernetesEnvironment,
        KubernetesJobEnvironment,
        FargateTaskEnvironment,
        Environment,
    )
}

__all__ = [
    "KINDS",
    "DaskKubernetesEnvironment",
    "Environment",
    "FargateTaskEnvironment",
    "KubernetesJobEnvironment",
    "LocalEnvironment",
    "RemoteEnvironment",
    "environment_from",
]


def environment_from(metadata: Mapping[str, Any]) -> Environment:
    """Make an environment of what `serialize()` gave. Unknown fields mean nothing; a custom one reloads as a plain one.

    A stored flow's own environment counts when it runs, not this copy.
    """
    return KINDS.get(str(metadata.get("type")), Environment)._restored(metadata)
