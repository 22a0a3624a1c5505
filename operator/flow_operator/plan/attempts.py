"""The end of an attempt: one door, whichever way it ends.

Its outcome is written to status before anything of it is stopped. Then, in this order: none of its pods may run
any more (the fence); callbacks that its pod could not run are run; and only then comes what follows: the end of the
run, a pause before another attempt, or a suspension.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from ..api import conditions as words
from ..api.flow_deployment import Diagnosis
from . import deadlines, diagnosis, fallback, fence, providers, retries, stopping, verdict
from .runner_pod import runner_name
from .times import duration, seconds_since, stamp
from .types import Announcement

if TYPE_CHECKING:
    from .case import Case
    from .stopping import Wish
    from .types import Manifest

Outcome = Literal["Succeeded", "Failed", "Suspended", "Cancelled"]
# What a person reads while the pods of an attempt are being stopped.
STOPPING = {"Succeeded": "Stopping", "Failed": "Stopping", "Suspended": "Suspending", "Cancelled": "Cancelling"}
# What the pod's own end adds to why it was stopped; the rest (Stopped, Killed, …) only says the same again.
TELLING = frozenset({"HooksLost", "OnStartFailed", "OnExitFailed"})
ANOTHER = "The run has not ended: there will be another attempt."
# Attempts that status remembers.
MOST = 20
# What status says of one attempt, and not of the next.
OF_ONE = (
    "startTime",
    "stages",
    "workers",
    "result",
    "resultOmitted",
    "error",
    "hooks",
    "diagnosis",
    "nextAttemptTime",
    "scaleUpTime",
)


def under_way(status: dict[str, Any]) -> bool:
    """Return whether an attempt has begun and is not over."""
    over = status.get("attempts") or ()
    return bool(status.get("attempt")) and not (over and over[-1]["number"] == status["attempt"])


def begin(case: Case, number: int) -> None:
    """Record that an attempt begins, before anything of it is made."""
    if hooks := case.status.get("hooks"):
        *earlier, last = case.status["attempts"]
        case.status["attempts"] = [*earlier, {**last, "hooks": hooks}]
    for field in OF_ONE:
        case.status.pop(field, None)
    case.status["active"] = {"since": stamp(case.now), **case.status.get("active", {})}
    case.status["attempt"] = number
    case.status["pod"] = runner_name(case.run, number)
    case.status["phase"] = "SettingUp"
    case.conditions.set(words.SUCCEEDED, "Unknown", "Running", "The run has not ended.")
    made = f"The run's pods are being made{providers.explained(case.pinned)}."
    case.conditions.set(words.SET_UP, "Unknown", "SettingUp", made)
    case.setting_up()


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


def stopped(case: Case, wish: Wish, how: str) -> bool:
    """End the attempt, or the run where there is none, because somebody wishes it."""
    return _end(case, Ending(wish.outcome, stamp(case.now), wish.diagnosis(how)))


def _end(case: Case, ending: Ending) -> bool:
    case.create = case.delete = ()
    if under_way(case.status):
        case.status.setdefault("ending", ending.to_status())
        return close(case)
    return _suspend(case) if ending.outcome == "Suspended" else _conclude(case, ending)


def close(case: Case) -> bool:
    """Carry out the end of an attempt that was decided, as far as the world allows it now."""
    ending = _with_the_pods_word(case, Ending.read(case.status["ending"]))
    living = fence.living(case.seen)
    if not living:
        if fallback.owed(case):
            return True
        ending = _with_the_pods_word(case, ending)  # on_exit may have been run elsewhere
    payer = _payer(case, ending)
    goes_on = payer is not None or ending.outcome == "Suspended"
    if living:
        patience = [fence.patience_left(each, case.now) for each in living]
        if any(left is None or left > 0 for left in patience):
            return _stop(case, ending, living)
        lost, longest = node_lost(living[0]), min(left or 0.0 for left in patience)
        if goes_on and (left := case.pinned.pre_running_deadline + longest) > 0:
            return _hold(case, lost, left)
        goes_on = False  # what may still run forbids another attempt, for ever
        ending = Ending("Failed", ending.time, lost) if ending.outcome == "Suspended" else ending.adding(lost)
        fallback.promise(case)  # it waits for that word, though the run does not
    del case.status["ending"]
    _remember(case, ending)
    if not goes_on:
        return _conclude(case, ending)
    return _suspend(case) if payer is None else _retry(case, ending, payer)


def _with_the_pods_word(case: Case, ending: Ending) -> Ending:
    """Record what the flow's process left, and let its success count, though it was to be stopped."""
    pod = case.seen.runner
    main = verdict.terminated(pod) if pod else None
    if pod is None:
        return ending
    if main is None:  # a kubelet that evicts may have forgotten it, and still has the receipts
        verdict.record(case.status, {}, verdict.hooks_report(pod) or [])
        return ending
    if (began := verdict.began(pod)) and case.conditions.status(words.STARTED) != "True":
        case.started(pod, began)
    report, hooks = verdict.flow_report(main), verdict.hooks_report(pod) or []
    verdict.record(case.status, report, hooks)
    why = verdict.failure(pod, main, report, case.status.get("hooks", []), declared=case.pinned.callbacks)
    if why is None:
        return Ending("Succeeded", ending.time)
    if ending.why and ending.why.reason == "HooksLost":
        return Ending("Failed", ending.time, why)  # what the flow came to is more than that its callbacks are silent
    return ending.adding(why) if ending.outcome != "Failed" and why.reason in TELLING else ending


def _payer(case: Case, ending: Ending) -> retries.Budget | None:
    """Return the budget that pays for another attempt; None: there will be none."""
    ends = case.wish is not None and case.wish.outcome == "Cancelled"
    if ending.outcome != "Failed" or ending.why is None or ends:
        return None
    if _out_of_time(case):
        return None
    return retries.payer(ending.why.reason, case.pinned.bounds, case.status.get("retries", {}))


def _out_of_time(case: Case) -> bool:
    """Return whether activeDeadlineSeconds would be over before another attempt could begin."""
    left = deadlines.active_left(case)
    return left is not None and left <= _pause_until_the_next(case)


def _pause_until_the_next(case: Case) -> float:
    """Return the seconds until another attempt may begin."""
    pause = retries.backoff(case.status.get("retries", {}), case.settings.retries.backoff_seconds)
    return max(pause, _unheard(case))


def _unheard(case: Case) -> float:
    """Return the seconds that the attempt may still run although its pod is gone."""
    return fence.unheard(case.seen, case.pinned.grace, begun="startTime" in case.status)


def _stop(case: Case, ending: Ending, living: tuple[Manifest, ...]) -> bool:
    """Stop what may still run of the attempt, and wait for it."""
    # `Now` is about the flow: once that has ended, its callbacks have their time.
    now = case.wish is not None and case.wish.now and not case.main_ended
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
    first = living[0]
    name = f"{first['kind']} {first['metadata']['name']}"
    case.conditions.working(STOPPING[ending.outcome], f"{name} is being stopped: {because}")
    return True


def _hold(case: Case, lost: Diagnosis, left: float) -> bool:
    """Wait a while for the word that a lost pod runs no more: another attempt must not begin beside it."""
    said = f"{lost.message} The run goes on once the node is back or removed."
    case.blocked(lost.model_copy(update={"message": said}))
    case.look_again(left)
    return True


def node_lost(pod: Manifest) -> Diagnosis:
    """Return why nobody knows what became of a pod."""
    node = pod["spec"].get("nodeName", "of the pod")
    known = "the flow may still run there" if fence.may_run(pod) else "what its flow came to is not known"
    return diagnosis.diagnosis(
        "NodeLost",
        f"Node {node} does not report the end of pod {pod['metadata']['name']}; {known}.",
        "See kubectl get nodes; once the node is back or removed, create another FlowRun.",
    )


def _remember(case: Case, ending: Ending) -> None:
    """Write the attempt down among the others."""
    began = case.conditions.status(words.STARTED) is not None
    unheard = _unheard(case)
    attempt = {
        "number": case.status["attempt"],
        "pod": case.status["pod"],
        **({"startTime": case.status["startTime"]} if began else {}),
        "completionTime": ending.time,
        "outcome": ending.outcome,
        **({"reason": ending.why.reason, "message": ending.why.message[:1000]} if ending.why else {}),
        **({"mayRunUntil": stamp(case.now + timedelta(seconds=unheard))} if unheard else {}),
    }
    case.status["attempts"] = [*case.status.get("attempts", ()), attempt][-MOST:]


def _retry(case: Case, ending: Ending, payer: retries.Budget) -> bool:
    """Let the run wait for its next attempt."""
    assert ending.why is not None, "a failure has a reason"  # noqa: S101
    spent = case.status.get("retries", {})
    seconds, number = _pause_until_the_next(case), case.status["attempt"]
    case.status["retries"] = {**spent, payer: spent.get(payer, 0) + 1}
    case.status["nextAttemptTime"] = stamp(case.now + timedelta(seconds=seconds))
    field, limit = retries.limit_of(payer, case.pinned.bounds)
    said = f"Attempt {number} failed: {ending.why.message} Attempt {number + 1} begins in {duration(seconds)}"
    said = f"{said} ({field}: {case.status['retries'][payer]} of {limit})."
    _pause(case, "Retrying")
    case.status["diagnosis"] = ending.why.to_wire()
    case.conditions.set(words.SUCCEEDED, "Unknown", "Retrying", ANOTHER)
    case.conditions.working(ending.why.reason, said)
    case.announce = (*case.announce, Announcement("Warning", ending.why.reason, said))
    case.look_again(seconds)
    return True


def _suspend(case: Case) -> bool:
    """Let the run wait until somebody resumes it."""
    said = "Nothing of the run is there: spec.suspend is true."
    case.status.pop("diagnosis", None)
    case.status.pop("nextAttemptTime", None)
    if case.conditions.status(words.SUSPENDED) != "True":
        case.announce = (*case.announce, Announcement("Normal", "Suspended", said))
    if case.status.get("active", {}).get("since"):  # the clock of activeDeadlineSeconds stands still
        case.status["active"] = {"spent": deadlines.active_seconds(case)}
    _pause(case, "Suspended")
    case.conditions.set(words.SUSPENDED, "True", "Suspended", said)
    case.conditions.set(words.SUCCEEDED, "Unknown", "Suspended", "The run has not ended: it is suspended.")
    case.conditions.working("Suspended", said)
    return True


def fenced(case: Case, pod: str, seconds: float = 0.0) -> bool:
    """Let the next attempt wait: a pod of an earlier one may still run."""
    case.status["phase"] = "Retrying"
    case.status.setdefault("nextAttemptTime", stamp(case.now + timedelta(seconds=seconds)))
    case.conditions.set(words.SUCCEEDED, "Unknown", "Retrying", ANOTHER)
    case.conditions.working("Stopping", f"The next attempt begins when pod {pod} is known to run no more.")
    return True


def resume(case: Case) -> None:
    """Say that the run goes on."""
    case.status["resumeTime"] = stamp(case.now)
    case.conditions.drop(words.SUSPENDED)
    case.announce = (*case.announce, Announcement("Normal", "Resumed", "spec.suspend is no longer true."))


def _pause(case: Case, phase: str) -> None:
    case.status["phase"] = phase
    case.conditions.drop(words.SET_UP)
    case.conditions.drop(words.STARTED)
    _count_no_workers(case)


def _count_no_workers(case: Case) -> None:
    """The cluster goes at once; what was is in peak and computed."""
    if workers := case.status.get("workers"):
        case.status["workers"] = {**workers, "desired": 0, "ready": 0}


def _conclude(case: Case, ending: Ending) -> bool:
    """Write the end of the run."""
    case.status["phase"] = ending.outcome
    case.create = case.delete = ()  # clean_up deletes what is left
    case.status.pop("nextAttemptTime", None)
    case.conditions.drop(words.SUSPENDED)
    _count_no_workers(case)
    case.status["completionTime"] = stamp(case.now)
    began = case.status.get("startTime") or case.status["completionTime"]
    case.status["duration"] = duration(seconds_since(began, case.now))
    if ending.why is None:
        case.status.pop("diagnosis", None)
        message = f"The flow succeeded in {case.status['duration']}."
        case.conditions.set(words.SUCCEEDED, "True", "Succeeded", message)
        case.conditions.done("Succeeded", message)
        return True
    why = _with_the_budget(case, ending, ending.why)
    case.status["diagnosis"] = why.to_wire()
    case.conditions.set(words.SUCCEEDED, "False", why.reason, why.message)
    case.conditions.stuck(why.reason, diagnosis.sentence(why))
    return True


def _with_the_budget(case: Case, ending: Ending, why: Diagnosis) -> Diagnosis:
    """Return why a run failed with why it is not tried again, where that is worth a word."""
    budget, spent = retries.budget_of(why.reason), case.status.get("retries", {})
    if ending.outcome != "Failed" or budget is None or not case.status.get("attempt"):
        return why
    field, limit = retries.limit_of(budget, case.pinned.bounds)
    left = limit - spent.get(budget, 0)
    if left > 0 and _out_of_time(case):
        said = f"{why.message} activeDeadlineSeconds leaves no time for another attempt."
    elif left <= 0 and spent.get(budget):
        said = f"{why.message} This was attempt {case.status['attempt']}: {field} is {limit}."
    else:
        return why
    return why.model_copy(update={"message": said})
