"""The run's own Dask cluster as pods of the run: the scheduler beside the flow, each worker a pod, one Service.

Everything is made at the same time as the runner pod: workers find the scheduler by the Service's name, which is
published before the pod is ready, and wait until it listens.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from ..api import labels, wire
from . import dask_health, ends, names
from .clusters import Change, Counts, Provider
from .dask_specs import DASK_COMPONENT, HTTP_PORT, SCHEDULER_PORT, worker_spec
from .scaling import SILENCE, scale
from .times import parse, seconds_since
from .types import Ask, Ref

if TYPE_CHECKING:
    from datetime import datetime

    from ..api.flow_deployment import DaskKubernetesEnvironment
    from ..api.settings import Settings
    from .clusters import Attempt
    from .types import Heard, Manifest, ObservedRun

WORKER = ("python3", "-m", "flow_operator.runner", "worker")
# Seconds after its start from which a worker that is not Ready, while its container runs, is on a node that is lost.
STARTED_FOR = 10.0
# A worker pod that has ended is replaced when it is this old: what ends at once must not be made without a pause.
REPLACE_AFTER = 10.0


class Pods(Provider):
    """The operator makes, counts and retires the workers itself."""

    def children(self, of: Attempt, settings: Settings) -> list[Manifest]:
        """Return the scheduler's Service, and the workers the run begins with."""
        return [service(of), *(worker_pod(of, index, settings) for index in range(of.dask.min_workers))]

    def executor(self, of: Attempt) -> wire.ExecutorSpec:
        """Return what the runner is told: to have the scheduler, and by which name."""
        return {
            "kind": "Dask",
            "address": _address(of),
            "minWorkers": of.dask.min_workers,
            "connectTimeoutSeconds": of.pinned.pre_running_deadline,
            "scheduler": {"port": SCHEDULER_PORT, "httpPort": HTTP_PORT},
        }

    def runner_spec(self, of: Attempt) -> Manifest:
        """Return the scheduler's name, which is the pod's own, so that it needs no DNS there."""
        return {"hostAliases": [{"ip": "127.0.0.1", "hostnames": [of.scheduler_host]}]}

    def runner_container(self) -> Manifest:
        """Return the scheduler's ports."""
        ports = (("tcp-comm", SCHEDULER_PORT), ("http-dashboard", HTTP_PORT))
        return {"ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in ports]}

    def usable(self, seen: ObservedRun, wanted: DaskKubernetesEnvironment, now: datetime) -> bool:
        """Return whether the flow can begin: its scheduler answers, and a worker has registered if any was asked."""
        ready = self.count(seen, wanted, now).ready
        return ready is not None and (wanted.min_workers == 0 or ready > 0)

    def count(self, seen: ObservedRun, wanted: DaskKubernetesEnvironment, now: datetime) -> Counts:
        """Return how many workers there should be and are."""
        ready: int | None = None
        if seen.heard is not None and _silent(seen.heard, now):
            # It cannot be reached from here; perhaps it can from the workers. Their pods must do.
            ready = sum(map(dask_health.is_ready, seen.workers))
        elif seen.heard is not None and seen.heard.at is not None:
            ready = len(_working(seen))
        return Counts(desired=max(len(_there(seen, now)), wanted.min_workers), ready=ready)

    def ask(self, of: Attempt, runner: Manifest) -> Ask | None:
        """Return the scheduler by the runner pod's address: the operator may know no name of the cluster's DNS."""
        address = (runner.get("status") or {}).get("podIP")
        if not address:
            return None
        host = f"[{address}]" if ":" in address else address
        return Ask(f"http://{host}:{HTTP_PORT}", target=of.dask.min_workers < of.dask.max_workers)

    def change(self, of: Attempt, settings: Settings, seen: ObservedRun, now: datetime) -> Change:
        """Return which workers to make, to delete, and how many to retire."""
        there, working = _there(seen, now), _working(seen)
        starting = [each for each in there if each["metadata"]["name"] not in working]
        wished = scale(of.dask, len(starting), len(there) - len(starting), seen.heard, now)
        gone = [each for each in seen.workers if each not in there and not ends.dying(each)]
        dropped = sorted(starting, key=_made, reverse=True)[: wished.drop]  # the youngest
        waits = [*(_rest(each, now) for each in there if ends.is_over(each)), *_deaf(seen.heard, now)]
        return Change(
            create=tuple(worker_pod(of, index, settings) for index in _free(of, seen, wished.make)),
            delete=tuple(Ref.of(each) for each in (*gone, *dropped)),
            retire=wished.retire,
            again_after=min(waits, default=None),
        )


def service(of: Attempt) -> Manifest:
    """Return the headless Service of the scheduler: a name for the runner pod's address."""
    ports = (("tcp-comm", SCHEDULER_PORT), ("http-dashboard", HTTP_PORT))
    return {
        "apiVersion": "v1",
        "kind": "Service",
        # No dask.org/component: dask-kubernetes takes every Service that says "scheduler" for one of its own.
        "metadata": _metadata(of, names.scheduler_service(*of.named)),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": _runner(of),
            "ports": [{"name": name, "protocol": "TCP", "port": port, "targetPort": port} for name, port in ports],
        },
    }


def worker_pod(of: Attempt, index: int, settings: Settings) -> Manifest:
    """Return one worker: the user's PodSpec, started again by the kubelet unless it has ended well."""
    name = names.worker_pod(*of.named, index)
    env = {
        wire.SCHEDULER_ENV: _address(of),
        wire.WORKER_NAME_ENV: name,
        wire.PATIENCE_ENV: str(of.pinned.pre_running_deadline),
    }
    spec = worker_spec(of.pinned, settings, program=WORKER, env=env)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _metadata(of, name, "worker"),
        "spec": {"affinity": _apart(of), **spec, "restartPolicy": "OnFailure"},
    }


def _metadata(of: Attempt, name: str, role: str = "") -> Manifest:
    run, uid, number = of.named
    return {
        "name": name,
        "namespace": of.namespace,
        "labels": {**names.run_labels(run, uid, number, labels.DASK), **({DASK_COMPONENT: role} if role else {})},
        "ownerReferences": [names.owner("FlowRun", run, uid)],
    }


def _address(of: Attempt) -> str:
    return f"tcp://{of.scheduler_host}:{SCHEDULER_PORT}"


def _runner(of: Attempt) -> dict[str, str]:
    _, uid, number = of.named
    return names.run_selector(uid, number, labels.RUNNER)


def _apart(of: Attempt) -> Manifest:
    """Workers rather elsewhere than beside the flow: a node that is lost with a worker need not take the run."""
    term = {"labelSelector": {"matchLabels": _runner(of)}, "topologyKey": "kubernetes.io/hostname"}
    preferred = [{"weight": 1, "podAffinityTerm": term}]
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}


def _working(seen: ObservedRun) -> frozenset[str]:
    """Return the names of our workers that have registered and are to stay."""
    if seen.heard is None:
        return frozenset()
    staying = {each["metadata"]["name"] for each in seen.workers if not ends.dying(each) and not ends.is_over(each)}
    return (seen.heard.workers - seen.heard.retired) & staying


def _there(seen: ObservedRun, now: datetime) -> list[Manifest]:
    """Return the workers that count: there to stay, or ended so lately that no other is made yet."""
    retired = seen.heard.retired if seen.heard else frozenset()
    return [
        each
        for each in seen.workers
        if not ends.dying(each)
        and each["metadata"]["name"] not in retired
        and not _is_lost(each, seen.heard)
        and not (ends.is_over(each) and _rest(each, now) <= 0)
    ]


def _free(of: Attempt, seen: ObservedRun, count: int) -> list[int]:
    """Return the lowest indices whose names neither a pod nor the scheduler knows."""
    taken: set[str] = {each["metadata"]["name"] for each in seen.workers}
    if seen.heard:
        taken |= seen.heard.workers | seen.heard.retired
    free = (index for index in itertools.count() if names.worker_pod(*of.named, index) not in taken)
    return list(itertools.islice(free, count))


def _silent(heard: Heard, now: datetime) -> bool:
    return (now - (heard.at or heard.since)).total_seconds() > SILENCE


def _deaf(heard: Heard | None, now: datetime) -> tuple[float, ...]:
    """Return the seconds until a scheduler that does not answer is called silent."""
    if heard is None or _silent(heard, now):
        return ()
    return (SILENCE + 1 - (now - (heard.at or heard.since)).total_seconds(),)


def _is_lost(pod: Manifest, heard: Heard | None) -> bool:
    """Return whether neither its node nor the scheduler knows of a worker: its kubelet would say that it has ended."""
    if heard is None or heard.at is None or pod["metadata"]["name"] in heard.workers:
        return False
    status = pod.get("status") or {}
    states = [each.get("state") or {} for each in status.get("containerStatuses") or ()]
    began = [each["running"].get("startedAt") for each in states if "running" in each]
    ready = next((each for each in status.get("conditions") or () if each["type"] == "Ready"), None)
    if not states or len(began) < len(states) or ready is None or ready["status"] == "True":
        return False
    changed = parse(ready.get("lastTransitionTime"))
    return changed is not None and all(seconds_since(each, changed) > STARTED_FOR for each in began)


def _rest(pod: Manifest, now: datetime) -> float:
    return REPLACE_AFTER - seconds_since(pod["metadata"].get("creationTimestamp"), now)


def _made(pod: Manifest) -> tuple[str, str]:
    return pod["metadata"].get("creationTimestamp") or "", pod["metadata"]["name"]
