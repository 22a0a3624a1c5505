"""A disk that is full while a layer is made, or while packages are unpacked."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from flow_operator.api.wire import BuildReport
from flow_operator.images.errors import BuilderDiskFullError
from tests.unit.images.wheels import make_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.registry import FakeRegistry

Build = Callable[..., BuildReport]


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A disk of one megabyte, on which builders work."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.usefixtures("small_disk")
def test_a_file_that_does_not_fit(build: Build, registry: FakeRegistry, tmp_path: Path) -> None:
    content = bytes(2 << 20)
    (tmp_path / "large").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    with pytest.raises(BuilderDiskFullError) as caught:
        build(files=[{"path": "/data", "source": str(tmp_path / "large"), "sha256": sha256}])
    assert "ephemeral-storage" in caught.value.remedy
    assert registry.uploaded == 0


def test_packages_that_do_not_fit(
    build: Build, small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_for: Any
) -> None:
    (tmp_path / "index").mkdir()
    make_wheel(tmp_path / "index", "heavy", "1.0", megabytes=3)
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "index"))
    with pytest.raises(BuilderDiskFullError):
        build(pythonDependencies=["heavy==1.0"])
    assert list(small_disk.iterdir()) == [], "what was begun is taken away"
