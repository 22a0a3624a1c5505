"""What the API server refuses at the door, and in which words (CEL and the admission policy of the chart)."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cluster import deployment, kubectl, run

if TYPE_CHECKING:
    from tests.support.cluster import Namespace

Manifest = dict[str, Any]
SOURCE = "def flow(n: int = 1):\n    return n\n"


def changed(manifest: Manifest, path: str, value: Any) -> Manifest:
    out = copy.deepcopy(manifest)
    *parents, last = path.split(".")
    node = out
    for each in parents:
        node = node.setdefault(each, {})
    if value is None:
        node.pop(last, None)
    else:
        node[last] = value
    return out


GOOD = deployment("good", SOURCE)
IMAGE = {"reference": f"localhost:5001/team-a/squares@sha256:{'0' * 64}", "location": "/flows/squares.flow"}
FILE = {"name": "files", "key": "a"}


def job(containers: list[Manifest] | None = None, **more: Any) -> Manifest:
    containers = [{"name": "flow"}] if containers is None else containers
    return {**more, "template": {"spec": {"restartPolicy": "Never", "containers": containers}}}


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("spec.flow.source.configMap", {"name": "x"}, "exactly one of inline and configMap"),
        ("spec.flow.source", None, "exactly one of source, pickle, image and file"),
        ("spec.flow.pickle", {"data": "AAAA", "python": "3.11"}, "exactly one of source, pickle, image and file"),
        ("spec.flow", {"pickle": {"data": "AAAA", "python": "3.11", "file": "a/b.flow"}}, "spec.flow.pickle.file"),
        ("spec.storage.docker", {}, "exactly one of docker, bytes and local"),
        ("spec.storage", {}, "exactly one of docker, bytes and local"),
        ("spec.storage", {"s3": {}}, 'unknown field "spec.storage.s3"'),
        ("spec.flow", {"image": IMAGE}, "flow.image is docker storage"),
        ("spec.flow", {"image": {**IMAGE, "reference": "registry/squares:latest"}}, "spec.flow.image.reference"),
        ("spec.flow", {"image": {**IMAGE, "location": "/flows/flow.py"}}, "a .py file followed by :name"),
        ("spec.flow", {"image": {**IMAGE, "location": "flows/squares.flow"}}, "spec.flow.image.location"),
        ("spec.flow", {"file": {"location": "/data/flow.py:flow"}}, "flow.file and storage.local go together"),
        ("spec.storage", {"local": {"directory": "/data"}}, "flow.file and storage.local go together"),
        (
            "spec.storage",
            {"docker": {"files": [{"path": "a", "configMap": FILE}]}},
            "spec.storage.docker.files[0].path",
        ),
        ("spec.storage", {"docker": {"files": [{"path": "/a/../b", "configMap": FILE}]}}, "files[0].path"),
        ("spec.storage", {"docker": {"files": [{"path": "/a", "configMap": FILE}] * 2}}, "Duplicate value"),
        ("spec.storage", {"docker": {"extraCommands": ["true"]}}, "extraCommands need builder: Docker"),
        ("spec.storage", {"docker": {"dependencyLock": {}}}, "exactly one of inline and configMap"),
        ("spec.storage", {"docker": {"files": [{"path": "/tmp/a", "configMap": FILE}]}}, "must not be under"),
        ("spec.storage", {"docker": {"files": [{"path": "/etc/hosts", "configMap": FILE}]}}, "every pod has its own"),
        ("spec.runner", {"volumes": [{"name": "tmp", "emptyDir": {}}]}, "volumes of the operator's"),
        ("spec.runner", {"volumeMounts": [{"name": "a", "mountPath": "/a"}]}, "must name one of the volumes"),
        *(
            (
                "spec.runner",
                {"volumes": [{"name": "a"}], "volumeMounts": [{"name": "a", "mountPath": path}]},
                "mountPath",
            )
            for path in ("/tmp", "/flows", "/flows/a", "/opt", "/opt/flow-operator/lib", "/", "a")
        ),
        ("spec.environment", {"remote": {}, "daskKubernetes": {}}, "at most one of local, remote, daskKubernetes"),
        ("spec.environment", {"local": {}, "custom": {}}, "at most one of local, remote, daskKubernetes"),
        ("spec.environment", {"kubernetesJob": {"jobSpec": {}}}, "jobSpec needs template.spec.containers"),
        ("spec.environment", {"kubernetesJob": {"jobSpec": job(containers=[])}}, "jobSpec needs template.spec"),
        ("spec.environment", {"kubernetesJob": {"jobSpec": job(completions=2)}}, "must be 1 or left out"),
        ("spec.environment", {"kubernetesJob": {"jobSpec": job([{"env": {"A": "b"}}])}}, "containers[0].env"),
        (
            "spec.environment",
            {"daskKubernetes": {"workerSpec": {"imagePullSecrets": ["regcred"]}}},
            "workerSpec.imagePullSecrets[0]",
        ),
        ("spec.environment", {"daskKubernetes": {"provider": "Ray"}}, "Unsupported value"),
        ("spec.environment", {"daskKubernetes": {"provider": "Pods", "schedulerSpec": {}}}, "leave schedulerSpec out"),
        ("spec.environment", {"daskKubernetes": {"minWorkers": 3, "maxWorkers": 2}}, "must not be larger"),
        ("spec.environment", {"daskKubernetes": {"minWorkers": 3}}, "must not be larger"),
        ("spec.environment", {"daskKubernetes": {"minWorkers": -1}}, "greater than or equal to 0"),
        ("spec.environment", {"remote": {"executor": "Spark"}}, "Unsupported value"),
        ("spec.flow.entrypoint", "flow", "spec.flow.entrypoint"),
        ("spec.run", {"activeDeadlineSeconds": 0}, "greater than or equal to 1"),
        *(
            ("spec.run", {field: -1}, f"spec.run.{field}")
            for field in ("backoffLimit", "infrastructureBackoffLimit", "ttlSecondsAfterFinished")
        ),
        ("spec.run", {"preRunningDeadlineSeconds": -1}, "greater than or equal to 1"),
        (
            "spec.environment",
            {"daskKubernetes": {"minWorkers": 0, "maxWorkers": -1}},
            "spec.environment.daskKubernetes",
        ),
        ("spec.schedule", {"cron": ["@daily"], "startingDeadlineSeconds": -1}, "greater than or equal to 1"),
        ("spec.schedule", {"cron": ["@daily"], "successfulRunsHistoryLimit": -1}, "greater than or equal to 0"),
        ("spec.run", {"callbackTimeoutSeconds": 3601}, "less than or equal to 3600"),
        ("spec.environment", {"labels": [""]}, "should be at least 1 chars long"),
        ("spec.schedule", {"cron": []}, "should have at least 1 items"),
        ("spec.schedule", {"cron": ["every day"]}, "spec.schedule.cron[0]"),
        ("spec.schedule", {"cron": ["* * * * * *"]}, "spec.schedule.cron[0]"),
        ("spec.schedule", {"cron": ["TZ=UTC 0 3 * * *"]}, "spec.schedule.cron[0]"),
        ("spec.schedule", {"cron": ["@daily"], "timeZone": "Mars/Phobos"}, "Mars/Phobos"),
        ("spec.schedule", {"cron": ["@daily"], "timeZone": "Local"}, "IANA time zone"),
        ("spec.schedule", {"cron": ["@daily"], "timeZone": "+02:00"}, "spec.schedule.timeZone"),
        ("spec.schedule", {"cron": ["@daily"], "concurrencyPolicy": "Queue"}, "Unsupported value"),
        ("metadata.name", "a" * 64, "at most 63 characters"),
    ],
)
def test_a_wrong_deployment_is_refused(namespace: Namespace, path: str, value: Any, words: str) -> None:
    assert words in namespace.refused(changed(GOOD, path, value))


def test_a_pickle_of_a_megabyte_and_a_half_is_refused_with_a_way_out(namespace: Namespace) -> None:
    large = changed(GOOD, "spec.flow", {"pickle": {"data": "A" * 2_000_000, "python": "3.11"}})
    said = kubectl("-n", namespace.name, "apply", "--server-side", "-f", "-", stdin=json.dumps(large), check=False)
    assert "spec.flow.pickle: Invalid value" in said
    assert "data must be at most 200000 characters: give a larger flow docker storage" in said
    assert len(said) < 1000, "the bytes themselves are not in it"


def test_a_file_must_be_under_its_directory(namespace: Namespace) -> None:
    local = changed(GOOD, "spec.storage", {"local": {"directory": "/data"}})
    for location in ("/database/flow.py:flow", "/data/../flow.py:flow"):
        assert "spec" in namespace.refused(changed(local, "spec.flow", {"file": {"location": location}}))


def test_a_name_that_is_too_long_for_a_run_is_refused(namespace: Namespace) -> None:
    assert "at most 63 characters" in namespace.refused(run("r" * 64, "good"))


FULL = run(
    "full",
    "absent",
    parameters={"n": 1, "deep": {"a": [1, 2]}},
    activeDeadlineSeconds=100,
    preRunningDeadlineSeconds=86400,
    ttlSecondsAfterFinished=5,
    stopGraceSeconds=5,
    callbackTimeoutSeconds=5,
)
BARE = run("bare", "absent", preRunningDeadlineSeconds=86400)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.deployment", "other"),
        ("spec.parameters.n", 2),
        ("spec.parameters.more", 1),
        ("spec.parameters.deep", {"a": [1, 2, 3]}),
        ("spec.parameters", {"m": 1, "deep": {"a": [1, 2]}}),  # a renamed key
        ("spec.parameters", {"n": 1}),  # a removed key
        ("spec.parameters", None),
        ("spec.activeDeadlineSeconds", 101),
        ("spec.activeDeadlineSeconds", None),
        ("spec.preRunningDeadlineSeconds", None),
        ("spec.ttlSecondsAfterFinished", None),
        ("spec.stopGraceSeconds", 6),
        ("spec.callbackTimeoutSeconds", None),
    ],
)
def test_a_runs_spec_cannot_be_changed(namespace: Namespace, path: str, value: Any) -> None:
    namespace.apply(FULL)
    assert "immutable" in namespace.refused(changed(FULL, path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.parameters", {"n": 1}),
        ("spec.activeDeadlineSeconds", 5),
        ("spec.ttlSecondsAfterFinished", 5),
        ("spec.callbackTimeoutSeconds", 5),
    ],
)
def test_nothing_can_be_added_to_a_runs_spec(namespace: Namespace, path: str, value: Any) -> None:
    namespace.apply(BARE)
    assert "immutable" in namespace.refused(changed(BARE, path, value))


def test_cancel_may_be_set_and_made_urgent_and_never_taken_back(namespace: Namespace) -> None:
    bare = {**BARE, "metadata": {"name": "cancelled"}}
    namespace.apply(bare)
    assert "Unsupported value" in namespace.refused(changed(bare, "spec.cancel", "Later"))
    namespace.apply(changed(bare, "spec.cancel", "Graceful"))
    assert "cannot be taken back" in namespace.refused(changed(bare, "spec.cancel", None))
    namespace.apply(changed(bare, "spec.cancel", "Now"))
    assert "cannot be taken back" in namespace.refused(changed(bare, "spec.cancel", "Graceful"))
    urgent = changed(bare, "spec.cancel", "Now")
    assert "immutable" in namespace.refused(changed(urgent, "spec.parameters", {"n": 1}))


def test_labels_of_a_run_may_change(namespace: Namespace) -> None:
    namespace.apply(BARE)
    namespace.apply(changed(BARE, "metadata.labels", {"team": "a"}))
    assert namespace.get("flowrun", "bare")["metadata"]["labels"] == {"team": "a"}
