"""Storage: where and how a flow's code is kept."""

from __future__ import annotations

from flow_operator.flow.storage.bytes import Bytes
from flow_operator.flow.storage.docker import Docker

Storage = Docker | Bytes

__all__ = ["Bytes", "Docker", "Storage"]
