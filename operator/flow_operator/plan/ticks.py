"""Ticks of cron lines in a time zone: the first one after a moment, and the last one up to another.

Where clocks change, a line follows Debian's cron. One that names its minute and hour (`30 2 * * *`) runs once a day:
at the first minute there is if its time is skipped, at the first of two if its time comes twice. One that begins its
minute or hour with a star runs by what the clock shows: never in the skipped hour, in both hours of a doubled one.
"""

from __future__ import annotations

import heapq
from datetime import UTC, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from ..api.schedule import SHORTHANDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime, tzinfo


class Unreadable(ValueError):
    """A cron line or a time zone that cannot be understood; the message names it."""


def read_zone(name: str) -> tzinfo:
    """Return a time zone by its IANA name.

    Raises:
        Unreadable: there is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise Unreadable(f"timeZone {name!r} is not in the IANA time zone database") from None


def check_line(line: str, now: datetime) -> None:
    """Check a cron line.

    Raises:
        Unreadable: it does not parse, or it has no tick.
    """
    try:
        CronSim(_expand(line), now)
    except CronSimError as error:
        said = str(error).removeprefix("Bad ").lower()
        raise Unreadable(f"cron line {line!r} cannot be read: {said}") from None
    if following(line, UTC, now) is None:
        raise Unreadable(f"cron line {line!r} names a day that never comes")


def _expand(line: str) -> str:
    return SHORTHANDS.get(line, line)


def stream(line: str, zone: tzinfo, after: datetime) -> Iterator[datetime]:
    """Yield the ticks after a moment, in UTC."""
    last = after.astimezone(UTC)
    for tick in CronSim(_expand(line), last.astimezone(zone)):
        moment = tick.astimezone(UTC)
        shown = moment.astimezone(zone).replace(tzinfo=None)
        # cronsim steps by the wall clock: in the second of two equal hours it may find a tick of the first, and where
        # midnight is skipped it stops at that midnight, when the clock shows 1:00.
        if moment > last and (shown == tick.replace(tzinfo=None) or _says(line, shown)):
            last = moment
            yield moment


def _says(line: str, shown: datetime) -> bool:
    """Return whether a line has a tick where the clock shows this."""
    return next(CronSim(_expand(line), shown - timedelta(seconds=1)), None) == shown


def following(line: str, zone: tzinfo, after: datetime) -> datetime | None:
    """Return the first tick after a moment, or None where there is none within fifty years."""
    return next(stream(line, zone, after), None)


def latest(line: str, zone: tzinfo, after: datetime, until: datetime) -> datetime | None:
    """Return the last tick after one moment and up to another; by halving, however many there are between."""
    low, high = following(line, zone, after), until
    if low is None or low > until:
        return None
    while (step := following(line, zone, low)) is not None and step <= until:
        middle = low + (high - low) / 2
        found = following(line, zone, middle)
        if found is not None and found <= until:
            low = found
        else:
            low, high = step, middle
    return low


def between(lines: Iterable[str], zone: tzinfo, first: datetime, last: datetime) -> Iterator[datetime]:
    """Yield the moments that have a tick of any line, from one moment to another, both included."""
    just_before, previous = first.astimezone(UTC) - timedelta(microseconds=1), None
    for tick in heapq.merge(*(stream(each, zone, just_before) for each in lines)):
        if tick > last:
            return
        if tick != previous:
            yield tick
        previous = tick


def first_of(lines: Iterable[str], zone: tzinfo, after: datetime) -> datetime | None:
    """Return the first tick of any line after a moment."""
    found = (following(each, zone, after) for each in lines)
    return min((each for each in found if each), default=None)


def last_of(lines: Iterable[str], zone: tzinfo, after: datetime, until: datetime) -> datetime | None:
    """Return the last tick of any line after one moment and up to another."""
    found = (latest(each, zone, after, until) for each in lines)
    return max((each for each in found if each), default=None)


def count(lines: Iterable[str], zone: tzinfo, after: datetime, before: datetime, most: int) -> int:
    """Return how many moments between two have a tick, counted up to a number for each line."""
    moments: set[datetime] = set()
    for line in lines:
        for number, tick in enumerate(stream(line, zone, after)):
            if tick >= before or number == most:
                break
            moments.add(tick)
    return min(len(moments), most)
