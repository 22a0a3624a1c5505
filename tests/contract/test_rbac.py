"""Who may do what: the chart's roles, to the letter. A verb is added here and in the chart, or not at all."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from .test_chart import REGISTRY, render

Grants = set[tuple[str, str, str]]  # group/resource, verb, "" or the only name

NAME = "flows-flow-operator"
READ = ("get", "list", "watch")


@cache
def roles() -> dict[str, Any]:
    found = [each for each in render(REGISTRY) if each["kind"] in ("ClusterRole", "Role")]
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in found}


def grants(role: str) -> Grants:
    return {
        (f"{group}/{resource}" if group else resource, verb, name)
        for rule in roles()[role]["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    }


def of(resource: str, *verbs: str, name: str = "") -> Grants:
    return {(resource, verb, name) for verb in verbs}


OPERATOR = (
    of("flow-operator.io/flowdeployments", *READ)
    | of("flow-operator.io/flowruns", *READ, "create", "patch", "delete")
    | of("flow-operator.io/flowdeployments/status", "update")
    | of("flow-operator.io/flowruns/status", "update")
    | of("flow-operator.io/flowdeployments/finalizers", "update")
    | of("flow-operator.io/flowruns/finalizers", "update")
    | of("pods", *READ, "create", "patch", "delete")
    | of("configmaps", *READ, "create", "delete")
    | of("batch/jobs", *READ, "create", "delete")
    | of("services", *READ, "create", "delete")
    | of("events.k8s.io/events", "create")
    | of("events", "list")
    | of("kubernetes.dask.org/daskclusters", *READ, "create", "patch", "delete")
    | of("kubernetes.dask.org/daskautoscalers", *READ, "create", "patch", "delete")
    | of("apps/deployments", *READ)
    | of("apiextensions.k8s.io/customresourcedefinitions", *READ)
    | of("namespaces", *READ)
)

DASK = (
    of("kubernetes.dask.org/daskclusters", *READ, "create", "patch", "delete")
    | of("kubernetes.dask.org/daskworkergroups", *READ, "create", "patch")
    | of("kubernetes.dask.org/daskjobs", *READ, "patch")
    | of("kubernetes.dask.org/daskjobs/status", "patch")
    | of("kubernetes.dask.org/daskautoscalers", *READ, "patch")
    | of("kubernetes.dask.org/daskclusters/finalizers", "update")
    | of("kubernetes.dask.org/daskworkergroups/finalizers", "update")
    | of("kubernetes.dask.org/daskjobs/finalizers", "update")
    | of("apps/deployments", "get", "list", "create", "delete")
    | of("services", *READ, "create", "patch")
    | of("pods", *READ, "create", "patch")
    | of("apiextensions.k8s.io/customresourcedefinitions", "list", "watch")
)

LEASES = of("coordination.k8s.io/leases", "create") | of(
    "coordination.k8s.io/leases", "get", "patch", "update", name="flow-operator"
)

ON_UNINSTALL = {
    (f"{group}/{plural}", verb, "")
    for group, plurals in {
        "flow-operator.io": ("flowdeployments", "flowruns"),
        "kubernetes.dask.org": ("daskclusters", "daskworkergroups", "daskautoscalers", "daskjobs"),
    }.items()
    for plural in plurals
    for verb in ("list", "patch")
}
ON_UNINSTALL |= of("pods", "list", "patch")
for deployment in (NAME, f"{NAME}-dask"):
    ON_UNINSTALL |= of("apps/deployments", "get", name=deployment)
    ON_UNINSTALL |= of("apps/deployments/scale", "patch", name=deployment)

OF_USERS = {
    f"ClusterRole/{NAME}-view": of("flow-operator.io/flowdeployments", *READ)
    | of("flow-operator.io/flowdeployments/status", *READ)
    | of("flow-operator.io/flowruns", *READ)
    | of("flow-operator.io/flowruns/status", *READ),
    f"ClusterRole/{NAME}-edit": {
        (f"flow-operator.io/{plural}", verb, "")
        for plural in ("flowdeployments", "flowruns")
        for verb in ("create", "update", "patch", "delete", "deletecollection")
    },
}

EXPECTED: dict[str, Grants] = {
    f"ClusterRole/{NAME}": OPERATOR,
    f"Role/{NAME}": LEASES,
    f"ClusterRole/{NAME}-dask": DASK,
    f"ClusterRole/{NAME}-hooks-release": ON_UNINSTALL,
    **OF_USERS,
}


def test_there_are_no_other_roles() -> None:
    assert set(roles()) == set(EXPECTED)


@pytest.mark.parametrize("role", EXPECTED)
def test_a_role_grants_exactly_this(role: str) -> None:
    assert grants(role) == EXPECTED[role]


@pytest.mark.parametrize("role", EXPECTED)
def test_no_wildcards_no_secrets_and_no_way_up(role: str) -> None:
    for resource, verb, _ in grants(role):
        assert "*" not in (verb, *resource.split("/"))
        assert resource.split("/")[0] not in ("secrets", "serviceaccounts", "nodes")
        assert resource not in ("pods/exec", "pods/attach", "pods/ephemeralcontainers", "pods/log")
        assert not resource.startswith("rbac.authorization.k8s.io")
        assert verb not in ("escalate", "bind", "impersonate")


def test_nobody_but_users_changes_what_users_write() -> None:
    runs = {*READ, "create", "patch", "delete"}
    specs = {"flow-operator.io/flowdeployments": {*READ}, "flow-operator.io/flowruns": runs}
    for resource, verb, _ in grants(f"ClusterRole/{NAME}"):
        assert verb in specs.get(resource, {verb}), "runs of a schedule come and go, finalizers of runs too"


@pytest.mark.parametrize(("role", "into"), [("view", {"view"}), ("edit", {"edit", "admin"})])
def test_kubernetes_own_roles_cover_flows(role: str, into: set[str]) -> None:
    labels = roles()[f"ClusterRole/{NAME}-{role}"]["metadata"]["labels"]
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    assert {label.removeprefix(prefix) for label in labels if label.startswith(prefix)} == into
