"""Projects: what a team deploys into. In Kubernetes, a project is a Namespace with a label.

The label `flow-operator.io/project` has the slug of the project's name, the annotation `flow-operator.io/project-name`
the name as it was written. A project may have several namespaces (staging, production): a deploy then says which.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flow_operator.api import labels
from flow_operator.api.slug import slug
from flow_operator.flow.errors import DeployRefused, UnknownProject
from flow_operator.kube.errors import Forbidden, NotFound

if TYPE_CHECKING:
    from flow_operator.kube.session import Session

MANAGER = "flow-operator-deploy"


@dataclass(frozen=True)
class Project:
    """A project, in one of its namespaces."""

    name: str  # as people write it
    namespace: str

    @property
    def slug(self) -> str:
        """The value of its label."""
        return slug(self.name)


def unseen(name: str, namespace: str | None = None) -> Project:
    """A project that nobody has looked for: where its manifests are for Git."""
    return Project(name, namespace or slug(name))


def find(session: Session, name: str, namespace: str | None = None) -> Project:
    """Find a project, by its label, or by its namespace's name where namespaces may not be listed.

    Raises:
        UnknownProject: there is none, or not in this namespace.
        DeployRefused: it has several namespaces, and none was named.
    """
    try:
        found = session.collect(
            session.api.list("v1", "Namespace", None, labelSelector=f"{labels.PROJECT}={slug(name)}")
        )
    except Forbidden:
        return _by_name(session, name, namespace)
    names = sorted(each["metadata"]["name"] for each in found)
    if namespace is not None:
        if namespace not in names:
            raise _unknown(name, f"Namespace {namespace!r} is not of project {name!r}.", namespace)
        return Project(name, namespace)
    if not names:
        raise _unknown(name, f"There is no project {name!r} in this cluster.")
    if len(names) > 1:
        raise DeployRefused(
            f"Project {name!r} has several namespaces: {', '.join(names)}.", remedy="Say which with namespace=."
        )
    return Project(name, names[0])


def create(session: Session, name: str, namespace: str | None = None) -> Project:
    """Make a project of a namespace, which is made too where it is not there. Twice is as good as once.

    Raises:
        DeployRefused: the namespace is another project's.
    """
    project = unseen(name, namespace)
    try:
        seen = session.call(session.api.get("v1", "Namespace", "", project.namespace))
    except (NotFound, Forbidden):
        seen = {"metadata": {}}
    owner = (seen["metadata"].get("labels") or {}).get(labels.PROJECT, project.slug)
    if owner != project.slug:
        raise DeployRefused(
            f"Namespace {project.namespace!r} is of project {owner!r}.",
            remedy="Name another namespace; or take its label off first: "
            f"kubectl label namespace {project.namespace} {labels.PROJECT}-",
        )
    session.call(session.api.apply(namespace_of(project), MANAGER))
    return project


def namespace_of(project: Project) -> dict[str, Any]:
    """Return a project's Namespace."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": project.namespace,
            "labels": {labels.PROJECT: project.slug},
            "annotations": {labels.PROJECT_NAME: project.name},
        },
    }


def _by_name(session: Session, name: str, namespace: str | None) -> Project:
    """For people who see their own namespaces only."""
    project = unseen(name, namespace)
    try:
        seen = session.call(session.api.get("v1", "Namespace", "", project.namespace))
    except NotFound:
        raise _unknown(name, f"There is no namespace {project.namespace!r} in this cluster.", namespace) from None
    except Forbidden:
        return project  # what it is called may not be asked either: the API server has the last word when it is written
    if (seen["metadata"].get("labels") or {}).get(labels.PROJECT) != project.slug:
        raise _unknown(name, f"Namespace {project.namespace!r} is not of project {name!r}.", namespace)
    return project


def _unknown(name: str, message: str, namespace: str | None = None) -> UnknownProject:
    where = f" --namespace {namespace}" if namespace else ""
    return UnknownProject(message, remedy=f'Make it: kubectl flow project create "{name}"{where}.')
