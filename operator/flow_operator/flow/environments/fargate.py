"""A task of Amazon ECS on Fargate."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from flow_operator.api import wire
from flow_operator.api.slug import slug
from flow_operator.flow.environments.base import Environment
from flow_operator.flow.fargate import options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from flow_operator.api.wire import RunRequest
    from flow_operator.flow.fargate.ecs import Ecs
    from flow_operator.flow.storage import Storage

_CREDENTIALS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")


class FargateTaskEnvironment(Environment):
    """A task of Amazon ECS on Fargate, registered once and followed to its end; its first container runs the flow.

    Credentials are for this process: they never travel with the flow. In a cluster they come from the Secret that
    `spec.environment.fargateTask.credentialsSecret` names, or from a role of the pod.

    Args:
        aws_access_key_id: by default what boto3 finds, such as $AWS_ACCESS_KEY_ID.
        aws_secret_access_key: by default what boto3 finds.
        aws_session_token: by default what boto3 finds.
        region_name: by default $AWS_REGION or $AWS_DEFAULT_REGION.
        labels, on_start, on_exit: see `Environment`. The callbacks are called in the task.
        **kwargs: arguments of RegisterTaskDefinition and RunTask, in AWS' words; others are not sent. `family` and
            `taskDefinition` are the same text. Image and command of the first of `containerDefinitions` are replaced.
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
        self.region_name = region_name or _region_here()
        self.register_options, self.run_options = options.split(kwargs)
        options.check(self.register_options, self.run_options)

    @classmethod
    def of_resource(cls, settings: Mapping[str, Any], declared: Environment) -> FargateTaskEnvironment:
        """Return the environment of a run: what a FlowDeployment says, else what the flow itself declares."""
        own = declared if isinstance(declared, FargateTaskEnvironment) else None
        made = cls(region_name=settings.get("region") or _region_here() or (own.region_name if own else None))
        made.register_options = own.register_options if own else {}
        made.run_options = own.run_options if own else {}
        if "registerOptions" in settings:
            made.register_options = options.split(settings["registerOptions"])[0]
        if "runOptions" in settings:
            made.run_options = options.split(settings["runOptions"])[1]
        options.check(made.register_options, made.run_options)
        return made

    @property
    def dependencies(self) -> tuple[str, ...]:
        """AWS' own client, in the flow's image."""
        return ("boto3", "botocore")

    def check_storage(self, storage: Storage) -> None:
        """Raise TypeError where the flow is in no image."""
        from flow_operator.flow.storage import Docker

        if not isinstance(storage, Docker):
            raise TypeError(f"FargateTaskEnvironment needs a flow in an image: Docker storage, not {storage.name}")

    def setup(self, storage: Storage) -> None:
        """Register the task definition, unless one of the same image and options is there."""
        from flow_operator.flow.fargate import driving

        wanted = self._definition(storage)
        with driving.stoppable() as wait:
            driving.registered(self._ecs(wait), wanted)

    def execute(self, storage: Storage, flow_location: str, **kwargs: Any) -> None:
        """Run the flow in a task, with kwargs as its parameters, and follow the task to its end.

        Raises:
            EnvironmentFailed: the flow did not succeed there, or never began.
        """
        from flow_operator.flow.fargate import driving

        wanted = self._definition(storage)
        asked = _request_here()
        request = options.request(asked, flow_location, kwargs)
        # The callbacks are the flow's, whoever runs it; around the steps of a custom environment the pod calls them.
        declared = storage.get_flow(flow_location).environment
        inside = asked is None or asked.get("driver", {}).get("kind") == "FargateTask"
        callbacks = [name for name in ("on_start", "on_exit") if inside and getattr(declared, name) is not None]
        with driving.stoppable() as wait:
            ecs = self._ecs(wait)
            definition = driving.registered(ecs, wanted)
            arguments = options.task(self.run_options, definition, request, callbacks)
            driving.run(ecs, arguments, definition["containerDefinitions"][0]["name"], request)

    def _definition(self, storage: Storage) -> dict[str, Any]:
        if not hasattr(storage, "image"):
            raise TypeError(f"FargateTaskEnvironment needs a flow in an image: Docker storage, not {storage.name}")
        if not storage.image:
            raise ValueError("FargateTaskEnvironment needs a flow in an image that is built and pushed")
        family = f"flow-operator-{slug(next(iter(storage.flows)))}"
        return options.definition(self.register_options, self.run_options, image=storage.image, default_family=family)

    def _ecs(self, wait: Callable[[float], bool]) -> Ecs:
        from flow_operator.flow.fargate.ecs import Ecs

        given = {name: getattr(self, name) for name in _CREDENTIALS if getattr(self, name)}
        return Ecs(region=self.region_name, credentials=given, wait=wait)

    def _kind(self) -> dict[str, Any]:
        # Options travel with the flow, credentials do not travel at all; a resource is for everybody to read.
        return {"fargateTask": {"region": self.region_name} if self.region_name else {}}

    @classmethod
    def _restored(cls, metadata: Mapping[str, Any]) -> FargateTaskEnvironment:
        return FargateTaskEnvironment(labels=metadata.get("labels"))

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), **dict.fromkeys(_CREDENTIALS)}  # an image is no place for credentials


def _region_here() -> str | None:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")


def _request_here() -> RunRequest | None:
    """What the operator has asked this pod for; None where it is no pod of a run."""
    text = os.environ.get(wire.RUN_ENV)
    return None if text is None else json.loads(text)
