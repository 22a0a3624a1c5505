"""What `deploy` and `render` share: a file, what it says of itself, and the options that change it."""

from __future__ import annotations

import functools
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from . import options, trouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..source import Declared, Wishes
    from .loading import Target
    from .output import Screen

Manifest = dict[str, Any]
PLACES = ("cluster", "here", "none")
NOT_BUILT = f"not-built@sha256:{'0' * 64}"


def from_file(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `file` and `wishes`: FILE[:NAME], and everything that may be said about it."""

    @click.argument("file", metavar="FILE[:NAME]", type=click.Path())
    @click.option("--name", metavar="NAME", help="Name of the FlowDeployment. Default: the slug of the flow's name.")
    @click.option("--project", metavar="PROJECT", help="Project to deploy into; its namespace is looked up.")
    @click.option(
        "--registry-url", metavar="URL", help="Where the image is pushed. Default: the flow's or the chart's."
    )
    @click.option(
        "--build",
        type=click.Choice(PLACES),
        help="Who builds the image: the cluster (default), this machine, or nobody: the code is mounted.",
    )
    @click.option(
        "--set-schedule-active/--no-set-schedule-active",
        "schedule_active",
        default=True,
        help="Whether the flow's schedule starts. Default: it does.",
    )
    @click.option(
        "--unseen",
        is_flag=True,
        help="Take the file although a package that it imports is not installed here; then --name is needed.",
    )
    @options.parameters
    @functools.wraps(command)
    def with_wishes(
        name: str | None,
        project: str | None,
        registry_url: str | None,
        build: str | None,
        schedule_active: bool,
        unseen: bool,
        parameters: Manifest,
        **rest: Any,
    ) -> Any:
        from ..source import Wishes

        wishes = Wishes(name, None, project, registry_url, build, schedule_active, parameters, unseen)
        return command(wishes=wishes, **rest)

    return with_wishes


def read(file: str, wishes: Wishes, screen: Screen) -> tuple[Target, Declared]:
    """Load the file in a process of its own. What is not installed here may be in the image: --unseen takes it so.

    Raises:
        Trouble: there is no flow, it cannot be loaded, or nobody said that it may go unseen.
    """
    from . import loading

    target = loading.Target.of(file)
    if target.path.suffix != ".py":
        raise trouble.Trouble(f"{target.path.name} is not a Python file.", "Deploy the .py file.", trouble.USAGE)
    described = loading.describe(target)
    if described.failure:
        _refuse_unseen(described.failure, described.missing, wishes)
        said = described.failure.message
        screen.warn(f"{said} It is taken unseen, without the storage, environment and schedule that it may declare.")
    _warn_of_variables(target, described.declared, wishes, screen)
    return target, described.declared


def in_namespace(wishes: Wishes, namespace: str | None) -> Wishes:
    """Return wishes for a manifest that no cluster is asked about: its namespace as named, else as the project is."""
    from .. import projects

    if wishes.project and not namespace:
        namespace = projects.unseen(wishes.project).namespace
    return replace(wishes, namespace=namespace)


def _refuse_unseen(failure: trouble.Trouble, missing: str, wishes: Wishes) -> None:
    """A flow that nobody saw has no storage, environment, schedule or name: whoever deploys it must know."""
    if not missing or wishes.build == "here":
        raise failure
    if not wishes.unseen:
        remedy = f"{failure.remedy.removesuffix('.')}; or take the file without what it declares: --unseen --name NAME."
        raise trouble.Trouble(failure.message, remedy)
    if not wishes.name:
        raise trouble.Trouble("The name of a flow that is taken unseen is not known.", "Add --name.", trouble.USAGE)


def _warn_of_variables(target: Target, declared: Declared, wishes: Wishes, screen: Screen) -> None:
    """Say which values of env_vars are not in the file: a password perhaps, and whoever may pull the image reads it."""
    if wishes.build_for(declared) == "none":
        return
    text = target.path.read_text(encoding="utf-8", errors="replace")
    variables = ((declared.storage or {}).get("docker") or {}).get("envVars") or {}
    for name in sorted(name for name, value in variables.items() if value not in text):
        screen.warn(
            f"{name} of env_vars: its value comes from this machine and is written in clear; "
            "if it is secret, use spec.runner.env with valueFrom."
        )


def manifest_of(target: Target, declared: Declared, wishes: Wishes, *, push: bool) -> Manifest:
    """Build what is to be built here, and return the manifest.

    Raises:
        DeployRefused: a cluster could not have it.
        BuildError: there is no image.
    """
    from .. import source

    if wishes.build_for(declared) != "here":
        return source.flow_deployment(target.path, target.attribute, declared, wishes)
    made = source.flow_deployment(target.path, target.attribute, declared, wishes, NOT_BUILT)  # refused before a build
    image = _build(target, declared, wishes, made["metadata"]["name"], push=push)
    return source.flow_deployment(target.path, target.attribute, declared, wishes, image)


def _build(target: Target, declared: Declared, wishes: Wishes, name: str, *, push: bool) -> str:
    from ...flow.storage import Docker
    from .. import pack, source

    arguments = dict(declared.arguments)
    if wishes.registry_url:
        arguments["registry_url"] = wishes.registry_url
    if not arguments.get("registry_url"):
        said = "An image that is built here must be pushed where the cluster finds it, and no registry is named."
        raise trouble.Trouble(said, "Name one with --registry-url.", trouble.USAGE)
    storage = Docker(**arguments)
    if storage.builder == "Docker" and not push:
        said = "The digest of this image cannot be told without pushing it: an engine learns it when it pushes."
        raise trouble.Trouble(said, "Deploy it, without --dry-run; or leave it to the cluster: --build cluster.")
    location = source.location(target.path, target.attribute).rpartition(":")[0]
    report = pack.build_source(
        storage,
        target.path,
        target.attribute,
        location=location,
        repository=storage.repository(storage.image_name or name),
        tag=storage.image_tag or datetime.now(UTC).strftime("%Y%m%d-%H%M%S"),
        push=push,
    )
    return report["image"]
