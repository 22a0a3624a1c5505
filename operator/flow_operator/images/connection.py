"""One registry over HTTP: endpoint, login, timeouts, errors, retries. What is asked is in `registry.py`."""

from __future__ import annotations

import os
import ssl
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx

from flow_operator.images.auth import Login
from flow_operator.images.border import registry_errors, status_error
from flow_operator.images.errors import BadRequestError, RegistryFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from flow_operator.images.blobs import Blob
    from flow_operator.images.credentials import Credential
    from flow_operator.images.retries import Retries

_TIMEOUT = httpx.Timeout(60.0, connect=10.0)


class Connection:
    """Requests to one registry; safe to use from several threads."""

    def __init__(
        self,
        registry: str,
        endpoint: str,
        *,
        credential: Credential | None = None,
        scopes: tuple[str, ...] = (),
        retries: Retries,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.registry = registry
        self.retries = retries
        self._login = Login(registry, credential, scopes)
        with registry_errors(registry):
            self._endpoint = httpx.URL(endpoint)
            plain = self._endpoint.scheme == "http"
            self._client = httpx.Client(
                timeout=_TIMEOUT,
                verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else _trust(),
                transport=transport,
                mounts={"https://": _OnDemand()} if plain and not transport else None,
                event_hooks={"request": [self._refuse_plain_http]},
                headers={"User-Agent": "flow-operator"},
            )

    def close(self) -> None:
        """Let the sockets go."""
        self._client.close()

    def url(self, path: str) -> httpx.URL:
        """A path below `/v2/`."""
        return self._endpoint.copy_with(path=f"{self._endpoint.path.rstrip('/')}/v2/{path}", query=None)

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
        url: httpx.URL,
        what: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        blob: Blob | None = None,
    ) -> httpx.Response:
        """A whole answer with status 2xx or 404, tried once (twice when the registry wants a login first)."""

        def send() -> httpx.Response:
            return self._send(method, url, headers or {}, params, content, blob)

        return self._logged_in(send, what)

    @contextmanager
    def streaming(self, path: str, what: str) -> Iterator[httpx.Response]:
        """An answer whose body is read by the caller, piece by piece; tried once."""

        def send() -> httpx.Response:
            request = self._client.build_request("GET", self.url(path), headers=self._authorization(self.url(path)))
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
        raise status_error(self.registry, what, response)

    def _send(
        self,
        method: str,
        url: httpx.URL,
        headers: Mapping[str, str],
        params: Mapping[str, str] | None,
        content: bytes | None,
        blob: Blob | None,
    ) -> httpx.Response:
        headers = {**headers, **self._authorization(url)}
        if params:
            url = url.copy_merge_params(params)
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

    def _refuse_plain_http(self, request: httpx.Request) -> None:
        if request.url.scheme == "http" and self._endpoint.scheme == "https":
            raise RegistryFailedError(
                f"Registry {self.registry} sends us to a plain http:// address.",
                remedy="Let the registry know its public https:// name, or write an http:// endpoint if it has none.",
                retryable=False,
            )


def _iterated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    yield from pieces


class _OnDemand(httpx.BaseTransport):
    """HTTPS for a registry of plain HTTP, should it redirect there: trust takes 25 ms to load."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._transport: httpx.HTTPTransport | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        with self._lock:
            self._transport = self._transport or httpx.HTTPTransport(verify=_trust())
        return self._transport.handle_request(request)

    def close(self) -> None:
        """Let the sockets go."""
        if self._transport:
            self._transport.close()


def _trust() -> ssl.SSLContext:
    """The authorities of SSL_CERT_FILE, else httpx's own."""
    bundle = os.environ.get("SSL_CERT_FILE")
    try:
        return ssl.create_default_context(cafile=bundle) if bundle else httpx.create_ssl_context()
    except OSError:
        raise BadRequestError(f"SSL_CERT_FILE is {bundle}, which cannot be read as certificates.") from None
