"""Why a pod does not do what it should, and what to do about it: pod status in, Diagnosis out. No API calls."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..api import labels
from ..api.flow_deployment import Diagnosis
from . import ends, reports
from .times import parse, seconds_since
from .types import Announcement

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .types import Manifest

PULL_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
CRASH_LOOP_RESTARTS = 3
SIGKILLED = 137  # exit code
NO_LIMIT = "no limit"
# Seconds a container must have lived for its end to be no part of a loop; the kubelet forgets its back-off likewise.
LONG_LIFE = 600.0

# A password may have an @ or a slash in it, though it may not in a URL: so it goes to the last @ of the word, or before
# the next URL. What has a colon and digits before its first slash is a host with its port.
_CREDENTIALS = re.compile(r"(?<=://)(?:[^/\s:@]*:(?!\d+/)(?:(?!://)\S)*@|[^/\s]+@)")


def scrub(text: str) -> str:
    """Take credentials out of URLs before a message reaches status, events or logs."""
    return _CREDENTIALS.sub("***@", text)


def diagnosis(reason: str, message: str, remedy: str) -> Diagnosis:
    """Return a diagnosis fit to be shown."""
    return Diagnosis(reason=reason, message=scrub(message)[:3000], remedy=remedy)


def of_ours(kind: str, error: Exception) -> Announcement:
    """Return what a user is told of an error in the operator itself, over an object of a kind."""
    what = scrub(f"{type(error).__name__}: {error}".partition("\n")[0])
    words = f"The operator cannot handle this {kind}, and goes on trying: {what}. Its log says where."
    return Announcement("Warning", "OperatorFailed", words)


def amount(size: float) -> str:
    """Return an amount of memory as a quantity of Kubernetes."""
    return f"{size / 2**30:.1f}Gi" if size >= 2**30 else f"{size / 2**20:.1f}Mi"


def sentence(why: Diagnosis) -> str:
    """Return message and remedy as one text."""
    stop = "" if why.message.endswith((".", "!", "?", "…")) else "."
    return f"{why.message}{stop} {why.remedy}"


def container_states(pod: Manifest) -> Iterable[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield name, current state and whole status of every container, init containers first."""
    status = pod.get("status") or {}
    for group in ("initContainerStatuses", "containerStatuses"):
        for each in status.get(group) or ():
            yield each["name"], each.get("state") or {}, each


def waiting_for(pod: Manifest) -> Diagnosis | None:
    """Return why a pod has not begun, or None where nothing is wrong (yet)."""
    return _unschedulable(pod) or cannot_start(pod)


def _unschedulable(pod: Manifest) -> Diagnosis | None:
    for each in (pod.get("status") or {}).get("conditions") or ():
        if each["type"] == "PodScheduled" and each["status"] == "False" and each.get("reason") == "Unschedulable":
            said = each.get("message", "no message")
            asked, remedies = _what_it_asks_for(pod, said)
            remedy = "; ".join(remedies) or f"lower what {_settings_of(pod)} asks of a node"
            return diagnosis(
                "Unschedulable",
                f"No node can take pod {pod['metadata']['name']}: {_stopped(said)}"
                + (f" It asks for {', '.join(asked)}." if asked else ""),
                f"{remedy[0].upper()}{remedy[1:]}; or add a node that fits.",
            )
    return None


def _what_it_asks_for(pod: Manifest, said: str) -> tuple[list[str], list[str]]:
    """Return what of the pod the scheduler cannot satisfy, and what to do about each."""
    where, spec = _settings_of(pod), pod["spec"]
    asked, remedies = [], []
    for resource in dict.fromkeys(re.findall(r"Insufficient ([\w/-]+(?:\.[\w/-]+)*)", said)):
        asked += [f"{resource} {amount} (container {name})" for name, amount in _requests(pod, resource)]
        remedies.append(f"lower resources.requests.{resource} in {where}")
    if "node affinity" in said or "node selector" in said:
        selector: dict[str, str] = spec.get("nodeSelector") or {}
        asked += [f"a node with {key}={value}" for key, value in sorted(selector.items())]
        remedies.append(f"correct the nodeSelector in {where}")
    if "untolerated taint" in said:
        remedies.append(f"add the taint that is named to the tolerations in {where}")
    if "persistentvolumeclaim" in said.lower():
        remedies.append(f"create the PersistentVolumeClaim that is named, or correct the volumes in {where}")
    return asked, remedies


def _requests(pod: Manifest, resource: str) -> Iterable[tuple[str, str]]:
    for each in pod["spec"].get("containers", ()):
        resources = each.get("resources") or {}
        # Where only a limit is given, the API server makes it the request.
        if found := (resources.get("requests") or {}).get(resource) or (resources.get("limits") or {}).get(resource):
            yield each["name"], str(found)


def _settings_of(pod: Manifest) -> str:
    """Return where a pod's resources and placement are set."""
    if labels.CONTAINER in (pod["metadata"].get("annotations") or {}):
        return "spec.environment.kubernetesJob.jobSpec"
    role = (pod["metadata"].get("labels") or {}).get("dask.org/component", "")
    return f"spec.environment.daskKubernetes.{role}Spec" if role in ("scheduler", "worker") else "spec.runner"


def _stopped(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def not_started(pod: Manifest) -> Diagnosis:
    """Return why the flow has not begun in time, as far as the pod shows it."""
    name, mounted = pod["metadata"]["name"], _mounted(pod)
    seen = (pod.get("status") or {}).get("containerStatuses") or ()
    creating = any((each.get("state") or {}).get("waiting", {}).get("reason") == "ContainerCreating" for each in seen)
    if mounted and creating:
        return diagnosis(
            "NotStarted",
            f"The containers of pod {name} are not created. It mounts {', '.join(mounted)}: a kubelet waits for what "
            "is not there.",
            f"Create what is missing, or correct spec.runner.volumes; see the events: kubectl describe pod {name}",
        )
    return diagnosis(
        "NotStarted", f"The flow in pod {name} did not begin in time.", f"See kubectl describe pod {name}."
    )


def _mounted(pod: Manifest) -> list[str]:
    """Return the objects of users that a pod mounts, by kind and name; what is optional keeps no pod from starting."""
    kinds = (
        ("secret", "secretName", "Secret"),
        ("configMap", "name", "ConfigMap"),
        ("persistentVolumeClaim", "claimName", "PersistentVolumeClaim"),
    )
    return [
        f"{kind} {volume[field][key]}"
        for volume in pod["spec"].get("volumes") or ()
        for field, key, kind in kinds
        if volume.get(field) and volume["name"] != "code" and not volume[field].get("optional")
    ]


def vanished(why: Diagnosis) -> bool:
    """Return whether an image could not be pulled because there is none: nothing else that kubelets say of pulls."""
    return why.reason == "ImagePullFailed" and "not found" in why.message


def cannot_start(pod: Manifest, container: str = "") -> Diagnosis | None:
    """Return why a container cannot begin, whichever of a pod or one of them; None where nothing is wrong (yet)."""
    for name, state, whole in container_states(pod):
        if container and name != container:
            continue
        waiting = state.get("waiting") or {}
        reason, message = waiting.get("reason", ""), waiting.get("message", "")
        if reason in PULL_REASONS:
            return diagnosis(
                "ImagePullFailed",
                f"Container {name} of pod {pod['metadata']['name']} cannot pull {whole.get('image')}: "
                f"{message or reason}",
                "Check that the image exists and that the nodes may pull it (spec.storage.docker.pushSecret or the "
                "chart's imagePullSecrets); to build it again, annotate the FlowDeployment with "
                "flow-operator.io/rebuild=<any new value>.",
            )
        if reason == "CreateContainerConfigError":
            return diagnosis(
                "ConfigMissing",
                f"Container {name} of pod {pod['metadata']['name']} cannot be configured: {message}",
                "Create the Secret or ConfigMap that is named, or take the reference out of spec.runner.env.",
            )
        if reason in ("CreateContainerError", "RunContainerError", "StartError"):
            return diagnosis(
                "StartFailed",
                f"Container {name} of pod {pod['metadata']['name']} cannot start: {message or reason}",
                "Check that the image contains python3 and that the node is healthy (kubectl describe pod).",
            )
    return None


def ended(pod: Manifest, container: str) -> dict[str, Any] | None:
    """Return the terminated state of a container, the last one if it is being restarted, or None."""
    for name, state, _ in container_states(pod):
        if name == container:
            return state.get("terminated")
    return None


def memory_limit(pod: Manifest, container: str) -> str:
    """Return the memory limit of a container as it was written, or NO_LIMIT."""
    for each in pod["spec"].get("containers", ()):
        if each["name"] == container:
            limits: dict[str, Any] = (each.get("resources") or {}).get("limits") or {}
            return str(limits.get("memory", NO_LIMIT))
    return NO_LIMIT


def _resources_of(pod: Manifest) -> str:
    made = labels.CONTAINER in (pod["metadata"].get("annotations") or {})
    return "spec.environment.kubernetesJob.jobSpec" if made else "spec.runner.resources"


def killed(pod: Manifest, container: str, terminated: dict[str, Any]) -> Diagnosis:
    """Return why a container ended without a word of its own."""
    status = pod.get("status") or {}
    name, code = pod["metadata"]["name"], terminated.get("exitCode")
    report = reports.of_flow(terminated.get("message"))
    # The kernel's count, from the runner: a runtime that hears of the kill late says "Error".
    if terminated.get("reason") == "OOMKilled" or report.get("outOfMemory"):
        peak = report.get("peakMemoryBytes")
        return diagnosis(
            "OutOfMemory",
            f"Container {container} of pod {name} was killed: it needed more than its memory limit of "
            f"{memory_limit(pod, container)}" + (f" (at its peak it had {amount(peak)})." if peak else "."),
            f"Raise resources.limits.memory in {_resources_of(pod)}, or process the data in smaller pieces.",
        )
    if disrupted := _disruption(pod):
        return diagnosis(
            "Evicted",
            f"Pod {name} was evicted: {disrupted}",
            "Nothing, if the node is well again; a PodDisruptionBudget or a higher priority protects the pod better.",
        )
    if status.get("reason") in ("Evicted", "Preempting", "NodeLost", "Terminated", "NodeShutdown"):
        return diagnosis(
            "Evicted",
            f"Pod {name} was evicted: {(status.get('message') or status['reason']).strip()}",
            "Set requests that match what the flow uses, then run it again.",
        )
    if status.get("reason") == "DeadlineExceeded":
        return diagnosis(
            "DeadlineExceeded",
            f"Pod {name} ran longer than activeDeadlineSeconds allows.",
            "Raise activeDeadlineSeconds, or make the flow faster.",
        )
    said = ": ".join(each for each in (status.get("reason"), status.get("message")) if each)
    # A pod that is deleted before it has begun is Failed at last, and a node that refuses one says why.
    if not terminated and status.get("phase") == "Failed" and (said or not ends.dying(pod)):
        return diagnosis(
            "RefusedByNode",
            f"Node {pod['spec'].get('nodeName', 'of the pod')} did not take pod {name}: {said or 'no message'}",
            "See kubectl describe node: what it has is not what the scheduler took it to have.",
        )
    if ends.dying(pod):
        return diagnosis(
            "RunnerDeleted",
            f"Pod {name} was deleted before its flow had ended.",
            "Create another FlowRun. To end a run, set its spec.cancel; do not delete its pod.",
        )
    return diagnosis(
        "Killed",
        f"Container {container} of pod {name} ended with exit code {code} without a report.",
        f"Look at its log: kubectl logs {name} -c {container}",
    )


def _disruption(pod: Manifest) -> str | None:
    """Return why the platform took a pod away (a drain, a preemption, a taint, a node that is short or shut down)."""
    for each in (pod.get("status") or {}).get("conditions") or ():
        if each["type"] == "DisruptionTarget" and each["status"] == "True":
            return str(each.get("message") or each.get("reason", "no message"))
    return None


def killed_worker(pod: Manifest, container: str, terminated: dict[str, Any]) -> Diagnosis:
    """Return why a builder or a check ended without a word of its own: the chart's limits count there."""
    why, name = killed(pod, container, terminated), pod["metadata"]["name"]
    value = "builder.resources" if container == "builder" else "runner.resources"
    if container == "builder" and why.reason == "Evicted" and "ephemeral" in why.message:
        return diagnosis(
            "BuilderDiskFull",
            f"Pod {name} was evicted: {(pod.get('status') or {}).get('message', '')}",
            "Raise ephemeral-storage in the chart's builder.resources: a build needs about three times the size of its "
            "dependencies; or make room on the node.",
        )
    remedies = {
        "OutOfMemory": f"Raise the memory limit in the chart's {value}.",
        "Evicted": f"Nothing, if the node is well again; else set requests in the chart's {value}. It is tried again.",
        "DeadlineExceeded": f"See what it was busy with: kubectl logs {name}",
        "RunnerDeleted": "Nothing: it is made again.",
    }
    return why.model_copy(update={"remedy": remedies.get(why.reason, why.remedy)})


def crash_loop(pods: Iterable[Manifest], role: str, reason: str) -> Diagnosis | None:
    """Return why pods of one role restart again and again, or None."""
    for pod in pods:
        for name, state, whole in container_states(pod):
            if whole.get("restartCount", 0) < CRASH_LOOP_RESTARTS:
                continue
            last = (whole.get("lastState") or {}).get("terminated") or state.get("terminated") or {}
            end = parse(last.get("finishedAt"))
            if end is not None and seconds_since(last.get("startedAt"), end) >= LONG_LIFE:
                continue
            if _killed_for_memory(pod, name, last):
                return _too_little_memory(pod, role, name, whole["restartCount"])
            said = (last.get("message") or "").strip().splitlines()
            return diagnosis(
                reason,
                f"The Dask {role} {pod['metadata']['name']} restarted {whole['restartCount']} times, last with exit "
                f"code {last.get('exitCode')}" + (f": {said[-1]}" if said else "."),
                f"Look at its log while it is there, and check spec.environment.daskKubernetes.{role}Spec "
                "and that the image contains dask and distributed.",
            )
    return None


def killed_for_memory(pods: Iterable[Manifest], role: str) -> Diagnosis | None:
    """Return which pod of a role was killed for memory when it last ended, or None."""
    for pod in pods:
        for name, state, whole in container_states(pod):
            now, last = ((each or {}).get("terminated") or {} for each in (state, whole.get("lastState")))
            # One that was let go, and did not end in its grace period, was killed too, and begins no more.
            if now.get("reason") == "OOMKilled" or _killed_for_memory(pod, name, last):
                return _too_little_memory(pod, role, name, whole.get("restartCount", 0))
    return None


def _too_little_memory(pod: Manifest, role: str, container: str, restarts: int) -> Diagnosis:
    often = f" {restarts} times" if restarts > 1 else ""
    return diagnosis(
        "OutOfMemory",
        f"The Dask {role} {pod['metadata']['name']} was killed{often}: it needed more than its memory limit of "
        f"{memory_limit(pod, container)}.",
        f"Raise the memory limit in spec.environment.daskKubernetes.{role}Spec, or use smaller partitions.",
    )


def _killed_for_memory(pod: Manifest, name: str, last: Manifest) -> bool:
    """Return whether a container that begins again was killed for memory.

    The runtime may miss the kernel's word (seen on cgroup v1), but nothing else kills a container of a pod that lives,
    unless a probe does.
    """
    if last.get("reason") == "OOMKilled":
        return True
    if last.get("exitCode") != SIGKILLED or memory_limit(pod, name) == NO_LIMIT:
        return False
    return not any(each["name"] == name and "livenessProbe" in each for each in pod["spec"]["containers"])


def replica_failure(deployments: Iterable[Manifest]) -> Diagnosis | None:
    """Return why pods of a Deployment are refused (quota, Pod Security, a webhook): it shows only there."""
    for each in deployments:
        for condition in (each.get("status") or {}).get("conditions") or ():
            if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
                return refused(f"Deployment {each['metadata']['name']}", condition.get("message", ""))
    return None


def refused(what: str, message: str) -> Diagnosis:
    """Return the diagnosis of a pod the API server does not admit."""
    if "exceeded quota" in message:
        remedy = "Raise the namespace's ResourceQuota, lower the requests, or wait until other pods end."
    elif "failed quota" in message and "must specify" in message:
        remedy = (
            "Give the pod what the namespace's ResourceQuota counts: in spec.runner.resources (a check, a builder: in "
            "the chart's values), or for all by a LimitRange in the namespace."
        )
    elif "violates PodSecurity" in message:
        remedy = (
            "Change the pod spec in spec.environment or spec.runner so that the namespace's Pod Security allows it."
        )
    elif "failed calling webhook" in message:
        remedy = "The webhook that is named does not answer: mend it, or have it leave this namespace out."
    else:
        remedy = "Ask whoever runs the admission policy that is named, or change the pod spec."
    return diagnosis("PodRefused", f"{what} may not have its pod: {message}", remedy)
