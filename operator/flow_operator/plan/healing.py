"""When a failed step is tried again: never where the inputs alone decided it, else soon, or later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..api.flow_deployment import FlowDeploymentSpec

# Back-off of what may pass by itself: 10 s, 20 s, … 5 min; of what somebody has to mend first: 30 s, 60 s, … 10 min.
SOON, SOON_AT_MOST = 10.0, 300.0
LATER, LATER_AT_MOST = 30.0, 600.0

# The same inputs would fail in the same way for ever.
DECIDED = frozenset(
    {
        *("BadRequest", "InvalidReference"),
        *("NoSuchFlow", "NotAFlow", "FlowInvalid", "UnpicklingFailed", "EnvironmentDependencyMissing"),
    }
)
# What an import raises when the source itself is wrong, whatever is around it.
DECIDED_ERRORS = frozenset(
    {
        *("ModuleNotFoundError", "ImportError", "NameError", "AttributeError"),
        *("SyntaxError", "IndentationError", "TabError"),
    }
)
# Ends of a pod without a report that pass only when a person raises a limit.
LIMITS = frozenset({"OutOfMemory", "DeadlineExceeded", "BuilderDiskFull"})


def pause_after_build(reason: str, report: dict[str, Any], attempt: int) -> float | None:
    """Return the seconds until a failed build is tried again, or None: never, until its inputs change."""
    if reason in DECIDED:
        return None
    transient = bool(report.get("retryable", True)) and reason not in LIMITS
    return pause(attempt, transient=transient)


def pause_after_check(reason: str, report: Mapping[str, Any], attempt: int, *, outside: bool) -> float | None:
    """Return the seconds until a failed check is tried again; `outside`: it saw more than its image."""
    if not report.get("reason"):
        return pause(attempt, transient=reason not in LIMITS)
    decided = reason in DECIDED or (report.get("error") or {}).get("type") in DECIDED_ERRORS
    return None if decided and not outside else pause(attempt, transient=False)


def pause(attempt: int, *, transient: bool) -> float:
    """Return the pause after some attempt: doubled each time, up to a limit."""
    first, most = (SOON, SOON_AT_MOST) if transient else (LATER, LATER_AT_MOST)
    return float(min(first * 2.0 ** min(attempt - 1, 16), most))


def sees_more_than_its_image(spec: FlowDeploymentSpec) -> bool:
    """Return whether a check depends on what the deployment's inputs do not hold: volumes, Secrets, ConfigMaps."""
    return bool(spec.flow.file or spec.runner.volumes or any("valueFrom" in each for each in spec.runner.env))
