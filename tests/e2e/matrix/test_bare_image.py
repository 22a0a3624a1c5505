"""Callbacks in an image whose user is root and which has no shell, only Python."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.e2e.matrix.cells import BOTH, ENDS, START_FAILS, Cell
from tests.e2e.matrix.play import Played, play
from tests.support import lives

if TYPE_CHECKING:
    from tests.support.cluster import Namespace

IMAGE = "localhost:5001/e2e-bare:1"
REMOVE = "import os, glob; [os.remove(each) for each in glob.glob('/bin/*sh')]"
DOCKERFILE = f'FROM %s\nUSER root\nRUN ["python3", "-c", "{REMOVE}"]\n'
ENDED = {end.title: end for end in ENDS}
CELLS = (
    Cell(ENDED["exit code 0"], BOTH),
    Cell(ENDED["exception"], START_FAILS),
    Cell(ENDED["SIGKILL of the flow"], BOTH),
    Cell(ENDED["cancel: Graceful"], BOTH),
)


@pytest.fixture(scope="module")
def played(namespace: Namespace, images: dict[str, str]) -> dict[Cell, Played]:
    build = ["docker", "build", "-q", "-t", IMAGE, "-"]
    subprocess.run(build, input=DOCKERFILE % images["runtime"], text=True, check=True, capture_output=True)
    subprocess.run(["docker", "push", "-q", IMAGE], check=True, capture_output=True)
    lives.start(namespace, images["runtime"])
    for each in (BOTH, START_FAILS):
        namespace.apply(each.deployment(storage={"docker": {"baseImage": IMAGE, "imageName": "e2e-bare-flow"}}))
        namespace.wait_ready(each.name)
    return play(namespace, CELLS, within=300)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_the_promise_is_kept_without_a_shell(cell: Cell, played: dict[Cell, Played]) -> None:
    assert not played[cell].broken(), played[cell]
