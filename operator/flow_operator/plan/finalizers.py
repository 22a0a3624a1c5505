"""Our finalizers: a pod stays readable until its verdict is in status, a run until its callbacks are settled.

Only where callbacks are declared: their outcome is what a deletion would lose. Elsewhere it would cost each run a
write more than it may.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import labels
from ..api.flow_run import FINISHED
from .times import seconds_since
from .types import Ref

if TYPE_CHECKING:
    from datetime import datetime

    from .pinned import Pinned
    from .types import Manifest, ObservedRun

# Seconds that a deleted run waits for its callbacks, beyond what they and its flow may take.
DELETION_PATIENCE = 300.0


def of_pods(pinned: Pinned) -> list[str]:
    """Return the finalizers of every pod of a run that runs a callback."""
    return [labels.VERDICT] if pinned.hooks else []


def holds(manifest: Manifest) -> bool:
    """Return whether a finalizer of ours holds an object."""
    return any(each.startswith(f"{labels.GROUP}/") for each in manifest["metadata"].get("finalizers", ()))


def of_run(run: Manifest, pinned: Pinned) -> str:
    """Return the finalizer that a run needs and has not, before a child of it is made."""
    if not pinned.hooks or labels.CALLBACKS in run["metadata"].get("finalizers", ()):
        return ""
    return "" if run["metadata"].get("deletionTimestamp") else labels.CALLBACKS


def waits(run: Manifest, now: datetime) -> float | None:
    """Return the seconds that a deleted run may still wait for its callbacks; None: it does not."""
    deleted = run["metadata"].get("deletionTimestamp")
    if not deleted or not holds(run):
        return None
    bounds = ((run.get("status") or {}).get("pinned") or {}).get("bounds", {})
    grace = bounds.get("stopGraceSeconds", 0) + 2 * bounds.get("callbackTimeoutSeconds", 0)
    left = DELETION_PATIENCE + grace - seconds_since(deleted, now)
    return left if left > 0 else None


def done_with(run: Manifest, seen: ObservedRun, now: datetime) -> tuple[Ref, ...]:
    """Return what our finalizers hold although all is told that they wait for, or the time for it is over."""
    status, meta = run.get("status") or {}, run["metadata"]
    finished = status.get("phase") in FINISHED
    if meta.get("deletionTimestamp") and waits(run, now) is None:
        finished, waiting = True, False
    else:
        waiting = any(each["state"] == "Pending" for each in status.get("hooks", ()))
    over = max((each["number"] for each in status.get("attempts", ())), default=0)
    current = status.get("attempt", 0)
    told = [
        each
        for each in (*seen.runners, *seen.fallbacks)
        if (finished or _attempt(each) <= over) and not (waiting and _attempt(each) == current)
    ]
    settled = [run] if finished and not waiting else []
    return tuple(Ref.of(each) for each in (*told, *settled) if holds(each))


def _attempt(pod: Manifest) -> int:
    return int(pod["metadata"]["labels"].get(labels.ATTEMPT, 0))
