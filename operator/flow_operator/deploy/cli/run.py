"""`kubectl flow run NAME`, and `run --local FILE`."""

from __future__ import annotations

import secrets
import string
from typing import TYPE_CHECKING, Any

import click

from ...api import labels
from . import options, trouble

if TYPE_CHECKING:
    from .cluster import Cluster
    from .options import Place
    from .output import Screen

Manifest = dict[str, Any]
MAX_NAME = 63


@click.command("run", short_help="Run a deployed flow, or one of a file here.")
@options.name_of("deployment", metavar="NAME")
@options.parameters
@click.option("--run-name", metavar="NAME", help="Name of the FlowRun. Default: NAME and five random characters.")
@options.watched
@click.option("--local", is_flag=True, help="NAME is a FILE[:NAME]: run its flow here, as a pod would, no cluster.")
@options.in_cluster
@options.with_output()
def command(
    name: str,
    parameters: Manifest,
    run_name: str | None,
    watch: bool,
    logs: bool,
    timeout: float | None,
    local: bool,
    place: Place,
    screen: Screen,
) -> int:
    """Run a deployed flow: create a FlowRun of FlowDeployment NAME.

    With --watch the exit code is the run's: 0 succeeded, 1 failed, 124 timeout. Ctrl-C leaves the run alone.

    With --local the flow of a file runs here, in processes of its own, with the parameters, callbacks and exit codes
    it would have in a pod.
    """
    if local:
        if run_name or watch or logs:
            raise click.UsageError("--local takes no --run-name, --watch or --logs: there is no FlowRun")
        from .local import run_here

        return run_here(name, parameters, timeout, screen)
    from . import cluster

    with cluster.connected(place) as there:
        deployment = there.find("FlowDeployment", name)
        name = deployment["metadata"]["name"]
        refuse_parameters(deployment, parameters)
        warn_if_not_ready(deployment, screen)
        manifest = {
            "apiVersion": labels.API_VERSION,
            "kind": "FlowRun",
            "metadata": {"name": run_name or random_name(name), "namespace": there.namespace},
            "spec": {"deployment": name, **({"parameters": parameters} if parameters else {})},
        }
        wait = watch or logs or timeout is not None
        return create_and_watch(there, manifest, screen, wait=wait, logs=logs, limit=timeout)


def create_and_watch(
    there: Cluster, manifest: Manifest, screen: Screen, *, wait: bool, logs: bool, limit: float | None
) -> int:
    """Create a run, and see it to its end if that is wished; the exit code."""
    from .cluster import reference

    run = _create(there, manifest)
    if not wait:
        _show_created(run, screen)
        return trouble.OK
    screen.say(f"{reference(run)} created")
    try:
        run = there.session.call(_watch(there, run, screen, logs=logs, limit=limit))
    except KeyboardInterrupt:
        made = run["metadata"]["name"]
        screen.say(f"\nFlowRun {made} goes on. Cancel it: kubectl flow cancel {made} -n {there.namespace}")
        return trouble.INTERRUPTED
    return show_end(run, screen)


def refuse_parameters(deployment: Manifest, given: Manifest) -> None:
    """Refuse parameters that the flow does not take, if its deployment was checked already.

    Raises:
        Trouble: naming the unknown and the missing ones.
    """
    from ...plan.pinned import wrong_parameters

    facts = (deployment.get("status") or {}).get("flow")
    if not facts:
        return
    wrong = wrong_parameters(facts, {**(deployment["spec"].get("parameters") or {}), **given})
    if wrong:
        remedy = wrong.remedy.replace(" Create another FlowRun with these.", "")
        raise trouble.Trouble(wrong.message, remedy, trouble.USAGE)


def warn_if_not_ready(deployment: Manifest, screen: Screen) -> None:
    """Say why a run will have to wait."""
    from ...plan.conditions import find

    ready = find(deployment.get("status") or {}, "Ready")
    if ready is None or ready["status"] != "True":
        name = deployment["metadata"]["name"]
        why = ready["message"] if ready else "the operator has not looked at it."
        screen.warn(f"FlowDeployment {name} is not ready, and the run waits for it: {why}")


def random_name(deployment: str) -> str:
    """Return a name for a run; five characters of Kubernetes' own alphabet for such names."""
    alphabet = "".join(sorted(set(string.ascii_lowercase + string.digits) - set("aeiou013")))
    return f"{deployment[: MAX_NAME - 6].rstrip('-.')}-{''.join(secrets.choice(alphabet) for _ in range(5))}"


def _create(there: Cluster, manifest: Manifest) -> Manifest:
    from ...kube.errors import Conflict

    try:
        return there.session.call(there.api.create(manifest))
    except Conflict:
        said = f"There is a FlowRun {manifest['metadata']['name']!r} already in namespace {there.namespace}."
        raise trouble.Trouble(said, "Choose another --run-name.", trouble.USAGE) from None


def _show_created(run: Manifest, screen: Screen) -> None:
    from .cluster import reference

    if screen.machine:
        screen.document(run, [reference(run)])
    else:
        screen.answer(run["metadata"]["name"] if screen.quiet else f"{reference(run)} created")


async def _watch(there: Cluster, run: Manifest, screen: Screen, *, logs: bool, limit: float | None) -> Manifest:
    import asyncio

    from . import following, progress

    ended = asyncio.Event()
    with progress.shown(screen) as shown:
        copying = None
        if logs:
            pods = following.Logs(there.api, there.namespace, following.of_run(run), shown.log)
            copying = asyncio.create_task(pods.follow_until(ended))
        try:
            return await following.follow(there.api, run, on_change=shown.run, limit=limit)
        finally:
            ended.set()
            if copying:
                await copying


def show_end(run: Manifest, screen: Screen) -> int:
    """Show how a run ended; the exit code.

    Raises:
        Trouble: it did not succeed.
    """
    from .cluster import reference

    status = run["status"]
    phase = status["phase"]
    if screen.machine:
        screen.document(run, [reference(run)])
    elif phase == "Succeeded":
        screen.success(status.get("duration", "no time"), status)
    if phase == "Succeeded":
        return trouble.OK
    why = status.get("diagnosis") or {"reason": phase, "message": "see its status.", "remedy": ""}
    said = f"FlowRun {run['metadata']['name']}: {phase} ({why['reason']}): {why['message']}"
    raise trouble.Trouble(said, why["remedy"])
