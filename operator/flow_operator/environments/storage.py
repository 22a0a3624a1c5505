"""The storages, under the name of the model's original: `from flow_operator.environments.storage import Docker`."""

from flow_operator.flow.storage import Bytes, Docker, Local, Memory, Storage

__all__ = ["Bytes", "Docker", "Local", "Memory", "Storage"]
