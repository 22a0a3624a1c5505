"""Leader election by a coordination.k8s.io Lease: the client's helper, made safe against what it does not catch."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.resourcelock.leaselock import LeaseLock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..api.settings import LeaderElection as LeaderSettings
    from .api import Api

logger = logging.getLogger(__name__)


class LeadershipLost(Exception):
    """Another replica may lead now: this one must stop at once."""


class _PatientLock(LeaseLock):  # type: ignore[misc]  # the package has no types
    """A LeaseLock for which any error means "not renewed": the helper itself only expects API errors."""

    async def get(self, name: str, namespace: str) -> tuple[bool, Any]:
        try:
            found: tuple[bool, Any] = await super().get(name, namespace)
        except Exception as error:  # noqa: BLE001 - a dropped connection must not end the election
            return False, ApiException(status=0, reason=str(error))
        return found

    async def create(self, name: str, namespace: str, election_record: Any) -> bool:
        # Not the helper's own: kubernetes 37.0.2 passes pretty=True there, which its own model refuses.
        body = client.V1Lease(metadata=client.V1ObjectMeta(name=name), spec=self.update_lease(election_record))
        try:
            await self.api_instance.create_namespaced_lease(namespace, body)
        except Exception as error:  # noqa: BLE001 - not created: the next period tries again
            logger.info("lease not created: %s", error)
            return False
        return True

    async def update(self, name: str, namespace: str, updated_record: Any) -> bool:
        try:
            return bool(await super().update(name, namespace, updated_record))
        except Exception as error:  # noqa: BLE001 - not renewed: the deadline decides
            logger.info("lease not renewed: %s", error)
            return False


def lock(api: Api, settings: LeaderSettings, identity: str) -> LeaseLock:
    """Return the lock that a Lease is."""
    return _PatientLock(settings.lease_name, settings.namespace, identity, api.raw)


async def lead(lock: Any, settings: LeaderSettings, work: Callable[[], Awaitable[None]]) -> None:
    """Wait for the Lease, then work while it is ours; in the end work stops first, then the Lease is given back.

    Raises:
        LeadershipLost: the Lease could not be renewed in time.
        Exception: whatever `work` raised; the helper by itself would go on renewing without anybody at work.
    """
    working: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    worker: asyncio.Task[None] | None = None

    async def started() -> None:
        nonlocal worker
        logger.info("leading", extra={"lease": settings.lease_name, "identity": lock.identity})
        worker = asyncio.ensure_future(work())
        worker.add_done_callback(lambda done: _pass_on(done, working))

    async def stopped() -> None:
        raise LeadershipLost(f"lease {settings.lease_name} was not renewed in {settings.renew_deadline_seconds} s")

    election = asyncio.create_task(
        LeaderElection(
            Config(
                lock,
                lease_duration=settings.lease_duration_seconds,
                renew_deadline=settings.renew_deadline_seconds,
                retry_period=settings.retry_period_seconds,
                onstarted_leading=started,
                onstopped_leading=stopped,
            )
        ).run()
    )
    try:
        await asyncio.wait({election, working}, return_when=asyncio.FIRST_COMPLETED)
        (working if working.done() else election).result()
    finally:
        await asyncio.shield(_step_down(lock, election, worker))


def _pass_on(done: asyncio.Future[None], to: asyncio.Future[None]) -> None:
    if done.cancelled() or to.done():
        return
    if error := done.exception():
        to.set_exception(error)
    else:
        to.set_result(None)


async def _step_down(lock: Any, election: asyncio.Task[None], worker: asyncio.Task[None] | None) -> None:
    tasks = [each for each in (worker, election) if each is not None]
    for each in tasks:
        each.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if worker is not None:
        await _release(lock)


async def _release(lock: Any) -> None:
    """Give the Lease back, so that the next replica need not wait for it to run out."""
    with suppress(Exception):
        held, _ = await lock.get(lock.name, lock.namespace)
        lease = lock.lease_reference
        if held and lease is not None and lease.spec.holder_identity == lock.identity:
            lease.spec.lease_duration_seconds = 1
            lease.spec.holder_identity = ""
            await lock.api_instance.replace_namespaced_lease(lock.name, lock.namespace, lease)
