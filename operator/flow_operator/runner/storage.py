"""The storage that a custom environment's steps are given: the image they run in, and the flow in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from flow_operator.flow.errors import StorageError
from flow_operator.flow.storage.base import Storage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from flow_operator.api.wire import FlowRef
    from flow_operator.flow.core import Flow


class ImageStorage(Storage):
    """What is in the image, to be read: `name` is the image, by digest; `flows` has the flow's location."""

    def __init__(self, image: str, ref: FlowRef, flow: Flow) -> None:
        super().__init__()
        self.image = image
        self.location = location_of(ref)
        self._flow = flow
        self._flows = {flow.name: self.location}

    @property
    def name(self) -> str:
        """The image: repository@sha256:…"""
        return self.image

    def add_flow(self, flow: Flow) -> str:
        """Refuse: an image that runs is not written to."""
        self._refuse(f"flow {flow.name!r} cannot be added")

    def build(self, push: bool = True) -> Storage:  # noqa: ARG002
        """Refuse: it was built."""
        self._refuse("it cannot be built again here")

    def to_resource(self) -> dict[str, Any]:
        """Refuse: it is no declaration."""
        self._refuse("it is no part of a FlowDeployment")

    def flow_resource(self, name: str, *, pushed: bool = True) -> dict[str, Any]:  # noqa: ARG002
        """Refuse: it is no declaration."""
        self._refuse("it is no part of a FlowDeployment")

    def _refuse(self, what: str) -> NoReturn:
        raise StorageError(f"The storage of a run is for reading: {what}.")

    def _keep(self, flow: Flow) -> str:
        self._refuse(f"flow {flow.name!r} cannot be added")

    def _fetch(self, name: str, location: str) -> Flow:  # noqa: ARG002
        return self._flow

    @classmethod
    def _restored(cls, metadata: Mapping[str, Any]) -> Self:  # noqa: ARG003
        raise StorageError("The storage of a run has no metadata.")

    def __repr__(self) -> str:
        return f"<Storage: {self.image}>"


def location_of(ref: FlowRef) -> str:
    """Where a flow is, in one text: /flows/squares.flow, /flows/flow.py:flow."""
    return f"{ref['location']}:{ref['attribute']}" if ref["attribute"] else ref["location"]
