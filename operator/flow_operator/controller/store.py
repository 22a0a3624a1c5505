"""What the watches delivered: the newest version of every object of ours, findable by whose child it is."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from ..api import labels
from ..api.flow_run import FINISHED
from ..plan import turns

if TYPE_CHECKING:
    from collections.abc import Iterator

Manifest = dict[str, Any]

# Objects that are remembered to be gone: the answer to a write of ours may be read after the watch's word of their end.
MOST_GONE = 4096


class Key(NamedTuple):
    """An object by name."""

    kind: str
    namespace: str
    name: str


def key_of(manifest: Manifest) -> Key:
    """Return an object's key."""
    meta = manifest["metadata"]
    return Key(manifest["kind"], meta["namespace"], meta["name"])


def _version(manifest: Manifest) -> int:
    # Versions of one kind are comparable since Kubernetes 1.35 says so.
    return int(manifest["metadata"].get("resourceVersion", 0))


class Store:
    """The cache. Watches and answers of our own writes both end up here; the newer one stays."""

    def __init__(self) -> None:
        self._objects: dict[Key, Manifest] = {}
        self._children: dict[str, set[Key]] = defaultdict(set)  # by UID of the owner
        self._runs_children: dict[tuple[str, str], set[Key]] = defaultdict(set)  # by namespace and run name
        self._builds: set[Key] = set()  # deployments that build, or wait for their turn
        self._gone: dict[tuple[str, str], Manifest] = {}  # last words of deleted runner pods, by UID and attempt
        self._removed: dict[str, int] = {}  # versions of what is gone, by UID, the latest last

    def put(self, manifest: Manifest) -> bool:
        """Keep an object; return whether it is news."""
        key = key_of(manifest)
        old = self._objects.get(key)
        if _version(manifest) <= self._removed.get(manifest["metadata"]["uid"], -1):
            return False
        if old is not None and old["metadata"]["uid"] == manifest["metadata"]["uid"]:
            if _version(old) >= _version(manifest):
                return False
        elif old is not None and _version(old) > _version(manifest):
            return False  # a late word about a namesake that is gone
        if old is not None:
            self._unindex(key, old)
        self._objects[key] = manifest
        self._index(key, manifest)
        if key.kind == "FlowRun":
            self._forget_last_words(manifest)
        return True

    def remove(self, manifest: Manifest) -> bool:
        """Forget an object; a namesake made since then stays."""
        key = key_of(manifest)
        self._removed[manifest["metadata"]["uid"]] = _version(manifest)
        if len(self._removed) > MOST_GONE:
            del self._removed[next(iter(self._removed))]
        old = self._objects.get(key)
        if old is None or old["metadata"]["uid"] != manifest["metadata"]["uid"]:
            return False
        del self._objects[key]
        self._unindex(key, old)
        owned = labels_of(manifest)
        if owned.get(labels.COMPONENT) == labels.RUNNER and self._waits_for(key.namespace, owned):
            self._gone[owned[labels.RUN_UID], owned.get(labels.ATTEMPT, "")] = manifest
        if key.kind == "FlowRun":
            self._forget_last_words(manifest, all_of_them=True)
        return True

    def _forget_last_words(self, run: Manifest, *, all_of_them: bool = False) -> None:
        """The verdict of a finished run is written, and so is that of every attempt before the current one."""
        uid, status = run["metadata"]["uid"], run.get("status") or {}
        over = all_of_them or status.get("phase") in FINISHED
        for each in [each for each in self._gone if each[0] == uid]:
            if over or int(each[1] or 0) < status.get("attempt", 0):
                del self._gone[each]

    def _waits_for(self, namespace: str, owned: dict[str, str]) -> bool:
        """Return whether the run of a pod is there and has no verdict yet; a deleted run may go before its pods."""
        run = self._objects.get(Key("FlowRun", namespace, owned.get(labels.RUN_NAME, "")))
        if run is None or run["metadata"]["uid"] != owned.get(labels.RUN_UID):
            return False
        return (run.get("status") or {}).get("phase") not in FINISHED

    def get(self, key: Key) -> Manifest | None:
        """Return an object, or None."""
        return self._objects.get(key)

    def last_words(self, run_uid: str, attempt: str) -> Manifest | None:
        """Return the runner pod of a run's attempt as it was when it was deleted, or None."""
        return self._gone.get((run_uid, attempt))

    def children(self, uid: str, namespace: str, kind: str) -> list[Manifest]:
        """Return what carries the label of an object's child, of one kind, by name; a copy elsewhere is none."""
        keys = sorted(self._children.get(uid, ()))
        return [self._objects[key] for key in keys if key.kind == kind and key.namespace == namespace]

    def children_by_run_name(self, namespace: str, name: str) -> list[Manifest]:
        """Return all children of all runs that have or had a name."""
        return [self._objects[key] for key in sorted(self._runs_children.get((namespace, name), ()))]

    def builds(self) -> list[Manifest]:
        """Return the deployments that build, or wait for their turn."""
        return [self._objects[key] for key in sorted(self._builds)]

    def of_kind(self, kind: str) -> Iterator[Manifest]:
        """Yield all objects of a kind."""
        return (each for key, each in list(self._objects.items()) if key.kind == kind)

    def _index(self, key: Key, manifest: Manifest) -> None:
        for uid in _owners(manifest):
            self._children[uid].add(key)
        if run := labels_of(manifest).get(labels.RUN_NAME):
            self._runs_children[key.namespace, run].add(key)
        if key.kind == "FlowDeployment" and turns.is_of_interest(manifest):
            self._builds.add(key)

    def _unindex(self, key: Key, manifest: Manifest) -> None:
        self._builds.discard(key)
        for uid in _owners(manifest):
            self._children[uid].discard(key)
            if not self._children[uid]:
                del self._children[uid]
        if run := labels_of(manifest).get(labels.RUN_NAME):
            self._runs_children[key.namespace, run].discard(key)
            if not self._runs_children[key.namespace, run]:
                del self._runs_children[key.namespace, run]


def labels_of(manifest: Manifest) -> dict[str, str]:
    """Return an object's labels."""
    return manifest["metadata"].get("labels") or {}


def _owners(manifest: Manifest) -> list[str]:
    owned = labels_of(manifest)
    return [owned[each] for each in (labels.RUN_UID, labels.DEPLOYMENT_UID) if each in owned]


def owner_key(manifest: Manifest) -> Key | None:
    """Return the key of the FlowRun or FlowDeployment whose child this is, or None."""
    owned, namespace = labels_of(manifest), manifest["metadata"]["namespace"]
    if run := owned.get(labels.RUN_NAME):
        return Key("FlowRun", namespace, run)
    if deployment := owned.get(labels.DEPLOYMENT_NAME):
        return Key("FlowDeployment", namespace, deployment)
    return None
