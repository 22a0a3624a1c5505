"""When a deployed flow is run by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


class CronSchedule:
    """Times to run at, as cron writes them.

        Flow("squares", schedule=CronSchedule("30 6 * * 1-5", time_zone="Europe/Berlin"))

    Args:
        cron: one or several lines of five fields: minute, hour, day of the month, month, day of the week. The flow is
            run at the times of each of them.
        time_zone: name of the zone the times are meant in, "Europe/Berlin"; UTC where there is none.
    """

    def __init__(self, cron: str | Iterable[str], time_zone: str | None = None) -> None:
        lines = [cron] if isinstance(cron, str) else list(cron)
        if not lines:
            raise ValueError("a schedule needs at least one cron line")
        for line in lines:
            if not isinstance(line, str):
                raise TypeError(f"a cron line is a text, not {line!r}")
            if len(line.split()) != 5:
                raise ValueError(f"cron line {line!r} must have five fields: minute hour day month weekday")
        self.cron = lines
        self.time_zone = time_zone

    def to_resource(self) -> dict[str, Any]:
        """Itself as `spec.schedule` of a FlowDeployment."""
        zone = {"timeZone": self.time_zone} if self.time_zone else {}
        return {"cron": list(self.cron), **zone}

    def serialize(self) -> dict[str, Any]:
        """Itself as metadata."""
        return {"type": "CronSchedule", "cron": list(self.cron), "time_zone": self.time_zone}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CronSchedule) and (self.cron, self.time_zone) == (other.cron, other.time_zone)

    def __hash__(self) -> int:
        return hash((*self.cron, self.time_zone))

    def __repr__(self) -> str:
        zone = f", time_zone={self.time_zone!r}" if self.time_zone else ""
        return f"CronSchedule({self.cron if len(self.cron) > 1 else self.cron[0]!r}{zone})"


def schedule_of(given: CronSchedule | str | Iterable[str] | None) -> CronSchedule | None:
    """What a flow may be given as its schedule: cron lines too."""
    return given if given is None or isinstance(given, CronSchedule) else CronSchedule(given)
