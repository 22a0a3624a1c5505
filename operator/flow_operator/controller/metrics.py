"""What the operator tells Prometheus."""

from __future__ import annotations

from collections import Counter as Tally
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .queue import Queue
    from .store import Key, Store
    from .watches import Watches


class Metrics:
    """The metrics of one operator, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._calls = Counter(
            "flow_operator_api_requests",
            "Requests to the API server.",
            ["verb", "kind", "code"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "flow_operator_reconcile_seconds",
            "Duration of one reconcile.",
            ["kind"],
            buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
            registry=self.registry,
        )

    def called(self, verb: str, kind: str, code: int) -> None:
        """Count a request to the API server."""
        self._calls.labels(verb, kind, str(code)).inc()

    def reconciled(self, kind: str, seconds: float) -> None:
        """Record a reconcile."""
        self._seconds.labels(kind).observe(seconds)

    def read_from(self, queue: Queue[Key], store: Store, watches: Watches) -> None:
        """Serve what queue, store and watches know at the time of asking."""
        self.registry.register(_Live(queue, store, watches))


class _Live:
    """Values that are read when asked for, not counted along the way."""

    def __init__(self, queue: Queue[Key], store: Store, watches: Watches) -> None:
        self._queue, self._store, self._watches = queue, store, watches

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the families."""
        yield GaugeMetricFamily("flow_operator_queue_depth", "Keys due or worked on.", value=self._queue.depth)
        yield GaugeMetricFamily(
            "flow_operator_queue_oldest_seconds", "Wait of the oldest key.", value=self._queue.oldest
        )
        lag = GaugeMetricFamily("flow_operator_watch_lag_seconds", "How long a watch has missed news.", labels=["kind"])
        for kind, seconds in self._watches.lags().items():
            lag.add_metric([kind], seconds)
        yield lag
        yield _by_phase(self._store)


def _by_phase(store: Store) -> GaugeMetricFamily:
    phases = Tally((each.get("status") or {}).get("phase", "New") for each in store.of_kind("FlowRun"))
    family = GaugeMetricFamily("flow_operator_runs", "FlowRuns by phase.", labels=["phase"])
    for phase, count in sorted(phases.items()):
        family.add_metric([phase], count)
    return family
