"""Follow a run until it ends: its status, and the logs of its pods, those that come later too."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...api import labels
from ...api.flow_run import FINISHED
from ...kube.errors import Expired, Forbidden, KubeError, Unavailable
from .trouble import TIMEOUT, Trouble

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ...kube.api import Api

Manifest = dict[str, Any]

RETRIES = 5  # in a row: an API server that restarts is not the end of the run
PAUSE = 1.0
DRAIN = 5.0  # seconds for the last lines of a log after the run's end


async def follow(
    api: Api,
    run: Manifest,
    *,
    on_change: Callable[[Manifest], None] = lambda _: None,
    limit: float | None = None,
    until: Callable[[Manifest], bool] = lambda run: (run.get("status") or {}).get("phase") in FINISHED,
    what: str = "ended",
) -> Manifest:
    """Wait until a run has ended, or is otherwise as wished, and return it.

    Raises:
        Trouble: it was deleted, or is not so within the limit.
    """
    meta = run["metadata"]
    namespace, name = meta["namespace"], meta["name"]
    try:
        async with asyncio.timeout(limit):
            async for run in _versions(api, namespace, name, meta["uid"]):
                on_change(run)
                if until(run):
                    return run
    except TimeoutError:
        said = f"FlowRun {name} has not {what} within {limit:g} s; it goes on."
        raise Trouble(said, f"Cancel it: kubectl flow cancel {name} -n {namespace}", TIMEOUT) from None
    raise Trouble(f"FlowRun {name} was deleted.")


async def _versions(api: Api, namespace: str, name: str, uid: str) -> AsyncIterator[Manifest]:
    """Yield a run whenever it changes, whatever becomes of the connection; ends where it is gone.

    Another run that was given its name is not it.
    """
    failures = 0
    while True:
        try:
            async for run in api.watch(labels.API_VERSION, "FlowRun", namespace, name):
                failures = 0
                if run is None or run["metadata"]["uid"] != uid:
                    return
                yield run
        except (Unavailable, Expired):
            failures += 1
            if failures > RETRIES:
                raise
            await asyncio.sleep(PAUSE)


@dataclass
class _Place:
    """How far a log was shown: the time of its last line, as the kubelet writes it, and how many lines have it."""

    moment: str = ""
    lines: int = 0


@dataclass
class Logs:
    """The logs of all pods that a selector fits.

    Attributes:
        sink: takes a container's short name and a line.
    """

    api: Api
    namespace: str
    selector: str
    sink: Callable[[str, str], None]
    _streams: dict[tuple[str, str, int], asyncio.Task[None]] = field(default_factory=dict)
    _complained: bool = False

    async def show(self) -> int:
        """Show what is there; the number of containers that had something to show."""
        pods = [each async for each in self.api.list("v1", "Pod", self.namespace, labelSelector=self.selector)]
        for pod in sorted(pods, key=lambda each: str(each["metadata"].get("creationTimestamp"))):
            for key in _begun(pod):
                if key not in self._streams:
                    self._streams[key] = asyncio.create_task(self._copy(pod, *key[1:], follow=False))
                    await self._streams[key]
        return len(self._streams)

    async def follow_until(self, ended: asyncio.Event) -> None:
        """Show what comes until the run has ended, and the last lines after it.

        Logs that cannot be had are said once, and are no reason not to follow the run.
        """
        watching = asyncio.create_task(self._watch())
        await ended.wait()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        try:
            await self.show()  # what began and ended between two looks
        except KubeError as error:
            self._complain(error)
        if self._streams:
            _, late = await asyncio.wait(self._streams.values(), timeout=DRAIN)
            for each in late:
                each.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            try:
                async for kind, pod in self.api.changes("v1", "Pod", self.namespace, labelSelector=self.selector):
                    if kind != "DELETED":
                        self._begin(pod)
            except (Unavailable, Expired):
                await asyncio.sleep(PAUSE)
            except KubeError as error:
                self._complain(error)
                return

    def _begin(self, pod: Manifest) -> None:
        for key in _begun(pod):
            if key not in self._streams:
                self._streams[key] = asyncio.create_task(self._copy(pod, *key[1:], follow=True))

    async def _copy(self, pod: Manifest, container: str, restarts: int, *, follow: bool) -> None:
        """Show a container's log, each line once, however often the stream ends or breaks off."""
        place, failures = _Place(), 0
        while True:
            try:
                async for line in self._read(pod, container, place, follow=follow):
                    failures = 0
                    self.sink(short_name(pod, container), line)
                if not follow:
                    return
                # A stream may end because the container has, or because a server or a kubelet has had enough of it.
                follow = await self._still_runs(pod, container, restarts)
            except Forbidden as error:  # no other log will come either
                if not follow:
                    raise
                self._complain(error)
                return
            except Unavailable as error:
                failures += 1
                if not follow or failures > RETRIES:
                    self._complain(error)
                    return
            except KubeError:  # the pod is gone, and its log with it
                return
            if follow:
                await asyncio.sleep(PAUSE)

    async def _read(self, pod: Manifest, container: str, place: _Place, *, follow: bool) -> AsyncIterator[str]:
        name = pod["metadata"]["name"]
        skip = place.lines  # lines of that very moment were shown before
        async for line in self.api.logs(self.namespace, name, container, follow=follow, since=place.moment):
            moment, _, text = line.partition(" ")
            if not re.match(r"\d{4}-\d\d-\d\dT", moment):
                yield line  # a word of the kubelet's own
            elif moment > place.moment:
                place.moment, place.lines = moment, 1
                yield text
            elif moment == place.moment:
                skip -= 1
                if skip < 0:
                    place.lines += 1
                    yield text

    async def _still_runs(self, pod: Manifest, container: str, restarts: int) -> bool:
        found = await self.api.get("v1", "Pod", self.namespace, pod["metadata"]["name"])
        if found["metadata"]["uid"] != pod["metadata"]["uid"]:
            return False
        return any(
            each["name"] == container and each.get("restartCount", 0) == restarts and "running" in each.get("state", {})
            for each in found.get("status", {}).get("containerStatuses") or ()
        )

    def _complain(self, error: KubeError) -> None:
        if not self._complained:
            self._complained = True
            self.sink("logs", f"cannot be shown: {error}")


def of_run(run: Manifest, component: str = "all") -> str:
    """Return the selector of a run's pods: all of them, or those of the runner or of dask."""
    selector = f"{labels.RUN_UID}={run['metadata']['uid']}"
    return selector if component == "all" else f"{selector},{labels.COMPONENT}={component}"


def _begun(pod: Manifest) -> list[tuple[str, str, int]]:
    """Return pod, container and restart of every container that has a log."""
    return [
        (pod["metadata"]["uid"], each["name"], each.get("restartCount", 0))
        for each in (pod.get("status") or {}).get("containerStatuses") or ()
        if {"running", "terminated"} & set(each.get("state") or {})
    ]


def short_name(pod: Manifest, container: str) -> str:
    """Return what a container is to the run: flow, callbacks, scheduler, worker-…, build, check."""
    role = {"main": "flow", "flow-hooks": "callbacks", "builder": "build"}.get(container, container)
    return f"worker-{pod['metadata']['name'][-5:]}" if role == "worker" else role
