"""How many workers: more at once, fewer late, never fewer blind."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from flow_operator.api.flow_deployment import DaskKubernetesEnvironment
from flow_operator.plan.scaling import FRESH, SILENCE, Scale, scale
from flow_operator.plan.types import Heard
from tests.support import makers as m

BOUNDS = DaskKubernetesEnvironment(min_workers=1, max_workers=4)
FROM_ZERO = DaskKubernetesEnvironment(min_workers=0, max_workers=4)


def heard(target: int | None = None, most: int | None = None, ago: float = 0.5, **more: Any) -> Heard:
    at = m.NOW - timedelta(seconds=ago)
    return Heard(since=at - timedelta(seconds=60), at=at, target=target, most_wanted=most, **more)


@pytest.mark.parametrize(
    ("starting", "working", "said", "expected"),
    [
        (0, 1, heard(4), Scale(make=3)),  # a burst: all at once
        (0, 1, heard(400), Scale(make=3)),  # never more than the most
        (3, 1, heard(4), Scale()),  # those that are starting count
        (1, 1, heard(4), Scale(make=2)),
        (0, 4, heard(1), Scale()),  # wants fewer, not for long
        (0, 4, heard(1, most=4), Scale()),  # wanted four a moment ago
        (0, 4, heard(1, most=2), Scale(retire=2)),  # and has not wanted more than two for the whole window
        (0, 4, heard(0, most=0), Scale(retire=3)),  # never fewer than the least
        (2, 2, heard(1, most=1), Scale(drop=2, retire=1)),  # nothing is on those that never came
        (0, 4, heard(3, most=1), Scale(retire=1)),  # the latest word is not undercut
        (0, 4, heard(1, most=1, ago=FRESH + 1), Scale()),  # blind
        (0, 4, None, Scale()),
        (0, 0, None, Scale(make=1)),  # one was lost: the least are there whatever is heard
        (0, 0, heard(ago=60), Scale(make=1)),
        (0, 5, heard(5, most=5), Scale(retire=1)),
    ],
)
def test_bounds(starting: int, working: int, said: Heard | None, expected: Scale) -> None:
    assert scale(BOUNDS, starting, working, said, m.NOW) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (None, Scale()),
        (heard(0), Scale()),
        (heard(1), Scale(make=1)),
        (heard(ago=SILENCE - 1), Scale()),
        (heard(ago=SILENCE + 1), Scale(make=1)),  # nobody hears whether it waits for one
        (Heard(since=m.NOW - timedelta(seconds=SILENCE + 1)), Scale(make=1)),
        (Heard(since=m.NOW), Scale()),
    ],
)
def test_from_none(said: Heard | None, expected: Scale) -> None:
    assert scale(FROM_ZERO, 0, 0, said, m.NOW) == expected


def test_all_may_go_where_none_need_stay() -> None:
    assert scale(FROM_ZERO, 0, 3, heard(0, most=0), m.NOW) == Scale(retire=3)


def test_a_fixed_number_is_kept_without_a_word() -> None:
    fixed = DaskKubernetesEnvironment(min_workers=3, max_workers=3)
    assert scale(fixed, 0, 2, heard(), m.NOW) == Scale(make=1)
    assert scale(fixed, 1, 2, heard(), m.NOW) == Scale()
