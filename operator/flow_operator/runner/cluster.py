"""A run on a Dask cluster: reach it, use it, notice its loss, remember who did the work."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import time
from typing import TYPE_CHECKING, Any

import dask
import distributed
from distributed.comm import get_address_host_port

from flow_operator.runner.dialling import answers
from flow_operator.runner.errors import RunFailed
from flow_operator.runner.executor import Session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flow_operator.api.wire import ExecutorSpec, RunIdentity, RunReport
    from flow_operator.runner.scheduler import Scheduler

CONNECT_TIMEOUT = 120.0
RECONNECT_TIMEOUT = 10.0  # of a client that has lost its scheduler: what it computed is lost already
PROBE_TIMEOUT = 3.0  # of a scheduler that may be gone
END_TIMEOUT = 2.0  # until a process whose connections have ended can be asked how it ended
GLANCE = 1.0  # seconds between two looks at a scheduler that has no worker yet
MAX_WORKERS_SEEN = 16
CANCELLED = (asyncio.CancelledError, concurrent.futures.CancelledError)


class Cluster(Session):
    """A connected cluster."""

    def __init__(self, client: Any, address: str, topic: str, scheduler: Scheduler | None = None) -> None:
        self.client = client
        self.address = address
        self.topic = topic
        self.scheduler = scheduler  # where it is a process of ours

    def explain(self, error: BaseException) -> None:
        """Raise RunFailed if the flow failed because the scheduler went away."""
        if not isinstance(error, (*CANCELLED, OSError)):
            return
        _still_ours(self.scheduler, error)
        if isinstance(error, CANCELLED) and "scheduler-connection-lost" in str(error):
            what = f"lost the connection to the Dask scheduler at {self.address}"
        elif not answers(self.address, PROBE_TIMEOUT):
            what = f"the Dask scheduler at {self.address} went away"
        else:
            return
        _still_ours(self.scheduler, error, END_TIMEOUT)  # its connections end before it does
        raise RunFailed("SchedulerLost", what) from error

    def await_worker(self, spec: ExecutorSpec, deadline: float, timeout: float) -> None:
        """Wait for the first worker of a cluster that promises one, and notice if the scheduler ends before.

        Raises:
            RunFailed: there is no worker in time, or no scheduler any more.
        """
        if spec.get("minWorkers", 0) < 1:
            return  # they come with the first tasks, or the cluster is not ours
        # In short steps: distributed itself would not say before the deadline that nobody listens any more.
        with dask.config.set({"distributed.comm.timeouts.connect": PROBE_TIMEOUT}):
            while time.monotonic() < deadline:
                _still_ours(self.scheduler)
                try:
                    self.client.wait_for_workers(1, timeout=min(GLANCE, max(0.1, deadline - time.monotonic())))
                except TimeoutError:
                    continue
                except (*CANCELLED, OSError) as error:
                    self.explain(error)
                    time.sleep(GLANCE)
                else:
                    return
        _still_ours(self.scheduler)
        raise RunFailed("NoWorkers", f"no Dask worker came within {timeout:g} s")

    def watch_workers(self) -> None:
        """Have the scheduler note who computes, so that workers that are retired later count too."""
        with _optional("workers will not be listed"):
            self.client.register_plugin(_worker_log(self.topic))

    def workers_seen(self) -> list[str]:
        """Names of the workers that computed something, in the order they first did."""
        with _optional("workers are not listed"):
            return [str(name) for _, name in self.client.get_events(self.topic)][:MAX_WORKERS_SEEN]
        return []


@contextlib.contextmanager
def connected(
    address: str,
    kwargs: dict[str, Any],
    spec: ExecutorSpec,
    run: RunIdentity,
    report: RunReport,
    scheduler: Scheduler | None = None,
) -> Iterator[Cluster]:
    """Connect the default client, wait for the first worker of a cluster that promises one, and note who works."""
    _check(address)
    start = time.monotonic()
    timeout = float(spec.get("connectTimeoutSeconds", CONNECT_TIMEOUT))
    print(f"flow-operator: connecting to {address}", flush=True)
    try:
        client = _client(address, kwargs, start + timeout, timeout, scheduler)
        cluster = Cluster(client, address, f"flow-operator/{run['uid']}/{run['attempt']}", scheduler)
        with client:
            cluster.await_worker(spec, start + timeout, timeout)
            cluster.watch_workers()
            report["stages"]["connect"] = round(time.monotonic() - start, 3)
            print(f"flow-operator: connected after {report['stages']['connect']} s", flush=True)
            try:
                yield cluster
            finally:
                seen = cluster.workers_seen() if client.status == "running" else []
                if seen:
                    report["workersSeen"] = seen
    finally:
        report["stages"].setdefault("connect", round(time.monotonic() - start, 3))


def _check(address: Any) -> None:
    """Raise RunFailed if nobody could be at an address."""
    try:
        _, port = get_address_host_port(address, strict=True)
    except (TypeError, ValueError) as error:
        raise RunFailed("BadExecutor", f"executor Dask: address {address!r}: {error}") from error
    if not 0 < port < 2**16:
        raise RunFailed("BadExecutor", f"executor Dask: address {address!r}: there is no port {port}")


def _client(
    address: str, kwargs: dict[str, Any], deadline: float, timeout: float, scheduler: Scheduler | None = None
) -> Any:
    """A client, as soon as the scheduler answers: its name may not resolve yet, nor its port be open.

    One client is made, and not before a scheduler has been heard: a client that failed is closed by the garbage
    collector, at a moment when that can deadlock with the next one's start (seen).
    """
    if not answers(address, deadline - time.monotonic(), lambda: scheduler is not None and scheduler.end is not None):
        _still_ours(scheduler)
        raise RunFailed("SchedulerUnreachable", f"no Dask scheduler at {address} within {timeout:g} s")
    patience = min(RECONNECT_TIMEOUT, max(1.0, deadline - time.monotonic()))  # of the first connection, and of another
    try:
        return distributed.Client(address, **{"timeout": patience, **kwargs})
    except (TypeError, ValueError) as error:
        raise RunFailed("BadExecutor", f"executor Dask: {error}") from error
    except Exception as error:
        _still_ours(scheduler, error, 0.0 if answers(address, PROBE_TIMEOUT) else END_TIMEOUT)
        message = f"the Dask scheduler at {address} does not answer: {type(error).__name__}: {error}"
        raise RunFailed("SchedulerUnreachable", message) from error


def _still_ours(scheduler: Scheduler | None, error: BaseException | None = None, timeout: float = 0.0) -> None:
    """Raise RunFailed if a scheduler that is a process of ours has ended, or does within `timeout` seconds."""
    if scheduler and (end := scheduler.wait(timeout)):
        raise RunFailed("SchedulerLost", f"the Dask scheduler in the runner's pod {end}") from error


def _worker_log(topic: str) -> Any:
    """A plugin of a class made here: it goes by value, so a scheduler without this package can load it."""

    class WorkerLog(distributed.SchedulerPlugin):  # type: ignore[misc]
        name = topic
        idempotent = True

        def start(self, scheduler: Any) -> None:
            self.scheduler = scheduler
            self.seen: set[Any] = set()

        def transition(self, key: Any, start: str, finish: str, *_: Any, worker: Any = None, **__: Any) -> None:  # noqa: ARG002
            if start != "processing" or finish != "memory" or worker in self.seen:
                return
            self.seen.add(worker)
            state = self.scheduler.workers.get(worker)
            self.scheduler.log_event(topic, str(worker if state is None else state.name))

    return WorkerLog()


@contextlib.contextmanager
def _optional(what: str) -> Iterator[None]:
    """Statistics never fail a flow."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever a foreign scheduler refuses
        print(f"flow-operator: {what}: {type(error).__name__}: {error}", flush=True)
