"""Which budget pays for another attempt after a failed one, and when it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ..api.flow_deployment import DEFAULT_BACKOFF_LIMIT, DEFAULT_INFRASTRUCTURE_BACKOFF_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping

Budget = Literal["flow", "infrastructure"]

# What the cluster does to a run: another attempt may well find a better world.
INFRASTRUCTURE = frozenset({
    "AwsUnreachable", "Evicted", "ImagePullFailed", "NodeLost", "RefusedByNode", "RunnerDeleted", "SchedulerLost",
    "SchedulerUnreachable", "Stopped", "TaskNotStarted", "TaskStopped",
})  # fmt: skip
# What another attempt cannot mend: a wish, a limit that was reached, a spec that stays as it is. A callback that failed
# is nobody's reason to run the flow again.
NEVER = frozenset({
    "AwsRefused", "BadExecutor", "BadParameters", "ConfigMissing", "DaskControllerAbsent", "DeadlineExceeded",
    "EnvironmentDependencyMissing", "HooksLost", "JobSpecInvalid", "JobSuspended", "NoWorkers", "NotStarted",
    "OnExitFailed", "OnStartFailed", "PodRefused", "StartFailed", "Unschedulable",
})  # fmt: skip
# Everything else is the flow's own: what it raises, how it exits, the memory it takes.

LONGEST_BACKOFF = 360.0
LIMITS: Mapping[Budget, tuple[str, int]] = {
    "flow": ("backoffLimit", DEFAULT_BACKOFF_LIMIT),
    "infrastructure": ("infrastructureBackoffLimit", DEFAULT_INFRASTRUCTURE_BACKOFF_LIMIT),
}


def budget_of(reason: str) -> Budget | None:
    """Return whose budget pays for a failure; None: it is never tried again."""
    if reason in NEVER:
        return None
    return "infrastructure" if reason in INFRASTRUCTURE else "flow"


def limit_of(budget: Budget, bounds: Mapping[str, int]) -> tuple[str, int]:
    """Return the name of a budget's field and how many attempts it pays for."""
    field, default = LIMITS[budget]
    return field, bounds.get(field, default)


def payer(reason: str, bounds: Mapping[str, int], spent: Mapping[str, Any]) -> Budget | None:
    """Return the budget that pays for another attempt, or None."""
    budget = budget_of(reason)
    if budget is None or spent.get(budget, 0) >= limit_of(budget, bounds)[1]:
        return None
    return budget


def backoff(spent: Mapping[str, Any], first: float) -> float:
    """Return the seconds until the next attempt begins, by how many were paid for: doubling, as Jobs do."""
    return float(min(first * 2 ** min(sum(spent.values()), 16), LONGEST_BACKOFF))
