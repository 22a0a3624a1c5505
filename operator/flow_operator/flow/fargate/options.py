"""What AWS is told, made of what the user wrote: which option goes where, and what in it is ours. Pure."""

from __future__ import annotations

import copy
import json
import os
from typing import TYPE_CHECKING, Any

from flow_operator.api import wire

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from flow_operator.api.wire import RunIdentity, RunRequest

Arguments = dict[str, Any]

# Arguments of RegisterTaskDefinition and of RunTask, in AWS' words. Two are in both.
REGISTER_KEYS = (
    "family", "taskRoleArn", "executionRoleArn", "networkMode", "containerDefinitions", "volumes",
    "placementConstraints", "requiresCompatibilities", "cpu", "memory", "tags", "pidMode", "ipcMode",
    "proxyConfiguration", "inferenceAccelerators",
)  # fmt: skip
RUN_KEYS = (
    "cluster", "taskDefinition", "count", "startedBy", "group", "placementConstraints", "placementStrategy",
    "platformVersion", "networkConfiguration", "tags", "enableECSManagedTags", "propagateTags",
)  # fmt: skip

COMMAND = ["python3", "-m", "flow_operator.runner", "task"]
FINGERPRINT_ENV = "FLOW_OPERATOR_DEFINITION"  # in the definition: which image and options it was made of
CALLBACKS_ENV = "FLOW_OPERATOR_CALLBACKS"
ATTEMPT_ENV = "FLOW_OPERATOR_ATTEMPT"
DEFAULT_STOP_GRACE, DEFAULT_HOOK_TIMEOUT = 10.0, 30.0  # seconds, outside of a cluster
OVERRIDES_LIMIT = 8192  # characters; AWS refuses more


def split(options: Mapping[str, Any]) -> tuple[Arguments, Arguments]:
    """Return the arguments of RegisterTaskDefinition and of RunTask; what is of neither is left out."""
    register = {key: options[key] for key in REGISTER_KEYS if key in options}
    return register, {key: options[key] for key in RUN_KEYS if key in options}


def check(register: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    """Raise ValueError where the options do not go together."""
    family, definition = register.get("family"), run.get("taskDefinition")
    if family and definition and family != definition:
        raise ValueError(f"family and taskDefinition must be the same text, not {family!r} and {definition!r}")
    if run.get("count", 1) != 1:
        raise ValueError(f"count must be 1, not {run['count']!r}: a run is one execution of the flow")
    containers = register.get("containerDefinitions", [{}])
    if not isinstance(containers, list) or not containers or not all(isinstance(each, dict) for each in containers):
        raise ValueError("containerDefinitions must be a list of at least one object: the first one runs the flow")


def definition(register: Mapping[str, Any], run: Mapping[str, Any], *, image: str, default_family: str) -> Arguments:
    """Return the arguments of RegisterTaskDefinition: the user's, but for what makes the first container the flow's.

    The same options and the same image make the same definition, which says so of itself.
    """
    made = copy.deepcopy(dict(register))
    made["family"] = made.get("family") or run.get("taskDefinition") or default_family
    made.setdefault("networkMode", "awsvpc")
    made.setdefault("requiresCompatibilities", ["FARGATE"])
    containers = made.setdefault("containerDefinitions", [{}])
    for place, container in enumerate(containers):
        container.setdefault("name", f"container-{place}" if place else "flow")
    containers[0].update(image=image, command=list(COMMAND))
    containers[0].setdefault("stopTimeout", 120)  # the longest AWS gives a flow, and its on_exit, to end
    containers[0].pop("entryPoint", None)  # it would get our command as its arguments
    variables = {"FLOW_OPERATOR_IMAGE": image, "PYTHONUNBUFFERED": "1"}
    mark = _sha256(json.dumps([made, variables], sort_keys=True, default=str))
    for container in containers:
        _add_variables(container, {**variables, FINGERPRINT_ENV: mark})
    return made


def _sha256(text: str) -> str:
    import hashlib  # loads OpenSSL: not for every flow that imports the environments

    return hashlib.sha256(text.encode()).hexdigest()


def _add_variables(container: Arguments, variables: Mapping[str, str]) -> None:
    """The platform's value counts where names are equal; the user's other variables stay."""
    kept = [each for each in container.get("environment") or () if each.get("name") not in variables]
    container["environment"] = [*kept, *({"name": name, "value": value} for name, value in variables.items())]


def fingerprint(definition: Mapping[str, Any]) -> str | None:
    """Return what a definition says it was made of; None where it is not one of ours."""
    for container in definition.get("containerDefinitions") or ():
        for variable in container.get("environment") or ():
            if variable.get("name") == FINGERPRINT_ENV:
                return str(variable.get("value"))
    return None


def task(
    run: Mapping[str, Any], definition: Mapping[str, Any], request: RunRequest, callbacks: Iterable[str]
) -> Arguments:
    """Return the arguments of RunTask.

    Raises:
        ValueError: the run's parameters are larger than AWS takes.
    """
    identity = request["run"]
    # The same token gives the same task, should an answer of AWS be lost and the request be sent again.
    token = _sha256(f"{identity['uid']}/{identity['attempt']}")
    return {
        **copy.deepcopy(dict(run)),
        "taskDefinition": definition["taskDefinitionArn"],
        "launchType": "FARGATE",
        "count": 1,
        "startedBy": started_by(request),
        "overrides": _overrides(definition, request, callbacks),
        "clientToken": token,
    }


def request(asked: RunRequest | None, location: str, parameters: Mapping[str, Any]) -> RunRequest:
    """Return what the runner in the task is told: the run's own request, but for who runs the flow, and how.

    Args:
        asked: what the driver's pod was asked for; None where there is none, and the run is nobody's.
        location: of the flow in the image.
        parameters: of the flow.
    """
    from flow_operator.flow import config
    from flow_operator.flow.executors import kind_of

    path, _, attribute = location.partition(".py:")
    driver = asked.get("driver", {}) if asked else {}
    made: RunRequest = {
        "flow": {"location": f"{path}.py" if attribute else location, "attribute": attribute},
        "run": asked["run"] if asked else _nobodys(path),
        "parameters": dict(parameters),
        "executor": {"kind": kind_of(config.default_executor())},
        "hooks": False,
        "stopGraceSeconds": driver.get("stopGraceSeconds", DEFAULT_STOP_GRACE),
        "hookTimeoutSeconds": asked["hookTimeoutSeconds"] if asked else DEFAULT_HOOK_TIMEOUT,
    }
    return made


def _nobodys(path: str) -> RunIdentity:
    import uuid

    name = path.rpartition("/")[2].partition(".")[0]
    return {"name": name, "namespace": "local", "uid": str(uuid.uuid4()), "attempt": 1}


def started_by(request: RunRequest) -> str:
    """Return how AWS knows all tasks of a run, whatever the attempt. It took 36 characters once: just a UID."""
    return request["run"]["uid"]


def _overrides(definition: Mapping[str, Any], request: RunRequest, callbacks: Iterable[str]) -> Arguments:
    run, tick = request["run"], os.environ.get(wire.SCHEDULED_TIME_ENV)
    identity = {
        **({wire.SCHEDULED_TIME_ENV: tick} if tick else {}),
        "FLOW_OPERATOR_RUN_NAME": run["name"],
        "FLOW_OPERATOR_RUN_NAMESPACE": run["namespace"],
        ATTEMPT_ENV: str(run["attempt"]),
    }
    overrides = {
        "containerOverrides": [
            {"name": container["name"], "environment": _variables(identity)}
            for container in definition["containerDefinitions"]
        ]
    }
    flows = {
        wire.RUN_ENV: json.dumps(request, separators=(",", ":"), sort_keys=True),
        CALLBACKS_ENV: ",".join(callbacks),
    }
    overrides["containerOverrides"][0]["environment"] += _variables(flows)
    size = len(json.dumps(overrides))
    if size > OVERRIDES_LIMIT:
        raise ValueError(
            f"parameters and identity of the run are {size:,} characters as AWS is told them, and it takes "
            f"{OVERRIDES_LIMIT:,}: give the flow the place of its data instead"
        )
    return overrides


def _variables(variables: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in variables.items()]


def attempt(task: Mapping[str, Any]) -> int | None:
    """Return the attempt of the run that a task was started for, None if it does not say."""
    for container in (task.get("overrides") or {}).get("containerOverrides") or ():
        for variable in container.get("environment") or ():
            if variable.get("name") == ATTEMPT_ENV and str(variable.get("value")).isdigit():
                return int(variable["value"])
    return None
