"""The SBOM of the dependencies: what it says, and how it is attached to the image."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from flow_operator.api.wire import BuildReport
from flow_operator.images.oci import sha256
from flow_operator.images.requirements import parse_lock
from flow_operator.images.sbom import CYCLONEDX, sbom_of
from tests.support.registry import OCI_INDEX, status
from tests.unit.images.conftest import code_file

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.registry import FakeRegistry

Build = Callable[..., BuildReport]
TARGET = "registry.test/team/squares"


def document(lock: str) -> dict[str, Any]:
    blob = sbom_of(parse_lock(lock)).blob
    assert blob
    with blob.open() as pieces:
        read: dict[str, Any] = json.loads(b"".join(pieces))
    return read


def listed(registry: FakeRegistry, report: BuildReport) -> list[dict[str, Any]]:
    index = registry.manifest(TARGET, report["digest"].replace(":", "-"))
    assert index["mediaType"] == OCI_INDEX
    entries: list[dict[str, Any]] = index["manifests"]
    return entries


def test_a_document_names_packages_versions_and_hashes() -> None:
    said = document("Pandas==3.0 --hash=sha256:bb --hash=sha256:aa\nx.y==1.0+local\n")
    assert said["bomFormat"] == "CycloneDX"
    pandas, other = said["components"]
    assert (pandas["name"], pandas["version"], pandas["purl"]) == ("pandas", "3.0", "pkg:pypi/pandas@3.0")
    assert [one["content"] for one in pandas["hashes"]] == ["aa", "bb"]
    assert other["purl"] == "pkg:pypi/x-y@1.0%2Blocal"
    assert "hashes" not in other


def test_a_wheel_by_url_is_named_without_secrets() -> None:
    said = document("x @ https://robot:hunter2@files.test/x-1.2-py3-none-any.whl?token=secret --hash=sha256:aa\n")
    [wheel] = said["components"]
    assert wheel["version"] == "1.2"
    assert "files.test" in wheel["purl"]
    assert not any(word in json.dumps(said) for word in ("robot", "hunter2", "token", "secret"))


def test_equal_locks_have_equal_documents() -> None:
    assert sbom_of(parse_lock("a==1\nb==2\n")) == sbom_of(parse_lock("# made yesterday\nb==2\na==1\n"))


def test_it_is_attached_to_the_image(build: Build, registry: FakeRegistry) -> None:
    registry.knows_referrers = True
    report = build(pythonDependencies=["pandas"])
    manifest = registry.manifest(TARGET, report["sbom"])
    assert manifest["artifactType"] == CYCLONEDX
    assert manifest["subject"]["digest"] == report["digest"]
    assert manifest["subject"]["size"] == len(registry.repository(TARGET).manifests["v1"][1])
    said = json.loads(registry.repository(TARGET).blobs[manifest["layers"][0]["digest"]])
    assert {one["name"] for one in said["components"]} == {"pandas", "numpy"}
    assert not any(tag.startswith("sha256-") for tag in registry.repository(TARGET).manifests)


def test_a_registry_without_referrers_gets_a_list(build: Build, registry: FakeRegistry) -> None:
    report = build(pythonDependencies=["pandas"])
    [entry] = listed(registry, report)
    assert (entry["digest"], entry["artifactType"]) == (report["sbom"], CYCLONEDX)
    assert entry["size"] == len(registry.repository(TARGET).manifests[report["sbom"]][1])


def test_what_others_attached_stays(build: Build, registry: FakeRegistry) -> None:
    report = build(pythonDependencies=["pandas"])
    [ours] = listed(registry, report)
    theirs = {"mediaType": "theirs", "digest": sha256(b"theirs"), "size": 6, "annotations": {"signed": "yes"}}
    registry.repository(TARGET).manifests[sha256(b"theirs")] = ("theirs", b"theirs")
    tag = report["digest"].replace(":", "-")
    registry.put_manifest(TARGET, tag, {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [theirs]})
    del registry.repository(TARGET).manifests[report["sbom"]]
    build(pythonDependencies=["pandas"])
    assert listed(registry, report) == [theirs, ours]


def test_it_is_not_attached_again(build: Build, registry: FakeRegistry) -> None:
    first = build(pythonDependencies=["pandas==3.0"])
    registry.forget()
    second = build(pythonDependencies=["pandas==3.0"])
    assert second["sbom"] == first["sbom"]
    assert registry.asked("HEAD", first["sbom"]) == 1
    assert registry.asked("PUT") == registry.asked("POST") == 0


def test_an_image_on_a_kept_layer_has_one_too(build: Build, registry: FakeRegistry, source: Path) -> None:
    first = build(pythonDependencies=["pandas==3.0"])
    source.write_text("print('changed')\n")
    second = build(pythonDependencies=["pandas==3.0"], files=[code_file(source)])
    one, two = (registry.manifest(TARGET, report["sbom"]) for report in (first, second))
    assert one["subject"] != two["subject"]
    assert one["layers"] == two["layers"]


@pytest.mark.parametrize("method", ["HEAD", "PUT"])
def test_a_registry_that_will_not_have_it_gets_the_image(build: Build, registry: FakeRegistry, method: str) -> None:
    registry.fail(method, "/squares/manifests/sha256:", status(400, word="MANIFEST_INVALID"))
    report = build(pythonDependencies=["pandas"])
    assert "sbom" not in report
    assert registry.manifest(TARGET, "v1")


@pytest.mark.parametrize("body", [b"no json", b"{}", b'{"manifests": [1]}', b'{"manifests": null}'])
def test_what_is_no_list_is_left_alone(build: Build, registry: FakeRegistry, body: bytes) -> None:
    report = build(pythonDependencies=["pandas"])
    tag = report["digest"].replace(":", "-")
    manifests = registry.repository(TARGET).manifests
    manifests[tag] = (OCI_INDEX, body)
    del manifests[report["sbom"]]
    assert "sbom" not in build(pythonDependencies=["pandas"])
    assert manifests[tag] == (OCI_INDEX, body)


def test_without_dependencies_there_is_none(build: Build, registry: FakeRegistry) -> None:
    assert "sbom" not in build()
    assert "sbom" not in build(pythonDependencies=["dask"])
    assert "sbom" not in build(pythonDependencies=["pandas"], push=False)


def test_the_manifest_tells_versions(build: Build, registry: FakeRegistry) -> None:
    report = build(pythonDependencies=["pandas"], baseImage="registry.test/plain:3.11")
    said = registry.manifest(TARGET, "v1")["annotations"]
    assert said["flow-operator.io/lock"] == report["lock"]
    assert said["flow-operator.io/version.python"] == "3.11"
    assert said["flow-operator.io/version.dask"] == said["flow-operator.io/version.distributed"] == "2026.8.0"
    assert said["flow-operator.io/version.cloudpickle"] == "3.1.2"
    assert said["flow-operator.io/version.flow-operator"]
    # The image as a base: the same, read from its labels.
    build(baseImage=f"{TARGET}:v1", repository="registry.test/team/other")
    again = registry.manifest("registry.test/team/other", "v1")["annotations"]
    assert {key: value for key, value in said.items() if "version." in key}.items() <= again.items()


def test_what_the_caller_annotates_is_there_too(build: Build, registry: FakeRegistry) -> None:
    source = {"org.opencontainers.image.source": "https://git.test/squares", "org.opencontainers.image.revision": "abc"}
    build(annotations=source)
    assert source.items() <= registry.manifest(TARGET, "v1")["annotations"].items()
