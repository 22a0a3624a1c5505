"""FlowDeployment: what a flow is, where it is stored and how it runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from .conditions import Condition
from .model import (
    DNSName,
    EnvName,
    FreeObject,
    FreeObjects,
    ImageName,
    LongText,
    Model,
    Text,
    rule,
    rules,
)

# kubectl apply keeps the whole object in one annotation of 256 KiB.
MAX_INLINE = 200_000

FileName = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]


class ConfigMapSource(Model):
    """A key of a ConfigMap in the same namespace."""

    name: DNSName = Field(description="Name of the ConfigMap. Kustomize's configMapGenerator may write it.")
    key: FileName = Field(default="flow.py", description="Key whose value is the flow's Python source.")


class Source(Model):
    """Python source of a flow."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("has(self.inline) != has(self.configMap)", "set exactly one of inline and configMap")
        )
    )

    inline: Annotated[str, StringConstraints(min_length=1, max_length=MAX_INLINE)] | None = Field(
        default=None,
        description="The source itself, at most 200,000 characters; put larger ones in a ConfigMap.",
    )
    config_map: ConfigMapSource | None = Field(
        default=None, description="A ConfigMap that holds the source; a change of it builds again."
    )


class Pickle(Model):
    """A flow object, serialised with cloudpickle by the SDK."""

    data: Annotated[str, StringConstraints(min_length=1, max_length=MAX_INLINE, pattern=r"^[A-Za-z0-9+/=\n]+$")] = (
        Field(description="The bytes, base64. Loaded in the flow's own pods, never in the operator.")
    )
    python: Annotated[str, StringConstraints(pattern=r"^3\.[0-9]{1,2}$")] = Field(
        description="Python minor version that wrote the bytes, for example 3.11."
    )


class FlowSpec(Model):
    """What the flow is: exactly one of source and pickle."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("has(self.source) != has(self.pickle)", "set exactly one of source and pickle"),
        )
    )

    source: Source | None = Field(default=None, description="Python source, inline or in a ConfigMap.")
    pickle: Pickle | None = Field(default=None, description="A pickled flow, as the SDK sends it.")
    entrypoint: Annotated[
        str, StringConstraints(max_length=253, pattern=r"^[-._a-zA-Z0-9]+\.py:[A-Za-z_][A-Za-z0-9_]*$")
    ] = Field(
        default="flow.py:flow",
        description="file:name of the flow in the source: a Flow, or a function. Not used for a pickle.",
    )


class DockerStorage(Model):
    """An image of the flow's own: base image, dependency layer, code layer."""

    registry_url: Text | None = Field(
        default=None,
        alias="registryURL",
        description="Registry and path prefix to push to, for example localhost:5001/team-a. "
        "Default: the operator's registry setting.",
    )
    base_image: ImageName | None = Field(
        default=None,
        description="Image to build on; it must contain Python 3. Default: the operator's runtime image.",
    )
    python_dependencies: list[Annotated[str, StringConstraints(min_length=1, max_length=512)]] = Field(
        default_factory=list,
        max_length=256,
        description="Requirement lines (PEP 508), installed as wheels into a layer of their own.",
    )
    image_name: Annotated[str, StringConstraints(max_length=128, pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$")] | None = (
        Field(
            default=None,
            description="Repository name under registryURL. Default: <namespace>-<name> of the resource.",
        )
    )
    image_tag: Annotated[str, StringConstraints(max_length=128, pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")] | None = (
        Field(default=None, description="Tag to move to each build. Default: a hash of the inputs.")
    )
    env_vars: dict[EnvName, Text] = Field(
        default_factory=dict,
        max_length=64,
        json_schema_extra={"maxProperties": 64},
        description="Environment variables set in the image.",
    )
    push_secret: DNSName | None = Field(
        default=None,
        description="Name of a kubernetes.io/dockerconfigjson Secret in this namespace, mounted into the builder pod "
        "and used to pull the image. The operator itself never reads it.",
    )


class BytesStorage(Model):
    """No image of its own: the code is mounted into the runtime image. Needs no registry."""


class Storage(Model):
    """Where the flow is kept: exactly one kind."""

    model_config = ConfigDict(
        json_schema_extra=rules(rule("has(self.docker) != has(self.bytes)", "set exactly one of docker and bytes"))
    )

    docker: DockerStorage | None = Field(default=None, description="An image, built in the cluster and pushed.")
    bytes: BytesStorage | None = Field(default=None, description="Code mounted from the cluster; no image.")


class RemoteEnvironment(Model):
    """The flow runs in the runner pod with an executor of its own."""

    executor: Literal["Local", "LocalDask", "Dask"] = Field(
        default="Local",
        description="Local: one task after the other. LocalDask: threads or processes of the pod. "
        "Dask: an existing cluster, its address in executorKwargs.",
    )
    executor_kwargs: FreeObject = Field(
        default_factory=dict,
        description="Arguments of the executor, for example scheduler: processes, or address: tcp://scheduler:8786.",
    )


class DaskKubernetesEnvironment(Model):
    """The flow runs on a Dask cluster of its own, scaled between bounds, gone when the run ends."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("self.minWorkers <= self.maxWorkers", "minWorkers must not be larger than maxWorkers")
        )
    )

    min_workers: Annotated[int, Field(ge=0, le=1000)] = Field(default=1, description="Workers at rest.")
    max_workers: Annotated[int, Field(ge=1, le=1000)] = Field(default=2, description="Workers under load, at most.")
    scheduler_spec: FreeObject | None = Field(
        default=None,
        description="A PodSpec for the scheduler. Image, variables and restricted security are filled in; "
        "what is set here stays.",
    )
    worker_spec: FreeObject | None = Field(
        default=None,
        description="A PodSpec for the workers. Image, variables and restricted security are filled in; "
        "what is set here stays. restartPolicy must be Always: workers are Deployments.",
    )


class Environment(Model):
    """How the flow runs: at most one kind."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("has(self.remote) != has(self.daskKubernetes)", "set exactly one of remote and daskKubernetes"),
        )
    )

    remote: RemoteEnvironment | None = Field(default=None, description="In the runner pod.")
    dask_kubernetes: DaskKubernetesEnvironment | None = Field(
        default=None, description="On an auto-scaling Dask cluster of the run's own."
    )


class Runner(Model):
    """Settings of the runner pod, in the words of a PodSpec."""

    resources: FreeObject | None = Field(
        default=None, description="Requests and limits of the flow's container. Default: a chart value."
    )
    node_selector: dict[str, Text] = Field(
        default_factory=dict,
        json_schema_extra={"maxProperties": 32},
        description="Labels the node must have.",
    )
    tolerations: FreeObjects = Field(default_factory=list, description="Taints the pod may run on.")
    service_account_name: DNSName | None = Field(
        default=None,
        description="Service account of the runner pod. Only when it is set does that pod get a token.",
    )
    env: FreeObjects = Field(
        default_factory=list,
        description="Environment variables as in a container, on every pod of the run; valueFrom is allowed.",
    )


class RunSettings(Model):
    """Bounds of a run; a FlowRun may set its own."""

    active_deadline_seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = Field(
        default=None,
        description="Longest life of the runner pod in seconds; then it is stopped and the run fails.",
    )
    pre_running_deadline_seconds: Annotated[int, Field(ge=1, le=86_400)] | None = Field(
        default=None,
        description="Longest time in seconds before the flow's process begins; then the run fails with the reason "
        "it was waiting for. Default 600.",
    )
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=31_536_000)] | None = Field(
        default=None,
        description="Time in seconds after which a finished run's pods are deleted. The FlowRun itself stays. "
        "Default: never. A run's Dask cluster always goes at once.",
    )


DEFAULT_PRE_RUNNING_DEADLINE = 600


class FlowDeploymentSpec(Model):
    """Desired state of a FlowDeployment."""

    flow: FlowSpec = Field(description="What the flow is.")
    storage: Storage | None = Field(default=None, description="Where the flow is kept. Default: docker.")
    environment: Environment | None = Field(
        default=None, description="How the flow runs. Default: what the flow itself declares, else remote."
    )
    runner: Runner = Field(default_factory=Runner, description="Settings of the run's pods.")
    parameters: FreeObject = Field(
        default_factory=dict, description="Defaults of the flow's parameters; a FlowRun's own win."
    )
    run: RunSettings = Field(default_factory=RunSettings, description="Bounds of every run of this deployment.")


class FlowFactsStatus(Model):
    """What the check pod found in the built flow."""

    name: Text | None = Field(default=None, description="The flow's name.")
    parameters: FreeObjects = Field(default_factory=list, description="Name, required, default of each parameter.")
    callbacks: list[Literal["on_start", "on_exit"]] = Field(
        default_factory=list, description="Callbacks that the flow's environment declares."
    )
    environment: FreeObject = Field(default_factory=dict, description="The environment the flow itself declares.")
    python: Text | None = Field(default=None, description="Python version in the image.")
    versions: dict[str, Text] = Field(
        default_factory=dict,
        json_schema_extra={"maxProperties": 32},
        description="Versions of dask, distributed, cloudpickle and flow-operator in the image.",
    )


class BuildStatus(Model):
    """The last build."""

    inputs: Text | None = Field(default=None, description="Hash of everything the image is made of.")
    source_digest: Text | None = Field(default=None, description="SHA-256 of the flow's bytes.")
    attempt: int = Field(default=0, description="How often these inputs were tried.")
    base_image: Text | None = Field(default=None, description="Base image by digest.")
    lock: Text | None = Field(default=None, description="SHA-256 of the resolved dependencies.")
    layers: FreeObjects = Field(default_factory=list, description="Layers put on the base: kind, digest, size.")
    stages: dict[str, Text] = Field(
        default_factory=dict, json_schema_extra={"maxProperties": 16}, description="Duration of each stage."
    )


class FlowDeploymentStatus(Model):
    """Observed state of a FlowDeployment."""

    conditions: list[Condition] = Field(
        default_factory=list,
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        description="Ready, Reconciling, Stalled (kstatus); Built, Verified.",
    )
    observed_generation: int | None = Field(default=None, description="Generation this status speaks of.")
    image: Text | None = Field(
        default=None,
        description="The flow's image, which runs use exactly: by digest, or the runtime image with bytes storage.",
    )
    flow: FlowFactsStatus | None = Field(default=None, description="What the flow is, as read in its image.")
    build: BuildStatus | None = Field(default=None, description="How the image was made.")
    diagnosis: Diagnosis | None = Field(default=None, description="What is wrong and what to do about it.")


class Diagnosis(Model):
    """A failure for a person: what, why, and the next step."""

    reason: Text = Field(description="One word, the same as the condition's reason.")
    message: LongText = Field(description="What happened, naming the thing.")
    remedy: LongText = Field(description="What to do about it.")


FlowDeploymentStatus.model_rebuild()


def parse_spec(raw: dict[str, Any]) -> FlowDeploymentSpec:
    """Read the spec of an object the API server admitted."""
    return FlowDeploymentSpec.model_validate(raw)
