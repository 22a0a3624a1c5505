"""What all environments share: labels, callbacks, two steps, and how they are told."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NoReturn

from flow_operator.flow.executors import Executor, LocalExecutor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from flow_operator.flow.storage import Storage

_STEPS = ("setup", "execute")


class Environment:
    """What all environments share: labels and callbacks. A subclass with `setup` or `execute` of its own is custom.

    A custom environment's two steps run in the run's pod, in an image of the flow: first `setup`, then `execute`,
    which is to run the flow, here or elsewhere. Without steps of its own it is no more than labels and callbacks, and
    the flow runs as if there were none.

    Args:
        labels: a run goes only where all of them are offered.
        on_start: called before the flow, without arguments. If it raises, the flow does not run.
        on_exit: called after the flow, without arguments, however the flow ended.
    """

    def __init__(
        self,
        *,
        labels: Iterable[str] | None = None,
        on_start: Callable[[], object] | None = None,
        on_exit: Callable[[], object] | None = None,
    ) -> None:
        self.labels = _labels(labels)
        self.on_start = _callback("on_start", on_start)
        self.on_exit = _callback("on_exit", on_exit)

    def setup(self, storage: Storage) -> None:
        """Prepare what the run needs, before `execute`. Here: nothing."""

    def execute(self, storage: Storage, flow_location: str, **kwargs: Any) -> Any:
        """Run the flow at a location of its storage, with kwargs as its parameters. Here: nothing."""

    def run_flow(self, storage: Storage, flow_location: str, **kwargs: Any) -> Any:
        """Run the flow in this process, on `local_executor()`, and return its result: for an `execute` of one's own.

        In the pod of a run its callbacks are left to the pod, and its result is the run's, unless `execute` returns
        another. What the flow raises is raised.
        """
        return storage.get_flow(flow_location).run(**kwargs)

    def check_storage(self, storage: Storage) -> None:
        """Raise TypeError where a flow in this storage could not be run here."""

    @property
    def is_custom(self) -> bool:
        """Whether one of the two steps is the user's own."""
        ours = next(kind for kind in type(self).__mro__ if kind.__module__.startswith(f"{__package__}."))
        return any(getattr(type(self), step) is not getattr(ours, step) for step in _STEPS)

    def local_executor(self) -> Executor:
        """What `flow.run()` uses in the author's own process."""
        return LocalExecutor()

    def to_resource(self) -> dict[str, Any]:
        """Itself as `spec.environment` of a FlowDeployment. Callbacks are code: they stay with the flow."""
        kind = {"custom": {}} if self.is_custom else self._kind()
        return {**kind, **({"labels": sorted(self.labels)} if self.labels else {})}

    def _kind(self) -> dict[str, Any]:
        return {}

    @property
    def dependencies(self) -> tuple[str, ...]:
        """Names of the modules it needs where the flow runs; the health check of an image imports them."""
        return ()

    @property
    def pull_secret(self) -> str | None:
        """Name of the Secret that the flow's image is pulled with, in the flow's namespace."""
        return None

    def serialize(self) -> dict[str, Any]:
        """Itself as metadata, in JSON: what `environment_from` reads. Callbacks are code: they stay with the flow."""
        from flow_operator import __version__

        kind = {"type": type(self).__name__, "__version__": __version__}
        return {**kind, **self._metadata(), "labels": sorted(self.labels)}

    def _metadata(self) -> dict[str, Any]:
        return {}

    @classmethod
    def _restored(cls, metadata: Mapping[str, Any]) -> Environment:
        return Environment(labels=metadata.get("labels"))

    def __getstate__(self) -> dict[str, Any]:
        # Sorted: the same flow is the same bytes in every process, and a set's order is not the same.
        return {**self.__dict__, "labels": sorted(self.labels)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, labels=frozenset(state["labels"]))


def by_the_operator(environment: Environment, storage: Storage) -> NoReturn:
    """Refuse to execute what only the operator can.

    Raises:
        TypeError: the storage is no image.
        ValueError: the image was not built.
        OSError: this is not the operator (the model's EnvironmentError).
    """
    from flow_operator.flow.storage import Docker

    name = type(environment).__name__
    if not isinstance(storage, Docker):
        raise TypeError(f"{name} needs a flow in an image: Docker storage, not {storage.name}")
    if storage.image is None:
        raise ValueError(f"{name} needs an image that is built: call storage.build() first")
    raise OSError(f"{name} is executed in a cluster, by the operator: flow.deploy(), then create a FlowRun")


def _labels(labels: Iterable[str] | None) -> frozenset[str]:
    if isinstance(labels, str):
        raise TypeError(f"labels are a list of texts, not one text: {labels!r}")
    return frozenset(labels or ())


def _callback(name: str, callback: Callable[[], object] | None) -> Callable[[], object] | None:
    if callback is None:
        return None
    if not callable(callback):
        raise TypeError(f"{name} must be a function without arguments, not {callback!r}")
    try:
        inspect.signature(callback).bind()
    except TypeError:
        raise TypeError(f"{name} is called without arguments, but {callback!r} needs some") from None
    except ValueError:  # a builtin that does not tell its signature
        pass
    return callback
