"""Environments: how a flow is run, and what happens before and after it."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

from flow_operator.flow import config
from flow_operator.flow.executors import EXECUTORS, Executor, LocalExecutor, kind_of, path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

DEFAULT_SECRET = "docker-registry-credentials"  # noqa: S105 - a name
_DASK_KEPT = ("min_workers", "max_workers", "private_registry", "docker_secret")  # in the metadata


class Environment:
    """What all environments share: labels and callbacks.

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

    def local_executor(self) -> Executor:
        """What `flow.run()` uses in the author's own process."""
        return LocalExecutor()

    def to_resource(self) -> dict[str, Any]:
        """Itself as `spec.environment` of a FlowDeployment. Callbacks are code: they stay with the flow."""
        return {"labels": sorted(self.labels)} if self.labels else {}

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


class RemoteEnvironment(Environment):
    """One pod, in which the executor computes the tasks.

    Args:
        executor: the dotted path of an executor of `flow_operator.executors`; any other warns, and means the local one.
            Where none is given, the setting `engine.executor.default_class` counts: the local one, unless changed.
        executor_kwargs: its arguments, in JSON; for `DaskExecutor` an `address` joins an existing cluster.
        labels, on_start, on_exit: see `Environment`.
    """

    def __init__(
        self,
        executor: str | None = None,
        executor_kwargs: dict[str, Any] | None = None,
        *,
        labels: Iterable[str] | None = None,
        on_start: Callable[[], object] | None = None,
        on_exit: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(labels=labels, on_start=on_start, on_exit=on_exit)
        self.executor = kind_of(executor or config.default_executor())
        self.executor_kwargs = dict(executor_kwargs or {})
        try:
            json.dumps(self.executor_kwargs, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"executor_kwargs travel as JSON: {error}") from None

    def local_executor(self) -> Executor:
        """The executor it names."""
        return EXECUTORS[self.executor](**self.executor_kwargs)

    def to_resource(self) -> dict[str, Any]:
        """Itself as `spec.environment` of a FlowDeployment."""
        remote: dict[str, Any] = {"executor": self.executor}
        if self.executor_kwargs:
            remote["executorKwargs"] = self.executor_kwargs
        return {"remote": remote, **super().to_resource()}

    def _metadata(self) -> dict[str, Any]:
        return {"executor": path_of(self.executor), "executor_kwargs": dict(self.executor_kwargs)}

    @classmethod
    def _restored(cls, metadata: Mapping[str, Any]) -> RemoteEnvironment:
        kept = {key: metadata.get(key) for key in ("executor", "executor_kwargs", "labels")}
        return RemoteEnvironment(**kept)


class DaskKubernetesEnvironment(Environment):
    """A Dask cluster of the run's own, scaling between two numbers of workers; equal numbers fix it.

    Args:
        min_workers: never fewer. With 0, workers come with the first tasks.
        max_workers: never more.
        private_registry: the flow's image is pulled with a Secret.
        docker_secret: its name: a kubernetes.io/dockerconfigjson Secret in the flow's namespace. By default
            "docker-registry-credentials" where the registry is private. Nobody but the kubelet reads it.
        labels, on_start, on_exit: see `Environment`.
    """

    def __init__(
        self,
        min_workers: int = 1,
        max_workers: int = 2,
        private_registry: bool = False,
        docker_secret: str | None = None,
        *,
        labels: Iterable[str] | None = None,
        on_start: Callable[[], object] | None = None,
        on_exit: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(labels=labels, on_start=on_start, on_exit=on_exit)
        for name, value in (("min_workers", min_workers), ("max_workers", max_workers)):
            if not isinstance(value, int) or isinstance(value, bool):
                raise ValueError(f"{name} must be a whole number, not {value!r}")
        if min_workers < 0:
            raise ValueError(f"min_workers must be at least 0, not {min_workers}")
        if max_workers < max(1, min_workers):
            raise ValueError(f"max_workers must be at least {max(1, min_workers)}, not {max_workers}")
        self.min_workers = min_workers
        self.max_workers = max_workers
        self.private_registry = private_registry
        self.docker_secret = docker_secret or (DEFAULT_SECRET if private_registry else None)

    @property
    def pull_secret(self) -> str | None:
        """Name of the Secret that the flow's image is pulled with, in the flow's namespace."""
        return self.docker_secret if self.private_registry else None

    def to_resource(self) -> dict[str, Any]:
        """Itself as `spec.environment` of a FlowDeployment."""
        workers = {"minWorkers": self.min_workers, "maxWorkers": self.max_workers}
        return {"daskKubernetes": workers, **super().to_resource()}

    def _metadata(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in _DASK_KEPT}

    @classmethod
    def _restored(cls, metadata: Mapping[str, Any]) -> DaskKubernetesEnvironment:
        kept = {key: metadata[key] for key in (*_DASK_KEPT, "labels") if key in metadata}
        return DaskKubernetesEnvironment(**kept)


KINDS: dict[str, type[Environment]] = {
    kind.__name__: kind for kind in (RemoteEnvironment, DaskKubernetesEnvironment, Environment)
}


def environment_from(metadata: Mapping[str, Any]) -> Environment:
    """Make an environment of what `serialize()` gave. Unknown fields mean nothing; a custom one reloads as a plain one.

    A stored flow's own environment counts when it runs, not this copy.
    """
    return KINDS.get(str(metadata.get("type")), Environment)._restored(metadata)


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
