"""Where a registry's public name is reached from here, and whom to trust there; plain HTTP only where it is written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flow_operator.images.clients import Trust
from flow_operator.images.errors import BadSettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flow_operator.api.wire import RegistryEndpoint

_DOCKER_HUB = "https://registry-1.docker.io"
_PLAIN_URL = re.compile(r"https?://[A-Za-z0-9._\[\]:-]+(/[A-Za-z0-9._/-]*)?")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def endpoint_of(registry: str, registries: Mapping[str, RegistryEndpoint]) -> str:
    """The URL, without a slash at its end, under which `/v2/` of a registry is found."""
    written = registries.get(registry, {}).get("endpoint")
    if written:
        return _checked(registry, written)
    if registry == "docker.io":
        return _DOCKER_HUB
    # A name nobody mapped that means this very machine: plain HTTP, as docker does.
    scheme = "http" if urlsplit(f"//{registry}").hostname in _LOOPBACK else "https"
    return f"{scheme}://{registry}"


def trust_of(registry: str, registries: Mapping[str, RegistryEndpoint]) -> Trust:
    """Whom to believe that it is the registry: what is written of another one does not count."""
    written = registries.get(registry, {})
    ca, insecure = written.get("ca", ""), written.get("insecure", False)
    if not isinstance(ca, str) or not isinstance(insecure, bool):
        raise BadSettingsError(
            f"registries has a ca of {registry} that is not a file's name, or an insecure that is not true or false.",
            remedy="Write registries as name: {endpoint: https://host:port, ca: file, insecure: false}.",
        )
    return Trust.now(ca, insecure=insecure)


def _checked(registry: str, url: str) -> str:
    if not _PLAIN_URL.fullmatch(str(url)):
        raise BadSettingsError(
            f"The endpoint of registry {registry} is not a plain http:// or https:// URL.",
            remedy="Write registries as name: {endpoint: https://host:port}; credentials belong in a secret.",
        )
    return url.rstrip("/")
