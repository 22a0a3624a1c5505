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
    try:
        manifest = _manifest(reference, repository, architecture, cache)
        document = manifest.json()
        config = json.loads(_config(document["config"], repository, cache))
        diff_ids = config["rootfs"]["diff_ids"]
        layers = tuple(as_oci_layer(layer) for layer in document["layers"])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BaseImageNotFoundError(f"{reference} is no container image.") from None
    if len(diff_ids) != len(layers):
        raise BaseImageNotFoundError(f"{reference} is no container image: its config does not list its layers.")
    if config.get("architecture", architecture) != architecture:
        raise BaseImageNotFoundError(f"{reference} is for {config['architecture']}, not for {architecture}.")
    return Base(reference, repository, manifest.digest, architecture, layers, config)


def _manifest(reference: Reference, repository: Repository, architecture: str, cache: HostCache) -> Manifest:
    manifest = _existing(reference, repository, reference.version, cache)
    if manifest.media_type.partition(";")[0] not in INDEXES and "manifests" not in manifest.json():
        return manifest
    return _existing(reference, repository, _chosen(reference, manifest.json(), architecture), cache)


def _existing(reference: Reference, repository: Repository, version: str, cache: HostCache) -> Manifest:
    kept = cache.content(_unmoved(repository, version, cache))
    if kept is not None:
        return Manifest(kept, "")
    manifest = repository.manifest(version)
    if manifest is None:
        raise BaseImageNotFoundError(f"There is no image {reference}.")
    cache.keep(manifest.body)
    cache.keep_note(manifest.digest, "tag", repository.public, version)
    return manifest


def _unmoved(repository: Repository, version: str, cache: HostCache) -> str:
    """The digest of a tag this host has seen before: what the registry says that it is now."""
    if version.startswith("sha256:"):
        return version
    seen = cache.note("tag", repository.public, version)
    return (repository.digest_of(version) or "") if seen else ""


def _config(descriptor: Descriptor, repository: Repository, cache: HostCache) -> bytes:
    data = cache.content(descriptor["digest"])
    if data is None:
        data = repository.blob(descriptor)
        cache.keep(data)
    return data


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
