"""Make many FlowRuns, so many at a time, and see them to their end. Called again, it goes on where it was."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..api.flow_run import FINISHED
from ..api.labels import API_VERSION
from ..kube.errors import Conflict, Expired, NotFound, Unauthorized, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..kube.api import Api

Manifest = dict[str, Any]

DELETED = "Deleted"
RETRIES = 5  # in a row
PAUSE = 1.0
LOOK = 30.0  # seconds between two lists: a watch does not tell what was deleted while it was interrupted


@dataclass
class Filling:
    """FlowRuns that are wished for, in order.

    Attributes:
        most: how many may be unfinished at a time, those that were there before included.
        tell: takes a FlowRun's name and what became of it.
        runs: the FlowRuns of these names that were made or found.
        stop: whether to make no more, given the runs so far.
    """

    api: Api
    namespace: str
    wanted: Sequence[Manifest]
    most: int
    tell: Callable[[str, str], None]
    stop: Callable[[Filling], bool] = lambda _: False
    runs: dict[str, Manifest] = field(default_factory=dict)
    phases: dict[str, str] = field(default_factory=dict)
    _making: str = ""  # the watch may be quicker than the answer: its end is told after its beginning
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def unfinished(self) -> list[str]:
        """Names of those that have begun and not ended."""
        return [name for name, phase in self.phases.items() if phase not in FINISHED and phase != DELETED]

    async def look(self) -> None:
        """See which of them are there."""
        names = {each["metadata"]["name"] for each in self.wanted}
        found = {
            name: each
            async for each in self.api.list(API_VERSION, "FlowRun", self.namespace)
            if (name := each["metadata"]["name"]) in names
        }
        for name in set(self.runs) - set(found):
            self._is_gone(name)
        for each in found.values():
            self._is(each)

    async def fill(self) -> None:
        """Make those that are not there, and wait until all have ended."""
        await self.look()
        watching = asyncio.create_task(self._watch())
        try:
            for each in self.wanted:
                if (name := each["metadata"]["name"]) in self.phases:
                    self.tell(name, f"exists already: {self.phases[name]}")
                    continue
                while len(self.unfinished) >= self.most and not self.stop(self):
                    await self._wait(watching)
                if self.stop(self):
                    break
                await self._make(each)
            while self.unfinished:
                await self._wait(watching)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _wait(self, watching: asyncio.Task[None]) -> None:
        """Wait for news; look by ourselves where there are none for long."""
        news = asyncio.create_task(self._news.wait())
        try:
            done, _ = await asyncio.wait({news, watching}, timeout=LOOK, return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
        self._news.clear()
        if watching in done:
            watching.result()
        if not done:
            await self.look()

    async def _make(self, manifest: Manifest) -> None:
        self._making = name = manifest["metadata"]["name"]
        made = await self._create(manifest)
        self.tell(name, "created" if made else f"exists already: {self.phases[name]}")
        self._making = ""
        if made and self.phases[name] in FINISHED:
            self.tell(name, self.phases[name])

    async def _create(self, manifest: Manifest) -> bool:
        """Make a run; whether it was not there before."""
        name, failures = manifest["metadata"]["name"], 0
        while True:
            try:
                self._is(await self.api.create(manifest))
                return True
            except Conflict:  # the schedule was quicker, or an answer of ours was lost on the way
                with suppress(NotFound):
                    self._is(await self.api.get(API_VERSION, "FlowRun", self.namespace, name))
                    return False
            except Unauthorized:
                raise
            except Unavailable:
                failures += 1
                if failures > RETRIES:
                    raise
                await asyncio.sleep(PAUSE)

    async def _watch(self) -> None:
        names = {each["metadata"]["name"] for each in self.wanted}
        failures = 0
        while True:
            try:
                async for kind, run in self.api.changes(API_VERSION, "FlowRun", self.namespace):
                    failures = 0
                    name = run["metadata"]["name"]
                    if name not in names:
                        continue
                    if kind == "DELETED":
                        self._is_gone(name)
                    else:
                        self._is(run)
            except (Unavailable, Expired):
                failures += 1
                if failures > RETRIES:
                    raise
                await asyncio.sleep(PAUSE)

    def _is(self, run: Manifest) -> None:
        name, phase = run["metadata"]["name"], (run.get("status") or {}).get("phase") or "Pending"
        before = self.phases.get(name)
        if before in FINISHED and self.runs[name]["metadata"]["uid"] == run["metadata"]["uid"]:
            return  # an answer that was overtaken by the watch
        self.runs[name], self.phases[name] = run, phase
        if before not in (None, phase) and phase in FINISHED:
            if name != self._making:
                self.tell(name, phase)
            self._news.set()

    def _is_gone(self, name: str) -> None:
        if self.phases.get(name) in FINISHED:
            return  # it has told its end: a limit of the history, or a person, cleaned it up
        self.phases[name] = DELETED
        self.tell(name, "was deleted before it had ended")
        self._news.set()
