"""Where everything is shown: rich on a terminal, plain text in a pipe, JSON or YAML for machines."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

Manifest = dict[str, Any]

COLOURS = {
    "True": "green", "Ready": "green", "Succeeded": "green",
    "False": "red", "Failed": "red", "Cancelled": "magenta",
    "Running": "cyan", "SettingUp": "yellow", "Pending": "yellow", "Finishing": "cyan", "Unknown": "yellow",
    "Retrying": "yellow", "Suspended": "yellow",
}  # fmt: skip


@dataclass(frozen=True)
class Screen:
    """How a command shows what it has to say: answers on stdout, the rest on stderr."""

    format: str = "text"
    quiet: bool = False
    color: bool = False
    terminal: bool = False  # both streams: then lines may move

    @classmethod
    def of(cls, output: str, *, quiet: bool, no_color: bool) -> Screen:
        """Look at the streams."""
        terminal = sys.stdout.isatty() and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        return cls(output, quiet, terminal and not no_color and not os.environ.get("NO_COLOR"), terminal)

    @property
    def machine(self) -> bool:
        """Whether a program reads stdout."""
        return self.format != "text"

    def say(self, text: str) -> None:
        """Tell a person on the way: stderr."""
        if not self.quiet:
            click.echo(text, err=True)

    def warn(self, text: str) -> None:
        """Tell a person what to think about: stderr, always."""
        click.echo(click.style("Warning: ", fg="yellow") + text if self.color else f"Warning: {text}", err=True)

    def answer(self, text: str = "") -> None:
        """Show a line of the answer."""
        click.echo(text)

    def document(self, manifest: Any, names: Iterable[str] = ()) -> None:
        """Show a document as a machine wants it."""
        if self.format == "name":
            for each in names:
                click.echo(each)
        elif self.format == "yaml":
            from ..written import as_yaml

            click.echo(as_yaml(manifest), nl=False)
        else:
            click.echo(json.dumps(manifest, indent=2, ensure_ascii=False))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show rows: coloured on a terminal, aligned as kubectl does in a pipe."""
        if self.terminal:
            self._rich_table(columns, rows)
            return
        widths = [max(len(row[place]) for row in (columns, *rows)) for place in range(len(columns))]
        for row in (columns, *rows):
            click.echo("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def facts(self, facts: Iterable[tuple[str, str]]) -> None:
        """Show what is known about one object, a line each."""
        there = [(name, text) for name, text in facts if text]
        width = max((len(name) for name, _ in there), default=0)
        for name, text in there:
            first, *more = text.splitlines()
            label = click.style(name.ljust(width), dim=True) if self.color else name.ljust(width)
            click.echo(f"  {label}  {self.paint(first)}")
            for line in more:
                click.echo(f"  {' ' * width}  {line}")

    def success(self, took: str, status: Manifest) -> None:
        """Show that a flow succeeded, and its result; quietly, the result alone."""
        result = one_line(status["result"], 2000) if "result" in status else status.get("resultOmitted", "")
        if self.quiet:
            self.answer(result)
        else:
            self.answer(self.paint(f"Succeeded in {took}") + (f": {result}" if result else ""))

    def paint(self, text: str) -> str:
        """Colour a text by its first word, on a terminal."""
        colour = COLOURS.get(text.split(" ", 1)[0].rstrip(":.,"))
        return click.style(text, fg=colour) if self.color and colour else text

    def console(self) -> Console:
        """Return rich's console on stdout."""
        from rich.console import Console

        return Console(no_color=not self.color, highlight=False, soft_wrap=True)

    def _rich_table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        from rich.table import Table
        from rich.text import Text

        table = Table(*columns, box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0))
        for row in rows:
            table.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in row))
        self.console().print(table)


def one_line(value: Any, limit: int = 60) -> str:
    """Return a JSON value for a cell of a table."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
