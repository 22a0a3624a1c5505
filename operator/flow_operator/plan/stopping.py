"""A run that is to stop before its flow ends: who wishes it, and what is done to its pod."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from . import diagnosis
from .types import Manifest, ObservedRun, Ref

if TYPE_CHECKING:
    from ..api.flow_deployment import Diagnosis
    from ..api.flow_run import FlowRunSpec

# Seconds that `cancel: Now` leaves. Not 0: the API server would forget the pod while the flow may still run.
NOW_GRACE = 1


@dataclass(frozen=True)
class Wish:
    """That a run stops, and by whom."""

    outcome: Literal["Cancelled", "Suspended"]
    reason: str  # of the conditions
    by: str  # for the message
    now: bool

    def diagnosis(self, how: str) -> Diagnosis:
        """Return what a person is told about the end."""
        if self.outcome == "Suspended":
            said, remedy = "suspended", "Set spec.suspend to false, and the flow runs again in another attempt."
        else:
            said, remedy = "cancelled", "Create another FlowRun to run the flow again."
        return diagnosis.diagnosis(self.reason, f"The run was {said} {how}: {self.by}.", remedy)


def wish(spec: FlowRunSpec, seen: ObservedRun, *, deleted: bool = False) -> Wish | None:
    """Return the wish that a run stops, if anybody has it. An end is more than a pause."""
    if spec.cancel:
        return Wish("Cancelled", "Cancelled", f"spec.cancel is {spec.cancel}", spec.cancel == "Now")
    if deleted:
        return Wish("Cancelled", "Deleted", "it was deleted", now=False)
    if seen.replaced_by:
        return Wish("Cancelled", "Replaced", f"FlowRun {seen.replaced_by} of its schedule replaces it", now=False)
    if spec.suspend:
        return Wish("Suspended", "Suspended", "spec.suspend is true", now=False)
    return None


def stop(pod: Manifest, *, now: bool) -> tuple[Ref, ...]:
    """Return the pod to delete, and with which grace; nothing where it is dying fast enough."""
    meta = pod["metadata"]
    dying = meta.get("deletionTimestamp") is not None
    if not now:
        return () if dying else (Ref.of(pod),)
    if dying and meta.get("deletionGracePeriodSeconds", 0) <= NOW_GRACE:
        return ()
    return (replace(Ref.of(pod), grace=NOW_GRACE),)
