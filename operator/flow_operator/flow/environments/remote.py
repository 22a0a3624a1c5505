"""One pod and an executor: what a flow without an environment gets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from flow_operator.flow import config
from flow_operator.flow.environments.base import Environment
from flow_operator.flow.executors import EXECUTORS, Executor, kind_of, path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from flow_operator.flow.storage import Storage


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

    def execute(self, storage: Storage, flow_location: str, **kwargs: Any) -> Any:
        """Run the flow in this process with its executor, with kwargs as its parameters."""
        return storage.get_flow(flow_location).run(**kwargs)

    def _kind(self) -> dict[str, Any]:
        remote: dict[str, Any] = {"executor": self.executor}
        if self.executor_kwargs:
            remote["executorKwargs"] = self.executor_kwargs
        return {"remote": remote}

    def _metadata(self) -> dict[str, Any]:
        return {"executor": path_of(self.executor), "executor_kwargs": dict(self.executor_kwargs)}

    @classmethod
    def _restored(cls, metadata: Mapping[str, Any]) -> RemoteEnvironment:
        kept = {key: metadata.get(key) for key in ("executor", "executor_kwargs", "labels")}
        return RemoteEnvironment(**kept)
