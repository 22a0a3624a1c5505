"""The life of a run: started by the clock, cancelled in each phase, left to the operator whose labels fit."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from tests.support import recorder
from tests.support.cluster import checked, condition, deployment, eventually, kubectl, reason, run

if TYPE_CHECKING:
    from tests.support.cluster import Manifest, Namespace

QUICK = "def flow(n: int = 1):\n    return n\n"
SLOW = (
    recorder.CLIENT
    + """
import time
from flow_operator import flow
from flow_operator.environments import RemoteEnvironment

def leave():
    record("on_exit")
    time.sleep(5)
    record("left")

@flow(environment=RemoteEnvironment(on_start=lambda: record("on_start"), on_exit=leave))
def flow(seconds: float = 60):
    record("flow")
    time.sleep(seconds)
    record("end")
"""
)
TOLD = (
    recorder.CLIENT
    + """
from flow_operator import context, flow
from flow_operator.environments import RemoteEnvironment

@flow(environment=RemoteEnvironment(on_exit=lambda: record("on_exit", tick=str(context.scheduled_time()))))
def flow(n: int = 1):
    return [n, str(context.scheduled_time())]
"""
)
NOWHERE = {"nodeSelector": {"disk": "does-not-exist"}}
MINUTELY = {"cron": ["* * * * *"], "parameters": {"n": 7}}
OWN = "flow-operator.io/deployment"
INVALID = "ScheduleInvalid"


def minutely(**schedule: object) -> Manifest:
    return deployment("minutely", TOLD, schedule={**MINUTELY, "successfulRunsHistoryLimit": 1, **schedule})


def scheduled(name: str, **schedule: object) -> Manifest:
    return deployment(name, QUICK, schedule={**MINUTELY, **schedule})


@pytest.fixture(scope="module", autouse=True)
def deployments(namespace: Namespace) -> float:
    """Apply all, the schedule first: its tick comes while the other tests run."""
    namespace.apply(minutely())
    namespace.apply(deployment("slow", SLOW), deployment("nowhere", QUICK))
    labelled = {"environment": {"labels": ["a-label-nobody-offers"]}}
    namespace.apply(deployment("labelled", QUICK, **labelled), run("labelled", "labelled"))
    began = time.time()
    for each in ("minutely", "slow", "nowhere"):
        namespace.wait_ready(each)
    namespace.apply(deployment("nowhere", QUICK, runner=NOWHERE))  # its check needs a node
    return began


def cancel(namespace: Namespace, name: str, how: str) -> None:
    patch = f'{{"spec":{{"cancel":"{how}"}}}}'
    kubectl("-n", namespace.name, "patch", "flowrun", name, "--type=merge", "-p", patch)


def test_graceful_lets_on_exit_come_to_its_end(namespace: Namespace) -> None:
    namespace.apply(run("graceful", "slow"))
    recorder.wait_for(namespace, "graceful", "flow")
    cancel(namespace, "graceful", "Graceful")
    done = namespace.wait_run("graceful", within=30)
    assert (done["status"]["phase"], reason(done, "Succeeded")) == ("Cancelled", "Cancelled")
    assert recorder.names(namespace, "graceful") == ["on_start", "flow", "on_exit", "left"]
    assert [(each["name"], each["state"]) for each in done["status"]["hooks"]] == [
        ("on_start", "Succeeded"),
        ("on_exit", "Succeeded"),
    ]
    namespace.wait_pods_gone("flow-operator.io/run=graceful")


def test_now_ends_the_flow_in_seconds_and_on_exit_comes_to_its_end_elsewhere(namespace: Namespace) -> None:
    namespace.apply(run("now", "slow"))
    recorder.wait_for(namespace, "now", "flow")
    cancel(namespace, "now", "Now")
    done = namespace.wait_run("now", within=40)
    assert done["status"]["phase"] == "Cancelled"
    assert [(each["state"], each["where"]) for each in done["status"]["hooks"] if each["name"] == "on_exit"] == [
        ("Succeeded", "Fallback")
    ]
    records = recorder.names(namespace, "now")
    assert "end" not in records
    assert records[-1] == "left"
    namespace.wait_pods_gone("flow-operator.io/run=now,app.kubernetes.io/component=runner")


def test_graceful_made_urgent_takes_nothing_from_an_on_exit_that_runs(namespace: Namespace) -> None:
    namespace.apply(run("urgent", "slow"))
    recorder.wait_for(namespace, "urgent", "flow")
    cancel(namespace, "urgent", "Graceful")
    recorder.wait_for(namespace, "urgent", "on_exit")
    cancel(namespace, "urgent", "Now")
    assert namespace.wait_run("urgent", within=20)["status"]["phase"] == "Cancelled"
    assert recorder.names(namespace, "urgent").count("on_exit") == 1


def test_a_run_that_waits_is_cancelled_without_a_pod(namespace: Namespace) -> None:
    namespace.apply(run("waiting", "absent"))
    namespace.wait_phase("waiting", "Pending")
    cancel(namespace, "waiting", "Graceful")
    assert namespace.wait_run("waiting", within=20)["status"]["phase"] == "Cancelled"
    assert not namespace.list("pods", "flow-operator.io/run=waiting")


def test_a_pod_that_no_node_takes_is_taken_back(namespace: Namespace) -> None:
    namespace.apply(run("stuck", "nowhere"))
    namespace.wait_phase("stuck", "SettingUp")
    cancel(namespace, "stuck", "Graceful")
    assert namespace.wait_run("stuck", within=20)["status"]["phase"] == "Cancelled"
    namespace.wait_pods_gone("flow-operator.io/run=stuck")


def test_a_run_whose_labels_nobody_offers_is_left_and_said_to_be(namespace: Namespace) -> None:
    found = eventually(
        lambda: namespace.get("flowrun", "labelled"), lambda seen: reason(seen, "Ready") == "NoOperator", 40, "a word"
    )
    assert "a-label-nobody-offers" in checked(found)["status"]["diagnosis"]["message"]
    assert reason(namespace.get("flowdeployment", "labelled"), "Ready") == "NoOperator"
    assert not namespace.list("pods", "flow-operator.io/run=labelled")


def test_a_bad_schedule_says_so_and_takes_nothing_away(namespace: Namespace) -> None:
    namespace.apply(scheduled("wrong", cron=["* * * * *", "61 * * * *"]))
    found = namespace.wait_deployment("wrong", lambda seen: reason(seen, "Ready") == INVALID, 60, "Stalled")
    assert (condition(found, "Stalled"), reason(found, "Scheduled")) == ("True", INVALID)
    assert "'61 * * * *'" in found["status"]["diagnosis"]["message"]
    namespace.apply(run("by-hand", "wrong"))
    assert namespace.wait_run("by-hand")["status"]["phase"] == "Succeeded"


def test_a_tick_starts_one_run_and_suspend_stops_them(namespace: Namespace, deployments: float) -> None:
    def runs() -> list[Manifest]:
        return namespace.list("flowruns", f"{OWN}=minutely")

    within = max(5.0, 75 - (time.time() - deployments))
    first = eventually(runs, bool, within, "a run of the schedule")[0]
    tick = datetime.fromisoformat(first["metadata"]["annotations"]["flow-operator.io/scheduled-at"])
    created = datetime.fromisoformat(first["metadata"]["creationTimestamp"])
    assert tick.second == 0
    # A tick that comes while the deployment is being checked waits for it.
    conditions = namespace.get("flowdeployment", "minutely")["status"]["conditions"]
    ready = next(each["lastTransitionTime"] for each in conditions if each["type"] == "Ready")
    due = max(tick, datetime.fromisoformat(ready))
    # On an idle machine it is the same second.
    assert 0 <= (created - due).total_seconds() < 30, "creationTimestamp is to the second"
    assert first["metadata"]["name"] == f"minutely-{int(tick.timestamp()) // 60}"
    assert namespace.wait_run(first["metadata"]["name"])["status"]["result"] == [7, str(tick)]
    told = [each["tick"] for each in recorder.records(namespace, first["metadata"]["name"])]
    assert told == [str(tick)], "the callback is told, too"
    namespace.apply(run("not-scheduled", "minutely"))
    assert namespace.wait_run("not-scheduled")["status"]["result"] == [1, "None"]
    ticks = [each["metadata"]["annotations"]["flow-operator.io/scheduled-at"] for each in runs()]
    assert len(ticks) == len(set(ticks))
    namespace.apply(minutely(suspend=True))
    suspended = namespace.wait_ready("minutely")
    assert reason(suspended, "Scheduled") == "Suspended"
    assert "nextScheduleTime" not in suspended["status"]
    assert suspended["status"]["lastScheduleTime"] >= ticks[0]
