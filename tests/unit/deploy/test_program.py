"""The program around the commands: help, errors, exit codes, and how little it loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

from flow_operator.deploy.cli import options
from flow_operator.deploy.cli.program import COMMANDS, program
from flow_operator.deploy.cli.trouble import did_you_mean

if TYPE_CHECKING:
    from tests.support.api_server import ApiServer
    from tests.unit.deploy.conftest import Call

ROOM = Path(__file__).parents[3] / "operator"


def test_help_names_every_command_and_the_exit_codes(kubectl_flow: Call) -> None:
    for arguments in ((), ("--help",)):
        said = kubectl_flow(*arguments)
        assert said.code == 0
        assert all(f"  {name} " in said.out for name in COMMANDS)
        assert "124 timeout" in said.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_in_lines_that_are_not_cut(name: str) -> None:
    found = program.get_command(click.Context(program), name)
    assert found is not None
    assert found.help
    assert "..." not in found.get_short_help_str(60)
    for each in found.params:
        if isinstance(each, click.Option):
            assert each.help, each.name


def test_help_loads_nothing_heavy() -> None:
    code = "import sys\nfrom flow_operator.deploy.cli.program import run\nrun(['--help'])\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(ROOM)}, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert not loaded & {"asyncio", "kubernetes", "pydantic", "rich", "yaml", "docker", "kopf", "dask", "httpx"}


@pytest.mark.parametrize(
    ("arguments", "code", "what", "remedy"),
    [
        (["rum"], 2, "There is no command 'rum'.", "Did you mean run or resume?"),
        (["run"], 2, "Missing argument 'NAME'.", "See kubectl flow run --help."),
        (["run", "x", "-p", "n"], 2, "'n' has no name and value", "See kubectl flow run --help."),
        (["run", "x", "-p", "n=1", "-p", "n=2"], 2, "Parameter 'n' is given twice", "--help"),
        (["run", "x", "--timeout", "soon"], 2, "'soon' is no duration", "--help"),
        (["run", "x", "--timeout", "0"], 2, "'0' is no time to wait", "--help"),
        (["deploy", "x.py", "--timeout", "0.0s"], 2, "'0.0s' is no time to wait", "--help"),
        (["status", "-o", "xml"], 2, "'xml' is not one of", "--help"),
        (["status"], 3, "There is no kubeconfig at", "--kubeconfig"),
        (["logs", "x", "--context", "other"], 3, "There is no kubeconfig at", "--context"),
    ],
)
def test_an_error_is_a_line_and_a_remedy_on_stderr(
    kubectl_flow: Call, arguments: list[str], code: int, what: str, remedy: str
) -> None:
    said = kubectl_flow(*arguments)
    assert (said.code, said.out) == (code, "")
    lines = said.err.strip().splitlines()
    assert len(lines) == 2
    assert what in lines[0]
    assert lines[0].startswith("Error: ")
    assert remedy in lines[1]


def test_a_cluster_that_does_not_answer(
    kubectl_flow: Call, server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "elsewhere"
    file.write_text(Path(tmp_path / "kubeconfig").read_text().replace(server.url, "http://127.0.0.1:9"))
    said = kubectl_flow("status", "--kubeconfig", str(file))
    assert said.code == 3
    assert "Error: The cluster does not answer:" in said.err
    assert "kubectl cluster-info" in said.err
    assert "secret-token" not in said.err


def test_a_cluster_without_our_kinds(kubectl_flow: Call, server: ApiServer) -> None:
    server.unknown |= {"flowruns", "flowdeployments"}
    for arguments in (["status"], ["explain", "x"], ["run", "x"], ["cancel", "x"]):
        said = kubectl_flow(*arguments)
        assert said.code == 3
        assert "their CRDs are not installed" in said.err


def test_a_person_who_may_not(kubectl_flow: Call, server: ApiServer) -> None:
    server.forbidden.add(("GET", "flowdeployments"))
    said = kubectl_flow("run", "squares")
    assert said.code == 3
    assert 'You may not do this: flowdeployments is forbidden: User "me" cannot get' in said.err
    assert "Ask for a role" in said.err


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10", 10), ("1.5", 1.5), ("true", True), ("null", None), ("[1, 2]", [1, 2]), ('{"a": 1}', {"a": 1}),
        ('"10"', "10"), ("Ada", "Ada"), ("007", "007"), ("", ""), ("a=b", "a=b"), ("NaN", "NaN"),
        ("-Infinity", "-Infinity"), ("2026-11-25", "2026-11-25"), ("ä b", "ä b"),
    ],
)  # fmt: skip
def test_a_value_is_json_or_text(text: str, value: Any) -> None:
    assert options.json_or_text(text) == value


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("1.5", 1.5), ("90s", 90), ("5m", 300), ("1h30m", 5400)])
def test_durations(text: str, seconds: float) -> None:
    assert options.Duration().convert(text, None, None) == seconds


def test_did_you_mean() -> None:
    assert did_you_mean("squars", ["squares", "cubes"]) == "Did you mean squares?"
    assert did_you_mean("x", ["squares", "cubes"]) == "There are: cubes, squares."
    assert did_you_mean("x", []) == ""
    assert did_you_mean("x", map(str, range(100, 120))).endswith(", ….")
