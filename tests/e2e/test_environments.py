"""Environments: a Job of the user's making, executors that are refused, specs that the flow declares in its Python."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import private_registry, recorder
from tests.support.cluster import condition, deployment, kubectl, reason, run

if TYPE_CHECKING:
    from tests.support.cluster import Namespace

Manifest = dict[str, Any]

FLOW = (
    recorder.CLIENT
    + """
import json, os, time
from pathlib import Path
from flow_operator import flow
from flow_operator.environments import Environment

@flow(environment=Environment(on_start=lambda: record("on_start"), on_exit=lambda: record("on_exit")))
def flow(fail: bool = False, nap: float = 0):
    record("flow")
    if json.loads(os.environ["FLOW_OPERATOR_RUN"])["run"]["attempt"] == 1:
        time.sleep(nap)
    if fail:
        raise ValueError("the input is empty")
    return {"mine": os.environ["MINE"], "token": Path("/var/run/secrets/kubernetes.io").exists()}
"""
)
PLAIN = "import time\ndef flow(nap: float = 0):\n    time.sleep(nap)\n    return 1\n"
# What a flow says in its Python alone; the file is read when the module is imported, in the check pod too.
DECLARED = """
import json, pathlib, tempfile
from flow_operator import flow
from flow_operator.environments import KubernetesJobEnvironment

SPEC = json.loads('''%s''')
SPEC["template"]["spec"]["containers"][0]["env"] += [{"name": f"N{i}", "value": f"{i * i:x}"} for i in range(60)]
file = pathlib.Path(tempfile.mkdtemp()) / "job.yaml"
file.write_text(json.dumps(SPEC))

@flow(environment=KubernetesJobEnvironment(file))
def flow():
    import os
    return os.environ["N59"]
"""
SECURITY = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def job(**container: Any) -> Manifest:
    """Return the spec of a Job that restricted Pod Security admits."""
    first = {"name": "work", "args": ["unused"], "env": [{"name": "MINE", "value": "yes"}], "securityContext": SECURITY}
    spec = {
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{**first, **container}],
    }
    return {"template": {"metadata": {"labels": {"team": "a"}}, "spec": spec}}


def in_a_job_of(spec: Manifest) -> Manifest:
    return {"kubernetesJob": {"jobSpec": spec}}


def change(namespace: Namespace, name: str, **spec: Any) -> None:
    kubectl("-n", namespace.name, "patch", "flowrun", name, "--type=merge", "-p", json.dumps({"spec": spec}))


LOOSE = {"template": {"spec": {"containers": [{"name": "work"}]}}}
REFUSED = {
    # name: spec of the Job, reason, words of the API server
    "loose": (LOOSE, "PodRefused", "violates PodSecurity"),
    "typo": ({**job(), "backofLimit": 1}, "JobSpecInvalid", 'unknown field "spec.backofLimit"'),
}


SUM = """
from flow_operator import Flow, task

@task
def double(x):
    return 2 * x

@task
def total(numbers):
    return sum(numbers)

with Flow("sum") as flow:
    total([double(n) for n in range(5)])
"""


def an_existing_cluster(image: str) -> list[Manifest]:
    """Return a scheduler and a worker that somebody else has made."""
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    base = {"image": image, "securityContext": SECURITY, "env": [{"name": "HOME", "value": "/tmp"}]}
    scheduler = ["python3", "-m", "distributed.cli.dask_scheduler", "--no-dashboard"]
    worker = ["python3", "-m", "distributed.cli.dask_worker", "tcp://localhost:8786", "--no-nanny", "--no-dashboard"]
    containers = [{**base, "name": "scheduler", "command": scheduler}, {**base, "name": "worker", "command": worker}]
    pod = {"securityContext": security, "containers": containers, "terminationGracePeriodSeconds": 0}
    meta = {"name": "existing", "labels": {"app": "existing"}}
    return [
        {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": pod},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "existing"},
            "spec": {"selector": {"app": "existing"}, "ports": [{"port": 8786}]},
        },
    ]


def by_address(address: str) -> Manifest:
    return {"remote": {"executor": "Dask", "executorKwargs": {"address": address}}}


@pytest.fixture(scope="module", autouse=True)
def everything(namespace: Namespace, images: dict[str, str]) -> None:
    """Apply all at the same time: runs wait for their deployments."""
    dask = {"remote": {"executor": "LocalDask", "executorKwargs": {"workers": 3}}}
    namespace.apply(
        *an_existing_cluster(images["runtime"]),
        deployment("hooked", FLOW, environment=in_a_job_of({**job(), "backoffLimit": 1})),
        deployment("declared", DECLARED % json.dumps(job())),
        deployment("picky", PLAIN, environment=dask),
        deployment("joining", SUM, environment=by_address("tcp://existing:8786")),
        deployment("built", SUM, storage={"docker": {}}),
        *(
            deployment(name, PLAIN, environment={"kubernetesJob": {"jobSpec": spec}})
            for name, (spec, *_) in REFUSED.items()
        ),
        run("cancelled", "hooked", parameters={"nap": 900}),
        run("paused", "hooked", parameters={"nap": 900}),
        run("orphaned", "hooked", parameters={"nap": 900}),
        run("good", "hooked"),
        run("retried", "hooked", parameters={"fail": True}),
        run("told", "declared"),
        run("kwargs", "picky"),
        run("joined", "joining"),
    )


def test_jobs_that_are_stopped_and_deleted(namespace: Namespace) -> None:
    namespace.wait_ready("hooked")
    for name in ("cancelled", "paused", "orphaned"):
        namespace.wait_phase(name, "Running")
        recorder.wait_for(namespace, name, "flow")
    change(namespace, "cancelled", cancel="Graceful")
    change(namespace, "paused", suspend=True)
    namespace.delete("job", namespace.list("jobs", "flow-operator.io/run=orphaned")[0]["metadata"]["name"])
    namespace.wait_phase("paused", "Suspended")
    assert not namespace.list("jobs", "flow-operator.io/run=paused")
    change(namespace, "paused", suspend=False)

    done = namespace.wait_run("cancelled")["status"]
    assert done["phase"] == "Cancelled"
    assert recorder.names(namespace, "cancelled") == ["on_start", "flow", "on_exit"]
    assert not namespace.list("jobs", "flow-operator.io/run=cancelled")

    paused = namespace.wait_run("paused")["status"]
    assert (paused["phase"], paused["attempt"]) == ("Succeeded", 2)

    orphaned = namespace.wait_run("orphaned")["status"]
    assert (orphaned["phase"], orphaned["attempt"]) == ("Succeeded", 2), "the infrastructure's budget pays for it"
    assert orphaned["attempts"][0]["reason"] == "RunnerDeleted"


def test_runs_in_jobs(namespace: Namespace) -> None:
    good = namespace.wait_run("good")["status"]
    assert good["result"] == {"mine": "yes", "token": False}, good
    assert [(each["name"], each["state"]) for each in good["hooks"]] == [
        ("on_start", "Succeeded"),
        ("on_exit", "Succeeded"),
    ]
    assert recorder.names(namespace, "good") == ["on_start", "flow", "on_exit"]
    (made,) = namespace.list("jobs", "flow-operator.io/run=good")
    assert condition(made, "Complete") == "True"
    pod = namespace.get("pod", good["pod"])
    assert pod["metadata"]["labels"]["team"] == "a"
    assert not [each for each in pod["metadata"].get("finalizers", ()) if each.startswith("flow-operator.io")]

    retried = namespace.wait_run("retried")["status"]
    assert (retried["phase"], retried["diagnosis"]["reason"]) == ("Failed", "FlowRaised")
    assert recorder.names(namespace, "retried") == ["on_start", "flow", "on_exit"] * 2, "the Job's own backoffLimit"
    assert retried["attempt"] == 1

    assert namespace.wait_run("told")["status"]["result"] == f"{59 * 59:x}"


def test_what_the_api_server_does_not_take_is_said_in_its_words(namespace: Namespace) -> None:
    for name in REFUSED:
        namespace.wait_ready(name)
    namespace.apply(*(run(f"{name}-1", name, preRunningDeadlineSeconds=5) for name in REFUSED))
    for name, (_, why, words) in REFUSED.items():
        status = namespace.wait_run(f"{name}-1")["status"]
        assert status["diagnosis"]["reason"] == why, status["diagnosis"]
        assert words in status["diagnosis"]["message"]
        assert not namespace.list("jobs", f"flow-operator.io/run={name}-1")


def test_executors(namespace: Namespace) -> None:
    kwargs = namespace.wait_run("kwargs")["status"]
    assert kwargs["diagnosis"]["reason"] == "BadExecutor"
    assert "workers" in kwargs["diagnosis"]["message"]
    joined = namespace.wait_run("joined")["status"]
    assert joined["result"] == 20, joined
    assert joined["workers"]["computed"], "the existing cluster did it"
    assert namespace.get("pod", "existing")["status"]["phase"] == "Running", "and is nobody's to take away"


def test_a_private_registry(namespace: Namespace, images: dict[str, str]) -> None:
    """Check, runner, scheduler and worker are pulled with the Secret; without it nothing is."""
    host = private_registry.start(namespace, images["runtime"])
    try:
        _, _, path = namespace.wait_ready("built")["status"]["image"].partition("/")
        flow = {"image": {"reference": f"{host}/{path}", "location": "/flows/flow.py:flow"}}
        dask = {"minWorkers": 1, "maxWorkers": 1}
        opened = deployment("opened", SUM, environment={"daskKubernetes": {**dask, "privateRegistry": "password"}})
        closed = deployment("closed", SUM, environment={"daskKubernetes": dask})
        for each in (opened, closed):
            each["spec"] |= {"flow": flow, "storage": {"docker": {}}}
        namespace.apply(private_registry.secret("password", host), opened, closed, run("private", "opened"))
        done = namespace.wait_run("private")["status"]
        assert done["result"] == 20, done
        shut = namespace.wait_deployment("closed", lambda seen: reason(seen, "Ready") == "ImagePullFailed", 60, "shut")
        assert private_registry.PASSWORD not in json.dumps(shut)
    finally:
        private_registry.stop(host)
