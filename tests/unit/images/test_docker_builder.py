"""The Docker builder, against an engine in memory: what it asks for, in which order, and what failures become."""

from __future__ import annotations

import hashlib
import json
import ssl
from typing import TYPE_CHECKING, Any, Protocol, cast

import docker.errors
import httpx
import pytest
import requests

from flow_operator.images.clients import Clients
from flow_operator.images.credentials import Keychain
from flow_operator.images.docker_builder import DockerBuilder
from flow_operator.images.errors import BuildError
from flow_operator.images.retries import Retries
from tests.support.fake_engine import (
    BUILT_ID,
    PUSHED,
    PYTHON,
    Container,
    FakeEngine,
    an_image,
    api_error,
    failed,
    report,
    step,
)
from tests.unit.images.conftest import RUNTIME

if TYPE_CHECKING:
    from pathlib import Path

    from flow_operator.api.wire import BuildReport, BuildRequest

CODE = b"print(1)\n"
CHECKED = Container(out=report(flow={"name": "squares"}))
PINS = " ".join(f"{name}=={version}" for name, version in RUNTIME.items())


class Build(Protocol):
    """Builds with changes to an ordinary request; None leaves a key out."""

    def __call__(self, transport: httpx.BaseTransport | None = None, **changes: Any) -> BuildReport: ...


@pytest.fixture
def engine() -> FakeEngine:
    base = an_image(Labels={"flow-operator.io/runtime": PINS})
    return FakeEngine({"registry.test/base:3.11": base}, containers=[PYTHON, CHECKED])


@pytest.fixture
def said() -> list[str]:
    return []


def has_pushed(request: httpx.Request) -> httpx.Response:
    if request.url.path.endswith("/manifests/v1"):
        return httpx.Response(200, headers={"Docker-Content-Digest": PUSHED})
    return httpx.Response(200)


@pytest.fixture
def build(engine: FakeEngine, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:secret@index.test/simple")
    source = tmp_path / "flow.py"
    source.write_bytes(CODE)

    def run(transport: httpx.BaseTransport | None = None, **changes: Any) -> BuildReport:
        request: dict[str, Any] = {
            "builder": "Docker",
            "baseImage": "registry.test/base:3.11",
            "repository": "registry.test/team/squares",
            "tag": "v1",
            "files": [{"path": "/flows/flow.py", "source": str(source), "sha256": hashlib.sha256(CODE).hexdigest()}],
            "flows": [{"location": "/flows/flow.py", "attribute": "squares"}],
            **changes,
        }
        builder = DockerBuilder(
            client=engine,
            keychain=Keychain({"auths": {"registry.test": {"auth": "cm9ib3Q6aHVudGVyMg=="}}}),
            retries=Retries(attempts=2, sleep=lambda _: None),
            clients=Clients(transport or httpx.MockTransport(has_pushed)),
            progress=said.append,
        )
        return builder.build(cast("BuildRequest", {key: value for key, value in request.items() if value is not None}))

    return run


def error_of(build: Build, **changes: Any) -> BuildError:
    with pytest.raises(BuildError) as caught:
        build(**changes)
    assert "secret" not in caught.value.message
    return caught.value


def test_pull_build_check_tag_push_compare_and_forget(build: Build, engine: FakeEngine) -> None:
    done = build()
    assert (done["image"], done["digest"]) == (f"registry.test/team/squares@{PUSHED}", PUSHED)
    assert done["base"] == "registry.test/base@sha256:" + "e" * 64
    [pull, *_] = engine.credentials
    assert pull == {"username": "robot", "password": "hunter2"}
    order = [one for one in engine.asked if one.partition(" ")[0] in ("pull", "build", "tag", "push", "remove")]
    assert [one for one in order if not one.startswith("remove container")] == [
        "pull registry.test/base:3.11",
        "build",
        "tag registry.test/team/squares:v1",
        "push registry.test/team/squares:v1",
        "remove registry.test/team/squares:v1",
    ]
    assert engine.asked.index("tag registry.test/team/squares:v1") > engine.asked.index("create sha256:ccc")


def test_the_check_runs_as_our_pods_do(build: Build, engine: FakeEngine) -> None:
    build(python="3.11")
    check = engine.created[-1]
    assert check["user"] == "65532:65532"
    assert check["host_config"]["read_only"]
    assert check["host_config"]["cap_drop"] == ["ALL"]
    request = json.loads(check["environment"]["FLOW_OPERATOR_CHECK"])
    assert request == {"flow": {"location": "/flows/flow.py", "attribute": "squares"}, "flows": [], "python": "3.11"}


def test_without_commands_and_packages_no_command_runs_in_the_build(build: Build, engine: FakeEngine) -> None:
    build()
    [one] = engine.builds
    assert "RUN" not in one.dockerfile
    assert set(one.files) == {"Dockerfile", "code.tar", "tools/install.py"}


def test_commands_come_before_everything_and_see_no_password(build: Build, engine: FakeEngine) -> None:
    build(extraCommands=["apt-get install -y gcc", "  "], pythonDependencies=["pandas==3.0"])
    before, after = engine.builds
    assert before.dockerfile.count("RUN") == 3
    assert "PIP_INDEX_URL" not in before.arguments  # that stage is kept, and its history is in the image
    assert after.arguments["PIP_INDEX_URL"] == "https://user:secret@index.test/simple"
    assert after.files["packages/requirements.txt"] == b"pandas==3.0\n"
    assert after.files["packages/constraints.txt"].splitlines() == [
        b"cloudpickle==3.1.2",
        b"dask==2026.8.0",
        b"distributed==2026.8.0",
    ]
    assert "COPY --from=dependencies /opt/flow-operator/deps /opt/flow-operator/deps" in after.dockerfile


def test_unpinned_packages_are_looked_up_at_each_build(build: Build, engine: FakeEngine) -> None:
    for requirement in ("pandas>=3", "pandas>=3", "pandas==3.0", "pandas==3.0"):
        engine.created.clear()
        build(pythonDependencies=[requirement])
    salts = [one.arguments["FLOW_OPERATOR_SALT"] for one in engine.builds]
    assert len(set(salts)) == 3
    assert salts[2:] == ["", ""]


def test_a_lock_is_what_is_installed(build: Build, engine: FakeEngine, tmp_path: Path) -> None:
    text = f"dask==2026.8.0 --hash=sha256:{'1' * 64}\nsample==1.0 --hash=sha256:{'2' * 64}\n"
    (tmp_path / "lock").write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    done = build(lock={"path": "requirements.txt", "source": str(tmp_path / "lock"), "sha256": digest})
    [one] = engine.builds
    assert one.files["packages/requirements.txt"].decode() == f"sample==1.0 --hash=sha256:{'2' * 64}\n"
    assert json.loads(one.files["packages/install.json"])["hashes"] is True
    assert done["lock"].startswith("sha256:")
    assert 'flow-operator.io/lock="${' in one.dockerfile


def test_a_base_without_the_runtime_gets_it(build: Build, engine: FakeEngine) -> None:
    engine.images["registry.test/base:3.11"] = an_image()
    build()
    runtime, one = engine.builds
    assert "ADD runtime.tar.gz /" in runtime.dockerfile
    assert "FROM scratch\nCOPY --from=compiled /opt/flow-operator/lib" in runtime.dockerfile
    assert len(runtime.files["runtime.tar.gz"]) > 10_000
    [name] = [tag.partition(" ")[2] for tag in engine.asked if tag.startswith("tag flow-operator-runtime:")]
    assert f"COPY --from={name} /opt/flow-operator/lib /opt/flow-operator/lib" in one.dockerfile
    assert PINS.split()[0] in next(value for value in one.arguments.values() if "cloudpickle==" in value)
    engine.created.clear()
    build()
    assert len(engine.builds) == 3  # the engine has the runtime


def test_the_base_keeps_its_user_and_its_shell(build: Build, engine: FakeEngine) -> None:
    engine.images["registry.test/base:3.11"] = an_image(
        User="app$x", Shell=["/bin/bash", "-c"], Labels={"flow-operator.io/runtime": PINS}
    )
    build(extraCommands=["true"])
    lines = engine.builds[0].dockerfile.splitlines()
    assert lines[1] == "USER 0"
    assert lines[-1] == 'USER "app\\$x"'
    assert 'RUN ["/bin/bash", "-c", "true"]' in lines


def test_a_local_base_is_not_pulled(build: Build, engine: FakeEngine) -> None:
    build(localImage=True)
    assert not [one for one in engine.asked if one.startswith("pull")]
    error = error_of(build, localImage=True, baseImage="nothing:here")
    assert (error.reason, error.message.split(" has ")[1]) == (
        "BaseImageNotFound",
        "no image docker.io/library/nothing:here.",
    )


def test_a_name_without_a_host_is_of_docker_hub(build: Build, engine: FakeEngine) -> None:
    asked: list[str] = []

    def hub(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return has_pushed(request)

    done = build(httpx.MockTransport(hub), repository="alice/squares")
    assert (done["image"], done["digest"]) == (f"alice/squares@{PUSHED}", PUSHED)
    assert "push alice/squares:v1" in engine.asked
    assert any(url.endswith("docker.io/v2/alice/squares/manifests/v1") for url in asked)


def test_push_false_leaves_the_image(build: Build, engine: FakeEngine, said: list[str]) -> None:
    done = build(push=False, repository="squares")
    assert (done["image"], done["digest"]) == ("squares:v1", BUILT_ID)
    assert not [one for one in engine.asked if one.startswith(("push", "remove squares"))]
    assert any(line.startswith("squares:v1 stays in the engine") for line in said)


def test_another_python_is_a_warning(build: Build, said: list[str]) -> None:
    build(python="3.12")
    assert [line for line in said if line.startswith("Warning")] == [
        "Warning: registry.test/base:3.11 has Python 3.11, and the flow was written with 3.12."
    ]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Container(code=1, err="no"), "BaseImageHasNoPython"),
        (Container(out='["3.9.1", "glibc"]'), "BaseImageHasNoPython"),
        (api_error(400, 'exec: "python3": executable file not found in $PATH'), "BaseImageHasNoPython"),
        (api_error(500, "no space left on device"), "EngineDiskFull"),
    ],
)
def test_a_base_that_cannot_be_used(build: Build, engine: FakeEngine, answer: Any, reason: str) -> None:
    engine.containers[0] = answer
    assert error_of(build).reason == reason
    assert "remove container" in engine.asked


@pytest.mark.parametrize(
    ("check", "reason", "words"),
    [
        (
            Container(code=1, out=report(reason="ImportFailed", message="no module pandas", remedy="Add it.")),
            "ImportFailed",
            "no module pandas",
        ),
        (Container(code=1, err="Traceback\nValueError: x"), "FlowCheckFailed", "ValueError: x"),
        (Container(code=137), "EngineOutOfMemory", "memory"),
        (Container(code=1, killed_for_memory=True), "EngineOutOfMemory", "memory"),
        (Container(wait_error=requests.ReadTimeout("Read timed out.")), "FlowCheckFailed", "within 300 s"),
    ],
)
def test_a_check_that_fails_ends_the_build_before_the_tag(
    build: Build, engine: FakeEngine, check: Container, reason: str, words: str
) -> None:
    engine.containers[1] = check
    error = error_of(build)
    assert error.reason == reason
    assert words in error.message
    assert not [one for one in engine.asked if one.startswith(("tag", "push"))]


COMMAND = 'RUN ["/bin/sh", "-c", "apt-get install nosuch"]'


@pytest.mark.parametrize(
    ("lines", "reason", "words"),
    [
        (
            [*step(5, COMMAND, "E: Unable to locate package nosuch"), failed("returned a non-zero code: 100", 100)],
            "ImageBuildFailed",
            "extraCommands: 'apt-get install nosuch' failed with exit code 100: E: Unable to locate package nosuch",
        ),
        ([*step(5, COMMAND), failed("non-zero code: 137", 137)], "EngineOutOfMemory", "exit code 137"),
        ([*step(2, "COPY"), failed("write /x: no space left on device")], "EngineDiskFull", "no space left"),
        ([*step(5, COMMAND, "write error: No space left on device"), failed("x", 1)], "EngineDiskFull", "No space"),
        ([*step(4, "RUN"), failed("non-zero", 2)], "ImageBuildFailed", "Step pip failed with exit code 2"),
        ([failed("dockerfile parse error"), {"stream": ""}], "ImageBuildFailed", "dockerfile parse error"),
        ([{"stream": "hm\n"}], "ImageBuildFailed", "ended without an image"),
    ],
)
def test_a_step_that_fails_is_named(
    build: Build, engine: FakeEngine, lines: list[Any], reason: str, words: str
) -> None:
    engine.build_lines = lines
    error = error_of(build, extraCommands=["apt-get install nosuch"])
    assert error.reason == reason
    assert words in error.message
    assert not [one for one in engine.asked if one.startswith(("tag", "push"))]


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (["ERROR: No matching distribution found for nosuch"], "DependencyNotFound"),
        (["ERROR: Cannot install a: these package versions have conflicting dependencies."], "DependencyConflict"),
        (["Failed to establish a new connection", "ERROR: No matching distribution found"], "IndexUnreachable"),
        (["ERROR: Failed building wheel for x"], "DependencyFailed"),
        (["flow-operator: this image's Python has no pip"], "BaseImageHasNoPython"),
        (["OSError: [Errno 28] No space left on device"], "EngineDiskFull"),
    ],
)  # fmt: skip
def test_what_pip_says_has_the_reasons_of_uv(build: Build, engine: FakeEngine, output: list[str], reason: str) -> None:
    engine.build_lines = [*step(7, "RUN install", *output), failed("returned a non-zero code: 1", 1)]
    assert error_of(build, pythonDependencies=["nosuch"]).reason == reason


def test_a_conflict_with_the_runtime_is_said_before_anything_is_built(build: Build, engine: FakeEngine) -> None:
    assert error_of(build, pythonDependencies=["dask==1.0"]).reason == "DependencyConflict"
    assert not engine.builds


PULLS = [
    ("manifest for registry.test/base:3.11 not found: manifest unknown", "BaseImageNotFound", False),
    ("no matching manifest for linux/arm64 in the manifest list entries", "BaseImageNotFound", False),
    ("pull access denied for x, repository does not exist or may require 'docker login'", "BaseImageNotFound", False),
    ("unauthorized: authentication required", "RegistryUnauthorized", False),
    ("denied: requested access to the resource is denied", "RegistryForbidden", False),
    ("toomanyrequests: You have reached your pull rate limit", "RegistryRateLimited", True),
    ("Get http://registry.test/v2/: dial tcp 1.2.3.4: connect: connection refused", "RegistryUnreachable", True),
    ("x509: certificate signed by unknown authority", "RegistryUnreachable", False),
    ("http: server gave HTTP response to HTTPS client", "RegistryUnreachable", False),
    ("write /var/lib/docker/x: no space left on device", "EngineDiskFull", True),
    ("received unexpected HTTP status: 500 Internal Server Error", "RegistryFailed", True),
]


@pytest.mark.parametrize(("words", "reason", "retryable"), PULLS)
@pytest.mark.parametrize("how", ["answer", "stream"])
@pytest.mark.parametrize("what", ["pull", "push"])
def test_what_a_registry_says_to_the_engine_is_in_the_error(
    build: Build, engine: FakeEngine, what: str, how: str, words: str, reason: str, retryable: bool
) -> None:
    if how == "answer":
        engine.errors[what] = api_error(500, words)
    else:
        setattr(engine, f"{what}_lines", [{"status": "Waiting"}, failed(words), {"status": "Over"}])
    error = error_of(build)
    assert (error.reason, error.retryable) == (reason, retryable)
    assert words in error.message
    tries = [one for one in engine.asked if one.startswith(f"{what} ")]
    assert len(tries) == (2 if reason.startswith("Registry") and retryable else 1)


def test_a_push_whose_digest_the_registry_does_not_have_is_none(build: Build) -> None:
    nothing = httpx.MockTransport(lambda _: httpx.Response(404))
    assert error_of(build, transport=nothing).reason == "TagLost"


def test_a_registry_that_only_the_engine_reaches_is_not_asked(build: Build, said: list[str]) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    assert build(transport=httpx.MockTransport(refuse))["digest"] == PUSHED
    assert any("could not be looked up from here" in line for line in said)


def test_a_push_without_a_digest_is_none(build: Build, engine: FakeEngine) -> None:
    engine.push_lines = [{"status": "v1: pushed"}]
    assert error_of(build).reason == "EngineFailed"


def test_a_name_that_another_build_has_taken(build: Build, engine: FakeEngine) -> None:
    engine.taken = {"registry.test/team/squares:v1": "sha256:other"}
    error = error_of(build)
    assert (error.reason, error.retryable) == ("EngineFailed", True)
    assert "Another build has taken the name" in error.message


def test_what_went_is_counted(build: Build, engine: FakeEngine) -> None:
    sending = {"status": "Pushing", "id": "a", "progressDetail": {"current": 5, "total": 10}}
    kept = {"status": "Layer already exists", "id": "b"}
    engine.push_lines = [sending, {"status": "Pushed", "id": "a"}, kept, {"aux": {"Digest": PUSHED}}]
    assert build()["uploadedBytes"] == 10


def test_a_copy_that_cannot_be_removed_is_no_failure(build: Build, engine: FakeEngine, said: list[str]) -> None:
    engine.errors["remove"] = api_error(409, "image is being used by running container")
    assert build()["digest"] == PUSHED
    assert any("is still in the engine" in line for line in said)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"extraCommands": "apt-get"}, "extraCommands"),
        ({"extraCommands": [1]}, "extraCommands"),
        ({"env": {"A B": "x"}}, "'A B'"),
        ({"annotations": {'a"b': "x"}}, "annotations"),
        ({"env": {"A": "x" * 300_000}}, "256 KiB"),
    ],
)
def test_a_request_it_cannot_build(build: Build, engine: FakeEngine, changes: dict[str, Any], words: str) -> None:
    error = error_of(build, **changes)
    assert error.reason == "BadRequest"
    assert words in error.message
    assert not engine.asked


def test_the_platform_is_asked_for_and_checked(build: Build, engine: FakeEngine) -> None:
    build(architecture="amd64")
    assert engine.builds[0].platform == "linux/amd64"
    assert "for amd64, not for arm64" in error_of(build, architecture="arm64").message


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (requests.ConnectionError("x", ConnectionRefusedError(111, "Connection refused")), "EngineUnreachable"),
        (requests.ConnectTimeout("x"), "EngineUnreachable"),
        (requests.exceptions.SSLError(ssl.SSLCertVerificationError("self-signed")), "EngineTLSFailed"),
        (requests.ConnectionError("aborted", ssl.SSLError("TLSV13_ALERT_CERTIFICATE_REQUIRED")), "EngineTLSFailed"),
        (docker.errors.TLSParameterError("x"), "EngineTLSFailed"),
        (api_error(403, "not allowed by the authorization plug-in"), "EngineUnreachable"),
        (api_error(500, "panic"), "EngineFailed"),
    ],
)
def test_an_engine_that_is_not_there(build: Build, engine: FakeEngine, error: Exception, reason: str) -> None:
    engine.errors["version"] = error
    assert error_of(build, engine={"url": "tcp://engine.test:2376"}).reason == reason
    assert "engine.test" in error_of(build, engine={"url": "tcp://engine.test:2376"}).message


@pytest.mark.parametrize("about", [{}, {"ApiVersion": "1.41", "Os": "windows"}])
def test_an_engine_that_is_none_of_ours(build: Build, engine: FakeEngine, about: dict[str, Any]) -> None:
    engine.about = about
    assert error_of(build).reason == "EngineUnreachable"


def test_certificates_that_are_not_there(build: Build, tmp_path: Path) -> None:
    error = error_of(build, engine={"url": "tcp://engine.test:2376", "tls": str(tmp_path)})
    assert error.reason == "EngineTLSFailed"
    assert error.message == f"{tmp_path} has no ca.pem for the Docker engine."
