"""The builder's last words: a BuildReport that fits into a termination message."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from flow_operator.api.wire import MESSAGE_LIMIT, BuildReport

if TYPE_CHECKING:
    from flow_operator.images.errors import BuildError

# What goes first when a report is too long, and to how many characters: the reason always stays.
_SHORTENED = (("message", 600), ("remedy", 300), ("message", 200), ("remedy", 100))
_DROPPED = ("stages", "layers")


def failure(error: BuildError) -> BuildReport:
    """The report of a build that ended without an image."""
    return BuildReport(reason=error.reason, message=error.message, remedy=error.remedy, retryable=error.retryable)


def encoded(report: BuildReport) -> bytes:
    """JSON of at most MESSAGE_LIMIT bytes."""
    document = dict(report)
    for key, length in _SHORTENED:
        if len(_json(document)) > MESSAGE_LIMIT and key in document:
            document[key] = shortened(str(document[key]), length)
    for key in _DROPPED:
        if len(_json(document)) > MESSAGE_LIMIT:
            document.pop(key, None)
    return _json(document)


def shortened(text: str, length: int) -> str:
    """Text of at most so many characters, that says when there was more."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _json(document: dict[str, object]) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
