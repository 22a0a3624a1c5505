"""The pod that runs on_exit of an attempt whose own pod could not: its runner pod without main."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import labels, wire
from . import finalizers, names, pods
from .kubernetes_job import kubernetes_job
from .runner_pod import HOOKS, hooks_command, runner_pod

if TYPE_CHECKING:
    from ..api.settings import Settings
    from .pinned import Pinned
    from .types import Manifest

# Seconds between the end of a callback's time and that of the pod's: for our own program.
MARGIN = 5
# How often the program begins a callback that takes its container down (runner/hooks.py).
TRIES = 3


def fallback_pod(run: Manifest, pinned: Pinned, attempt: int, settings: Settings, ended: tuple[int, str]) -> Manifest:
    """Return the pod. Nobody owns it: a foreground deletion of the run, now or later, leaves it alone.

    Args:
        run: whose on_exit it runs.
        pinned: what the run was pinned to.
        attempt: which one of it has ended.
        settings: of the operator.
        ended: the flow's exit code and the reason of its failure, none for success.
    """
    runner = _runner(run, pinned, attempt, settings)
    meta, spec = runner["metadata"], runner["spec"]
    (hooks,) = [each for each in spec["containers"] if each["name"] == HOOKS]
    code, reason = ended
    told = {
        wire.OUTCOME_ENV: "Failed" if reason else "Succeeded",
        wire.EXIT_CODE_ENV: str(code),
        wire.REASON_ENV: reason,
    }
    container = {
        **{key: value for key, value in hooks.items() if key != "lifecycle"},
        "command": hooks_command("exit"),
        "env": [*hooks["env"], *pods.environment(told)],
    }
    kept = {key: value for key, value in meta.items() if key != "ownerReferences"}
    return {
        **runner,
        "metadata": {
            **kept,
            "name": fallback_name(run, attempt),
            "labels": names.run_labels(run["metadata"]["name"], run["metadata"]["uid"], attempt, labels.CALLBACK),
        },
        "spec": {
            **spec,
            "containers": [container],
            "terminationGracePeriodSeconds": pinned.callback_timeout + MARGIN,
            "activeDeadlineSeconds": pinned.pre_running_deadline + TRIES * (pinned.callback_timeout + MARGIN),
        },
    }


def _runner(run: Manifest, pinned: Pinned, attempt: int, settings: Settings) -> Manifest:
    """Return the pod of the attempt, as a pod that no Job makes."""
    if pinned.environment.kubernetes_job is None:
        return runner_pod(run, pinned, attempt, settings)
    job = kubernetes_job(run, pinned, attempt)
    meta, template = job["metadata"], job["spec"]["template"]
    spec = {key: value for key, value in template["spec"].items() if key != "initContainers"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": meta["namespace"], "finalizers": finalizers.of_pods(pinned)},
        "spec": {**spec, "restartPolicy": "Never"},
    }


def fallback_name(run: Manifest, attempt: int) -> str:
    """Return the name of the pod for one attempt."""
    return names.exit_pod(run["metadata"]["name"], run["metadata"]["uid"], attempt)
