"""`kubectl flow rerun RUN`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ...api import labels
from . import options

if TYPE_CHECKING:
    from .options import Place
    from .output import Screen

Manifest = dict[str, Any]


@click.command("rerun", short_help="Run what a run ran once more.")
@options.name_of("run", metavar="RUN")
@options.parameters
@click.option("--run-name", metavar="NAME", help="Name of the FlowRun. Default: made up.")
@options.watched
@options.in_cluster
@options.with_output()
def command(
    name: str,
    parameters: Manifest,
    run_name: str | None,
    watch: bool,
    logs: bool,
    timeout: float | None,
    place: Place,
    screen: Screen,
) -> int:
    """Create another FlowRun of the same deployment, with the parameters and bounds of RUN; -p changes some of them.

    It runs the flow as it is deployed now. The run of a tick is told the same tick again; it is none of the schedule's.
    """
    from . import cluster
    from .run import create_and_watch, random_name, refuse_parameters, warn_if_not_ready

    with cluster.connected(place) as there:
        before = there.find("FlowRun", name)
        deployment = there.find("FlowDeployment", before["spec"]["deployment"])
        spec = again(before, parameters)
        refuse_parameters(deployment, spec.get("parameters", {}))
        warn_if_not_ready(deployment, screen)
        manifest = {
            "apiVersion": labels.API_VERSION,
            "kind": "FlowRun",
            "metadata": {
                "name": run_name or random_name(deployment["metadata"]["name"]),
                "namespace": there.namespace,
                **_tick_of(before),
            },
            "spec": spec,
        }
        wait = watch or logs or timeout is not None
        return create_and_watch(there, manifest, screen, wait=wait, logs=logs, limit=timeout)


def again(before: Manifest, parameters: Manifest) -> Manifest:
    """Return the spec of a run that does the same: neither its cancel nor its suspend."""
    spec = {key: value for key, value in before["spec"].items() if key not in ("cancel", "suspend", "parameters")}
    merged = {**before["spec"].get("parameters", {}), **parameters}
    return {**spec, **({"parameters": merged} if merged else {})}


def _tick_of(before: Manifest) -> Manifest:
    tick = (before["metadata"].get("annotations") or {}).get(labels.SCHEDULED_AT)
    return {"annotations": {labels.SCHEDULED_AT: tick}} if tick else {}
