"""Ticks of cron lines: against croniter, an implementation that is not ours, and by hand where clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter  # type: ignore[import-untyped]

from flow_operator.plan import ticks

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def ours(line: str, zone: ZoneInfo, after: datetime, number: int) -> list[datetime]:
    return list(islice(ticks.stream(line, zone, after), number))


def theirs(line: str, zone: ZoneInfo, after: datetime, number: int) -> list[datetime]:
    source = croniter(line, after.astimezone(zone))
    return [source.get_next(datetime).astimezone(UTC) for _ in range(number)]


# A thousand ticks each: days of three years, or minutes around a change of the clocks.
@pytest.mark.parametrize(
    ("line", "zone", "after"),
    [
        ("0 3 * * *", "UTC", NEW_YEAR),
        ("30 2 * * *", "Asia/Kolkata", NEW_YEAR),
        ("15 10 * * 1-5", "Europe/Berlin", NEW_YEAR),
        ("0 12 L * *", "America/New_York", NEW_YEAR),
        ("0 9 1-7 * 1", "America/Santiago", NEW_YEAR),
        ("0 * * * *", "Europe/Berlin", datetime(2026, 3, 10, tzinfo=UTC)),
        ("* * * * *", "Europe/Berlin", datetime(2026, 3, 29, 0, 30, tzinfo=UTC)),
        ("* * * * *", "Europe/Berlin", datetime(2026, 10, 24, 23, 30, tzinfo=UTC)),
        ("*/15 * * * *", "Australia/Lord_Howe", datetime(2026, 4, 1, tzinfo=UTC)),
        ("*/15 * * * *", "Africa/Casablanca", datetime(2026, 2, 10, tzinfo=UTC)),
    ],
)
def test_a_thousand_ticks_are_those_of_croniter(line: str, zone: str, after: datetime) -> None:
    assert ours(line, ZoneInfo(zone), after, 1000) == theirs(line, ZoneInfo(zone), after, 1000)


def test_a_daily_line_runs_once_on_the_day_that_has_its_time_twice_and_croniters_runs_twice() -> None:
    """Ours is right: who writes one time a day wants one run a day. Debian's cron does the same."""
    mine, reference = ours("30 2 * * *", BERLIN, NEW_YEAR, 1000), theirs("30 2 * * *", BERLIN, NEW_YEAR, 1002)
    doubled = sorted(set(reference) - set(mine))
    assert [each.isoformat() for each in doubled] == ["2026-10-25T01:30:00+00:00", "2027-10-31T01:30:00+00:00"]
    assert set(mine) == set(reference) - set(doubled)
    days = [each.astimezone(BERLIN).date() for each in mine]
    assert len(days) == len(set(days)) == (days[-1] - days[0]).days + 1, "every day once"


def test_every_second_hour_has_no_tick_in_the_skipped_hour_and_croniters_has() -> None:
    """Ours is right: the line runs by what the clock shows, and it shows no 2:00; 3:00 is not an even hour."""
    mine, reference = ours("0 */2 * * *", NEW_YORK, NEW_YEAR, 1000), theirs("0 */2 * * *", NEW_YORK, NEW_YEAR, 1001)
    assert [each.astimezone(NEW_YORK).isoformat() for each in set(reference) - set(mine)] == [
        "2026-03-08T03:00:00-04:00"
    ]
    assert all(each.astimezone(NEW_YORK).hour % 2 == 0 for each in mine)


@pytest.mark.parametrize(
    ("line", "after", "shown"),
    [
        # 29 March 2026: 02:00 becomes 03:00.
        ("30 2 * * *", "2026-03-29T00:00+01:00", ["03-29 03:00+0200", "03-30 02:30+0200"]),
        ("0 2,3 * * *", "2026-03-29T00:00+01:00", ["03-29 03:00+0200", "03-30 02:00+0200"]),
        ("*/30 * * * *", "2026-03-29T01:00+01:00", ["03-29 01:30+0100", "03-29 03:00+0200"]),
        # 25 October 2026: 03:00 becomes 02:00.
        ("30 2 * * *", "2026-10-25T00:00+02:00", ["10-25 02:30+0200", "10-26 02:30+0100"]),
        ("30 2 * * *", "2026-10-25T02:15+01:00", ["10-26 02:30+0100", "10-27 02:30+0100"]),
        ("0 * * * *", "2026-10-25T01:30+02:00", ["10-25 02:00+0200", "10-25 02:00+0100", "10-25 03:00+0100"]),
        ("*/30 2 * * *", "2026-10-25T02:00+02:00", ["10-25 02:30+0200", "10-25 02:00+0100", "10-25 02:30+0100"]),
    ],
)
def test_where_clocks_change(line: str, after: str, shown: list[str]) -> None:
    found = ours(line, BERLIN, datetime.fromisoformat(after), len(shown))
    assert [each.astimezone(BERLIN).strftime("%m-%d %H:%M%z") for each in found] == shown


def test_a_day_that_begins_with_a_change_has_no_tick_at_a_midnight_that_is_not() -> None:
    havana = ZoneInfo("America/Havana")  # 8 March 2026: 00:00 becomes 01:00
    found = ours("*/30 0,1 8 3 *", havana, NEW_YEAR, 2)
    assert [each.astimezone(havana).strftime("%H:%M") for each in found] == ["01:00", "01:30"]


@pytest.mark.parametrize("line", ["* * * * *", "30 2 * * *", "0 9 * * 1", "0 0 29 2 *", "*/7 3-5 1-10 * *"])
@pytest.mark.parametrize("zone", [UTC, BERLIN], ids=str)
def test_the_last_tick_before_a_moment_is_what_stepping_finds(line: str, zone: ZoneInfo) -> None:
    after = datetime(2026, 10, 20, 0, 0, 30, tzinfo=UTC)
    for hours in (0.01, 1, 30, 127.5):
        until = after + timedelta(hours=hours)
        stepped = None
        for each in ticks.stream(line, zone, after):
            if each > until:
                break
            stepped = each
        assert ticks.latest(line, zone, after, until) == stepped


def test_a_year_of_missed_minutes_is_not_stepped_through(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    real = ticks.following

    def counted(line: str, zone: ZoneInfo, after: datetime) -> datetime | None:
        nonlocal calls
        calls += 1
        return real(line, zone, after)

    monkeypatch.setattr(ticks, "following", counted)
    until = NEW_YEAR + timedelta(days=365, seconds=10)
    assert ticks.latest("* * * * *", BERLIN, NEW_YEAR, until) == NEW_YEAR + timedelta(days=365)
    assert calls < 60
    assert ticks.count(["* * * * *"], BERLIN, NEW_YEAR, until, most=100) == 100


def test_several_lines_are_one_stream() -> None:
    lines = ["0 3 * * *", "30 2 * * *", "0 3 * * 1"]
    after = datetime(2026, 6, 1, 2, 45, tzinfo=UTC)
    assert ticks.first_of(lines, UTC, after) == datetime(2026, 6, 1, 3, 0, tzinfo=UTC)
    assert ticks.last_of(lines, UTC, NEW_YEAR, after) == datetime(2026, 6, 1, 2, 30, tzinfo=UTC)
    assert ticks.count(lines, UTC, datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 6, 1, 12, tzinfo=UTC), 10) == 2


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("61 * * * *", "cron line '61 * * * *' cannot be read: minute"),
        ("0 3 * * MOO", "day-of-week"),
        ("0 3 30 2 *", "day-of-month"),
        ("*/0 * * * *", "minute"),
        ("0 3", "wrong number of fields"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(line: str, words: str) -> None:
    with pytest.raises(ticks.Unreadable, match=words.replace("*", r"\*")):
        ticks.check_line(line, NEW_YEAR)


@pytest.mark.parametrize(
    "line", ["@hourly", "@daily", "@weekly", "@monthly", "@yearly", "0 3 * * mon-fri", "0 0 29 2 *"]
)
def test_lines_that_are_fine(line: str) -> None:
    ticks.check_line(line, NEW_YEAR)


@pytest.mark.parametrize("name", ["Mars/Phobos", "Europe", "../../etc/passwd", "", "europe/berlin"])
def test_an_unknown_time_zone_is_named(name: str) -> None:
    with pytest.raises(ticks.Unreadable, match="IANA time zone database"):
        ticks.read_zone(name)
