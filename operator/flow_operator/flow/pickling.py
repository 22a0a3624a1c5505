"""Flows as bytes: how a flow of a notebook or a laptop travels."""

from __future__ import annotations

import copy
import io
import pickle
import sys
import sysconfig
import tempfile
import types
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow_operator.flow.errors import StorageError
from flow_operator.flow.function import Function
from flow_operator.flow.graph import TaskCall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from flow_operator.flow.core import Flow


def dumps(flow: Flow, *, with_storage: bool = False) -> bytes:
    """Pickle a flow with its code.

    What notebooks and the author's own modules define goes by value, since the pod has no such module; what is
    installed goes by name. The same flow gives the same bytes wherever its file is. Its storage stays behind: where a
    flow is kept is no part of it, and the image's digest would change with the image's tag.
    """
    import cloudpickle

    _ = flow.environment  # the default one is made when it is asked for: before the copy, not after
    subject = copy.copy(flow)
    if not with_storage:
        subject.storage = None
    with ExitStack() as stack:
        for module in _own_modules(flow):
            if module.__name__ not in cloudpickle.list_registry_pickle_by_value():
                cloudpickle.register_pickle_by_value(module)
                stack.callback(cloudpickle.unregister_pickle_by_value, module)
        return _pickled(subject)


def loads(data: bytes) -> object:
    """Unpickle what `dumps` gave. This runs code: only for bytes that may."""
    return pickle.loads(data)  # noqa: S301


def load_flow(data: bytes, where: str) -> Flow:
    """Unpickle a flow, or say why there is none.

    Raises:
        StorageError: naming what could not be read.
    """
    from flow_operator.flow.core import Flow

    try:
        found = loads(data)
    except Exception as error:
        raise StorageError(
            f"{where} cannot be unpickled: {type(error).__name__}: {error}.",
            remedy="Read it with the Python and the packages it was written with.",
        ) from error
    if not isinstance(found, Flow):
        raise StorageError(f"{where} holds no flow but a {type(found).__name__}.")
    return found


def write(path: Path, data: bytes) -> str:
    """Write a file at once, so that nobody ever reads half a flow; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            file.write(data)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return str(path)


def _pickled(subject: Flow) -> bytes:
    import cloudpickle

    reduce_code = cloudpickle.Pickler.dispatch_table[types.CodeType]

    def reduce_alike(code: types.CodeType) -> Any:
        code = code.replace(co_filename=_placeless(code.co_filename))
        make, arguments = reduce_code(code)
        return make, tuple(_in_order(each) if each is code.co_consts else each for each in arguments)

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        """Leaves the author's folders out: they are different in CI, and nobody else's business."""

        dispatch_table = cloudpickle.Pickler.dispatch_table.new_child({types.CodeType: reduce_alike})

        def _function_getnewargs(self, function: types.FunctionType) -> Any:
            arguments = super()._function_getnewargs(function)
            for module in self.globals_ref.values():
                if "__file__" in module:
                    module["__file__"] = _placeless(module["__file__"])
            return arguments

    buffer = io.BytesIO()
    Pickler(buffer).dump(subject)
    return buffer.getvalue()


def _placeless(file: str) -> str:
    return Path(file).name if Path(file).is_absolute() else file


class _Ordered:
    """Stands for a set among the constants of code, `x in {"a", "b"}`: its order is another in every process."""

    def __init__(self, items: frozenset[Any]) -> None:
        self._items = sorted(items, key=repr)

    def __reduce__(self) -> Any:
        return frozenset, (self._items,)


def _in_order(constants: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(_Ordered(each) if isinstance(each, frozenset) else each for each in constants)


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
