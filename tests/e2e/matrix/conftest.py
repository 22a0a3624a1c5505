"""Prints the matrix at the end, from what the tests of its cells have found."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.e2e.matrix.cells import VARIANTS, markdown

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.matrix.cells import Cell
    from tests.e2e.matrix.play import Played

PROPERTY = "matrix"


@pytest.fixture
def in_matrix(record_property: Callable[[str, object], None]) -> Callable[[Played], None]:
    """Return a function that writes a cell down and fails where a promise of it was not kept."""

    def write(played: Played) -> None:
        broken = played.broken()
        record_property(PROPERTY, (played.cell.name, ("BROKEN " if broken else "") + played.words))
        status = json.dumps((played.run or {}).get("status"), indent=1)
        told = "\n".join(map(str, played.lives))
        assert not broken, "\n".join([*broken, f"expected {played.cell.expected.words}", told, status])

    return write


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [each for found in terminalreporter.stats.values() for each in found if hasattr(each, "user_properties")]
    seen = dict(value for each in reports for name, value in each.user_properties if name == PROPERTY)
    if not seen:
        return
    terminalreporter.section("how runs end: on_start · flow · on_exit, as they say themselves; reason in status")

    def word(cell: Cell) -> str:
        return str(seen.get(cell.name, "not tested"))

    rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in markdown(word).splitlines()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in (rows[0], *rows[2:]):
        terminalreporter.write_line("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)))
    assert len(rows[0]) == 1 + len(VARIANTS)
