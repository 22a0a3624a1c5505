"""A scheduler beside the flow, and workers as programs of their own: real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import pytest

from flow_operator.api import wire

from .conftest import Pod, ended, eventually

if TYPE_CHECKING:
    import subprocess

COMPUTING = """
import dask, distributed
def square(x):
    time.sleep(0.02)
    return x * x
def main(n: int = 8):
    event("begun")
    return sum(dask.compute(*[dask.delayed(square)(i) for i in range(n)]))
"""

HANGING = """
import dask
def main():
    event("computing")
    dask.delayed(time.sleep)(60).compute()
"""


SLEEPING = """
import dask
def main():
    event("sleeping")
    time.sleep(1)
    dask.delayed(abs)(1).compute()
"""


@pytest.fixture
def ports(pod: Pod) -> dict[str, int]:
    """Have the pod start a scheduler."""
    free = [socket.create_server(("", 0)) for _ in range(2)]
    found = dict(zip(("port", "httpPort"), (each.getsockname()[1] for each in free), strict=True))
    for each in free:
        each.close()
    pod.request["executor"] = {
        "kind": "Dask",
        "address": f"tcp://127.0.0.1:{found['port']}",
        "minWorkers": 1,
        "connectTimeoutSeconds": 10.0,
        "scheduler": found,
    }
    pod.env = {wire.SCHEDULER_ENV: f"tcp://127.0.0.1:{found['port']}", wire.PATIENCE_ENV: "10"}
    return found


def a_worker(pod: Pod, name: str = "w0") -> subprocess.Popen[str]:
    options = ["--name", name, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--death-timeout", "10"]
    return pod.start(name, "-P", "-m", "flow_operator.runner", "worker", *options)


def ask(port: int, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(f"http://127.0.0.1:{port}/api/v1/{path}", data=data), timeout=5) as answer:
        return json.load(answer)


def schedulers_of(flow: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{flow}/task/{flow}/children").read_text().split()]


def test_a_flow_computes_on_workers_that_came_before_the_scheduler(pod: Pod, ports: dict[str, int]) -> None:
    pod.flow(COMPUTING)
    worker = a_worker(pod)
    time.sleep(0.3)
    main = pod.main()
    assert ended(main) == 0
    assert pod.message()["result"] == sum(i * i for i in range(8))
    assert pod.message()["workersSeen"] == ["w0"]
    output = main.communicate()[0]
    assert "distributed" not in output  # the log is the flow's
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", ports["port"]), timeout=1)
    assert ended(worker) == 0  # it has lost its scheduler, and a restart would not help it


def test_the_operator_can_ask_and_retire(pod: Pod, ports: dict[str, int]) -> None:
    pod.flow(HANGING)
    worker, _main = a_worker(pod), pod.main()
    pod.wait_event("computing")
    eventually(lambda: [each["name"] for each in ask(ports["httpPort"], "get_workers")["workers"]] == ["w0"])
    eventually(lambda: ask(ports["httpPort"], "adaptive_target")["workers"] == 1)
    second = a_worker(pod, "w1")
    eventually(lambda: ask(ports["httpPort"], "get_workers")["num_workers"] == 2)
    retired = ask(ports["httpPort"], "retire_workers", {"n": 1})
    assert [each["name"] for each in retired.values()] == ["w1"]  # the idle one
    assert ended(second) == 0  # it ends by itself, and well: nobody is to start it again
    assert worker.poll() is None


def lose_the_scheduler(main: subprocess.Popen[str]) -> None:
    (flow,) = schedulers_of(main.pid)
    (scheduler,) = schedulers_of(flow)
    os.kill(scheduler, signal.SIGKILL)


def test_a_scheduler_that_is_killed_ends_the_flow_with_its_reason(pod: Pod, ports: dict[str, int]) -> None:
    pod.flow(HANGING)
    a_worker(pod)
    main = pod.main()
    pod.wait_event("computing")
    lose_the_scheduler(main)
    assert ended(main) == wire.EXIT_FLOW_FAILED
    assert pod.message()["reason"] == "SchedulerLost"
    assert "memory limit" in pod.message()["error"]["message"]


def test_a_scheduler_that_is_killed_before_a_worker_came_is_noticed(pod: Pod, ports: dict[str, int]) -> None:
    pod.flow(COMPUTING)
    pod.request["executor"]["connectTimeoutSeconds"] = 600.0
    main = pod.main()
    eventually(lambda: _is_open(ports["port"]))
    time.sleep(1.5)  # the client has connected
    lose_the_scheduler(main)
    assert ended(main) == wire.EXIT_FLOW_FAILED
    assert pod.message()["reason"] == "SchedulerLost"
    assert "memory limit" in pod.message()["error"]["message"]


def test_a_scheduler_that_is_killed_while_nothing_is_computed_is_noticed(pod: Pod, ports: dict[str, int]) -> None:
    pod.flow(SLEEPING)
    pod.request["executor"]["connectTimeoutSeconds"] = 600.0
    a_worker(pod)
    main = pod.main()
    pod.wait_event("sleeping")
    lose_the_scheduler(main)
    assert main.wait(timeout=30) == wire.EXIT_FLOW_FAILED, "10 s after the loss the client is closed"
    assert pod.message()["reason"] == "SchedulerLost"


def _is_open(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


ASKING = """
import dask, distributed
def main():
    client = distributed.get_client()
    try:
        return client.run_on_scheduler(dask.config.get, "distributed.scheduler.work-stealing")
    except ValueError as error:
        return str(error)
"""


@pytest.mark.parametrize("own", [False, True])
def test_a_flow_can_run_nothing_in_the_scheduler_unless_it_is_allowed_to(
    pod: Pod, ports: dict[str, int], own: bool
) -> None:
    pod.flow(ASKING)
    pod.request["executor"]["minWorkers"] = 0
    if own:
        pod.env["DASK_DISTRIBUTED__SCHEDULER__BLOCKED_HANDLERS"] = "[]"
    assert ended(pod.main()) == 0
    result = pod.message()["result"]
    assert result is False if own else "explicitly disallowed" in result, "work is not stolen either"


def test_a_scheduler_never_outlives_the_flow(pod: Pod, ports: dict[str, int]) -> None:
    pod.flow(HANGING)
    a_worker(pod)
    main = pod.main()
    pod.wait_event("computing")
    (flow,) = schedulers_of(main.pid)
    (scheduler,) = schedulers_of(flow)
    os.kill(flow, signal.SIGKILL)
    proc = Path(f"/proc/{scheduler}/cmdline")
    eventually(lambda: not proc.exists() or not proc.read_bytes())


def test_a_scheduler_that_cannot_begin_is_told_at_once(pod: Pod, ports: dict[str, int]) -> None:
    pod.flow(COMPUTING)
    with socket.create_server(("", ports["port"])):
        main = pod.main()
        assert ended(main) == wire.EXIT_FLOW_FAILED
    assert pod.message()["reason"] == "SchedulerLost"
