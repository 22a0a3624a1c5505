"""`runner run` without callbacks: exit codes, reports, signals."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from flow_operator.api import wire

from .conftest import Pod, ended, eventually


def test_success(pod: Pod) -> None:
    pod.flow("def main(n: int = 3):\n    print('to the log')\n    return n * n")
    pod.request["parameters"] = {"n": 5}
    process = pod.main()
    assert ended(process) == 0
    report = pod.message()
    assert report["state"] == "Succeeded"
    assert report["result"] == 25
    assert set(report["stages"]) == {"load", "flow"}
    assert process.stdout is not None
    assert process.stdout.read() == "to the log\n"


def test_a_raised_exception(pod: Pod) -> None:
    pod.flow("class Broken(Exception): ...\ndef inner():\n    raise Broken('no luck')\ndef main():\n    inner()")
    process = pod.main()
    assert ended(process) == 1
    report = pod.message()
    assert (report["state"], report["reason"]) == ("Failed", "FlowRaised")
    assert report["error"] == {
        "type": "flow.Broken",
        "message": "no luck",
        "frames": ["flow.py:10 in main", "flow.py:8 in inner"],
    }
    assert process.stdout is not None
    log = process.stdout.read()
    assert "Broken: no luck" in log
    assert "flow_operator/runner" not in log


@pytest.mark.parametrize(
    ("how", "code", "reason"),
    [
        ("sys.exit(0)", 0, None),
        ("sys.exit()", 0, None),
        ("sys.exit(3)", 3, "FlowExited"),
        ("sys.exit(256)", 1, "FlowExited"),
        ("sys.exit('enough')", 1, "FlowExited"),
        ("raise KeyboardInterrupt", 143, "Stopped"),
    ],
)
def test_exits(pod: Pod, how: str, code: int, reason: str | None) -> None:
    pod.flow(f"def main():\n    {how}")
    assert ended(pod.main()) == code
    assert pod.message().get("reason") == reason


@pytest.mark.parametrize(("how", "code"), [("os._exit(4)", 4), ("os.kill(os.getpid(), signal.SIGKILL)", 137)])
def test_a_sudden_end_leaves_no_report(pod: Pod, how: str, code: int) -> None:
    (pod.home / "main.message").write_text('{"state": "Succeeded"}')
    pod.flow(f"def main():\n    {how}")
    assert ended(pod.main()) == code
    assert set(pod.message() or {}) <= {"peakMemoryBytes"}


@pytest.mark.parametrize(
    ("source", "parameters", "reason", "words"),
    [
        ("import nowhere.to_be_found", {}, "LoadFailed", "nowhere"),
        ("def other(): ...", {}, "LoadFailed", "other"),
        ("def main(n): ...", {}, "BadParameters", "'n' is required"),
        ("def main(n: int): ...", {"n": "x"}, "BadParameters", "must be int, not str"),
        ("def main(): ...", {"m": 1}, "BadParameters", "unknown parameter 'm'"),
    ],
)
def test_flows_that_cannot_begin(pod: Pod, source: str, parameters: dict[str, object], reason: str, words: str) -> None:
    pod.flow(source)
    pod.request["parameters"] = parameters
    assert ended(pod.main()) == 1
    report = pod.message()
    assert report["reason"] == reason
    assert words in report["error"]["message"]


def test_wrong_executor_arguments(pod: Pod) -> None:
    pod.flow("def main(): ...")
    pod.request["executor"] = {"kind": "LocalDask", "kwargs": {"speed": "high"}}
    assert ended(pod.main()) == 1
    assert pod.message()["reason"] == "BadExecutor"


def test_sigterm_lets_the_flow_clean_up(pod: Pod) -> None:
    pod.flow("def main():\n  event('flow')\n  try: time.sleep(30)\n  finally: event('cleaned')")
    process = pod.main()
    pod.wait_event("flow")
    process.send_signal(signal.SIGTERM)
    assert ended(process) == 143
    assert pod.message()["reason"] == "Stopped"
    assert pod.events() == ["flow", "cleaned"]


EARLY = """
import os, signal, sys
class Finder:
    def find_spec(self, name, *_):
        if name == f"flow_operator.runner.{FIRST}":
            os.kill(os.getpid(), signal.SIGTERM)
sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize(("command", "first"), [("run", "supervisor"), ("task", "task")])
def test_sigterm_before_anything_of_ours_is_there_is_heard(pod: Pod, command: str, first: str) -> None:
    (pod.home / "sitecustomize.py").write_text(f"FIRST = {first!r}{EARLY}")
    pod.env["PYTHONPATH"] = os.pathsep.join((str(pod.home), pod.environment("main")["PYTHONPATH"]))
    pod.flow("def main():\n  event('flow')\n  time.sleep(30)\n  event('end')")
    process = pod.start("main", "-P", "-m", "flow_operator.runner", command)
    assert ended(process) == wire.EXIT_CLOSED
    assert process.stdout is not None
    assert command == "task" or pod.message()["reason"] == "Stopped"
    assert ('"reason":"Stopped"' in process.stdout.read()) == (command == "task"), "a task has its log only"
    assert not pod.events()


def test_sigkill_after_the_grace_period(pod: Pod) -> None:
    pod.flow("def main():\n  signal.signal(signal.SIGTERM, signal.SIG_IGN)\n  event('flow')\n  time.sleep(30)")
    pod.request["stopGraceSeconds"] = 0.1
    process = pod.main()
    pod.wait_event("flow")
    process.send_signal(signal.SIGTERM)
    assert ended(process) == 137
    assert pod.message()["reason"] == "Stopped"
    assert "within 0.1 s" in pod.message()["error"]["message"]


def test_sigterm_after_the_flow_was_killed_by_somebody_else_changes_nothing(pod: Pod) -> None:
    pod.flow("def main():\n  event(f'flow-{os.getpid()}')\n  os.kill(os.getpid(), 9)")
    process = pod.main()
    eventually(lambda: bool(pod.events()))
    child = int(pod.events()[0].partition("-")[2])
    eventually(lambda: not Path(f"/proc/{child}").exists())  # reaped
    process.send_signal(signal.SIGTERM)
    assert ended(process) == 137
    assert set(pod.message() or {}) <= {"peakMemoryBytes"}


def test_orphans_are_reaped(pod: Pod) -> None:
    pod.flow("def main():\n  if os.fork() == 0: os._exit(0)\n  time.sleep(0.05)\n  return 'done'")
    assert ended(pod.main()) == 0
    assert pod.message()["result"] == "done"


def test_results_that_do_not_fit(pod: Pod) -> None:
    pod.flow("def main(kind: str):\n  return 'x' * 5000 if kind == 'long' else object()")
    pod.request["parameters"] = {"kind": "long"}
    assert ended(pod.main()) == 0
    assert pod.message()["resultOmitted"] == "too large (5002 bytes)"
    pod.request["parameters"] = {"kind": "object"}
    assert ended(pod.main()) == 0
    assert pod.message()["resultOmitted"] == "not JSON: object"


def test_only_the_standard_library_is_loaded_for_a_plain_function(pod: Pod) -> None:
    pod.flow("def main():\n  return [m for m in ('dask', 'distributed', 'cloudpickle', 'numpy') if m in sys.modules]")
    assert ended(pod.main()) == 0
    assert pod.message()["result"] == []


def test_dask_is_synchronous_under_the_local_executor(pod: Pod) -> None:
    pod.flow(
        "def main():\n"
        "  import dask, threading\n"
        "  return dask.delayed(lambda: threading.current_thread().name)().compute()\n"
    )
    assert ended(pod.main()) == 0
    assert pod.message()["result"] == "MainThread"


def test_dask_uses_threads_under_local_dask(pod: Pod) -> None:
    pod.flow(
        "import dask, threading\n"
        "def main():\n  return dask.delayed(lambda: threading.current_thread() is threading.main_thread())()\n"
    )
    pod.request["executor"] = {"kind": "LocalDask", "kwargs": {"scheduler": "threads", "num_workers": 2}}
    assert ended(pod.main()) == 0
    assert pod.message()["result"] is False


def test_the_child_of_a_killed_supervisor_goes_on(pod: Pod) -> None:
    pod.flow("def main():\n  event(f'flow-{os.getpid()}')\n  time.sleep(0.2)\n  event('end')")
    process = pod.main()
    eventually(lambda: bool(pod.events()))
    os.kill(process.pid, signal.SIGKILL)
    pod.wait_event("end")
