"""Flows as bytes: how a flow of a notebook or a laptop travels."""

from __future__ import annotations

import pickle
import sys
import sysconfig
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow_operator.flow.function import Function
from flow_operator.flow.graph import TaskCall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from flow_operator.flow.core import Flow


def dumps(flow: Flow) -> bytes:
    """Pickle a flow with its code.

    What notebooks and the author's own modules define goes by value, since the pod has no such module; what is
    installed goes by name.
    """
    import cloudpickle

    with ExitStack() as stack:
        for module in _own_modules(flow):
            if module.__name__ not in cloudpickle.list_registry_pickle_by_value():
                cloudpickle.register_pickle_by_value(module)
                stack.callback(cloudpickle.unregister_pickle_by_value, module)
        return bytes(cloudpickle.dumps(flow))


def loads(data: bytes) -> object:
    """Unpickle what `dumps` gave. This runs code: only for bytes that may."""
    return pickle.loads(data)  # noqa: S301


def _own_modules(flow: Flow) -> list[ModuleType]:
    names = {getattr(function, "__module__", None) for function in _functions(flow)} - {None, "__main__"}
    modules = [sys.modules[name] for name in sorted(map(str, names)) if name in sys.modules]
    return [module for module in modules if not _installed(module)]


def _functions(flow: Flow) -> Iterator[Callable[..., Any] | None]:
    yield flow.environment.on_start
    yield flow.environment.on_exit
    if isinstance(flow.body, Function):
        yield flow.body.function
    else:
        yield from (node.task.function for node in flow.body.nodes if isinstance(node, TaskCall))


def _installed(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    homes = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    return file is None or any(Path(file).is_relative_to(home) for home in homes)
