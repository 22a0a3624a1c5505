"""The clocks of a run: how long it may be active, and how long an attempt may take to begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import diagnosis
from .times import parse, seconds_since

if TYPE_CHECKING:
    from ..api.flow_deployment import Diagnosis
    from .case import Case
    from .types import Manifest

# Seconds beyond the pod's grace until the operator ends a pod itself that its kubelet ought to have ended.
KUBELETS_PATIENCE = 10.0
# A node that an autoscaler brings comes within this, or not at all: as long as the cluster autoscaler itself waits.
NODE_ON_ITS_WAY = 900.0


def active_seconds(case: Case) -> int:
    """Return how long the run has been active: all attempts and the pauses between them, not while suspended."""
    active = case.status.get("active", {})
    return int(active.get("spent", 0) + seconds_since(active.get("since"), case.now))


def active_left(case: Case) -> float | None:
    """Return the seconds until the run has been active for too long; None: it may be for ever."""
    limit = case.pinned.bounds.get("activeDeadlineSeconds")
    return None if limit is None else float(limit - active_seconds(case))


def left_for_the_pod(case: Case) -> int | None:
    """Return what activeDeadlineSeconds leaves to the pod of this attempt: the same whenever it is asked."""
    limit, active = case.pinned.bounds.get("activeDeadlineSeconds"), case.status.get("active", {})
    since, began = parse(active.get("since")), parse(case.attempt_began)
    if limit is None or since is None or began is None:
        return limit
    return max(1, int(limit - active.get("spent", 0) - (began - since).total_seconds()))


def enforced_by_the_kubelet(pod: Manifest | None) -> bool:
    """Return whether a kubelet has taken a pod, and so ends it in time."""
    return pod is not None and bool((pod.get("status") or {}).get("startTime"))


def exceeded(case: Case) -> Diagnosis:
    """Return why a run is ended that has been active for too long."""
    waits = case.status.get("diagnosis")
    so = f" It waited: {waits['message']}" if waits else ""
    return diagnosis.diagnosis(
        "DeadlineExceeded",
        f"The run was active for longer than activeDeadlineSeconds "
        f"({case.pinned.bounds['activeDeadlineSeconds']} s) allows.{so}",
        "Raise activeDeadlineSeconds, or make the flow faster.",
    )
