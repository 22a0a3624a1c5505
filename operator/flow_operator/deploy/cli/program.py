"""The program: commands loaded when they are called, and errors as two lines on stderr."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import click

from . import trouble

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "kubectl flow"
COMMANDS = ("deploy", "render", "project", "run", "logs", "status", "suspend", "resume", "cancel", "rerun",
            "backfill", "explain", "completion")  # fmt: skip
DEBUG = "FLOW_OPERATOR_DEBUG"
EXIT_CODES = """\b
Exit codes: 0 done; 1 the run or the deployment failed; 2 no such option, file, name or parameter; 3 no cluster, or no
right to ask it; 124 timeout; 130 interrupted."""


class Commands(click.Group):
    """Commands that are imported when they are asked for."""

    def list_commands(self, _context: click.Context) -> list[str]:
        """Return their names, in the order of use."""
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """Import one."""
        if name not in COMMANDS:
            return None
        found = import_module(f".{name}", __package__).command
        assert isinstance(found, click.Command)  # noqa: S101 - ours
        return found

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is named, or say which was meant."""
        if arguments and arguments[0] not in COMMANDS:
            remedy = trouble.did_you_mean(arguments[0], COMMANDS)
            raise trouble.Trouble(f"There is no command {arguments[0]!r}.", remedy, trouble.USAGE)
        return super().resolve_command(context, arguments)


@click.group(
    cls=Commands, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(package_name="flow-operator", message="%(version)s")
def program() -> None:
    """Deploy Python flows, run them, and see what becomes of them."""


def run(arguments: Sequence[str]) -> int:
    """Do what the arguments say; the exit code."""
    if instruction := os.environ.get("_KUBECTL_FLOW_COMPLETE"):
        from .completion import answer_shell

        return answer_shell(instruction)
    try:
        code = program.main(list(arguments), prog_name=NAME, standalone_mode=False)
    except click.exceptions.Exit as done:
        return done.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return trouble.INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return trouble.OK
    except click.ClickException as error:
        _complain(_of_click(error))
        return trouble.USAGE
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - the reader has gone: nothing is left to flush to
        return trouble.OK
    except Exception as error:
        found = trouble.of(error)
        if found is None:
            if os.environ.get(DEBUG):
                raise
            said = f"Unexpected {type(error).__name__}: {error}"
            found = trouble.Trouble(said, f"This is a bug; please report it with what {DEBUG}=1 shows.")
        _complain(found)
        return found.code
    return code if isinstance(code, int) else trouble.OK


def _of_click(error: click.ClickException) -> trouble.Trouble:
    said = error.format_message()
    context = getattr(error, "ctx", None)
    command = context.command_path if context else NAME
    return trouble.Trouble(said[:1].upper() + said[1:], f"See {command} --help.", trouble.USAGE)


def _complain(found: trouble.Trouble) -> None:
    colours = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    click.echo((click.style("Error: ", fg="red") if colours else "Error: ") + found.message, err=True)
    if found.remedy:
        click.echo(found.remedy, err=True)
