"""Where the runtime of an image comes from."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import pytest

from flow_operator.images import bytecode, runtime
from flow_operator.images.bytecode import here
from flow_operator.images.errors import BadRequestError
from flow_operator.images.python_version import libc_of
from flow_operator.images.requirements import Lock
from flow_operator.images.runtime import runtime_entries, runtime_of
from flow_operator.images.uv import Target, Uv

if TYPE_CHECKING:
    from pathlib import Path

NO_LOCK = Lock(())


@pytest.fixture
def lib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The runtime of the operator's own image, somewhere else."""
    directory = tmp_path / "lib"
    for file in ("dask/core.py", "dask/tests/test_core.py", "flow_operator/old.py", "bin/dask"):
        (directory / file).parent.mkdir(parents=True, exist_ok=True)
        (directory / file).touch()
    monkeypatch.setattr(runtime, "LIB_DIR", str(directory))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    return directory


def test_the_images_own_runtime_is_taken_where_it_fits(lib: Path, tmp_path: Path) -> None:
    paths = {entry.path for entry in runtime_entries(Uv(tmp_path), NO_LOCK, Target(here(), "amd64"))}
    assert f"{lib}/dask/core.py" in paths
    assert f"{lib}/flow_operator/api/wire.py" in paths  # the code that runs, not a copy beside it
    assert not paths & {f"{lib}/flow_operator/old.py", f"{lib}/dask/tests/test_core.py", f"{lib}/bin/dask"}


@pytest.mark.parametrize("target", [Target("3.99", "amd64"), Target(here(), "arm64"), Target(here(), "amd64", "musl")])
@pytest.mark.usefixtures("lib")
def test_it_is_installed_where_it_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: Target) -> None:
    asked: list[Target] = []
    monkeypatch.setattr(Uv, "install", lambda _self, _lock, target, _directory: asked.append(target))
    monkeypatch.setattr(bytecode, "compile_bytecode", lambda _directory, _compiler: None)
    list(runtime_entries(Uv(tmp_path), NO_LOCK, target))
    assert asked == [target]


def config(label: str) -> dict[str, object]:
    return {"config": {"Labels": {"flow-operator.io/runtime": label}}}


def test_a_base_says_which_runtime_it_has() -> None:
    assert runtime_of(config("dask==2026.1 click==8"), "3.11").versions == {"dask": "2026.1", "click": "8"}
    assert runtime_of(config("dask==2026.1"), "3.11").lock is None
    by_release = runtime_of(config("v0.1.0"), "3.11")
    assert (by_release.versions["dask"], by_release.lock) == ("2026.8.0", None)
    assert runtime_of({}, "3.11").lock is not None


def test_without_a_list_of_packages_a_bare_base_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOW_OPERATOR_RUNTIME_LOCK", "/nowhere/runtime.lock")
    with pytest.raises(BadRequestError, match="runtime"):
        runtime_of({}, "3.11")


@pytest.mark.parametrize(
    ("history", "libc"),
    [("ADD alpine-minirootfs-3.20.tar.gz /", "musl"), ("RUN apk add --no-cache x", "musl"), ("RUN apt-get x", "gnu")],
)
def test_alpine_is_recognised(history: str, libc: str) -> None:
    assert libc_of({"history": [{"created_by": history}]}) == libc
