"""A cluster in memory with an operator that may be started anew: the hands, without a network."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flow_operator.api import labels
from flow_operator.controller.queue import Queue
from flow_operator.controller.reconcile import Reconciler
from flow_operator.controller.store import Key, Store, key_of, labels_of
from tests.support import makers as m
from tests.support.recording_kube import Crash, RecordingKube

if TYPE_CHECKING:
    from flow_operator.kube.api import Api

Manifest = dict[str, Any]
RUN = Key("FlowRun", "team-a", "squares-1")


class World:
    """A cluster in memory and an operator that may be started anew."""

    def __init__(self, *objects: Manifest, key: Key = RUN) -> None:
        self.key = key
        self.kube = RecordingKube()
        self.seconds = 0.0
        self.unheard: list[float] = []  # until when nodes go on with pods that were deleted by force
        for each in objects:
            self.kube.put(each)
        self.start()

    def start(self) -> None:
        """Start an operator that knows nothing but what it lists."""
        self.store, self.queue = Store(), Queue[Key](lambda: self.seconds)
        api: Api = self.kube  # type: ignore[assignment]
        self.reconciler = Reconciler(
            api,
            self.store,
            self.queue,
            m.settings(),
            sources={},
            ca_bundle=lambda: None,
            clock=lambda: m.NOW + timedelta(seconds=self.seconds),
        )

    def look(self) -> None:
        """Deliver what the watches would: everything there is, and what is gone."""
        there = {key_of(each): each for each in self.kube.objects.values() if each["kind"] != "Event"}
        kinds = ("FlowRun", "FlowDeployment", "Pod", "Job", "DaskCluster", "DaskAutoscaler", "ConfigMap", "Service")
        for kind in kinds:
            for known in list(self.store.of_kind(kind)):
                if key_of(known) not in there:
                    self.store.remove(known)
        for each in there.values():
            self.store.put(each)

    async def step(self) -> None:
        """Look and reconcile once, as often as a crash makes it necessary."""
        while True:
            self.look()
            try:
                await self.reconciler.reconcile(self.key)
            except Crash:
                self.start()
                continue
            return

    async def settle(self) -> None:
        """Reconcile until nothing more is written."""
        for _ in range(20):
            before = len(self.kube.calls)
            await self.step()
            if len(self.kube.calls) == before:
                return
        raise AssertionError(f"does not settle: {self.kube.calls}")

    @property
    def run(self) -> Manifest:
        return self.kube.objects["FlowRun", "squares-1"]

    def pods(self) -> list[Manifest]:
        """Return all pods but the workers."""
        every = [each for (kind, _), each in self.kube.objects.items() if kind == "Pod"]
        return [each for each in every if labels_of(each).get(labels.COMPONENT) != labels.DASK]

    def kubelet(self, change: Any) -> None:
        """Change the runner pod as a kubelet would."""
        (pod,) = self.pods()
        self.kube.put(change(pod))

    def delete(self, pod: Manifest) -> None:
        """Delete a pod as a user would."""
        work = self.kube.delete("v1", "Pod", pod["metadata"]["namespace"], pod["metadata"]["name"])
        with contextlib.suppress(StopIteration):
            work.send(None)  # nothing in it waits
