"""Environments beyond one pod: what is read from files, what becomes of it, and which are custom."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from flow_operator import Flow, storage, task
from flow_operator.api.flow_deployment import Environment as Model
from flow_operator.environments import (
    DaskKubernetesEnvironment,
    Environment,
    FargateTaskEnvironment,
    KubernetesJobEnvironment,
    LocalEnvironment,
    RemoteEnvironment,
)
from flow_operator.flow.environments import environment_from

if TYPE_CHECKING:
    from pathlib import Path

JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: unused, labels: {kueue.x-k8s.io/queue-name: flows}}
spec:
  backoffLimit: 2
  template:
    spec:
      restartPolicy: Never
      containers: [{name: flow, resources: {limits: {memory: 1Gi}}}]
"""


def written(folder: Path, text: str, name: str = "job.yaml") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def test_a_job_keeps_its_spec_its_labels_and_no_name(tmp_path: Path) -> None:
    made = KubernetesJobEnvironment(str(written(tmp_path, JOB)), labels=["a"])
    wanted = made.to_resource()
    assert wanted["kubernetesJob"]["metadata"] == {"labels": {"kueue.x-k8s.io/queue-name": "flows"}}
    assert wanted["kubernetesJob"]["jobSpec"]["backoffLimit"] == 2
    assert wanted["labels"] == ["a"]
    assert Model.model_validate(wanted).kind == "kubernetesJob"


def test_the_spec_of_a_job_alone_will_do(tmp_path: Path) -> None:
    alone = written(tmp_path, "template: {spec: {containers: [{name: flow}]}}")
    assert KubernetesJobEnvironment(alone).to_resource() == {
        "kubernetesJob": {"jobSpec": {"template": {"spec": {"containers": [{"name": "flow"}]}}}}
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not YAML of one document"),
        ("a: 1\n---\nb: 2\n", "not YAML of one document"),
        ("- 1", "holds no object, but list"),
        ("", "holds no object, but NoneType"),
        ("kind: Job\nspec: {template: {spec: {}}}", "no Job with a container"),
        ("kind: Job", "no Job with a container"),
        ("template: {spec: {containers: []}}", "no Job with a container"),
        ("template: {spec: {containers: [flow]}}", r"spec.template.spec.containers\[0\] must be an object"),
        ("template: {spec: {containers: [{env: {A: b}}]}}", r"containers\[0\].env must be a list"),
        ("kind: Job\nmetadata: a\nspec: {template: {spec: {containers: [{}]}}}", "metadata must be an object"),
        ("template: {spec: {containers: [{name: flow}]}, metadata: {annotations: {day: 2024-01-01}}}", "be quoted"),
    ],
)
def test_a_file_that_is_no_job_is_named_at_once(tmp_path: Path, text: str, words: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ValueError, match=words) as refused:
        KubernetesJobEnvironment(file)
    assert str(file) in str(refused.value)


def test_a_file_that_is_not_there_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"job_spec_file: there is no file '.*/nowhere.yaml'"):
        KubernetesJobEnvironment(tmp_path / "nowhere.yaml")
    with pytest.raises(FileNotFoundError, match=r"worker_spec_file: .*nowhere"):
        DaskKubernetesEnvironment(worker_spec_file="nowhere.yaml")
    with pytest.raises(ValueError, match=r"scheduler_spec_file: .* cannot be read: Is a directory"):
        DaskKubernetesEnvironment(scheduler_spec_file=tmp_path)


POD_SPEC = "nodeSelector: {disk: fast}\ncontainers: [{name: mine}]"
SPEC = {"nodeSelector": {"disk": "fast"}, "containers": [{"name": "mine"}]}


@pytest.mark.parametrize(
    "text",
    [
        POD_SPEC,
        f"kind: Pod\nspec: {json.dumps(SPEC)}",
        f"kind: Job\nspec: {{template: {{spec: {json.dumps(SPEC)}}}}}",
        f"kind: PodTemplate\ntemplate: {{spec: {json.dumps(SPEC)}}}",
    ],
)
def test_a_pod_spec_is_found_in_whatever_has_one(tmp_path: Path, text: str) -> None:
    made = DaskKubernetesEnvironment(scheduler_spec_file=written(tmp_path, text))
    assert made.to_resource()["daskKubernetes"]["schedulerSpec"] == SPEC
    assert "workerSpec" not in made.to_resource()["daskKubernetes"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: Secret", "neither a PodSpec"),
        ("kind: Pod\nspec: 1", "neither a PodSpec"),
        ("containers: none", "spec.containers must be a list"),
        ("imagePullSecrets: [a]", r"spec.imagePullSecrets\[0\] must be an object"),
    ],
)
def test_a_file_without_a_pod_spec_is_named_at_once(tmp_path: Path, text: str, words: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ValueError, match=words) as refused:
        DaskKubernetesEnvironment(worker_spec_file=file)
    assert str(file) in str(refused.value)


def test_specs_are_read_once_travel_with_the_flow_and_are_no_metadata(tmp_path: Path) -> None:
    from flow_operator.flow.pickling import dumps, load_flow

    file = written(tmp_path, JOB)
    flow = Flow("Jobs", environment=KubernetesJobEnvironment(file))
    with flow:
        task(lambda: 1)()
    file.unlink()
    loaded = load_flow(dumps(flow), "test")
    assert loaded.environment.to_resource() == flow.environment.to_resource()
    assert set(flow.environment.serialize()) == {"type", "__version__", "labels"}


def test_a_secret_of_a_private_registry_is_named_in_the_resource() -> None:
    assert DaskKubernetesEnvironment(private_registry=True).to_resource() == {
        "daskKubernetes": {"minWorkers": 1, "maxWorkers": 2, "privateRegistry": "docker-registry-credentials"}
    }
    assert "privateRegistry" not in DaskKubernetesEnvironment(docker_secret="unused").to_resource()["daskKubernetes"]


def test_a_local_environment_runs_the_flow_here() -> None:
    ran: list[str] = []
    flow = Flow.from_function(
        lambda n=1: n + 1,
        name="Here",
        environment=LocalEnvironment(on_start=lambda: ran.append("start"), on_exit=lambda: ran.append("exit")),
    )
    kept = storage.Memory()
    location = kept.add_flow(flow)
    flow.environment.setup(kept)
    assert flow.environment.execute(kept, location, n=2) == 3
    assert ran == ["start", "exit"]
    assert flow.environment.to_resource() == {"local": {}}


def test_what_only_the_operator_executes_says_so(tmp_path: Path) -> None:
    job, dask = KubernetesJobEnvironment(written(tmp_path, JOB)), DaskKubernetesEnvironment()
    for made in (job, dask):
        made.setup(storage.Memory())
        with pytest.raises(TypeError, match="needs a flow in an image"):
            made.execute(storage.Memory(), "flow")
        with pytest.raises(ValueError, match="needs an image that is built"):
            made.execute(storage.Docker(), "flow")
    job.check_storage(storage.Docker())
    job.check_storage(storage.Bytes())
    with pytest.raises(TypeError, match="needs a flow in an image"):
        job.check_storage(storage.Local())


def test_a_storage_that_its_environment_cannot_use_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    flow = Flow.from_function(
        lambda: 1,
        name="Jobs",
        storage=storage.Local(str(tmp_path / "flows")),
        environment=KubernetesJobEnvironment(written(tmp_path, JOB)),
    )
    with pytest.raises(TypeError, match="KubernetesJobEnvironment needs a flow in an image"):
        flow.deploy("Team A", dry_run=True)
    assert not list((tmp_path / "flows").iterdir())


class Mine(Environment):
    """One of a user's own."""

    def execute(self, storage: Any, flow_location: str, **kwargs: Any) -> Any:
        return None


class Traced(RemoteEnvironment):
    """One of ours with a setup of the user's own."""

    def setup(self, storage: Any) -> None:
        pass


class Renamed(RemoteEnvironment):
    """One of ours under another name."""


def test_a_step_of_ones_own_makes_an_environment_custom() -> None:
    assert Mine(labels=["b", "a"]).to_resource() == {"custom": {}, "labels": ["a", "b"]}
    assert Traced().to_resource() == {"custom": {}}
    assert Renamed().to_resource() == {"remote": {"executor": "Local"}}
    assert Environment().to_resource() == {}


@pytest.mark.parametrize("kind", [LocalEnvironment, FargateTaskEnvironment, Environment])
def test_metadata_is_labels_and_comes_back(kind: type[Environment]) -> None:
    made = kind(labels=["b", "a"])
    assert set(made.serialize()) == {"type", "__version__", "labels"}
    back = environment_from({**made.serialize(), "later": 1})
    assert type(back) is kind
    assert back.serialize() == made.serialize()


def test_options_of_a_task_go_where_aws_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    made = FargateTaskEnvironment(family="f", taskDefinition="f", cpu="256", tags=[{"key": "a"}], unknown=1)
    assert made.register_options == {"family": "f", "cpu": "256", "tags": [{"key": "a"}]}
    assert made.run_options == {"taskDefinition": "f", "tags": [{"key": "a"}]}
    assert made.to_resource() == {"fargateTask": {"region": "eu-west-1"}}
