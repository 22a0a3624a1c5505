"""One callback, in a process of its own. The hooks process starts it, limits its time, and reads its outcome."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from flow_operator.api import wire
from flow_operator.runner import hooks
from flow_operator.runner import report as reports
from flow_operator.runner.load import LoadError, load

if TYPE_CHECKING:
    from flow_operator.api.wire import RunRequest


def main(name: str) -> int:
    """Call it, and leave its outcome; the exit code is 1 if it failed."""
    if os.environ.pop(hooks.WORD_ENV, "") and not _word_came():
        return wire.EXIT_OK
    request: RunRequest = json.loads(os.environ[wire.RUN_ENV])
    outcome = _outcome(name, request)
    hooks.write(f"{name}.outcome", reports.encode(outcome, reports.OUTCOME_LIMIT))
    return wire.EXIT_FLOW_FAILED if outcome["state"] == "Failed" else wire.EXIT_OK


def _word_came() -> bool:
    """Wait until we are wanted; then stdin is what it is for any other process of a container."""
    came = bool(os.read(0, 1))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return came


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
