"""Storage: where and how a flow's code is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flow_operator.flow.errors import StorageError
from flow_operator.flow.storage.base import Storage
from flow_operator.flow.storage.bytes import Bytes
from flow_operator.flow.storage.docker import Docker
from flow_operator.flow.storage.local import Local
from flow_operator.flow.storage.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS: dict[str, type[Storage]] = {kind.__name__: kind for kind in (Docker, Bytes, Local, Memory)}

__all__ = ["KINDS", "Bytes", "Docker", "Local", "Memory", "Storage", "storage_from"]


def storage_from(metadata: Mapping[str, Any]) -> Storage:
    """Make a storage of what `serialize()` gave. Fields it does not know mean nothing.

    Raises:
        StorageError: the type is missing or unknown.
    """
    kind = KINDS.get(str(metadata.get("type")))
    if kind is None:
        raise StorageError(f"There is no storage of type {metadata.get('type')!r}; there are {', '.join(KINDS)}.")
    return kind._restored(metadata)
