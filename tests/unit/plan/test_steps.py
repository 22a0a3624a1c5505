"""Runs whose environment runs the flow by its own steps: what the runner is told, and what becomes of its words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flow_operator.api.flow_run import FlowRunSpec
from flow_operator.plan import pinned, retries, runner_pod, verdict
from tests.support import makers as m

Manifest = dict[str, Any]
FARGATE: Manifest = {"fargateTask": {"credentialsSecret": "aws", "runOptions": {"cluster": "flows"}}}
CALLBACKS = ("on_start", "on_exit")


def pod_of(*callbacks: str, **deployment: Any) -> Manifest:
    made = m.a_ready_deployment(callbacks, **deployment)
    run = m.a_run()
    status = pinned.pin(made, FlowRunSpec.model_validate(run["spec"]), m.settings())
    return runner_pod.runner_pod(run, pinned.read(status), 1, m.settings())


def variables(container: Manifest) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


def driver(pod: Manifest) -> Manifest:
    told: Manifest = json.loads(variables(pod["spec"]["containers"][0])["FLOW_OPERATOR_RUN"])["driver"]
    return told


def test_a_custom_environment_is_driven_with_callbacks_around_it() -> None:
    pod = pod_of(*CALLBACKS, environment={"custom": {}})
    assert driver(pod) == {"kind": "Custom", "image": m.IMAGE}
    assert [each["name"] for each in pod["spec"]["containers"]] == ["main", "flow-hooks"]


def test_a_flow_that_is_mounted_is_in_no_image_that_aws_could_run() -> None:
    assert driver(pod_of(environment={"custom": {}}, storage={"bytes": {}}))["image"] == m.IMAGE
    assert driver(pod_of(environment=FARGATE, storage={"bytes": {}}))["image"] == ""


def test_a_fargate_task_calls_its_callbacks_itself_and_gets_its_time_to_stop() -> None:
    pod = fargate()
    assert [each["name"] for each in pod["spec"]["containers"]] == ["main"]
    assert pod["spec"]["terminationGracePeriodSeconds"] > 120
    assert driver(pod)["fargateTask"] == FARGATE["fargateTask"]
    assert driver(pod)["stopGraceSeconds"] == 10


def fargate(**settings: Any) -> Manifest:
    environment = {"fargateTask": {**FARGATE["fargateTask"], **settings}}
    made = m.a_ready_deployment(CALLBACKS)
    made["spec"]["environment"] = environment
    run = m.a_run()
    status = pinned.pin(made, FlowRunSpec.model_validate(run["spec"]), m.settings())
    return runner_pod.runner_pod(run, pinned.read(status), 1, m.settings())


def test_credentials_come_from_the_secret_and_the_kubelet_alone_reads_it() -> None:
    found = variables(fargate()["spec"]["containers"][0])
    assert found["AWS_ACCESS_KEY_ID"] == {"secretKeyRef": {"name": "aws", "key": "AWS_ACCESS_KEY_ID"}}
    assert found["AWS_SESSION_TOKEN"]["secretKeyRef"]["optional"] is True
    assert found["AWS_REGION"]["secretKeyRef"]["optional"] is True
    assert "AWS_ENDPOINT_URL_ECS" not in found
    told = variables(fargate(region="eu-west-1", endpointURL="http://aws:5000")["spec"]["containers"][0])
    assert (told["AWS_REGION"], told["AWS_DEFAULT_REGION"]) == ("eu-west-1", "eu-west-1")
    assert told["AWS_ENDPOINT_URL_ECS"] == "http://aws:5000"


def test_without_a_secret_boto3_looks_by_itself() -> None:
    found = variables(fargate(credentialsSecret=None)["spec"]["containers"][0])
    assert not [name for name in found if name.startswith("AWS_")]


def failure(reason: str, code: int = 1, **report: Any) -> Any:
    state = {"exitCode": code}
    told = {"state": "Failed", "reason": reason, "error": {"type": "RunFailed", "message": "task t ended."}, **report}
    pod = {"metadata": {"name": "squares-1"}, "spec": {}}
    return verdict.failure(pod, state, told, [], ())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reason", "code"), [("TaskFailed", 3), ("OnStartFailed", 78), ("OnExitFailed", 79), ("OutOfMemory", 137)]
)
def test_what_the_driver_says_of_a_task_is_what_a_person_reads(reason: str, code: int) -> None:
    why = failure(reason, code, remedy="See its log at https://user:password@logs.")
    assert (why.reason, why.message) == (reason, "task t ended.")
    assert why.remedy == "See its log at https://***@logs."


@pytest.mark.parametrize(("reason", "step"), [("SetupFailed", "setup"), ("ExecuteFailed", "execute")])
def test_a_step_that_failed_is_named(reason: str, step: str) -> None:
    why = failure(reason, error={"type": "OSError", "message": "no gpu", "frames": ["flow.py:7 in setup"]})
    assert why.message == f"The {step} of the flow's environment failed: OSError: no gpu (at flow.py:7 in setup)."


@pytest.mark.parametrize(
    ("reason", "budget"),
    [("TaskFailed", "flow"), ("ExecuteFailed", "flow"), ("TaskStopped", "infrastructure"), ("AwsRefused", None)],
)
def test_whose_budget_pays(reason: str, budget: str | None) -> None:
    assert retries.budget_of(reason) == budget
