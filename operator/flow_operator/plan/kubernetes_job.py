"""The Job of one attempt: the user's own spec, in which the first container runs the flow (the model's 4.3).

Replaced: image, command, args and termination message of that container. Added: variables in every regular container,
labels, and what callbacks and mounted code need. Made where it is missing: what a Job cannot do without. The rest is
the user's.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from ..api import labels, wire
from . import diagnosis, ends, finalizers, names, patching, pods
from .code import code_mount
from .runner_pod import hooks_container, runner_name, variables

if TYPE_CHECKING:
    from ..api.flow_deployment import Diagnosis
    from .pinned import Pinned
    from .types import Manifest

API_VERSION = "batch/v1"
_OVER = ("Complete", "Failed")
# A Job's own defaults would run the flow seven times, though a FlowRun's budgets say how often it is tried, and make
# the next pod while the one before it still has its grace.
_DEFAULTS = {"backoffLimit": 0, "podReplacementPolicy": "Failed"}
# What the API server says of a spec that no time heals.
_FINAL = (" is invalid: ", "strict decoding error", "cannot be handled as")


def kubernetes_job(run: Manifest, pinned: Pinned, attempt: int) -> Manifest:
    """Return the Job of one attempt."""
    wanted = pinned.environment.kubernetes_job
    assert wanted is not None, "only a kubernetesJob run has a Job"  # noqa: S101
    meta, own = run["metadata"], wanted.metadata
    spec: dict[str, Any] = copy.deepcopy(wanted.job_spec)
    ours = names.run_labels(meta["name"], meta["uid"], attempt, labels.JOB)
    return {
        "apiVersion": API_VERSION,
        "kind": "Job",
        "metadata": {
            "name": runner_name(run, attempt),
            "namespace": meta["namespace"],
            "labels": {**(own.labels if own else {}), **ours},
            **({"annotations": dict(own.annotations)} if own and own.annotations else {}),
            "ownerReferences": [names.owner("FlowRun", meta["name"], meta["uid"])],
        },
        "spec": {**_DEFAULTS, **spec, "template": _template(run, pinned, attempt, spec["template"])},
    }


def _template(run: Manifest, pinned: Pinned, attempt: int, own: Manifest) -> Manifest:
    metadata: dict[str, Any] = own.get("metadata") or {}
    meta, spec = run["metadata"], _pod_spec(run, pinned, attempt, own.get("spec") or {})
    ours = names.run_labels(meta["name"], meta["uid"], attempt, labels.RUNNER)
    own_finalizers = metadata.get("finalizers") or ()
    held = [each for each in finalizers.of_pods(pinned) if each not in own_finalizers]
    said = {labels.CONTAINER: spec["containers"][0]["name"]}
    return {
        **own,
        "metadata": {
            **metadata,
            "labels": {**(metadata.get("labels") or {}), **ours},
            "annotations": {**(metadata.get("annotations") or {}), **said},
            **({"finalizers": [*own_finalizers, *held]} if held else {}),
        },
        "spec": spec,
    }


def _pod_spec(run: Manifest, pinned: Pinned, attempt: int, own: Manifest) -> Manifest:
    env = pods.environment({key: each for key, each in variables(run, pinned, attempt).items() if key not in pods.HOME})
    volumes, mounts = patching.renamed(*code_mount(pinned))
    env = [*patching.variables(pinned.runner.get("env"), env)]
    first, *others = ({**each, "env": patching.variables(each.get("env"), env)} for each in own["containers"])
    main = {
        "name": "flow",
        "imagePullPolicy": "IfNotPresent",
        **{key: each for key, each in first.items() if key != "args"},
        "image": pinned.image,
        "command": ["python3", "-m", "flow_operator.runner", "run"],
        # Where the flow's report is written, and read from.
        "terminationMessagePath": wire.TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "volumeMounts": patching.mounts(first.get("volumeMounts"), mounts),
    }
    beside: list[Manifest] = []
    if pinned.hooks:
        beside, more = _callbacks(main, pinned, mounts)
        volumes = [*volumes, *more]
    # Without an account of the user's own choice there is no token either, as in every pod of a run.
    account = own.get("serviceAccountName") or own.get("serviceAccount")
    token = {} if account else {"automountServiceAccountToken": False}
    deadline = pinned.bounds.get("activeDeadlineSeconds")
    secrets = patching.pull_secrets(own.get("imagePullSecrets"), pinned.pull_secrets)
    all_volumes = patching.volumes(own.get("volumes"), volumes)
    return {
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": pinned.grace,
        **({"activeDeadlineSeconds": deadline} if deadline else {}),
        **token,
        **own,
        **({"imagePullSecrets": secrets} if secrets else {}),
        **({"volumes": all_volumes} if all_volumes else {}),
        "containers": [main, *others, *beside],
    }


def _callbacks(main: Manifest, pinned: Pinned, mounts: list[Manifest]) -> tuple[list[Manifest], list[Manifest]]:
    """Return the container of the callbacks and its volumes; the flow's own container is given their folder."""
    made = hooks_container(pinned, [*pods.environment(pods.HOME), *main["env"]], [])
    (_, made["volumeMounts"]) = patching.renamed([], made["volumeMounts"])
    made["volumeMounts"] = [*made["volumeMounts"], *mounts]
    # One user, or they could not share files; where the pod names it, both have it already.
    same = {key: each for key, each in (main.get("securityContext") or {}).items() if key.startswith("runAs")}
    made["securityContext"] = {**made["securityContext"], **same}
    (shared,) = [each for each in made["volumeMounts"] if each["name"] == patching.VOLUMES["hooks"]]
    main["volumeMounts"] = [*main["volumeMounts"], shared]
    return [made], [{"name": patching.VOLUMES[each], "emptyDir": {}} for each in ("tmp", "hooks")]


def rehearsal(job: Manifest) -> Manifest:
    """Return the pod of a Job: whether it would be admitted shows nowhere else but in the Job's events."""
    meta, template = job["metadata"], job["spec"]["template"]
    told = {key: each for key, each in template["metadata"].items() if key in ("labels", "annotations")}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": f"{meta['name']}-", "namespace": meta["namespace"], **told},
        "spec": template["spec"],
    }


def refused(job: str, message: str) -> tuple[Diagnosis, bool]:
    """Return why there can be no Job or no pod of it, and whether that is final: a run's spec stays as it is."""
    if not any(each in message for each in _FINAL):
        return diagnosis.refused(f"Job {job}", message), False
    remedy = "Correct spec.environment.kubernetesJob.jobSpec of the FlowDeployment (or the flow's job_spec_file)."
    return diagnosis.diagnosis("JobSpecInvalid", f"The API server does not take the Job: {message}", remedy), True


def ended(job: Manifest) -> bool:
    """Return whether a Job is over: it makes no further pod."""
    return any(_condition(job, each) for each in _OVER)


def may_run(job: Manifest) -> bool:
    """Return whether a Job may still make a pod."""
    return not ended(job) and not ends.dying(job)


def is_suspended(job: Manifest) -> bool:
    """Return whether a Job is held back, by a queue perhaps."""
    return bool(job["spec"].get("suspend"))


def is_late(job: Manifest) -> bool:
    """Return whether a Job has ended because of its own deadline."""
    return (_condition(job, "Failed") or {}).get("reason") == "DeadlineExceeded"


def failure(job: Manifest) -> Diagnosis:
    """Return why a Job is over or waits, where no pod of it says so."""
    name, failed = job["metadata"]["name"], _condition(job, "Failed") or {}
    if is_late(job):
        return diagnosis.diagnosis(
            "DeadlineExceeded",
            f"Job {name} ran longer than the activeDeadlineSeconds of its jobSpec allows.",
            "Raise it, or make the flow faster.",
        )
    return diagnosis.diagnosis(
        "JobFailed",
        f"Job {name} failed: {failed.get('message') or failed.get('reason') or 'it does not say why'}",
        f"See kubectl describe job {name}, and the limits in spec.environment.kubernetesJob.jobSpec.",
    )


def waiting_for(job: Manifest) -> Diagnosis:
    """Return what a Job without a pod waits for."""
    name = job["metadata"]["name"]
    if is_suspended(job):
        return diagnosis.diagnosis(
            "JobSuspended",
            f"Job {name} is suspended: it has no pod that runs the flow.",
            "Nothing, where a queue admits it later (Kueue, say); else set suspend: false in the Job.",
        )
    return diagnosis.diagnosis(
        "NotStarted", f"Job {name} has no pod that could run the flow.", f"See kubectl describe job {name}."
    )


def _condition(job: Manifest, kind: str) -> Manifest | None:
    found = (job.get("status") or {}).get("conditions") or ()
    return next((each for each in found if each["type"] == kind and each["status"] == "True"), None)
