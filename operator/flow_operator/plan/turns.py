"""Whose turn it is to build: an operator builds so many images at once, and who waits longest is next.

A new release of the operator changes the base of most images. Without a limit all of them would be built again at the
same moment. Only statuses are counted, and status is told before a pod is made: no crash loses a place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import conditions as words
from . import eligible
from .conditions import find

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..api.settings import Settings
    from .types import Manifest

BUILDING, QUEUED = "Building", "Queued"

_SOON, _LATE = 2.0, 30.0  # seconds until one who waits looks again: the next in line, and the last of many


def is_of_interest(deployment: Manifest) -> bool:
    """Return whether a deployment builds or waits for its turn: the store keeps those at hand."""
    return _state(deployment) in (BUILDING, QUEUED)


def too_many(deployment: Manifest, others: Iterable[Manifest], settings: Settings) -> int:
    """Return how many builds must end before this one may begin; 0: it is its turn, or it has begun."""
    if _state(deployment) == BUILDING:
        return 0
    mine = _place(deployment)
    ahead = [
        each
        for each in others
        if each["metadata"]["uid"] != deployment["metadata"]["uid"]
        and not each["metadata"].get("deletionTimestamp")  # nobody decides on it again: it would keep its place
        and eligible.attends(settings.labels, each)
        and (_state(each) == BUILDING or (_state(each) == QUEUED and _place(each) < mine))
    ]
    return max(0, len(ahead) + 1 - settings.builder.at_once)


def look_again(too_many: int, at_once: int) -> float:
    """Return the seconds until one who waits looks again: a long queue must not keep the operator busy."""
    return min(_LATE, _SOON + too_many / at_once)


def _state(deployment: Manifest) -> str:
    built = find(deployment.get("status") or {}, words.BUILT)
    return str(built["reason"]) if built and built["status"] == "Unknown" else ""


def _place(deployment: Manifest) -> tuple[bool, str, str]:
    """Return what to sort by: who waits already comes first, by how long."""
    built = find(deployment.get("status") or {}, words.BUILT)
    waits = _state(deployment) == QUEUED
    return not waits, built["lastTransitionTime"] if built and waits else "", deployment["metadata"]["uid"]
