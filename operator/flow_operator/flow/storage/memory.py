"""Flows as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flow_operator.flow.errors import StorageError
from flow_operator.flow.storage.base import Storage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from flow_operator.flow.core import Flow


class Memory(Storage):
    """The flow objects themselves, for tests: nothing of them is in the metadata, and no cluster can have them."""

    def __init__(self) -> None:
        super().__init__()
        self._live: dict[str, Flow] = {}

    def forget_flow(self, name: str) -> None:
        """Let go of a flow, as if it had never been added."""
        super().forget_flow(name)
        self._live.pop(name, None)

    def to_resource(self) -> dict[str, Any]:
        """Nothing: a cluster cannot reach into this process."""
        raise _unreachable()

    def flow_resource(self, name: str, *, pushed: bool = True) -> dict[str, Any]:  # noqa: ARG002
        """Nothing: a cluster cannot reach into this process."""
        raise _unreachable()

    def _keep(self, flow: Flow) -> str:
        self._live[flow.name] = flow
        return flow.name

    def _fetch(self, name: str, location: str) -> Flow:  # noqa: ARG002
        return self._live[name]

    def _metadata(self) -> dict[str, Any]:
        return {}

    @classmethod
    def _restored(cls, metadata: Mapping[str, Any]) -> Self:  # noqa: ARG003
        return cls()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_live": {}, "_flows": {}}


def _unreachable() -> StorageError:
    return StorageError(
        "Memory storage ends with this process: a cluster cannot read it.",
        remedy="Use Docker, or Bytes for a small flow without dependencies.",
    )
