"""Callbacks, each in a process of its own. The hooks process names them, limits their time, and reads their outcome."""

from __future__ import annotations

import contextlib
import gc
import json
import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from flow_operator.api import wire
from flow_operator.runner import hooks
from flow_operator.runner import report as reports
from flow_operator.runner.load import LoadError, load

if TYPE_CHECKING:
    from flow_operator.api.wire import RunRequest

MAX_NAME = 64  # bytes
# What every flow with callbacks imports of ours. Here it costs 0.3 MB; after the fork it is 7 ms of each callback.
OF_EVERY_FLOW = ("flow_operator.environments", "flow_operator.flow.schedules", "importlib.util")


def main(answers: int) -> int:
    """Fork a process for each callback that stdin names; tell its number, then its exit code.

    It returns in these processes too, with their exit codes. They are left unreaped: so their numbers stay theirs as
    long as somebody may send them a signal.
    """
    for module in OF_EVERY_FLOW:
        import_module(module)
    # Of what is here by now nothing is garbage, ever: a callback's process neither copies its pages to look for some,
    # nor does so at its end, which took 14 ms of 34.
    gc.freeze()
    while name := os.read(0, MAX_NAME).decode():  # one at a time: the next comes after the answer
        process = os.fork()
        if not process:
            os.setpgid(0, 0)
            os.close(answers)
            return _called(name)
        with contextlib.suppress(OSError):  # it has done so, and may be gone
            os.setpgid(process, process)
        _answer(answers, process)
        end = os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
        assert end is not None, "it does not return before there is one"  # noqa: S101
        _answer(answers, end.si_status if end.si_code == os.CLD_EXITED else -end.si_status)
    return wire.EXIT_OK


def _answer(answers: int, number: int) -> None:
    os.write(answers, number.to_bytes(hooks.ANSWER, "little", signed=True))


def _called(name: str) -> int:
    """Call it, and leave its outcome; the exit code is 1 if it failed."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.environ.update(hooks.environment(name))
    request: RunRequest = json.loads(os.environ[wire.RUN_ENV])
    outcome = _outcome(name, request)
    hooks.write(f"{name}.outcome", reports.encode(outcome, reports.OUTCOME_LIMIT))
    return wire.EXIT_FLOW_FAILED if outcome["state"] == "Failed" else wire.EXIT_OK


def _outcome(name: str, request: RunRequest) -> dict[str, Any]:
    try:
        callback = getattr(load(request["flow"]).environment, name)
        if callback is None:
            return {"state": "Skipped", "message": "not declared"}
        callback()
    except SystemExit as error:
        return {"state": "Succeeded"} if error.code in (None, 0) else _failed(error)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the outcome
        return _failed(error)
    return {"state": "Succeeded"}


def _failed(error: BaseException) -> dict[str, Any]:
    if isinstance(error, LoadError) and error.cause is not None:
        error = error.cause
    reports.print_exception(error)
    return {"state": "Failed", "error": reports.error_of(error)}
