"""`flow.deploy` from a laptop into the cluster: built here, checked there, run there."""

from __future__ import annotations

import base64
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from flow_operator import Flow, Parameter, task
from flow_operator.deploy.deploy import Cluster, send
from flow_operator.errors import DeployFailed, StorageError, UnknownProject
from flow_operator.schedules import CronSchedule
from flow_operator.storage import Bytes, Docker
from tests.support.cluster import Namespace, condition, kubectl, run
from tests.support.sdk import REGISTRY, make_project, set_up

PROJECT = "Numbers & Co"


@pytest.fixture(autouse=True)
def sdk(namespace: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A laptop with a project."""
    set_up(monkeypatch, tmp_path)
    make_project(PROJECT, namespace)


@task
def times(x: int, factor: int) -> int:
    return x * factor


def a_flow(name: str, factor: int = 2, **kwargs: Any) -> Flow:
    with Flow(name, **kwargs) as flow:
        times(Parameter("n", default=5), factor)
    return flow


@task
def read(variable: str, file: str) -> list[str]:
    return [os.environ[variable], Path(file).read_text()]


def docker(images: dict[str, str], **kwargs: Any) -> Docker:
    return Docker(registry_url=f"{REGISTRY}/e2e-deploy", base_image=images["runtime"], **kwargs)


def result(namespace: Namespace, name: str, of: str, **parameters: Any) -> Any:
    namespace.apply(run(name, of, parameters=parameters))
    return namespace.wait_run(name)["status"]["result"]


def test_a_flow_is_deployed_run_and_deployed_anew(namespace: Namespace, images: dict[str, str]) -> None:
    told: list[str] = []
    flow = a_flow("Doubling it", schedule=CronSchedule("0 0 1 1 *"))
    first = flow.deploy(
        PROJECT,
        registry_url=f"{REGISTRY}/e2e-deploy",
        base_image=images["runtime"],
        env_vars={"PASSWORD": "hunter2"},
        progress=told.append,
    )
    made = namespace.get("flowdeployment", "doubling-it")
    assert first == f"{made['metadata']['uid']}.1"
    assert condition(made, "Ready") == "True"
    assert made["spec"]["flow"]["image"]["location"] == "/flows/doubling-it.flow"
    assert made["status"]["image"] == made["spec"]["flow"]["image"]["reference"] == flow.storage.image  # type: ignore[union-attr]
    assert made["status"]["flow"]["parameters"] == [{"name": "n", "required": False, "default": 5}]
    assert made["status"]["nextScheduleTime"]
    assert "is ready to run" in told[-1]
    assert result(namespace, "first", "doubling-it", n=21) == 42

    # What people read has neither credentials nor code in it.
    seen = kubectl("-n", namespace.name, "get", "flowdeployment", "doubling-it", "-o", "yaml")
    assert "hunter2" not in seen
    assert len(seen) < 8000

    # The same again is the same version, and nothing is uploaded.
    with pytest.warns(UserWarning, match="already"):
        assert flow.deploy(PROJECT) == first
    assert flow.storage.report["uploadedBytes"] == 0  # type: ignore[union-attr]

    # A new version takes the place of the older one, and of its schedule.
    second = a_flow("Doubling it", factor=3, storage=docker(images)).deploy(PROJECT)
    assert second == f"{made['metadata']['uid']}.2"
    assert "schedule" not in namespace.get("flowdeployment", "doubling-it")["spec"]
    assert result(namespace, "second", "doubling-it", n=21) == 63


def test_bytes(namespace: Namespace) -> None:
    flow = a_flow("mounted", storage=Bytes(), schedule="0 0 1 1 *")
    flow.deploy(PROJECT, set_schedule_active=False)
    made = namespace.get("flowdeployment", "mounted")
    assert made["spec"]["schedule"]["suspend"] is True
    assert result(namespace, "mounted", "mounted", n=4) == 8

    # What the schedule is to be is said by the deploy, whoever resumed it meanwhile.
    resumed = '{"spec":{"schedule":{"suspend":false}}}'
    kubectl("-n", namespace.name, "patch", "flowdeployment", "mounted", "--type=merge", "-p", resumed)
    flow.deploy(PROJECT, build=False, set_schedule_active=False)
    assert namespace.get("flowdeployment", "mounted")["spec"]["schedule"]["suspend"] is True
    flow.deploy(PROJECT, build=False)
    assert namespace.get("flowdeployment", "mounted")["spec"]["schedule"]["suspend"] is False
    flow.schedule = None
    flow.deploy(PROJECT, build=False)
    assert "schedule" not in namespace.get("flowdeployment", "mounted")["spec"]


def test_two_flows_in_one_image(namespace: Namespace, images: dict[str, str], tmp_path: Path) -> None:
    odd = " 'it' \"was\" $HOME \\ `so` "
    (tmp_path / "settings").write_text(odd)
    storage = docker(images, env_vars={"ODD": odd}, files={str(tmp_path / "settings"): "/etc/app/settings"})
    with Flow("two") as two:
        read("ODD", "/etc/app/settings")
    flows = [a_flow("one", 1), two]
    for flow in flows:
        storage.add_flow(flow)
        flow.storage = storage
    with pytest.raises(StorageError, match="No image that holds flow 'one' was built"):
        flows[0].deploy(PROJECT, build=False)
    storage.build()
    for flow in flows:
        flow.deploy(PROJECT, build=False)
    used = [namespace.get("flowdeployment", name)["status"]["image"] for name in ("one", "two")]
    assert used == [storage.image, storage.image]
    assert (result(namespace, "one", "one"), result(namespace, "two", "two")) == (5, [odd, odd])


def test_a_flow_that_needs_what_the_image_has_not(namespace: Namespace, images: dict[str, str]) -> None:
    import pluggy  # of pytest: here, and in no image

    @task
    def plug() -> str:
        return str(pluggy.PluginManager)

    with Flow("plugging", storage=docker(images)) as flow:
        plug()
    with pytest.raises(DeployFailed, match="pluggy") as failed:
        flow.deploy(PROJECT)
    assert failed.value.reason == "UnpicklingFailed"
    assert "pythonDependencies" in failed.value.remedy
    flow.storage = docker(images, python_dependencies=["pluggy"])
    flow.deploy(PROJECT)
    assert "PluginManager" in result(namespace, "plugging", "plugging")


def test_a_pickle_of_another_python(namespace: Namespace, capsys: pytest.CaptureFixture[str]) -> None:
    made = a_flow("foreign", storage=Bytes()).deploy(PROJECT, dry_run=True, namespace=namespace.name)
    assert capsys.readouterr().out.startswith("apiVersion:")
    pickle = made["spec"]["flow"]["pickle"]
    other = f"3.{sys.version_info.minor - 2}"
    data = base64.b64decode(pickle["data"])
    pickle.update(python=other, data=base64.b64encode(data[: len(data) // 2]).decode())
    with Cluster().session() as session, pytest.raises(DeployFailed) as failed:
        send(session, made, 240, lambda _line: None)
    assert failed.value.reason == "UnpicklingFailed"
    assert other in failed.value.message + failed.value.remedy


def test_a_project_that_is_not_there(namespace: Namespace) -> None:
    with pytest.raises(UnknownProject, match="There is no project 'Letters'"):
        a_flow("lost", storage=Bytes()).deploy("Letters")
    assert namespace.find("flowdeployment", "lost") is None
