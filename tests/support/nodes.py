"""What can happen to a node of the test cluster, which is a container of this machine."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.cluster import condition, eventually, get_json, kubectl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import Manifest

CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"


def docker(*arguments: str, timeout: float = 60) -> str:
    """Run docker and return what it prints."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=timeout)
    assert not done.returncode, f"docker {' '.join(arguments)}: {done.stderr.strip()}"
    return done.stdout


def control_plane() -> str:
    """Return the name of the node that no test stops."""
    return _name(get_json("nodes", "-l", CONTROL_PLANE)["items"][0])


def worker() -> str:
    """Return the name of the other node."""
    return _name(get_json("nodes", "-l", f"!{CONTROL_PLANE}")["items"][0])


def _name(manifest: Manifest) -> str:
    return str(manifest["metadata"]["name"])


def is_ready(node: str) -> bool:
    """Return whether a node reports that it is well."""
    return condition(get_json("node", node), "Ready") == "True"


@contextmanager
def closed(node: str) -> Iterator[None]:
    """Let nothing new begin on a node."""
    kubectl("cordon", node)
    try:
        yield
    finally:
        kubectl("uncordon", node)


def clear(node: str, *of: tuple[str, str]) -> None:
    """Have the pods of some Deployments, (namespace, selector), run elsewhere: what a test is to rely on."""
    with closed(node):
        for namespace, selector in of:
            kubectl("-n", namespace, "delete", "pods", "-l", selector, "--field-selector", f"spec.nodeName={node}")
            kubectl("-n", namespace, "wait", "--for=condition=Ready", "pods", "-l", selector, "--timeout=90s")


def kill_kubelet(node: str) -> None:
    """SIGKILL; systemd starts it again a second later."""
    docker("exec", node, "systemctl", "kill", "--signal=KILL", "kubelet")


def stop(node: str) -> None:
    """Turn a node off."""
    docker("stop", "--time=2", node)


def start(node: str) -> None:
    """Turn it on again, and wait until it takes pods."""
    docker("start", node)
    kubectl("taint", "node", node, f"{OUT_OF_SERVICE.partition('=')[0]}-", check=False)
    eventually(lambda: get_json("node", node), _takes_pods, 120, f"node {node} takes pods", every=1)


def _takes_pods(node: Manifest) -> bool:
    taints = node["spec"].get("taints", ())
    return condition(node, "Ready") == "True" and not taints and not node["spec"].get("unschedulable")


def kill_container(pod: Manifest, container: str) -> bool:
    """SIGKILL the first process of a container, which no process inside it can do; False where there is none."""
    states = {each["name"]: each for each in pod["status"].get("containerStatuses", ())}
    if "running" not in states.get(container, {}).get("state", {}):
        return False
    task = states[container]["containerID"].removeprefix("containerd://")
    command = ["docker", "exec", pod["spec"]["nodeName"], "ctr", "-n", "k8s.io", "tasks", "kill", "-s", "SIGKILL", task]
    return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0
