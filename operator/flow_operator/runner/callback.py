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
