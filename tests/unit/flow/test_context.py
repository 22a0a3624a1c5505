"""What a flow may ask about its run."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from flow_operator import context
from flow_operator.api.wire import SCHEDULED_TIME_ENV


def test_a_flow_knows_its_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SCHEDULED_TIME_ENV, "2026-03-01T05:00:00Z")
    assert context.scheduled_time() == datetime(2026, 3, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize("unset", [None, ""])
def test_there_is_none_where_no_schedule_started_it(monkeypatch: pytest.MonkeyPatch, unset: str | None) -> None:
    monkeypatch.delenv(SCHEDULED_TIME_ENV, raising=False)
    if unset is not None:
        monkeypatch.setenv(SCHEDULED_TIME_ENV, unset)
    assert context.scheduled_time() is None
