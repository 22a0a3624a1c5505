"""What a build says while it works, and how long its stages took."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[str], None]


def silent(_line: str) -> None:
    """Say nothing."""


def printed(line: str) -> None:
    """One line on standard output: `kubectl logs` of the builder's pod."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Stages:
    """A stop-watch with names; a stage that runs beside others keeps its own time."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to a stage."""
        start = self._clock()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + self._clock() - start, 3)
