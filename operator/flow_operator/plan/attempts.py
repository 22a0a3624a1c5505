"""The end of an attempt: one door, whichever way it ends.

Its outcome is written to status before anything of it is stopped. Then, in this order: none of its pods may run
any more (the fence); callbacks that its pod could not run are run; and only then what follows is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..api import conditions as words
from ..api.flow_deployment import Diagnosis
from . import diagnosis, fallback, fence, stopping, verdict
from .times import duration, seconds_since, stamp

if TYPE_CHECKING:
    from .case import Case
    from .types import Manifest

Outcome = Literal["Succeeded", "Failed", "Cancelled"]
# What a person reads while the pods of an attempt are being stopped.
STOPPING = {"Succeeded": "Stopping", "Failed": "Stopping", "Cancelled": "Cancelling"}
# What the pod's own end adds to why it was stopped; the rest (Stopped, Killed, …) only says the same again.
TELLING = frozenset({"HooksLost", "OnStartFailed", "OnExitFailed"})
# Attempts that status remembers.
MOST = 20


@dataclass(frozen=True)
class Ending:
    """How an attempt ends, and why if not well."""

    outcome: Outcome
    time: str
    why: Diagnosis | None = None

    def to_status(self) -> dict[str, Any]:
        """Return what status keeps of it until it is carried out."""
        return {"outcome": self.outcome, "time": self.time, **(self.why.to_wire() if self.why else {})}

    @classmethod
    def read(cls, kept: dict[str, Any]) -> Ending:
        """Read it back."""
        why = Diagnosis.model_validate(kept) if kept.get("reason") else None
        return cls(kept["outcome"], kept["time"], why)

    def adding(self, why: Diagnosis) -> Ending:
        """Return it with what else went wrong on the way."""
        if self.why is None or why.message in self.why.message:
            return self
        told = self.why.model_copy(update={"message": f"{self.why.message} {why.message}"})
        return Ending(self.outcome, self.time, told)


def succeeded(case: Case) -> bool:
    """End the attempt: its flow and its callbacks have succeeded."""
    return _end(case, Ending("Succeeded", stamp(case.now)))


def failed(case: Case, why: Diagnosis) -> bool:
    """End the attempt as failed."""
    return _end(case, Ending("Failed", stamp(case.now), why))


def cancelled(case: Case, why: Diagnosis) -> bool:
    """End the attempt because somebody wishes that the run ends."""
    return _end(case, Ending("Cancelled", stamp(case.now), why))


def _end(case: Case, ending: Ending) -> bool:
    case.create = case.delete = ()
    if case.status.get("attempt"):
        case.status.setdefault("ending", ending.to_status())
        return close(case)
    return _conclude(case, ending)  # there was no attempt


def close(case: Case) -> bool:
    """Carry out the end of an attempt that was decided, as far as the world allows it now."""
    ending = _with_the_pods_word(case, Ending.read(case.status["ending"]))
    if living := fence.living(case.seen):
        lost = [each for each in living if (left := fence.patience_left(each, case.now)) is not None and left <= 0]
        if len(lost) < len(living):
            return _stop(case, ending, living)
        ending = ending.adding(node_lost(lost[0]))
    elif fallback.owed(case):
        return True
    del case.status["ending"]
    _remember(case, ending)
    return _conclude(case, ending)


def _with_the_pods_word(case: Case, ending: Ending) -> Ending:
    """Record what the flow's process left, and let its success count, though it was to be stopped."""
    pod = case.seen.runner
    main = verdict.terminated(pod) if pod else None
    if pod is None or main is None:
        return ending
    if (began := verdict.began(pod)) and case.conditions.status(words.STARTED) != "True":
        case.started(pod, began)
    report, hooks = verdict.flow_report(main), verdict.hooks_report(pod) or []
    verdict.record(case.status, report, hooks)
    why = verdict.failure(pod, main, report, hooks, declared=case.pinned.callbacks)
    if why is None:
        return Ending("Succeeded", ending.time)
    return ending.adding(why) if ending.outcome == "Cancelled" and why.reason in TELLING else ending


def _stop(case: Case, ending: Ending, living: tuple[Manifest, ...]) -> bool:
    """Stop what may still run of the attempt, and wait for it."""
    now = case.wish is not None and case.wish.now
    case.delete = tuple(ref for each in living for ref in stopping.stop(each, now=now))
    for each in living:
        if left := fence.patience_left(each, case.now):
            case.look_again(left)
    if case.main_ended and case.conditions.status(words.STARTED) == "True":
        case.status["phase"] = "Finishing"
        case.conditions.working("Finishing", "The flow has ended; its callbacks have not.")
        return True
    if ending.why and ending.outcome == "Failed":
        case.status["diagnosis"] = ending.why.to_wire()
    else:
        case.status.pop("diagnosis", None)
    because = ending.why.message if ending.why else "its flow has ended."
    name = living[0]["metadata"]["name"]
    case.conditions.working(STOPPING[ending.outcome], f"Pod {name} is being stopped: {because}")
    return True


def node_lost(pod: Manifest) -> Diagnosis:
    """Return why nobody knows what became of a pod."""
    node = pod["spec"].get("nodeName", "of the pod")
    return diagnosis.diagnosis(
        "NodeLost",
        f"Node {node} does not report the end of pod {pod['metadata']['name']}; the flow may still run there.",
        "See kubectl get nodes; once the node is back or removed, create another FlowRun.",
    )


def _remember(case: Case, ending: Ending) -> None:
    """Write the attempt down among the others."""
    began = case.conditions.status(words.STARTED) is not None
    attempt = {
        "number": case.status["attempt"],
        "pod": case.status["pod"],
        **({"startTime": case.status["startTime"]} if began else {}),
        "completionTime": ending.time,
        "outcome": ending.outcome,
        **({"reason": ending.why.reason, "message": ending.why.message[:1000]} if ending.why else {}),
    }
    case.status["attempts"] = [*case.status.get("attempts", ()), attempt][-MOST:]


def _conclude(case: Case, ending: Ending) -> bool:
    """Write the end of the run."""
    case.status["phase"] = ending.outcome
    case.create = case.delete = ()  # clean_up deletes what is left
    if workers := case.status.get("workers"):  # the cluster goes at once; what was is in peak and computed
        case.status["workers"] = {**workers, "desired": 0, "ready": 0}
    case.status["completionTime"] = stamp(case.now)
    began = case.status.get("startTime") or case.status["completionTime"]
    case.status["duration"] = duration(seconds_since(began, case.now))
    if ending.why is None:
        case.status.pop("diagnosis", None)
        message = f"The flow succeeded in {case.status['duration']}."
        case.conditions.set(words.SUCCEEDED, "True", "Succeeded", message)
        case.conditions.done("Succeeded", message)
        return True
    case.status["diagnosis"] = ending.why.to_wire()
    case.conditions.set(words.SUCCEEDED, "False", ending.why.reason, ending.why.message)
    case.conditions.stuck(ending.why.reason, diagnosis.sentence(ending.why))
    return True
