"""`Flow`: a name, a body, and where and how it runs."""

from __future__ import annotations

import functools
import types
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flow_operator.flow import driven
from flow_operator.flow.errors import FlowInvalid
from flow_operator.flow.function import Function
from flow_operator.flow.graph import Graph, TaskCall, building
from flow_operator.flow.parameters import bind

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextvars import Token
    from pathlib import Path

    from flow_operator.flow.environments import Environment
    from flow_operator.flow.parameters import ParameterSpec
    from flow_operator.flow.schedules import CronSchedule
    from flow_operator.flow.storage.base import Storage


class Flow:
    """A named graph of tasks.

        with Flow("squares", environment=DaskKubernetesEnvironment(max_workers=4)) as squares:
            n = Parameter("n", default=10)
            total(numbers(n))

        squares.run(n=20)

    The flow's result is the value of its terminal task, the one nobody depends on; with several terminal tasks it is
    a dict from their names to their values. Calls of one task are told apart as "square", "square-2", and so on.

    Args:
        name: what it is called; its slug names its files, images and its FlowDeployment.
        storage: where it is kept, see `flow_operator.storage`; without one, deploy makes the default one.
        environment: how it is run, see `flow_operator.environments`; one pod, unless told otherwise.
        schedule: when a deployed flow is run by itself: a `CronSchedule`, or cron lines in UTC.

    Storage, environment and schedule may also be assigned later.
    """

    def __init__(
        self,
        name: str,
        *,
        storage: Storage | None = None,
        environment: Environment | None = None,
        schedule: CronSchedule | str | Iterable[str] | None = None,
    ) -> None:
        if not isinstance(name, str) or not name.strip():
            raise ValueError("a flow needs a name")
        self.name = name
        self._storage: Storage | None = None
        self.storage = storage
        self._environment = environment
        self._schedule: CronSchedule | None = None
        self.schedule = schedule
        self._body: Graph | Function = Graph()
        self._token: Token[Graph | None] | None = None

    @classmethod
    def from_function(
        cls,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        storage: Storage | None = None,
        environment: Environment | None = None,
        schedule: CronSchedule | str | Iterable[str] | None = None,
    ) -> Flow:
        """Make a flow whose body is the function: what `@flow` does."""
        if not isinstance(function, types.FunctionType):
            raise TypeError(f"a flow is made of a function, not of {function!r}")
        made = cls(name or function.__name__, storage=storage, environment=environment, schedule=schedule)
        made._body = Function(function)
        functools.update_wrapper(made, function)
        return made

    @property
    def slug(self) -> str:
        """Its name as files, images and resources have it."""
        from flow_operator.api.slug import slug

        return slug(self.name)

    @property
    def storage(self) -> Storage | None:
        """Where it is kept; None until it is given or deployed."""
        return self._storage

    @storage.setter
    def storage(self, storage: Storage | None) -> None:
        if storage is not None:
            from flow_operator.flow.storage.base import Storage as Kind  # a run without storage must not pay for it

            if not isinstance(storage, Kind):
                raise TypeError(f"storage is a storage, such as Docker(), and {storage!r} is none")
            storage.attach(self)
        self._storage = storage

    @property
    def schedule(self) -> CronSchedule | None:
        """When it is run by itself once it is deployed."""
        return self._schedule

    @schedule.setter
    def schedule(self, schedule: CronSchedule | str | Iterable[str] | None) -> None:
        from flow_operator.flow.schedules import schedule_of

        self._schedule = schedule_of(schedule)

    @property
    def environment(self) -> Environment:
        """How it runs; one pod and the local executor, unless told otherwise."""
        if self._environment is None:
            from flow_operator.flow.environments import RemoteEnvironment

            self._environment = RemoteEnvironment()
        return self._environment

    @environment.setter
    def environment(self, environment: Environment) -> None:
        self._environment = environment

    @property
    def body(self) -> Graph | Function:
        """The graph of its tasks, or its function."""
        return self._body

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """What a run may or must give."""
        return self._body.parameters()

    @property
    def takes_anything(self) -> bool:
        """Whether a run may give parameters that are not declared (**kwargs)."""
        return isinstance(self._body, Function) and self._body.is_open

    def validate(self) -> None:
        """Raise FlowInvalid where the flow could never run."""
        if isinstance(self._body, Graph):
            self._body.ordered()

    def bind(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Every parameter's value, or a ParameterError that names what does not fit."""
        return bind(self.name, self.parameters, parameters, is_open=self.takes_anything)

    def compute(self, values: Mapping[str, Any]) -> Any:
        """Run the body on the executor that is active; no callbacks. `run` is what you want."""
        return self._body.compute(values)

    def run(self, **parameters: Any) -> Any:
        """Run in this process, on the environment's executor, with its callbacks; return the result.

        An environment that would bring a cluster runs on the local executor here. What the flow raises is raised. If
        `on_start` raises, neither the flow nor `on_exit` runs; otherwise `on_exit` runs once, whatever happened, and
        an error of its own is raised with the flow's error as its cause. Within `execute` of a custom environment, in
        the pod of a run, the callbacks are left to the pod, and the result is the run's.
        """
        self.validate()
        values = self.bind(parameters)
        watched = driven.current
        if watched is not None and watched.flow is self:
            with self.environment.local_executor().session():
                return watched.watch(lambda: self.compute(values))
        with callbacks(self.environment), self.environment.local_executor().session():
            return self.compute(values)

    def save(self, path: str | os.PathLike[str] | None = None) -> str:
        """Write the flow to a file, with its code and its declared storage, and return the file's path.

        Args:
            path: by default `~/.flow-operator/flows/<slug>.flow`.
        """
        from pathlib import Path

        from flow_operator.flow.pickling import dumps, write

        file = Path(path).expanduser() if path else _default_file(self.name)
        return write(file.absolute(), dumps(self, with_storage=True))

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Flow:
        """Read a flow that was saved. This runs code: only for files that may.

        Args:
            path: a file, or the name of a flow that was saved without a path.

        Raises:
            StorageError: there is no such file, or no flow in it.
        """
        from pathlib import Path

        from flow_operator.flow.errors import StorageError
        from flow_operator.flow.pickling import load_flow

        for file in (Path(path).expanduser(), _default_file(str(path))):
            if file.is_file():
                return load_flow(file.read_bytes(), str(file))
        raise StorageError(f"There is no file {str(path)!r}, and no saved flow of that name ({file}).")

    def serialize(self, build: bool = False) -> dict[str, Any]:
        """What a platform may know of the flow without its code, in JSON.

        Args:
            build: build the storage first, the flow in it.
        """
        from flow_operator import __version__

        if build:
            if self.storage is None:
                from flow_operator.flow.errors import StorageError

                raise StorageError(f"Flow {self.name!r} has no storage to build.", remedy="Assign one.")
            if self.name not in self.storage:
                self.storage.add_flow(self)
            self.storage.build()
        tasks = self._body.nodes.items() if isinstance(self._body, Graph) else ()
        return {
            "type": "Flow",
            "__version__": __version__,
            "name": self.name,
            "parameters": [spec.serialize() for spec in self.parameters],
            "tasks": [name for node, name in tasks if isinstance(node, TaskCall)],
            "schedule": self.schedule.serialize() if self.schedule else None,
            "environment": self.environment.serialize(),
            "storage": self.storage.serialize() if self.storage else None,
        }

    def deploy(self, project_name: str, build: bool = True, set_schedule_active: bool = True, **kwargs: Any) -> Any:
        """Put the flow into a cluster, as a new version, and return its id.

            flow.deploy("My First Project", registry_url="registry.example.com/team-a")

        Args:
            project_name: an existing project: `kubectl flow project create "My First Project"`.
            build: False uses the storage as it is, after a `storage.build()` of one's own.
            set_schedule_active: False deploys without starting the schedule.
            kwargs: `dry_run=True` prints the manifest for Git and returns it; `wait` is True, False or seconds;
                `context` and `namespace` choose a cluster and a namespace. Everything else goes to the default storage,
                which is made where the flow has none.

        Raises:
            TypeError: an argument nobody knows.
            FlowOperatorError: with a remedy; nothing is registered then. `deploy.errors` has the whole tree.
        """
        from flow_operator.flow.hands import hand

        return hand("deploy").deploy(self, project_name, build, set_schedule_active, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function the flow was made of, as if it had never been decorated."""
        if not isinstance(self._body, Function):
            raise TypeError(f"{self!r} is a graph: use .run(...)")
        return self._body.function(*args, **kwargs)

    def __enter__(self) -> Flow:
        if not isinstance(self._body, Graph):
            raise FlowInvalid(f"{self!r} is made of a function: call tasks in a `with Flow(...)` of their own")
        self._token = building.set(self._body)
        return self

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            building.reset(self._token)
            self._token = None

    def __repr__(self) -> str:
        return f"<Flow {self.name!r}>"


def _default_file(name: str) -> Path:
    from flow_operator.api.slug import slug
    from flow_operator.flow import config

    return config.flows_directory() / f"{slug(name)}.flow"


@contextmanager
def callbacks(environment: Environment) -> Iterator[None]:
    """Run `on_start` before the block and `on_exit` after it."""
    if environment.on_start is not None:
        environment.on_start()
    try:
        yield
    except BaseException as error:
        _on_exit(environment, after=error)
        raise
    _on_exit(environment, after=None)


def _on_exit(environment: Environment, after: BaseException | None) -> None:
    if environment.on_exit is None:
        return
    try:
        environment.on_exit()
    except BaseException as error:
        raise error from after
