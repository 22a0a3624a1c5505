"""What the Docker builder reads in a BuildRequest, checked: the fields only it has, on top of `request.Plan`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flow_operator.images.errors import BadRequestError
from flow_operator.images.request import Plan, checked

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flow_operator.api.wire import BuildRequest, CheckRequest, EngineEndpoint

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_ARGUMENTS_LIMIT = 256 << 10  # values travel in the URL of one request, of which an engine reads a megabyte


@dataclass(frozen=True)
class DockerPlan:
    """A plan, and what only an engine can do of it."""

    plan: Plan
    commands: tuple[str, ...]
    local_image: bool
    engine: EngineEndpoint
    platform: str  # "linux/arm64" where an architecture is asked for, else the engine's own
    check: CheckRequest | None
    push: bool


def checked_for_docker(request: BuildRequest) -> DockerPlan:
    """The plan of a request, or what is wrong with it."""
    plan = checked(request)
    _check_names("env", plan.env, _VARIABLE)
    _check_names("annotations", plan.annotations, _LABEL)
    if sum(map(len, (*plan.env.values(), *plan.annotations.values()))) > _ARGUMENTS_LIMIT:
        raise BadRequestError(f"env and annotations are longer than {_ARGUMENTS_LIMIT >> 10} KiB.")
    architecture = request.get("architecture")
    return DockerPlan(
        plan=plan,
        commands=_commands(request),
        local_image=bool(request.get("localImage", False)),
        engine=request.get("engine") or {},
        platform=f"linux/{architecture}" if architecture else "",
        check=_check(request),
        push=bool(request.get("push", True)),
    )


def _commands(request: BuildRequest) -> tuple[str, ...]:
    commands: Any = request.get("extraCommands", [])
    if not isinstance(commands, list) or not all(isinstance(each, str) and "\0" not in each for each in commands):
        raise BadRequestError("extraCommands of the build request is not a list of texts.")
    return tuple(each for each in commands if each.strip())


def _check(request: BuildRequest) -> CheckRequest | None:
    flows = request.get("flows") or []
    if not flows:
        return None
    python = request.get("python", "")
    check: CheckRequest = {"flow": flows[0], "flows": flows[1:]}
    return {**check, "python": python} if python else check


def _check_names(what: str, names: Iterable[str], known: re.Pattern[str]) -> None:
    bad = [name for name in names if not known.fullmatch(name)]
    if bad:
        raise BadRequestError(
            f"{what} has {bad[0]!r}, which the Docker builder cannot set.",
            remedy="Use letters, digits, dots, hyphens and underscores.",
        )
