"""`runner run` where an environment's own steps run the flow, and `runner task`, which is alone."""

from __future__ import annotations

import os
import signal

import pytest

from .conftest import Pod, ended

CUSTOM = """
from flow_operator import flow
from flow_operator.environments import Environment

class Own(Environment):
    def setup(self, storage):
        event("setup:" + storage.name)
        {setup}
    def execute(self, storage, location, **kwargs):
        event("execute")
        assert list(storage.flows.values()) == [location]
        {execute}

def start():
    event("on_start")

def end():
    event("on_exit")

@flow(name="Squares", environment=Own(on_start=start, on_exit=end))
def main(n: int = 3):
    event(f"flow:{{n}}")
    if n < 0:
        raise ValueError("negative")
    return n * n
"""
RUN = "return self.run_flow(storage, location, **kwargs)"


def custom(pod: Pod, *, setup: str = "pass", execute: str = RUN, **parameters: object) -> None:
    pod.flow(CUSTOM.format(setup=setup, execute=execute))
    pod.request["driver"] = {"kind": "Custom", "image": "image"}
    pod.request["parameters"] = parameters


def test_both_steps_are_called_and_the_flows_result_is_the_runs(pod: Pod) -> None:
    custom(pod, n=4)
    assert ended(pod.main()) == 0
    report = pod.message()
    assert (report["state"], report["result"]) == ("Succeeded", 16)
    assert set(report["stages"]) == {"load", "setup", "execute"}
    assert pod.events() == ["setup:image", "execute", "flow:4"], "the callbacks are the pod's, not the step's"


@pytest.mark.parametrize(
    ("execute", "result"),
    [
        ("self.run_flow(storage, location, **kwargs)", 9),
        ("storage.get_flow(location).run(**kwargs)", 9),
        ("self.run_flow(storage, location, **kwargs); return 'mine'", "mine"),
        ("return self.run_flow(storage, location, n=5)", 25),
    ],
)
def test_what_execute_returns_is_the_result_and_else_what_the_flow_returned(
    pod: Pod, execute: str, result: object
) -> None:
    custom(pod, execute=execute)
    assert ended(pod.main()) == 0
    assert pod.message()["result"] == result


def test_an_execute_that_runs_nothing_here_says_so(pod: Pod) -> None:
    custom(pod, execute="pass")
    assert ended(pod.main()) == 0
    assert pod.message()["resultOmitted"] == "execute of Own returned nothing and did not run the flow in this pod"


@pytest.mark.parametrize(
    ("setup", "execute", "parameters", "reason", "code", "words"),
    [
        ("raise OSError('no gpu')", RUN, {}, "SetupFailed", 1, "no gpu"),
        ("sys.exit(0)", RUN, {}, "SetupFailed", 1, "0"),
        ("pass", "raise OSError('no queue')", {}, "ExecuteFailed", 1, "no queue"),
        ("pass", "sys.exit(4)", {}, "ExecuteFailed", 4, "4"),
        ("pass", RUN, {"n": -1}, "FlowRaised", 1, "negative"),
        ("pass", RUN, {"m": 1}, "BadParameters", 1, "unknown parameter 'm'"),
        ("pass", "storage.add_flow(storage.get_flow(location))", {}, "ExecuteFailed", 1, "for reading"),
        ("pass", "storage.get_flow('elsewhere')", {}, "ExecuteFailed", 1, "no flow at 'elsewhere'"),
        ("os.kill(os.getpid(), signal.SIGTERM)", RUN, {}, "Stopped", 143, "stopped by SIGTERM"),
    ],
)
def test_ways_the_steps_fail(
    pod: Pod, setup: str, execute: str, parameters: dict[str, int], reason: str, code: int, words: str
) -> None:
    custom(pod, setup=setup, execute=execute, **parameters)
    assert ended(pod.main()) == code
    report = pod.message()
    assert (report["state"], report["reason"]) == ("Failed", reason)
    assert words in report["error"]["message"]


def test_callbacks_run_around_both_steps(pod: Pod) -> None:
    custom(pod)
    main, hooks = pod.both()
    assert ended(main) == 0
    assert ended(hooks) == 0
    assert pod.events() == ["on_start", "setup:image", "execute", "flow:3", "on_exit"]
    assert pod.states() == {"on_start": "Succeeded", "on_exit": "Succeeded"}


def test_a_dependency_that_is_not_there_is_named(pod: Pod) -> None:
    source = CUSTOM.replace("    def setup", "    dependencies = ('nowhere',)\n    def setup")
    custom(pod)
    pod.flow(source.format(setup="pass", execute=RUN))
    assert ended(pod.main()) == 1
    report = pod.message()
    assert report["reason"] == "EnvironmentDependencyMissing"
    assert "Own needs module 'nowhere'" in report["error"]["message"]
    assert report["remedy"] == "Add the package of 'nowhere' to pythonDependencies."


# --- a container that is alone

ALONE = """
from flow_operator import flow
from flow_operator.environments import RemoteEnvironment

def start():
    event("on_start")
    {start}

def end():
    event("on_exit:" + os.environ["FLOW_OPERATOR_OUTCOME"] + os.environ["FLOW_OPERATOR_EXIT_CODE"])
    {end}

@flow(environment=RemoteEnvironment(on_start=start, on_exit=end))
def main():
    event("flow")
    {body}
"""


@pytest.mark.parametrize(
    ("start", "body", "end", "code", "events"),
    [
        ("pass", "pass", "pass", 0, ["on_start", "flow", "on_exit:Succeeded0"]),
        ("pass", "raise ValueError('x')", "pass", 1, ["on_start", "flow", "on_exit:Failed1"]),
        ("pass", "os._exit(4)", "pass", 4, ["on_start", "flow", "on_exit:Failed4"]),
        ("pass", "os.kill(os.getpid(), 9)", "pass", 137, ["on_start", "flow", "on_exit:Failed137"]),
        ("raise ValueError('x')", "pass", "pass", 78, ["on_start"]),
        ("pass", "pass", "raise ValueError('x')", 79, ["on_start", "flow", "on_exit:Succeeded0"]),
        ("pass", "raise SystemExit(5)", "raise ValueError('x')", 5, ["on_start", "flow", "on_exit:Failed5"]),
        # What has a meaning of ours is not the flow's to say: AWS tells the driver nothing but the code.
        ("pass", "raise SystemExit(78)", "pass", 1, ["on_start", "flow", "on_exit:Failed78"]),
        ("pass", "raise SystemExit(79)", "pass", 1, ["on_start", "flow", "on_exit:Failed79"]),
        ("pass", "os._exit(0)", "pass", 1, ["on_start", "flow", "on_exit:Failed0"]),
    ],
)
def test_one_after_the_other_and_the_exit_code_says_how(
    pod: Pod, start: str, body: str, end: str, code: int, events: list[str]
) -> None:
    pod.flow(ALONE.format(start=start, body=body, end=end))
    pod.env["FLOW_OPERATOR_CALLBACKS"] = "on_start,on_exit"
    assert ended(pod.start("main", "-P", "-m", "flow_operator.runner", "task")) == code
    assert pod.events() == events


def test_callbacks_that_are_not_declared_cost_no_process(pod: Pod) -> None:
    pod.flow(ALONE.format(start="pass", body="pass", end="pass"))
    assert ended(pod.start("main", "-P", "-m", "flow_operator.runner", "task")) == 0
    assert pod.events() == ["flow"]


def test_a_task_that_is_stopped_ends_its_flow_and_calls_on_exit(pod: Pod) -> None:
    pod.flow(ALONE.format(start="pass", body="time.sleep(60)", end="pass"))
    pod.env["FLOW_OPERATOR_CALLBACKS"] = "on_start,on_exit"
    task = pod.start("main", "-P", "-m", "flow_operator.runner", "task")
    pod.wait_event("flow")
    os.kill(task.pid, signal.SIGTERM)
    assert ended(task) == 143
    assert pod.events() == ["on_start", "flow", "on_exit:Failed143"]


def test_a_task_that_is_stopped_while_on_exit_runs_lets_it_come_to_its_end(pod: Pod) -> None:
    pod.flow(ALONE.format(start="pass", body="pass", end="time.sleep(0.2); event('over')"))
    pod.env["FLOW_OPERATOR_CALLBACKS"] = "on_exit"
    task = pod.start("main", "-P", "-m", "flow_operator.runner", "task")
    pod.wait_event("on_exit:Succeeded0")
    os.kill(task.pid, signal.SIGTERM)
    assert ended(task) == 0
    assert pod.events() == ["flow", "on_exit:Succeeded0", "over"]
