"""A proxy between operator and API server that can tell writes apart, count them, and call back after each.

The API server is reached with the kubeconfig's client certificate; the operator reaches the proxy in plain HTTP on
the loopback interface and carries no credential.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

from tests.support.cluster import kubectl
from tests.support.reading import CONTEXT

if TYPE_CHECKING:
    from collections.abc import Callable

HOP_BY_HOP = {"host", "connection", "transfer-encoding", "content-length", "content-encoding", "accept-encoding"}


@dataclass
class Write:
    """One write of the operator, after the API server has done it and before the operator hears of it."""

    number: int
    method: str
    path: str
    status: int

    @property
    def what(self) -> str:
        """Return it in a few words: "POST pods", "PUT flowruns/status"."""
        parts = self.path.split("?")[0].strip("/").split("/")
        resource = parts[parts.index("namespaces") + 2] if "namespaces" in parts else parts[-1]
        return f"{self.method} {resource}{'/status' if parts[-1] == 'status' else ''}"


@dataclass
class ApiProxy:
    """Runs in a thread of its own; `on_write` may kill the operator before it gets its answer."""

    on_write: Callable[[Write], None]
    writes: list[Write] = field(default_factory=list)
    port: int = 0

    def __enter__(self) -> ApiProxy:
        self._files = tempfile.TemporaryDirectory()
        self._server, self._ssl = _admin(Path(self._files.name))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        asyncio.run_coroutine_threadsafe(_end_all(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
        self._files.cleanup()

    def kubeconfig(self, to: Path) -> Path:
        """Write a kubeconfig that leads through the proxy."""
        entry = {"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}
        config: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "proxy",
            "clusters": [{"name": "proxy", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "contexts": [entry],
            "users": [{"name": "proxy", "user": {}}],
        }
        to.write_text(yaml.safe_dump(config))
        return to

    async def _start(self) -> None:
        self._session = ClientSession(
            connector=TCPConnector(ssl=self._ssl, limit=0), timeout=ClientTimeout(total=None), auto_decompress=False
        )
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_route("*", "/{path:.*}", self._forward)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]

    async def _stop(self) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        headers = {key: value for key, value in request.headers.items() if key.lower() not in HOP_BY_HOP}
        headers["Accept-Encoding"] = "identity"
        body = await request.read()
        async with self._session.request(
            request.method, f"{self._server}{request.path_qs}", data=body or None, headers=headers
        ) as answer:
            if request.method != "GET" and "/leases" not in request.path:
                write = Write(len(self.writes) + 1, request.method, request.path, answer.status)
                self.writes.append(write)
                self.on_write(write)
            response = web.StreamResponse(status=answer.status)
            response.content_type = answer.content_type
            with contextlib.suppress(ConnectionError):
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
            return response


async def _end_all() -> None:
    """End the watches that still stream: their clients were killed."""
    rest = [each for each in asyncio.all_tasks() if each is not asyncio.current_task()]
    for each in rest:
        each.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


def _admin(folder: Path) -> tuple[str, ssl.SSLContext]:
    """Return the API server's address and the test cluster's administrator as an SSL context."""
    config = yaml.safe_load(kubectl("config", "view", "--raw", "--minify", "--context", CONTEXT))
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    certificate, key = folder / "client.crt", folder / "client.key"
    certificate.write_bytes(base64.b64decode(user["client-certificate-data"]))
    key.touch(mode=0o600)
    key.write_bytes(base64.b64decode(user["client-key-data"]))
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    context.load_cert_chain(certificate, key)
    return cluster["server"], context
