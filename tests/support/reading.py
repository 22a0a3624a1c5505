"""What the API server has, over one warm connection: a test that waits looks often, and a kubectl is a program."""

from __future__ import annotations

import atexit
import base64
import functools
import json
import ssl
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import httpx
import yaml

Manifest = dict[str, Any]

CONTEXT = "kind-flow-operator"

# Where objects live that tests read, by the names that kubectl takes.
_GROUPS = {
    "api/v1": ("pods", "services", "configmaps", "secrets", "events"),
    "apis/apps/v1": ("deployments",),
    "apis/batch/v1": ("jobs",),
    "apis/flow-operator.io/v1alpha1": ("flowdeployments", "flowruns"),
    "apis/kubernetes.dask.org/v1": ("daskautoscalers", "daskclusters", "daskworkergroups"),
}
_PLACES = {resource: (group, resource) for group, resources in _GROUPS.items() for resource in resources}
_PLACES |= {resource[:-1]: place for resource, place in _PLACES.items()}


def administrator() -> tuple[str, ssl.SSLContext]:
    """Return the API server's address, and the test cluster's administrator as an SSL context."""
    command = ["kubectl", "--context", CONTEXT, "config", "view", "--raw", "--minify"]
    config = yaml.safe_load(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    with tempfile.TemporaryDirectory() as folder:
        pair = Path(folder, "administrator.pem")
        pair.touch(mode=0o600)
        pair.write_bytes(
            base64.b64decode(user["client-certificate-data"]) + b"\n" + base64.b64decode(user["client-key-data"])
        )
        context.load_cert_chain(pair)
    return cluster["server"], context


@functools.cache
def _client() -> httpx.Client:
    server, context = administrator()
    made = httpx.Client(base_url=server, verify=context, trust_env=False, timeout=60)
    atexit.register(made.close)
    return made


def _answer(path: str, query: dict[str, str]) -> httpx.Response:
    try:
        return _client().get(path, params=query)
    except httpx.TransportError:  # the server has closed a connection that was idle
        return _client().get(path, params=query)


def raw(path: str, **query: str) -> str:
    """Return what the server says under a path, as `kubectl get --raw` does."""
    answer = _answer(path, query)
    assert answer.is_success, f"GET {path}: {answer.status_code} {answer.text[:500]}"
    return answer.text


def find(namespace: str, kind: str, name: str) -> Manifest | None:
    """Return an object, None if it is not there."""
    path = f"{_collection(namespace, kind)}/{name}"
    answer = _answer(path, {})
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    assert answer.is_success, f"GET {path}: {answer.status_code} {answer.text[:500]}"
    return _plain(answer.json())


def listed(namespace: str, kinds: str, selector: str = "") -> list[Manifest]:
    """Return objects of some kinds, "pods,services", as `kubectl get` does."""
    found = []
    for kind in kinds.split(","):
        answer = json.loads(raw(_collection(namespace, kind), **({"labelSelector": selector} if selector else {})))
        head = {"apiVersion": answer["apiVersion"], "kind": answer["kind"].removesuffix("List")}
        found += [{**head, **_plain(each)} for each in answer["items"]]
    return found


def _collection(namespace: str, kind: str) -> str:
    group, resource = _PLACES[kind.partition(".")[0].lower()]
    return f"/{group}/namespaces/{namespace}/{resource}"


def _plain(manifest: Manifest) -> Manifest:
    manifest["metadata"].pop("managedFields", None)
    return manifest
