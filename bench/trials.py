"""What is measured, each by its name; every trial begins when nothing of the one before is left."""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tests.support.cluster import kubectl

from bench import overhead, sdk, subjects
from bench.builds import Builds, changed_source
from bench.kube import Failed, Kube, collection_of, path_of
from bench.pod_log import CLUSTER_ROLES, PodLog, timeline
from bench.stopwatch import PATIENCE, time_until_ended
from flow_operator.api.labels import PROJECT
from flow_operator.api.slug import slug

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.kube import Manifest
    from bench.stopwatch import Ended
    from flow_operator.api.wire import BuildReport

    Trial = Callable[[], "Sample"]

# After the last visible step of a run the operator may still have an Event to write.
QUIET = 0.4
# Two watches tell of one change within this time.
LAG = 0.1
# The kubelet looks at its containers once a second. A trial begins when the pods of the one before are gone, which is
# when the kubelet looked: without a wait of random length all trials would begin at the same point of that second.
PHASE = 1.0
# Runs of one trial of their ends, and the seconds between two of them: fifteen rounds make more than a hundred.
MANY, PAUSE = 7, 0.4
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}


@dataclass
class Sample:
    """One measurement."""

    seconds: float
    timeline: dict[str, float] = field(default_factory=dict)  # seconds from the start to each step of each pod
    requests: dict[str, int] = field(default_factory=dict)  # of the operator
    stages: dict[str, float] = field(default_factory=dict)  # seconds of each stage, of a deploy
    uploaded: int = 0  # bytes, of a build
    delays: list[float] = field(default_factory=list)  # seconds from the end of main to the terminal status


class Bench:
    """A namespace, the deployments in it, and the trials."""

    def __init__(self, kube: Kube, node: str) -> None:
        self.settings = overhead.operator_settings()
        self.crosschecks: dict[str, dict[str, int]] = {}  # writes of one FlowRun of each deployment, counted twice
        self._kube = kube
        self._node = {"kubernetes.io/hostname": node}
        self._namespace = f"flow-bench-{uuid.uuid4().hex[:5]}"
        self._ready: dict[str, Manifest] = {}
        self._number = 0
        self._ending = ExitStack()

    def __enter__(self) -> Bench:
        labels = RESTRICTED | {PROJECT: slug(sdk.PROJECT)}
        namespace = {"metadata": {"name": self._namespace, "labels": labels}}
        kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Namespace", **namespace}))
        self._ending.callback(kubectl, "delete", "namespace", self._namespace, "--wait=false")
        self._log = PodLog(self._kube, self._namespace)
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    @cached_property
    def builds(self) -> Builds:
        """Return the builds on this machine; docker is asked for only when one of them is measured."""
        made = Builds(self.settings)
        self._ending.callback(made.close)
        return made

    def trials(self) -> dict[str, Trial]:
        """Return all that can be measured."""
        return {
            "pod": self._pod,
            "pod-hooks": self._pod_with_hooks,
            "job": self._job,
            "run": lambda: self._run("plain", subjects.RESULT),
            "run-bytes": lambda: self._run("mounted", subjects.RESULT),
            "run-callbacks": lambda: self._run("callbacks", subjects.RESULT),
            "verdicts": self._verdicts,
            "suspend": self._suspend,
            "run-dask": lambda: self._run("dask", subjects.DASK_RESULT),
            "daskjob": self._dask_job,
            "scaling": lambda: self._scaling("scaling"),
            "scaling-cluster": lambda: self._scaling("scaling-cluster"),
            "scaling-daskjob": self._scaling_dask_job,
            "storage": lambda: _built(*self.builds.storage(_new())),
            "storage-pandas": lambda: _built(*self.builds.storage_with_pandas(_new())),
            "docker-pandas": lambda: Sample(self.builds.docker_with_pandas(_new())),
            "layers": lambda: Sample(self.builds.layers(_new())),
            "layers-process": lambda: Sample(self.builds.layers_in_a_new_process(_new())),
            "docker": lambda: Sample(self.builds.docker_build_and_push(_new())),
            "edit": self._edit,
            "import": lambda: Sample(sdk.import_seconds()),
            "deploy": self._deploy,
        }

    def facts(self) -> dict[str, Any]:
        """Return with what it was measured: images, by what they are for, and the docker client."""
        own = {"operator": self.settings.operator_image, "runtime": self.settings.runtime_image}
        measured = {name: each["status"]["image"] for name, each in self._ready.items()}
        docker = {"docker": self.builds.docker.title} if "builds" in vars(self) else {}
        return {"images": own | measured, "node": self._node["kubernetes.io/hostname"], **docker}

    def _pod(self) -> Sample:
        image = self._deployment("plain")["status"]["image"]
        return self._alone(subjects.pod(self._namespace, self._name("pod"), image, self._node), subjects.pod_ended)

    def _pod_with_hooks(self) -> Sample:
        image = self._deployment("plain")["status"]["image"]
        manifest = subjects.pod_with_hooks(self._namespace, self._name("hooks"), image, self._node)
        return self._alone(manifest, subjects.pod_ended)

    def _job(self) -> Sample:
        image = self._deployment("plain")["status"]["image"]
        return self._alone(subjects.job(self._namespace, self._name("job"), image, self._node), subjects.job_ended)

    def _dask_job(self) -> Sample:
        manifest = subjects.dask_job(self._name("daskjob"), self._deployment("dask"), self.settings)
        return self._alone(manifest, subjects.dask_job_ended)

    def _scaling(self, of: str) -> Sample:
        """Measure a FlowRun whose load wants more workers than it begins with."""
        self._deployment(of)
        manifest = subjects.flow_run(self._namespace, self._name(of), of)
        clock: list[float] = []
        try:
            sample = self._timed(manifest, self._created_at(clock), subjects.run_scaled)
            said = self._kube.get(path_of(manifest))["status"]["result"]
        finally:
            self._remove(manifest)
        return _scaled(sample, said, clock[0])

    def _scaling_dask_job(self) -> Sample:
        """Measure the same in a DaskJob with a DaskAutoscaler."""
        manifest = subjects.dask_job(self._name("scalingjob"), self._deployment("scaling-cluster"), self.settings)
        autoscaler = subjects.dask_autoscaler(manifest)
        cluster = {**autoscaler, "kind": "DaskCluster"}
        clock: list[float] = []

        def create(job: Manifest) -> None:
            self._created_at(clock)(job)
            while not self._there(cluster):  # an autoscaler that finds no cluster looks again after a minute
                time.sleep(0.05)
            self._kube.create(autoscaler)

        try:
            sample = self._timed(manifest, create, subjects.dask_job_ended)
            runner = f"{manifest['metadata']['name']}-runner"
            printed = kubectl("-n", self._namespace, "logs", runner).splitlines()
            said = next(line for line in printed if line.startswith("{"))
        finally:
            self._kube.delete(autoscaler)
            self._remove(manifest)
        return _scaled(sample, json.loads(said.replace("'", '"')), clock[0])

    def _created_at(self, clock: list[float]) -> Callable[[Manifest], object]:
        """Return what creates an object and notes when, by the wall clock."""

        def create(manifest: Manifest) -> object:
            clock.append(time.time())
            return self._kube.create(manifest)

        return create

    def _there(self, manifest: Manifest) -> bool:
        try:
            self._kube.get(path_of(manifest))
        except Failed:
            return False
        return True

    def _run(self, of: str, result: int) -> Sample:
        """Measure a FlowRun, and what it costs the operator until its cluster is gone and before it is deleted."""
        self._deployment(of)
        manifest = subjects.flow_run(self._namespace, self._name(of), of)
        meter = overhead.Meter(self._kube, manifest, thorough=of not in self.crosschecks)
        began = time.monotonic()
        try:
            sample = self._timed(manifest, self._kube.create, subjects.run_ended(result))
            sample.delays = [sample.seconds - end for step, end in sample.timeline.items() if step == "pod ended"]
            self._log.wait_gone(*CLUSTER_ROLES)
            time.sleep(QUIET)
            sample.requests = meter.read()
            if meter.thorough:
                pods = self._log.since(began)
                self.crosschecks[of] = {"operator": overhead.writes(sample.requests), "server": meter.served(pods)}
        finally:
            self._remove(manifest)
        return sample

    def _verdicts(self) -> Sample:
        """Measure how long the operator needs to tell of the end of some runs that overlap."""
        self._deployment("mounted")
        runs = [subjects.flow_run(self._namespace, self._name("verdict"), "mounted") for _ in range(MANY)]
        told: dict[str, float] = {}
        began, ended = time.monotonic(), subjects.run_ended(subjects.RESULT)
        try:
            with self._kube.watch(collection_of(runs[0]["apiVersion"], "FlowRun", self._namespace)) as events:
                threading.Thread(target=self._create_one_by_one, args=(runs,)).start()
                for _, seen in events:
                    if ended(seen) is not None:
                        told.setdefault(seen["metadata"]["name"], time.monotonic())
                    if len(told) == MANY or time.monotonic() - began > PATIENCE:
                        break
            seconds = time.monotonic() - began
            time.sleep(LAG)
            ends = {life.run: life.moments["ended"] for life in self._log.since(began) if "ended" in life.moments}
        finally:
            for each in runs:
                self._kube.delete(each)
            self._log.wait_gone()
        if set(told) != set(ends):
            raise Failed(f"of {MANY} runs {len(told)} were told of and {len(ends)} have ended")
        return Sample(seconds, delays=[told[name] - ends[name] for name in ends])

    def _suspend(self) -> Sample:
        """Measure from the wish that a run stops until nothing of it runs; and from its resume until its flow does."""
        self._deployment("sleeping")
        manifest = subjects.flow_run(self._namespace, self._name("suspend"), "sleeping")
        try:
            self._timed(manifest, self._kube.create, subjects.in_phase("Running"))
            stopped = self._timed(manifest, self._wish(suspend=True), subjects.in_phase("Suspended"))
            resumed = self._timed(manifest, self._wish(suspend=False), subjects.in_phase("Running"))
        finally:
            self._remove(manifest)
        stopped.stages = {"suspend": stopped.seconds, "resume": resumed.seconds}
        return stopped

    def _wish(self, *, suspend: bool) -> Callable[[Manifest], Manifest]:
        return lambda manifest: self._kube.merge(manifest, {"spec": {"suspend": suspend}})

    def _create_one_by_one(self, runs: list[Manifest]) -> None:
        for each in runs:
            self._kube.create(each)
            time.sleep(PAUSE)

    def _edit(self) -> Sample:
        self._deployment("edited")
        return self._deployed(subjects.deployment(self._namespace, "edited", changed_source(_new()), self._node))

    def _deploy(self) -> Sample:
        stages = sdk.deploy_stages(_new(), self._namespace, self.settings)
        self._log.wait_gone()
        return Sample(sum(stages.values()), stages=stages)

    def _deployment(self, name: str) -> Manifest:
        """Return a Ready deployment, made when it is first asked for."""
        if name not in self._ready:
            wanted = self._wanted(name)
            self._deployed(wanted)
            self._ready[name] = self._kube.get(path_of(wanted))
        return self._ready[name]

    def _wanted(self, name: str) -> Manifest:
        one_worker = {"daskKubernetes": {"minWorkers": 1, "maxWorkers": 1}}
        bounds = {"minWorkers": 1, "maxWorkers": subjects.SCALING_WORKERS}
        to_four = {"daskKubernetes": bounds}
        by_dask_kubernetes = {"daskKubernetes": {**bounds, "provider": "DaskCluster"}}
        kinds: dict[str, tuple[str, dict[str, Any]]] = {
            "plain": (subjects.SOURCE, {}),
            "mounted": (subjects.SOURCE, {"mounted": True}),
            "callbacks": (subjects.CALLBACKS_SOURCE, {}),
            "sleeping": (subjects.SLEEPING_SOURCE, {"mounted": True}),
            "dask": (subjects.DASK_SOURCE, {"environment": one_worker}),
            "scaling": (subjects.SCALING_SOURCE, {"environment": to_four}),
            "scaling-cluster": (subjects.SCALING_SOURCE, {"environment": by_dask_kubernetes}),
            "edited": (subjects.SOURCE, {}),
        }
        source, more = kinds[name]
        return subjects.deployment(self._namespace, name, source, self._node, **more)

    def _deployed(self, manifest: Manifest) -> Sample:
        sample = self._timed(manifest, self._kube.apply, subjects.ready_with(manifest))
        self._log.wait_gone()  # builder and check pods go once the deployment is Ready
        return sample

    def _alone(self, manifest: Manifest, ended: Ended) -> Sample:
        try:
            return self._timed(manifest, self._kube.create, ended)
        finally:
            self._remove(manifest)

    def _remove(self, manifest: Manifest) -> None:
        self._kube.delete(manifest)
        self._log.wait_gone()

    def _timed(self, manifest: Manifest, start: Callable[[Manifest], object], ended: Ended) -> Sample:
        time.sleep(random.uniform(0, PHASE))  # noqa: S311 - no secret
        began = time.monotonic()
        try:
            seconds = time_until_ended(self._kube, manifest, start, ended)
        except Failed as error:
            raise Failed(f"{error}{self._last_words()}") from None
        time.sleep(LAG)
        return Sample(seconds, timeline(self._log.since(began), began, seconds + LAG))

    def _last_words(self) -> str:
        """Return what the failed pods said last, or all of them where none has failed."""
        found = self._kube.get(collection_of("v1", "Pod", self._namespace))["items"]
        pods = [each for each in found if subjects.pod_ended(each) is False] or found
        return "".join(f"\n{each['metadata']['name']} said last:\n{self._log_of(each)}" for each in pods)

    def _log_of(self, pod: Manifest) -> str:
        name = pod["metadata"]["name"]
        return kubectl("-n", self._namespace, "logs", name, "--all-containers", "--tail=12", check=False)

    def _name(self, what: str) -> str:
        self._number += 1
        return f"{what}-{self._number}"


def _scaled(sample: Sample, said: dict[str, float], created: float) -> Sample:
    sample.stages = {"first task": said["first"] - created, "all workers": said["all"] - created}
    return sample


def _built(seconds: float, report: BuildReport) -> Sample:
    return Sample(seconds, stages=report["stages"], uploaded=report["uploadedBytes"])


def _new() -> str:
    return uuid.uuid4().hex
