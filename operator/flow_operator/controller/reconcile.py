"""Look, decide, tell, do: one level-triggered reconcile per kind. Every part may be repeated without harm."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..api.conditions import STARTED
from ..api.flow_run import FINISHED
from ..api.labels import API_VERSION, GROUP, KOPF, MANAGER, RUN_UID
from ..kube.errors import Conflict, KubeError, NotFound, Refused
from ..plan import clean_up, deadlines, deployment, diagnosis, kubernetes_job, run
from ..plan.conditions import is_true
from ..plan.types import Plan, Ref
from .observe import observe_deployment, observe_run, sources_are_known
from .ours import is_fallback, is_ours, is_owned
from .store import Key, Manifest, Store, labels_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..api.settings import Settings
    from ..kube.api import Api
    from ..plan.types import Announcement
    from .listening import Listener
    from .queue import Queue

logger = logging.getLogger(__name__)

# Seconds between two writes of a status of which only the count of workers has changed.
COUNT_PERIOD = 5.0


class Reconciler:
    """The hands. Decisions are in plan/."""

    def __init__(
        self,
        api: Api,
        store: Store,
        queue: Queue[Key],
        settings: Settings,
        *,
        sources: Mapping[tuple[str, str], Manifest | None],
        ca_bundle: Callable[[], str | None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        on_reconciled: Callable[[str, float], None] = lambda _kind, _seconds: None,
        on_written: Callable[[Manifest], None] = lambda _manifest: None,
        listener: Listener | None = None,
    ) -> None:
        self._api = api
        self._store = store
        self._queue = queue
        self._settings = settings
        self._sources = sources
        self._ca_bundle = ca_bundle
        self._clock = clock
        self._on_reconciled = on_reconciled
        self._on_written = on_written
        self._listener = listener
        self._counted: dict[Key, datetime] = {}  # when the workers of a run were last written down
        self._confessed: dict[Key, str] = {}  # errors of ours that were told of
        self._refused: dict[Key, str] = {}
        self._refused_runs: dict[Key, str] = {}  # of a deployment's schedule: no trouble of its image

    async def reconcile(self, key: Key) -> None:
        """Bring one object nearer to what it should be."""
        began = time.monotonic()
        found = self._store.get(key)
        if key.kind == "FlowRun":
            await self._sweep(key, found)
        if found is None:
            for known in (self._refused, self._refused_runs, self._counted, self._confessed):
                known.pop(key, None)
            if self._listener:
                self._listener.listen(key, None)
            return
        if key.kind == "FlowRun":
            await self._confirm_absence(found)
        plan = await self._decided(key, found)
        await self._carry_out(key, found, plan)
        self._on_reconciled(key.kind, time.monotonic() - began)

    async def _confirm_absence(self, found: Manifest) -> None:
        """Ask the server before a runner pod is called lost: a lagging watch must not end a run."""
        status, meta = found.get("status") or {}, found["metadata"]
        name = status.get("pod", "")
        asks = is_true(status, STARTED) or "ending" in status
        last_words = self._store.last_words(meta["uid"], str(status.get("attempt")))
        if not asks or status.get("phase") in FINISHED or last_words:
            return
        if self._store.get(Key("Pod", meta["namespace"], name)) is not None:
            return
        try:
            pod = await self._api.get("v1", "Pod", meta["namespace"], name)
        except NotFound:
            return
        self._store.put({"apiVersion": "v1", "kind": "Pod", **pod})

    async def _decided(self, key: Key, found: Manifest) -> Plan:
        try:
            plan = await self._decide(key, found)
        except KubeError:
            raise
        except Exception as error:
            await self._confess(key, found, error)
            raise
        self._confessed.pop(key, None)
        return plan

    async def _confess(self, key: Key, found: Manifest, error: Exception) -> None:
        """Tell once of an error of ours: the status stays what it was, for nobody knows what is true."""
        news = diagnosis.of_ours(key.kind, error)
        if self._confessed.get(key) != news.message:
            self._confessed[key] = news.message
            await self._announce(found, key, news)

    async def _decide(self, key: Key, found: Manifest) -> Plan:
        refused, now = self._refused.get(key), self._clock()
        if key.kind == "FlowRun":
            heard = self._listener.heard(key) if self._listener else None
            known = observe_run(self._store, found, refused, heard)
            if waiting := deadlines.asks_for_a_node(found, known, now):
                known = replace(known, scale_up=await self._scale_up(key.namespace, waiting))
            return run.decide(found, known, self._settings, now)
        seen = observe_deployment(
            self._store, found, self._sources, self._ca_bundle(), refused, self._refused_runs.get(key)
        )
        if found["metadata"].get("deletionTimestamp") or not sources_are_known(found, self._sources):
            return Plan()  # the watch of the source asks again once it has looked
        return deployment.decide(found, seen, self._settings, now)

    async def _scale_up(self, namespace: str, waiting: tuple[str, ...]) -> str | None:
        """Ask when an autoscaler said that it brings a node for one of some pods; None: it did not."""
        for reason in deadlines.BRINGS_A_NODE:
            try:
                async for each in self._api.list("v1", "Event", namespace, fieldSelector=f"reason={reason}"):
                    if each["involvedObject"].get("uid") in waiting:
                        return str(each.get("lastTimestamp") or each["metadata"]["creationTimestamp"])
            except KubeError as error:
                logger.info("cannot read events: %s", error, extra={"namespace": namespace})
        return None

    async def _sweep(self, key: Key, living: Manifest | None) -> None:
        """Free what deleted runs of this name left behind: what our finalizers hold, or a dead controller's."""
        uid = living["metadata"]["uid"] if living else None
        children = self._store.children_by_run_name(key.namespace, key.name)
        left = [each for each in children if labels_of(each).get(RUN_UID) != uid]
        pods = [each for each in left if each["kind"] == "Pod"]
        # A copy of a pod of ours has its finalizer too, and nothing to tell.
        copies = [each for each in children if living and each["kind"] == "Pod" and not is_ours(living, each)]
        clusters = [each for each in left if each["kind"] in ("DaskCluster", "DaskAutoscaler")]
        blocked, wait = clean_up.stuck_finalizers(clusters, self._clock())
        for ref in blocked:
            await self._unblock(ref)
        for ref in clean_up.orphans(pods):
            await self._delete(ref)
        for ref in clean_up.held([*pods, *copies]):
            await self._release(ref)
        if wait is not None:
            self._queue.add(key, wait)

    async def _carry_out(self, key: Key, found: Manifest, plan: Plan) -> None:
        if plan.status is not None and self._may_be_told(key, found, plan.status):
            # Told before it is done: a crash in between finds the record, and does it then.
            body = {**found, "apiVersion": API_VERSION, "kind": key.kind, "status": plan.status}
            found = await self._api.replace_status(body)
            # The watch's echo of this write is no news to the store: who waits for it is told here.
            if self._store.put(found):
                self._on_written(found)
            _log(key, plan.status)
        if plan.hold:
            found = await self._hold(found, plan.hold)
        await self._create(key, found, plan)
        for ref in plan.delete:
            await self._delete(ref)
        for ref in plan.unblock:
            await self._unblock(ref)
        if self._listener and key.kind == "FlowRun":
            self._listener.listen(key, plan.ask, plan.retire)
        for each in plan.announce:
            await self._announce(found, key, each)
        for ref in plan.release:  # last: the object may be gone after that
            await self._release(ref)
        if plan.again_after is not None:
            self._queue.add(key, plan.again_after)

    def _may_be_told(self, key: Key, found: Manifest, status: Manifest) -> bool:
        """Whether to write a status now: where nothing but the count of workers has changed, it may wait a little."""
        old, now = found.get("status") or {}, self._clock()
        if {**old, "workers": None} != {**status, "workers": None}:
            self._counted.pop(key, None)
            return True
        since = self._counted.get(key)
        left = COUNT_PERIOD - (now - since).total_seconds() if since else 0.0
        if left > 0:
            self._queue.add(key, left)
            return False
        self._counted[key] = now
        return True

    async def _create(self, key: Key, owner: Manifest, plan: Plan) -> None:
        for manifest in plan.create:
            refusals = self._refused_runs if manifest["kind"] == "FlowRun" else self._refused
            try:
                made = await self._create_or_adopt(manifest, owner)
            except (Refused, NotFound) as error:
                # Shown in status by the next look; the queue's back-off tries again.
                self._queue.add(key, 0.01 if plan.again_after is None or key not in refusals else plan.again_after)
                refusals[key] = str(error)
                if isinstance(error, NotFound):
                    refusals[key] = f"{manifest['kind']} is not known to the API server: {error}"
                return
            if self._store.put(made) and made["kind"] == "FlowRun":
                self._on_written(made)
        if plan.create:
            self._refused.pop(key, None)
            self._refused_runs.pop(key, None)

    async def _create_or_adopt(self, manifest: Manifest, owner: Manifest) -> Manifest:
        meta = manifest["metadata"]
        try:
            if manifest["kind"] == "Job":  # a user's own spec; and whether its pod is admitted would show in no status
                await self._api.create(kubernetes_job.rehearsal(manifest), dry_run=True, strict=True)
            made = await self._api.create(manifest, strict=manifest["kind"] == "Job")
        except Conflict:
            made = await self._api.get(manifest["apiVersion"], manifest["kind"], meta["namespace"], meta["name"])
            if not is_owned(made, owner["metadata"]["uid"]) and not is_fallback(owner, made):
                raise Refused(f"{manifest['kind']} {meta['name']} exists and belongs to somebody else") from None
        return {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], **made}

    async def _delete(self, ref: Ref) -> None:
        try:
            left = await self._api.delete(ref.api_version, ref.kind, ref.namespace, ref.name, ref.uid, ref.grace)
        except (NotFound, Conflict):
            return  # gone, or another of that name: both are what was wished
        if left.get("kind") != ref.kind:
            return
        if left["metadata"].get("finalizers") or left["metadata"].get("deletionGracePeriodSeconds"):
            self._store.put(left)  # dying: a finalizer or a grace period holds it
        elif self._store.remove(left):  # gone: a pod that was on no node. The watch's word of it is no news any more
            self._on_written(left)

    async def _unblock(self, ref: Ref) -> None:
        whose = f"{ref.kind}/{ref.name}"
        logger.info("taking kopf's finalizer off: the Dask controller has not", extra={"object": whose})
        await self._take_off(ref, KOPF)

    async def _hold(self, found: Manifest, finalizer: str) -> Manifest:
        """Put a finalizer on an object, as it was when it was last read; Conflict where it has changed since."""
        meta = found["metadata"]
        holds = [*meta.get("finalizers", ()), finalizer]
        body = {"metadata": {"finalizers": holds, "resourceVersion": meta["resourceVersion"]}}
        held = await self._api.patch(found["apiVersion"], found["kind"], meta["namespace"], meta["name"], body)
        self._store.put(held)
        return held

    async def _release(self, ref: Ref) -> None:
        await self._take_off(ref, f"{GROUP}/")

    async def _take_off(self, ref: Ref, prefix: str) -> None:
        """Take finalizers off an object, whoever changes it at the same time, and nobody else's."""
        found = self._store.get(Key(ref.kind, ref.namespace, ref.name))
        if found is None or found["metadata"]["uid"] != ref.uid:
            return
        steps = [{"op": "test", "path": "/metadata/uid", "value": ref.uid}]
        for place, each in reversed(list(enumerate(found["metadata"].get("finalizers", ())))):
            if each.startswith(prefix):
                where = f"/metadata/finalizers/{place}"
                steps += [{"op": "test", "path": where, "value": each}, {"op": "remove", "path": where}]
        if len(steps) == 1:
            return
        try:
            freed = await self._api.json_patch(ref.api_version, ref.kind, ref.namespace, ref.name, steps)
        except NotFound:
            return
        self._store.put({"apiVersion": ref.api_version, "kind": ref.kind, **freed})

    async def _announce(self, found: Manifest, key: Key, news: Announcement) -> None:
        try:
            await self._api.create(event(found, key, news, self._clock()))
        except KubeError as error:
            # An Event is a courtesy; the condition has been written.
            logger.info("event not written: %s", error, extra={"key": str(key)})


def event(found: Manifest, key: Key, news: Announcement, now: datetime) -> dict[str, Any]:
    """Return a Kubernetes Event about an object; its reason is a condition's."""
    meta = found["metadata"]
    stamp = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"generateName": f"{key.name[:200]}-", "namespace": key.namespace},
        "eventTime": stamp,
        "type": news.type,
        "reason": news.reason[:128],
        "note": news.message[:1000],
        "action": "Reconcile",
        "reportingController": "flow-operator.io/operator",
        "reportingInstance": MANAGER,
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": key.kind,
            "namespace": key.namespace,
            "name": key.name,
            "uid": meta["uid"],
            "resourceVersion": meta["resourceVersion"],
        },
    }


def _log(key: Key, status: Manifest) -> None:
    ready: dict[str, Any] = next((each for each in status["conditions"] if each["type"] == "Ready"), {})
    logger.info(
        "%s %s/%s: %s",
        key.kind,
        key.namespace,
        key.name,
        ready.get("reason", "?"),
        extra={"phase": status.get("phase"), "reason": ready.get("reason"), "said": ready.get("message")},
    )
