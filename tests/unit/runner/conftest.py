"""A pod without Kubernetes: the real programs, as real processes, meeting in a temporary directory."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flow_operator.api import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOM = Path(__file__).parents[3] / "operator"
HOOKS = ROOM / "flow_operator" / "runner" / "hooks.py"

# What every flow of these tests may use: `event(name)` leaves a trace with its time.
PRELUDE = """
import os, sys, time, signal
def event(name):
    with open(os.environ["EVENTS"], "a") as file:
        file.write(f"{time.monotonic()} {name}\\n")
"""


class Pod:
    """Container main and container flow-hooks."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.hooks_dir = home / "hooks"
        self.hooks_dir.mkdir()
        self.processes: list[subprocess.Popen[str]] = []
        self.request: dict[str, Any] = {
            "flow": {"location": str(home / "flow.py"), "attribute": "main"},
            "run": {"name": "squares-1", "namespace": "team-a", "uid": "u-1", "attempt": 2},
            "parameters": {},
            "executor": {"kind": "Local"},
            "hooks": False,
            "stopGraceSeconds": 5.0,
            "hookTimeoutSeconds": 5.0,
        }
        self.env: dict[str, str] = {}

    def flow(self, source: str) -> None:
        """Set the flow's source."""
        (self.home / "flow.py").write_text(PRELUDE + source)

    def environment(self, container: str) -> dict[str, str]:
        """Return the variables of a container."""
        return {
            **os.environ,
            "PYTHONPATH": str(ROOM),
            "EVENTS": str(self.home / "events"),
            "FLOW_OPERATOR_HOOKS_DIR": str(self.hooks_dir),
            "FLOW_OPERATOR_TERMINATION_LOG": str(self.home / f"{container}.message"),
            wire.RUN_ENV: json.dumps(self.request),
            wire.CHECK_ENV: json.dumps({"flow": self.request["flow"]}),
            **self.env,
        }

    def start(self, container: str, *command: str) -> subprocess.Popen[str]:
        """Start a program of a container."""
        process = subprocess.Popen(
            [sys.executable, *command],
            env=self.environment(container),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def main(self) -> subprocess.Popen[str]:
        """Start container main."""
        return self.start("main", "-P", "-m", "flow_operator.runner", "run")

    def hooks(self, command: str = "serve") -> subprocess.Popen[str]:
        """Start container flow-hooks, or one of its lifecycle hooks."""
        return self.start("hooks", "-I", "-S", str(HOOKS), command)

    def both(self) -> tuple[subprocess.Popen[str], subprocess.Popen[str]]:
        """Start the pod, the kubelet's postStart included."""
        self.request["hooks"] = True
        (self.hooks_dir / "poststart").touch()
        return self.main(), self.hooks()

    def message(self, container: str = "main") -> Any:
        """A container's termination message; None if it left none."""
        text = (self.home / f"{container}.message").read_text()
        assert len(text.encode()) <= wire.MESSAGE_LIMIT
        return json.loads(text) if text else None

    def receipts(self) -> dict[str, Any]:
        """The hooks' receipts by name."""
        return {receipt["name"]: receipt for receipt in self.message("hooks")["hooks"]}

    def states(self) -> dict[str, str]:
        """How the hooks ended."""
        return {name: receipt["state"] for name, receipt in self.receipts().items()}

    def events(self) -> list[str]:
        """What happened, in order."""
        return [line.split()[1] for line in self.lines()]

    def lines(self) -> list[str]:
        """What happened and when."""
        path = self.home / "events"
        return path.read_text().splitlines() if path.exists() else []

    def wait_event(self, name: str) -> None:
        """Wait until something happened."""
        eventually(lambda: name in self.events())

    def stop(self) -> None:
        """End whatever is left."""
        for process in self.processes:
            with process, contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def eventually(true: Callable[[], bool], limit: float = 10.0) -> None:
    """Wait for a condition."""
    end = time.monotonic() + limit
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.002)


def ended(process: subprocess.Popen[str]) -> int:
    """A process's exit code, once it has one."""
    return process.wait(timeout=15)


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    made = Pod(tmp_path)
    yield made
    made.stop()
