"""A schedule's decisions: which tick starts a run, which does not and why, and when to look again."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from croniter import croniter  # type: ignore[import-untyped]

from flow_operator.api import labels, wire
from flow_operator.api.flow_deployment import parse_spec
from flow_operator.plan import deployment as deployment_plan
from flow_operator.plan import names, schedule
from flow_operator.plan import run as run_plan
from flow_operator.plan.times import stamp
from flow_operator.plan.types import ObservedDeployment, ObservedRun, Plan
from tests.support import makers as m
from tests.support.condition_rules import violations

Manifest = dict[str, Any]
HOURLY = {"cron": ["0 * * * *"]}


@dataclass
class Clock:
    """A deployment, the runs its schedule started, and a clock that is wound by hand. m.NOW is 12:00."""

    spec: Manifest
    ready: bool = True
    more: Manifest = field(default_factory=dict)
    runs: list[Manifest] = field(default_factory=list)
    seconds: float = 0.0
    refused: str | None = None
    announced: list[str] = field(default_factory=list)
    status: Manifest = field(default_factory=dict)
    generation: int = 1

    @property
    def now(self) -> datetime:
        return m.NOW + timedelta(seconds=self.seconds)

    def deployment(self) -> Manifest:
        found = m.a_ready_deployment(schedule=self.spec, **self.more)
        found["metadata"]["generation"] = self.generation
        found["metadata"]["creationTimestamp"] = m.at(0)
        return found

    def look(self) -> schedule.Agenda:
        """Decide, take the status over, and make the runs."""
        found = self.deployment()
        spec = parse_spec(found["spec"])
        flow = {"flow": found["status"]["flow"]}
        status = {**flow, **self.status}
        agenda = schedule.attend(found, spec, status, self.runs, self.refused, self.now, ready=self.ready)
        self.status = copy.deepcopy(agenda.fields)
        self.announced += [each.reason for each in agenda.announce]
        if not self.refused:
            self.runs += [copy.deepcopy(each) for each in agenda.create]
        gone = {each.name for each in agenda.delete}
        self.runs = [each for each in self.runs if each["metadata"]["name"] not in gone]
        return agenda

    def at(self, seconds: float) -> list[str]:
        """Look at a moment until nothing is new; return the names of the runs that were started."""
        self.seconds = seconds
        started: list[str] = []
        while made := self.look().create:
            started += [each["metadata"]["name"] for each in made]
            if self.refused:
                break
        return started

    def end(self, name: str, phase: str = "Succeeded") -> None:
        (run,) = [each for each in self.runs if each["metadata"]["name"] == name]
        run["status"] = {"phase": phase}


def at_minute(minute: int) -> str:
    """The name of the run of the tick so many minutes after noon."""
    return names.scheduled_run("squares", int(m.NOW.timestamp()) // 60 + minute)


def test_nothing_starts_before_the_first_tick_and_the_next_look_is_at_it() -> None:
    clock = Clock(HOURLY)
    assert clock.at(600) == []
    assert clock.status["nextScheduleTime"] == m.at(3600)
    assert clock.look().again_after == pytest.approx(3000)
    assert clock.look().condition == ("True", "Scheduled", "Runs start at '0 * * * *' (UTC).")


def test_a_tick_starts_one_run_named_by_its_minute() -> None:
    clock = Clock({**HOURLY, "parameters": {"n": 3}})
    clock.at(0)
    assert clock.at(3600.02) == [at_minute(60)]
    (run,) = clock.runs
    assert run["metadata"]["name"] == "squares-29923980"
    assert run["metadata"]["annotations"] == {labels.SCHEDULED_AT: m.at(3600)}
    assert [each["uid"] for each in run["metadata"]["ownerReferences"]] == [m.DEPLOYMENT_UID]
    assert run["spec"] == {"deployment": "squares", "parameters": {"n": 3}}
    assert clock.status["active"] == [at_minute(60)]
    assert clock.status["lastScheduleTime"] == m.at(3600)
    assert clock.status["nextScheduleTime"] == m.at(7200)
    assert clock.announced == ["RunStarted"]


@pytest.mark.parametrize("provider", [None, "Pods", "DaskCluster"])
def test_every_container_of_a_scheduled_run_is_told_its_tick(provider: str | None) -> None:
    dask = {"daskKubernetes": {"minWorkers": 1, "maxWorkers": 1, "provider": provider}}
    environment = dask if provider else None
    annotations = {labels.SCHEDULED_AT: "2026-11-23T13:00:00+01:00"}
    run = m.a_run()
    run["metadata"]["annotations"] = annotations
    seen = ObservedRun(deployment=m.a_ready_deployment(("on_exit",), environment=environment))
    plan = run_plan.decide(run, seen, m.settings(), m.NOW)
    pods = [each for each in plan.create if each["kind"] == "Pod"]
    specs = [
        *(each["spec"] for each in pods),
        *(each["spec"]["worker"]["spec"] for each in plan.create if each["kind"] == "DaskCluster"),
    ]
    containers = [each for spec in specs for each in spec["containers"]]
    assert len(containers) == (2 if environment is None else 3)
    told = {"name": wire.SCHEDULED_TIME_ENV, "value": "2026-11-23T12:00:00Z"}
    assert all(told in each["env"] for each in containers)
    assert plan.status is not None
    assert plan.status["pinned"]["scheduledTime"] == told["value"], "an edited annotation does not reach it"


@pytest.mark.parametrize("said", [None, "yesterday", "2026-11-23T12:00:00"])
def test_what_is_no_moment_is_no_tick(said: str | None) -> None:
    run = m.a_run()
    run["metadata"]["annotations"] = {labels.SCHEDULED_AT: said} if said else {}
    assert schedule.tick_of(run) is None
    assert not schedule.was_scheduled(run)
    plan = run_plan.decide(run, ObservedRun(deployment=m.a_ready_deployment()), m.settings(), m.NOW)
    (pod,) = plan.create
    assert wire.SCHEDULED_TIME_ENV not in str(pod)


def test_the_same_look_twice_says_the_same() -> None:
    clock = Clock(HOURLY)
    clock.at(3700)
    before = (copy.deepcopy(clock.status), list(clock.announced))
    clock.look()
    assert (clock.status, clock.announced) == before


def test_a_run_is_found_again_after_a_crash_before_it_was_recorded() -> None:
    clock = Clock(HOURLY)
    clock.at(0)
    remembered = copy.deepcopy(clock.status)
    clock.at(3600)
    clock.status = remembered  # the run was made, and nothing of it was told
    assert clock.at(3601) == []
    assert clock.status["lastScheduleTime"] == m.at(3600)


def test_forbid_skips_a_tick_while_a_run_is_active_and_does_not_make_it_up() -> None:
    clock = Clock(HOURLY)
    clock.at(0)
    clock.at(3600)
    assert clock.at(7200) == []
    assert clock.announced == ["RunStarted", "TickSkipped"]
    clock.end(at_minute(60))
    assert clock.at(7300) == []
    assert clock.at(10800) == [at_minute(180)]


def test_allow_starts_another() -> None:
    clock = Clock({**HOURLY, "concurrencyPolicy": "Allow"})
    clock.at(0)
    assert clock.at(3600) + clock.at(7200) == [at_minute(60), at_minute(120)]
    assert clock.status["active"] == [at_minute(60), at_minute(120)]


def test_replace_starts_another_that_says_so() -> None:
    clock = Clock({**HOURLY, "concurrencyPolicy": "Replace"})
    clock.at(0)
    assert clock.at(3600) + clock.at(7200) == [at_minute(60), at_minute(120)]
    assert all(labels.REPLACES in each["metadata"]["annotations"] for each in clock.runs)


def test_of_missed_ticks_only_the_latest_is_made_up() -> None:
    clock = Clock(HOURLY)
    clock.at(0)
    assert clock.at(3600 * 5 + 10) == [at_minute(300)]
    assert clock.announced == ["TickMissed", "RunStarted"]


def test_an_operator_that_was_down_for_a_year_makes_up_one_run_at_once() -> None:
    clock = Clock({"cron": ["* * * * *"], "timeZone": "Europe/Berlin"})
    clock.at(0)
    clock.seconds = 365 * 86400 + 5
    agenda = clock.look()
    assert [each["metadata"]["name"] for each in agenda.create] == [at_minute(365 * 1440)]
    assert "at least 100 earlier ticks" in agenda.announce[0].message


def test_a_tick_later_than_its_deadline_is_not_made_up() -> None:
    clock = Clock({**HOURLY, "startingDeadlineSeconds": 60})
    clock.at(0)
    assert clock.at(3661) == []
    assert clock.announced == ["TickMissed"]
    assert clock.at(7200 + 60) == [at_minute(120)]


def test_a_tick_waits_for_a_deployment_that_is_not_ready() -> None:
    clock = Clock(HOURLY, ready=False)
    assert clock.at(3600) == []
    assert clock.status["nextScheduleTime"] == m.at(3600)
    clock.ready = True
    assert clock.at(3700) == [at_minute(60)]


def test_a_suspended_schedule_starts_nothing_and_makes_up_nothing() -> None:
    clock = Clock(HOURLY)
    clock.at(0)
    clock.spec = {**HOURLY, "suspend": True}
    clock.seconds = 100
    agenda = clock.look()
    assert agenda.condition == ("False", "Suspended", "The schedule is suspended: spec.schedule.suspend.")
    assert agenda.again_after is None
    assert "nextScheduleTime" not in clock.status
    assert clock.at(4000) == []
    clock.spec = HOURLY
    assert clock.at(5000) == [], "the tick at 13:00 was in the time of suspension"
    assert clock.at(7200) == [at_minute(120)]


def test_a_changed_schedule_does_not_invent_ticks_of_the_past() -> None:
    clock = Clock({"cron": ["0 3 * * *"]})
    clock.at(60)
    clock.spec, clock.generation = {"cron": ["30 12 * * *"]}, 2
    assert clock.at(3600) == [], "12:30 was before it was asked for"
    assert clock.at(86400 + 1800) == [at_minute(1440 + 30)]


def test_a_new_version_of_the_flow_is_no_change_of_the_schedule() -> None:
    clock = Clock(HOURLY)
    clock.at(0)
    clock.generation = 2
    assert clock.at(3610) == [at_minute(60)]


def test_a_tick_between_the_creation_and_the_first_look_is_made_up() -> None:
    assert Clock(HOURLY).at(3610) == [at_minute(60)]


def test_a_schedule_that_is_taken_away_leaves_its_runs() -> None:
    clock = Clock(HOURLY)
    clock.at(3600)
    found = m.a_ready_deployment()
    agenda = schedule.attend(found, parse_spec(found["spec"]), clock.status, clock.runs, None, clock.now, ready=True)
    assert agenda.condition is None
    assert set(agenda.fields) == {"lastScheduleTime", "active"}
    assert not agenda.delete


@pytest.mark.parametrize(("good", "bad", "left"), [(2, 1, 3), (0, 0, 0), (1, 0, 1)])
def test_the_oldest_finished_runs_beyond_the_limits_go(good: int, bad: int, left: int) -> None:
    clock = Clock({**HOURLY, "successfulRunsHistoryLimit": good, "failedRunsHistoryLimit": bad})
    for hour in range(1, 9):
        (name,) = clock.at(3600 * hour)
        clock.end(name, "Succeeded" if hour % 2 else ("Failed", "Cancelled")[hour % 4 // 2])
    clock.look()
    assert len(clock.runs) == left
    newest = [at_minute(60 * hour) for hour in (5, 7)][2 - good :] + [at_minute(480)][1 - bad :]
    assert sorted(each["metadata"]["name"] for each in clock.runs) == sorted(newest)


def test_an_active_run_is_never_history() -> None:
    clock = Clock({**HOURLY, "concurrencyPolicy": "Allow", "successfulRunsHistoryLimit": 0})
    clock.at(0)
    clock.at(3600)
    clock.at(7200)
    assert len(clock.runs) == 2


def test_a_run_that_is_refused_is_said_and_tried_until_the_next_tick() -> None:
    clock = Clock(HOURLY, refused="exceeded quota: few")
    clock.at(0)
    clock.at(3600)
    agenda = clock.look()
    assert agenda.condition is not None
    assert agenda.condition[:2] == ("False", "RunRefused")
    assert "exceeded quota" in agenda.condition[2]
    assert agenda.again_after == schedule.REFUSED_RETRY
    clock.refused = None
    assert clock.at(3700) == [at_minute(60)]


def test_two_long_names_do_not_become_one() -> None:
    one, other = (names.scheduled_run("d" * 60 + each, 29658900) for each in ("ab", "ac"))
    assert one != other
    assert max(len(one), len(other)) <= 63


class TestOnTheDeployment:
    """How the schedule and the image share one status."""

    def decide(self, spec: Manifest, **more: Any) -> tuple[Manifest, Plan]:
        deployment = m.a_deployment(storage={"bytes": {}}, schedule=spec, **more)
        check = self.verified(deployment)
        plan = deployment_plan.decide(check[0], check[1], m.settings(), m.NOW + timedelta(seconds=5))
        told = m.with_status(check[0], plan.status)
        assert not violations(told), violations(told)
        again = deployment_plan.decide(told, check[1], m.settings(), m.NOW + timedelta(seconds=5))
        assert again.status is None
        return told, plan

    def verified(self, deployment: Manifest) -> tuple[Manifest, ObservedDeployment]:
        first = deployment_plan.decide(deployment, ObservedDeployment(), m.settings(), m.NOW)
        (pod,) = [each for each in first.create if each["kind"] == "Pod"]
        done = m.ended(m.scheduled(pod), "check", message='{"flow": {"name": "squares", "parameters": []}}')
        return m.with_status(deployment, first.status), ObservedDeployment(checks=(done,))

    def conditions(self, deployment: Manifest) -> dict[str, tuple[str, str]]:
        return {each["type"]: (each["status"], each["reason"]) for each in deployment["status"]["conditions"]}

    def test_a_good_schedule_is_a_condition_and_changes_nothing_else(self) -> None:
        told, plan = self.decide(HOURLY)
        found = self.conditions(told)
        assert found["Ready"] == ("True", "Ready")
        assert found["Scheduled"] == ("True", "Scheduled")
        assert plan.again_after == pytest.approx(3595)

    def test_a_suspended_schedule_is_as_wished(self) -> None:
        found = self.conditions(self.decide({**HOURLY, "suspend": True})[0])
        assert (found["Ready"][0], found["Scheduled"]) == ("True", ("False", "Suspended"))

    @pytest.mark.parametrize(
        ("spec", "named"),
        [
            ({"cron": ["0 3 * * *", "61 * * * *"]}, "'61 * * * *'"),
            ({"cron": ["@daily"], "timeZone": "Mars/Phobos"}, "'Mars/Phobos'"),
        ],
    )
    def test_a_bad_schedule_stalls_and_unbuilds_nothing(self, spec: Manifest, named: str) -> None:
        told, plan = self.decide(spec)
        found = self.conditions(told)
        assert found["Ready"] == found["Scheduled"] == ("False", "ScheduleInvalid")
        assert found["Stalled"][0] == found["Built"][0] == found["Verified"][0] == "True"
        assert told["status"]["image"]
        assert named in told["status"]["diagnosis"]["message"]
        assert [each.reason for each in plan.announce] == ["ScheduleInvalid"]

    def test_a_flow_that_needs_a_parameter_nobody_gives_starts_no_run(self) -> None:
        told, _ = self.decide({**HOURLY, "parameters": {"m": 1}})
        assert self.conditions(told)["Scheduled"] == ("False", "ParametersInvalid")
        assert "unknown: m" in told["status"]["diagnosis"]["message"]


@pytest.mark.parametrize(
    ("policy", "minutes"),
    [("Allow", 7), ("Forbid", 3), ("Forbid", 12)],
)
def test_a_thousand_ticks_of_a_simulated_clock(policy: str, minutes: int) -> None:
    """Every five minutes across a change of the clocks; each run takes some minutes. The reference is croniter."""
    zone = "Europe/Berlin"
    begin = datetime(2026, 10, 24, 12, 0, tzinfo=UTC)
    clock = Clock({"cron": ["*/5 * * * *"], "timeZone": zone, "concurrencyPolicy": policy})
    clock.seconds = (begin - m.NOW).total_seconds()
    clock.status = {}
    clock.generation = 2  # so that it begins now
    started: list[datetime] = []
    ends: dict[str, datetime] = {}
    wake = clock.look().again_after
    for _ in range(1000):
        assert wake is not None
        clock.seconds += wake
        for name in [name for name, end in ends.items() if end <= clock.now]:
            clock.end(name)
            del ends[name]
        for name in clock.at(clock.seconds):
            started.append(clock.now)
            ends[name] = clock.now + timedelta(minutes=minutes)
        wake = clock.look().again_after
    assert started == expected(policy, minutes, begin, zone)


def expected(policy: str, minutes: int, begin: datetime, zone: str) -> list[datetime]:
    """What the policies say, of croniter's ticks."""
    from zoneinfo import ZoneInfo

    source = croniter("*/5 * * * *", begin.astimezone(ZoneInfo(zone)))
    found: list[datetime] = []
    for _ in range(1000):
        tick = source.get_next(datetime).astimezone(UTC)
        if policy == "Forbid" and found and tick < found[-1] + timedelta(minutes=minutes):
            continue
        found.append(tick)
    return found


def test_status_times_are_to_the_second() -> None:
    clock = Clock(HOURLY, generation=2)
    clock.seconds = 5.75
    clock.look()
    assert clock.status["schedule"]["handled"] == stamp(m.NOW + timedelta(seconds=5))


def test_a_tick_of_the_future_does_not_silence_a_schedule() -> None:
    clock = Clock(HOURLY)
    clock.at(3601)
    (run,) = clock.runs
    run["metadata"]["annotations"][labels.SCHEDULED_AT] = m.at(4 * 365 * 86_400)  # a clock that was wrong, say
    clock.end(run["metadata"]["name"])
    clock.at(7100)
    assert clock.at(7201) == [at_minute(120)]
