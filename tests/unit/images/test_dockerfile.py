"""The Dockerfiles as text, and what happens inside an image when packages are installed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from flow_operator.images import install
from flow_operator.images.context import pip_settings
from flow_operator.images.dockerfile import Content, finished, prepared

if TYPE_CHECKING:
    from pathlib import Path

NASTY = [" two  blanks ", "q'u\"o`t", "$HOME ${PATH} $(id) \\$x", "one\ntwo\n", "# no comment", "end\\", "<<EOF", "ü😀"]


@pytest.mark.parametrize("command", NASTY)
def test_a_command_is_one_line_and_nothing_in_it_is_syntax(command: str) -> None:
    dockerfile = prepared("sha256:1", "", [command], {})
    [line] = [step.text for step in dockerfile.steps if step.kind == "command"]
    assert dockerfile.text.count("\n") == len(dockerfile.steps)
    assert not line.endswith("\\")
    assert "<<" not in line
    assert json.loads(line.removeprefix("RUN "))[-1] == command


def test_values_are_arguments_and_not_text() -> None:
    variables = {f"V{number}": value for number, value in enumerate(NASTY)}
    dockerfile = finished("sha256:1", "", Content("", False, ("code.tar",), variables, {"a.b/c": "$x"}), {})
    assert [dockerfile.arguments[f"FLOW_OPERATOR_VALUE_{number}"] for number in range(len(NASTY))] == NASTY
    assert 'LABEL a.b/c="${FLOW_OPERATOR_VALUE_8}"' in dockerfile.text
    assert not any(value in dockerfile.text for value in NASTY)


def test_nothing_is_set_where_there_is_nothing() -> None:
    assert finished("sha256:1", "app", Content("", False, (), {}, {}), {"PIP_NO_INPUT": "1"}).text == (
        "FROM sha256:1\n"
    )


def test_the_stage_of_dependencies_is_root_and_is_left_behind() -> None:
    dockerfile = finished(
        "sha256:1",
        "app",
        Content("flow-operator-runtime:1", True, ("files.tar", "code.tar"), {}, {}, "salt"),
        {"PIP_NO_INPUT": "1"},
    )
    assert dockerfile.text.splitlines() == [
        "FROM sha256:1 AS dependencies",
        "USER 0",
        "ARG PIP_NO_INPUT",
        "COPY tools /opt/flow-operator/build/tools",
        'RUN ["python3", "/opt/flow-operator/build/tools/install.py", "upgrade"]',
        "COPY packages /opt/flow-operator/build/packages",
        "ARG FLOW_OPERATOR_SALT",
        'RUN ["python3", "/opt/flow-operator/build/tools/install.py", "/opt/flow-operator/build/packages"]',
        "FROM sha256:1",
        "COPY --from=flow-operator-runtime:1 /opt/flow-operator/lib /opt/flow-operator/lib",
        "COPY --from=dependencies /opt/flow-operator/deps /opt/flow-operator/deps",
        "ADD files.tar /",
        "ADD code.tar /",
    ]
    assert dockerfile.step(5).kind == "dependencies"
    assert dockerfile.step(99).text == ""


def test_pip_is_told_what_uv_is_told(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("ca")
    environ = {"UV_DEFAULT_INDEX": "https://index.test/simple", "UV_INDEX": "https://user:secret@other.test/simple"}
    assert "PIP_CERT" not in pip_settings(environ, secret=True)
    environ["SSL_CERT_FILE"] = str(tmp_path / "ca.pem")
    settings = pip_settings(environ, secret=True)
    assert settings["PIP_INDEX_URL"] == "https://index.test/simple"
    assert settings["PIP_EXTRA_INDEX_URL"] == "https://user:secret@other.test/simple"
    assert settings["PIP_CERT"] == settings["SSL_CERT_FILE"] == "/opt/flow-operator/build/tools/ca.crt"
    assert "PIP_EXTRA_INDEX_URL" not in pip_settings(environ, secret=False)


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A folder as the stage of dependencies has it."""
    job: install.Job = {"target": str(tmp_path / "deps"), "runtime": {}, "hashes": False}
    (tmp_path / "install.json").write_text(json.dumps(job))
    return tmp_path


def test_what_the_runtime_has_is_not_there_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)  # an image's Python has none
    target = tmp_path / "deps"
    for name, version in (("Dask", "2026.8.0"), ("click", "8.5.1")):
        package, info = target / name.lower(), target / f"{name}-{version}.dist-info"
        (package / "__pycache__").mkdir(parents=True)
        info.mkdir()
        (package / "__init__.py").write_text("x = 1\n")
        (package / "__pycache__" / "left.pyc").write_bytes(b"")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "RECORD").write_text(
            f"{name.lower()}/__init__.py,,\n{info.name}/METADATA,,\n{info.name}/RECORD,,\n../../outside,,\n"
        )
    outside = tmp_path.parent / "outside"
    outside.write_text("of somebody else")
    install.tidy(target, {"dask": "2026.8.0", "click": "8.0"})
    assert sorted(path.name for path in target.iterdir()) == ["click", "click-8.5.1.dist-info"]
    assert list(target.glob("click/__pycache__/__init__*.pyc"))
    assert outside.exists()


@pytest.mark.parametrize("hashes", [False, True])
def test_what_pip_is_asked(job: Path, monkeypatch: pytest.MonkeyPatch, hashes: bool) -> None:
    document = json.loads((job / "install.json").read_text())
    (job / "install.json").write_text(json.dumps({**document, "hashes": hashes}))
    asked: list[list[str]] = []

    def pip(*arguments: str) -> int:
        asked.append(list(arguments))
        return 0

    monkeypatch.setattr(install, "_pip", pip)
    assert install.main(str(job)) == 0
    assert asked[0] == ["--version"]
    assert asked[1][:3] == ["install", "--target", str(job / "deps")]
    assert ("--require-hashes" in asked[1], "-c" in asked[1]) == (hashes, not hashes)


def test_a_pip_that_cannot_be_upgraded_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "_pip", lambda *arguments: int(arguments[0] == "install"))
    assert install.main("upgrade") == 0


def test_a_python_without_pip_says_so(
    job: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install, "_pip", lambda *_: 1)
    assert install.main(str(job)) == 1
    assert install.NO_PIP in capsys.readouterr().out
