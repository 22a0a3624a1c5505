"""`run --local`: a flow in a file runs here as it would in a pod. Real processes, no cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.deploy.conftest import Call

FLOW = """
import os, sys, time
from flow_operator import flow
from flow_operator.environments import RemoteEnvironment

def event(name):
    with open(os.environ["EVENTS"], "a") as file:
        file.write(name + "\\n")

def on_start():
    event("on_start")
    if os.environ.get("REFUSE"):
        raise RuntimeError("no licence")

def on_exit():
    event("on_exit " + os.environ["FLOW_OPERATOR_OUTCOME"])
    if os.environ.get("BREAK"):
        raise KeyError("gone")

@flow(environment=RemoteEnvironment(on_start=on_start, on_exit=on_exit))
def flow(n: int, end: str = ""):
    event("flow")
    print("in the flow")
    if end == "raise":
        raise ValueError("empty")
    if end == "exit":
        sys.exit(3)
    if end == "kill":
        os.kill(os.getpid(), 9)
    if end == "sleep":
        time.sleep(60)
    return n * n

def plain(n: int = 2):
    return n + 1

thing = 7
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("EVENTS", str(tmp_path / "events"))
    made = tmp_path / "flow.py"
    made.write_text(FLOW)
    return str(made)


def events(file: str) -> list[str]:
    """Return what happened, in order."""
    found = Path(file).parent / "events"
    return found.read_text().splitlines() if found.exists() else []


def test_success(kubectl_flow: Call, file: str) -> None:
    said = kubectl_flow("run", "--local", file, "-p", "n=4")
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[0] == "in the flow"
    assert lines[1].startswith("Succeeded in ")
    assert lines[1].endswith(": 16")
    assert events(file) == ["on_start", "flow", "on_exit Succeeded"]


def test_machines_read_the_words_of_a_status(kubectl_flow: Call, file: str) -> None:
    said = kubectl_flow("run", "--local", file, "-p", "n=4", "-o", "json")
    told = json.loads(said.out)
    assert (told["phase"], told["result"], told["exitCode"]) == ("Succeeded", 16, 0)
    assert [each["name"] for each in told["hooks"]] == ["on_start", "on_exit"]
    assert "in the flow" in said.err


def test_a_plain_function_without_callbacks(kubectl_flow: Call, file: str) -> None:
    assert kubectl_flow("run", "--local", f"{file}:plain", "-q").out == "3\n"


@pytest.mark.parametrize(
    ("end", "variables", "code", "what", "happened"),
    [
        ("raise", {}, 1, "Failed (FlowRaised): The flow failed: ValueError: empty", "flow,on_exit Failed"),
        ("exit", {}, 3, "Failed (FlowExited)", "flow,on_exit Failed"),
        ("kill", {}, 137, "The flow's process was killed (exit code 137)", "flow,on_exit Failed"),
        ("", {"REFUSE": "1"}, 78, "Callback on_start failed: RuntimeError: no licence", ""),
        ("", {"BREAK": "1"}, 1, "Callback on_exit failed: KeyError: 'gone'", "flow,on_exit Succeeded"),
    ],
)
def test_failures_have_the_exit_code_of_the_pod(
    kubectl_flow: Call,
    file: str,
    monkeypatch: pytest.MonkeyPatch,
    end: str,
    variables: dict[str, str],
    code: int,
    what: str,
    happened: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    said = kubectl_flow("run", "--local", file, "-p", "n=4", "-p", f"end={end}")
    assert said.code == code
    assert what in said.err
    assert events(file) == ["on_start", *(happened.split(",") if happened else [])]


def test_a_flow_that_takes_too_long_is_stopped_and_on_exit_runs(kubectl_flow: Call, file: str) -> None:
    said = kubectl_flow("run", "--local", file, "-p", "n=4", "-p", "end=sleep", "--timeout", "2")
    assert said.code == 124
    assert "it took longer than 2 s" in said.err
    assert events(file)[-1] == "on_exit Failed"


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_stops_the_flow_and_on_exit_runs(file: str) -> None:
    command = [sys.executable, "-m", "flow_operator.deploy", "run", "--local", file, "-p", "n=4", "-p", "end=sleep"]
    room = Path(__file__).parents[3] / "operator"
    environment = {**os.environ, "PYTHONPATH": str(room)}
    program = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 30
    while "flow" not in events(file) and time.monotonic() < end:
        time.sleep(0.02)
    program.send_signal(signal.SIGINT)
    _, err = program.communicate(timeout=30)
    assert program.returncode == 130
    assert "The flow was stopped." in err
    assert events(file) == ["on_start", "flow", "on_exit Failed"]


@pytest.mark.parametrize(
    ("source", "target", "what", "remedy"),
    [
        (
            "import no_such_package\n",
            "",
            "imports 'no_such_package', which is not installed here",
            "Install the package",
        ),
        ("def flow(:\n", "", "is not Python", "Mend the file"),
        ("x = 1\n", "", "there is no 'flow' in bad.py", "Name one of them"),
        ("flow = 7\n", "", "is not a flow but of type int", "Name a Flow, or a function"),
        ("raise SystemExit(5)\n", "", "cannot be imported: SystemExit: 5", "Mend what runs"),
        ("import os; os._exit(9)\n", "", "its process ended with code 9", ""),
    ],
)
def test_files_without_a_flow(
    kubectl_flow: Call, tmp_path: Path, source: str, target: str, what: str, remedy: str
) -> None:
    file = tmp_path / "bad.py"
    file.write_text(source)
    said = kubectl_flow("run", "--local", f"{file}{target}")
    assert said.code == 1
    assert what.lower() in said.err.lower()
    assert remedy in said.err


def test_what_cannot_be_asked(kubectl_flow: Call, file: str) -> None:
    missing = kubectl_flow("run", "--local", file)
    assert (missing.code, events(file)) == (2, [])
    assert "(missing: n)" in missing.err
    unknown = kubectl_flow("run", "--local", file, "-p", "n=1", "-p", "m=1")
    assert unknown.code == 2
    assert "(unknown: m)" in unknown.err
    wrong = kubectl_flow("run", "--local", file, "-p", "n=four")
    assert wrong.code == 1
    assert "parameter 'n' must be int, not str" in wrong.err
    assert wrong.err.endswith("Give parameters that the flow takes.\n")
    nowhere = kubectl_flow("run", "--local", file.replace("flow.py", "flo.py"))
    assert nowhere.code == 2
    assert "Did you mean flow.py?" in nowhere.err
    folder = kubectl_flow("run", "--local", str(Path(file).parent))
    assert folder.code == 2
    assert "is a folder" in folder.err
    assert kubectl_flow("run", "--local", file, "--watch").code == 2
