"""on_exit that an attempt's own pod could not run: promised in status, run in a pod of its own, and told.

It is owed where something has begun that it may have to take down, and no receipt says that it ran. It is promised
as `Pending` before anything is made for it, waits for the fence, and ends as a receipt, or as `Lost` when it could not
be run in time. Whether the first pod had run it unseen, nobody knows: its key is the same in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import diagnosis, fence, verdict
from .fallback_pod import fallback_name, fallback_pod
from .times import seconds_since, stamp
from .types import Ref

if TYPE_CHECKING:
    from datetime import datetime

    from ..api import wire
    from ..api.settings import Settings
    from .case import Case
    from .pinned import Pinned
    from .types import Manifest, ObservedRun

ON_EXIT = "on_exit"
PENDING, LOST = "Pending", "Lost"
# Seconds beyond the callback's own limit, which is enforced inside, until a pod that says nothing is given up.
PATIENCE = 30.0
# Seconds until a pod that was refused (a quota, an admission policy) is tried again.
REFUSED_PAUSE = 10.0


@dataclass(frozen=True)
class Step:
    """What to do next for a promised on_exit, and what status says of it."""

    hook: dict[str, Any]
    create: tuple[Manifest, ...] = ()
    delete: tuple[Ref, ...] = ()
    again_after: float | None = None


def owed(case: Case) -> bool:
    """Return whether the attempt, whose pods have ended, waits for on_exit; then what is next for it is in the case."""
    promise(case)
    hook = promised(case.status)
    if hook is None:
        return False
    step = next_step(case.run, case.status, case.pinned, case.seen, case.settings, case.now)
    case.status["hooks"] = with_hook(case.status, step.hook)
    case.create, case.delete = (*case.create, *step.create), (*case.delete, *step.delete)
    if step.hook["state"] != PENDING:
        return False
    if step.again_after is not None:
        case.look_again(step.again_after)
    case.status["phase"] = "Finishing"
    if case.seen.refused and step.create:
        case.blocked(diagnosis.refused("on_exit", case.seen.refused))
        return True
    if case.status.get("diagnosis", {}).get("reason") == "PodRefused":
        case.status.pop("diagnosis")
    case.conditions.working("Finishing", f"The flow has ended; on_exit runs in pod {_name(case.run, case.status)}.")
    return True


def promise(case: Case) -> None:
    """Say that on_exit will be run, if it is owed."""
    if is_owed(case.status, case.pinned, case.seen.runner, started="startTime" in case.status):
        name = _name(case.run, case.status)
        hook = {
            "name": ON_EXIT,
            "state": PENDING,
            "where": "Fallback",
            "tries": 0,
            "message": f"to be run in pod {name}",
        }
        case.status["hooks"] = with_hook(case.status, hook)


def is_owed(status: dict[str, Any], pinned: Pinned, pod: Manifest | None, *, started: bool) -> bool:
    """Return whether an attempt owes on_exit and nothing was said of it yet."""
    told = {each["name"]: each["state"] for each in status.get("hooks", ())}
    if not pinned.hooks or ON_EXIT not in pinned.callbacks or ON_EXIT in told or told.get("on_start") == "Failed":
        return False
    main = verdict.terminated(pod) if pod else None
    if main and verdict.on_start_failed(main, verdict.flow_report(main), status.get("hooks", ()), pinned.callbacks):
        return False
    # Main waits for on_start in its container, and flow-hooks calls it once main is there: before its kubelet says so.
    return started or (pod is not None and (verdict.began(pod) is not None or fence.is_unreported(pod)))


def promised(status: dict[str, Any]) -> dict[str, Any] | None:
    """Return the on_exit that is to be run in a pod of its own, or None."""
    found = (each for each in status.get("hooks", ()) if each["name"] == ON_EXIT and each["state"] == PENDING)
    return next(found, None)


def next_step(
    run: Manifest, status: dict[str, Any], pinned: Pinned, seen: ObservedRun, settings: Settings, now: datetime
) -> Step:
    """Return what is next for the on_exit that was promised: its attempt's pods have ended, or are to be waited for."""
    hook = promised(status)
    assert hook is not None, "asked for only then"  # noqa: S101
    if seen.runner is not None and (receipt := _receipt(seen.runner)):  # its node is back
        return Step({**verdict.hook_status(receipt), "where": "Pod"})
    if forced := [left for each in seen.runners if (left := fence.unconfirmed(each, now)) > 0]:
        return Step(hook, again_after=max(forced))
    hook = {**hook, "startTime": hook.get("startTime", stamp(now))}
    left = pinned.pre_running_deadline + pinned.callback_timeout + PATIENCE - seconds_since(hook["startTime"], now)
    pod = seen.fallback
    if pod is not None and (receipt := _receipt(pod)):
        return Step({**verdict.hook_status(receipt), "where": "Fallback"})
    if pod is not None and not fence.may_run(pod):
        return Step(lost(hook, f"pod {pod['metadata']['name']} ended without a receipt of it", now))
    if pod is None and seen.refused and "is being terminated" in seen.refused:
        return Step(lost(hook, "nothing can be created in a namespace that is being terminated", now))
    if left <= 0:
        why = f"pod {_name(run, status)} did not come to its end in time"
        why = why if pod else f"its pod could not be made: {seen.refused or 'nobody says why'}"
        return Step(lost(hook, why, now), delete=(Ref.of(pod),) if pod else ())
    if pod is not None:
        return Step(hook, again_after=left)
    made = fallback_pod(run, pinned, status["attempt"], settings, _ended(status, seen.runner))
    return Step(hook, create=(made,), again_after=min(left, REFUSED_PAUSE))


def lost(hook: dict[str, Any], why: str, now: datetime) -> dict[str, Any]:
    """Return what status says of an on_exit that could not be run."""
    return {**hook, "state": LOST, "endTime": stamp(now), "message": f"whether it ran is not known: {why}"[:1000]}


def with_hook(status: dict[str, Any], hook: dict[str, Any]) -> list[dict[str, Any]]:
    """Return status.hooks with one of them as it is now."""
    return [*(each for each in status.get("hooks", ()) if each["name"] != hook["name"]), hook]


def _receipt(pod: Manifest) -> wire.HookReceipt | None:
    return next((each for each in verdict.hooks_report(pod) or () if each["name"] == ON_EXIT), None)


def _ended(status: dict[str, Any], runner: Manifest | None) -> tuple[int, str]:
    """Return exit code and reason of the flow, as flow-hooks would have told them: no reason for success.

    137 where nobody saw its end.
    """
    main = verdict.terminated(runner) if runner else None
    over: dict[str, Any] = status.get("ending") or next(iter(status.get("attempts", ())[-1:]), {})
    if main is None:
        return 137, over.get("reason", "Killed")
    code, report = int(main.get("exitCode", 137)), verdict.flow_report(main)
    if verdict.succeeded(main, report):
        return code, ""
    return code, report.get("reason") or over.get("reason") or ("Killed" if code > 128 else "FlowExited")


def _name(run: Manifest, status: dict[str, Any]) -> str:
    return fallback_name(run, status["attempt"])
