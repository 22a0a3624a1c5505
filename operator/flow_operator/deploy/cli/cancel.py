"""`kubectl flow cancel RUN`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ...api import labels
from . import options, trouble

if TYPE_CHECKING:
    from .cluster import Cluster, Manifest
    from .options import Place
    from .output import Screen


@click.command("cancel", short_help="End a run.")
@options.name_of("run")
@click.option("--now", is_flag=True, help="Do not wait for the flow to stop: one second for it and for on_exit.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until the run has ended.")
@options.timeout
@options.in_cluster
@options.with_output()
def command(
    name: str,
    now: bool,
    wait: bool,
    timeout: float | None,
    place: Place,
    screen: Screen,
) -> int:
    """End a run: its flow is asked to stop, then on_exit runs."""
    from . import cluster

    with cluster.connected(place) as there:
        run = there.find("FlowRun", name)
        name = run["metadata"]["name"]
        if phase := finished(run):
            screen.say(f"FlowRun {name} has ended already: {phase}.")
        else:
            run = _ask(there, run, "Now" if now else "Graceful")
            screen.say(f"FlowRun {name} is asked to stop.")
            if wait:
                from .following import follow

                run = there.session.call(follow(there.api, run, limit=timeout))
                screen.say(f"FlowRun {name}: {finished(run)}.")
    if screen.machine:
        screen.document(run, [cluster.reference(run)])
    return trouble.OK


def finished(run: Manifest) -> str | None:
    """Return the phase of a run that has ended, or None."""
    from ...api.flow_run import FINISHED

    phase = (run.get("status") or {}).get("phase")
    return phase if phase in FINISHED else None


def _ask(there: Cluster, run: Manifest, how: str) -> Manifest:
    name = run["metadata"]["name"]
    patch = {"spec": {"cancel": how}}
    changed = there.session.call(there.api.patch(labels.API_VERSION, "FlowRun", there.namespace, name, patch))
    if not changed["spec"].get("cancel"):  # a CRD that does not know the field drops it without a word
        said = "The operator in this cluster is older than this command: it cannot cancel runs."
        raise trouble.Trouble(said, f"Upgrade its chart; or delete the run: kubectl delete flowrun {name}")
    return changed
