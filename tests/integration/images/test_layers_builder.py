"""The builder as a program, against docker's own registry."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.support.registry import FakeRegistry
from tests.unit.images.wheels import make_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

MEGABYTE = 1_000_000
ACCEPT = {"Accept": "application/vnd.oci.image.manifest.v1+json"}


def push_base(host: str, auth: tuple[str, str] | None = None) -> None:
    """An image with a Python and the runtime's label, made in memory, pushed by hand."""
    fake = FakeRegistry()
    fake.put_image(
        "x/base", "3.11", labels={"flow-operator.io/runtime": "dask==2026.8.0"}, layers=(os.urandom(99_999),)
    )
    with httpx.Client(base_url=f"http://{host}/v2/base/", auth=auth) as client:
        for digest, data in fake.repository("x/base").blobs.items():
            location = client.post("blobs/uploads/").headers["Location"]
            put = client.put(httpx.URL(location).copy_merge_params({"digest": digest}), content=data)
            assert put.status_code == 201
        media_type, body = fake.repository("x/base").manifests["3.11"]
        assert client.put("manifests/3.11", content=body, headers={"Content-Type": media_type}).status_code == 201


def build(work: Path, request: Mapping[str, Any], **environment: str) -> dict[str, Any]:
    """The report of the program, run as the builder's pod runs it."""
    log = work / "report"
    variables = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "FLOW_OPERATOR_BUILD": json.dumps(request),
        "FLOW_OPERATOR_TERMINATION_LOG": str(log),
        "UV_OFFLINE": "1",
        "UV_FIND_LINKS": str(work),
        "UV_CACHE_DIR": str(work / "uv-cache"),
        "FLOW_OPERATOR_CACHE_DIR": str(work / "cache"),
        **environment,
    }
    done = subprocess.run([sys.executable, "-m", "flow_operator.images"], env=variables, capture_output=True, text=True)
    report: dict[str, Any] = json.loads(log.read_bytes())
    assert done.returncode == (0 if "image" in report else 1), done.stderr
    return report


def request_for(host: str, work: Path, name: str, code: bytes) -> dict[str, Any]:
    (work / "flow.py").write_bytes(code)
    file = {"path": "/flows/flow.py", "source": str(work / "flow.py"), "sha256": hashlib.sha256(code).hexdigest()}
    return {
        "baseImage": f"{host}/base:3.11",
        "repository": f"{host}/team/{name}",
        "tag": "v1",
        "files": [file],
        "pythonDependencies": ["sample"],
        "architecture": "amd64",
    }


@pytest.fixture
def work(tmp_path: Path) -> Path:
    make_wheel(tmp_path, "sample", "1.0")
    return tmp_path


def test_build_again_and_change_the_code(host: str, work: Path) -> None:
    push_base(host)
    first = build(work, request_for(host, work, "squares", b"print(1)"))
    assert [layer["kind"] for layer in first["layers"]] == ["dependencies", "code"]
    assert first["uploadedBytes"] < 50_000  # the base was mounted
    again = build(work, request_for(host, work, "squares", b"print(1)"))
    assert (again["digest"], again["uploadedBytes"]) == (first["digest"], 0)
    changed = build(work, request_for(host, work, "squares", b"print(2)"))
    assert [layer["uploaded"] for layer in changed["layers"]] == [False, True]
    url = f"http://{host}/v2/team/squares/manifests/v1"
    assert httpx.head(url, headers=ACCEPT).headers["Docker-Content-Digest"] == changed["digest"]


def test_a_long_layer_is_streamed_and_another_registry_reached(
    host: str, work: Path, start_registry: Callable[..., str]
) -> None:
    push_base(host)
    other = start_registry()
    request = {**request_for(host, work, "long", os.urandom(20 * MEGABYTE)), "repository": f"{other}/long"}
    report = build(work, request)
    assert report["uploadedBytes"] > 20 * MEGABYTE
    manifest = httpx.get(f"http://{other}/v2/long/manifests/v1", headers=ACCEPT).json()
    [base, *_, code] = manifest["layers"]
    for layer in (base, code):
        assert httpx.head(f"http://{other}/v2/long/blobs/{layer['digest']}").status_code == 200


def test_a_public_name_may_be_reached_elsewhere(host: str, work: Path) -> None:
    push_base(host)
    request = request_for("registry.test", work, "mapped", b"print(1)")
    report = build(work, {**request, "registries": {"registry.test": {"endpoint": f"http://{host}"}}})
    assert report["image"].startswith("registry.test/team/mapped@sha256:")


def test_a_password_is_needed_and_never_said(work: Path, start_registry: Callable[..., str]) -> None:
    host = start_registry(auth=True)
    push_base(host, ("robot", "hunter2"))
    request = request_for(host, work, "secret", b"print(1)")
    assert build(work, request, DOCKER_CONFIG=str(work))["reason"] == "RegistryUnauthorized"
    auth = base64.b64encode(b"robot:hunter2").decode()
    (work / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
    assert "image" in build(work, request, DOCKER_CONFIG=str(work))
    (work / "config.json").write_text(json.dumps({"auths": {host: {"username": "robot", "password": "wr0ng"}}}))
    refused = build(work, request, DOCKER_CONFIG=str(work))
    assert refused["reason"] == "RegistryUnauthorized"
    assert "wr0ng" not in json.dumps(refused)


def test_a_registry_that_is_not_there(work: Path) -> None:
    report = build(work, request_for("localhost:1", work, "nowhere", b""))
    assert (report["reason"], report["retryable"]) == ("RegistryUnreachable", True)
