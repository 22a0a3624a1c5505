"""References, endpoints, credentials, requirements, requests: text in, values out."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from flow_operator.images.credentials import Keychain, keychain_from, keychain_of_secret
from flow_operator.images.endpoints import endpoint_of, trust_of
from flow_operator.images.errors import (
    BadRequestError,
    DependencyHasNoWheelError,
    InvalidReferenceError,
    PushSecretMalformedError,
    PushSecretMissingError,
)
from flow_operator.images.image import environment
from flow_operator.images.reference import parse_reference
from flow_operator.images.request import checked, request_from
from flow_operator.images.requirements import all_pinned, parse_lock, parse_requirements
from flow_operator.images.select import build_image
from flow_operator.images.uv import Target

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flow_operator.api.wire import BuildRequest

DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("python", ("docker.io", "library/python", "", "")),
        ("python:3.12-slim", ("docker.io", "library/python", "3.12-slim", "")),
        ("daskdev/dask", ("docker.io", "daskdev/dask", "", "")),
        ("index.docker.io/python", ("docker.io", "library/python", "", "")),
        ("localhost/x", ("localhost", "x", "", "")),
        ("localhost:5001/team/x:1", ("localhost:5001", "team/x", "1", "")),
        ("registry.test/x:1@" + DIGEST, ("registry.test", "x", "1", DIGEST)),
        ("[::1]:5000/x", ("[::1]:5000", "x", "", "")),
    ],
)
def test_references(text: str, parts: tuple[str, ...]) -> None:
    one = parse_reference(text)
    assert (one.registry, one.repository, one.tag, one.digest) == parts
    assert parse_reference(str(one)) == one


@pytest.mark.parametrize(
    "text",
    ["", "Python", "x:", "x@", "x@sha256:abc", "registry.test/", "a//b", "x:-t", "http://a.test/x", "x y", "a/" * 200],
)  # fmt: skip
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(InvalidReferenceError):
        parse_reference(text)


@pytest.mark.parametrize(
    ("registry", "url"),
    [
        ("docker.io", "https://registry-1.docker.io"),
        ("registry.test", "https://registry.test"),
        ("localhost:5001", "http://localhost:5001"),
        ("127.0.0.1:5001", "http://127.0.0.1:5001"),
        ("mapped.test", "http://inner:5000"),
        ("localhost:9999", "https://inner:5000/prefix"),
    ],
)
def test_endpoints(registry: str, url: str) -> None:
    written = {
        "mapped.test": {"endpoint": "http://inner:5000/"},
        "localhost:9999": {"endpoint": "https://inner:5000/prefix"},
    }
    assert endpoint_of(registry, written) == url  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["inner:5000", "ftp://inner", "https://user:secret@inner", "https://inner?x=secret", 7])
def test_what_is_no_endpoint(url: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        endpoint_of("registry.test", {"registry.test": {"endpoint": url}})
    assert "secret" not in caught.value.message


def test_credentials_are_found_by_name(tmp_path: Path) -> None:
    auth = base64.b64encode(b"robot:a:b").decode()
    config = {"auths": {"registry.test": {"auth": auth}, "https://index.docker.io/v1/": {"identitytoken": "t"}}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    keychain = keychain_from({"DOCKER_CONFIG": str(tmp_path)})
    found, hub = keychain.find("registry.test"), keychain.find("docker.io")
    assert found
    assert (found.username, found.password) == ("robot", "a:b")
    assert hub
    assert hub.identity_token == "t"
    assert keychain.find("other.test") is None
    assert "a:b" not in repr(found)


@pytest.mark.parametrize(
    ("written", "registry"),
    [
        ("https://registry.test/v2/", "registry.test"),
        ("http://registry.test", "registry.test"),
        ("registry.test/", "registry.test"),
        ("registry.test:5000/v1/", "registry.test:5000"),
        ("https://index.docker.io/v1", "docker.io"),
        ("https://docker.io", "docker.io"),
    ],
)
def test_a_name_with_scheme_and_path_is_that_of_its_host(written: str, registry: str) -> None:
    entry = {"username": "robot", "password": "p"}
    assert Keychain({"auths": {written: entry}}).find(registry)
    assert Keychain({"auths": {written: entry}}).find("registry.test.example.com") is None
    exact = Keychain({"auths": {written: entry, registry: {"username": "exact", "password": "p"}}}).find(registry)
    assert exact
    assert exact.username == "exact"


def test_a_broken_or_missing_docker_config(tmp_path: Path) -> None:
    assert keychain_from({"HOME": str(tmp_path)}).find("registry.test") is None
    (tmp_path / "config.json").write_text("not json")
    with pytest.raises(PushSecretMalformedError):
        keychain_from({"DOCKER_CONFIG": str(tmp_path)})


def secret(folder: Path, **keys: str) -> Path:
    """A Secret as a kubelet mounts it: links through a hidden folder."""
    (folder / "..data").mkdir()
    for key, text in keys.items():
        (folder / "..data" / key).write_text(text)
        (folder / key).symlink_to(folder / "..data" / key)
    return folder


def test_a_push_secret_that_is_there(tmp_path: Path) -> None:
    config = {"auths": {"registry.test": {"username": "robot", "password": "p"}}}
    found = keychain_of_secret("push", secret(tmp_path, **{".dockerconfigjson": json.dumps(config)})).find(
        "registry.test"
    )
    assert found
    assert found.username == "robot"


def test_a_push_secret_that_is_not_there_is_named(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "not-mounted"):
        with pytest.raises(PushSecretMissingError, match="no Secret 'push' in this namespace"):
            keychain_of_secret("push", folder)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"username": "robot", "password": "hunter2"}, r"has no key \.dockerconfigjson; it has: password, username"),
        ({".dockerconfigjson": "not json hunter2"}, "not JSON"),
        ({".dockerconfigjson": "[]"}, "`auths` must be an object"),
        ({".dockerconfigjson": '{"auths": []}'}, "`auths` must be an object"),
        ({".dockerconfigjson": '{"auths": {}, "credHelpers": null}'}, "`credHelpers` must be an object"),
        ({".dockerconfigjson": '{"auths": {"registry.test": "hunter2"}}'}, "is no object"),
        ({".dockerconfigjson": '{"auths": {"registry.test": {"auth": "%%%hunter2"}}}'}, "not base64"),
        ({".dockerconfigjson": '{"auths": {"registry.test": {"auth": "aHVudGVyMg=="}}}'}, "not user:password"),
    ],
)
def test_a_malformed_push_secret_is_named_and_not_quoted(tmp_path: Path, keys: dict[str, str], words: str) -> None:
    with pytest.raises(PushSecretMalformedError, match=words) as caught:
        keychain_of_secret("push", secret(tmp_path, **keys)).find("registry.test")
    assert "'push'" in caught.value.message
    assert "hunter2" not in caught.value.message
    assert caught.value.remedy


def test_a_request_that_names_a_push_secret_is_refused_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(PushSecretMissingError):
        build_image({"baseImage": "base", "repository": "registry.test/a", "pushSecret": "push"})


def test_a_credential_helper_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = tmp_path / "docker-credential-test"
    helper.write_text('#!/bin/sh\nread name\necho "{\\"Username\\": \\"$name\\", \\"Secret\\": \\"s\\"}"\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    found = Keychain({"credHelpers": {"registry.test": "test"}}).find("registry.test")
    assert found
    assert found.username == "registry.test"
    assert Keychain({"credsStore": "missing"}).find("registry.test") is None


def test_requirements_have_one_order() -> None:
    assert parse_requirements(["pandas >= 2", " numpy==1 ", "pandas>=2", ""]) == ("numpy==1", "pandas>=2")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("-r /etc/passwd", BadRequestError),
        ("--index-url http://evil.test", BadRequestError),
        ("./local", BadRequestError),
        ("x @ file:///etc/x.whl", DependencyHasNoWheelError),
        ("x @ git+https://git.test/x", DependencyHasNoWheelError),
        ("x @ https://files.test/x.tar.gz", DependencyHasNoWheelError),
        ("x @ https://files.test/${UV_INDEX_URL}/x.whl", DependencyHasNoWheelError),
    ],
)
def test_lines_that_are_refused(line: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        parse_requirements([line])


@pytest.mark.parametrize(
    ("line", "pinned"),
    [("a==1", True), ("a===1", True), ("a==1; os_name > '3'", True), ("a==1.*", False), ("a>=1", False), ("a", False)],
)
def test_pinned_lines(line: str, pinned: bool) -> None:
    assert all_pinned([line, "b==2"]) is pinned


def test_a_lock_is_read_whatever_its_shape() -> None:
    text = "B==2 \\\n    --hash=sha256:2 \\\n  --hash=sha256:1\n  # via a\na==1 ; python_full_version < '3.12'\n"
    lock = parse_lock(text)
    assert lock.text == 'a==1; python_full_version < "3.12"\nB==2 --hash=sha256:1 --hash=sha256:2\n'
    assert parse_lock(lock.text).digest == lock.digest
    assert lock.on("3.11").versions() == {"a": "1", "b": "2"}
    assert lock.on("3.12").versions() == {"b": "2"}
    assert lock.without({"b": "2", "a": "0"}).versions() == {"a": "1"}


def test_a_target_in_the_words_of_uv() -> None:
    assert Target("3.12", "arm64", "musl").options()[-1] == "aarch64-unknown-linux-musl"


def test_the_environment_keeps_the_users_python_path() -> None:
    ours = "/opt/flow-operator/deps:/opt/flow-operator/lib"
    assert environment(["A=1", "PYTHONPATH=/app"], {"A": "2"}) == ["A=2", f"PYTHONPATH={ours}:/app"]
    assert environment([f"PYTHONPATH={ours}"], {}) == [f"PYTHONPATH={ours}"]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"baseImage": ""}, "baseImage"),
        ({"repository": None}, "repository"),
        ({"repository": "registry.test/x:1"}, "without tag"),
        ({"tag": 7}, "tag"),
        ({"pythonDependencies": "pandas"}, "pythonDependencies"),
        ({"pythonDependencies": [7]}, "pythonDependencies"),
        ({"env": {"A": 1}}, "env"),
        ({"env": {"A=B": "1"}}, "A=B"),
        ({"registries": {"a": "http://b"}}, "registries"),
        ({"files": [{"path": "/a"}]}, "lacks"),
        ({"files": [{"path": "a", "source": "", "sha256": ""}]}, "absolute"),
        ({"files": [{"path": "/flows/../etc/passwd", "source": "", "sha256": ""}]}, "absolute"),
    ],
)
def test_requests_that_are_refused(
    request_for: Callable[..., BuildRequest], overrides: dict[str, object], words: str
) -> None:
    with pytest.raises(BadRequestError, match=words):
        checked(request_for(**overrides))


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '"x"', "null"])
def test_what_is_no_request(text: str) -> None:
    with pytest.raises(BadRequestError):
        checked(request_from(text))


@pytest.mark.parametrize("written", [{"insecure": "yes"}, {"insecure": 1}, {"ca": True}])
def test_a_certificate_is_skipped_by_nothing_but_true(written: dict[str, object]) -> None:
    registries: Any = {"registry.test": {"endpoint": "https://registry.test", **written}}
    with pytest.raises(BadRequestError, match=r"registry\.test"):
        trust_of("registry.test", registries)
    assert not trust_of("other.test", registries).insecure
