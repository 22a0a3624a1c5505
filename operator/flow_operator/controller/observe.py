"""Look: gather from the store what a decision needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..api import labels
from ..api.flow_run import FINISHED
from ..plan import verdict
from ..plan.types import ObservedDeployment, ObservedRun
from .store import Key, Manifest, Store, labels_of

if TYPE_CHECKING:
    from collections.abc import Mapping


def observe_run(store: Store, run: Manifest, refused: str | None) -> ObservedRun:
    """Return what is known about a run and its children."""
    meta = run["metadata"]
    uid, namespace = meta["uid"], meta["namespace"]
    attempt = str((run.get("status") or {}).get("attempt", 0))
    pods = store.children(uid, "Pod")
    runners = tuple(each for each in pods if labels_of(each)[labels.COMPONENT] == labels.RUNNER)
    current = next((each for each in runners if labels_of(each).get(labels.ATTEMPT) == attempt), None)
    gone = store.last_words(uid) if current is None else None
    return ObservedRun(
        deployment=store.get(Key("FlowDeployment", namespace, run["spec"]["deployment"])),
        runner=current or (gone if gone and verdict.terminated(gone) else None),
        runner_gone=gone is not None,
        runners=runners,
        cluster=_only(store.children(uid, "DaskCluster"), attempt),
        autoscaler=_only(store.children(uid, "DaskAutoscaler"), attempt),
        dask_pods=tuple(each for each in pods if labels_of(each)[labels.COMPONENT] == labels.DASK),
        dask_deployments=tuple(store.children(uid, "Deployment")),
        refused=refused,
    )


def _only(found: list[Manifest], attempt: str) -> Manifest | None:
    return next((each for each in found if labels_of(each).get(labels.ATTEMPT) == attempt), None)


def observe_deployment(
    store: Store,
    deployment: Manifest,
    sources: Mapping[tuple[str, str], Manifest | None],
    ca_bundle: str | None,
    refused: str | None,
) -> ObservedDeployment:
    """Return what is known about a deployment, its source and its children."""
    uid = deployment["metadata"]["uid"]
    source, missing = read_source(deployment, sources)
    pods = store.children(uid, "Pod")
    return ObservedDeployment(
        source=source,
        source_missing=missing,
        builders=tuple(each for each in pods if labels_of(each)[labels.COMPONENT] == labels.BUILDER),
        checks=tuple(each for each in pods if labels_of(each)[labels.COMPONENT] == labels.CHECK),
        config_maps=tuple(store.children(uid, "ConfigMap")),
        ca_bundle=ca_bundle,
        pinned_config_maps=_pinned(store, deployment),
        refused=refused,
    )


def _pinned(store: Store, deployment: Manifest) -> frozenset[str]:
    name, namespace = deployment["metadata"]["name"], deployment["metadata"]["namespace"]
    codes = (
        ((each.get("status") or {}).get("pinned") or {}).get("code")
        for each in store.of_kind("FlowRun")
        if each["metadata"]["namespace"] == namespace
        and each["spec"]["deployment"] == name
        and (each.get("status") or {}).get("phase") not in FINISHED
    )
    return frozenset(each for each in codes if each)


def source_reference(deployment: Manifest) -> tuple[str, str] | None:
    """Return namespace and name of the ConfigMap a deployment reads, or None."""
    reference: dict[str, Any] = deployment["spec"]["flow"].get("source", {}).get("configMap") or {}
    return (deployment["metadata"]["namespace"], reference["name"]) if reference else None


def source_is_known(deployment: Manifest, sources: Mapping[tuple[str, str], Manifest | None]) -> bool:
    """Return whether the referenced ConfigMap has been looked for: not looked is not absent."""
    where = source_reference(deployment)
    return where is None or where in sources


def read_source(
    deployment: Manifest, sources: Mapping[tuple[str, str], Manifest | None]
) -> tuple[str | None, str | None]:
    """Return the referenced source, or why there is none; both None where nothing is referenced."""
    where = source_reference(deployment)
    if where is None:
        return None, None
    key = deployment["spec"]["flow"]["source"]["configMap"].get("key", "flow.py")
    found = sources.get(where)
    if found is None:
        return None, f"There is no ConfigMap {where[1]!r} in this namespace."
    text = (found.get("data") or {}).get(key)
    if text is None:
        keys = ", ".join(sorted(found.get("data") or {})) or "none"
        return None, f"ConfigMap {where[1]!r} has no key {key!r}; it has: {keys}."
    return text, None
