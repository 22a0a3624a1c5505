"""A Dask cluster of the run's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flow_operator.flow.environments import specs
from flow_operator.flow.environments.base import Environment, by_the_operator

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping

    from flow_operator.flow.storage import Storage

DEFAULT_SECRET = "docker-registry-credentials"  # noqa: S105 - a name
_KEPT = ("min_workers", "max_workers", "private_registry", "docker_secret")  # in the metadata


class DaskKubernetesEnvironment(Environment):
    """A Dask cluster of the run's own, scaling between two numbers of workers; equal numbers fix it.

    Args:
        min_workers: never fewer. With 0, workers come with the first tasks.
        max_workers: never more.
        private_registry: the flow's image is pulled with a Secret.
        docker_secret: its name: a kubernetes.io/dockerconfigjson Secret in the flow's namespace. By default
            "docker-registry-credentials" where the registry is private. Nobody but the kubelet reads it.
        scheduler_spec_file: a YAML file with the scheduler's pod: a PodSpec, or a Pod or Job that has one. It is read
            now. Image and variables are filled in when the flow runs, the rest stays.
        worker_spec_file: the same for the workers.
        labels, on_start, on_exit: see `Environment`.
    """

    def __init__(
        self,
        min_workers: int = 1,
        max_workers: int = 2,
        private_registry: bool = False,
        docker_secret: str | None = None,
        scheduler_spec_file: str | os.PathLike[str] | None = None,
        worker_spec_file: str | os.PathLike[str] | None = None,
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
        self.scheduler_spec = _pod_spec("scheduler_spec_file", scheduler_spec_file)
        self.worker_spec = _pod_spec("worker_spec_file", worker_spec_file)

    @property
    def pull_secret(self) -> str | None:
        """Name of the Secret that the flow's image is pulled with, in the flow's namespace."""
        return self.docker_secret if self.private_registry else None

    def execute(self, storage: Storage, flow_location: str, **kwargs: Any) -> Any:  # noqa: ARG002
        """Refuse: the cluster is the operator's to make."""
        by_the_operator(self, storage)

    def _kind(self) -> dict[str, Any]:
        dask: dict[str, Any] = {"minWorkers": self.min_workers, "maxWorkers": self.max_workers}
        given = {
            "schedulerSpec": self.scheduler_spec,
            "workerSpec": self.worker_spec,
            "privateRegistry": self.pull_secret,
        }
        return {"daskKubernetes": {**dask, **{key: value for key, value in given.items() if value}}}

    def _metadata(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in _KEPT}

    @classmethod
    def _restored(cls, metadata: Mapping[str, Any]) -> DaskKubernetesEnvironment:
        kept = {key: metadata[key] for key in (*_KEPT, "labels") if key in metadata}
        return DaskKubernetesEnvironment(**kept)


def _pod_spec(argument: str, file: str | os.PathLike[str] | None) -> dict[str, Any] | None:
    return None if file is None else specs.pod_spec(argument, file)
