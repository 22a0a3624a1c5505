"""What operator, builder pod, check pod and runner pod say to each other. Standard library only.

The operator writes one JSON document into each pod's environment; the pod answers with one JSON document of at
most MESSAGE_LIMIT bytes in its termination message. Both sides import this file, so that a key has one spelling.
Unknown keys are ignored on both sides: an image built by an older release keeps running.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

# The kubelet keeps the *tail* of a long file and 12 KiB for all containers of a pod: we cut by ourselves, earlier.
MESSAGE_LIMIT = 2048
# A check pod has one container, whose message may be as long as the kubelet takes: a job spec is long.
CHECK_LIMIT = 4096
# Of these, for the environment that the flow declares; beyond it is the resource's to say.
PACKED_LIMIT = 3000
TERMINATION_LOG = "/dev/termination-log"

FLOWS_DIR = "/flows"  # flow files in every image and mount, mode 0444
LIB_DIR = "/opt/flow-operator/lib"  # the runtime: flow_operator, cloudpickle, dask, distributed
DEPS_DIR = "/opt/flow-operator/deps"  # the dependency layer; first on PYTHONPATH, so users' pins win
PYTHONPATH = f"{DEPS_DIR}:{LIB_DIR}"
HOOKS_PROGRAM = f"{LIB_DIR}/flow_operator/runner/hooks.py"  # run by path: `python -I -S` knows no packages
HOOKS_DIR = "/hooks"

RUN_ENV = "FLOW_OPERATOR_RUN"  # RunRequest as JSON: runner and hooks containers
CHECK_ENV = "FLOW_OPERATOR_CHECK"  # CheckRequest as JSON: check pod
BUILD_ENV = "FLOW_OPERATOR_BUILD"  # BuildRequest as JSON: builder pod
SCHEDULED_TIME_ENV = "FLOW_OPERATOR_SCHEDULED_TIME"  # tick of a run that a schedule started: all pods of the run
CONFIG_ENV = "FLOW_OPERATOR__USER_CONFIG_PATH"  # where the SDK reads its settings
CONFIG_FILE = "/etc/flow-operator/config.toml"  # in every image, whoever builds it
SCHEDULER_ENV = "DASK_SCHEDULER_ADDRESS"  # Dask's own names: a worker's arguments may refer to them
WORKER_NAME_ENV = "DASK_WORKER_NAME"
# distributed.scheduler of its configuration, where a user says nothing else: what the model asks of a run's cluster.
SCHEDULER_DEFAULTS: dict[str, object] = {"work-stealing": False, "blocked-handlers": ["feed", "run_function"]}
PATIENCE_ENV = "FLOW_OPERATOR_PATIENCE"  # seconds a worker waits for its scheduler
# How the flow ended, for on_exit: set by flow-hooks, or by the operator in the pod that runs on_exit in its place.
OUTCOME_ENV = "FLOW_OPERATOR_OUTCOME"  # Succeeded or Failed
EXIT_CODE_ENV = "FLOW_OPERATOR_EXIT_CODE"
REASON_ENV = "FLOW_OPERATOR_REASON"  # "" for success
HERE_ENV = "FLOW_OPERATOR_HERE"  # set where `kubectl flow` runs a pod's programs on its own machine

# Exit codes of the runner (PID 1 of main).
EXIT_OK = 0
EXIT_FLOW_FAILED = 1  # the flow raised, or could not be loaded
EXIT_ON_START_FAILED = 78  # on_start failed: the flow did not run
EXIT_ON_EXIT_FAILED = 79  # in a task of AWS, where there are no receipts: the flow succeeded, on_exit did not
EXIT_CLOSED = 143  # the attempt was over before the flow could begin

# What main leaves as its termination message before it waits for on_start: killed later, its callbacks have begun.
CAME = "{}"

ANYTHING = "**"  # in FlowFacts.parameters: the flow takes parameters that are not declared

State = Literal["Succeeded", "Failed"]
HookState = Literal["Succeeded", "Failed", "Skipped"]


class FlowRef(TypedDict):
    """Where a flow is found inside a pod."""

    location: str  # absolute path: /flows/flow.py (source) or /flows/<slug>.flow (cloudpickle)
    attribute: str  # name in the module; "" for a pickle


class SchedulerSpec(TypedDict):
    """A Dask scheduler in the runner's own pod."""

    port: int
    httpPort: int


class ExecutorSpec(TypedDict, total=False):
    """How tasks run inside the main process."""

    kind: Literal["Local", "LocalDask", "Dask"]
    address: str  # of a Dask scheduler, "tcp://…"; kind Dask only
    kwargs: dict[str, Any]
    minWorkers: int  # of the run's own cluster: wait for the first of them before the flow begins
    connectTimeoutSeconds: float
    scheduler: SchedulerSpec  # start it first; absent where the scheduler is another's


class RunIdentity(TypedDict):
    """Which execution this is; callbacks see it, and its hook key `<uid>/<attempt>/on_exit`, in their environment."""

    name: str
    namespace: str
    uid: str
    attempt: int


class DriverSpec(TypedDict, total=False):
    """The flow is run by the two steps of an environment, setup and execute, which the runner calls."""

    kind: Literal["Custom", "FargateTask"]
    image: str  # the flow's, by digest
    fargateTask: dict[str, Any]  # as in spec.environment of the FlowDeployment
    stopGraceSeconds: float  # of the flow, where it runs elsewhere; the request's own is then the driver's


class RunRequest(TypedDict):
    """Operator to runner pod (main and flow-hooks); the runner of a FargateTask to the runner in the task."""

    flow: FlowRef
    run: RunIdentity
    parameters: dict[str, Any]
    executor: ExecutorSpec
    hooks: bool  # a flow-hooks container is beside: wait for the on_start receipt
    stopGraceSeconds: float  # from SIGTERM to SIGKILL of the flow's process
    hookTimeoutSeconds: float
    driver: NotRequired[DriverSpec]  # absent: the runner itself runs the flow


class FlowError(TypedDict, total=False):
    """An exception, fit for a status field."""

    type: str  # qualified: "builtins.ValueError" is "ValueError", "pkg.mod.Broken" stays
    message: str
    frames: list[str]  # "flow.py:12 in square", innermost last, the flow's own frames only, at most 5


class RunReport(TypedDict, total=False):
    """Runner (main) to operator."""

    state: State
    # on failure: FlowRaised, FlowExited, LoadFailed, OnStartFailed, BadParameters, BadExecutor, SchedulerUnreachable,
    # NoWorkers, SchedulerLost, RunnerFailed, Stopped, SetupFailed, ExecuteFailed, EnvironmentDependencyMissing, and
    # what an EnvironmentFailed says (flow/errors.py)
    reason: str
    remedy: str  # where the runner knows better than its reason says
    result: Any  # JSON value; absent when None
    resultOmitted: str  # why there is no result in the report: "too large (5120 bytes)", "not JSON: DataFrame"
    error: FlowError
    stages: dict[str, float]  # seconds: load, connect, flow
    peakMemoryBytes: int  # most memory of the container at one time; with the next, all there is of a killed flow
    outOfMemory: bool  # the kernel has killed a process of the container for memory since the flow began
    workersSeen: list[str]  # names of Dask workers that computed something, at most 16


class HookReceipt(TypedDict, total=False):
    """One callback's outcome, written to /hooks/<name>.json by the hooks process."""

    name: Literal["on_start", "on_exit"]
    state: HookState
    tries: int  # how often it was begun; >1 only after the hooks process was killed
    startTime: str  # RFC 3339, UTC, with milliseconds
    endTime: str
    error: FlowError
    message: str  # why it was skipped, or the limit it ran into


class HooksReport(TypedDict, total=False):
    """Flow-hooks container to operator: the receipts, in order."""

    hooks: list[HookReceipt]


class CheckRequest(TypedDict, total=False):
    """Operator to check pod; the Docker builder to the last step of its build."""

    flow: FlowRef
    flows: list[FlowRef]  # the others in the same image: they must load too, and no facts of theirs are told
    python: str  # minor version of the author's Python; another in the image is a warning
    modules: dict[str, list[str]]  # what the environment of the resource needs, by its kind


class FlowFacts(TypedDict, total=False):
    """What the check pod found in a flow."""

    name: str
    parameters: list[dict[str, Any]]  # {"name": "n", "required": false, "default": 10}
    callbacks: list[str]  # of "on_start", "on_exit"
    environment: dict[str, Any]  # as in FlowDeployment.spec.environment: {"daskKubernetes": {"minWorkers": 1}}
    packedEnvironment: str  # the same where it is long: pack()
    python: str
    versions: dict[str, str]  # flow-operator, dask, distributed, cloudpickle


class CheckReport(TypedDict, total=False):
    """Check pod to operator: facts, or a reason."""

    flow: FlowFacts
    reason: str  # ImportFailed, NoSuchFlow, NotAFlow, UnpicklingFailed, FlowInvalid,
    # EnvironmentDependencyMissing, EnvironmentTooLarge
    message: str  # one sentence that names the module, file or object
    remedy: str
    error: FlowError


class BuildFile(TypedDict):
    """One file of the code layer: a flow's, or a user's own."""

    path: str  # in the image
    source: str  # where the builder runs
    sha256: str  # what was decided on; the builder refuses other bytes


class RegistryEndpoint(TypedDict, total=False):
    """How a registry's public name is reached from where the builder runs (as containerd's hosts.toml does)."""

    endpoint: str  # "http://kind-registry:5000"; plain HTTP only where it is written here
    ca: str  # file with the authorities to trust for this registry, besides those of SSL_CERT_FILE
    insecure: bool  # do not verify this registry's certificate; only where it is written here


class EngineEndpoint(TypedDict, total=False):
    """The Docker engine that the Docker builder talks to. Empty: the local one, as docker's own clients find it."""

    url: str  # "tcp://docker.example.com:2376", "unix:///var/run/docker.sock"
    tls: str  # folder with ca.pem, cert.pem and key.pem, as DOCKER_CERT_PATH has them; needed for tcp in a cluster


class BuildRequest(TypedDict, total=False):
    """Operator to builder pod; `storage.build()` on a laptop and in CI to the same builders."""

    builder: Literal["Layers", "Docker"]  # default Layers
    baseImage: str
    repository: str  # "localhost:5001/team-a/squares", the public name; without a host it is Docker Hub's
    tag: str
    files: list[BuildFile]
    pythonDependencies: list[str]
    lock: BuildFile  # a requirements file with hashes or a uv.lock, enforced; `path` is its name, not in the image
    env: dict[str, str]
    annotations: dict[str, str]  # OCI annotations of the manifest
    registries: dict[str, RegistryEndpoint]
    architecture: str  # GOARCH, default that of the builder
    push: bool  # default True; False: Docker leaves the image in its engine, Layers only computes the digest
    pushSecret: str  # name of the Secret mounted at $DOCKER_CONFIG, for messages: it may not be there
    # Docker only:
    extraCommands: list[str]  # RUN lines, after pip is there and before the runtime and the dependencies
    localImage: bool  # the base is the engine's own: do not pull it
    engine: EngineEndpoint
    flows: list[FlowRef]  # the last step of the build loads them all (CheckRequest)
    python: str  # minor version of the author's Python, for the check


class LayerReport(TypedDict):
    """One layer the builder put on top of the base."""

    kind: Literal["runtime", "dependencies", "files", "code"]
    digest: str
    size: int
    uploaded: bool


class BuildReport(TypedDict, total=False):
    """Builder pod to operator: a digest, or a reason."""

    image: str  # repository@sha256:…, public name
    digest: str
    base: str  # base image by digest
    layers: list[LayerReport]
    lock: str  # sha256 of the resolved dependency lock, "" without dependencies
    sbom: str  # digest of the manifest that attaches the dependencies' SBOM to the image; absent when there is none
    uploadedBytes: int
    stages: dict[str, float]  # seconds: resolve, base, dependencies, code, push
    reason: str  # see images/errors.py
    message: str
    remedy: str
    retryable: bool  # the world may heal it (registry down); False: inputs must change


def pack(document: dict[str, Any]) -> str:
    """Return a document as text of few bytes, which JSON leaves as it is."""
    import base64
    import json
    import zlib

    text = json.dumps(document, separators=(",", ":"), sort_keys=True)
    return base64.b85encode(zlib.compress(text.encode(), 9)).decode()


def unpack(text: str) -> dict[str, Any]:
    """Read back what was packed.

    Raises:
        ValueError: it is something else, or more than anybody would pack.
    """
    import base64
    import json
    import zlib

    inflating = zlib.decompressobj()
    try:
        raw = inflating.decompress(base64.b85decode(text), 1_000_000)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    document = json.loads(raw)
    if inflating.unconsumed_tail or not isinstance(document, dict):
        raise ValueError("no object of a reasonable size")
    return document
