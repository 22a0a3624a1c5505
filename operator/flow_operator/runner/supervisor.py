"""PID 1 of a flow's pod: lets the flow begin, passes signals on, records how it ended.

The flow runs in a child that is forked, not executed anew: the interpreter is warm, and the child inherits the lock
that tells flow-hooks how long the flow's process lives, even where PID 1 itself is killed.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys

from flow_operator.api import wire
from flow_operator.runner import hooks, memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from flow_operator.api.wire import RunReport, RunRequest

DEFAULT_GRACE = 25.0


def main() -> NoReturn:
    """Run the flow that the request names, and exit as it did."""
    request: RunRequest = json.loads(os.environ[wire.RUN_ENV])
    supervisor = Supervisor(request.get("stopGraceSeconds", DEFAULT_GRACE))
    hooks.tell("")  # whatever is there is not about this attempt
    code = _admitted(supervisor, request) if request.get("hooks") else None
    if code is None:
        code = supervisor.run(request)
    if request.get("hooks"):
        hooks.write(hooks.EXIT_CODE, str(code))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # there is nothing to tear down, and tearing down takes 5 ms


class Supervisor:
    """Owns the flow's process, and the signals meant for it."""

    def __init__(self, grace: float) -> None:
        self.grace = grace
        self.stopped = False
        self.child = 0
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGALRM, self._kill)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    def run(self, request: RunRequest) -> int:
        """Run the flow in a child; its exit code, or 128 and its signal."""
        sys.stdout.flush()
        sys.stderr.flush()
        kills = memory.kills()
        # A signal in between would reach our handlers in the child, or find no child to pass it on to.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        if not self.stopped:
            self.child = os.fork()
            if not self.child:
                _become_flow(request)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
        if not self.child:
            return _refuse("stopped before the flow could begin", share=request.get("hooks", False))
        code, stopped = self._reap()
        signal.setitimer(signal.ITIMER_REAL, 0)
        if stopped and not _has_report():
            killed = code == -signal.SIGKILL
            how = f"did not end within {self.grace:g} s of SIGTERM" if killed else "stopped by SIGTERM"
            _tell(_failed("Stopped", how), share=request.get("hooks", False))
        elif code < 0 and not _has_report():
            _tell(_killed(code, kills), share=False)  # where the kernel's kill has left us to tell it
        return code if code >= 0 else 128 - code

    def _reap(self) -> tuple[int, bool]:
        """Wait for the flow, and for whatever orphans end before it: they are PID 1's too.

        Its exit code, and whether it was told to stop: a signal from now on is about what comes after it.
        """
        while True:
            pid, status = os.wait()
            if pid == self.child:
                self.child, stopped = 0, self.stopped
                return os.waitstatus_to_exitcode(status), stopped

    def _stop(self, *_: object) -> None:
        self.stopped = True
        if self._send(signal.SIGTERM):
            signal.setitimer(signal.ITIMER_REAL, self.grace)

    def _kill(self, *_: object) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> bool:
        """Send the flow a signal; whether it was there: we may be called between its end and our note of that."""
        if not self.child:
            return False
        try:
            os.kill(self.child, number)
        except ProcessLookupError:
            return False
        return True


def _become_flow(request: RunRequest) -> NoReturn:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
    from flow_operator.runner import process

    gc.freeze()  # what is ours is no garbage, and is not looked through when the flow's process ends: some 10 ms
    sys.exit(process.main(request))


def _admitted(supervisor: Supervisor, request: RunRequest) -> int | None:
    """Take the lock and wait for on_start. None: the flow may begin; otherwise the exit code."""
    import fcntl

    lock = hooks.open_lock()  # never closed: the kernel does that for the last of us
    fcntl.flock(lock, fcntl.LOCK_EX)
    if hooks.read(hooks.CLOSED) is not None:
        return _refuse("the attempt was over before the flow could begin")
    hooks.write(hooks.BEGUN, "")
    hooks.tell(wire.CAME)
    _import_for(request)
    hooks.wait_for("on_start.json", unless=lambda: supervisor.stopped)
    receipt = hooks.receipt("on_start")
    if supervisor.stopped or receipt is None:
        return _refuse("stopped before the flow could begin")
    if receipt["state"] != "Failed":
        return None
    report = _failed("OnStartFailed", receipt.get("message", "on_start failed"))
    if "error" in receipt:
        report["error"] = receipt["error"]
    _tell(report, share=True)
    return wire.EXIT_ON_START_FAILED


def _import_for(request: RunRequest) -> None:
    """Import what the flow's process would, while on_start is on its way: ours and Dask's, nothing of the flow's."""
    import contextlib

    from flow_operator.runner import process  # noqa: F401

    if "scheduler" in request["executor"]:  # else the flow is loaded before Dask, and may set its configuration
        with contextlib.suppress(Exception):  # the flow's process meets it again, and reports it
            from flow_operator.runner import cluster, scheduler  # noqa: F401


def _refuse(message: str, *, share: bool = True) -> int:
    _tell(_failed("Stopped", message), share=share)
    return wire.EXIT_CLOSED


def _failed(reason: str, message: str) -> RunReport:
    return {"state": "Failed", "reason": reason, "error": {"type": reason, "message": message}}


def _tell(report: RunReport, *, share: bool) -> None:
    from flow_operator.runner.report import tell

    tell(report, share=share)


def _killed(code: int, kills: int | None) -> RunReport:
    """Say what the kernel knows: a runtime hears of a kill for memory beside our end, or later (cgroup v1)."""
    report, now = memory.report(), memory.kills()
    if code == -signal.SIGKILL and kills is not None and now is not None and now > kills:
        report["outOfMemory"] = True
    return report


def _has_report() -> bool:
    path = os.environ.get(hooks.TERMINATION_LOG_ENV, hooks.TERMINATION_LOG)
    return os.path.exists(path) and os.path.getsize(path) > len(wire.CAME)  # noqa: PTH110, PTH202 - pathlib costs start-up
