"""Layers whose digest depends on their content alone: not on the machine, the user, the hour or the file system.

The tar is PAX, sorted, with times of 0, owner 0:0 and fixed modes. Layers of files are not compressed: see
`files.py`; their digest is then the same whatever compressed it. Layers of packages are gzip, in
members of a fixed size that several threads make at once; the header is written here, and only the deflated bytes
come from zlib. So their diff_id never depends on the zlib build; their digest does where a build is not zlib's own
code (zlib-ng), and there the cache of `layer_cache.py` still makes a repository agree with itself.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import tarfile
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Literal

from flow_operator.api.wire import FLOWS_DIR
from flow_operator.images.blobs import Blob, FileBlob
from flow_operator.images.errors import SourceChangedError, disk_errors
from flow_operator.images.oci import LAYER, LAYER_GZIP, Descriptor

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT = 2  # of layers, part of every cache key: raise it when equal inputs give other bytes

Kind = Literal["runtime", "dependencies", "files", "code"]

_MEMBER = 4 << 20
_LEVEL = 1  # measured on pandas: 17 % larger than level 6 and three times as fast
_THREADS = min(4, os.cpu_count() or 1)
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # deflate, no name, no time, no system

# Parents outside of these belong to the base, with modes and owners we do not know (/tmp, /home/user, /root).
_OURS = (PurePosixPath(FLOWS_DIR), PurePosixPath("/opt/flow-operator"))


@dataclass(frozen=True)
class Entry:
    """One file of a layer."""

    path: str  # absolute, in the image
    content: Path | bytes
    executable: bool = False
    sha256: str = ""  # of content that is a file, where it was decided on


@dataclass(frozen=True)
class Layer:
    """A layer, and where its bytes are: here (`blob`), or in the target's repository since an earlier build."""

    kind: Kind
    descriptor: Descriptor
    diff_id: str
    blob: Blob | None = None


def write_layer(kind: Kind, entries: Iterable[Entry], file: Path, *, compress: bool) -> Layer:
    """A layer of entries, in a file."""
    with disk_errors(), file.open("wb") as out, ThreadPoolExecutor(_THREADS) as threads:
        sink = _GzipSink(out, threads) if compress else _Sink(out)
        _write_tar(entries, sink)
        sink.finish()
    digest = f"sha256:{sink.digest.hexdigest()}"
    media_type = LAYER_GZIP if compress else LAYER
    descriptor = Descriptor(mediaType=media_type, digest=digest, size=file.stat().st_size)
    return Layer(kind, descriptor, f"sha256:{sink.diff_id.hexdigest()}", FileBlob(file, digest, descriptor["size"]))


def _write_tar(entries: Iterable[Entry], sink: _Sink) -> None:
    with tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT, encoding="utf-8") as tar:
        directories: set[PurePosixPath] = set()
        for entry in sorted(entries, key=lambda entry: PurePosixPath(entry.path).parts):
            for directory in _new_directories(PurePosixPath(entry.path), directories):
                tar.addfile(_info(str(directory), 0o755, tarfile.DIRTYPE))
            _add_file(tar, entry)


def _add_file(tar: tarfile.TarFile, entry: Entry) -> None:
    info = _info(entry.path, 0o555 if entry.executable else 0o444, tarfile.REGTYPE)
    if isinstance(entry.content, bytes):
        info.size = len(entry.content)
        tar.addfile(info, io.BytesIO(entry.content))
        return
    try:
        with entry.content.open("rb") as file:
            info.size = os.fstat(file.fileno()).st_size
            reader = _HashingReader(file)
            tar.addfile(info, reader)  # type: ignore[arg-type]
    except (tarfile.ReadError, PermissionError, FileNotFoundError) as error:
        raise SourceChangedError(f"{entry.content} cannot be read: {error}.") from None
    if entry.sha256 and reader.seen.hexdigest() != entry.sha256:
        raise SourceChangedError(f"{entry.content} has changed since the build was decided on.")


class _HashingReader:
    """What tarfile needs of a file: `read`. Large files are never in memory, and are read once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seen = hashlib.sha256()

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.seen.update(data)
        return data


def _info(path: str, mode: int, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path.lstrip("/"))
    info.mode, info.type, info.mtime = mode, kind, 0
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info


def _new_directories(path: PurePosixPath, known: set[PurePosixPath]) -> list[PurePosixPath]:
    """The directories above a file that are ours and not in the tar yet, outermost first."""
    new = [p for p in reversed(path.parents) if p not in known and any(p.is_relative_to(ours) for ours in _OURS)]
    known.update(new)
    return new


class _Sink(io.RawIOBase):
    """Where a tar is written: counts both digests on the way."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.diff_id = hashlib.sha256()
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.diff_id.update(data)
        self._emit(data)
        return len(data)

    def finish(self) -> None:
        """Write what is still held back."""

    def _emit(self, data: bytes) -> None:
        self.digest.update(data)
        self._out.write(data)


class _GzipSink(_Sink):
    """Members of a fixed size, compressed by several threads, written in order."""

    def __init__(self, out: BinaryIO, threads: ThreadPoolExecutor) -> None:
        super().__init__(out)
        self._threads = threads
        self._buffer = bytearray()
        self._members: deque[Future[bytes]] = deque()

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.diff_id.update(data)
        self._buffer += data
        if len(self._buffer) >= _MEMBER:
            self._begin(bytes(self._buffer[:_MEMBER]))
            del self._buffer[:_MEMBER]
        return len(data)

    def finish(self) -> None:
        """Write what is still held back."""
        if self._buffer:
            self._begin(bytes(self._buffer))
        self._end(keep=0)

    def _begin(self, data: bytes) -> None:
        self._members.append(self._threads.submit(gzip_member, data))
        self._end(keep=2 * _THREADS)

    def _end(self, keep: int) -> None:
        while len(self._members) > keep:
            self._emit(self._members.popleft().result())


def gzip_member(data: bytes) -> bytes:
    """A gzip file by itself; several, one after the other, are one too."""
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = deflate.compress(data) + deflate.flush()
    return _GZIP_HEADER + body + struct.pack("<II", zlib.crc32(data), len(data))
