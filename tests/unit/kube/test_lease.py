"""The Lease: work while it is ours, and not a moment longer."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace
from typing import Any

import pytest

from flow_operator.api.settings import LeaderElection
from flow_operator.kube.lease import LeadershipLost, lead

SETTINGS = LeaderElection(lease_duration_seconds=15, renew_deadline_seconds=2, retry_period_seconds=1)


class Lock:
    """A Lease in memory, as the helper sees it."""

    name, namespace, identity = "flow-operator", "system", "me"

    def __init__(self) -> None:
        self.record: Any = None
        self.renews = True
        self.log: list[str] = []
        self.working = asyncio.Event()
        self.lease_reference = SimpleNamespace(spec=SimpleNamespace(holder_identity=self.identity))
        self.api_instance = SimpleNamespace(replace_namespaced_lease=self._released)

    async def _released(self, *_: Any) -> None:
        self.log.append("released")

    async def get(self, *_: Any) -> tuple[bool, Any]:
        return True, self.record

    async def update(self, _name: str, _namespace: str, record: Any) -> bool:
        self.record = record
        return self.renews


async def until_cancelled(lock: Lock) -> None:
    lock.log.append("works")
    lock.working.set()
    try:
        await asyncio.Event().wait()
    finally:
        lock.log.append("stopped")


async def test_on_the_way_out_work_stops_before_the_lease_is_given_back() -> None:
    lock = Lock()
    leader = asyncio.create_task(lead(lock, SETTINGS, lambda: until_cancelled(lock)))
    await lock.working.wait()
    leader.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await leader
    assert lock.log == ["works", "stopped", "released"]


async def test_an_error_of_the_work_ends_the_leadership() -> None:
    lock = Lock()

    async def work() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await asyncio.wait_for(lead(lock, SETTINGS, work), 1)
    assert lock.log == ["released"]


async def test_a_lease_that_is_not_renewed_ends_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = Lock()
    real, now = asyncio.sleep, [0.0]

    async def jump(seconds: float) -> None:
        now[0] += seconds
        await real(0)

    async def work() -> None:
        lock.renews = False
        await until_cancelled(lock)

    monkeypatch.setattr("kubernetes.aio.leaderelection.leaderelection.asyncio.sleep", jump)
    monkeypatch.setattr("kubernetes.aio.leaderelection.leaderelection.time.time", lambda: now[0])
    with pytest.raises(LeadershipLost):
        await lead(lock, SETTINGS, work)
    assert lock.log[:2] == ["works", "stopped"]
