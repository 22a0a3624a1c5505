"""Runs of ticks that are past: the ones a schedule would have started, made later by somebody's wish."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from ..api import labels
from . import ticks
from .schedule import tick_manifest

if TYPE_CHECKING:
    from datetime import datetime

    from ..api.schedule import Schedule
    from .types import Manifest


def ticks_in(schedule: Schedule, first: datetime, last: datetime, most: int) -> list[datetime]:
    """Return the ticks from one moment to another, both included, in order and at most so many."""
    zone = ticks.read_zone(schedule.time_zone)
    return list(islice(ticks.between(schedule.cron, zone, first, last), most))


def run_of(deployment: Manifest, schedule: Schedule, tick: datetime, parameters: dict[str, Any]) -> Manifest:
    """Return the FlowRun of a past tick: that of the schedule, name and all, so that no tick is run twice.

    Its label sets it apart: it takes no part in the schedule's concurrencyPolicy and history limits, or else the limits
    would delete what has just been filled in, and `Replace` would cancel it.
    """
    run = tick_manifest(deployment, tick, {**(schedule.parameters or {}), **parameters})
    run["metadata"]["labels"][labels.BACKFILL] = "true"
    return run
