"""docs/tutorial.md, word for word, in an empty folder: its commands, its cells, its files, and what it says they print.

Only pip is replaced, by uv, which takes the same arguments and saves a minute; FLOW_OPERATOR_TUTORIAL=pip runs pip.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

import pytest

from tests.support.cluster import ROOT, eventually, kubectl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = ROOT / "docs" / "tutorial.md"
NAMESPACE = "my-tutorial"
BLOCK = re.compile(r"^```(console|python|text|yaml)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# The environment is named: uv must never take the one that runs the tests.
WITH_UV = {
    "python3 -m venv": f"uv venv --quiet --python {sys.executable}",
    "pip install": "uv pip install --quiet --python .venv/bin/python",
}

# What a notebook does with a cell: run it, and show the value of an expression at its end.
NOTEBOOK = """
import ast, sys
names = {"__name__": "__main__"}
for cell in iter(lambda: sys.stdin.readline(), ""):
    tree = ast.parse(eval(cell))
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<cell>", "exec"), names)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
        if value is not None:
            print(repr(value))
    print("--- done ---", flush=True)
"""


@dataclass
class Reader:
    """Somebody who does what the page says."""

    folder: Path
    environment: dict[str, str]
    cells: subprocess.Popen[str] | None = field(default=None)

    def type_in(self, command: str) -> str:
        """Run a command in the shell; what it prints."""
        if command.startswith("sleep "):
            return self.wait_for_the_schedule(float(command.split()[1]))
        if os.environ.get("FLOW_OPERATOR_TUTORIAL") != "pip":
            for pip, uv in WITH_UV.items():
                command = command.replace(pip, uv)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"[ ! -f .venv/bin/activate ] || . .venv/bin/activate; {command}"],
            cwd=self.folder, env=self.environment, text=True, check=False, timeout=180,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == 0, f"$ {command}\n{done.stdout}"
        return done.stdout

    def wait_for_the_schedule(self, seconds: float) -> str:
        """Be as patient as the page asks, but no longer than it takes."""
        of = ("-n", NAMESPACE, "get", "flowruns", "-l", "flow-operator.io/deployment=squares", "-o", "name")
        eventually(lambda: kubectl(*of), bool, seconds, "a scheduled run", every=1)
        kubectl("-n", NAMESPACE, "wait", "--for=condition=Ready", kubectl(*of).split()[0], "--timeout=180s")
        return ""

    def run_cell(self, code: str) -> str:
        """Run a cell of the notebook; what it prints, and the value of its last line."""
        if self.cells is None:
            self.cells = subprocess.Popen(
                [self.folder / ".venv" / "bin" / "python", "-u", "-c", NOTEBOOK],
                cwd=self.folder, env=self.environment, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
        print(repr(code), file=_open(self.cells.stdin), flush=True)
        said: list[str] = []
        for line in _open(self.cells.stdout):
            if line == "--- done ---\n":
                return "".join(said)
            said.append(line)
        raise AssertionError(f"{code}\n{''.join(said)}")

    def write(self, code: str) -> None:
        """Write a file: the first line says which."""
        (self.folder / code.split("\n")[0].removeprefix("# ")).write_text(code)

    def close(self) -> None:
        """Close the notebook."""
        if self.cells is not None:
            self.cells.communicate(timeout=10)


def _open(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Return a reader with an empty folder, a home of their own, and the test cluster as the current one."""
    home = tmp_path / "home"
    folder = tmp_path / "tutorial"
    for each in (home, folder):
        each.mkdir()
    (home / "config").write_text(kubectl("config", "view", "--minify", "--flatten"))
    ours = ("PYTHON", "VIRTUAL_ENV", "UV_PYTHON", "FLOW_OPERATOR", "KUBECONFIG", "PYTEST")
    theirs = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    made = Reader(
        folder,
        {
            **theirs,
            "HOME": str(home),
            "KUBECONFIG": str(home / "config"),
            "FLOW_OPERATOR": str(ROOT),
            "UV_CACHE_DIR": theirs.get("UV_CACHE_DIR") or _uv_cache(),
            **{
                f"GIT_{who}_{what}": "tutorial@example.com"
                for who in ("AUTHOR", "COMMITTER")
                for what in ("NAME", "EMAIL")
            },
        },
    )
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")
    yield made
    made.close()
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")


def _uv_cache() -> str:
    return subprocess.run(["uv", "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()


def test_the_tutorial(reader: Reader) -> None:
    said = ""
    for language, text in BLOCK.findall(PAGE.read_text()):
        if language == "console":
            for command, expected in commands(text):
                said = reader.type_in(command)
                print(f"$ {command}\n{said}")
                compare(expected, said)
        elif language == "text":
            compare(text.splitlines(), said)
        elif re.match(r"# \w+\.py\n", text):
            reader.write(text)
        else:
            said = reader.run_cell(text)
            print(f">>> {text}\n{said}")


def commands(block: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a block, and the lines it is said to print."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        end = 1
        while lines[end - 1].endswith("\\"):
            end += 1
        yield "\n".join(lines[:end]), lines[end:]


def compare(expected: list[str], said: str) -> None:
    """Every line that is promised is there, in its order, whatever is between; `…` in a line is anything."""
    lines = [" ".join(each.split()) for each in expected if each.strip() not in ("", "…")]
    wanted = [re.escape(each).replace("…", ".*") for each in lines]
    pattern = r"\n(?:.*\n)*?".join(wanted)
    found = "\n".join(" ".join(each.split()) for each in said.splitlines())
    assert re.search(pattern, found), f"expected:\n{chr(10).join(expected)}\n\nsaid:\n{said}"
