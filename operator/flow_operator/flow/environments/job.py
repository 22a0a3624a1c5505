"""A Job of the user's own making."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flow_operator.flow.environments import specs
from flow_operator.flow.environments.base import Environment, by_the_operator

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping

    from flow_operator.flow.storage import Storage


class KubernetesJobEnvironment(Environment):
    """A Kubernetes Job of the run's own, made from a spec of yours; its first container runs the flow.

    Args:
        job_spec_file: a YAML file with a Job, or the spec of one. It is read now, and travels with the flow. When the
            flow runs, the first container's image, command and args are replaced, variables are added to every
            container, and the rest stays.
        labels, on_start, on_exit: see `Environment`.
    """

    def __init__(
        self,
        job_spec_file: str | os.PathLike[str],
        *,
        labels: Iterable[str] | None = None,
        on_start: Callable[[], object] | None = None,
        on_exit: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(labels=labels, on_start=on_start, on_exit=on_exit)
        self.job = specs.job("job_spec_file", job_spec_file)

    def check_storage(self, storage: Storage) -> None:
        """Raise TypeError where the flow is in no image, and nothing that could be mounted into one."""
        from flow_operator.flow.storage import Bytes, Docker

        if not isinstance(storage, (Docker, Bytes)):
            raise TypeError(
                f"KubernetesJobEnvironment needs a flow in an image: Docker storage (or Bytes), not {storage.name}"
            )

    def execute(self, storage: Storage, flow_location: str, **kwargs: Any) -> Any:  # noqa: ARG002
        """Refuse: the Job is the operator's to make."""
        by_the_operator(self, storage)

    def _kind(self) -> dict[str, Any]:
        return {"kubernetesJob": self.job}

    @classmethod
    def _restored(cls, metadata: Mapping[str, Any]) -> Environment:
        # The spec is no metadata: it travels with the flow. A copy without it has labels, and nothing to run.
        made = object.__new__(KubernetesJobEnvironment)
        Environment.__init__(made, labels=metadata.get("labels"))
        made.job = {}
        return made
