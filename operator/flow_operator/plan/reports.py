"""What users' containers left in their termination messages: anybody in them may have written it.

A field that is not as `api/wire.py` says is not there: else one word of a user's own would be refused with the whole
status, for ever, and nothing would ever come of it.
"""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any, TypeGuard, cast, get_args

from ..api import wire
from .times import parse

if TYPE_CHECKING:
    from collections.abc import Iterable

# As metav1.Condition has it; an Event takes no longer one.
_REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]{0,126}[A-Za-z0-9_])?")
# Levels of a result: status is copied and compared by functions that call themselves.
_DEEPEST = 64
_LONGEST = 1000
_MOST_STAGES = 8
_MOST_FRAMES = 16
_MOST_WORKERS = 16
_MOST_TRIES = 1000
_MOST_SECONDS = 1e9


def document(message: str | None) -> dict[str, Any] | None:
    """Return what a container left, whatever is in it; None where it cannot be read."""
    try:
        said = json.loads(message or "")
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def of_flow(message: str | None) -> wire.RunReport:
    """Return what the runner said of its flow; empty where it was killed before it could."""
    said = document(message) or {}
    report: wire.RunReport = {}
    if said.get("state") in get_args(wire.State):
        report["state"] = said["state"]
    if isinstance(reason := said.get("reason"), str) and _REASON.fullmatch(reason):
        report["reason"] = reason
        if remedy := _text(said.get("remedy")):  # it is the remedy for that reason
            report["remedy"] = remedy
    if omitted := _text(said.get("resultOmitted")):
        report["resultOmitted"] = omitted
    if not _is_storable(said.get("result")):
        report["resultOmitted"] = "not JSON that the API server takes"
    elif said.get("result") is not None:
        report["result"] = said["result"]
    if error := _error(said.get("error")):
        report["error"] = error
    if stages := _stages(said.get("stages")):
        report["stages"] = stages
    if _is_number(peak := said.get("peakMemoryBytes")) and 0 < peak < sys.maxsize:
        report["peakMemoryBytes"] = int(peak)
    if said.get("outOfMemory") is True:
        report["outOfMemory"] = True
    if workers := _texts(said.get("workersSeen")):
        report["workersSeen"] = workers[:_MOST_WORKERS]
    return report


def of_hooks(message: str | None) -> list[wire.HookReceipt]:
    """Return the receipts of callbacks, one of each at most."""
    receipts = (_receipt(each) for each in _listed((document(message) or {}).get("hooks")))
    return list({each["name"]: each for each in receipts if each}.values())


def of_check(message: str | None) -> wire.CheckReport:
    """Return what a check said: facts, which are still to be looked at, or a reason."""
    said = document(message) or {}
    report: wire.CheckReport = {}
    if isinstance(facts := said.get("flow"), dict):
        report["flow"] = cast("wire.FlowFacts", facts)
    if isinstance(reason := said.get("reason"), str) and _REASON.fullmatch(reason):
        report["reason"] = reason
        report["message"] = str(said.get("message") or "")
        report["remedy"] = _text(said.get("remedy"))
    if error := _error(said.get("error")):
        report["error"] = error
    return report


def _receipt(said: Any) -> wire.HookReceipt | None:
    if not isinstance(said, dict):
        return None
    if said.get("name") not in ("on_start", "on_exit") or said.get("state") not in get_args(wire.HookState):
        return None
    receipt: wire.HookReceipt = {"name": said["name"], "state": said["state"]}
    if _is_number(tries := said.get("tries")) and 0 <= tries <= _MOST_TRIES:
        receipt["tries"] = int(tries)
    if began := _time(said.get("startTime")):
        receipt["startTime"] = began
    if ended := _time(said.get("endTime")):
        receipt["endTime"] = ended
    if error := _error(said.get("error")):
        receipt["error"] = error
    if message := _text(said.get("message")):
        receipt["message"] = message
    return receipt


def _error(said: Any) -> wire.FlowError | None:
    if not isinstance(said, dict) or not (kind := _text(said.get("type"))):
        return None
    error: wire.FlowError = {"type": kind, "message": _text(said.get("message"))}
    if frames := _texts(said.get("frames")):
        error["frames"] = frames[-_MOST_FRAMES:]
    return error


def _stages(said: Any) -> dict[str, float]:
    found = said.items() if isinstance(said, dict) else ()
    kept = [(name[:_LONGEST], each) for name, each in found if _is_number(each) and 0 <= each < _MOST_SECONDS]
    return dict(kept[:_MOST_STAGES])


def _time(said: Any) -> str:
    """Return a time that another can be taken from."""
    try:
        moment = parse(said)
    except (TypeError, ValueError):
        return ""
    return str(said) if moment and moment.tzinfo else ""


def _text(said: Any) -> str:
    return said[:_LONGEST] if isinstance(said, str) else ""


def _texts(said: Any) -> list[str]:
    return [each[:_LONGEST] for each in _listed(said) if isinstance(each, str)]


def _listed(said: Any) -> Iterable[Any]:
    return said if isinstance(said, list) else ()


def _is_number(said: Any) -> TypeGuard[float]:
    return isinstance(said, (int, float)) and not isinstance(said, bool)


def _is_storable(value: Any, depth: int = 0) -> bool:
    """Return whether the API server reads a value: it has no NaN, no number that is no double, no endless depth."""
    if _is_number(value):
        return -sys.float_info.max <= value <= sys.float_info.max
    if isinstance(value, dict):
        return depth < _DEEPEST and all(_is_storable(each, depth + 1) for each in value.values())
    if isinstance(value, list):
        return depth < _DEEPEST and all(_is_storable(each, depth + 1) for each in value)
    return True
