"""A cluster of the run's own pods: what is made, what counts, what is replaced, what goes."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from flow_operator.api import wire
from flow_operator.plan import run as run_plan
from flow_operator.plan.dask_pods import REPLACE_AFTER
from flow_operator.plan.scaling import SILENCE
from flow_operator.plan.types import Ask, Heard, ObservedRun, Plan
from tests.support import makers as m
from tests.support.condition_rules import violations

Manifest = dict[str, Any]
NAME = "squares-1-11111111-1"


def environment(least: int = 1, most: int = 4, **more: Any) -> Manifest:
    return {"daskKubernetes": {"minWorkers": least, "maxWorkers": most, "provider": "Pods", **more}}


class Story:
    """A run and its world."""

    def __init__(self, least: int = 1, most: int = 4, **more: Any) -> None:
        self.seconds = 1.0
        self.seen = ObservedRun(deployment=m.a_ready_deployment(environment=environment(least, most, **more)))
        self.run = m.a_run()
        self.made = self.decide()

    def decide(self) -> Plan:
        """Decide, and do what is wished; the second time nothing is new."""
        now = m.NOW + timedelta(seconds=self.seconds)
        plan = run_plan.decide(self.run, self.seen, m.settings(), now)
        self.run = m.with_status(self.run, plan.status)
        assert not violations(self.run)
        gone = {each.name for each in plan.delete}
        workers = [each for each in self.seen.workers if each["metadata"]["name"] not in gone]
        services = list(self.seen.services)
        for each in plan.create:
            if each["kind"] == "Service":
                services.append(each)
            elif "dask.org/component" in each["metadata"]["labels"]:
                workers.append(m.scheduled(each))
                workers[-1]["metadata"]["creationTimestamp"] = m.at(self.seconds)
            else:
                self.seen = replace(self.seen, runner=each, runners=(each,))
        self.seen = replace(self.seen, workers=tuple(workers), dask_pods=tuple(workers), services=tuple(services))
        again = run_plan.decide(self.run, self.seen, m.settings(), now)
        assert again.status in (None, self.run["status"]) or again.status["workers"] != self.run["status"]["workers"]
        return plan

    def runner_runs(self) -> None:
        assert self.seen.runner is not None
        pod = m.running(self.seen.runner)
        pod["status"]["podIP"] = "10.0.0.7"
        self.seen = replace(self.seen, runner=pod, runners=(pod,))

    def hear(self, *indices: int, target: int | None = None, most: int | None = None, **more: Any) -> None:
        now = m.NOW + timedelta(seconds=self.seconds)
        names = frozenset(f"{NAME}-w{index}" for index in indices)
        retired = frozenset(f"{NAME}-w{index}" for index in more.get("retired", ()))
        self.seen = replace(self.seen, heard=Heard(now, now, names, target, most, retired))

    def worker(self, index: int, change: Manifest) -> None:
        """Change a worker's status, spec or metadata."""
        name = f"{NAME}-w{index}"
        workers = [copy.deepcopy(each) for each in self.seen.workers]
        for each in workers:
            if each["metadata"]["name"] == name:
                each["status"] |= change.get("status", {})
                each["spec"] |= change.get("spec", {})
                each["metadata"] |= change.get("metadata", {})
        self.seen = replace(self.seen, workers=tuple(workers), dask_pods=tuple(workers))

    @property
    def workers(self) -> list[str]:
        return [each["metadata"]["name"].rpartition("-")[2] for each in self.seen.workers]

    @property
    def status(self) -> Manifest:
        found: Manifest = self.run["status"]
        return found


def running_story(*indices: int, **more: Any) -> Story:
    story = Story(**more)
    story.runner_runs()
    story.hear(*indices, target=len(indices))
    story.decide()
    return story


def names_of(plan: Plan) -> list[str]:
    return [each["metadata"]["name"].removeprefix(NAME) for each in plan.create]


def test_everything_is_made_at_once_the_runner_last() -> None:
    story = Story(least=2)
    assert [each["kind"] for each in story.made.create] == ["Service", "Pod", "Pod", "Pod"]
    assert names_of(story.made)[1:] == ["-w0", "-w1", ""]


def test_the_controller_of_dask_is_not_needed() -> None:
    seen = ObservedRun(deployment=m.a_ready_deployment(environment=environment()))
    plan = run_plan.decide(m.a_run(), seen, m.settings(daskOperator={"present": False}), m.NOW)
    assert plan.create


def test_the_provider_is_pinned_and_a_scheduler_spec_needs_a_pod_for_it() -> None:
    assert Story().status["environment"]["daskKubernetes"]["provider"] == "Pods"
    specs: tuple[dict[str, Any], ...] = ({"containers": [{"env": []}]}, {})
    for spec in specs:
        story = Story(schedulerSpec=spec)
        assert story.status["environment"]["daskKubernetes"]["provider"] == "DaskCluster"
        said = next(each["message"] for each in story.status["conditions"] if each["type"] == "SetUp")
        assert "schedulerSpec" in said


def test_no_pod_has_a_token_and_the_users_image_never_counts() -> None:
    spec = {"containers": [{"image": "other:1", "args": ["--nthreads", "4"]}], "restartPolicy": "Always"}
    story = Story(workerSpec=spec)
    worker = story.made.create[1]["spec"]
    assert worker["containers"][0]["image"] == m.IMAGE
    assert worker["containers"][0]["args"] == ["--nthreads", "4", "--name", "$(DASK_WORKER_NAME)"]
    assert worker["restartPolicy"] == "OnFailure"
    assert worker["automountServiceAccountToken"] is False
    variables = {each["name"]: each.get("value") for each in worker["containers"][0]["env"]}
    assert variables[wire.WORKER_NAME_ENV] == f"{NAME}-w0"
    assert variables[wire.SCHEDULER_ENV] == f"tcp://{NAME}-scheduler.team-a.svc:8786"


def test_the_flow_has_begun_when_a_worker_has_registered() -> None:
    story = Story()
    story.runner_runs()
    story.decide()
    assert story.status["phase"] == "SettingUp"
    story.hear()
    story.decide()
    assert story.status["phase"] == "SettingUp"
    story.hear(0)
    story.decide()
    assert story.status["phase"] == "Running"
    assert story.status["workers"] == {"desired": 1, "ready": 1, "peak": 1}


def test_a_scheduler_that_cannot_be_heard_from_here_does_not_keep_a_run_from_being_running() -> None:
    story = Story()
    story.runner_runs()
    story.seen = replace(story.seen, heard=Heard(since=m.NOW))
    story.worker(0, {"status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    story.decide()
    assert story.status["phase"] == "SettingUp"
    story.seconds = SILENCE + 1
    story.decide()
    assert story.status["phase"] == "Running"


def test_the_scheduler_is_asked_at_the_runners_address_while_the_flow_lives() -> None:
    story = Story()
    assert story.made.ask is None
    story.runner_runs()
    assert story.decide().ask == Ask("http://10.0.0.7:8787", target=True)
    fixed = Story(least=2, most=2)
    fixed.runner_runs()
    assert fixed.decide().ask == Ask("http://10.0.0.7:8787", target=False)
    assert story.seen.runner
    story.seen = replace(story.seen, runner=m.ended(story.seen.runner, message='{"state": "Succeeded"}'))
    assert story.decide().ask is None


def test_a_burst_is_met_at_once_and_starting_workers_count() -> None:
    story = running_story(0)
    story.hear(0, target=10)
    assert names_of(story.decide()) == ["-w1", "-w2", "-w3"]
    story.hear(0, target=10)
    assert not story.decide().create
    assert story.status["workers"]["desired"] == 4


def test_workers_are_retired_before_their_pods_go() -> None:
    story = running_story(0)
    story.hear(0, target=3)
    story.decide()
    story.hear(0, 1, 2, target=1, most=1)
    plan = story.decide()
    assert (plan.retire, plan.delete) == (2, ())
    story.hear(0, 1, 2, target=1, most=1, retired=(0, 2))  # a word from before they went
    plan = story.decide()
    assert plan.retire == 0
    assert sorted(each.name for each in plan.delete) == [f"{NAME}-w0", f"{NAME}-w2"]
    story.hear(1, target=1, most=1, retired=(0, 2))
    assert not story.decide().delete
    assert story.workers == ["w1"]
    assert story.status["workers"]["ready"] == 1


def test_a_run_that_has_begun_outlives_the_loss_of_all_its_workers() -> None:
    story = running_story(0)
    story.worker(0, {"metadata": {"deletionTimestamp": m.at(5)}})
    story.seconds = 5000
    story.hear(target=1)
    assert names_of(story.decide()) == ["-w1"]
    assert story.status["phase"] == "Running"
    assert next(each["reason"] for each in story.status["conditions"] if each["type"] == "Ready") == "Running"


def test_an_operator_that_begins_anew_counts_nobody_out_before_it_has_heard() -> None:
    story = running_story(0)
    story.seen = replace(story.seen, heard=None)
    plan = story.decide()
    assert (plan.status, plan.create, plan.delete, plan.retire) == (None, (), (), 0)


def test_a_flow_that_works_with_some_of_its_workers_has_begun() -> None:
    story = Story(least=2)
    story.runner_runs()
    nowhere = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes"}
    story.worker(1, {"status": {"conditions": [nowhere]}})
    plan = story.decide()
    assert plan.ask, "only the scheduler knows that a worker is enough"
    assert story.status["phase"] == "SettingUp"
    assert story.status["diagnosis"]["reason"] == "Unschedulable"
    story.hear(0, target=2)
    now = m.NOW + timedelta(seconds=story.seconds)
    story.run = m.with_status(story.run, run_plan.decide(story.run, story.seen, m.settings(), now).status)
    assert story.status["phase"] == "Running"
    story.decide()
    assert story.status["diagnosis"]["reason"] == "Unschedulable", "it is still shown"


def test_a_name_is_not_given_twice_while_the_scheduler_knows_it() -> None:
    story = running_story(0)
    story.worker(0, {"metadata": {"deletionTimestamp": m.at(5)}})
    story.hear(0, target=1)
    assert names_of(story.decide()) == ["-w1"]
    story.seen = replace(story.seen, workers=(), dask_pods=())
    story.hear(0, 1, target=1)
    assert names_of(story.decide()) == ["-w2"]


def test_a_pod_that_has_ended_is_replaced_after_a_pause() -> None:
    story = running_story(0)
    story.worker(0, {"status": {"phase": "Failed"}})
    story.seconds = 3
    story.hear(target=1)
    plan = story.decide()
    assert not plan.create
    assert not plan.delete
    assert plan.again_after
    story.seconds = 2 + REPLACE_AFTER
    story.hear(target=1)
    plan = story.decide()
    assert [each.name for each in plan.delete] == [f"{NAME}-w0"]
    assert names_of(plan) == ["-w1"]


@pytest.mark.parametrize(
    ("since", "registered", "lost"), [(60, False, True), (60, True, False), (5, False, False), (None, False, False)]
)
def test_a_worker_on_a_lost_node_is_replaced(since: float | None, registered: bool, lost: bool) -> None:
    story = running_story(0)
    conditions = [{"type": "Ready", "status": "False", "lastTransitionTime": m.at(since)}] if since else []
    states = [{"name": "worker", "restartCount": 0, "state": {"running": {"startedAt": m.at(2)}}}]
    story.worker(0, {"status": {"phase": "Running", "containerStatuses": states, "conditions": conditions}})
    story.seconds = 70
    story.hear(*([0] if registered else []), target=1)
    plan = story.decide()
    assert names_of(plan) == (["-w1"] if lost else [])
    assert [each.name for each in plan.delete] == ([f"{NAME}-w0"] if lost else [])


LIMITED = {"resources": {"limits": {"memory": "256Mi"}}}


@pytest.mark.parametrize(
    ("said", "container", "reason"),
    [
        ({"reason": "OOMKilled"}, {}, "OutOfMemory"),
        ({"reason": "Error"}, LIMITED, "OutOfMemory"),  # the runtime missed the kernel's word
        ({"reason": "Error"}, {**LIMITED, "livenessProbe": {}}, "WorkerCrashLoop"),
        ({"reason": "Error"}, {}, "WorkerCrashLoop"),
        ({"reason": "Error", "exitCode": 1}, LIMITED, "WorkerCrashLoop"),
    ],
)
def test_a_worker_that_crash_loops_ends_the_run(said: Manifest, container: Manifest, reason: str) -> None:
    story = running_story(0)
    last = {"terminated": {"exitCode": 137, **said}}
    states = [{"name": "worker", "restartCount": 3, "state": {"waiting": {}}, "lastState": last}]
    spec = {"containers": [{"name": "worker", **container}]}
    story.worker(0, {"spec": spec, "status": {"containerStatuses": states}})
    story.decide()
    assert story.status["ending"]["reason"] == reason
    assert "workerSpec" in story.status["ending"]["remedy"]


KILLED = "distributed.scheduler.KilledWorker"
OOM, KILL, CRASH = {"exitCode": 137, "reason": "OOMKilled"}, {"exitCode": 137, "reason": "Error"}, {"exitCode": 1}


@pytest.mark.parametrize(
    ("error", "state", "last", "reason"),
    [
        (KILLED, {"running": {}}, {"terminated": OOM}, "OutOfMemory"),
        (KILLED, {"running": {}}, {"terminated": KILL}, "OutOfMemory"),  # the runtime missed the kernel's word
        (KILLED, {"terminated": OOM}, {}, "OutOfMemory"),
        (KILLED, {"running": {}}, {"terminated": CRASH}, "FlowRaised"),
        (KILLED, {"terminated": KILL}, {}, "FlowRaised"),  # it was let go
        ("ValueError", {"running": {}}, {"terminated": OOM}, "FlowRaised"),
    ],
)
def test_a_task_that_dask_gives_up_because_its_workers_are_killed_for_memory(
    error: str, state: Manifest, last: Manifest, reason: str
) -> None:
    story = running_story(0)
    states = [{"name": "worker", "restartCount": 1 if last else 0, "state": state, "lastState": last}]
    spec = {"containers": [{"name": "worker", **LIMITED}]}
    story.worker(0, {"spec": spec, "status": {"phase": "Running", "containerStatuses": states}})
    said = {"state": "Failed", "reason": "FlowRaised", "error": {"type": error, "message": "m"}}
    assert story.seen.runner is not None
    done = m.ended(story.seen.runner, code=1, message=json.dumps(said))
    story.seen = replace(story.seen, runner=done, runners=(done,))
    story.decide()
    told = story.status["diagnosis"]
    assert told["reason"] == reason
    assert ("w0 was killed: it needed more than its memory limit of 256Mi." in told["message"]) == (
        reason != "FlowRaised"
    )


def test_a_worker_that_was_lost_now_and_then_over_hours_is_no_loop() -> None:
    story = running_story(0)
    last = {"terminated": {"exitCode": 137, "startedAt": m.at(0), "finishedAt": m.at(4000)}}
    states = [{"name": "worker", "restartCount": 5, "state": {"running": {"startedAt": m.at(4001)}}, "lastState": last}]
    story.worker(0, {"status": {"containerStatuses": states}})
    story.decide()
    assert "ending" not in story.status
    assert story.status["phase"] == "Running"


def test_a_refused_worker_is_shown_and_does_not_end_a_run_that_has_begun() -> None:
    story = running_story(0)
    story.hear(0, target=3)
    story.seen = replace(story.seen, refused="exceeded quota: small")
    plan = story.decide()
    assert plan.again_after == 10
    assert story.status["diagnosis"]["reason"] == "PodRefused"
    assert story.status["phase"] == "Running"


@pytest.mark.parametrize("kind", ["Service", "Pod"])
def test_what_an_earlier_attempt_has_left_goes(kind: str) -> None:
    story = running_story(0)
    meta = {"name": "old", "namespace": "team-a", "uid": "u"}
    left = {"apiVersion": "v1", "kind": kind, "metadata": meta}
    story.seen = replace(story.seen, earlier=(left,))
    assert [each.name for each in story.decide().delete] == ["old"]
