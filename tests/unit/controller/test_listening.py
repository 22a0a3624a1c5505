"""Listening: news are told once, a gap forgets what was wanted, and workers are let go one order at a time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

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
        self.lets_go = frozenset({"w0"})
        self.fails: Exception | None = None
        self.asked: list[str] = []
        self.retiring = asyncio.Event()
        self.retired: list[int] = []

    async def view(self, address: str, *, target: bool) -> View:
        self.asked.append(address)
        if self.fails:
            raise self.fails
        if self.said is None:
            raise Silent("nobody")
        return self.said

    async def retire(self, address: str, count: int) -> frozenset[str]:
        self.retired.append(count)
        await self.retiring.wait()
        return self.lets_go


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

    async def knowing(self, *workers: str) -> None:
        """Listen to the run's scheduler, until it has named its workers."""
        self.scheduler.said = View(frozenset(workers), 1)
        self.listener.listen(RUN, ASK)
        for _ in range(5):
            await asyncio.sleep(0)
        self.queue.done(await self.queue.take())

    async def retired(self, count: int) -> frozenset[str]:
        """Have some let go; the names that are kept as let go."""
        self.scheduler.retiring.set()
        self.listener.listen(RUN, ASK, retire=count)
        for _ in range(5):
            await asyncio.sleep(0)
        heard = self.listener.heard(RUN)
        assert heard
        return heard.retired


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
    await room.knowing("w0")
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


async def test_one_that_is_gone_when_its_order_is_answered_is_let_go_too() -> None:
    room = Room()
    await room.knowing("w0", "w1")
    room.listener.listen(RUN, ASK, retire=1)
    await asyncio.sleep(0)
    ear = room.listener._ears[RUN]
    room.scheduler.said = View(frozenset({"w1"}), 1)
    await room.listener.look(RUN, ear)
    room.scheduler.retiring.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert ear.heard.retired == {"w0"}
    room.listener.close()


@pytest.mark.parametrize("lies", [(), ("stranger",), tuple(f"w{each}" for each in range(9))])
async def test_a_scheduler_that_lies_about_whom_it_let_go_is_not_believed_nor_asked_again_at_once(lies: Any) -> None:
    room = Room()
    await room.knowing(*(f"w{each}" for each in range(9)))
    room.scheduler.lets_go = frozenset(lies)
    assert await room.retired(2) == frozenset()
    assert room.queue.depth == 0
    room.seconds += 1.0
    assert room.queue.depth == 1
    room.listener.close()


async def test_an_answer_that_nobody_understands_is_silence() -> None:
    room = Room()
    await room.hear(1, "w0")

    room.scheduler.fails = RecursionError()
    await room.listener.look(RUN, room.ear)
    assert room.ear.heard.target is None
    assert room.ear.heard.workers == frozenset({"w0"})


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
