"""From a Docker storage to an image: the flows become files, and everything becomes one request to the builder."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from flow_operator import __version__
from flow_operator.api.wire import BuildFile, BuildReport, BuildRequest, EngineEndpoint, FlowRef
from flow_operator.deploy.progress import telling
from flow_operator.flow import config
from flow_operator.flow.errors import StorageError
from flow_operator.flow.pickling import dumps
from flow_operator.images import build_image

if TYPE_CHECKING:
    from flow_operator.flow.storage import Docker


def build(storage: Docker, *, repository: str, tag: str, push: bool) -> BuildReport:
    """Build the image of a storage's flows.

    Raises:
        StorageError: a file is missing, or the storage asks for what cannot be.
        BuildError: there is no image.
    """
    with telling() as tell, tempfile.TemporaryDirectory(prefix="flow-operator-") as work:
        request = request_of(storage, Path(work), repository=repository, tag=tag, push=push)
        return build_image(request, progress=tell)


def request_of(storage: Docker, work: Path, *, repository: str, tag: str, push: bool) -> BuildRequest:
    """Return what the builder is asked for; the flows' files are written into a folder."""
    if storage.flow_operator_version != __version__:
        raise StorageError(
            f"flow_operator_version is {storage.flow_operator_version}, and this is {__version__}: an image gets the "
            "release it is built with.",
            remedy="Install that release here, or give a base_image that has it and leave flow_operator_version out.",
        )
    places = storage.live_flows()
    flows = [_packed(dumps(flow), work, location) for location, flow in places.items()]
    refs = [FlowRef(location=location, attribute="") for location in sorted(places)]
    return _request(storage, flows, refs, repository=repository, tag=tag, push=push)


def build_source(
    storage: Docker, source: Path, attribute: str, *, location: str, repository: str, tag: str, push: bool
) -> BuildReport:
    """Build the image of a Python file, which is at `location` in it. Nothing of the file is run here.

    Raises:
        StorageError: a file is missing, or the storage asks for what cannot be.
        BuildError: there is no image.
    """
    with telling() as tell:
        request = request_of_source(
            storage, source, attribute, location=location, repository=repository, tag=tag, push=push
        )
        return build_image(request, progress=tell)


def request_of_source(
    storage: Docker, source: Path, attribute: str, *, location: str, repository: str, tag: str, push: bool
) -> BuildRequest:
    """Return what the builder is asked for, of a Python file."""
    flow = BuildFile(path=location, source=str(source), sha256=_sha256(source.read_bytes()))
    refs = [FlowRef(location=location, attribute=attribute)]
    return _request(storage, [flow], refs, repository=repository, tag=tag, push=push)


def _request(
    storage: Docker, flows: list[BuildFile], refs: list[FlowRef], *, repository: str, tag: str, push: bool
) -> BuildRequest:
    files = [_user_file(source, target) for source, target in sorted(storage.files.items())]
    request = BuildRequest(
        builder=storage.builder,
        baseImage=storage.base_image,
        repository=repository,
        tag=tag,
        files=sorted([*flows, *files], key=lambda file: file["path"]),
        pythonDependencies=list(storage.python_dependencies),
        env=dict(sorted(storage.env_vars.items())),
        annotations=dict(storage.annotations),
        registries=config.registries(),
        push=push and bool(storage.registry_url),
        flows=refs,
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
    )
    if storage.architecture:
        request["architecture"] = storage.architecture
    if storage.requirements:
        request["lock"] = _lock(storage.requirements)
    if storage.builder == "Docker":
        request["extraCommands"] = list(storage.extra_commands)
        request["localImage"] = storage.local_image
        request["engine"] = engine(storage.base_url)
    return request


def engine(base_url: str | None) -> EngineEndpoint:
    """Where the engine is; its certificates are where docker's own clients look for them."""
    found = EngineEndpoint(url=base_url) if base_url else EngineEndpoint()
    folder = os.environ.get("DOCKER_CERT_PATH")
    if base_url and folder:
        found["tls"] = folder
    return found


def _packed(data: bytes, work: Path, location: str) -> BuildFile:
    file = work / Path(location).name
    file.write_bytes(data)
    return BuildFile(path=location, source=str(file), sha256=_sha256(data))


def _user_file(source: str, target: str) -> BuildFile:
    return BuildFile(path=target, source=source, sha256=_sha256_of("files", source))


def _lock(source: str) -> BuildFile:
    return BuildFile(path=Path(source).name, source=source, sha256=_sha256_of("requirements", source))


def _sha256_of(argument: str, source: str) -> str:
    if Path(source).is_dir():  # opening it says something else on each system
        raise StorageError(
            f"{argument} has {source}, which is a folder.", remedy="Name each file of it, or pack it into a wheel."
        )
    try:
        with Path(source).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise StorageError(f"{argument} has {source}, which is not there.", remedy="Check the path.") from None
    except OSError as error:
        raise StorageError(f"{argument} has {source}, which cannot be read: {error.strerror}.") from None


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
