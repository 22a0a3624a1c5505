"""One blob on its way into a repository.

A short one goes in one request, from the start again when that fails. A long one is streamed, in one PATCH at first,
as docker does it. When the connection breaks, the registry is asked how much it has, and the rest goes in chunks, each
of which is a place to go on from. A registry that forgot the upload, or counts differently, gets it from the start.
"""

from __future__ import annotations

import re
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flow_operator.images.border import registry_errors
from flow_operator.images.errors import RegistryFailedError, RegistryUnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from flow_operator.images.blobs import Blob
    from flow_operator.images.connection import Connection

MONOLITHIC = 8 << 20  # up to this a blob goes in one PUT
CHUNK = 16 << 20  # more than any registry asks for as its least (S3 wants 5 MiB)

_RANGE = re.compile(r"(?:bytes=)?0-(\d+)")


class Upload:
    """Sends one blob; `attempt` may be called until it succeeds."""

    def __init__(self, connection: Connection, repository: str, blob: Blob) -> None:
        self._connection = connection
        self._repository = repository
        self._blob = blob
        self._what = f"take a blob into {repository}"
        self._session: str | None = None
        self._attempts = 0

    def attempt(self) -> None:
        """Send the blob, or what is missing of it."""
        self._attempts += 1
        if self._blob.size <= MONOLITHIC:
            self._close(self._begun(), self._blob)
            return
        start = self._resumed(self._session) if self._session else 0
        try:
            self._close(self._sent(self._session or self._begun(), start), None)
        except RegistryFailedError as error:
            if not error.retryable:  # else the session may live: the next attempt asks
                self._session = None
                error.retryable = bool(start)  # perhaps what was there did not fit to what was sent now
            raise

    def _begun(self) -> str:
        answer = self._connection.once("POST", self._connection.url(f"{self._repository}/blobs/uploads/"), self._what)
        if answer.status_code == 404:
            raise no_repository(self._connection.registry, self._repository)
        return self._location(answer)

    def _resumed(self, session: str) -> int:
        """How many bytes the registry has; without a good answer, none, and the session is given up."""
        self._session = None
        try:
            answer = self._connection.once("GET", session, f"tell how much of a blob {self._repository} has")
        except RegistryFailedError:
            return 0
        has = _RANGE.fullmatch(answer.headers.get("Range", ""))
        if answer.status_code != 204 or not has or int(has.group(1)) >= self._blob.size:
            return 0
        self._session = self._location(answer) if "Location" in answer.headers else session
        end = int(has.group(1))
        return end + 1 if end else 0  # 0-0 is nothing at all: what registries say of a new upload

    def _sent(self, session: str, start: int) -> str:
        """Where the upload is closed, now that everything has been sent."""
        self._session = session
        size = self._blob.size if self._attempts == 1 else CHUNK
        with self._blob.open() as pieces:
            stream = _Stream(pieces)
            stream.skip(start)
            for begin in range(start, self._blob.size, size):
                end = min(begin + size, self._blob.size)
                place = {"Content-Range": f"{begin}-{end - 1}"} if self._attempts > 1 else {}
                chunk = _Chunk(stream, end - begin)
                answer = self._connection.once("PATCH", self._session, self._what, headers=place, blob=chunk)
                self._session = self._location(self._going_on(answer))
            stream.skip(1)  # the end of a layer from another registry is where its digest is verified
        return self._session

    def _close(self, session: str, whole: Blob | None) -> None:
        length = {} if whole else {"Content-Length": "0"}
        digest = {"digest": self._blob.digest}
        self._going_on(self._connection.once("PUT", session, self._what, params=digest, headers=length, blob=whole))

    def _going_on(self, answer: httpx.Response) -> httpx.Response:
        if answer.status_code == 404:
            public = f"{self._connection.registry}/{self._repository}"
            raise RegistryFailedError(f"{public} lost an upload on the way.", retryable=True)
        return answer

    def _location(self, answer: httpx.Response) -> str:
        location = str(answer.headers.get("Location", ""))
        if location.startswith(("https://", "http://")):
            return location
        with registry_errors(self._connection.registry):
            return str(answer.url.join(location))


def no_repository(registry: str, repository: str) -> RegistryFailedError:
    """What a 404 means where something was to be put."""
    return RegistryFailedError(
        f"Registry {registry} knows no repository {repository} and does not create it.",
        remedy="Create the repository, or check registryURL.",
        retryable=False,
    )


class _Stream:
    """Pieces of any length, taken in lengths that are asked for."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left: deque[bytes] = deque()

    def take(self, length: int) -> Iterator[bytes]:
        """So many of the next bytes; fewer at the end."""
        while length > 0:
            piece = self._left.popleft() if self._left else next(self._pieces, b"")
            if not piece:
                return
            if len(piece) > length:
                self._left.appendleft(piece[length:])
            yield piece[:length]
            length -= min(length, len(piece))

    def skip(self, length: int) -> None:
        """Let so many bytes pass."""
        for _ in self.take(length):
            pass


@dataclass
class _Chunk:
    """The next bytes of a stream as a blob. They pass once: a login that expires here interrupts the upload."""

    stream: _Stream
    size: int
    digest: str = ""
    opened: bool = field(default=False, init=False)

    @contextmanager
    def open(self) -> Iterator[Iterator[bytes]]:
        """The bytes."""
        if self.opened:
            raise RegistryUnreachableError("An upload was interrupted by a new login.")
        self.opened = True
        yield self.stream.take(self.size)
