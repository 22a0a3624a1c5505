"""Objects as the API server would hand them out."""

from __future__ import annotations

import base64
import copy
from datetime import UTC, datetime, timedelta
from typing import Any

from flow_operator.api import labels
from flow_operator.api.settings import Settings

Manifest = dict[str, Any]

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
RUN_UID = "11111111-aaaa-bbbb-cccc-000000000001"
DEPLOYMENT_UID = "22222222-aaaa-bbbb-cccc-000000000002"
IMAGE = "localhost:5001/team-a/squares@sha256:" + "a" * 64
SOURCE = "def flow(n: int = 10) -> int:\n    return n\n"


def at(seconds: float) -> str:
    """Return the time some seconds after NOW as Kubernetes writes it."""
    return (NOW + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def settings(**changes: Any) -> Settings:
    """Return the operator's settings."""
    base: Manifest = {"registry": "localhost:5001/flows", "operatorImage": "operator:1", "runtimeImage": "runtime:1"}
    return Settings.model_validate({**base, **changes})


def a_deployment(**spec: Any) -> Manifest:
    """Return a FlowDeployment that nobody has looked at."""
    return {
        "apiVersion": labels.API_VERSION,
        "kind": "FlowDeployment",
        "metadata": {
            "name": "squares",
            "namespace": "team-a",
            "uid": DEPLOYMENT_UID,
            "generation": 1,
            "resourceVersion": "1",
            "creationTimestamp": at(-60),
        },
        "spec": {"flow": {"source": {"inline": SOURCE}, "entrypoint": "flow.py:flow"}, **spec},
    }


def a_config_map(name: str = "code", **data: str | bytes) -> Manifest:
    """Return a ConfigMap of a user's; a dot in a key is written as two underscores."""
    keys = {key.replace("__", "."): each for key, each in data.items()}
    text = {key: each for key, each in keys.items() if isinstance(each, str)}
    binary = {key: base64.b64encode(each).decode() for key, each in keys.items() if isinstance(each, bytes)}
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "team-a"}}
    return {**made, "data": text, "binaryData": binary}


def an_elsewhere_built_flow() -> Manifest:
    """Return what spec.flow is where the SDK has built the image."""
    return {"image": {"reference": IMAGE, "location": "/flows/squares.flow", "pullSecret": "pull-mine"}}


def a_job_environment(**spec: Any) -> Manifest:
    """Return spec.environment of a flow that runs in a Job of the user's making."""
    flow = {
        "name": "work",
        "image": "another:1",
        "command": ["sleep"],
        "args": ["1"],
        "env": [{"name": "A", "value": "1"}, {"name": "FLOW_OPERATOR_RUN", "value": "mine"}],
        "resources": {"limits": {"memory": "2Gi"}},
        "securityContext": {"runAsUser": 1000, "allowPrivilegeEscalation": False},
    }
    template = {
        "metadata": {"labels": {"team": "a"}},
        "spec": {
            "containers": [flow, {"name": "beside", "image": "sidecar:1", "args": ["serve"]}],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
            "nodeSelector": {"disk": "fast"},
        },
    }
    job = {"jobSpec": {"template": template, **spec}, "metadata": {"labels": {"kueue.x-k8s.io/queue-name": "flows"}}}
    return {"kubernetesJob": job}


def a_local_flow() -> Manifest:
    """Return a spec whose flow is on a volume of the user's."""
    return {
        "flow": {"file": {"location": "/data/flow.py:flow"}},
        "storage": {"local": {"directory": "/data"}},
        "runner": {
            "volumes": [{"name": "data", "configMap": {"name": "flows"}}],
            "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": True}],
        },
    }


def a_ready_deployment(callbacks: tuple[str, ...] = (), environment: Manifest | None = None, **spec: Any) -> Manifest:
    """Return a FlowDeployment that is built and verified."""
    deployment = a_deployment(**spec)
    deployment["status"] = {
        "observedGeneration": 1,
        "image": IMAGE,
        "build": {"sourceDigest": "sha256:" + "b" * 64},
        "flow": {
            "name": "squares",
            "parameters": [{"name": "n", "required": False, "default": 10}],
            "callbacks": list(callbacks),
            "environment": environment or {},
        },
        "conditions": [
            {"type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": at(-30)}
        ],
    }
    return deployment


def a_run(**spec: Any) -> Manifest:
    """Return a FlowRun that nobody has looked at."""
    return {
        "apiVersion": labels.API_VERSION,
        "kind": "FlowRun",
        "metadata": {
            "name": "squares-1",
            "namespace": "team-a",
            "uid": RUN_UID,
            "generation": 1,
            "resourceVersion": "2",
            "creationTimestamp": at(0),
        },
        "spec": {"deployment": "squares", **spec},
    }


def with_status(manifest: Manifest, status: Manifest | None) -> Manifest:
    """Return the object after a status write."""
    out = copy.deepcopy(manifest)
    if status is not None:
        out["status"] = copy.deepcopy(status)
    return out


def scheduled(pod: Manifest, *, reason: str | None = None, message: str = "") -> Manifest:
    """Return a created pod: waiting for the kubelet, or refused by the scheduler."""
    out = copy.deepcopy(pod)
    out["metadata"] |= {"uid": f"uid-{pod['metadata']['name']}", "resourceVersion": "10", "creationTimestamp": at(0)}
    out["status"] = {"phase": "Pending", "conditions": []}
    if reason:
        out["status"]["conditions"] = [
            {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
        ]
    return out


def pod_of(job: Manifest, suffix: str) -> Manifest:
    """Return a pod as a Job's controller makes it; it waits for the kubelet."""
    name, template = job["metadata"]["name"], job["spec"]["template"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": f"uid-{name}", "controller": True}
    made = {"name": f"{name}-{suffix}", "generateName": f"{name}-", "namespace": job["metadata"]["namespace"]}
    meta = {**template["metadata"], **made, "ownerReferences": [owner]}
    return scheduled({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]})


def container(pod: Manifest, name: str, state: Manifest, **more: Any) -> Manifest:
    """Return the pod with one container's state set."""
    out = copy.deepcopy(pod)
    out.setdefault("status", {"phase": "Running"})
    states = [each for each in out["status"].get("containerStatuses", ()) if each["name"] != name]
    out["status"]["containerStatuses"] = [*states, {"name": name, "image": IMAGE, "state": state, **more}]
    return out


def running(pod: Manifest, name: str = "main", since: float = 1) -> Manifest:
    """Return the pod with a running container."""
    out = container(pod, name, {"running": {"startedAt": at(since)}})
    out["status"]["phase"] = "Running"
    return out


def ended(
    pod: Manifest, name: str = "main", *, code: int = 0, message: str = "", reason: str = "Completed"
) -> Manifest:
    """Return the pod with an ended container."""
    state = {"exitCode": code, "message": message, "reason": reason, "startedAt": at(1), "finishedAt": at(2)}
    return container(pod, name, {"terminated": state})


def waiting(pod: Manifest, reason: str, name: str = "main", message: str = "", restarts: int = 0) -> Manifest:
    """Return the pod with a container that cannot begin."""
    return container(pod, name, {"waiting": {"reason": reason, "message": message}}, restartCount=restarts)
