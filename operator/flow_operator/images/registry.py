"""Repositories of a registry: manifests, blobs, uploads, as the OCI distribution specification has them."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flow_operator.images.border import registry_errors
from flow_operator.images.errors import DigestMismatchError, RegistryFailedError
from flow_operator.images.oci import ACCEPTED, Manifest
from flow_operator.images.upload import Upload, no_repository

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import httpx

    from flow_operator.images.blobs import Blob
    from flow_operator.images.connection import Connection
    from flow_operator.images.oci import Descriptor

_MEMORY = 16 << 20  # manifests and configs longer than this are not images


@dataclass(frozen=True)
class Repository:
    """One repository behind one connection."""

    connection: Connection
    name: str

    def manifest(self, version: str) -> Manifest | None:
        """The manifest of a tag or digest, its bytes verified; None where there is none."""
        answer = self.connection.ask(
            "GET",
            f"{self.name}/manifests/{version}",
            f"give the manifest {version} of {self.name}",
            headers={"Accept": ", ".join(ACCEPTED)},
        )
        if answer.status_code == 404:
            return None
        manifest = Manifest(answer.content, answer.headers.get("Content-Type", ""))
        said = answer.headers.get("Docker-Content-Digest", "")
        self._verify(version if version.startswith("sha256:") else said, manifest.digest)
        return manifest

    def digest_of(self, version: str) -> str | None:
        """What a tag points to, for one HEAD; empty when the registry does not say, None when there is no such tag."""
        answer = self.connection.ask(
            "HEAD",
            f"{self.name}/manifests/{version}",
            f"look up {version} of {self.name}",
            headers={"Accept": ", ".join(ACCEPTED)},
        )
        return None if answer.status_code == 404 else str(answer.headers.get("Docker-Content-Digest", ""))

    def put_manifest(self, version: str, manifest: Manifest) -> Mapping[str, str]:
        """Store a manifest under a tag or its digest; the headers of the answer."""
        answer = self.connection.ask(
            "PUT",
            f"{self.name}/manifests/{version}",
            f"take the manifest of {self.name}",
            headers={"Content-Type": manifest.media_type},
            content=manifest.body,
        )
        if answer.status_code == 404:
            raise no_repository(self.connection.registry, self.name)
        said = answer.headers.get("Docker-Content-Digest", "")
        self._verify(manifest.digest if said else "", said)
        return answer.headers

    def has(self, digest: str) -> bool:
        """Whether a blob is here already."""
        answer = self.connection.ask("HEAD", f"{self.name}/blobs/{digest}", f"look up a blob of {self.name}")
        return self._noted(digest, answer.status_code != 404)

    def knows(self, digest: str) -> bool:
        """Whether this process saw the blob here a moment ago."""
        return self.connection.known.has(self.name, digest)

    @property
    def is_known(self) -> bool:
        """Whether this process saw anything here a moment ago."""
        return self.connection.known.has_any(self.name)

    def forget(self) -> None:
        """Ask for every blob again."""
        self.connection.known.forget(self.name)

    def blob(self, descriptor: Descriptor) -> bytes:
        """A small blob, whole and verified."""

        def read() -> bytes:
            with self.stream(descriptor) as pieces:
                return b"".join(pieces)

        if descriptor["size"] > _MEMORY:
            raise RegistryFailedError(f"{self.public} has a config of {descriptor['size']} bytes.", retryable=False)
        return self.connection.retries.run(read)

    @contextmanager
    def stream(self, descriptor: Descriptor) -> Iterator[Iterator[bytes]]:
        """A blob's bytes as they arrive; the iterator's end raises when they were not what the digest says."""
        digest = descriptor["digest"]
        with self.connection.streaming(f"{self.name}/blobs/{digest}", f"give a blob of {self.name}") as answer:
            if answer.status_code == 404:
                raise RegistryFailedError(f"{self.public} lacks its own blob {digest}.", retryable=False)
            yield self._verified(answer, descriptor)

    def mount(self, blob: Blob, source: str) -> bool:
        """Let the registry link a blob from another of its repositories: no bytes move."""
        answer = self.connection.ask(
            "POST",
            f"{self.name}/blobs/uploads/",
            f"mount a blob into {self.name}",
            params={"mount": blob.digest, "from": source},
        )
        # 202 means "not mounted, here is an upload session": it is left to expire.
        return self._noted(blob.digest, answer.status_code == 201)

    def upload(self, blob: Blob) -> None:
        """Send a blob; when the connection breaks, from where the registry lost it."""
        self.connection.retries.run(Upload(self.connection, self.name, blob).attempt)
        self._noted(blob.digest, there=True)

    def _noted(self, digest: str, there: bool) -> bool:
        if there:
            self.connection.known.add(self.name, digest)
        return there

    def _verified(self, answer: httpx.Response, descriptor: Descriptor) -> Iterator[bytes]:
        seen, length = hashlib.sha256(), 0
        with registry_errors(self.connection.registry):
            for piece in answer.iter_raw():
                seen.update(piece)
                length += len(piece)
                if length > descriptor["size"]:
                    break
                yield piece
        self._verify(descriptor["digest"], f"sha256:{seen.hexdigest()}")

    def _verify(self, expected: str, got: str) -> None:
        if expected and expected != got:
            raise DigestMismatchError(f"{self.public} answered with {got} when asked for {expected}.")

    @property
    def public(self) -> str:
        """Its name for people, whatever the endpoint is."""
        return f"{self.connection.registry}/{self.name}"
