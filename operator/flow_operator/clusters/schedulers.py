"""What a run's scheduler says of its workers, and the one thing it is asked to do: to retire some.

A scheduler lives beside its flow, so its answers are a tenant's words: bounded, checked, and no more than an opinion.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Iterable

PATIENCE = 2.0  # seconds for an answer
RETIRE_PATIENCE = 60.0  # seconds in which the data of retiring workers must have moved
MOST = 4 * 2**20  # bytes of an answer
MAX_NAME = 253


class Silent(Exception):
    """A scheduler could not be asked, or what it said is no answer."""


@dataclass(frozen=True)
class View:
    """What a scheduler says: the names of the workers that have registered, and how many it would like."""

    workers: frozenset[str]
    target: int | None = None


class Schedulers:
    """Asks schedulers by the addresses of their HTTP servers, `http://10.0.0.7:8787`."""

    def __init__(self) -> None:
        self._http: aiohttp.ClientSession | None = None

    async def view(self, address: str, *, target: bool) -> View:
        """Return what a scheduler says now; its target only where somebody wants to know it."""
        said = await self._call("GET", f"{address}/api/v1/get_workers", PATIENCE)
        wanted = await self._call("GET", f"{address}/api/v1/adaptive_target", PATIENCE) if target else None
        return View(_names(said.get("workers")), _count(wanted) if wanted is not None else None)

    async def retire(self, address: str, count: int) -> frozenset[str]:
        """Have a scheduler move the data off some workers of its own choice and let them go; their names."""
        said = await self._call("POST", f"{address}/api/v1/retire_workers", RETIRE_PATIENCE, {"n": count})
        return _names(said.values())

    async def close(self) -> None:
        """Close all connections."""
        if self._http is not None:
            await self._http.close()

    async def _call(self, method: str, url: str, patience: float, body: Any = None) -> dict[str, Any]:
        if self._http is None:  # a session belongs to the loop it is made in
            self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30))
        limit = aiohttp.ClientTimeout(total=patience)
        try:
            async with self._http.request(method, url, json=body, timeout=limit, allow_redirects=False) as answer:
                text = await _read(answer)
                if answer.status != 200:
                    raise Silent(f"{url} answers {answer.status}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Silent(f"{url} does not answer: {error or type(error).__name__}") from error
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):  # UnicodeDecodeError is one
            said = None
        if not isinstance(said, dict):
            raise Silent(f"{url} answers something else")
        return said


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in answer.content.iter_any():
        size += len(part)
        if size > MOST:
            raise Silent(f"{answer.url} answers with more than {MOST} bytes")
        parts.append(part)
    return b"".join(parts)


def _names(workers: Iterable[Any] | None) -> frozenset[str]:
    if workers is None:
        raise Silent("the scheduler does not name its workers")
    named = (each.get("name") for each in workers if isinstance(each, dict))
    return frozenset(each for each in named if isinstance(each, str) and len(each) <= MAX_NAME)


def _count(said: dict[str, Any]) -> int:
    count = said.get("workers")
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise Silent("the scheduler does not say how many workers it would like")
    return count
