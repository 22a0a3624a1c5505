"""What the pods of a Dask cluster are made of, whoever makes them: the user's PodSpec, and the rest filled in."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from ..api import wire
from . import patching, pods
from .code import code_mount

if TYPE_CHECKING:
    from ..api.settings import Settings
    from .pinned import Pinned
    from .types import Manifest

SCHEDULER_PORT, HTTP_PORT = 8786, 8787
DASK_COMPONENT = "dask.org/component"

# Without the API routes (off by default) the autoscaler falls back to pickle RPC, and then to killing workers
# last-in-first-out. The routes below are distributed's defaults, plus distributed.http.scheduler.api.
_ROUTES = [
    "distributed.http.scheduler.prometheus",
    "distributed.http.scheduler.info",
    "distributed.http.scheduler.json",
    "distributed.http.health",
    "distributed.http.proxy",
    "distributed.http.statics",
    "distributed.http.scheduler.api",
]
_SCHEDULER_DEFAULTS = {
    f"DASK_DISTRIBUTED__SCHEDULER__{key.upper().replace('-', '_')}": str(value)
    for key, value in wire.SCHEDULER_DEFAULTS.items()
}
# The Deployment's or the pod's: retirement deletes the one of that name.
_NAME = ("--name", f"$({wire.WORKER_NAME_ENV})")
# Not `dask worker`: its command line costs 0.4 s of CPU before it begins, in every pod.
DASK_WORKER = ("python3", "-m", "distributed.cli.dask_worker")


def scheduler_spec(pinned: Pinned, settings: Settings) -> Manifest:
    """Return the scheduler's PodSpec: what the user wrote, and the rest filled in."""
    assert pinned.dask is not None, "only a daskKubernetes run has a cluster"  # noqa: S101
    routes = "[" + ",".join(f"'{each}'" for each in _ROUTES) + "]"
    container = {
        "name": "scheduler",
        # Not `dask scheduler`: its command line costs 0.4 s of CPU before it begins, in every pod.
        "command": ["python3", "-m", "distributed.cli.dask_scheduler"],
        "args": ["--port", str(SCHEDULER_PORT), "--dashboard-address", f":{HTTP_PORT}"],
        "env": pods.environment({"DASK_DISTRIBUTED__SCHEDULER__HTTP__ROUTES": routes}),
        "ports": [
            {"name": "tcp-comm", "containerPort": SCHEDULER_PORT, "protocol": "TCP"},
            {"name": "http-dashboard", "containerPort": HTTP_PORT, "protocol": "TCP"},
        ],
        "readinessProbe": {
            "httpGet": {"port": "http-dashboard", "path": "/health"},
            "periodSeconds": 1,
            "failureThreshold": 30,
        },
        "resources": settings.dask.scheduler_resources or None,
    }
    return _filled(pinned.dask.scheduler_spec, container, pinned, _SCHEDULER_DEFAULTS)


def worker_spec(
    pinned: Pinned, settings: Settings, *, program: tuple[str, ...] = DASK_WORKER, env: dict[str, str] | None = None
) -> Manifest:
    """Return a worker's PodSpec: what the user wrote, and the rest filled in."""
    assert pinned.dask is not None, "only a daskKubernetes run has a cluster"  # noqa: S101
    container = {
        "name": "worker",
        "command": list(program),
        "env": pods.environment(env or {}),
        "args": [
            *_NAME,
            "--nthreads", "1",
            "--no-nanny",  # the kubelet is the nanny: one process a pod, and half a second less
            "--no-dashboard",
            "--death-timeout", "60",
        ],
        "resources": settings.dask.worker_resources or None,
    }  # fmt: skip
    return _named(_filled(pinned.dask.worker_spec, container, pinned), list(program))


def _named(spec: Manifest, program: list[str]) -> Manifest:
    """Return a worker's PodSpec with the worker's name among the user's arguments, if the program is ours."""
    first, *others = spec["containers"]
    args = first["args"]
    if first["command"] != program or not isinstance(args, list):
        return spec
    if any(str(each).partition("=")[0] == "--name" for each in args):
        return spec
    return {**spec, "containers": [{**first, "args": [*args, *_NAME]}, *others]}


def _filled(
    wanted: Manifest | None, default: Manifest, pinned: Pinned, suggested: dict[str, str] | None = None
) -> Manifest:
    """Return the user's PodSpec with image and variables set, and what it leaves out filled from ours."""
    spec: dict[str, Any] = copy.deepcopy(wanted) if wanted else {}
    containers: list[Manifest] = spec.get("containers") or [{}]
    first = containers[0]
    volumes, mounts = code_mount(pinned)
    volumes, mounts = patching.renamed(
        [{"name": "tmp", "emptyDir": {}}, *volumes],
        [{"name": "tmp", "mountPath": "/tmp"}, *mounts],  # noqa: S108
    )
    ours = pods.environment({**pods.HOME, **pinned.tick_variables})
    filled = {
        **{key: value for key, value in default.items() if value is not None},
        "imagePullPolicy": "IfNotPresent",
        "securityContext": pods.container_security(),
        "workingDir": "/tmp",  # noqa: S108
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **first,
        "image": pinned.image,
        "env": patching.variables(
            patching.variables(
                patching.variables(pods.environment(suggested or {}), first.get("env") or ()),
                pinned.runner.get("env", ()),
            ),
            [*ours, *default.get("env", ())],
        ),
        "volumeMounts": patching.mounts(first.get("volumeMounts"), mounts),
    }
    secrets = patching.pull_secrets(spec.get("imagePullSecrets"), pinned.pull_secrets)
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        "securityContext": pods.pod_security(),
        **({"nodeSelector": pinned.runner["nodeSelector"]} if pinned.runner.get("nodeSelector") else {}),
        **({"tolerations": pinned.runner["tolerations"]} if pinned.runner.get("tolerations") else {}),
        **spec,
        **({"imagePullSecrets": secrets} if secrets else {}),
        "containers": [filled, *containers[1:]],
        "volumes": patching.volumes(spec.get("volumes"), volumes),
    }
