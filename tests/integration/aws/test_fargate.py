"""FargateTask against AWS' own protocol: moto's server, whose tasks run their command as a process.

The runner is the real program, in a process of its own, as in a pod: variables in, exit code and report out.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from moto.moto_api import state_manager

from flow_operator import Flow
from flow_operator.api import wire
from flow_operator.environments import FargateTaskEnvironment
from flow_operator.flow.errors import EnvironmentFailed
from flow_operator.flow.fargate import driving, ecs
from flow_operator.runner.storage import ImageStorage
from tests.support.aws import Aws

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOM = Path(__file__).parents[3] / "operator"
IMAGE = "localhost:5001/team-a/squares@sha256:" + "a" * 64
UID = "11111111-aaaa-bbbb-cccc-000000000001"
SECRETS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "very-secret-key"}
NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"]}}
SETTINGS: dict[str, dict[str, Any]] = {
    "registerOptions": {"cpu": "256", "memory": "512", "containerDefinitions": [{"name": "squares", "memory": 512}]},
    "runOptions": {"cluster": "flows", "networkConfiguration": NETWORK, "enableECSManagedTags": True},
}
FLOW = """
import os, time
from flow_operator import flow
from flow_operator.environments import RemoteEnvironment

def note(text):
    with open(os.path.join(os.path.dirname(__file__), "events"), "a") as file:
        file.write(text + "\\n")

def start():
    note("on_start")

def end():
    note("on_exit " + os.environ["FLOW_OPERATOR_OUTCOME"])

@flow(environment=RemoteEnvironment(on_start=start, on_exit=end))
def squares(n: int = 3, seconds: float = 0, code: int = 0):
    note(f"flow {n} {os.environ['FLOW_OPERATOR_ATTEMPT']} {'AWS_SECRET_ACCESS_KEY' in os.environ}")
    time.sleep(seconds)
    if code:
        raise SystemExit(code)
"""


class Driver:
    """The runner pod of a FargateTask."""

    def __init__(self, home: Path, aws: Aws) -> None:
        self.home = home
        self.settings: dict[str, Any] = json.loads(json.dumps(SETTINGS))
        self.attempt = 1
        self.variables = {**SECRETS, "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL_ECS": aws.url}
        (home / "flow.py").write_text(FLOW)

    def start(self, **parameters: Any) -> subprocess.Popen[str]:
        driver = {"kind": "FargateTask", "image": IMAGE, "fargateTask": self.settings, "stopGraceSeconds": 2}
        request = {
            "flow": {"location": str(self.home / "flow.py"), "attribute": "squares"},
            "run": {"name": "squares-1", "namespace": "team-a", "uid": UID, "attempt": self.attempt},
            "parameters": parameters,
            "executor": {"kind": "Local"},
            "hooks": False,
            "stopGraceSeconds": 30,
            "hookTimeoutSeconds": 5,
            "driver": driver,
        }
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "PYTHONPATH": str(ROOM),
            "AWS_EC2_METADATA_DISABLED": "true",
            wire.RUN_ENV: json.dumps(request),
            "FLOW_OPERATOR_TERMINATION_LOG": str(self.home / "message"),
            **self.variables,
        }
        command = [sys.executable, "-P", "-m", "flow_operator.runner", "run"]
        return subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, **parameters: Any) -> tuple[int, dict[str, Any]]:
        """Return exit code and report."""
        with self.start(**parameters) as process:
            log, _ = process.communicate(timeout=120)
        report = (self.home / "message").read_text()
        for secret in SECRETS.values():
            assert secret not in log + report
        assert "Traceback" not in log, log
        told: dict[str, Any] = json.loads(report)
        return process.returncode, told

    def events(self) -> list[str]:
        file = self.home / "events"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    monkeypatch.setenv("PYTHONPATH", str(ROOM))  # of the tasks: an image has it in its own configuration
    made = Aws()
    made.start()
    made.create_cluster("flows")
    yield made
    made.close()


@pytest.fixture
def driver(tmp_path: Path, aws: Aws) -> Driver:
    return Driver(tmp_path, aws)


def test_a_task_runs_the_flow_and_its_callbacks_and_a_second_run_finds_the_definition(driver: Driver, aws: Aws) -> None:
    code, report = driver.run(n=4)
    assert (code, report["state"]) == (0, "Succeeded")
    assert "only the exit code comes back" in report["resultOmitted"]
    assert set(report["stages"]) == {"load", "setup", "execute"}
    assert driver.events() == ["on_start", "flow 4 1 False", "on_exit Succeeded"]
    (definition,) = aws.definitions
    assert definition.family == "flow-operator-squares"
    container = definition.container_definitions[0]
    assert (container["image"], container["command"]) == (IMAGE, ["python3", "-m", "flow_operator.runner", "task"])
    sent = next(arguments for action, arguments in aws.calls if action == "RunTask")
    assert (sent["launchType"], sent["cluster"], sent["startedBy"]) == ("FARGATE", "flows", UID)
    assert "very-secret-key" not in json.dumps(aws.calls)
    aws.calls.clear()
    driver.attempt = 2
    code, report = driver.run(code=3)
    assert (code, report["reason"]) == (3, "TaskFailed")
    assert "exit code 3" in report["error"]["message"]
    assert driver.events()[-1] == "on_exit Failed"
    assert "RegisterTaskDefinition" not in aws.actions()
    assert len(aws.definitions) == 1


def test_stopping_the_driver_stops_the_task_and_on_exit_runs_in_it(driver: Driver, aws: Aws) -> None:
    process = driver.start(seconds=60)
    _until(lambda: "flow 3 1 False" in driver.events())
    process.send_signal(signal.SIGTERM)
    log, _ = process.communicate(timeout=60)
    assert process.returncode == wire.EXIT_CLOSED, log
    report = json.loads((driver.home / "message").read_text())
    assert report["reason"] == "Stopped"
    assert "has ended" in report["error"]["message"]
    (task,) = aws.tasks
    assert task.last_status == "STOPPED"
    assert task.stopped_reason == "flow-operator: the runner of FlowRun team-a/squares-1 was stopped"
    assert driver.events() == ["on_start", "flow 3 1 False", "on_exit Failed"]


def test_a_driver_that_was_killed_leaves_a_task_that_the_next_attempt_stops_first(driver: Driver, aws: Aws) -> None:
    process = driver.start(seconds=60)
    _until(lambda: "flow 3 1 False" in driver.events())
    os.killpg(process.pid, signal.SIGKILL)  # as a pod ends
    process.communicate()
    driver.attempt = 2
    code, _ = driver.run(n=5)
    assert code == 0
    first, second = aws.tasks
    assert first.stopped_reason == "flow-operator: attempt 2 of FlowRun squares-1 begins"
    assert second.last_status == "STOPPED"
    assert driver.events() == [
        "on_start",
        "flow 3 1 False",
        "on_exit Failed",
        "on_start",
        "flow 5 2 False",
        "on_exit Succeeded",
    ]


def test_an_image_without_boto3_says_what_to_add(driver: Driver, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "boto3.py").write_text("raise ModuleNotFoundError(\"No module named 'boto3'\", name='boto3')")
    driver.variables["PYTHONPATH"] = f"{hidden}:{ROOM}"
    _, report = driver.run()
    assert report["reason"] == "EnvironmentDependencyMissing"
    assert report["remedy"] == "Add the package of 'boto3' to pythonDependencies."


# --- in this process: boto3 takes its time to be imported


@pytest.fixture
def here(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Both steps of an environment, as a pod of a run would take them; its tasks run nothing."""
    aws.runs = None
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {**SECRETS, "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL_ECS": aws.url}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(ecs, "FIRST_NAP", 0.01)
    monkeypatch.setattr(driving, "FIRST_NAP", 0.01)
    flow = Flow.from_function(squares)

    def run(image: str = IMAGE, **options: Any) -> None:
        environment = FargateTaskEnvironment(**{**SETTINGS["registerOptions"], **SETTINGS["runOptions"], **options})
        storage = ImageStorage(image, {"location": "/flows/flow.py", "attribute": "squares"}, flow)
        environment.setup(storage)
        environment.execute(storage, storage.location, n=3)

    yield run
    state_manager.set_transition("ecs::task", {"progression": "manual", "times": 10**9})


def squares(n: int = 3) -> int:
    return n


def test_a_definition_is_made_again_only_for_another_image_or_option(here: Callable[..., None], aws: Aws) -> None:
    state_manager.set_transition("ecs::task", {"progression": "immediate"})
    for options in ({}, {}, {"cpu": "512"}, {"image": IMAGE.replace("a", "b")}, {}):
        here(**options)
    assert [each.revision for each in aws.definitions] == [1, 2, 3, 4]
    assert [each.task_definition_arn[-2:] for each in aws.tasks] == [":1", ":1", ":2", ":3", ":4"]


REFUSALS = [
    ("DescribeTaskDefinition", "AccessDeniedException", "User x is not authorized to perform: ecs:DescribeTask", "IAM"),
    ("RegisterTaskDefinition", "ClientException", "No Fargate configuration exists for values.", "registerOptions"),
    ("RunTask", "ClusterNotFoundException", "Cluster not found.", "Create the cluster"),
    ("RunTask", "InvalidParameterException", "Network Configuration must be provided", "runOptions"),
    ("ListTasks", "ExpiredTokenException", "The security token included in the request is expired", "expired"),
    ("RunTask", "UnrecognizedClientException", "The security token AKIAEXAMPLE is invalid.", "credentialsSecret"),
]


@pytest.mark.parametrize(("action", "code", "message", "remedy"), REFUSALS)
def test_what_aws_refuses_is_said_in_its_words_with_a_remedy(
    here: Callable[..., None], aws: Aws, action: str, code: str, message: str, remedy: str
) -> None:
    aws.faults[action] = [(400, code, message)]
    with pytest.raises(EnvironmentFailed) as caught:
        here()
    assert caught.value.reason == "AwsRefused"
    assert f"ecs:{action}" in caught.value.message
    assert f"{code}: {message.replace('AKIAEXAMPLE', '***')}" in caught.value.message
    assert remedy in caught.value.remedy
    assert aws.tasks == []


def test_a_cluster_that_is_not_there_is_named(here: Callable[..., None]) -> None:
    with pytest.raises(EnvironmentFailed, match=r"'nowhere'.*ClusterNotFoundException"):
        here(cluster="nowhere")


def test_an_option_of_the_wrong_type_is_named(here: Callable[..., None]) -> None:
    with pytest.raises(EnvironmentFailed, match=r"ecs:RegisterTaskDefinition.*Invalid type for parameter cpu"):
        here(cpu=256)


def test_throttling_and_errors_that_pass_are_waited_for(here: Callable[..., None], aws: Aws) -> None:
    state_manager.set_transition("ecs::task", {"progression": "immediate"})
    throttled = (400, "ThrottlingException", "Rate exceeded")
    aws.faults["RunTask"] = [throttled, (500, "ServerException", "again")]
    aws.faults["ListTasks"] = [throttled] * 5  # more than boto3 tries by itself
    here()
    assert aws.actions().count("RunTask") == 3
    assert len(aws.tasks) == 1


@pytest.mark.parametrize(
    ("without", "words"), [("AWS_REGION", "No region"), ("AWS_ACCESS_KEY_ID", "there are no credentials of AWS")]
)
def test_what_is_missing_is_said(
    here: Callable[..., None], monkeypatch: pytest.MonkeyPatch, without: str, words: str
) -> None:
    monkeypatch.delenv(without)
    monkeypatch.setenv("HOME", "/nonexistent")
    with pytest.raises(EnvironmentFailed, match=words) as caught:
        here()
    assert caught.value.reason == "AwsRefused"
    assert caught.value.remedy


def _until(true: Any) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)
