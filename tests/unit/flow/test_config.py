"""The settings of the SDK."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from flow_operator.environments import RemoteEnvironment
from flow_operator.errors import SettingsError
from flow_operator.flow import config
from flow_operator.storage import Bytes, Docker, Local

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, and no settings."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith(config.PREFIX)]:
        monkeypatch.delenv(name)
    return tmp_path


def write(home: Path, text: str) -> None:
    file = home / ".flow-operator" / "config.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)


def test_without_a_file_there_are_defaults(home: Path) -> None:
    assert config.home() == home / ".flow-operator"
    assert config.default_storage_class() is Docker
    assert config.default_executor() == "flow_operator.executors.LocalExecutor"
    assert config.registries() == {}


def test_a_file(home: Path) -> None:
    write(
        home,
        """
        home_dir = "~/elsewhere"
        [flows.defaults.storage]
        default_class = "flow_operator.storage.Bytes"
        [engine.executor]
        default_class = "flow_operator.executors.LocalDaskExecutor"
        [registries."localhost:5001"]
        endpoint = "http://localhost:5001"
        insecure = true
        """,
    )
    assert config.default_storage_class() is Bytes
    assert config.registries() == {"localhost:5001": {"endpoint": "http://localhost:5001", "insecure": True}}
    assert RemoteEnvironment().to_resource() == {"remote": {"executor": "LocalDask"}}
    assert Local().directory == str(home / "elsewhere" / "flows")


def test_variables_override_the_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home, '[flows.defaults.storage]\ndefault_class = "Bytes"\n[registries.r]\nendpoint = "http://a"\n')
    monkeypatch.setenv("FLOW_OPERATOR__FLOWS__DEFAULTS__STORAGE__DEFAULT_CLASS", "Local")
    monkeypatch.setenv("FLOW_OPERATOR__REGISTRIES__R__INSECURE", "true")
    monkeypatch.setenv("FLOW_OPERATOR__HOME_DIR", str(home / "x"))
    assert config.default_storage_class() is Local
    assert config.registries() == {"r": {"endpoint": "http://a", "insecure": True}}
    assert config.flows_directory() == home / "x" / "flows"


def test_another_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "mine.toml").write_text('home_dir = "/data"')
    monkeypatch.setenv("FLOW_OPERATOR__USER_CONFIG_PATH", str(home / "mine.toml"))
    assert str(config.home()) == "/data"


def test_an_executor_is_fixed_when_the_environment_is_made(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = RemoteEnvironment()
    monkeypatch.setenv("FLOW_OPERATOR__ENGINE__EXECUTOR__DEFAULT_CLASS", "flow_operator.executors.DaskExecutor")
    assert made.executor == "Local"
    assert RemoteEnvironment().executor == "Dask"


def test_a_storage_that_is_none_warns_and_means_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOW_OPERATOR__FLOWS__DEFAULTS__STORAGE__DEFAULT_CLASS", "S3")
    with pytest.warns(UserWarning, match="no storage 'S3', using Docker; there are Docker, Bytes, Local, Memory"):
        assert config.default_storage_class() is Docker


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("home_dir = ", "is not TOML"),
        ("registries = 3", "registries is not a table"),
        ("[registries]\nr = 3", "registries.'r' is not a table"),
        ('[registries.r]\nurl = "x"', "no key 'url'; it may have endpoint, ca, insecure"),
        ('[registries.r]\ninsecure = "yes"', "insecure of registries.'r' is not true or false"),
    ],
)
def test_a_file_that_cannot_be_read(home: Path, text: str, words: str) -> None:
    write(home, text)
    with pytest.raises(SettingsError, match=words):
        config.registries()


def test_the_file_is_read_when_it_is_asked_for(home: Path) -> None:
    before: Any = config.home()
    write(home, 'home_dir = "/data"')
    assert config.home() != before
