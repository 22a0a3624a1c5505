"""`kubectl flow project create` and `list`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from ...api import labels
from . import options, trouble

if TYPE_CHECKING:
    from .options import Place
    from .output import Screen

Manifest = dict[str, Any]


@click.group("project", short_help="Make and list projects.")
def command() -> None:
    """Projects: what flows are deployed into. In Kubernetes, a project is a Namespace with a label."""


@command.command("create")
@click.argument("name")
@options.in_cluster
@options.with_output()
def create(name: str, place: Place, screen: Screen) -> int:
    """Make a project, of a new namespace or of the one that -n names. Twice is as good as once."""
    from .. import projects
    from . import cluster

    with cluster.connected(place) as there:
        made = projects.create(there.session, name, place.namespace)
        namespace = there.session.call(there.api.get("v1", "Namespace", "", made.namespace))
    if screen.machine:
        screen.document(namespace, [f"namespace/{made.namespace}"])
    else:
        screen.answer(made.namespace if screen.quiet else f"Project {name!r} is namespace {made.namespace}.")
    return trouble.OK


@command.command("list")
@options.in_cluster
@options.with_output()
def list_(place: Place, screen: Screen) -> int:
    """List all projects and their namespaces."""
    from ...plan.times import duration, seconds_since
    from . import cluster

    with cluster.connected(place) as there:
        api = there.api
        found = there.session.collect(api.list("v1", "Namespace", None, labelSelector=labels.PROJECT))
    if screen.machine:
        items = {"apiVersion": "v1", "kind": "List", "items": found}
        screen.document(items, [f"namespace/{each['metadata']['name']}" for each in found])
    elif not found:
        screen.say("There are no projects. Make one: kubectl flow project create NAME")
    else:
        now = datetime.now(UTC)
        rows = [
            (_name(each), each["metadata"]["name"], duration(seconds_since(each["metadata"]["creationTimestamp"], now)))
            for each in found
        ]
        screen.table(("PROJECT", "NAMESPACE", "AGE"), sorted(rows))
    return trouble.OK


def _name(namespace: Manifest) -> str:
    """A project's name as people wrote it; its slug where nobody kept that."""
    meta = namespace["metadata"]
    return str((meta.get("annotations") or {}).get(labels.PROJECT_NAME) or meta["labels"][labels.PROJECT])
