"""A run's task from its start to its end, whatever happens to whoever drives it."""

from __future__ import annotations

import signal
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flow_operator.api import wire
from flow_operator.flow.errors import EnvironmentFailed
from flow_operator.flow.fargate import options
from flow_operator.flow.fargate.border import Passing
from flow_operator.flow.fargate.ecs import FIRST_NAP, GROWTH, LONGEST_NAP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from flow_operator.api.wire import RunRequest
    from flow_operator.flow.fargate.ecs import Ecs

Arguments = dict[str, Any]

UNANSWERED = 900.0  # seconds with an AWS that does not answer, while there is a task
UNKNOWN = 60.0  # seconds that a task may be unknown to AWS: what it has just made it may not list yet
STOPPING = 180.0  # seconds for a task to stop: AWS kills it after 120 at most
UNHEARD = (1.0, 2.0, 4.0)  # seconds after each look for a task of which AWS has not told: it may not list it yet

_STOPS = (signal.SIGTERM, signal.SIGINT)
_HEARD = 0.2  # seconds until a wait hears of one

_BY_OTHERS = {
    "UserInitiated": "somebody stopped it",
    "SpotInterruption": "AWS took its capacity back",
    "TerminationNotice": "AWS took its host away",
    "ServiceSchedulerInitiated": "a service of ECS stopped it",
}
_LOG = "The task's own log is where logConfiguration of its container sends it."


@contextmanager
def stoppable() -> Iterator[Callable[[float], bool]]:
    """Take SIGTERM and SIGINT as a wish; give a way to wait that ends when there is one, and says so.

    So none falls between a request to AWS and the note of what it has started. Handlers, not a mask: a thread that the
    flow's modules have started would get what we hold back.
    """
    wishes: list[int] = []

    def wait(seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not wishes and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _HEARD))
        heard = bool(wishes)
        wishes.clear()
        return heard

    if threading.current_thread() is not threading.main_thread():  # where Python has no handlers
        yield wait
        return
    before = {each: signal.signal(each, lambda number, _: wishes.append(number)) for each in _STOPS}
    try:
        yield wait
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    if wishes:
        raise KeyboardInterrupt("stopped by SIGTERM")


def registered(ecs: Ecs, definition: Mapping[str, Any]) -> Arguments:
    """Return the registered definition of a run: the one that is there if it was made of the same, else a new one."""
    there = ecs.definition(definition["family"])
    if there is not None and options.fingerprint(there) == options.fingerprint(definition):
        _say(f"definition {there['taskDefinitionArn']} is there")
        return there
    made = ecs.register(definition)
    _say(f"definition {made['taskDefinitionArn']} is registered")
    return made


def run(ecs: Ecs, arguments: Mapping[str, Any], name: str, request: RunRequest) -> None:
    """Start the run's task and follow it to its end; return where the flow succeeded.

    Args:
        ecs: where.
        arguments: of RunTask.
        name: of the container in which the flow runs.
        request: which run it is.

    Raises:
        EnvironmentFailed: it did not.
        KeyboardInterrupt: we are to stop; the task was told to, and has if there was time.
    """
    cluster = arguments.get("cluster")
    task = _of_this_attempt(ecs, cluster, request)
    if task is None:
        task = _started(ecs, arguments, request)
    ended = _follow(ecs, cluster, task, request)
    _judge(ended, name)


def _started(ecs: Ecs, arguments: Mapping[str, Any], request: RunRequest) -> Arguments:
    """Start the task of this attempt; leave none behind of which AWS has not told."""
    try:
        task = ecs.run(arguments)
    except (KeyboardInterrupt, Passing) as error:
        how = _stop_unheard(ecs, arguments.get("cluster"), request)
        if isinstance(error, Passing):
            error.message = f"{error.message} {how[:1].upper()}{how[1:]}."
            raise
        raise KeyboardInterrupt(f"stopped by SIGTERM; {how}") from None
    _say(f"task {task['taskArn']} is started")
    return task


def _stop_unheard(ecs: Ecs, cluster: str | None, request: RunRequest) -> str:
    """Stop what a RunTask without an answer has started; say what became of it."""
    try:
        for nap in UNHEARD:
            found = ecs.tasks_of(cluster, options.started_by(request))
            mine = [each for each in found if options.attempt(each) == request["run"]["attempt"]]
            for each in mine:
                if each["lastStatus"] != "STOPPED":
                    return f"task {each['taskArn']} {_stop(ecs, cluster, each['taskArn'], request)}"
            if mine or ecs.wait(nap):
                break
    except EnvironmentFailed as error:
        return f"a task may have been started and still run: {error.message}"
    return "no task of it was found"


def _of_this_attempt(ecs: Ecs, cluster: str | None, request: RunRequest) -> Arguments | None:
    """Return the task that this attempt has already, if any; see that none of an earlier one lives."""
    mine = None
    for task in ecs.tasks_of(cluster, options.started_by(request)):
        number = options.attempt(task)
        if number == request["run"]["attempt"]:
            mine = task if mine is None or mine["lastStatus"] == "STOPPED" else mine
            _say(f"task {task['taskArn']} of this attempt is there: {task['lastStatus']}")
        elif task["lastStatus"] != "STOPPED":
            _end(ecs, cluster, task, f"attempt {request['run']['attempt']} of FlowRun {request['run']['name']} begins")
    return mine


def _end(ecs: Ecs, cluster: str | None, task: Arguments, why: str) -> None:
    """Stop a task of an earlier attempt, and wait until it has."""
    arn = task["taskArn"]
    _say(f"task {arn} of attempt {options.attempt(task)} still lives and is being stopped")
    if not _ended(ecs, cluster, arn, f"flow-operator: {why}"):
        raise EnvironmentFailed(
            "AwsUnreachable",
            f"Task {arn} of an earlier attempt was told to stop and has not within {STOPPING:.0f} s.",
            remedy="Stop it by hand, then create another FlowRun.",
        )


def _ended(ecs: Ecs, cluster: str | None, arn: str, why: str) -> bool:
    """Tell a task to stop until AWS has heard it; return whether it has ended in time.

    Raises:
        EnvironmentFailed: it could not be told.
    """
    waited, nap = 0.0, FIRST_NAP
    unheard: Passing | None = None
    told = False
    while waited < STOPPING:
        try:
            if not told:
                ecs.stop(cluster, arn, why)
                told = True
            task = ecs.task(cluster, arn)
        except Passing as error:
            unheard, task = error, {}
        if task is None or task.get("lastStatus") == "STOPPED":
            return True
        if ecs.wait(nap):
            raise KeyboardInterrupt(f"stopped while task {arn} was stopping")
        waited, nap = waited + nap, min(nap * GROWTH, LONGEST_NAP)
    if unheard and not told:
        raise unheard
    return False


def _follow(ecs: Ecs, cluster: str | None, task: Arguments, request: RunRequest) -> Arguments:
    """Look at a task again and again, until it has stopped."""
    arn, nap, unanswered, unknown = task["taskArn"], FIRST_NAP, 0.0, 0.0
    while task["lastStatus"] != "STOPPED":
        if ecs.wait(nap):
            _stop_with_us(ecs, cluster, arn, request)
        try:
            found = ecs.task(cluster, arn)
        except Passing as error:
            unanswered += nap
            if unanswered > UNANSWERED:
                error.message = f"{error.message} Task {arn} may still run."
                raise
            nap = min(nap * GROWTH, LONGEST_NAP)
            continue
        unanswered = 0.0
        if found is None:
            unknown += nap
            if unknown > UNKNOWN:
                said = f"AWS does not know task {arn} any more; how it ended is not known."
                raise EnvironmentFailed("TaskStopped", said, remedy="See the log of the task.")
            continue
        nap = FIRST_NAP if found["lastStatus"] != task["lastStatus"] else min(nap * GROWTH, LONGEST_NAP)
        if found["lastStatus"] != task["lastStatus"]:
            _say(f"task {arn} is {found['lastStatus']}")
        task = found
    return task


def _stop_with_us(ecs: Ecs, cluster: str | None, arn: str, request: RunRequest) -> None:
    """The pod is being stopped, and so is the task; wait for its end as long as we may, or until told again."""
    raise KeyboardInterrupt(f"stopped by SIGTERM; task {arn} {_stop(ecs, cluster, arn, request)}")


def _stop(ecs: Ecs, cluster: str | None, arn: str, request: RunRequest) -> str:
    """Stop a task because its driver is; say what became of it."""
    run = request["run"]
    _say(f"task {arn} is being stopped")
    why = f"flow-operator: the runner of FlowRun {run['namespace']}/{run['name']} was stopped"
    try:
        return "has ended" if _ended(ecs, cluster, arn, why) else "was told to stop, and has not yet"
    except EnvironmentFailed as error:
        return f"may still run: {error.message}"


def _judge(task: Arguments, name: str) -> None:
    """Raise what a stopped task failed with."""
    arn, stop = task["taskArn"], str(task.get("stopCode") or "")
    flow: Arguments = next((each for each in task.get("containers") or () if each.get("name") == name), {})
    code = flow.get("exitCode")
    if code == wire.EXIT_OK:
        _say("the flow has succeeded")
        return
    why = "; ".join(dict.fromkeys(str(text) for text in (flow.get("reason"), task.get("stoppedReason")) if text))
    said = f": {why}" if why else ""
    if "OutOfMemory" in why:
        raise EnvironmentFailed(
            "OutOfMemory",
            f"Task {arn} needed more memory than its definition gives{said}.",
            remedy="Raise memory in registerOptions, or process the data in smaller pieces.",
            code=code or 137,
        )
    if stop in _BY_OTHERS:
        remedy = "Create another FlowRun. To end a run, set its spec.cancel; do not stop its task."
        raise EnvironmentFailed("TaskStopped", f"Task {arn} was stopped, {_BY_OTHERS[stop]}{said}.", remedy=remedy)
    if code is None:
        raise EnvironmentFailed(
            "TaskNotStarted",
            f"The flow did not begin in task {arn}{said}.",
            remedy="Often AWS cannot pull the image (executionRoleArn, repositoryCredentials, a route out of the "
            "subnet) or has no capacity.",
        )
    if code == wire.EXIT_ON_START_FAILED:
        said = f"on_start failed in task {arn}; the flow did not run."
        raise EnvironmentFailed("OnStartFailed", said, remedy=f"Mend the callback. {_LOG}", code=code)
    if code == wire.EXIT_ON_EXIT_FAILED:
        said = f"on_exit failed in task {arn}; the flow itself succeeded."
        raise EnvironmentFailed("OnExitFailed", said, remedy=f"Mend the callback. {_LOG}", code=code)
    raise EnvironmentFailed(
        "TaskFailed", f"The flow ended with exit code {code} in task {arn}{said}.", remedy=_LOG, code=code
    )


def _say(text: str) -> None:
    print(f"flow-operator: {text}", file=sys.stdout, flush=True)
