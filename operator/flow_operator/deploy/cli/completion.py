"""`kubectl flow completion SHELL`, and what kubectl itself asks of a plug-in for its own completion."""

from __future__ import annotations

import os
import sys

import click

SHELLS = ("bash", "zsh", "fish")
DIRECT = "kubectl-flow"
VARIABLE = "_KUBECTL_FLOW_COMPLETE"
NO_FILES, FILES = 4, 0  # cobra's words for kubectl: do not complete files, or do


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> int:
    """Print a completion script.

    \b
    bash: source <(kubectl flow completion bash)
    zsh:  source <(kubectl flow completion zsh)
    fish: kubectl flow completion fish | source

    It completes `kubectl-flow`. For `kubectl flow`, kubectl's own completion is enough: it asks the program
    kubectl_complete-flow, which is installed with this one.
    """
    from click.shell_completion import get_completion_class

    from .program import program

    kind = get_completion_class(shell)
    assert kind is not None, "one of SHELLS"  # noqa: S101
    click.echo(kind(program, {}, DIRECT, VARIABLE).source())
    return 0


def answer_shell(instruction: str) -> int:
    """Answer the script above, which calls the program with the instruction in the environment."""
    from click.shell_completion import shell_complete

    from .program import program

    return shell_complete(program, {}, DIRECT, VARIABLE, instruction)


def for_kubectl() -> None:
    """Be `kubectl_complete-flow`: candidates for the last of the arguments, in the protocol of cobra."""
    from click.shell_completion import ShellComplete

    from .program import program

    *before, incomplete = sys.argv[1:] or [""]
    found = ShellComplete(program, {}, DIRECT, VARIABLE).get_completions(before, incomplete)
    for each in found:
        if each.type == "plain":
            sys.stdout.write(f"{each.value}\t{each.help}\n" if each.help else f"{each.value}\n")
    sys.stdout.write(f":{FILES if any(each.type != 'plain' for each in found) else NO_FILES}\n")
    sys.stdout.flush()
    os._exit(0)  # a shell waits
