"""`kubectl flow logs RUN`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ...api import labels
from . import options, trouble

if TYPE_CHECKING:
    from .cluster import Cluster, Manifest
    from .options import Place
    from .output import Screen


@click.command("logs", short_help="Show the logs of all pods of a run.")
@options.name_of("any", metavar="RUN")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended; pods that come later too.")
@click.option(
    "--component", type=click.Choice(["runner", "dask", "all"]), default="all", show_default=True, help="Whose logs."
)
@click.option("--build", is_flag=True, help="RUN is a FlowDeployment: the logs of its builder and check pods.")
@options.in_cluster
@options.with_output("text")
def command(
    name: str,
    follow: bool,
    component: str,
    build: bool,
    place: Place,
    screen: Screen,
) -> int:
    """Show the logs of all pods of a run, each line with where it comes from.

    After a run its Dask pods are gone, and their logs with them; those of the runner stay.
    """
    from . import cluster

    with cluster.connected(place) as there:
        if build:
            shown = there.session.call(_of_build(there, there.find("FlowDeployment", name), screen))
            nothing = "Its builder and check pods are gone: they are kept after a failure only."
        else:
            run = there.find("FlowRun", name)
            name = run["metadata"]["name"]
            shown = there.session.call(_of_run(there, run, component, screen, follow=follow))
            nothing = f"Its pods have not begun, or are gone: kubectl flow explain {name}{place.flags}"
    if not shown:
        screen.say(f"There are no logs. {nothing}")
    return trouble.OK


async def _of_run(there: Cluster, run: Manifest, component: str, screen: Screen, *, follow: bool) -> int:
    import asyncio

    from . import following
    from .cancel import finished
    from .progress import Progress

    logs = following.Logs(there.api, there.namespace, following.of_run(run, component), Progress(screen).log)
    if not follow or finished(run):
        return await logs.show()
    ended = asyncio.Event()
    copying = asyncio.create_task(logs.follow_until(ended))
    try:
        await following.follow(there.api, run)
    finally:
        ended.set()
        await copying
    return 1


async def _of_build(there: Cluster, deployment: Manifest, screen: Screen) -> int:
    from . import following
    from .progress import Progress

    selector = f"{labels.DEPLOYMENT_UID}={deployment['metadata']['uid']}"
    return await following.Logs(there.api, there.namespace, selector, Progress(screen).log).show()
