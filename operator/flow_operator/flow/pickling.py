"""Flows as bytes: how a flow of a notebook or a laptop travels."""

from __future__ import annotations

import copy
import functools
import io
import pickle
import site
import sys
import sysconfig
import tempfile
import types
from contextlib import ExitStack
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from flow_operator.flow.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

    from flow_operator.flow.core import Flow


_DEFINED = (types.FunctionType, type, TypeVar)
_PACKAGES = {"site-packages", "dist-packages"}  # the latter is Debian's
_OF_THE_PLACE = {
    "__builtins__", "__cached__", "__loader__", "__path__", "__spec__", "__warningregistry__",
}  # fmt: skip


def dumps(flow: Flow, *, with_storage: bool = False) -> bytes:
    """Pickle a flow with its code.

    What notebooks and the author's own modules define goes by value, and so does all of their own that it uses, since
    the pod has no such module; what is installed goes by name. The same flow gives the same bytes wherever its file is.
    Its storage stays behind: where a flow is kept is no part of it, and the image's digest would change with the
    image's tag.
    """
    _ = flow.environment  # the default one is made when it is asked for: before the copy, not after
    subject = copy.copy(flow)
    if not with_storage:
        subject.storage = None
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
    if found.storage is not None:
        found.storage.attach(found)  # whose storage it is does not travel
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
        """Takes the author's own modules along, and leaves their folders out: they are different in CI, and nobody
        else's business.
        """

        dispatch_table = cloudpickle.Pickler.dispatch_table.new_child({types.CodeType: reduce_alike})

        def reducer_override(self, value: Any) -> Any:
            if isinstance(value, types.ModuleType):
                if not own(value):
                    return NotImplemented
                taken.append(value)
                return _by_value(value)
            if isinstance(value, _DEFINED):
                module = sys.modules.get(str(getattr(value, "__module__", None)))
                if module is not None and own(module):
                    _register(module, stack)
            return _untracked(super().reducer_override(value))

        def _function_getnewargs(self, function: types.FunctionType) -> Any:
            arguments = super()._function_getnewargs(function)
            for module in self.globals_ref.values():
                module.pop("__path__", None)
                if "__file__" in module:
                    module["__file__"] = _placeless(module["__file__"])
            return arguments

    own = functools.cache(_is_own)
    taken: list[ModuleType] = []
    buffer = io.BytesIO()
    with ExitStack() as stack:
        try:
            Pickler(buffer).dump(subject)
        except Exception as error:
            raise _unpicklable(subject, taken, error) from error
    return buffer.getvalue()


def _unpicklable(flow: Flow, modules: Iterable[ModuleType], error: Exception) -> StorageError:
    """What stood in the way: of a module that goes whole, the first variable that cannot be pickled by itself."""
    words = f"{type(error).__name__}: {error}".rstrip(".")
    for module in modules:
        for name, value in vars(module).items():
            if name not in _OF_THE_PLACE and not isinstance(value, (types.ModuleType, *_DEFINED)) and _is_stuck(value):
                return StorageError(
                    f"Flow {flow.name!r} uses the module {module.__name__}, whose {name} cannot be pickled: {words}.",
                    remedy=f"Make {name} where it is used, inside a function; or import by name what the flow needs "
                    f"(from {module.__name__} import …): then the rest of the module stays behind.",
                )
    return StorageError(
        f"Flow {flow.name!r} cannot be pickled: {words}.",
        remedy="Make what cannot travel (connections, locks, open files) inside the task that uses it.",
    )


def _is_stuck(value: object) -> bool:
    import cloudpickle

    try:
        cloudpickle.dumps(value)
    except Exception:  # noqa: BLE001 - whatever its author's __reduce__ raises
        return True
    return False


def _register(module: ModuleType, stack: ExitStack) -> None:
    """What a module defines goes by value until the stack is closed."""
    import cloudpickle

    if module.__name__ not in cloudpickle.list_registry_pickle_by_value():
        cloudpickle.register_pickle_by_value(module)
        stack.callback(cloudpickle.unregister_pickle_by_value, module)


def _by_value(module: ModuleType) -> Any:
    """A module as what it holds. It holds it once it is made: modules may hold each other."""
    state = {name: value for name, value in vars(module).items() if name not in _OF_THE_PLACE}
    if state.get("__file__"):
        state["__file__"] = _placeless(state["__file__"])
    return types.ModuleType, (module.__name__,), state


def _untracked(reduced: Any) -> Any:
    """Without the random number by which cloudpickle knows a class again that it was given twice."""
    from cloudpickle import cloudpickle

    if isinstance(reduced, tuple) and reduced[0] in (cloudpickle._make_skeleton_class, cloudpickle._make_skeleton_enum):
        make, (*arguments, _number, extra), *rest = reduced
        return make, (*arguments, None, extra), *rest
    return reduced


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


def _is_own(module: ModuleType) -> bool:
    """Whether a module is the author's: Python source that is neither the standard library's nor was installed."""
    name = module.__name__
    if name == "__main__" or name.partition(".")[0] == __name__.partition(".")[0]:
        return False  # cloudpickle knows the one; every image has the other, be it from a checkout here
    file = getattr(module, "__file__", None)
    files: list[str] = [file] if file else list(getattr(module, "__path__", ()))
    return any(_is_own_file(Path(file)) for file in files)


def _is_own_file(file: Path) -> bool:
    if file.suffix in EXTENSION_SUFFIXES or not _PACKAGES.isdisjoint(file.parts):
        return False
    return not any(file.is_relative_to(home) for home in _homes())


@functools.cache
def _homes() -> tuple[str, ...]:
    """Where this interpreter keeps what is installed; looking it up took half of the pickling of a small flow."""
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return (*paths, site.getusersitepackages())
