"""The grammar of status: set, summarise, and tell what changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..api import conditions as words
from .times import stamp
from .types import Announcement

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

Condition = dict[str, Any]
MAX_MESSAGE = 2000


class Conditions:
    """The conditions of one object while a new status is being made of the old one."""

    def __init__(self, old: Sequence[Condition], generation: int, now: datetime) -> None:
        self._by_type = {each["type"]: dict(each) for each in old}
        self._generation = generation
        self._now = stamp(now)

    def set(self, kind: str, status: str, reason: str, message: str) -> None:
        """State a fact. The transition time moves only with the status."""
        if status == "False" and kind in words.ABSENT_WHEN_FALSE:
            self._by_type.pop(kind, None)
            return
        old = self._by_type.get(kind)
        moved = old is None or old["status"] != status
        self._by_type[kind] = {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message if len(message) <= MAX_MESSAGE else f"{message[: MAX_MESSAGE - 1]}…",
            "lastTransitionTime": self._now if moved or old is None else old["lastTransitionTime"],
            "observedGeneration": self._generation,
        }

    def drop(self, kind: str) -> None:
        """Say nothing of a kind any more."""
        self._by_type.pop(kind, None)

    def working(self, reason: str, message: str) -> None:
        """Say that we are at it: Reconciling, not Ready, not Stalled."""
        self.set(words.READY, "False", reason, message)
        self.set(words.RECONCILING, "True", reason, message)
        self.set(words.STALLED, "False", reason, message)

    def stuck(self, reason: str, message: str) -> None:
        """Say that a person must act: Stalled, not Ready, not Reconciling."""
        self.set(words.READY, "False", reason, message)
        self.set(words.RECONCILING, "False", reason, message)
        self.set(words.STALLED, "True", reason, message)

    def done(self, reason: str, message: str) -> None:
        """Say that all is as wished: Ready, neither Reconciling nor Stalled."""
        self.set(words.READY, "True", reason, message)
        self.set(words.RECONCILING, "False", reason, message)
        self.set(words.STALLED, "False", reason, message)

    def status(self, kind: str) -> str | None:
        """Return True, False or Unknown, or None where nothing is said."""
        found = self._by_type.get(kind)
        return found["status"] if found else None

    def to_list(self) -> list[Condition]:
        """Return them in their fixed order; every one speaks of the current generation."""
        rank = {kind: place for place, kind in enumerate(words.ORDER)}
        ordered = sorted(self._by_type.values(), key=lambda each: rank.get(each["type"], len(rank)))
        return [{**each, "observedGeneration": self._generation} for each in ordered]


def find(status: dict[str, Any], kind: str) -> Condition | None:
    """Return one condition of a status."""
    return next((each for each in status.get("conditions", ()) if each["type"] == kind), None)


def is_true(status: dict[str, Any], kind: str) -> bool:
    """Return whether a condition is there and True."""
    found = find(status, kind)
    return found is not None and found["status"] == "True"


def _told(status: dict[str, Any]) -> tuple[Any, ...]:
    """Return what of a status is announced; a run may fail for the very reason it waited for."""
    ready = find(status, words.READY) or {}
    return ready.get("reason"), ready.get("status"), is_true(status, words.STALLED)


def announcements(old: dict[str, Any], new: dict[str, Any]) -> tuple[Announcement, ...]:
    """Return the events between two statuses: one where Ready ends a story, or a person must act."""
    after = find(new, words.READY)
    if after is None or _told(old) == _told(new):
        return ()
    if after["status"] == "True":
        return (Announcement("Normal", after["reason"], after["message"]),)
    if is_true(new, words.STALLED):
        wished = after["reason"] in ("Cancelled", "Replaced", "Deleted")
        return (Announcement("Normal" if wished else "Warning", after["reason"], after["message"]),)
    return ()
