"""What all storages share: flows with a name and a location each."""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flow_operator.api.slug import slug
from flow_operator.flow.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from flow_operator.flow.core import Flow


class Storage(ABC):
    """Where flows are kept, and how they are found again.

    A flow is added once; the same name again is an error, and so is a name that would be the same in a path or as the
    name of a resource. Several flows may share a storage.
    """

    def __init__(self) -> None:
        self._flows: dict[str, str] = {}
        self._attached: dict[str, weakref.ref[Flow]] = {}

    @property
    def name(self) -> str:
        """What a person calls it."""
        return type(self).__name__

    @property
    def flows(self) -> dict[str, str]:
        """The location of each flow, by its name."""
        return dict(self._flows)

    def __contains__(self, name: object) -> bool:
        """Whether a flow of this name was added; the name alone counts."""
        return isinstance(name, str) and name in self._flows

    def add_flow(self, flow: Flow) -> str:
        """Take a flow in and return its location.

        Raises:
            StorageError: there is a flow of that name, or one whose name means the same in a path.
        """
        self._refuse_clash(flow.name)
        location = self._keep(flow)
        self._flows[flow.name] = location
        return location

    def forget_flow(self, name: str) -> None:
        """Let go of a flow, as if it had never been added; a file of it stays where it is."""
        self._flows.pop(name, None)

    def get_flow(self, location: str) -> Flow:
        """Return the flow at a location that `flows` has.

        Raises:
            StorageError: the location is unknown, or nothing that could be read is there.
        """
        for name, there in self._flows.items():
            if there == location:
                return self._fetch(name, location)
        known = ", ".join(map(repr, self._flows.values())) or "none"
        raise StorageError(f"There is no flow at {location!r} in {self!r}; it has: {known}.")

    def build(self, push: bool = True) -> Storage:  # noqa: ARG002 - an image's business
        """Make it ready for deploy, and return it. Most storages have nothing to do, and nothing to push."""
        self.add_attached()
        return self

    def serialize(self) -> dict[str, Any]:
        """Itself as metadata, in JSON: what `storage_from` reads."""
        from flow_operator import __version__

        return {"type": type(self).__name__, "__version__": __version__, **self._metadata()}

    @abstractmethod
    def to_resource(self) -> dict[str, Any]:
        """Itself as `spec.storage` of a FlowDeployment."""

    @abstractmethod
    def flow_resource(self, name: str, *, pushed: bool = True) -> dict[str, Any]:
        """One of its flows as `spec.flow` of a FlowDeployment.

        Raises:
            StorageError: a cluster could not get the flow from here; `pushed=False` forgives what a push would mend.
        """

    def attach(self, flow: Flow) -> None:
        """Remember whose storage this is: what `build()` takes in where nothing was added."""
        self._attached[flow.name] = weakref.ref(flow)

    def add_attached(self) -> None:
        """Add the flows that have this storage, unless flows were added one by one."""
        if self._flows:
            return
        for name in sorted(self._attached):
            flow = self._attached[name]()
            if flow is not None and flow.storage is self:
                self.add_flow(flow)

    @abstractmethod
    def _keep(self, flow: Flow) -> str:
        """Take a flow in, and say where it is."""

    @abstractmethod
    def _fetch(self, name: str, location: str) -> Flow:
        """Return a flow that was added."""

    def _metadata(self) -> dict[str, Any]:
        return {"flows": self.flows}

    @classmethod
    @abstractmethod
    def _restored(cls, metadata: Mapping[str, Any]) -> Self:
        """Make a storage of its metadata; unknown fields mean nothing."""

    def _refuse_clash(self, name: str) -> None:
        if name in self._flows:
            raise StorageError(
                f"There is a flow named {name!r} in this storage already.",
                remedy="Give one of them another name, or another storage.",
            )
        for other in self._flows:
            if slug(other) == slug(name):
                raise StorageError(
                    f"Flows {other!r} and {name!r} would both be {slug(name)!r} in a path.",
                    remedy="Give one of them another name, or another storage.",
                )

    def _known(self, name: str) -> None:
        if name not in self._flows:
            known = ", ".join(map(repr, self._flows)) or "none"
            raise StorageError(f"Flow {name!r} is not in {self!r}; it has: {known}.", remedy="Add it with add_flow.")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_attached": {}}

    def __repr__(self) -> str:
        return f"<Storage: {type(self).__name__}>"


def texts(name: str, given: Iterable[str] | None) -> list[str]:
    """A list of texts of one's own, or a TypeError: one text is not a list of its characters."""
    if isinstance(given, str):
        raise TypeError(f"{name} are a list of texts, not one text: {given!r}")
    found = list(given or ())
    for each in found:
        if not isinstance(each, str):
            raise TypeError(f"{name} are a list of texts, and {each!r} is none")
    return found


def text(name: str, given: str | None) -> str | None:
    """A text or nothing, or a TypeError."""
    if given is not None and not isinstance(given, str):
        raise TypeError(f"{name} is a text, and {given!r} is none")
    return given


def pairs(name: str, given: Mapping[str, str] | None) -> dict[str, str]:
    """A dict of texts of one's own, or a TypeError."""
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(f"{name} are a dict of texts, and {given!r} is none")
    found = dict(given or {})
    for key, value in found.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"{name} are texts by text, and {key!r}: {value!r} is not")
    return found
