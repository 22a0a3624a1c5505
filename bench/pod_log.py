"""When each pod of the benchmark's namespace did what: where the time goes, and when a trial has left nothing."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

from bench.kube import Failed, collection_of
from flow_operator.api import labels

if TYPE_CHECKING:
    from bench.kube import Kube, Manifest

MAIN = "main"
CLUSTER_ROLES = ("scheduler", "worker")
BUILD_ROLES = (labels.BUILDER, labels.CHECK)


@dataclass
class Life:
    """One pod, and the first time the watch showed each step of its life."""

    role: str
    owner: str  # kind of its owner, "" without
    run: str = ""  # the FlowRun it belongs to
    gone: bool = False
    moments: dict[str, float] = field(default_factory=dict)


class PodLog:
    """A watch in a thread of its own; times are of the monotonic clock."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube = kube
        self._collection = collection_of("v1", "Pod", namespace)
        self._lives: dict[str, Life] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._follow, daemon=True).start()

    def since(self, began: float) -> list[Life]:
        """Return the pods that came after a moment."""
        with self._lock:
            return [life for life in self._lives.values() if life.moments["created"] >= began]

    def wait_gone(self, *roles: str, within: float = 60) -> None:
        """Wait until no pod is left, or none of some roles."""
        end = time.monotonic() + within
        while left := self._left(roles):
            if time.monotonic() > end:
                raise Failed(f"still there after {within:.0f} s: {', '.join(left)}")
            time.sleep(0.02)

    def _left(self, roles: tuple[str, ...]) -> list[str]:
        with self._lock:
            return [life.role for life in self._lives.values() if not life.gone and (not roles or life.role in roles)]

    def _follow(self) -> None:
        while True:
            try:
                with self._kube.watch(self._collection) as events:
                    for kind, pod in events:
                        self._note(kind, pod, time.monotonic())
            except httpx.HTTPError:
                time.sleep(0.1)

    def _note(self, kind: str, pod: Manifest, now: float) -> None:
        with self._lock:
            life = self._lives.setdefault(pod["metadata"]["uid"], Life(_role(pod), _owner(pod), _run(pod)))
            for step in _steps(pod):
                life.moments.setdefault(step, now)
            if kind == "DELETED":
                life.gone = True


def timeline(lives: list[Life], began: float, length: float) -> dict[str, float]:
    """Return seconds from a trial's start to each step of its pods, the first pod of each role."""
    found: dict[str, float] = {}
    for life in lives:
        for step, moment in life.moments.items():
            if moment - began <= length:
                found.setdefault(f"{life.role} {step}", moment - began)
    return found


def _role(pod: Manifest) -> str:
    marks = pod["metadata"].get("labels", {})
    if (role := marks.get("dask.org/component")) in CLUSTER_ROLES:
        return str(role)
    role = marks.get(labels.COMPONENT)
    return str(role) if role in BUILD_ROLES else "pod"


def _owner(pod: Manifest) -> str:
    return next((str(each["kind"]) for each in pod["metadata"].get("ownerReferences", ())), "")


def _run(pod: Manifest) -> str:
    return str(pod["metadata"].get("labels", {}).get(labels.RUN_NAME, ""))


def _steps(pod: Manifest) -> list[str]:
    """Return the steps of its life that a pod has behind it."""
    status = pod.get("status", {})
    states: dict[str, Manifest] = {each["name"]: each.get("state", {}) for each in status.get("containerStatuses", ())}
    state = states.get(MAIN) or next(iter(states.values()), {})
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", ()))
    return [
        "created",
        *(["scheduled"] if pod["spec"].get("nodeName") else []),
        *(["running"] if "running" in state or "terminated" in state else []),
        *(["ready"] if ready else []),
        *(["ended"] if "terminated" in state else []),
    ]
