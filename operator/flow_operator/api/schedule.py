"""When a FlowDeployment starts runs by itself: the words of a CronJob, with several lines."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from .model import FreeObject, Model, Text, rule, rules

# What cron calls its shorthands; everything else has five fields.
SHORTHANDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

CronLine = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=128,
        pattern=rf"^({'|'.join(SHORTHANDS)}|[0-9A-Za-z*/,#-]+( +[0-9A-Za-z*/,#-]+){{4}})$",
    ),
]
TimeZone = Annotated[
    str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$")
]
ConcurrencyPolicy = Literal["Allow", "Forbid", "Replace"]


class Schedule(Model):
    """Starts runs by the clock."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            # The API server reads the zone with its own tz database: an unknown one is an evaluation error.
            rule(
                "self.timeZone != 'Local' && timestamp('2000-06-01T00:00:00Z').getFullYear(self.timeZone) == 2000",
                "timeZone must be a name of the IANA time zone database, such as Europe/Berlin or UTC",
            )
        )
    )

    cron: Annotated[list[CronLine], Field(min_length=1, max_length=16)] = Field(
        description="Cron lines of five fields, or @hourly, @daily, @weekly, @monthly, @yearly; a run starts whenever "
        "one of them says so."
    )
    time_zone: TimeZone = Field(
        default="UTC", description="Time zone of the lines, by its name in the IANA database, such as Europe/Berlin."
    )
    concurrency_policy: ConcurrencyPolicy = Field(
        default="Forbid",
        description="What happens while an earlier run of the schedule has not ended. Forbid: the tick is skipped. "
        "Allow: another run starts. Replace: the earlier run is cancelled first.",
    )
    suspend: bool = Field(
        default=False, description="No ticks while true, and none made up afterwards. Runs under way are not touched."
    )
    starting_deadline_seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = Field(
        default=None, description="A run that cannot start within this time after its tick is not started any more."
    )
    successful_runs_history_limit: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=3, description="How many succeeded runs of the schedule are kept."
    )
    failed_runs_history_limit: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=1, description="How many failed or cancelled runs of the schedule are kept."
    )
    parameters: FreeObject | None = Field(
        default=None, description="Parameters of scheduled runs; they win over the deployment's, key by key."
    )


class ScheduleStatus(Model):
    """What the operator remembers of a schedule between two ticks."""

    inputs: Text | None = Field(default=None, description="Hash of cron, timeZone and suspend.")
    handled: Text | None = Field(
        default=None, description="Ticks up to this moment were started or skipped, or are of another schedule."
    )


__all__ = ["SHORTHANDS", "ConcurrencyPolicy", "Schedule", "ScheduleStatus"]
