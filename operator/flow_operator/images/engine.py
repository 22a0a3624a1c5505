"""A Docker engine, as the Docker builder needs it: pull, build, run, push. The SDK's low-level client is beneath.

The engine's classic builder is used, which every engine's API has: BuildKit wants a session that the SDK cannot give.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import docker
import docker.context
import docker.tls
import requests.exceptions

from flow_operator.images.engine_border import engine_errors, plain, registry_error
from flow_operator.images.errors import (
    EngineFailedError,
    EngineTLSFailedError,
    EngineUnreachableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from flow_operator.api.wire import EngineEndpoint
    from flow_operator.images.credentials import Credential
    from flow_operator.images.progress import Progress
    from flow_operator.images.reference import Reference

_CONNECT_SECONDS = 15
_SILENT_SECONDS = 1800  # a step may compile for long without a word; the builder's pod ends after as much
_OLDEST_API = "1.24"  # the version question has no version; every other one is asked in the engine's own
_NOISE = ("--->", "Removing intermediate container")
_TLS_FILES = ("ca.pem", "cert.pem", "key.pem")


@dataclass(frozen=True)
class Ran:
    """What became of a command in a container."""

    code: int
    out: str
    err: str
    killed_for_memory: bool = False


@dataclass(frozen=True)
class Built:
    """What became of a build: an image's id, or the step that failed."""

    image: str = ""
    step: int = 0  # the last step begun
    words: str = ""  # the engine's own, of the failure
    code: int = 0  # of the step's command
    output: tuple[str, ...] = ()  # the last lines of that step


class Engine:
    """One engine. Every error is one of `errors.py`."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self.name = name

    def image(self, name: str) -> dict[str, Any] | None:
        """What the engine knows of an image it has; None when it has none."""
        with engine_errors(self.name):
            try:
                found: dict[str, Any] = self._client.inspect_image(name)
            except docker.errors.NotFound:
                return None
            return found

    def pull(self, reference: Reference, credential: Credential | None, platform: str, progress: Progress) -> None:
        """Make the engine fetch an image. Its words are in the error."""
        what = f"The engine cannot pull {reference}"
        with engine_errors(self.name):
            try:
                lines = self._client.pull(
                    reference.name,
                    tag=reference.version,
                    stream=True,
                    decode=True,
                    auth_config=auth_of(credential),
                    platform=platform or None,
                )
                self._follow(lines, what, progress)
            except docker.errors.APIError as error:
                raise registry_error(what, error.explanation or str(error)) from error

    def push(self, repository: str, tag: str, credential: Credential | None, progress: Progress) -> tuple[str, int]:
        """Make the engine push a tag; the digest, and how many bytes went."""
        what = f"The engine cannot push {repository}:{tag}"
        with engine_errors(self.name):
            try:
                lines = self._client.push(
                    repository, tag=tag, stream=True, decode=True, auth_config=auth_of(credential)
                )
                said = self._follow(lines, what, progress)
            except docker.errors.APIError as error:
                raise registry_error(what, error.explanation or str(error)) from error
        digest = next((aux["Digest"] for aux in _auxiliary(said) if aux.get("Digest")), "")
        if not digest:
            raise EngineFailedError(f"Docker engine {self.name} pushed {repository}:{tag} and tells no digest.")
        return digest, _sent(said)

    def build(self, context: BinaryIO, arguments: Mapping[str, str], platform: str, progress: Progress) -> Built:
        """Make the engine build a context; nothing is tagged."""
        with engine_errors(self.name):
            lines = self._client.build(
                fileobj=context,
                custom_context=True,
                rm=True,
                forcerm=True,
                decode=True,
                buildargs=dict(arguments),
                platform=platform or None,
                timeout=_SILENT_SECONDS,
            )
            return outcome(lines, progress)

    def run(
        self,
        image: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        user: str = "",
        network: bool = True,
        seconds: int = 60,
    ) -> Ran:
        """Run a command in a container as our pods run theirs: nothing may be written but /tmp."""
        with engine_errors(self.name):
            container = self._client.create_container(
                image,
                entrypoint=list(command),
                environment=dict(environment or {}),
                user=user or None,
                host_config=self._client.create_host_config(
                    network_mode=None if network else "none",
                    read_only=True,
                    tmpfs={"/tmp": "mode=1777"},  # noqa: S108 - of the container
                    cap_drop=["ALL"],
                    security_opt=["no-new-privileges"],
                    log_config={"Type": "json-file", "Config": {}},
                ),
            )["Id"]
            try:
                self._client.start(container)
                return self._ran(container, seconds)
            finally:
                self._client.remove_container(container, force=True, v=True)

    def _ran(self, container: str, seconds: int) -> Ran:
        try:
            code = int(self._client.wait(container, timeout=seconds)["StatusCode"])
        except (requests.exceptions.Timeout, requests.exceptions.ConnectionError) as error:
            if "timed out" not in str(error).lower():
                raise
            return Ran(124, "", f"It did not end within {seconds} s.")
        state = self._client.inspect_container(container).get("State") or {}
        out, err = (self._client.logs(container, stdout=one, stderr=not one) for one in (True, False))
        return Ran(code, out.decode(errors="replace"), err.decode(errors="replace"), bool(state.get("OOMKilled")))

    def tag(self, image: str, repository: str, tag: str) -> None:
        """Give an image a name."""
        with engine_errors(self.name):
            self._client.tag(image, repository, tag, force=True)

    def remove(self, image: str) -> None:
        """Forget an image by its name; what it was built on stays, so that the next build is short."""
        with engine_errors(self.name):
            self._client.remove_image(image, noprune=True)

    def _follow(self, lines: Iterator[Any], what: str, progress: Progress) -> list[dict[str, Any]]:
        said, words = [], ""
        for line in _documents(lines):  # to its end, or its connection is neither closed nor used again
            said.append(line)
            words = words or failure_of(line)
            if not words and "progressDetail" not in line and line.get("status"):
                progress(plain(f"{line.get('id', '')} {line['status']}"))
        if words:
            raise registry_error(what, words)
        return said


def outcome(lines: Iterator[Any], progress: Progress) -> Built:
    """Follow a build's output to its end."""
    image, step, output = "", 0, list[str]()
    failed: Built | None = None
    for line in _documents(lines):  # to its end, or its connection is neither closed nor used again
        if failed:
            continue
        text = str(line.get("stream") or "").rstrip()
        if number := _step_number(text):
            step, output = number, []
        elif text and not text.strip().startswith(_NOISE):
            output = [*output[-19:], text.strip()]
        if text and not text.strip().startswith(_NOISE):
            progress(plain(text))
        if words := failure_of(line):
            detail = line.get("errorDetail") or {}
            failed = Built(step=step, words=words, code=int(detail.get("code") or 0), output=tuple(output))
        image = str((line.get("aux") or {}).get("ID") or image)
    return failed or Built(image=image, step=step, words="" if image else "the build ended without an image")


def _step_number(text: str) -> int:
    """3 of `Step 3/9 : RUN …`; else 0."""
    word, _, rest = text.partition(" ")
    number = rest.partition("/")[0]
    return int(number) if word == "Step" and number.isdigit() and " : " in rest else 0


def _documents(lines: Iterator[Any]) -> Iterator[dict[str, Any]]:
    return (line for line in lines if isinstance(line, dict))


def failure_of(line: Mapping[str, Any]) -> str:
    """The words of an error in a stream of progress."""
    detail = line.get("errorDetail") or {}
    return str(detail.get("message") or line.get("error") or "")


def _auxiliary(said: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return (line["aux"] for line in reversed(said) if isinstance(line.get("aux"), dict))


def _sent(said: list[dict[str, Any]]) -> int:
    """The bytes of the layers that were pushed, not found there or mounted."""
    sizes: dict[str, int] = {}
    for line in said:
        if line.get("status") == "Pushing":
            detail = line.get("progressDetail") or {}
            sizes[str(line.get("id"))] = int(detail.get("total") or detail.get("current") or 0)
    pushed = {str(line.get("id")) for line in said if line.get("status") == "Pushed"}
    return sum(size for layer, size in sizes.items() if layer in pushed)


def auth_of(credential: Credential | None) -> dict[str, str]:
    """A credential in the SDK's words; empty (not None, for which it would look by itself) without one."""
    if credential is None:
        return {}
    if credential.identity_token:
        return {"identitytoken": credential.identity_token}
    return {"username": credential.username, "password": credential.password}


@contextmanager
def connected(endpoint: EngineEndpoint, make: Callable[..., Any] | None = None) -> Iterator[Engine]:
    """The engine of an endpoint, of DOCKER_HOST, of docker's present context, or of this machine."""
    url, tls = _found(endpoint)
    name = plain(url) or "of this machine"
    with engine_errors(name, first_words=tls is not None):
        client = (make or _client)(url, tls, _OLDEST_API, _CONNECT_SECONDS)
        try:
            said = client.version(api_version=False)
            if said.get("Os", "linux") != "linux":
                raise EngineUnreachableError(f"Docker engine {name} runs {said['Os']} images, not Linux images.")
            version = str(said["ApiVersion"])
        except (KeyError, TypeError, ValueError, AttributeError):
            raise EngineUnreachableError(f"What answers at {name} is no Docker engine.", retryable=False) from None
        finally:
            client.close()
        client = (make or _client)(url, tls, version, _SILENT_SECONDS)
    try:
        yield Engine(client, name)
    finally:
        client.close()


def _client(url: str, tls: Any, version: str, timeout: int) -> Any:
    client = _Client(base_url=url or None, tls=tls or False, version=version, timeout=timeout)
    # Else REQUESTS_CA_BUNDLE would take the place of the authority that signed the engine's certificate.
    client.trust_env = False
    return client


class _Client(docker.APIClient):  # type: ignore[misc]
    """The SDK's client, without its habit of sending all credentials of docker's configuration with a build."""

    def _set_auth_headers(self, headers: dict[str, str]) -> None:
        """Nothing: builds start from images that are there already."""


def _found(endpoint: EngineEndpoint) -> tuple[str, Any]:
    """Where the engine is and how it is trusted, in the order of docker's own clients."""
    url = endpoint.get("url", "")
    if url:
        return url, _tls(Path(endpoint["tls"])) if endpoint.get("tls") else None
    host = os.environ.get("DOCKER_HOST", "")
    if host:
        return host, _tls(_certificates()) if os.environ.get("DOCKER_TLS_VERIFY") else None
    with engine_errors("of docker's context"):
        context = docker.context.ContextAPI.get_current_context()
    if context is None:
        raise EngineUnreachableError("Docker's present context does not exist: see `docker context ls`.")
    host = str(context.Host or "")
    return ("" if host.startswith("http+unix://") else host), context.TLSConfig


def _certificates() -> Path:
    return Path(os.environ.get("DOCKER_CERT_PATH") or Path(os.environ.get("HOME", "/")) / ".docker")


def _tls(folder: Path) -> Any:
    missing = [name for name in _TLS_FILES if not (folder / name).is_file()]
    if missing:
        raise EngineTLSFailedError(f"{folder} has no {missing[0]} for the Docker engine.")
    authority, certificate, key = (str(folder / name) for name in _TLS_FILES)
    return docker.tls.TLSConfig(client_cert=(certificate, key), ca_cert=authority, verify=True)
