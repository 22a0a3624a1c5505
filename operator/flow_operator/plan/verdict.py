"""How a run ended: from main's exit code, the flow's own report and the receipts, never from the pod's phase."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..api import labels, wire
from . import diagnosis, ends, reports
from .diagnosis import container_states, ended
from .runner_pod import HOOKS, MAIN
from .times import duration, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..api.flow_deployment import Diagnosis
    from .types import Manifest


def main_of(pod: Manifest) -> str:
    """Return the name of the container that runs the flow: a pod of the user's making says it."""
    name: str = (pod["metadata"].get("annotations") or {}).get(labels.CONTAINER, MAIN)
    return name


def began(pod: Manifest) -> str | None:
    """Return when main began, or None."""
    main = main_of(pod)
    for name, state, _ in container_states(pod):
        if name == main:
            for kind in ("running", "terminated"):
                if started := (state.get(kind) or {}).get("startedAt"):
                    return str(started)
    return None


def terminated(pod: Manifest) -> dict[str, Any] | None:
    """Return main's terminated state, or None while it may still run."""
    return ended(pod, main_of(pod))


def flow_report(state: dict[str, Any]) -> wire.RunReport:
    """Return what the runner said; empty where it was killed before it could."""
    return reports.of_flow(state.get("message"))


def hooks_report(pod: Manifest) -> list[wire.HookReceipt] | None:
    """Return the receipts once the hooks container has ended for good, else None."""
    for each in pod["spec"]["containers"]:
        if each["name"] == HOOKS and ends.ended_for_good(pod, each):
            return reports.of_hooks((ended(pod, HOOKS) or {}).get("message"))
    return None


def record(status: dict[str, Any], report: wire.RunReport, hooks: list[wire.HookReceipt]) -> None:
    """Write what the pod said into a status."""
    stages = {name: duration(seconds) for name, seconds in report.get("stages", {}).items()}
    if stages:
        status["stages"] = {**status.get("stages", {}), **stages}
    for name, seconds in _callback_stages(hooks):
        status.setdefault("stages", {})[name] = duration(seconds)
    if peak := report.get("peakMemoryBytes"):
        status["peakMemory"] = diagnosis.amount(peak)
    if "result" in report:
        status["result"] = report["result"]
    if omitted := report.get("resultOmitted"):
        status["resultOmitted"] = omitted
    if error := report.get("error"):
        status["error"] = {**error, "message": diagnosis.scrub(error.get("message", ""))[:1000]}
    if seen := report.get("workersSeen"):
        counted = {"desired": 0, "ready": 0, **status.get("workers", {})}
        # One that came and computed between two looks was never counted.
        status["workers"] = {**counted, "peak": max(1, counted.get("peak", 0)), "computed": seen}
    for each in hooks:
        known = next((hook for hook in status.get("hooks", ()) if hook["name"] == each["name"]), None)
        if known is None or known["state"] == "Pending":  # what was run in a pod of its own has its receipt from there
            others = [hook for hook in status.get("hooks", ()) if hook is not known]
            status["hooks"] = [*others, {**hook_status(each), "where": "Pod"}]


def _callback_stages(hooks: list[wire.HookReceipt]) -> Iterator[tuple[str, float]]:
    """Yield how long each callback took."""
    for each in hooks:
        began, ended = parse(each.get("startTime")), parse(each.get("endTime"))
        if began and ended:
            yield each["name"], (ended - began).total_seconds()


def hook_status(receipt: wire.HookReceipt) -> dict[str, Any]:
    """Return what status says of a callback, without where it ran."""
    message = receipt.get("message") or _sentence(receipt.get("error"))
    kept: dict[str, Any] = {key: each for key, each in receipt.items() if key not in ("error", "message")}
    return {**kept, "message": diagnosis.scrub(message)[:1000]} if message else kept


def _sentence(error: wire.FlowError | None) -> str:
    if not error:
        return ""
    return f"{error.get('type', 'error')}: {error.get('message', '')}".rstrip(": ")


def failure(
    pod: Manifest,
    state: dict[str, Any],
    report: wire.RunReport,
    hooks: Sequence[Mapping[str, Any]],
    declared: tuple[str, ...],
) -> Diagnosis | None:
    """Return why the run failed, or None: on_start first, then the flow, then on_exit (docs/callbacks.md)."""
    receipts = {each.get("name"): each for each in hooks}
    if report.get("reason") in _TOLD or "remedy" in report:
        return _told(report)
    if on_start_failed(state, report, hooks, declared):
        return _hook_failed("OnStartFailed", receipts.get("on_start", {}), "The flow did not run.")
    if not succeeded(state, report):
        # A kubelet says OOMKilled of a container in which any process was killed for memory.
        silent = state.get("reason") == "OOMKilled" or report.get("state") is None
        return diagnosis.killed(pod, main_of(pod), state) if silent else _flow_failed(pod, state, report)
    on_exit = receipts.get("on_exit", {})
    if on_exit.get("state") == "Failed":
        return _hook_failed("OnExitFailed", on_exit, "The flow itself succeeded.")
    if "on_exit" in declared and on_exit.get("state") in (None, "Pending", "Lost"):
        said = on_exit.get("message") if on_exit.get("state") == "Lost" else "whether it ran is not known"
        return diagnosis.diagnosis(
            "HooksLost",
            f"There is no receipt of on_exit; {said}. The flow itself succeeded.",
            f"Look at the log: kubectl logs {pod['metadata']['name']} -c {HOOKS}",
        )
    return None


def came(state: Mapping[str, Any]) -> bool:
    """Return whether main, which has ended, had let its callbacks begin: one that was never there left no word."""
    return bool(state.get("message")) and state.get("reason") != _NEVER_BEGUN


def succeeded(state: Mapping[str, Any], report: wire.RunReport) -> bool:
    """Return whether the flow itself did: it has said so, and nothing has ended it afterwards."""
    return state.get("exitCode") == wire.EXIT_OK and report.get("state") == "Succeeded"


def on_start_failed(
    state: Mapping[str, Any], report: wire.RunReport, hooks: Sequence[Mapping[str, Any]], declared: tuple[str, ...]
) -> bool:
    """Return whether on_start kept the flow from running: main says so, and where it says nothing, its exit code."""
    if report.get("state") or report.get("reason"):
        return report.get("reason") == "OnStartFailed"
    went_well = any(each.get("name") == "on_start" and each.get("state") == "Succeeded" for each in hooks)
    return state.get("exitCode") == wire.EXIT_ON_START_FAILED and "on_start" in declared and not went_well


def _hook_failed(reason: str, receipt: Mapping[str, Any], flow: str) -> Diagnosis:
    name = "on_start" if reason == "OnStartFailed" else "on_exit"
    said = receipt.get("message") or _sentence(receipt.get("error")) or "no message"
    return diagnosis.diagnosis(
        reason,
        f"Callback {name} failed: {said}. {flow}",
        f"Mend the callback, and create another FlowRun; its output is in the log of container {HOOKS}.",
    )


# What a kubelet says of a container whose command could not be begun; the message is the runtime's.
_NEVER_BEGUN = "StartError"

# What a runner knows of a flow that ran, or was to run, elsewhere: its sentence is all there is.
_TOLD = frozenset(
    {
        "AwsRefused",
        "AwsUnreachable",
        "EnvironmentDependencyMissing",
        "OnExitFailed",
        "OutOfMemory",
        "TaskFailed",
        "TaskNotStarted",
        "TaskStopped",
    }
)
_SUBJECTS = {
    "SetupFailed": "The setup of the flow's environment failed",
    "ExecuteFailed": "The execute of the flow's environment failed",
}


def _told(report: wire.RunReport) -> Diagnosis:
    message = report.get("error", {}).get("message", "")
    return diagnosis.diagnosis(report["reason"], message, diagnosis.scrub(report.get("remedy", ""))[:500])


_REMEDIES = {
    "SetupFailed": "Mend setup of the environment, or what it needs; the whole traceback is in the pod's log.",
    "ExecuteFailed": "Mend execute of the environment, or what it needs; the whole traceback is in the pod's log.",
    "FlowRaised": "Mend the flow or its input; the whole traceback is in the pod's log.",
    "FlowExited": "The flow called sys.exit; let it return instead, or exit with 0.",
    "LoadFailed": "Mend the flow's module; the whole traceback is in the pod's log.",
    "BadParameters": "Create another FlowRun with parameters the flow takes.",
    "RunnerFailed": "This is a bug around the flow, not in it; the whole traceback is in the pod's log.",
    "BadExecutor": "Correct the executor and its executorKwargs in the environment.",
    "SchedulerUnreachable": "See the events of the run's Dask scheduler and the namespace's network policies.",
    "NoWorkers": "See the events of the run's Dask workers: resources, quota, image.",
    "SchedulerLost": "See why the Dask scheduler ended: its memory limit is in schedulerSpec.",
    "Stopped": "The runner was told to stop. Create another FlowRun.",
}


def _flow_failed(pod: Manifest, state: dict[str, Any], report: wire.RunReport) -> Diagnosis:
    reason = report.get("reason", "FlowFailed")
    if reason == "Stopped" or (pod.get("status") or {}).get("reason") in ("DeadlineExceeded", "Evicted"):
        by_platform = diagnosis.killed(pod, main_of(pod), state)
        if by_platform.reason != "Killed":
            return by_platform
    error = report.get("error", {})
    said = _sentence(error) or f"exit code {state.get('exitCode')}"
    frames = error.get("frames") or []
    where = f" (at {frames[-1]})" if frames else ""
    subject = _SUBJECTS.get(reason, "The flow failed")
    return diagnosis.diagnosis(reason, f"{subject}: {said}{where}.", _REMEDIES.get(reason, "See the pod's log."))
