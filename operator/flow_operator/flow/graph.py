"""Tasks and parameters as nodes of a graph, computed by Dask. There is no scheduler of our own."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NoReturn

from flow_operator.flow.errors import FlowInvalid
from flow_operator.flow.parameters import REQUIRED, ParameterSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

building: ContextVar[Graph | None] = ContextVar("flow_operator_building", default=None)


class Node:
    """A value of a flow that is known only when the flow runs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.upstream: list[Node] = []

    def set_upstream(self, other: Node) -> None:
        """Run after `other`, without taking its result."""
        self.upstream.append(other)

    def inputs(self) -> Iterator[Node]:
        """The nodes whose values this one takes."""
        yield from ()

    def __bool__(self) -> NoReturn:
        raise TypeError(f"{self!r} has no value while the flow is being built: decide inside a task")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


class Parameter(Node):
    """A value given when the flow is run. Without a default it is required.

    with Flow("squares") as squares:
        n = Parameter("n", default=10)
        total(numbers(n))
    """

    def __init__(self, name: str, *, default: Any = REQUIRED) -> None:
        if not isinstance(name, str) or not name:
            raise ValueError("a parameter needs a name")
        super().__init__(name)
        self.default = default
        graph = building.get()
        if graph is not None:
            graph.add(self)

    @property
    def spec(self) -> ParameterSpec:
        """What the flow declares about it."""
        return ParameterSpec(self.name, self.default)


class TaskCall(Node):
    """One call of a task."""

    def __init__(self, task: Task, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().__init__(task.name)
        self.task = task
        self.args = args
        self.kwargs = kwargs

    def inputs(self) -> Iterator[Node]:
        """The nodes among the arguments, nested ones included."""
        yield from _nodes([*self.args, self.kwargs])


class Task:
    """A function that becomes part of a flow's graph when it is called inside `with Flow(...)`."""

    def __init__(self, function: Callable[..., Any], *, name: str | None = None) -> None:
        if not callable(function):
            raise TypeError(f"a task is made of a function, not of {function!r}")
        if inspect.iscoroutinefunction(function):
            raise TypeError("a task is a plain function, not a coroutine function")
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name or function.__name__

    def __call__(self, *args: Any, upstream_tasks: Iterable[Node] = (), **kwargs: Any) -> Any:
        """Add the call to the flow being built; outside of one, call the function."""
        graph = building.get()
        if graph is None:
            return self.function(*args, **kwargs)
        inspect.signature(self.function).bind(*args, **kwargs)  # a wrong call is an error on its own line
        call = TaskCall(self, args, kwargs)
        call.upstream.extend(upstream_tasks)
        graph.add(call)
        return call

    def __repr__(self) -> str:
        return f"<Task {self.name!r}>"


class Graph:
    """The nodes of a flow, in the order they were added."""

    def __init__(self) -> None:
        self.nodes: dict[Node, str] = {}  # with a name that is unique in the flow: "square", "square-2"

    def add(self, node: Node) -> None:
        """Take a node in, and whatever it depends on."""
        if node in self.nodes:
            return
        if isinstance(node, Parameter) and node.name in self.nodes.values():
            raise FlowInvalid(f"parameter {node.name!r} is declared twice, or a task has its name")
        self.nodes[node] = self._unique(node.name)
        for other in (*node.inputs(), *node.upstream):
            self.add(other)

    def parameters(self) -> tuple[ParameterSpec, ...]:
        """The parameters, in the order they were declared."""
        return tuple(node.spec for node in self.nodes if isinstance(node, Parameter))

    def ordered(self) -> list[Node]:
        """Every node after those it depends on.

        Raises:
            FlowInvalid: naming the tasks of a cycle, or when there are parameters and no tasks.
        """
        from graphlib import CycleError, TopologicalSorter

        for other in [other for node in self.nodes for other in node.upstream]:
            self.add(other)  # set_upstream may have named a task that was called elsewhere
        sorter = TopologicalSorter({node: (*node.inputs(), *node.upstream) for node in self.nodes})
        try:
            order = list(sorter.static_order())
        except CycleError as error:
            path = " -> ".join(self.nodes[node] for node in reversed(error.args[1]))
            raise FlowInvalid(f"tasks wait for each other: {path}") from None
        if order and not any(isinstance(node, TaskCall) for node in order):
            raise FlowInvalid("there are no tasks: call at least one inside `with Flow(...)`")
        return order

    def terminals(self) -> list[TaskCall]:
        """The tasks nobody depends on: their values are the flow's result."""
        used = {other for node in self.nodes for other in (*node.inputs(), *node.upstream)}
        return [node for node in self.nodes if isinstance(node, TaskCall) and node not in used]

    def compute(self, values: Mapping[str, Any]) -> Any:
        """Run everything on Dask: the value of the one terminal task, or of several a dict by name."""
        if not self.nodes:
            return None
        import dask

        from flow_operator.flow.delayed import delay

        lazy = delay(self, values)
        terminals = self.terminals()
        results = dask.compute(*[lazy[node] for node in terminals])
        if len(terminals) == 1:
            return results[0]
        return {self.nodes[node]: result for node, result in zip(terminals, results, strict=True)}

    def _unique(self, name: str) -> str:
        taken = set(self.nodes.values())
        number, candidate = 1, name
        while candidate in taken:
            number += 1
            candidate = f"{name}-{number}"
        return candidate


def is_named_tuple(value: Any) -> bool:
    """Whether a value is a tuple with a name for each item."""
    return isinstance(value, tuple) and hasattr(value, "_fields") and hasattr(value, "_make")


def is_record(value: Any) -> bool:
    """Whether a value is an instance of a dataclass."""
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def fields_of(record: Any) -> dict[str, Any]:
    """The values of a dataclass' instance, by name."""
    return {each.name: getattr(record, each.name) for each in dataclasses.fields(record) if hasattr(record, each.name)}


def holds_nodes(value: Any) -> bool:
    """Whether there is something in it that is known only when the flow runs."""
    return any(True for _ in _nodes(value))


def _nodes(value: Any) -> Iterator[Node]:
    """The nodes in a value.

    Raises:
        FlowInvalid: there are some where `delayed` could not put their values: the task would be given the nodes.
    """
    if isinstance(value, Node):
        yield value
    else:
        found = [node for item in _items(value) for node in _nodes(item)]
        if found and not _is_filled(value):
            raise FlowInvalid(
                f"{found[0]!r} is in a {type(value).__name__}, where its value cannot be put: use a list, tuple, set, "
                "dict, named tuple or dataclass, or give it to the task by itself"
            )
        yield from found


def _items(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, (list, tuple, set, frozenset)):
        return value
    return fields_of(value).values() if is_record(value) else ()


def _is_filled(value: Any) -> bool:
    """What `delayed` makes anew with values in the places of nodes: of a class of somebody's own it cannot know how."""
    return type(value) in (list, tuple, set, frozenset, dict) or is_named_tuple(value) or is_record(value)
