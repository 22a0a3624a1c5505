"""What can be wrong with a flow before any of its code runs. The whole tree is drawn in `flow_operator/errors.py`."""

from __future__ import annotations

from flow_operator.api.errors import FlowOperatorError


class FlowInvalid(FlowOperatorError, ValueError):
    """A flow that cannot run as it is written: no tasks, a cycle, a signature that JSON parameters cannot fill."""


class ParameterError(FlowOperatorError, TypeError):
    """Parameters that do not fit the flow: unknown, missing, or of another type."""


class SettingsError(FlowOperatorError, ValueError):
    """A file of settings that cannot be read, or a setting of the wrong shape."""


class StorageError(FlowOperatorError, ValueError):
    """A storage that cannot do what it is asked: names that clash, files that are missing, an unknown location."""


class EnvironmentFailed(FlowOperatorError):
    """An environment could not run the flow, or saw it fail elsewhere.

    Attributes:
        reason: AwsRefused, AwsUnreachable, TaskNotStarted, TaskStopped, TaskFailed, OutOfMemory, OnStartFailed or
            OnExitFailed.
        code: what the flow's process exited with, where there was one; else 1.
    """

    def __init__(self, reason: str, message: str, *, remedy: str | None = None, code: int = 1) -> None:
        super().__init__(message, remedy=remedy)
        self.reason = reason
        self.code = code


class DeployError(FlowOperatorError):
    """A deploy that ended without a new version that can run."""


class DeployRefused(DeployError, ValueError):
    """Refused before anything was built or written."""


class UnknownProject(DeployRefused):
    """No project of that name in the cluster, or none that may be seen."""


class ClusterError(DeployError):
    """The cluster did not answer, or did not take what it was sent."""


class DeployFailed(DeployError):
    """The cluster took the new version, and it did not become ready.

    Attributes:
        reason: the condition's, one of docs/status.md; "Timeout" where nothing was said in time.
    """

    def __init__(self, message: str, *, remedy: str | None = None, reason: str = "Timeout") -> None:
        super().__init__(message, remedy=remedy)
        self.reason = reason
