"""The runtime layer: flow_operator and what a flow's pod needs to run, for bases that lack it."""

from __future__ import annotations

import hashlib
import os
import platform
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow_operator import api
from flow_operator.api.wire import LIB_DIR
from flow_operator.images.bytecode import compile_for, here
from flow_operator.images.errors import BadSettingsError
from flow_operator.images.packages import install, package_entries
from flow_operator.images.progress import Progress, silent
from flow_operator.images.requirements import Lock, parse_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flow_operator.images.layers import Entry
    from flow_operator.images.uv import Target, Uv

RUNTIME_LABEL = "flow-operator.io/runtime"
LOCK_ENV = "FLOW_OPERATOR_RUNTIME_LOCK"

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_LOCK_NAME = "runtime.lock"  # pyproject.toml puts it beside this file in a wheel
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
        versions = _lock("\n".join(said.split()), python).versions()
        return Runtime(versions, release=versions.pop("flow-operator", ""))
    lock = runtime_lock(python)
    return Runtime(lock.versions(), release=said) if said else Runtime(lock.versions(), lock)


def runtime_lock(python: str) -> Lock:
    """The pinned packages of the runtime that comes with this release, for one Python."""
    try:
        return _lock(_lock_path().read_text(), python)
    except OSError:
        raise BadSettingsError(
            "This builder has no list of the runtime's packages, which the base image lacks.",
            remedy=f"Use a flow-operator runtime image as baseImage, or set {LOCK_ENV}.",
        ) from None


@lru_cache(maxsize=8)
def _lock(text: str, python: str) -> Lock:
    """A lock, read once by a process: it took a quarter of a build on a warm host."""
    return parse_lock(text).on(python)


def _lock_path() -> Path:
    """Where the environment says; else in the installed package, else in the checkout this runs from."""
    said = os.environ.get(LOCK_ENV)
    if said:
        return Path(said)
    installed = Path(__file__).with_name(_LOCK_NAME)
    return installed if installed.exists() else _PACKAGE.parents[1] / "requirements" / _LOCK_NAME


def runtime_entries(uv: Uv, lock: Lock, target: Target, progress: Progress = silent) -> Iterator[Entry]:
    """The files of the runtime: those of this very image when they fit, else installed from the lock."""
    if _fits_here(target):
        directory = Path(LIB_DIR)
    else:
        directory = uv.work / "runtime"
        install(uv, lock, target, directory, progress)
    yield from (entry for entry in package_entries(directory, LIB_DIR) if not _replaced(entry.path))
    own = _own_package(uv.work / "own")
    compile_for(target, uv, own, silent)
    yield from package_entries(own, LIB_DIR)


def own_digest() -> str:
    """A name for the code of flow_operator itself, for the cache's key."""
    seen = hashlib.sha256()
    for file in _own_files():
        data = file.read_bytes()
        seen.update(f"{file.relative_to(_PACKAGE)}\0{len(data)}\0".encode() + data)
    return seen.hexdigest()


def _fits_here(target: Target) -> bool:
    same = (target.python, target.architecture, target.libc) == (here(), host_architecture(), "gnu")
    release = target.release in ("", platform.python_version())
    return same and release and Path(LIB_DIR, "dask").is_dir()


def _replaced(path: str) -> bool:
    """Our own code (added from where it runs), scripts and tests: the runtime's image has none of them either."""
    parts = Path(path).relative_to(LIB_DIR).parts
    return parts[0] in ("bin", "flow_operator") or parts[0].startswith("flow_operator-") or "tests" in parts[:-1]


def _own_package(directory: Path) -> Path:
    """Our sources alone, wherever they are: a checkout's bytecode depends on times."""
    for file in _own_files():
        copy = directory / "flow_operator" / file.relative_to(_PACKAGE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    return directory


def _own_files() -> list[Path]:
    return sorted(file for file in _PACKAGE.rglob("*") if file.suffix == ".py" or file.name == "py.typed")
