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


async def lead(api: Api, settings: LeaderSettings, identity: str, work: Callable[[], Awaitable[None]]) -> None:
    """Wait for the Lease, then work while it is ours; the Lease is given back on cancellation.

    Raises:
        LeadershipLost: the Lease could not be renewed in time.
    """
    lock = _PatientLock(settings.lease_name, settings.namespace, identity, api.raw)
    led = asyncio.Event()

    async def started() -> None:
        led.set()
        logger.info("leading", extra={"lease": settings.lease_name, "identity": identity})
        await work()

    async def stopped() -> None:
        raise LeadershipLost(f"lease {settings.lease_name} was not renewed in {settings.renew_deadline_seconds} s")

    election = LeaderElection(
        Config(
            lock,
            lease_duration=settings.lease_duration_seconds,
            renew_deadline=settings.renew_deadline_seconds,
            retry_period=settings.retry_period_seconds,
            onstarted_leading=started,
            onstopped_leading=stopped,
        )
    )
    try:
        await election.run()
    finally:
        if led.is_set():
            await asyncio.shield(_release(lock))


async def _release(lock: _PatientLock) -> None:
    """Give the Lease back, so that the next replica need not wait for it to run out."""
    with suppress(Exception):
        held, _ = await lock.get(lock.name, lock.namespace)
        lease = lock.lease_reference
        if held and lease is not None and lease.spec.holder_identity == lock.identity:
            lease.spec.lease_duration_seconds = 1
            lease.spec.holder_identity = ""
            await lock.api_instance.replace_namespaced_lease(lock.name, lock.namespace, lease)
