"""A run whose flow is run by its environment's own steps: setup, then execute, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flow_operator.flow import driven
from flow_operator.flow.errors import EnvironmentFailed
from flow_operator.runner.errors import RunFailed, StepFailed
from flow_operator.runner.storage import ImageStorage

if TYPE_CHECKING:
    from collections.abc import Callable

    from flow_operator.api.wire import RunReport, RunRequest
    from flow_operator.flow.core import Flow
    from flow_operator.flow.environments import Environment

ELSEWHERE = "the flow ran in a task of AWS, of which only the exit code comes back: have the flow write its result"
NOT_RUN = "execute of {name} returned nothing and did not run the flow in this pod"


def drive(flow: Flow, request: RunRequest, report: RunReport, timed: Callable[[str], Any]) -> Any:
    """Run both steps; return the run's result.

    Raises:
        StepFailed: one of them raised.
        RunFailed: the environment cannot be used, or says with a reason why the flow could not be run.
    """
    spec = request["driver"]
    environment = _environment(flow, request)
    _import_dependencies(environment)
    storage = ImageStorage(spec.get("image", ""), request["flow"], flow)
    watched = driven.current = driven.Driven(flow)
    with timed("setup"):
        _step("setup", lambda: environment.setup(storage), watched)
    with timed("execute"):
        value = _step(
            "execute", lambda: environment.execute(storage, storage.location, **request["parameters"]), watched
        )
    if spec["kind"] == "FargateTask":
        report["resultOmitted"] = ELSEWHERE
        return None
    if value is None and not watched.ran:
        report["resultOmitted"] = NOT_RUN.format(name=type(environment).__name__)
    return watched.result if value is None else value


def _step(name: str, call: Callable[[], Any], watched: driven.Driven) -> Any:
    try:
        return call()
    except KeyboardInterrupt:
        raise
    except EnvironmentFailed as error:
        raise RunFailed(error.reason, error.message, remedy=error.remedy, code=error.code) from error
    except BaseException as error:  # SystemExit and friends included
        raise StepFailed(name, error, flow=error is watched.error) from error


def _environment(flow: Flow, request: RunRequest) -> Environment:
    """The flow's own; of a FargateTask, with what the resource says on top."""
    spec = request["driver"]
    if spec["kind"] == "FargateTask":
        from flow_operator.flow.environments import FargateTaskEnvironment

        try:
            return FargateTaskEnvironment.of_resource(spec.get("fargateTask", {}), flow.environment)
        except (TypeError, ValueError) as error:
            raise RunFailed("SetupFailed", f"FargateTaskEnvironment: {error}") from error
    return flow.environment


def _import_dependencies(environment: Environment) -> None:
    import importlib

    for name in environment.dependencies:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise RunFailed(
                "EnvironmentDependencyMissing",
                f"{type(environment).__name__} needs module {name!r}, which is not in the image: {error}",
                remedy=f"Add the package of {name.partition('.')[0]!r} to pythonDependencies.",
            ) from error
