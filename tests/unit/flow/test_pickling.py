"""Flows as bytes, read where their module does not exist."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cloudpickle

from flow_operator import Flow, Parameter, flow, task
from flow_operator.environments import RemoteEnvironment
from flow_operator.flow.pickling import dumps, loads

READ = (
    "import sys; from flow_operator.flow.pickling import loads\n"
    "f = loads(sys.stdin.buffer.read()); print(f.run(n=4), f.environment.on_exit())"
)


def a_word() -> str:
    return "bye"


@task
def double(x: int) -> int:
    return 2 * x


@flow(environment=RemoteEnvironment(on_exit=a_word))
def triple(n: int) -> int:
    return 3 * n


def test_flows_carry_their_code() -> None:
    with Flow("doubling", environment=RemoteEnvironment(on_exit=a_word)) as doubling:
        double(Parameter("n"))
    assert _elsewhere(doubling) == "8 bye"
    assert _elsewhere(triple) == "12 bye"
    assert cloudpickle.list_registry_pickle_by_value() == set()


def test_flows_come_back() -> None:
    back = loads(dumps(triple))
    assert isinstance(back, Flow)
    assert back.run(n=1) == 3


def _elsewhere(made: Flow) -> str:
    room = Path(__file__).parents[3] / "operator"
    done = subprocess.run(
        [sys.executable, "-P", "-c", READ],
        input=dumps(made),
        env={"PYTHONPATH": str(room)},
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().strip()
