"""The wheel holds what the code looks for beside itself."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from flow_operator.images import runtime

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[2]


def test_the_runtimes_lock_is_in_the_wheel_beside_the_code_that_reads_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included == {"requirements/runtime.lock": "flow_operator/images/runtime.lock"}
    assert Path(runtime.__file__).relative_to(ROOT / "operator").parent == Path("flow_operator/images")


def test_a_checkout_finds_it_in_its_requirements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(runtime.LOCK_ENV, raising=False)
    versions = runtime.runtime_lock("3.11").versions()
    assert {"cloudpickle", "dask", "distributed"} <= set(versions)


def test_an_installed_package_finds_it_beside_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(runtime.LOCK_ENV, raising=False)
    monkeypatch.setattr(runtime, "__file__", str(tmp_path / "runtime.py"))
    (tmp_path / "runtime.lock").write_text("dask==1.0\n")
    assert runtime.runtime_lock("3.11").versions() == {"dask": "1.0"}
