"""A program of the standard library, served in the cluster on port 8000 under a name of its own."""

from __future__ import annotations

from typing import Any

from tests.support.cluster import Namespace, kubectl


def serve(namespace: Namespace, name: str, image: str, program: str, **spec: Any) -> None:
    """Start it in a pod behind a Service, restricted, and wait until it answers."""
    namespace.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 0,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 65532,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [
                    {
                        "name": name,
                        "image": image,
                        "command": ["python3", "-u", "-c", program],
                        "readinessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 1, "failureThreshold": 20},
                        # Without a request it would get what sixty others leave of two cores.
                        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
                        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    }
                ],
                **spec,
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"selector": {"app": name}, "ports": [{"port": 8000}]},
        },
    )
    kubectl("-n", namespace.name, "wait", "--for=condition=Ready", f"pod/{name}", "--timeout=240s")
