"""What a deployment reads from ConfigMaps of its users: which keys, and the bytes under them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .types import Manifest


class MaterialMissing(Exception):
    """A ConfigMap, or a key in it, is not there."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def references(spec: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the ConfigMaps a spec reads; of an object as it is, which is cheaper than its model."""
    if source := spec["flow"].get("source", {}).get("configMap"):
        yield source["name"]
    if "image" in spec["flow"]:
        return  # built elsewhere: its storage is a record only
    docker = spec.get("storage", {}).get("docker") or {}
    yield from (each["configMap"]["name"] for each in docker.get("files", ()))
    if lock := docker.get("dependencyLock", {}).get("configMap"):
        yield lock["name"]


def value(field: str, found: Mapping[str, Manifest | None], name: str, key: str) -> bytes:
    """Return the bytes under a key of a ConfigMap, of its data or its binaryData.

    Raises:
        MaterialMissing: there is no such map, or no such key in it.
    """
    config_map = found.get(name)
    if config_map is None:
        raise MaterialMissing(field, f"There is no ConfigMap {name!r} in this namespace.")
    text, binary = config_map.get("data") or {}, config_map.get("binaryData") or {}
    if key in text:
        return str(text[key]).encode()
    if key in binary:
        return base64.b64decode(binary[key])
    keys = ", ".join(sorted({*text, *binary})) or "none"
    raise MaterialMissing(field, f"ConfigMap {name!r} has no key {key!r}; it has: {keys}.")
