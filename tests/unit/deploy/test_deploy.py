"""Deploys against an API server on localhost: what is refused, what is sent, what comes back."""

from __future__ import annotations

import asyncio
import base64
import os
import pickle
import re
import sys
import warnings
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from flow_operator import Flow, Parameter, task
from flow_operator.api import wire
from flow_operator.api.labels import PROJECT, PROJECT_NAME
from flow_operator.deploy import pack, projects
from flow_operator.deploy.applying import correction
from flow_operator.deploy.deploy import deploy
from flow_operator.environments import DaskKubernetesEnvironment, RemoteEnvironment
from flow_operator.errors import (
    BuildError,
    ClusterError,
    DeployFailed,
    DeployRefused,
    FlowInvalid,
    StorageError,
    UnknownProject,
)
from flow_operator.flow import config
from flow_operator.flow.pickling import loads
from flow_operator.images.errors import RegistryForbiddenError
from flow_operator.kube.session import connected
from flow_operator.schedules import CronSchedule
from flow_operator.storage import Bytes, Docker, Local, Memory, Storage
from tests.support.api_server import ApiServer, Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
DIGEST = "sha256:" + "5" * 64
READY = [{"type": "Ready", "status": "True", "message": "Flow 'My Squares' is ready to run."}]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """A cluster with one project, whose operator is satisfied with everything."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("FLOW_OPERATOR__")]:
        monkeypatch.delenv(name)
    with ApiServer() as made:
        monkeypatch.setenv("KUBECONFIG", str(made.kubeconfig(tmp_path)))
        made.put(projects.namespace_of(projects.Project("My First Project", "team-a")))
        made.after_write = lambda _method, written: becomes(made, written, conditions=READY)
        yield made


def becomes(server: ApiServer, written: Manifest, **status: Any) -> None:
    if written["kind"] == "FlowDeployment":
        meta = written["metadata"]
        status = {"observedGeneration": meta["generation"], **status}
        server.change("FlowDeployment", meta["namespace"], meta["name"], status=status)


class Builds:
    """Builds that are not made."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.error: BuildError | None = None
        self.image = ""

    def __call__(self, request: Any, *, progress: Any) -> Any:
        self.requests.append(request)
        progress("Built.")
        if self.error:
            raise self.error
        return {"image": self.image or f"{request['repository']}@{DIGEST}", "digest": DIGEST}


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> Builds:
    """No builder."""
    made = Builds()
    monkeypatch.setattr(pack, "build_image", made)
    return made


@task
def double(x: int) -> int:
    return 2 * x


def a_flow(name: str = "My Squares", **kwargs: Any) -> Flow:
    with Flow(name, **kwargs) as flow:
        double(Parameter("n", default=2))
    return flow


def deployed(server: ApiServer, name: str = "my-squares") -> Manifest:
    return server.objects["flowdeployments", "team-a", name]


def writes(server: ApiServer) -> list[str]:
    return [each for each in server.requests if not each.startswith("GET")]


# --- what is sent


def test_bytes(server: ApiServer) -> None:
    flow = a_flow(storage=Bytes(), environment=DaskKubernetesEnvironment(1, 4, labels=["gpu"]))
    made = flow.deploy("My First Project")
    sent = server.bodies[-1]
    assert made == f"{deployed(server)['metadata']['uid']}.1"
    assert sent["metadata"] == {
        "name": "my-squares",
        "namespace": "team-a",
        "labels": {"flow-operator.io/project": "my-first-project"},
    }
    pickle = sent["spec"].pop("flow")["pickle"]
    assert sent["spec"] == {
        "storage": {"bytes": {}},
        "environment": {"daskKubernetes": {"minWorkers": 1, "maxWorkers": 4}, "labels": ["gpu"]},
    }
    assert pickle["python"] == f"3.{sys.version_info.minor}"
    back = loads(base64.b64decode(pickle["data"]))
    assert isinstance(back, Flow)
    assert back.run(n=4) == 8
    assert "fieldManager=flow-operator-deploy" in writes(server)[0]
    assert "force=false" in writes(server)[0]


def test_the_default_storage_is_made_of_the_arguments_and_kept(server: ApiServer, builds: Builds) -> None:
    flow = a_flow()
    flow.deploy("My First Project", registry_url="registry.example.com/team-a", env_vars={"PASSWORD": "hunter2"})
    assert isinstance(flow.storage, Docker)
    assert flow.storage.name.startswith("registry.example.com/team-a/my-squares:20")
    assert deployed(server)["spec"] == {
        "flow": {
            "image": {
                "reference": f"registry.example.com/team-a/my-squares@{DIGEST}",
                "location": "/flows/my-squares.flow",
            }
        },
        "environment": {"remote": {"executor": "Local"}},
    }
    (request,) = builds.requests
    assert request["repository"] == "registry.example.com/team-a/my-squares"
    assert request["push"] is True
    assert request["builder"] == "Layers"
    assert request["env"]["PASSWORD"] == "hunter2"
    assert "hunter2" not in str(server.bodies)


def test_the_same_again_is_the_same_version_and_a_change_is_the_next(server: ApiServer, builds: Builds) -> None:
    flow = a_flow(storage=Docker("registry.example.com"))
    first = flow.deploy("My First Project")
    with pytest.warns(UserWarning, match="in its storage already"):
        assert flow.deploy("My First Project") == first
    flow.environment = DaskKubernetesEnvironment()
    uid, generation = flow.deploy("My First Project", build=False).split(".")
    assert (uid, generation) == (first.split(".")[0], "2")


def test_several_flows_of_one_image_are_deployed_one_by_one(server: ApiServer, builds: Builds) -> None:
    storage = Docker("registry.example.com")
    flows = [a_flow("one"), a_flow("two")]
    for flow in flows:
        storage.add_flow(flow)
        flow.storage = storage
    assert storage.build() is storage
    name = storage.image_name
    assert re.fullmatch(r"[0-9a-f-]{36}", name or "")
    for flow in flows:
        flow.deploy("My First Project", build=False)
    one, two = deployed(server, "one")["spec"]["flow"]["image"], deployed(server, "two")["spec"]["flow"]["image"]
    assert one["reference"] == two["reference"] == f"registry.example.com/{name}@{DIGEST}"
    assert (one["location"], two["location"]) == ("/flows/one.flow", "/flows/two.flow")
    assert len(builds.requests) == 1
    assert [each["location"] for each in builds.requests[0]["flows"]] == ["/flows/one.flow", "/flows/two.flow"]
    storage.build()
    assert storage.image_name == name


def test_other_flows_have_a_name_of_their_own_unless_one_was_given(builds: Builds) -> None:
    storage = Docker("registry.example.com")
    storage.add_flow(a_flow("One"))
    storage.build()
    assert storage.build().image_name == "one"
    assert "imageName" not in storage.to_resource()["docker"]
    storage.add_flow(a_flow("Two"))
    both = storage.build().image_name
    assert re.fullmatch(r"[0-9a-f-]{36}", both or "")
    assert storage.build().image_name == both
    assert pickle.loads(pickle.dumps(storage)).image_name is None


def test_other_flows_have_a_tag_of_their_own_unless_one_was_given(builds: Builds) -> None:
    storage = Docker("registry.example.com", image_name="my-squares")
    flow = a_flow(storage=storage)
    names = [storage.build().name for _ in range(2)]
    storage.add_flow(a_flow("Another"))
    names.append(storage.build().name)
    assert names == [f"registry.example.com/my-squares:{request['tag']}" for request in builds.requests]
    assert names[0] == names[1], "the same again uploads nothing, not even a manifest"
    assert names[1] != names[2], "the first image keeps its tag"
    back = pickle.loads(pickle.dumps(storage))
    assert (back.image_tag, back.image_name) == (None, "my-squares")
    assert "imageTag" not in storage.to_resource()["docker"]
    storage.image_tag = "v1"
    assert storage.build().name == storage.build().name == "registry.example.com/my-squares:v1"
    assert pickle.loads(pickle.dumps(storage)).image_tag == "v1"
    assert flow.storage is storage


def test_a_build_of_ones_own(server: ApiServer, builds: Builds) -> None:
    flow = a_flow()
    flow.storage = Docker(registry_url="registry.example.com/storage-example")
    flow.storage.build()
    flow.deploy("My First Project", build=False)
    assert len(builds.requests) == 1


def test_a_schedule_active_or_not(server: ApiServer) -> None:
    flow = a_flow(storage=Bytes(), schedule=CronSchedule("0 6 * * *", "Europe/Berlin"))
    flow.deploy("My First Project")
    assert deployed(server)["spec"]["schedule"] == {"cron": ["0 6 * * *"], "timeZone": "Europe/Berlin"}
    flow.deploy("My First Project", build=False, set_schedule_active=False)
    assert deployed(server)["spec"]["schedule"]["suspend"] is True


def by_hand(**fields: Any) -> Manifest:
    return {"operation": "Update", "manager": "kubectl-patch", "fieldsV1": {"f:spec": {"f:schedule": fields}}}


def test_a_schedule_that_was_suspended_by_hand_is_as_it_is_deployed(server: ApiServer) -> None:
    flow = a_flow(storage=Bytes(), schedule=CronSchedule("0 6 * * *"))
    flow.deploy("My First Project")
    there = deployed(server)
    there["spec"]["schedule"]["suspend"] = True
    there["metadata"]["managedFields"] = [by_hand(**{"f:suspend": {}})]
    server.put(there)
    flow.deploy("My First Project", build=False)
    assert server.bodies[-2] == {"spec": {"schedule": {"suspend": False}}}
    assert deployed(server)["spec"]["schedule"]["suspend"] is False
    flow.deploy("My First Project", build=False)
    assert len([each for each in writes(server) if "my-squares" in each]) == 4, "nothing is corrected twice"
    flow.schedule = None
    flow.deploy("My First Project", build=False)
    assert server.bodies[-2] == {"spec": {"schedule": None}}
    assert "schedule" not in deployed(server)["spec"]


@pytest.mark.parametrize(
    ("suspended", "owner", "wished", "patch"),
    [
        (True, by_hand(**{"f:suspend": {}}), {"cron": ["0 6 * * *"], "suspend": True}, None),
        (False, by_hand(**{".": {}, "f:suspend": {}}), {"suspend": True}, {"spec": {"schedule": {"suspend": True}}}),
        (True, by_hand(**{"f:cron": {}, "f:suspend": {}}), {"cron": ["0 6 * * *"]}, None),
        (True, {**by_hand(**{"f:suspend": {}}), "operation": "Apply"}, None, None),
        (True, by_hand(), None, None),
    ],
)
def test_whoever_owns_the_schedule_is_not_overruled(
    suspended: bool, owner: Manifest, wished: Manifest | None, patch: Manifest | None
) -> None:
    there = {"metadata": {"managedFields": [owner]}, "spec": {"schedule": {"suspend": suspended}}}
    assert correction(there, {"spec": {"schedule": wished} if wished else {}}) == patch
    assert correction({}, {"spec": {}}) is None


def test_local_storage_labels_the_environment(server: ApiServer, tmp_path: Path) -> None:
    environment = RemoteEnvironment(labels=["x"])
    flow = a_flow(storage=Local(tmp_path / "flows"), environment=environment)
    flow.deploy("My First Project")
    spec = deployed(server)["spec"]
    assert spec["flow"] == {"file": {"location": f"{tmp_path}/flows/my-squares.flow"}}
    assert spec["storage"] == {"local": {"directory": f"{tmp_path}/flows"}}
    assert spec["environment"]["labels"] == ["local", "my-squares", "x"]
    assert environment.labels == {"x"}
    assert flow.environment is environment


def test_inside_a_running_loop(server: ApiServer) -> None:
    async def cell() -> Any:
        return a_flow(storage=Bytes()).deploy("My First Project")

    assert asyncio.run(cell()).endswith(".1")


def test_what_is_told(server: ApiServer, builds: Builds, capsys: pytest.CaptureFixture[str]) -> None:
    told: list[str] = []
    a_flow(storage=Docker("registry.example.com")).deploy("My First Project", progress=told.append)
    assert told == [
        "Built.",
        "Applied FlowDeployment my-squares in namespace team-a.",
        "Flow 'My Squares' is ready to run.",
    ]
    assert capsys.readouterr() == ("", "")
    a_flow("other", storage=Bytes()).deploy("My First Project", wait=False)
    assert capsys.readouterr() == ("", "Applied FlowDeployment other in namespace team-a.\n")


def test_an_image_of_a_private_registry(server: ApiServer, builds: Builds) -> None:
    private = DaskKubernetesEnvironment(private_registry=True)
    a_flow(storage=Docker("registry.example.com"), environment=private).deploy("My First Project")
    assert deployed(server)["spec"]["flow"]["image"]["pullSecret"] == "docker-registry-credentials"
    a_flow("other", storage=Bytes(), environment=private).deploy("My First Project")
    assert "image" not in deployed(server, "other")["spec"]["flow"]


# --- manifests for Git


def test_a_dry_run_asks_no_cluster_and_pushes_nothing(
    monkeypatch: pytest.MonkeyPatch, builds: Builds, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    flow = a_flow(schedule="0 6 * * *")
    made = flow.deploy("My First Project", dry_run=True, registry_url="registry.example.com")
    printed, _ = capsys.readouterr()
    assert yaml.safe_load(printed) == made
    assert printed.startswith("apiVersion: flow-operator.io/v1alpha1\nkind: FlowDeployment\n")
    assert made["metadata"]["namespace"] == "my-first-project"
    assert made["spec"]["flow"]["image"]["reference"] == f"registry.example.com/my-squares@{DIGEST}"
    assert builds.requests[0]["push"] is False
    assert flow.storage is None


def test_a_dry_run_leaves_the_image_that_was_pushed(server: ApiServer, builds: Builds) -> None:
    flow = a_flow(storage=(storage := Docker("registry.example.com")))
    storage.add_flow(flow)
    storage.build()
    with pytest.warns(UserWarning, match="is in its storage already"):
        flow.deploy("My First Project", dry_run=True)
    assert [request["push"] for request in builds.requests] == [True, False]
    assert flow.deploy("My First Project", build=False)


def test_a_dry_run_alone_pushed_nothing_to_deploy(server: ApiServer, builds: Builds) -> None:
    flow = a_flow(storage=(storage := Docker("registry.example.com")))
    storage.add_flow(flow)
    with pytest.warns(UserWarning, match="is in its storage already"):
        flow.deploy("My First Project", dry_run=True)
    with pytest.raises(StorageError, match="was not pushed"):
        flow.deploy("My First Project", build=False)


def test_an_engine_knows_the_digest_after_a_push_only(server: ApiServer, builds: Builds) -> None:
    flow = a_flow(storage=Docker("registry.example.com", builder="Docker"))
    with pytest.raises(DeployRefused, match="cannot know the digest of flow 'My Squares'") as caught:
        flow.deploy("My First Project", dry_run=True)
    assert builds.requests == []
    assert "storage.build() first" in caught.value.remedy


def test_the_page_has_every_argument_and_every_setting() -> None:
    text = (ROOT / "docs" / "deploy.md").read_text()
    for name in [*signature(deploy).parameters][1:-1]:  # without the flow, and the storage's
        assert f"`{name}`" in text.partition("## Arguments")[2].partition("##")[0], name
    settings = text.partition("## Settings")[2]
    for name in ("home_dir", "flows.defaults.storage.default_class", "engine.executor.default_class"):
        assert f"| `{name}` |" in settings
        assert f'"{name}"' in (ROOT / "operator/flow_operator/flow/config.py").read_text()
    assert config.DEFAULT_EXECUTOR in settings
    assert wire.CONFIG_FILE in settings


# --- what is refused


def refused(server: ApiServer, kind: type[Exception], words: str, flow: Flow, *args: Any, **kwargs: Any) -> Any:
    server.requests.clear()
    with pytest.raises(kind, match=words) as caught:
        flow.deploy(*args, **kwargs)
    assert writes(server) == []
    return caught.value


def test_unknown_arguments(server: ApiServer, builds: Builds) -> None:
    flow = a_flow()
    words = "deploy.. and Docker storage know no argument 'registry'; the storage's: registry_url,"
    refused(server, TypeError, words, flow, "My First Project", registry="x")
    assert flow.storage is None
    flow.storage = Bytes()
    refused(server, TypeError, "Bytes storage know no argument 'dryrun'", flow, "My First Project", dryrun=True)
    assert builds.requests == []


def test_arguments_for_a_storage_that_is_there_have_no_effect(server: ApiServer, builds: Builds) -> None:
    flow = a_flow(storage=Docker("registry.example.com"))
    with pytest.warns(UserWarning, match="registry_url of deploy.. have no effect"):
        flow.deploy("My First Project", registry_url="other.example.com")
    assert builds.requests[0]["repository"] == "registry.example.com/my-squares"
    with pytest.warns(UserWarning, match="registry_url of deploy.. have no effect"):
        a_flow("mounted", storage=Bytes()).deploy("My First Project", registry_url="other.example.com")


def test_a_schedule_and_a_required_parameter(server: ApiServer, builds: Builds) -> None:
    with Flow("needy", schedule="0 6 * * *") as flow:
        double(Parameter("n"))
    error = refused(server, DeployRefused, "'needy' has a schedule, and its parameter 'n' is required", flow, "No such")
    assert "default" in error.remedy
    assert isinstance(error, ValueError)
    assert server.requests == []


def test_an_unknown_project(server: ApiServer, builds: Builds) -> None:
    flow = a_flow()
    error = refused(server, UnknownProject, "no project 'Nobody'", flow, "Nobody", registry_url="r.example.com")
    assert 'kubectl flow project create "Nobody"' in error.remedy
    assert builds.requests == []
    assert flow.storage is None


def test_a_cycle(server: ApiServer, builds: Builds) -> None:
    with Flow("round", storage=Docker("registry.example.com")) as flow:
        one, two = double(1), double(2)
        one.set_upstream(two)
        two.set_upstream(one)
    refused(server, FlowInvalid, "wait for each other", flow, "My First Project")
    assert builds.requests == []


@pytest.mark.parametrize(
    ("storage", "words"),
    [(None, "has no storage"), (Docker("registry.example.com"), "'My Squares' is not in"), (Bytes(), "is not in")],
)
def test_nothing_was_built(server: ApiServer, builds: Builds, storage: Any, words: str) -> None:
    refused(server, ValueError, words, a_flow(storage=storage), "My First Project", build=False)
    assert server.requests == []


def test_added_after_the_build(server: ApiServer, builds: Builds) -> None:
    storage = Docker("registry.example.com")
    storage.add_flow(a_flow("one"))
    storage.build()
    two = a_flow("two", storage=storage)
    storage.add_flow(two)
    refused(server, StorageError, "No image that holds flow 'two' was built", two, "My First Project", build=False)


def test_memory(server: ApiServer) -> None:
    error = refused(server, StorageError, "Memory storage ends", a_flow(storage=Memory()), "My First Project")
    assert "Docker" in error.remedy


def test_a_storage_of_ones_own(server: ApiServer, builds: Builds) -> None:
    class Mine(Docker):
        """One that nobody else knows."""

    flow = a_flow(storage=Mine("registry.example.com"))
    error = refused(server, DeployRefused, "has a storage of type Mine", flow, "My First Project")
    assert "Docker, Bytes" in error.remedy
    assert builds.requests == []


def test_a_failed_build_registers_nothing_whatever_was_built_before(server: ApiServer, builds: Builds) -> None:
    flow = a_flow(storage=Docker("registry.example.com"))
    flow.deploy("My First Project")
    builds.error = RegistryForbiddenError("registry.example.com says: denied")
    with pytest.warns(UserWarning, match="already"):
        error = refused(server, BuildError, "says: denied", flow, "My First Project")
    assert error.reason == "RegistryForbidden"
    assert error.remedy
    assert flow.storage is not None
    refused(server, StorageError, "was built with this storage", flow, "My First Project", build=False)


def test_after_a_failure_the_next_call_begins_anew(server: ApiServer, builds: Builds) -> None:
    flow = a_flow()
    builds.error = RegistryForbiddenError("wrong.example.com says: denied")
    refused(server, BuildError, "says: denied", flow, "My First Project", registry_url="wrong.example.com")
    assert flow.storage is None
    builds.error = None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flow.deploy("My First Project", registry_url="registry.example.com")
    assert builds.requests[-1]["repository"] == "registry.example.com/my-squares"
    assert isinstance(flow.storage, Docker)


@pytest.mark.parametrize("kind", ["Docker", "Bytes", "Local"])
def test_neither_a_failure_nor_a_dry_run_leaves_a_flow_in_the_storage(
    server: ApiServer, builds: Builds, tmp_path: Path, kind: str
) -> None:
    made: dict[str, Storage] = {"Docker": Docker("r.example.com"), "Bytes": Bytes(), "Local": Local(tmp_path)}
    flow, environment = a_flow(storage=made[kind]), RemoteEnvironment(labels=["x" * 400])
    flow.environment = environment
    refused(server, DeployRefused, r"environment\.labels\.", flow, "My First Project")
    assert flow.environment is environment
    assert flow.storage is made[kind]
    assert made[kind].flows == {}
    flow.environment = RemoteEnvironment()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flow.deploy("My First Project", dry_run=True)
        assert made[kind].flows == {}
        assert "My Squares" not in str(made[kind].serialize())
        flow.deploy("My First Project")
    assert list(made[kind].flows) == ["My Squares"]


def test_too_large_for_a_resource(server: ApiServer) -> None:
    payload = os.urandom(1_500_000)

    @task
    def heavy() -> int:
        return len(payload)

    with Flow("heavy", storage=Bytes()) as flow:
        heavy()
    error = refused(server, StorageError, "a resource carries at most 150,000", flow, "My First Project")
    assert "Use Docker storage" in error.remedy


def test_an_image_without_a_registry_is_of_no_use_to_a_cluster(server: ApiServer, builds: Builds) -> None:
    flow = a_flow()
    for dry_run in (False, True):
        words = "'My Squares' would stay in the local Docker engine: a cluster cannot pull it"
        error = refused(server, DeployRefused, words, flow, "My First Project", dry_run=dry_run)
        assert "registry_url" in error.remedy
    assert builds.requests == []
    assert server.requests == []


def test_what_the_resource_cannot_hold(server: ApiServer) -> None:
    flow = a_flow(storage=Bytes(), environment=RemoteEnvironment(labels=["x" * 400]))
    refused(server, DeployRefused, r"environment\.labels\.0", flow, "My First Project")


# --- projects


def test_a_project_of_several_namespaces(server: ApiServer) -> None:
    server.put(projects.namespace_of(projects.Project("My First Project", "production")))
    server.put(projects.namespace_of(projects.Project("Other", "others")))
    flow = a_flow(storage=Bytes())
    refused(server, DeployRefused, "several namespaces: production, team-a", flow, "My First Project")
    flow.deploy("My First Project", namespace="production")
    assert ("flowdeployments", "production", "my-squares") in server.objects
    error = refused(
        server, UnknownProject, "'others' is not of project 'My First Project'", flow, "My First Project",
        namespace="others",
    )  # fmt: skip
    assert "--namespace others" in error.remedy


def test_where_namespaces_may_not_be_listed(server: ApiServer) -> None:
    server.forbidden = {("GET", "namespaces")}
    project = server.objects["namespaces", "", "team-a"]
    with connected() as session:
        assert projects.find(session, "Team A") == projects.Project("Team A", "team-a")  # the server has the last word
    server.forbidden = set()
    assert project["metadata"]["annotations"] == {PROJECT_NAME: "My First Project"}


def test_making_a_project(server: ApiServer) -> None:
    with connected() as session:
        made = projects.create(session, "Données du Nord")
        assert made == projects.find(session, "Données du Nord") == projects.create(session, "Données du Nord")
    meta = server.objects["namespaces", "", "donnees-du-nord"]["metadata"]
    assert meta["labels"] == {PROJECT: "donnees-du-nord"}
    assert meta["annotations"] == {PROJECT_NAME: "Données du Nord"}


# --- what the cluster says


def test_it_does_not_become_ready(server: ApiServer) -> None:
    stalled = {"type": "Stalled", "status": "True", "reason": "ImportFailed", "message": "m"}
    diagnosis = {"reason": "ImportFailed", "message": "flow.py imports 'pandas'.", "remedy": "Add the package."}
    server.after_write = lambda _method, written: becomes(
        server,
        written,
        conditions=[{"type": "Ready", "status": "False", "message": "no"}, stalled],
        diagnosis=diagnosis,
    )
    with pytest.raises(
        DeployFailed, match=r"my-squares is not ready: flow.py imports 'pandas'\. Add the package"
    ) as error:
        a_flow(storage=Bytes()).deploy("My First Project")
    assert error.value.reason == "ImportFailed"


def test_an_operator_that_says_nothing(server: ApiServer) -> None:
    server.after_write = lambda _method, _written: None
    with pytest.raises(DeployFailed, match="has not looked at FlowDeployment my-squares for 0 s") as error:
        a_flow(storage=Bytes()).deploy("My First Project", wait=0.2)
    assert "operator runs" in error.value.remedy
    assert error.value.reason == "Timeout"


def test_a_build_that_takes_longer(server: ApiServer) -> None:
    building = [{"type": "Ready", "status": "False", "message": "The image is being built."}]
    server.after_write = lambda _method, written: becomes(server, written, conditions=building)
    with pytest.raises(DeployFailed, match="was not ready after 2 s: The image is being built"):
        a_flow(storage=Bytes()).deploy("My First Project", wait=2)


def test_the_status_of_an_older_version_is_none(server: ApiServer) -> None:
    a_flow(storage=Bytes()).deploy("My First Project")
    server.after_write = lambda _method, _written: None
    with pytest.raises(DeployFailed, match="has not looked at"):
        a_flow(storage=Bytes(), environment=DaskKubernetesEnvironment()).deploy("My First Project", wait=0.2)


@pytest.mark.parametrize(
    ("trouble", "words", "remedy"),
    [
        ("unknown", "page not found", "Install flow-operator"),
        ("forbidden", "cannot patch", "Ask for the right"),
        ("nowhere", "no kubeconfig at /nowhere", "Set KUBECONFIG"),
    ],
)
def test_clusters_that_do_not_take_it(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch, trouble: str, words: str, remedy: str
) -> None:
    if trouble == "unknown":
        server.unknown = {"flowdeployments"}
    if trouble == "forbidden":
        server.forbidden = {("PATCH", "flowdeployments")}
    if trouble == "nowhere":
        monkeypatch.setenv("KUBECONFIG", "/nowhere")
    with pytest.raises(ClusterError, match=words) as error:
        a_flow(storage=Bytes()).deploy("My First Project")
    assert remedy in error.value.remedy
    assert "secret-token" not in str(error.value)
