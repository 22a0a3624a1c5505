"""How a run that is watched is shown: lines that come when something changes, and on a terminal one that moves."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ...plan.conditions import find

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.status import Status

    from .output import Screen

Manifest = dict[str, Any]
LOG_COLOURS = ("cyan", "magenta", "blue", "yellow", "green")


class Progress:
    """Lines, each once."""

    def __init__(self, screen: Screen, moving: Status | None = None) -> None:
        self._screen = screen
        self._moving = moving
        self._said = ""
        self._colours: dict[str, str] = {}

    def run(self, run: Manifest) -> None:
        """Show how a run is now."""
        text = line_of(run)
        if text == self._said:
            return
        self._said = text
        if self._moving is None:
            self._screen.say(self._screen.paint(text))
        else:
            self._moving.update(text)
            self._above(self._screen.paint(text))

    def log(self, source: str, line: str) -> None:
        """Show a line of a log; on stdout, unless a machine reads there."""
        prefix = f"[{source}] "
        if self._screen.color:
            colour = self._colours.setdefault(source, LOG_COLOURS[len(self._colours) % len(LOG_COLOURS)])
            prefix = click.style(prefix, fg=colour)
        if self._moving is None:
            click.echo(f"{prefix}{line}", err=self._screen.machine)
        else:
            self._above(f"{prefix}{line}")

    def _above(self, text: str) -> None:
        """Put a line above the one that moves, which only rich knows how to do."""
        from rich.text import Text

        if self._moving is not None:
            self._moving.console.print(Text.from_ansi(text))


@contextmanager
def shown(screen: Screen) -> Iterator[Progress]:
    """Show progress for the length of a block."""
    if not screen.terminal or screen.quiet or screen.machine:
        yield Progress(screen)
        return
    with screen.console().status("Waiting for the operator", spinner="dots") as moving:
        yield Progress(screen, moving)


def line_of(run: Manifest) -> str:
    """Return one line that changes when a person would want to know."""
    status = run.get("status") or {}
    phase = status.get("phase") or "Pending"
    parts = [phase]
    if (workers := status.get("workers")) and phase == "Running":
        parts.append(f"{workers.get('ready', 0)} of {workers.get('desired', 0)} Dask workers")
    if status.get("attempt", 0) > 1 and phase not in ("Suspended", "Retrying"):
        parts.append(f"attempt {status['attempt']}")
    ready = find(status, "Ready")
    if phase == "Retrying" and ready:
        parts.append(ready["message"])
    elif (why := status.get("diagnosis")) and phase not in ("Failed", "Cancelled"):
        parts.append(f"{why['reason']}: {why['message']}")
    return "  ".join(parts)
