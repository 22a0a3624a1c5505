"""What GitOps tools make of our objects: the shipped examples, and the health of every row of docs/status.md."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from flow_operator.api.crds import KINDS, structural
from flow_operator.api.labels import GROUP
from tests.contract import test_docs as published
from tests.support import argocd, kstatus
from tests.support import makers as m

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flow_operator.api.crds import Schema

Manifest = dict[str, Any]

ROOT = Path(__file__).parents[2]
GITOPS = ROOT / "examples" / "gitops"
CUSTOMIZATIONS = GITOPS / "argocd" / "resource_customizations" / GROUP
TABLES = {"FlowRun": published.runs, "FlowDeployment": published.deployments}
NAMES = [kind.kind for kind in KINDS]

# --- every state of an object, and what the table of docs/status.md lets one expect


def rows_of(kind: str) -> Iterator[tuple[str, Manifest, str]]:
    """Each row: its name, an object in that state, and the one of Ready, Stalled and Reconciling that is True."""
    head = next(row for row in published.rows(published.doc("status.md")) if row[0] == PAGE_HEADS[kind])
    objects = TABLES[kind]()
    for row in published.table("status.md", kind.lower()):
        cells = dict(zip(head, row, strict=True))
        (true,) = [each for each in ("Ready", "Stalled", "Reconciling") if cells[each] == "True"]
        yield row[0], objects[row[0]], true


PAGE_HEADS = {"FlowRun": "Phase", "FlowDeployment": "State"}
ROWS = [(kind, *row) for kind in NAMES for row in rows_of(kind)]
ROW_IDS = [f"{kind}-{name}" for kind, name, _, _ in ROWS]
every_row = pytest.mark.parametrize(("kind", "name", "shown", "true"), ROWS, ids=ROW_IDS)


def unseen(kind: str) -> dict[str, Manifest]:
    """Objects the operator has not looked at: new, of a CRD without the default, and changed since."""
    new = {"FlowRun": m.a_run, "FlowDeployment": m.a_deployment}[kind]()
    good = copy.deepcopy(next(shown for of, _, shown, true in ROWS if (of, true) == (kind, "Ready")))
    good["metadata"]["generation"] += 1
    return {"unseen": m.with_status(new, {"observedGeneration": -1}), "no-status": new, "changed": good}


# --- kstatus, and so Flux and everything that waits like it


@every_row
def test_kstatus_says_what_the_table_says(kind: str, name: str, shown: Manifest, true: str) -> None:
    assert kstatus.status(shown) == {"Ready": "Current", "Stalled": "Failed", "Reconciling": "InProgress"}[true]


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("name", ["unseen", "changed"])
def test_kstatus_waits_for_the_operator_to_look(kind: str, name: str) -> None:
    assert kstatus.status(unseen(kind)[name]) == "InProgress"


def test_without_the_default_kstatus_would_take_silence_for_success() -> None:
    assert kstatus.status(unseen("FlowRun")["no-status"]) == "Current"


# --- Argo CD


def script(kind: str) -> str:
    return (CUSTOMIZATIONS / kind / "health.lua").read_text()


def message(shown: Manifest) -> str:
    (ready,) = [each for each in shown["status"]["conditions"] if each["type"] == "Ready"]
    return str(ready["message"])


@every_row
def test_argo_cd_says_what_the_table_says(kind: str, name: str, shown: Manifest, true: str) -> None:
    word = {"Ready": "Healthy", "Stalled": "Degraded", "Reconciling": "Progressing"}[true]
    if shown["status"].get("phase") == "Suspended":
        word = "Suspended"
    assert argocd.health(script(kind), shown) == {"status": word, "message": message(shown)}


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("name", ["unseen", "no-status", "changed"])
def test_argo_cd_waits_for_the_operator_to_look(kind: str, name: str) -> None:
    said = argocd.health(script(kind), unseen(kind)[name])
    assert said["status"] == "Progressing"
    assert "has not looked" in said["message"]


def test_argo_cd_knows_a_suspended_run() -> None:
    run = copy.deepcopy(published.runs()["Pending"])
    run["status"]["conditions"] = [
        {"type": "Ready", "status": "False", "reason": "Suspended", "message": "The run is suspended."},
        {"type": "Suspended", "status": "True", "reason": "Suspended", "message": "By its spec."},
    ]
    assert argocd.health(script("FlowRun"), run) == {"status": "Suspended", "message": "By its spec."}


def test_the_checker_of_scripts_gives_no_libraries() -> None:
    with pytest.raises(Exception, match="attempt to index"):
        argocd.health("return {status = string.upper('healthy')}", {})


def test_the_fragment_for_argocd_cm_is_the_scripts() -> None:
    text = yaml.safe_dump(fragment(), sort_keys=False, width=120, default_flow_style=False)
    committed(GITOPS / "argocd" / "argocd-cm.yaml", f"{FRAGMENT_HEAD}{text}")


FRAGMENT_HEAD = """\
# kubectl patch configmap argocd-cm --namespace argocd --patch-file examples/gitops/argocd/argocd-cm.yaml
# Written from resource_customizations/ beside it: UPDATE_GOLDEN=1 pytest tests/contract/test_gitops.py
"""


class Literal(str):
    """A text that YAML shows as it is."""


yaml.SafeDumper.add_representer(
    Literal, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|")
)


def fragment() -> Manifest:
    scripts = {f"resource.customizations.health.{GROUP}_{kind}": Literal(script(kind)) for kind in NAMES}
    return {"data": scripts}


def committed(file: Path, text: str) -> None:
    if updating():
        file.write_text(text)
    assert text == file.read_text(), UPDATE


def updating() -> bool:
    return bool(os.environ.get("UPDATE_GOLDEN"))


UPDATE = "UPDATE_GOLDEN=1 writes the file anew; read the diff before you commit it"


def file_of(row: str) -> str:
    return f"testdata/{row.lower().replace(',', '').replace(' ', '-')}.yaml"


def facts(shown: Manifest) -> list[tuple[str, str, str]]:
    return [(each["type"], each["status"], each["reason"]) for each in shown["status"]["conditions"]]


@pytest.mark.parametrize("kind", NAMES)
def test_the_folder_is_what_argo_cds_own_tests_expect(kind: str) -> None:
    """health_test.yaml names an object and its health, for each row of the table: `go test ./util/lua` upstream."""
    folder = CUSTOMIZATIONS / kind
    objects = {file_of(name): shown for of, name, shown, _ in ROWS if of == kind}
    if updating():
        for path, shown in objects.items():
            (folder / path).write_text(yaml.safe_dump(shown, sort_keys=False, width=120))
        tests = [{"healthStatus": argocd.health(script(kind), objects[path]), "inputPath": path} for path in objects]
        (folder / "health_test.yaml").write_text(yaml.safe_dump({"tests": tests}, sort_keys=False, width=120))
    tests = yaml.safe_load((folder / "health_test.yaml").read_text())["tests"]
    assert [each["inputPath"] for each in tests] == list(objects), UPDATE
    assert {f"testdata/{each.name}" for each in (folder / "testdata").iterdir()} == set(objects)
    for test in tests:
        shown = yaml.safe_load((folder / test["inputPath"]).read_text())
        assert facts(shown) == facts(objects[test["inputPath"]]), UPDATE
        assert argocd.health(script(kind), shown) == test["healthStatus"], UPDATE


# --- kustomize

needs_kubectl = pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed: make tools")


def rendered(folder: Path) -> dict[str, Manifest]:
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {each["kind"]: each for each in yaml.safe_load_all(done.stdout)}


OVERLAYS = ["kustomize/base", "kustomize/staging", "kustomize/production", "argocd/orders"]


@needs_kubectl
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_names_the_config_map_by_its_hash(overlay: str) -> None:
    made = rendered(GITOPS / overlay)
    name = made["FlowDeployment"]["spec"]["flow"]["source"]["configMap"]["name"]
    assert name == made["ConfigMap"]["metadata"]["name"]
    assert name.rpartition("orders-source-")[2], "the name has a hash"
    assert made["ConfigMap"]["data"]["flow.py"] == (GITOPS / "kustomize" / "base" / "flow.py").read_text()


@needs_kubectl
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_an_overlay_renders_is_what_the_api_server_takes(overlay: str) -> None:
    for each in rendered(GITOPS / overlay).values():
        for kind in KINDS:
            if kind.kind == each["kind"]:
                kind.spec.model_validate(each["spec"])
                assert not list(published.complaints(structural(kind.spec), each["spec"], "spec"))


@needs_kubectl
def test_another_flow_is_another_config_map(tmp_path: Path) -> None:
    copied = Path(shutil.copytree(GITOPS / "kustomize", tmp_path / "kustomize"))
    before = rendered(copied / "staging")
    flow = copied / "base" / "flow.py"
    flow.write_text(flow.read_text() + "\n# changed\n")
    after = rendered(copied / "staging")
    assert before["ConfigMap"]["metadata"]["name"] != after["ConfigMap"]["metadata"]["name"]
    assert before["FlowDeployment"]["spec"] != after["FlowDeployment"]["spec"]


@needs_kubectl
def test_overlays_differ_in_what_they_say_they_differ_in() -> None:
    staging = rendered(GITOPS / "kustomize" / "staging")["FlowDeployment"]
    production = rendered(GITOPS / "kustomize" / "production")["FlowDeployment"]
    assert staging["metadata"]["name"] == "staging-orders"
    assert staging["spec"]["parameters"]["count"] < production["spec"]["parameters"]["count"]
    assert staging["spec"]["storage"]["docker"] == {}
    docker = production["spec"]["storage"]["docker"]
    assert docker["registryURL"] == "registry.example.com/production"
    assert docker["baseImage"].startswith("registry.example.com/python@sha256:"), "set by `images:`"


@needs_kubectl
def test_a_run_follows_its_deployment_through_a_prefix(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GITOPS / "kustomize" / "base", tmp_path / "base"))
    shutil.copy(GITOPS / "argocd" / "orders" / "after-sync.yaml", folder)
    kustomization = folder / "kustomization.yaml"
    kustomization.write_text(f"namePrefix: blue-\n{kustomization.read_text()}".replace("[dep", "[after-sync.yaml, dep"))
    made = rendered(folder)
    assert made["FlowRun"]["spec"]["deployment"] == made["FlowDeployment"]["metadata"]["name"] == "blue-orders"


def references(schema: Schema, path: str, name: str = "") -> Iterator[str]:
    """Fields that name a ConfigMap or a Secret of the same namespace."""
    for key, each in schema.get("properties", {}).items():
        if (name, key) == ("configMap", "name") or key.endswith("Secret"):
            yield f"{path}/{key}"
        yield from references(each, f"{path}/{key}", key)
        yield from references(each.get("items", {}), f"{path}/{key}", key)


def test_kustomize_is_told_of_every_field_that_names_another_object() -> None:
    config = yaml.safe_load((GITOPS / "kustomize" / "base" / "flow-operator.yaml").read_text())
    told = {(each["kind"], each["path"]) for of in config["nameReference"] for each in of["fieldSpecs"]}
    wanted = {(kind.kind, path) for kind in KINDS for path in references(structural(kind.spec), "spec")}
    assert wanted <= told, "add it to examples/gitops/kustomize/base/flow-operator.yaml"


# --- Argo CD's and Flux's own resources


def test_the_application_syncs_a_folder_there_is_and_prunes_last() -> None:
    spec = yaml.safe_load((GITOPS / "argocd" / "application.yaml").read_text())["spec"]
    assert (ROOT / spec["source"]["path"] / "kustomization.yaml").exists()
    assert "PruneLast=true" in spec["syncPolicy"]["syncOptions"]
    assert "ignoreDifferences" not in spec, "the operator writes no spec"


def test_the_project_allows_what_the_application_holds() -> None:
    project = yaml.safe_load((GITOPS / "argocd" / "project.yaml").read_text())["spec"]
    allowed = {each["kind"] for each in project["namespaceResourceWhitelist"]}
    if shutil.which("kubectl"):
        assert set(rendered(GITOPS / "argocd" / "orders")) == allowed


def test_flux_waits_and_prunes() -> None:
    spec = yaml.safe_load((GITOPS / "flux" / "orders.yaml").read_text())["spec"]
    source = yaml.safe_load((GITOPS / "flux" / "source.yaml").read_text())
    assert (ROOT / spec["path"] / "kustomization.yaml").exists()
    assert spec["wait"] is True
    assert spec["prune"] is True
    assert spec["sourceRef"] == {"kind": source["kind"], "name": source["metadata"]["name"]}
