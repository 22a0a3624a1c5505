"""docs/cli.md: its reference is what the commands say, and its exit codes are those of the program."""

from __future__ import annotations

import re
from pathlib import Path

from flow_operator.deploy.cli import reference, trouble
from flow_operator.deploy.cli.program import COMMANDS

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_reference_is_written_from_the_commands() -> None:
    page = PAGE.read_text()
    assert reference.replaced(page) == page, "run make generate"
    for name in COMMANDS:
        assert f"### `kubectl flow {name}" in page


def test_the_exit_codes_are_those_of_the_program() -> None:
    table = re.findall(r"^\| (\d+) \| ", PAGE.read_text(), re.MULTILINE)
    codes = (trouble.OK, trouble.FAILED, trouble.USAGE, trouble.UNREACHABLE, trouble.TIMEOUT, trouble.INTERRUPTED)
    assert tuple(map(int, table)) == codes
