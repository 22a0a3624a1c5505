"""The operator as a process on this machine, so that it can be killed at an exact moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import yaml

from tests.support.cluster import ROOT, SYSTEM, get_json

if TYPE_CHECKING:
    from pathlib import Path


def settings(namespace: str, **changed: Any) -> dict[str, Any]:
    """Return the installed operator's settings, for one here that serves a namespace without an election."""
    maps = get_json("-n", SYSTEM, "configmaps")["items"]
    (text,) = [each["data"]["settings.yaml"] for each in maps if "settings.yaml" in (each.get("data") or {})]
    # Under a name of its own: an operator goes on with runs that one of its name began, whatever their labels are.
    election = {"enabled": False, "leaseName": f"local-{namespace}"}
    alone = {"leaderElection": election, "caBundle": "", "logFormat": "text", "watchNamespaces": [namespace]}
    return {**yaml.safe_load(text), **alone, **changed}


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
