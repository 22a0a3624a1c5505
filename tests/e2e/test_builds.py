"""Images built in the cluster and pushed to the real registry: by content, once, and verified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cluster import condition, deployment, eventually, kubectl, reason, run

if TYPE_CHECKING:
    from tests.support.cluster import Namespace

Manifest = dict[str, Any]
DOCKER: Manifest = {"docker": {}}


def source(answer: int) -> Manifest:
    text = f"def flow() -> int:\n    return {answer}\n"
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "code"}, "data": {"flow.py": text}}


def from_config_map() -> Manifest:
    made = deployment("mapped", "", storage=DOCKER)
    made["spec"]["flow"] = {"source": {"configMap": {"name": "code"}}}
    return made


def builders_seen(namespace: Namespace, name: str) -> set[str]:
    """Return the names of builder pods that ever were, from the events of the scheduler."""
    said = kubectl(
        "-n", namespace.name, "get", "events", "--field-selector", "reason=Scheduled",
        "-o", "jsonpath={range .items[*]}{.involvedObject.name}{\"\\n\"}{end}",
    )  # fmt: skip
    return {line for line in said.split() if line.startswith(f"{name}-build-")}


def test_a_changed_config_map_gives_a_new_digest_and_runs_use_it(namespace: Namespace) -> None:
    namespace.apply(source(1), from_config_map())
    first = namespace.wait_ready("mapped")
    namespace.apply(run("one", "mapped"))
    assert namespace.wait_run("one")["status"]["result"] == 1
    builders = builders_seen(namespace, "mapped")
    assert len(builders) == 1

    namespace.apply(source(2))
    second = namespace.wait_deployment(
        "mapped",
        lambda seen: condition(seen, "Ready") == "True" and seen["status"]["image"] != first["status"]["image"],
        60,
        "built again",
    )
    assert second["status"]["image"].rpartition("@")[0] == first["status"]["image"].rpartition("@")[0]
    namespace.apply(run("two", "mapped"))
    done = namespace.wait_run("two")
    assert done["status"]["result"] == 2
    assert done["status"]["image"] == second["status"]["image"]
    assert second["metadata"]["generation"] == first["metadata"]["generation"], "nothing is written to spec"

    # The same source again: applied, annotated, re-read; no builder pod, no new image.
    builders = builders_seen(namespace, "mapped")
    assert len(builders) == 2
    namespace.apply(source(2), from_config_map())
    kubectl("-n", namespace.name, "annotate", "--overwrite", "configmap/code", "touched=again")
    kubectl("-n", namespace.name, "label", "--overwrite", "flowdeployment/mapped", "touched=again")
    namespace.apply(run("three", "mapped"))
    assert namespace.wait_run("three")["status"]["image"] == second["status"]["image"]
    assert builders_seen(namespace, "mapped") == builders


def test_a_code_change_moves_kilobytes_only(namespace: Namespace) -> None:
    built = namespace.wait_ready("mapped")
    layers = built["status"]["build"]["layers"]
    assert [each["kind"] for each in layers][-1] == "code"
    assert layers[-1]["size"] < 50_000


def test_a_dependency_is_installed_from_wheels_and_imported(namespace: Namespace) -> None:
    text = "import humanize\ndef flow() -> str:\n    return humanize.intcomma(1234567)\n"
    storage = {"docker": {"pythonDependencies": ["humanize==4.15.0"], "envVars": {"GREETING": 'it\'s $5 "or" less'}}}
    text = text.replace("return", "import os\n    assert os.environ['GREETING'] == 'it\\'s $5 \"or\" less'\n    return")
    namespace.apply(deployment("human", text, storage=storage), run("human", "human"))
    namespace.wait_ready("human")
    assert namespace.wait_run("human")["status"]["result"] == "1,234,567"


def test_a_base_image_without_the_runtime_gets_a_runtime_layer(namespace: Namespace) -> None:
    storage = {"docker": {"baseImage": "localhost:5001/python:3.11-slim"}}
    namespace.apply(deployment("slim", "def flow():\n    return 'slim'\n", storage=storage), run("slim", "slim"))
    built = namespace.wait_ready("slim", within=180)
    assert [each["kind"] for each in built["status"]["build"]["layers"]] == ["runtime", "code"]
    assert namespace.wait_run("slim")["status"]["result"] == "slim"


def test_a_missing_import_is_named(namespace: Namespace) -> None:
    namespace.apply(deployment("lacking", "import pandas_is_not_here\ndef flow(): ...\n", storage=DOCKER))
    seen = namespace.wait_deployment(
        "lacking", lambda each: reason(each, "Verified") == "ImportFailed", 60, "ImportFailed"
    )
    assert "pandas_is_not_here" in seen["status"]["diagnosis"]["message"]
    assert condition(seen, "Stalled") == "True"


def test_a_run_of_a_broken_deployment_waits_and_heals_when_it_is_mended(namespace: Namespace) -> None:
    namespace.apply(run("patient", "lacking"))
    waiting = namespace.wait_phase("patient", "Pending")
    assert reason(waiting, "Ready") == "DeploymentNotReady"
    namespace.apply(deployment("lacking", "def flow():\n    return 'mended'\n", storage=DOCKER))
    assert namespace.wait_run("patient")["status"]["result"] == "mended"


@pytest.mark.parametrize(
    ("name", "docker", "expected"),
    [
        ("no-base", {"baseImage": "localhost:5001/there/is-no:such"}, "BaseImageNotFound"),
        ("no-dist", {"pythonDependencies": ["this-distribution-does-not-exist-7f3a"]}, "DependencyNotFound"),
        ("no-registry", {"registryURL": "localhost:5999/nowhere"}, "RegistryUnreachable"),
    ],
)
def test_a_build_that_cannot_be_names_the_thing_and_the_remedy(
    namespace: Namespace, name: str, docker: Manifest, expected: str
) -> None:
    namespace.apply(deployment(name, "def flow(): ...\n", storage={"docker": docker}))
    seen = namespace.wait_deployment(name, lambda each: reason(each, "Built") == expected, 90, expected)
    assert condition(seen, "Built") == "False"
    assert seen["status"]["diagnosis"]["remedy"]


def test_a_source_that_appears_later_heals(namespace: Namespace) -> None:
    late = from_config_map()
    late["metadata"]["name"] = "late"
    late["spec"]["flow"] = {"source": {"configMap": {"name": "late-code"}}}
    late["spec"]["storage"] = {"bytes": {}}
    namespace.apply(late)
    seen = namespace.wait_deployment("late", lambda each: condition(each, "Built") == "False", 30, "no source")
    assert reason(seen, "Built") == "SourceNotFound"
    code = source(3)
    code["metadata"]["name"] = "late-code"
    namespace.apply(code)
    namespace.wait_ready("late")


def test_a_pickled_flow_runs(namespace: Namespace) -> None:
    import base64
    import sys

    from flow_operator import Flow, task
    from flow_operator.flow.pickling import dumps

    @task
    def add(x: int, y: int) -> int:
        return x + y

    with Flow("pickled") as flow:
        add(1, 2)
    made = deployment("pickled", "", storage=DOCKER)
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    made["spec"]["flow"] = {"pickle": {"data": base64.b64encode(dumps(flow)).decode(), "python": minor}}
    namespace.apply(made, run("pickled", "pickled"))
    assert namespace.wait_ready("pickled")["status"]["flow"]["name"] == "pickled"
    assert namespace.wait_run("pickled")["status"]["result"] == 3


def test_builder_and_check_pods_are_swept_when_all_is_well(namespace: Namespace) -> None:
    eventually(
        lambda: [each["metadata"]["name"] for each in namespace.list("pods", "flow-operator.io/deployment=mapped")],
        lambda found: not found,
        20,
        "no pods of a Ready deployment",
    )
