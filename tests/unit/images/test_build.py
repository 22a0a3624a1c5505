"""The whole builder, against registries in memory and uv with a directory of wheels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from flow_operator.api.wire import BuildReport
from flow_operator.images.errors import (
    BaseImageHasNoPythonError,
    BaseImageNotFoundError,
    DependencyConflictError,
    DependencyHasNoWheelError,
    DependencyNotFoundError,
    SourceChangedError,
)
from tests.support.registry import OCI_INDEX, FakeRegistry, tar_of
from tests.unit.images.conftest import code_file

if TYPE_CHECKING:
    from pathlib import Path

Build = Callable[..., BuildReport]
TARGET = "registry.test/team/squares"


def kinds(report: BuildReport) -> list[str]:
    return [layer["kind"] for layer in report["layers"]]


def test_code_becomes_one_layer_on_the_base(build: Build, registry: FakeRegistry) -> None:
    report = build(env={"GREETING": "hello"}, annotations={"org.opencontainers.image.title": "squares"})
    assert report["image"] == f"{TARGET}@{report['digest']}"
    manifest, config = registry.manifest(TARGET, "v1"), registry.config(TARGET, "v1")
    assert kinds(report) == ["code"]
    assert manifest["annotations"]["org.opencontainers.image.title"] == "squares"
    assert manifest["annotations"]["org.opencontainers.image.base.name"] == "registry.test/base:3.11"
    assert config["config"]["Env"][1:] == [
        "GREETING=hello",
        "PYTHONPATH=/opt/flow-operator/deps:/opt/flow-operator/lib",
    ]
    assert len(config["rootfs"]["diff_ids"]) == len(manifest["layers"]) == 2
    assert config["history"][-1]["created_by"] == "flow-operator"
    [directory, file] = registry.layer(TARGET, report["layers"][0]["digest"]).getmembers()
    assert (directory.name, directory.mode, file.name, file.mode) == ("flows", 0o755, "flows/flow.py", 0o444)


def test_building_again_asks_little_and_sends_nothing(build: Build, registry: FakeRegistry) -> None:
    first = build(pythonDependencies=["pandas==3.0"], baseImage="registry.test/plain:3.11")
    registry.forget()
    second = build(pythonDependencies=["pandas==3.0"], baseImage="registry.test/plain:3.11")
    assert second["digest"] == first["digest"]
    assert (second["uploadedBytes"], registry.uploaded) == (0, 0)
    assert not any(layer["uploaded"] for layer in second["layers"])
    # Base manifest and config, two layers kept; the tag, the code, the SBOM.
    assert sorted(one.partition(" ")[0] for one in registry.requests) == ["GET"] * 4 + ["HEAD"] * 3
    assert len(set(registry.requests)) == 7


def test_a_change_of_code_moves_kilobytes(build: Build, registry: FakeRegistry, source: Path) -> None:
    build(pythonDependencies=["pandas"], baseImage="registry.test/plain:3.11")
    registry.forget()
    source.write_text("print('changed')\n")
    report = build(pythonDependencies=["pandas"], baseImage="registry.test/plain:3.11", files=[code_file(source)])
    assert [layer["uploaded"] for layer in report["layers"]] == [False, False, True]
    assert 0 < registry.uploaded < report["uploadedBytes"] < 50_000
    assert registry.asked("PUT", "manifests/v1") == 1


def test_a_base_without_runtime_gets_one_and_says_so(build: Build, registry: FakeRegistry) -> None:
    report = build(baseImage="registry.test/plain:3.11")
    assert kinds(report) == ["runtime", "code"]
    names = registry.layer(TARGET, report["layers"][0]["digest"]).getnames()
    assert "opt/flow-operator/lib/dask/__init__.py" in names
    assert "opt/flow-operator/lib/flow_operator/api/wire.py" in names
    assert "dask==2026.8.0" in registry.config(TARGET, "v1")["config"]["Labels"]["flow-operator.io/runtime"]
    # The image is a base itself.
    again = build(baseImage=f"{TARGET}:v1", repository="registry.test/team/other")
    assert kinds(again) == ["code"]


def test_what_the_runtime_has_is_not_installed_twice(build: Build, registry: FakeRegistry) -> None:
    report = build(pythonDependencies=["pandas", "dask"])
    names = registry.layer(TARGET, report["layers"][0]["digest"]).getnames()
    assert {"opt/flow-operator/deps/pandas", "opt/flow-operator/deps/numpy"} <= set(names)
    assert not any("/click" in name or "/dask" in name for name in names)
    assert report["lock"].startswith("sha256:")
    assert registry.manifest(TARGET, "v1")["annotations"]["flow-operator.io/lock"] == report["lock"]


def test_requirements_of_the_runtime_alone_need_no_layer(build: Build) -> None:
    assert kinds(build(pythonDependencies=["dask", "distributed==2026.8.0"])) == ["code"]


def test_a_package_of_the_runtime_may_be_overridden(build: Build, registry: FakeRegistry) -> None:
    report = build(pythonDependencies=["needs-old-click"])
    names = registry.layer(TARGET, report["layers"][0]["digest"]).getnames()
    assert "opt/flow-operator/deps/click-8.1.dist-info" in names, names


@pytest.mark.parametrize(
    ("dependencies", "error", "words"),
    [
        (["dask==2024.1.0"], DependencyConflictError, ["dask==2024.1.0", "dask==2026.8.0"]),
        (["click<8"], DependencyConflictError, ["click<8", "dask"]),
        (["pandas==3.0", "numpy<2"], DependencyConflictError, ["numpy"]),
        (["no-such-package"], DependencyNotFoundError, ["no-such-package"]),
        (["pandas==99"], DependencyNotFoundError, ["pandas==99"]),
        (["windows-only"], DependencyHasNoWheelError, ["windows-only"]),
        (["x @ git+https://git.test/x"], DependencyHasNoWheelError, ["git.test"]),
    ],
)
def test_requirements_that_cannot_be_met(
    build: Build, dependencies: list[str], error: type[Exception], words: list[str]
) -> None:
    with pytest.raises(error) as caught:
        build(pythonDependencies=dependencies)
    assert all(word in str(caught.value) for word in words)


def test_layers_are_mounted_within_a_registry(build: Build, registry: FakeRegistry) -> None:
    build()
    assert registry.asked("POST", "mount=") == 1
    assert registry.asked("GET", "/base/blobs/") == 1  # the config; no layer was read


def test_layers_are_streamed_between_registries(build: Build, registry: FakeRegistry) -> None:
    report = build(repository="other.test/squares")
    assert registry.asked("POST", "mount=") == 0
    [layer, _] = registry.manifest("other.test/squares", report["digest"])["layers"]
    assert layer["digest"] in registry.repository("other.test/squares").blobs


def test_a_docker_base_becomes_oci(build: Build, registry: FakeRegistry) -> None:
    build(baseImage="registry.test/plain:3.11")
    media_types = {layer["mediaType"] for layer in registry.manifest(TARGET, "v1")["layers"]}
    assert all(media_type.startswith("application/vnd.oci.image.layer.v1.tar") for media_type in media_types)


def test_an_index_is_read_for_the_architecture(build: Build, registry: FakeRegistry) -> None:
    one = registry.put_image("registry.test/multi", "arm", architecture="arm64")
    two = registry.put_image("registry.test/multi", "amd", layers=(b"other",), labels={"flow-operator.io/runtime": "v"})
    platforms = [{"os": "linux", "architecture": "arm64"}, {"os": "linux", "architecture": "amd64"}]
    entries = [{"digest": digest, "platform": p} for digest, p in zip((one, two), platforms, strict=True)]
    registry.put_manifest("registry.test/multi", "v1", {"mediaType": OCI_INDEX, "manifests": entries})
    assert build(baseImage="registry.test/multi:v1")["base"] == f"registry.test/multi@{two}"
    with pytest.raises(BaseImageNotFoundError, match="linux/riscv64, only for amd64, arm64"):
        build(baseImage="registry.test/multi:v1", architecture="riscv64")


def test_of_several_variants_the_one_that_runs_everywhere_is_taken(build: Build, registry: FakeRegistry) -> None:
    labels = {"flow-operator.io/runtime": "v"}
    young = registry.put_image("registry.test/multi", "v3", layers=(b"v3",), labels=labels)
    plain = registry.put_image("registry.test/multi", "v1", layers=(b"v1",), labels=labels)
    amd64 = {"os": "linux", "architecture": "amd64"}
    entries = [{"digest": young, "platform": {**amd64, "variant": "v3"}}, {"digest": plain, "platform": amd64}]
    registry.put_manifest("registry.test/multi", "all", {"mediaType": OCI_INDEX, "manifests": entries})
    assert build(baseImage="registry.test/multi:all")["base"] == f"registry.test/multi@{plain}"
    registry.put_manifest("registry.test/multi", "all", {"mediaType": OCI_INDEX, "manifests": entries[:1]})
    assert build(baseImage="registry.test/multi:all")["base"] == f"registry.test/multi@{young}"


def test_without_a_tag_the_image_is_pushed_by_digest(build: Build, registry: FakeRegistry) -> None:
    report = build(tag="")
    assert list(registry.repository(TARGET).manifests) == [report["digest"]]


def test_a_layer_that_vanished_is_made_again(build: Build, registry: FakeRegistry, source: Path) -> None:
    first = build(pythonDependencies=["pandas==3.0"])
    del registry.repository(TARGET).blobs[first["layers"][0]["digest"]]
    source.write_text("changed")
    report = build(pythonDependencies=["pandas==3.0"], files=[code_file(source)])
    assert report["layers"][0]["digest"] == first["layers"][0]["digest"]
    assert report["layers"][0]["uploaded"]


def test_a_base_that_is_not_there(build: Build) -> None:
    with pytest.raises(BaseImageNotFoundError, match=r"registry\.test/nothing:1"):
        build(baseImage="registry.test/nothing:1")


def test_python_is_found_in_the_layers(build: Build, registry: FakeRegistry) -> None:
    layers = (tar_of(**{"usr__bin__python3.12x": b""}), tar_of(etc__passwd=b""), b"")
    python = tar_of(**{"usr__local__bin__python3.12": b"", "usr__local__bin__python3.12-config": b""})
    registry.put_image("registry.test/found", "1", env=(), layers=(python, *layers))
    build(baseImage="registry.test/found:1")
    assert registry.config(TARGET, "v1")["config"]["Labels"]["flow-operator.io/python"] == "3.12"


@pytest.mark.parametrize(("python", "warned"), [("3.12", True), ("3.11", False), ("", False)])
def test_another_python_is_a_warning(build: Build, python: str, warned: bool) -> None:
    said: list[str] = []
    build(python=python, progress=said.append)
    words = "Warning: registry.test/base:3.11 has Python 3.11, and the flow was written with 3.12."
    assert [line for line in said if line.startswith("Warning")] == [words] * warned


@pytest.mark.parametrize(("env", "words"), [((), "has no Python"), (("PYTHON_VERSION=3.9.1",), "has Python 3.9")])
def test_a_base_without_a_usable_python(build: Build, registry: FakeRegistry, env: tuple[str, ...], words: str) -> None:
    registry.put_image("registry.test/odd", "1", env=env)
    with pytest.raises(BaseImageHasNoPythonError, match=words):
        build(baseImage="registry.test/odd:1")


def test_other_bytes_than_decided_on_are_refused(build: Build, registry: FakeRegistry, source: Path) -> None:
    file = code_file(source)
    source.write_text("edited meanwhile")
    with pytest.raises(SourceChangedError, match=r"flow\.py"):
        build(files=[file])
    assert registry.requests == []


def test_a_blob_is_uploaded_once_though_named_twice(build: Build, registry: FakeRegistry) -> None:
    registry.put_image("registry.test/twice", "1", layers=(b"same", b"same"), labels={"flow-operator.io/runtime": "v"})
    build(baseImage="registry.test/twice:1", repository="other.test/twice")
    assert registry.asked("HEAD", "/blobs/") == 2  # one layer, code; the config names a layer that was not there
