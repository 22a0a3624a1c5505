"""Where the API server's answers become errors of a deploy, each with a remedy."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from flow_operator.flow.errors import ClusterError
from flow_operator.kube import errors as kube

if TYPE_CHECKING:
    from collections.abc import Iterator

# The first that fits: subclasses before their bases.
REMEDIES: tuple[tuple[type[kube.KubeError], str], ...] = (
    (kube.NotConfigured, "Set KUBECONFIG, or name a context with context=."),
    (kube.NoSuchKind, "Install flow-operator in this cluster: helm install flow-operator helm/flow-operator."),
    (kube.NotFound, "It was deleted meanwhile: deploy again."),
    (kube.Conflict, "Somebody else manages it, Git perhaps: deploy with dry_run=True and commit the manifest."),
    (kube.Forbidden, "Ask for the right to create flowdeployments in this namespace (the chart's user roles have it)."),
    (kube.Refused, "Correct what the message names."),
    (kube.Expired, "Try again."),
    (kube.Unauthorized, "Log in to the cluster again, or renew the credential of the kubeconfig."),
    (kube.Unavailable, "Check that the cluster answers (kubectl version), and try again."),
)


@contextmanager
def cluster_errors() -> Iterator[None]:
    """Turn a KubeError into a ClusterError that says what to do."""
    try:
        yield
    except kube.KubeError as error:
        remedy = next((words for kind, words in REMEDIES if isinstance(error, kind)), "")
        raise ClusterError(_sentence(str(error)), remedy=remedy) from error


def _sentence(text: str) -> str:
    text = f"{text[:1].upper()}{text[1:]}"
    return text if text.endswith((".", "!", "?")) else f"{text}."
