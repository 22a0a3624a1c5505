"""Container flow-hooks where it cannot run: main waits for its receipt of on_start, and would for ever."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import diagnosis, reports
from .fallback_pod import TRIES
from .runner_pod import HOOKS
from .times import seconds_since

if TYPE_CHECKING:
    from datetime import datetime

    from ..api.flow_deployment import Diagnosis
    from .types import Manifest

# Seconds that a container which was never made may be waited for beside a main that runs: of the same image, on the
# same node.
PATIENCE = 60.0


@dataclass(frozen=True)
class Trouble:
    """Why flow-hooks does not run, and the seconds until it is given up."""

    why: Diagnosis
    left: float


def trouble(pod: Manifest, main_began: str, now: datetime) -> Trouble | None:
    """Return what keeps flow-hooks from running, None where it runs, has told something, or may just be slow."""
    for name, state, whole in diagnosis.container_states(pod):
        if name != HOOKS or "waiting" not in state:
            continue
        last = (whole.get("lastState") or {}).get("terminated") or {}
        if reports.of_hooks(last.get("message")):  # on_start is settled: the flow runs, and on_exit is not yet due
            return None
        if not whole.get("restartCount"):
            why = diagnosis.cannot_start(pod, HOOKS)
            return Trouble(why, PATIENCE - seconds_since(main_began, now)) if why else None
        # A callback that takes the container down does so three times; the fourth start says so in a receipt.
        return Trouble(_ends_at_once(pod, whole["restartCount"], last), 0.0) if whole["restartCount"] > TRIES else None
    return None


def _ends_at_once(pod: Manifest, restarts: int, last: Manifest) -> Diagnosis:
    name = pod["metadata"]["name"]
    return diagnosis.diagnosis(
        "StartFailed",
        f"Container {HOOKS} of pod {name} was begun {restarts + 1} times and ended each time without a word, last with "
        f"exit code {last.get('exitCode')}: the flow waits for on_start.",
        f"Look at its log: kubectl logs {name} -c {HOOKS} --previous",
    )
