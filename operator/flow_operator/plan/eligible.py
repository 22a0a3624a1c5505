"""Which operator takes which run: its labels must include all of the run's environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..api.flow_deployment import parse_spec
from . import diagnosis
from .conditions import find
from .times import seconds_since

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from ..api.flow_deployment import Diagnosis
    from ..api.settings import Settings
    from .types import Manifest

# Seconds an object that is another operator's may be without a word: that one takes it within a second, if it is there.
PATIENCE = 30.0


def takes(offered: Iterable[str], wanted: Iterable[str] | None) -> bool:
    """Return whether an operator takes a run; one without labels goes only to an operator without.

    None: what the run wants is not known yet. Then anybody may say so, and nobody can begin it.
    """
    if wanted is None:
        return True
    return set(wanted) <= set(offered) if set(wanted) else not set(offered)


def began(settings: Settings, run: Manifest) -> bool:
    """Return whether this very operator began a run: it stays with it, whatever becomes of its labels."""
    pinned = (run.get("status") or {}).get("pinned") or {}
    return bool(pinned.get("operator") == settings.identity)


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


def silence(manifest: Manifest, now: datetime, *stale: str) -> float | None:
    """Return the seconds until somebody ought to say that nobody takes an object; None: somebody speaks for it.

    `stale`: reasons that were given before its labels were known, and are not true any more.
    """
    status = manifest.get("status") or {}
    said = find(status, "Ready")
    if manifest["metadata"].get("deletionTimestamp") or status.get("attempt") or (said and said["reason"] not in stale):
        return None
    return PATIENCE - seconds_since(manifest["metadata"]["creationTimestamp"], now)


def nobody(what: str, wanted: Iterable[str]) -> Diagnosis:
    """Return what anybody may say of an object that no operator has taken; the same, whoever says it."""
    labels = ", ".join(sorted(set(wanted)))
    wish = f"with the labels {labels}" if labels else "without labels"
    return diagnosis.diagnosis(
        "NoOperator",
        f"No operator has taken the {what}: it goes only to one {wish}.",
        "Change spec.environment.labels of the FlowDeployment, or have an operator that offers them (the chart's value "
        "`labels`); it is taken as soon as there is one.",
    )
