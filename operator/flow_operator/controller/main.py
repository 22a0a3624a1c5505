"""`flow-operator`: connect, watch, wait for the Lease, reconcile."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

import kopf

from ..api.settings import Settings, load
from ..clusters.schedulers import Schedulers
from ..kube import lease
from ..kube.api import Api, connect
from . import http, logs
from .listening import Listener
from .metrics import Metrics
from .queue import Queue, work
from .reconcile import Reconciler
from .sources import Sources
from .store import Key, Store
from .watches import Watches

logger = logging.getLogger(__name__)

WORKERS = 16
SETTINGS_FILE = Path("/etc/flow-operator/settings.yaml")


class Operator:
    """One replica: its parts, and the order in which they start and stop."""

    def __init__(self, settings: Settings, api: Api, metrics: Metrics) -> None:
        self.settings, self.api, self.metrics = settings, api, metrics
        self.store = Store()
        self.queue: Queue[Key] = Queue(time.monotonic)
        self.watches = Watches(self.store, self.queue, settings)
        self.sources = Sources(api, self.store, self.queue)
        self.watches.source_wanted = self.sources.want
        self.leading = False
        self.warm = False
        metrics.read_from(self.queue, self.store, self.watches)

    async def run(self) -> None:
        """Run until told to stop (SIGTERM), or until the Lease is lost."""
        server = await http.serve(
            http.Health(self.watches, self.queue, lambda: self.leading, lambda: self.warm),
            self.metrics,
            int(os.environ.get("FLOW_OPERATOR_HTTP_PORT", http.PORT)),
        )
        tasks = [
            asyncio.create_task(self._watch(), name="watches"),
            asyncio.create_task(self._lead(), name="leader"),
            asyncio.create_task(self.watches.sweep_for_ever(self.api), name="sweep"),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()  # an error ends the process: Kubernetes starts a fresh one
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.sources.close()
            await server.cleanup()
            await self.api.close()

    async def _watch(self) -> None:
        namespaces = self.settings.watch_namespaces
        await kopf.operator(
            registry=self.watches.registry(),
            clusterwide=not namespaces,
            namespaces=namespaces,
            standalone=True,
        )

    async def _lead(self) -> None:
        # kopf does not say when its lists are complete, and absence in half a cache means nothing.
        await self.watches.warm_up(self.api)
        self.warm = True
        election = self.settings.leader_election
        if not election.enabled:
            await self._reconcile()
            return
        identity = os.environ.get("POD_NAME") or f"{socket.gethostname()}-{os.getpid()}"
        await lease.lead(lease.lock(self.api, election, identity), election, self._reconcile)

    async def _reconcile(self) -> None:
        self.leading = True
        self.watches.tell_all()
        schedulers = Schedulers()
        listener = Listener(schedulers, self.queue, time.monotonic)
        reconciler = Reconciler(
            self.api,
            self.store,
            self.queue,
            self.settings,
            sources=self.sources,
            ca_bundle=lambda: _read(self.settings.ca_bundle),
            on_reconciled=self.metrics.reconciled,
            on_written=self.watches.tell,
            listener=listener,
        )
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(WORKERS):
                    group.create_task(work(self.queue, reconciler.reconcile))
        finally:
            listener.close()
            await schedulers.close()


def _read(path: str) -> str | None:
    return Path(path).read_text() if path else None


async def start(settings: Settings) -> None:
    """Connect and run one replica."""
    metrics = Metrics()
    await Operator(settings, await connect(metrics.called), metrics).run()


def main(argv: list[str] | None = None) -> Any:
    """Run the operator until SIGTERM."""
    parser = argparse.ArgumentParser(prog="flow-operator", description=__doc__)
    parser.add_argument("--settings", type=Path, default=SETTINGS_FILE, help="settings file (default: %(default)s)")
    arguments = parser.parse_args(argv)
    try:
        settings = load(arguments.settings)
    except (OSError, ValueError) as error:
        sys.exit(f"flow-operator: cannot read settings: {error}")
    logs.configure(settings)
    try:
        asyncio.run(start(settings))
    except lease.LeadershipLost as error:
        sys.exit(f"flow-operator: {error}")
    except Exception:
        logger.critical("stopped by an error", exc_info=True)  # Kubernetes starts a fresh process
        sys.exit(1)
