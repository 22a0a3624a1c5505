"""What a person reads of a run that cannot go well: all troubles at the same time, each with its reason and remedy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cluster import checked, deployment, eventually, get_json, kubectl, reason, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import Manifest, Namespace

QUICK = "def flow(n: int = 1):\n    return n\n"
SLEEP = "import time\ndef flow():\n    time.sleep(120)\n"
GREEDY = "def flow():\n    return len(bytearray(400 * 1024 * 1024))\n"
# Fills an emptyDir beyond its limit: the kubelet evicts the pod.
LITTER = """
import time
def flow():
    with open("/litter/file", "wb") as file:
        file.write(bytes(40 * 1024 * 1024))
        file.flush()
    time.sleep(240)
"""
PRIVILEGED = {"containers": [{"securityContext": {"privileged": True}}]}
NOWHERE = {"reference": f"localhost:5001/e2e/nowhere@sha256:{'0' * 64}", "location": "/flows/flow.py:flow"}
SMALL = {"resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "96Mi"}}}


def missing_variable(kind: str, key: str) -> Manifest:
    return {"env": [{"name": "TOKEN", "valueFrom": {key: {"name": f"no-such-{kind}", "key": "token"}}}]}


@dataclass(frozen=True)
class Case:
    """A run that gets into trouble, and what is to be said of it."""

    reason: str
    message: tuple[str, ...]
    remedy: str
    runner: Manifest = field(default_factory=dict)
    source: str = QUICK
    environment: Manifest | None = None
    more: Manifest = field(default_factory=dict)
    ends: bool = True  # else it is shown while the run waits
    checked_with: Manifest | None = None  # runner settings its check passes with: they come after it is Ready


CASES = {
    "memory": Case("OutOfMemory", ("limit of 96Mi", "at its peak it had 9"), "limits.memory", SMALL, GREEDY),
    "deadline": Case("DeadlineExceeded", ("activeDeadlineSeconds",), "Raise activeDeadlineSeconds", source=SLEEP,
                     more={"activeDeadlineSeconds": 3}),
    "evicted": Case("Evicted", ("EmptyDir", "exceeds the limit"), "Set requests", source=LITTER, runner={
        "volumes": [{"name": "litter", "emptyDir": {"sizeLimit": "10Mi"}}],
        "volumeMounts": [{"name": "litter", "mountPath": "/litter"}],
    }, more={"infrastructureBackoffLimit": 0}),
    "selector": Case("Unschedulable", ("nodes are available", "a node with disk=none"), "nodeSelector in spec.runner",
                     {"nodeSelector": {"disk": "none"}}, ends=False, checked_with={}),
    "request": Case("Unschedulable", ("Insufficient memory", "memory 900Gi (container main)"), "requests.memory",
                    {"resources": {"requests": {"memory": "900Gi"}}}, ends=False),
    "secret": Case("ConfigMissing", ('secret "no-such-secret" not found',), "Create the Secret",
                   missing_variable("secret", "secretKeyRef"), ends=False, checked_with={}),
    "config-map": Case("ConfigMissing", ('configmap "no-such-map" not found',), "Create the Secret or ConfigMap",
                       missing_variable("map", "configMapKeyRef"), ends=False, checked_with={}),
    "quota": Case("PodRefused", ("exceeded quota", "example.com/fpga"), "ResourceQuota",
                  {"resources": {"limits": {"example.com/fpga": "2"}}}, ends=False),
    "pod-security": Case("PodRefused", ("violates PodSecurity", "privileged"), "Pod Security allows it",
                         environment={"daskKubernetes": {"minWorkers": 1, "maxWorkers": 1, "workerSpec": PRIVILEGED}},
                         ends=False),
    "webhook": Case("PodRefused", ("failed calling webhook", "nobody.example.com"), "does not answer", ends=False),
    "raised": Case("FlowRaised", ("ZeroDivisionError", "flow.py"), "Mend the flow", source="def flow():\n    1 / 0\n"),
    "type": Case("BadParameters", ("n",), "parameters the flow takes", more={"parameters": {"n": "many"}}),
    "unknown": Case("ParametersInvalid", ("unknown: m",), "It takes: n", more={"parameters": {"m": 1}}),
}  # fmt: skip


def webhook(namespace: Namespace) -> Manifest:
    """Return a webhook that is asked about the pods of one run, and does not answer."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": f"{namespace.name}-nobody"},
        "webhooks": [
            {
                "name": "nobody.example.com",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "timeoutSeconds": 1,
                "clientConfig": {"service": {"namespace": namespace.name, "name": "nobody"}},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}},
                "objectSelector": {"matchLabels": {"flow-operator.io/run": "webhook"}},
            }
        ],
    }


@pytest.fixture(scope="module", autouse=True)
def troubles(namespace: Namespace) -> Iterator[None]:
    """Begin all of them; what a check would stumble over comes when the deployments are Ready."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "fpga"}}
    namespace.apply({**quota, "spec": {"hard": {"requests.example.com/fpga": "1"}}}, webhook(namespace))
    nowhere = {**deployment("nowhere", ""), "spec": {"flow": {"image": NOWHERE}, "storage": {"docker": {}}}}
    namespace.apply(nowhere, *(deployed(name, first_runner(each)) for name, each in CASES.items()))
    for name in CASES:
        namespace.wait_ready(name)
    namespace.apply(*(deployed(name, each.runner) for name, each in CASES.items() if each.checked_with is not None))
    runs = [run(name, name, **{"preRunningDeadlineSeconds": 900, **each.more}) for name, each in CASES.items()]
    namespace.apply(*runs)
    yield
    kubectl("delete", "validatingwebhookconfiguration", f"{namespace.name}-nobody", "--ignore-not-found")
    kubectl("-n", namespace.name, "delete", "flowruns", "--all", "--wait=false")


def deployed(name: str, runner: Manifest) -> Manifest:
    case = CASES[name]
    more = {"environment": case.environment} if case.environment else {}
    return deployment(name, case.source, runner=runner, **more)


def first_runner(case: Case) -> Manifest:
    return case.runner if case.checked_with is None else case.checked_with


@pytest.mark.parametrize("name", CASES)
def test_trouble_has_a_reason_a_message_and_a_remedy(namespace: Namespace, name: str) -> None:
    case = CASES[name]

    def look() -> Any:
        return namespace.get("flowrun", name)

    if case.ends:
        found = namespace.wait_run(name, within=200)  # the kubelet measures a volume once a minute, if it has time
        assert reason(found, "Succeeded") == case.reason
    else:
        found = eventually(look, lambda seen: diagnosis(seen).get("reason") == case.reason, 40, case.reason)
    said = diagnosis(checked(found))
    assert said["reason"] == reason(found, "Ready") == case.reason
    assert all(words in said["message"] for words in case.message), said["message"]
    assert case.remedy in said["remedy"]


def test_a_run_begins_when_the_webhook_is_gone(namespace: Namespace) -> None:
    kubectl("delete", "validatingwebhookconfiguration", f"{namespace.name}-nobody")
    assert namespace.wait_run("webhook", within=40)["status"]["phase"] == "Succeeded"


def test_a_flow_whose_image_is_nowhere(namespace: Namespace) -> None:
    found = namespace.wait_deployment("nowhere", lambda seen: diagnosis(seen) != {}, 40, "a diagnosis")
    said = diagnosis(checked(found))
    assert said["reason"] == reason(found, "Ready") == "ImagePullFailed"
    assert "localhost:5001/e2e/nowhere" in said["message"]
    assert "pull secrets" in said["remedy"] or "nodes may pull it" in said["remedy"]


def diagnosis(found: Manifest) -> Manifest:
    said: Manifest = (found.get("status") or {}).get("diagnosis") or {}
    return said


def test_events_say_what_the_conditions_say(namespace: Namespace) -> None:
    ended = [name for name, case in CASES.items() if case.ends]
    events = get_json("-n", namespace.name, "events")["items"]
    told = {(each["involvedObject"]["name"], each["reason"]) for each in events if each["type"] == "Warning"}
    assert {(name, CASES[name].reason) for name in ended} <= told
