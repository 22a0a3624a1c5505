"""Times as Kubernetes writes them."""

from __future__ import annotations

from datetime import UTC, datetime


def stamp(moment: datetime) -> str:
    """Return an RFC 3339 time in UTC, to the second, as metav1.Time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse(text: str | None) -> datetime | None:
    """Read an RFC 3339 time; None stays None."""
    return datetime.fromisoformat(text) if text else None


def seconds_since(text: str | None, now: datetime) -> float:
    """Return the seconds from a time to now; 0 where there is no time."""
    moment = parse(text)
    return (now - moment).total_seconds() if moment else 0.0


def duration(seconds: float) -> str:
    """Return a duration for a person, as kubectl writes ages: 950ms, 12s, 3m20s, 2h5m."""
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))}ms"
    if seconds < 10:
        return f"{seconds:.1f}".rstrip("0").rstrip(".") + "s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m" if minutes else f"{hours}h"
