"""`kubectl flow backfill` against an API server: what it makes, how many at a time, and what it says."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from flow_operator.api import labels
from flow_operator.deploy import filling
from flow_operator.deploy.cli.backfill import moment
from flow_operator.plan import names
from tests.support import makers

if TYPE_CHECKING:
    from tests.support.api_server import ApiServer
    from tests.unit.deploy.conftest import Call

DAILY = {"cron": ["0 6 * * *"], "timeZone": "Europe/Berlin", "parameters": {"n": 3}}
MARCH = ("--from", "2026-03-28", "--to", "2026-03-30")  # clocks change on the 29th


def run_at(*moment: int) -> str:
    when = datetime(*moment, tzinfo=UTC)  # type: ignore[arg-type,misc]
    return names.scheduled_run("squares", int(when.timestamp()) // 60)


RUNS = [run_at(2026, 3, 28, 5), run_at(2026, 3, 29, 4), run_at(2026, 3, 30, 4)]


@pytest.fixture
def scheduled(server: ApiServer) -> ApiServer:
    server.put(makers.a_ready_deployment(schedule=DAILY))
    return server


def operator_ends(server: ApiServer, phases: dict[str, str] | None = None) -> list[int]:
    """End each run when it is made; return a list that will have the number of unfinished ones at each creation."""
    active: list[int] = []

    def react(method: str, made: dict[str, Any]) -> None:
        if method == "POST" and made["kind"] == "FlowRun":
            runs = [each for (kind, *_), each in server.objects.items() if kind == "flowruns"]
            active.append(sum("status" not in each for each in runs))
            phase = (phases or {}).get(made["metadata"]["name"], "Succeeded")
            server.put({**made, "status": {"phase": phase, "diagnosis": {"reason": "FlowRaised"}}})

    server.after_write = react
    return active


def created(server: ApiServer) -> list[str]:
    return [each["metadata"]["name"] for each in server.bodies if each.get("kind") == "FlowRun"]


def test_a_run_for_each_tick_of_the_window_in_the_schedules_zone(kubectl_flow: Call, scheduled: ApiServer) -> None:
    active = operator_ends(scheduled)
    said = kubectl_flow("backfill", "squares", *MARCH, "-p", "n=4")
    assert (said.code, said.out) == (0, "3 ticks: 3 succeeded\n")
    assert created(scheduled) == RUNS
    assert active == [1, 1, 1]
    made = scheduled.objects["flowruns", "team-a", RUNS[1]]
    assert made["metadata"]["annotations"] == {labels.SCHEDULED_AT: "2026-03-29T04:00:00Z"}
    assert made["spec"] == {"deployment": "squares", "parameters": {"n": 4}}
    assert f"{RUNS[0]}  created (1 of 3)\n{RUNS[0]}  Succeeded\n{RUNS[1]}  created (2 of 3)" in said.err


def test_what_exists_is_told_and_not_made_again(kubectl_flow: Call, scheduled: ApiServer) -> None:
    operator_ends(scheduled)
    assert kubectl_flow("backfill", "squares", *MARCH).code == 0
    scheduled.remove("flowruns", "team-a", RUNS[2])
    scheduled.bodies.clear()
    said = kubectl_flow("backfill", "squares", *MARCH)
    assert (said.code, created(scheduled)) == (0, [RUNS[2]])
    assert f"{RUNS[0]}  exists already: Succeeded (1 of 3)" in said.err


def test_a_run_that_somebody_makes_meanwhile_is_told(kubectl_flow: Call, scheduled: ApiServer) -> None:
    """The schedule, or the same command elsewhere: before the create, or between our look and it."""
    operator_ends(scheduled)
    scheduled.unseen.add(RUNS[1])
    scheduled.put({**makers.a_run(), "metadata": {"name": RUNS[1], "namespace": "team-a"}})
    scheduled.change("FlowRun", "team-a", RUNS[1], status={"phase": "Succeeded"})
    said = kubectl_flow("backfill", "squares", *MARCH)
    assert (said.code, created(scheduled)) == (0, RUNS), "it was tried"
    assert f"{RUNS[1]}  exists already: Succeeded (2 of 3)" in said.err


def test_only_so_many_at_a_time(kubectl_flow: Call, scheduled: ApiServer) -> None:
    made: list[str] = []

    def react(method: str, run: dict[str, Any]) -> None:
        if method != "POST":
            return
        made.append(run["metadata"]["name"])
        runs = [scheduled.objects["flowruns", "team-a", name] for name in made]
        open_ones = [each for each in runs if "status" not in each]
        assert len(open_ones) <= 2
        if len(open_ones) == 2 or len(made) == 3:
            for each in open_ones:
                scheduled.put({**each, "status": {"phase": "Succeeded"}})

    scheduled.after_write = react
    assert kubectl_flow("backfill", "squares", *MARCH, "--max-active", "2").code == 0
    assert made == RUNS


def test_the_latest_first(kubectl_flow: Call, scheduled: ApiServer) -> None:
    operator_ends(scheduled)
    said = kubectl_flow("backfill", "squares", *MARCH, "--reverse", "-o", "name")
    assert said.code == 0
    assert said.out.splitlines() == [f"flowrun.flow-operator.io/{each}" for each in reversed(RUNS)]


def test_a_run_that_fails_is_named_and_the_others_go_on(kubectl_flow: Call, scheduled: ApiServer) -> None:
    operator_ends(scheduled, {RUNS[0]: "Failed"})
    said = kubectl_flow("backfill", "squares", *MARCH)
    assert (said.code, said.out) == (1, "3 ticks: 2 succeeded, 1 failed\n")
    assert f"1 of 3 runs did not succeed: {RUNS[0]}." in said.err
    assert f"kubectl flow explain {RUNS[0]}" in said.err


def test_fail_fast_makes_no_more(kubectl_flow: Call, scheduled: ApiServer) -> None:
    operator_ends(scheduled, {RUNS[0]: "Failed"})
    said = kubectl_flow("backfill", "squares", *MARCH, "--fail-fast")
    assert (said.code, created(scheduled)) == (1, RUNS[:1])
    assert said.out == "3 ticks: 1 failed, 2 not made\n"


def test_a_run_that_is_deleted_does_not_hold_it_up(
    kubectl_flow: Call, scheduled: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "LOOK", 0.5)

    def react(method: str, run: dict[str, Any]) -> None:
        if method == "POST":
            scheduled.remove("flowruns", "team-a", run["metadata"]["name"])

    scheduled.after_write = react
    said = kubectl_flow("backfill", "squares", "--from", "2026-03-28", "--to", "2026-03-28")
    assert said.code == 1
    assert "was deleted before it had ended" in said.err


def test_a_dry_run_shows_all_and_makes_nothing(kubectl_flow: Call, scheduled: ApiServer) -> None:
    scheduled.put({**makers.a_run(), "metadata": {"name": RUNS[0], "namespace": "team-a"}})
    said = kubectl_flow("backfill", "squares", *MARCH, "--dry-run")
    assert said.code == 0
    assert [line.split("   ") for line in said.out.splitlines()[1:]] == [
        ["2026-03-28 06:00+01:00", RUNS[0], "exists already: Pending"],
        ["2026-03-29 06:00+02:00", RUNS[1], "would be created"],
        ["2026-03-30 06:00+02:00", RUNS[2], "would be created"],
    ]
    shown = json.loads(kubectl_flow("backfill", "squares", *MARCH, "--dry-run", "-o", "json").out)
    assert [each["metadata"]["name"] for each in shown["items"]] == RUNS[1:]
    assert scheduled.bodies == []


def test_it_is_over_when_its_time_is(kubectl_flow: Call, scheduled: ApiServer) -> None:
    said = kubectl_flow("backfill", "squares", *MARCH, "--timeout", "0.5")
    assert said.code == 124
    assert "Not done within 0.5 s: 1 runs are under way, 2 are not made." in said.err
    assert "Call it again to go on" in said.err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--from", "yesterday"), "is no time"),
        (("--from", "2026-03-02", "--to", "2026-03-01"), "is before --from"),
        (("--from", "1990-01-01"), "There are more than 1000 ticks in this time."),
        (("--from", "2026-03-01", "--max-active", "0"), "0 is not in the range"),
        (("--from", "2026-03-01", "-p", "m=1"), "(unknown: m)"),
        ((), "Missing option '--from'"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_made(
    kubectl_flow: Call, scheduled: ApiServer, arguments: tuple[str, ...], word: str
) -> None:
    said = kubectl_flow("backfill", "squares", *arguments)
    assert said.code == 2
    assert word in said.err
    assert scheduled.bodies == []


def test_more_than_a_thousand_by_wish(kubectl_flow: Call, scheduled: ApiServer) -> None:
    said = kubectl_flow("backfill", "squares", "--from", "2020-01-01", "--to", "2026-01-01", "--yes", "--dry-run")
    assert (said.code, said.out.count("would be created")) == (0, 2193)


def test_a_deployment_without_a_schedule_has_no_ticks(kubectl_flow: Call, server: ApiServer) -> None:
    server.put(makers.a_ready_deployment())
    said = kubectl_flow("backfill", "squares", *MARCH)
    assert said.code == 2
    assert "FlowDeployment squares has no schedule" in said.err


def test_ticks_to_come_are_the_schedules_own(kubectl_flow: Call, scheduled: ApiServer) -> None:
    said = kubectl_flow("backfill", "squares", "--from", "2998-01-01", "--to", "2999-01-01")
    assert said.code == 0
    assert "has no tick in this time" in said.err
    assert scheduled.bodies == []


@pytest.mark.parametrize(
    ("text", "end", "expected"),
    [
        ("2026-03-29", False, "2026-03-28T23:00:00+00:00"),
        ("2026-03-29", True, "2026-03-29T21:59:59.999999+00:00"),
        ("2026-10-25T02:30", False, "2026-10-25T00:30:00+00:00"),
        ("2026-10-25T02:30", True, "2026-10-25T01:30:00+00:00"),
        ("2026-10-25T02:30Z", True, "2026-10-25T02:30:00+00:00"),
        ("2026-10-25 02:30-04:00", False, "2026-10-25T06:30:00+00:00"),
    ],
)
def test_times_are_read_in_the_schedules_zone(text: str, end: bool, expected: str) -> None:
    assert moment(text, ZoneInfo("Europe/Berlin"), end=end).isoformat() == expected
