"""Bring an image into a repository with as few bytes as possible: ask, mount, and only then send.

Blobs that this process saw there a moment ago are not asked for. Should the registry have lost them, it refuses the
manifest, and everything is asked for then.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from flow_operator.images.blobs import Blob, RemoteBlob
from flow_operator.images.errors import RegistryFailedError, TagLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future

    from flow_operator.images.image import Image
    from flow_operator.images.layers import Layer
    from flow_operator.images.progress import Progress
    from flow_operator.images.registry import Repository

_AT_ONCE = 4
_LITTLE = 64 << 10

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


class Publisher(Protocol):
    """What becomes of an image."""

    def begin(self, code: tuple[Layer, ...]) -> None:
        """Do what can be done before the base is known."""

    def expect(self, image: Image | None) -> None:
        """Take a guess at what will be published, from a time when the base is not known for certain."""

    def look(self) -> None:
        """Raise what is known by now to be in the way."""

    def finish(self, image: Image) -> Pushed:
        """Publish the image."""

    def close(self) -> None:
        """Begin nothing new."""


class DryRun:
    """Publishes nothing: the product is the digest alone."""

    def begin(self, code: tuple[Layer, ...]) -> None:
        """Nothing."""

    def expect(self, image: Image | None) -> None:
        """Nothing."""

    def look(self) -> None:
        """Nothing."""

    def finish(self, image: Image) -> Pushed:  # noqa: ARG002 - a Publisher
        """Nothing."""
        return Pushed()

    def close(self) -> None:
        """Nothing."""


class Push:
    """Makes a tag of a repository, or the digest, be an image."""

    def __init__(self, target: Repository, tag: str, progress: Progress) -> None:
        self._target = target
        self._tag = tag
        self._progress = progress
        self._threads = ThreadPoolExecutor(4)
        self._early: tuple[str, Future[list[_Part]]] | None = None

    def begin(self, code: tuple[Layer, ...]) -> None:
        """Look up code and tag and bring the code, while others look at the base."""
        self._lacking = self._threads.submit(self._without, [_part(layer) for layer in code])
        self._tagged = self._threads.submit(self._look_up)
        self._code = self._threads.submit(lambda: _where(self._bring, self._lacking.result()))

    def expect(self, image: Image | None) -> None:
        """Bring the config that goes with new code. If the guess is wrong, a few kilobytes were sent for nothing."""
        if image:
            config = _Part(image.config.digest, image.config.size, image.config)
            self._early = config.digest, self._threads.submit(self._bring_with_code, config)

    def look(self) -> None:
        """Raise what the registry has against the tag, before packages are made for nothing."""
        self._tagged.result()

    def finish(self, image: Image) -> Pushed:
        """Bring what is still missing, then the manifest; nothing when the tag is this image already."""
        digest = image.manifest.digest
        if self._is_there(digest):
            self._progress("Nothing to push: the registry has this image.")
            return _pushed(self._code.result())
        return _pushed(self._send(image, self._tag or digest), len(image.manifest.body))

    def close(self) -> None:
        """Begin nothing new."""
        self._threads.shutdown(cancel_futures=True)

    def _bring_with_code(self, config: _Part) -> list[_Part]:
        return _where(self._bring, [config]) if self._lacking.result() else []

    def _look_up(self) -> str | None:
        """What the tag is; not asked for where code is lacking, which no image there can have."""
        lacking = self._lacking.result()
        return self._target.digest_of(self._tag) if self._tag and not lacking else None

    def _is_there(self, digest: str) -> bool:
        if self._tag or self._lacking.result():
            return self._tagged.result() == digest
        return self._target.digest_of(digest) == digest

    def _send(self, image: Image, version: str) -> list[_Part]:
        parts = _parts(image)
        believed = {part.digest for part in parts if self._target.knows(part.digest)}
        begun = {part.digest for part in self._lacking.result()}
        # A config names its layers: with one that was not there a moment ago, it cannot be there either.
        new = {image.config.digest} if begun else set()
        early = self._brought_early(image.config.digest)
        begun |= {part.digest for part in early}
        sent = self._ensure_all([part for part in parts if part.digest not in believed | begun], new)
        sent += early + self._code.result()
        try:
            self._target.put_manifest(version, image.manifest)
        except RegistryFailedError as error:
            if error.retryable or not believed:
                raise
            self._progress("The registry refuses the manifest: asking it for every blob again.")
            self._target.forget()
            sent += self._ensure_all(parts)
            self._target.put_manifest(version, image.manifest)
        self._confirm(version, image.manifest.digest)
        return sent

    def _brought_early(self, config: str) -> list[_Part]:
        if self._early is None or self._early[0] != config:
            return []  # what became of it is nobody's business
        return self._early[1].result()

    def _confirm(self, version: str, digest: str) -> None:
        """Look whether the registry kept what it took."""

        def look() -> None:
            found = self._target.digest_of(version)
            if found is None or found not in ("", digest):
                now = f"is {found} now" if found else "is not there"
                raise TagLostError(f"{self._target.public}:{version} was pushed as {digest}, and {now}.")

        self._target.connection.retries.run(look)

    def _without(self, parts: list[_Part]) -> list[_Part]:
        """The parts that the repository lacks."""
        return _where(lambda part: not (self._target.knows(part.digest) or self._is_at_target(part)), parts)

    def _is_at_target(self, part: _Part) -> bool:
        """Whether the registry says so. A little code is not asked for where this process has just brought other code:
        it has been changed since, most likely, and sending it costs hardly more than the question.
        """
        return not (part.size <= _LITTLE and self._target.is_known) and self._target.has(part.digest)

    def _ensure_all(self, parts: list[_Part], new: set[str] | None = None) -> list[_Part]:
        """The parts that had to be sent, now that all are there. What is new is not asked for."""
        return _where(lambda part: self._ensure(part, part.digest in (new or ())), parts)

    def _ensure(self, part: _Part, is_new: bool) -> bool:
        there = not is_new and self._target.has(part.digest)
        return not there and self._bring(part)

    def _bring(self, part: _Part) -> bool:
        """Whether the blob had to be sent: it was in no repository it could be mounted from."""
        target = self._target
        if part.blob is None:
            raise StaleCacheError(part.digest)
        if isinstance(part.blob, RemoteBlob) and _mounted(part.blob, target):
            self._progress(f"Mounted {_short(part)} from the base's repository.")
            return False
        target.upload(part.blob)
        self._progress(f"Uploaded {_short(part)}.")
        return True


def _pushed(sent: list[_Part], more: int = 0) -> Pushed:
    moved = {part.digest: part.size for part in sent}
    return Pushed(frozenset(moved), sum(moved.values()) + more)


def _part(layer: Layer) -> _Part:
    return _Part(layer.descriptor["digest"], layer.descriptor["size"], layer.blob)


def _parts(image: Image) -> list[_Part]:
    """Every blob once, the largest first, so that no thread begins with it when the others are done."""
    source = image.base.repository
    base = [_Part(one["digest"], one["size"], RemoteBlob(source, one)) for one in image.base.layers]
    config = _Part(image.config.digest, image.config.size, image.config)
    unique = {part.digest: part for part in (*base, *map(_part, image.layers), config)}
    return sorted(unique.values(), key=lambda part: part.size, reverse=True)


def _mounted(blob: RemoteBlob, target: Repository) -> bool:
    same_registry = blob.source.connection is target.connection
    return same_registry and target.mount(blob, blob.source.name)


def _short(part: _Part) -> str:
    return f"{part.digest[:19]} ({part.size / 1e6:.2f} MB)"


def _where(holds: Callable[[_Part], bool], parts: list[_Part]) -> list[_Part]:
    """The parts for which something holds, asked side by side."""
    return [part for part, held in zip(parts, in_parallel(holds, parts), strict=True) if held]


def in_parallel(function: Callable[[T], R], things: Iterable[T]) -> list[R]:
    """The results in order; after an error nothing new begins."""
    things = list(things)
    if len(things) < 2:
        return [function(thing) for thing in things]
    threads = ThreadPoolExecutor(_AT_ONCE)
    try:
        return list(threads.map(function, things))
    finally:
        threads.shutdown(cancel_futures=True)
