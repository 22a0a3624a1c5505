"""Flows in files and as metadata."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flow_operator import Flow, Parameter, task
from flow_operator.environments import DaskKubernetesEnvironment, RemoteEnvironment
from flow_operator.errors import StorageError
from flow_operator.flow.environments import Environment, environment_from
from flow_operator.flow.pickling import dumps
from flow_operator.storage import Bytes, Docker, Memory, Storage

ROOM = Path(__file__).parents[3] / "operator"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@task
def double(x: int) -> int:
    return 2 * x


def doubling() -> Flow:
    with Flow("Doubling it", environment=RemoteEnvironment(labels=["b", "a"])) as flow:
        double(Parameter("n", default=2))
    return flow


def test_a_flow_is_saved_under_its_slug_and_loaded_by_name_or_path(home: Path) -> None:
    flow = doubling()
    flow.storage = Docker("registry.example.com/a", image_tag="v1")
    flow.schedule = "0 6 * * *"
    file = flow.save()
    assert file == str(home / ".flow-operator/flows/doubling-it.flow")
    for path in (file, "Doubling it", Path(file)):
        back = Flow.load(path)
        assert back.run() == 4
        assert isinstance(back.storage, Docker)
        assert back.storage.image_tag == "v1"
        assert back.schedule == flow.schedule
        assert back.environment.labels == {"a", "b"}


@pytest.mark.parametrize("storage", [Bytes(), Docker("registry.example.com/a")])
def test_the_storage_of_a_loaded_flow_can_be_built(storage: Storage) -> None:
    flow = doubling()
    flow.storage = storage
    back = Flow.load(flow.save())
    assert back.storage is not None
    back.storage.add_attached()  # what build() does first
    assert back.storage.flows.keys() == {"Doubling it"}
    assert storage.flows == {}


def test_a_path_of_ones_own(tmp_path: Path) -> None:
    file = doubling().save(tmp_path / "new" / "mine.flow")
    assert Flow.load(file).name == "Doubling it"
    assert [each.name for each in (tmp_path / "new").iterdir()] == ["mine.flow"]


def test_what_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no file 'Nothing', and no saved flow of that name"):
        Flow.load("Nothing")
    (tmp_path / "x").write_bytes(b"x")
    with pytest.raises(StorageError, match="cannot be unpickled"):
        Flow.load(tmp_path / "x")
    import pickle

    (tmp_path / "x").write_bytes(pickle.dumps(3))
    with pytest.raises(StorageError, match="holds no flow but a int"):
        Flow.load(tmp_path / "x")


def test_the_same_flow_is_the_same_bytes_again_and_again() -> None:
    with Flow("plain") as flow:
        double(Parameter("n"))
    first = dumps(flow)
    flow.serialize()
    assert dumps(flow) == first


def test_a_stored_flow_leaves_its_storage_behind() -> None:
    flow = doubling()
    bare = dumps(flow)
    flow.storage = Docker("registry.example.com", image_tag="any")
    flow.storage.add_flow(flow)
    assert dumps(flow) == bare
    assert flow.storage is not None


PROGRAM = """\
import hashlib, sys
sys.path.insert(0, "operator")
from flow_operator import Flow, Parameter, task
from flow_operator.environments import RemoteEnvironment
from flow_operator.flow.pickling import dumps
LIMIT = 3
def helper(x): return x + LIMIT
@task
def double(x):
    names = {"a", "b", "c", "d"}
    return helper(x) if x in names else [lambda: (yield x)]
with Flow("f", environment=RemoteEnvironment(labels=["a", "b", "c", "d"], on_exit=lambda: None)) as f:
    double(Parameter("n"))
data = dumps(f)
assert sys.argv[1].encode() not in data
print(hashlib.sha256(data).hexdigest())
"""


def test_the_same_flow_is_the_same_bytes_in_every_place_and_process(tmp_path: Path) -> None:
    seen = set()
    for number in range(3):
        folder = tmp_path / f"clone-{number}"
        folder.mkdir()
        (folder / "operator").symlink_to(ROOM)
        (folder / "flow.py").write_text(PROGRAM)
        done = subprocess.run(
            [sys.executable, str(folder / "flow.py"), str(folder)],
            cwd=folder,
            env={"PYTHONHASHSEED": str(number), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        seen.add(done.stdout)
    assert len(seen) == 1


def test_metadata_of_a_flow_is_json() -> None:
    flow = doubling()
    flow.storage = Bytes()
    said = json.loads(json.dumps(flow.serialize()))
    assert said["name"] == "Doubling it"
    assert said["type"] == "Flow"
    assert said["parameters"] == [{"name": "n", "required": False, "default": 2}]
    assert said["tasks"] == ["double"]
    assert said["storage"]["flows"] == {}
    assert flow.serialize(build=True)["storage"]["flows"].keys() == {"Doubling it"}
    assert "Doubling it" in flow.serialize(build=True)["storage"]["flows"]  # once more changes nothing


def test_nothing_to_build() -> None:
    with pytest.raises(StorageError, match="'Doubling it' has no storage"):
        doubling().serialize(build=True)


def test_a_default_that_is_not_json_stays_out() -> None:
    with Flow("odd") as flow:
        double(Parameter("n", default=object()))
    assert flow.serialize()["parameters"] == [{"name": "n", "required": False}]


def test_metadata_of_environments() -> None:
    from flow_operator import __version__

    remote = RemoteEnvironment("flow_operator.executors.DaskExecutor", {"address": "tcp://x:1"}, labels=["b", "a"])
    assert remote.serialize() == {
        "type": "RemoteEnvironment",
        "__version__": __version__,
        "executor": "flow_operator.executors.DaskExecutor",
        "executor_kwargs": {"address": "tcp://x:1"},
        "labels": ["a", "b"],
    }
    dask = DaskKubernetesEnvironment(0, 3)
    assert dask.serialize().items() >= {
        "min_workers": 0, "max_workers": 3, "private_registry": False, "docker_secret": None,
    }.items()  # fmt: skip
    private = DaskKubernetesEnvironment(private_registry=True, docker_secret="mine")
    assert (remote.pull_secret, dask.pull_secret, private.pull_secret) == (None, None, "mine")
    for made in (remote, dask, private):
        back = environment_from({**made.serialize(), "later": 1})
        assert type(back) is type(made)
        assert back.serialize() == made.serialize()
    assert remote.dependencies == ()


def test_a_custom_environment_reloads_as_a_plain_one() -> None:
    class Mine(Environment):
        """One of a user's own."""

    back = environment_from(Mine(labels=["gpu"]).serialize())
    assert type(back) is Environment
    assert back.labels == {"gpu"}
    assert environment_from({"type": "Mine"}).labels == frozenset()


def test_the_executor_path_of_the_original_is_known() -> None:
    made = RemoteEnvironment(executor="flow_operator.engine.executors.LocalExecutor")
    assert made.to_resource() == {"remote": {"executor": "Local"}}


def test_memory_does_not_travel() -> None:
    flow = doubling()
    flow.storage = Memory()
    flow.storage.add_flow(flow)
    back = Flow.load(flow.save())
    assert back.storage is not None
    assert back.storage.flows == {}
