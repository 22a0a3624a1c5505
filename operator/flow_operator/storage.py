"""Where a flow's code is kept: `Docker` (an image; the default), `Bytes`, `Local` or `Memory`; all are a `Storage`."""

from flow_operator.flow.storage import Bytes, Docker, Local, Memory, Storage

__all__ = ["Bytes", "Docker", "Local", "Memory", "Storage"]
