"""What there is to know about a flow in a file, uncut, for `kubectl flow`: a check's facts, and what it declares."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from flow_operator.api import wire
from flow_operator.runner import check, hooks
from flow_operator.runner import report as reports
from flow_operator.runner.load import LoadError, load

if TYPE_CHECKING:
    from flow_operator.api.wire import CheckRequest
    from flow_operator.flow.core import Flow


def main() -> int:
    """Load the flow and tell all of it, or why it cannot be loaded; the exit code."""
    request: CheckRequest = json.loads(os.environ[wire.CHECK_ENV])
    try:
        flow = load(request["flow"])
        answer, code = {"flow": check.facts(flow), **_declared(flow)}, 0
    except LoadError as error:
        answer, code = _refusal(error), 1
    hooks.tell(json.dumps(answer, ensure_ascii=False))
    return code


def _refusal(error: LoadError) -> dict[str, Any]:
    """Why there is no flow, and where in the author's code: a person reads it at once, so it needs no traceback."""
    answer = {"reason": error.reason, "message": str(error), "remedy": error.remedy}
    if isinstance(error.cause, ModuleNotFoundError) and error.cause.name:
        answer["missing"] = error.cause.name
    frames = reports.error_of(error.cause).get("frames", []) if error.cause is not None else []
    return {**answer, "place": frames[-1]} if frames else answer


def _declared(flow: Flow) -> dict[str, Any]:
    """Storage and schedule as a FlowDeployment has them; an error of a storage is for whoever needs it."""
    found: dict[str, Any] = {}
    for name in ("storage", "schedule"):
        declared = getattr(flow, name, None)
        if declared is not None:
            try:
                found[name] = declared.to_resource()
            except Exception as error:  # noqa: BLE001 - a storage that no cluster can have, or a user's own
                found.setdefault("refused", {})[name] = str(error)
    if secret := getattr(flow.environment, "pull_secret", None):
        found["pull_secret"] = secret
    if type(flow.storage).__name__ == "Docker":
        found["arguments"] = _arguments(flow.storage)
    return found


def _arguments(storage: Any) -> dict[str, Any]:
    """What a Docker storage was made of, to make it again where it is built; what was left out stays out."""
    from inspect import signature

    given = {name: getattr(storage, name) for name in signature(type(storage)).parameters}
    given["builder"] = storage.__dict__.get("_builder")  # as it was asked for, not as it follows from the rest
    derived = ("flow_operator_version", *(("base_image",) if storage.uses_default_base else ()))
    return {name: value for name, value in given.items() if value and name not in derived}
