"""The test cluster's API over one warm connection: a benchmark's own overhead must not be kubectl's start."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
from tests.support.reading import CONTEXT, administrator

if TYPE_CHECKING:
    from collections.abc import Iterator

Manifest = dict[str, Any]
Event = tuple[str, Manifest]

FIELD_MANAGER = "flow-operator-bench"


class Failed(Exception):
    """Something measured did not end as it should."""


class Kube:
    """Requests and watches. A watch is open before the thing it is about is made, so that nothing is missed."""

    def __init__(self) -> None:
        server, context = administrator()
        self._http = httpx.Client(base_url=server, verify=context, trust_env=False, timeout=30)

    def get(self, path: str, **query: str) -> Manifest:
        """Return an object or a list."""
        found: Manifest = json.loads(self.text(path, **query))
        return found

    def text(self, path: str, **query: str) -> str:
        """Return what the server says under a path."""
        return _checked(self._http.get(path, params=query)).text

    def create(self, manifest: Manifest) -> Manifest:
        """Create an object."""
        collection = path_of(manifest).rpartition("/")[0]
        made: Manifest = _checked(self._http.post(collection, json=manifest)).json()
        return made

    def apply(self, manifest: Manifest) -> Manifest:
        """Apply an object on the server's side, as `kubectl apply --server-side` does."""
        answer = self._http.patch(
            path_of(manifest),
            params={"fieldManager": FIELD_MANAGER, "force": "true"},
            headers={"Content-Type": "application/apply-patch+yaml"},
            content=json.dumps(manifest),
        )
        applied: Manifest = _checked(answer).json()
        return applied

    def merge(self, manifest: Manifest, change: Manifest) -> Manifest:
        """Change an object by a merge patch, as `kubectl patch --type=merge` does."""
        headers = {"Content-Type": "application/merge-patch+json"}
        answer = self._http.patch(path_of(manifest), headers=headers, content=json.dumps(change))
        changed: Manifest = _checked(answer).json()
        return changed

    def delete(self, manifest: Manifest) -> None:
        """Delete an object and, in the background, its children; it may be gone already."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        answer = self._http.request("DELETE", path_of(manifest), json=options)
        if answer.status_code != httpx.codes.NOT_FOUND:
            _checked(answer)

    @contextmanager
    def watch(self, collection: str, name: str = "", *, patience: float | None = None) -> Iterator[Iterator[Event]]:
        """Open a watch of a collection or of one name in it; `patience` bounds the silence between two events."""
        query = {"watch": "true", "timeoutSeconds": "7200"} | (
            {"fieldSelector": f"metadata.name={name}"} if name else {}
        )
        with self._http.stream("GET", collection, params=query, timeout=httpx.Timeout(30, read=patience)) as answer:
            if answer.is_error:
                answer.read()
            yield _events(_checked(answer))


def path_of(manifest: Manifest) -> str:
    """Return where an object lives."""
    meta = manifest["metadata"]
    return f"{collection_of(manifest['apiVersion'], manifest['kind'], meta['namespace'])}/{meta['name']}"


def collection_of(api_version: str, kind: str, namespace: str) -> str:
    """Return where objects of a kind live; every kind used here has a regular plural."""
    root = "api" if api_version == "v1" else "apis"
    return f"/{root}/{api_version}/namespaces/{namespace}/{kind.lower()}s"


def _events(answer: httpx.Response) -> Iterator[Event]:
    for line in answer.iter_lines():
        event = json.loads(line)
        yield event["type"], event["object"]


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_error:
        raise Failed(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text[:500]}")
    return answer


__all__ = ["CONTEXT", "Event", "Failed", "Kube", "Manifest", "collection_of", "path_of"]
