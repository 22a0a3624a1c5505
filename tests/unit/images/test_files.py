"""Users' own files: anywhere in the image, of any size, and only as they were decided on."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from flow_operator.api.wire import BuildFile, BuildReport
from flow_operator.images.errors import BadRequestError, SourceChangedError
from flow_operator.images.files import code_entries, file_layers
from tests.unit.images.conftest import code_file

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.registry import FakeRegistry

Build = Callable[..., BuildReport]
TARGET = "registry.test/team/squares"


@pytest.fixture
def a_file(tmp_path: Path) -> Callable[..., BuildFile]:
    def make(path: str, content: bytes = b"content", name: str = "a", mode: int = 0o644) -> BuildFile:
        file = tmp_path / name
        file.write_bytes(content)
        file.chmod(mode)
        return BuildFile(path=path, source=str(file), sha256=hashlib.sha256(content).hexdigest())

    return make


def kinds(report: BuildReport) -> list[str]:
    return [layer["kind"] for layer in report["layers"]]


def test_files_are_anywhere_and_keep_being_executable(
    build: Build, registry: FakeRegistry, source: Path, a_file: Any
) -> None:
    tool = a_file("/usr/local/bin/tool", b"#!/bin/sh\n", "tool", 0o755)
    report = build(files=[code_file(source), tool, a_file("/etc/app/settings.toml"), a_file("/flows/data.csv")])
    assert kinds(report) == ["files", "code"]
    files, code = (registry.layer(TARGET, layer["digest"]).getmembers() for layer in report["layers"])
    # The parents are the base's: with modes and owners that we do not know.
    assert [(file.name, file.mode) for file in files] == [
        ("etc/app/settings.toml", 0o444),
        ("usr/local/bin/tool", 0o555),
    ]
    assert [file.name for file in code] == ["flows", "flows/data.csv", "flows/flow.py"]


def test_a_change_of_code_sends_no_other_file(build: Build, registry: FakeRegistry, source: Path, a_file: Any) -> None:
    model = a_file("/models/model.bin", b"x" * 300_000)
    build(files=[code_file(source), model])
    source.write_text("changed")
    registry.forget()
    report = build(files=[code_file(source), model])
    assert [layer["uploaded"] for layer in report["layers"]] == [False, True]
    assert registry.uploaded < 50_000


def test_two_files_of_one_path(build: Build, a_file: Any) -> None:
    one, same, other = a_file("/etc/x"), a_file("/etc/x", name="b"), a_file("/etc/x", b"other", "c")
    assert kinds(build(files=[one, same])) == ["files"]
    with pytest.raises(BadRequestError) as caught:
        build(files=[one, other])
    assert all(word in str(caught.value) for word in (one["source"], other["source"], "/etc/x"))


def test_a_file_over_the_flows_own(build: Build, source: Path, a_file: Any) -> None:
    with pytest.raises(BadRequestError, match=r"flow\.py"):
        build(files=[code_file(source), a_file("/flows/flow.py", b"mine")])


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("relative", "absolute path"),
        ("/", "absolute path"),
        ("//x", "absolute path"),
        ("/a/../b", "absolute path"),
        ("/a/", "absolute path"),
        ("/a\0b", "absolute path"),
        ("/opt/flow-operator/lib/dask/core.py", "keeps packages"),
        ("/opt/flow-operator/deps/x", "keeps packages"),
        ("/tmp/x", "would not be seen"),
        ("/proc/x", "would not be seen"),
        ("/hooks/x", "would not be seen"),
        ("/etc/hosts", "something of their own at /etc/hosts"),
        ("/etc/resolv.conf", "would not be seen"),
        ("/etc/hostname", "would not be seen"),
    ],
)
def test_places_a_file_cannot_have(build: Build, a_file: Any, path: str, words: str) -> None:
    with pytest.raises(BadRequestError, match=words):
        build(files=[a_file(path)])


def test_a_file_is_no_folder(build: Build, a_file: Any) -> None:
    with pytest.raises(BadRequestError, match="/data is a file"):
        build(files=[a_file("/data"), a_file("/data/x", name="b")])


def test_a_folder_is_no_file(build: Build, tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match="is a folder"):
        build(files=[{"path": "/data", "source": str(tmp_path), "sha256": "0" * 64}])


def test_a_file_that_is_not_there(build: Build, registry: FakeRegistry) -> None:
    with pytest.raises(SourceChangedError, match=r"/nowhere/x cannot be read: No such file"):
        build(files=[{"path": "/data", "source": "/nowhere/x", "sha256": "0" * 64}])
    assert registry.requests == []


@pytest.mark.parametrize("content", [b"longer than before", b"short", b"CONTENT"])
def test_a_file_that_changes_while_it_is_packed(tmp_path: Path, a_file: Any, content: bytes) -> None:
    file = a_file("/data", b"content")
    code_entries([file])
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(SourceChangedError, match="has changed"):
        file_layers((file,), tmp_path)


def test_large_files_are_not_read_into_memory(tmp_path: Path) -> None:
    file = tmp_path / "large"
    with file.open("wb") as out:
        out.truncate(64 << 20)
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    tracemalloc.start()
    file_layers((BuildFile(path="/data", source=str(file), sha256=digest),), tmp_path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4 << 20
