"""What `kubectl flow suspend` and `resume` share: the field is set, of a run or of a deployment's schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...api import labels
from ...api.flow_run import FINISHED
from . import trouble

if TYPE_CHECKING:
    from .cluster import Cluster, Manifest
    from .output import Screen


def set_suspend(there: Cluster, found: Manifest, wished: bool, screen: Screen) -> Manifest:
    """Set it, unless it is so already; the object as it is then.

    Raises:
        Trouble: there is nothing to suspend.
    """
    kind, name = found["kind"], found["metadata"]["name"]
    if kind == "FlowDeployment" and not found["spec"].get("schedule"):
        said = f"FlowDeployment {name} has no schedule: it starts no runs by itself."
        raise trouble.Trouble(said, f"Name a run, as in kubectl flow {_verb(wished)} run/NAME.", trouble.USAGE)
    if kind == "FlowRun" and (phase := phase_of(found)) in FINISHED:
        raise trouble.Trouble(f"FlowRun {name} has ended already: {phase}.", f"Run it again: kubectl flow rerun {name}")
    what = f"{kind} {name}" if kind == "FlowRun" else f"The schedule of FlowDeployment {name}"
    if _is_suspended(found) == wished:
        screen.say(f"{what} is {'' if wished else 'not '}suspended already.")
        return found
    spec = {"suspend": wished} if kind == "FlowRun" else {"schedule": {"suspend": wished}}
    changed = there.session.call(there.api.patch(labels.API_VERSION, kind, there.namespace, name, {"spec": spec}))
    if _is_suspended(changed) != wished:  # a CRD that does not know the field drops it without a word
        said = "The operator in this cluster is older than this command: it cannot suspend runs."
        raise trouble.Trouble(said, f"Upgrade its chart; or cancel the run: kubectl flow cancel {name}")
    screen.say(f"{what} {'is being suspended' if wished and kind == 'FlowRun' else _done(wished)}.")
    return changed


def phase_of(run: Manifest) -> str:
    """Return where a run is."""
    return (run.get("status") or {}).get("phase") or "Pending"


def _is_suspended(found: Manifest) -> bool:
    spec = found["spec"] if found["kind"] == "FlowRun" else found["spec"]["schedule"]
    return bool(spec.get("suspend"))


def _verb(wished: bool) -> str:
    return "suspend" if wished else "resume"


def _done(wished: bool) -> str:
    return "is suspended" if wished else "goes on"
