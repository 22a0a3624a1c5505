"""Files in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow_operator.api.slug import slug
from flow_operator.flow import config
from flow_operator.flow.errors import StorageError
from flow_operator.flow.storage.base import Storage

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from typing import Self

    from flow_operator.flow.core import Flow


class Local(Storage):
    """A file for each flow, in a folder. A cluster sees it where the folder is on a volume of the run's pods.

    Args:
        directory: the folder; made where it is not there. By default `flows` in the SDK's own folder
            (`~/.flow-operator/flows`).
    """

    def __init__(self, directory: str | os.PathLike[str] | None = None) -> None:
        super().__init__()
        folder = Path(directory).expanduser() if directory else config.flows_directory()
        self.directory = str(folder.absolute())
        Path(self.directory).mkdir(parents=True, exist_ok=True)

    @property
    def name(self) -> str:
        """The folder."""
        return self.directory

    def to_resource(self) -> dict[str, Any]:
        """Itself as `spec.storage` of a FlowDeployment."""
        return {"local": {"directory": self.directory}}

    def flow_resource(self, name: str, *, pushed: bool = True) -> dict[str, Any]:  # noqa: ARG002
        """One of its flows as `spec.flow` of a FlowDeployment: a file."""
        self._known(name)
        return {"file": {"location": self._flows[name]}}

    def _keep(self, flow: Flow) -> str:
        from flow_operator.flow.pickling import dumps, write

        return write(Path(self.directory, f"{slug(flow.name)}.flow"), dumps(flow))

    def _fetch(self, name: str, location: str) -> Flow:
        from flow_operator.flow.pickling import load_flow

        try:
            data = Path(location).read_bytes()
        except OSError as error:
            raise StorageError(f"Flow {name!r} cannot be read from {location}: {error.strerror}.") from None
        return load_flow(data, location)

    def _metadata(self) -> dict[str, Any]:
        return {"directory": self.directory, "flows": self.flows}

    @classmethod
    def _restored(cls, metadata: Mapping[str, Any]) -> Self:
        made = cls.__new__(cls)  # not cls(): reading metadata makes no folders
        Storage.__init__(made)
        made.directory = metadata["directory"]
        made._flows = dict(metadata.get("flows", {}))
        return made
