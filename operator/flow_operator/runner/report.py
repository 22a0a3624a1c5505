"""Reports that fit a termination message, and exceptions that fit a report."""

# ruff: noqa: PTH120 - pathlib costs start-up, which every run pays

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from flow_operator.api import wire
from flow_operator.runner import hooks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

MAX_FRAMES = 5
MAX_TYPE = 120
MAX_FRAME = 120
MAX_MESSAGE = 1000
OUTCOME_LIMIT = 800  # of a callback: two of them and their times make one message

_OURS = os.path.dirname(os.path.dirname(__file__)) + os.sep


def tell(report: Mapping[str, Any], *, share: bool = False) -> None:
    """Leave a report in the termination message and, to share it with on_exit, in the hooks' directory."""
    text = encode(report)
    hooks.tell(text)
    if share:
        hooks.write(hooks.REPORT, text)


def encode(report: Mapping[str, Any], limit: int = wire.MESSAGE_LIMIT) -> str:
    """A report as JSON of at most so many bytes.

    What goes first is what is missed least: the outer frames, then the end of the message, then the result, then
    the defaults of parameters.
    """
    cut = dict(report)
    for _ in _cuts(cut, limit):
        text = _json(cut)
        if size(text) <= limit:
            return text
    return "{}"


def size(text: str) -> int:
    """Bytes of a JSON text as it is written."""
    return len(text.encode("utf-8", "backslashreplace"))


def error_of(exception: BaseException) -> wire.FlowError:
    """An exception for a status field."""
    try:
        message = str(exception)
    except Exception as broken:  # noqa: BLE001 - a user's __str__
        message = f"(its message cannot be shown: {type(broken).__name__})"
    error: wire.FlowError = {"type": type_name(exception)[:MAX_TYPE], "message": message[:MAX_MESSAGE]}
    frames = [frame[:MAX_FRAME] for frame in _frames(exception.__traceback__)]
    if frames:
        error["frames"] = frames[-MAX_FRAMES:]
    return error


def type_name(exception: BaseException) -> str:
    """Qualified, as a traceback has it: "ValueError", "flow.Broken"."""
    cls = type(exception)
    module = "" if cls.__module__ in ("builtins", "__main__") else cls.__module__.removesuffix("__main__") + "."
    return f"{module}{cls.__qualname__}"


def print_exception(exception: BaseException) -> None:
    """The full traceback into the pod's log, from where it leaves our own code."""
    import traceback

    trace = exception.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    traceback.print_exception(type(exception), exception, trace or exception.__traceback__)
    sys.stderr.flush()


def _frames(trace: TracebackType | None) -> Iterator[str]:
    from sysconfig import get_path

    homes = [get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    foreign = (_OURS, "<frozen ", *(home + os.sep for home in (*homes, wire.LIB_DIR, wire.DEPS_DIR)))
    while trace is not None:
        code = trace.tb_frame.f_code
        file = code.co_filename
        if not file.startswith(foreign):
            yield f"{file.rpartition(os.sep)[2]}:{trace.tb_lineno} in {code.co_name}"
        trace = trace.tb_next


def _cuts(report: dict[str, Any], limit: int) -> Iterator[None]:
    """Shorten a report in place, one step at a time."""
    yield
    error = report["error"] = dict(report["error"]) if "error" in report else {}
    if not error:
        del report["error"]
    while error.get("frames"):
        error["frames"] = error["frames"][1:]
        yield
    error.pop("frames", None)
    yield from _shorter(error, "message", report, limit)
    yield from _shorter(report, "message", report, limit)
    if "result" in report:
        report["resultOmitted"] = f"too large ({size(_json(report.pop('result')))} bytes)"
        yield
    if "flow" in report:
        yield from _fewer_facts(report)
    for key in [key for key in report if key not in ("state", "reason")]:
        del report[key]
        yield


def _shorter(owner: dict[str, Any], key: str, report: dict[str, Any], limit: int) -> Iterator[None]:
    while owner.get(key):
        text = owner[key].removesuffix("…")
        surplus = size(_json(report)) - limit
        owner[key] = text[: max(0, len(text) - max(1, surplus // 6))] + "…" if len(text) > 1 else ""
        yield


def _fewer_facts(report: dict[str, Any]) -> Iterator[None]:
    facts = report["flow"] = dict(report["flow"])
    facts["parameters"] = [
        {key: value for key, value in parameter.items() if key != "default"}
        for parameter in facts.get("parameters", [])
    ]
    yield
    for key in ("parameters", "versions"):
        facts.pop(key, None)
        yield


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
