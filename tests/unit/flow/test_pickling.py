"""Flows as bytes, read where their module does not exist."""

from __future__ import annotations

import importlib
import json
import site
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import cloudpickle
import pytest

from flow_operator import Flow, Parameter, flow, task
from flow_operator.environments import RemoteEnvironment
from flow_operator.flow.errors import StorageError
from flow_operator.flow.pickling import _is_own, dumps, loads

ROOM = Path(__file__).parents[3] / "operator"
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


MODULES = {
    "flow.py": """
from enum import Enum
import helpers
from flow_operator import Flow, Parameter, task
from package import inner
from package.inner import deep
class Colour(Enum):
    RED = "red"
TABLE = {"shout": helpers.shout}
@task
def say(n):
    return TABLE["shout"](helpers.Word(n)) + inner.deep(n) + deep(n) + Colour.RED.value
with Flow("spoken") as spoken:
    say(Parameter("n"))
""",
    "helpers.py": """
import json
import others
T = "!"
class Word:
    def __init__(self, n):
        self.n = n
    def __str__(self):
        return others.word(self.n)
def shout(word):
    return json.dumps(f"{word}{T}")
""",
    "others.py": """
import helpers
def word(n):
    assert helpers.T
    return "a" * n
""",
    "package/__init__.py": "HERE = '/x'",
    "package/inner.py": """
import package
def deep(n):
    return f" {n} {package.HERE is None} "
""",
}
DUMP = """
import os, sys
sys.path.insert(0, os.getcwd())
import cloudpickle, flow
from flow_operator.flow.pickling import dumps
data = dumps(flow.spoken)
assert os.getcwd().encode() not in data
assert not cloudpickle.list_registry_pickle_by_value()
sys.stdout.buffer.write(data)
"""


def test_all_of_the_authors_own_modules_travel(tmp_path: Path) -> None:
    written = set()
    for number in range(2):
        folder = tmp_path / str(number) / "clone"
        for name, text in MODULES.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        environment = {"PYTHONPATH": str(ROOM), "PYTHONHASHSEED": str(number)}
        command = [sys.executable, "-c", DUMP]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        written.add(done.stdout)
    (data,) = written
    read = "import sys; from flow_operator.flow.pickling import loads; print(loads(sys.stdin.buffer.read()).run(n=4))"
    command = [sys.executable, "-P", "-c", read]
    done = subprocess.run(command, input=data, env={"PYTHONPATH": str(ROOM)}, capture_output=True, check=False)
    assert done.stdout.decode().strip() == '"aaaa!" 4 False  4 False red', done.stderr.decode()


def test_a_module_with_what_cannot_be_pickled_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stuck_helpers.py").write_text(
        "import threading\nNUMBER = 1\nLOCK = threading.Lock()\n\ndef help():\n    return NUMBER\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    stuck_helpers = importlib.import_module("stuck_helpers")
    with Flow("helped") as whole:
        task(lambda: stuck_helpers.help())()
    with pytest.raises(StorageError) as caught:
        dumps(whole)
    assert caught.value.message == (
        "Flow 'helped' uses the module stuck_helpers, whose LOCK cannot be pickled: "
        "TypeError: cannot pickle '_thread.lock' object."
    )
    assert "from stuck_helpers import" in caught.value.remedy
    help_ = stuck_helpers.help
    with Flow("helped") as by_name:
        task(lambda: help_())()
    assert dumps(by_name)
    assert cloudpickle.list_registry_pickle_by_value() == set()


def test_a_flow_with_what_cannot_be_pickled_says_so() -> None:
    lock = threading.Lock()
    with Flow("locked") as locked:
        task(lambda: lock.locked())()
    with pytest.raises(StorageError, match=r"Flow 'locked' cannot be pickled: .*lock") as caught:
        dumps(locked)
    assert "inside the task" in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "file", "own"),
    [
        ("helpers", "/home/ada/flows/helpers.py", True),
        ("helpers", None, False),
        ("numpy", "/usr/lib/python3/dist-packages/numpy/__init__.py", False),
        ("numpy", f"{site.getusersitepackages()}/numpy/__init__.py", False),
        ("fast", "/home/ada/flows/fast.so", False),
        ("json", json.__file__, False),
        ("flow_operator.flow", "/home/ada/flow-operator/operator/flow_operator/flow/__init__.py", False),
        ("__main__", "/home/ada/flows/flow.py", False),
    ],
)
def test_what_is_the_authors_own(name: str, file: str | None, own: bool) -> None:
    module = ModuleType(name)
    module.__file__ = file
    assert _is_own(module) is own


def _elsewhere(made: Flow) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-c", READ],
        input=dumps(made),
        env={"PYTHONPATH": str(ROOM)},
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().strip()
