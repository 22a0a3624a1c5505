"""Listening: news are told once, a gap forgets what was wanted, and workers are let go one order at a time."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from flow_operator.clusters.schedulers import Silent, View
from flow_operator.controller.listening import Ear, Listener
from flow_operator.controller.queue import Queue
from flow_operator.controller.store import Key
from flow_operator.plan.scaling import WINDOW
from flow_operator.plan.types import Ask, Heard
from tests.support import makers as m

RUN = Key("FlowRun", "team-a", "squares-1")
ASK = Ask("http://10.0.0.7:8787", target=True)


class Scheduler:
    """A scheduler that says what it is told to."""

    def __init__(self) -> None:
        self.said: View | None = View(frozenset({"w0"}), 1)
        self.asked: list[str] = []
        self.retiring = asyncio.Event()
        self.retired: list[int] = []

    async def view(self, address: str, *, target: bool) -> View:
        self.asked.append(address)
        if self.said is None:
            raise Silent("nobody")
        return self.said

    async def retire(self, address: str, count: int) -> frozenset[str]:
        self.retired.append(count)
        await self.retiring.wait()
        return frozenset({"w0"})


class Room:
    """A listener and its clock."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.scheduler = Scheduler()
        self.queue: Queue[Key] = Queue(lambda: self.seconds)
        now = lambda: m.NOW + timedelta(seconds=self.seconds)  # noqa: E731
        self.listener = Listener(self.scheduler, self.queue, lambda: self.seconds, now)
        self.ear = Ear(ASK, Heard(since=m.NOW))

    async def hear(self, target: int | None, *workers: str, after: float = 1.0) -> bool:
        """Let time pass and look; whether that was news."""
        self.seconds += after
        self.scheduler.said = View(frozenset(workers), target)
        await self.listener.look(RUN, self.ear)
        news = self.queue.depth > 0
        if news:
            self.queue.done(await self.queue.take())
        return news


async def test_only_what_has_changed_is_news() -> None:
    room = Room()
    assert await room.hear(1, "w0")
    assert not await room.hear(1, "w0")
    assert await room.hear(2, "w0")
    assert await room.hear(2, "w0", "w1")
    assert not await room.hear(2, "w0", "w1")
    assert room.ear.heard.at == m.NOW + timedelta(seconds=5)


async def test_the_most_wanted_is_known_after_the_whole_window() -> None:
    room = Room()
    await room.hear(4)
    for _ in range(int(WINDOW) - 1):
        await room.hear(1)
    assert room.ear.heard.most_wanted is None
    await room.hear(1)
    assert room.ear.heard.most_wanted == 4
    assert await room.hear(1)  # the wish for four is old: that is news
    assert room.ear.heard.most_wanted == 1


async def test_a_gap_forgets_what_was_wanted() -> None:
    room = Room()
    for _ in range(int(WINDOW) + 2):
        await room.hear(1, "w0")
    assert room.ear.heard.most_wanted == 1
    room.scheduler.said = None
    await room.listener.look(RUN, room.ear)
    assert room.ear.heard.target is None
    assert room.ear.heard.most_wanted is None
    assert room.ear.heard.workers == frozenset({"w0"})  # not heard is not gone
    await room.hear(1, "w0")
    assert room.ear.heard.most_wanted is None


async def test_workers_are_let_go_one_order_at_a_time() -> None:
    room = Room()
    room.listener.listen(RUN, ASK, retire=2)
    room.listener.listen(RUN, ASK, retire=2)
    await asyncio.sleep(0)
    assert room.scheduler.retired == [2]
    room.scheduler.retiring.set()
    for _ in range(5):
        await asyncio.sleep(0)
    heard = room.listener.heard(RUN)
    assert heard
    assert heard.retired == frozenset({"w0"})
    room.listener.close()


@pytest.mark.parametrize("other", [None, Ask("http://10.0.0.8:8787", target=True)])
async def test_another_scheduler_is_another_story(other: Ask | None) -> None:
    room = Room()
    room.listener.listen(RUN, ASK)
    for _ in range(5):
        await asyncio.sleep(0)
    heard = room.listener.heard(RUN)
    assert heard
    assert heard.workers
    room.listener.listen(RUN, other)
    heard = room.listener.heard(RUN)
    assert heard is None or not heard.workers
    room.listener.close()
