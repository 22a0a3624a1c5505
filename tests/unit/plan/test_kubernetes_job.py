"""A run in a Job of the user's making: what is changed of it (the model's 4.3), and how such a run lives and ends."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from flow_operator.api import labels
from flow_operator.api.flow_run import FlowRunSpec
from flow_operator.plan import kubernetes_job, pinned
from flow_operator.plan import run as run_plan
from flow_operator.plan.types import ObservedRun, Plan
from tests.support import makers as m
from tests.support.condition_rules import violations

Manifest = dict[str, Any]
OWN = m.a_job_environment()
SUCCEEDED = json.dumps({"state": "Succeeded", "result": 1})
RAISED = json.dumps({"state": "Failed", "reason": "FlowRaised", "error": {"type": "ValueError", "message": "no"}})


def job_of(environment: Manifest, *callbacks: str, **spec: Any) -> Manifest:
    """Return the Job of a run."""
    deployment = m.a_ready_deployment(callbacks=callbacks, environment=environment, **spec)
    pins = pinned.read(pinned.pin(deployment, FlowRunSpec.model_validate(m.a_run()["spec"]), m.settings()))
    return kubernetes_job.kubernetes_job(m.a_run(), pins, 1)


def pod_spec(job: Manifest) -> Manifest:
    found: Manifest = job["spec"]["template"]["spec"]
    return found


def own_pod(environment: Manifest = OWN) -> Manifest:
    return pod_spec({"spec": environment["kubernetesJob"]["jobSpec"]})


# --- the patch


def test_image_command_and_args_of_the_first_container_are_replaced() -> None:
    first, beside = pod_spec(job_of(OWN))["containers"]
    assert first["image"] == m.IMAGE
    assert first["command"] == ["python3", "-m", "flow_operator.runner", "run"]
    assert "args" not in first
    own = own_pod()["containers"]
    for key in ("name", "resources", "securityContext"):
        assert first[key] == own[0][key]
    assert {key: each for key, each in beside.items() if key != "env"} == own[1]


def test_variables_are_added_to_every_container_and_of_one_name_the_platforms_takes_effect() -> None:
    for each in pod_spec(job_of(OWN))["containers"]:
        (told,) = [one["value"] for one in each["env"] if one["name"] == "FLOW_OPERATOR_RUN"]
        assert json.loads(told)["run"]["uid"] == m.RUN_UID
        assert "HOME" not in [one["name"] for one in each["env"]], "those are the user's containers"
    assert {"name": "A", "value": "1"} in pod_spec(job_of(OWN))["containers"][0]["env"]


def test_both_the_job_and_its_pod_are_labelled_and_keep_the_users_own() -> None:
    job = job_of(OWN)
    for each in (job, job["spec"]["template"]):
        assert each["metadata"]["labels"][labels.RUN_UID] == m.RUN_UID
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "flows"
    assert job["spec"]["template"]["metadata"]["labels"]["team"] == "a"
    assert job["metadata"]["name"] == "squares-1-11111111-1"
    assert [each["uid"] for each in job["metadata"]["ownerReferences"]] == [m.RUN_UID]


def test_what_the_flow_says_is_written_where_it_is_read() -> None:
    own = m.a_job_environment()
    first = own["kubernetesJob"]["jobSpec"]["template"]["spec"]["containers"][0]
    first |= {"terminationMessagePath": "/tmp/said", "terminationMessagePolicy": "FallbackToLogsOnError"}
    main = pod_spec(job_of(own))["containers"][0]
    said = (main["terminationMessagePath"], main["terminationMessagePolicy"])
    assert said == ("/dev/termination-log", "File")


def test_a_job_makes_no_pod_beside_one_that_has_its_grace_unless_its_author_says_so() -> None:
    assert job_of(m.a_job_environment(backoffLimit=2))["spec"]["podReplacementPolicy"] == "Failed"
    wished = m.a_job_environment(podReplacementPolicy="TerminatingOrFailed")
    assert job_of(wished)["spec"]["podReplacementPolicy"] == "TerminatingOrFailed"


def test_everything_else_stays() -> None:
    spec = pod_spec(job_of(m.a_job_environment(backoffLimit=3, podFailurePolicy={"rules": []})))
    assert spec["nodeSelector"] == {"disk": "fast"}
    assert spec["volumes"] == own_pod()["volumes"]
    job = job_of(m.a_job_environment(backoffLimit=3, podFailurePolicy={"rules": []}))
    assert (job["spec"]["backoffLimit"], job["spec"]["podFailurePolicy"]) == (3, {"rules": []})


def test_what_a_job_cannot_do_without_is_made() -> None:
    bare = job_of(m.a_job_environment(template={"spec": {"containers": [{}]}}))
    assert bare["spec"]["backoffLimit"] == 0, "the flow runs once, not seven times"
    spec = pod_spec(bare)
    assert spec["restartPolicy"] == "Never"
    assert spec["containers"][0]["name"] == "flow"
    assert spec["automountServiceAccountToken"] is False


def test_nothing_of_the_service_account_is_taken_or_given() -> None:
    own = m.a_job_environment(template={"spec": {"serviceAccountName": "mine", "containers": [{}]}})
    assert pod_spec(job_of(own))["serviceAccountName"] == "mine"
    assert "automountServiceAccountToken" not in pod_spec(job_of(own))
    asked = m.a_job_environment(template={"spec": {"automountServiceAccountToken": True, "containers": [{}]}})
    assert pod_spec(job_of(asked))["automountServiceAccountToken"] is True


def test_patching_again_changes_nothing_and_leaves_the_users_words_alone() -> None:
    before = copy.deepcopy(OWN)
    once = job_of(OWN)
    assert before == OWN
    again = {"kubernetesJob": {"jobSpec": once["spec"], "metadata": {"labels": once["metadata"]["labels"]}}}
    assert job_of(again) == once


def test_callbacks_bring_their_container_and_a_finalizer_and_nothing_else_does() -> None:
    job = job_of(OWN, "on_exit", storage={"bytes": {}})
    main, _, hooks = pod_spec(job)["containers"]
    assert hooks["name"] == "flow-hooks"
    assert hooks["securityContext"]["runAsUser"] == main["securityContext"]["runAsUser"]
    assert {"name": "flow-operator-hooks", "mountPath": "/hooks"} in main["volumeMounts"]
    assert {"name": "flow-operator-code", "mountPath": "/flows", "readOnly": True} in hooks["volumeMounts"]
    assert {each["name"] for each in pod_spec(job)["volumes"]} == {
        "tmp", "flow-operator-tmp", "flow-operator-hooks", "flow-operator-code",
    }  # fmt: skip
    assert job["spec"]["template"]["metadata"]["finalizers"] == [labels.VERDICT]
    assert "finalizers" not in job_of(OWN)["spec"]["template"]["metadata"]


# --- the life


def decide(run: Manifest, seen: ObservedRun, after: float = 2) -> Plan:
    """Decide, and decide again upon the result: the second time there must be nothing new to tell."""
    now = m.NOW + timedelta(seconds=after)
    plan = run_plan.decide(run, seen, m.settings(), now)
    told = m.with_status(run, plan.status)
    assert not violations(told), violations(told)
    assert run_plan.decide(told, seen, m.settings(), now).status is None, "the same world must give the same status"
    return plan


class Life:
    """One run in a Job, step by step."""

    def __init__(self, *callbacks: str, environment: Manifest = OWN, **spec: Any) -> None:
        self.run = m.a_run(**spec)
        self.seen = ObservedRun(
            deployment=m.a_ready_deployment(callbacks=callbacks, environment=environment), refused=None
        )
        plan = self.step()
        assert [each["kind"] for each in plan.create] == ["Job"]
        self.job = m.scheduled(plan.create[0])
        self.job["status"] = {}

    def step(self, after: float = 2, **seen: Any) -> Plan:
        self.seen = replace(self.seen, **seen)
        plan = decide(self.run, self.seen, after)
        self.run = m.with_status(self.run, plan.status) if plan.status else self.run
        return plan

    @property
    def status(self) -> Manifest:
        return dict(self.run["status"])

    def with_job(self, condition: str = "", **more: Any) -> Manifest:
        self.job["status"] = {"conditions": [{"type": condition, "status": "True", **more}] if condition else []}
        return {"job": self.job, "jobs": (self.job,)}

    def pod(self, name: str = "a", since: float = 0) -> Manifest:
        template = self.job["spec"]["template"]
        meta = {**template["metadata"], "name": f"{self.job['metadata']['name']}-{name}", "namespace": "team-a"}
        made = m.scheduled({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]})
        made["metadata"]["creationTimestamp"] = m.at(since)
        return made

    def with_pod(self, pod: Manifest) -> Manifest:
        return {"runner": pod, "runners": (pod,)}


def done(pod: Manifest, message: str, code: int = 0) -> Manifest:
    return m.ended(m.running(pod, "work"), "work", code=code, message=message)


def over(pod: Manifest, phase: str) -> Manifest:
    pod["status"]["phase"] = phase
    return pod


def test_a_run_follows_its_job_to_success() -> None:
    life = Life()
    life.step(**life.with_job())
    assert life.status["phase"] == "SettingUp"
    life.step(**life.with_pod(m.running(life.pod(), "work")))
    assert life.status["phase"] == "Running"
    assert life.status["pod"].endswith("-1-a")
    ended = done(life.pod(), SUCCEEDED)
    life.step(**life.with_pod(ended))
    assert life.status["phase"] == "Finishing", "other containers of the pod may still run"
    life.step(**life.with_pod(over(ended, "Succeeded")), **life.with_job("Complete"))
    assert (life.status["phase"], life.status["result"]) == ("Succeeded", 1)
    assert not life.step().delete


def test_a_job_that_tries_again_is_waited_for() -> None:
    life = Life()
    life.step(**life.with_job(), **life.with_pod(m.running(life.pod(), "work")))
    life.step(**life.with_pod(over(done(life.pod(), RAISED, 1), "Failed")))
    assert life.status["phase"] == "Finishing"
    life.step(**life.with_pod(m.running(life.pod("b"), "work")))
    assert life.status["phase"] == "Running"
    assert life.status["pod"].endswith("-1-b")
    last = over(done(life.pod("b"), RAISED, 1), "Failed")
    life.step(**life.with_pod(last), **life.with_job("Failed", reason="BackoffLimitExceeded"))
    assert life.status["phase"] == "Failed"
    assert life.status["diagnosis"]["reason"] == "FlowRaised"
    assert life.status["attempt"] == 1


def test_a_job_past_its_own_deadline_says_so() -> None:
    life = Life()
    life.step(**life.with_job(), **life.with_pod(m.running(life.pod(), "work")))
    life.step(runner=None, runners=(), runner_gone=True, **life.with_job("Failed", reason="DeadlineExceeded"))
    assert life.status["diagnosis"]["reason"] == "DeadlineExceeded"
    assert "jobSpec" in life.status["diagnosis"]["message"]


def test_a_cancelled_run_deletes_the_job_before_its_pod() -> None:
    life = Life()
    pod = m.running(life.pod(), "work")
    life.step(**life.with_job(), **life.with_pod(pod))
    life.run["spec"]["cancel"] = "Graceful"
    plan = life.step()
    assert [each.kind for each in plan.delete] == ["Job", "Pod"]
    assert life.status["ending"]["outcome"] == "Cancelled"
    life.step(job=None, jobs=(), runner=None, runners=(), runner_gone=True)
    assert life.status["phase"] == "Cancelled"


def test_a_cancelled_run_whose_job_tries_again_does_not_wait_for_that() -> None:
    life = Life()
    life.step(**life.with_job(), **life.with_pod(m.running(life.pod(), "work")))
    life.run["spec"]["cancel"] = "Graceful"
    plan = life.step(**life.with_pod(over(done(life.pod(), RAISED, 1), "Failed")))
    assert [each.kind for each in plan.delete] == ["Job"]


def test_a_job_that_was_deleted_is_an_attempt_lost() -> None:
    life = Life(infrastructureBackoffLimit=0)
    pod = m.running(life.pod(), "work")
    life.step(**life.with_job(), **life.with_pod(pod))
    plan = life.step(job=None, jobs=())
    assert life.status["ending"]["reason"] == "RunnerDeleted"
    assert [each.kind for each in plan.delete] == ["Pod"], "before anything else may run"


def test_no_second_job_while_the_first_may_make_a_pod() -> None:
    life = Life(preRunningDeadlineSeconds=30, backoffLimit=3)
    plan = life.step(after=40, **life.with_job())
    assert [each.kind for each in plan.delete] == ["Job"]
    assert life.status["ending"]["reason"] == "NotStarted"
    assert not plan.create


@pytest.mark.parametrize(
    ("said", "reason", "final"),
    [
        (
            'Job.batch "x" is invalid: spec.template.spec.restartPolicy: Unsupported value: "Always"',
            "JobSpecInvalid",
            1,
        ),
        ('strict decoding error: unknown field "spec.backofLimit"', "JobSpecInvalid", 1),
        ('pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot', "PodRefused", 0),
        ('pods "x" is forbidden: exceeded quota: q', "PodRefused", 0),
    ],
)
def test_a_refusal_has_the_servers_words(said: str, reason: str, final: bool) -> None:
    life = Life()
    life.step(refused=said)
    assert life.status["diagnosis"]["reason"] == reason
    assert said in life.status["diagnosis"]["message"]
    assert (life.status["phase"] == "Failed") is bool(final)


def test_a_suspended_job_waits_for_its_queue() -> None:
    life = Life()
    life.job["spec"]["suspend"] = True
    life.step(**life.with_job())
    assert life.status["diagnosis"]["reason"] == "JobSuspended"


@pytest.mark.parametrize("told", [False, True], ids=["gone", "ended"])
def test_a_job_that_is_suspended_after_it_began_says_so_until_it_has_a_pod_again(told: bool) -> None:
    """A queue has preempted it: its pod is gone, with or without last words."""
    life = Life()
    life.step(**life.with_job(), **life.with_pod(m.running(life.pod(), "work")))
    life.job["spec"]["suspend"] = True
    last = done(life.pod(), RAISED, 1) if told else None
    life.step(runner=last, runners=(), runner_gone=True, **life.with_job())
    assert life.status["diagnosis"]["reason"] == "JobSuspended"
    assert (told, life.status["phase"]) in ((False, "Running"), (True, "Finishing"))
    life.job["spec"]["suspend"] = False
    life.step(**life.with_job(), **life.with_pod(m.running(life.pod("b"), "work")), runner_gone=False)
    assert life.status["phase"] == "Running"
    assert "diagnosis" not in life.status
    assert life.status["pod"].endswith("-1-b")


def test_a_job_without_a_pod_says_so_after_a_while() -> None:
    life = Life()
    life.step(**life.with_job())
    assert "diagnosis" not in life.status
    life.step(after=10)
    assert "has no pod" in life.status["diagnosis"]["message"]


def test_a_finished_runs_job_goes_after_the_ttl_and_takes_its_pods_along() -> None:
    life = Life(ttlSecondsAfterFinished=10)
    pod = over(done(life.pod(), SUCCEEDED), "Succeeded")
    life.step(**life.with_pod(pod), **life.with_job("Complete"))
    assert life.status["phase"] == "Succeeded"
    assert not life.step(after=5).delete
    assert [each.kind for each in life.step(after=13).delete] == ["Job", "Pod"]


def test_memory_is_raised_where_the_limit_was_written() -> None:
    life = Life()
    life.step(**life.with_job(), **life.with_pod(m.running(life.pod(), "work")))
    killed = over(m.ended(life.pod(), "work", code=137, reason="OOMKilled"), "Failed")
    life.step(**life.with_pod(killed), **life.with_job("Failed", reason="BackoffLimitExceeded"))
    assert life.status["diagnosis"]["reason"] == "OutOfMemory"
    assert "2Gi" in life.status["diagnosis"]["message"]
    assert "jobSpec" in life.status["diagnosis"]["remedy"]
