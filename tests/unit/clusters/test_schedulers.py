"""A scheduler's words over HTTP: heard in time, checked, and an opinion where they are none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from flow_operator.clusters import schedulers
from flow_operator.clusters.schedulers import Schedulers, Silent, View

WORKERS = {"num_workers": 2, "workers": [{"name": "w0", "address": "tcp://a:1"}, {"name": 7}, "?", {"name": "x" * 999}]}
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Stub:
    """An HTTP server with a scheduler's three routes."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {"get_workers": WORKERS, "adaptive_target": {"workers": 3}}
        self.asked: list[tuple[str, Any]] = []
        self.address = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        name = request.path.rpartition("/")[2]
        self.asked.append((name, await request.json() if request.can_read_body else None))
        answer = self.answers[name]
        if callable(answer):
            made: web.StreamResponse = await answer(request)
            return made
        return answer if isinstance(answer, web.Response) else web.json_response(answer)


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    made = Stub()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", made.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def known() -> AsyncIterator[Schedulers]:
    made = Schedulers()
    yield made
    await made.close()


async def test_who_is_there_and_how_many_it_would_like(stub: Stub, known: Schedulers) -> None:
    assert await known.view(stub.address, target=True) == View(frozenset({"w0"}), 3)
    assert [name for name, _ in stub.asked] == ["get_workers", "adaptive_target"]


async def test_a_target_that_nobody_wants_is_not_asked_for(stub: Stub, known: Schedulers) -> None:
    assert await known.view(stub.address, target=False) == View(frozenset({"w0"}))
    assert [name for name, _ in stub.asked] == ["get_workers"]


async def test_it_is_asked_to_let_some_go_and_says_whom(stub: Stub, known: Schedulers) -> None:
    stub.answers["retire_workers"] = {"tcp://a:1": {"name": "w1", "type": "Worker"}}
    assert await known.retire(stub.address, 1) == frozenset({"w1"})
    assert stub.asked == [("retire_workers", {"n": 1})]


async def _endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"x" * 2**16)


async def _late(_request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(1)  # more than three times the patience
    return web.json_response({})


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(status=404),
        web.Response(status=302, headers={"Location": "http://169.254.169.254/"}),
        web.Response(body=b"\xff\xfe"),
        web.Response(text="[1]"),
        web.Response(text='{"workers":' + "[" * 200_000 + "]" * 200_000 + "}"),
        {"workers": None},
        {},
        _endless,
        _late,
    ],
)
async def test_whatever_else_is_said_is_no_answer(
    stub: Stub, known: Schedulers, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedulers, "PATIENCE", 0.3)
    stub.answers["get_workers"] = answer
    with pytest.raises(Silent):
        await known.view(stub.address, target=False)


@pytest.mark.parametrize("count", [-1, True, "3", 2.5, None])
async def test_a_target_is_a_number(stub: Stub, known: Schedulers, count: Any) -> None:
    stub.answers["adaptive_target"] = {"workers": count}
    with pytest.raises(Silent):
        await known.view(stub.address, target=True)


async def test_nobody_there(known: Schedulers) -> None:
    with pytest.raises(Silent, match="does not answer"):
        await known.view("http://127.0.0.1:1", target=False)
