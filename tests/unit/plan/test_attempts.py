"""The one door: told before anything is stopped, then the fence, and only then the end."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from flow_operator.plan import fence
from flow_operator.plan import run as run_plan
from flow_operator.plan.types import ObservedRun, Plan
from tests.support import makers as m
from tests.support.condition_rules import violations

Manifest = dict[str, Any]
DASK = {"daskKubernetes": {"minWorkers": 1, "maxWorkers": 4, "provider": "DaskCluster"}}
HOOKED = m.a_ready_deployment(callbacks=("on_exit",))
RECEIPT = json.dumps({"hooks": [{"name": "on_exit", "state": "Succeeded"}]})
SUCCEEDED = json.dumps({"state": "Succeeded", "result": 1})
RAISED = json.dumps({"state": "Failed", "reason": "FlowRaised", "error": {"type": "ValueError", "message": "no"}})
STOPPED = json.dumps({"state": "Failed", "reason": "Stopped", "error": {"type": "Stopped", "message": "by SIGTERM"}})


def decide(run: Manifest, seen: ObservedRun, after: float = 5) -> Plan:
    """Decide, and decide again upon the result: the second time there must be nothing new to tell."""
    now = m.NOW + timedelta(seconds=after)
    plan = run_plan.decide(run, seen, m.settings(), now)
    told = m.with_status(run, plan.status)
    assert not violations(told), violations(told)
    if told["status"].get("attempt") != run.get("status", {}).get("attempt"):  # nothing of the next one is there yet
        seen = replace(seen, runner=None, runner_gone=False, cluster=None, autoscaler=None)
    assert run_plan.decide(told, seen, m.settings(), now).status is None, "the same world must give the same status"
    return plan


def begun(deployment: Manifest | None = None, **spec: Any) -> tuple[Manifest, Manifest]:
    """Return a run that is being set up, and its pod."""
    plan = decide(m.a_run(**spec), ObservedRun(deployment=deployment or m.a_ready_deployment()))
    (pod,) = [m.scheduled(each) for each in plan.create if each["kind"] == "Pod"]
    return m.with_status(m.a_run(**spec), plan.status), pod


def running(deployment: Manifest | None = None, **spec: Any) -> tuple[Manifest, Manifest]:
    run, pod = begun(deployment, **spec)
    pod = m.running(pod)
    return m.with_status(run, decide(run, seen(pod)).status), pod


def seen(pod: Manifest, **more: Any) -> ObservedRun:
    return ObservedRun(runner=pod, runners=(pod,), **more)


def dying(pod: Manifest, grace: int = 15) -> Manifest:
    out = json.loads(json.dumps(pod))
    out["metadata"] |= {"deletionTimestamp": m.at(grace), "deletionGracePeriodSeconds": grace}
    return dict(out)


def condition(run: Manifest, kind: str) -> Manifest:
    (found,) = [each for each in run["status"]["conditions"] if each["type"] == kind]
    return dict(found)


class TestFence:
    """What may still run a flow, and what cannot any more."""

    _, pod = begun(HOOKED)

    def test_a_pod_may_run_until_every_container_of_it_has_ended(self) -> None:
        assert fence.may_run(self.pod)
        assert fence.may_run(m.running(self.pod))
        half = m.running(m.ended(self.pod), "flow-hooks")
        assert fence.may_run(half), "callbacks count"
        assert fence.may_run(m.ended(self.pod)), "a container of which nothing is said yet may come"
        assert not fence.may_run(m.ended(half, "flow-hooks"))

    def test_callbacks_that_were_killed_begin_again_but_in_a_dying_pod(self) -> None:
        killed = m.ended(m.ended(self.pod), "flow-hooks", code=137)
        assert fence.may_run(killed), "the kubelet restarts it on failure"
        assert not fence.may_run(dying(killed))
        assert not fence.may_run({**killed, "status": {**killed["status"], "phase": "Failed"}})
        for each in killed["spec"]["containers"]:
            each.pop("restartPolicy", None)  # a server before 1.35 does not know it
        assert not fence.may_run(killed)

    @pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
    def test_a_kubelet_that_says_so_is_believed(self, phase: str) -> None:
        assert not fence.may_run({**self.pod, "status": {"phase": phase}})

    def test_a_dying_pod_may_run_until_its_end_is_confirmed(self) -> None:
        assert fence.may_run(dying(m.running(self.pod)))
        assert not fence.may_run(dying(m.running(self.pod), grace=0))

    def test_pods_of_every_attempt_count_and_the_last_words_of_one_that_is_gone_do_not(self) -> None:
        alive = m.running(self.pod)
        assert fence.living(ObservedRun(runner=alive)) == (alive,)
        assert fence.living(ObservedRun(runner=alive, runners=(alive,))) == (alive,)
        assert fence.living(ObservedRun(runners=(alive,))) == (alive,)
        assert fence.living(ObservedRun(runner=alive, runner_gone=True)) == ()

    def test_a_pod_that_was_deleted_by_force_has_no_successor_until_its_node_has_had_the_time(self) -> None:
        run, pod = running()
        gone = ObservedRun(runner=dying(m.running(pod), grace=0), runner_gone=True)
        asked = {**run, "spec": {**run["spec"], "suspend": True}}
        resumed = {**m.with_status(asked, decide(asked, gone).status), "spec": run["spec"]}
        assert resumed["status"]["phase"] == "Suspended"
        left = pod["spec"]["terminationGracePeriodSeconds"] + fence.FORCED_PATIENCE
        early = decide(resumed, gone, after=left - 1)
        assert (early.create, early.again_after) == ((), 1.0)
        assert decide(resumed, gone, after=left).create
        confirmed = ObservedRun(runner=dying(m.ended(pod), grace=0), runner_gone=True)
        assert decide(resumed, confirmed).create, "its kubelet has said so"

    @pytest.mark.parametrize("known", [False, True])
    def test_so_it_is_with_one_that_is_gone_at_once(self, known: bool) -> None:
        """Without callbacks there is no finalizer; after a restart nobody knows how the pod was last."""
        run, pod = running(infrastructureBackoffLimit=1)
        gone = ObservedRun(runner_gone=known, vanished=pod if known else None)
        left = pod["spec"]["terminationGracePeriodSeconds"] + fence.FORCED_PATIENCE
        retrying = m.with_status(run, decide(run, gone).status)
        asked = {**run, "spec": {**run["spec"], "suspend": True}}
        resumed = {**m.with_status(asked, decide(asked, gone).status), "spec": run["spec"]}
        for each, phase in ((retrying, "Retrying"), (resumed, "Suspended")):
            assert each["status"]["phase"] == phase
            assert each["status"]["attempts"][0]["mayRunUntil"] == m.at(5 + left)
            early = decide(each, ObservedRun(), after=4 + left)
            assert (early.create, early.again_after) == ((), 1.0)
            assert decide(each, ObservedRun(), after=5 + left).create
        assert f"Attempt 2 begins in {left:.0f}s" in condition(retrying, "Ready")["message"]

    def test_a_pod_of_which_nothing_can_run_is_not_waited_for(self) -> None:
        run, pod = running(infrastructureBackoffLimit=1)
        failed = {**pod, "status": {**pod["status"], "phase": "Failed"}}  # the pod garbage collector: its node is gone
        waiting_for_it, nowhere = begun(infrastructureBackoffLimit=1)
        for known, last in ((run, failed), (waiting_for_it, nowhere)):
            told = decide(known, ObservedRun(runner_gone=True, vanished=last)).status
            assert told is not None
            assert told["nextAttemptTime"] == m.at(15), "the pause alone"
            assert "mayRunUntil" not in told["attempts"][0]
        pulling = {**nowhere, "spec": {**nowhere["spec"], "nodeName": "node-1"}}
        told = decide(waiting_for_it, ObservedRun(runner_gone=True, vanished=pulling)).status
        assert told is not None
        assert "mayRunUntil" in told["attempts"][0], "its node may begin it any moment"


class TestTheDoor:
    def test_an_attempt_that_ends_by_itself_is_recorded_with_the_end_in_one_write(self) -> None:
        run, pod = running()
        for message, outcome, why in ((SUCCEEDED, "Succeeded", None), (RAISED, "Failed", "FlowRaised")):
            told = decide(run, seen(m.ended(pod, message=message, code=0 if why is None else 1))).status
            assert told is not None
            (attempt,) = told["attempts"]
            assert (told["phase"], attempt["outcome"], attempt.get("reason")) == (outcome, outcome, why)
            assert attempt["number"] == 1
            assert attempt["pod"] == pod["metadata"]["name"]
            assert (attempt["startTime"], attempt["completionTime"]) == (m.at(1), m.at(5))
            assert "ending" not in told

    def test_a_run_that_never_had_an_attempt_has_none(self) -> None:
        told = decide(m.a_run(cancel="Now"), ObservedRun()).status
        assert told is not None
        assert "attempts" not in told

    def test_the_verdict_is_told_before_the_pod_is_stopped_and_the_end_when_it_has(self) -> None:
        run, pod = running(HOOKED)
        told = decide({**run, "spec": {**run["spec"], "cancel": "Graceful"}}, seen(pod))
        assert told.status is not None
        assert told.status["ending"]["outcome"] == "Cancelled"
        assert [each.kind for each in told.delete] == ["Pod"]
        assert "completionTime" not in told.status

    def test_a_wish_that_is_gone_does_not_change_the_end(self) -> None:
        """A later run of the schedule was deleted meanwhile; the pod is being stopped all the same."""
        run, pod = running()
        told = decide(run, seen(pod, replaced_by="squares-2"))
        over = decide(m.with_status(run, told.status), seen(m.ended(dying(pod), code=79, message=STOPPED)))
        assert over.status is not None
        assert over.status["phase"] == "Cancelled"
        assert over.status["attempts"][0]["reason"] == "Replaced"

    def crashing(self, run: Manifest, pod: Manifest) -> ObservedRun:
        labels = {"dask.org/component": "scheduler"}
        meta = {"name": "s", "namespace": "team-a", "uid": "s", "labels": labels}
        scheduler = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": []}, "status": {}}
        looping = m.waiting(scheduler, "CrashLoopBackOff", "scheduler", restarts=3)
        return seen(pod, dask_pods=(looping,))

    def test_receipts_of_an_attempt_that_the_operator_ends_are_recorded(self) -> None:
        run, pod = begun(m.a_ready_deployment(callbacks=("on_exit",), environment=DASK))
        pod = m.running(pod)
        told = decide(run, self.crashing(run, pod))
        assert told.status is not None
        assert told.status["ending"]["reason"] == "SchedulerCrashLoop"
        assert told.status["phase"] == "SettingUp"
        run = m.with_status(run, told.status)
        half = m.running(m.ended(dying(pod, 45), code=79, message=STOPPED), "flow-hooks")
        finishing = decide(run, seen(half))
        assert finishing.status is not None
        assert finishing.status["phase"] == "Finishing"
        assert not finishing.delete
        over = decide(m.with_status(run, finishing.status), seen(m.ended(half, "flow-hooks", message=RECEIPT)))
        assert over.status is not None
        assert over.status["diagnosis"]["reason"] == "SchedulerCrashLoop"
        assert [each["state"] for each in over.status["hooks"]] == ["Succeeded"]

    def test_a_flow_that_succeeds_while_it_is_stopped_has_succeeded(self) -> None:
        run, pod = running()
        run["spec"]["cancel"] = "Graceful"
        run = m.with_status(run, decide(run, seen(pod)).status)
        over = decide(run, seen(m.ended(dying(pod), message=SUCCEEDED)))
        assert over.status is not None
        assert (over.status["phase"], over.status["result"]) == ("Succeeded", 1)

    def test_a_node_that_never_reports_does_not_hold_the_end_for_ever(self) -> None:
        run, pod = running()
        run["spec"]["cancel"] = "Graceful"
        run = m.with_status(run, decide(run, seen(pod)).status)
        gone = seen(dying(pod))
        early = decide(run, gone, after=60)
        assert early.status is None
        assert early.again_after == pytest.approx(15)
        over = decide(run, gone, after=80)
        assert over.status is not None
        assert over.status["phase"] == "Cancelled"
        assert "the flow may still run there" in over.status["diagnosis"]["message"]

    def test_a_pod_whose_end_is_confirmed_is_not_waited_for_though_a_finalizer_holds_it(self) -> None:
        run, pod = running(HOOKED, infrastructureBackoffLimit=0)
        forced = dying(pod, grace=0)
        grace = pod["spec"]["terminationGracePeriodSeconds"]
        early = decide(run, seen(forced))
        assert (early.status, early.again_after) == (None, grace + fence.FORCED_PATIENCE - 5), "its node may tell yet"
        collected = {**forced, "status": {**forced["status"], "phase": "Failed"}}  # the pod garbage collector
        told = decide(run, seen(collected)).status
        assert told is not None
        assert told["ending"]["reason"] == "NodeLost"
        assert "what its flow came to is not known" in told["ending"]["message"]
        assert told["hooks"][0]["state"] == "Pending", "and on_exit is run elsewhere"

    def test_a_pod_of_an_earlier_attempt_holds_the_end_too(self) -> None:
        run, pod = running()
        other = {**pod, "metadata": {**pod["metadata"], "name": "squares-1-11111111-0"}}
        told = decide(run, replace(seen(m.ended(pod, message=SUCCEEDED)), runners=(other, m.ended(pod))))
        assert told.status is not None
        assert told.status["ending"]["outcome"] == "Succeeded"
        assert [each.name for each in told.delete] == ["squares-1-11111111-0"]
