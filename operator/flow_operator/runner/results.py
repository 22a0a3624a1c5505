"""What a flow returned, as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from flow_operator.api import wire

if TYPE_CHECKING:
    from flow_operator.api.wire import RunReport


def put(report: RunReport, value: object) -> None:
    """Put a result into a report, or why it is not there."""
    if value is None:
        return
    try:
        text = json.dumps(value, default=_plain, allow_nan=False)
    except Exception as error:  # noqa: BLE001 - whatever the value's own attributes raise
        report["resultOmitted"] = f"not JSON: {_reason(value, error)}"
        return
    if len(text) > 3 * wire.MESSAGE_LIMIT:  # \\uXXXX is six bytes here and two or three in the message
        report["resultOmitted"] = f"too large ({len(text)} bytes)"
    else:
        report["result"] = json.loads(text)


def _plain(value: Any) -> Any:
    """Scalars of numpy and its kin as Python's own."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    raise TypeError(type(value).__name__)


def _reason(value: object, error: Exception) -> str:
    kind = type(value).__name__
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return (kind if text == kind else f"{kind} ({text})")[:200]
