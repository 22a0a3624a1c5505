"""The chart: what its values promise, what it renders, and that its copies are copies."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from flow_operator.api import settings

Manifest = dict[str, Any]

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "flow-operator"
VALUES: Manifest = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: Manifest = json.loads((CHART / "values.schema.json").read_text())
REGISTRY = "registry=localhost:5001/flows"
CA = "caBundle.configMapName=corporate"
ENGINE = ("dockerEngine.url=tcp://docker:2376", "dockerEngine.tlsSecret=engine")
EVERYTHING = (*ENGINE, REGISTRY, "replicas=2", CA, "imagePullSecrets={pull}", "metrics.serviceMonitor.enabled=true")


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flow-operator" / "cluster"
    state = os.environ.get("FLOW_CLUSTER_STATE") or str(cache)
    program = shutil.which("helm", path=f"{state}/bin:{os.environ['PATH']}")
    if program is None:
        if os.environ.get("FLOW_OPERATOR_NEEDS_HELM"):
            pytest.fail("helm is not on PATH: make tools")
        pytest.skip("helm is not on PATH: make tools")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def template(*values: str) -> subprocess.CompletedProcess[str]:
    sets = [each for value in values for each in ("--set", value)]
    return helm("template", "flows", str(CHART), "--namespace", "system", *sets)


def render(*values: str, crds: bool = False) -> list[Manifest]:
    done = template(*values, f"crds.install={str(crds).lower()}")
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.load_all(done.stdout, yaml.CSafeLoader) if each]


def only(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = [each for each in manifests if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def pod_specs(manifests: list[Manifest]) -> dict[str, Manifest]:
    return {
        f"{each['kind']}/{each['metadata']['name']}": each["spec"]["template"]["spec"]
        for each in manifests
        if each["kind"] in ("Deployment", "Job")
    }


def leaves(values: Manifest, path: str = "") -> list[str]:
    """Paths of all values, but not into maps whose keys are the user's."""
    found = []
    for key, value in values.items():
        here = f"{path}.{key}" if path else key
        whole = key == "registries" or key.lower().endswith("resources")
        found += leaves(value, here) if isinstance(value, dict) and value and not whole else [here]
    return found


# --- values


def test_the_defaults_satisfy_the_schema() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.validate(VALUES, SCHEMA, cls=jsonschema.Draft7Validator)


def test_schema_and_defaults_know_the_same_values() -> None:
    def both(values: Manifest, schema: Manifest, path: str) -> None:
        if not schema.get("properties"):
            return
        assert set(schema["properties"]) - {"global"} == set(values), path
        for key, value in values.items():
            if isinstance(value, dict):
                both(value, schema["properties"][key], f"{path}.{key}")

    both(VALUES, SCHEMA, "values")


def test_the_readme_explains_every_value() -> None:
    rows = {row.split("`")[1] for row in (CHART / "README.md").read_text().splitlines() if row.startswith("| `")}
    assert rows == set(leaves(VALUES))


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("bogus=1", "additional properties 'bogus' not allowed"),
        ("leaderElection.leaseSeconds=3", "additional properties 'leaseSeconds' not allowed"),
        ("daskOperator.enabled=true", "additional properties 'enabled' not allowed"),
        ("resources.request.cpu=1", "additional properties 'request' not allowed"),
        ("replicas=two", "got string, want integer"),
        ("replicas=-1", "minimum: got -1, want 0"),
        ("imagePullSecrets=pull", "got string, want array"),
        ("logLevel=LOUD", "value must be one of"),
        ("image.digest=latest", "does not match pattern"),
        ("registries.reg.endpoint=kind-registry:5000", "does not match pattern"),
        ("registries.reg.insecure=maybe", "got string, want boolean"),
        ("registry=https://registry.example.com/flows", "at '/registry'"),
        ("watchNamespaces={Team_A}", "does not match pattern"),
        ("dockerEngine.url=unix:///var/run/docker.sock", "does not match pattern"),
        ("dockerEngine.url=tcp://docker:2376", "/dockerEngine/tlsSecret"),
    ],
)
def test_a_bad_value_is_refused(value: str, complaint: str) -> None:
    done = template(REGISTRY, value)
    assert done.returncode != 0
    assert complaint in done.stderr


def test_helm_lint() -> None:
    done = helm("lint", "--strict", str(CHART), "--set", REGISTRY)
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_a_registry_helm_says_what_to_set() -> None:
    done = template()
    assert "Set registry (--set registry=registry.example.com/flows), or image.repository" in done.stderr


# --- the settings file


def test_the_settings_file_is_what_the_operator_reads(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(only(render(*EVERYTHING), "ConfigMap", "flows-flow-operator")["data"]["settings.yaml"])
    loaded = settings.load(file)
    assert loaded.operator_image == "localhost:5001/flow-operator/operator:0.1.0"
    assert loaded.runtime_image == "localhost:5001/flow-operator/runtime:0.1.0"
    assert loaded.leader_election.namespace == "system"
    assert loaded.image_pull_secrets == ("pull",)
    assert loaded.registries["localhost:5001"].endpoint == "http://kind-registry:5000"
    assert not loaded.registries["localhost:5001"].insecure
    assert loaded.docker_engine.url == "tcp://docker:2376"
    assert loaded.docker_engine.tls_secret == "engine"
    assert loaded.ca_bundle == "/etc/flow-operator/ca/ca.crt"


def test_the_settings_file_says_everything_that_can_be_set() -> None:
    written = yaml.safe_load(only(render(REGISTRY), "ConfigMap", "flows-flow-operator")["data"]["settings.yaml"])
    assert set(written) == {field.alias or name for name, field in settings.Settings.model_fields.items()}


def test_new_settings_mean_new_pods() -> None:
    def checksum(*values: str) -> str:
        deployment = only(render(REGISTRY, *values), "Deployment", "flows-flow-operator")
        return str(deployment["spec"]["template"]["metadata"]["annotations"]["checksum/settings"])

    assert checksum("logLevel=DEBUG") != checksum()


@pytest.mark.parametrize(
    ("install", "present", "seen"), [(True, True, True), (False, True, True), (False, False, False)]
)
def test_the_operator_knows_whether_there_is_a_dask_controller(install: bool, present: bool, seen: bool) -> None:
    values = (f"daskOperator.install={str(install).lower()}", f"daskOperator.present={str(present).lower()}")
    manifests = render(REGISTRY, *values)
    written = yaml.safe_load(only(manifests, "ConfigMap", "flows-flow-operator")["data"]["settings.yaml"])
    assert written["daskOperator"] == {"present": seen}
    assert any(each["metadata"]["name"] == "flows-flow-operator-dask" for each in manifests) is install


# --- what is rendered


def test_a_digest_wins_over_a_tag() -> None:
    digest = "sha256:" + "0" * 64
    specs = pod_specs(render(REGISTRY, "image.repository=r/o", "image.tag=v1", f"image.digest={digest}"))
    assert {each["containers"][0]["image"] for each in specs.values()} == {f"r/o@{digest}"}


@pytest.mark.parametrize("values", [(REGISTRY,), EVERYTHING], ids=["one value", "everything"])
def test_every_pod_satisfies_the_restricted_pod_security_standard(values: tuple[str, ...]) -> None:
    specs = pod_specs(render(*values))
    assert set(specs) == {
        "Deployment/flows-flow-operator",
        "Deployment/flows-flow-operator-dask",
        "Job/flows-flow-operator-hooks-release",
    }
    for spec in specs.values():
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        for volume in spec["volumes"]:
            assert set(volume) - {"name"} <= {"configMap", "emptyDir", "projected"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"]


def test_two_replicas_have_a_disruption_budget_and_one_has_none() -> None:
    assert "PodDisruptionBudget" not in {each["kind"] for each in render(REGISTRY)}
    budget = only(render(REGISTRY, "replicas=2"), "PodDisruptionBudget", "flows-flow-operator")
    assert budget["spec"]["minAvailable"] == 1


def test_nothing_is_selected_twice() -> None:
    deployments = [each for each in render(REGISTRY) if each["kind"] == "Deployment"]
    selectors = [frozenset(each["spec"]["selector"]["matchLabels"].items()) for each in deployments]
    assert len(set(selectors)) == len(deployments)
    for each, selector in zip(deployments, selectors, strict=True):
        assert selector <= frozenset(each["spec"]["template"]["metadata"]["labels"].items())


def test_pull_secrets_reach_every_pod() -> None:
    for spec in pod_specs(render(*EVERYTHING)).values():
        assert spec["imagePullSecrets"] == [{"name": "pull"}]


def test_the_kubernetes_floor_is_that_of_container_restart_policies() -> None:
    done = helm("template", "flows", str(CHART), "--set", REGISTRY, "--kube-version", "1.34.9")
    assert "incompatible with Kubernetes v1.34.9" in done.stderr


# --- CRDs


def dask_crds() -> Path:
    spec = importlib.util.find_spec("dask_kubernetes")
    assert spec
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "operator/deployment/helm/dask-kubernetes-operator/crds"


def test_the_charts_crds_are_copies() -> None:
    sources = {path.name: path for path in (ROOT / "crds").glob("*.yaml")}
    sources |= {f"{path.stem}s.kubernetes.dask.org.yaml": path for path in dask_crds().glob("*.yaml")}
    copies = {path.name: path for path in (CHART / "files/crds").glob("*.yaml")}
    assert set(copies) == set(sources), "make generate"
    for name, copy in copies.items():
        assert copy.read_bytes() == sources[name].read_bytes(), f"{name}: make generate"


def test_crds_are_rendered_whole_and_stay_after_an_uninstall() -> None:
    crds = {
        each["metadata"]["name"]: each
        for each in render(REGISTRY, crds=True)
        if each["kind"] == "CustomResourceDefinition"
    }
    assert set(crds) == {path.stem for path in (CHART / "files/crds").glob("*.yaml")}
    for name, crd in crds.items():
        assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        source = yaml.load((CHART / f"files/crds/{name}.yaml").read_text(), yaml.CSafeLoader)
        assert crd["spec"] == source["spec"]


def test_dasks_crds_come_with_dasks_controller() -> None:
    manifests = render(REGISTRY, "daskOperator.install=false", crds=True)
    crds = {each["metadata"]["name"] for each in manifests if each["kind"] == "CustomResourceDefinition"}
    assert crds == {path.stem for path in (ROOT / "crds").glob("*.yaml")}
