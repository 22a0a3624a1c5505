"""`kubectl flow suspend NAME`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from . import options, trouble

if TYPE_CHECKING:
    from .options import Place
    from .output import Screen


@click.command("suspend", short_help="Stop a run for a while, or the schedule of a deployment.")
@options.name_of("any")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until nothing of the run is there.")
@options.timeout
@options.in_cluster
@options.with_output()
def command(name: str, wait: bool, timeout: float | None, place: Place, screen: Screen) -> int:
    """Stop a run for a while: its flow is asked to stop, on_exit runs, its cluster goes. Or stop a schedule.

    `kubectl flow resume` begins the run anew, with another attempt. NAME is that of a FlowRun or a FlowDeployment;
    run/NAME and deployment/NAME say which.
    """
    from ...api.flow_run import FINISHED
    from . import cluster
    from .following import follow
    from .suspending import phase_of, set_suspend

    with cluster.connected(place) as there:
        found = set_suspend(there, there.find_any(name), True, screen)
        if wait and found["kind"] == "FlowRun":
            over = {"Suspended", *FINISHED}
            until = follow(there.api, found, limit=timeout, until=lambda run: phase_of(run) in over, what="stopped")
            found = there.session.call(until)
            screen.say(f"FlowRun {found['metadata']['name']}: {phase_of(found)}.")
    if screen.machine:
        screen.document(found, [cluster.reference(found)])
    return trouble.OK
