"""Logs whose stream ends or breaks off while they are followed: every line once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from flow_operator.deploy.cli import following
from flow_operator.kube.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Manifest = dict[str, Any]


def pod(state: str = "running", restarts: int = 0, uid: str = "1") -> Manifest:
    status = {"name": "main", "restartCount": restarts, "state": {state: {}}}
    return {"metadata": {"name": "pod", "uid": uid}, "status": {"containerStatuses": [status]}}


@dataclass
class Kubelet:
    """A log of which each stream tells a part, from the second it is asked for on, and then ends or breaks off."""

    lines: list[str]  # all there will ever be, with their times
    streams: list[tuple[int, str]]  # how many of the lines are there when each stream is over, and how it ends
    pods: list[Manifest] = field(default_factory=lambda: [pod()])  # what is answered one after the other
    since: list[str] = field(default_factory=list)

    async def logs(self, *_: str, follow: bool, since: str) -> AsyncIterator[str]:
        self.since.append(since)
        there, how = self.streams.pop(0)
        for line in self.lines[:there]:
            if line[:19] >= since[:19]:
                yield line
        if how == "breaks":
            raise Unavailable("Connection reset by peer")

    async def get(self, *_: str) -> Manifest:
        found = self.pods.pop(0) if len(self.pods) > 1 else self.pods[0]
        if not found:
            raise NotFound('pods "pod" not found')
        return found


LINES = [
    "2026-11-23T12:00:00.000000001Z one",
    "2026-11-23T12:00:00.000000001Z two",
    "2026-11-23T12:00:00.500000000Z three",
    "2026-11-23T12:00:01.000000000Z four",
]
ALL = [("flow", word) for word in ("one", "two", "three", "four")]


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch) -> Any:
    def follow(kubelet: Any) -> list[tuple[str, str]]:
        monkeypatch.setattr(following, "PAUSE", 0.0)
        said: list[tuple[str, str]] = []
        logs = following.Logs(kubelet, "team-a", "", lambda source, line: said.append((source, line)))
        asyncio.run(asyncio.wait_for(logs._copy(pod(), "main", 0, follow=True), 5))
        return said

    return follow


@pytest.mark.parametrize("how", ["breaks", "ends"])
@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_a_stream_that_is_over_too_early_goes_on_at_its_place(followed: Any, how: str, after: int) -> None:
    kubelet = Kubelet(LINES, [(after, how), (4, "ends"), (4, "ends")], [pod(), pod("terminated")])
    if how == "breaks":
        kubelet.pods = [pod("terminated")]
    assert followed(kubelet) == ALL
    assert kubelet.since[0] == ""
    assert kubelet.since[1] == LINES[after - 1].partition(" ")[0]


def test_what_was_printed_while_the_stream_was_away_is_read_after_the_end(followed: Any) -> None:
    kubelet = Kubelet(LINES, [(2, "ends"), (4, "ends")], [pod("terminated")])
    assert followed(kubelet) == ALL


@pytest.mark.parametrize("later", [pod(restarts=1), pod(uid="2"), {}])
def test_another_container_s_log_is_not_this_one_s(followed: Any, later: Manifest) -> None:
    kubelet = Kubelet(LINES, [(4, "ends"), (4, "ends")], [later])
    assert followed(kubelet) == ALL


def test_a_log_that_is_not_to_be_had_is_said_once(followed: Any) -> None:
    kubelet = Kubelet([], [(0, "breaks")] * 99)
    assert followed(kubelet) == [("logs", "cannot be shown: Connection reset by peer")]
    assert kubelet.since == [""] * (following.RETRIES + 1)


def test_a_word_of_the_kubelet_s_own_is_shown_as_it_is(followed: Any) -> None:
    said = "unable to retrieve container logs for containerd://…"
    kubelet = Kubelet([said], [(1, "ends"), (0, "ends")], [pod("terminated")])
    assert followed(kubelet) == [("flow", said)]
