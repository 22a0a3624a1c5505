"""Look: gather from the store what a decision needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import labels
from ..api.flow_run import FINISHED
from ..plan import materials, schedule, verdict
from ..plan.types import ObservedDeployment, ObservedRun
from .ours import is_fallback, is_job, is_owned, is_runner
from .store import Key, Manifest, Store, labels_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..plan.types import Heard


def observe_run(store: Store, run: Manifest, refused: str | None, heard: Heard | None = None) -> ObservedRun:
    """Return what is known about a run and its children."""
    meta = run["metadata"]
    uid, namespace = meta["uid"], meta["namespace"]
    attempt = str((run.get("status") or {}).get("attempt", 0))
    pods = store.children(uid, namespace, "Pod")
    runners = tuple(each for each in pods if is_runner(run, each))
    current = _newest(each for each in runners if _is_of(attempt, each))
    jobs = [each for each in store.children(uid, namespace, "Job") if is_job(run, each)]
    fallbacks = tuple(each for each in pods if is_fallback(run, each))
    gone = store.last_words(uid, attempt) if current is None else None
    gone = gone if gone and is_runner(run, gone) else None
    ended = gone is not None and verdict.terminated(gone) is not None
    siblings = _siblings(store, run)
    # dask-kubernetes copies our labels to what it makes; what is ours to look after is owned by the run.
    dask_pods = _of_role(pods, labels.DASK)
    workers = [each for each in dask_pods if is_owned(each, uid)]
    services, clusters, autoscalers = (
        [each for each in store.children(uid, namespace, kind) if is_owned(each, uid)]
        for kind in ("Service", "DaskCluster", "DaskAutoscaler")
    )
    deployments = store.children(uid, namespace, "Deployment")
    return ObservedRun(
        deployment=store.get(Key("FlowDeployment", namespace, run["spec"]["deployment"])),
        runner=current or (gone if ended else None),
        runner_gone=gone is not None,
        vanished=None if ended else gone,
        runners=runners,
        job=_only(jobs, attempt),
        jobs=tuple(jobs),
        fallback=_newest(each for each in fallbacks if _is_of(attempt, each)),
        fallbacks=fallbacks,
        cluster=_only(clusters, attempt),
        autoscaler=_only(autoscalers, attempt),
        earlier=tuple(each for each in (*autoscalers, *clusters, *services, *workers) if not _is_of(attempt, each)),
        dask_pods=tuple(each for each in dask_pods if _is_of(attempt, each)),
        dask_deployments=tuple(each for each in deployments if _is_of(attempt, each)),
        services=tuple(each for each in services if _is_of(attempt, each)),
        workers=tuple(each for each in workers if _is_of(attempt, each)),
        heard=heard,
        refused=refused,
        replaced_by=schedule.replaced_by(run, siblings) if siblings else None,
        replaces=schedule.replaces(run, siblings) if siblings else None,
    )


def _siblings(store: Store, run: Manifest) -> tuple[Manifest, ...]:
    """Return the runs of the schedule that a run is of, itself included; none if it is of none."""
    uid = labels_of(run).get(labels.DEPLOYMENT_UID)
    of_deployment = runs_of(store, uid, run["metadata"]["namespace"]) if uid else ()
    found = tuple(each for each in of_deployment if not schedule.was_backfilled(each))
    return found if any(each["metadata"]["uid"] == run["metadata"]["uid"] for each in found) else ()


def _of_role(pods: list[Manifest], role: str) -> list[Manifest]:
    return [each for each in pods if labels_of(each).get(labels.COMPONENT) == role]


def _is_of(attempt: str, child: Manifest) -> bool:
    return labels_of(child).get(labels.ATTEMPT) == attempt


def _newest(pods: Iterable[Manifest]) -> Manifest | None:
    """A Job may have made several, one after the other."""
    return max(pods, key=lambda each: str(each["metadata"].get("creationTimestamp")), default=None)


def _only(found: list[Manifest], attempt: str) -> Manifest | None:
    return next((each for each in found if _is_of(attempt, each)), None)


def observe_deployment(
    store: Store,
    deployment: Manifest,
    sources: Mapping[tuple[str, str], Manifest | None],
    ca_bundle: str | None,
    refused: str | None,
    run_refused: str | None = None,
) -> ObservedDeployment:
    """Return what is known about a deployment, what it reads and its children."""
    uid, namespace = deployment["metadata"]["uid"], deployment["metadata"]["namespace"]
    pods, unfinished = store.children(uid, namespace, "Pod"), _unfinished(store, deployment)
    return ObservedDeployment(
        referenced={where[1]: sources.get(where) for where in references(deployment)},
        builders=tuple(_of_role(pods, labels.BUILDER)),
        checks=tuple(_of_role(pods, labels.CHECK)),
        config_maps=tuple(store.children(uid, namespace, "ConfigMap")),
        ca_bundle=ca_bundle,
        runs=runs_of(store, uid, namespace),
        run_refused=run_refused,
        pinned_config_maps=frozenset(code for each in unfinished if (code := _pinned(each).get("code"))),
        builds=tuple(store.builds()),
        unpullable=_unpullable(deployment, unfinished),
        refused=refused,
    )


def runs_of(store: Store, uid: str, namespace: str) -> tuple[Manifest, ...]:
    """Return the runs of a deployment's ticks; a label alone, which anybody may write, makes none."""
    return tuple(
        each
        for each in store.children(uid, namespace, "FlowRun")
        if is_owned(each, uid) and schedule.was_scheduled(each)
    )


def _unfinished(store: Store, deployment: Manifest) -> tuple[Manifest, ...]:
    name, namespace = deployment["metadata"]["name"], deployment["metadata"]["namespace"]
    return tuple(
        each
        for each in store.of_kind("FlowRun")
        if each["metadata"]["namespace"] == namespace
        and each["spec"]["deployment"] == name
        and (each.get("status") or {}).get("phase") not in FINISHED
    )


def _pinned(run: Manifest) -> Manifest:
    return (run.get("status") or {}).get("pinned") or {}


def _unpullable(deployment: Manifest, unfinished: tuple[Manifest, ...]) -> Manifest | None:
    image = (deployment.get("status") or {}).get("image")
    statuses = [each.get("status") or {} for each in unfinished]
    found = (each.get("diagnosis") or {} for each in statuses if image and each.get("image") == image)
    return next((each for each in found if each.get("reason") == "ImagePullFailed"), None)


def references(deployment: Manifest) -> frozenset[tuple[str, str]]:
    """Return namespaces and names of the ConfigMaps of its users that a deployment reads."""
    namespace = deployment["metadata"]["namespace"]
    return frozenset((namespace, name) for name in materials.references(deployment["spec"]))


def sources_are_known(deployment: Manifest, sources: Mapping[tuple[str, str], Manifest | None]) -> bool:
    """Return whether all of them have been looked for: not looked is not absent."""
    return all(where in sources for where in references(deployment))
