"""How much memory the container has used at one time, and whom that cost, as the kernel counts it against the limit."""

# ruff: noqa: PTH123 - pathlib costs start-up, which every run pays

from __future__ import annotations

import os

from flow_operator.api import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

# cgroup v2 (Linux 5.19 and newer), then v1; a container sees its own at the root.
FILES = ("/sys/fs/cgroup/memory.peak", "/sys/fs/cgroup/memory/memory.max_usage_in_bytes")
KILLS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")


def peak() -> int | None:
    """Bytes, the file cache included; None where the kernel does not say, and outside a pod."""
    return _first(FILES, lambda file: int(file.read()))


def kills() -> int | None:
    """How many processes of the container were killed for memory; None where the kernel does not say."""
    return _first(KILLS, lambda file: next(int(line.split()[1]) for line in file if line.startswith("oom_kill ")))


def _first(files: tuple[str, ...], number: Callable[[TextIO], int]) -> int | None:
    if os.environ.get(wire.HERE_ENV):
        return None
    for each in files:
        try:
            with open(each, encoding="ascii") as file:
                return number(file)
        except (OSError, ValueError, StopIteration):
            continue
    return None


def report() -> wire.RunReport:
    """As a part of a report."""
    found = peak()
    return {} if found is None else {"peakMemoryBytes": found}
