"""A run on a Dask cluster: a real one, in this process, its workers unable to import the flow."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import socketserver
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import distributed
import pytest

from flow_operator.api.wire import RunReport
from flow_operator.flow.executors import EXECUTORS
from flow_operator.runner.cluster import Cluster, connected
from flow_operator.runner.errors import RunFailed
from flow_operator.runner.executor import session
from flow_operator.runner.scheduler import Scheduler

from .conftest import Pod, ended, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flow_operator.api.wire import ExecutorSpec, RunIdentity

pytestmark = pytest.mark.filterwarnings("default")

RUN: RunIdentity = {"name": "r", "namespace": "n", "uid": "u", "attempt": 1}

PLAIN = """
import dask, distributed
class Square(int): ...
def square(x):
    time.sleep(0.02)
    return Square(x * x)
def main(n: int = 3):
    distributed.get_client()
    return int(sum(dask.compute(*[dask.delayed(square)(i) for i in range(n)])))
"""

GRAPH = """
from flow_operator import Flow, Parameter, task
@task
def numbers(n): return list(range(n))
@task
def total(numbers): return sum(numbers)
with Flow("squares") as main:
    total(numbers(Parameter("n", default=3)))
"""

HANGING = """
import dask
def main():
    event("computing")
    dask.delayed(sum)([1]).compute()
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with _cluster(workers=2) as made:
        yield made


def _cluster(workers: int) -> Any:
    return distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=":0"
    )


def _spec(address: str, **more: Any) -> ExecutorSpec:
    return {"kind": "Dask", "address": address, "minWorkers": 1, "connectTimeoutSeconds": 10.0, **more}  # type: ignore[typeddict-item]


def test_functions_travel_by_value_and_workers_are_counted(pod: Pod, cluster: Any) -> None:
    pod.flow(PLAIN)
    pod.request["executor"] = _spec(cluster.scheduler_address)
    pod.request["parameters"] = {"n": 8}
    assert ended(pod.main()) == 0
    report = pod.message()
    assert report["result"] == 140
    assert sorted(report["workersSeen"]) == ["0", "1"]
    assert set(report["stages"]) == {"load", "connect", "flow"}


@pytest.mark.parametrize("twice", [False, True])
def test_a_graph_runs_on_the_cluster(pod: Pod, cluster: Any, twice: bool) -> None:
    pod.flow(GRAPH)
    pod.request["executor"] = {"kind": "Dask", "kwargs": {"address": cluster.scheduler_address}}
    if twice:  # as an operator of an earlier release says it
        pod.request["executor"]["address"] = cluster.scheduler_address
    assert ended(pod.main()) == 0
    assert pod.message()["result"] == 3
    assert pod.message()["workersSeen"]


def test_a_lost_scheduler_ends_the_flow_in_bounded_time(pod: Pod) -> None:
    where = pod.home / "scheduler.json"
    command = ("-m", "distributed.cli.dask_scheduler", "--port", "0", "--dashboard-address", ":0")
    scheduler = pod.start("scheduler", *command, "--scheduler-file", str(where))
    pod.flow(HANGING)
    eventually(lambda: where.exists() and where.read_text().endswith("}"))  # it is not written at once
    pod.request["executor"] = _spec(json.loads(where.read_text())["address"], minWorkers=0)
    process = pod.main()
    pod.wait_event("computing")
    time.sleep(0.1)  # it waits for workers that never come
    scheduler.kill()
    start = time.monotonic()
    assert ended(process) == 1
    assert time.monotonic() - start < 8
    assert pod.message()["reason"] == "SchedulerLost"


def test_an_unreachable_scheduler() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    assert _refusal(_spec(address, connectTimeoutSeconds=0.15)) == "SchedulerUnreachable"
    assert _refusal(_spec("tcp://scheduler.invalid:8786", connectTimeoutSeconds=0.0)) == "SchedulerUnreachable"


def test_a_stranger_at_the_schedulers_address_is_not_a_crash() -> None:
    """An address that leads elsewhere until kube-proxy knows the Service: it answers, in HTTP."""

    class Stranger(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 8)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"tcp://127.0.0.1:{server.server_address[1]}"
        assert _refusal(_spec(address, connectTimeoutSeconds=0.5)) == "SchedulerUnreachable"
        server.shutdown()


def test_a_stranger_at_first_and_then_the_scheduler(cluster: Any) -> None:
    """What happens while kube-proxy learns of the Service; it must connect then, and never hang."""
    host, port = cluster.scheduler_address.removeprefix("tcp://").split(":")
    strange = iter(range(5))

    class Gateway(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            if next(strange, None) is not None:
                self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                return
            with socket.create_connection((host, int(port))) as scheduler:
                back = threading.Thread(target=_copy, args=(scheduler, self.request), daemon=True)
                back.start()
                _copy(self.request, scheduler)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Gateway) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        spec, report = _spec(f"tcp://127.0.0.1:{server.server_address[1]}"), RunReport(stages={})
        with connected(spec["address"], {}, spec, RUN, report) as active:
            assert active.client.submit(pow, 2, 5).result(timeout=10) == 32
        server.shutdown()


def _copy(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)


def test_no_workers() -> None:
    with _cluster(workers=0) as empty:
        assert _refusal(_spec(empty.scheduler_address, connectTimeoutSeconds=0.3)) == "NoWorkers"


def test_wrong_client_arguments(cluster: Any) -> None:
    assert _refusal(_spec(cluster.scheduler_address), speed="high") == "BadExecutor"


@pytest.mark.parametrize(
    "address",
    [
        "nonsense",
        "tcp://nonsense",
        "tcp://",
        "scheduler:8786x",
        "tcp://h:99999",
        "http://127.0.0.1:8786",
        5,
        "inproc://x",
    ],
)
def test_a_wrong_address_is_named(address: Any) -> None:
    report: RunReport = {"stages": {}}
    spec: ExecutorSpec = {"kind": "Dask", "kwargs": {"address": address}}
    with pytest.raises(RunFailed, match=f"address {address!r}") as caught, session(spec, RUN, report):
        pass
    assert caught.value.reason == "BadExecutor"


@pytest.mark.parametrize(
    ("kind", "kwargs"),
    [
        ("LocalDask", {"scheduler": "bogus"}),
        ("LocalDask", {"num_workers": "4"}),
        ("LocalDask", {"bogus": 1}),
        ("Local", {"a": 1}),
    ],
)
def test_wrong_arguments_are_no_crash(kind: Any, kwargs: dict[str, Any]) -> None:
    spec: ExecutorSpec = {"kind": kind, "kwargs": kwargs}
    with pytest.raises(RunFailed, match=f"executor {kind}") as caught, session(spec, RUN, {"stages": {}}):
        pass
    assert caught.value.reason == "BadExecutor"


def test_what_a_cluster_of_the_pod_says_to_its_arguments_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unwilling:  # a real one would leave half a cluster in this process
        def __init__(self, **_: Any) -> None: ...

        @contextlib.contextmanager
        def session(self) -> Iterator[None]:
            raise RuntimeError("Nanny failed to start.")
            yield

    monkeypatch.setitem(EXECUTORS, "Dask", Unwilling)
    spec: ExecutorSpec = {"kind": "Dask", "kwargs": {"bogus": 1}}
    with pytest.raises(RunFailed, match="executor Dask: Nanny") as caught, session(spec, RUN, {"stages": {}}):
        pass
    assert caught.value.reason == "BadExecutor"
    with pytest.raises(RuntimeError), session({"kind": "Dask"}, RUN, {"stages": {}}):
        pass


def test_what_a_flow_raises_is_not_blamed_on_its_executor() -> None:
    spec: ExecutorSpec = {"kind": "LocalDask", "kwargs": {"num_workers": 1}}
    with pytest.raises(ValueError, match="the flow's own"), session(spec, RUN, {"stages": {}}):
        raise ValueError("the flow's own")


def test_errors_of_the_flow_are_not_blamed_on_the_scheduler(cluster: Any) -> None:
    Cluster(None, cluster.scheduler_address, "").explain(OSError("the flow's own"))


def test_a_scheduler_whose_connections_ended_before_it_did_is_asked_how_it_ended() -> None:
    dying = subprocess.Popen([sys.executable, "-c", "import os, time; time.sleep(0.3); os.kill(os.getpid(), 9)"])
    lost = Cluster(None, "tcp://127.0.0.1:1", "", Scheduler(dying.pid))
    with pytest.raises(RunFailed, match="memory limit") as caught:
        lost.explain(asyncio.CancelledError("scheduler-connection-lost"))
    assert caught.value.reason == "SchedulerLost"
    dying.returncode = 0  # it has been waited for


def _refusal(spec: ExecutorSpec, **kwargs: Any) -> str:
    report: RunReport = {"stages": {}}
    with pytest.raises(RunFailed) as caught, connected(spec["address"], kwargs, spec, RUN, report):
        pass
    assert "connect" in report["stages"]
    return caught.value.reason
