"""Watches: kopf delivers, the store keeps, the queue is told. Nothing is decided here."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

import kopf

from ..api.flow_run import FINISHED
from ..api.labels import API_VERSION, DEPLOYMENT_UID, GROUP, SELECTOR
from ..kube.errors import KubeError, NotFound
from ..plan.schedule import wants_room
from .observe import references, runs_of
from .store import Key, Manifest, Store, key_of, labels_of, owner_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..api.settings import Settings
    from ..kube.api import Api
    from .queue import Queue

logger = logging.getLogger(__name__)

# Kind, API version, kopf's name of the resource, whether only our labelled objects are asked for.
WATCHED = (
    ("FlowDeployment", API_VERSION, f"flowdeployments.{GROUP}", False),
    ("FlowRun", API_VERSION, f"flowruns.{GROUP}", False),
    ("Pod", "v1", "pods", True),
    ("ConfigMap", "v1", "configmaps", True),
    ("Service", "v1", "services", True),
    ("Deployment", "apps/v1", "deployments.apps", True),
    ("Job", "batch/v1", "jobs.batch", True),
    ("DaskCluster", "kubernetes.dask.org/v1", "daskclusters.kubernetes.dask.org", True),
    ("DaskAutoscaler", "kubernetes.dask.org/v1", "daskautoscalers.kubernetes.dask.org", True),
)
SWEEP_PERIOD = 120.0


def configure(settings: kopf.OperatorSettings) -> None:
    """Make kopf a transport: no writes of its own, server-side selectors, pages."""
    settings.persistence.finalizer = f"{GROUP}/kopf"
    settings.posting.enabled = False
    settings.watching.chunk_size = 500
    settings.watching.server_timeout = 300
    settings.watching.connect_timeout = 10
    settings.process.ultimate_exiting_timeout = 20
    for _, _, resource, ours in WATCHED:
        if ours:
            settings.watching.label_selectors[resource] = SELECTOR


class Watches:
    """Feeds the store from kopf's events, and finds out what kopf does not report: objects that vanished meanwhile."""

    def __init__(
        self, store: Store, queue: Queue[Key], settings: Settings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._queue, self._settings, self._clock = store, queue, settings, clock
        self._behind_since: dict[str, float] = {}
        self.source_wanted: Callable[[tuple[str, str]], None] = lambda _where: None

    def registry(self) -> kopf.OperatorRegistry:
        """Return kopf's registry with one raw handler per kind."""
        registry = kopf.OperatorRegistry()

        @kopf.on.startup(registry=registry)
        def _settings(settings: kopf.OperatorSettings, **_: Any) -> None:
            configure(settings)

        @kopf.on.login(registry=registry)
        def _login(**kwargs: Any) -> kopf.ConnectionInfo | None:
            # Asked again whenever the API server answers 401: service account tokens rotate.
            return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

        for kind, api_version, resource, _ours in WATCHED:
            self._register(registry, kind, api_version, resource)
        return registry

    def _register(self, registry: kopf.OperatorRegistry, kind: str, api_version: str, resource: str) -> None:
        async def handler(event: kopf.RawEvent, **_: Any) -> None:
            # kopf hands out its own dict; items of a list lack their kind.
            self.deliver(event["type"], {"apiVersion": api_version, "kind": kind, **event["object"]})

        kopf.on.event(resource, registry=registry, id=f"watch-{kind}")(handler)

    def deliver(self, change: str | None, manifest: Manifest) -> None:
        """Take in one event."""
        self._behind_since.pop(manifest["kind"], None)
        news = self._store.remove(manifest) if change == "DELETED" else self._store.put(manifest)
        if news:
            self.tell(manifest)

    def tell(self, manifest: Manifest) -> None:
        """Ask for whoever is concerned by a change to be reconciled."""
        key = key_of(manifest)
        if key.kind == "FlowRun":
            self._queue.add(key)
            if ((manifest.get("status") or {}).get("diagnosis") or {}).get("reason") == "ImagePullFailed":
                self._queue.add(Key("FlowDeployment", key.namespace, manifest["spec"]["deployment"]))
            if (deployment := owner_key(manifest)) and deployment.kind == "FlowDeployment":
                self._queue.add(deployment)  # whose schedule started it
                self._tell_siblings(manifest)
        elif key.kind == "FlowDeployment":
            self._queue.add(key)
            for where in references(manifest):
                self.source_wanted(where)
            self._tell_waiting_runs(key)
        elif owner := owner_key(manifest):
            self._queue.add(owner)

    def _tell_siblings(self, run: Manifest) -> None:
        """A run that replaces earlier ones waits for their end, and they must hear of it."""
        uid, namespace = labels_of(run).get(DEPLOYMENT_UID, ""), run["metadata"]["namespace"]
        for each in runs_of(self._store, uid, namespace):
            unfinished = (each.get("status") or {}).get("phase") not in FINISHED
            if unfinished and (wants_room(each) or wants_room(run)):
                self._queue.add(key_of(each))

    def _tell_waiting_runs(self, deployment: Key) -> None:
        for run in self._store.of_kind("FlowRun"):
            meta = run["metadata"]
            waits = not (run.get("status") or {}).get("attempt")
            if waits and meta["namespace"] == deployment.namespace and run["spec"]["deployment"] == deployment.name:
                self._queue.add(key_of(run))

    def tell_all(self) -> None:
        """Ask for everything to be reconciled: this replica leads now."""
        for kind in ("FlowDeployment", "FlowRun"):
            for each in self._store.of_kind(kind):
                self._queue.add(key_of(each))
        for kind in ("DaskCluster", "DaskAutoscaler", "Pod"):  # whose run may be gone
            for each in self._store.of_kind(kind):
                if owner := owner_key(each):
                    self._queue.add(owner)

    def lags(self) -> dict[str, float]:
        """Return for each kind how many seconds its watch has been missing news."""
        now = self._clock()
        return {kind: now - since for kind, since in self._behind_since.items()}

    async def warm_up(self, api: Api) -> None:
        """Fill the store with all there is, however long the API server takes to answer."""
        for kind, api_version, _, ours in WATCHED:
            while True:
                try:
                    await self.sweep(api, kind, api_version, SELECTOR if ours else "")
                except NotFound:
                    logger.warning("%s is not installed in this cluster", kind)
                except KubeError as error:
                    logger.warning("cannot list yet", extra={"of": kind, "error": str(error)})
                    await asyncio.sleep(1)
                    continue
                break
        self._behind_since.clear()

    async def sweep_for_ever(self, api: Api) -> None:
        """Compare store and server now and then: what vanished unseen is removed, a watch that lags is noticed."""
        while True:
            await asyncio.sleep(SWEEP_PERIOD if not self._behind_since else 10.0)
            for kind, api_version, _, ours in WATCHED:
                try:
                    await self.sweep(api, kind, api_version, SELECTOR if ours else "")
                except NotFound:
                    continue  # the kind is not installed
                except KubeError as error:
                    logger.info("sweep failed", extra={"of": kind, "error": str(error)})

    async def sweep(self, api: Api, kind: str, api_version: str, selector: str) -> None:
        """Compare one kind.

        What the watch has not delivered yet may be on its way: only its next event takes the suspicion off, so a
        watch that is dead stays suspected and one that is merely slower than the list does not.
        """
        before = {key_of(each): each for each in self._store.of_kind(kind)}
        selectors = {"labelSelector": selector} if selector else {}
        listed: dict[Key, Manifest] = {}
        for namespace in self._settings.watch_namespaces or (None,):
            async for each in api.list(api_version, kind, namespace, **selectors):
                listed[key_of(each)] = each
        for key, each in before.items():
            if key not in listed and self._store.remove(each):
                self.tell(each)
        behind = [each for each in listed.values() if self._store.put(each)]
        if behind:
            self._behind_since.setdefault(kind, self._clock())
            for each in behind:
                self.tell(each)
