"""The program as a process of its own: on a terminal, at Ctrl-C, and as kubectl asks it for completions."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flow_operator.deploy.cli.output import Screen
from tests.support import makers

if TYPE_CHECKING:
    from tests.support.api_server import ApiServer

ROOM = Path(__file__).parents[3] / "operator"
PROGRAM = [sys.executable, "-m", "flow_operator.deploy"]
MOVES = re.compile(r"\x1b\[[0-9?;]*[a-zA-Z]")


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOM))


def on_a_terminal(*arguments: str) -> str:
    """Return what a person sees on a terminal, its control sequences included."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    environment.pop("NO_COLOR", None)  # a log of CI's wants none; a person's terminal does
    process = subprocess.Popen([*PROGRAM, *arguments], env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(ours, 4096):
            seen += chunk
    except OSError:  # how a terminal says that nobody writes to it any more
        pass
    os.close(ours)
    process.wait()
    return seen.decode()


def test_no_colours_where_nobody_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert Screen.of("text", quiet=False, no_color=False).paint("Failed (x)") == "\x1b[31mFailed (x)\x1b[0m"
    assert Screen.of("text", quiet=False, no_color=True).paint("Failed (x)") == "Failed (x)"
    monkeypatch.setenv("NO_COLOR", "1")
    assert Screen.of("text", quiet=False, no_color=False).paint("Failed (x)") == "Failed (x)"


def test_a_watched_run_on_a_terminal_moves_below_the_lines_that_stay(server: ApiServer) -> None:
    server.put(makers.a_ready_deployment())

    def react(plural: str) -> None:
        if plural == "flowruns":
            run = server.objects["flowruns", "team-a", "moving"]
            server.put({**run, "status": {"phase": "Running"}})
            server.put({**run, "status": {"phase": "Succeeded", "duration": "3s", "result": 5}})

    server.after_watch = react
    seen = on_a_terminal("run", "squares", "--run-name", "moving", "--watch")
    assert "\x1b[32mSucceeded in 3s" in seen
    lines = [line.rpartition("\r")[2] for line in MOVES.sub("", seen).split("\r\n")]
    assert [each for each in lines if each in ("Pending", "Running", "Succeeded")][-1] == "Succeeded"
    assert lines[-2] == "Succeeded in 3s: 5"


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_leaves_a_watched_run_alone(server: ApiServer) -> None:
    server.put(makers.a_ready_deployment())
    command = [*PROGRAM, "run", "squares", "--run-name", "left", "--watch"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    server.after_watch = lambda _plural: process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "FlowRun left goes on. Cancel it: kubectl flow cancel left -n team-a" in err
    assert "Traceback" not in err


def test_kubectl_asks_for_completions(tmp_path: Path) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text("#!/bin/sh\necho flowdeployment.flow-operator.io/squares\n")
    kubectl.chmod(0o755)

    def ask(*words: str) -> list[str]:
        code = "from flow_operator.deploy.cli.completion import for_kubectl; for_kubectl()"
        environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        command = [sys.executable, "-c", code, *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()

    assert ask("sta") == ["status\tShow deployments and runs, or one of them.", ":4"]
    assert ask("run", "sq") == ["squares", ":4"]
    assert ask("logs", "--component", "d") == ["dask", ":4"]
    assert ask("deploy", "")[-1] == ":0", "files"
