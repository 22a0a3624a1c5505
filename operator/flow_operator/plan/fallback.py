"""Callbacks that an attempt's own pod could not run: owed until the operator has run them elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .case import Case


def owed(_case: Case) -> bool:
    """Return whether the attempt, whose pods have ended, waits for a callback that is run for it."""
    return False
