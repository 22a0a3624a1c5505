"""The queue: serial per key, delays, back-off, and keys that come again while they are worked on."""

from __future__ import annotations

import asyncio
import contextlib

from flow_operator.controller.queue import Queue, work


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def take_now(queue: Queue[str]) -> str | None:
    try:
        return await asyncio.wait_for(queue.take(), 0.01)
    except TimeoutError:
        return None


async def test_a_key_added_twice_comes_once() -> None:
    queue: Queue[str] = Queue(Clock())
    queue.add("a")
    queue.add("a")
    assert await take_now(queue) == "a"
    queue.done("a")
    assert await take_now(queue) is None


async def test_a_key_added_while_it_is_worked_on_comes_again_and_not_before() -> None:
    queue: Queue[str] = Queue(Clock())
    queue.add("a")
    assert await take_now(queue) == "a"
    queue.add("a")
    assert await take_now(queue) is None
    queue.done("a")
    assert await take_now(queue) == "a"


async def test_another_key_does_not_wait_for_a_busy_one() -> None:
    queue: Queue[str] = Queue(Clock())
    queue.add("a")
    assert await take_now(queue) == "a"
    queue.add("a")
    queue.add("b")
    assert await take_now(queue) == "b"


async def test_the_earliest_wish_counts() -> None:
    clock = Clock()
    queue: Queue[str] = Queue(clock)
    queue.add("a", after=10)
    queue.add("a", after=1)
    queue.add("a", after=20)
    assert await take_now(queue) is None
    clock.now = 1.5
    assert await take_now(queue) == "a"
    queue.done("a")
    clock.now = 30
    assert await take_now(queue) is None


def test_back_off_grows_is_capped_and_forgotten() -> None:
    queue: Queue[str] = Queue(Clock())
    delays = [queue.failed("a") for _ in range(12)]
    assert delays[:4] == [0.25, 0.5, 1.0, 2.0]
    assert delays[-1] == 60
    queue.succeeded("a")
    assert queue.failed("a") == 0.25


def test_oldest_is_the_wait_of_the_oldest_due_key() -> None:
    clock = Clock()
    queue: Queue[str] = Queue(clock)
    queue.add("a")
    queue.add("b", after=100)
    clock.now = 5
    assert queue.oldest == 5
    assert queue.depth == 1


async def test_an_error_backs_one_key_off_and_the_others_go_on() -> None:
    queue: Queue[str] = Queue(asyncio.get_running_loop().time)
    done = asyncio.Event()

    async def reconcile(key: str) -> None:
        if key == "bad":
            raise ValueError(key)
        done.set()

    queue.add("bad")
    queue.add("good")
    worker = asyncio.create_task(work(queue, reconcile))
    await asyncio.wait_for(done.wait(), 1)
    worker.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await worker
    assert queue.failed("bad") == 0.5
