"""The real cluster of a run: scaled under load and back without a loss, restricted, gone at the end.

All runs go on at the same time; each test waits for its own.
"""

from __future__ import annotations

import socket
import subprocess
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest

from tests.support import recorder
from tests.support.cluster import deployment, eventually, reason, run
from tests.support.reading import CONTEXT

if TYPE_CHECKING:
    from tests.support.cluster import Manifest, Namespace

pytestmark = pytest.mark.alone  # the workers want both cores

FLOW = (
    recorder.CLIENT
    + """
import hashlib, os, time
import dask
from distributed import get_client
from flow_operator import flow
from flow_operator.environments import DaskKubernetesEnvironment

def busy(i, seconds=0.3):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return i

def unique(i):
    busy(i)
    data = os.urandom(200_000)  # made again it would be another
    return data, hashlib.sha256(data).hexdigest()

def digest(pair):
    return pair[1]

def workers():
    return len(get_client().scheduler_info(n_workers=-1)["workers"])

def until(true, limit=60):
    end = time.monotonic() + limit
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"{workers()} workers")
        time.sleep(0.2)

def loaded(client, count, most):
    # However long a worker takes to come, there is enough to do to want it.
    kept = client.map(unique, range(count), pure=False)
    end = time.monotonic() + 90
    while workers() < most and time.monotonic() < end:
        if sum(not each.done() for each in kept) < count:
            kept += client.map(unique, range(5), pure=False)
        time.sleep(0.2)
    return kept

def released():
    with _request.urlopen("http://recorder:8000", timeout=10) as answer:
        return any(each["what"] == "release" for each in _json.load(answer))

def die(dask_scheduler=None):
    os._exit(3)

@flow(environment=DaskKubernetesEnvironment(
    min_workers=1, max_workers=3, on_start=lambda: record("on_start"), on_exit=lambda: record("on_exit")))
def flow(what: str = "load", count: int = 60):
    record("flow")
    client = get_client()
    if what == "load":
        kept = loaded(client, count, 3)
        digests = client.gather(client.map(digest, kept))
        most = workers()
        until(lambda: workers() == 1)  # those that went had data that nobody else had
        pairs = client.gather(kept)
        right = [hashlib.sha256(data).hexdigest() for data, _ in pairs]
        record("flow_end", most=most)
        return {"most": most, "lost": sum(a != b for a, b in zip(right, digests))}
    if what == "lose the scheduler":
        client.run_on_scheduler(die)
        return client.submit(busy, 1).result()
    if what == "hold":
        unfinished = client.map(busy, range(count), seconds=0.5, pure=False)
        record("holding")
        until(released, limit=400)
        return sum(client.gather(unfinished))
    if what == "need memory":
        return client.submit(lambda: len(bytearray(2**30))).result()
    return sum(dask.compute(*[dask.delayed(busy)(i) for i in range(count)]))
"""
)
SMALL = {"requests": {"cpu": "50m", "memory": "128Mi"}}


def environment(least: int, most: int, *, provider: str | None = None, **container: Any) -> Manifest:
    spec = {"containers": [{"resources": SMALL, **container}]}
    found: Manifest = {"minWorkers": least, "maxWorkers": most, "workerSpec": spec}
    return {"environment": {"daskKubernetes": {**found, "provider": provider} if provider else found}}


UNBLOCKED = "DASK_DISTRIBUTED__SCHEDULER__BLOCKED_HANDLERS"  # a flow of these has its scheduler end itself
# By default distributed gives a task up at the fourth death, about when the operator gives up the workers at the third.
DEATHS = "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES"
NO_LICENCE = ["python3", "-c", "import sys; sys.exit('no licence')"]
LITTLE = environment(1, 1, resources={**SMALL, "limits": {"memory": "256Mi"}})
DEPLOYMENTS = {
    "load": environment(1, 3),
    "from-none": environment(0, 1),
    "fixed": {**environment(1, 1), "runner": {"env": [{"name": UNBLOCKED, "value": "[]"}]}},
    "crashing": environment(1, 1, command=NO_LICENCE),
    "greedy": {**LITTLE, "runner": {"env": [{"name": DEATHS, "value": "20"}]}},
    "given-up": {**LITTLE, "runner": {"env": [{"name": DEATHS, "value": "1"}]}},
    "cluster": environment(1, 1, provider="DaskCluster"),
}
RUNS = {
    "load": ("load", {}),
    "from-none": ("from-none", {"what": "add", "count": 3}),
    "held": ("fixed", {"what": "hold", "count": 12}),
    "lost-scheduler": ("fixed", {"what": "lose the scheduler"}),
    "crashing": ("crashing", {}),
    "greedy": ("greedy", {"what": "need memory"}),
    "given-up": ("given-up", {"what": "need memory"}),
    "cluster": ("cluster", {"what": "hold", "count": 12}),
}


@pytest.fixture(scope="module", autouse=True)
def runs(namespace: Namespace) -> None:
    namespace.apply(*(deployment(name, FLOW, **spec) for name, spec in DEPLOYMENTS.items()))
    once = {"infrastructureBackoffLimit": 0}  # a lost scheduler is to be seen as the end
    namespace.apply(*(run(name, of, parameters=parameters, **once) for name, (of, parameters) in RUNS.items()))


def test_the_dashboard_is_reached_by_port_forward(namespace: Namespace) -> None:
    eventually(lambda: recorder.names(namespace, "held"), lambda seen: "holding" in seen, 90, "a scheduler")
    (service,) = namespace.list("services", "flow-operator.io/run=held")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["kubectl", "--context", CONTEXT, "-n", namespace.name, "port-forward"]
    forward = subprocess.Popen([*command, f"service/{service['metadata']['name']}", f"{port}:8787"])
    try:
        assert eventually(lambda: _fetch(f"http://127.0.0.1:{port}/health"), bool, 20, "the scheduler's page") == "ok"
    finally:
        forward.kill()
        forward.wait()


def _fetch(url: str) -> str:
    try:
        with urlopen(url, timeout=3) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def test_a_cluster_that_exists_is_used_by_its_address(namespace: Namespace) -> None:
    eventually(lambda: recorder.names(namespace, "cluster"), lambda seen: "holding" in seen, 90, "a cluster")
    (service,) = namespace.list("services", "flow-operator.io/run=cluster")
    address = f"tcp://{service['metadata']['name']}.{namespace.name}.svc:8786"
    remote = {"remote": {"executor": "Dask", "executorKwargs": {"address": address}}}
    namespace.apply(deployment("guest", FLOW, environment=remote))
    namespace.apply(run("guest", "guest", parameters={"what": "add", "count": 3}))
    done = namespace.wait_run("guest", within=60)
    assert done["status"]["result"] == 3, done["status"]
    assert "workers" not in done["status"] or done["status"]["workers"]["computed"]


def test_a_killed_worker_is_replaced_and_the_result_is_right(namespace: Namespace) -> None:
    (worker,) = namespace.list("pods", "flow-operator.io/run=held,dask.org/component=worker")
    namespace.delete("pod", worker["metadata"]["name"], "--grace-period=0", "--force")
    eventually(
        lambda: [each["metadata"]["name"] for each in namespace.list("pods", "flow-operator.io/run=held")],
        lambda found: len(found) == 2 and worker["metadata"]["name"] not in found,
        30,
        "another worker",
    )
    recorder.add(namespace, "release")
    done = namespace.wait_run("held", within=60)
    assert done["status"]["result"] == sum(range(12)), done["status"]
    assert len(done["status"]["workers"]["computed"]) == 2


def test_dask_kubernetes_is_a_provider_too(namespace: Namespace) -> None:
    done = namespace.wait_run("cluster", within=60)
    assert done["status"]["result"] == sum(range(12)), done["status"]
    assert done["status"]["environment"]["daskKubernetes"]["provider"] == "DaskCluster"


def test_workers_come_from_none_with_the_first_tasks(namespace: Namespace) -> None:
    done = namespace.wait_run("from-none", within=60)
    assert done["status"]["result"] == 3, done["status"]
    assert done["status"]["workers"]["peak"] == 1


def test_a_lost_scheduler_ends_the_run_with_its_reason(namespace: Namespace) -> None:
    done = namespace.wait_run("lost-scheduler", within=60)
    assert reason(done, "Succeeded") == "SchedulerLost", done["status"]
    assert recorder.names(namespace, "lost-scheduler") == ["on_start", "flow", "on_exit"]


def test_workers_grow_under_load_and_go_without_a_loss(namespace: Namespace) -> None:
    done = namespace.wait_run("load", within=120)
    assert done["status"]["phase"] == "Succeeded", done["status"]
    assert done["status"]["result"] == {"most": 3, "lost": 0}
    assert done["status"]["workers"]["peak"] == 3
    assert len(done["status"]["workers"]["computed"]) == 3
    assert recorder.names(namespace, "load") == ["on_start", "flow", "flow_end", "on_exit"]


def test_a_cluster_whose_workers_crash_ends_with_a_reason(namespace: Namespace) -> None:
    done = namespace.wait_run("crashing", within=120)
    assert reason(done, "Succeeded") == "WorkerCrashLoop", done["status"]
    assert "no licence" in done["status"]["diagnosis"]["message"]


@pytest.mark.parametrize("by", ["greedy", "given-up"], ids=["the operator gives up", "Dask gives up"])
def test_workers_that_need_more_memory_than_they_may_are_named(namespace: Namespace, by: str) -> None:
    done = namespace.wait_run(by, within=120)
    assert reason(done, "Succeeded") == "OutOfMemory", done["status"]
    assert "256Mi" in done["status"]["diagnosis"]["message"]
    assert "workerSpec" in done["status"]["diagnosis"]["remedy"]


def test_nothing_is_left_but_the_runner_pods(namespace: Namespace) -> None:
    left = "daskclusters,daskautoscalers,daskworkergroups,deployments.apps,services"
    eventually(
        lambda: [each["metadata"]["name"] for each in namespace.list(left, "flow-operator.io/run")],
        lambda found: not found,
        30,
        "the clusters are gone",
    )
    namespace.wait_pods_gone("app.kubernetes.io/component=dask", within=45)
