"""What a run begins with: pinned in its status at the first attempt, so that later edits never reach it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..api import wire
from ..api.flow_deployment import (
    DEFAULT_CALLBACK_TIMEOUT,
    DEFAULT_PRE_RUNNING_DEADLINE,
    DEFAULT_STOP_GRACE,
    DaskKubernetesEnvironment,
    Diagnosis,
    Environment,
    FlowDeploymentSpec,
    KubernetesJobEnvironment,
    RemoteEnvironment,
    parse_spec,
)
from . import build, diagnosis, names, pods
from .inputs import flow_ref, pull_secrets
from .providers import chosen
from .times import stamp

if TYPE_CHECKING:
    from datetime import datetime

    from ..api.flow_run import FlowRunSpec
    from ..api.settings import Settings
    from .types import Manifest

# Seconds on top of what flow and callback may take until the kubelet ends the pod by force: for our own programs.
GRACE_MARGIN = 5
# Seconds for a task of AWS to end after it was told to: AWS kills it after 120 at most, and takes its time to say so.
TASK_GRACE = 150
# Bytes of a run's parameters as JSON: with what else the runner is told they are one environment variable, of which the
# kernel takes 128 KiB.
MAX_PARAMETERS = 96 * 1024


@dataclass(frozen=True)
class Pinned:
    """Everything the children of a run are made from, read back from its status."""

    image: str
    parameters: dict[str, Any]
    environment: Environment
    flow: wire.FlowRef
    callbacks: tuple[str, ...]
    runner: dict[str, Any]
    bounds: dict[str, int]
    code: str  # ConfigMap with the code, "" where it is in the image
    pull_secrets: tuple[str, ...]
    scheduled_time: str = ""  # its tick; "" where no schedule started it

    @property
    def dask(self) -> DaskKubernetesEnvironment | None:
        """Return the environment if the run has a cluster of its own."""
        return self.environment.dask_kubernetes

    @property
    def job(self) -> KubernetesJobEnvironment | None:
        """Return the environment if the runner pod is a Job's."""
        return self.environment.kubernetes_job

    @property
    def hooks(self) -> bool:
        """Return whether the runner pod needs a flow-hooks container."""
        return bool(self.callbacks)

    @property
    def tick_variables(self) -> dict[str, str]:
        """Return how every container of the run is told its tick; nothing where it has none."""
        return {wire.SCHEDULED_TIME_ENV: self.scheduled_time} if self.scheduled_time else {}

    @property
    def pre_running_deadline(self) -> int:
        """Return the seconds until the flow must have begun."""
        return self.bounds.get("preRunningDeadlineSeconds", DEFAULT_PRE_RUNNING_DEADLINE)

    @property
    def stop_grace(self) -> int:
        """Return the seconds from SIGTERM to SIGKILL of the flow."""
        return self.bounds.get("stopGraceSeconds", DEFAULT_STOP_GRACE)

    @property
    def main_grace(self) -> int:
        """Return the seconds from SIGTERM to SIGKILL of container main: its flow's, or those of a task it waits for."""
        return TASK_GRACE if self.environment.fargate_task else self.stop_grace

    @property
    def callback_timeout(self) -> int:
        """Return the seconds one callback may take."""
        return self.bounds.get("callbackTimeoutSeconds", DEFAULT_CALLBACK_TIMEOUT)

    @property
    def grace(self) -> int:
        """Return the pod's grace period: enough for the flow to stop and for on_exit to run."""
        return self.main_grace + GRACE_MARGIN + (self.callback_timeout if self.hooks else 0)


def read(status: dict[str, Any]) -> Pinned:
    """Read back what a run was pinned to."""
    kept = status["pinned"]
    return Pinned(
        image=status["image"],
        parameters=status.get("parameters", {}),
        environment=Environment.model_validate(status["environment"]),
        flow=kept["flow"],
        callbacks=tuple(kept.get("callbacks", ())),
        runner=kept.get("runner", {}),
        bounds=kept.get("bounds", {}),
        code=kept.get("code", ""),
        pull_secrets=tuple(kept.get("pullSecrets", ())),
        scheduled_time=kept.get("scheduledTime", ""),
    )


def pin(
    deployment: Manifest, run: FlowRunSpec, settings: Settings, scheduled_time: datetime | None = None
) -> dict[str, Any]:
    """Return the status fields that pin a run to a Ready deployment."""
    spec = parse_spec(deployment["spec"])
    status = deployment["status"]
    target = build.Target.of(deployment)
    flow = status["flow"]
    environment = _with_provider(effective_environment(spec, flow), settings)
    return {
        "image": status["image"],
        "parameters": {**spec.parameters, **(run.parameters or {})},
        "environment": environment.to_wire(),
        "pinned": {
            "flow": flow_ref(spec),
            # A task of AWS calls them itself: nobody beside it, nor after it, could.
            "callbacks": [] if environment.fargate_task else flow.get("callbacks", []),
            "runner": spec.runner.to_wire(),
            "bounds": {**spec.run.to_wire(), **_bounds(run)},
            "operator": settings.identity,
            "deploymentGeneration": deployment["metadata"]["generation"],
            "pullSecrets": pull_secrets(spec, environment, settings),
            **({"scheduledTime": stamp(scheduled_time)} if scheduled_time else {}),
            **_code(target, status, spec),
        },
    }


def _with_provider(environment: Environment, settings: Settings) -> Environment:
    dask = environment.dask_kubernetes
    return environment.model_copy(update={"dask_kubernetes": chosen(dask, settings)}) if dask else environment


def _bounds(run: FlowRunSpec) -> dict[str, Any]:
    every = run.to_wire()
    return {key: every[key] for key in every if key.endswith(("Seconds", "Finished", "Limit"))}


def _code(target: build.Target, status: dict[str, Any], spec: FlowDeploymentSpec) -> dict[str, str]:
    if not (spec.storage and spec.storage.bytes is not None):
        return {}
    sha256 = status["build"]["sourceDigest"].removeprefix("sha256:")
    file = flow_ref(spec)["location"].rpartition("/")[2]
    return {"code": names.build_child(target.name, "code", names.digest(file, sha256))}


def effective_environment(spec: FlowDeploymentSpec, flow: dict[str, Any]) -> Environment:
    """Return the resource's environment, else the flow's own, else remote: Git has the last word.

    Kind and labels are two questions: a resource may answer one of them.
    """
    declared = Environment.model_validate(flow.get("environment") or {})
    given = spec.environment or Environment()
    labels = given.labels if given.labels is not None else declared.labels
    for each in (given, declared):
        if each.kind:
            return each.model_copy(update={"labels": labels or None})
    return Environment(remote=RemoteEnvironment(), labels=labels or None)


def wrong_parameters(flow: dict[str, Any], parameters: dict[str, Any]) -> Diagnosis | None:
    """Return what is wrong with a run's parameters, by what the flow said of itself, or None."""
    declared = {each["name"]: each for each in flow.get("parameters", ())}
    unknown = [] if wire.ANYTHING in declared else sorted(set(parameters) - set(declared))
    missing = sorted(name for name, each in declared.items() if each.get("required") and name not in parameters)
    if not unknown and not missing:
        return _too_large(flow, parameters)
    said = [f"unknown: {', '.join(unknown)}"] if unknown else []
    said += [f"missing: {', '.join(missing)}"] if missing else []
    return diagnosis.diagnosis(
        "ParametersInvalid",
        f"The parameters do not fit flow {flow.get('name', '')!r} ({'; '.join(said)}).",
        f"It takes: {', '.join(sorted(declared)) or 'none'}. Create another FlowRun with these.",
    )


def _too_large(flow: dict[str, Any], parameters: dict[str, Any]) -> Diagnosis | None:
    size = len(pods.compact(parameters))
    if size <= MAX_PARAMETERS:
        return None
    return diagnosis.diagnosis(
        "ParametersInvalid",
        f"The parameters of flow {flow.get('name', '')!r} are {size:,} bytes of JSON; {MAX_PARAMETERS:,} are possible.",
        "Give the flow the place of its data instead: a path, a key, a URL.",
    )
