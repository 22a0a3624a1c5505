"""ConfigMaps that users' deployments read: they carry no label of ours, so each is watched by its name."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from ..kube.errors import KubeError
from .observe import references
from .store import Key, Manifest, Store, key_of

if TYPE_CHECKING:
    from ..kube.api import Api
    from .queue import Queue

logger = logging.getLogger(__name__)

Where = tuple[str, str]  # namespace, name
RECONNECT = 1.0


class Sources(dict[Where, Manifest | None]):
    """The ConfigMaps in use, kept current by one watch each; None: it is not there."""

    def __init__(self, api: Api, store: Store, queue: Queue[Key]) -> None:
        super().__init__()
        self._api, self._store, self._queue = api, store, queue
        self._tasks: dict[Where, asyncio.Task[None]] = {}

    def want(self, where: Where) -> None:
        """Watch a ConfigMap from now on; it stops when no deployment reads it any more."""
        if where not in self._tasks:
            self._tasks[where] = asyncio.create_task(self._watch(where), name=f"source {where}")

    async def close(self) -> None:
        """Stop all watches."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _readers(self, where: Where) -> list[Manifest]:
        return [each for each in self._store.of_kind("FlowDeployment") if where in references(each)]

    async def _watch(self, where: Where) -> None:
        namespace, name = where
        while self._readers(where):
            try:
                async for found in self._api.watch("v1", "ConfigMap", namespace, name):
                    self._take(where, found)
                    if not self._readers(where):
                        break
            except KubeError as error:
                logger.info("watch of a source ended", extra={"source": f"{namespace}/{name}", "error": str(error)})
                await asyncio.sleep(RECONNECT)
            except Exception:  # a watch that ends for good would leave its deployments as they are, without a word
                logger.exception("watch of a source failed", extra={"source": f"{namespace}/{name}"})
                await asyncio.sleep(RECONNECT)
        self._tasks.pop(where, None)
        self.pop(where, None)

    def _take(self, where: Where, found: Manifest | None) -> None:
        if where in self and _same(self[where], found):
            return
        self[where] = found
        for each in self._readers(where):
            self._queue.add(key_of(each))


def _same(one: Manifest | None, other: Manifest | None) -> bool:
    def content(manifest: Manifest | None) -> Any:
        return manifest and (manifest.get("data"), manifest.get("binaryData"))

    return bool(content(one) == content(other))
