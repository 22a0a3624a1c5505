"""Another attempt: who pays for it, when it begins, and what it never does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from flow_operator.plan import retries
from flow_operator.plan import run as run_plan
from flow_operator.plan.types import ObservedRun, Plan
from tests.support import makers as m
from tests.unit.plan.test_attempts import DASK, RAISED, RECEIPT, SUCCEEDED, begun, decide, dying, running, seen

Manifest = dict[str, Any]


def condition(status: Manifest | None, kind: str) -> tuple[str, str] | None:
    assert status is not None
    found = [each for each in status["conditions"] if each["type"] == kind]
    return (found[0]["status"], found[0]["reason"]) if found else None


def raised(pod: Manifest) -> Manifest:
    return m.ended(pod, code=1, message=RAISED)


def retrying(deployment: Manifest | None = None, **spec: Any) -> tuple[Manifest, Manifest]:
    """Return a run whose first attempt has raised, five seconds after NOW, and its pod."""
    run, pod = running(deployment, **({"backoffLimit": 2} | spec))
    pod = raised(pod)
    if deployment:
        pod = m.ended(pod, "flow-hooks", message=RECEIPT)
    return m.with_status(run, decide(run, seen(pod)).status), pod


class TestBudgets:
    @pytest.mark.parametrize("reason", ["FlowRaised", "OutOfMemory", "Killed", "SchedulerCrashLoop", "NewReason"])
    def test_what_the_flow_does_is_paid_by_the_flows_budget(self, reason: str) -> None:
        assert retries.payer(reason, {}, {}) is None
        assert retries.payer(reason, {"backoffLimit": 1}, {}) == "flow"
        assert retries.payer(reason, {"backoffLimit": 1}, {"flow": 1}) is None
        assert retries.payer(reason, {"backoffLimit": 1}, {"infrastructure": 3}) == "flow"

    @pytest.mark.parametrize("reason", sorted(retries.INFRASTRUCTURE))
    def test_what_the_cluster_does_is_paid_three_times_unless_told_otherwise(self, reason: str) -> None:
        assert retries.payer(reason, {}, {"infrastructure": 2, "flow": 9}) == "infrastructure"
        assert retries.payer(reason, {}, {"infrastructure": 3}) is None
        assert retries.payer(reason, {"infrastructureBackoffLimit": 0}, {}) is None

    @pytest.mark.parametrize("reason", sorted(retries.NEVER))
    def test_what_no_attempt_can_mend_is_never_paid_for(self, reason: str) -> None:
        assert retries.payer(reason, {"backoffLimit": 9, "infrastructureBackoffLimit": 9}, {}) is None

    def test_the_pause_doubles_up_to_six_minutes(self) -> None:
        pauses = [
            retries.backoff({"flow": number // 2, "infrastructure": number - number // 2}, 10.0) for number in range(8)
        ]
        assert pauses == [10, 20, 40, 80, 160, 320, 360, 360]
        assert retries.backoff({"flow": 100}, 10.0) == 360


class TestRetrying:
    def test_a_failure_that_is_paid_for_is_told_honestly(self) -> None:
        run, _ = retrying()
        status = run["status"]
        assert status["phase"] == "Retrying"
        assert status["nextAttemptTime"] == m.at(15)
        assert status["retries"] == {"flow": 1}
        assert [(each["number"], each["outcome"], each["reason"]) for each in status["attempts"]] == [
            (1, "Failed", "FlowRaised")
        ]
        assert condition(status, "Succeeded") == ("Unknown", "Retrying")
        assert condition(status, "Ready") == ("False", "FlowRaised")
        assert condition(status, "Reconciling") == ("True", "FlowRaised")
        assert condition(status, "SetUp") is None
        assert condition(status, "Started") is None
        assert status["diagnosis"]["reason"] == "FlowRaised"
        assert "completionTime" not in status

    def test_an_event_says_what_happened_and_when_it_goes_on(self) -> None:
        run, pod = running(backoffLimit=2)
        (event,) = decide(run, seen(raised(pod))).announce
        assert (event.type, event.reason) == ("Warning", "FlowRaised")
        assert "Attempt 1 failed: The flow failed: ValueError: no." in event.message
        assert "Attempt 2 begins in 10s (backoffLimit: 1 of 2)." in event.message

    def test_the_next_attempt_begins_when_its_time_has_come_with_a_pod_of_its_own(self) -> None:
        run, pod = retrying()
        early = decide(run, seen(pod), after=10)
        assert early.status is None
        assert not early.create
        assert early.again_after == pytest.approx(5)
        plan = decide(run, seen(pod), after=15)
        assert plan.status is not None
        assert (plan.status["phase"], plan.status["attempt"]) == ("SettingUp", 2)
        assert "nextAttemptTime" not in plan.status
        assert "error" not in plan.status
        assert "diagnosis" not in plan.status
        (made,) = plan.create
        assert made["metadata"]["name"] == "squares-1-11111111-2"
        assert made["metadata"]["labels"]["flow-operator.io/attempt"] == "2"
        assert not plan.delete, "the first one's pod stays, for its log"

    def test_the_second_attempt_may_succeed(self) -> None:
        run, first = retrying()
        plan = decide(run, seen(first), after=15)
        run = m.with_status(run, plan.status)
        second = m.scheduled(plan.create[0])
        both = ObservedRun(runner=m.running(second, since=16), runners=(first, second))
        run = m.with_status(run, decide(run, both, after=17).status)
        assert run["status"]["startTime"] == m.at(16)
        assert run["status"]["stages"]["setUp"] == "1s"
        done = m.ended(second, message=SUCCEEDED)
        over = decide(run, ObservedRun(runner=done, runners=(first, done)), after=20)
        assert over.status is not None
        assert over.status["phase"] == "Succeeded"
        assert [each["outcome"] for each in over.status["attempts"]] == ["Failed", "Succeeded"]
        assert over.status["retries"] == {"flow": 1}

    def test_a_budget_that_is_used_up_ends_the_run_with_the_reason(self) -> None:
        run, first = retrying(backoffLimit=1)
        plan = decide(run, seen(first), after=15)
        run = m.with_status(run, plan.status)
        second = raised(m.running(m.scheduled(plan.create[0])))
        over = decide(run, ObservedRun(runner=second, runners=(first, second)), after=20)
        assert condition(over.status, "Succeeded") == ("False", "FlowRaised")
        assert over.status is not None
        assert "This was attempt 2: backoffLimit is 1." in over.status["diagnosis"]["message"]

    def test_a_pod_that_was_deleted_by_hand_is_not_the_flows_fault(self) -> None:
        for run in (begun()[0], running()[0]):
            plan = decide(run, ObservedRun(runner_gone=True))
            assert plan.status is not None
            assert plan.status["phase"] == "Retrying"
            assert plan.status["retries"] == {"infrastructure": 1}

    def test_a_dying_pod_is_waited_for_before_anything_follows(self) -> None:
        run, pod = begun()
        told = decide(run, seen(dying(pod)))
        assert told.status is not None
        assert told.status["ending"]["reason"] == "RunnerDeleted"
        assert told.status["phase"] == "SettingUp"
        assert not told.create
        over = decide(m.with_status(run, told.status), ObservedRun(runner_gone=True))
        assert over.status is not None
        assert over.status["phase"] == "Retrying"

    def test_a_cancelled_run_is_not_tried_again(self) -> None:
        run, pod = running(backoffLimit=2)
        run["spec"]["cancel"] = "Graceful"
        over = decide(run, seen(raised(pod))).status
        assert condition(over, "Succeeded") == ("False", "FlowRaised")
        assert over is not None
        assert over["diagnosis"]["message"] == "The flow failed: ValueError: no.", (
            "nothing is said of budgets or deadlines"
        )

    def test_a_cancel_between_two_attempts_ends_the_run_at_once(self) -> None:
        run, pod = retrying()
        run["spec"]["cancel"] = "Graceful"
        plan = decide(run, seen(pod), after=7)
        assert condition(plan.status, "Succeeded") == ("False", "Cancelled")
        assert plan.status is not None
        assert (
            plan.status["diagnosis"]["message"]
            == "The run was cancelled between two attempts: spec.cancel is Graceful."
        )
        assert len(plan.status["attempts"]) == 1
        assert not plan.create

    def test_callbacks_of_an_attempt_are_kept_when_the_next_begins(self) -> None:
        run, pod = retrying(m.a_ready_deployment(callbacks=("on_exit",)))
        assert [each["state"] for each in run["status"]["hooks"]] == ["Succeeded"]
        plan = decide(run, seen(pod), after=15)
        assert plan.status is not None
        assert "hooks" not in plan.status
        assert [each["state"] for each in plan.status["attempts"][0]["hooks"]] == ["Succeeded"]

    def test_the_clusters_of_earlier_attempts_go_at_once_and_their_pods_say_nothing_of_this_one(self) -> None:
        run, pod = running(m.a_ready_deployment(environment=DASK), backoffLimit=1)
        made = decide(m.a_run(), ObservedRun(deployment=m.a_ready_deployment(environment=DASK))).create
        cluster, autoscaler = m.scheduled(made[0]), m.scheduled(made[1])
        plan = run_plan.decide(run, seen(raised(pod), cluster=cluster, autoscaler=autoscaler), m.settings(), m.NOW)
        assert plan.status is not None
        assert plan.status["phase"] == "Retrying"
        assert {each.kind for each in plan.delete} == {"DaskCluster", "DaskAutoscaler"}
        run = m.with_status(run, plan.status)
        later = decide(run, seen(raised(pod), cluster=cluster, autoscaler=autoscaler), after=15)
        assert [each["kind"] for each in later.create] == ["DaskCluster", "DaskAutoscaler", "Pod"]
        run = m.with_status(run, later.status)
        still = decide(run, ObservedRun(runners=(raised(pod),), earlier=(cluster,)), after=16)
        assert [each.name for each in still.delete] == [cluster["metadata"]["name"]]


class TestNeverTwo:
    def lost(self, **spec: Any) -> tuple[Manifest, ObservedRun, Plan]:
        run, pod = running(**spec)
        gone = seen(dying(pod))
        plan = decide(run, gone, after=80)
        return m.with_status(run, plan.status), gone, plan

    def test_a_lost_node_is_waited_for_before_the_next_attempt(self) -> None:
        run, gone, plan = self.lost()
        assert plan.status is not None
        assert plan.status["ending"]["reason"] == "NodeLost"
        assert plan.status["phase"] == "Running"
        assert condition(plan.status, "Ready") == ("False", "NodeLost")
        assert plan.again_after == pytest.approx(595)
        back = decide(run, replace(gone, runner=None, runners=(), runner_gone=True), after=300)
        assert back.status is not None
        assert back.status["phase"] == "Retrying"
        assert back.status["retries"] == {"infrastructure": 1}

    def test_but_not_for_ever(self) -> None:
        run, gone, _ = self.lost()
        over = decide(run, gone, after=700)
        assert condition(over.status, "Succeeded") == ("False", "NodeLost")
        assert over.status is not None
        assert "activeDeadlineSeconds" not in over.status["diagnosis"]["message"]

    def test_a_lost_node_ends_a_run_that_is_not_tried_again(self) -> None:
        _, _, plan = self.lost(infrastructureBackoffLimit=0)
        assert condition(plan.status, "Succeeded") == ("False", "NodeLost")

    def test_a_pod_that_turns_up_is_stopped_before_another_is_made(self) -> None:
        run, pod = retrying()
        stray = m.running({**pod, "metadata": {**pod["metadata"], "name": "squares-1-11111111-0"}})
        plan = decide(run, ObservedRun(runners=(stray,)), after=30)
        assert plan.status is not None
        assert condition(plan.status, "Ready") == ("False", "Stopping")
        assert not plan.create
        assert [each.name for each in plan.delete] == ["squares-1-11111111-0"]


class TestSuspend:
    def suspended(self, run: Manifest, *, wished: bool = True) -> Manifest:
        return {**run, "spec": {**run["spec"], "suspend": wished}}

    def test_a_run_that_has_not_begun_makes_nothing_however_long_it_lasts(self) -> None:
        plan = decide(m.a_run(suspend=True), ObservedRun(deployment=m.a_ready_deployment()), after=10_000)
        assert plan.status is not None
        assert plan.status["phase"] == "Suspended"
        assert condition(plan.status, "Suspended") == ("True", "Suspended")
        assert condition(plan.status, "Succeeded") == ("Unknown", "Suspended")
        assert "attempt" not in plan.status
        assert plan.create == ()
        assert [(each.type, each.reason) for each in plan.announce] == [("Normal", "Suspended")]

    def test_resumed_it_begins_and_its_patience_begins_too(self) -> None:
        told = decide(m.a_run(suspend=True), ObservedRun(), after=10_000)
        run = self.suspended(m.with_status(m.a_run(), told.status), wished=False)
        waits = decide(run, ObservedRun(), after=20_000)
        assert waits.status is not None
        assert waits.status["phase"] == "Pending"
        assert waits.status["resumeTime"] == m.at(20_000)
        assert condition(waits.status, "Suspended") is None
        assert [each.reason for each in waits.announce] == ["Resumed"]
        run = m.with_status(run, waits.status)
        begins = decide(run, ObservedRun(deployment=m.a_ready_deployment()), after=20_500)
        assert [each["kind"] for each in begins.create] == ["Pod"]

    def test_a_running_one_is_stopped_as_by_a_graceful_cancel(self) -> None:
        run, pod = running()
        told = decide(self.suspended(run), seen(pod))
        assert told.status is not None
        assert told.status["ending"]["outcome"] == "Suspended"
        assert condition(told.status, "Ready") == ("False", "Suspending")
        assert [(each.kind, each.grace) for each in told.delete] == [("Pod", None)]
        run = m.with_status(self.suspended(run), told.status)
        over = decide(run, ObservedRun(runner_gone=True))
        assert over.status is not None
        assert over.status["phase"] == "Suspended"
        assert [each["outcome"] for each in over.status["attempts"]] == ["Suspended"]
        assert "retries" not in over.status

    def test_resumed_it_goes_on_with_another_attempt(self) -> None:
        run, _ = running()
        run = self.suspended(run)
        run = m.with_status(run, decide(run, ObservedRun(runner_gone=True)).status)
        assert run["status"]["phase"] == "Suspended"
        plan = decide(self.suspended(run, wished=False), ObservedRun(), after=100)
        assert plan.status is not None
        assert (plan.status["phase"], plan.status["attempt"]) == ("SettingUp", 2)
        assert plan.status["resumeTime"] == m.at(100)
        assert "startTime" not in plan.status
        assert [each["metadata"]["name"] for each in plan.create] == ["squares-1-11111111-2"]

    def test_resumed_while_it_is_being_stopped_it_is_stopped_first(self) -> None:
        run, pod = running()
        run = m.with_status(self.suspended(run), decide(self.suspended(run), seen(pod)).status)
        run = self.suspended(run, wished=False)
        waits = decide(run, seen(dying(pod)))
        assert waits.status is None
        assert not waits.create
        over = {**pod, "status": {"phase": "Failed"}}
        paused = run_plan.decide(run, ObservedRun(runner_gone=True, vanished=over), m.settings(), m.NOW)
        plan = decide(m.with_status(run, paused.status), ObservedRun())
        assert plan.status is not None
        assert plan.status["attempt"] == 2

    def test_a_flow_that_ends_well_all_the_same_has_succeeded(self) -> None:
        run, pod = running()
        run = m.with_status(self.suspended(run), decide(self.suspended(run), seen(pod)).status)
        over = decide(run, seen(m.ended(dying(pod), message=SUCCEEDED)))
        assert over.status is not None
        assert over.status["phase"] == "Succeeded"

    def test_a_cancel_is_stronger_and_ends_a_suspended_run_at_once(self) -> None:
        run, _ = running()
        run = self.suspended(run)
        run = m.with_status(run, decide(run, ObservedRun(runner_gone=True)).status)
        run["spec"]["cancel"] = "Now"
        plan = decide(run, ObservedRun())
        assert condition(plan.status, "Succeeded") == ("False", "Cancelled")
        assert condition(plan.status, "Suspended") is None
        assert plan.status is not None
        assert "while it was suspended" in plan.status["diagnosis"]["message"]

    def test_a_run_that_waits_for_another_attempt_may_be_suspended(self) -> None:
        run, pod = retrying()
        plan = decide(self.suspended(run), seen(pod), after=7)
        assert plan.status is not None
        assert plan.status["phase"] == "Suspended"
        assert len(plan.status["attempts"]) == 1

    def test_its_cluster_goes(self) -> None:
        run, pod = running(m.a_ready_deployment(environment=DASK))
        made = decide(m.a_run(), ObservedRun(deployment=m.a_ready_deployment(environment=DASK))).create
        world = ObservedRun(runner_gone=True, cluster=m.scheduled(made[0]), autoscaler=m.scheduled(made[1]))
        plan = run_plan.decide(self.suspended(run), world, m.settings(), m.NOW + timedelta(seconds=5))
        assert plan.status is not None
        assert plan.status["phase"] == "Suspended"
        assert {each.kind for each in plan.delete} == {"DaskCluster", "DaskAutoscaler"}
        assert pod
