"""Whose child an object is. A label alone, which anybody may copy, makes nothing ours to judge by, or to delete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import labels
from ..plan import names
from .store import Manifest, labels_of

if TYPE_CHECKING:
    from collections.abc import Callable


def is_owned(child: Manifest, uid: str) -> bool:
    """Return whether an object is among the owners of another."""
    return uid in [each["uid"] for each in child["metadata"].get("ownerReferences", ())]


def is_job(run: Manifest, job: Manifest) -> bool:
    """Return whether a Job is one that a run made for an attempt."""
    return is_owned(job, run["metadata"]["uid"]) and job["metadata"]["name"] == _name(run, job, names.runner_pod)


def is_runner(run: Manifest, pod: Manifest) -> bool:
    """Return whether a pod is the runner of an attempt: the run made it, or the Job did that may be gone by now."""
    if labels_of(pod).get(labels.COMPONENT) != labels.RUNNER:
        return False
    name, meta = _name(run, pod, names.runner_pod), pod["metadata"]
    if meta["name"] == name:
        return is_owned(pod, run["metadata"]["uid"])
    owners = meta.get("ownerReferences")
    # Of a Job that was deleted without its pods (cascade=orphan) they keep only the name.
    jobs = [each["name"] for each in owners if each["kind"] == "Job"] if owners else [meta.get("generateName", "")[:-1]]
    return name in jobs


def is_fallback(run: Manifest, pod: Manifest) -> bool:
    """Return whether a pod runs on_exit of an attempt; it is nobody's, and may outlive the run."""
    role = labels_of(pod).get(labels.COMPONENT)
    return role == labels.CALLBACK and pod["metadata"]["name"] == _name(run, pod, names.exit_pod)


def is_ours(run: Manifest, pod: Manifest) -> bool:
    """Return whether a pod has something to say of a run."""
    return is_runner(run, pod) or is_fallback(run, pod)


def _name(run: Manifest, child: Manifest, name: Callable[[str, str, int], str]) -> str | None:
    """Return the name that the child of its attempt has."""
    meta, attempt = run["metadata"], labels_of(child).get(labels.ATTEMPT, "")
    return name(meta["name"], meta["uid"], int(attempt)) if attempt.isdecimal() else None
