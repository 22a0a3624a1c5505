"""Logging in to a registry: the Bearer token dance of the distribution specification, and Basic."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

from flow_operator.images.border import registry_errors, status_error
from flow_operator.images.errors import RegistryFailedError

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from flow_operator.images.credentials import Credential

_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_CLIENT_ID = "flow-operator"


class Login:
    """The Authorization header of one registry: none at first, then what its challenge asks for."""

    def __init__(self, registry: str, find: Callable[[], Credential | None], scopes: tuple[str, ...]) -> None:
        self._registry = registry
        self._find = find  # asked at every challenge: a helper may know another credential by then
        self._scopes = scopes
        self._lock = threading.Lock()
        self.header = ""

    def answer(self, client: httpx.Client, challenge: httpx.Response, sent: str) -> bool:
        """Whether to ask again: with a first login, or a fresh token where the old one has expired."""
        with self._lock:
            if self.header == sent:  # else another thread has logged in meanwhile
                self.header = self._fresh(client, challenge.headers.get("WWW-Authenticate", ""))
            return self.header not in ("", sent) or self.header.startswith("Bearer ")

    def forget(self) -> None:
        """Log in anew at the next challenge."""
        with self._lock:
            self.header = ""

    def _fresh(self, client: httpx.Client, challenge: str) -> str:
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "bearer":
            return "Bearer " + self._token(client, dict(_PARAMETER.findall(rest)))
        credential = self._find() if scheme.lower() == "basic" else None
        return credential.basic() if credential else ""

    def _token(self, client: httpx.Client, challenge: dict[str, str]) -> str:
        scopes = sorted({*self._scopes, *challenge.get("scope", "").split()})
        with registry_errors(self._registry):
            response = self._ask(client, challenge.get("realm", ""), challenge.get("service", ""), scopes)
        if response.status_code != 200:
            raise status_error(self._registry, "log in", response)
        try:
            answer = response.json()
            return str(answer.get("token") or answer["access_token"])
        except (ValueError, KeyError, AttributeError):
            raise RegistryFailedError(f"Registry {self._registry} sent a login without a token.") from None

    def _ask(self, client: httpx.Client, realm: str, service: str, scopes: list[str]) -> httpx.Response:
        credential = self._find()
        if credential and credential.identity_token:
            form = {
                "grant_type": "refresh_token",
                "refresh_token": credential.identity_token,
                "client_id": _CLIENT_ID,
                "service": service,
                "scope": " ".join(scopes),
            }
            return client.post(realm, data=form)
        query = [("service", service), *(("scope", scope) for scope in scopes)]
        headers = {"Authorization": credential.basic()} if credential else {}
        return client.get(realm, params=tuple(pair for pair in query if pair[1]), headers=headers)
