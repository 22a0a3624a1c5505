"""Which operator takes which run: its labels must include all of the run's environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..api.flow_deployment import parse_spec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .types import Manifest


def takes(offered: Iterable[str], wanted: Iterable[str] | None) -> bool:
    """Return whether an operator takes a run; one without labels goes only to an operator without.

    None: what the run wants is not known yet. Then anybody may say so, and nobody can begin it.
    """
    if wanted is None:
        return True
    return set(wanted) <= set(offered) if set(wanted) else not set(offered)


def attends(offered: Iterable[str], deployment: Manifest) -> bool:
    """Return whether an operator builds a deployment and keeps its schedule.

    Labels that the flow's Python declares are known only once it is built, so whoever comes first builds a deployment
    whose resource says nothing: the names of its children are the same for all.
    """
    environment = deployment["spec"].get("environment") or {}
    wanted = environment.get("labels") or ()
    return not wanted or takes(offered, wanted)


def wanted_by(run: Manifest, deployment: Manifest | None) -> list[str] | None:
    """Return the labels of a run's environment: pinned, else the deployment's, else the flow's own, else unknown."""
    status: dict[str, Any] = run.get("status") or {}
    if status.get("attempt"):
        return list(status["environment"].get("labels") or ())
    return None if deployment is None else wanted_by_runs_of(deployment)


def wanted_by_runs_of(deployment: Manifest) -> list[str] | None:
    """Return the labels that the next run of a deployment will have; None: the flow has not said yet."""
    environment = parse_spec(deployment["spec"]).environment
    if environment and environment.labels is not None:
        return list(environment.labels)
    flow = (deployment.get("status") or {}).get("flow")
    return None if flow is None else list((flow.get("environment") or {}).get("labels") or ())
