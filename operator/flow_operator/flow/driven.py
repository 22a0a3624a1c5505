"""The flow that this process runs by the steps of its environment: how it went is the run's own outcome.

Its callbacks are the business of whoever drives it. Other flows, which a flow may call, have their own as ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from flow_operator.flow.core import Flow


class Driven:
    """One flow, and what came of the last time it ran."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.ran = False
        self.result: Any = None
        self.error: BaseException | None = None

    def watch(self, compute: Callable[[], Any]) -> Any:
        """Run it, and remember how it ended."""
        self.ran, self.result, self.error = True, None, None
        try:
            self.result = compute()
        except BaseException as error:
            self.error = error
            raise
        return self.result


current: Driven | None = None
