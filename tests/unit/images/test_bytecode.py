"""Bytecode is made by the image's own release of Python, or it is said that it is not."""

from __future__ import annotations

import platform
import sys
from typing import TYPE_CHECKING

import pytest

from flow_operator.images import bytecode
from flow_operator.images.bytecode import Compiler, compile_bytecode, compile_for, compiler_for, here
from flow_operator.images.python_version import release_of
from flow_operator.images.uv import Target, Uv

if TYPE_CHECKING:
    from pathlib import Path

MINE = Compiler(sys.executable)


@pytest.fixture
def uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Uv:
    """A machine that has Python 3.11.2 and 3.12 besides."""
    there = {"3.11.2": "/usr/bin/python3.11", "3.12": "/usr/bin/python3.12"}
    monkeypatch.setattr(Uv, "find_python", lambda _self, version: there.get(version, ""))
    monkeypatch.setattr(bytecode, "here", lambda: "3.11")
    monkeypatch.setattr(platform, "python_version", lambda: "3.11.7")
    return Uv(tmp_path)


@pytest.mark.parametrize(
    ("python", "release", "compiler"),
    [
        ("3.11", "3.11.7", MINE),
        ("3.11", "", MINE),  # nothing is known: this one is as good as any
        ("3.11", "3.11.2", Compiler("/usr/bin/python3.11")),
        ("3.11", "3.11.9", Compiler(sys.executable, exact=False)),
        ("3.12", "", Compiler("/usr/bin/python3.12")),
        ("3.12", "3.12.9", Compiler("/usr/bin/python3.12", exact=False)),
        ("3.13", "3.13.1", None),
    ],
)
def test_the_python_of_the_image_is_taken(uv: Uv, python: str, release: str, compiler: Compiler | None) -> None:
    assert compiler_for(uv, Target(python, "amd64", release=release)) == compiler


@pytest.mark.parametrize(
    ("release", "words"), [("3.11.7", ""), ("3.11.9", "made by another release"), ("3.13.1", "not made")]
)
def test_a_digest_that_may_depend_on_this_machine_is_said(
    uv: Uv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str, words: str
) -> None:
    said: list[str] = []
    monkeypatch.setattr(bytecode, "compile_bytecode", lambda _directory, _compiler: None)
    compile_for(Target(release.rpartition(".")[0], "amd64", release=release), uv, tmp_path, said.append)
    assert bool(said) == bool(words)
    assert words in "".join(said)


def test_this_python_is_found(tmp_path: Path) -> None:
    assert Uv(tmp_path).find_python(platform.python_version())
    assert Uv(tmp_path).find_python("3.11.99") == ""


@pytest.mark.parametrize(
    ("label", "variable", "release"),
    [
        ("3.11.2", "3.11.9", "3.11.2"),
        ("", "3.12.4", "3.12.4"),
        ("3.11", "3.11.9", "3.11.9"),
        ("3.12", "3.11.9", ""),  # another Python than the variable is about
        ("", "3.14.0rc1", ""),
        ("", "", ""),
    ],
)
def test_a_base_says_its_release(label: str, variable: str, release: str) -> None:
    settings = {"Labels": {"flow-operator.io/python": label}, "Env": [f"PYTHON_VERSION={variable}"]}
    assert release_of({"config": settings}) == release


def test_bytecode_depends_on_nothing_but_its_source(tmp_path: Path) -> None:
    """Not on its folder, nor on what is compiled beside it: references of constants are part of marshal's format."""
    source = "def f(x):\n    return {'a': 1, 'b': x, 'name': (1, 2, 'name')} if x in {'p', 'q', 'r'} else None\n"
    for name, others in (("one", 0), ("two", 30)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "m.py").write_text(source)
        for number in range(others):
            (tmp_path / name / f"a{number}.py").write_text(source.replace("name", f"name{number}"))
        compile_bytecode(tmp_path / name, MINE)
    tag = f"m.cpython-{here().replace('.', '')}.pyc"
    assert (tmp_path / "one/__pycache__" / tag).read_bytes() == (tmp_path / "two/__pycache__" / tag).read_bytes()
