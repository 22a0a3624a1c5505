"""The reference in docs/cli.md: `python3 -m flow_operator.deploy.cli.reference FILE` writes it between its markers."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .program import NAME, program

if TYPE_CHECKING:
    from collections.abc import Iterator

BEGIN = "<!-- written by hack/generate: begin -->"
END = "<!-- written by hack/generate: end -->"
SHARED = ("context", "namespace", "kubeconfig", "output", "quiet", "no_color")


def reference() -> str:
    """Return the reference of all commands as Markdown."""
    context = click.Context(program, info_name=NAME)
    commands = [*_commands(program, context)]
    shared: dict[str | None, click.Parameter] = {}
    for each in (parameter for _, command in commands for parameter in command.params):
        shared.setdefault(each.name, each)
    parts = [_section(path, command) for path, command in commands]
    parts.append("### Options that commands share\n\n" + _table([shared[name] for name in SHARED]))
    return "\n\n".join(parts) + "\n"


def replaced(page: str) -> str:
    """Return a page with the reference between its markers."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"


def _commands(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            for path, each in _commands(command, click.Context(command, parent=context, info_name=name)):
                yield f"{name} {path}", each
        elif command is not None:
            yield name, command


def _section(path: str, command: click.Command) -> str:
    arguments = " ".join(_argument(each) for each in command.params if isinstance(each, click.Argument))
    options = [each for each in command.params if isinstance(each, click.Option) and each.name not in SHARED]
    shared = [each for each in command.params if each.name in SHARED]
    parts = [f"### `{NAME} {path}{f' {arguments}' if arguments else ''}`", _text(command)]
    if options:
        parts.append(_table(options))
    if shared:
        also = ", ".join(f"`{max(each.opts, key=len)}`" for each in shared)
        parts.append(f"{'And' if options else 'Options:'} {also}: [below](#options-that-commands-share).")
    return "\n\n".join(parts)


def _argument(argument: click.Argument) -> str:
    name = argument.metavar or (argument.name or "").upper()
    return name if argument.required else f"[{name}]"


def _text(command: click.Command) -> str:
    """A command's help: paragraphs, and blocks that keep their lines."""
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    return "\n\n".join(_block(each) if each.startswith("\b\n") else each for each in paragraphs)


def _block(paragraph: str) -> str:
    return f"```\n{paragraph.removeprefix(chr(8)).strip()}\n```"


def _table(options: list[click.Parameter] | list[click.Option]) -> str:
    rows = [_row(each) for each in options if isinstance(each, click.Option)]
    return "\n".join(("| Option | Meaning |", "|---|---|", *rows))


def _row(option: click.Option) -> str:
    takes = "" if option.is_flag else f" {option.metavar or _choices(option)}"
    names = ", ".join(f"`{each}{takes}`" for each in (*option.opts, *option.secondary_opts)).replace("|", "\\|")
    default = f" Default: `{option.default}`." if option.show_default and not option.is_flag else ""
    return f"| {names} | {(option.help or '').replace('|', chr(92) + '|')}{default} |"


def _choices(option: click.Option) -> str:
    kind = option.type
    return "|".join(map(str, kind.choices)) if isinstance(kind, click.Choice) else kind.name.upper()


def main(file: str) -> None:
    """Write the reference into a page."""
    page = Path(file)
    page.write_text(replaced(page.read_text()))


if __name__ == "__main__":
    main(sys.argv[1])
