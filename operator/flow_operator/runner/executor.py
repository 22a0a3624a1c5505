"""From the executor a request names to one that is active."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from flow_operator.flow.executors import EXECUTORS
from flow_operator.runner.errors import RunFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flow_operator.api.wire import ExecutorSpec, RunIdentity, RunReport
    from flow_operator.runner.scheduler import Scheduler


class Session:
    """An executor at work."""

    def explain(self, error: BaseException) -> None:
        """Raise RunFailed if an error of the flow is really one of the executor's."""


@contextmanager
def session(
    spec: ExecutorSpec, run: RunIdentity, report: RunReport, scheduler: Scheduler | None = None
) -> Iterator[Session]:
    """Let Dask compute as the request says, while the flow runs."""
    kwargs = dict(spec.get("kwargs") or {})
    given = kwargs.pop("address", None) if spec["kind"] == "Dask" else None
    address = spec.get("address") or given
    if spec["kind"] == "Dask" and address:
        from flow_operator.runner.cluster import connected

        with connected(address, kwargs, spec, run, report, scheduler) as cluster:
            yield cluster
        return
    with ExitStack() as stack:
        try:
            stack.enter_context(EXECUTORS[spec["kind"]](**kwargs).session())
        except Exception as error:
            if not kwargs and not isinstance(error, (TypeError, ValueError)):
                raise
            # A cluster in this pod has many ways to say that it does not like its arguments.
            raise RunFailed("BadExecutor", f"executor {spec['kind']}: {error}") from error
        yield Session()


@contextmanager
def scheduler_beside(spec: ExecutorSpec) -> Iterator[Scheduler | None]:
    """Have a Dask scheduler in this pod where one is wanted: before the flow's code, which may start threads."""
    if "scheduler" not in spec:
        yield None
        return
    from flow_operator.runner.scheduler import serving

    with serving(spec["scheduler"]) as scheduler:
        yield scheduler
