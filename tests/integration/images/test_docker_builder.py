"""The Docker builder on a real engine and docker's own registry. `make cluster` brings both, and a base with Python.

The first test builds on a plain Python image and with packages of the public index; the others on what it made.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest

from flow_operator.images import build_image
from flow_operator.images.credentials import Keychain
from flow_operator.images.docker_builder import DockerBuilder
from flow_operator.images.errors import BuildError
from flow_operator.images.retries import Retries
from tests.support.engine import EngineFront
from tests.support.registry import DOCKER_MANIFEST, OCI_MANIFEST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flow_operator.api.wire import BuildReport, BuildRequest

# Of the test cluster: what an earlier run pushed is there, so little is sent.
REGISTRY = "localhost:5001"
PYTHON = f"{REGISTRY}/python:3.11-slim"
LOCK = Path(__file__).parents[3] / "requirements" / "runtime.lock"
CODE = """\
from flow_operator import flow


@flow
def squares(n: int = 3):
    return n * n
"""
NASTY = {
    "BLANKS": "  two  blanks ",
    "QUOTES": 'it\'s "quoted" `twice`',
    "DOLLARS": "$HOME ${PATH} $(id) \\$x $$",
    "LINES": "one\ntwo\n",
    "COMMENT": "# none",
    "BACKSLASH": "end\\",
    "NOTHING": "",
    "LETTERS": "ü😀",
}
COMMAND = "printf '%s' \"it's $((6 * 7)) # no comment\" > /etc/made\necho '<<EOF' >> /etc/made"
# What a pod of the image would see.
LOOK = """\
import importlib.metadata, json, os, pathlib
made = pathlib.Path("/etc/made")
print(json.dumps({
    "env": dict(os.environ),
    "made": made.read_text() if made.exists() else "",
    "modes": {path: oct(os.stat(path).st_mode & 0o777) for path in FILES},
    "idna": importlib.metadata.version("idna"),
    "build": os.path.exists("/opt/flow-operator/build"),
}))
"""
ODD_NAME = "/data/it's a $HOME #1.txt"


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOW_OPERATOR_RUNTIME_LOCK", str(LOCK))


@pytest.fixture(scope="module")
def name() -> Iterator[str]:
    """A name for images that stay in the engine, until the module ends."""
    name = f"flow-operator-test-{uuid.uuid4().hex[:8]}"
    yield name
    names = [option for pattern in (name, f"{name}/*") for option in ("--filter", f"reference={pattern}")]
    left = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", *names).split()
    if left:
        docker("rmi", "--no-prune", *left)


@pytest.fixture
def pushed(name: str) -> Iterator[str]:
    """A repository of the cluster's registry, forgotten after the test."""
    repository = f"test/docker-builder/{name}"
    yield repository
    for tag in ("v1", "upon", "again"):
        digest = tag_of(repository, tag)
        if digest:
            httpx.delete(f"http://{REGISTRY}/v2/{repository}/manifests/{digest}")


@pytest.fixture(scope="module")
def runtime(name: str) -> str:
    """An image with Python and the runtime, in the engine only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLOW_OPERATOR_RUNTIME_LOCK", str(LOCK))
        return build_image(
            {"builder": "Docker", "baseImage": PYTHON, "repository": f"{name}/runtime", "tag": "1", "push": False}
        )["image"]


def request_for(work: Path, repository: str, *, code: str = CODE, **changes: Any) -> BuildRequest:
    source = work / "flow.py"
    source.write_text(code)
    file = {"path": "/flows/flow.py", "source": str(source), "sha256": hashlib.sha256(code.encode()).hexdigest()}
    request = {
        "builder": "Docker",
        "baseImage": PYTHON,
        "repository": repository,
        "tag": "v1",
        "push": "/" in repository,  # a name alone is for the engine
        "files": [file],
        "flows": [{"location": "/flows/flow.py", "attribute": "squares"}],
        **changes,
    }
    return cast("BuildRequest", request)


def refused(request: BuildRequest) -> BuildError:
    with pytest.raises(BuildError) as caught:
        DockerBuilder(retries=Retries(attempts=1)).build(request)
    return caught.value


def tag_of(name: str, tag: str = "v1") -> str:
    url = f"http://{REGISTRY}/v2/{name}/manifests/{tag}"
    answer = httpx.head(url, headers={"Accept": f"{DOCKER_MANIFEST}, {OCI_MANIFEST}"})
    return str(answer.headers.get("Docker-Content-Digest", ""))


def as_a_pod(image: str, *command: str) -> dict[str, Any]:
    """The JSON that a command prints in an image that runs as our pods run."""
    options = ["--rm", "--read-only", "--user=65532:65532", "--cap-drop=ALL", "--tmpfs=/tmp"]
    document: dict[str, Any] = json.loads(docker("run", *options, image, "python3", "-c", *command).splitlines()[-1])
    return document


def test_commands_packages_files_and_values_arrive_as_they_were(pushed: str, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x")
    changes: dict[str, Any] = {"extraCommands": [COMMAND, "pip --version"], "pythonDependencies": ["idna==3.10"]}
    request = request_for(tmp_path, f"{REGISTRY}/{pushed}", env=NASTY, **changes)
    more = {"path": ODD_NAME, "source": str(tmp_path / "data"), "sha256": hashlib.sha256(b"x").hexdigest()}
    request["files"] = [*request["files"], cast("Any", more)]
    report = build_image(request)
    assert report["image"] == f"{REGISTRY}/{pushed}@{tag_of(pushed)}"
    assert not docker("image", "ls", "-q", f"{REGISTRY}/{pushed}:v1")  # the local copy is gone
    seen = as_a_pod(report["image"], f"FILES = {[ODD_NAME, '/flows/flow.py']!r}\n{LOOK}")
    assert {key: seen["env"][key] for key in NASTY} == NASTY
    assert seen["made"] == "it's 42 # no comment<<EOF\n"
    assert seen["modes"] == {ODD_NAME: "0o444", "/flows/flow.py": "0o444"}
    assert (seen["idna"], seen["build"]) == ("3.10", False)
    labels = json.loads(docker("image", "inspect", "-f", "{{json .Config.Labels}}", report["image"]))
    assert labels["flow-operator.io/python"].startswith("3.11.")
    assert "dask==" in labels["flow-operator.io/runtime"]
    _is_a_base_for_layers(pushed, tmp_path, report)


def _is_a_base_for_layers(pushed: str, work: Path, report: BuildReport) -> None:
    """An image of either builder is one for the other."""
    repository = f"{REGISTRY}/{pushed}"
    upon = build_image(request_for(work, repository, tag="upon", baseImage=report["image"], builder="Layers"))
    assert [layer["kind"] for layer in upon["layers"]] == ["code"]
    again = build_image(request_for(work, repository, tag="again", baseImage=upon["image"]))
    assert again["digest"] == tag_of(pushed, "again")
    for each in (report, upon):
        docker("rmi", "-f", each["image"])


def test_a_flow_that_cannot_be_loaded_ends_the_build_and_the_tag_stays(
    pushed: str, runtime: str, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"baseImage": runtime, "localImage": True}
    before = build_image(request_for(tmp_path, f"{REGISTRY}/{pushed}", **changes))
    broken = "import nothing_of_the_kind\n"
    error = refused(request_for(tmp_path, f"{REGISTRY}/{pushed}", code=broken, **changes))
    assert error.reason == "ImportFailed"
    assert "nothing_of_the_kind" in error.message
    assert tag_of(pushed) == before["digest"]


def test_a_command_that_fails_is_named_with_its_words(runtime: str, name: str, tmp_path: Path) -> None:
    command = "echo 'cannot find it' >&2; exit 3"
    error = refused(request_for(tmp_path, name, baseImage=runtime, localImage=True, extraCommands=[command]))
    assert error.reason == "ImageBuildFailed"
    assert f"{command!r} failed with exit code 3: cannot find it" in error.message


def test_a_package_that_is_not_there(runtime: str, name: str, tmp_path: Path) -> None:
    wanted = ["no-such-package-anywhere==1"]
    error = refused(request_for(tmp_path, name, baseImage=runtime, localImage=True, pythonDependencies=wanted))
    assert error.reason == "DependencyNotFound"
    assert "no-such-package-anywhere" in error.message


def test_a_lock_with_a_wrong_hash(runtime: str, name: str, tmp_path: Path) -> None:
    text = f"idna==3.10 --hash=sha256:{'0' * 64}\n"
    (tmp_path / "lock").write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    lock = {"path": "requirements.txt", "source": str(tmp_path / "lock"), "sha256": digest}
    error = refused(request_for(tmp_path, name, baseImage=runtime, localImage=True, lock=lock))
    assert error.reason == "DependencyHashMismatch"


def test_a_base_that_is_not_there_or_has_no_python(name: str, tmp_path: Path) -> None:
    error = refused(request_for(tmp_path, name, baseImage=f"{REGISTRY}/no/such:base"))
    assert error.reason == "BaseImageNotFound"
    assert f"{REGISTRY}/no/such:base" in error.message
    (tmp_path / "empty.tar").write_bytes(b"\0" * 10240)
    docker("import", str(tmp_path / "empty.tar"), f"{name}/empty:1")
    error = refused(request_for(tmp_path, name, baseImage=f"{name}/empty:1", localImage=True))
    assert error.reason == "BaseImageHasNoPython"


def test_another_python_than_the_authors_is_a_warning(runtime: str, name: str, tmp_path: Path) -> None:
    said: list[str] = []
    request = request_for(tmp_path, name, baseImage=runtime, localImage=True, python="3.13")
    report = build_image(request, progress=said.append)
    assert report["image"] == f"{name}:v1"
    assert report["digest"] == docker("image", "inspect", "-f", "{{.Id}}", f"{name}:v1")
    (warning,) = [line for line in said if line.startswith("Warning")]
    assert "has Python 3.11, and the flow was written with 3.13" in warning


def test_a_push_that_is_refused(runtime: str, tmp_path: Path) -> None:
    error = refused(request_for(tmp_path, "127.0.0.1:9/team/x", baseImage=runtime, localImage=True))
    docker("rmi", "127.0.0.1:9/team/x:v1")
    assert error.reason == "RegistryUnreachable"
    assert "connection refused" in error.message


def test_the_engine_logs_in_with_our_credential(tmp_path: Path, start_registry: Callable[..., str]) -> None:
    guarded = start_registry(auth=True)
    request = request_for(tmp_path, f"{guarded}/team/x", baseImage=f"{guarded}/base:1")
    assert refused(request).reason == "RegistryUnauthorized"
    keychain = Keychain({"auths": {guarded: {"username": "robot", "password": "hunter2"}}})
    with pytest.raises(BuildError) as caught:
        build_image(request, keychain=keychain)
    assert caught.value.reason == "BaseImageNotFound"  # it was let in, and the registry is empty


def test_an_engine_elsewhere(runtime: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = request_for(tmp_path, name, baseImage=runtime, localImage=True, tag="elsewhere")
    with EngineFront(tmp_path / "tls") as front:
        here = {"url": front.url, "tls": str(front.client)}
        assert build_image({**request, "engine": cast("Any", here)})["image"] == f"{name}:elsewhere"
        monkeypatch.setenv("DOCKER_HOST", front.url)
        monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
        monkeypatch.setenv("DOCKER_CERT_PATH", str(front.stranger()))
        assert refused(request).reason == "EngineTLSFailed"
        front.stop()
        error = refused(request)
        assert error.reason == "EngineUnreachable"
        assert front.url in error.message
