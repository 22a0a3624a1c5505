"""From a place in the image to a flow. What goes wrong here is said in one sentence that names the culprit."""

# ruff: noqa: PTH113, PTH119, PTH120, PTH122, PTH123 - pathlib costs start-up, which every run pays

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from flow_operator.api import wire
from flow_operator.flow.core import Flow
from flow_operator.flow.errors import FlowInvalid

if TYPE_CHECKING:
    from types import ModuleType

    from flow_operator.api.wire import FlowRef


class LoadError(Exception):
    """There is no flow there that could run.

    Attributes:
        reason: ImportFailed, NoSuchFlow, NotAFlow, UnpicklingFailed, FlowInvalid or (in a check)
            EnvironmentDependencyMissing.
        remedy: what its author can do.
        cause: what the author's own code raised, if it did.
    """

    def __init__(self, reason: str, message: str, remedy: str, cause: BaseException | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.remedy = remedy
        self.cause = cause


def load(ref: FlowRef, *, by_value: bool = False) -> Flow:
    """Load a flow; with `by_value`, its functions travel to other processes as code, not as names to import."""
    if not os.path.isfile(ref["location"]):
        raise LoadError("NoSuchFlow", f"there is no file {ref['location']}", "Name a file that the storage holds.")
    found = _attribute(_module(ref["location"], by_value), ref) if ref["attribute"] else _unpickled(ref["location"])
    try:
        flow = _as_flow(found, ref)
        flow.validate()
    except FlowInvalid as error:
        raise LoadError("FlowInvalid", f"{_name(ref)}: {error}", "Mend the flow.") from error
    return flow


def _module(location: str, by_value: bool) -> ModuleType:
    """Execute a source file as a module, as `python flow.py` would find its neighbours."""
    from importlib.util import module_from_spec, spec_from_file_location

    name = _module_name(location, by_value)
    spec = spec_from_file_location(name, location)
    if spec is None or spec.loader is None:
        raise LoadError("ImportFailed", f"{location} is not a Python file", "Give it the ending .py.")
    module = module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, os.path.dirname(location))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _import_failed(location, error) from error
    if by_value:
        import cloudpickle

        cloudpickle.register_pickle_by_value(module)
    return module


def _module_name(location: str, by_value: bool) -> str:
    """The file's stem, unless that hides a module.

    distributed asks pickle first, which would send the functions of an imported module as names that no worker can
    import; it turns to cloudpickle, and so to the code itself, for bytes in which it reads `__main__`.
    """
    stem = "".join(c if c.isalnum() else "_" for c in os.path.splitext(os.path.basename(location))[0])
    if by_value:
        return f"{stem}__main__"
    return f"{stem}_flow" if stem in sys.modules or stem in sys.stdlib_module_names else stem


def _import_failed(location: str, error: BaseException) -> LoadError:
    file = os.path.basename(location)
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        message = f"{file} imports {error.name!r}, which is not {_place()}"
        return LoadError("ImportFailed", message, _add(package), error)
    if isinstance(error, SyntaxError):
        message = (
            f"{file} is not Python {sys.version_info.major}.{sys.version_info.minor}: {error.msg}, line {error.lineno}"
        )
        return LoadError(
            "ImportFailed", message, "Mend the file, or take a base image with the author's Python.", error
        )
    message = f"{file} cannot be imported: {type(error).__name__}: {error}"
    return LoadError("ImportFailed", message, "Mend what runs when the file is imported.", error)


def _place() -> str:
    return "installed here" if wire.HERE_ENV in os.environ else "in the image"


def _add(package: str) -> str:
    if wire.HERE_ENV in os.environ:
        return f"Install the package of {package!r}."
    return f"Add the package of {package!r} to pythonDependencies."


def _attribute(module: ModuleType, ref: FlowRef) -> object:
    found: Any = module
    for name in ref["attribute"].split("."):
        if not hasattr(found, name):
            there = ", ".join(sorted(_flows_of(module))) or "none"
            message = f"there is no {ref['attribute']!r} in {os.path.basename(ref['location'])}; its flows: {there}"
            raise LoadError("NoSuchFlow", message, "Name one of them.")
        found = getattr(found, name)
    return found


def _flows_of(module: ModuleType) -> list[str]:
    """Names in a module that could be meant: flows, or else its own functions."""
    things = {name: thing for name, thing in vars(module).items() if not name.startswith("_")}
    flows = [name for name, thing in things.items() if isinstance(thing, Flow)]
    return flows or [name for name, thing in things.items() if getattr(thing, "__module__", "") == module.__name__]


def _unpickled(location: str) -> object:
    from flow_operator.flow.pickling import loads

    with open(location, "rb") as file:
        data = file.read()
    try:
        return loads(data)
    except Exception as error:
        file_name = os.path.basename(location)
        if isinstance(error, ModuleNotFoundError) and error.name:
            package = error.name.partition(".")[0]
            message = f"{file_name} needs {error.name!r}, which is not {_place()}"
            remedy = _add(package)
        else:
            message = f"{file_name} cannot be unpickled: {type(error).__name__}: {error}"
            remedy = "Pickle it with the image's versions of Python and cloudpickle."
        raise LoadError("UnpicklingFailed", message, remedy, error) from error


def _as_flow(found: object, ref: FlowRef) -> Flow:
    import types

    if isinstance(found, Flow):
        return found
    if isinstance(found, types.FunctionType):
        return Flow.from_function(found)
    message = f"{_name(ref)} is not a flow but of type {type(found).__name__}"
    raise LoadError("NotAFlow", message, "Name a Flow, or a function.")


def _name(ref: FlowRef) -> str:
    return ":".join(part for part in (os.path.basename(ref["location"]), ref["attribute"]) if part)
