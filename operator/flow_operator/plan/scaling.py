"""How many workers a run should have, by what its scheduler says: more at once, fewer late, and never fewer blind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from ..api.flow_deployment import DaskKubernetesEnvironment
    from .types import Heard

# Seconds for which the scheduler must have wanted fewer, before any of them goes.
WINDOW = 10.0
# Seconds after which what it said counts no more.
FRESH = 5.0
# Seconds of silence after which a run without workers gets one: it might wait for it.
SILENCE = 20.0


@dataclass(frozen=True)
class Scale:
    """What to change; all 0: nothing."""

    make: int = 0
    drop: int = 0  # of those that have not registered: nothing is on them
    retire: int = 0  # of those that have: the scheduler chooses, and moves their data first


def scale(wanted: DaskKubernetesEnvironment, starting: int, working: int, heard: Heard | None, now: datetime) -> Scale:
    """Return what to change about the workers that are starting (made, not registered) and working."""
    there = starting + working
    fresh = heard is not None and heard.at is not None and (now - heard.at).total_seconds() <= FRESH
    target = heard.target if heard and fresh else None
    goal = _within(wanted, there if target is None else target)
    if goal == 0 and heard and not fresh and (now - (heard.at or heard.since)).total_seconds() > SILENCE:
        goal = 1
    if goal > there:
        return Scale(make=goal - there)
    lowest = heard.most_wanted if heard and fresh else None
    surplus = there - max(goal, there if lowest is None else _within(wanted, lowest))
    if surplus <= 0:
        return Scale()
    drop = min(surplus, starting)
    return Scale(drop=drop, retire=surplus - drop)


def _within(wanted: DaskKubernetesEnvironment, count: int) -> int:
    return max(wanted.min_workers, min(count, wanted.max_workers))
