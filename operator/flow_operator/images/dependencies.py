"""The user's packages: resolved beside the runtime's, so that both speak the same Dask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from flow_operator.images.errors import DependencyConflictError
from flow_operator.images.locks import LockFile, read_lock
from flow_operator.images.requirements import Lock, Pin, all_pinned, parse_lock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flow_operator.images.uv import Target, Uv

# Runner, scheduler and workers exchange pickles and frames: these have one version in an image. Every other
# package of the runtime may be overridden, for DEPS_DIR comes first on PYTHONPATH.
SHARED = ("cloudpickle", "dask", "distributed")

_AGAIN = "Lock again with this requirement, or leave it out: what the lock names is what is installed."


@dataclass(frozen=True)
class Wanted:
    """What a user asks for: requirement lines, a lock file, or both."""

    requirements: tuple[str, ...] = ()
    lock: LockFile | None = None

    def __bool__(self) -> bool:
        return bool(self.requirements or self.lock)

    @property
    def pinned(self) -> bool:
        """Whether the same packages answer to it for ever."""
        return bool(self.lock) or all_pinned(self.requirements)


def resolve(uv: Uv, wanted: Wanted, runtime: Mapping[str, str], target: Target) -> Lock:
    """The packages to install on top of the runtime's: those of the lock file, else what uv finds for the lines."""
    if wanted.lock:
        return _locked(uv, wanted.lock, wanted.requirements, runtime, target)
    return _resolved(uv, wanted.requirements, runtime, target)


def _locked(uv: Uv, file: LockFile, requirements: tuple[str, ...], runtime: Mapping[str, str], target: Target) -> Lock:
    lock = read_lock(file, uv, target)
    versions = lock.versions()
    for name in SHARED:
        if name in runtime and versions.get(name, runtime[name]) != runtime[name]:
            raise _other_version(f"{file.name} has {name}=={versions[name]}", name, runtime)
    for line in requirements:
        _check_held(line, file.name, {**runtime, **versions}, target)
    return lock.without(runtime)


def _check_held(line: str, lock: str, versions: Mapping[str, str], target: Target) -> None:
    """Both a lock and lines were given: the lock decides, and must not leave a line open."""
    requirement = Requirement(line)
    version = versions.get(canonicalize_name(requirement.name), "")
    if not Pin(requirement).applies(target.python, target.machine):
        return
    if requirement.url or not version:
        raise DependencyConflictError(f"pythonDependencies asks for {line}, which {lock} does not have.", remedy=_AGAIN)
    if not requirement.specifier.contains(version, prereleases=True):
        raise DependencyConflictError(f"pythonDependencies asks for {line}, and {lock} has {version}.", remedy=_AGAIN)


def _resolved(uv: Uv, requirements: tuple[str, ...], runtime: Mapping[str, str], target: Target) -> Lock:
    check_shared(requirements, runtime)
    lock = _compile(uv, requirements, runtime, target)
    if _overrides(lock, runtime):
        # Something the runtime brings would be replaced: let what the runtime needs of it take part.
        lock = _compile(uv, (*requirements, *_shared(runtime)), runtime, target)
    return lock.without(runtime)


def _compile(uv: Uv, requirements: tuple[str, ...], runtime: Mapping[str, str], target: Target) -> Lock:
    constraints, preferences = _lines(_shared(runtime)), _lines(_pins(runtime))
    compiled = uv.compile(_lines(requirements), constraints, preferences, target)
    return parse_lock(compiled).on(target.python, target.machine)


def check_shared(requirements: tuple[str, ...], runtime: Mapping[str, str]) -> None:
    """Say a conflict with the runtime plainly, before uv says it at length."""
    for line in requirements:
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        version = runtime.get(name, "") if name in SHARED else ""
        if version and not requirement.specifier.contains(version, prereleases=True):
            raise _other_version(f"pythonDependencies asks for {line}", name, runtime)


def _other_version(words: str, name: str, runtime: Mapping[str, str]) -> DependencyConflictError:
    return DependencyConflictError(f"{words}, and flow-operator's runtime in this image is {name}=={runtime[name]}.")


def _overrides(lock: Lock, runtime: Mapping[str, str]) -> bool:
    return any(runtime.get(name, version) != version for name, version in lock.versions().items())


def _shared(runtime: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{name}=={runtime[name]}" for name in SHARED if name in runtime)


def _pins(runtime: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{name}=={version}" for name, version in sorted(runtime.items()))


def _lines(lines: tuple[str, ...]) -> str:
    return "".join(f"{line}\n" for line in lines)
