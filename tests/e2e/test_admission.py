"""What the API server refuses at the door, and in which words (CEL and the admission policy of the chart)."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cluster import deployment, run

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


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("spec.flow.source.configMap", {"name": "x"}, "exactly one of inline and configMap"),
        ("spec.flow.source", None, "exactly one of source and pickle"),
        ("spec.flow.pickle", {"data": "AAAA", "python": "3.11"}, "exactly one of source and pickle"),
        ("spec.storage.docker", {}, "exactly one of docker and bytes"),
        ("spec.storage", {}, "exactly one of docker and bytes"),
        ("spec.environment", {"remote": {}, "daskKubernetes": {}}, "exactly one of remote and daskKubernetes"),
        ("spec.environment", {"daskKubernetes": {"minWorkers": 3, "maxWorkers": 2}}, "must not be larger"),
        ("spec.environment", {"daskKubernetes": {"minWorkers": 3}}, "must not be larger"),
        ("spec.environment", {"daskKubernetes": {"minWorkers": -1}}, "greater than or equal to 0"),
        ("spec.environment", {"remote": {"executor": "Spark"}}, "Unsupported value"),
        ("spec.flow.entrypoint", "flow", "spec.flow.entrypoint"),
        ("spec.run", {"activeDeadlineSeconds": 0}, "greater than or equal to 1"),
        ("metadata.name", "a" * 64, "at most 63 characters"),
    ],
)
def test_a_wrong_deployment_is_refused(namespace: Namespace, path: str, value: Any, words: str) -> None:
    assert words in namespace.refused(changed(GOOD, path, value))


def test_a_name_that_is_too_long_for_a_run_is_refused(namespace: Namespace) -> None:
    assert "at most 63 characters" in namespace.refused(run("r" * 64, "good"))


FULL = run(
    "full",
    "absent",
    parameters={"n": 1, "deep": {"a": [1, 2]}},
    activeDeadlineSeconds=100,
    preRunningDeadlineSeconds=86400,
    ttlSecondsAfterFinished=5,
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
    ],
)
def test_nothing_can_be_added_to_a_runs_spec(namespace: Namespace, path: str, value: Any) -> None:
    namespace.apply(BARE)
    assert "immutable" in namespace.refused(changed(BARE, path, value))


def test_labels_of_a_run_may_change(namespace: Namespace) -> None:
    namespace.apply(BARE)
    namespace.apply(changed(BARE, "metadata.labels", {"team": "a"}))
    assert namespace.get("flowrun", "bare")["metadata"]["labels"] == {"team": "a"}
