"""Every end of a run that leaves the nodes alone, with every kind of callbacks, all at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.matrix.cells import ATTEMPTS, ENDS, VARIANTS, Cell, cells
from tests.e2e.matrix.play import Played, chosen, play
from tests.support import lives

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.cluster import Namespace

pytestmark = pytest.mark.alone  # sixty runs at once leave little of two cores

CELLS = cells(*ENDS, *ATTEMPTS)


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest, namespace: Namespace, images: dict[str, str]) -> dict[Cell, Played]:
    lives.start(namespace, images["runtime"])
    namespace.apply(*(each.deployment() for each in VARIANTS))
    for each in VARIANTS:
        namespace.wait_ready(each.name)
    return play(namespace, chosen(request, CELLS), within=420)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_the_promise_is_kept(cell: Cell, played: dict[Cell, Played], in_matrix: Callable[[Played], None]) -> None:
    in_matrix(played[cell])
