"""`kubectl flow resume NAME`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from . import options, trouble

if TYPE_CHECKING:
    from .options import Place
    from .output import Screen


@click.command("resume", short_help="Let a suspended run or schedule go on.")
@options.name_of("any")
@options.in_cluster
@options.with_output()
def command(name: str, place: Place, screen: Screen) -> int:
    """Let a suspended run go on, from the beginning of its flow, or a suspended schedule, from now.

    NAME is that of a FlowRun or a FlowDeployment; run/NAME and deployment/NAME say which.
    """
    from . import cluster
    from .suspending import set_suspend

    with cluster.connected(place) as there:
        found = set_suspend(there, there.find_any(name), False, screen)
    if screen.machine:
        screen.document(found, [cluster.reference(found)])
    return trouble.OK
