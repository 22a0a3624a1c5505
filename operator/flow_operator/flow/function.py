"""A plain function as the body of a flow."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any

from flow_operator.flow.parameters import of_signature

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flow_operator.flow.parameters import ParameterSpec


class Function:
    """Runs the function itself, in the main process."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.specs, self.is_open = of_signature(function)

    def parameters(self) -> tuple[ParameterSpec, ...]:
        """What its signature takes."""
        return self.specs

    def compute(self, values: Mapping[str, Any]) -> Any:
        """Call it. A coroutine is run, and a lazy value computed: returned as they are they would be lost work."""
        result = self.function(**values)
        if inspect.iscoroutine(result):
            import asyncio

            result = asyncio.run(result)
        if "dask.delayed" in sys.modules:
            from dask.delayed import Delayed

            if isinstance(result, Delayed):
                result = result.compute()
        return result
