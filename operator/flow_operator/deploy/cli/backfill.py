"""`kubectl flow backfill NAME`."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import click

from . import options, trouble

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo

    from ...api.schedule import Schedule
    from ..filling import Filling
    from .cluster import Cluster
    from .options import Place
    from .output import Screen

Manifest = dict[str, Any]
ASK_ABOVE = 1000
MOST = 100_000


class Moment(click.ParamType[str]):
    """A date or a time; without a zone, it is read in that of the schedule."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check it."""
        try:
            datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time: write 2026-03-01, 2026-03-01T06:30 or 2026-03-01T06:30Z", param, ctx)
        return str(value)


@click.command("backfill", short_help="Run the ticks of a schedule that are past.")
@options.name_of("deployment", metavar="NAME")
@click.option(
    "--from",
    "first",
    type=Moment(),
    metavar="TIME",
    required=True,
    help="First tick, as 2026-03-01 or 2026-03-01T06:30, in the schedule's time zone unless it has one.",
)
@click.option("--to", "last", type=Moment(), metavar="TIME", help="Last tick; a date is its whole day. Default: now.")
@options.parameters
@click.option(
    "--max-active",
    type=click.IntRange(1, 1000),
    default=1,
    show_default=True,
    metavar="N",
    help="How many of the runs may be under way at a time.",
)
@click.option("--reverse", is_flag=True, help="The latest tick first.")
@click.option("--fail-fast", is_flag=True, help="Make no more runs after one that did not succeed.")
@click.option("--dry-run", is_flag=True, help="Show the ticks and what would become of them; nothing is made.")
@click.option("-y", "--yes", is_flag=True, help=f"Do it also for more than {ASK_ABOVE} ticks.")
@options.timeout
@options.in_cluster
@options.with_output()
def command(
    name: str,
    first: str,
    last: str | None,
    parameters: Manifest,
    max_active: int,
    reverse: bool,
    fail_fast: bool,
    dry_run: bool,
    yes: bool,
    timeout: float | None,
    place: Place,
    screen: Screen,
) -> int:
    """Make the runs of a schedule's ticks that are past, and wait until all have ended.

    The run of a tick has one name, whoever makes it: what the schedule or an earlier call has made exists already, and
    is not made again. So a call that was interrupted is simply made again. Each flow is told its own tick.

    The exit code is 0 where all runs of the window have succeeded, else 1.
    """
    from ..filling import Filling
    from . import cluster
    from .run import warn_if_not_ready

    now = datetime.now(UTC)
    with cluster.connected(place) as there:
        deployment = there.find("FlowDeployment", name)
        schedule = schedule_of(deployment, parameters, now)
        ticks = ticks_of(schedule, first, last, now, yes=yes)
        wanted = wanted_runs(deployment, schedule, ticks[::-1] if reverse else ticks, parameters)
        if not wanted:
            screen.say(f"FlowDeployment {deployment['metadata']['name']} has no tick in this time.")
        elif not dry_run:
            warn_if_not_ready(deployment, screen)
        filling = Filling(there.api, there.namespace, wanted, max_active, progress(screen, len(wanted)))
        if fail_fast:
            filling.stop = lambda so_far: bool(bad(so_far.phases))
        if dry_run:
            there.session.call(filling.look())
            show_plan(filling, schedule, screen)
            return trouble.OK
        fill(there, filling, timeout)
    return show_end(filling, screen)


def schedule_of(deployment: Manifest, parameters: Manifest, now: datetime) -> Schedule:
    """Return the schedule, if runs can be made by it.

    Raises:
        Trouble: there is none, it cannot be read, or the parameters do not fit.
    """
    from ...api.flow_deployment import parse_spec
    from ...plan.schedule import wrong
    from .run import refuse_parameters

    name, spec = deployment["metadata"]["name"], parse_spec(deployment["spec"])
    if spec.schedule is None:
        remedy = f"Give it a spec.schedule, or run it once: kubectl flow run {name}"
        raise trouble.Trouble(f"FlowDeployment {name} has no schedule: it has no ticks.", remedy, trouble.USAGE)
    if why := wrong(spec, None, now):
        raise trouble.Trouble(why.message, why.remedy, trouble.USAGE)
    refuse_parameters(deployment, {**(spec.schedule.parameters or {}), **parameters})
    return spec.schedule


def ticks_of(schedule: Schedule, first: str, last: str | None, now: datetime, *, yes: bool) -> list[datetime]:
    """Return the ticks of the window; those to come are the schedule's own business.

    Raises:
        Trouble: the window is upside down, or has too many ticks.
    """
    from ...plan.backfill import ticks_in
    from ...plan.ticks import read_zone

    zone = read_zone(schedule.time_zone)
    begin, end = moment(first, zone), moment(last, zone, end=True) if last else now
    if end < begin:
        raise trouble.Trouble(f"--to {last or 'now'} is before --from {first}.", "Give a later --to.", trouble.USAGE)
    limit = MOST if yes else ASK_ABOVE
    found = ticks_in(schedule, begin, min(end, now), limit + 1)
    if len(found) > limit:
        remedy = "Give a shorter time" + ("." if yes else ", or --yes to run them all.")
        raise trouble.Trouble(f"There are more than {limit} ticks in this time.", remedy, trouble.USAGE)
    return found


def moment(text: str, zone: tzinfo, *, end: bool = False) -> datetime:
    """Return the moment a text means; of a date, its first moment, or its last."""
    if re.fullmatch(r"\d{4}-?\d{2}-?\d{2}", text):
        day = date.fromisoformat(text) + timedelta(days=1 if end else 0)
        midnight = datetime.combine(day, time.min, zone).astimezone(UTC)
        return midnight - timedelta(microseconds=1) if end else midnight
    found = datetime.fromisoformat(text)
    # Where the clock shows a time twice, the window has both.
    return (found if found.tzinfo else found.replace(tzinfo=zone, fold=1 if end else 0)).astimezone(UTC)


def wanted_runs(
    deployment: Manifest, schedule: Schedule, ticks: list[datetime], parameters: Manifest
) -> list[Manifest]:
    """Return the runs of ticks, in their order."""
    from ...plan.backfill import run_of

    return [run_of(deployment, schedule, each, parameters) for each in ticks]


def progress(screen: Screen, total: int) -> Callable[[str, str], None]:
    """Return what tells a person how it goes."""
    made = 0

    def tell(name: str, what: str) -> None:
        nonlocal made
        if what == "created" or what.startswith("exists"):
            made += 1
            what = f"{what} ({made} of {total})"
        screen.say(f"{name}  {screen.paint(what)}")

    return tell


def fill(there: Cluster, filling: Filling, limit: float | None) -> None:
    """Make the runs, and wait for them.

    Raises:
        Trouble: it was interrupted, or the time was over. What was made goes on.
    """

    import asyncio

    async def within() -> None:
        async with asyncio.timeout(limit):
            await filling.fill()

    remedy = "Call it again to go on; what was made goes on by itself."
    try:
        there.session.call(within())
    except TimeoutError:
        raise trouble.Trouble(f"Not done within {limit:g} s: {_left(filling)}.", remedy, trouble.TIMEOUT) from None
    except KeyboardInterrupt:
        raise trouble.Trouble(f"Interrupted: {_left(filling)}.", remedy, trouble.INTERRUPTED) from None


def _left(filling: Filling) -> str:
    return f"{len(filling.unfinished)} runs are under way, {_missing(filling)} are not made"


def _missing(filling: Filling) -> int:
    return len(filling.wanted) - len(filling.phases)


def bad(phases: dict[str, str]) -> list[str]:
    """Return the names of runs that ended, and not well."""
    from ..filling import DELETED

    return [name for name, phase in phases.items() if phase in ("Failed", "Cancelled", DELETED)]


def show_plan(filling: Filling, schedule: Schedule, screen: Screen) -> None:
    """Show what would be done."""
    from ...api.labels import SCHEDULED_AT
    from ...plan.ticks import read_zone

    if screen.machine:
        _show_documents([each for each in filling.wanted if each["metadata"]["name"] not in filling.runs], screen)
        return
    zone = read_zone(schedule.time_zone)
    rows = []
    for each in filling.wanted:
        meta = each["metadata"]
        tick = datetime.fromisoformat(meta["annotations"][SCHEDULED_AT]).astimezone(zone)
        phase = filling.phases.get(meta["name"])
        state = f"exists already: {phase}" if phase else "would be created"
        rows.append((tick.isoformat(" ", "minutes"), meta["name"], state))
    if rows:
        screen.table(("TICK", "RUN", "STATE"), rows)


def show_end(filling: Filling, screen: Screen) -> int:
    """Show what came of it; the exit code.

    Raises:
        Trouble: not all have succeeded.
    """
    if screen.machine:
        names = [each["metadata"]["name"] for each in filling.wanted]
        _show_documents([filling.runs[name] for name in names if name in filling.runs], screen)
    elif filling.wanted:
        counts = Counter(filling.phases.values())
        told = [f"{counts[phase]} {phase.lower()}" for phase in sorted(counts, key=lambda each: -counts[each])]
        missing = [f"{left} not made"] if (left := _missing(filling)) else []
        screen.answer(f"{len(filling.wanted)} ticks: {', '.join([*told, *missing])}")
    failed = sorted(bad(filling.phases))
    if not failed:
        return trouble.OK
    more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
    said = f"{len(failed)} of {len(filling.wanted)} runs did not succeed: {', '.join(failed[:5])}{more}."
    remedy = f"See kubectl flow explain {failed[0]}. Delete a run to have this command make it again."
    raise trouble.Trouble(said, remedy)


def _show_documents(runs: list[Manifest], screen: Screen) -> None:
    from .cluster import reference

    screen.document({"apiVersion": "v1", "kind": "List", "items": runs}, map(reference, runs))
