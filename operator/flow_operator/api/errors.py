"""The root of every error that flow-operator raises on purpose. Standard library only."""

from __future__ import annotations


class FlowOperatorError(Exception):
    """What happened, in a sentence that names the thing, and what to do about it.

    Attributes:
        message: what happened.
        remedy: what to do about it; may be empty where the message says it.
    """

    remedy: str = ""

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if remedy is not None:
            self.remedy = remedy

    def __str__(self) -> str:
        return " ".join(part for part in (self.message, self.remedy) if part)
