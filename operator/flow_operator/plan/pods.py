"""What every pod of ours has: restricted Pod Security, no token, nothing writable but /tmp."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .types import Manifest

USER = 65532  # "nonroot" of the distroless images: a number that no base image gives to somebody else


def container_security() -> Manifest:
    """Return the security context of a container under the restricted profile."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


def pod_security() -> Manifest:
    """Return the security context of a pod under the restricted profile; one user, so that files can be shared."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def environment(variables: dict[str, str]) -> list[Manifest]:
    """Return variables as a container wants them: a kubelet would expand `$(HOME)`, and make one of `$$`."""
    return [{"name": name, "value": value.replace("$", "$$")} for name, value in variables.items()]


HOME = {"USER": "flow", "HOME": "/tmp", "TMPDIR": "/tmp", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}  # noqa: S108


def compact(document: Any) -> str:
    """Return JSON for an environment variable; sorted, so that the same request is the same pod."""
    return json.dumps(document, separators=(",", ":"), sort_keys=True)


def pod(
    *,
    name: str,
    namespace: str,
    labels: dict[str, str],
    owner: Manifest,
    containers: list[Manifest],
    volumes: list[Manifest] | None = None,
    pull_secrets: list[str] | None = None,
    finalizers: list[str] | None = None,
    **spec: Any,
) -> Manifest:
    """Return a pod of ours; `spec` adds to or overrides the pod's spec where it is not None."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels,
            "ownerReferences": [owner],
            **({"finalizers": finalizers} if finalizers else {}),
        },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": pod_security(),
            "containers": containers,
            "volumes": [{"name": "tmp", "emptyDir": {}}, *(volumes or [])],
            **({"imagePullSecrets": [{"name": each} for each in pull_secrets]} if pull_secrets else {}),
            **{key: value for key, value in spec.items() if value is not None},
        },
    }


def container(
    *,
    name: str,
    image: str,
    command: list[str],
    env: list[Manifest],
    mounts: list[Manifest] | None = None,
    **more: Any,
) -> Manifest:
    """Return a container of ours; `more` adds to it where it is not None."""
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "env": env,
        "workingDir": "/tmp",  # noqa: S108 - an emptyDir of the pod's own
        "securityContext": container_security(),
        "terminationMessagePolicy": "File",
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, *(mounts or [])],  # noqa: S108
        **{key: value for key, value in more.items() if value is not None},
    }


def config_map(
    *,
    name: str,
    namespace: str,
    labels: dict[str, str],
    owner: Manifest,
    text: dict[str, str],
    binary: dict[str, str],
) -> Manifest:
    """Return an immutable ConfigMap: its name is a hash of its content."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": labels, "ownerReferences": [owner]},
        "immutable": True,
        **({"data": text} if text else {}),
        **({"binaryData": binary} if binary else {}),
    }


def config_map_volume(name: str, config_map_name: str) -> Manifest:
    """Return a volume of a ConfigMap, readable by everyone in the pod and writable by nobody."""
    return {"name": name, "configMap": {"name": config_map_name, "defaultMode": 0o444}}


def config_maps_volume(name: str, config_map_names: list[str]) -> Manifest:
    """Return a volume in which the keys of several ConfigMaps lie side by side."""
    sources = [{"configMap": {"name": each}} for each in config_map_names]
    return {"name": name, "projected": {"sources": sources, "defaultMode": 0o444}}


__all__ = [
    "HOME",
    "USER",
    "compact",
    "config_map",
    "config_map_volume",
    "config_maps_volume",
    "container",
    "container_security",
    "environment",
    "pod",
    "pod_security",
]
