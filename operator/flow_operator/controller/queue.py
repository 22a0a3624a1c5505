"""Keys to reconcile: serial per key, bounded over all, backed off per key."""

from __future__ import annotations

import asyncio
import heapq
import logging
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

logger = logging.getLogger(__name__)

K = TypeVar("K", bound="Hashable")
FIRST_BACKOFF, LAST_BACKOFF = 0.25, 60.0


class Queue(Generic[K]):
    """A set of keys, each with the time it is due. A key that is added while it is worked on comes again."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._active: dict[K, float] = {}
        self._failures: dict[K, int] = {}
        self._count = 0
        self._changed = asyncio.Event()

    def add(self, key: K, after: float = 0.0) -> None:
        """Ask for a key to be worked on, after some seconds; the earliest wish counts."""
        due = self._clock() + after
        if key in self._due and self._due[key] <= due:
            return
        self._due[key] = due
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, key))
        self._changed.set()

    def failed(self, key: K) -> float:
        """Ask for a key again after an error, later each time; return the delay in seconds."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        delay = min(FIRST_BACKOFF * 2.0**count, LAST_BACKOFF)
        self.add(key, delay)
        return delay

    def succeeded(self, key: K) -> None:
        """Forget a key's failures."""
        self._failures.pop(key, None)

    @property
    def depth(self) -> int:
        """Return how many keys are due now or being worked on."""
        now = self._clock()
        return sum(1 for due in self._due.values() if due <= now) + len(self._active)

    @property
    def oldest(self) -> float:
        """Return how long in seconds the oldest due or active key has waited."""
        now = self._clock()
        waits = [now - due for due in (*self._due.values(), *self._active.values())]
        return max((each for each in waits if each > 0), default=0.0)

    async def take(self) -> K:
        """Wait for a key that is due and not being worked on, and mark it active."""
        while True:
            found, wait = self._next()
            if found is not None:
                return found
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), wait)
            except TimeoutError:
                continue

    def done(self, key: K) -> None:
        """Give a key back."""
        self._active.pop(key, None)
        self._changed.set()

    def _next(self) -> tuple[K | None, float | None]:
        now = self._clock()
        held: list[tuple[float, int, K]] = []
        found: K | None = None
        wait: float | None = None
        while self._heap:
            due, _count, key = self._heap[0]
            if self._due.get(key) != due:  # an earlier wish replaced this one
                heapq.heappop(self._heap)
            elif due > now:
                wait = due - now
                break
            elif key in self._active:
                held.append(heapq.heappop(self._heap))
            else:
                heapq.heappop(self._heap)
                del self._due[key]
                self._active[key] = now
                found = key
                break
        for each in held:
            heapq.heappush(self._heap, each)
        return found, wait


async def work(queue: Queue[K], reconcile: Callable[[K], Awaitable[None]]) -> None:
    """Reconcile keys for ever; an error backs its key off and touches no other."""
    while True:
        key = await queue.take()
        try:
            await reconcile(key)
            queue.succeeded(key)
        except Exception as error:
            delay = queue.failed(key)
            # A conflict or an API server that restarts is no news; what goes on is.
            level = logging.DEBUG if delay < 2 else logging.ERROR
            logger.log(level, "reconcile failed", exc_info=error, extra={"key": str(key), "retry_in": delay})
        finally:
            queue.done(key)
