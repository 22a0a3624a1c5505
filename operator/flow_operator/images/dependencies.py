"""The user's packages: resolved beside the runtime's, so that both speak the same Dask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from flow_operator.images.errors import DependencyConflictError
from flow_operator.images.requirements import Lock, parse_lock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flow_operator.images.uv import Target, Uv

# Runner, scheduler and workers exchange pickles and frames: these have one version in an image. Every other
# package of the runtime may be overridden, for DEPS_DIR comes first on PYTHONPATH.
SHARED = ("cloudpickle", "dask", "distributed")


def resolve(uv: Uv, requirements: tuple[str, ...], runtime: Mapping[str, str], target: Target) -> Lock:
    """The packages to install for requirements, on top of the runtime's versions."""
    _check_shared(requirements, runtime)
    lock = _compile(uv, requirements, runtime, target)
    if _overrides(lock, runtime):
        # Something the runtime brings would be replaced: let what the runtime needs of it take part.
        lock = _compile(uv, (*requirements, *_shared(runtime)), runtime, target)
    return lock.without(runtime)


def _compile(uv: Uv, requirements: tuple[str, ...], runtime: Mapping[str, str], target: Target) -> Lock:
    constraints, preferences = _lines(_shared(runtime)), _lines(_pins(runtime))
    return parse_lock(uv.compile(_lines(requirements), constraints, preferences, target))


def _check_shared(requirements: tuple[str, ...], runtime: Mapping[str, str]) -> None:
    """Say a conflict with the runtime plainly, before uv says it at length."""
    for line in requirements:
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        version = runtime.get(name, "") if name in SHARED else ""
        if version and not requirement.specifier.contains(version, prereleases=True):
            raise DependencyConflictError(
                f"pythonDependencies asks for {line}, and flow-operator's runtime in this image is {name}=={version}."
            )


def _overrides(lock: Lock, runtime: Mapping[str, str]) -> bool:
    return any(runtime.get(name, version) != version for name, version in lock.versions().items())


def _shared(runtime: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{name}=={runtime[name]}" for name in SHARED if name in runtime)


def _pins(runtime: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{name}=={version}" for name, version in sorted(runtime.items()))


def _lines(lines: tuple[str, ...]) -> str:
    return "".join(f"{line}\n" for line in lines)
