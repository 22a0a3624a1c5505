"""The Kubernetes API with plain manifests: create, read, replace status, delete; every call is counted."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import aiohttp
import yaml
from kubernetes.aio import client, config
from kubernetes.aio.config.config_exception import ConfigException

from .errors import NotConfigured, mapped, of_status

if TYPE_CHECKING:
    import builtins
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

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
    "Job": "jobs",
    "Namespace": "namespaces",
    "Pod": "pods",
    "Service": "services",
}
REQUEST_TIMEOUT = 30.0
FOLLOWING = aiohttp.ClientTimeout(total=None, sock_connect=REQUEST_TIMEOUT)  # a log may be silent for hours
DEFAULT_KUBECONFIG = "~/.kube/config"
OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class Api:
    """One connection to the API server.

    Attributes:
        namespace: that of the kubeconfig's context, or the pod's own; "default" where nothing is said.
        calls: how many requests were made, by verb, kind and status code.
    """

    def __init__(
        self,
        raw: client.ApiClient,
        on_call: Callable[[str, str, int], None] | None = None,
        namespace: str = "default",
        renew: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._raw = raw
        self._renew = renew
        self._renewing = asyncio.Lock()
        self.namespace = namespace
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

    async def watch(
        self, api_version: str, kind: str, namespace: str, name: str
    ) -> AsyncGenerator[Manifest | None, None]:
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

    async def changes(
        self, api_version: str, kind: str, namespace: str | None, **selectors: str
    ) -> AsyncIterator[tuple[str, Manifest]]:
        """Yield objects as they come, change and go ("ADDED", "MODIFIED", "DELETED"), beginning with what is there.

        Never ends by itself. After a gap what is there comes again as "ADDED"; what went meanwhile does not come.
        """
        target = path(api_version, kind, namespace)
        while True:
            listed = await self._call("GET", kind, target, query=selectors)
            for each in listed["items"]:
                yield "ADDED", {"apiVersion": api_version, "kind": kind, **each}
            query = {**selectors, "watch": "true", "resourceVersion": listed["metadata"]["resourceVersion"]}
            async for event in self._stream(kind, target, query):
                if event["type"] == "ERROR":
                    break
                yield event["type"], event["object"]

    async def logs(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        follow: bool = False,
        since: str = "",
    ) -> AsyncIterator[str]:
        """Yield the lines a container prints, each with its time before it; with `follow` until it ends.

        Since a time may mean since its second: not every server asks the kubelet for more.
        """
        query = {"container": container, "follow": str(follow).lower(), "timestamps": "true"}
        if since:
            query["sinceTime"] = since
        target = path("v1", "Pod", namespace, pod) + "/log"
        async for line in self._lines("LOG", "Pod", f"{target}?{urlencode(query)}", FOLLOWING):
            yield line.decode("utf-8", "replace").rstrip("\r\n")

    async def _stream(self, kind: str, target: str, query: dict[str, str]) -> AsyncIterator[Manifest]:
        timed = urlencode({**query, "timeoutSeconds": "240"})
        async for line in self._lines("WATCH", kind, f"{target}?{timed}", 300):
            if line.strip():
                yield json.loads(line)

    async def _lines(self, verb: str, kind: str, target: str, limit: Any) -> AsyncIterator[bytes]:
        url = self._raw.configuration.host + target
        with mapped():
            response = await self._ask("GET", url, target, {"Accept": "application/json"}, _request_timeout=limit)
            self._on_call(verb, kind, response.status)
            try:
                if response.status >= 300:
                    raise of_status(response.status, (await response.read()).decode("utf-8", "replace"))
                async for line in response.response.content:
                    yield line
            finally:
                _cut(response.response)

    async def create(self, manifest: Manifest, *, dry_run: bool = False, strict: bool = False) -> Manifest:
        """Create an object and return it; Conflict where the name is taken.

        Args:
            manifest: what to create.
            dry_run: only be told whether it would be admitted.
            strict: refuse fields that the server does not know, instead of dropping them.
        """
        target = path(manifest["apiVersion"], manifest["kind"], manifest["metadata"].get("namespace"))
        query = {**({"dryRun": "All"} if dry_run else {}), **({"fieldValidation": "Strict"} if strict else {})}
        return await self._call("POST", manifest["kind"], target, query=query, body=manifest)

    async def replace_status(self, manifest: Manifest) -> Manifest:
        """Write an object's status; Conflict where it has changed since it was read."""
        meta = manifest["metadata"]
        target = path(manifest["apiVersion"], manifest["kind"], meta["namespace"], meta["name"]) + "/status"
        return await self._call("PUT", manifest["kind"], target, body=manifest)

    async def patch(self, api_version: str, kind: str, namespace: str, name: str, body: Manifest) -> Manifest:
        """Merge-patch an object."""
        target = path(api_version, kind, namespace, name)
        return await self._call("PATCH", kind, target, body=body, content="application/merge-patch+json")

    async def json_patch(
        self, api_version: str, kind: str, namespace: str, name: str, steps: builtins.list[Manifest]
    ) -> Manifest:
        """Patch an object step by step; Refused where a `test` among them fails."""
        target = path(api_version, kind, namespace, name)
        return await self._call("PATCH", kind, target, body=steps, content="application/json-patch+json")

    async def apply(self, manifest: Manifest, manager: str, *, force: bool = False, dry_run: bool = False) -> Manifest:
        """Server-side apply; Conflict where another manager owns a field and `force` is not set."""
        meta = manifest["metadata"]
        target = path(manifest["apiVersion"], manifest["kind"], meta.get("namespace"), meta["name"])
        query = {"fieldManager": manager, "force": str(force).lower(), **({"dryRun": "All"} if dry_run else {})}
        kind, content = manifest["kind"], "application/apply-patch+yaml"
        return await self._call("PATCH", kind, target, query=query, body=manifest, content=content)

    async def delete(
        self,
        api_version: str,
        kind: str,
        namespace: str,
        name: str,
        uid: str | None = None,
        grace: int | None = None,
    ) -> Manifest:
        """Delete an object in the background; with a UID, only that very one (Conflict where it is another)."""
        options: Manifest = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
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
        body: Manifest | builtins.list[Manifest] | None = None,
        content: str = "application/json",
    ) -> Manifest:
        url = self._raw.configuration.host + target + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": "application/json", "Content-Type": content}
        with mapped():
            response = await self._ask(
                method, url, target, headers, body=body, _request_timeout=REQUEST_TIMEOUT, _preload_content=False
            )
            text = (await response.read()).decode()
        self.calls[method, kind, response.status] += 1
        self._on_call(method, kind, response.status)
        if response.status >= 300:
            raise of_status(response.status, text)
        answer: Manifest = json.loads(text)
        return answer

    async def _ask(self, method: str, url: str, target: str, headers: dict[str, str], **more: Any) -> Any:
        """Send a request; once more with a fresh credential, where the server does not accept the one we have.

        A kubeconfig's plug-in and an OIDC provider give tokens for minutes, and a watch lasts for hours.
        """
        token = self._token()
        await self._raw.update_params_for_auth(headers, {}, ["BearerToken"], target, method, more.get("body"))
        response = await self._raw.call_api(method, url, header_params=headers, **more)
        if response.status != 401 or not await self._renewed(token):
            return response
        await response.read()
        await self._raw.update_params_for_auth(headers, {}, ["BearerToken"], target, method, more.get("body"))
        return await self._raw.call_api(method, url, header_params=headers, **more)

    async def _renewed(self, token: str | None) -> bool:
        """Get a fresh credential, unless another request has; whether there is one that was not tried."""
        if self._renew is None:
            return False
        async with self._renewing:
            if self._token() == token:
                with suppress(NotConfigured):  # the server's own word is what counts
                    await self._renew()
            return self._token() != token

    def _token(self) -> str | None:
        found: str | None = self._raw.configuration.api_key.get("BearerToken")
        return found


def _cut(response: aiohttp.ClientResponse) -> None:
    """End a stream that may be left half-way, at once: TLS's farewell would outlast a loop that stops next."""
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    response.close()


def path(api_version: str, kind: str, namespace: str | None, name: str | None = None) -> str:
    """Return the URL path of a collection or an object."""
    root = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
    scope = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
    return f"{root}{scope}/{PLURALS[kind]}" + (f"/{quote(name, safe='')}" if name else "")


async def connect(
    on_call: Callable[[str, str, int], None] | None = None, *, kubeconfig: str | None = None, context: str | None = None
) -> Api:
    """Connect with the pod's service account, or with a kubeconfig outside a cluster or where one is named.

    Raises:
        NotConfigured: there is no kubeconfig, it cannot be read, or it has no such context.
    """
    settings = client.Configuration()
    named = kubeconfig or context or "KUBECONFIG" in os.environ
    renew = None  # in a cluster the client reads the mounted token again by itself
    if "KUBERNETES_SERVICE_HOST" in os.environ and not named:
        config.load_incluster_config(client_configuration=settings)
        namespace = _own_namespace()
    else:
        file = kubeconfig or os.environ.get("KUBECONFIG") or DEFAULT_KUBECONFIG
        namespace = await _load(settings, file, context)

        async def renew() -> None:
            await _load(settings, file, context)

    # No limit: each watch holds a connection, and a hundred of them must not keep a Lease from being renewed.
    settings.connection_pool_maxsize = 0
    return Api(client.ApiClient(settings), on_call, namespace, renew)


def _own_namespace() -> str:
    return OWN_NAMESPACE.read_text().strip() if OWN_NAMESPACE.exists() else "default"


def _exists(files: str) -> bool:
    """Whether one of several is there, as $KUBECONFIG lists them."""
    return any(Path(each).expanduser().is_file() for each in files.split(os.pathsep) if each)


async def _load(settings: client.Configuration, file: str, context: str | None) -> str:
    """Fill in where the cluster is and who asks; the context's namespace."""
    if not _exists(file):
        raise NotConfigured(f"there is no kubeconfig at {file}")
    try:
        loader = await config.load_kube_config(config_file=file, context=context, client_configuration=settings)
    except (ConfigException, yaml.YAMLError, OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        said = str(error).strip().partition("\n")[0]
        if context and "contexts" in said:
            raise NotConfigured(f"the kubeconfig {file} has no context {context!r}") from error
        raise NotConfigured(f"the kubeconfig {file} cannot be used: {said}") from error
    return str(loader.current_context["context"].get("namespace") or "default")


__all__ = ["Api", "connect", "path"]
