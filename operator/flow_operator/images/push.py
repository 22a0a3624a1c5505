"""Bring an image into a repository with as few bytes as possible: ask, mount, and only then send."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from flow_operator.images.blobs import Blob, RemoteBlob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from flow_operator.images.image import Image
    from flow_operator.images.progress import Progress
    from flow_operator.images.registry import Repository

_AT_ONCE = 4

T = TypeVar("T")
R = TypeVar("R")


class StaleCacheError(Exception):
    """A layer that an earlier build kept is gone from the registry: it must be made again."""


@dataclass(frozen=True)
class Pushed:
    """What an upload moved."""

    uploaded: frozenset[str] = frozenset()  # digests
    size: int = 0  # bytes, the manifest's included


@dataclass(frozen=True)
class _Part:
    """Something the manifest names; without bytes it must be in the repository already."""

    digest: str
    size: int
    blob: Blob | None


def push(image: Image, target: Repository, tag: str, progress: Progress) -> Pushed:
    """Make a tag of a repository (or, without one, the digest) be this image."""
    digest = image.manifest.digest
    if target.digest_of(tag or digest) == digest:
        progress("Nothing to push: the registry has this image.")
        return Pushed()
    parts = _parts(image)
    sent = in_parallel(partial(_ensure, target, progress), parts)
    target.put_manifest(tag or digest, image.manifest)
    moved = [part for part, was_sent in zip(parts, sent, strict=True) if was_sent]
    size = sum(part.size for part in moved) + len(image.manifest.body)
    return Pushed(frozenset(part.digest for part in moved), size)


def _parts(image: Image) -> list[_Part]:
    """Every blob once, the largest first, so that no thread begins with it when the others are done."""
    source = image.base.repository
    base = [_Part(one["digest"], one["size"], RemoteBlob(source, one)) for one in image.base.layers]
    ours = [_Part(one.descriptor["digest"], one.descriptor["size"], one.blob) for one in image.layers]
    config = _Part(image.config.digest, image.config.size, image.config)
    unique = {part.digest: part for part in (*base, *ours, config)}
    return sorted(unique.values(), key=lambda part: part.size, reverse=True)


def _ensure(target: Repository, progress: Progress, part: _Part) -> bool:
    """Whether the blob had to be sent: it was neither there nor in a repository it could be mounted from."""
    if target.has(part.digest):
        return False
    if part.blob is None:
        raise StaleCacheError(part.digest)
    if isinstance(part.blob, RemoteBlob) and _mounted(part.blob, target):
        progress(f"Mounted {_short(part)} from the base's repository.")
        return False
    target.upload(part.blob)
    progress(f"Uploaded {_short(part)}.")
    return True


def _mounted(blob: RemoteBlob, target: Repository) -> bool:
    same_registry = blob.source.connection is target.connection
    return same_registry and target.mount(blob, blob.source.name)


def _short(part: _Part) -> str:
    return f"{part.digest[:19]} ({part.size / 1e6:.2f} MB)"


def in_parallel(function: Callable[[T], R], things: Iterable[T]) -> list[R]:
    """The results in order; after an error nothing new begins."""
    threads = ThreadPoolExecutor(_AT_ONCE)
    try:
        return list(threads.map(function, things))
    finally:
        threads.shutdown(cancel_futures=True)
