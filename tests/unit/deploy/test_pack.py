"""From a storage to a request to the builder."""

from __future__ import annotations

import hashlib
import re
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from flow_operator import Flow, task
from flow_operator.api.flow_deployment import parse_spec
from flow_operator.deploy import border, pack
from flow_operator.errors import StorageError
from flow_operator.kube import errors as kube
from flow_operator.plan.build import build_request
from flow_operator.plan.inputs import inputs_of
from flow_operator.storage import Docker
from tests.support import makers as m

R = "registry.example.com/team-a"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DOCKER_CERT_PATH", raising=False)
    monkeypatch.delenv("FLOW_OPERATOR__USER_CONFIG_PATH", raising=False)


@task
def three() -> int:
    return 3


def request(work: Path, **arguments: Any) -> Any:
    with Flow("My Squares") as flow:
        three()
    storage = Docker(**{"registry_url": R, **arguments})
    storage.add_flow(flow)
    return pack.request_of(storage, work, repository=f"{R}/my-squares", tag="v1", push=True)


def test_a_request(tmp_path: Path) -> None:
    (tmp_path / "settings").write_bytes(b"x\0$")
    (tmp_path / ".flow-operator").mkdir()
    (tmp_path / ".flow-operator/config.toml").write_text('[registries."r:1"]\nendpoint = "http://r:1"\n')
    made = request(
        tmp_path,
        python_dependencies=["pandas"],
        env_vars={"Z": "' \" $HOME", "A": "1"},
        files={str(tmp_path / "settings"): "/etc/app/settings"},
        annotations={"a": "b"},
    )
    files = made.pop("files")
    assert made == {
        "builder": "Layers",
        "baseImage": f"python:3.{sys.version_info.minor}-slim",
        "repository": f"{R}/my-squares",
        "tag": "v1",
        "pythonDependencies": ["pandas"],
        "env": {"A": "1", "FLOW_OPERATOR__USER_CONFIG_PATH": "/etc/flow-operator/config.toml", "Z": "' \" $HOME"},
        "annotations": {"a": "b"},
        "registries": {"r:1": {"endpoint": "http://r:1"}},
        "push": True,
        "flows": [{"location": "/flows/my-squares.flow", "attribute": ""}],
        "python": f"3.{sys.version_info.minor}",
    }
    assert [each["path"] for each in files] == ["/etc/app/settings", "/flows/my-squares.flow"]
    for each in files:
        assert hashlib.sha256(Path(each["source"]).read_bytes()).hexdigest() == each["sha256"]


@pytest.mark.parametrize(
    "variables", [None, {"TZ": "Europe/Berlin"}, {"FLOW_OPERATOR__USER_CONFIG_PATH": "/flows/settings.toml"}]
)
def test_the_cluster_is_asked_for_the_image_that_is_built_here(
    tmp_path: Path, variables: dict[str, str] | None
) -> None:
    (tmp_path / "flow.py").write_text(m.SOURCE)
    storage = Docker(registry_url=R, base_image="python:3.12-slim", image_name="squares", env_vars=variables)
    here = pack.request_of_source(
        storage, tmp_path / "flow.py", "flow", location="/flows/flow.py", repository=f"{R}/squares", tag="v1", push=True
    )
    deployment = m.a_deployment(storage=storage.to_resource())
    there = build_request(inputs_of(deployment, parse_spec(deployment["spec"]), {}, m.settings()), m.settings())
    for key in ("baseImage", "repository", "env", "pythonDependencies"):
        assert here[key] == there[key], key
    assert [(each["path"], each["sha256"]) for each in here["files"]] == [
        (each["path"], each["sha256"]) for each in there["files"]
    ]


def test_what_only_an_engine_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CERT_PATH", "/certs")
    made = request(tmp_path, extra_commands=["echo $A"], local_image=True, base_url="tcp://docker:2376")
    assert made["builder"] == "Docker"
    assert made["extraCommands"] == ["echo $A"]
    assert made["localImage"] is True
    assert made["engine"] == {"url": "tcp://docker:2376", "tls": "/certs"}
    assert request(tmp_path, builder="Docker")["engine"] == {}


def test_a_namespace_of_docker_hub_is_pushed_to_and_no_registry_is_not(tmp_path: Path) -> None:
    assert request(tmp_path, registry_url="alice", builder="Docker")["push"] is True
    assert request(tmp_path, registry_url=None)["push"] is False


@pytest.mark.parametrize("builder", ["Layers", "Docker"])
def test_an_architecture(tmp_path: Path, builder: str) -> None:
    assert request(tmp_path, builder=builder, architecture="arm64")["architecture"] == "arm64"
    assert "architecture" not in request(tmp_path, builder=builder)


def test_a_lock(tmp_path: Path) -> None:
    (tmp_path / "uv.lock").write_text("version = 1\n")
    made = request(tmp_path, requirements=tmp_path / "uv.lock")
    assert made["lock"]["path"] == "uv.lock"
    assert made["lock"]["source"] == str(tmp_path / "uv.lock")


def test_a_large_file_is_not_read_at_once(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(64 << 20)
    tracemalloc.start()
    made = request(tmp_path, files={str(tmp_path / "large"): "/large"})
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 32 << 20
    assert made["files"][1]["sha256"] == hashlib.sha256(bytes(64 << 20)).hexdigest()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"files": {"/nowhere/x": "/x"}}, "files has /nowhere/x, which is not there"),
        ({"files": {"/etc": "/x"}}, "files has /etc, which is a folder"),
        ({"requirements": "/nowhere/uv.lock"}, "requirements has /nowhere/uv.lock, which is not there"),
        ({"flow_operator_version": "0.0.1"}, "flow_operator_version is 0.0.1, and this is"),
    ],
)
def test_what_cannot_be_packed(tmp_path: Path, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(StorageError, match=re.escape(words)) as caught:
        request(tmp_path, **arguments)
    assert caught.value.remedy


def test_every_answer_of_a_cluster_has_a_remedy() -> None:
    def leaves(kind: type[kube.KubeError]) -> list[type[kube.KubeError]]:
        return [kind, *(each for sub in kind.__subclasses__() for each in leaves(sub))]

    for kind in leaves(kube.KubeError)[1:]:
        assert any(issubclass(kind, known) for known, _ in border.REMEDIES), kind
