"""A custom environment, and FargateTask against an AWS of the cluster's own: moto's server, in a pod.

The server runs in an image of the flow, and so do its tasks, as processes: what is proven is the command and the
environment of the registered definition, and AWS' protocol; not AWS.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support import recorder
from tests.support.cluster import ROOT, eventually, kubectl, run

if TYPE_CHECKING:
    from tests.support.cluster import Namespace

Manifest = dict[str, Any]
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
FLOW = (
    recorder.CLIENT
    + """
import os, time
from flow_operator import flow
from flow_operator.environments import Environment

def end():
    record("on_exit " + os.environ["FLOW_OPERATOR_OUTCOME"])

@flow(environment=Environment(on_start=lambda: record("on_start"), on_exit=end))
def flow(n: int = 10, code: int = 0, nap: float = 0):
    record(f"flow {n}", secret="AWS_SECRET_ACCESS_KEY" in os.environ)
    time.sleep(nap)
    if code:
        raise SystemExit(code)
"""
)


def example(name: str, file: str) -> Manifest:
    found: Manifest = yaml.safe_load((ROOT / "examples" / "environments" / name / file).read_text())
    return found


def in_aws(namespace: Namespace) -> Manifest:
    """Return the example, with callbacks and the server's own modules in its image."""
    made = example("fargate", "deployment.yaml")
    made["spec"]["flow"]["source"]["inline"] = FLOW
    made["spec"]["storage"]["docker"]["pythonDependencies"] += ["moto", "flask", "flask-cors"]
    made["spec"]["environment"]["fargateTask"]["endpointURL"] = f"http://aws.{namespace.name}.svc:5000"
    return made


def aws_pod(image: str, command: list[str], variables: list[Manifest]) -> Manifest:
    """Return the spec of a pod that restricted Pod Security admits."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {"name": "aws", "image": image, "command": command, "env": variables, "securityContext": security}
    container["resources"] = {"requests": {"cpu": "100m", "memory": "128Mi"}}
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }


def server(namespace: Namespace, image: str) -> None:
    """Start AWS."""
    spec = aws_pod(image, ["python3", "/aws/aws.py", "5000"], [{"name": "HOME", "value": "/tmp"}])
    spec["containers"][0] |= {
        "readinessProbe": {"tcpSocket": {"port": 5000}, "periodSeconds": 1},
        "volumeMounts": [{"name": "code", "mountPath": "/aws"}],
    }
    spec["volumes"] = [{"name": "code", "configMap": {"name": "aws"}}]
    code = (ROOT / "tests" / "support" / "aws.py").read_text()
    namespace.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "aws"}, "data": {"aws.py": code}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "aws", "labels": {"app": "aws"}}, "spec": spec},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "aws"},
            "spec": {"selector": {"app": "aws"}, "ports": [{"port": 5000}]},
        },
    )
    kubectl("-n", namespace.name, "wait", "--for=condition=Ready", "pod/aws", "--timeout=240s")


def calls(namespace: Namespace, path: str = "") -> list[tuple[str, Manifest]]:
    """Return what AWS was asked."""
    return [(action, arguments) for action, arguments in json.loads(kubectl(*path_of(namespace, path)))]


def path_of(namespace: Namespace, path: str) -> tuple[str, ...]:
    return ("get", "--raw", f"/api/v1/namespaces/{namespace.name}/services/aws:5000/proxy/{path}")


def is_json(said: str) -> bool:
    return said.startswith("[")


@pytest.fixture(scope="module")
def aws(namespace: Namespace) -> None:
    namespace.apply(example("fargate", "secret.yaml"), in_aws(namespace))
    for name in ("deployment.yaml", "run.yaml"):
        namespace.apply(example("custom", name))
    ready = namespace.wait_ready("fargate", within=150)
    server(namespace, ready["status"]["image"])
    # A Service knows its pod a moment after the pod is Ready.
    eventually(lambda: kubectl(*path_of(namespace, "clusters/flows"), check=False), is_json, 15, "AWS answers")


def test_a_custom_environment_runs_its_steps_in_the_runs_pod(namespace: Namespace, aws: None) -> None:
    done = namespace.wait_run("custom-1")
    assert done["status"]["phase"] == "Succeeded", done["status"].get("diagnosis")
    assert done["status"]["environment"] == {"custom": {}}
    assert done["status"]["result"] == {"total": 2 * 3 + 3 * 4, "flows": ["bill"]}
    assert {"setup", "execute"} <= set(done["status"]["stages"])


def test_a_run_ends_as_its_task_does(namespace: Namespace, aws: None) -> None:
    namespace.apply(run("good", "fargate", parameters={"n": 4}))
    good = namespace.wait_run("good")["status"]
    assert good["phase"] == "Succeeded", good.get("diagnosis")
    assert "only the exit code comes back" in good["resultOmitted"]
    assert recorder.names(namespace, "good") == ["on_start", "flow 4", "on_exit Succeeded"]
    assert [action for action, _ in calls(namespace)].count("RegisterTaskDefinition") == 1

    namespace.apply(run("bad", "fargate", parameters={"code": 3}), run("long", "fargate", parameters={"nap": 600}))
    recorder.wait_for(namespace, "long", "flow 10")
    kubectl("-n", namespace.name, "patch", "flowrun", "long", "--type=merge", "-p", '{"spec":{"cancel":"Graceful"}}')
    bad = namespace.wait_run("bad")["status"]
    assert (bad["phase"], bad["diagnosis"]["reason"]) == ("Failed", "TaskFailed")
    assert "exit code 3" in bad["diagnosis"]["message"]
    pod = namespace.get("pod", bad["pod"])
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3
    assert namespace.wait_run("long")["status"]["phase"] == "Cancelled"
    assert recorder.names(namespace, "long") == ["on_start", "flow 10", "on_exit Failed"]
    asked = calls(namespace)
    assert [action for action, _ in asked].count("RegisterTaskDefinition") == 1, "the second run finds the first one's"
    stopped = [arguments for action, arguments in asked if action == "StopTask"]
    assert [each["reason"] for each in stopped] == [
        f"flow-operator: the runner of FlowRun {namespace.name}/long was stopped"
    ]


def test_the_container_that_was_registered_runs_the_flow_by_itself(namespace: Namespace, aws: None) -> None:
    """As AWS would: PID 1, with the variables of definition and overrides, and nothing of a pod of ours beside it."""
    asked = calls(namespace)
    definition = next(arguments for action, arguments in asked if action == "RegisterTaskDefinition")
    task = next(arguments for action, arguments in asked if action == "RunTask")
    container = definition["containerDefinitions"][0]
    variables = [*container["environment"], *task["overrides"]["containerOverrides"][0]["environment"]]
    made = aws_pod(container["image"], container["command"], variables)
    namespace.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "alone"}, "spec": made})
    kubectl("-n", namespace.name, "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/alone", "--timeout=240s")
    records = [each["what"] for each in recorder.records(namespace) if each["pod"] == "alone"]
    assert records == ["on_start", "flow 4", "on_exit Succeeded"]


def test_credentials_are_nowhere_but_in_the_secret_and_the_runner(namespace: Namespace, aws: None) -> None:
    assert not [each for each in recorder.records(namespace) if each.get("secret")], "a task has none"
    told = [
        kubectl("-n", namespace.name, "get", kind, "-o", "yaml") for kind in ("flowdeployments", "flowruns", "events")
    ]
    logs = kubectl("-n", namespace.name, "logs", "-l", "flow-operator.io/run", "--all-containers", "--tail=-1")
    pods = kubectl("-n", namespace.name, "get", "pods", "-l", "flow-operator.io/run", "-o", "yaml")
    assert SECRET not in "\n".join([*told, logs, pods, json.dumps(calls(namespace))])
    assert "task arn:aws:ecs:" in logs
