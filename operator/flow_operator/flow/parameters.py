"""A flow's parameters: what it takes, and whether given ones fit. Values are JSON, as they come from a manifest."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_operator.flow.errors import FlowInvalid, ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

REQUIRED = inspect.Parameter.empty  # pickled by reference, so it stays itself

_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
    "list": (list,),
    "dict": (dict,),
    "None": (type(None),),
}


class ParameterSpec(NamedTuple):
    """One parameter of a flow."""

    name: str
    default: Any = REQUIRED
    annotation: str = ""  # as written, "int | None"; types that are not JSON's are not checked

    @property
    def required(self) -> bool:
        """Whether a run must give it."""
        return self.default is REQUIRED

    def serialize(self) -> dict[str, Any]:
        """Itself in JSON; a default that is not JSON is left out."""
        import contextlib
        import json

        found: dict[str, Any] = {"name": self.name, "required": self.required}
        if not self.required:
            with contextlib.suppress(TypeError, ValueError):
                found["default"] = json.loads(json.dumps(self.default, allow_nan=False))
        return found

    def accepts(self, value: object) -> bool:
        """Whether a JSON value is of the annotated type. None is fine where it is the default."""
        types = _json_types(self.annotation)
        if not types or (value is None and self.default is None):
            return True
        return isinstance(value, types) and (bool in types or not isinstance(value, bool))


def of_signature(function: Callable[..., Any]) -> tuple[tuple[ParameterSpec, ...], bool]:
    """A function's parameters, and whether it takes unknown ones too (`**kwargs`)."""
    specs, is_open = [], False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            is_open = True
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
            raise FlowInvalid(f"parameter {str(parameter)!r} of {function.__name__} cannot be given by name")
        else:
            specs.append(ParameterSpec(parameter.name, parameter.default, _written(parameter.annotation)))
    return tuple(specs), is_open


def bind(
    flow: str, specs: Iterable[ParameterSpec], given: Mapping[str, Any], *, is_open: bool = False
) -> dict[str, Any]:
    """The value of every parameter, defaults included.

    Raises:
        ParameterError: naming the parameters that are unknown, missing or of another type.
    """
    known = {spec.name: spec for spec in specs}
    complaints = [] if is_open else _unknown(known, given)
    complaints += [f"parameter {s.name!r} is required" for s in known.values() if s.required and s.name not in given]
    complaints += [
        f"parameter {spec.name!r} must be {spec.annotation}, not {type(given[spec.name]).__name__}"
        for spec in known.values()
        if spec.name in given and not spec.accepts(given[spec.name])
    ]
    if complaints:
        raise ParameterError(f"flow {flow!r}: " + "; ".join(complaints))
    return {s.name: s.default for s in known.values() if not s.required} | dict(given)


def _unknown(known: Mapping[str, ParameterSpec], given: Mapping[str, Any]) -> list[str]:
    takes = ", ".join(known) or "none"
    return [f"unknown parameter {name!r} (it takes: {takes})" for name in given if name not in known]


def _written(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return ""
    if isinstance(annotation, str):
        return annotation
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).removeprefix("typing.")


def _json_types(annotation: str) -> tuple[type, ...]:
    if annotation.startswith("Optional["):
        annotation = f"{annotation[9:-1]} | None"
    words = [word.split("[")[0].strip() for word in annotation.split("|")]
    known = [_JSON_TYPES.get(word) for word in words]
    return tuple(t for types in known if types for t in types) if all(known) else ()
