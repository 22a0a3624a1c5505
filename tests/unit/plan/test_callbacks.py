"""What a run promises about its callbacks: limits, receipts, and who runs on_exit where the pod could not."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from flow_operator.api import wire
from flow_operator.plan import pinned
from flow_operator.plan import run as run_plan
from flow_operator.plan.fallback_pod import fallback_pod
from flow_operator.plan.types import ObservedRun, Plan
from tests.support import makers as m
from tests.support.decided import decided

Manifest = dict[str, Any]


def runner(
    callbacks: tuple[str, ...] = ("on_start", "on_exit"), bounds: Manifest | None = None, **run: Any
) -> Manifest:
    """Return the runner pod of a run."""
    deployment = m.a_ready_deployment(callbacks=callbacks, run=bounds or {})
    plan = run_plan.decide(m.a_run(**run), ObservedRun(deployment=deployment), m.settings(), m.NOW)
    return plan.create[-1]


def request(pod: Manifest) -> Manifest:
    """Return what the runner is told."""
    (text,) = [each["value"] for each in pod["spec"]["containers"][0]["env"] if each["name"] == "FLOW_OPERATOR_RUN"]
    said: Manifest = json.loads(text)
    return said


def test_the_limits_are_the_deployments_unless_the_run_has_its_own_and_the_grace_period_follows() -> None:
    bounds = {"stopGraceSeconds": 60, "callbackTimeoutSeconds": 120}
    pod = runner(bounds=bounds, callbackTimeoutSeconds=200)
    assert (request(pod)["stopGraceSeconds"], request(pod)["hookTimeoutSeconds"]) == (60, 200)
    assert pod["spec"]["terminationGracePeriodSeconds"] == 60 + 200 + 5


def test_a_flow_without_callbacks_has_no_time_for_them() -> None:
    pod = runner(callbacks=(), stopGraceSeconds=60)
    assert pod["spec"]["terminationGracePeriodSeconds"] == 65


SUCCEEDED = json.dumps({"state": "Succeeded", "result": 285})
ON_START = {"name": "on_start", "state": "Succeeded", "tries": 1}
ON_EXIT = {"name": "on_exit", "state": "Succeeded", "tries": 1}


def receipts(*hooks: Manifest) -> str:
    return json.dumps({"hooks": list(hooks)})


def decide(run: Manifest, seen: ObservedRun, after: float = 5) -> Plan:
    return decided(run, seen, after)


def seen(pod: Manifest, fallback: Manifest | None = None, **more: Any) -> ObservedRun:
    return ObservedRun(runner=pod, runners=(pod,), fallback=fallback, fallbacks=(fallback,) if fallback else (), **more)


def running() -> tuple[Manifest, Manifest]:
    """Return a run whose flow runs, on_start having succeeded, and its pod."""
    plan = decide(m.a_run(), ObservedRun(deployment=m.a_ready_deployment(callbacks=("on_start", "on_exit"))))
    run, pod = m.with_status(m.a_run(), plan.status), m.scheduled(plan.create[-1])
    run["metadata"]["finalizers"] = [plan.hold]
    pod = m.running(m.running(pod), "flow-hooks")
    return m.with_status(run, decide(run, seen(pod)).status), pod


def deleted(manifest: Manifest, grace: int = 0, at: float = 5) -> Manifest:
    out = copy.deepcopy(manifest)
    out["metadata"] |= {"deletionTimestamp": m.at(at + grace), "deletionGracePeriodSeconds": grace}
    return out


def killed(pod: Manifest, code: int = 137, message: str = "", *hooks: Manifest) -> Manifest:
    """Return the pod after both containers have ended, with what receipts there are."""
    done = m.ended(m.ended(pod, code=code, message=message, reason="Error"), "flow-hooks", code=137, reason="Error")
    done = m.ended(done, "flow-hooks", code=137, reason="Error", message=receipts(*hooks)) if hooks else done
    done["status"]["phase"] = "Failed"
    return done


def hook(run: Manifest, name: str = "on_exit") -> Manifest:
    (found,) = [each for each in run["status"]["hooks"] if each["name"] == name]
    return dict(found)


def variables(pod: Manifest) -> dict[str, str]:
    (container,) = pod["spec"]["containers"]
    return {each["name"]: each.get("value", "") for each in container["env"]}


def owed(run: Manifest, pod: Manifest, after: float = 5) -> tuple[Manifest, Manifest]:
    """Return the run that waits for on_exit, and the pod that is made for it."""
    plan = decide(run, seen(pod), after)
    run = m.with_status(run, plan.status)
    assert (run["status"]["phase"], hook(run)["state"], hook(run)["where"]) == ("Finishing", "Pending", "Fallback")
    (made,) = plan.create
    return run, m.scheduled(made)


def fallback_ended(pod: Manifest, *hooks: Manifest) -> Manifest:
    done = m.ended(pod, "flow-hooks", message=receipts(*hooks))
    done["status"]["phase"] = "Succeeded"
    return done


# --- which ends leave on_exit to the operator


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ({}, "Killed"),  # OOM of the whole pod, SIGKILL of both containers
        ({"reason": "Evicted", "message": "disk"}, "Evicted"),
        ({"reason": "Preempting", "message": "more important"}, "Evicted"),
        ({"reason": "DeadlineExceeded"}, "DeadlineExceeded"),
    ],
)
def test_a_pod_that_dies_as_a_whole_leaves_on_exit_to_the_operator(status: Manifest, told: str) -> None:
    run, pod = running()
    pod = killed(pod)
    pod["status"] |= status
    run, exit_pod = owed(run, pod)
    assert variables(exit_pod)["FLOW_OPERATOR_REASON"] == told
    assert variables(exit_pod)["FLOW_OPERATOR_OUTCOME"] == "Failed"
    assert variables(exit_pod)["FLOW_OPERATOR_EXIT_CODE"] == "137"


def test_a_killed_hooks_container_leaves_on_exit_to_the_operator_and_the_flow_its_success() -> None:
    run, pod = running()
    run, exit_pod = owed(run, killed(pod, 0, SUCCEEDED, ON_START))
    assert variables(exit_pod)["FLOW_OPERATOR_OUTCOME"] == "Succeeded"
    assert variables(exit_pod)["FLOW_OPERATOR_REASON"] == ""
    done = decide(run, seen(killed(pod, 0, SUCCEEDED, ON_START), fallback_ended(exit_pod, ON_EXIT)), 20)
    run = m.with_status(run, done.status)
    assert (run["status"]["phase"], run["status"]["result"]) == ("Succeeded", 285)
    assert (hook(run)["state"], hook(run)["where"]) == ("Succeeded", "Fallback")
    assert (hook(run, "on_start")["state"], hook(run, "on_start")["where"]) == ("Succeeded", "Pod")
    assert [each.reason for each in done.announce] == ["CallbackSucceeded", "Succeeded"]


def test_on_exit_that_fails_in_a_pod_of_its_own_fails_the_run_as_in_the_other() -> None:
    run, pod = running()
    run, exit_pod = owed(run, killed(pod, 0, SUCCEEDED, ON_START))
    failed = {"name": "on_exit", "state": "Failed", "tries": 1, "error": {"type": "OSError", "message": "no mail"}}
    done = decide(run, seen(killed(pod, 0, SUCCEEDED, ON_START), fallback_ended(exit_pod, failed)), 20)
    assert done.status is not None
    assert done.status["diagnosis"]["reason"] == "OnExitFailed"
    assert "OSError: no mail" in done.status["diagnosis"]["message"]


def test_a_pod_deleted_by_force_is_given_time_to_be_reported_dead() -> None:
    run, pod = running()
    gone = deleted(pod)
    run["spec"]["cancel"] = "Graceful"
    waits = decide(run, seen(gone), 6)
    run = m.with_status(run, waits.status)
    assert hook(run)["state"] == "Pending"
    assert not waits.create, "its flow may run for another second or two"
    assert decide(run, seen(killed(gone)), 7).create, "its node has reported its end"
    assert not decide(run, seen(gone), 59).create, "its kubelet may have begun to stop it gently"
    assert decide(run, seen(gone), 61).create, "nobody reports it: the node is gone"


def test_a_pod_that_is_gone_altogether_leaves_on_exit_to_the_operator() -> None:
    run, _ = running()
    plan = decide(run, ObservedRun(runner_gone=True))
    (exit_pod,) = plan.create
    assert variables(exit_pod)["FLOW_OPERATOR_REASON"] == "RunnerDeleted"


def test_cancel_now_leaves_on_exit_to_the_operator() -> None:
    run, pod = running()
    run["spec"]["cancel"] = "Now"
    plan = decide(run, seen(pod))
    assert [each.grace for each in plan.delete] == [1]
    run = m.with_status(run, plan.status)
    cut = killed(deleted(pod, 1))
    run, exit_pod = owed(run, cut)
    done = decide(run, seen(cut, fallback_ended(exit_pod, ON_EXIT)), 20)
    assert done.status is not None
    assert (done.status["phase"], done.status["diagnosis"]["reason"]) == ("Cancelled", "Cancelled")


@pytest.mark.parametrize(
    ("code", "hooks"),
    [
        (78, ()),  # on_start failed, and its receipt is lost
        (78, ({"name": "on_start", "state": "Failed"},)),
        (137, ({"name": "on_start", "state": "Failed"},)),
        (137, (ON_START, ON_EXIT)),
        (143, ({"name": "on_start", "state": "Skipped"}, {"name": "on_exit", "state": "Skipped"})),
    ],
)
def test_nothing_is_owed_where_on_start_failed_or_on_exit_has_its_receipt(
    code: int, hooks: tuple[Manifest, ...]
) -> None:
    run, pod = running()
    plan = decide(run, seen(killed(pod, code, "", *hooks)))
    assert not plan.create
    assert plan.status is not None
    assert plan.status["phase"] == "Failed"


def test_nothing_is_owed_by_a_pod_that_never_began() -> None:
    plan = decide(m.a_run(), ObservedRun(deployment=m.a_ready_deployment(callbacks=("on_exit",))))
    run, pod = m.with_status(m.a_run(), plan.status), m.scheduled(plan.create[-1])
    plan = decide(run, seen(deleted(pod)))
    assert not plan.create
    assert plan.status is not None
    assert plan.status["phase"] == "Retrying"
    assert "hooks" not in plan.status


BY_POD_GC = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC", "message": "no such node"}


def bound() -> tuple[Manifest, Manifest]:
    """Return a run whose pod was given a node, of which no kubelet has said that main began."""
    plan = decide(m.a_run(), ObservedRun(deployment=m.a_ready_deployment(callbacks=("on_start", "on_exit"))))
    pod = m.scheduled(plan.create[-1])
    pod["spec"]["nodeName"] = "worker-2"
    return m.with_status(m.a_run(), plan.status), pod


def test_a_node_that_is_lost_before_it_told_of_main_owes_on_exit() -> None:
    run, pod = bound()
    gone = deleted(pod)
    gone["status"] |= {"phase": "Failed", "conditions": [*gone["status"]["conditions"], BY_POD_GC]}
    owed(run, gone)
    assert decide(run, seen(deleted(pod)), 61).create, "deleted by force, and nobody reports it"
    lost = m.with_status(run, decide(run, seen(deleted(pod, 45)), 120).status)
    over = m.with_status(lost, decide(lost, seen(deleted(pod, 45)), 800).status)
    assert (over["status"]["phase"], hook(over)["state"]) == ("Failed", "Pending")


def test_nothing_is_owed_where_a_kubelet_has_said_that_main_never_began() -> None:
    run, pod = bound()
    refused, stopped = deleted(pod), deleted(m.ended(pod, code=137, reason="ContainerStatusUnknown"))
    refused["status"] |= {"phase": "Failed", "reason": "OutOfcpu"}
    stopped["status"] |= {"phase": "Failed"}
    del stopped["status"]["containerStatuses"][0]["state"]["terminated"]["startedAt"]
    for each in (refused, stopped):
        plan = decide(run, seen(each))
        assert plan.status is not None
        assert "hooks" not in plan.status


# --- the pod, and its bounds


def test_the_fallback_pod_is_the_runner_pod_without_main() -> None:
    run, pod = running()
    _, exit_pod = owed(run, killed(pod))
    assert exit_pod["metadata"]["name"] == pod["metadata"]["name"] + "-exit"
    assert exit_pod["metadata"]["finalizers"] == pod["metadata"]["finalizers"]
    assert "ownerReferences" not in exit_pod["metadata"], "a foreground deletion would take it away before it has begun"
    (container,) = exit_pod["spec"]["containers"]
    (hooks,) = [each for each in pod["spec"]["containers"] if each["name"] == "flow-hooks"]
    assert container["command"][-1] == "exit"
    assert container["image"] == hooks["image"]
    assert "lifecycle" not in container
    assert exit_pod["spec"]["terminationGracePeriodSeconds"] == 35
    assert exit_pod["spec"]["volumes"] == pod["spec"]["volumes"]


@pytest.mark.parametrize("pod_is_there", [True, False])
def test_what_cannot_be_run_in_time_is_called_lost_and_nothing_is_stuck(pod_is_there: bool) -> None:
    run, pod = running()
    pod = killed(pod, 0, SUCCEEDED, ON_START)
    run, exit_pod = owed(run, pod)
    fallback = exit_pod if pod_is_there else None
    run = m.with_status(run, decide(run, seen(pod, fallback, refused="exceeded quota: small"), 600).status)
    assert hook(run)["state"] == "Pending"
    assert ("diagnosis" in run["status"]) is not pod_is_there, "a pod that is there is refused no more"
    late = decide(run, seen(pod, fallback, refused="exceeded quota: small"), 5 + 600 + 30 + 30)
    run = m.with_status(run, late.status)
    assert (run["status"]["phase"], run["status"]["diagnosis"]["reason"]) == ("Failed", "HooksLost")
    assert hook(run)["state"] == "Lost"
    assert [each.reason for each in late.announce] == ["CallbackLost", "HooksLost"]
    if fallback:
        assert [each.name for each in decide(run, seen(pod, fallback), 700).delete] == [exit_pod["metadata"]["name"]]


def test_a_fallback_pod_that_is_killed_is_not_waited_for() -> None:
    run, pod = running()
    pod = killed(pod)
    run, exit_pod = owed(run, pod)
    again = m.ended(exit_pod, "flow-hooks", code=137, reason="Error")
    assert decide(run, seen(pod, again), 20).status is None, "its container begins again"
    again["status"]["phase"] = "Failed"
    plan = decide(run, seen(pod, again), 20)
    run = m.with_status(run, plan.status)
    assert (run["status"]["phase"], hook(run)["state"]) == ("Failed", "Lost")
    assert run["status"]["diagnosis"]["reason"] == "Killed", "the flow's own end counts"


# --- a lost node


def test_on_exit_waits_for_the_word_of_a_lost_node_although_the_run_does_not() -> None:
    run, pod = running()
    gone = deleted(pod, 45)
    run["spec"]["cancel"] = "Graceful"
    run = m.with_status(run, decide(run, seen(gone), 6).status)
    ended = decide(run, seen(gone), 120)
    run = m.with_status(run, ended.status)
    assert run["status"]["phase"] == "Cancelled"
    assert hook(run)["state"] == "Pending"
    waits = decide(run, seen(gone), 4000)
    assert (waits.create, waits.release) == ((), ()), "the flow may still run there"
    confirmed = deleted(pod, 0, 4000)
    confirmed["status"]["phase"] = "Failed"  # by the pod garbage collector: its node is gone
    plan = decide(run, seen(confirmed), 4010)
    run = m.with_status(run, plan.status)
    (made,) = plan.create
    done = decide(run, seen(confirmed, fallback_ended(m.scheduled(made), ON_EXIT)), 4020)
    run = m.with_status(run, done.status)
    assert (run["status"]["phase"], hook(run)["state"], hook(run)["where"]) == ("Cancelled", "Succeeded", "Fallback")
    assert {each.kind for each in done.release} == {"Pod", "FlowRun"}


def test_the_receipt_of_a_node_that_came_back_is_taken() -> None:
    run, pod = running()
    gone = deleted(pod, 45)
    run["spec"]["cancel"] = "Graceful"
    run = m.with_status(run, decide(run, seen(gone), 120).status)
    back = killed(gone, 143, json.dumps({"state": "Failed", "reason": "Stopped"}), ON_START, ON_EXIT)
    plan = decide(run, seen(back), 130)
    assert not plan.create
    run = m.with_status(run, plan.status)
    assert (hook(run)["state"], hook(run)["where"]) == ("Succeeded", "Pod")


def test_receipts_of_an_evicted_pod_are_taken_though_its_node_has_forgotten_main() -> None:
    """Seen: the kubelet tells the end of flow-hooks first, and says later that it could not locate main."""
    run, pod = running()
    pod = m.ended(m.waiting(pod, "ContainerCreating"), "flow-hooks", message=receipts(ON_START, ON_EXIT))
    pod["status"] |= {"phase": "Failed", "reason": "Evicted", "message": "disk"}
    plan = decide(run, seen(pod))
    assert not plan.create
    run = m.with_status(run, plan.status)
    assert [(each["name"], each["state"], each["where"]) for each in run["status"]["hooks"]] == [
        ("on_start", "Succeeded", "Pod"),
        ("on_exit", "Succeeded", "Pod"),
    ]


# --- deleted runs


def test_a_run_with_callbacks_is_held_before_its_first_child_is_made() -> None:
    hooked = ObservedRun(deployment=m.a_ready_deployment(callbacks=("on_start", "on_exit")))
    assert decide(m.a_run(), hooked).hold == "flow-operator.io/callbacks"
    assert decide(m.a_run(), ObservedRun(deployment=m.a_ready_deployment())).hold == ""


def test_a_deleted_run_is_stopped_and_let_go_when_its_callbacks_are_settled() -> None:
    run, pod = running()
    run = deleted(run)
    plan = decide(run, seen(pod))
    assert ([each.kind for each in plan.delete], plan.release) == (["Pod"], ())
    run = m.with_status(run, plan.status)
    stopped = json.dumps({"state": "Failed", "reason": "Stopped"})
    done = killed(deleted(pod, 45), 143, stopped, ON_START, ON_EXIT)
    plan = decide(run, seen(done), 8)
    assert [each.reason for each in plan.announce] == ["CallbackSucceeded", "CallbackSucceeded", "Deleted"]
    run = m.with_status(run, plan.status)
    assert [each.kind for each in decide(run, seen(done), 8).release] == ["Pod", "FlowRun"]


def test_nothing_is_waited_for_in_a_namespace_that_is_being_terminated() -> None:
    run, pod = running()
    run, pod = deleted(run), killed(deleted(pod))
    run = m.with_status(run, decide(run, seen(pod), 8).status)
    refused = 'pods "x" is forbidden: unable to create new content in namespace a because it is being terminated'
    plan = decide(run, seen(pod, refused=refused), 9)
    run = m.with_status(run, plan.status)
    assert (run["status"]["phase"], hook(run)["state"]) == ("Cancelled", "Lost")
    assert [each.kind for each in decide(run, seen(pod), 9).release] == ["Pod", "FlowRun"]


def test_a_deleted_run_is_let_go_when_its_time_is_over() -> None:
    run, pod = running()
    run = deleted(run)
    lost = seen(deleted(pod, 45))
    run = m.with_status(run, decide(run, lost, 120).status)
    assert hook(run)["state"] == "Pending"
    assert not decide(run, lost, 300).release
    plan = decide(run, lost, 306)
    assert [each.kind for each in plan.release] == ["Pod", "FlowRun"]
    assert [each.reason for each in plan.announce] == ["CallbackLost"]


def test_on_exit_of_a_jobs_pod_has_what_that_pod_had() -> None:
    spec = {"template": {"spec": {"containers": [{"image": "x"}, {"name": "beside", "image": "y"}], "nodeName": "n1"}}}
    job = {"kubernetesJob": {"jobSpec": spec}}
    plan = decide(m.a_run(), ObservedRun(deployment=m.a_ready_deployment(callbacks=("on_exit",), environment=job)))
    run = m.with_status(m.a_run(), plan.status)
    pod = fallback_pod(run, pinned.read(run["status"]), 1, m.settings(), (1, "FlowRaised"))
    assert [each["name"] for each in pod["spec"]["containers"]] == ["flow-hooks"]
    assert pod["spec"]["nodeName"] == "n1"
    mounted = {each["name"] for each in pod["spec"]["containers"][0]["volumeMounts"]}
    assert mounted <= {each["name"] for each in pod["spec"]["volumes"]}
    assert pod["metadata"]["finalizers"] == ["flow-operator.io/verdict"]


# --- what the flow says counts more than its exit code


def told(run: Manifest, pod: Manifest) -> Manifest:
    """Return the run after its callbacks are told: both in the pod."""
    done = m.ended(pod, "flow-hooks", message=receipts(ON_START, ON_EXIT))
    return m.with_status(run, decide(run, seen(done)).status)


@pytest.mark.parametrize("code", [78, 79])
def test_a_flow_that_exits_with_a_code_of_ours_has_exited_and_owes_on_exit(code: int) -> None:
    exited = json.dumps({"state": "Failed", "reason": "FlowExited", "error": {"type": "SystemExit", "message": "78"}})
    run, pod = running()
    over = told(run, m.ended(pod, code=code, message=exited, reason="Error"))
    assert over["status"]["diagnosis"]["reason"] == "FlowExited"
    _, exit_pod = owed(run, killed(pod, code, exited))
    assert variables(exit_pod)["FLOW_OPERATOR_REASON"] == "FlowExited"


def test_on_start_has_failed_by_its_report_or_else_by_the_code_alone() -> None:
    failed = {"name": "on_start", "state": "Failed", "message": "no"}
    for message in ("", json.dumps({"state": "Failed", "reason": "OnStartFailed"})):
        for said in ((failed,), ()):
            run, pod = running()
            over = m.with_status(run, decide(run, seen(killed(pod, 78, message, *said))).status)
            assert over["status"]["diagnosis"]["reason"] == "OnStartFailed"
            assert not [each for each in over["status"].get("hooks", ()) if each["name"] == "on_exit"]


def test_without_a_report_the_receipt_of_on_start_counts_more_than_the_code() -> None:
    run, pod = running()
    over = told(run, m.ended(pod, code=78, reason="Error"))
    assert over["status"]["diagnosis"]["reason"] == "Killed"


def test_a_flow_that_succeeded_was_not_killed_whatever_else_of_its_container_was() -> None:
    """A kubelet says OOMKilled of a container in which any process was killed for memory."""
    run, pod = running()
    over = told(run, m.ended(pod, code=0, message=SUCCEEDED, reason="OOMKilled"))
    assert over["status"]["phase"] == "Succeeded"
    over = told(run, m.ended(pod, code=0, reason="OOMKilled"))
    assert over["status"]["diagnosis"]["reason"] == "OutOfMemory"


def test_on_exit_is_told_success_only_where_the_flow_has_said_so() -> None:
    run, pod = running()
    _, exit_pod = owed(run, killed(pod, 0))
    names = ("FLOW_OPERATOR_OUTCOME", "FLOW_OPERATOR_EXIT_CODE", "FLOW_OPERATOR_REASON")
    assert [variables(exit_pod)[each] for each in names] == ["Failed", "0", "Killed"]


# --- main has ended before it could let flow-hooks call anything


def never_came(message: str = "", reason: str = "Error") -> tuple[Manifest, Manifest]:
    """Return a run whose main ended beside a flow-hooks that runs, and its pod."""
    run, pod = running()
    return run, m.ended(pod, code=1, message=message, reason=reason)


def test_callbacks_of_a_main_that_never_came_are_not_waited_for() -> None:
    for run, pod in (never_came(), never_came("exec: python3: not found", "StartError")):
        plan = decide(run, seen(pod))
        assert plan.status is not None
        assert plan.status["ending"]["reason"] == "Killed"
        assert [each.grace for each in plan.delete] == [None], "gently: a callback that runs comes to its end"
        skipped = [{"name": name, "state": "Skipped"} for name in ("on_start", "on_exit")]
        over = decide(m.with_status(run, plan.status), seen(m.ended(pod, "flow-hooks", message=receipts(*skipped))), 7)
        assert over.status is not None
        assert (over.status["phase"], over.create) == ("Failed", ())


def test_callbacks_of_a_main_that_came_have_their_time_though_it_was_killed() -> None:
    run, pod = never_came(wire.CAME)
    plan = decide(run, seen(pod))
    assert (plan.status["phase"] if plan.status else "", plan.delete) == ("Finishing", ())


# --- flow-hooks itself cannot run, and main waits


def beside(state: str, restarts: int = 0, last: Manifest | None = None) -> tuple[Manifest, Manifest]:
    """Return a run whose main has begun a second after its start, beside a flow-hooks that waits."""
    run, pod = running()
    pod = m.waiting(pod, state, "flow-hooks", "no", restarts)
    if last:
        pod["status"]["containerStatuses"][-1]["lastState"] = {"terminated": last}
    return run, pod


def test_a_container_for_callbacks_that_cannot_be_made_ends_the_attempt_after_a_minute() -> None:
    run, pod = beside("CreateContainerError")
    waits = decide(run, seen(pod), 11)
    assert (waits.again_after, waits.delete) == (50.0, ())
    plan = decide(run, seen(pod), 61)
    assert plan.status is not None
    assert plan.status["ending"]["reason"] == "StartFailed"
    assert "flow-hooks" in plan.status["ending"]["message"]
    assert [each.kind for each in plan.delete] == ["Pod"]


def test_a_container_for_callbacks_that_ends_at_once_ends_the_attempt_when_no_callback_can_be_to_blame() -> None:
    silent = {"exitCode": 1, "message": ""}
    assert not decide(*_seen(beside("CrashLoopBackOff", 3, silent)), 3600).delete
    plan = decide(*_seen(beside("CrashLoopBackOff", 4, silent)), 200)
    assert plan.status is not None
    assert plan.status["ending"]["reason"] == "StartFailed"
    assert "begun 5 times" in plan.status["ending"]["message"]


def test_a_flow_that_runs_is_not_ended_because_the_container_for_callbacks_is_begun_again() -> None:
    told = {"exitCode": 137, "reason": "OOMKilled", "message": receipts(ON_START)}
    for state, restarts in (("CrashLoopBackOff", 9), ("CreateContainerError", 1)):
        assert not decide(*_seen(beside(state, restarts, told)), 3600).delete


def test_a_container_for_callbacks_that_is_being_made_is_waited_for() -> None:
    assert not decide(*_seen(beside("ContainerCreating")), 3600).delete


def _seen(of: tuple[Manifest, Manifest]) -> tuple[Manifest, ObservedRun]:
    run, pod = of
    return run, seen(pod)
