"""Image references: `localhost:5001/team-a/squares:v1`, `python:3.12-slim`, `repo@sha256:…`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from flow_operator.images.errors import InvalidReferenceError

DEFAULT_REGISTRY = "docker.io"

_HOST = re.compile(
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9-]+)*|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?"
)
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Reference:
    """One image, or one repository when neither tag nor digest is given."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """Registry and repository, as a person writes them in full."""
        return f"{self.registry}/{self.repository}"

    @property
    def version(self) -> str:
        """What a manifest is asked by: the digest where there is one."""
        return self.digest or self.tag or "latest"

    def at(self, digest: str) -> Reference:
        """The same repository, by digest alone."""
        return replace(self, tag="", digest=digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def parse_reference(text: str) -> Reference:
    """Read a reference as docker does: no host means Docker Hub, no namespace there means `library`."""
    rest, _, digest = text.partition("@")
    rest, tag = _split_tag(rest)
    registry, repository = _split_registry(rest)
    if not _valid(registry, repository, tag, digest) or ("@" in text and not digest):
        raise InvalidReferenceError(f"{text!r} is not an image reference.")
    return Reference(registry, repository, tag, digest)


def _split_tag(text: str) -> tuple[str, str]:
    """A colon after the last slash starts the tag; one before it is a port."""
    path, colon, tag = text.rpartition(":")
    return (path, tag or "?") if colon and "/" not in tag else (text, "")


def _split_registry(text: str) -> tuple[str, str]:
    host, slash, rest = text.partition("/")
    if slash and ("." in host or ":" in host or host == "localhost"):
        return ("docker.io" if host == "index.docker.io" else host), _namespaced(host, rest)
    return DEFAULT_REGISTRY, _namespaced(DEFAULT_REGISTRY, text)


def _namespaced(host: str, repository: str) -> str:
    hub = host in (DEFAULT_REGISTRY, "index.docker.io")
    return f"library/{repository}" if hub and "/" not in repository else repository


def _valid(registry: str, repository: str, tag: str, digest: str) -> bool:
    return bool(
        _HOST.fullmatch(registry)
        and len(repository) <= 255
        and _REPOSITORY.fullmatch(repository)
        and (not tag or _TAG.fullmatch(tag))
        and (not digest or _DIGEST.fullmatch(digest))
    )
