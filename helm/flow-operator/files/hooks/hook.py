"""What the chart's hooks do, in the operator's image: `hook.py adopt DIR` and `hook.py release`.

README.md says when and why. Standard library only, so that it needs nothing of the image but its Python.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

Object = dict[str, Any]

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
OURS = "flow-operator.io"
DASK = "kubernetes.dask.org"
KOPF_FINALIZER = "kopf.zalando.org/KopfFinalizerMarker"
PAGE = 200
PODS_GONE_SECONDS = 40


def call(method: str, path: str, body: Object | None = None, kind: str = "application/json") -> Object:
    """Send one request to the API server and return its answer."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    address = f"[{host}]" if ":" in host else host
    request = urllib.request.Request(
        f"https://{address}:{port}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}", "Content-Type": kind},
    )
    trust = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    # A proxy of the pod's environment has no business between a pod and its API server.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))
    with opener.open(request, timeout=30) as answer:
        result: Object = json.load(answer)
        return result


def adopt(folder: Path) -> None:
    """Bring each CRD in the folder to the chart's state, and make this release its owner."""
    for path in sorted(folder.glob("*.json")):
        wanted: Object = json.loads(path.read_text())
        name = wanted["metadata"]["name"]
        live = call("GET", f"{CRDS}/{name}")
        for field in ("labels", "annotations"):
            live["metadata"].setdefault(field, {}).update(wanted["metadata"][field])
        # Replaced, not merged: a property that the new schema lacks must go.
        live["spec"] = wanted["spec"]
        call("PUT", f"{CRDS}/{name}", live)
        print(f"adopted {name}", flush=True)


def release() -> None:
    """Stop the controllers, then remove the finalizers that nobody would ever remove again."""
    for deployment in os.environ["DEPLOYMENTS"].split():
        stop(deployment)
    for plural in ("flowruns", "flowdeployments"):
        unfinalize(f"/apis/{OURS}/v1alpha1", plural, f"{OURS}/")
    unfinalize("/api/v1", "pods", f"{OURS}/", "&labelSelector=app.kubernetes.io%2Fmanaged-by%3Dflow-operator")
    if os.environ["DASK"] == "true":
        for plural in ("daskautoscalers", "daskclusters", "daskworkergroups", "daskjobs"):
            unfinalize(f"/apis/{DASK}/v1", plural, KOPF_FINALIZER)


def stop(deployment: str) -> None:
    """Scale a Deployment of ours to nothing, so that it puts no finalizer back."""
    path = f"/apis/apps/v1/namespaces/{os.environ['NAMESPACE']}/deployments/{deployment}"
    try:
        call("PATCH", f"{path}/scale", {"spec": {"replicas": 0}}, "application/merge-patch+json")
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return
        raise
    deadline = time.monotonic() + PODS_GONE_SECONDS
    while call("GET", path).get("status", {}).get("replicas", 0) and time.monotonic() < deadline:
        time.sleep(0.5)
    # A Deployment counts no pods that are terminating; their processes get SIGTERM and end within a second or two.
    time.sleep(2)
    print(f"stopped {deployment}", flush=True)


def unfinalize(group: str, plural: str, prefix: str, selector: str = "") -> None:
    """Remove the finalizers with this prefix from every object of a kind."""
    token = ""
    while True:
        try:
            page = call("GET", f"{group}/{plural}?limit={PAGE}&continue={token}{selector}")
        except urllib.error.HTTPError as error:
            if error.code == 404:  # the CRD is not there
                return
            raise
        for item in page["items"]:
            strip(f"{group}/namespaces/{item['metadata']['namespace']}/{plural}", item["metadata"], prefix)
        token = page["metadata"].get("continue", "")
        if not token:
            return


def strip(path: str, metadata: Object, prefix: str) -> None:
    """Remove the finalizers with this prefix from one object."""
    held = metadata.get("finalizers", [])
    kept = [each for each in held if not each.startswith(prefix)]
    if kept == held:
        return
    patch = {"metadata": {"finalizers": kept}}
    try:
        call("PATCH", f"{path}/{metadata['name']}", patch, "application/merge-patch+json")
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
    print(f"released {path}/{metadata['name']}", flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["adopt", folder]:
            adopt(Path(folder))
        case ["release"]:
            release()
        case _:
            sys.exit(__doc__)
