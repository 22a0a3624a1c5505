"""The runtime layer: flow_operator and what a flow's pod needs to run, for bases that lack it."""

from __future__ import annotations

import hashlib
import os
import platform
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow_operator import api
from flow_operator.api.wire import LIB_DIR
from flow_operator.images.bytecode import here, is_portable
from flow_operator.images.errors import BadRequestError
from flow_operator.images.layers import Entry
from flow_operator.images.packages import install, package_entries
from flow_operator.images.requirements import Lock, parse_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flow_operator.images.uv import Target, Uv

RUNTIME_LABEL = "flow-operator.io/runtime"
LOCK_ENV = "FLOW_OPERATOR_RUNTIME_LOCK"
LOCK_FILE = "/opt/flow-operator/requirements/runtime.lock"

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_PACKAGE = Path(api.__file__).parents[1]

RELEASE: str = import_module("flow_operator").__version__  # by name: the package's face is above this room


def host_architecture() -> str:
    """The GOARCH of this machine."""
    machine = platform.machine().lower()
    return _MACHINES.get(machine, machine)


@dataclass(frozen=True)
class Runtime:
    """What a base has, or is to get."""

    versions: dict[str, str]
    lock: Lock | None = None  # to be installed; None when the base has a runtime
    release: str = RELEASE  # of flow_operator itself


def runtime_of(config: dict[str, Any], python: str) -> Runtime:
    """The runtime a base says it has (with its versions, in images built here), else that of this release."""
    said = ((config.get("config") or {}).get("Labels") or {}).get(RUNTIME_LABEL, "")
    if "==" in said:
        versions = parse_lock("\n".join(said.split())).versions()
        return Runtime(versions, release=versions.pop("flow-operator", ""))
    lock = runtime_lock().on(python)
    return Runtime(lock.versions(), release=said) if said else Runtime(lock.versions(), lock)


def runtime_lock() -> Lock:
    """The pinned packages of the runtime that comes with this release."""
    path = Path(os.environ.get(LOCK_ENV) or LOCK_FILE)
    try:
        return parse_lock(path.read_text())
    except FileNotFoundError:
        raise BadRequestError(
            "This builder has no list of the runtime's packages, which the base image lacks.",
            remedy=f"Use a flow-operator runtime image as baseImage, or set {LOCK_ENV}.",
        ) from None


def runtime_entries(uv: Uv, lock: Lock, target: Target) -> Iterator[Entry]:
    """The files of the runtime: those of this very image when they fit, else installed from the lock."""
    if _fits_here(target):
        directory = Path(LIB_DIR)
    else:
        directory = uv.work / "runtime"
        install(uv, lock, target, directory)
    yield from (entry for entry in package_entries(directory, LIB_DIR) if not _replaced(entry.path))
    yield from _own_entries()


def own_digest() -> str:
    """A name for the code of flow_operator itself, for the cache's key."""
    seen = hashlib.sha256()
    for file in _own_files():
        data = file.read_bytes()
        seen.update(f"{file.relative_to(_PACKAGE)}\0{len(data)}\0".encode() + data)
    return seen.hexdigest()


def _fits_here(target: Target) -> bool:
    same = (target.python, target.architecture, target.libc) == (here(), host_architecture(), "gnu")
    return same and Path(LIB_DIR, "dask").is_dir()


def _replaced(path: str) -> bool:
    """Our own code (added from where it runs), scripts and tests: the runtime's image has none of them either."""
    parts = Path(path).relative_to(LIB_DIR).parts
    return parts[0] in ("bin", "flow_operator") or parts[0].startswith("flow_operator-") or "tests" in parts[:-1]


def _own_entries() -> Iterator[Entry]:
    for file in _own_files():
        yield Entry(f"{LIB_DIR}/flow_operator/{file.relative_to(_PACKAGE).as_posix()}", file)


def _own_files() -> list[Path]:
    """Our sources, and their bytecode where it came with them."""
    files = (file for file in _PACKAGE.rglob("*") if file.suffix in (".py", ".pyc") or file.name == "py.typed")
    return sorted(file for file in files if file.suffix != ".pyc" or is_portable(file))
