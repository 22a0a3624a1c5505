"""Where a flow's code is kept: `Docker` (an image; the default) or `Bytes` (mounted into the runtime image)."""

from flow_operator.flow.storage import Bytes, Docker

__all__ = ["Bytes", "Docker"]
