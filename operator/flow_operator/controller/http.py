"""Health and metrics over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable

    from .metrics import Metrics
    from .queue import Queue
    from .store import Key
    from .watches import Watches

PORT = 8080
# A watch that misses news this long, or a key that waits this long, is a reason to start anew.
WATCH_LIMIT, QUEUE_LIMIT = 90.0, 300.0


@dataclass(frozen=True)
class Health:
    """What the probes ask."""

    watches: Watches
    queue: Queue[Key]
    is_leading: Callable[[], bool]
    is_warm: Callable[[], bool]

    def problems(self) -> list[str]:
        """Return what is wrong, in sentences."""
        late = [
            f"the watch of {kind} has missed news for {seconds:.0f} s"
            for kind, seconds in self.watches.lags().items()
            if seconds > WATCH_LIMIT
        ]
        if self.is_leading() and self.queue.oldest > QUEUE_LIMIT:
            late.append(f"a key has waited for {self.queue.oldest:.0f} s")
        return late


async def serve(health: Health, metrics: Metrics, port: int = PORT) -> web.AppRunner:
    """Start the server and return it; the caller cleans it up."""

    async def healthz(_: web.Request) -> web.Response:
        problems = health.problems()
        return web.Response(text="\n".join(problems) or "ok", status=500 if problems else 200)

    async def readyz(_: web.Request) -> web.Response:
        warm = health.is_warm()
        role = "leading" if health.is_leading() else "standing by"
        return web.Response(text=role if warm else "warming up", status=200 if warm else 503)

    async def show(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.registry), content_type="text/plain")

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", show)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    return runner
