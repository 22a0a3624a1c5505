"""The grammar of status: which conditions there are, and every reason they may carry."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from .model import Model

READY = "Ready"
RECONCILING = "Reconciling"
STALLED = "Stalled"

BUILT = "Built"
VERIFIED = "Verified"
SCHEDULED = "Scheduled"

SET_UP = "SetUp"
STARTED = "Started"
SUCCEEDED = "Succeeded"
SUSPENDED = "Suspended"

# kstatus reads these two: present only while True.
ABSENT_WHEN_FALSE = frozenset({RECONCILING, STALLED, SUSPENDED})

# The order in `kubectl describe`: the verdict first.
ORDER = (READY, STALLED, RECONCILING, BUILT, VERIFIED, SCHEDULED, SUSPENDED, SET_UP, STARTED, SUCCEEDED)

ConditionStatus = Literal["True", "False", "Unknown"]


class Condition(Model):
    """One fact about an object, as in metav1.Condition."""

    type: Annotated[str, StringConstraints(max_length=316)] = Field(description="What is said.")
    status: ConditionStatus = Field(description="True, False or Unknown.")
    reason: Annotated[str, StringConstraints(max_length=1024, min_length=1)] = Field(description="Why, in one word.")
    message: Annotated[str, StringConstraints(max_length=32768)] = Field(description="Why, in a sentence.")
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})] = Field(
        description="When the status last changed."
    )
    observed_generation: int = Field(default=0, description="Generation the condition speaks of.")
