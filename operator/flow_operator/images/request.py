"""BuildRequest, checked: after this nothing about the request can surprise."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow_operator.images.dependencies import Wanted
from flow_operator.images.errors import BadRequestError, InvalidLockError, SourceChangedError
from flow_operator.images.files import check_keys, checked_files
from flow_operator.images.locks import LockFile
from flow_operator.images.reference import Reference, parse_reference
from flow_operator.images.requirements import parse_requirements
from flow_operator.images.runtime import host_architecture

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from flow_operator.api.wire import BuildFile, BuildRequest, RegistryEndpoint

# What each key holds, and what the items or values in it are.
_SHAPES: dict[str, tuple[type, type]] = {
    "baseImage": (str, str),
    "repository": (str, str),
    "tag": (str, str),
    "architecture": (str, str),
    "python": (str, str),
    "files": (list, dict),
    "lock": (dict, str),
    "pythonDependencies": (list, str),
    "env": (dict, str),
    "annotations": (dict, str),
    "registries": (dict, dict),
    "push": (bool, bool),
}
_JSON_NAMES: dict[type, str] = {str: "text", list: "a list", dict: "an object", bool: "true or false"}


@dataclass(frozen=True)
class Plan:
    """What is to be built, as values that have been checked."""

    base: Reference
    repository: str  # the public name, as it was written
    target: Reference
    files: tuple[BuildFile, ...]
    wanted: Wanted
    env: Mapping[str, str]
    annotations: Mapping[str, str]
    registries: Mapping[str, RegistryEndpoint]
    architecture: str
    push: bool = True
    python: str = ""  # the author's minor version; empty is unknown


def request_from(text: str) -> BuildRequest:
    """Read the JSON document of a builder's environment."""
    try:
        document: BuildRequest = json.loads(text)
    except ValueError:
        raise BadRequestError("The build request is not JSON.") from None
    return document


def checked(request: BuildRequest) -> Plan:
    """The plan of a request, or what is wrong with it."""
    _check_shape(request)
    repository, tag = request["repository"], request.get("tag", "")
    named = parse_reference(repository)
    if named.tag or named.digest:
        raise BadRequestError(f"repository {repository!r} must be a name without tag and digest.")
    return Plan(
        base=parse_reference(request["baseImage"]),
        repository=repository,
        target=parse_reference(f"{repository}:{tag}" if tag else repository),
        files=checked_files(request.get("files", [])),
        wanted=Wanted(parse_requirements(request.get("pythonDependencies", ())), _lock(request.get("lock"))),
        env=_variables(request.get("env", {})),
        annotations=dict(request.get("annotations", {})),
        registries=request.get("registries", {}),
        architecture=request.get("architecture") or host_architecture(),
        push=request.get("push", True),
        python=request.get("python", ""),
    )


def _verified(file: BuildFile) -> bytes:
    try:
        data = Path(file["source"]).read_bytes()
    except OSError as error:
        raise SourceChangedError(f"{file['source']} cannot be read: {error.strerror}.") from None
    if hashlib.sha256(data).hexdigest() != file["sha256"].removeprefix("sha256:"):
        raise SourceChangedError(f"{file['source']} has changed since the build was decided on.")
    return data


def _lock(file: BuildFile | None) -> LockFile | None:
    if not file:
        return None
    check_keys(file, "The lock")
    name = file["path"]
    try:
        return LockFile(name, _verified(file).decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise InvalidLockError(f"{name} is no text.") from None


def _check_shape(request: Any) -> None:
    if not isinstance(request, dict):
        raise BadRequestError("The build request is not a JSON object.")
    for key in ("baseImage", "repository"):
        if not request.get(key):
            raise BadRequestError(f"The build request has no {key}.")
    for key, (kind, item_kind) in _SHAPES.items():
        value: Any = request.get(key, kind())
        if not isinstance(value, kind):
            raise BadRequestError(f"{key} of the build request is not {_JSON_NAMES[kind]}.")
        if not all(isinstance(item, item_kind) for item in _items(value)):
            raise BadRequestError(f"{key} of the build request has an item that is not {_JSON_NAMES[item_kind]}.")


def _items(value: Any) -> Iterable[object]:
    items: Iterable[object] = value.values() if isinstance(value, dict) else value
    return () if isinstance(value, bool) else items


def _variables(env: Mapping[str, str]) -> dict[str, str]:
    bad = [name for name in env if not name or "=" in name or "\0" in name + env[name]]
    if bad:
        raise BadRequestError(f"env has {bad[0]!r}, which is no variable's name.")
    return dict(env)
