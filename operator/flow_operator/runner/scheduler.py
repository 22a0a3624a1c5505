"""The Dask scheduler of a run whose workers are pods of the run: a process beside the flow, in its container.

Forked from the flow's process, not executed: importing distributed costs most of a second of CPU, and is paid once. A
process, not a thread: a flow that holds the interpreter must not keep its workers waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import sys
import time
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dask
import distributed
import distributed.http.scheduler.api  # what the operator asks; imported here, before the fork

from flow_operator.api import wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

    from flow_operator.api.wire import SchedulerSpec

SET_PARENT_DEATH_SIGNAL = 1  # of prctl(2)
INTERVAL = 0.02  # seconds between two looks at a process that is ending
INHERITED = 256  # file descriptors that may be open: the lock of the callbacks, which must end with the flow


class Scheduler:
    """A scheduler at work."""

    def __init__(self, process: int) -> None:
        self._process = process
        self._end: int | None = None

    @property
    def end(self) -> str | None:
        """How it ended, or None while it runs."""
        if self._end is None:
            with contextlib.suppress(ChildProcessError):  # the flow has waited for all children there are
                process, status = os.waitpid(self._process, os.WNOHANG)
                if process:
                    self._end = os.waitstatus_to_exitcode(status)
        if self._end is None:
            return None
        if self._end == -signal.SIGKILL:
            return "was killed, perhaps because the pod's memory limit (spec.runner.resources) was reached"
        return f"ended with exit code {self._end}" if self._end >= 0 else f"was ended by signal {-self._end}"

    def wait(self, timeout: float) -> str | None:
        """How it ended, or None if it still runs after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while self.end is None and time.monotonic() < deadline:
            time.sleep(INTERVAL)
        return self.end

    def stop(self) -> None:
        """End it at once: there is nobody left to talk to."""
        if self.end is None:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self._process, signal.SIGKILL)
                os.waitpid(self._process, 0)


@contextmanager
def serving(spec: SchedulerSpec) -> Iterator[Scheduler]:
    """Have a scheduler in a process of its own; to be called before anything has started a thread."""
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if not process:
        _become_scheduler(spec)
    scheduler = Scheduler(process)
    try:
        yield scheduler
    finally:
        scheduler.stop()


def _become_scheduler(spec: SchedulerSpec) -> NoReturn:
    code = 1
    try:
        # It never outlives the flow: whoever kills that kills both.
        ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        os.closerange(3, INHERITED)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the flow is told, and has its grace
        logging.getLogger("distributed").setLevel(logging.WARNING)  # the log is the flow's
        asyncio.run(_serve(spec))
        code = 0
    except BaseException:  # noqa: BLE001 - this process must not return into the flow's code
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


async def _serve(spec: SchedulerSpec) -> None:
    # Defaults of ours: what $DASK_… or a file of Dask's configuration says counts before them.
    dask.config.update_defaults({"distributed": {"scheduler": wire.SCHEDULER_DEFAULTS}})
    routes = [*dask.config.get("distributed.scheduler.http.routes"), "distributed.http.scheduler.api"]
    with dask.config.set({"distributed.scheduler.http.routes": list(dict.fromkeys(routes))}):
        async with distributed.Scheduler(
            host="0.0.0.0",  # noqa: S104 - the workers are other pods
            port=spec["port"],
            dashboard=True,
            dashboard_address=f":{spec['httpPort']}",
        ) as scheduler:
            await scheduler.finished()
