"""`kubectl flow run --local FILE`: the programs of a flow's pod, here, with the parameters, callbacks and exit codes.

Two processes, as two containers: the flow's, and the callbacks'. They meet in a folder of their own. The kernel tells
the second that the first has ended, so `on_exit` runs however that came about.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...api import wire
from . import loading, trouble

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import IO, NoReturn

    from ..source import Declared
    from .loading import Target
    from .output import Screen

HOOKS_DIR_ENV = "FLOW_OPERATOR_HOOKS_DIR"  # of the runner's programs
CALLBACKS_ENV = "FLOW_OPERATOR_CALLBACKS"
HOOKS_PROGRAM = Path(__file__).parents[2] / "runner" / "hooks.py"  # run by path, as in a pod
PATIENCE = 10.0  # seconds on top of their own limits, for processes to end by themselves

# Of what shows no traceback of the author's own code.
REMEDIES = {
    "BadParameters": "Give parameters that the flow takes.",
    "BadExecutor": "Correct the executor and its executor_kwargs in the flow's environment.",
    "SchedulerUnreachable": "See whether a Dask scheduler listens at the address in the flow's environment.",
}


@dataclass(frozen=True)
class Outcome:
    """How it ended."""

    code: int  # of the flow's process; 128 and the signal where it was killed
    report: wire.RunReport
    receipts: list[wire.HookReceipt]
    stopped: str = ""  # why we stopped it: timeout or interrupt


def run_here(text: str, parameters: dict[str, Any], limit: float | None, screen: Screen) -> int:
    """Run the flow of FILE[:NAME], and show how it ended; the exit code."""
    target = loading.Target.of(text)
    described = loading.describe(target)
    if described.failure:
        raise described.failure
    declared = described.declared
    _refuse_parameters(declared, parameters)
    callbacks = declared.facts.get("callbacks") or []
    with tempfile.TemporaryDirectory(prefix="kubectl-flow-") as folder:
        request = _request(target, declared, parameters)
        outcome = _Pod(Path(folder), request, callbacks, sys.stderr if screen.machine else None).run(limit)
    return _show(target, outcome, callbacks, parameters, limit, screen)


def _refuse_parameters(declared: Declared, given: dict[str, Any]) -> None:
    from ...plan.pinned import wrong_parameters

    wrong = wrong_parameters(declared.facts, given)
    if wrong:
        remedy = wrong.remedy.partition(" Create another FlowRun")[0]
        raise trouble.Trouble(wrong.message, remedy, trouble.USAGE)


def _request(target: Target, declared: Declared, parameters: dict[str, Any]) -> wire.RunRequest:
    from ...api.flow_deployment import DEFAULT_CALLBACK_TIMEOUT, DEFAULT_STOP_GRACE

    return {
        "flow": target.reference,
        "run": {"name": target.path.stem, "namespace": "local", "uid": str(uuid.uuid4()), "attempt": 1},
        "parameters": parameters,
        "executor": _executor(declared.environment),
        "hooks": bool(declared.facts.get("callbacks")),
        "stopGraceSeconds": DEFAULT_STOP_GRACE,
        "hookTimeoutSeconds": DEFAULT_CALLBACK_TIMEOUT,
    }


def _executor(environment: dict[str, Any]) -> wire.ExecutorSpec:
    """The flow's own; there is no cluster here, so what would bring one computes in the flow's process."""
    remote = environment.get("remote") or {}
    kwargs = dict(remote.get("executorKwargs") or {})
    spec: wire.ExecutorSpec = {"kind": remote.get("executor", "Local"), "kwargs": kwargs}
    if spec["kind"] == "Dask":
        spec["address"] = str(kwargs.get("address", ""))
    return spec


class _Pod:
    """The two processes."""

    def __init__(self, folder: Path, request: wire.RunRequest, callbacks: list[str], output: IO[str] | None) -> None:
        self._folder = folder
        self._request = request
        self._callbacks = callbacks
        self._output = output

    def run(self, limit: float | None) -> Outcome:
        """Run to the end of both."""
        with _sigterm_interrupts():
            hooks = self._start_hooks() if self._callbacks else None
            main = loading.runner("run", environment=self._environment("main"), output=self._output)
            try:
                code, stopped = self._wait_for_main(main, limit)
            finally:
                _kill(main)
                if hooks is not None:
                    self._wait_for_hooks(hooks)
        from ...plan import reports

        receipts = reports.of_hooks(self._message("flow-hooks"))
        return Outcome(code, reports.of_flow(self._message("main")), receipts, stopped)

    def _environment(self, container: str) -> dict[str, str]:
        return {
            wire.RUN_ENV: json.dumps(self._request),
            CALLBACKS_ENV: ",".join(self._callbacks),
            HOOKS_DIR_ENV: str(self._folder),
            loading.TERMINATION_LOG_ENV: str(self._folder / f"{container}.message"),
        }

    def _message(self, container: str) -> str:
        file = self._folder / f"{container}.message"
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    def _start_hooks(self) -> subprocess.Popen[bytes]:
        environment = self._environment("flow-hooks")
        program = [sys.executable, "-I", "-S", str(HOOKS_PROGRAM)]
        started = loading.start([*program, "started"], environment, None)  # what a kubelet's postStart does
        serving = loading.start([*program, "serve"], environment, self._output)
        started.wait()
        return serving

    def _wait_for_main(self, main: subprocess.Popen[bytes], limit: float | None) -> tuple[int, str]:
        """Wait for the flow; stop it as a kubelet does when the limit is over, or at Ctrl-C."""
        try:
            return _code(main.wait(limit)), ""
        except subprocess.TimeoutExpired:
            stopped = "timeout"
        except KeyboardInterrupt:
            stopped = "interrupt"
        main.terminate()
        try:
            return _code(main.wait(self._request["stopGraceSeconds"] + PATIENCE)), stopped
        except (subprocess.TimeoutExpired, KeyboardInterrupt):  # a second Ctrl-C: at once
            _kill(main)
            return _code(main.wait()), stopped

    def _wait_for_hooks(self, hooks: subprocess.Popen[bytes]) -> None:
        """Wait for on_exit, which one Ctrl-C does not skip and two do."""
        for _ in range(2):
            try:
                hooks.wait(2 * self._request["hookTimeoutSeconds"] + PATIENCE)
                return
            except KeyboardInterrupt:
                continue
            except subprocess.TimeoutExpired:
                break
        _kill(hooks)


def _code(returned: int) -> int:
    return returned if returned >= 0 else 128 - returned


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started, if it is still there."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Take SIGTERM as Ctrl-C: whoever stops us wants the flow stopped, and its on_exit called."""

    def interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _show(
    target: Target,
    outcome: Outcome,
    callbacks: list[str],
    parameters: dict[str, Any],
    limit: float | None,
    screen: Screen,
) -> int:
    """Show the end in the words of a FlowRun's status; the exit code."""
    from ...plan import verdict

    status: dict[str, Any] = {}
    verdict.record(status, outcome.report, outcome.receipts)
    why = _why(outcome, callbacks, limit)
    if screen.machine:
        end = {"phase": "Failed" if why else "Succeeded", "exitCode": why.code if why else trouble.OK}
        told = {"diagnosis": {"message": why.message, "remedy": why.remedy}} if why else {}
        screen.document({**end, "parameters": parameters, **status, **told}, [target.path.name])
    if why:
        raise why
    if not screen.machine:
        screen.success((status.get("stages") or {}).get("flow", "no time"), status)
    return trouble.OK


def _why(outcome: Outcome, callbacks: list[str], limit: float | None) -> trouble.Trouble | None:
    """Return why it failed, with the exit code: the flow's own, or what stopped it."""
    from ...plan import verdict

    if outcome.stopped == "timeout":
        return trouble.Trouble(f"The flow was stopped: it took longer than {limit:g} s.", "", trouble.TIMEOUT)
    if outcome.stopped:
        return trouble.Trouble("The flow was stopped.", "", trouble.INTERRUPTED)
    if "state" not in outcome.report:
        said = f"The flow's process was killed (exit code {outcome.code})."
        return trouble.Trouble(said, "It may have needed more memory than there is.", outcome.code or trouble.FAILED)
    pod = {"metadata": {"name": "here"}, "spec": {}}
    ended = {"exitCode": outcome.code}
    why = verdict.failure(pod, ended, outcome.report, outcome.receipts, tuple(callbacks))
    if why is None:
        return None
    remedy = REMEDIES.get(why.reason, "Its traceback is above.")
    return trouble.Trouble(f"Failed ({why.reason}): {why.message}", remedy, outcome.code or trouble.FAILED)
