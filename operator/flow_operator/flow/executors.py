"""Executors: what computes the tasks of a flow inside its main process."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

Kind = Literal["Local", "LocalDask", "Dask"]

_SCHEDULERS = ("threads", "processes", "synchronous")


class Executor(Protocol):
    """Makes Dask compute in its way, for the length of a session."""

    def session(self) -> AbstractContextManager[object]:
        """While it lasts, whatever Dask computes is computed here."""
        ...


class LocalExecutor:
    """One task after the other, in the main process."""

    @contextmanager
    def session(self) -> Iterator[None]:
        """Set Dask's synchronous scheduler, without importing Dask for a flow that never does."""
        if "dask" in sys.modules:
            with _dask_scheduler("synchronous"):
                yield
            return
        before = os.environ.get("DASK_SCHEDULER")
        os.environ["DASK_SCHEDULER"] = "synchronous"  # read if Dask is imported after all
        try:
            yield
        finally:
            _restore("DASK_SCHEDULER", before)


class LocalDaskExecutor:
    """Tasks beside each other in threads or processes of the main process."""

    def __init__(self, scheduler: str = "threads", num_workers: int | None = None) -> None:
        if scheduler not in _SCHEDULERS:
            raise ValueError(f"scheduler must be one of {', '.join(_SCHEDULERS)}, not {scheduler!r}")
        if num_workers is not None and num_workers < 1:
            raise ValueError(f"num_workers must be at least 1, not {num_workers}")
        self.scheduler = scheduler
        self.num_workers = num_workers

    @contextmanager
    def session(self) -> Iterator[None]:
        """Set Dask's scheduler."""
        extra = {} if self.num_workers is None else {"num_workers": self.num_workers}
        with _dask_scheduler(self.scheduler, **extra):
            yield


class DaskExecutor:
    """Tasks on a Dask cluster: an existing one by its address, otherwise one in this machine or pod.

    Further arguments are those of `distributed.Client`.
    """

    def __init__(self, address: str | None = None, **client_kwargs: Any) -> None:
        self.address = address
        self.client_kwargs = client_kwargs

    @contextmanager
    def session(self) -> Iterator[Any]:
        """Connect a client that is the default one."""
        from distributed import Client

        with Client(self.address, **self.client_kwargs) as client:
            yield client


EXECUTORS: dict[Kind, type[LocalExecutor] | type[LocalDaskExecutor] | type[DaskExecutor]] = {
    "Local": LocalExecutor,
    "LocalDask": LocalDaskExecutor,
    "Dask": DaskExecutor,
}
# The second is the path of the model's original, with our name.
_PLACES = ("flow_operator.executors", "flow_operator.engine.executors")
PATHS: dict[str, Kind] = {f"{place}.{cls.__name__}": kind for place in _PLACES for kind, cls in EXECUTORS.items()}


def kind_of(path: str) -> Kind:
    """What a dotted path names; a path that names none of ours warns and means the local executor."""
    if path not in PATHS:
        warnings.warn(
            f"no executor {path!r}, using the local one; there are {', '.join(map(path_of, EXECUTORS))}",
            UserWarning,
            stacklevel=3,
        )
    return PATHS.get(path, "Local")


def path_of(kind: Kind) -> str:
    """The dotted path of a kind of executor."""
    return f"{_PLACES[0]}.{EXECUTORS[kind].__name__}"


@contextmanager
def _dask_scheduler(name: str, **settings: Any) -> Iterator[None]:
    import dask

    with dask.config.set(scheduler=name, **settings):
        yield


def _restore(variable: str, before: str | None) -> None:
    if before is not None:
        os.environ[variable] = before
        return
    os.environ.pop(variable, None)
    if "dask" in sys.modules:
        import dask

        dask.config.config.pop("scheduler", None)
