"""The GitOps example as a sync tool applies it: the same again, changed code, a run after each sync."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support import argocd, kstatus
from tests.support.cluster import ROOT, checked, get_json, kubectl

if TYPE_CHECKING:
    from tests.support.cluster import Manifest, Namespace

GITOPS = ROOT / "examples" / "gitops"
NAME = "staging-orders"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clone of the example, to be edited."""
    return Path(shutil.copytree(GITOPS / "kustomize", tmp_path_factory.mktemp("clone") / "kustomize"))


def sync(namespace: Namespace, folder: Path) -> Manifest:
    """Apply the overlay and wait as a pipeline does."""
    kubectl("-n", namespace.name, "apply", "-k", str(folder / "staging"))
    kubectl("-n", namespace.name, "wait", "--for=condition=Ready", f"flowdeployment/{NAME}", "--timeout=240s")
    # `kubectl wait` believes a status of the spec before; the operator needs a moment to look.
    return namespace.wait_ready(NAME)


def run(namespace: Namespace, name: str) -> Manifest:
    """Create the run of the example's hook under another name and wait for it."""
    manifest = yaml.safe_load((GITOPS / "argocd" / "orders" / "after-sync.yaml").read_text())
    manifest["metadata"]["name"] = name
    manifest["spec"]["deployment"] = NAME
    namespace.apply(manifest)
    kubectl("-n", namespace.name, "wait", "--for=condition=Ready", f"flowrun/{name}", "--timeout=180s")
    return checked(namespace.get("flowrun", name))


def revenue(count: int) -> dict[str, int]:
    """Recompute what the flow returns."""
    chance, sums = random.Random(count), dict.fromkeys(("DE", "FR", "IT"), 0)
    for _ in range(count):
        country = chance.choice(list(sums))
        sums[country] += chance.randint(1, 100)
    return sums


def healthy(manifest: Manifest) -> tuple[str, str]:
    """Return what kstatus and Argo CD say of a live object."""
    folder = GITOPS / "argocd" / "resource_customizations" / "flow-operator.io"
    script = (folder / manifest["kind"] / "health.lua").read_text()
    return kstatus.status(manifest), argocd.health(script, manifest)["status"]


def sources(namespace: Namespace) -> set[str]:
    return {name for name in names(namespace.list("configmaps")) if name.startswith(f"{NAME}-source-")}


def names(found: list[Manifest]) -> set[str]:
    return {each["metadata"]["name"] for each in found}


def test_an_object_nobody_has_seen_is_in_progress(namespace: Namespace) -> None:
    manifest = {
        "apiVersion": "flow-operator.io/v1alpha1",
        "kind": "FlowRun",
        "metadata": {"generateName": "orders-after-sync-"},
        "spec": {"deployment": "orders"},
    }
    said = kubectl(
        "-n", namespace.name, "create", "-f", "-", "--dry-run=server", "-o", "yaml", stdin=yaml.safe_dump(manifest)
    )
    created: dict[str, Any] = yaml.safe_load(said)
    assert created["status"]["observedGeneration"] == -1
    assert "conditions" not in created["status"]
    assert healthy(created) == ("InProgress", "Progressing")


def test_changed_code_is_a_new_image_and_old_runs_keep_theirs(namespace: Namespace, folder: Path) -> None:
    first = sync(namespace, folder)
    assert healthy(first) == ("Current", "Healthy")
    before = run(namespace, "before")
    assert healthy(before) == ("Current", "Healthy")
    assert before["status"]["result"] == revenue(10)
    (old,) = sources(namespace)

    flow = folder / "base" / "flow.py"
    flow.write_text(flow.read_text().replace("return {country: sum(", "return {country: 2 * sum("))
    second = sync(namespace, folder)
    assert len(sources(namespace)) == 2, "the changed file is a ConfigMap of another name"
    assert second["status"]["image"] != first["status"]["image"]
    after = run(namespace, "after")
    assert after["status"]["result"] == {country: 2 * euros for country, euros in revenue(10).items()}

    kubectl("-n", namespace.name, "delete", "configmap", old)  # what a sync tool prunes
    kept = namespace.get("flowrun", "before")
    assert kept["status"] == before["status"], "an old run keeps its image and its result"
    assert namespace.wait_ready(NAME)["status"]["image"] == second["status"]["image"]


def test_the_same_again_changes_no_generation(namespace: Namespace, folder: Path) -> None:
    kinds = ("flowdeployments", "flowruns")
    before = {each["metadata"]["name"]: each for kind in kinds for each in namespace.list(kind)}
    sync(namespace, folder)
    after = {each["metadata"]["name"]: each for kind in kinds for each in namespace.list(kind)}
    for name, each in after.items():
        assert each["metadata"]["generation"] == before[name]["metadata"]["generation"]
        assert each["status"] == before[name]["status"]
    managers = get_json("-n", namespace.name, "flowdeployment", NAME, "--show-managed-fields")["metadata"]
    for each in managers["managedFields"]:
        ours = each["manager"].startswith("flow-operator")
        assert not (ours and "f:spec" in each["fieldsV1"]), "nothing in spec is ours: no ignoreDifferences is needed"


def test_a_hook_of_one_name_runs_again_after_each_sync(namespace: Namespace) -> None:
    """Argo CD's hook-delete-policy BeforeHookCreation: delete, then create under the same name."""
    one = run(namespace, "orders-after-sync")
    kubectl("-n", namespace.name, "delete", "flowrun", "orders-after-sync")
    other = run(namespace, "orders-after-sync")
    assert other["metadata"]["uid"] != one["metadata"]["uid"]
    assert other["status"]["pod"] != one["status"]["pod"]
