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
