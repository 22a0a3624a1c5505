"""The same files are the same layer, whoever packs them, when and where."""

from __future__ import annotations

import gzip
import os
import sys
import time
import zipfile
from typing import TYPE_CHECKING

import pytest

from flow_operator.images import layers as layers_module
from flow_operator.images import packages
from flow_operator.images.bytecode import Compiler, compile_bytecode
from flow_operator.images.layers import Entry, Layer, write_layer
from flow_operator.images.packages import package_entries, portable_record, portable_script
from tests.support.registry import FakeRegistry, digest_of
from tests.unit.images.wheels import make_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# These change when the format of layers does: raise layers.FORMAT with them.
CODE_DIGEST = "sha256:da84822dcb1aadf134d53dc38c42a514a3f957219e8c54640421d867d2256596"


@pytest.fixture
def installed(tmp_path: Path) -> Callable[[str], Path]:
    """An installation, as uv leaves one, made anew on every call."""

    def install(name: str) -> Path:
        directory = tmp_path / name
        with zipfile.ZipFile(make_wheel(tmp_path, "sample", "1.0")) as wheel:
            wheel.extractall(directory)
        (directory / "bin").mkdir()
        (directory / "bin" / "sample").write_text(f"#!{directory}/bin/python3.11\nimport sample\n")
        (directory / "bin" / "sample").chmod(0o755)
        metadata = directory / "sample-1.0.dist-info"
        (metadata / "INSTALLER").write_text(name)
        (metadata / "direct_url.json").write_text(name)
        with (metadata / "RECORD").open("a") as record:
            record.write(f"bin/sample,sha256={name},1\nsample-1.0.dist-info/INSTALLER,,\n")
        (directory / ".lock").touch()
        compile_bytecode(directory, Compiler(sys.executable))
        return directory

    return install


def layer_of(directory: Path, file: Path) -> Layer:
    return write_layer("dependencies", package_entries(directory, "/opt/flow-operator/deps"), file, compress=True)


def reversed_walk(top: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    for folder, folders, names in reversed(list(os.walk(top))):
        yield folder, folders[::-1], names[::-1]


def test_another_user_umask_zone_locale_and_order_give_the_same_digest(
    installed: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = layer_of(installed("one"), tmp_path / "one.tar.gz")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("LC_ALL", "C")
    time.tzset()
    umask = os.umask(0o077)
    try:
        directory = installed("another-name")
    finally:
        os.umask(umask)
    for file in directory.rglob("*"):
        os.utime(file, (1, 1))
        if os.geteuid() == 0:
            os.chown(file, 4321, 4321)

    class Shuffled:
        walk = staticmethod(reversed_walk)

    monkeypatch.setattr(packages, "os", Shuffled)
    two = layer_of(directory, tmp_path / "two.tar.gz")
    assert (two.descriptor, two.diff_id) == (one.descriptor, one.diff_id)


def test_nothing_of_the_installation_is_left(installed: Callable[[str], Path], tmp_path: Path) -> None:
    entries = {entry.path: entry for entry in package_entries(installed("here"), "/deps")}
    assert "/deps/sample/__init__.py" in entries
    assert "/deps/sample/__pycache__/__init__.cpython" in " ".join(entries)
    assert not any(path.endswith((".lock", "INSTALLER", "direct_url.json")) for path in entries)
    assert entries["/deps/bin/sample"].executable
    assert all(str(tmp_path).encode() not in _bytes(entry) for entry in entries.values())


def _bytes(entry: Entry) -> bytes:
    return entry.content if isinstance(entry.content, bytes) else entry.content.read_bytes()


def test_bytecode_that_depends_on_a_time_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "x.cpython-311.pyc").write_bytes(b"\xa7\r\r\n" + bytes(12))
    assert list(package_entries(tmp_path, "/deps")) == []


@pytest.mark.parametrize(
    ("script", "portable"),
    [
        (b"#!/tmp/build/bin/python3.11\nimport x\n", b"#!/usr/bin/env python3\nimport x\n"),
        (b"#!/bin/sh\n'''exec' '/a b/python' \"$0\" \"$@\"\n' '''\nimport x\n", b"#!/usr/bin/env python3\nimport x\n"),
        (b"#!/bin/sh\necho\n", b"#!/bin/sh\necho\n"),
        (b"\x7fELF\x02", b"\x7fELF\x02"),
    ],
)
def test_scripts_run_under_any_python(script: bytes, portable: bytes) -> None:
    assert portable_script(script) == portable


def test_a_record_lists_what_is_there() -> None:
    text = "b.py,sha256=2,1\r\na.py,sha256=1,1\nx.dist-info/INSTALLER,,\n__pycache__/a.pyc,,\nbin/s,sha256=3,1\n"
    assert portable_record(text) == b"a.py,sha256=1,1\nb.py,sha256=2,1\nbin/s,,\n"


def test_a_code_layer_is_the_same_in_every_release(tmp_path: Path) -> None:
    entries = [Entry("/flows/flow.py", b"print(1)\n"), Entry("/flows/\u00fc.txt", b""), Entry("/etc/app/x", b"", True)]
    layer = write_layer("code", entries, tmp_path / "code.tar", compress=False)
    assert layer.diff_id == layer.descriptor["digest"] == CODE_DIGEST


def test_only_our_own_directories_are_described(tmp_path: Path) -> None:
    registry = FakeRegistry()
    write_layer("code", [Entry("/tmp/x", b""), Entry("/flows/a/b", b"")], tmp_path / "x.tar", compress=False)
    digest = registry.put_blob("registry.test/x", (tmp_path / "x.tar").read_bytes())
    assert registry.layer("registry.test/x", digest).getnames() == ["flows", "flows/a", "flows/a/b", "tmp/x"]


def test_long_layers_are_gzip_in_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers_module, "_MEMBER", 1000)
    content = os.urandom(100_000)
    layer = write_layer("dependencies", [Entry("/x", content)], tmp_path / "x.gz", compress=True)
    packed = (tmp_path / "x.gz").read_bytes()
    assert (len(packed), digest_of(packed)) == (layer.descriptor["size"], layer.descriptor["digest"])
    assert digest_of(gzip.decompress(packed)) == layer.diff_id
    assert content in gzip.decompress(packed)
