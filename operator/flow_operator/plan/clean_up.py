"""What is left of what has ended: the cluster of an attempt goes at once, the pods of a finished run after the TTL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..api.flow_run import FINISHED
from . import finalizers, kubernetes_job
from .times import parse, seconds_since
from .types import Manifest, ObservedRun, Plan, Ref

if TYPE_CHECKING:
    from datetime import datetime

# dask-kubernetes' timers put kopf's finalizer on its objects. Where its controller is gone, nobody takes it off;
# this long we wait for it: it never needs more than a few seconds while it lives.
FINALIZER_PATIENCE = 12.0


def clean_up(run: Manifest, seen: ObservedRun, now: datetime) -> Plan:
    """Return what to delete now and when to look again."""
    dask = leftovers(seen, now, under_way=False)
    expired, ttl = _expired_pods(run, seen, now)
    waits = [each for each in (dask.again_after, ttl) if each is not None]
    return Plan(
        status=_looked_at(run),
        delete=(*dask.delete, *expired, *_unended(seen)),  # a Job before its pods: it would make others
        unblock=dask.unblock,
        release=finalizers.done_with(run, seen),
        again_after=min(waits) if waits else None,
    )


def leftovers(seen: ObservedRun, now: datetime, *, under_way: bool) -> Plan:
    """Return what to do about clusters whose attempt is over."""
    dask = [*(() if under_way else cluster_objects(seen)), *seen.earlier]
    blocked, left = stuck_finalizers(dask, now)
    gone = tuple(Ref.of(each) for each in dask if not _dying(each))
    return Plan(delete=gone, unblock=blocked, again_after=left)


def cluster_objects(seen: ObservedRun) -> tuple[Manifest, ...]:
    """Return what we have made for the cluster of the current attempt."""
    return (*(each for each in (seen.autoscaler, seen.cluster) if each), *seen.services, *seen.workers)


def _looked_at(run: Manifest) -> dict[str, Any] | None:
    """A finished run whose spec was changed (cancelled, too late) was looked at: nobody waits for it for ever."""
    status, generation = run.get("status") or {}, run["metadata"]["generation"]
    if status.get("phase") not in FINISHED or status.get("observedGeneration") == generation:
        return None
    conditions = [{**each, "observedGeneration": generation} for each in status.get("conditions", ())]
    return {**status, "observedGeneration": generation, "conditions": conditions}


def _dying(manifest: Manifest) -> bool:
    return bool(manifest["metadata"].get("deletionTimestamp"))


def stuck_finalizers(objects: list[Manifest], now: datetime) -> tuple[tuple[Ref, ...], float | None]:
    """Return dying objects whose finalizer outlived our patience, and when the next one will."""
    due: list[Ref] = []
    waits: list[float] = []
    for each in objects:
        deleted = each["metadata"].get("deletionTimestamp")
        if not deleted or not each["metadata"].get("finalizers"):
            continue
        left = FINALIZER_PATIENCE - seconds_since(deleted, now)
        if left <= 0:
            due.append(Ref.of(each))
        else:
            waits.append(left)
    return tuple(due), min(waits, default=None)


def orphans(pods: list[Manifest]) -> tuple[tuple[Ref, ...], tuple[Ref, ...]]:
    """Return which pods of a run that is gone our finalizers hold, and which nobody will delete: nothing is told."""
    held = tuple(Ref.of(each) for each in pods if each["kind"] == "Pod" and finalizers.holds(each) and _dying(each))
    over = tuple(
        Ref.of(each)
        for each in pods
        if each["kind"] == "Pod" and not each["metadata"].get("ownerReferences") and _ended(each) and not _dying(each)
    )
    return held, over


def _ended(pod: Manifest) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _unended(seen: ObservedRun) -> tuple[Ref, ...]:
    """Runner pods that never come to an end by themselves: the run has its verdict without them."""
    unended = (each for each in seen.runners if not _ended(each) and not _dying(each) and not _ending(each))
    return tuple(Ref.of(each) for each in (*filter(kubernetes_job.may_run, seen.jobs), *unended))


def _ending(pod: Manifest) -> bool:
    """Every container has ended; the kubelet is about to say so in the phase."""
    states = (pod.get("status") or {}).get("containerStatuses") or ()
    return bool(states) and all("terminated" in (each.get("state") or {}) for each in states)


def _expired_pods(run: Manifest, seen: ObservedRun, now: datetime) -> tuple[tuple[Ref, ...], float | None]:
    status = run.get("status") or {}
    ttl = (status.get("pinned") or {}).get("bounds", {}).get("ttlSecondsAfterFinished")
    if ttl is None or parse(status.get("completionTime")) is None:
        return (), None
    left = ttl - seconds_since(status["completionTime"], now)
    if left > 0:
        return (), left
    return tuple(Ref.of(each) for each in (*seen.jobs, *seen.runners) if not _dying(each)), None
