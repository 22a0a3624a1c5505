"""`deploy`: check, build, apply, wait. Whatever is refused is refused before anything is built or written.

the call        unknown arguments, a schedule with a required parameter, a storage no cluster can read
the project     must be there
the flow        must have no cycles
the storage     is built; its metadata must load back
the manifest    must fit the model
the cluster     takes it by server-side apply, and makes it Ready
"""

from __future__ import annotations

import copy
import json
import sys
import warnings
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

from flow_operator.deploy import projects
from flow_operator.deploy.applying import apply
from flow_operator.deploy.border import cluster_errors
from flow_operator.deploy.manifest import flow_deployment
from flow_operator.deploy.progress import telling
from flow_operator.deploy.waiting import PATIENCE, until_ready
from flow_operator.deploy.written import as_yaml
from flow_operator.flow import config
from flow_operator.flow.environments import environment_from
from flow_operator.flow.errors import DeployRefused
from flow_operator.flow.storage import KINDS, Docker, Local, Memory, storage_from
from flow_operator.kube.session import Session, connected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flow_operator.deploy.progress import Progress
    from flow_operator.deploy.projects import Project
    from flow_operator.flow.core import Flow
    from flow_operator.flow.storage import Storage

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Cluster:
    """Which cluster; None is what kubectl would take."""

    kubeconfig: str | None = None
    context: str | None = None

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Connect, for the length of a block."""
        with cluster_errors(), connected(kubeconfig=self.kubeconfig, context=self.context) as session:
            yield session


def deploy(
    flow: Flow,
    project_name: str,
    build: bool = True,
    set_schedule_active: bool = True,
    *,
    dry_run: bool = False,
    wait: bool | float = True,
    kubeconfig: str | None = None,
    context: str | None = None,
    namespace: str | None = None,
    progress: Progress | None = None,
    **kwargs: Any,
) -> str | Manifest:
    """Put a flow into a cluster, as a new version, and return the version's id, "<uid>.<generation>".

    The same flow again is the same version. An older version ends with it, and so does its schedule: there is one
    FlowDeployment of a flow's name in a project.

    Args:
        flow: a live flow.
        project_name: the project, as people write it.
        build: False uses the storage as it is.
        set_schedule_active: False deploys without starting the schedule.
        dry_run: print the manifest (YAML, for Git) and return it. No cluster is asked, and nothing is pushed: the
            image's digest is computed. The namespace is the slug of the project's name, unless one is given.
        wait: until the new version can run: True, False, or for so many seconds.
        kubeconfig: file; by default what kubectl takes.
        context: of the kubeconfig; by default its current one.
        namespace: one of the project's; needed where it has several.
        progress: called with each line there is to tell; by default they go to standard error.
        kwargs: of the default storage, which is made of them where the flow has none. It is kept on the flow once the
            deploy has succeeded.

    Raises:
        TypeError: an argument that the storage does not know, or a storage that the environment cannot use.
        DeployRefused: before anything was built or written.
        BuildError: there is no image; nothing was written.
        ClusterError: the cluster did not take it.
        DeployFailed: the cluster took it, and it did not become ready.
    """
    storage = _storage(flow, kwargs)
    _refuse(flow, storage, build, dry_run)
    cluster = Cluster(kubeconfig, context)
    with telling(progress) as tell, _unless_it_succeeds(flow, storage, keep=not dry_run):
        if dry_run:
            project = projects.unseen(project_name, namespace)
        else:
            with cluster.session() as session:
                project = projects.find(session, project_name, namespace)
        with storage.on_trial() if dry_run and isinstance(storage, Docker) else nullcontext():
            made = prepare(flow, storage, project, build=build, push=not dry_run, schedule_active=set_schedule_active)
        if dry_run:
            sys.stdout.write(as_yaml(made))
            return made
        with cluster.session() as session:
            return send(session, made, wait, tell)


def prepare(
    flow: Flow,
    storage: Storage,
    project: Project,
    *,
    build: bool = True,
    push: bool = True,
    schedule_active: bool = True,
) -> Manifest:
    """Build what is to be built, and return the manifest."""
    flow.validate()
    if flow.storage is not storage:
        flow.storage = storage
    if build:
        _build(flow, storage, push)
    _check_metadata(flow)
    if isinstance(storage, Local):
        flow = _labelled(flow)
    return flow_deployment(flow, storage, project, schedule_active=schedule_active, pushed=push)


def send(session: Session, manifest: Manifest, wait: bool | float, tell: Progress) -> str:
    """Apply a manifest, wait as long as is wished, and return the id of the version."""
    meta = manifest["metadata"]
    with cluster_errors():
        applied = session.call(apply(session.api, manifest))
        tell(f"Applied FlowDeployment {meta['name']} in namespace {meta['namespace']}.")
        if wait is not False and wait != 0:
            session.call(until_ready(session.api, applied, PATIENCE if wait is True else float(wait), tell))
    return version_of(applied)


def version_of(applied: Manifest) -> str:
    """Return the id of the version that an object of the API server is."""
    return f"{applied['metadata']['uid']}.{applied['metadata']['generation']}"


def _storage(flow: Flow, kwargs: dict[str, Any]) -> Storage:
    """The flow's storage, or the default one made of the arguments; it is kept on the flow later, once nothing speaks
    against the deploy."""
    kind = type(flow.storage) if flow.storage is not None else config.default_storage_class()
    # Beside a storage they mean nothing, so another storage's are forgiven; what none knows is a slip (dryrun=True).
    kinds = [kind, *(KINDS.values() if flow.storage is not None else ())]
    unknown = [name for name in kwargs if not any(name in signature(each).parameters for each in kinds)]
    if unknown:
        known = ", ".join(signature(kind).parameters) or "none"
        raise TypeError(f"deploy() and {kind.__name__} storage know no argument {unknown[0]!r}; the storage's: {known}")
    if flow.storage is None:
        return kind(**kwargs)
    if kwargs:
        warnings.warn(
            f"flow {flow.name!r} has a storage: {', '.join(kwargs)} of deploy() have no effect",
            UserWarning,
            stacklevel=4,
        )
    return flow.storage


def _refuse(flow: Flow, storage: Storage, build: bool, dry_run: bool) -> None:
    required = [spec.name for spec in flow.parameters if spec.required]
    if flow.schedule is not None and required:
        raise DeployRefused(
            f"Flow {flow.name!r} has a schedule, and its parameter {required[0]!r} is required.",
            remedy="Give the parameter a default, or take the schedule off.",
        )
    if type(storage).__name__ not in KINDS:
        raise DeployRefused(
            f"Flow {flow.name!r} has a storage of type {type(storage).__name__}, which cannot be read back.",
            remedy=f"Use one of {', '.join(KINDS)}.",
        )
    if isinstance(storage, Memory):
        storage.to_resource()  # raises: a cluster cannot read it
    flow.environment.check_storage(storage)
    if build and isinstance(storage, Docker):
        _refuse_useless(flow, storage, dry_run)
    if not build:
        if flow.storage is None:
            raise DeployRefused(
                f"Flow {flow.name!r} has no storage, so nothing of it was built.", remedy="Deploy with build=True."
            )
        storage.flow_resource(flow.name)


def _refuse_useless(flow: Flow, storage: Docker, dry_run: bool) -> None:
    """What is known of an image before it is built, and no cluster could do anything with."""
    if not storage.registry_url:
        raise DeployRefused(
            f"The image of flow {flow.name!r} would stay in the local Docker engine: a cluster cannot pull it.",
            remedy="Give registry_url, to deploy() or to the flow's Docker storage.",
        )
    if dry_run and storage.builder == "Docker":
        raise DeployRefused(
            f"A dry run cannot know the digest of flow {flow.name!r}: an engine learns it when it pushes.",
            remedy="Build it with storage.build() first, then deploy with build=False.",
        )


@contextmanager
def _unless_it_succeeds(flow: Flow, storage: Storage, *, keep: bool) -> Iterator[None]:
    """Leave flow and storage as they were, so that the next call can be given other arguments and finds no stale flow;
    after a success what was made is kept, if it is wished."""
    before, was_there = flow.storage, flow.name in storage
    kept = False
    try:
        yield
        kept = keep
    finally:
        if not kept:
            flow.storage = before
            if not was_there:
                storage.forget_flow(flow.name)


def _labelled(flow: Flow) -> Flow:
    """Files of one machine are for operators that say they see them. The flow that was given stays as it is."""
    made, environment = copy.copy(flow), copy.copy(flow.environment)
    environment.labels = environment.labels | {"local", flow.slug}
    made.environment = environment
    return made


def _build(flow: Flow, storage: Storage, push: bool) -> None:
    if flow.name in storage:
        warnings.warn(
            f"flow {flow.name!r} is in its storage already: what was added then is deployed, which may be stale. Give "
            "the flow a new storage if it has changed.",
            UserWarning,
            stacklevel=5,
        )
    else:
        storage.add_flow(flow)
    storage.build(push=push)


def _check_metadata(flow: Flow) -> None:
    """What is known of a flow without its code must be readable."""
    said = json.loads(json.dumps(flow.serialize(), allow_nan=False))
    storage_from(said["storage"])
    environment_from(said["environment"])
