"""What a FlowDeployment's schedule asks for: a run for the latest tick, none for the others, and a time to wake.

The run is the record: its name is a function of its tick, so nobody starts a tick twice, and after a crash it is found.
Status only remembers which ticks are dealt with.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC
from typing import TYPE_CHECKING, Any

from ..api import labels
from ..api.flow_run import FINISHED
from . import diagnosis, names, ticks
from .pinned import wrong_parameters
from .times import parse, stamp
from .types import Announcement, Manifest, Ref

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ..api.flow_deployment import Diagnosis, FlowDeploymentSpec
    from ..api.schedule import Schedule

# The fields of a FlowDeployment's status that are the schedule's.
FIELDS = ("lastScheduleTime", "nextScheduleTime", "active", "schedule")
# Missed ticks are counted up to this; only the latest is ever made up.
MANY = 100
# A FlowRun that the API server refuses is asked for again after this long, until the next tick.
REFUSED_RETRY = 10.0
# Somebody may set the clock: no sleep is longer than this.
LONGEST_SLEEP = 3600.0
MOST_ACTIVE = 64


@dataclass(frozen=True)
class Agenda:
    """What to say and do about a schedule."""

    fields: dict[str, Any] = field(default_factory=dict)
    condition: tuple[str, str, str] | None = None  # status, reason, message of Scheduled; None: there is no schedule
    create: tuple[Manifest, ...] = ()
    delete: tuple[Ref, ...] = ()
    announce: tuple[Announcement, ...] = ()
    again_after: float | None = None


def wrong(spec: FlowDeploymentSpec, flow: dict[str, Any] | None, now: datetime) -> Diagnosis | None:
    """Return why the schedule can start no run, or None. What the flow takes is known once it was loaded."""
    if spec.schedule is None:
        return None
    try:
        ticks.read_zone(spec.schedule.time_zone)
        for line in spec.schedule.cron:
            ticks.check_line(line, now)
    except ticks.Unreadable as error:
        return diagnosis.diagnosis(
            "ScheduleInvalid",
            f"The schedule starts no run: {error}.",
            "Correct spec.schedule; cron lines have five fields (minute, hour, day of month, month, day of week).",
        )
    misfit = wrong_parameters(flow, {**spec.parameters, **(spec.schedule.parameters or {})}) if flow else None
    if misfit is None:
        return None
    return diagnosis.diagnosis(
        "ParametersInvalid",
        f"The schedule starts no run: {misfit.message}",
        "Correct spec.schedule.parameters or spec.parameters.",
    )


def attend(
    deployment: Manifest,
    spec: FlowDeploymentSpec,
    status: dict[str, Any],
    runs: Sequence[Manifest],
    refused: str | None,
    now: datetime,
    *,
    ready: bool,
) -> Agenda:
    """Return what to do about a deployment's schedule. Until the deployment is Ready, a tick waits for it."""
    own = [each for each in runs if not was_backfilled(each)]
    active = [each["metadata"]["name"] for each in _by_tick(own) if _phase(each) not in FINISHED]
    kept = {key: status[key] for key in ("lastScheduleTime",) if key in status}
    told: dict[str, Any] = {**kept, **({"active": active[-MOST_ACTIVE:]} if active else {})}
    schedule = spec.schedule
    if schedule is None:
        return Agenda(fields=told)
    handled = _handled(deployment, schedule, status.get("schedule") or {}, runs, now)
    told["schedule"] = {"inputs": _inputs(schedule), "handled": stamp(handled)}
    started = _newly_started(own, status.get("lastScheduleTime"))
    if started:
        told["lastScheduleTime"] = started[-1]["metadata"]["annotations"][labels.SCHEDULED_AT]
    known = Agenda(fields=told, delete=_surplus(schedule, own), announce=tuple(_started(each) for each in started))
    if why := wrong(spec, status.get("flow"), now):
        return replace(known, condition=("False", why.reason, diagnosis.sentence(why)))
    if schedule.suspend:
        return replace(known, condition=("False", "Suspended", "The schedule is suspended: spec.schedule.suspend."))
    return _keep(deployment, schedule, known, active, handled, refused, now, ready)


def _keep(
    deployment: Manifest,
    schedule: Schedule,
    known: Agenda,
    active: list[str],
    handled: datetime,
    refused: str | None,
    now: datetime,
    ready: bool,
) -> Agenda:
    zone = ticks.read_zone(schedule.time_zone)
    upcoming = ticks.first_of(schedule.cron, zone, now)
    lines = ", ".join(repr(each) for each in schedule.cron)
    agenda = replace(
        known,
        condition=("True", "Scheduled", f"Runs start at {lines} ({schedule.time_zone})."),
        again_after=min((upcoming - now).total_seconds(), LONGEST_SLEEP) if upcoming else None,
    )
    if upcoming:
        agenda.fields["nextScheduleTime"] = stamp(upcoming)
    due = ticks.last_of(schedule.cron, zone, handled, now)
    if due is None:
        return agenda
    late = (now - due).total_seconds()
    limit = schedule.starting_deadline_seconds
    if limit is not None and late > limit:
        why = f"it was {late:.0f} s late, more than startingDeadlineSeconds ({limit})"
        return _skip(agenda, due, Announcement("Warning", "TickMissed", f"No run for the tick of {stamp(due)}: {why}."))
    if schedule.concurrency_policy == "Forbid" and active:
        why = f"{active[-1]} has not ended (concurrencyPolicy: Forbid)"
        return _skip(agenda, due, Announcement("Normal", "TickSkipped", f"No run for the tick of {stamp(due)}: {why}."))
    agenda.fields["nextScheduleTime"] = stamp(due)  # until its run is there
    if not ready:
        return agenda  # the latest tick is made up once the deployment is Ready
    agenda = replace(agenda, create=(run_of(deployment, schedule, due),))
    if missed := ticks.count(schedule.cron, zone, handled, due, MANY):
        many = f"at least {MANY}" if missed == MANY else str(missed)
        said = f"{many} earlier ticks since {stamp(handled)} have no run: only the latest is made up."
        agenda = replace(agenda, announce=(*agenda.announce, Announcement("Warning", "TickMissed", said)))
    if refused:
        said = f"The API server does not take the run of the tick of {stamp(due)}: {refused}"
        again = min(REFUSED_RETRY, agenda.again_after or REFUSED_RETRY)
        return replace(agenda, condition=("False", "RunRefused", said), again_after=again, announce=known.announce)
    return agenda


def _skip(agenda: Agenda, tick: datetime, said: Announcement) -> Agenda:
    agenda.fields["schedule"]["handled"] = stamp(tick)
    return replace(agenda, announce=(*agenda.announce, said))


def _inputs(schedule: Schedule) -> str:
    return names.digest(schedule.time_zone, str(schedule.suspend), *schedule.cron)[:16]


def _handled(
    deployment: Manifest, schedule: Schedule, remembered: dict[str, Any], runs: Sequence[Manifest], now: datetime
) -> datetime:
    """Return up to when ticks are dealt with, by what status says and by the runs there are.

    A schedule that was set, changed or resumed begins now: it makes up nothing of the time before.
    """
    if remembered.get("inputs") == _inputs(schedule) and (moment := parse(remembered.get("handled"))):
        # Never in the future: a clock that was wrong, or an edited annotation, must not silence a schedule for years.
        present = now.astimezone(UTC)
        return max([min(moment, present), *(tick for tick in map(_tick, runs) if tick <= present)])
    born = parse(deployment["metadata"].get("creationTimestamp"))
    first_look = not remembered and deployment["metadata"]["generation"] == 1
    return born if first_look and born else now.astimezone(UTC)


def _newly_started(runs: Sequence[Manifest], last: str | None) -> list[Manifest]:
    before = parse(last)
    return [each for each in _by_tick(runs) if before is None or _tick(each) > before]


def _started(run: Manifest) -> Announcement:
    name = run["metadata"]["name"]
    return Announcement("Normal", "RunStarted", f"FlowRun {name} is the run of the tick of {stamp(_tick(run))}.")


def _surplus(schedule: Schedule, runs: Sequence[Manifest]) -> tuple[Ref, ...]:
    """Return the oldest finished runs beyond the history limits."""
    finished = [each for each in _by_tick(runs) if _phase(each) in FINISHED]
    good = [each for each in finished if _phase(each) == "Succeeded"]
    bad = [each for each in finished if _phase(each) != "Succeeded"]
    limits = ((good, schedule.successful_runs_history_limit), (bad, schedule.failed_runs_history_limit))
    return tuple(
        Ref.of(each)
        for some, limit in limits
        for each in some[: max(0, len(some) - limit)]
        if not each["metadata"].get("deletionTimestamp")
    )


def _by_tick(runs: Sequence[Manifest]) -> list[Manifest]:
    return sorted(runs, key=_tick)


def _tick(run: Manifest) -> datetime:
    moment = tick_of(run)
    assert moment is not None, "was_scheduled has seen it"  # noqa: S101
    return moment


def _phase(run: Manifest) -> str:
    return str((run.get("status") or {}).get("phase", ""))


def was_scheduled(run: Manifest) -> bool:
    """Return whether a FlowRun says which tick it is the run of."""
    return tick_of(run) is not None


def tick_of(run: Manifest) -> datetime | None:
    """Return the tick that a FlowRun says it is the run of; None where it says none, or what is no time."""
    try:
        moment = parse((run["metadata"].get("annotations") or {}).get(labels.SCHEDULED_AT))
    except ValueError:
        return None
    return moment if moment and moment.tzinfo else None


def was_backfilled(run: Manifest) -> bool:
    """Return whether somebody filled in a run's tick: it is the record of that tick, and none of the schedule's own."""
    return labels.BACKFILL in (run["metadata"].get("labels") or {})


def replaced_by(run: Manifest, runs: Sequence[Manifest]) -> str | None:
    """Return the latest later run of the same schedule that wants this one cancelled."""
    later = [each for each in runs if _tick(each) > _tick(run) and wants_room(each)]
    return max(later, key=_tick)["metadata"]["name"] if later else None


def replaces(run: Manifest, runs: Sequence[Manifest]) -> str | None:
    """Return an earlier run of the same schedule that has not ended, and that this one waits for."""
    if not wants_room(run):
        return None
    earlier = (each for each in _by_tick(runs) if _tick(each) < _tick(run) and _phase(each) not in FINISHED)
    return next((each["metadata"]["name"] for each in earlier), None)


def wants_room(run: Manifest) -> bool:
    """Return whether earlier runs of its schedule are to be cancelled for a run."""
    return labels.REPLACES in (run["metadata"].get("annotations") or {})


def run_of(deployment: Manifest, schedule: Schedule, tick: datetime) -> Manifest:
    """Return the FlowRun of a tick."""
    run = tick_manifest(deployment, tick, schedule.parameters or {})
    if schedule.concurrency_policy == "Replace":
        run["metadata"]["annotations"][labels.REPLACES] = "earlier-runs"
    return run


def tick_manifest(deployment: Manifest, tick: datetime, parameters: dict[str, Any]) -> Manifest:
    """Return a FlowRun for a tick. It belongs to the deployment, as a CronJob's Jobs do to it."""
    meta = deployment["metadata"]
    return {
        "apiVersion": labels.API_VERSION,
        "kind": "FlowRun",
        "metadata": {
            "name": names.scheduled_run(meta["name"], int(tick.timestamp()) // 60),
            "namespace": meta["namespace"],
            "labels": names.scheduled_labels(meta["name"], meta["uid"]),
            "annotations": {labels.SCHEDULED_AT: stamp(tick)},
            "ownerReferences": [names.owner("FlowDeployment", meta["name"], meta["uid"])],
        },
        "spec": {"deployment": meta["name"], **({"parameters": parameters} if parameters else {})},
    }
