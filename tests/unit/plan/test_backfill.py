"""Runs of ticks that are past: which they are, and that a schedule treats them as the record of their tick only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from flow_operator.api import labels
from flow_operator.api.flow_deployment import parse_spec
from flow_operator.api.schedule import Schedule
from flow_operator.controller.observe import observe_run
from flow_operator.controller.store import Store
from flow_operator.plan import backfill, names, schedule, ticks
from tests.support import makers as m

BERLIN = ZoneInfo("Europe/Berlin")


def a_schedule(*cron: str, zone: str = "UTC", **more: Any) -> Schedule:
    return Schedule.model_validate({"cron": list(cron), "timeZone": zone, **more})


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


def test_both_ends_belong_to_the_window_and_two_lines_are_one_series() -> None:
    lines = a_schedule("0 * * * *", "*/30 * * * *")
    found = backfill.ticks_in(lines, utc(2026, 3, 1, 5), utc(2026, 3, 1, 6), 100)
    assert found == [utc(2026, 3, 1, 5), utc(2026, 3, 1, 5, 30), utc(2026, 3, 1, 6)]
    assert backfill.ticks_in(lines, utc(2026, 3, 1, 5, 0, 1), utc(2026, 3, 1, 5, 29), 100) == []


def test_no_more_than_asked_for() -> None:
    assert len(backfill.ticks_in(a_schedule("* * * * *"), utc(2020, 1, 1), utc(2026, 1, 1), 7)) == 7


@pytest.mark.parametrize("line", ["30 2 * * *", "0 * * * *", "*/20 1-3 * * *", "15 0 * * 0"])
@pytest.mark.parametrize("month", [3, 10])
def test_where_clocks_change_a_window_has_the_ticks_the_schedule_has(line: str, month: int) -> None:
    first, last = utc(2026, month, 20), utc(2026, month, 31)
    moment, expected = first - timedelta(seconds=1), []
    while (following := ticks.following(line, BERLIN, moment)) and following <= last:
        expected.append(following)
        moment = following
    assert backfill.ticks_in(a_schedule(line, zone="Europe/Berlin"), first, last, 1000) == expected


def test_a_run_of_a_past_tick_has_the_name_the_schedule_gives_it() -> None:
    wanted = a_schedule("@hourly", parameters={"n": 3, "day": "today"}, concurrencyPolicy="Replace")
    made = m.a_deployment()
    filled, own = backfill.run_of(made, wanted, m.NOW, {"n": 4}), schedule.run_of(made, wanted, m.NOW)
    assert filled["metadata"]["name"] == own["metadata"]["name"]
    assert filled["spec"]["parameters"] == {"n": 4, "day": "today"}
    assert filled["metadata"]["ownerReferences"] == own["metadata"]["ownerReferences"]
    assert labels.REPLACES not in filled["metadata"]["annotations"], "it cancels nothing"
    assert filled["metadata"]["labels"][labels.BACKFILL] == "true"


def attend(runs: list[m.Manifest], handled: float, now: float, **more: Any) -> schedule.Agenda:
    made = m.a_ready_deployment(schedule={"cron": ["0 * * * *"], **more})
    spec = parse_spec(made["spec"])
    assert spec.schedule
    remembered = {"inputs": schedule._inputs(spec.schedule), "handled": m.at(handled)}
    status = {"flow": made["status"]["flow"], "schedule": remembered}
    return schedule.attend(made, spec, status, runs, None, m.NOW + timedelta(seconds=now), ready=True)


def a_filled_run(hours: int, phase: str) -> m.Manifest:
    made = backfill.run_of(m.a_deployment(), a_schedule("0 * * * *"), m.NOW + timedelta(hours=hours), {})
    made["metadata"] |= {"uid": f"uid-{hours}", "resourceVersion": "1", "creationTimestamp": m.at(0), "generation": 1}
    return {**made, "status": {"phase": phase}}


def test_history_limits_and_forbid_are_not_about_it() -> None:
    filled = [a_filled_run(-hour, "Succeeded") for hour in range(2, 9)] + [a_filled_run(-1, "Running")]
    agenda = attend(filled, handled=0, now=3600)
    assert agenda.delete == ()
    assert "active" not in agenda.fields
    (started,) = agenda.create
    assert started["metadata"]["name"] == names.scheduled_run("squares", int(m.NOW.timestamp()) // 60 + 60)


def test_the_schedule_does_not_start_a_tick_that_was_filled_in() -> None:
    agenda = attend([a_filled_run(1, "Running")], handled=0, now=3601)
    assert agenda.create == ()
    assert agenda.fields["schedule"]["handled"] == m.at(3600)
    assert agenda.announce == (), "the schedule has not started it"


def test_replace_does_not_cancel_it() -> None:
    filled = a_filled_run(-1, "Running")
    replacing = schedule.run_of(m.a_deployment(), a_schedule("0 * * * *", concurrencyPolicy="Replace"), m.NOW)
    replacing["metadata"] |= {"uid": "uid-new", "resourceVersion": "1"}
    store = Store()
    for each in (filled, replacing):
        store.put(each)
    assert observe_run(store, filled, None).replaced_by is None
    assert observe_run(store, replacing, None).replaces is None
