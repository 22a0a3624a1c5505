"""What counts as a run's child: a copy that only carries its labels does not."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from flow_operator.api import labels
from flow_operator.controller.observe import observe_deployment, observe_run
from flow_operator.controller.store import Store
from flow_operator.plan import names
from flow_operator.plan import run as run_plan
from flow_operator.plan.types import ObservedRun
from tests.support import makers as m

Manifest = dict[str, Any]


def a_run_and(kind: str, environment: Manifest | None = None) -> tuple[Manifest, Manifest]:
    """Return a run that is being set up, and its child of a kind."""
    run, deployment = m.a_run(), m.a_ready_deployment(environment=environment)
    plan = run_plan.decide(run, ObservedRun(deployment=deployment), m.settings(), m.NOW)
    (child,) = [m.scheduled(each) for each in plan.create if each["kind"] == kind]
    return m.with_status(run, plan.status), child


def like(manifest: Manifest, **meta: Any) -> Manifest:
    """Return a copy as somebody makes it who looks for the cause of a failure; what is None is left out."""
    out = copy.deepcopy(manifest)
    changed = {**out["metadata"], "uid": "uid-copy", "creationTimestamp": m.at(60), **meta}
    out["metadata"] = {key: value for key, value in changed.items() if value is not None}
    return out


def observed(run: Manifest, *children: Manifest) -> ObservedRun:
    store = Store()
    for each in (run, *children):
        store.put(each)
    return observe_run(store, run, None)


@pytest.mark.parametrize(
    "meta",
    [
        {"namespace": "team-b"},
        {"name": "squares-debug"},
        {"name": "squares-debug", "ownerReferences": None},
        {"name": "squares-debug", "labels": {labels.RUN_UID: m.RUN_UID, labels.RUN_NAME: "squares-1"}},
        {"ownerReferences": None, "name": "squares-debug", "generateName": "squares-"},
    ],
    ids=["in another namespace", "of another name", "nobody's", "without a role", "of another maker"],
)
def test_a_copy_of_the_runner_pod_is_nothing_of_the_runs(meta: Manifest) -> None:
    run, pod = a_run_and("Pod")
    copied = m.ended(like(pod, **meta), code=1)
    seen = observed(run, m.running(pod), copied)
    assert seen.runners == (m.running(pod),)
    assert seen.runner == m.running(pod)
    assert observed(run, copied).runner is None


def test_last_words_of_a_copy_are_not_the_runners() -> None:
    run, pod = a_run_and("Pod")
    store = Store()
    copied = m.ended(like(pod, name="squares-debug"), code=1)
    store.put(run)
    store.put(copied)
    store.remove(copied)
    assert not observe_run(store, run, None).runner_gone


def test_pods_of_the_attempts_job_are_its_runners_though_the_job_is_gone() -> None:
    run, job = a_run_and("Job", m.a_job_environment())
    pod = m.pod_of(job, "x7k2p")
    orphan = like(pod, ownerReferences=None)
    assert observed(run, job, pod).runner == pod
    assert observed(run, pod).runners == (pod,)
    assert observed(run, orphan).runners == (orphan,), "deleted with cascade=orphan: the flow still runs"


def test_a_copy_of_the_job_and_its_pods_are_nothing_of_the_runs() -> None:
    run, job = a_run_and("Job", m.a_job_environment())
    copied = like(job, name="debug")
    seen = observed(run, copied, m.pod_of(copied, "x7k2p"))
    assert (seen.job, seen.jobs, seen.runners) == (None, (), ())


def test_the_pod_of_on_exit_is_known_by_its_name_whoever_owns_it() -> None:
    run, pod = a_run_and("Pod")
    name = names.exit_pod("squares-1", m.RUN_UID, 1)
    owned = {**pod["metadata"]["labels"], labels.COMPONENT: labels.CALLBACK}
    exits = like(pod, name=name, labels=owned, ownerReferences=None)
    assert observed(run, exits, like(exits, name="debug")).fallbacks == (exits,)


def test_a_cluster_that_the_run_does_not_own_is_left_alone() -> None:
    environment = {"daskKubernetes": {"minWorkers": 1, "maxWorkers": 2, "provider": "DaskCluster"}}
    run, cluster = a_run_and("DaskCluster", environment)
    assert observed(run, cluster).cluster == cluster
    seen = observed(run, like(cluster, name="mine", ownerReferences=None))
    assert (seen.cluster, seen.earlier) == (None, ())


def test_a_deployment_looks_at_no_pod_without_a_role_nor_at_those_elsewhere() -> None:
    deployment, owned = m.a_deployment(), {labels.DEPLOYMENT_UID: m.DEPLOYMENT_UID}
    here = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "team-a", "labels": owned}}
    there = like(here, namespace="team-b", labels={**owned, labels.COMPONENT: labels.BUILDER})
    store = Store()
    for each in (deployment, like(here), there):
        store.put(each)
    seen = observe_deployment(store, deployment, {}, None, None)
    assert (seen.builders, seen.checks) == ((), ())
