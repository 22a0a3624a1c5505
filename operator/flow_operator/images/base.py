"""The base image: its manifest for one architecture, and its config.

What this host has of it already is not fetched: a tag is looked up with one HEAD, and only what a digest names is kept.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flow_operator.images.errors import BaseImageNotFoundError
from flow_operator.images.oci import INDEXES, Descriptor, Manifest, as_oci_layer

if TYPE_CHECKING:
    from flow_operator.images.host_cache import HostCache
    from flow_operator.images.reference import Reference
    from flow_operator.images.registry import Repository


# The variants that need no younger a machine than the architecture's first.
_BASELINE = {"amd64": ("", "v1"), "arm64": ("", "v8")}


@dataclass(frozen=True)
class Base:
    """An image to put layers on."""

    reference: Reference  # as it was asked for
    repository: Repository
    digest: str  # of the manifest for this architecture
    architecture: str
    layers: tuple[Descriptor, ...]
    config: dict[str, Any]

    @property
    def name(self) -> str:
        """What a person calls it."""
        return str(self.reference)


def read_base(reference: Reference, repository: Repository, architecture: str, cache: HostCache) -> Base:
    """Fetch what must be known of a base: one to three requests, and no layer."""
    return _read(_Asked(reference, repository, cache), architecture)


def remembered_base(reference: Reference, repository: Repository, architecture: str, cache: HostCache) -> Base | None:
    """What this host has seen of a base, for no request: a tag may have moved since. None where it lacks anything."""
    try:
        return _read(_Remembered(reference, repository, cache), architecture)
    except (_NotHereError, BaseImageNotFoundError):
        return None


class _NotHereError(Exception):
    """This host has not kept it."""


@dataclass(frozen=True)
class _Asked:
    """Where manifests and configs come from: this host, if the registry says that a tag has not moved; else there."""

    reference: Reference
    repository: Repository
    cache: HostCache

    def manifest(self, version: str) -> Manifest:
        kept = self.cache.content(self._unmoved(version))
        if kept is not None:
            return Manifest(kept, "")
        manifest = self.repository.manifest(version)
        if manifest is None:
            raise BaseImageNotFoundError(f"There is no image {self.reference}.")
        self.cache.keep(manifest.body)
        self.cache.keep_note(manifest.digest, "tag", self.repository.public, version)
        return manifest

    def config(self, descriptor: Descriptor) -> bytes:
        data = self.cache.content(descriptor["digest"])
        if data is None:
            data = self.repository.blob(descriptor)
            self.cache.keep(data)
        return data

    def _unmoved(self, version: str) -> str:
        """The digest of a tag this host has seen before: what the registry says that it is now."""
        if version.startswith("sha256:"):
            return version
        seen = self.cache.note("tag", self.repository.public, version)
        return (self.repository.digest_of(version) or "") if seen else ""


@dataclass(frozen=True)
class _Remembered:
    """The same from this host alone."""

    reference: Reference
    repository: Repository
    cache: HostCache

    def manifest(self, version: str) -> Manifest:
        is_digest = version.startswith("sha256:")
        return Manifest(self._kept(version if is_digest else self._noted(version)), "")

    def config(self, descriptor: Descriptor) -> bytes:
        return self._kept(descriptor["digest"])

    def _noted(self, version: str) -> str:
        return self.cache.note("tag", self.repository.public, version)

    def _kept(self, digest: str) -> bytes:
        data = self.cache.content(digest)
        if data is None:
            raise _NotHereError
        return data


def _read(source: _Asked | _Remembered, architecture: str) -> Base:
    reference = source.reference
    try:
        manifest = _manifest(source, architecture)
        document = manifest.json()
        config = json.loads(source.config(document["config"]))
        diff_ids = config["rootfs"]["diff_ids"]
        layers = tuple(as_oci_layer(layer) for layer in document["layers"])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BaseImageNotFoundError(f"{reference} is no container image.") from None
    if len(diff_ids) != len(layers):
        raise BaseImageNotFoundError(f"{reference} is no container image: its config does not list its layers.")
    if config.get("architecture", architecture) != architecture:
        raise BaseImageNotFoundError(f"{reference} is for {config['architecture']}, not for {architecture}.")
    return Base(reference, source.repository, manifest.digest, architecture, layers, config)


def _manifest(source: _Asked | _Remembered, architecture: str) -> Manifest:
    manifest = source.manifest(source.reference.version)
    if manifest.media_type.partition(";")[0] not in INDEXES and "manifests" not in manifest.json():
        return manifest
    return source.manifest(_chosen(source.reference, manifest.json(), architecture))


def _chosen(reference: Reference, index: dict[str, Any], architecture: str) -> str:
    """The digest for linux on an architecture: of several variants the one that every machine of it can run."""
    platforms = [(entry.get("platform") or {}, entry["digest"]) for entry in index.get("manifests", ())]
    fitting = [
        (platform.get("variant", "") not in _BASELINE.get(architecture, ("",)), str(digest))
        for platform, digest in platforms
        if platform.get("os") == "linux" and platform.get("architecture") == architecture
    ]
    if fitting:
        return min(fitting, key=lambda found: found[0])[1]
    offered = sorted({platform.get("architecture", "") for platform, _ in platforms} - {"", "unknown"})
    raise BaseImageNotFoundError(f"{reference} has no image for linux/{architecture}, only for {', '.join(offered)}.")
