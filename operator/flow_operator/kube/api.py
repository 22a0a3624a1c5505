"""The Kubernetes API with plain manifests: create, read, replace status, delete; every call is counted."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from kubernetes.aio import client, config

from .errors import mapped, of_status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

Manifest = dict[str, Any]

# The plural of every kind we touch; there are few, and discovery would cost requests.
PLURALS = {
    "ConfigMap": "configmaps",
    "DaskAutoscaler": "daskautoscalers",
    "DaskCluster": "daskclusters",
    "DaskWorkerGroup": "daskworkergroups",
    "Deployment": "deployments",
    "Event": "events",
    "FlowDeployment": "flowdeployments",
    "FlowRun": "flowruns",
    "Namespace": "namespaces",
    "Pod": "pods",
}
REQUEST_TIMEOUT = 30.0


class Api:
    """One connection to the API server."""

    def __init__(self, raw: client.ApiClient, on_call: Callable[[str, str, int], None] | None = None) -> None:
        self._raw = raw
        self._on_call = on_call or (lambda _verb, _kind, _code: None)
        self.calls: Counter[tuple[str, str, int]] = Counter()

    @property
    def raw(self) -> client.ApiClient:
        """Return the client underneath; for the Lease helper of the same package."""
        return self._raw

    async def close(self) -> None:
        """Close the connection."""
        await self._raw.close()

    async def get(self, api_version: str, kind: str, namespace: str, name: str) -> Manifest:
        """Return an object; NotFound where there is none."""
        return await self._call("GET", kind, path(api_version, kind, namespace, name))

    async def list(
        self, api_version: str, kind: str, namespace: str | None, **selectors: str
    ) -> AsyncIterator[Manifest]:
        """Yield objects, page by page, each with its kind (lists leave it out)."""
        query = {"limit": "500", **selectors}
        while True:
            page = await self._call("GET", kind, path(api_version, kind, namespace), query=query)
            for each in page["items"]:
                yield {"apiVersion": api_version, "kind": kind, **each}
            token = page["metadata"].get("continue")
            if not token:
                return
            query["continue"] = token

    async def watch(self, api_version: str, kind: str, namespace: str, name: str) -> AsyncIterator[Manifest | None]:
        """Yield one object whenever it changes, beginning with what it is now; None where it is not there.

        Ends when the server closes the stream; the caller begins anew.
        """
        target = path(api_version, kind, namespace)
        selector = {"fieldSelector": f"metadata.name={name}"}
        listed = await self._call("GET", kind, target, query=selector)
        items = listed["items"]
        yield {"apiVersion": api_version, "kind": kind, **items[0]} if items else None
        query = {**selector, "watch": "true", "resourceVersion": listed["metadata"]["resourceVersion"]}
        async for event in self._stream(kind, target, query):
            if event["type"] == "ERROR":
                return
            yield None if event["type"] == "DELETED" else event["object"]

    async def _stream(self, kind: str, target: str, query: dict[str, str]) -> AsyncIterator[Manifest]:
        url = f"{self._raw.configuration.host}{target}?{urlencode({**query, 'timeoutSeconds': '240'})}"
        headers = {"Accept": "application/json"}
        with mapped():
            await self._raw.update_params_for_auth(headers, {}, ["BearerToken"], target, "GET", None)
            response = await self._raw.call_api("GET", url, header_params=headers, _request_timeout=300)
            self._on_call("WATCH", kind, response.status)
            try:
                async for line in response.response.content:
                    if line.strip():
                        yield json.loads(line)
            finally:
                response.response.close()

    async def create(self, manifest: Manifest) -> Manifest:
        """Create an object and return it; Conflict where the name is taken."""
        target = path(manifest["apiVersion"], manifest["kind"], manifest["metadata"].get("namespace"))
        return await self._call("POST", manifest["kind"], target, body=manifest)

    async def replace_status(self, manifest: Manifest) -> Manifest:
        """Write an object's status; Conflict where it has changed since it was read."""
        meta = manifest["metadata"]
        target = path(manifest["apiVersion"], manifest["kind"], meta["namespace"], meta["name"]) + "/status"
        return await self._call("PUT", manifest["kind"], target, body=manifest)

    async def patch(self, api_version: str, kind: str, namespace: str, name: str, body: Manifest) -> Manifest:
        """Merge-patch an object."""
        target = path(api_version, kind, namespace, name)
        return await self._call("PATCH", kind, target, body=body, content="application/merge-patch+json")

    async def apply(self, manifest: Manifest, manager: str, *, force: bool = False, dry_run: bool = False) -> Manifest:
        """Server-side apply; Conflict where another manager owns a field and `force` is not set."""
        meta = manifest["metadata"]
        target = path(manifest["apiVersion"], manifest["kind"], meta.get("namespace"), meta["name"])
        query = {"fieldManager": manager, "force": str(force).lower(), **({"dryRun": "All"} if dry_run else {})}
        kind, content = manifest["kind"], "application/apply-patch+yaml"
        return await self._call("PATCH", kind, target, query=query, body=manifest, content=content)

    async def delete(self, api_version: str, kind: str, namespace: str, name: str, uid: str | None = None) -> Manifest:
        """Delete an object in the background; with a UID, only that very one (Conflict where it is another)."""
        options: Manifest = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        return await self._call("DELETE", kind, path(api_version, kind, namespace, name), body=options)

    async def _call(
        self,
        method: str,
        kind: str,
        target: str,
        *,
        query: dict[str, str] | None = None,
        body: Manifest | None = None,
        content: str = "application/json",
    ) -> Manifest:
        url = self._raw.configuration.host + target + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": "application/json", "Content-Type": content}
        with mapped():
            await self._raw.update_params_for_auth(headers, {}, ["BearerToken"], target, method, body)
            response = await self._raw.call_api(
                method,
                url,
                header_params=headers,
                body=body,
                _request_timeout=REQUEST_TIMEOUT,
                _preload_content=False,
            )
            text = (await response.read()).decode()
        self.calls[method, kind, response.status] += 1
        self._on_call(method, kind, response.status)
        if response.status >= 300:
            raise of_status(response.status, text)
        answer: Manifest = json.loads(text)
        return answer


def path(api_version: str, kind: str, namespace: str | None, name: str | None = None) -> str:
    """Return the URL path of a collection or an object."""
    root = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
    scope = f"/namespaces/{quote(namespace)}" if namespace else ""
    return f"{root}{scope}/{PLURALS[kind]}" + (f"/{quote(name)}" if name else "")


async def connect(
    on_call: Callable[[str, str, int], None] | None = None, *, kubeconfig: str | None = None, context: str | None = None
) -> Api:
    """Connect with the pod's service account, or with a kubeconfig outside a cluster or where one is named."""
    settings = client.Configuration()
    named = kubeconfig or context or "KUBECONFIG" in os.environ
    if "KUBERNETES_SERVICE_HOST" in os.environ and not named:
        config.load_incluster_config(client_configuration=settings)
    else:
        await config.load_kube_config(config_file=kubeconfig, context=context, client_configuration=settings)
    return Api(client.ApiClient(settings), on_call)


__all__ = ["Api", "connect", "path"]
