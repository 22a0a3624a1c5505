"""FlowRun: one execution of a flow."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from .conditions import Condition
from .flow_deployment import Diagnosis, Environment, RunSettings
from .model import FREE_FORM, DNSName, FreeObject, FreeObjects, LongText, Model, Text, rule, rules

Phase = Literal[
    "Pending", "Suspended", "SettingUp", "Running", "Finishing", "Retrying", "Succeeded", "Failed", "Cancelled"
]  # fmt: skip
FINISHED: frozenset[str] = frozenset({"Succeeded", "Failed", "Cancelled"})


def _immutable(*fields: str) -> list[dict[str, str]]:
    """Return one transition rule per optional field: a rule on the field itself does not see it come and go."""
    return [
        rule(
            f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || self.{name} == oldSelf.{name})",
            f"{name} is immutable: create another FlowRun",
        )
        for name in fields
    ]


class FlowRunSpec(RunSettings):
    """Desired state of a FlowRun; immutable but for suspend and cancel."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("self.deployment == oldSelf.deployment", "deployment is immutable: create another FlowRun"),
            rule(
                "has(self.parameters) == has(oldSelf.parameters)",
                "parameters are immutable: create another FlowRun",
            ),
            *_immutable("activeDeadlineSeconds", "preRunningDeadlineSeconds", "ttlSecondsAfterFinished"),
            *_immutable("stopGraceSeconds", "callbackTimeoutSeconds", "backoffLimit", "infrastructureBackoffLimit"),
            rule(
                "!has(oldSelf.cancel) || (has(self.cancel) && (self.cancel == oldSelf.cancel || self.cancel == 'Now'))",
                "cancel cannot be taken back; it may go from Graceful to Now",
            ),
        )
    )

    deployment: Annotated[DNSName, Field(max_length=63)] = Field(
        description="Name of the FlowDeployment in the same namespace."
    )
    parameters: FreeObject | None = Field(
        default=None, description="Values of the flow's parameters; they win over the deployment's."
    )
    suspend: bool | None = Field(
        default=None,
        description="While true, nothing of the run is there: a run that has not begun waits, a running one is stopped "
        "as by a graceful cancel. Set to false, it goes on with another attempt. May be set at any time.",
    )
    cancel: Literal["Graceful", "Now"] | None = Field(
        default=None,
        description="Ends the run; may be set at any time. Graceful: the flow gets SIGTERM and time to "
        "stop, then on_exit runs. Now: one second; on_exit runs in a pod of its own.",
    )


class Workers(Model):
    """Dask workers of a run."""

    desired: int = Field(default=0, description="Workers there are to be now.")
    ready: int = Field(default=0, description="Workers that work now.")
    peak: int = Field(default=0, description="Most workers ready at one time.")
    computed: list[Text] = Field(
        default_factory=list, max_length=64, description="Names of workers that computed something."
    )


class ErrorStatus(Model):
    """The exception that ended the flow."""

    type: Text = Field(description="Class of the exception.")
    message: Text = Field(default="", description="Its message.")
    frames: list[Text] = Field(default_factory=list, max_length=16, description="Last frames, innermost last.")


class HookStatus(Model):
    """What came of a callback."""

    name: Literal["on_start", "on_exit"] = Field(description="Which callback.")
    state: Literal["Succeeded", "Failed", "Skipped", "Pending", "Lost"] = Field(
        description="Outcome. Pending: it is to be run in a pod of its own. Lost: whether it ran is not known."
    )
    where: Literal["Pod", "Fallback"] = Field(
        default="Pod", description="Pod: in the runner pod. Fallback: in a pod of its own, made by the operator."
    )
    tries: int = Field(default=1, description="How often it was begun.")
    start_time: Text | None = Field(default=None, description="When it began.")
    end_time: Text | None = Field(default=None, description="When it ended.")
    message: Text | None = Field(default=None, description="Why it failed or was skipped.")


Outcome = Literal["Succeeded", "Failed", "Suspended", "Cancelled"]


class Attempt(Model):
    """One execution of the flow's process, once it is over."""

    number: int = Field(description="Its number, from 1.")
    pod: Text = Field(description="Its runner pod.")
    start_time: Text | None = Field(default=None, description="When its flow began, if it did.")
    completion_time: Text = Field(description="When its end was decided.")
    outcome: Outcome = Field(description="How it ended.")
    reason: Text | None = Field(default=None, description="Why it did not succeed, in one word.")
    message: LongText | None = Field(default=None, description="Why it did not succeed, in a sentence.")
    may_run_until: Text | None = Field(
        default=None,
        description="Until when its pod may still run, which was deleted before its node told its end.",
    )
    hooks: list[HookStatus] = Field(
        default_factory=list, max_length=4, description="Outcome of its callbacks, once another attempt has begun."
    )


class Retries(Model):
    """Attempts that were paid for, by budget."""

    flow: int = Field(default=0, description="By backoffLimit.")
    infrastructure: int = Field(default=0, description="By infrastructureBackoffLimit.")


class Active(Model):
    """The clock of activeDeadlineSeconds."""

    since: Text | None = Field(default=None, description="Since when it goes; absent while the run is suspended.")
    spent: int = Field(default=0, description="Seconds that it went before.")


class EndingStatus(Model):
    """How the current attempt ends, while its pods are being stopped or a callback of it is owed."""

    outcome: Outcome = Field(description="How it ends, unless its flow succeeds all the same.")
    time: Text = Field(description="When that was decided.")
    reason: Text | None = Field(default=None, description="Why, in one word.")
    message: LongText | None = Field(default=None, description="Why, in a sentence.")
    remedy: LongText | None = Field(default=None, description="What to do about it.")


class FlowRunStatus(Model):
    """Observed state of a FlowRun."""

    conditions: list[Condition] = Field(
        default_factory=list,
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        description="Ready, Reconciling, Stalled (kstatus); Suspended, SetUp, Started, Succeeded.",
    )
    observed_generation: int | None = Field(default=None, description="Generation this status speaks of.")
    phase: Phase | None = Field(default=None, description="Where the run is; a summary of the conditions.")
    image: Text | None = Field(default=None, description="Image of every pod of the run, pinned at the first attempt.")
    parameters: FreeObject | None = Field(default=None, description="Parameters, pinned at the first attempt.")
    environment: Environment | None = Field(default=None, description="Environment, pinned at the first attempt.")
    pinned: FreeObject | None = Field(
        default=None,
        description="What else of the deployment the run began with: flow, runner, bounds, code.",
    )
    attempt: int = Field(default=0, description="Number of the current attempt, from 1.")
    pod: Text | None = Field(default=None, description="The runner pod of the current attempt.")
    attempts: list[Attempt] = Field(
        default_factory=list, max_length=20, description="Attempts that are over, the last 20, oldest first."
    )
    ending: EndingStatus | None = Field(default=None, description="How the current attempt ends, until it has.")
    retries: Retries | None = Field(default=None, description="How many attempts were paid for after failures.")
    next_attempt_time: Text | None = Field(default=None, description="When the next attempt begins.")
    active: Active | None = Field(default=None, description="How long the run has been active, suspensions excepted.")
    scale_up_time: Text | None = Field(
        default=None, description="When an autoscaler said that it brings a node for a pod of the current attempt."
    )
    resume_time: Text | None = Field(default=None, description="When the run was last resumed.")
    start_time: Text | None = Field(default=None, description="When the flow's process began.")
    completion_time: Text | None = Field(default=None, description="When the run ended.")
    duration: Text | None = Field(default=None, description="From start to completion.")
    stages: dict[str, Text] = Field(
        default_factory=dict, json_schema_extra={"maxProperties": 16}, description="Duration of each stage."
    )
    peak_memory: Text | None = Field(
        default=None,
        description="Most memory that the flow's container had at one time, as the kernel counts it against the limit.",
    )
    workers: Workers | None = Field(default=None, description="Dask workers, for a run with a cluster.")
    result: Annotated[Any, Field(json_schema_extra=FREE_FORM)] = Field(
        default=None, description="What the flow returned, if it is small JSON."
    )
    result_omitted: Text | None = Field(default=None, description="Why there is no result.")
    error: ErrorStatus | None = Field(default=None, description="The exception that ended the flow.")
    hooks: list[HookStatus] = Field(default_factory=list, max_length=4, description="Outcome of each callback.")
    diagnosis: Diagnosis | None = Field(default=None, description="What is wrong and what to do about it.")


__all__ = ["FINISHED", "FlowRunSpec", "FlowRunStatus", "FreeObjects", "Phase"]
