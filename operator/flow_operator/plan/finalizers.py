"""Our finalizers: a pod stays readable until its verdict is in status, a run until its callbacks are settled.

Only where callbacks are declared: their outcome is what a deletion would lose. Elsewhere it would cost each run a
write more than it may.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import labels
from ..api.flow_run import FINISHED
from .types import Ref

if TYPE_CHECKING:
    from .pinned import Pinned
    from .types import Manifest, ObservedRun


def of_pods(pinned: Pinned) -> list[str]:
    """Return the finalizers of every pod of a run that runs a callback."""
    return [labels.VERDICT] if pinned.hooks else []


def holds(manifest: Manifest) -> bool:
    """Return whether a finalizer of ours holds an object."""
    return any(each.startswith(f"{labels.GROUP}/") for each in manifest["metadata"].get("finalizers", ()))


def done_with(run: Manifest, seen: ObservedRun) -> tuple[Ref, ...]:
    """Return what our finalizers hold although all is told that they wait for."""
    status = run.get("status") or {}
    over = max((each["number"] for each in status.get("attempts", ())), default=0)
    told = status.get("phase") in FINISHED or run["metadata"].get("deletionTimestamp")
    return tuple(Ref.of(each) for each in seen.runners if holds(each) and (told or _attempt(each) <= over))


def _attempt(pod: Manifest) -> int:
    return int(pod["metadata"]["labels"].get(labels.ATTEMPT, 0))
