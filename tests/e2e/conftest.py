"""One cluster for all; a namespace of its own for each module, under restricted Pod Security."""

from __future__ import annotations

import json
import re
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.support import recorder
from tests.support.cluster import SYSTEM, Namespace, kubectl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
# Begun first where modules run side by side: the last one should not be a long one.
LONG = ("test_crash", "test_deletion", "test_examples", "test_tutorial", "test_life", "test_two_operators")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/e2e/" in str(item.path):
            item.add_marker(pytest.mark.e2e)
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


@pytest.fixture(scope="session")
def images() -> dict[str, str]:
    """Return the images the installed operator uses."""
    text = kubectl("-n", SYSTEM, "get", "configmap", "-o", "json")
    for each in json.loads(text)["items"]:
        data = each.get("data") or {}
        if "settings.yaml" in data:
            import yaml

            settings = yaml.safe_load(data["settings.yaml"])
            return {"operator": settings["operatorImage"], "runtime": settings["runtimeImage"]}
    raise AssertionError("the chart is not installed: no settings in " + SYSTEM)


@pytest.fixture(scope="module")
def namespace(request: pytest.FixtureRequest, images: dict[str, str]) -> Iterator[Namespace]:
    """Make a namespace with a recorder; on failure say what was in it."""
    stem = re.sub(r"[^a-z0-9]+", "-", request.module.__name__.rsplit(".", 1)[-1].removeprefix("test_"))
    name = f"e2e-{stem}-{uuid.uuid4().hex[:5]}"
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}}
    kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    made = Namespace(name)
    recorder.start(made, images["runtime"])
    failed = request.session.testsfailed
    yield made
    if request.session.testsfailed > failed:
        _dump(made, request.config.rootpath / ".build" / "e2e" / f"{name}.txt")
    kubectl("delete", "namespace", name, "--wait=false")


def _logs(namespace: Namespace, component: str) -> str:
    selector = f"app.kubernetes.io/component={component}"
    options = ("--all-containers", "--prefix", "--tail=80", "--max-log-requests=50")
    return kubectl("-n", namespace.name, "logs", "-l", selector, *options, check=False)


def _dump(namespace: Namespace, to: Path) -> None:
    """Write down everything a person would look at; only when a test failed."""
    to.parent.mkdir(parents=True, exist_ok=True)
    parts = [
        kubectl("-n", namespace.name, "get", "flowdeployments,flowruns,pods,daskclusters", "-o", "wide", check=False),
        kubectl("-n", namespace.name, "describe", "flowdeployments,flowruns", check=False),
        kubectl("-n", namespace.name, "get", "events", "--sort-by=.metadata.creationTimestamp", check=False),
        kubectl("-n", SYSTEM, "logs", "-l", "app.kubernetes.io/name=flow-operator", "--tail=300", check=False),
        kubectl("-n", namespace.name, "get", "pods", "-o", "yaml", check=False),
        *(_logs(namespace, component) for component in ("runner", "builder", "check", "dask")),
    ]
    to.write_text("\n\n".join(parts))
    print(f"\neverything about {namespace.name} is in {to}")
