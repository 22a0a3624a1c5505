"""From a flow's graph to `dask.delayed`."""

from __future__ import annotations

import copy
import uuid
from typing import TYPE_CHECKING, Any

from dask.delayed import delayed

from flow_operator.flow.graph import Graph, Node, Parameter, TaskCall, fields_of, holds_nodes, is_named_tuple, is_record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def delay(graph: Graph, values: Mapping[str, Any]) -> dict[Node, Any]:
    """Every task as a lazy value of Dask. Its key is the task's name, unique to this run on a shared cluster."""
    run = uuid.uuid4().hex
    call, done = delayed(_call, traverse=False), delayed(_done, traverse=False)
    lazy: dict[Node, Any] = {}
    for node in graph.ordered():
        key = f"{graph.nodes[node]}-{run}"
        if isinstance(node, Parameter):
            lazy[node] = values[node.name]
        elif isinstance(node, TaskCall):
            after = [
                done(lazy[other], dask_key_name=f"after-{graph.nodes[other]}-{key}")
                for other in node.upstream
                if isinstance(other, TaskCall)
            ]
            args, kwargs = _filled(list(node.args), lazy), _filled(node.kwargs, lazy)
            lazy[node] = call(node.task.function, args, kwargs, after, dask_key_name=key)
    return lazy


def _call(function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any], after: list[None]) -> Any:  # noqa: ARG001
    return function(*args, **kwargs)


def _done(value: Any) -> None:
    """Stand for a finished task where only the order counts: its result stays on its worker."""


def _filled(value: Any, lazy: Mapping[Node, Any]) -> Any:
    if isinstance(value, Node):
        return lazy[value]
    if type(value) in (list, tuple, set, frozenset):
        return type(value)([_filled(item, lazy) for item in value])
    if type(value) is dict:
        return {key: _filled(item, lazy) for key, item in value.items()}
    if is_named_tuple(value):
        return type(value)._make(_filled(item, lazy) for item in value)
    return _filled_record(value, lazy) if is_record(value) and holds_nodes(value) else value


def _filled_record(record: Any, lazy: Mapping[Node, Any]) -> Any:
    """A copy of a dataclass' instance. Its constructor must not see what is lazy; Dask calls it with the values."""
    made = copy.copy(record)
    for name, item in fields_of(record).items():
        object.__setattr__(made, name, _filled(item, lazy))  # frozen ones too
    return made
