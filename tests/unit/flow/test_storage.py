"""Storages: what they take, where it is, and how they say no."""

from __future__ import annotations

import base64
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from flow_operator import Flow, task
from flow_operator.api.flow_deployment import MAX_INLINE
from flow_operator.errors import StorageError
from flow_operator.flow.storage import KINDS, storage_from
from flow_operator.flow.storage.bytes import LARGEST
from flow_operator.storage import Bytes, Docker, Local, Memory, Storage


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, and no settings."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("FLOW_OPERATOR__")]:
        monkeypatch.delenv(name)
    return tmp_path


@task
def three() -> int:
    return 3


def a_flow(name: str = "My Squares") -> Flow:
    with Flow(name) as flow:
        three()
    return flow


def every_kind() -> list[Storage]:
    return [kind() for kind in KINDS.values()]


def test_the_base_is_abstract() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Storage()  # type: ignore[abstract]


def test_there_are_four() -> None:
    assert list(KINDS) == ["Docker", "Bytes", "Local", "Memory"]


@pytest.mark.parametrize("kind", KINDS.values())
def test_flows_are_added_found_and_run(kind: type[Storage], home: Path) -> None:
    storage = kind()
    location = storage.add_flow(a_flow())
    assert location == {
        Docker: "/flows/my-squares.flow",
        Local: str(home / ".flow-operator/flows/my-squares.flow"),
    }.get(kind, "My Squares")
    other = storage.add_flow(a_flow("cubes"))
    assert storage.flows == {"My Squares": location, "cubes": other}
    assert "My Squares" in storage
    assert "my-squares" not in storage
    assert a_flow() not in storage  # names only
    assert storage.get_flow(location).run() == 3


@pytest.mark.parametrize("kind", KINDS.values())
def test_a_name_is_taken_once(kind: type[Storage]) -> None:
    storage = kind()
    storage.add_flow(a_flow("A b"))
    with pytest.raises(StorageError, match="'A b'") as caught:
        storage.add_flow(a_flow("A b"))
    assert isinstance(caught.value, ValueError)
    assert caught.value.remedy
    with pytest.raises(StorageError, match="'A b' and 'a-b' would both be 'a-b'"):
        storage.add_flow(a_flow("a-b"))
    assert list(storage.flows) == ["A b"]


@pytest.mark.parametrize("kind", KINDS.values())
def test_an_unknown_location_is_an_error(kind: type[Storage]) -> None:
    storage = kind()
    location = storage.add_flow(a_flow())
    with pytest.raises(StorageError, match=re.escape(repr(location))):
        storage.get_flow("/nowhere.flow")


@pytest.mark.parametrize("kind", KINDS.values())
def test_the_dict_of_flows_is_a_copy(kind: type[Storage]) -> None:
    storage = kind()
    storage.flows["x"] = "y"
    assert storage.flows == {}


def test_metadata() -> None:
    from flow_operator import __version__

    kept: dict[str, dict[str, Any]] = {
        "Docker": {
            "registry_url": "registry.example.com/team-a",
            "image_name": "squares",
            "image_tag": "v1",
            "flows": {"My Squares": "/flows/my-squares.flow"},
            "flow_operator_version": __version__,
        },
        "Local": {"directory": "/tmp/flows-of-a-test", "flows": {"My Squares": "/tmp/flows-of-a-test/my-squares.flow"}},
        "Memory": {},
    }
    storages: list[Storage] = [
        Docker("registry.example.com/team-a/", image_name="squares", image_tag="v1", env_vars={"SECRET": "x"}),
        Memory(),
    ]
    for storage in storages:
        storage.add_flow(a_flow())
        said = storage.serialize()
        assert said == {"type": storage.__class__.__name__, "__version__": __version__, **kept[said["type"]]}


@pytest.mark.parametrize("kind", KINDS.values())
def test_metadata_loads_back(kind: type[Storage]) -> None:
    storage = kind()
    location = storage.add_flow(a_flow())
    said = json.loads(json.dumps(storage.serialize()))
    back = storage_from({**said, "of a later release": 1})
    assert type(back) is kind
    assert back.serialize() == storage.serialize()
    if kind in (Bytes, Local):
        assert back.get_flow(location).run() == 3
    if kind is Memory:
        assert back.flows == {}
    if kind is Docker:
        with pytest.raises(StorageError, match="in its image, and not here"):
            back.get_flow(location)
        with pytest.raises(StorageError, match="metadata only"):
            back.build()


def test_metadata_of_an_unknown_type() -> None:
    with pytest.raises(StorageError, match="no storage of type 'S3'; there are Docker, Bytes, Local, Memory"):
        storage_from({"type": "S3"})
    with pytest.raises(StorageError, match="None"):
        storage_from({})


def test_reading_local_metadata_makes_no_folder(tmp_path: Path) -> None:
    storage_from({"type": "Local", "directory": str(tmp_path / "there")})
    assert not (tmp_path / "there").exists()
    assert Local(tmp_path / "there").name == str(tmp_path / "there")
    assert (tmp_path / "there").is_dir()


def test_a_local_file_that_is_gone(tmp_path: Path) -> None:
    storage = Local(tmp_path)
    location = storage.add_flow(a_flow())
    Path(location).unlink()
    with pytest.raises(StorageError, match=re.escape(location)):
        storage.get_flow(location)


def test_bytes_are_taken_when_the_flow_is_added() -> None:
    storage, flow = Bytes(), a_flow()
    storage.add_flow(flow)
    flow.name = "other"
    assert storage.get_flow("My Squares").name == "My Squares"


def test_what_a_cluster_gets() -> None:
    storage: Storage = Bytes()
    storage.add_flow(a_flow())
    made = storage.flow_resource("My Squares")["pickle"]
    assert made["python"] == f"3.{sys.version_info.minor}"
    assert made["file"] == "my-squares.flow"
    assert b"My Squares" in base64.b64decode(made["data"])

    storage = Local("/tmp/flows-of-a-test")
    location = storage.add_flow(a_flow())
    assert storage.flow_resource("My Squares") == {"file": {"location": location}}
    assert storage.to_resource() == {"local": {"directory": "/tmp/flows-of-a-test"}}

    storage = Memory()
    storage.add_flow(a_flow())
    with pytest.raises(StorageError, match="Memory storage ends with this process") as caught:
        storage.flow_resource("My Squares")
    assert "Docker" in caught.value.remedy


def test_a_flow_too_large_for_a_resource() -> None:
    assert LARGEST == MAX_INLINE
    payload = os.urandom(1_500_000)

    @task
    def heavy() -> int:
        return len(payload)

    with Flow("heavy") as flow:
        heavy()
    storage = Bytes()
    storage.add_flow(flow)
    with pytest.raises(
        StorageError, match=r"'heavy' has 1,50\d,\d+ bytes; a resource carries at most 150,000"
    ) as caught:
        storage.flow_resource("heavy")
    assert "Use Docker storage" in caught.value.remedy


@pytest.mark.parametrize("kind", KINDS.values())
def test_a_flow_that_is_not_there(kind: type[Storage]) -> None:
    with pytest.raises(StorageError):
        kind().flow_resource("nothing")


def test_inputs_are_never_changed() -> None:
    dependencies, variables, files, commands = ["pandas"], {"A": "1"}, {"/etc/hosts": "/h"}, ["true"]
    annotations = {"a": "b"}
    storage = Docker(
        "registry.example.com",
        python_dependencies=dependencies,
        env_vars=variables,
        files=files,
        extra_commands=commands,
        annotations=annotations,
    )
    storage.add_flow(a_flow())
    storage.to_resource()["docker"]["pythonDependencies"].append("x")
    assert (dependencies, variables, files, commands) == (["pandas"], {"A": "1"}, {"/etc/hosts": "/h"}, ["true"])
    assert annotations == {"a": "b"}
    dependencies.append("numpy")
    variables["B"] = "2"
    files["/etc/passwd"] = "/p"
    assert storage.python_dependencies == ["pandas"]
    assert "B" not in storage.env_vars
    assert storage.files == {"/etc/hosts": "/h"}


def test_defaults_of_docker() -> None:
    from flow_operator import __version__

    storage = Docker()
    assert storage.base_image == f"python:3.{sys.version_info.minor}-slim"
    assert storage.env_vars == {"FLOW_OPERATOR__USER_CONFIG_PATH": "/etc/flow-operator/config.toml"}
    assert storage.flow_operator_version == __version__
    assert (storage.registry_url, storage.image_name, storage.image_tag, storage.base_url) == (None, None, None, None)
    assert (storage.python_dependencies, storage.files, storage.extra_commands) == ([], {}, [])
    assert storage.local_image is False
    assert (storage.report, storage.image, storage.digest) == (None, None, None)


def test_the_users_own_config_path_wins() -> None:
    given = {"FLOW_OPERATOR__USER_CONFIG_PATH": "/x", "B": " $quoted 'as' \"it\" was "}
    assert Docker(env_vars=given).env_vars == given


@pytest.mark.parametrize(
    ("arguments", "builder"),
    [
        ({"registry_url": "registry.example.com"}, "Layers"),
        ({}, "Docker"),
        ({"registry_url": "registry.example.com", "extra_commands": ["true"]}, "Docker"),
        ({"registry_url": "registry.example.com", "local_image": True}, "Docker"),
        ({"registry_url": "registry.example.com", "base_url": "tcp://docker:2376"}, "Docker"),
        ({"registry_url": "registry.example.com", "builder": "Docker"}, "Docker"),
        ({"registry_url": "registry.example.com", "builder": "Layers"}, "Layers"),
    ],
)
def test_which_builder(arguments: dict[str, Any], builder: str) -> None:
    assert Docker(**arguments).builder == builder


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"builder": "Kaniko"}, "no builder 'Kaniko'"),
        ({"builder": "Layers"}, "The builder Layers pushes to a registry"),
        ({"builder": "Layers", "registry_url": "r.example.com", "extra_commands": ["x"]}, "runs nothing in the base"),
        ({"files": {"settings.toml": "/s", "/x": "/x", "a/b": "/b"}}, "these are relative: 'settings.toml', 'a/b'"),
        ({"files": {"/x": "x"}}, "not 'x'"),
        ({"files": {"/x": "/etc/"}}, "not '/etc/'"),
        ({"files": {"/x": "/etc/a", "/y": "/etc/a"}}, "'/x' and '/y' would both be /etc/a"),
        ({"env_vars": {"A=B": "1"}}, "'A=B'"),
        ({"requirements": "/r.txt", "python_dependencies": ["x"]}, "both given"),
    ],
)
def test_what_docker_refuses_at_once(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(StorageError, match=re.escape(words)):
        Docker(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"extra_commands": "x"},
        {"env_vars": {"A": 1}},
        {"python_dependencies": [1]},
        {"files": ["/a"]},
        {"files": {"/a": 5}},
        {"files": {5: "/a"}},
        {"registry_url": 5},
        {"base_image": ["python"]},
        {"image_tag": 1.2},
    ],
)
def test_shapes(arguments: dict[str, Any]) -> None:
    (name,) = arguments
    with pytest.raises(TypeError, match=name):
        Docker(**arguments)


def test_what_is_no_storage_is_refused_and_the_flow_stays() -> None:
    flow, storage = a_flow(), Docker(registry_url="registry.example.com")
    flow.storage = storage
    with pytest.raises(TypeError, match="'Docker' is none"):
        flow.storage = "Docker"  # type: ignore[assignment]
    assert flow.storage is storage
    with pytest.raises(TypeError, match="storage"):
        Flow("x", storage=Docker)  # type: ignore[arg-type]


def test_the_image_has_a_name_when_it_has_name_and_tag() -> None:
    half: list[dict[str, Any]] = [{}, {"image_name": "squares"}, {"image_tag": "v1"}]
    for arguments in half:
        with pytest.raises(StorageError, match="no name and tag yet"):
            assert Docker("registry.example.com", **arguments).name
    assert Docker("registry.example.com/a/", image_name="b", image_tag="c").name == "registry.example.com/a/b:c"
    assert Docker(image_name="b", image_tag="c").name == "b:c"


def test_a_storage_belongs_to_the_flows_it_is_assigned_to() -> None:
    shared = Bytes()
    one, two = Flow("one", storage=shared), a_flow("two")
    two.storage = shared
    moved = Flow("moved", storage=shared)
    moved.storage = Bytes()
    assert shared.flows == {}
    assert shared.build() is shared
    assert list(shared.flows) == ["one", "two"]
    assert one.storage is two.storage


def test_flows_added_one_by_one_are_all_there_are() -> None:
    shared = Memory()
    kept = [Flow("one", storage=shared), Flow("two", storage=shared)]
    shared.add_flow(kept[0])
    assert list(shared.build().flows) == ["one"]
