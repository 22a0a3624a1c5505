"""From a flow in its storage to the FlowDeployment that says so. Pure: nothing is asked, nothing is built."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from flow_operator.api import labels
from flow_operator.api.flow_deployment import parse_spec
from flow_operator.api.model import first_fault
from flow_operator.flow.errors import DeployRefused
from flow_operator.flow.storage import Docker

if TYPE_CHECKING:
    from flow_operator.deploy.projects import Project
    from flow_operator.flow.core import Flow
    from flow_operator.flow.storage import Storage

Manifest = dict[str, Any]


def flow_deployment(
    flow: Flow, storage: Storage, project: Project, *, schedule_active: bool = True, pushed: bool = True
) -> Manifest:
    """Return the FlowDeployment of a flow.

    Raises:
        StorageError: a cluster could not get the flow from this storage.
        DeployRefused: the flow has something that the resource cannot.
    """
    spec = {
        "flow": _flow(flow, storage, pushed),
        # The image is all that counts of Docker storage: how it was built is the builder's business.
        "storage": None if isinstance(storage, Docker) else storage.to_resource(),
        "environment": flow.environment.to_resource(),
        "schedule": _schedule(flow, schedule_active),
    }
    spec = copy.deepcopy({key: value for key, value in spec.items() if value})
    check(flow.name, spec)
    metadata = {"name": flow.slug, "namespace": project.namespace, "labels": {labels.PROJECT: project.slug}}
    return {"apiVersion": labels.API_VERSION, "kind": "FlowDeployment", "metadata": metadata, "spec": spec}


def _flow(flow: Flow, storage: Storage, pushed: bool) -> Manifest:
    spec = storage.flow_resource(flow.name, pushed=pushed)
    secret = flow.environment.pull_secret
    return {"image": {**spec["image"], "pullSecret": secret}} if secret and "image" in spec else spec


def _schedule(flow: Flow, active: bool) -> Manifest | None:
    if flow.schedule is None:
        return None
    return {**flow.schedule.to_resource(), **({} if active else {"suspend": True})}


def check(name: str, spec: Manifest) -> None:
    """Compare with the model, so that a person hears of it before the API server does, in Python's words."""
    try:
        parse_spec(spec)
    except ValidationError as error:
        raise DeployRefused(
            f"Flow {name!r} does not fit into a FlowDeployment: {first_fault(error)}.",
            remedy="Change what the message names; docs/flowdeployment.md has every field.",
        ) from None
