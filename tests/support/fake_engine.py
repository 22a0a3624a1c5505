"""A Docker engine in memory: the SDK's low-level client, with a test's answers and a list of questions."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

import docker.errors
import requests

if TYPE_CHECKING:
    from collections.abc import Iterator

BASE_ID = "sha256:" + "b" * 64
BUILT_ID = "sha256:" + "c" * 64
PUSHED = "sha256:" + "d" * 64


def api_error(status: int, words: str) -> docker.errors.APIError:
    """What the SDK raises for an answer of the engine."""
    answer = requests.Response()
    answer.status_code = status
    kind = docker.errors.NotFound if status == 404 else docker.errors.APIError
    return kind("failed", response=answer, explanation=words)


def failed(words: str, code: int = 0) -> dict[str, Any]:
    """What a stream that ends badly says of that."""
    detail = {"message": words, "code": code} if code else {"message": words}
    return {"errorDetail": detail, "error": words}


def step(number: int, text: str, *output: str) -> list[dict[str, Any]]:
    """A step of a build, and what its command wrote."""
    return [{"stream": f"Step {number}/9 : {text}\n"}, *({"stream": f"{line}\n"} for line in output)]


@dataclass
class Container:
    """What became of a container."""

    code: int = 0
    out: str = ""
    err: str = ""
    killed_for_memory: bool = False
    wait_error: Exception | None = None


PYTHON = Container(out='["3.11.2", "glibc"]\n')


@dataclass
class Built:
    """One build the engine was asked for."""

    files: dict[str, bytes]
    arguments: dict[str, str]
    platform: str | None

    @property
    def dockerfile(self) -> str:
        return self.files["Dockerfile"].decode()


@dataclass
class FakeEngine:
    """The client. Unset answers are those of success."""

    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    pull_lines: list[Any] = field(default_factory=list)
    build_lines: list[Any] = field(default_factory=lambda: [{"aux": {"ID": BUILT_ID}}])
    push_lines: list[Any] = field(default_factory=lambda: [{"aux": {"Digest": PUSHED}}])
    containers: list[Container | Exception] = field(default_factory=list)
    errors: dict[str, Exception] = field(default_factory=dict)  # by method
    asked: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)  # image by name
    builds: list[Built] = field(default_factory=list)
    credentials: list[Any] = field(default_factory=list)
    created: list[dict[str, Any]] = field(default_factory=list)
    streams: list[Iterator[Any]] = field(default_factory=list)
    taken: dict[str, str] = field(default_factory=dict)  # names that another build takes while one is pushed
    about: dict[str, Any] = field(default_factory=lambda: {"ApiVersion": "1.41", "Os": "linux"})

    def __call__(self, url: str, tls: Any, version: str, timeout: int) -> FakeEngine:
        """A client is made."""
        self._asked("connect", version)
        return self

    def _asked(self, method: str, *what: object) -> None:
        self.asked.append(" ".join(map(str, (method, *what))))
        if method in self.errors:
            raise self.errors[method]

    def _stream(self, lines: list[Any]) -> Iterator[Any]:
        self.streams.append(iter(lines))
        return self.streams[-1]

    def close(self) -> None:
        """What was not read to its end keeps its connection."""
        assert not [line for stream in self.streams for line in stream]

    def version(self, *, api_version: bool) -> dict[str, Any]:
        self._asked("version")
        return self.about

    def inspect_image(self, name: str) -> dict[str, Any]:
        self._asked("inspect", name)
        if name == BUILT_ID:
            return next(iter(self.images.values()))
        if name in self.tags:
            return {"Id": self.tags[name]}
        if name not in self.images:
            raise api_error(404, f"No such image: {name}")
        return self.images[name]

    def pull(self, repository: str, *, tag: str, auth_config: Any, platform: str | None, **_: Any) -> Iterator[Any]:
        self._asked("pull", f"{repository}:{tag}")
        self.credentials.append(auth_config)
        return self._stream(self.pull_lines)

    def push(self, repository: str, *, tag: str, auth_config: Any, **_: Any) -> Iterator[Any]:
        self._asked("push", f"{repository}:{tag}")
        self.tags.update(self.taken)
        self.credentials.append(auth_config)
        return self._stream(self.push_lines)

    def build(self, *, fileobj: BinaryIO, buildargs: dict[str, str], platform: str | None, **_: Any) -> Iterator[Any]:
        with tarfile.open(fileobj=io.BytesIO(fileobj.read())) as tar:
            files = {one.name: tar.extractfile(one).read() for one in tar if one.isfile()}  # type: ignore[union-attr]
        self.builds.append(Built(files, buildargs, platform))
        self._asked("build")
        return self._stream(self.build_lines)

    def create_host_config(self, **options: Any) -> dict[str, Any]:
        return options

    def create_container(self, image: str, **options: Any) -> dict[str, str]:
        self._asked("create", image[:10])
        self.created.append(options)
        return {"Id": str(len(self.created) - 1)}

    def _container(self, container: str) -> Container:
        one = self.containers[int(container)] if int(container) < len(self.containers) else PYTHON
        if isinstance(one, Exception):
            raise one
        return one

    def start(self, container: str) -> None:
        self._asked("start")
        self._container(container)

    def wait(self, container: str, *, timeout: int) -> dict[str, int]:
        one = self._container(container)
        if one.wait_error:
            raise one.wait_error
        return {"StatusCode": one.code}

    def inspect_container(self, container: str) -> dict[str, Any]:
        return {"State": {"OOMKilled": self._container(container).killed_for_memory}}

    def logs(self, container: str, *, stdout: bool, stderr: bool) -> bytes:
        one = self._container(container)
        return (one.out if stdout else one.err).encode()

    def remove_container(self, container: str, **_: Any) -> None:
        self._asked("remove container")

    def tag(self, image: str, repository: str, tag: str, *, force: bool) -> None:
        self._asked("tag", f"{repository}:{tag}")
        self.tags[f"{repository}:{tag}"] = image

    def remove_image(self, name: str, *, noprune: bool) -> None:
        self._asked("remove", name)


def an_image(*, python: str = "3.11", **config: Any) -> dict[str, Any]:
    """An image the engine has."""
    return {
        "Id": BASE_ID,
        "Architecture": "amd64",
        "RepoDigests": ["registry.test/base@sha256:" + "e" * 64],
        "Config": {"Env": [f"PYTHON_VERSION={python}.1"], **config},
    }


def report(**document: Any) -> str:
    """What a check prints."""
    return f"some print\n{json.dumps(document)}\n"
