"""One unfinished run being decided: the paper that all questions about it share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..api import conditions as words
from . import diagnosis, pinned, stopping, verdict
from .clusters import Attempt
from .conditions import Conditions, find
from .times import duration, seconds_since

if TYPE_CHECKING:
    from datetime import datetime

    from ..api.flow_deployment import Diagnosis
    from ..api.flow_run import FlowRunSpec
    from ..api.settings import Settings
    from .types import Announcement, Ask, Manifest, ObservedRun, Ref


@dataclass
class Case:
    """What is known of the run, and what is written about it on the way to a Plan."""

    run: Manifest
    spec: FlowRunSpec
    seen: ObservedRun
    settings: Settings
    now: datetime
    status: dict[str, Any]
    conditions: Conditions
    create: tuple[Manifest, ...] = ()
    delete: tuple[Ref, ...] = ()
    ask: Ask | None = None
    retire: int = 0
    announce: tuple[Announcement, ...] = ()
    again_after: float | None = None

    @property
    def pinned(self) -> pinned.Pinned:
        """Return what the run began with; checks after `it_has_begun` may rely on it."""
        return pinned.read(self.status)

    @property
    def attempt(self) -> Attempt:
        """Return the current attempt, whose cluster it is; only a run with a cluster has any use for it."""
        return Attempt(self.run, self.pinned, self.status["attempt"])

    @property
    def wish(self) -> stopping.Wish | None:
        """Return the wish that the run ends before its flow does."""
        return stopping.wish(self.spec, self.seen, deleted=bool(self.run["metadata"].get("deletionTimestamp")))

    @property
    def main_ended(self) -> bool:
        """Return whether the flow's process of this attempt has ended."""
        return self.seen.runner is not None and verdict.terminated(self.seen.runner) is not None

    @property
    def attempt_began(self) -> str | None:
        """Return when the current attempt was recorded."""
        set_up = find({"conditions": self.conditions.to_list()}, words.SET_UP)
        return set_up["lastTransitionTime"] if set_up else None

    def look_again(self, seconds: float) -> None:
        """Ask to be called again, at the earliest of all wishes."""
        seconds = max(seconds, 0.05)
        self.again_after = seconds if self.again_after is None else min(seconds, self.again_after)

    def setting_up(self) -> None:
        """Say that the pods are on their way and nothing is in it."""
        self.status.pop("diagnosis", None)
        self.conditions.working("SettingUp", "The run's pods are being made.")

    def blocked(self, why: Diagnosis) -> None:
        """Show what the run waits for; it may still heal."""
        self.status["diagnosis"] = why.to_wire()
        self.conditions.working(why.reason, diagnosis.sentence(why))

    def started(self, pod: Manifest, began: str) -> None:
        """Say that the flow of this attempt has begun."""
        self.status["startTime"] = began
        self.status["phase"] = "Running"
        self.status["stages"] = {**self.status.get("stages", {}), **self._stages_until(began)}
        self.conditions.set(words.SET_UP, "True", "SetUp", "The run's pods are made.")
        self.conditions.set(words.STARTED, "True", "Started", f"The flow runs in pod {pod['metadata']['name']}.")
        self.conditions.working("Running", f"The flow runs in pod {pod['metadata']['name']}.")
        self.status.pop("diagnosis", None)

    def _stages_until(self, began: str) -> dict[str, str]:
        """Return how long the run waited for its turn, and how long its pods took to be made."""
        created = self.run["metadata"]["creationTimestamp"]
        pinned = self.attempt_began or created
        waited = seconds_since(created, self.now) - seconds_since(pinned, self.now)
        set_up = seconds_since(pinned, self.now) - seconds_since(began, self.now)
        first = self.status["attempt"] == 1 and "resumeTime" not in self.status
        wait = {"wait": duration(waited)} if waited > 0 and first else {}
        return {**wait, "setUp": duration(max(0.0, set_up))}
