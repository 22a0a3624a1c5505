"""Patience with registries: exponential back-off with jitter, what Retry-After says, and an end to it."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

from flow_operator.images.errors import RegistryError
from flow_operator.images.progress import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


@dataclass(frozen=True)
class Retries:
    """How often an operation is tried again, and how long that may take in all."""

    attempts: int = 6
    first: float = 0.2  # seconds before the second try, at most; doubled each time
    longest: float = 15.0
    # Seconds of one operation, pauses and tries in which nothing was heard: silence is to be known within a minute.
    budget: float = 40.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random
    progress: Progress = silent

    def run(self, operation: Callable[[], T]) -> T:
        """The operation's result, or its last error."""
        spent = 0.0
        for attempt in range(1, self.attempts):
            began = self.clock()
            try:
                return operation()
            except RegistryError as error:
                pause = self._pause(attempt, error.retry_after)
                spent += self.clock() - began if error.silent else 0.0
                if not error.retryable or spent + pause > self.budget:
                    raise
                self.progress(f"{error.message} Trying again in {pause:.1f} s.")
                spent += pause
                self.sleep(pause)
        return operation()

    def _pause(self, attempt: int, asked: float | None) -> float:
        if asked is not None:
            return asked
        ceiling: float = min(self.longest, self.first * 2 ** (attempt - 1))
        return ceiling * (0.5 + self.jitter() / 2)


def retry_after(header: str | None, now: datetime | None = None) -> float | None:
    """Seconds of a Retry-After header, which is a number or a date; None where it is neither."""
    if not header:
        return None
    if header.isdigit():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
