"""A task of Amazon ECS on Fargate."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from flow_operator.flow.environments.base import Environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from flow_operator.flow.storage import Storage

# What goes to RegisterTaskDefinition and to RunTask, in AWS' words; two keys go to both, others go nowhere.
REGISTER = (
    "family",
    "taskRoleArn",
    "executionRoleArn",
    "networkMode",
    "containerDefinitions",
    "volumes",
    "placementConstraints",
    "requiresCompatibilities",
    "cpu",
    "memory",
    "tags",
    "pidMode",
    "ipcMode",
    "proxyConfiguration",
    "inferenceAccelerators",
)
RUN = (
    "cluster",
    "taskDefinition",
    "count",
    "startedBy",
    "group",
    "placementConstraints",
    "placementStrategy",
    "platformVersion",
    "networkConfiguration",
    "tags",
    "enableECSManagedTags",
    "propagateTags",
)


class FargateTaskEnvironment(Environment):
    """A task of Amazon ECS on Fargate, registered once and followed to its end; its first container runs the flow.

    Args:
        aws_access_key_id: by default $AWS_ACCESS_KEY_ID where the flow runs, else none.
        aws_secret_access_key: by default $AWS_SECRET_ACCESS_KEY, else none.
        aws_session_token: by default $AWS_SESSION_TOKEN, else none.
        region_name: by default $AWS_REGION or $AWS_DEFAULT_REGION, else none.
        labels, on_start, on_exit: see `Environment`.
        **kwargs: arguments of RegisterTaskDefinition and RunTask, in AWS' words.
    """

    def __init__(
        self,
        aws_access_key_id: str | None = None,
        aws_secret_access_key: str | None = None,
        aws_session_token: str | None = None,
        region_name: str | None = None,
        *,
        labels: Iterable[str] | None = None,
        on_start: Callable[[], object] | None = None,
        on_exit: Callable[[], object] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(labels=labels, on_start=on_start, on_exit=on_exit)
        self.aws_access_key_id = aws_access_key_id
        self.aws_secret_access_key = aws_secret_access_key
        self.aws_session_token = aws_session_token
        self.region_name = region_name or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        self.register_options = {key: kwargs[key] for key in REGISTER if key in kwargs}
        self.run_options = {key: kwargs[key] for key in RUN if key in kwargs}

    @property
    def dependencies(self) -> tuple[str, ...]:
        """AWS' own client, in the flow's image."""
        return ("boto3", "botocore")

    def setup(self, storage: Storage) -> None:
        """Register the task definition where there is none."""
        raise NotImplementedError("FargateTaskEnvironment")

    def execute(self, storage: Storage, flow_location: str, **kwargs: Any) -> Any:
        """Run the task, and follow it to its end."""
        raise NotImplementedError("FargateTaskEnvironment")

    def _kind(self) -> dict[str, Any]:
        # Credentials and options travel with the flow; a resource is for everybody to read.
        return {"fargateTask": {"region": self.region_name} if self.region_name else {}}

    @classmethod
    def _restored(cls, metadata: Mapping[str, Any]) -> FargateTaskEnvironment:
        return FargateTaskEnvironment(labels=metadata.get("labels"))
