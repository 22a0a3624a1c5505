"""runner/hooks.py cannot import api/wire.py, so it repeats it."""

from __future__ import annotations

import pytest

from flow_operator.api import wire
from flow_operator.runner import hooks


@pytest.mark.parametrize(
    "name", ["RUN_ENV", "HOOKS_DIR", "TERMINATION_LOG", "MESSAGE_LIMIT", "OUTCOME_ENV", "EXIT_CODE_ENV", "REASON_ENV"]
)
def test_they_are_equal(name: str) -> None:
    assert getattr(hooks, name) == getattr(wire, name)


def test_the_program_is_where_the_pod_looks_for_it() -> None:
    assert hooks.__file__.endswith(wire.HOOKS_PROGRAM.removeprefix(wire.LIB_DIR))
