"""`Flow`: a name, a body, and where and how it runs."""

from __future__ import annotations

import functools
import types
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flow_operator.flow.errors import FlowInvalid
from flow_operator.flow.function import Function
from flow_operator.flow.graph import Graph, building
from flow_operator.flow.parameters import bind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextvars import Token

    from flow_operator.flow.environments import Environment
    from flow_operator.flow.parameters import ParameterSpec
    from flow_operator.flow.storage import Storage


class Flow:
    """A named graph of tasks.

        with Flow("squares", environment=DaskKubernetesEnvironment(max_workers=4)) as squares:
            n = Parameter("n", default=10)
            total(numbers(n))

        squares.run(n=20)

    The flow's result is the value of its terminal task, the one nobody depends on; with several terminal tasks it is
    a dict from their names to their values. Calls of one task are told apart as "square", "square-2", and so on.
    Storage and environment may also be assigned later.
    """

    def __init__(self, name: str, *, storage: Storage | None = None, environment: Environment | None = None) -> None:
        if not isinstance(name, str) or not name.strip():
            raise ValueError("a flow needs a name")
        self.name = name
        self.storage = storage
        self._environment = environment
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
    ) -> Flow:
        """Make a flow whose body is the function: what `@flow` does."""
        if not isinstance(function, types.FunctionType):
            raise TypeError(f"a flow is made of a function, not of {function!r}")
        made = cls(name or function.__name__, storage=storage, environment=environment)
        made._body = Function(function)
        functools.update_wrapper(made, function)
        return made

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
        an error of its own is raised with the flow's error as its cause.
        """
        self.validate()
        values = self.bind(parameters)
        with callbacks(self.environment), self.environment.local_executor().session():
            return self.compute(values)

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
