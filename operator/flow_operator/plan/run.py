"""What to do about a FlowRun: an ordered tuple of checks, the first with an opinion wins."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..api import conditions as words
from ..api.flow_deployment import DEFAULT_PRE_RUNNING_DEADLINE, Diagnosis
from ..api.flow_run import FINISHED, FlowRunSpec
from . import (
    attempts,
    callbacks,
    clean_up,
    dask_health,
    deadlines,
    diagnosis,
    eligible,
    ends,
    fence,
    finalizers,
    hooks_health,
    kubernetes_job,
    pinned,
    stopping,
    verdict,
)
from .case import Case
from .conditions import Conditions, announcements, find, is_true
from .providers import provider_of
from .runner_pod import HOOKS, runner_pod
from .schedule import tick_of
from .times import seconds_since, stamp
from .types import Manifest, ObservedRun, Plan

if TYPE_CHECKING:
    from datetime import datetime

    from ..api.settings import Settings
    from .clusters import Counts

# Seconds a problem may last before it ends the attempt: longer than a slow registry, shorter than a night.
PULL_PATIENCE = 60.0
# Seconds beyond a callback's own limit, which is enforced inside, until hooks that say nothing are given up.
HOOKS_PATIENCE = 30.0

# Seconds until a Job that has no pod is no longer just slow.
POD_PATIENCE = 5.0


def decide(run: Manifest, seen: ObservedRun, settings: Settings, now: datetime) -> Plan:
    """Return what to do about a run."""
    wanted = eligible.wanted_by(run, seen.deployment)
    anybodys = run["spec"].get("cancel") and not (run.get("status") or {}).get("attempt")  # nothing is left but its end
    taken = anybodys or eligible.began(settings, run) or wanted is None or eligible.takes(settings.labels, wanted)
    if wanted is not None and not taken:
        return _leave(run, seen, wanted, now)
    old: dict[str, Any] = run.get("status") or {}
    going = run["metadata"].get("deletionTimestamp") and not finalizers.waits(run, now)
    if old.get("phase") in FINISHED or going:
        return clean_up.clean_up(run, seen, settings, now)
    generation = run["metadata"]["generation"]
    case = Case(
        run=run,
        spec=FlowRunSpec.model_validate(run["spec"]),
        seen=seen,
        settings=settings,
        now=now,
        status={key: copy.deepcopy(value) for key, value in old.items() if key != "conditions"},
        conditions=Conditions(old.get("conditions", ()), generation, now),
    )
    for check in CHECKS:
        if check(case):
            break
    over = case.status["phase"] in FINISHED  # then all is cleaned up, once that is told
    leftovers = Plan() if over else clean_up.leftovers(seen, now, under_way=attempts.under_way(case.status))
    if leftovers.again_after is not None:
        case.look_again(leftovers.again_after)
    if (left := finalizers.waits(run, now)) is not None:
        case.look_again(left)
    new = {**case.status, "observedGeneration": generation, "conditions": case.conditions.to_list()}
    return Plan(
        status=new if new != old else None,
        hold=finalizers.of_run(run, case.pinned) if case.create else "",
        create=case.create,
        delete=(*case.delete, *leftovers.delete),
        unblock=leftovers.unblock,
        release=() if over else finalizers.done_with({**run, "status": new}, seen, now),
        ask=case.ask,
        retire=case.retire,
        announce=(*case.announce, *callbacks.announcements(old, new), *announcements(old, new)),
        again_after=case.again_after,
    )


def _leave(run: Manifest, seen: ObservedRun, wanted: list[str], now: datetime) -> Plan:
    """Leave a run to the operator whose it is; if none takes it, do not leave it in silence."""
    found = seen.deployment
    ready = found is not None and _not_ready(found, found["metadata"]["name"]) is None
    left = eligible.silence(run, now, "DeploymentNotFound", *(("DeploymentNotReady",) if ready else ()))
    if left is None or left > 0:
        return Plan(again_after=left)
    why, generation = eligible.nobody("run", wanted), run["metadata"]["generation"]
    conditions = Conditions((run.get("status") or {}).get("conditions", ()), generation, now)
    conditions.set(words.SUCCEEDED, "Unknown", "Pending", "The run has not begun.")
    conditions.working(why.reason, diagnosis.sentence(why))
    told = {"phase": "Pending", "diagnosis": why.to_wire(), "conditions": conditions.to_list()}
    return Plan(status={**told, "observedGeneration": generation})


def it_is_over(case: Case) -> bool:
    """How the attempt ends was decided: what may still run of it is stopped, and then told what follows."""
    return "ending" in case.status and attempts.close(case)


def it_is_to_stop(case: Case) -> bool:
    """Somebody wishes that it ends, or pauses: its pod is stopped, and what follows comes when that has ended."""
    wish, pod = case.wish, case.seen.runner
    if wish is None:
        return False
    if not attempts.under_way(case.status):
        return attempts.stopped(case, wish, _while_it_waited(case))
    if pod is None:
        gone = case.seen.runner_gone or case.conditions.status(words.STARTED) is not None
        left = "and its pod is gone without a verdict" if gone else "before its pod was made"
        return attempts.stopped(case, wish, left)
    if case.main_ended and not (case.seen.job and kubernetes_job.may_run(case.seen.job)):
        return False  # what the flow came to is told by the pod, and its callbacks have their time
    if (pod.get("status") or {}).get("phase") == "Failed":  # refused or evicted by the kubelet
        return attempts.stopped(case, wish, "before its flow began")
    return attempts.stopped(case, wish, f"in phase {case.status['phase']}")


def _while_it_waited(case: Case) -> str:
    if case.conditions.status(words.SUSPENDED) == "True":
        return "while it was suspended"
    return "between two attempts" if case.status.get("attempt") else "before it began"


def it_is_resumed(case: Case) -> bool:
    """Nobody wishes any more that it pauses."""
    if case.conditions.status(words.SUSPENDED) == "True":
        attempts.resume(case)
    return False


def its_time_is_up(case: Case) -> bool:
    """It has been active for longer than activeDeadlineSeconds, and no kubelet ends it."""
    if not case.status.get("attempt") or case.main_ended or (left := deadlines.active_left(case)) is None:
        return False
    if deadlines.enforced_by_the_kubelet(case.seen.runner):
        left += case.pinned.grace + deadlines.KUBELETS_PATIENCE
    if left <= 0:
        return attempts.failed(case, deadlines.exceeded(case))
    case.look_again(left)
    return False


def it_has_begun(case: Case) -> bool:
    """The run is pinned to a Ready deployment and its first attempt is recorded, before any child is made."""
    if case.status.get("attempt"):
        return False
    case.status["phase"] = "Pending"
    case.conditions.set(words.SUCCEEDED, "Unknown", "Pending", "The run has not begun.")
    if why := _not_free(case.seen.replaces) or _not_ready(case.seen.deployment, case.spec.deployment):
        return _wait_to_begin(case, why)
    deployment = case.seen.deployment
    assert deployment is not None, "_not_ready says so"  # noqa: S101
    case.status.update(pinned.pin(deployment, case.spec, case.settings, tick_of(case.run)))
    if wrong := pinned.wrong_parameters(deployment["status"]["flow"], case.status["parameters"]):
        return attempts.failed(case, wrong)
    dask = case.pinned.dask
    if dask and dask.provider == "DaskCluster" and not case.settings.dask_operator.present:
        return attempts.failed(
            case, dask_health.no_controller("The chart was installed with daskOperator.present=false.")
        )
    attempts.begin(case, 1)
    return False


def it_tries_again(case: Case) -> bool:
    """The last attempt is over, and it is time for the next: the first is recorded, and nothing of it runs."""
    if attempts.under_way(case.status):
        return False
    left = -seconds_since(case.status.get("nextAttemptTime"), case.now)
    if left > 0:
        case.look_again(left)
        return True
    if living := fence.living(case.seen):  # a pod that nobody knew of is not left beside another one
        case.delete = tuple(ref for each in living for ref in stopping.stop(each, now=False))
        return attempts.fenced(case, living[0]["metadata"]["name"])
    last = case.status["attempts"][-1]
    forced = fence.unconfirmed(case.seen.runner, case.now) if case.seen.runner else 0.0
    if (left := max(forced, -seconds_since(last.get("mayRunUntil"), case.now))) > 0:
        case.look_again(left)  # only an administrator has said that it is gone
        return attempts.fenced(case, last["pod"], left)
    attempts.begin(case, case.status["attempt"] + 1)
    case.seen = replace(case.seen, runner=None, runner_gone=False, vanished=None, job=None)
    case.seen = replace(case.seen, cluster=None, autoscaler=None)
    case.seen = replace(case.seen, dask_pods=(), dask_deployments=(), services=(), workers=(), heard=None)
    return False


def _not_free(earlier: str | None) -> Diagnosis | None:
    if earlier is None:
        return None
    return diagnosis.diagnosis(
        "Replacing",
        f"FlowRun {earlier} of the same schedule is being cancelled first.",
        f"The run begins by itself once that has ended; see kubectl describe flowrun {earlier}.",
    )


def _wait_to_begin(case: Case, why: Diagnosis) -> bool:
    limit = case.spec.pre_running_deadline_seconds or _patience_of(case.seen.deployment)
    since = case.status.get("resumeTime") or case.run["metadata"]["creationTimestamp"]
    left = limit - seconds_since(since, case.now)
    if left <= 0:
        return attempts.failed(case, why)
    case.blocked(why)
    case.look_again(left)
    return True


def _patience_of(deployment: Manifest | None) -> int:
    """Return how long runs of a deployment wait for what they need: nothing of it is pinned yet."""
    of_runs = (deployment["spec"].get("run") or {}) if deployment else {}
    return int(of_runs.get("preRunningDeadlineSeconds", DEFAULT_PRE_RUNNING_DEADLINE))


def _not_ready(deployment: Manifest | None, name: str) -> Diagnosis | None:
    if deployment is None:
        return diagnosis.diagnosis(
            "DeploymentNotFound",
            f"There is no FlowDeployment {name!r} in this namespace.",
            "Apply it and the run begins by itself, or create a FlowRun of another deployment.",
        )
    status = deployment.get("status") or {}
    current = status.get("observedGeneration") == deployment["metadata"]["generation"]
    if current and _can_run(status):
        return None
    said = find(status, words.READY)
    return diagnosis.diagnosis(
        "DeploymentNotReady",
        f"FlowDeployment {name} is not Ready"
        + (f": {said['message']}" if said and current else " yet: the operator has not looked at its latest change."),
        f"See kubectl describe flowdeployment {name}; the run begins by itself when it is Ready.",
    )


def _can_run(status: dict[str, Any]) -> bool:
    """Ready, or nothing but the schedule is wrong."""
    if is_true(status, words.READY):
        return True
    unscheduled = find(status, words.SCHEDULED)
    built = is_true(status, words.BUILT) and is_true(status, words.VERIFIED)
    return built and unscheduled is not None and unscheduled["status"] == "False"


def children_are_made(case: Case) -> bool:
    """Cluster and runner pod exist; both at once: the runner waits for the scheduler, not the operator."""
    pins, attempt = case.pinned, case.status["attempt"]
    if pins.job:
        return _job_is_made(case)
    wanted: list[Manifest] = []
    if case.seen.runner is None:
        if case.seen.runner_gone or case.conditions.status(words.STARTED) is not None:
            return attempts.failed(case, _lost(case))
        if cluster := provider_of(pins):
            there = {(each["kind"], each["metadata"]["name"]) for each in clean_up.cluster_objects(case.seen)}
            children = cluster.children(case.attempt, case.settings)
            wanted += [each for each in children if (each["kind"], each["metadata"]["name"]) not in there]
        # Last: where the pod is, everything it needs was made.
        wanted.append(runner_pod(case.run, _with_the_time_left(case), attempt, case.settings))
    case.create = tuple(wanted)
    if case.seen.refused and wanted:  # what is there by now is refused no more
        return _wait_or_fail(case, diagnosis.refused(f"FlowRun {case.run['metadata']['name']}", case.seen.refused))
    return False


def _with_the_time_left(case: Case) -> pinned.Pinned:
    left = deadlines.left_for_the_pod(case)
    pins = case.pinned
    return pins if left is None else replace(pins, bounds={**pins.bounds, "activeDeadlineSeconds": left})


def _job_is_made(case: Case) -> bool:
    """The Job that makes the runner pod exists."""
    if case.seen.job is not None:
        return False
    if case.seen.runner or case.seen.runner_gone or case.conditions.status(words.STARTED) is not None:
        return attempts.failed(case, _lost(case, of="Job"))
    case.create = (kubernetes_job.kubernetes_job(case.run, _with_the_time_left(case), case.status["attempt"]),)
    if not case.seen.refused:
        return False
    why, final = kubernetes_job.refused(case.create[0]["metadata"]["name"], case.seen.refused)
    return attempts.failed(case, why) if final else _wait_or_fail(case, why)


def _lost(case: Case, of: str = "") -> Diagnosis:
    if case.seen.vanished and fence.is_collected(case.seen.vanished):
        return attempts.node_lost(case.seen.vanished)
    gone = f"The {of} of runner pod" if of else "The runner pod"
    return diagnosis.diagnosis(
        "RunnerDeleted",
        f"{gone} {case.status['pod']} is gone and left no verdict.",
        f"Create another FlowRun. To end a run, set its spec.cancel; do not delete its {of or 'pod'}.",
    )


def _wait_or_fail(case: Case, why: Diagnosis) -> bool:
    """Show what the run waits for, and end it when its patience is over."""
    left = case.pinned.pre_running_deadline - deadlines.waited(case)
    if why.reason == "ImagePullFailed":
        left = min(left, PULL_PATIENCE - deadlines.pulling(case))
    if left <= 0:
        return attempts.failed(case, why)
    case.blocked(why)
    case.look_again(min(left, 10.0))
    return True


def the_cluster_is_healthy(case: Case) -> bool:
    """Scheduler and workers run, or may still come to."""
    cluster, dask = provider_of(case.pinned), case.pinned.dask
    if cluster is None or dask is None or case.main_ended:
        return False
    _count_workers(case, cluster.count(case.seen, dask, case.now))
    if why := cluster.broken(case.seen):
        return attempts.failed(case, why)
    started = case.conditions.status(words.STARTED) is not None
    if why := cluster.waiting(case.seen, case.now) or _refused_worker(case):
        if not started:
            runs = case.seen.runner is not None and verdict.began(case.seen.runner) is not None
            return not (runs and cluster.usable(case.seen, dask, case.now)) and _wait_or_fail(case, why)
        # A worker that cannot come while others work is shown, and does not end the run.
        case.status["diagnosis"] = why.to_wire()
    elif started:
        case.status.pop("diagnosis", None)
    return False


def _refused_worker(case: Case) -> Diagnosis | None:
    """Return why a worker beyond the first ones was not admitted; the next try is a matter of seconds."""
    if not (case.seen.refused and case.seen.runner and case.create):
        return None
    case.look_again(10.0)
    return diagnosis.refused(f"FlowRun {case.run['metadata']['name']}", case.seen.refused)


def _count_workers(case: Case, counts: Counts) -> None:
    old: dict[str, Any] = case.status.get("workers") or {}
    ready = old.get("ready", 0) if counts.ready is None else counts.ready
    peak = max(ready, old.get("peak", 0))
    case.status["workers"] = {**old, "desired": counts.desired, "ready": ready, "peak": peak}


def the_cluster_fits(case: Case) -> bool:
    """Its scheduler is listened to, and there are as many workers as it would like, within their bounds."""
    cluster, pod = provider_of(case.pinned), case.seen.runner
    if cluster is None or pod is None or case.main_ended or verdict.began(pod) is None:
        return False
    case.ask = cluster.ask(case.attempt, pod)
    change = cluster.change(case.attempt, case.settings, case.seen, case.now)
    case.create, case.delete, case.retire = change.create, change.delete, change.retire
    if change.again_after is not None:
        case.look_again(change.again_after)
    return False


def the_runner_has_started(case: Case) -> bool:
    """The flow's container runs, or has run."""
    pod, job = case.seen.runner, case.seen.job
    if pod is None:
        return job is None or _waits_for_its_pod(case, job)
    began = verdict.began(pod)
    if began is None:
        return _not_started(case, pod)
    if job:
        case.status["pod"] = pod["metadata"]["name"]
    cluster, dask = provider_of(case.pinned), case.pinned.dask
    waits = case.conditions.status(words.STARTED) != "True" and not case.main_ended
    if cluster and dask and waits and not cluster.usable(case.seen, dask, case.now):
        # The runner's process is there and waits; the flow has not begun.
        return _wait_until_late(case, pod)
    if case.conditions.status(words.STARTED) != "True":
        case.started(pod, began if not case.pinned.dask or case.main_ended else stamp(case.now))
    return False


def _waits_for_its_pod(case: Case, job: Manifest) -> bool:
    if kubernetes_job.ended(job):
        return attempts.failed(case, kubernetes_job.failure(job))
    why = kubernetes_job.waiting_for(job)
    if case.conditions.status(words.STARTED) == "True":  # a pod of it is gone; it makes another one, or ends
        if kubernetes_job.is_suspended(job):
            case.blocked(why)
        return True
    if why.reason != "NotStarted" or seconds_since(job["metadata"]["creationTimestamp"], case.now) > POD_PATIENCE:
        return _wait_or_fail(case, why)
    case.look_again(POD_PATIENCE)
    case.setting_up()
    return True


def _not_started(case: Case, pod: Manifest) -> bool:
    if (job := case.seen.job) and not fence.may_run(pod):  # it makes another pod, or ends
        late = kubernetes_job.is_late(job)
        lost = kubernetes_job.failure(job) if late else diagnosis.killed(pod, verdict.main_of(pod), {})
        return kubernetes_job.may_run(job) or attempts.failed(case, lost)
    if ends.dying(pod) or (pod.get("status") or {}).get("phase") == "Failed":  # refused or evicted by the kubelet
        return attempts.failed(case, diagnosis.killed(pod, verdict.main_of(pod), {}))
    if why := diagnosis.waiting_for(pod):
        return _wait_or_fail(case, why)
    return _wait_until_late(case, pod)


def _wait_until_late(case: Case, pod: Manifest) -> bool:
    left = case.pinned.pre_running_deadline - deadlines.waited(case)
    if left <= 0:
        return attempts.failed(case, diagnosis.not_started(pod))
    case.look_again(left)
    case.setting_up()  # what was in the way is not any more
    return True


def it_has_ended(case: Case) -> bool:
    """Main has ended, the hooks too, and there is a verdict."""
    pod = case.seen.runner
    ended = verdict.terminated(pod) if pod else None
    if pod is None or ended is None:
        if case.seen.job and kubernetes_job.ended(case.seen.job):
            return attempts.failed(case, kubernetes_job.failure(case.seen.job))
        return pod is not None and _goes_on(case, pod)
    hooks = verdict.hooks_report(pod)
    if case.pinned.hooks and hooks is None and not case.seen.runner_gone:
        return _finishing(case, pod, ended)
    if case.seen.job and kubernetes_job.may_run(case.seen.job):
        case.status["phase"] = "Finishing"  # other containers run, or there will be another pod
        if kubernetes_job.is_suspended(case.seen.job):  # a queue took its pod away
            case.blocked(kubernetes_job.waiting_for(case.seen.job))
            return True
        case.conditions.working("Finishing", f"The flow has ended in pod {case.status['pod']}; its Job has not.")
        return True
    report = verdict.flow_report(ended)
    why = verdict.failure(pod, ended, report, hooks or [], declared=case.pinned.callbacks)
    if why is None:
        return attempts.succeeded(case)
    if why.reason == "FlowRaised":
        why = dask_health.behind(report.get("error", {}), case.seen) or why
    if case.seen.job and kubernetes_job.is_late(case.seen.job):
        why = kubernetes_job.failure(case.seen.job)
    if (wish := case.wish) and (case.seen.runner_gone or ends.dying(pod)):  # it was stopped for that
        return attempts.stopped(case, wish, f"in phase {case.status['phase']}")
    return attempts.failed(case, why)


def _goes_on(case: Case, pod: Manifest) -> bool:
    if case.seen.job and (case.status["phase"] == "Finishing" or "diagnosis" in case.status):  # it has made another pod
        case.status["phase"] = "Running"
        case.status.pop("diagnosis", None)
        case.conditions.working("Running", f"The flow runs in pod {pod['metadata']['name']}.")
    return _hooks_cannot_run(case, pod) or _node_is_lost(case, pod)


def _hooks_cannot_run(case: Case, pod: Manifest) -> bool:
    """Main is there and waits for on_start, which nobody can call."""
    began = verdict.began(pod) if case.pinned.hooks and not ends.dying(pod) else None
    trouble = hooks_health.trouble(pod, began, case.now) if began else None
    if trouble is None:
        return False
    if trouble.left <= 0:
        return attempts.failed(case, trouble.why)
    case.look_again(trouble.left)
    return False


def _node_is_lost(case: Case, pod: Manifest) -> bool:
    """A dying pod that is not reported dead long after its grace: nobody is there to report it."""
    left = fence.patience_left(pod, case.now)
    if left is None:
        return True
    if not case.seen.job and not fence.may_run(pod):  # its end is confirmed; what its node has said may be on the way
        left = min(left, fence.unconfirmed(pod, case.now))
    if left > 0:
        case.look_again(left)
        return True
    return attempts.failed(case, attempts.node_lost(pod))


def _finishing(case: Case, pod: Manifest, ended: dict[str, Any]) -> bool:
    if not verdict.came(ended):  # flow-hooks would wait for it for ever
        return attempts.failed(case, diagnosis.killed(pod, verdict.main_of(pod), ended))
    patience = case.pinned.callback_timeout + HOOKS_PATIENCE
    left = patience - seconds_since(ended.get("finishedAt"), case.now)
    if left <= 0:
        return attempts.failed(
            case,
            diagnosis.diagnosis(
                "HooksLost",
                f"Container {HOOKS} said nothing within {patience:.0f} s of the end of the flow.",
                "Look at its log; whether on_exit ran is not known.",
            ),
        )
    case.status["phase"] = "Finishing"
    case.conditions.working("Finishing", "The flow has ended; its callbacks have not.")
    case.look_again(left)
    return True


CHECKS = (
    it_is_over,  # what may still run of the attempt is stopped, and then told what follows
    it_is_to_stop,  # it is cancelled or suspended: its pod is stopped first
    it_is_resumed,  # nobody wishes any more that it pauses
    its_time_is_up,  # it has been active for too long, and no kubelet ends it
    it_has_begun,  # pinned to a Ready deployment, before any child is made
    it_tries_again,  # the last attempt is over, and it is time for the next
    children_are_made,  # cluster and runner pod exist
    the_cluster_fits,  # as many workers as its scheduler would like
    the_cluster_is_healthy,  # scheduler and workers run, or may still come to
    the_runner_has_started,  # the flow's container runs, or has run
    it_has_ended,  # and there is a verdict
)
