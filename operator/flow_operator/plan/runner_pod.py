"""The runner pod: main, and flow-hooks where a callback is declared (docs/callbacks.md says why it is so)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import labels, wire
from . import finalizers, names, pods
from .clusters import Attempt
from .code import code_mount
from .providers import provider_of

if TYPE_CHECKING:
    from ..api.settings import Settings
    from .pinned import Pinned
    from .types import Manifest

MAIN = "main"
HOOKS = "flow-hooks"
# Seconds until a scheduler that exists already must have answered; one of the run's own may take longer.
CONNECT_PATIENCE = 60
_HOOKS_MOUNT = {"name": "hooks", "mountPath": wire.HOOKS_DIR}


def runner_pod(run: Manifest, pinned: Pinned, attempt: int, settings: Settings) -> Manifest:
    """Return the pod that runs the flow once."""
    meta = run["metadata"]
    env = [*pinned.runner.get("env", ()), *pods.environment(variables(run, pinned, attempt))]
    account = pinned.runner.get("serviceAccountName")
    volumes, mounts = code_mount(pinned)
    volumes = [*volumes, *pinned.runner.get("volumes", ())]
    mounts = [*mounts, *pinned.runner.get("volumeMounts", ())]
    if pinned.hooks:
        volumes = [*volumes, {"name": "hooks", "emptyDir": {}}]
    resources = pinned.runner.get("resources") or settings.runner.resources or None
    cluster = provider_of(pinned)
    main = pods.container(
        name=MAIN,
        image=pinned.image,
        command=["python3", "-m", "flow_operator.runner", "run"],
        env=[*env, *aws] if (aws := aws_variables(pinned)) else env,
        mounts=[*mounts, *([_HOOKS_MOUNT] if pinned.hooks else [])],
        resources=resources,
        **(cluster.runner_container() if cluster else {}),
    )
    return pods.pod(
        name=runner_name(run, attempt),
        namespace=meta["namespace"],
        labels=names.run_labels(meta["name"], meta["uid"], attempt, labels.RUNNER),
        owner=names.owner("FlowRun", meta["name"], meta["uid"]),
        containers=[main, *([hooks_container(pinned, env, mounts)] if pinned.hooks else [])],
        volumes=volumes,
        pull_secrets=list(pinned.pull_secrets),
        finalizers=finalizers.of_pods(pinned),
        terminationGracePeriodSeconds=pinned.grace,
        nodeSelector=pinned.runner.get("nodeSelector") or None,
        tolerations=pinned.runner.get("tolerations") or None,
        serviceAccountName=account,
        automountServiceAccountToken=bool(account),
        activeDeadlineSeconds=pinned.bounds.get("activeDeadlineSeconds"),
        **(cluster.runner_spec(Attempt(run, pinned, attempt)) if cluster else {}),
    )


def runner_name(run: Manifest, attempt: int) -> str:
    """Return the name of the runner pod of one attempt."""
    return names.runner_pod(run["metadata"]["name"], run["metadata"]["uid"], attempt)


def variables(run: Manifest, pinned: Pinned, attempt: int) -> dict[str, str]:
    """Return the variables of every container that runs something of the flow."""
    return {
        **pods.HOME,
        **pinned.tick_variables,
        wire.RUN_ENV: pods.compact(run_request(run, pinned, attempt)),
        "FLOW_OPERATOR_CALLBACKS": ",".join(pinned.callbacks),
    }


def run_request(run: Manifest, pinned: Pinned, attempt: int) -> wire.RunRequest:
    """Return what the runner is told."""
    meta = run["metadata"]
    request: wire.RunRequest = {
        "flow": pinned.flow,
        "run": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"], "attempt": attempt},
        "parameters": pinned.parameters,
        "executor": _executor(run, pinned, attempt),
        "hooks": pinned.hooks,
        "stopGraceSeconds": pinned.main_grace,
        "hookTimeoutSeconds": pinned.callback_timeout,
    }
    if driver := _driver(pinned):
        request["driver"] = driver
    return request


def _driver(pinned: Pinned) -> wire.DriverSpec | None:
    """Return by whose steps the flow is run, None where the runner itself runs it."""
    if pinned.environment.custom is not None:
        return {"kind": "Custom", "image": pinned.image}
    if (task := pinned.environment.fargate_task) is not None:
        settings = task.to_wire()
        image = "" if pinned.code else pinned.image  # a flow that is mounted is not in it
        return {"kind": "FargateTask", "image": image, "fargateTask": settings, "stopGraceSeconds": pinned.stop_grace}
    return None


def aws_variables(pinned: Pinned) -> list[Manifest]:
    """Return what boto3 finds in the variables of the runner; only the kubelet reads the Secret."""
    task = pinned.environment.fargate_task
    if task is None:
        return []
    settings = {"AWS_REGION": task.region, "AWS_DEFAULT_REGION": task.region, "AWS_ENDPOINT_URL_ECS": task.endpoint_url}
    given = pods.environment({name: value for name, value in settings.items() if value})
    if task.credentials_secret is None:
        return given
    optional = ("AWS_SESSION_TOKEN", *(() if task.region else ("AWS_REGION",)))
    return [
        *(_of_secret(task.credentials_secret, name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")),
        *(_of_secret(task.credentials_secret, name, optional=True) for name in optional),
        *given,
    ]


def _of_secret(secret: str, name: str, *, optional: bool = False) -> Manifest:
    reference = {"name": secret, "key": name, **({"optional": True} if optional else {})}
    return {"name": name, "valueFrom": {"secretKeyRef": reference}}


def _executor(run: Manifest, pinned: Pinned, attempt: int) -> wire.ExecutorSpec:
    if cluster := provider_of(pinned):
        return cluster.executor(Attempt(run, pinned, attempt))
    remote = pinned.environment.remote
    if remote is None:
        return {"kind": "Local"}
    kwargs = dict(remote.executor_kwargs)
    if remote.executor != "Dask":
        return {"kind": remote.executor, "kwargs": kwargs}
    address = str(kwargs.pop("address", ""))
    patience = min(CONNECT_PATIENCE, pinned.pre_running_deadline)
    return {"kind": "Dask", "address": address, "kwargs": kwargs, "connectTimeoutSeconds": patience}


def hooks_container(pinned: Pinned, env: list[Manifest], mounts: list[Manifest]) -> Manifest:
    """Return the container in which the callbacks run, beside the flow's."""
    return pods.container(
        name=HOOKS,
        image=pinned.image,
        command=hooks_command("serve"),
        env=env,
        mounts=[*mounts, _HOOKS_MOUNT],
        # A hooks process that was killed begins again and finds its receipts; it exits 0 by itself always.
        restartPolicy="OnFailure",
        resources={"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "512Mi"}},
        lifecycle={
            "postStart": {"exec": {"command": hooks_command("started")}},
            "preStop": {"exec": {"command": hooks_command("drain")}},
        },
    )


def hooks_command(command: str) -> list[str]:
    """Return how a container begins a command of the hooks' program."""
    # -I -S: no site-packages, so that the idle process stays small; no shell, so that the image needs none.
    return ["python3", "-I", "-S", wire.HOOKS_PROGRAM, command]
