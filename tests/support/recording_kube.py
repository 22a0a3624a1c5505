"""An API server in memory, as far as the operator's hands need one: it records calls, and may die at any of them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from flow_operator.kube.errors import Conflict, NotFound, Refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

Manifest = dict[str, Any]
WRITES = ("create", "replace_status", "delete", "patch", "json_patch")


class Crash(BaseException):
    """The operator is killed: nothing catches this."""


class RecordingKube:
    """Objects by kind and name; `crash_after` kills the caller after that write has been done."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Manifest] = {}
        self.calls: list[str] = []
        self.crash_after: int | None = None
        self.refuse: dict[str, str] = {}
        self.grace_ends = "2026-11-23T12:00:30Z"  # of running pods that are deleted
        self._version = 100

    @property
    def writes(self) -> list[str]:
        """Return the calls that changed something."""
        return [each for each in self.calls if each.split()[0] in WRITES]

    def put(self, manifest: Manifest) -> Manifest:
        """Store an object as a user or a kubelet would."""
        self._version += 1
        kept = copy.deepcopy(manifest)
        meta = kept["metadata"]
        meta.setdefault("uid", f"uid-{self._version}")
        meta.setdefault("generation", 1)
        meta.setdefault("creationTimestamp", "2026-11-23T12:00:00Z")
        meta["resourceVersion"] = str(self._version)
        self.objects[kept["kind"], meta.get("name", f"generated-{self._version}")] = kept
        return copy.deepcopy(kept)

    async def get(self, _api_version: str, kind: str, _namespace: str, name: str) -> Manifest:
        """Return an object."""
        self.calls.append(f"get {kind} {name}")
        if (kind, name) not in self.objects:
            raise NotFound(name)
        return copy.deepcopy(self.objects[kind, name])

    async def list(
        self, _api_version: str, kind: str, _namespace: str | None, **selectors: str
    ) -> AsyncIterator[Manifest]:
        """Yield objects of a kind, by the reason that a field selector names."""
        self.calls.append(f"list {kind}")
        reason = selectors.get("fieldSelector", "").removeprefix("reason=")
        for (each, _), found in list(self.objects.items()):
            if each == kind and (not reason or found.get("reason") == reason):
                yield copy.deepcopy(found)

    async def create(self, manifest: Manifest, *, dry_run: bool = False, strict: bool = False) -> Manifest:
        """Create an object, or say whether it would be admitted."""
        kind, name = manifest["kind"], manifest["metadata"].get("name", "")
        if kind in self.refuse:
            raise Refused(self.refuse[kind])
        if dry_run:
            self._wrote(f"rehearse {kind}{' strictly' if strict else ''}")
            return manifest
        if (kind, name) in self.objects:
            raise Conflict(name)
        made = self.put(manifest)
        self._wrote(f"create {kind}")
        return made

    async def replace_status(self, manifest: Manifest) -> Manifest:
        """Replace an object's status, if it is the newest."""
        kind, meta = manifest["kind"], manifest["metadata"]
        old = self.objects.get((kind, meta["name"]))
        if old is None:
            raise NotFound(meta["name"])
        if old["metadata"]["resourceVersion"] != meta["resourceVersion"]:
            raise Conflict("the object has been modified")
        made = self.put({**old, "status": manifest["status"]})
        self._wrote(f"replace_status {kind} {manifest['status'].get('phase', '')}".rstrip())
        return made

    async def delete(
        self,
        _api_version: str,
        kind: str,
        _namespace: str,
        name: str,
        uid: str | None = None,
        grace: int | None = None,
    ) -> Manifest:
        """Delete an object at once; a pod that runs is dying until the kubelet has ended it."""
        found = self.objects.get((kind, name))
        if found is None:
            raise NotFound(name)
        if uid and found["metadata"]["uid"] != uid:
            raise Conflict("another of that name")
        if kind == "Pod" and (found.get("status") or {}).get("phase") == "Running":
            dying = {"deletionTimestamp": self.grace_ends, "deletionGracePeriodSeconds": grace or 15}
            left = self.put({**found, "metadata": {**found["metadata"], **dying}})
        elif found["metadata"].get("finalizers"):
            dying = {
                "deletionTimestamp": self.grace_ends,
                **({"deletionGracePeriodSeconds": 0} if kind == "Pod" else {}),
            }
            left = self.put({**found, "metadata": {**found["metadata"], **dying}})
        else:
            del self.objects[kind, name]
            # Of a pod that no kubelet knows, the API server answers with the pod as it was last.
            gone = {"deletionTimestamp": self.grace_ends, "deletionGracePeriodSeconds": 0}
            left = {**found, "metadata": {**found["metadata"], **gone}} if kind == "Pod" else {"kind": "Status"}
        self._wrote(f"delete {kind}")
        return left

    async def patch(self, _api_version: str, kind: str, _namespace: str, name: str, body: Manifest) -> Manifest:
        """Put a finalizer of ours on."""
        found = self.objects.get((kind, name))
        if found is None:
            raise NotFound(name)
        if found["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise Conflict("the object has been modified")
        held = self.put({**found, "metadata": {**found["metadata"], "finalizers": body["metadata"]["finalizers"]}})
        self._wrote(f"patch {kind}")
        return held

    async def json_patch(
        self, _api_version: str, kind: str, _namespace: str, name: str, steps: Sequence[Manifest]
    ) -> Manifest:
        """Take finalizers off; a dying object that nothing else holds is gone then."""
        found = self.objects.get((kind, name))
        if found is None:
            raise NotFound(name)
        meta = copy.deepcopy(found["metadata"])
        for step in steps:
            if step["op"] == "remove":
                del meta["finalizers"][int(step["path"].rpartition("/")[2])]
            elif step["path"] == "/metadata/uid":
                assert step["value"] == meta["uid"]
            elif meta["finalizers"][int(step["path"].rpartition("/")[2])] != step["value"]:
                raise Refused("the test operation failed")
        left = self.put({**found, "metadata": meta})
        alive = kind == "Pod" and meta.get("deletionGracePeriodSeconds")
        if meta.get("deletionTimestamp") and not meta["finalizers"] and not alive:
            del self.objects[kind, name]
        self._wrote(f"json_patch {kind}")
        return left

    def _wrote(self, what: str) -> None:
        self.calls.append(what)
        if self.crash_after is not None and len(self.writes) == self.crash_after:
            self.crash_after = None
            raise Crash(what)
