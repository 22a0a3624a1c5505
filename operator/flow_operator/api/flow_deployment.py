"""FlowDeployment: what a flow is, where it is stored and how it runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from . import shapes
from .conditions import Condition
from .model import (
    FREE_FORM,
    DNSLabel,
    DNSName,
    EnvName,
    FreeObject,
    FreeObjects,
    ImageName,
    LongText,
    Model,
    Text,
    at_most_one,
    exactly_one,
    map_list,
    rule,
    rules,
)
from .schedule import Schedule, ScheduleStatus

# kubectl apply keeps the whole object in one annotation of 256 KiB.
MAX_INLINE = 200_000

# Bytes that are refused with a sentence of ours, not with the API server's "Too long": what it takes at all is 3 MiB.
MAX_REQUEST = 3_145_728

FileName = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
# No part of a path is "." or "..", so that a prefix says where a file is.
Folder = Annotated[str, StringConstraints(max_length=512, pattern=r"^(/\.?[-_+@~ a-zA-Z0-9][-._+@~ a-zA-Z0-9]*)+$")]
FilePath = Folder
Location = Annotated[
    str,
    StringConstraints(
        max_length=512, pattern=r"^(/\.?[-_+@~ a-zA-Z0-9][-._+@~ a-zA-Z0-9]*)+(:[A-Za-z_][A-Za-z0-9_]*)?$"
    ),
]
LOCATION_RULE = rule(
    "self.location.matches('[.]py(:|$)') == self.location.contains(':')",
    "location must be a .py file followed by :name, or the file of a pickled flow",
)


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

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"self.data.size() <= {MAX_INLINE}",
                f"data must be at most {MAX_INLINE} characters: give a larger flow docker storage, which keeps it in "
                "an image, or make it smaller by loading its data when it runs",
            )
        )
    )

    data: Annotated[str, StringConstraints(min_length=1, max_length=MAX_REQUEST, pattern=r"^[A-Za-z0-9+/=\n]+$")] = (
        Field(
            description="The bytes, base64, at most 200,000 characters. Loaded in the flow's own pods, never in the "
            "operator."
        )
    )
    python: Annotated[str, StringConstraints(pattern=r"^3\.[0-9]{1,2}$")] = Field(
        description="Python minor version that wrote the bytes, for example 3.11."
    )
    file: Annotated[str, StringConstraints(max_length=253, pattern=r"^[-._a-zA-Z0-9]+\.flow$")] = Field(
        default="flow.flow", description="Name of the file under /flows that the bytes become."
    )


class FlowImage(Model):
    """An image that was built elsewhere and holds the flow."""

    model_config = ConfigDict(json_schema_extra=rules(LOCATION_RULE))

    reference: Annotated[str, StringConstraints(max_length=512, pattern=r"^[^\s@]+@sha256:[0-9a-f]{64}$")] = Field(
        description="The image by digest, for example localhost:5001/team-a/squares@sha256:… ."
    )
    location: Location = Field(
        description="Where the flow is in the image: /flows/squares.flow (pickled), or /flows/flow.py:flow (source)."
    )
    pull_secret: DNSName | None = Field(
        default=None,
        description="Name of a kubernetes.io/dockerconfigjson Secret in this namespace to pull the image with.",
    )


class FlowFile(Model):
    """A file on a volume of spec.runner: what local storage holds."""

    model_config = ConfigDict(json_schema_extra=rules(LOCATION_RULE))

    location: Location = Field(
        description="The file under storage.local.directory: /data/squares.flow (pickled), or /data/flow.py:flow."
    )


class FlowSpec(Model):
    """What the flow is: exactly one of source, pickle, image and file."""

    model_config = ConfigDict(json_schema_extra=rules(exactly_one("source", "pickle", "image", "file")))

    source: Source | None = Field(default=None, description="Python source, inline or in a ConfigMap.")
    pickle: Pickle | None = Field(default=None, description="A pickled flow, as the SDK sends it.")
    image: FlowImage | None = Field(
        default=None, description="An image that was built elsewhere, with the flow in it; nothing is built here."
    )
    file: FlowFile | None = Field(default=None, description="A file on a volume; needs storage.local.")
    entrypoint: Annotated[
        str, StringConstraints(max_length=253, pattern=r"^[-._a-zA-Z0-9]+\.py:[A-Za-z_][A-Za-z0-9_]*$")
    ] = Field(
        default="flow.py:flow",
        description="file:name of the flow in the source: a Flow, or a function. Used with source only.",
    )


class ConfigMapKey(Model):
    """A key of a ConfigMap in the same namespace, in its data or its binaryData."""

    name: DNSName = Field(description="Name of the ConfigMap.")
    key: FileName = Field(description="Key whose value is the file.")


class ImageFile(Model):
    """A file of the user's own in the image, beside the flow."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!['/opt/flow-operator', '/tmp', '/hooks', '/dev', '/proc', '/sys'].exists(each,"
                " self.path == each || self.path.startsWith(each + '/'))",
                "path must not be under /opt/flow-operator, /tmp, /hooks, /dev, /proc or /sys",
            ),
            rule(
                "!(self.path in ['/etc/hosts', '/etc/hostname', '/etc/resolv.conf'])",
                "path must not be /etc/hosts, /etc/hostname or /etc/resolv.conf: every pod has its own",
            ),
        )
    )

    path: FilePath = Field(description="Absolute path in the image.")
    config_map: ConfigMapKey = Field(description="Where its bytes are; a change of them builds again.")


class DependencyLock(Model):
    """Resolved dependencies that are installed as they are."""

    model_config = ConfigDict(json_schema_extra=rules(exactly_one("inline", "configMap")))

    inline: Annotated[str, StringConstraints(min_length=1, max_length=MAX_INLINE)] | None = Field(
        default=None, description="The text itself, at most 200,000 characters."
    )
    config_map: ConfigMapKey | None = Field(
        default=None, description="A ConfigMap that holds it; a change of it builds again."
    )


class DockerStorage(Model):
    """An image of the flow's own: base image, dependency layer, code layer."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.extraCommands) || self.extraCommands.size() == 0 || self.builder == 'Docker'",
                "extraCommands need builder: Docker",
            ),
        )
    )

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
    dependency_lock: DependencyLock | None = Field(
        default=None,
        description="A requirements file with hashes or a uv.lock, installed exactly; pythonDependencies beside it "
        "must be satisfied by it.",
    )
    files: list[ImageFile] = Field(
        default_factory=list,
        max_length=64,
        json_schema_extra=map_list("path"),
        description="Further files in the image, at most 1 MiB together with the flow and the lock.",
    )
    extra_commands: list[Annotated[str, StringConstraints(min_length=1, max_length=4096)]] = Field(
        default_factory=list,
        max_length=64,
        description="Shell commands run in the base before anything is installed, one RUN line each. Needs builder "
        "Docker.",
    )
    builder: Literal["Layers", "Docker"] = Field(
        default="Layers",
        description="Layers: layers are appended to the base, nothing is executed. Docker: the engine of the chart's "
        "dockerEngine builds.",
    )
    annotations: dict[Annotated[str, StringConstraints(max_length=256)], Text] = Field(
        default_factory=dict,
        max_length=32,
        json_schema_extra={"maxProperties": 32},
        description="OCI annotations of the image, for example org.opencontainers.image.revision.",
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


class LocalStorage(Model):
    """A folder on a volume of spec.runner. Nothing is built, and the operator never sees the flow's bytes."""

    directory: Folder = Field(description="Absolute path of the folder in the run's pods; a volume is mounted there.")


class Storage(Model):
    """Where the flow is kept: exactly one kind."""

    model_config = ConfigDict(json_schema_extra=rules(exactly_one("docker", "bytes", "local")))

    docker: DockerStorage | None = Field(default=None, description="An image, built in the cluster and pushed.")
    bytes: BytesStorage | None = Field(default=None, description="Code mounted from the cluster; no image.")
    local: LocalStorage | None = Field(default=None, description="A folder on a volume that you bring; no image.")


class LocalEnvironment(Model):
    """The flow runs in the runner pod, one task after the other."""


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


# What users write in Kubernetes' own words. CEL and structural checks see what a schema names, and the rest is kept.
def _free(description: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", **FREE_FORM, "description": description, "properties": properties}


def _free_list(description: str, **properties: Any) -> dict[str, Any]:
    items = {"type": "object", **FREE_FORM, **({"properties": properties} if properties else {})}
    return {"type": "array", "maxItems": 512, "nullable": True, "items": items, "description": description}


def _containers(description: str) -> dict[str, Any]:
    return _free_list(
        description,
        env=_free_list("Variables, as in a container."),
        volumeMounts=_free_list("Mounts, as in a container."),
        securityContext={"type": "object", "nullable": True, **FREE_FORM, "description": "As in a container."},
    )


def _pod_spec(containers: dict[str, Any]) -> dict[str, Any]:
    return _free(
        "The pod, as in a PodSpec.",
        containers=containers,
        initContainers=_containers("Containers that end before the others begin."),
        volumes=_free_list("Volumes, as in a PodSpec."),
        imagePullSecrets=_free_list("Secrets to pull with, beside those that the flow's image needs."),
    )


_DASK_SPEC = {"properties": _pod_spec(_containers("The first one is Dask's."))["properties"]}
PodSpec = Annotated[dict[str, Any], Field(json_schema_extra={"type": "object", **FREE_FORM, **_DASK_SPEC})]
# CEL counts them: there are some, and not too many.
_JOB_CONTAINERS = {
    **_containers("The first one runs the flow: its image, command and args are replaced."),
    "maxItems": 64,
    "nullable": False,
}
_TEMPLATE_METADATA = {
    **_free(
        "What the pod carries besides its name.",
        labels={"type": "object", "nullable": True, **FREE_FORM, "description": "Labels, beside the operator's own."},
        annotations={"type": "object", "nullable": True, **FREE_FORM, "description": "Annotations."},
        finalizers={
            "type": "array",
            "nullable": True,
            "maxItems": 64,
            "items": {"type": "string"},
            "description": "Finalizers.",
        },
    ),
    "nullable": True,
}
_JOB_SPEC: dict[str, Any] = {
    "type": "object",
    **FREE_FORM,
    "properties": {
        "parallelism": {"type": "integer", "description": "Pods at the same time: 1, or left out."},
        "completions": {"type": "integer", "description": "Pods that must succeed: 1, or left out."},
        "template": _free(
            "The pod's template, as in a Job.", metadata=_TEMPLATE_METADATA, spec=_pod_spec(_JOB_CONTAINERS)
        ),
    },
}


class DaskKubernetesEnvironment(Model):
    """The flow runs on a Dask cluster of its own, scaled between bounds, gone when the run ends."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("self.minWorkers <= self.maxWorkers", "minWorkers must not be larger than maxWorkers"),
            rule(
                "!(has(self.provider) && self.provider == 'Pods' && has(self.schedulerSpec))",
                "provider Pods has no pod for the scheduler, it is beside the flow: leave schedulerSpec out,"
                " or choose provider DaskCluster",
            ),
        )
    )

    min_workers: Annotated[int, Field(ge=0, le=1000)] = Field(default=1, description="Workers at rest.")
    max_workers: Annotated[int, Field(ge=1, le=1000)] = Field(default=2, description="Workers under load, at most.")
    scheduler_spec: PodSpec | None = Field(
        default=None,
        description="A PodSpec for the scheduler. Image, variables and restricted security are filled in; "
        "what is set here stays, but for restartPolicy.",
    )
    worker_spec: PodSpec | None = Field(
        default=None,
        description="A PodSpec for the workers. Image, variables and restricted security are filled in; "
        "what is set here stays, but for restartPolicy.",
    )
    private_registry: DNSName | None = Field(
        default=None,
        description="Name of a kubernetes.io/dockerconfigjson Secret in this namespace that the flow's image is "
        "pulled with, by every pod of it. Nobody but the kubelet reads it.",
    )
    provider: Literal["DaskCluster", "Pods"] | None = Field(
        default=None,
        description="Who makes scheduler and workers. DaskCluster: dask-kubernetes. Pods: this operator. "
        "Default: the chart's dask.provider; DaskCluster where there is a schedulerSpec.",
    )

    @model_validator(mode="after")
    def _can_be_made(self) -> Self:
        """Hold what comes from a flow's Python to the rules above, which only the API server knows."""
        for place, spec in (("schedulerSpec", self.scheduler_spec), ("workerSpec", self.worker_spec)):
            if spec is not None and (fault := shapes.fault_of_pod(spec, place)):
                raise ValueError(fault)
        if self.min_workers > self.max_workers:
            raise ValueError("minWorkers must not be larger than maxWorkers")
        return self


class ObjectMetadata(Model):
    """What an object carries besides its name."""

    labels: dict[EnvName, Text] = Field(
        default_factory=dict, json_schema_extra={"maxProperties": 64}, description="Labels, beside the operator's own."
    )
    annotations: dict[EnvName, LongText] = Field(
        default_factory=dict, json_schema_extra={"maxProperties": 64}, description="Annotations."
    )


class KubernetesJobEnvironment(Model):
    """The flow runs in a Job of the user's own making."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.jobSpec.template) && has(self.jobSpec.template.spec)"
                " && has(self.jobSpec.template.spec.containers) && self.jobSpec.template.spec.containers.size() > 0",
                "jobSpec needs template.spec.containers: the first container runs the flow",
            ),
            rule(
                "(!has(self.jobSpec.parallelism) || self.jobSpec.parallelism == 1)"
                " && (!has(self.jobSpec.completions) || self.jobSpec.completions == 1)",
                "parallelism and completions of jobSpec must be 1 or left out: a run is one execution of the flow",
            ),
        )
    )

    job_spec: Annotated[dict[str, Any], Field(json_schema_extra=_JOB_SPEC)] = Field(
        description="A JobSpec. In its first container image, command and args are replaced, variables are added to "
        "every container, the rest stays."
    )
    metadata: ObjectMetadata | None = Field(default=None, description="Labels and annotations of the Job itself.")

    @model_validator(mode="after")
    def _runs_the_flow_once(self) -> Self:
        """Hold what comes from a flow's Python to the rules above, which only the API server knows."""
        if fault := shapes.fault_of_job(self.job_spec, "jobSpec"):
            raise ValueError(fault)
        template = self.job_spec.get("template") or {}
        if not (template.get("spec") or {}).get("containers"):
            raise ValueError("jobSpec needs template.spec.containers: the first container runs the flow")
        if any(self.job_spec.get(each, 1) != 1 for each in ("parallelism", "completions")):
            raise ValueError("parallelism and completions of jobSpec must be 1 or left out")
        return self


class FargateTaskEnvironment(Model):
    """The flow runs in a task of Amazon ECS on Fargate."""

    region: Annotated[str, StringConstraints(max_length=64, pattern=r"^[a-z0-9-]+$")] | None = Field(
        default=None, description="AWS region. Default: AWS_REGION in the Secret, else what the flow declares."
    )
    credentials_secret: DNSName | None = Field(
        default=None,
        description="Name of a Secret in this namespace whose keys AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and "
        "AWS_SESSION_TOKEN become variables of the runner pod. The operator never reads it.",
    )
    endpoint_url: Annotated[str, StringConstraints(max_length=512, pattern=r"^https?://[^\s@]+$")] | None = Field(
        default=None,
        alias="endpointURL",
        description="Where the API of ECS is, for example a VPC endpoint. Default: AWS' own of the region.",
    )
    register_options: FreeObject | None = Field(
        default=None,
        description="Arguments of RegisterTaskDefinition, in AWS' words. Default: what the flow declares.",
    )
    run_options: FreeObject | None = Field(
        default=None, description="Arguments of RunTask, in AWS' words. Default: what the flow declares."
    )


class CustomEnvironment(Model):
    """The flow's own environment: its setup and execute run in the runner pod."""


RunLabel = Annotated[str, StringConstraints(min_length=1, max_length=128)]


# The kinds, as the model names them.
ENVIRONMENTS = ("local", "remote", "dask_kubernetes", "kubernetes_job", "fargate_task", "custom")


class Environment(Model):
    """How the flow runs: at most one kind."""

    model_config = ConfigDict(json_schema_extra=rules(at_most_one(*map(to_camel, ENVIRONMENTS))))

    local: LocalEnvironment | None = Field(default=None, description="In the runner pod, one task after the other.")
    remote: RemoteEnvironment | None = Field(default=None, description="In the runner pod.")
    dask_kubernetes: DaskKubernetesEnvironment | None = Field(
        default=None, description="On an auto-scaling Dask cluster of the run's own."
    )
    kubernetes_job: KubernetesJobEnvironment | None = Field(
        default=None, description="In a Job of the run's own, whose spec is yours."
    )
    fargate_task: FargateTaskEnvironment | None = Field(
        default=None, description="In a task of Amazon ECS on Fargate, which the runner pod starts and follows."
    )
    custom: CustomEnvironment | None = Field(
        default=None, description="As the flow's own environment says, a subclass of Environment in its Python."
    )
    labels: Annotated[list[RunLabel], Field(max_length=32)] | None = Field(
        default=None,
        description="Runs go only to an operator that offers all of these (the chart's value labels). "
        "Default: what the flow itself declares; an empty list: none.",
    )

    @property
    def kind(self) -> str | None:
        """Return which kind is set, as it is written: kubernetesJob."""
        return next((to_camel(each) for each in ENVIRONMENTS if getattr(self, each) is not None), None)


class Volume(Model):
    """A volume as in a PodSpec."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            **FREE_FORM,
            **rules(
                rule("!(self.name in ['tmp', 'code', 'hooks'])", "tmp, code and hooks are volumes of the operator's")
            ),
        },
    )

    name: DNSLabel = Field(description="Name that volumeMounts refer to; beside it, one source as in a PodSpec.")


class VolumeMount(Model):
    """A mount as in a container."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            **FREE_FORM,
            **rules(
                rule(
                    "!(self.mountPath in ['/tmp', '/opt'])"
                    " && !['/flows', '/hooks', '/opt/flow-operator'].exists(each,"
                    " self.mountPath == each || self.mountPath.startsWith(each + '/'))",
                    "mountPath must not hide what the operator has at /flows, /hooks, /tmp and /opt/flow-operator",
                )
            ),
        },
    )

    name: DNSLabel = Field(description="Name of one of the volumes.")
    mount_path: Folder = Field(description="Absolute path; beside it, readOnly, subPath and so on as in a container.")


class Runner(Model):
    """Settings of the runner pod, in the words of a PodSpec."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.volumeMounts) || self.volumeMounts.all(mount,"
                " has(self.volumes) && self.volumes.exists(volume, volume.name == mount.name))",
                "every volumeMount must name one of the volumes",
            )
        )
    )

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
    volumes: list[Volume] = Field(
        default_factory=list,
        max_length=32,
        json_schema_extra=map_list("name"),
        description="Volumes as in a PodSpec, of the check pod and the runner pod.",
    )
    volume_mounts: list[VolumeMount] = Field(
        default_factory=list,
        max_length=32,
        json_schema_extra=map_list("mountPath"),
        description="Where the volumes are in those pods' containers, those of the callbacks included.",
    )


class RunSettings(Model):
    """Bounds of a run; a FlowRun may set its own."""

    active_deadline_seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = Field(
        default=None,
        description="Longest time in seconds that a run is active, over all attempts and the pauses between them, but "
        "not while it is suspended; then it is stopped and fails.",
    )
    pre_running_deadline_seconds: Annotated[int, Field(ge=1, le=86_400)] | None = Field(
        default=None,
        description="Longest time in seconds before the flow's process begins; then the run fails with the reason "
        "it was waiting for. Default 600.",
    )
    backoff_limit: Annotated[int, Field(ge=0, le=100)] | None = Field(
        default=None,
        description="How often the flow is tried again after failures of its own: it raised, exited, or took too much "
        "memory. Default 0.",
    )
    infrastructure_backoff_limit: Annotated[int, Field(ge=0, le=100)] | None = Field(
        default=None,
        description="How often the flow is tried again after failures that are not its own: its pod was evicted or "
        "deleted, its node or Dask scheduler lost, its image not pulled. Default 3.",
    )
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=31_536_000)] | None = Field(
        default=None,
        description="Time in seconds after which a finished run's pods are deleted. The FlowRun itself stays. "
        "Default: never. A run's Dask cluster always goes at once.",
    )
    stop_grace_seconds: Annotated[int, Field(ge=1, le=3600)] | None = Field(
        default=None,
        description="Time in seconds that a flow has to end after SIGTERM; then it is killed. Default 10. Part of "
        "the runner pod's grace period.",
    )
    callback_timeout_seconds: Annotated[int, Field(ge=1, le=3600)] | None = Field(
        default=None,
        description="Longest time in seconds of one callback; then it is stopped, and has failed. Default 30. That of "
        "on_exit is part of the runner pod's grace period.",
    )


DEFAULT_PRE_RUNNING_DEADLINE = 600
DEFAULT_BACKOFF_LIMIT = 0
DEFAULT_INFRASTRUCTURE_BACKOFF_LIMIT = 3
DEFAULT_STOP_GRACE = 10
DEFAULT_CALLBACK_TIMEOUT = 30


class FlowDeploymentSpec(Model):
    """Desired state of a FlowDeployment."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.flow.image) || !has(self.storage) || has(self.storage.docker)",
                "flow.image is docker storage: it goes with neither bytes nor local",
            ),
            rule(
                "has(self.flow.file) == (has(self.storage) && has(self.storage.local))",
                "flow.file and storage.local go together",
            ),
            rule(
                "!has(self.flow.file) || !has(self.storage) || !has(self.storage.local)"
                " || self.flow.file.location.startsWith(self.storage.local.directory + '/')",
                "flow.file.location must be under storage.local.directory",
            ),
            rule(
                "!has(self.environment) || !has(self.environment.kubernetesJob)"
                " || !has(self.storage) || !has(self.storage.local)",
                "kubernetesJob needs the flow in an image or mounted: storage docker or bytes, not local",
            ),
            rule(
                "!has(self.environment) || !has(self.environment.fargateTask)"
                " || !has(self.storage) || has(self.storage.docker)",
                "fargateTask needs the flow in an image: storage docker, neither bytes nor local",
            ),
        )
    )

    flow: FlowSpec = Field(description="What the flow is.")
    storage: Storage | None = Field(default=None, description="Where the flow is kept. Default: docker.")
    environment: Environment | None = Field(
        default=None, description="How the flow runs. Default: what the flow itself declares, else remote."
    )
    runner: Runner = Field(default_factory=Runner, description="Settings of the run's pods.")
    parameters: FreeObject = Field(
        default_factory=dict, description="Defaults of the flow's parameters; a FlowRun's own win."
    )
    schedule: Schedule | None = Field(
        default=None, description="When runs start by themselves. Default: never; a FlowRun starts one."
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
    vanished: Text | None = Field(
        default=None, description="When the registry was last found to have lost the image, which was then built again."
    )


class FlowDeploymentStatus(Model):
    """Observed state of a FlowDeployment."""

    conditions: list[Condition] = Field(
        default_factory=list,
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        description="Ready, Reconciling, Stalled (kstatus); Built, Verified, Scheduled.",
    )
    observed_generation: int | None = Field(default=None, description="Generation this status speaks of.")
    image: Text | None = Field(
        default=None,
        description="The flow's image, which runs use exactly: by digest, or the runtime image with bytes storage.",
    )
    flow: FlowFactsStatus | None = Field(default=None, description="What the flow is, as read in its image.")
    build: BuildStatus | None = Field(default=None, description="How the image was made.")
    last_schedule_time: Text | None = Field(default=None, description="Tick of the last run the schedule started.")
    next_schedule_time: Text | None = Field(default=None, description="Next tick of the schedule.")
    active: list[Text] = Field(
        default_factory=list, max_length=64, description="Runs of the schedule that have not ended, by name."
    )
    schedule: ScheduleStatus | None = Field(default=None, description="What is remembered between two ticks.")
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
