"""The clocks of a run: how long it may be active, and how long an attempt may take to begin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..api import conditions as words
from ..api.flow_deployment import DEFAULT_PRE_RUNNING_DEADLINE
from ..api.flow_run import FINISHED
from . import diagnosis
from .conditions import find
from .times import parse, seconds_since

if TYPE_CHECKING:
    from datetime import datetime

    from ..api.flow_deployment import Diagnosis
    from .case import Case
    from .types import Manifest, ObservedRun

# Seconds beyond the pod's grace until the operator ends a pod itself that its kubelet ought to have ended.
KUBELETS_PATIENCE = 10.0
# A node that an autoscaler brings comes within this, or not at all: as long as the cluster autoscaler itself waits.
NODE_ON_ITS_WAY = 900.0


# What the cluster autoscaler and Karpenter say of a pod for which they bring a node; they say it in Events alone.
BRINGS_A_NODE = ("TriggeredScaleUp", "Nominated")


def waited(case: Case) -> float:
    """Return the seconds that the current attempt has been getting ready; not while a node was on its way to it."""
    total = seconds_since(case.attempt_began, case.now)
    told = case.status.get("scaleUpTime") or case.seen.scale_up
    if told is None:
        return total
    case.status["scaleUpTime"] = told
    scheduled = [_scheduled(each) for each in _pods(case.seen)]
    until = 0.0 if None in scheduled else min((seconds_since(each, case.now) for each in scheduled), default=0.0)
    return total - min(max(seconds_since(told, case.now) - until, 0.0), NODE_ON_ITS_WAY)


def pulling(case: Case) -> float:
    """Return the seconds since a pod whose image cannot be pulled has a node: no image is pulled before."""
    whys = ((each, diagnosis.waiting_for(each)) for each in _pods(case.seen))
    stuck = [each for each, why in whys if why and why.reason == "ImagePullFailed"]
    return max((seconds_since(_scheduled(each) or case.attempt_began, case.now) for each in stuck), default=0.0)


def asks_for_a_node(run: Manifest, seen: ObservedRun, now: datetime) -> tuple[str, ...]:
    """Return the UIDs of pods that no node took for so long that it must be known whether one is on its way."""
    status: dict[str, Any] = run.get("status") or {}
    began = find(status, words.SET_UP)
    over = "ending" in status or status.get("phase") in FINISHED
    if over or began is None or began["status"] != "Unknown" or "scaleUpTime" in status:
        return ()
    limit = status["pinned"].get("bounds", {}).get("preRunningDeadlineSeconds", DEFAULT_PRE_RUNNING_DEADLINE)
    if seconds_since(began["lastTransitionTime"], now) < limit:
        return ()
    return tuple(each["metadata"]["uid"] for each in _pods(seen) if _scheduled(each) is None)


def _pods(seen: ObservedRun) -> tuple[Manifest, ...]:
    return (*([seen.runner] if seen.runner else []), *seen.dask_pods, *seen.workers)


def _scheduled(pod: Manifest) -> str | None:
    """Return when a node took a pod, or None."""
    for each in (pod.get("status") or {}).get("conditions") or ():
        if each["type"] == "PodScheduled" and each["status"] == "True":
            return str(each["lastTransitionTime"])
    return None


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
