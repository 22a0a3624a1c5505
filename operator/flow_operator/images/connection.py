"""One registry over HTTP: endpoint, login, errors, retries. What is asked is in `registry.py`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import httpx

from flow_operator.images.border import registry_errors, status_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from flow_operator.images.auth import Login
    from flow_operator.images.blobs import Blob
    from flow_operator.images.clients import Client
    from flow_operator.images.retries import Retries


class Connection:
    """Requests of one build to one registry; safe to use from several threads."""

    def __init__(self, registry: str, endpoint: str, client: Client, login: Login, retries: Retries) -> None:
        self.registry = registry
        self.retries = retries
        self.known = client.known
        self._login = login
        self._client = client.http
        with registry_errors(registry):
            self._endpoint = httpx.URL(endpoint)
        self._root = endpoint.rstrip("/")

    def url(self, path: str) -> str:
        """A path below `/v2/`."""
        return f"{self._root}/v2/{path}"

    def ask(
        self,
        method: str,
        path: str,
        what: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        """A whole answer with status 2xx or 404, tried again while that may help. For what can be repeated."""

        def once() -> httpx.Response:
            return self.once(method, self.url(path), what, headers=headers, params=params, content=content)

        return self.retries.run(once)

    def once(
        self,
        method: str,
        url: str,
        what: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        blob: Blob | None = None,
    ) -> httpx.Response:
        """A whole answer with status 2xx or 404, tried once (twice when the registry wants a login first)."""

        with registry_errors(self.registry):
            address = httpx.URL(_with(url, params))

        def send() -> httpx.Response:
            return self._send(method, address, headers or {}, content, blob)

        return self._logged_in(send, what)

    @contextmanager
    def streaming(self, path: str, what: str) -> Iterator[httpx.Response]:
        """An answer whose body is read by the caller, piece by piece; tried once."""

        def send() -> httpx.Response:
            url = httpx.URL(self.url(path))
            request = self._client.build_request("GET", url, headers=self._authorization(url))
            return self._client.send(request, stream=True, follow_redirects=True)

        response = self._logged_in(send, what)
        try:
            yield response
        finally:
            response.close()

    def _logged_in(self, send: Callable[[], httpx.Response], what: str) -> httpx.Response:
        sent = self._login.header
        with registry_errors(self.registry):
            response = send()
            if response.status_code == 401 and self._login.answer(self._client, response, sent):
                response.close()
                response = send()
            if response.is_success or response.status_code == 404:
                return response
            response.read()
            response.close()
        if response.status_code == 403:
            self._login.forget()  # the next build may be allowed more
        raise status_error(self.registry, what, response)

    def _send(
        self,
        method: str,
        url: httpx.URL,
        headers: Mapping[str, str],
        content: bytes | None,
        blob: Blob | None,
    ) -> httpx.Response:
        headers = {**headers, **self._authorization(url)}
        if blob is None:
            reading = method in ("GET", "HEAD")
            return self._client.request(method, url, headers=headers, content=content, follow_redirects=reading)
        with blob.open() as pieces:
            # With a length the body is not sent in HTTP chunks, which some registries' front ends refuse.
            headers |= {"Content-Length": str(blob.size), "Content-Type": "application/octet-stream"}
            return self._client.request(method, url, headers=headers, content=_iterated(pieces))

    def _authorization(self, url: httpx.URL) -> dict[str, str]:
        """Our login, for our registry alone: an upload may have been sent to another host."""
        ours = (url.scheme, url.netloc) == (self._endpoint.scheme, self._endpoint.netloc)
        return {"Authorization": self._login.header} if ours and self._login.header else {}


def _with(url: str, params: Mapping[str, str] | None) -> str:
    """A URL with further parameters. As text: an upload's address is long, and httpx looks at every character of it."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(params)}" if params else url


def _iterated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    yield from pieces
