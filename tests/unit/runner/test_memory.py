"""What the kernel counts, from files as it writes them."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from flow_operator.runner import memory, supervisor

if TYPE_CHECKING:
    from pathlib import Path

V1 = "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"
V2 = "low 0\nhigh 0\nmax 12\noom 3\noom_kill {}\noom_group_kill 0\n"


@pytest.fixture(params=[(V1, 1), (V2, 0)], ids=["v1", "v2"])
def kernel(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    """Return the file of one version, and how it is written; that of the other is not there."""
    text, place = request.param
    files = [tmp_path / "v2", tmp_path / "v1"]
    monkeypatch.setattr(memory, "KILLS", tuple(map(str, files)))
    return files[place], text


def test_kills_are_counted(kernel: tuple[Path, str]) -> None:
    file, text = kernel
    assert memory.kills() is None
    file.write_text(text.format(2))
    assert memory.kills() == 2


@pytest.mark.parametrize("text", ["", "oom 3\n", "oom_kill many\n", "oom_kill\n"])
def test_a_kernel_that_does_not_count_is_not_asked_again(kernel: tuple[Path, str], text: str) -> None:
    file, _ = kernel
    file.write_text(text)
    assert memory.kills() is None


@pytest.mark.parametrize(
    ("code", "before", "now", "told"),
    [
        (-signal.SIGKILL, 0, 1, True),
        (-signal.SIGKILL, 1, 1, False),  # that one was of an earlier process, and somebody else has killed the flow
        (-signal.SIGSEGV, 0, 1, False),
        (-signal.SIGKILL, None, 1, False),
    ],
)
def test_a_flow_is_out_of_memory_when_the_kernel_has_killed_more_than_before(
    kernel: tuple[Path, str], code: int, before: int | None, now: int, told: bool
) -> None:
    file, text = kernel
    file.write_text(text.format(now))
    assert supervisor._killed(code, before).get("outOfMemory", False) is told
