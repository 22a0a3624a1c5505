"""`kubectl flow render FILE`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from . import file as files
from . import options, trouble

if TYPE_CHECKING:
    from ..source import Wishes
    from .output import Screen


@click.command("render", short_help="Print a file's FlowDeployment, for Git.")
@files.from_file
@click.option("-n", "--namespace", metavar="NAME", help="Namespace to write down. Default: the project's, else none.")
@options.with_output("yaml", "json", default="yaml")
def command(file: str, wishes: Wishes, namespace: str | None, screen: Screen) -> int:
    """Print the FlowDeployment that `deploy` would send, for Git. No cluster is asked.

    The same file and options are the same text. A namespace is in it only if -n or --project names one.
    With --build here the image is built and pushed, so that what is printed can be applied.
    """
    wishes = files.in_namespace(wishes, namespace)
    target, declared = files.read(file, wishes, screen)
    screen.document(files.manifest_of(target, declared, wishes, push=True))
    return trouble.OK
