"""The registries of one build: one connection each, with one login for everything the build does there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_operator.images.connection import Connection
from flow_operator.images.endpoints import endpoint_of, trust_of
from flow_operator.images.registry import Repository

if TYPE_CHECKING:
    from flow_operator.images.clients import Clients
    from flow_operator.images.credentials import Keychain
    from flow_operator.images.reference import Reference
    from flow_operator.images.request import Plan
    from flow_operator.images.retries import Retries


class Connections:
    """Makes a connection when it is first needed."""

    def __init__(self, plan: Plan, keychain: Keychain, retries: Retries, clients: Clients) -> None:
        self._plan = plan
        self._keychain = keychain
        self._retries = retries
        self._clients = clients
        self._open: dict[str, Connection] = {}

    def repository(self, reference: Reference) -> Repository:
        """The repository a reference names."""
        registry = reference.registry
        if registry not in self._open:
            self._open[registry] = self._connect(registry)
        return Repository(self._open[registry], reference.repository)

    def _connect(self, registry: str) -> Connection:
        endpoint = endpoint_of(registry, self._plan.registries)
        client = self._clients.client(registry, endpoint, trust_of(registry, self._plan.registries))
        login = self._clients.login(registry, endpoint, self._keychain, self._scopes(registry))
        return Connection(registry, endpoint, client, login, self._retries)

    def _scopes(self, registry: str) -> tuple[str, ...]:
        """Push where the image goes, pull where the base is; both in one token where that is one registry."""
        wanted = ((self._plan.target, "pull,push"), (self._plan.base, "pull"))
        return tuple(f"repository:{one.repository}:{right}" for one, right in wanted if one.registry == registry)
