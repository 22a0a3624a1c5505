"""The only place where names and labels of children are made; all deterministic."""

from __future__ import annotations

import hashlib

from ..api import labels

# DaskCluster names end up as "<name>-default-worker-<10>" Deployments, whose pods carry 17 more characters.
MAX_CLUSTER = 34
MAX_POD = 63


def short_uid(uid: str) -> str:
    """Return eight characters of a UID: enough to tell two runs of one name apart."""
    return uid.replace("-", "")[:8]


def _cut(name: str, length: int) -> str:
    return name[:length].rstrip("-.")


def digest(*parts: str) -> str:
    """Return a hash of texts; none of them can run into its neighbour."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(f"{len(part)}:".encode() + part.encode())
    return sha.hexdigest()


def runner_pod(run: str, uid: str, attempt: int) -> str:
    """Return the name of the runner pod of one attempt of one run."""
    tail = f"-{short_uid(uid)}-{attempt}"
    return _cut(run.replace(".", "-"), MAX_POD - len(tail)) + tail


def exit_pod(run: str, uid: str, attempt: int) -> str:
    """Return the name of the pod that runs on_exit of an attempt whose runner pod could not."""
    tail = f"-{short_uid(uid)}-{attempt}-exit"
    return _cut(run.replace(".", "-"), MAX_POD - len(tail)) + tail


def dask_cluster(run: str, uid: str, attempt: int) -> str:
    """Return the name of the Dask cluster of one attempt of one run; it must begin with a letter (Services)."""
    tail = f"-{short_uid(uid)}-{attempt}"
    head = _cut(run.replace(".", "-"), MAX_CLUSTER - len(tail) - 1)
    return f"r{head}{tail}" if not head[:1].isalpha() else f"{head}{tail}"


def scheduler_service(run: str, uid: str, attempt: int) -> str:
    """Return the name of the Service of a scheduler, whoever makes it."""
    return f"{dask_cluster(run, uid, attempt)}-scheduler"


def worker_pod(run: str, uid: str, attempt: int, index: int) -> str:
    """Return the name of a worker pod of one attempt of one run."""
    tail = f"-{short_uid(uid)}-{attempt}-w{index}"
    return _cut(run.replace(".", "-"), MAX_POD - len(tail)) + tail


def build_child(deployment: str, role: str, inputs: str, attempt: int = 0) -> str:
    """Return the name of a deployment's code ConfigMap, builder pod or check pod for some inputs."""
    tail = f"-{role}-{inputs[:10]}" + (f"-{attempt}" if attempt else "")
    if len(deployment) > MAX_POD - len(tail):  # two long names must not become one
        tail = f"-{digest(deployment)[:5]}{tail}"
    return _cut(deployment, MAX_POD - len(tail)) + tail


def scheduled_run(deployment: str, minute: int) -> str:
    """Return the name of the run of a tick, by the tick's minute since 1970: a tick cannot be started twice."""
    tail = f"-{minute}"
    room = MAX_POD - len(tail)
    if len(deployment) > room:  # two long names must not become one
        tail = f"-{digest(deployment)[:5]}{tail}"
    return _cut(deployment, MAX_POD - len(tail)) + tail


def scheduled_labels(deployment: str, uid: str) -> dict[str, str]:
    """Return the labels of every run that a schedule started."""
    return {
        labels.MANAGED_BY: labels.MANAGER,
        labels.DEPLOYMENT_NAME: deployment,
        labels.DEPLOYMENT_UID: uid,
    }


def run_labels(run: str, uid: str, attempt: int, component: str) -> dict[str, str]:
    """Return the labels of every child of a run."""
    return {
        labels.MANAGED_BY: labels.MANAGER,
        labels.COMPONENT: component,
        labels.RUN_NAME: run,
        labels.RUN_UID: uid,
        labels.ATTEMPT: str(attempt),
    }


def run_selector(uid: str, attempt: int, component: str) -> dict[str, str]:
    """Return the labels by which some children of one attempt are found."""
    return {labels.RUN_UID: uid, labels.ATTEMPT: str(attempt), labels.COMPONENT: component}


def deployment_labels(deployment: str, uid: str, inputs: str, component: str) -> dict[str, str]:
    """Return the labels of every child of a deployment."""
    return {
        labels.MANAGED_BY: labels.MANAGER,
        labels.COMPONENT: component,
        labels.DEPLOYMENT_NAME: deployment,
        labels.DEPLOYMENT_UID: uid,
        labels.INPUTS: inputs[:10],
    }


def owner(kind: str, name: str, uid: str) -> dict[str, object]:
    """Return a controller owner reference; deleting the owner deletes the child, without waiting for it."""
    return {
        "apiVersion": labels.API_VERSION,
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
