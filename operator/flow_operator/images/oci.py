"""The words of the OCI image format that we read and write. Docker's second schema is read, never written."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, TypedDict

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = f"{LAYER}+gzip"
LAYER_ZSTD = f"{LAYER}+zstd"

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"

ACCEPTED = (MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX)
INDEXES = (INDEX, DOCKER_INDEX)

_DOCKER_LAYERS = {
    "application/vnd.docker.image.rootfs.diff.tar": LAYER,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": LAYER_GZIP,
    "application/vnd.docker.image.rootfs.diff.tar.zstd": LAYER_ZSTD,
}


class Descriptor(TypedDict):
    """A thing in a registry: what it is, its name and its length."""

    mediaType: str
    digest: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """A manifest or an index, as the registry sent it."""

    body: bytes
    media_type: str

    @property
    def digest(self) -> str:
        """What the bytes are called."""
        return sha256(self.body)

    def json(self) -> dict[str, Any]:
        """The document."""
        document: dict[str, Any] = json.loads(self.body)
        return document


def sha256(data: bytes) -> str:
    """The digest of bytes, with its algorithm, as OCI writes it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def canonical(document: object) -> bytes:
    """JSON with one spelling, so that equal documents have equal digests."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def as_oci_layer(descriptor: Descriptor) -> Descriptor:
    """A base's layer under OCI's media type: the bytes, and so the digest, are the same."""
    media_type = descriptor["mediaType"]
    return Descriptor(
        mediaType=_DOCKER_LAYERS.get(media_type, media_type),
        digest=descriptor["digest"],
        size=descriptor["size"],
    )
