"""What can fail around a flow."""

from __future__ import annotations


class RunFailed(Exception):
    """The flow could not run, or not to its end, for a reason that is not its own.

    Attributes:
        reason: BadExecutor, SchedulerUnreachable, NoWorkers, SchedulerLost, EnvironmentDependencyMissing, SetupFailed,
            or what an EnvironmentFailed says (flow/errors.py).
        remedy: what to do about it; empty where the reason alone says it.
        code: what the runner exits with: 1, or as the flow did elsewhere.
    """

    def __init__(self, reason: str, message: str, *, remedy: str = "", code: int = 1) -> None:
        super().__init__(message)
        self.reason = reason
        self.remedy = remedy
        self.code = code


class StepFailed(Exception):
    """A step of the environment raised.

    Attributes:
        step: setup or execute.
        error: what it raised.
        flow: whether that was what the flow itself had raised.
    """

    def __init__(self, step: str, error: BaseException, *, flow: bool) -> None:
        super().__init__(str(error))
        self.step = step
        self.error = error
        self.flow = flow
