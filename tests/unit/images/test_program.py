"""The program of the builder pod: whatever happens, one report and an exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from flow_operator.api.wire import MESSAGE_LIMIT, BuildReport, BuildRequest, LayerReport
from flow_operator.images.errors import BuildError, DependencyConflictError
from flow_operator.images.program import main
from flow_operator.images.report import encoded, failure

if TYPE_CHECKING:
    from pathlib import Path


class Fixed:
    """A builder with one answer."""

    def __init__(self, answer: BuildReport | Exception) -> None:
        self._answer = answer

    def build(self, request: BuildRequest) -> BuildReport:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLOW_OPERATOR_TERMINATION_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("FLOW_OPERATOR_BUILD", "{}")
    return tmp_path / "log"


def report(log: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(log.read_bytes())
    return document


def test_an_image_is_success(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(Fixed(BuildReport(image="x@sha256:1", digest="sha256:1"))) == 0
    assert report(log)["image"] == "x@sha256:1"
    assert "x@sha256:1" in capsys.readouterr().out


def test_a_refusal_is_a_report_and_no_traceback(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(Fixed(DependencyConflictError("dask==1 and dask==2."))) == 1
    said = report(log)
    assert (said["reason"], said["message"], said["retryable"]) == ("DependencyConflict", "dask==1 and dask==2.", False)
    assert said["remedy"]
    assert "Traceback" not in "".join(capsys.readouterr())


def test_a_bug_is_a_report_too(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(Fixed(ZeroDivisionError("oops"))) == 1
    assert report(log)["reason"] == "BuilderFailed"
    assert "Traceback" in capsys.readouterr().err


def test_a_log_that_cannot_be_written_is_printed(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.mkdir()
    assert main(Fixed(BuildReport(image="x@sha256:1"))) == 0
    assert '{"image":"x@sha256:1"}' in capsys.readouterr().err


@pytest.mark.parametrize("letter", ["x", "\u00fc", "\U0001f600", '"', "\n"])
def test_a_report_always_fits(letter: str) -> None:
    error = DependencyConflictError(letter * 5000, remedy=letter * 5000)
    data = encoded(failure(error))
    assert len(data) <= MESSAGE_LIMIT
    assert json.loads(data)["reason"] == "DependencyConflict"
    layer = LayerReport(kind="code", digest="sha256:" + "a" * 64, size=10**9, uploaded=True)
    long = BuildReport(image="r" * 400, digest="sha256:1", base="b" * 400, layers=[layer] * 9, stages={"x": 1.0})
    assert len(encoded(long)) <= MESSAGE_LIMIT
    assert json.loads(encoded(long))["image"] == "r" * 400


@pytest.mark.parametrize("build", ["", "{", '{"baseImage": "Bad Name", "repository": "registry.test/x"}'])
def test_the_real_program_refuses_without_a_traceback(tmp_path: Path, build: str) -> None:
    log = tmp_path / "log"
    environment = {**os.environ, "FLOW_OPERATOR_BUILD": build, "FLOW_OPERATOR_TERMINATION_LOG": str(log)}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-m", "flow_operator.images"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == ""
    assert report(log)["reason"] in ("BadRequest", "InvalidReference")


def test_errors_are_values() -> None:
    error = BuildError("x", remedy="y", retryable=True)
    assert (error.message, error.remedy, error.retryable, str(error)) == ("x", "y", True, "x y")
