"""One sentence about an object: how it is, why, and what to do. Pure: an object and the time in, an explanation out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..api import conditions as words
from ..plan import retries
from ..plan.conditions import find, is_true
from ..plan.times import duration, seconds_since

if TYPE_CHECKING:
    from datetime import datetime

Manifest = dict[str, Any]

PATIENCE = 10.0  # seconds until silence of the operator is worth a word
LOOK_AT_THE_OPERATOR = (
    "See whether the operator runs: kubectl get pods --all-namespaces -l app.kubernetes.io/name=flow-operator"
)


@dataclass(frozen=True)
class Explanation:
    """How an object is.

    Attributes:
        state: Healthy, Working, Waiting, Suspended, Failed, Cancelled, Unseen or Missing.
    """

    kind: str
    name: str
    state: str
    reason: str
    message: str
    remedy: str = ""

    @property
    def sentence(self) -> str:
        """All of it, as one text."""
        return " ".join(part for part in (_stopped(f"{self.kind} {self.name} {self.message}"), self.remedy) if part)

    def to_wire(self) -> dict[str, str]:
        """For machines."""
        return asdict(self)


def missing(kind: str, name: str, namespace: str, remedy: str) -> Explanation:
    """Explain an object that is not there."""
    return Explanation(kind, name, "Missing", "NotFound", f"is not there, in namespace {namespace}", remedy)


def explain(manifest: Manifest, now: datetime) -> Explanation:
    """Explain an object that is there."""
    return _explain_run(manifest, now) if manifest["kind"] == "FlowRun" else _explain_deployment(manifest, now)


def _explain_run(run: Manifest, now: datetime) -> Explanation:
    name, status = run["metadata"]["name"], run.get("status") or {}

    def said(state: str, reason: str, message: str, remedy: str = "") -> Explanation:
        return Explanation("FlowRun", name, state, reason, message, remedy)

    if run["metadata"].get("deletionTimestamp"):
        return said("Working", "Deleting", "is being deleted", "Nothing is to be done.")
    phase = status.get("phase")
    if phase == "Succeeded":
        result = f", with a result ({status['resultOmitted']})" if status.get("resultOmitted") else ""
        return said(
            "Healthy", "Succeeded", f"succeeded in {status.get('duration', 'no time')}{_at_attempt(status)}{result}"
        )
    if phase == "Failed":
        reason, message, remedy = _diagnosis(status)
        return said("Failed", reason, f"failed ({reason}): {message}", remedy)
    if phase == "Cancelled":
        message = _message(status, words.SUCCEEDED) or "it was cancelled"
        return said("Cancelled", "Cancelled", f"was cancelled: {message}", "Create another run to have its result.")
    if unseen := _unseen(run, now):
        return said("Unseen", "NotObserved", *unseen)
    if run["spec"].get("cancel"):
        return said("Working", "Cancelling", f"is being cancelled ({run['spec']['cancel']}); it is {phase}")
    if phase == "Suspended":
        since = duration(seconds_since((find(status, words.SUSPENDED) or {}).get("lastTransitionTime"), now))
        remedy = f"Let it go on: kubectl flow resume {name}"
        return said("Suspended", "Suspended", f"has been suspended for {since}: nothing of it is there", remedy)
    if run["spec"].get("suspend"):
        return said("Working", "Suspending", f"is being suspended; it is {phase or 'Pending'}")
    if phase == "Retrying":
        reason, message, remedy = _diagnosis(status)
        return said("Waiting", reason, f"is tried again: {_next_attempt(status, now)}, because {message}", remedy)
    if status.get("diagnosis"):
        reason, message, remedy = _diagnosis(status)
        verb = "waits" if phase in (None, "Pending", "SettingUp") else f"is {phase} but not well"
        return said("Waiting", reason, f"{verb} ({reason}): {message}", remedy)
    return said("Working", phase or "Pending", _at_work(run, phase, now))


def _at_work(run: Manifest, phase: str | None, now: datetime) -> str:
    status = run.get("status") or {}
    since = duration(seconds_since(status.get("startTime") or run["metadata"].get("creationTimestamp"), now))
    if phase == "Running":
        workers = status.get("workers") or {}
        beside = f" on {workers.get('ready', 0)} of {workers.get('desired', 0)} Dask workers" if workers else ""
        return f"has been running for {since}{beside}{_at_attempt(status)}"
    if phase == "Finishing":
        return "has run its flow, and its callbacks are at work"
    if phase == "SettingUp":
        return f"is being set up: its pods are being made, for {since} now"
    return f"has not begun: it has been {phase or 'waiting'} for {since}"


def _at_attempt(status: Manifest) -> str:
    return f", at attempt {status['attempt']}" if status.get("attempt", 0) > 1 else ""


def _next_attempt(status: Manifest, now: datetime) -> str:
    """Say which attempt comes, of how many its budget pays for, and when."""
    reason = (status.get("diagnosis") or {}).get("reason", "")
    left = -seconds_since(status.get("nextAttemptTime"), now)
    when = f"in {duration(left)}" if left > 0 else "any moment"
    budget, bounds = retries.budget_of(reason), (status.get("pinned") or {}).get("bounds") or {}
    told = ""
    if budget:
        field, limit = retries.limit_of(budget, bounds)
        told = f" ({field}: {(status.get('retries') or {}).get(budget, 0)} of {limit})"
    return f"attempt {status.get('attempt', 0) + 1} begins {when}{told}"


def _explain_deployment(deployment: Manifest, now: datetime) -> Explanation:
    name, status = deployment["metadata"]["name"], deployment.get("status") or {}

    def said(state: str, reason: str, message: str, remedy: str = "") -> Explanation:
        return Explanation("FlowDeployment", name, state, reason, message, remedy)

    if deployment["metadata"].get("deletionTimestamp"):
        return said("Working", "Deleting", "is being deleted", "Nothing is to be done.")
    if unseen := _unseen(deployment, now):
        return said("Unseen", "NotObserved", *unseen)
    if not _current(deployment):
        return said("Working", "NotObserved", "has just been changed, and the operator is about to look at it")
    if is_true(status, words.READY):
        flow = (status.get("flow") or {}).get("name", name)
        return said("Healthy", "Ready", f"is ready: flow {flow!r} can run", f"Run it: kubectl flow run {name}")
    if is_true(status, words.STALLED) or status.get("diagnosis"):
        reason, message, remedy = _diagnosis(status)
        return said("Failed", reason, f"is not ready ({reason}): {message}", remedy)
    ready = find(status, words.READY) or {}
    since = duration(seconds_since(ready.get("lastTransitionTime"), now)) if ready else "a moment"
    reason = ready.get("reason", "Pending")
    return said("Working", reason, f"is being made ready, for {since} now ({reason}): {ready.get('message', '')}")


def _unseen(manifest: Manifest, now: datetime) -> tuple[str, str] | None:
    """Message and remedy where the operator has been silent for too long."""
    if _current(manifest):
        return None
    status = manifest.get("status") or {}
    waited = seconds_since(manifest["metadata"].get("creationTimestamp"), now)
    if waited < PATIENCE and not status.get("observedGeneration"):
        return None
    if not status.get("observedGeneration"):
        return f"has not been looked at by the operator in {duration(waited)}", LOOK_AT_THE_OPERATOR
    if _last_edit(manifest, now) < PATIENCE:
        return None
    return "was changed, and the operator has not looked at the change", LOOK_AT_THE_OPERATOR


def _last_edit(manifest: Manifest, now: datetime) -> float:
    """Seconds since somebody else than the operator wrote it, by its managed fields; long ago where it does not say."""
    times = [
        seconds_since(each.get("time"), now)
        for each in manifest["metadata"].get("managedFields") or ()
        if each.get("subresource") != "status" and each.get("time")
    ]
    return min(times, default=PATIENCE)


def _current(manifest: Manifest) -> bool:
    observed = (manifest.get("status") or {}).get("observedGeneration")
    return observed is not None and bool(observed >= manifest["metadata"].get("generation", 1))


def _diagnosis(status: Manifest) -> tuple[str, str, str]:
    """Reason, message and remedy; of the conditions where there is no diagnosis."""
    why = status.get("diagnosis")
    if why:
        return why["reason"], _unstopped(why["message"]), why["remedy"]
    ready = find(status, words.READY) or {}
    return ready.get("reason", "Unknown"), _unstopped(ready.get("message", "the status does not say why")), ""


def _message(status: Manifest, kind: str) -> str:
    return _unstopped((find(status, kind) or {}).get("message", ""))


def _unstopped(text: str) -> str:
    return text.removesuffix(".")


def _stopped(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
