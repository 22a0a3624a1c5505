"""From a Python file and what it says of itself to the FlowDeployment that says so. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flow_operator.api import labels, wire
from flow_operator.api.flow_deployment import MAX_INLINE
from flow_operator.api.slug import slug
from flow_operator.deploy.manifest import check
from flow_operator.flow.errors import DeployRefused

if TYPE_CHECKING:
    from pathlib import Path

Manifest = dict[str, Any]

NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
FILE_NAME = re.compile(r"[-._a-zA-Z0-9]+\.py")
DEFAULT_ENVIRONMENT = {"remote": {"executor": "Local"}}  # what a flow has that declares none


@dataclass(frozen=True)
class Declared:
    """What a flow says of itself, in the words of a FlowDeployment; empty where it could not be asked."""

    facts: dict[str, Any] = field(default_factory=dict)  # as in status.flow
    storage: dict[str, Any] | None = None  # as in spec.storage
    arguments: dict[str, Any] = field(default_factory=dict)  # of its Docker storage, as its constructor takes them
    schedule: dict[str, Any] | None = None
    pull_secret: str | None = None  # of its environment: for an image that is pulled as it is
    refused: dict[str, str] = field(default_factory=dict)  # storage, schedule: why a cluster cannot have it

    @property
    def environment(self) -> dict[str, Any]:
        """As in spec.environment; empty where the flow declares none."""
        return dict(self.facts.get("environment") or {})


@dataclass(frozen=True)
class Wishes:
    """What the command line says; it wins over what the flow declares."""

    name: str | None = None
    namespace: str | None = None
    project: str | None = None  # as people write it
    registry_url: str | None = None
    build: str | None = None  # cluster, here, none
    schedule_active: bool = True
    parameters: dict[str, Any] = field(default_factory=dict)
    unseen: bool = False  # also where it cannot be loaded here

    def build_for(self, declared: Declared) -> str:
        """Where the image is built: none for a flow with Bytes storage, unless told otherwise."""
        return self.build or ("none" if "bytes" in (declared.storage or {}) else "cluster")


def name_for(path: Path, attribute: str, declared: Declared, wishes: Wishes) -> str:
    """Return the FlowDeployment's name: as wished, else the slug of the flow's name, else of the file's."""
    if wishes.name:
        if not NAME.fullmatch(wishes.name):
            raise DeployRefused(
                f"{wishes.name!r} cannot be the name of a FlowDeployment.",
                remedy="Use at most 63 lower case letters, digits and hyphens; a hyphen neither first nor last.",
            )
        return wishes.name
    fallback = path.stem if attribute == "flow" else attribute
    return slug(declared.facts.get("name") or fallback)


def flow_deployment(
    path: Path, attribute: str, declared: Declared, wishes: Wishes, image: str | None = None
) -> Manifest:
    """Return the FlowDeployment of a file; with an image that was built here, of that.

    Raises:
        DeployRefused: a cluster could not have it.
    """
    name = name_for(path, attribute, declared, wishes)
    _refuse_schedule(declared, wishes)
    _refuse_parameters(declared, wishes)
    environment = declared.environment
    spec = {
        "flow": _image(path, attribute, image, declared.pull_secret) if image else _source(path, attribute),
        "storage": None if image else _storage(declared, wishes),
        "environment": environment if environment != DEFAULT_ENVIRONMENT else None,
        "parameters": wishes.parameters,
        "schedule": _schedule(declared, wishes),
    }
    spec = {key: value for key, value in spec.items() if value}
    check(name, spec)
    metadata = {
        "name": name,
        **({"namespace": wishes.namespace} if wishes.namespace else {}),
        **({"labels": {labels.PROJECT: slug(wishes.project)}} if wishes.project else {}),
    }
    return {"apiVersion": labels.API_VERSION, "kind": "FlowDeployment", "metadata": metadata, "spec": spec}


def file_name(path: Path) -> str:
    """Return the file's name in the image: its own, where Kubernetes can have it."""
    return path.name if FILE_NAME.fullmatch(path.name) else "flow.py"


def location(path: Path, attribute: str) -> str:
    """Return where the flow is in an image."""
    return f"{wire.FLOWS_DIR}/{file_name(path)}:{attribute}"


def _image(path: Path, attribute: str, image: str, secret: str | None) -> Manifest:
    pulled = {"pullSecret": secret} if secret else {}
    return {"image": {"reference": image, "location": location(path, attribute), **pulled}}


def _source(path: Path, attribute: str) -> Manifest:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise DeployRefused(f"{path.name} is not UTF-8 text.", remedy="Save it as UTF-8.") from None
    if len(text) > MAX_INLINE:
        raise DeployRefused(
            f"{path.name} has {len(text):,} characters; a resource carries at most {MAX_INLINE:,} of source.",
            remedy="Build it here: --build here; or keep it in a ConfigMap: spec.flow.source.configMap.",
        )
    return {"source": {"inline": text}, "entrypoint": f"{file_name(path)}:{attribute}"}


def _storage(declared: Declared, wishes: Wishes) -> Manifest | None:
    if wishes.build_for(declared) == "none":
        return {"bytes": {}}
    if "storage" in declared.refused:
        raise DeployRefused(
            f"The flow's storage cannot be used in a cluster: {declared.refused['storage']}",
            remedy="Give the flow Docker or Bytes storage, or none.",
        )
    if "local" in (declared.storage or {}):
        raise DeployRefused(
            "The flow has Local storage, a folder of this machine: no image is made of it.",
            remedy="Deploy it from Python: flow.deploy(); or have its file mounted: --build none.",
        )
    _refuse_what_is_here(declared)
    docker = dict((declared.storage or {}).get("docker") or {})
    if wishes.registry_url:
        docker["registryURL"] = wishes.registry_url.rstrip("/")
    return {"docker": docker} if docker else None


def _refuse_what_is_here(declared: Declared) -> None:
    """What only this machine has cannot be in a build in the cluster, nor is what would be left out in silence."""
    names = ("files", "requirements", "local_image", "base_url")
    here = [each for each in names if declared.arguments.get(each)]
    if here:
        raise DeployRefused(
            f"The flow's storage has {', '.join(here)} of this machine, which a build in the cluster cannot read.",
            remedy="Build it here: --build here.",
        )
    architecture = declared.arguments.get("architecture")
    if architecture:
        raise DeployRefused(
            f"The flow's storage has architecture {architecture!r}, which a build in the cluster does not take: there "
            "the node that runs go to decides.",
            remedy="Build it here: --build here; or leave it out, and write kubernetes.io/arch into "
            "spec.runner.nodeSelector.",
        )


def _schedule(declared: Declared, wishes: Wishes) -> Manifest | None:
    if declared.schedule is None:
        return None
    return {**declared.schedule, **({} if wishes.schedule_active else {"suspend": True})}


def _refuse_schedule(declared: Declared, wishes: Wishes) -> None:
    parameters = declared.facts.get("parameters") or ()
    required = [each["name"] for each in parameters if each.get("required")]
    missing = [each for each in required if each not in wishes.parameters]
    if declared.schedule is not None and missing:
        raise DeployRefused(
            f"The flow has a schedule, and its parameter {missing[0]!r} is required.",
            remedy=f"Give it a value: -p {missing[0]}=…; or a default, or take the schedule off.",
        )


def _refuse_parameters(declared: Declared, wishes: Wishes) -> None:
    known = [each["name"] for each in declared.facts.get("parameters") or ()]
    unknown = [each for each in wishes.parameters if each not in known]
    if declared.facts and unknown and wire.ANYTHING not in known:
        raise DeployRefused(
            f"The flow has no parameter {unknown[0]!r}.", remedy=f"It takes: {', '.join(known) or 'none'}."
        )
