"""FargateTask without AWS: which option goes where, what is ours in it, and how a task is followed."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from flow_operator import Flow, storage, task
from flow_operator.api import wire
from flow_operator.environments import FargateTaskEnvironment, RemoteEnvironment
from flow_operator.flow.errors import EnvironmentFailed
from flow_operator.flow.fargate import driving, options
from flow_operator.flow.fargate.border import Passing
from flow_operator.flow.pickling import dumps, loads

if TYPE_CHECKING:
    from flow_operator.api.wire import RunRequest

IMAGE = "localhost:5001/team-a/squares@sha256:" + "a" * 64
UID = "11111111-aaaa-bbbb-cccc-000000000001"
REQUEST: RunRequest = {
    "flow": {"location": "/flows/flow.py", "attribute": "squares"},
    "run": {"name": "squares-1", "namespace": "team-a", "uid": UID, "attempt": 2},
    "parameters": {"n": 3},
    "executor": {"kind": "Local"},
    "hooks": False,
    "stopGraceSeconds": 10,
    "hookTimeoutSeconds": 30,
}


@task
def one() -> int:
    return 1


def registered(run: dict[str, Any] | None = None, **register: Any) -> dict[str, Any]:
    made = options.definition(register, run or {}, image=IMAGE, default_family="flow-operator-squares")
    return {**made, "taskDefinitionArn": f"arn:{made['family']}:1"}


def variables(container: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container["environment"]}


def test_there_are_15_keys_to_register_and_12_to_run_and_two_are_both() -> None:
    assert (len(options.REGISTER_KEYS), len(options.RUN_KEYS)) == (15, 12)
    assert set(options.REGISTER_KEYS) & set(options.RUN_KEYS) == {"placementConstraints", "tags"}


def test_every_key_goes_where_it_belongs_and_an_unknown_one_nowhere() -> None:
    given = {key: key for key in (*options.REGISTER_KEYS, *options.RUN_KEYS, "launchType", "password")}
    register, run = options.split(given)
    assert register == {key: key for key in options.REGISTER_KEYS}
    assert run == {key: key for key in options.RUN_KEYS}


def test_only_image_and_command_of_the_first_container_are_replaced() -> None:
    containers: list[dict[str, Any]] = [
        {"name": "a", "image": "x", "command": ["y"], "entryPoint": ["z"], "memory": 9, "environment": [MINE, OURS]},
        {"name": "b", "image": "proxy:1", "command": ["serve"]},
    ]
    made = registered(family="f", cpu="256", containerDefinitions=containers)
    first, second = made["containerDefinitions"]
    assert (first["image"], first["command"], first["memory"]) == (IMAGE, options.COMMAND, 9)
    assert "entryPoint" not in first
    assert (second["image"], second["command"]) == ("proxy:1", ["serve"])
    assert made["cpu"] == "256"
    for each in (first, second):
        assert variables(each)["FLOW_OPERATOR_IMAGE"] == IMAGE
    assert variables(first)["MINE"] == "kept"
    assert variables(first)["PYTHONUNBUFFERED"] == "1", "the platform's value counts where names are equal"
    assert containers[0]["image"] == "x", "what was given stays as it is"


MINE, OURS = {"name": "MINE", "value": "kept"}, {"name": "PYTHONUNBUFFERED", "value": "0"}


def test_what_is_missing_is_made() -> None:
    made = registered()
    assert made["family"] == "flow-operator-squares"
    assert (made["networkMode"], made["requiresCompatibilities"]) == ("awsvpc", ["FARGATE"])
    assert made["containerDefinitions"][0]["name"] == "flow"


def test_the_family_may_be_told_by_the_task_definition_to_run() -> None:
    assert registered({"taskDefinition": "mine"})["family"] == "mine"


def test_the_same_image_and_options_are_one_definition_and_others_another() -> None:
    one, same, other = registered(cpu="256"), registered(cpu="256"), registered(cpu="512")
    assert options.fingerprint(one) == options.fingerprint(same) is not None
    assert options.fingerprint(one) != options.fingerprint(other)
    newer = options.definition({"cpu": "256"}, {}, image=IMAGE.replace("a", "b"), default_family="x")
    assert options.fingerprint(one) != options.fingerprint(newer)
    assert options.fingerprint({"containerDefinitions": [{"name": "somebody's"}]}) is None


def test_a_task_is_one_on_fargate_and_known_by_the_runs_uid() -> None:
    made = options.task({"cluster": "flows", "startedBy": "me"}, registered(), REQUEST, ["on_exit"])
    assert made["launchType"] == "FARGATE"
    assert made["count"] == 1
    assert made["startedBy"] == UID
    assert len(made["startedBy"]) <= 36
    assert len(made["clientToken"]) <= 64
    assert made["taskDefinition"] == "arn:flow-operator-squares:1", "a revision, not what is the newest by then"


def test_the_request_goes_to_the_first_container_and_who_it_is_for_to_all() -> None:
    containers = [{"name": "a"}, {"name": "b"}]
    made = options.task({}, registered(containerDefinitions=containers), REQUEST, ["on_start", "on_exit"])
    first, second = made["overrides"]["containerOverrides"]
    assert json.loads(variables(first)[wire.RUN_ENV]) == REQUEST
    assert variables(first)["FLOW_OPERATOR_CALLBACKS"] == "on_start,on_exit"
    assert variables(second) == {
        "FLOW_OPERATOR_RUN_NAME": "squares-1",
        "FLOW_OPERATOR_RUN_NAMESPACE": "team-a",
        "FLOW_OPERATOR_ATTEMPT": "2",
    }
    assert options.attempt({"overrides": made["overrides"]}) == 2


def test_a_task_is_told_its_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(wire.SCHEDULED_TIME_ENV, "2026-11-23T12:00:00Z")
    made = options.task({}, registered(), REQUEST, [])
    assert variables(made["overrides"]["containerOverrides"][0])[wire.SCHEDULED_TIME_ENV] == "2026-11-23T12:00:00Z"


def test_parameters_that_aws_does_not_take_are_refused_with_the_numbers() -> None:
    large: RunRequest = {**REQUEST, "parameters": {"text": "x" * 9000}}
    with pytest.raises(ValueError, match=r"9,\d\d\d characters .* 8,192"):
        options.task({}, registered(), large, [])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"family": "a", "taskDefinition": "b"}, "'a' and 'b'"),
        ({"count": 2}, "count must be 1, not 2"),
        ({"containerDefinitions": []}, "at least one"),
        ({"containerDefinitions": "x"}, "a list"),
    ],
)
def test_options_that_do_not_go_together(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        FargateTaskEnvironment(**given)


def test_credentials_are_in_neither_bytes_nor_metadata_nor_resource() -> None:
    environment = FargateTaskEnvironment(
        "AKIAEXAMPLE", "very-secret", "token-secret", "eu-west-1", family="f", cpu="256"
    )
    with Flow("squares", environment=environment) as flow:
        one()
    data = dumps(flow)
    told = json.dumps([flow.serialize(), environment.to_resource()])
    for secret in ("AKIAEXAMPLE", "very-secret", "token-secret"):
        assert secret.encode() not in data
        assert secret not in told
    assert "256" not in told, "options are no metadata either"
    restored = loads(data)
    assert isinstance(restored, Flow)
    assert isinstance(restored.environment, FargateTaskEnvironment)
    assert restored.environment.register_options == {"family": "f", "cpu": "256"}
    assert environment.to_resource() == {"fargateTask": {"region": "eu-west-1"}}


def test_a_resource_wins_over_what_the_flow_declares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    declared = FargateTaskEnvironment(region_name="eu-west-1", cpu="256", cluster="mine", tags=[{"key": "a"}])
    settings = {"region": "us-east-1", "runOptions": {"cluster": "ours", "unknown": 1}}
    made = FargateTaskEnvironment.of_resource(settings, declared)
    assert (made.region_name, made.run_options) == ("us-east-1", {"cluster": "ours"})
    assert made.register_options == {"cpu": "256", "tags": [{"key": "a"}]}
    alone = FargateTaskEnvironment.of_resource({"registerOptions": {"cpu": "512"}}, RemoteEnvironment())
    assert (alone.region_name, alone.register_options, alone.run_options) == (None, {"cpu": "512"}, {})


def test_only_an_image_will_do() -> None:
    with pytest.raises(TypeError, match="Docker storage, not Bytes"):
        FargateTaskEnvironment().check_storage(storage.Bytes())
    with pytest.raises(TypeError, match="Docker storage, not Bytes"):
        FargateTaskEnvironment().setup(storage.Bytes())
    with pytest.raises(ValueError, match="built and pushed"):
        FargateTaskEnvironment().setup(storage.Docker(registry_url="localhost:5001"))


# --- a task and its end


class FakeEcs:
    """An ECS that answers from a script; a look that is an error is raised."""

    def __init__(self, *looks: Any, there: list[dict[str, Any]] | None = None, stop_after: int = 10**9) -> None:
        self.looks = list(looks)
        self.there = there or []
        self.naps: list[float] = []
        self.did: list[str] = []
        self.stop_after = stop_after
        self.stop_errors: list[EnvironmentFailed] = []
        self.run_error: BaseException | None = None
        self.looked = 0

    def wait(self, seconds: float) -> bool:
        self.naps.append(seconds)
        return len(self.naps) == self.stop_after

    def tasks_of(self, cluster: str | None, started_by: str) -> list[dict[str, Any]]:
        assert (cluster, started_by) == ("flows", UID)
        self.looked += 1
        return self.there

    def run(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self.did.append("run")
        if self.run_error:
            raise self.run_error
        return a_task("PROVISIONING")

    def task(self, cluster: str | None, arn: str) -> dict[str, Any] | None:
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(look, Exception):
            raise look
        assert look is None or isinstance(look, dict)
        return look

    def stop(self, cluster: str | None, arn: str, reason: str) -> None:
        self.did.append(f"stop {arn}: {reason}")
        if self.stop_errors:
            raise self.stop_errors.pop(0)


def a_task(status: str, arn: str = "arn:task", attempt: int = 2, **more: Any) -> dict[str, Any]:
    environment = [{"name": "FLOW_OPERATOR_ATTEMPT", "value": str(attempt)}]
    overrides = {"containerOverrides": [{"name": "flow", "environment": environment}]}
    return {"taskArn": arn, "lastStatus": status, "overrides": overrides, **more}


def ended(code: int | None = 0, reason: str | None = None, **more: Any) -> dict[str, Any]:
    container = {
        "name": "flow",
        **({} if code is None else {"exitCode": code}),
        **({"reason": reason} if reason else {}),
    }
    return a_task("STOPPED", containers=[{"name": "other", "exitCode": 9}, container], **more)


def drive(ecs: FakeEcs) -> None:
    driving.run(ecs, {"cluster": "flows"}, "flow", REQUEST)  # type: ignore[arg-type]


def test_a_task_is_followed_to_its_end_ever_more_patiently() -> None:
    ecs = FakeEcs(a_task("PENDING"), *[a_task("RUNNING")] * 12, ended())
    drive(ecs)
    assert ecs.did == ["run"]
    assert max(ecs.naps) == 10.0
    assert ecs.naps[:3] == [1.0, 1.0, 1.0], "news may come in a row"


@pytest.mark.parametrize(
    ("task", "reason", "code", "words"),
    [
        (ended(3, stoppedReason="Essential container in task exited"), "TaskFailed", 3, "exit code 3 in task arn:task"),
        (ended(78), "OnStartFailed", 78, "the flow did not run"),
        (ended(79), "OnExitFailed", 79, "the flow itself succeeded"),
        (ended(137, "OutOfMemoryError: Container killed due to memory usage"), "OutOfMemory", 137, "more memory"),
        (ended(143, stopCode="UserInitiated", stoppedReason="me"), "TaskStopped", 1, "somebody stopped it: me"),
        (ended(143, stopCode="SpotInterruption"), "TaskStopped", 1, "AWS took its capacity back"),
        (
            ended(None, "CannotPullContainerError: no such host", stopCode="TaskFailedToStart"),
            "TaskNotStarted",
            1,
            "Pull",
        ),
        (a_task("STOPPED"), "TaskNotStarted", 1, "did not begin in task arn:task"),
    ],
)
def test_ways_a_task_ends(task: dict[str, Any], reason: str, code: int, words: str) -> None:
    with pytest.raises(EnvironmentFailed, match=words) as caught:
        drive(FakeEcs(task))
    assert (caught.value.reason, caught.value.code) == (reason, code)
    assert caught.value.remedy


def test_an_aws_that_does_not_answer_for_a_while_is_waited_for() -> None:
    away = Passing("AwsUnreachable", "no answer")
    drive(FakeEcs(away, away, None, None, a_task("RUNNING"), away, ended()))


def test_an_aws_that_does_not_answer_at_all_is_given_up_and_the_task_named() -> None:
    ecs = FakeEcs(Passing("AwsUnreachable", "no answer."))
    with pytest.raises(EnvironmentFailed, match="Task arn:task may still run"):
        drive(ecs)
    assert sum(ecs.naps) > 900


def test_a_task_that_aws_forgets_is_given_up() -> None:
    with pytest.raises(EnvironmentFailed, match="does not know task arn:task") as caught:
        drive(FakeEcs(None))
    assert caught.value.reason == "TaskStopped"


def test_an_answer_that_is_final_ends_the_run_at_once() -> None:
    with pytest.raises(EnvironmentFailed, match="expired"):
        drive(FakeEcs(EnvironmentFailed("AwsRefused", "the token has expired")))


def test_whoever_stops_the_driver_stops_the_task_and_waits_for_it() -> None:
    ecs = FakeEcs(a_task("RUNNING"), a_task("STOPPING"), ended(143), stop_after=2)
    with pytest.raises(KeyboardInterrupt, match="task arn:task has ended"):
        drive(ecs)
    assert ecs.did == ["run", "stop arn:task: flow-operator: the runner of FlowRun team-a/squares-1 was stopped"]


def test_a_task_that_cannot_be_stopped_is_named() -> None:
    ecs = FakeEcs(a_task("RUNNING"), stop_after=2)
    ecs.stop_errors = [EnvironmentFailed("AwsRefused", "not allowed")]
    with pytest.raises(KeyboardInterrupt, match="task arn:task may still run: not allowed"):
        drive(ecs)


def test_a_stop_that_aws_puts_off_is_asked_for_again() -> None:
    away = Passing("AwsUnreachable", "throttled")
    ecs = FakeEcs(a_task("RUNNING"), ended(143), stop_after=1)
    ecs.stop_errors = [away, away]
    with pytest.raises(KeyboardInterrupt, match="task arn:task has ended"):
        drive(ecs)
    assert [each.partition(":")[0] for each in ecs.did] == ["run", *["stop arn"] * 3]


def test_a_stop_that_aws_never_hears_leaves_a_task_that_is_named() -> None:
    ecs = FakeEcs(a_task("RUNNING"), stop_after=1)
    ecs.stop_errors = [Passing("AwsUnreachable", "throttled")] * 999
    with pytest.raises(KeyboardInterrupt, match="task arn:task may still run: throttled"):
        drive(ecs)
    assert sum(ecs.naps) > 180


class Unheard(FakeEcs):
    """An ECS that starts a task without a word, and lists it late."""

    def __init__(self, error: BaseException, *looks: Any, late: int = 2) -> None:
        super().__init__(*looks)
        self.run_error, self.late = error, late

    def tasks_of(self, cluster: str | None, started_by: str) -> list[dict[str, Any]]:
        super().tasks_of(cluster, started_by)
        return [a_task("RUNNING")] if self.did and self.looked > self.late else []


def test_a_task_whose_start_was_not_heard_is_stopped_with_its_driver() -> None:
    ecs = Unheard(KeyboardInterrupt("stopped before there was a task"), ended(143))
    with pytest.raises(KeyboardInterrupt, match="stopped by SIGTERM; task arn:task has ended"):
        drive(ecs)
    assert [each.partition(":")[0] for each in ecs.did] == ["run", "stop arn"]


def test_a_task_whose_start_is_never_heard_is_stopped_and_named() -> None:
    ecs = Unheard(Passing("AwsUnreachable", "RunTask got no answer."), ended(143))
    with pytest.raises(Passing, match=r"got no answer\. Task arn:task has ended\."):
        drive(ecs)


def test_a_driver_that_is_stopped_before_there_is_a_task_says_so() -> None:
    ecs = Unheard(KeyboardInterrupt("stopped before there was a task"), late=99)
    with pytest.raises(KeyboardInterrupt, match="stopped by SIGTERM; no task of it was found"):
        drive(ecs)
    assert ecs.did == ["run"]


def test_a_second_driver_of_an_attempt_takes_its_task_over() -> None:
    ecs = FakeEcs(a_task("RUNNING"), ended(), there=[a_task("RUNNING")])
    drive(ecs)
    assert ecs.did == []


def test_a_task_of_this_attempt_that_has_ended_is_not_run_again() -> None:
    ecs = FakeEcs(None, there=[ended(3)])
    with pytest.raises(EnvironmentFailed, match="exit code 3"):
        drive(ecs)
    assert ecs.did == []


def test_a_living_task_of_an_earlier_attempt_is_stopped_before_another_begins() -> None:
    old, older = a_task("RUNNING", "arn:old", attempt=1), a_task("STOPPED", "arn:older", attempt=1)
    ecs = FakeEcs(old, {**old, "lastStatus": "STOPPED"}, ended(), there=[older, old])
    drive(ecs)
    assert ecs.did == ["stop arn:old: flow-operator: attempt 2 of FlowRun squares-1 begins", "run"]


def test_a_task_of_an_earlier_attempt_that_does_not_stop_keeps_another_from_beginning() -> None:
    old = a_task("RUNNING", "arn:old", attempt=1)
    ecs = FakeEcs(old, there=[old])
    with pytest.raises(EnvironmentFailed, match="arn:old of an earlier attempt was told to stop and has not"):
        drive(ecs)
    assert "run" not in ecs.did


def test_a_signal_ends_a_wait_and_falls_nowhere_else() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with driving.stoppable() as wait:
        assert not wait(0.0)
        os.kill(os.getpid(), signal.SIGTERM)
        assert wait(5.0)
        assert not wait(0.0), "it is told once"
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_that_nobody_has_waited_for_is_raised_at_the_end() -> None:
    with pytest.raises(KeyboardInterrupt), driving.stoppable():
        os.kill(os.getpid(), signal.SIGTERM)
