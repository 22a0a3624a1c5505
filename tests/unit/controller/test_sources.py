"""What deployments read of their users' ConfigMaps: each is watched by its name, for as long as somebody reads it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from flow_operator.controller.observe import observe_deployment, references, sources_are_known
from flow_operator.controller.queue import Queue
from flow_operator.controller.sources import Sources
from flow_operator.controller.store import Key, Store
from flow_operator.controller.watches import Watches
from tests.support import makers as m

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

    from flow_operator.kube.api import Api

Manifest = dict[str, Any]
FILES = [{"path": f"/srv/{name}", "configMap": {"name": name, "key": "k"}} for name in ("one", "two", "one")]
STORAGE = {"docker": {"files": FILES, "dependencyLock": {"configMap": {"name": "lock", "key": "k"}}}}
FLOW = {"source": {"configMap": {"name": "code", "key": "flow.py"}}}


class Watched:
    """An API server of which only watches by name are asked."""

    def __init__(self) -> None:
        self.events: dict[str, asyncio.Queue[Manifest | None]] = {}

    async def watch(self, _version: str, _kind: str, _namespace: str, name: str) -> AsyncIterator[Manifest | None]:
        """Yield what is put into the queue of a name."""
        queue = self.events.setdefault(name, asyncio.Queue())
        while True:
            yield await queue.get()

    async def tell(self, name: str, manifest: Manifest | None) -> None:
        """Let a watch deliver."""
        await asyncio.sleep(0)
        await self.events[name].put(manifest)
        for _ in range(5):
            await asyncio.sleep(0)


def test_everything_that_is_read_is_known_by_name() -> None:
    reads = m.a_deployment(flow=FLOW, storage=STORAGE)
    assert {name for _, name in references(reads)} == {"code", "one", "two", "lock"}
    assert not references(m.a_deployment())
    elsewhere = m.a_deployment(flow=m.an_elsewhere_built_flow(), storage=STORAGE)
    assert not references(elsewhere), "its storage is a record only"


async def test_a_map_that_changes_wakes_its_readers_and_one_that_nobody_reads_is_left() -> None:
    api, store, queue = Watched(), Store(), Queue[Key](lambda: 0.0)
    real: Api = api  # type: ignore[assignment]
    sources = Sources(real, store, queue)
    deployment = m.a_deployment(flow=FLOW, storage=STORAGE)
    store.put(deployment)
    for where in references(deployment):
        sources.want(where)
        sources.want(where)
    await asyncio.sleep(0)
    assert sorted(api.events) == ["code", "lock", "one", "two"], "one watch each"

    assert not sources_are_known(deployment, sources), "not looked is not absent"
    for name in api.events:
        await api.tell(name, None)
    assert sources_are_known(deployment, sources)
    assert observe_deployment(store, deployment, sources, None, None).referenced["one"] is None

    await api.tell("one", m.a_config_map("one", k="1"))
    assert queue.depth == 1
    assert observe_deployment(store, deployment, sources, None, None).referenced["one"] is not None

    store.remove(deployment)
    await api.tell("one", m.a_config_map("one", k="2"))
    assert ("team-a", "one") not in sources
    await sources.close()


def test_a_run_that_cannot_pull_wakes_its_deployment() -> None:
    store, queue = Store(), Queue[Key](lambda: 0.0)
    deployment = m.a_ready_deployment()
    run = m.with_status(
        m.a_run(), {"phase": "SettingUp", "image": m.IMAGE, "diagnosis": {"reason": "ImagePullFailed", "message": "x"}}
    )
    for each in (deployment, run):
        store.put(each)
    Watches(store, queue, m.settings()).tell(run)
    assert queue.depth == 2
    assert observe_deployment(store, deployment, {}, None, None).unpullable == run["status"]["diagnosis"]
    other = m.with_status(deployment, {**deployment["status"], "image": "another"})
    assert observe_deployment(store, other, {}, None, None).unpullable is None


async def test_a_watch_that_fails_in_an_unknown_way_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flow_operator.controller.sources.RECONNECT", 0.0)
    tries: list[str] = []

    class Broken(Watched):
        async def watch(self, *where: str) -> AsyncIterator[Manifest | None]:
            tries.append(where[-1])
            if len(tries) == 1:
                raise ValueError("half a line")
            async for each in super().watch(*where):
                yield each

    api, store = Broken(), Store()
    real: Api = api  # type: ignore[assignment]
    sources = Sources(real, store, Queue[Key](lambda: 0.0))
    deployment = m.a_deployment(flow=FLOW)
    store.put(deployment)
    sources.want(("team-a", "code"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert tries == ["code", "code"]
    await sources.close()
