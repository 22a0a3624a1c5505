"""The fence between two attempts: no pod of an attempt may still run its flow, or its callbacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import ends, kubernetes_job
from .times import seconds_since

if TYPE_CHECKING:
    from datetime import datetime

    from .types import Manifest, ObservedRun

# Seconds after a pod's grace is over until its node is called lost.
NODE_PATIENCE = 60.0
# Seconds beyond its grace period that a node has to report the end of a pod that was deleted by force. A kubelet that
# was stopping the pod already goes on as gently as it began: it does not hear of the force.
FORCED_PATIENCE = 10.0


def living(seen: ObservedRun) -> tuple[Manifest, ...]:
    """Return the pods of a run, of whichever attempt, that may still run something of it; first what makes them."""
    jobs = [each for each in seen.jobs if kubernetes_job.may_run(each)]
    current = () if seen.runner is None or seen.runner_gone or seen.runner in seen.runners else (seen.runner,)
    return (*jobs, *(each for each in (*seen.runners, *current) if may_run(each)))


def may_run(pod: Manifest) -> bool:
    """Return whether anything in a pod may run, now or later."""
    return not (ends.is_over(pod) or _is_called_gone(pod) or ends.everything_ended(pod))


def _is_called_gone(pod: Manifest) -> bool:
    """The kubelet, the pod garbage collector or an administrator has confirmed its end."""
    return ends.dying(pod) and pod["metadata"].get("deletionGracePeriodSeconds") == 0


def patience_left(pod: Manifest, now: datetime) -> float | None:
    """Return the seconds until a dying pod's node is called lost: nobody is there to report its end; None: it lives."""
    deadline = pod["metadata"].get("deletionTimestamp")  # when the grace is over
    return NODE_PATIENCE - seconds_since(deadline, now) if deadline else None


def is_unreported(pod: Manifest) -> bool:
    """Return whether the kubelet that was given a pod has not said how it ended: others may have called it gone."""
    status = pod.get("status") or {}
    told = status.get("reason") or ends.everything_ended(pod) or (ends.is_over(pod) and not is_collected(pod))
    return bool(pod["spec"].get("nodeName")) and not told


def is_collected(pod: Manifest) -> bool:
    """Return whether the pod garbage collector took a pod away, for its node is gone; the phase is that one's then."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each.get("reason") == "DeletionByPodGC" for each in conditions)


def unconfirmed(pod: Manifest, now: datetime) -> float:
    """Return the seconds that a pod deleted by force may still need until its node says that nothing runs."""
    if not _is_called_gone(pod) or not _may_run_unseen(pod):
        return 0.0
    return max(0.0, _grace(pod) + FORCED_PATIENCE - seconds_since(pod["metadata"]["deletionTimestamp"], now))


def unheard(seen: ObservedRun, grace: float, *, begun: bool) -> float:
    """Return the seconds from now that an attempt's pod may still run which is gone without a word of its end.

    Without a finalizer a pod that is deleted by force is gone at once, for all but its node.
    """
    if seen.runner is not None:
        return 0.0  # it is there, or has told its end
    if seen.vanished is None:
        return grace + FORCED_PATIENCE if begun else 0.0
    return _grace(seen.vanished) + FORCED_PATIENCE if _may_run_unseen(seen.vanished) else 0.0


def _may_run_unseen(pod: Manifest) -> bool:
    """Return whether a node had taken a pod, and has not said that nothing of it runs any more."""
    somewhere = pod["spec"].get("nodeName") or (pod.get("status") or {}).get("containerStatuses")
    return bool(somewhere) and not ends.is_over(pod) and not ends.everything_ended(pod)


def _grace(pod: Manifest) -> float:
    return float(pod["spec"].get("terminationGracePeriodSeconds", 30))
