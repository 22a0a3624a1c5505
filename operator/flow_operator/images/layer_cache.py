"""Layers that an earlier build left in the target's repository, found by what they were made from.

A layer of packages is kept under a tag of its own, `flow-operator-cache-<kind>-<key>`, as an image of one layer:
one GET replaces resolving, installing and compressing, and the registry's clean-up sees that the layer is in use.
The host keeps what it has read: a layer that is gone from the registry meanwhile is noticed when the image is pushed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flow_operator.images.blobs import BytesBlob
from flow_operator.images.errors import RegistryError
from flow_operator.images.layers import FORMAT, Kind, Layer
from flow_operator.images.oci import CONFIG, LAYER_GZIP, MANIFEST, Descriptor, Manifest, canonical
from flow_operator.images.sbom import Sbom

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flow_operator.images.host_cache import HostCache
    from flow_operator.images.progress import Progress
    from flow_operator.images.registry import Repository

_KEY = "flow-operator.io/cache-key"
_DIFF_ID = "flow-operator.io/diff-id"
_LOCK = "flow-operator.io/lock"


@dataclass(frozen=True)
class Cached:
    """A layer and the lock it was made from."""

    layer: Layer
    lock: str
    sbom: Sbom | None = None  # of what the layer holds, kept beside it


def cache_key(*inputs: object) -> str:
    """A name for what a layer was made from."""
    return hashlib.sha256(canonical([FORMAT, *inputs])).hexdigest()


def tag_of(kind: str, key: str) -> str:
    """The tag a layer is kept under."""
    return f"flow-operator-cache-{kind}-{key[:24]}"


class LayerCache:
    """The layers kept in one repository."""

    def __init__(self, repository: Repository, host: HostCache, progress: Progress) -> None:
        self._repository = repository
        self._host = host
        self._progress = progress

    def get(self, kind: Kind, key: str) -> Cached | None:
        """The layer made from these inputs, if an earlier build kept it."""
        remembered = self.remembered(kind, key)
        if remembered:
            return remembered
        tag = tag_of(kind, key)
        manifest = self._repository.manifest(tag)
        cached = _understood(kind, key, manifest) if manifest else None
        if cached and manifest:
            self._note(tag, manifest)
        return cached

    def remembered(self, kind: Kind, key: str) -> Cached | None:
        """The same, as far as this host has seen it: nothing is asked."""
        seen = self._host.content(self._host.note("layer", self._repository.public, tag_of(kind, key)))
        return _understood(kind, key, Manifest(seen, "")) if seen is not None else None

    def put(self, kept: Cached, *keys: str) -> None:
        """Keep a layer that is in the repository already. A registry that refuses costs time later, no more."""
        layer, config = kept.layer, BytesBlob(canonical(_config(kept.layer)))
        try:
            for blob in (config, kept.sbom.blob if kept.sbom else None):
                if blob and not self._repository.knows(blob.digest):
                    self._repository.upload(blob)
            for key in keys:
                tag, manifest = tag_of(layer.kind, key), _manifest(kept, key, config)
                self._repository.put_manifest(tag, manifest)
                self._note(tag, manifest)
        except RegistryError as error:
            self._progress(f"The {layer.kind} layer is not kept for the next build: {error.message}")

    def _note(self, tag: str, manifest: Manifest) -> None:
        self._host.keep(manifest.body)
        self._host.keep_note(manifest.digest, "layer", self._repository.public, tag)


def _config(layer: Layer) -> dict[str, object]:
    rootfs = {"type": "layers", "diff_ids": [layer.diff_id]}
    return {"architecture": "", "os": "linux", "rootfs": rootfs}


def _manifest(kept: Cached, key: str, config: BytesBlob) -> Manifest:
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": Descriptor(mediaType=CONFIG, digest=config.digest, size=config.size),
        "layers": [kept.layer.descriptor, *([kept.sbom.descriptor] if kept.sbom else [])],
        "annotations": {_KEY: key, _DIFF_ID: kept.layer.diff_id, _LOCK: kept.lock},
    }
    return Manifest(canonical(document), MANIFEST)


def _understood(kind: Kind, key: str, manifest: Manifest) -> Cached | None:
    try:
        return _read(kind, key, manifest)
    except (KeyError, ValueError, TypeError, IndexError):
        return None  # somebody else's tag


def _read(kind: Kind, key: str, manifest: Manifest) -> Cached | None:
    document = manifest.json()
    annotations, found = document["annotations"], document["layers"][0]
    if annotations[_KEY] != key or found["mediaType"] != LAYER_GZIP:
        return None
    descriptor = Descriptor(mediaType=LAYER_GZIP, digest=str(found["digest"]), size=int(found["size"]))
    sbom = _sbom(document["layers"][1]) if kind == "dependencies" else None
    return Cached(Layer(kind, descriptor, str(annotations[_DIFF_ID])), str(annotations[_LOCK]), sbom)


def _sbom(found: Mapping[str, Any]) -> Sbom:
    return Sbom(Descriptor(mediaType=str(found["mediaType"]), digest=str(found["digest"]), size=int(found["size"])))
