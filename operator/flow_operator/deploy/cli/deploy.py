"""`kubectl flow deploy FILE`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from . import file as files
from . import options, trouble

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..source import Declared, Wishes
    from .cluster import Cluster
    from .loading import Target
    from .options import Place
    from .output import Screen

Manifest = dict[str, Any]


@click.command("deploy", short_help="Put the flow of a file into a cluster.")
@files.from_file
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until it can run.")
@options.timeout
@click.option("--dry-run", is_flag=True, help="Print the manifest; nothing is pushed or sent.")
@options.in_cluster
@options.with_output()
def command(
    file: str,
    wishes: Wishes,
    wait: bool,
    timeout: float | None,
    dry_run: bool,
    place: Place,
    screen: Screen,
) -> int:
    """Put the flow of a Python file into a cluster, as a new version.

    NAME is the flow's in the file; "flow", unless told otherwise. Storage, environment and schedule are what the flow
    declares. The cluster builds its image, unless --build says otherwise. -p gives parameters a default.
    """
    wishes = files.in_namespace(wishes, place.namespace) if dry_run else replace(wishes, namespace=place.namespace)
    target, declared = files.read(file, wishes, screen)
    if dry_run:
        screen = replace(screen, format="yaml") if screen.format == "text" else screen
        made = files.manifest_of(target, declared, wishes, push=False)
        screen.document(made, [f"flowdeployment.flow-operator.io/{made['metadata']['name']}"])
        return trouble.OK
    from . import cluster

    with cluster.connected(place) as there:
        applied = _send(there, target, declared, wishes, screen, wait=wait, patience=timeout)
    if screen.machine:
        screen.document(applied, [cluster.reference(applied)])
    else:
        _show(applied, screen, wait=wait)
    return trouble.OK


def _send(
    there: Cluster,
    target: Target,
    declared: Declared,
    wishes: Wishes,
    screen: Screen,
    *,
    wait: bool,
    patience: float | None,
) -> Manifest:
    from .. import applying, progress, projects, waiting

    namespace = there.namespace
    if wishes.project:
        namespace = projects.find(there.session, wishes.project, wishes.namespace).namespace
    wishes = replace(wishes, namespace=namespace)
    with progress.telling(_silent if screen.quiet else None) as tell:
        manifest = files.manifest_of(target, declared, wishes, push=True)
        applied = there.session.call(applying.apply(there.api, manifest))
        tell(f"Applied FlowDeployment {applied['metadata']['name']} in namespace {namespace}.")
        if wait:
            limit = patience or waiting.PATIENCE
            applied = there.session.call(waiting.until_ready(there.api, applied, limit, tell))
    return applied


def _silent(_: str) -> None:
    """Tell nobody."""


def _show(applied: Manifest, screen: Screen, *, wait: bool) -> None:
    from ..deploy import version_of

    name = applied["metadata"]["name"]
    if screen.quiet:
        screen.answer(version_of(applied))
        return
    screen.answer(f"flowdeployment.flow-operator.io/{name} {'is ready' if wait else 'applied'}")
    screen.facts(_facts(applied))


def _facts(applied: Manifest) -> Iterator[tuple[str, str]]:
    from ..deploy import version_of

    status = applied.get("status") or {}
    yield "version", version_of(applied)
    yield "image", status.get("image") or ""
    yield "next run", status.get("nextScheduleTime") or ""
    yield "run it", f"kubectl flow run {applied['metadata']['name']} -n {applied['metadata']['namespace']} --watch"
