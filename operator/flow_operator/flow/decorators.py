"""`@flow` and `@task`. Light: the face of the package imports this file each time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from flow_operator.flow.core import Flow
    from flow_operator.flow.environments import Environment
    from flow_operator.flow.graph import Task
    from flow_operator.flow.schedules import CronSchedule
    from flow_operator.flow.storage.base import Storage


@overload
def flow(function: Callable[..., Any], /) -> Flow: ...
@overload
def flow(
    *,
    name: str | None = None,
    storage: Storage | None = None,
    environment: Environment | None = None,
    schedule: CronSchedule | str | Iterable[str] | None = None,
) -> Callable[[Callable[..., Any]], Flow]: ...
def flow(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    storage: Storage | None = None,
    environment: Environment | None = None,
    schedule: CronSchedule | str | Iterable[str] | None = None,
) -> Flow | Callable[[Callable[..., Any]], Flow]:
    """Make a flow of a function: its signature gives the parameters, its body is the flow.

    The body runs in the main process. Where the environment brings a Dask cluster, its client is the default one:
    `dask.compute(...)`, collections and `distributed.get_client()` use the cluster.

        @flow(environment=DaskKubernetesEnvironment(max_workers=4))
        def squares(n: int = 10) -> int:
            return sum(dask.compute(*[dask.delayed(square)(i) for i in range(n)]))
    """
    from flow_operator.flow.core import Flow

    def decorate(function: Callable[..., Any]) -> Flow:
        return Flow.from_function(function, name=name, storage=storage, environment=environment, schedule=schedule)

    return decorate if function is None else decorate(function)


@overload
def task(function: Callable[..., Any], /) -> Task: ...
@overload
def task(*, name: str | None = None) -> Callable[[Callable[..., Any]], Task]: ...
def task(
    function: Callable[..., Any] | None = None, /, *, name: str | None = None
) -> Task | Callable[[Callable[..., Any]], Task]:
    """Make a task of a function: called inside `with Flow(...)`, it becomes part of that flow's graph.

    Anywhere else the call is just the call, so that a task can be tested as the function it is.
    """
    from flow_operator.flow.graph import Task

    def decorate(function: Callable[..., Any]) -> Task:
        return Task(function, name=name)

    return decorate if function is None else decorate(function)
