"""Which blobs this process has seen in a repository a short while ago: they are not asked for again."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# A registry refuses a manifest whose blobs are gone, and everything is asked for then. For registries that do not look,
# a memory has an end.
_SECONDS = 600.0


class Known:
    """The blobs seen in the repositories of one registry; safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, dict[str, float]] = {}

    def add(self, repository: str, digest: str) -> None:
        """Remember that a blob is there now."""
        with self._lock:
            self._seen.setdefault(repository, {})[digest] = self._clock()

    def has(self, repository: str, digest: str) -> bool:
        """Whether a blob was seen lately."""
        with self._lock:
            seen = self._seen.get(repository, {}).get(digest)
        return seen is not None and self._clock() - seen < _SECONDS

    def has_any(self, repository: str) -> bool:
        """Whether any blob was seen lately."""
        with self._lock:
            latest = max(self._seen.get(repository, {}).values(), default=None)
        return latest is not None and self._clock() - latest < _SECONDS

    def forget(self, repository: str) -> None:
        """Believe nothing of a repository any more."""
        with self._lock:
            self._seen.pop(repository, None)
