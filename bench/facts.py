"""On what it was measured."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.kube import Kube, Manifest


def facts(kube: Kube) -> dict[str, Any]:
    """Return what the machine and the cluster are."""
    nodes = kube.get("/api/v1/nodes")["items"]
    return {
        "cores": os.cpu_count(),
        "memoryGiB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load": [round(each, 2) for each in os.getloadavg()],
        "python": platform.python_version(),
        "kubernetes": kube.get("/version")["gitVersion"],
        "nodes": {each["metadata"]["name"]: each["status"]["nodeInfo"]["containerRuntimeVersion"] for each in nodes},
    }


def one_node(kube: Kube) -> str:
    """Return the node on which everything is measured: not the control plane's where there is another."""
    nodes = sorted(kube.get("/api/v1/nodes")["items"], key=_is_control_plane)
    return str(nodes[0]["metadata"]["labels"]["kubernetes.io/hostname"])


def _is_control_plane(node: Manifest) -> bool:
    return "node-role.kubernetes.io/control-plane" in node["metadata"]["labels"]
