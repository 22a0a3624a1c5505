"""What an object itself says of its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .types import Manifest


def dying(manifest: Manifest) -> bool:
    """Return whether somebody has deleted an object that is still there."""
    return bool(manifest["metadata"].get("deletionTimestamp"))


def is_over(pod: Manifest) -> bool:
    """Return whether a pod has ended: the kubelet says so in the phase once nothing runs any more."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def everything_ended(pod: Manifest) -> bool:
    """Return whether every container has ended for good; the phase follows a second later."""
    return all(ended_for_good(pod, each) for each in pod["spec"]["containers"])


def ended_for_good(pod: Manifest, container: Manifest) -> bool:
    """Return whether a container has ended, and the kubelet will not begin it again."""
    status = pod.get("status") or {}
    states = {each["name"]: each.get("state") or {} for each in status.get("containerStatuses") or ()}
    ended = states.get(container["name"], {}).get("terminated")
    if ended is None:
        return False
    again = container.get("restartPolicy") == "OnFailure" and ended.get("exitCode") != 0
    return not again or dying(pod) or is_over(pod)
