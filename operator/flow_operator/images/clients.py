"""The registries this process talks to, kept between builds: sockets, logins, and what was seen there."""

from __future__ import annotations

import atexit
import os
import ssl
import threading
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import httpx

from flow_operator.images.auth import Login
from flow_operator.images.border import registry_errors
from flow_operator.images.errors import BadSettingsError, RegistryFailedError
from flow_operator.images.known import Known

if TYPE_CHECKING:
    from collections.abc import Callable

    from flow_operator.images.credentials import Keychain

T = TypeVar("T")

TIMEOUT = httpx.Timeout(40.0, connect=10.0)
_LIMITS = httpx.Limits(max_connections=16, max_keepalive_connections=8, keepalive_expiry=30.0)


@dataclass(frozen=True)
class Trust:
    """Whom to believe that it is the registry. A file that was replaced since is another trust."""

    ca: str = ""  # file with authorities for this registry, besides those for all
    insecure: bool = False
    versions: tuple[tuple[int, int], ...] = ()  # of the files, when this was made

    @classmethod
    def now(cls, ca: str, *, insecure: bool) -> Trust:
        """The trust in what the files hold at this moment."""
        return cls(ca, insecure, (_version(os.environ.get("SSL_CERT_FILE", "")), _version(ca)))

    def context(self) -> ssl.SSLContext:
        """The authorities of SSL_CERT_FILE, else httpx's own, and those of this registry."""
        if self.insecure:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            return context
        bundle = os.environ.get("SSL_CERT_FILE")
        context = _read(bundle, "SSL_CERT_FILE", ssl.create_default_context) if bundle else httpx.create_ssl_context()
        if self.ca:
            _read(self.ca, "ca of the registries setting", context.load_verify_locations)
        return context


@dataclass(frozen=True)
class Client:
    """One registry: what equal addresses share."""

    http: httpx.Client
    known: Known = field(default_factory=Known)


class Clients:
    """Opens a client when it is first needed, and keeps it; safe to use from several threads."""

    def __init__(self, transport: httpx.BaseTransport | None = None, timeout: httpx.Timeout = TIMEOUT) -> None:
        self._transport = transport
        self._timeout = timeout
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str, Trust], Client] = {}
        self._logins: dict[tuple[str, str, Keychain, tuple[str, ...]], Login] = {}

    def client(self, registry: str, endpoint: str, trust: Trust) -> Client:
        """The client of a registry."""
        key = (registry, endpoint, trust)
        with self._lock, registry_errors(registry):
            if key not in self._clients:
                self._clients[key] = Client(self._open(registry, httpx.URL(endpoint), trust))
            return self._clients[key]

    def login(self, registry: str, endpoint: str, keychain: Keychain, scopes: tuple[str, ...]) -> Login:
        """The login at a registry with one keychain, for one purpose."""
        key = (registry, endpoint, keychain, scopes)
        with self._lock:
            if key not in self._logins:
                self._logins[key] = Login(registry, lambda: keychain.find(registry), scopes)
            return self._logins[key]

    def close(self) -> None:
        """Let the sockets go."""
        with self._lock:
            for client in self._clients.values():
                client.http.close()
        self.forget()

    def forget(self) -> None:
        """Begin anew: a forked process must not write into its parent's sockets."""
        self._lock = threading.Lock()
        self._clients, self._logins = {}, {}

    def _open(self, registry: str, endpoint: httpx.URL, trust: Trust) -> httpx.Client:
        plain = endpoint.scheme == "http"
        return httpx.Client(
            timeout=self._timeout,
            limits=_LIMITS,
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else trust.context(),
            transport=self._transport,
            mounts={"https://": _OnDemand(trust)} if plain and not self._transport else None,
            event_hooks={"request": [] if plain else [partial(_refuse_plain_http, registry)]},
            headers={"User-Agent": "flow-operator"},
        )


SHARED = Clients()
atexit.register(SHARED.close)
os.register_at_fork(after_in_child=SHARED.forget)


def _refuse_plain_http(registry: str, request: httpx.Request) -> None:
    if request.url.scheme == "http":
        raise RegistryFailedError(
            f"Registry {registry} sends us to a plain http:// address.",
            remedy="Let the registry know its public https:// name, or write an http:// endpoint if it has none.",
            retryable=False,
        )


class _OnDemand(httpx.BaseTransport):
    """HTTPS for a registry of plain HTTP, should it redirect there: trust takes 25 ms to load."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        self._lock = threading.Lock()
        self._transport: httpx.HTTPTransport | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        with self._lock:
            self._transport = self._transport or httpx.HTTPTransport(verify=self._trust.context())
        return self._transport.handle_request(request)

    def close(self) -> None:
        """Let the sockets go."""
        if self._transport:
            self._transport.close()


def _version(file: str) -> tuple[int, int]:
    try:
        found = Path(file).stat() if file else None
    except OSError:
        found = None
    return (found.st_mtime_ns, found.st_size) if found else (0, 0)


def _read(file: str, what: str, load: Callable[..., T]) -> T:
    try:
        return load(cafile=file)
    except OSError:
        raise BadSettingsError(f"{what} is {file}, which cannot be read as certificates.") from None
