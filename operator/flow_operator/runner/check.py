"""Does the image hold a flow that can run, and what is there to know about it?"""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
from typing import TYPE_CHECKING, Any

from flow_operator import __version__
from flow_operator.api import wire
from flow_operator.runner import hooks
from flow_operator.runner import report as reports
from flow_operator.runner.load import LoadError, load

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flow_operator.api.wire import CheckReport, CheckRequest, FlowFacts
    from flow_operator.flow.core import Flow
    from flow_operator.flow.parameters import ParameterSpec

# Bytes of an environment that is told as it is.
SHORT = 600


def main() -> int:
    """Load the flows and tell the first one's facts, or why one cannot run; the exit code."""
    request: CheckRequest = json.loads(os.environ[wire.CHECK_ENV])
    try:
        report: CheckReport = {"flow": _packed(_checked(request))}
        code = 0
    except LoadError as error:
        report, code = _refusal(_of_another_python(error, request.get("python", ""))), 1
    except Exception as error:  # noqa: BLE001 - the author's code, wherever it is called: it is told in words
        report, code = _refusal(_cannot_be_checked(error)), 1
    text = reports.encode(report, wire.CHECK_LIMIT)
    print(text, flush=True)
    hooks.tell(text)
    return code


def _checked(request: CheckRequest) -> FlowFacts:
    """The model's health check, in its order; the first failure ends it."""
    _warn_of_another_python(request.get("python", ""))
    flow = load(request["flow"])
    others = [load(each) for each in request.get("flows", ())]
    # Tasks of this project have no result handlers: there is nothing to check about them here.
    for each in (flow, *others):
        _import_dependencies(each)
    for kind, modules in request.get("modules", {}).items():
        _import(modules, f"spec.environment.{kind}")
    return facts(flow)


def _warn_of_another_python(python: str) -> None:
    if python and python != _minor():
        print(f"warning: the flow was written with Python {python}, the image has {_minor()}", file=sys.stderr)


def _cannot_be_checked(error: Exception) -> LoadError:
    message = f"the flow cannot be checked: {type(error).__name__}: {error}"
    return LoadError("FlowInvalid", message, "Mend the flow; the whole traceback is in the check's log.", error)


def _of_another_python(error: LoadError, python: str) -> LoadError:
    """Code is not the same bytes in two minor versions: where they differ, that is why it cannot be unpickled."""
    if error.reason != "UnpicklingFailed" or isinstance(error.cause, ModuleNotFoundError) or python in ("", _minor()):
        return error
    message = f"{error}; it was written with Python {python}, and the image has {_minor()}"
    remedy = f"Use a base image with Python {python}, or deploy the flow with Python {_minor()}."
    return LoadError(error.reason, message, remedy, error.cause)


def _minor() -> str:
    return ".".join(platform.python_version_tuple()[:2])


def _import_dependencies(flow: Flow) -> None:
    """Modules that the environment says it needs."""
    environment = flow.environment
    _import(getattr(environment, "dependencies", ()), f"{type(environment).__name__} of flow {flow.name!r}")


def _import(names: Iterable[str], whose: str) -> None:
    for name in names:
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:
            raise LoadError(
                "EnvironmentDependencyMissing",
                f"{whose} needs module {name!r}, which cannot be imported: {type(error).__name__}: {error}",
                f"Add the package of {name.partition('.')[0]!r} to pythonDependencies.",
                error,
            ) from error


def _refusal(error: LoadError) -> CheckReport:
    report: CheckReport = {"reason": error.reason, "message": str(error), "remedy": error.remedy}
    if error.cause is not None:
        reports.print_exception(error.cause)
        report["error"] = reports.error_of(error.cause)
    return report


def facts(flow: Flow) -> FlowFacts:
    """What a flow says of itself."""
    callbacks, environment = _environment(flow)
    return {
        "name": flow.name,
        "parameters": [*map(_parameter, flow.parameters), *_open(flow)],
        "callbacks": callbacks,
        "environment": environment,
        "python": platform.python_version(),
        "versions": _versions(),
    }


def _environment(flow: Flow) -> tuple[list[str], dict[str, Any]]:
    """The callbacks that a flow's environment has, and itself as in a resource; it may be of the author's own class."""
    environment = flow.environment
    try:
        return [name for name in hooks.NAMES if getattr(environment, name) is not None], environment.to_resource()
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise LoadError(
            "EnvironmentInvalid",
            f"{type(environment).__name__} of flow {flow.name!r} cannot say what it is: {why}",
            "Mend the class; an __init__ of its own calls super().__init__().",
            error,
        ) from error


def _packed(found: FlowFacts) -> FlowFacts:
    """The same facts, a long environment packed: a specification that was cut would be another one."""
    if len(json.dumps(found["environment"])) <= SHORT:
        return found
    packed = wire.pack(found["environment"])
    if len(packed) > wire.PACKED_LIMIT:
        raise LoadError(
            "EnvironmentTooLarge",
            f"The environment that flow {found['name']!r} declares is too large to tell: {len(packed)} bytes packed, "
            f"and {wire.PACKED_LIMIT} are possible",
            "Put it into spec.environment of the FlowDeployment, which may be larger and counts before what the flow "
            "declares.",
        )
    return {**found, "environment": {}, "packedEnvironment": packed}


def _open(flow: Flow) -> list[dict[str, Any]]:
    """An entry of its own where the flow takes whatever it is given."""
    return [{"name": wire.ANYTHING, "required": False}] if flow.takes_anything else []


def _parameter(spec: ParameterSpec) -> dict[str, Any]:
    """What it is called, whether it is required, and its default where that is JSON."""
    facts: dict[str, Any] = {"name": spec.name, "required": spec.required}
    if not spec.required:
        try:
            facts["default"] = json.loads(json.dumps(spec.default, allow_nan=False))
        except (TypeError, ValueError):
            print(f"the default of parameter {spec.name!r} is not JSON and is not shown", file=sys.stderr)
    return facts


def _versions() -> dict[str, str]:
    """Versions that scheduler, workers and runner must share."""
    from importlib.metadata import PackageNotFoundError, version

    versions = {"flow-operator": __version__}
    for package in ("dask", "distributed", "cloudpickle"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
