"""What is compared: the same flow as a FlowRun, a bare pod, a batch/v1 Job and a DaskJob, as manifests.

Both sides get the same image, requests, node and security: peers are made with the operator's own builders of pods.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from tests.support import cluster
from tests.support.cluster import condition

from flow_operator.api.flow_run import FINISHED, FlowRunSpec
from flow_operator.plan import pinned, pods
from flow_operator.plan.dask_cluster import dask_cluster

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.kube import Manifest
    from flow_operator.api.settings import Settings

REQUESTS: Manifest = {"requests": {"cpu": "100m", "memory": "256Mi"}}

# A plain function: whatever else the runner loads before it counts against us.
SOURCE = """\
def flow(n: int = 1000) -> int:
    return sum(i * i for i in range(n))
"""
RESULT = sum(i * i for i in range(1000))

CALLBACKS_SOURCE = """\
from flow_operator import flow
from flow_operator.environments import RemoteEnvironment

def nothing() -> None:
    pass

@flow(environment=RemoteEnvironment(on_start=nothing, on_exit=nothing))
def flow(n: int = 1000) -> int:
    return sum(i * i for i in range(n))
"""

# Ends by SIGTERM alone.
SLEEPING_SOURCE = """\
import time

def flow() -> None:
    time.sleep(3600)
"""

DASK_SOURCE = """\
import dask

def square(i: int) -> int:
    return i * i

def flow() -> int:
    parts = [dask.delayed(square)(i) for i in range(8)]
    return sum(dask.compute(*parts))
"""
DASK_RESULT = sum(i * i for i in range(8))

# Load for more workers than one, until as many as may be have computed; tells when the first task began, and when the
# last of them had computed something, by the nodes' clock, which is this machine's.
SCALING_WORKERS = 4
SCALING_SOURCE = f"""\
import os, time
from distributed import as_completed, get_client

def task(i: int) -> tuple[float, float, str]:
    began = time.time()
    time.sleep(0.25)
    return began, time.time(), os.environ["HOSTNAME"]

def flow() -> dict[str, float]:
    pending = get_client().map(task, range(1000), pure=False)
    first, ends = float("inf"), {{}}
    for _, (began, ended, where) in as_completed(pending, with_results=True):
        first = min(first, began)
        ends[where] = min(ended, ends.get(where, ended))
        if len(ends) == {SCALING_WORKERS}:
            return {{"first": first, "all": max(ends.values())}}
    raise RuntimeError("the load was over before all workers were there")
"""

# The peers run the very file that the FlowRun's image holds.
PROGRAM = """\
exec(open("/flows/flow.py").read())
print(flow())
"""
# The same between two hooks by hand: a second container, whose postStart lets the flow begin, and which ends after it.
BETWEEN_HOOKS = f"""\
import fcntl, os, time
fcntl.flock(os.open("/hooks/lock", os.O_RDONLY | os.O_CREAT), fcntl.LOCK_EX)
open("/hooks/begun", "w").close()
while not os.path.exists("/hooks/started"):
    time.sleep(0.004)
{PROGRAM}"""
BESIDE = """\
import fcntl, os, time
while not os.path.exists("/hooks/begun"):
    time.sleep(0.004)
fcntl.flock(os.open("/hooks/lock", os.O_RDONLY), fcntl.LOCK_EX)
"""
STARTED = 'open("/hooks/started", "w").close()'
# Connects once a scheduler is there, told by the length it sends unasked. Until kube-proxy knows a Service, its address
# may lead out of the cluster, to a gateway that accepts every connection: distributed's client fails there for good.
DASK_PROGRAM = """\
import os, socket, time
from distributed import Client

def is_scheduler(host, port):
    try:
        with socket.create_connection((host, int(port)), timeout=1) as connection:
            return b"\\0" in connection.recv(8)
    except OSError:
        return False

address = os.environ["DASK_SCHEDULER_ADDRESS"]
while not is_scheduler(*address.removeprefix("tcp://").split(":")):
    time.sleep(0.1)
exec(open("/flows/flow.py").read())
with Client(address):
    print(flow())
"""


def deployment(
    namespace: str, name: str, source: str, node: dict[str, str], *, mounted: bool = False, **spec: Any
) -> Manifest:
    """Return a FlowDeployment; its repository is the same in every run, so that nothing piles up in the registry."""
    storage: Manifest = {"bytes": {}} if mounted else {"docker": {"imageName": f"bench-{name}"}}
    runner = {"resources": REQUESTS, "nodeSelector": node}
    return _inside(namespace, cluster.deployment(name, source, storage=storage, runner=runner, **spec))


def flow_run(namespace: str, name: str, of: str) -> Manifest:
    """Return a FlowRun."""
    return _inside(namespace, cluster.run(name, of))


def pod(namespace: str, name: str, image: str, node: dict[str, str], program: str = PROGRAM) -> Manifest:
    """Return a bare pod that runs a program."""
    main = pods.container(
        name="main",
        image=image,
        command=["python3", "-c", program],
        env=pods.environment(pods.HOME),
        resources=REQUESTS,
    )
    made = pods.pod(name=name, namespace=namespace, labels={}, owner={}, containers=[main], nodeSelector=node)
    del made["metadata"]["ownerReferences"]
    return made


def pod_with_hooks(namespace: str, name: str, image: str, node: dict[str, str]) -> Manifest:
    """Return the bare pod with what lifecycle hooks around a flow take, and nothing that they would call."""
    made = pod(namespace, name, image, node, BETWEEN_HOOKS)
    mount = {"name": "hooks", "mountPath": "/hooks"}
    python = ["python3", "-I", "-S", "-c"]
    hooks = pods.container(
        name="hooks",
        image=image,
        command=[*python, BESIDE],
        env=[],
        mounts=[mount],
        resources={"requests": {"cpu": "10m", "memory": "32Mi"}},
        lifecycle={each: {"exec": {"command": [*python, STARTED]}} for each in ("postStart", "preStop")},
    )
    made["spec"]["containers"][0]["volumeMounts"].append(mount)
    made["spec"]["containers"].append(hooks)
    made["spec"]["volumes"].append({"name": "hooks", "emptyDir": {}})
    return made


def job(namespace: str, name: str, image: str, node: dict[str, str]) -> Manifest:
    """Return a batch/v1 Job around the bare pod."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"backoffLimit": 0, "template": {"spec": pod(namespace, name, image, node)["spec"]}},
    }


def dask_job(name: str, ready: Manifest, settings: Settings) -> Manifest:
    """Return a DaskJob with the scheduler and the workers that a FlowRun of a Ready deployment gets."""
    namespace = ready["metadata"]["namespace"]
    pins = pinned.read(pinned.pin(ready, FlowRunSpec(deployment=ready["metadata"]["name"]), settings))
    like = {"metadata": {"name": name, "namespace": namespace, "uid": "0" * 8}}
    spec = copy.deepcopy(dask_cluster(like, pins, 1, settings)["spec"])
    spec["scheduler"]["service"]["selector"]["dask.org/cluster-name"] = name
    runner = pod(namespace, name, pins.image, pins.runner["nodeSelector"], DASK_PROGRAM)["spec"]
    return {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskJob",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"job": {"spec": runner}, "cluster": {"spec": spec}},
    }


def dask_autoscaler(job: Manifest) -> Manifest:
    """Return a DaskAutoscaler of a DaskJob's cluster, with the bounds of the FlowRun."""
    meta = job["metadata"]
    return {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskAutoscaler",
        "metadata": {"name": meta["name"], "namespace": meta["namespace"]},
        "spec": {"cluster": meta["name"], "minimum": 1, "maximum": SCALING_WORKERS},
    }


def run_scaled(seen: Manifest) -> bool | None:
    """Return whether a FlowRun succeeded and told when what happened, None while it runs."""
    outcome = condition(seen, "Succeeded")
    if outcome == "True":
        return set(seen["status"].get("result") or {}) == {"first", "all"}
    return False if outcome == "False" else None


def pod_ended(seen: Manifest) -> bool | None:
    """Return whether a pod ended well, None while it has not: its container's end, or its phase, whichever is first."""
    status = seen.get("status", {})
    states = [each.get("state", {}).get("terminated") for each in status.get("containerStatuses", ())]
    if states and all(states):
        return all(each["exitCode"] == 0 for each in states)
    return {"Succeeded": True, "Failed": False, "Cancelled": False}.get(status.get("phase", ""))


def job_ended(seen: Manifest) -> bool | None:
    """Return whether a Job is Complete, None while it is neither that nor Failed."""
    if condition(seen, "Complete") == "True":
        return True
    return False if condition(seen, "Failed") == "True" else None


def run_ended(result: int) -> Callable[[Manifest], bool | None]:
    """Return a function: whether a FlowRun succeeded with a result, None while that is not known."""

    def ended(seen: Manifest) -> bool | None:
        outcome = condition(seen, "Succeeded")
        if outcome == "True":
            return bool(seen["status"].get("result") == result)
        return False if outcome == "False" else None

    return ended


def in_phase(phase: str) -> Callable[[Manifest], bool | None]:
    """Return a function: whether a FlowRun is in a phase, None while it is not; False where it has ended."""

    def there(seen: Manifest) -> bool | None:
        found = seen.get("status", {}).get("phase")
        return True if found == phase else False if found in FINISHED else None

    return there


def ready_with(wanted: Manifest) -> Callable[[Manifest], bool | None]:
    """Return a function: whether a FlowDeployment is Ready with the source it is to have, None while it is not."""
    source = wanted["spec"]["flow"]["source"]["inline"]

    def ready(seen: Manifest) -> bool | None:
        current = seen.get("status", {}).get("observedGeneration") == seen["metadata"]["generation"]
        there = seen["spec"]["flow"]["source"]["inline"] == source
        return True if there and current and condition(seen, "Ready") == "True" else None

    return ready


def dask_job_ended(seen: Manifest) -> bool | None:
    """Return whether a DaskJob was Successful, None while it runs."""
    return {"Successful": True, "Failed": False}.get(seen.get("status", {}).get("jobStatus", ""))


def _inside(namespace: str, manifest: Manifest) -> Manifest:
    manifest["metadata"]["namespace"] = namespace
    return manifest
