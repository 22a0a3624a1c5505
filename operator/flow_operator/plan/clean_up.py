"""What is left of what has ended: the cluster of an attempt goes at once, the pods of a finished run after the TTL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..api import labels
from ..api.flow_run import FINISHED
from . import callbacks, diagnosis, ends, fallback, fence, finalizers, kubernetes_job, pinned
from .times import parse, seconds_since
from .types import Manifest, ObservedRun, Plan, Ref

if TYPE_CHECKING:
    from datetime import datetime

    from ..api.settings import Settings

# dask-kubernetes' timers put kopf's finalizer on its objects, and it guards nothing but these timers. Where its
# controller is gone, nobody takes it off; where it lives, a timer that failed because the rest of the cluster went
# first keeps it for kopf's 60 s (10 of 40 autoscalers, of clusters deleted four at a time). This long we wait for it.
FINALIZER_PATIENCE = 12.0


def clean_up(run: Manifest, seen: ObservedRun, settings: Settings, now: datetime) -> Plan:
    """Return what to delete now and when to look again."""
    dask = leftovers(seen, now, under_way=False)
    expired, ttl = _expired_pods(run, seen, now)
    late = _late_callback(run, seen, settings, now)
    new = _looked_at(run, late.hook if late else None)
    told = {**run, "status": new} if new else run
    wishes = (dask.again_after, ttl, late.again_after if late else None, finalizers.waits(run, now))
    waits = [each for each in wishes if each is not None]
    # What runs on_exit of a run that is let go comes to its end, and then nobody's pod is deleted by `orphans`.
    late_pods = tuple(each for each in seen.fallbacks if not (_let_go(run, now) and _has_begun(each)))
    useless = () if fallback.promised(told.get("status") or {}) else _unended(late_pods)
    return Plan(
        status=new,
        create=late.create if late else (),
        # A Job before its pods: it would make others.
        delete=(*dask.delete, *expired, *_unended_jobs(seen), *_unended(seen.runners), *useless),
        unblock=dask.unblock,
        release=finalizers.done_with(told, seen, now),
        announce=callbacks.announcements(run.get("status") or {}, told.get("status") or {}),
        again_after=min(waits) if waits else None,
    )


def _late_callback(run: Manifest, seen: ObservedRun, settings: Settings, now: datetime) -> fallback.Step | None:
    """Return what is next for an on_exit that was promised: its run ended with its node, or is let go."""
    status = run.get("status") or {}
    hook = fallback.promised(status)
    if hook is None:
        return None
    living = fence.living(seen)
    pins = pinned.read(status)
    step = fallback.Step(hook) if living else fallback.next_step(run, status, pins, seen, settings, now)
    if step.hook["state"] != fallback.PENDING or not _let_go(run, now):
        return step
    why = f"its pod could not be made: {seen.refused}" if seen.refused else "its pod could not be made in time"
    if seen.fallback:  # that has begun is left to its end
        why = f"pod {seen.fallback['metadata']['name']} has not come to its end"
    if living:
        why = "its node says nothing"
    return fallback.Step(fallback.lost(hook, f"the run was deleted, and {why}", now))


def _let_go(run: Manifest, now: datetime) -> bool:
    """Return whether a deleted run waits for nothing any more."""
    return bool(run["metadata"].get("deletionTimestamp")) and finalizers.waits(run, now) is None


def leftovers(seen: ObservedRun, now: datetime, *, under_way: bool) -> Plan:
    """Return what to do about clusters whose attempt is over."""
    dask = [*(() if under_way else cluster_objects(seen)), *seen.earlier]
    blocked, left = stuck_finalizers(dask, now)
    gone = tuple(Ref.of(each) for each in dask if not ends.dying(each))
    return Plan(delete=gone, unblock=blocked, again_after=left)


def cluster_objects(seen: ObservedRun) -> tuple[Manifest, ...]:
    """Return what we have made for the cluster of the current attempt."""
    return (*(each for each in (seen.autoscaler, seen.cluster) if each), *seen.services, *seen.workers)


def _looked_at(run: Manifest, hook: dict[str, Any] | None) -> dict[str, Any] | None:
    """A finished run whose spec was changed (cancelled, too late) was looked at: nobody waits for it for ever."""
    status, generation = run.get("status") or {}, run["metadata"]["generation"]
    if status.get("phase") not in FINISHED and hook is None:
        return None
    conditions = [{**each, "observedGeneration": generation} for each in status.get("conditions", ())]
    new = {**status, "observedGeneration": generation, "conditions": conditions}
    if hook is not None:
        new["hooks"] = fallback.with_hook(status, hook)
    return new if new != status else None


def stuck_finalizers(objects: list[Manifest], now: datetime) -> tuple[tuple[Ref, ...], float | None]:
    """Return dying objects that kopf's finalizer has held longer than our patience, and when it will the next."""
    due: list[Ref] = []
    waits: list[float] = []
    for each in objects:
        deleted = each["metadata"].get("deletionTimestamp")
        if not deleted or labels.KOPF not in each["metadata"].get("finalizers", ()):
            continue
        left = FINALIZER_PATIENCE - seconds_since(deleted, now)
        if left <= 0:
            due.append(Ref.of(each))
        else:
            waits.append(left)
    return tuple(due), min(waits, default=None)


def held(pods: list[Manifest]) -> tuple[Ref, ...]:
    """Return which of some pods only our finalizers hold, of which there is nothing to tell."""
    return tuple(Ref.of(each) for each in pods if finalizers.holds(each) and ends.dying(each))


def orphans(pods: list[Manifest]) -> tuple[Ref, ...]:
    """Return which pods of a run that is gone nobody else will delete."""
    nobodys = [each for each in pods if not each["metadata"].get("ownerReferences") and not ends.dying(each)]
    return tuple(
        Ref.of(each) for each in nobodys if ends.is_over(each) or (_is_fallback(each) and not _has_begun(each))
    )


def _is_fallback(pod: Manifest) -> bool:
    return bool((pod["metadata"].get("labels") or {}).get(labels.COMPONENT) == labels.CALLBACK)


def _has_begun(pod: Manifest) -> bool:
    """Return whether a container of it runs, or has run."""
    states = diagnosis.container_states(pod)
    return any("running" in state or "terminated" in state or each.get("restartCount") for _, state, each in states)


def _unended_jobs(seen: ObservedRun) -> tuple[Ref, ...]:
    return tuple(Ref.of(each) for each in filter(kubernetes_job.may_run, seen.jobs))


def _unended(pods: tuple[Manifest, ...]) -> tuple[Ref, ...]:
    """Pods that never come to an end by themselves: the run has its verdict without them."""
    return tuple(Ref.of(each) for each in pods if not ends.is_over(each) and not ends.dying(each) and not _ending(each))


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
    fallbacks = () if fallback.promised(status) else seen.fallbacks  # on_exit may have begun long after the run's end
    return tuple(Ref.of(each) for each in (*seen.jobs, *seen.runners, *fallbacks) if not ends.dying(each)), None
