"""The life of a run, decided step by step: what is told, what is made, and that saying it twice changes nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from flow_operator.plan import run as run_plan
from flow_operator.plan.types import ObservedRun, Plan
from tests.support import kstatus
from tests.support import makers as m
from tests.support.decided import decided

Manifest = dict[str, Any]
DRAINED = [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "drained"}]
DASK = {"daskKubernetes": {"minWorkers": 1, "maxWorkers": 4, "provider": "DaskCluster"}}


def decide(run: Manifest, seen: ObservedRun, after: float = 2) -> Plan:
    return decided(run, seen, after)


def begun(deployment: Manifest | None = None, **spec: Any) -> tuple[Manifest, Plan]:
    """Return a run whose children are wished for, and the plan that says so."""
    run = m.a_run(**spec)
    plan = decide(run, ObservedRun(deployment=deployment or m.a_ready_deployment()))
    return m.with_status(run, plan.status), plan


def end(run: Manifest, seen: ObservedRun, after: float) -> Manifest:
    """Decide how a run ends whose pod may still run: it is told, then the pod is stopped, and only then it is over."""
    told = decide(run, seen, after)
    assert told.status is not None
    assert told.status["ending"]["outcome"] == "Failed"
    assert [each.kind for each in told.delete] == ["Pod"]
    assert "completionTime" not in told.status
    stopping = m.with_status(run, told.status)
    over = decide(stopping, replace(seen, runner=None, runner_gone=True, runners=()), after + 1)
    assert over.status is not None
    assert "ending" not in over.status
    return over.status


def reason(status: Manifest | None, kind: str = "Ready") -> str:
    assert status is not None
    return str(next(each["reason"] for each in status["conditions"] if each["type"] == kind))


def made(plan: Plan, kind: str) -> Manifest:
    (found,) = [each for each in plan.create if each["kind"] == kind]
    return m.scheduled(found)


def test_a_run_is_pinned_before_its_pod_is_made() -> None:
    run, plan = begun(parameters={"n": 20})
    assert run["status"]["image"] == m.IMAGE
    assert run["status"]["parameters"] == {"n": 20}
    assert run["status"]["attempt"] == 1
    assert run["status"]["phase"] == "SettingUp"
    assert [each["kind"] for each in plan.create] == ["Pod"]


def test_the_runner_pod_is_named_by_uid_and_attempt_and_owned_by_the_run() -> None:
    _, plan = begun()
    meta = made(plan, "Pod")["metadata"]
    assert meta["name"] == "squares-1-11111111-1"
    assert [each["uid"] for each in meta["ownerReferences"]] == [m.RUN_UID]


def test_a_later_edit_of_the_deployment_does_not_reach_a_run_that_has_begun() -> None:
    run, plan = begun()
    changed = m.a_ready_deployment(runner={"nodeSelector": {"disk": "ssd"}})
    changed["status"]["image"] = "other@sha256:" + "c" * 64
    again = decide(run, ObservedRun(deployment=changed))
    assert again.create == plan.create


def test_an_unknown_deployment_is_waited_for_and_named() -> None:
    plan = decide(m.a_run(), ObservedRun())
    assert plan.status is not None
    assert plan.status["phase"] == "Pending"
    assert reason(plan.status) == "DeploymentNotFound"
    assert "squares" in plan.status["diagnosis"]["message"]
    assert not plan.create


def test_an_unknown_deployment_fails_the_run_at_its_deadline() -> None:
    plan = decide(m.a_run(preRunningDeadlineSeconds=30), ObservedRun(), after=31)
    assert plan.status is not None
    assert plan.status["phase"] == "Failed"
    assert reason(plan.status, "Succeeded") == "DeploymentNotFound"


@pytest.mark.parametrize("limit", [30, 3600])
def test_a_run_that_says_nothing_waits_as_long_as_its_deployment_allows(limit: int) -> None:
    deployment = m.a_deployment(run={"preRunningDeadlineSeconds": limit})
    waits = decide(m.a_run(), ObservedRun(deployment=deployment), after=limit - 1)
    assert waits.status is not None
    assert (waits.status["phase"], waits.again_after) == ("Pending", 1.0)
    over = decide(m.a_run(), ObservedRun(deployment=deployment), after=limit)
    assert over.status is not None
    assert over.status["phase"] == "Failed"
    own = decide(m.a_run(preRunningDeadlineSeconds=90), ObservedRun(deployment=deployment), after=60)
    assert own.again_after == 30.0


def test_a_pod_that_is_late_is_given_the_rest_of_its_time_and_no_more() -> None:
    run, plan = begun()
    pod = made(plan, "Pod")
    assert decide(run, ObservedRun(runner=pod, runners=(pod,)), after=601).again_after == 1.0


def test_a_deployment_that_is_not_ready_says_why() -> None:
    deployment = m.a_ready_deployment()
    deployment["status"]["conditions"][0] |= {
        "status": "False",
        "reason": "ImportFailed",
        "message": "no module pandas",
    }
    plan = decide(m.a_run(), ObservedRun(deployment=deployment))
    assert reason(plan.status) == "DeploymentNotReady"
    assert plan.status is not None
    assert "no module pandas" in plan.status["diagnosis"]["message"]


def test_a_deployment_whose_change_was_not_looked_at_is_not_used() -> None:
    deployment = m.a_ready_deployment()
    deployment["metadata"]["generation"] = 2
    plan = decide(m.a_run(), ObservedRun(deployment=deployment))
    assert reason(plan.status) == "DeploymentNotReady"


def test_a_deployment_with_nothing_but_a_wrong_schedule_can_run() -> None:
    deployment = m.a_ready_deployment()
    ready = deployment["status"]["conditions"][0]
    facts = {"Ready": "False", "Stalled": "True", "Built": "True", "Verified": "True", "Scheduled": "False"}
    deployment["status"]["conditions"] = [{**ready, "type": kind, "status": status} for kind, status in facts.items()]
    assert decide(m.a_run(), ObservedRun(deployment=deployment)).create
    deployment["status"]["conditions"][2]["status"] = "False"  # not built
    assert not decide(m.a_run(), ObservedRun(deployment=deployment)).create


@pytest.mark.parametrize(("parameters", "named"), [({"m": 1}, "unknown: m"), ({"n": 1, "x": 2}, "unknown: x")])
def test_parameters_the_flow_does_not_take_fail_the_run_before_a_pod_exists(parameters: Manifest, named: str) -> None:
    plan = decide(m.a_run(parameters=parameters), ObservedRun(deployment=m.a_ready_deployment()))
    assert reason(plan.status) == "ParametersInvalid"
    assert plan.status is not None
    assert named in plan.status["diagnosis"]["message"]
    assert not plan.create


def test_parameters_that_no_environment_variable_takes_fail_the_run_before_a_pod_exists() -> None:
    fits = {"n": "ä" * 16_300}  # six bytes each, as JSON has them
    plan = decide(m.a_run(parameters=fits), ObservedRun(deployment=m.a_ready_deployment()))
    (told,) = [each["value"] for each in plan.create[-1]["spec"]["containers"][0]["env"] if "_RUN" in each["name"]]
    assert 97_800 < len(told) < 100_000
    plan = decide(m.a_run(parameters={"n": "ä" * 17_000}), ObservedRun(deployment=m.a_ready_deployment()))
    assert reason(plan.status) == "ParametersInvalid"
    assert plan.status is not None
    assert "102,008 bytes" in plan.status["diagnosis"]["message"]
    assert not plan.create


def test_a_required_parameter_that_is_missing_is_named() -> None:
    deployment = m.a_ready_deployment()
    deployment["status"]["flow"]["parameters"] = [{"name": "day", "required": True}]
    plan = decide(m.a_run(), ObservedRun(deployment=deployment))
    assert plan.status is not None
    assert "missing: day" in plan.status["diagnosis"]["message"]


def report(**fields: Any) -> str:
    return json.dumps(fields)


def test_a_flow_that_succeeds() -> None:
    run, plan = begun()
    pod = made(plan, "Pod")
    run = m.with_status(run, decide(run, ObservedRun(runner=m.running(pod), runners=(pod,))).status)
    assert run["status"]["phase"] == "Running"
    assert run["status"]["startTime"] == m.at(1)
    done = m.ended(pod, message=report(state="Succeeded", result=285, stages={"flow": 1.25}))
    plan = decide(run, ObservedRun(runner=done, runners=(done,)), after=3)
    assert plan.status is not None
    assert plan.status["phase"] == "Succeeded"
    assert plan.status["result"] == 285
    assert plan.status["stages"]["flow"] == "1.2s"
    assert plan.status["duration"] == "2s"
    assert [each.reason for each in plan.announce] == ["Succeeded"]


def test_a_quick_flow_may_be_seen_only_when_it_is_over() -> None:
    run, plan = begun()
    done = m.ended(made(plan, "Pod"), message=report(state="Succeeded"))
    plan = decide(run, ObservedRun(runner=done, runners=(done,)))
    assert plan.status is not None
    assert plan.status["phase"] == "Succeeded"
    assert {each["type"]: each["status"] for each in plan.status["conditions"]} == {
        "Ready": "True",
        "SetUp": "True",
        "Started": "True",
        "Succeeded": "True",
    }


def test_a_flow_that_raises_shows_type_message_and_place() -> None:
    run, plan = begun()
    error = {"type": "ValueError", "message": "n is negative", "frames": ["flow.py:3 in flow"]}
    done = m.ended(made(plan, "Pod"), code=1, message=report(state="Failed", reason="FlowRaised", error=error))
    plan = decide(run, ObservedRun(runner=done, runners=(done,)))
    assert plan.status is not None
    assert reason(plan.status, "Succeeded") == "FlowRaised"
    assert plan.status["error"] == error
    assert "ValueError: n is negative (at flow.py:3 in flow)" in plan.status["diagnosis"]["message"]


@pytest.mark.parametrize(
    ("state", "pod_status", "expected"),
    [
        ({"code": 137, "reason": "OOMKilled"}, {}, "OutOfMemory"),
        ({"code": 137, "reason": "Error"}, {}, "Killed"),
        ({"code": 137, "reason": "Error"}, {"reason": "Evicted", "message": "disk"}, "Evicted"),
        ({"code": 143, "reason": "Error"}, {"conditions": DRAINED}, "Evicted"),
        ({"code": 143, "reason": "Error"}, {"reason": "DeadlineExceeded"}, "DeadlineExceeded"),
    ],
)
def test_a_flow_that_is_killed_without_a_word(state: Manifest, pod_status: Manifest, expected: str) -> None:
    run, plan = begun(infrastructureBackoffLimit=0)
    done = m.ended(made(plan, "Pod"), **state)
    done["status"] |= pod_status
    assert reason(decide(run, ObservedRun(runner=done, runners=(done,))).status, "Succeeded") == expected


def test_an_oom_verdict_wins_over_an_older_report() -> None:
    run, plan = begun()
    done = m.ended(made(plan, "Pod"), code=137, reason="OOMKilled", message=report(state="Succeeded"))
    assert reason(decide(run, ObservedRun(runner=done)).status, "Succeeded") == "OutOfMemory"


def test_a_runner_that_vanished_fails_the_run_and_is_never_made_again() -> None:
    run, plan = begun(infrastructureBackoffLimit=0)
    pod = made(plan, "Pod")
    run = m.with_status(run, decide(run, ObservedRun(runner=m.running(pod), runners=(pod,))).status)
    plan = decide(run, ObservedRun())
    assert reason(plan.status, "Succeeded") == "RunnerDeleted"
    assert not plan.create


def test_a_runner_deleted_before_it_was_seen_to_run_is_not_made_again() -> None:
    run, _ = begun(infrastructureBackoffLimit=0)
    plan = decide(run, ObservedRun(runner_gone=True))
    assert reason(plan.status, "Succeeded") == "RunnerDeleted"
    assert not plan.create


def test_a_runner_that_was_collected_with_its_node_was_lost_with_it() -> None:
    run, plan = begun(infrastructureBackoffLimit=0)
    pod = m.running(made(plan, "Pod"))
    run = m.with_status(run, decide(run, ObservedRun(runner=pod, runners=(pod,))).status)
    collected = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC"}
    last = {**pod, "status": {**pod["status"], "phase": "Failed", "conditions": [collected]}}
    plan = decide(run, ObservedRun(runner_gone=True, vanished=last))
    assert reason(plan.status, "Succeeded") == "NodeLost"
    assert not plan.create


def test_a_node_that_never_reports_the_end_is_called_lost() -> None:
    run, plan = begun(infrastructureBackoffLimit=0)
    pod = m.running(made(plan, "Pod"))
    run = m.with_status(run, decide(run, ObservedRun(runner=pod, runners=(pod,))).status)
    pod["metadata"]["deletionTimestamp"] = m.at(20)
    early = decide(run, ObservedRun(runner=pod, runners=(pod,)), after=60)
    assert early.status is None
    assert early.again_after == pytest.approx(20)
    assert reason(decide(run, ObservedRun(runner=pod, runners=(pod,)), after=90).status, "Succeeded") == "NodeLost"


def test_a_flow_that_takes_anything_takes_anything() -> None:
    deployment = m.a_ready_deployment()
    deployment["status"]["flow"]["parameters"] = [{"name": "**", "required": False}]
    plan = decide(m.a_run(parameters={"x": 1}), ObservedRun(deployment=deployment))
    assert plan.status is not None
    assert plan.status["phase"] == "SettingUp"


def test_an_image_that_cannot_be_pulled_is_shown_then_ends_the_run() -> None:
    run, plan = begun(infrastructureBackoffLimit=0)
    pod = m.waiting(made(plan, "Pod"), "ImagePullBackOff", message="not found")
    shown = decide(run, ObservedRun(runner=pod, runners=(pod,)), after=10)
    assert shown.status is not None
    assert shown.status["phase"] == "SettingUp"
    assert shown.status["diagnosis"]["reason"] == "ImagePullFailed"
    ended = end(run, ObservedRun(runner=pod, runners=(pod,)), after=120)
    assert ended["phase"] == "Failed"
    assert ended["attempts"][0]["reason"] == "ImagePullFailed"


def test_an_image_is_pulled_only_once_the_pod_has_a_node() -> None:
    run, plan = begun()
    pod = m.waiting(made(plan, "Pod"), "ErrImagePull", message="busy")
    pod["status"]["conditions"] = [{"type": "PodScheduled", "status": "True", "lastTransitionTime": m.at(90)}]
    seen = ObservedRun(runner=pod, runners=(pod,))
    shown = decide(run, seen, after=91)
    assert shown.status is not None
    assert shown.status["diagnosis"]["reason"] == "ImagePullFailed"
    assert "ending" not in shown.status
    assert decide(run, seen, after=149).again_after == 1.0
    ended = decide(run, seen, after=150).status
    assert ended is not None
    assert ended["ending"]["reason"] == "ImagePullFailed"


def test_an_unschedulable_pod_is_waited_for_until_the_deadline() -> None:
    run, plan = begun(preRunningDeadlineSeconds=300)
    pod = m.scheduled(plan.create[0], reason="Unschedulable", message="0/2 nodes are available")
    seen = ObservedRun(runner=pod, runners=(pod,))
    shown = decide(run, seen, after=200)
    assert shown.status is not None
    assert shown.status["diagnosis"]["reason"] == "Unschedulable"
    assert shown.status["phase"] == "SettingUp"
    assert reason(end(run, seen, after=400), "Succeeded") == "Unschedulable"


def test_a_problem_that_heals_leaves_no_diagnosis() -> None:
    run, plan = begun()
    pod = made(plan, "Pod")
    shown = m.waiting(pod, "ErrImagePull")
    run = m.with_status(run, decide(run, ObservedRun(runner=shown, runners=(shown,))).status)
    plan = decide(run, ObservedRun(runner=m.running(pod), runners=(pod,)))
    assert plan.status is not None
    assert "diagnosis" not in plan.status


def test_a_refused_pod_shows_the_servers_words() -> None:
    run, _ = begun()
    plan = decide(run, ObservedRun(refused="pods is forbidden: exceeded quota: small"))
    assert plan.status is not None
    assert plan.status["diagnosis"]["reason"] == "PodRefused"
    assert "exceeded quota" in plan.status["diagnosis"]["message"]
    assert "ResourceQuota" in plan.status["diagnosis"]["remedy"]
    assert plan.create, "it is tried again"


def test_a_pod_that_is_there_after_all_was_not_refused() -> None:
    """The server had made it when the connection broke: what it said of an earlier try is past."""
    run, plan = begun()
    pod = m.running(made(plan, "Pod"))
    plan = decide(run, ObservedRun(runner=pod, runners=(pod,), refused="exceeded quota: small"), after=700)
    assert plan.status is not None
    assert plan.status["phase"] == "Running"


class TestHooks:
    deployment = m.a_ready_deployment(callbacks=("on_start", "on_exit"))

    def end(self, hooks: list[Manifest] | None, code: int = 0, **fields: Any) -> Plan:
        run, plan = begun(self.deployment)
        done = m.ended(made(plan, "Pod"), code=code, message=report(**fields) if fields else "")
        if hooks is not None:
            done = m.ended(done, "flow-hooks", message=json.dumps({"hooks": hooks}))
        else:
            done = m.running(done, "flow-hooks")
        return decide(run, ObservedRun(runner=done, runners=(done,)), after=3)

    def test_no_hooks_container_where_no_callback_is_declared(self) -> None:
        _, plan = begun()
        assert [each["name"] for each in made(plan, "Pod")["spec"]["containers"]] == ["main"]

    def test_a_hooks_container_where_one_is(self) -> None:
        _, plan = begun(self.deployment)
        assert [each["name"] for each in made(plan, "Pod")["spec"]["containers"]] == ["main", "flow-hooks"]

    def test_there_is_no_verdict_before_the_hooks_have_ended(self) -> None:
        plan = self.end(None, state="Succeeded")
        assert plan.status is not None
        assert plan.status["phase"] == "Finishing"

    def test_nor_while_they_were_killed_and_will_begin_again(self) -> None:
        """Seen: killed a moment before main ended, and on_exit ran after the run had been told to have lost it."""
        run, plan = begun(self.deployment)
        killed = m.ended(made(plan, "Pod"), "flow-hooks", code=137, message='{"hooks":[{"name":"on_start"}]}')
        done = m.ended(killed, message=report(state="Succeeded"))
        plan = decide(run, ObservedRun(runner=done, runners=(done,)), after=3)
        assert plan.status is not None
        assert plan.status["phase"] == "Finishing"

    def test_receipts_are_kept(self) -> None:
        hooks: list[Manifest] = [
            {"name": "on_start", "state": "Succeeded", "tries": 1},
            {"name": "on_exit", "state": "Succeeded"},
        ]
        plan = self.end(hooks, state="Succeeded")
        assert plan.status is not None
        assert plan.status["phase"] == "Succeeded"
        assert [each["name"] for each in plan.status["hooks"]] == ["on_start", "on_exit"]

    # The published table: flow x on_start x on_exit -> reason.
    @pytest.mark.parametrize(
        ("code", "fields", "on_start", "on_exit", "expected"),
        [
            (0, {"state": "Succeeded"}, "Succeeded", "Succeeded", "Succeeded"),
            (0, {"state": "Succeeded"}, "Succeeded", "Failed", "OnExitFailed"),
            (1, {"state": "Failed", "reason": "FlowRaised"}, "Succeeded", "Succeeded", "FlowRaised"),
            (1, {"state": "Failed", "reason": "FlowRaised"}, "Succeeded", "Failed", "FlowRaised"),
            (78, {"state": "Failed", "reason": "OnStartFailed"}, "Failed", "Skipped", "OnStartFailed"),
            (137, {}, "Succeeded", "Succeeded", "Killed"),
        ],
    )
    def test_the_table(self, code: int, fields: Manifest, on_start: str, on_exit: str, expected: str) -> None:
        hooks: list[Manifest] = [{"name": "on_start", "state": on_start}, {"name": "on_exit", "state": on_exit}]
        assert reason(self.end(hooks, code, **fields).status, "Succeeded") == expected

    def test_a_flow_that_succeeded_keeps_its_result_when_on_exit_failed(self) -> None:
        hooks: list[Manifest] = [
            {"name": "on_exit", "state": "Failed", "error": {"type": "OSError", "message": "no mail"}}
        ]
        plan = self.end(hooks, state="Succeeded", result=1)
        assert plan.status is not None
        assert plan.status["result"] == 1
        assert "OSError: no mail" in plan.status["diagnosis"]["message"]


class TestDask:
    def begun(self) -> tuple[Manifest, Plan]:
        return begun(m.a_ready_deployment(environment=DASK))

    def test_cluster_autoscaler_and_runner_are_made_together_the_runner_last(self) -> None:
        _, plan = self.begun()
        assert [each["kind"] for each in plan.create] == ["DaskCluster", "DaskAutoscaler", "Pod"]

    def test_a_cluster_of_a_fixed_size_has_no_autoscaler(self) -> None:
        fixed = {"daskKubernetes": {"minWorkers": 2, "maxWorkers": 2, "provider": "DaskCluster"}}
        _, plan = begun(m.a_ready_deployment(environment=fixed))
        assert [each["kind"] for each in plan.create] == ["DaskCluster", "Pod"]
        assert plan.create[0]["spec"]["worker"]["replicas"] == 2

    def test_every_role_runs_the_runs_image(self) -> None:
        _, plan = self.begun()
        cluster = plan.create[0]["spec"]
        images = [cluster[role]["spec"]["containers"][0]["image"] for role in ("scheduler", "worker")]
        assert images == [m.IMAGE, m.IMAGE]

    def test_the_resources_environment_wins_over_the_flows(self) -> None:
        deployment = m.a_ready_deployment(environment=DASK)
        deployment["spec"]["environment"] = {"remote": {"executor": "Local"}}
        _, plan = begun(deployment)
        assert [each["kind"] for each in plan.create] == ["Pod"]

    ready: ClassVar[Manifest] = {"conditions": [{"type": "Ready", "status": "True"}]}

    def worker(self, name: str, role: str = "worker", **state: Any) -> Manifest:
        meta = {"name": name, "namespace": "team-a", "uid": name, "labels": {"dask.org/component": role}}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": []}, "status": state}

    def test_the_flow_has_begun_when_a_scheduler_and_a_worker_are_ready(self) -> None:
        run, plan = self.begun()
        pod = m.running(made(plan, "Pod"))
        scheduler, worker = self.worker("s", "scheduler", **self.ready), self.worker("w", **self.ready)
        for pods, phase in (((scheduler,), "SettingUp"), ((worker,), "SettingUp"), ((scheduler, worker), "Running")):
            seen = ObservedRun(runner=pod, runners=(pod,), cluster=plan.create[0], dask_pods=pods)
            told = m.with_status(run, decide(run, seen).status)
            assert told["status"]["phase"] == phase

    def test_a_cluster_that_never_comes_ends_with_what_it_waits_for(self) -> None:
        run, plan = self.begun()
        pod = m.running(made(plan, "Pod"))
        stuck = m.scheduled({**self.worker("s", "scheduler")}, reason="Unschedulable", message="0/2 nodes")
        seen = ObservedRun(runner=pod, runners=(pod,), cluster=plan.create[0], dask_pods=(stuck,))
        assert reason(end(run, seen, after=700), "Succeeded") == "Unschedulable"

    def test_without_a_controller_by_setting_a_run_fails_at_once(self) -> None:
        settings = m.settings(daskOperator={"present": False})
        seen = ObservedRun(deployment=m.a_ready_deployment(environment=DASK))
        plan = run_plan.decide(m.a_run(), seen, settings, m.NOW)
        assert reason(plan.status, "Succeeded") == "DaskControllerAbsent"
        assert not plan.create

    def test_workers_are_counted_and_the_peak_is_kept(self) -> None:
        run, plan = self.begun()
        pod = m.running(made(plan, "Pod"))
        workers = tuple(self.worker(f"w{n}", **self.ready) for n in range(3))
        told = decide(run, ObservedRun(runner=pod, runners=(pod,), cluster=plan.create[0], dask_pods=workers))
        assert told.status is not None
        assert told.status["workers"] == {"desired": 0, "ready": 3, "peak": 3}
        run = m.with_status(run, told.status)
        told = decide(run, ObservedRun(runner=pod, runners=(pod,), cluster=plan.create[0], dask_pods=workers[:1]))
        assert told.status is not None
        assert told.status["workers"] == {"desired": 0, "ready": 1, "peak": 3}

    def test_a_worker_that_crash_loops_ends_the_run(self) -> None:
        run, plan = self.begun()
        pod = m.running(made(plan, "Pod"))
        last = {"terminated": {"exitCode": 1, "message": "ModuleNotFoundError: No module named 'dask'"}}
        worker = m.waiting(self.worker("w0"), "CrashLoopBackOff", "worker", restarts=3)
        worker["status"]["containerStatuses"][0]["lastState"] = last
        seen = ObservedRun(runner=pod, runners=(pod,), cluster=plan.create[0], dask_pods=(worker,))
        told = end(run, seen, after=2)
        assert reason(told, "Succeeded") == "WorkerCrashLoop"
        assert "No module named 'dask'" in told["diagnosis"]["message"]

    def test_an_absent_controller_is_named(self) -> None:
        run, plan = self.begun()
        pod = made(plan, "Pod")
        cluster = m.scheduled(plan.create[0])
        cluster["status"] = {}
        told = decide(run, ObservedRun(runner=pod, runners=(pod,), cluster=cluster), after=20)
        assert told.status is not None
        assert told.status["diagnosis"]["reason"] == "DaskControllerAbsent"


NOT_READY = m.a_deployment()
QUOTA = "exceeded quota: small"


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (ObservedRun(), "DeploymentNotFound"),
        (ObservedRun(deployment=NOT_READY), "DeploymentNotReady"),
        (ObservedRun(deployment=m.a_ready_deployment(), refused=QUOTA), "PodRefused"),
    ],
)
def test_a_run_that_fails_for_what_it_waited_for_says_so_in_one_event(seen: ObservedRun, told: str) -> None:
    run = m.a_run()
    for _ in range(2):  # the first time it is pinned, if it can be
        waits = decide(run, seen)
        run = m.with_status(run, waits.status)
    assert (run["status"]["diagnosis"]["reason"], waits.announce) == (told, ())
    over = decide(run, seen, 700)
    assert over.status is not None
    assert over.status["phase"] == "Failed"
    assert [(each.type, each.reason) for each in over.announce] == [("Warning", told)]


class TestCleanUp:
    def finished(self, **spec: Any) -> tuple[Manifest, Plan]:
        run, plan = begun(m.a_ready_deployment(environment=DASK), **spec)
        pod = m.ended(made(plan, "Pod"), message=report(state="Succeeded"))
        told = decide(run, ObservedRun(runner=pod, runners=(pod,), cluster=plan.create[0], autoscaler=plan.create[1]))
        assert not told.delete, "terminal status is written before clean-up"
        return m.with_status(run, told.status), plan

    def test_the_cluster_goes_once_the_verdict_is_written(self) -> None:
        run, made_by = self.finished()
        plan = run_plan.decide(
            run, ObservedRun(cluster=made_by.create[0], autoscaler=made_by.create[1]), m.settings(), m.NOW
        )
        assert {each.kind for each in plan.delete} == {"DaskCluster", "DaskAutoscaler"}

    def test_a_finalizer_is_waited_for_then_taken_off(self) -> None:
        run, made_by = self.finished()
        cluster = m.scheduled(made_by.create[0])
        cluster["metadata"] |= {"deletionTimestamp": m.at(10), "finalizers": ["kopf.zalando.org/KopfFinalizerMarker"]}
        early = run_plan.decide(run, ObservedRun(cluster=cluster), m.settings(), m.NOW + timedelta(seconds=15))
        assert not early.unblock
        assert early.again_after
        late = run_plan.decide(run, ObservedRun(cluster=cluster), m.settings(), m.NOW + timedelta(seconds=30))
        assert [each.kind for each in late.unblock] == ["DaskCluster"]
        cluster["metadata"]["finalizers"] = ["example.com/audit"]
        others = run_plan.decide(run, ObservedRun(cluster=cluster), m.settings(), m.NOW + timedelta(seconds=30))
        assert (others.unblock, others.again_after) == ((), None), "whose it is, is not for us to say"

    def test_pods_go_after_the_ttl_and_the_run_stays(self) -> None:
        run, made_by = self.finished(ttlSecondsAfterFinished=60)
        pod = m.ended(made(made_by, "Pod"))
        seen = ObservedRun(runners=(pod,))
        early = run_plan.decide(run, seen, m.settings(), m.NOW + timedelta(seconds=30))
        assert early.delete == ()
        assert early.again_after == pytest.approx(32)
        late = run_plan.decide(run, seen, m.settings(), m.NOW + timedelta(seconds=90))
        assert [each.kind for each in late.delete] == ["Pod"]

    def test_a_change_that_comes_too_late_is_looked_at_and_changes_nothing(self) -> None:
        run, _ = self.finished()
        run["metadata"]["generation"] = 2  # cancelled, say
        assert kstatus.status(run) == "InProgress"
        told = run_plan.decide(run, ObservedRun(), m.settings(), m.NOW)
        seen = m.with_status(run, told.status)
        assert kstatus.status(seen) == "Current"
        assert seen["status"]["phase"] == "Succeeded"
        assert run_plan.decide(seen, ObservedRun(), m.settings(), m.NOW).status is None

    def test_a_pod_that_lives_on_after_the_end_is_ended(self) -> None:
        run, made_by = self.finished()
        pod = m.running(made(made_by, "Pod"))  # of a node that was lost, and has come back
        plan = run_plan.decide(run, ObservedRun(runners=(pod,)), m.settings(), m.NOW)
        assert [each.kind for each in plan.delete] == ["Pod"]
