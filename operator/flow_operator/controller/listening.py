"""Listening to the schedulers of live runs, once a second each: an idle cluster costs the API server nothing."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from ..clusters.schedulers import Silent
from ..plan.scaling import WINDOW
from ..plan.types import Ask, Heard

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..clusters.schedulers import View
    from .queue import Queue
    from .store import Key

logger = logging.getLogger(__name__)

PERIOD = 1.0
# A scheduler that has said the same for a while is asked less often.
CALM_AFTER, CALM_PERIOD = 30, 2.0


class Asked(Protocol):
    """Whoever can be asked about a scheduler; `clusters.schedulers.Schedulers` outside of tests."""

    async def view(self, address: str, *, target: bool) -> View:
        """Return what it says now."""
        ...

    async def retire(self, address: str, count: int) -> frozenset[str]:
        """Have it let some workers go; their names."""
        ...


@dataclass
class Ear:
    """What is known of one scheduler."""

    ask: Ask
    heard: Heard
    task: asyncio.Task[None] | None = None
    retiring: asyncio.Task[None] | None = None
    targets: deque[tuple[float, int]] = field(default_factory=deque)
    listening_since: float | None = None
    same: int = 0  # how often it has said the same in a row

    def stop(self) -> None:
        """Listen no more."""
        for each in (self.task, self.retiring):
            if each is not None:
                each.cancel()


class Listener:
    """One task for each live run with a cluster of ours. What a scheduler says is news only where it has changed."""

    def __init__(
        self,
        schedulers: Asked,
        queue: Queue[Key],
        clock: Callable[[], float],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._schedulers, self._queue, self._clock, self._now = schedulers, queue, clock, now
        self._ears: dict[Key, Ear] = {}

    def heard(self, key: Key) -> Heard | None:
        """Return what the scheduler of a run has said, None where nobody listens to it."""
        ear = self._ears.get(key)
        return ear.heard if ear else None

    def listen(self, key: Key, ask: Ask | None, retire: int = 0) -> None:
        """Listen to a scheduler from now on, or to none; have it let some workers go, unless it is about to."""
        ear = self._ears.get(key)
        if ear is not None and (ask is None or ear.ask != ask):
            ear.stop()
            del self._ears[key]
            ear = None
        if ask is None:
            return
        if ear is None:
            ear = self._ears[key] = Ear(ask, Heard(since=self._now()))
            ear.task = asyncio.create_task(self._listen(key, ear))
        if retire and (ear.retiring is None or ear.retiring.done()):
            ear.retiring = asyncio.create_task(self._retire(key, ear, retire))

    def close(self) -> None:
        """Listen to nobody."""
        for ear in self._ears.values():
            ear.stop()
        self._ears.clear()

    async def _listen(self, key: Key, ear: Ear) -> None:
        while True:
            await self.look(key, ear)
            await asyncio.sleep(PERIOD if ear.same < CALM_AFTER else CALM_PERIOD)

    async def look(self, key: Key, ear: Ear) -> None:
        """Ask once; tell the queue only what is new."""
        try:
            view = await self._schedulers.view(ear.ask.address, target=ear.ask.target)
        except Exception as error:
            if isinstance(error, Silent):
                logger.debug("a scheduler is silent", extra={"key": str(key), "error": str(error)})
            else:  # the next look may be better; without a next one the run would never hear of its scheduler again
                logger.exception("a scheduler was not understood", extra={"key": str(key)})
            ear.listening_since = None  # a gap: what it wanted meanwhile is not known
            ear.targets.clear()
            ear.same = 0
            ear.heard = replace(ear.heard, target=None, most_wanted=None)
            return
        before = ear.heard
        ear.heard = replace(
            before,
            at=self._now(),
            workers=view.workers,
            target=view.target,
            most_wanted=self._most_wanted(ear, view.target),
        )
        changed = replace(ear.heard, at=None) != replace(before, at=None) or before.at is None
        ear.same = 0 if changed else ear.same + 1
        if changed:
            self._queue.add(key)

    def _most_wanted(self, ear: Ear, target: int | None) -> int | None:
        """Return the highest target of the last seconds, None until it has been listened to for as long."""
        now = self._clock()
        if ear.listening_since is None:
            ear.listening_since = now
        if target is None:
            return None
        ear.targets.append((now, target))
        while ear.targets[0][0] < now - WINDOW:
            ear.targets.popleft()
        return max(each for _, each in ear.targets) if now - ear.listening_since >= WINDOW else None

    async def _retire(self, key: Key, ear: Ear, count: int) -> None:
        known = ear.heard.workers  # as it is asked: those that it lets go may be gone from what it says next
        try:
            said = await self._schedulers.retire(ear.ask.address, count)
        except Silent as error:
            # Those that it has let go nevertheless end by themselves.
            logger.info("workers were not retired", extra={"key": str(key), "error": str(error)})
            return
        names = said & (known | ear.heard.workers)
        if len(names) > count:  # a liar, whose words would be kept for the rest of the run
            logger.info("more workers were retired than asked for", extra={"key": str(key)})
            names = frozenset()
        new = names - ear.heard.retired
        ear.heard = replace(ear.heard, retired=ear.heard.retired | new)
        # Where none was, it would be asked again at once.
        self._queue.add(key, 0.0 if new else PERIOD)
