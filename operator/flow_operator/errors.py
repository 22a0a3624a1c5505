"""What flow-operator raises on purpose. Each has a `message` that names the thing and a `remedy`.

    FlowOperatorError
    +-- FlowInvalid       a flow that cannot run as it is written
    +-- ParameterError    parameters that do not fit the flow
    +-- SettingsError     a file of settings that cannot be read
    +-- StorageError      a storage that cannot do what it is asked
    +-- EnvironmentFailed an environment that could not run the flow, or saw it fail elsewhere
    +-- DeployError       what `flow.deploy` may raise
    |   +-- DeployRefused     before anything is built or written
    |   |   `-- UnknownProject
    |   +-- ClusterError      the cluster did not answer, or did not take the manifest
    |   `-- DeployFailed      it was taken and did not become ready: `reason` is the condition's
    `-- BuildError        no image: `reason` is one of docs/status.md

Importing this module loads nothing heavy: `BuildError` comes from its room when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flow_operator.api.errors import FlowOperatorError
from flow_operator.flow.errors import (
    ClusterError,
    DeployError,
    DeployFailed,
    DeployRefused,
    EnvironmentFailed,
    FlowInvalid,
    ParameterError,
    SettingsError,
    StorageError,
    UnknownProject,
)

if TYPE_CHECKING:
    from flow_operator.images.errors import BuildError

__all__ = [
    "BuildError",
    "ClusterError",
    "DeployError",
    "DeployFailed",
    "DeployRefused",
    "EnvironmentFailed",
    "FlowInvalid",
    "FlowOperatorError",
    "ParameterError",
    "SettingsError",
    "StorageError",
    "UnknownProject",
]


def __getattr__(name: str) -> Any:
    if name != "BuildError":
        raise AttributeError(f"module 'flow_operator.errors' has no attribute {name!r}")
    from flow_operator.images.errors import BuildError

    return BuildError
