"""The matrix of ends: what docs/ shows is what its tests expect, and its judge sees what it is there for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.matrix.cells import ALL_ENDS, BOTH, VARIANTS, Cell, cells, markdown
from tests.e2e.matrix.play import PROVOKE
from tests.support.lives import Life, broken_promises

PAGE = Path(__file__).parents[2] / "docs" / "callbacks-matrix.md"
COUNTS = {"on_start": range(1, 2), "flow": range(1, 2), "on_exit": range(1, 2)}


def life(
    what: str, began: float, ended: float | None, *, last: float = 0, attempt: int = 1, failed: bool = False
) -> Life:
    told = {"HOOK_KEY": f"uid/{attempt}/{what}"}
    last = ended or last
    return Life(what, "run", "uid", attempt, f"pod-{attempt}", began, last, ended, failed=failed, told=told)


START, FLOW, EXIT = life("on_start", 1, 2), life("flow", 3, 4), life("on_exit", 5, 6)


def test_docs_show_the_matrix() -> None:
    _, _, rest = PAGE.read_text().partition("<!-- table: matrix -->\n")
    assert rest.partition("\n\n")[0] + "\n" == markdown(lambda cell: cell.expected.words)


def test_cells_have_names_of_their_own_and_provocations_that_exist() -> None:
    names = [cell.name for cell in cells(*ALL_ENDS)]
    assert len(names) == len(set(names)) == len(set(cells(*ALL_ENDS)))
    assert {end.provoke for end in ALL_ENDS} - {""} <= set(PROVOKE)
    assert all(len(name) <= 52 for name in names), "the name of a FlowRun"


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_flows_of_the_matrix_are_python(variant: object) -> None:
    for each in VARIANTS:
        compile(each.source(), each.name, "exec")


def test_promises_that_are_kept() -> None:
    assert broken_promises([START, FLOW, EXIT], COUNTS) == []
    again = [life(each.what, each.began + 10, 12 + each.began, attempt=2) for each in (START, FLOW, EXIT)]
    assert broken_promises([START, FLOW, EXIT, again[0]], {**COUNTS, "flow": range(2), "on_exit": range(2)}) == []


@pytest.mark.parametrize(
    ("lives", "said"),
    [
        ([FLOW, EXIT], "on_start began 0 times in attempt 1, not 1"),
        ([START, FLOW], "on_exit began 0 times in attempt 1, not 1"),
        ([START, FLOW, EXIT, replace(EXIT, began=7, last=8)], "on_exit began 2 times"),
        ([START, FLOW, replace(FLOW, began=4.5, last=4.6), EXIT], "flow began 2 times"),
        ([START, replace(FLOW, last=5.001), EXIT], "came before the flow's end"),
        ([START, replace(FLOW, attempt=2), EXIT], "began after"),
        ([replace(START, ended=None), FLOW, EXIT], "before on_start had ended"),
        ([replace(START, ended=3.5, last=3.5), FLOW, EXIT], "before on_start had ended"),
        ([replace(START, failed=True), FLOW, EXIT], "although on_start had failed"),
        ([START, FLOW, replace(EXIT, seen=3.9, seen_last=4.0)], "saw the flow live on"),
        ([START, FLOW, replace(EXIT, told={"HOOK_KEY": "uid/2/on_exit"})], "has the key uid/2/on_exit"),
        (
            [START, FLOW, replace(EXIT, last=12), life("on_start", 11, 12, attempt=2)],
            "1.000 s before the end of on_exit",
        ),
    ],
)
def test_promises_that_are_not(lives: list[Life], said: str) -> None:
    assert any(said in text for text in broken_promises(lives, COUNTS)), broken_promises(lives, COUNTS)


def test_a_killed_on_start_owes_on_exit_and_a_failed_one_does_not() -> None:
    by_title = {end.title: end for end in ALL_ENDS}
    start_fails = next(each for each in VARIANTS if each.start_fails)
    assert 0 not in Cell(by_title["cancel: Now"], start_fails).expected.on_exit
    assert list(Cell(by_title["exit code 0"], start_fails).expected.on_exit) == [0]
    assert list(Cell(by_title["exit code 0"], BOTH).expected.on_exit) == [1]
