"""What can fail around a flow."""

from __future__ import annotations


class RunFailed(Exception):
    """The flow could not run, or not to its end, for a reason that is not its own.

    Attributes:
        reason: BadExecutor, SchedulerUnreachable, NoWorkers or SchedulerLost.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
