"""What a person is told of a pod that does not do what it should: the thing, the numbers, and a remedy that fits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flow_operator.plan import diagnosis
from tests.support import makers as m

Manifest = dict[str, Any]
POD: Manifest = {
    "metadata": {"name": "squares-1", "namespace": "team-a", "labels": {}},
    "spec": {
        "nodeSelector": {"disk": "ssd"},
        "containers": [
            {"name": "main", "resources": {"requests": {"memory": "64Gi", "cpu": "2"}, "limits": {"memory": "96Mi"}}},
            {"name": "flow-hooks", "resources": {"limits": {"memory": "512Mi"}}},
        ],
        "volumes": [
            {"name": "code", "configMap": {"name": "squares-code-1"}},
            {"name": "keys", "secret": {"secretName": "keys"}},
            {"name": "maybe", "secret": {"secretName": "maybe", "optional": True}},
            {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "tmp", "emptyDir": {}},
        ],
    },
}


def unschedulable(said: str, pod: Manifest = POD) -> tuple[str, str]:
    found = diagnosis.waiting_for(m.scheduled(pod, reason="Unschedulable", message=said))
    assert found
    assert found.reason == "Unschedulable"
    return found.message, found.remedy


def test_the_request_that_no_node_can_satisfy_is_named() -> None:
    message, remedy = unschedulable("0/2 nodes are available: 2 Insufficient memory. no new claims to deallocate")
    assert "0/2 nodes are available: 2 Insufficient memory." in message
    assert message.endswith("It asks for memory 64Gi (container main), memory 512Mi (container flow-hooks).")
    assert remedy == "Lower resources.requests.memory in spec.runner; or add a node that fits."


def test_several_reasons_have_several_remedies() -> None:
    message, remedy = unschedulable(
        "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node affinity/selector, "
        "1 node(s) had untolerated taint {dedicated: batch}."
    )
    assert message.endswith("It asks for cpu 2 (container main), a node with disk=ssd.")
    assert "requests.cpu" in remedy
    assert "correct the nodeSelector in spec.runner" in remedy
    assert "tolerations in spec.runner" in remedy


@pytest.mark.parametrize("said", ["no message", "0/2 nodes are available: 2 node(s) were unschedulable."])
def test_words_that_we_do_not_know_are_shown_as_they_are(said: str) -> None:
    message, remedy = unschedulable(said)
    assert said.rstrip(".") in message
    assert remedy == "Lower what spec.runner asks of a node; or add a node that fits."


def test_of_a_worker_the_workers_spec_is_named() -> None:
    worker = {**POD, "metadata": {**POD["metadata"], "labels": {"dask.org/component": "worker"}}}
    assert "spec.environment.daskKubernetes.workerSpec" in unschedulable("Insufficient memory", worker)[1]


def test_a_claim_that_is_not_there() -> None:
    _, remedy = unschedulable('0/2 nodes are available: persistentvolumeclaim "data" not found.')
    assert "create the PersistentVolumeClaim" in remedy.lower() or "PersistentVolumeClaim that is named" in remedy


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (json.dumps({"peakMemoryBytes": 100_663_296}), "limit of 96Mi (at its peak it had 96.0Mi)."),
        ("", "limit of 96Mi."),
        ("not JSON", "limit of 96Mi."),
    ],
)
def test_out_of_memory_names_limit_and_peak(message: str, told: str) -> None:
    found = diagnosis.killed(POD, "main", {"reason": "OOMKilled", "exitCode": 137, "message": message})
    assert (found.reason, found.message.endswith(told)) == ("OutOfMemory", True)


@pytest.mark.parametrize(("counted", "reason"), [(True, "OutOfMemory"), (False, "Killed"), ("yes", "Killed")])
def test_the_kernels_count_is_believed_where_the_runtime_has_not_heard_of_it(counted: object, reason: str) -> None:
    message = json.dumps({"peakMemoryBytes": 100_663_296, "outOfMemory": counted})
    found = diagnosis.killed(POD, "main", {"reason": "Error", "exitCode": 137, "message": message})
    assert found.reason == reason
    assert ("limit of 96Mi (at its peak it had 96.0Mi)." in found.message) == (counted is True)


def test_what_a_kubelet_waits_for_is_named_as_far_as_the_pod_shows_it() -> None:
    stuck = m.waiting(m.scheduled(POD), "ContainerCreating")
    found = diagnosis.not_started(stuck)
    assert found.reason == "NotStarted"
    assert "It mounts Secret keys, PersistentVolumeClaim data: a kubelet waits for what is not there." in found.message
    pulled = {**stuck, "spec": {"containers": []}}
    assert "did not begin in time" in diagnosis.not_started(pulled).message


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("exceeded quota: cpu, requested: limits.cpu=2", "Raise the namespace's ResourceQuota"),
        ("failed quota: cpu: must specify limits.cpu for: check", "by a LimitRange in the namespace"),
        ('violates PodSecurity "restricted:latest": privileged', "Pod Security allows it"),
        ('admission webhook "policy.example.com" denied the request', "Ask whoever runs the admission policy"),
        ('failed calling webhook "policy.example.com": connection refused', "have it leave this namespace out"),
    ],
)
def test_a_refusal_has_the_remedy_of_who_refuses(words: str, remedy: str) -> None:
    found = diagnosis.refused("FlowRun squares-1", f'pods "squares-1" is forbidden: {words}')
    assert found.reason == "PodRefused"
    assert words in found.message
    assert remedy in found.remedy


@pytest.mark.parametrize(
    ("deleted", "reason", "told"),
    [
        (None, "", "RefusedByNode"),
        (m.at(1), "", "RunnerDeleted"),
        (m.at(1), "OutOfcpu", "RefusedByNode"),
    ],
)
def test_a_pod_that_failed_before_it_began(deleted: str | None, reason: str, told: str) -> None:
    pod = m.scheduled({**POD, "metadata": {**POD["metadata"], **({"deletionTimestamp": deleted} if deleted else {})}})
    pod["status"] = {"phase": "Failed", **({"reason": reason} if reason else {})}
    assert diagnosis.killed(pod, "main", {}).reason == told


def test_a_kubelets_words_end_a_sentence_once() -> None:
    status = {
        "phase": "Failed",
        "reason": "Evicted",
        "message": 'Usage of EmptyDir volume "a" exceeds the limit "1Mi". ',
    }
    found = diagnosis.killed({**POD, "status": status}, "main", {})
    assert diagnosis.sentence(found).count('exceeds the limit "1Mi". Set requests') == 1


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("no index at https://bob:secret@host/simple.", "no index at https://***@host/simple."),
        ("https://bob:p@ss@host/simple", "https://***@host/simple"),
        ("https://bob:pa/ss@host/", "https://***@host/"),
        ("https://bob:p@s/s@host/ and https://eve:x@other", "https://***@host/ and https://***@other"),
        ("https://bob:pa/ss@host,https://eve:x@other", "https://***@host,https://***@other"),
        ("https://tok@en@host/simple", "https://***@host/simple"),
        ("git+https://token@host/repository@v1", "git+https://***@host/repository@v1"),
        ("http://host:5000/team/image@sha256:abc", "http://host:5000/team/image@sha256:abc"),
        ("https://host/ask?mail=bob@example.com", "https://host/ask?mail=bob@example.com"),
        ("https://host/, or mail bob@example.com", "https://host/, or mail bob@example.com"),
    ],
)
def test_credentials_in_urls_are_not_shown_and_what_is_none_is(said: str, shown: str) -> None:
    assert diagnosis.scrub(said) == shown
