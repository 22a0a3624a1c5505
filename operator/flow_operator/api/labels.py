"""Every label, annotation and field-manager name we write. Standard library only: the runner imports this."""

GROUP = "flow-operator.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "flow-operator"
COMPONENT = "app.kubernetes.io/component"
RUN_UID = f"{GROUP}/run-uid"
RUN_NAME = f"{GROUP}/run"
ATTEMPT = f"{GROUP}/attempt"
DEPLOYMENT_UID = f"{GROUP}/deployment-uid"
DEPLOYMENT_NAME = f"{GROUP}/deployment"
INPUTS = f"{GROUP}/inputs"
REBUILD = f"{GROUP}/rebuild"
SCHEDULED_AT = f"{GROUP}/scheduled-at"  # of a run: the tick that started it
BACKFILL = f"{GROUP}/backfill"  # of a run: somebody filled in its tick; the schedule's policies are not about it
REPLACES = f"{GROUP}/replaces"  # of a run: earlier ones of its schedule are cancelled for it
CONTAINER = f"{GROUP}/container"  # annotation of a pod of the user's making: the container that runs the flow
PROJECT = f"{GROUP}/project"  # of a Namespace and of what is deployed into it: the slug of the project's name
PROJECT_NAME = f"{GROUP}/project-name"  # annotation of the Namespace: the name as it was written

# Finalizers. Their prefix is ours alone: whoever takes ours off, takes off what begins with it.
VERDICT = f"{GROUP}/verdict"  # of a pod: what it has to say is not in status yet
CALLBACKS = f"{GROUP}/callbacks"  # of a FlowRun: its callbacks have not been settled
# Not ours: dask-kubernetes has it on what it has timers for.
KOPF = "kopf.zalando.org/KopfFinalizerMarker"

# Values of COMPONENT.
RUNNER = "runner"
CALLBACK = "callback"
BUILDER = "builder"
CHECK = "check"
JOB = "job"
DASK = "dask"

SELECTOR = f"{MANAGED_BY}={MANAGER}"
