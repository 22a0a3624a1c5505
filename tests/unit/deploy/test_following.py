"""Logs that break off while they are followed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from flow_operator.deploy.cli import following
from flow_operator.kube.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

POD = {
    "metadata": {"name": "pod", "uid": "1"},
    "status": {"containerStatuses": [{"name": "main", "state": {"running": {}}}]},
}


class Breaking:
    """An API whose logs break off after a line, so many times."""

    def __init__(self, breaks: int, lines: int) -> None:
        self.breaks, self.lines = breaks, lines
        self.since: list[int | None] = []

    async def logs(self, *_: str, follow: bool, since: int | None) -> AsyncIterator[str]:
        """Yield a line."""
        assert follow
        self.since.append(since)
        if len(self.since) <= self.lines:
            yield f"line {len(self.since)}"
        if len(self.since) <= self.breaks:
            raise Unavailable("Connection reset by peer")


def shown(api: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Return what is shown of a followed log."""
    monkeypatch.setattr(following, "PAUSE", 0.0)
    said: list[tuple[str, str]] = []
    logs = following.Logs(api, "team-a", "", lambda source, line: said.append((source, line)))
    asyncio.run(logs._copy(POD, "main", follow=True))
    return said


def test_a_log_that_breaks_off_is_read_again_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Breaking(breaks=1, lines=2)
    assert shown(api, monkeypatch) == [
        ("flow", "line 1"),
        ("logs", "the log of pod broke off and is read again; its last lines may come twice"),
        ("flow", "line 2"),
    ]
    assert api.since == [None, following.MARGIN]


def test_a_log_that_is_not_to_be_had_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Breaking(breaks=99, lines=0)
    assert shown(api, monkeypatch) == [("logs", "cannot be shown: Connection reset by peer")]
    assert api.since == [None] * (following.RETRIES + 1)
