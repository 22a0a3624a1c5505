"""The pact of main and flow-hooks, held by real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flow_operator.api import wire
from flow_operator.runner import hooks as hooks_program

from .conftest import Pod, ended, eventually

FLOW = """
from flow_operator import flow
from flow_operator.environments import RemoteEnvironment
def started():
    {on_start}
def exited():
    {on_exit}
@flow(environment=RemoteEnvironment(on_start=started, on_exit=exited))
def main():
    {body}
"""


def a_flow(on_start: str = "event('on_start')", body: str = "event('flow')", on_exit: str = "event('on_exit')") -> str:
    return FLOW.format(on_start=on_start, body=body, on_exit=on_exit)


def test_order_and_receipts(pod: Pod) -> None:
    pod.flow(a_flow())
    main, hooks = pod.both()
    assert (ended(main), ended(hooks)) == (0, 0)
    assert pod.events() == ["on_start", "flow", "on_exit"]
    assert pod.states() == {"on_start": "Succeeded", "on_exit": "Succeeded"}
    assert pod.receipts()["on_exit"]["tries"] == 1
    assert pod.receipts()["on_start"]["endTime"] <= pod.receipts()["on_exit"]["startTime"]


@pytest.mark.parametrize(
    ("body", "code", "outcome"),
    [
        ("return 1", 0, "Succeeded-0-"),
        ("raise ValueError('no')", 1, "Failed-1-FlowRaised"),
        ("sys.exit(3)", 3, "Failed-3-FlowExited"),
        ("os._exit(3)", 3, "Failed-3-FlowExited"),
        ("os._exit(0)", 0, "Failed-0-FlowExited"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 137, "Failed-137-Killed"),
    ],
)
def test_on_exit_knows_the_outcome(pod: Pod, body: str, code: int, outcome: str) -> None:
    see = "event('-'.join(os.environ['FLOW_OPERATOR_' + n] for n in ('OUTCOME', 'EXIT_CODE', 'REASON')))"
    pod.flow(a_flow(body=body, on_exit=see))
    main, hooks = pod.both()
    assert (ended(main), ended(hooks)) == (code, 0)
    assert pod.events() == ["on_start", outcome]


def test_callbacks_know_their_run(pod: Pod) -> None:
    names = ("HOOK_KEY", "RUN_NAME", "RUN_NAMESPACE", "ATTEMPT", "PARAMETERS")
    pod.flow(a_flow(on_start=f"event('|'.join(os.environ['FLOW_OPERATOR_' + n] for n in {names}))"))
    main, _ = pod.both()
    assert ended(main) == 0
    assert pod.events()[0] == "u-1/2/on_start|squares-1|team-a|2|{}"


def test_a_callback_is_begun_with_parameters_that_no_program_could_be_started_with(pod: Pod) -> None:
    pod.flow(a_flow(on_start="event(len(os.environ['FLOW_OPERATOR_PARAMETERS']))"))
    pod.request |= {"hooks": True, "parameters": {"n": "ä" * 30_000}}  # two bytes each here, six for a callback
    pod.env["FLOW_OPERATOR_RUN"] = json.dumps(pod.request, ensure_ascii=False)
    main, hooks = pod.both()
    ended(main)
    assert ended(hooks) == 0
    assert pod.events()[0] == "180008"


def test_a_callback_that_the_kernel_does_not_begin_has_failed(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in pod.environment("hooks").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    receipt = hooks_program.call("on_start")
    assert receipt["state"] == "Failed"
    assert "cannot be begun: [Errno 2]" in receipt["message"]


def test_main_leaves_a_sign_that_its_callbacks_have_begun(pod: Pod) -> None:
    pod.flow(a_flow(on_start="event('on_start')\n    time.sleep(0.5)"))
    main, _ = pod.both()
    pod.wait_event("on_start")
    os.kill(main.pid, signal.SIGKILL)
    ended(main)
    assert (pod.home / "main.message").read_text() == wire.CAME


def test_a_flow_that_is_stopped_before_it_has_a_report_gets_one(pod: Pod) -> None:
    pod.flow(a_flow(body="signal.signal(signal.SIGTERM, signal.SIG_DFL); event('flow'); time.sleep(30)"))
    main, _ = pod.both()
    pod.wait_event("flow")
    main.send_signal(signal.SIGTERM)
    assert ended(main) == 143
    assert pod.message()["reason"] == "Stopped"


def test_a_killed_supervisor_does_not_let_on_exit_overlap_the_flow(pod: Pod) -> None:
    pod.flow(a_flow(body="end = time.monotonic() + 0.3\n    while time.monotonic() < end: event('flow')"))
    main, hooks = pod.both()
    pod.wait_event("flow")
    os.kill(main.pid, signal.SIGKILL)
    assert ended(hooks) == 0
    events = pod.events()
    assert events[-1] == "on_exit"
    assert events.count("on_exit") == 1
    last, exited = (float(line.split()[0]) for line in pod.lines()[-2:])
    assert last < exited


def test_sigterm_with_grace(pod: Pod) -> None:
    pod.flow(a_flow(body="event('flow')\n    time.sleep(30)"))
    main, hooks = pod.both()
    pod.wait_event("flow")
    for process in (main, hooks):
        process.send_signal(signal.SIGTERM)
    assert (ended(main), ended(hooks)) == (143, 0)
    assert pod.events() == ["on_start", "flow", "on_exit"]
    assert pod.message()["reason"] == "Stopped"


def test_on_start_raises(pod: Pod) -> None:
    pod.flow(a_flow(on_start="raise ValueError('not today')"))
    main, hooks = pod.both()
    assert (ended(main), ended(hooks)) == (78, 0)
    assert pod.events() == []
    assert pod.states() == {"on_start": "Failed", "on_exit": "Skipped"}
    assert pod.message()["reason"] == "OnStartFailed"
    assert pod.message()["error"]["message"] == "not today"
    assert pod.message()["error"]["frames"] == ["flow.py:10 in started"]


def test_on_start_waits_for_its_trigger_with_nothing_of_the_flow_loaded(pod: Pod) -> None:
    pod.flow(a_flow() + "\nevent('loaded')\n")
    pod.request["hooks"] = True
    hooks = pod.hooks()
    time.sleep(0.5)
    assert pod.events() == []
    (pod.hooks_dir / "poststart").touch()
    main = pod.main()
    assert (ended(main), ended(hooks)) == (0, 0)
    assert [each for each in pod.events() if each != "loaded"] == ["on_start", "flow", "on_exit"]


def test_a_process_that_waits_for_nothing_ends_with_the_hooks(pod: Pod) -> None:
    pod.flow(a_flow() + "\nevent('loaded')\n")
    hooks = pod.hooks()
    eventually(lambda: bool(children(hooks.pid)))
    waiting = children(hooks.pid)
    hooks.send_signal(signal.SIGTERM)
    assert ended(hooks) == 0
    eventually(lambda: not any(Path(f"/proc/{each}").exists() for each in waiting))
    assert pod.events() == []


def test_on_exit_is_called_where_the_process_it_comes_from_was_killed(pod: Pod) -> None:
    pod.flow(
        a_flow(body="event('flow')\n    while not os.path.exists(os.environ['EVENTS'] + '.go'): time.sleep(0.002)")
    )
    main, hooks = pod.both()
    pod.wait_event("flow")
    (waiting,) = children(hooks.pid)
    os.kill(waiting, signal.SIGKILL)
    (pod.home / "events.go").touch()
    assert (ended(main), ended(hooks)) == (0, 0)
    assert pod.events() == ["on_start", "flow", "on_exit"]
    assert pod.receipts()["on_exit"]["tries"] == 1


def test_a_callback_ends_with_the_process_it_comes_from(pod: Pod) -> None:
    pod.flow(a_flow(on_exit="os.kill(os.getppid(), signal.SIGKILL)\n    while True: event('on_exit')"))
    main, hooks = pod.both()
    assert (ended(main), ended(hooks)) == (0, 0)
    assert pod.receipts()["on_exit"]["message"] == "its process was killed by signal 9"
    last = len(pod.events())
    time.sleep(0.05)
    assert len(pod.events()) == last


def test_a_callback_that_stops_the_process_it_comes_from_is_limited_all_the_same(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod.flow(a_flow(on_exit="event(os.getpid())\n    os.kill(os.getppid(), signal.SIGSTOP)\n    time.sleep(30)"))
    for name, value in pod.environment("hooks").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(hooks_program, "KILL_AFTER", 0.1)
    callbacks = hooks_program.Callbacks()
    assert callbacks.call("on_exit", 2.0) is None
    stat = Path(f"/proc/{pod.events()[0]}/stat")
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"  # if nobody reaps here


def test_what_a_callback_has_started_is_stopped_with_it(pod: Pod) -> None:
    pod.flow(a_flow(on_exit="os.fork()\n    while True: event('on_exit'); time.sleep(0.01)"))
    pod.env["FLOW_OPERATOR_CALLBACKS"] = "on_exit"
    pod.request["hookTimeoutSeconds"] = 0.6
    _, hooks = pod.both()
    assert ended(hooks) == 0
    assert pod.receipts()["on_exit"]["message"] == "did not end within 0.6 s"
    last = len(pod.events())
    time.sleep(0.05)
    assert len(pod.events()) == last


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_on_start_hangs(pod: Pod) -> None:
    pod.flow(a_flow(on_start="event('on_start')\n    time.sleep(30)"))
    pod.request["hookTimeoutSeconds"] = 2
    main, hooks = pod.both()
    assert (ended(main), ended(hooks)) == (78, 0)
    assert pod.receipts()["on_start"]["message"] == "did not end within 2 s"
    assert pod.events() == ["on_start"]


def test_on_exit_raises(pod: Pod) -> None:
    pod.flow(a_flow(on_exit="raise OSError('full')"))
    main, hooks = pod.both()
    assert (ended(main), ended(hooks)) == (0, 0)
    assert pod.receipts()["on_exit"]["state"] == "Failed"
    assert pod.receipts()["on_exit"]["error"]["type"] == "OSError"
    assert pod.message()["state"] == "Succeeded"


def test_on_exit_dies(pod: Pod) -> None:
    pod.flow(a_flow(on_exit="os._exit(9)"))
    _, hooks = pod.both()
    assert ended(hooks) == 0
    assert pod.receipts()["on_exit"]["message"] == "its process exited with code 9"


def test_a_flow_that_cannot_be_loaded_fails_on_start(pod: Pod) -> None:
    pod.flow("import nowhere")
    main, hooks = pod.both()
    assert (ended(main), ended(hooks)) == (78, 0)
    assert pod.message()["error"]["type"] == "ModuleNotFoundError"


def test_hooks_restarted_while_the_flow_runs(pod: Pod) -> None:
    pod.flow(
        a_flow(body="event('flow')\n    while not os.path.exists(os.environ['EVENTS'] + '.go'): time.sleep(0.002)")
    )
    main, hooks = pod.both()
    pod.wait_event("flow")
    hooks.kill()
    ended(hooks)
    (pod.home / "hooks.message").write_text("")  # a restarted container starts with an empty one
    again = pod.hooks()
    eventually(lambda: bool((pod.home / "hooks.message").read_text()))
    assert pod.states() == {"on_start": "Succeeded"}
    (pod.home / "events.go").touch()
    assert (ended(main), ended(again)) == (0, 0)
    assert pod.events() == ["on_start", "flow", "on_exit"]


def test_a_callback_that_kills_the_container_is_not_begun_for_ever(pod: Pod) -> None:
    pod.flow(a_flow())
    (pod.hooks_dir / "on_start.tries").write_text("3")
    main, hooks = pod.both()
    assert (ended(main), ended(hooks)) == (78, 0)
    assert pod.events() == []
    assert pod.receipts()["on_start"]["tries"] == 3


def test_sigterm_before_main_begins(pod: Pod) -> None:
    pod.flow(a_flow())
    hooks = pod.hooks()
    _ready(pod)
    hooks.send_signal(signal.SIGTERM)
    assert ended(hooks) == 0
    assert pod.states() == {"on_start": "Skipped", "on_exit": "Skipped"}
    pod.request["hooks"] = True
    assert ended(pod.main()) == 143
    assert pod.message()["reason"] == "Stopped"
    assert pod.events() == []


@pytest.mark.parametrize("scheduler", [{}, {"scheduler": {"port": 1, "httpPort": 2}}])
def test_main_imports_what_it_needs_while_it_waits_for_on_start(pod: Pod, scheduler: dict[str, object]) -> None:
    pod.request |= {"hooks": True, "executor": {"kind": "Dask", "address": "tcp://nowhere:1", **scheduler}}
    code = (
        "import sys, threading\n"
        "from flow_operator.runner import hooks, supervisor\n"
        "names = ('flow_operator.runner.process', 'distributed')\n"
        "def wait_for(*_, **__): print([each in sys.modules for each in names], threading.active_count())\n"
        "hooks.wait_for = wait_for\n"
        "supervisor.main()"
    )
    main = pod.start("main", "-P", "-c", code)
    assert main.stdout is not None
    # Nothing that starts a thread: it is forked next. (BLAS may have some, and takes them down for a fork.)
    assert main.stdout.read() == f"[True, {bool(scheduler)}] 1\n"
    assert ended(main) == 143


def test_sigterm_while_main_waits_for_on_start(pod: Pod) -> None:
    pod.flow(a_flow(on_start="event('on_start')\n    time.sleep(0.3)"))
    main, hooks = pod.both()
    pod.wait_event("on_start")
    main.send_signal(signal.SIGTERM)
    assert (ended(main), ended(hooks)) == (143, 0)
    assert pod.events() == ["on_start", "on_exit"]


def test_only_what_is_declared_is_called(pod: Pod) -> None:
    pod.flow(a_flow())
    pod.env["FLOW_OPERATOR_CALLBACKS"] = "on_exit"
    main, hooks = pod.both()
    assert (ended(main), ended(hooks)) == (0, 0)
    assert pod.events() == ["flow", "on_exit"]
    assert pod.receipts()["on_start"] == {"name": "on_start", "state": "Skipped", "message": "not declared"}


def test_undeclared_callbacks_are_found_out(pod: Pod) -> None:
    pod.flow("def main():\n    event('flow')")
    main, hooks = pod.both()
    assert (ended(main), ended(hooks)) == (0, 0)
    assert pod.states() == {"on_start": "Skipped", "on_exit": "Skipped"}
    assert pod.receipts()["on_exit"]["message"] == "not declared"


def test_a_lost_post_start_only_delays(pod: Pod) -> None:
    pod.flow(a_flow())
    pod.request["hooks"] = True
    start = time.monotonic()
    main, _ = pod.main(), pod.hooks()
    assert ended(main) == 0
    assert time.monotonic() - start > 1.0
    assert pod.events()[:2] == ["on_start", "flow"]


def test_post_start_is_a_touch(pod: Pod) -> None:
    assert ended(pod.hooks("started")) == 0
    assert (pod.hooks_dir / "poststart").exists()


def test_pre_stop_waits_only_for_a_flow_that_began(pod: Pod) -> None:
    assert ended(pod.hooks("drain")) == 0
    (pod.hooks_dir / "main.begun").touch()
    drain = pod.hooks("drain")
    with pytest.raises(subprocess.TimeoutExpired):
        drain.wait(timeout=0.1)
    (pod.hooks_dir / "on_exit.json").write_text("{}")
    assert ended(drain) == 0


LATE = {"FLOW_OPERATOR_OUTCOME": "Failed", "FLOW_OPERATOR_EXIT_CODE": "137", "FLOW_OPERATOR_REASON": "NodeLost"}


def test_on_exit_in_a_pod_of_its_own_knows_how_the_flow_ended(pod: Pod) -> None:
    names = ("HOOK_KEY", "OUTCOME", "EXIT_CODE", "REASON", "PARAMETERS")
    pod.flow(a_flow(on_exit=f"event('|'.join(os.environ['FLOW_OPERATOR_' + n] for n in {names}))"))
    pod.env |= LATE
    assert ended(pod.hooks("exit")) == 0
    assert pod.events() == ["u-1/2/on_exit|Failed|137|NodeLost|{}"]
    assert pod.states() == {"on_exit": "Succeeded"}
    assert pod.receipts()["on_exit"]["tries"] == 1


def test_on_exit_in_a_pod_of_its_own_fails_and_hangs_as_in_the_other(pod: Pod) -> None:
    pod.env |= LATE
    pod.request["hookTimeoutSeconds"] = 0.6
    pod.flow(a_flow(on_exit="time.sleep(30)"))
    assert ended(pod.hooks("exit")) == 0
    assert pod.receipts()["on_exit"]["message"] == "did not end within 0.6 s"


def test_on_exit_in_a_pod_of_its_own_comes_to_its_end_when_that_is_stopped(pod: Pod) -> None:
    pod.env |= LATE
    pod.flow(a_flow(on_exit="event('on_exit')\n    time.sleep(0.3)\n    event('left')"))
    hooks = pod.hooks("exit")
    pod.wait_event("on_exit")
    hooks.send_signal(signal.SIGTERM)
    assert ended(hooks) == 0
    assert pod.events() == ["on_exit", "left"]
    assert pod.states() == {"on_exit": "Succeeded"}


def test_on_exit_in_a_pod_of_its_own_is_not_begun_again_once_there_is_a_receipt(pod: Pod) -> None:
    pod.env |= LATE
    pod.flow(a_flow())
    assert ended(pod.hooks("exit")) == 0
    assert ended(pod.hooks("exit")) == 0  # its container was started again
    assert pod.events() == ["on_exit"]


def _ready(pod: Pod) -> None:
    """Wait until flow-hooks has its signal handler: it writes its message next."""
    eventually(lambda: (pod.home / "hooks.message").exists())
