"""`kubectl flow explain NAME`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from . import options, trouble

if TYPE_CHECKING:
    from .options import Place
    from .output import Screen


@click.command("explain", short_help="Say how a run is, why, and what to do.")
@options.name_of("any")
@options.in_cluster
@options.with_output("text", "json", "yaml")
def command(name: str, place: Place, screen: Screen) -> int:
    """Say in one sentence how a run or a deployment is, why, and what to do about it.

    NAME is that of a FlowRun or a FlowDeployment; run/NAME and deployment/NAME say which.
    """
    from .. import explaining
    from . import cluster

    with cluster.connected(place) as there:
        try:
            found = explaining.explain(there.find_any(name), datetime.now(UTC))
        except trouble.Trouble as absent:
            if absent.code != trouble.USAGE or "There is no Flow" not in absent.message:
                raise
            kinds, alone = cluster.kinds_of(name)
            found = explaining.missing(" or ".join(kinds), alone, there.namespace, absent.remedy)
    if screen.machine:
        screen.document(found.to_wire())
    else:
        screen.answer(found.sentence)
    return trouble.USAGE if found.state == "Missing" else trouble.OK
