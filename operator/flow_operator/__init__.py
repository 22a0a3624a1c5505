"""Python flows on Kubernetes: write them here, run them there.

    from flow_operator import Flow, Parameter, flow, task

Importing this package is nearly free: everything heavy is loaded when it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# Loaded now, not lazily: once the subpackage `flow_operator.flow` is imported, Python binds that name to the module.
# This import comes later than the binding, and wins.
from flow_operator.flow.decorators import flow, task

if TYPE_CHECKING:
    from flow_operator.flow.core import Flow
    from flow_operator.flow.errors import FlowInvalid, ParameterError
    from flow_operator.flow.graph import Parameter

__version__ = "0.1.0"
__all__ = ["Flow", "FlowInvalid", "Parameter", "ParameterError", "__version__", "flow", "task"]

_HOMES = {"Flow": "core", "FlowInvalid": "errors", "Parameter": "graph", "ParameterError": "errors"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'flow_operator' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"flow_operator.flow.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
