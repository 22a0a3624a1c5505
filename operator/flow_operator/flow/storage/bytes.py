"""No image of its own."""

from __future__ import annotations

import base64
import sys
from typing import TYPE_CHECKING, Any

from flow_operator.api.slug import slug
from flow_operator.flow.errors import StorageError
from flow_operator.flow.storage.base import Storage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from flow_operator.flow.core import Flow

# In base64; what a resource takes (api/flow_deployment.py, MAX_INLINE).
LARGEST = 200_000


class Bytes(Storage):
    """The flow travels as bytes and is mounted into the runtime image: nothing is built, nothing is pushed.

    The bytes are taken when the flow is added. They are part of the metadata, and of the FlowDeployment: at most
    150,000 of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bytes: dict[str, bytes] = {}

    def forget_flow(self, name: str) -> None:
        """Let go of a flow, as if it had never been added."""
        super().forget_flow(name)
        self._bytes.pop(name, None)

    def to_resource(self) -> dict[str, Any]:
        """Itself as `spec.storage` of a FlowDeployment."""
        return {"bytes": {}}

    def flow_resource(self, name: str, *, pushed: bool = True) -> dict[str, Any]:  # noqa: ARG002
        """One of its flows as `spec.flow` of a FlowDeployment: a pickle.

        Raises:
            StorageError: the flow is not here, or is too large for a resource.
        """
        self._known(name)
        data = base64.b64encode(self._bytes[name]).decode()
        if len(data) > LARGEST:
            raise StorageError(
                f"Flow {name!r} has {len(self._bytes[name]):,} bytes; a resource carries at most "
                f"{LARGEST * 3 // 4:,} of a flow with Bytes storage.",
                remedy="Use Docker storage, which keeps the flow in an image, or load its data when it runs.",
            )
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        return {"pickle": {"data": data, "python": python, "file": f"{slug(name)}.flow"}}

    def _keep(self, flow: Flow) -> str:
        from flow_operator.flow.pickling import dumps

        self._bytes[flow.name] = dumps(flow)
        return flow.name

    def _fetch(self, name: str, location: str) -> Flow:  # noqa: ARG002
        from flow_operator.flow.pickling import load_flow

        return load_flow(self._bytes[name], f"flow {name!r} of Bytes storage")

    def _metadata(self) -> dict[str, Any]:
        return {"flows": {name: base64.b64encode(data).decode() for name, data in self._bytes.items()}}

    @classmethod
    def _restored(cls, metadata: Mapping[str, Any]) -> Self:
        made = cls()
        made._bytes = {name: base64.b64decode(data) for name, data in metadata.get("flows", {}).items()}
        made._flows = {name: name for name in made._bytes}
        return made
