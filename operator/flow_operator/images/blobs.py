"""Where the bytes of a blob come from when a registry lacks it: memory, a file, or another registry."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from flow_operator.images.oci import sha256

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from flow_operator.images.oci import Descriptor
    from flow_operator.images.registry import Repository

PIECE = 1 << 20


class Blob(Protocol):
    """Bytes with a name, which can be opened as often as an upload is tried."""

    @property
    def digest(self) -> str:
        """Its name."""

    @property
    def size(self) -> int:
        """Its length in bytes."""

    def open(self) -> AbstractContextManager[Iterator[bytes]]:
        """Its bytes from the start, in pieces."""


@dataclass(frozen=True)
class BytesBlob:
    """A blob in memory: configs, code layers."""

    data: bytes

    @property
    def digest(self) -> str:
        """Its name."""
        return sha256(self.data)

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return len(self.data)

    @contextmanager
    def open(self) -> Iterator[Iterator[bytes]]:
        """Its bytes, in one piece."""
        yield iter((self.data,))


@dataclass(frozen=True)
class FileBlob:
    """A blob on disk: layers of packages."""

    path: Path
    digest: str
    size: int

    @contextmanager
    def open(self) -> Iterator[Iterator[bytes]]:
        """Its bytes, read as they are sent."""
        with self.path.open("rb") as file:
            yield iter(lambda: file.read(PIECE), b"")


@dataclass(frozen=True)
class RemoteBlob:
    """A base's layer in another registry: it goes through this process, never to its disk."""

    source: Repository
    descriptor: Descriptor

    @property
    def digest(self) -> str:
        """Its name."""
        return self.descriptor["digest"]

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return self.descriptor["size"]

    @contextmanager
    def open(self) -> Iterator[Iterator[bytes]]:
        """Its bytes as they arrive; a wrong digest is noticed at the end, before the upload is closed."""
        with self.source.stream(self.descriptor) as pieces:
            yield pieces
