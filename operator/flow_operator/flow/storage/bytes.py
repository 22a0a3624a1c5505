"""No image of its own."""

from __future__ import annotations

from typing import Any


class Bytes:
    """The flow travels as bytes and is mounted into the runtime image: nothing is built, nothing is pushed."""

    def to_resource(self) -> dict[str, Any]:
        """Itself as `spec.storage` of a FlowDeployment."""
        return {"bytes": {}}
