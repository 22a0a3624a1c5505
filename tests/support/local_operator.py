"""The operator as a process on this machine, so that it can be killed at an exact moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.support.cluster import ROOT

if TYPE_CHECKING:
    from pathlib import Path


class LocalOperator:
    """One operator process; start, kill -9, start again."""

    def __init__(self, folder: Path, kubeconfig: Path, settings: dict[str, Any]) -> None:
        self._log = folder / "operator.log"
        self._settings = folder / "settings.yaml"
        self._settings.write_text(json.dumps(settings))  # JSON is YAML
        self._env = {**os.environ, "KUBECONFIG": str(kubeconfig), "FLOW_OPERATOR_HTTP_PORT": "0"}
        self._env |= {"PYTHONPATH": str(ROOT / "operator"), "PYTHONWARNINGS": "default"}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start a process, unless one runs."""
        if self._process is not None and self._process.poll() is None:
            return
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flow_operator.controller", "--settings", str(self._settings)],
                env=self._env, stdout=log, stderr=log,
            )  # fmt: skip

    def kill(self) -> None:
        """Kill it with SIGKILL: nothing it holds in memory survives."""
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def stop(self) -> None:
        """Stop it in an orderly way."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def log(self) -> str:
        """Return what it said, the last lines."""
        return "\n".join(self._log.read_text().splitlines()[-60:]) if self._log.exists() else ""
