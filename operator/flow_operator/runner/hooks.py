"""The flow-hooks container: `on_start` before the flow, `on_exit` after it, a receipt for each, exactly once.

And the pod that runs `on_exit` where that container could not (`exit`): the same limits, tries and receipt.

Run by path under `python3 -I -S`, beside the flow, idle nearly all of its life: so it is one file, standard library
only, and starts nothing but the callbacks, each in a process of its own, forked from one that waits for them
(`python3 -m flow_operator.runner callbacks`).

Container main and this one share a directory and a lock. The kernel is the witness: main holds the lock as long as
the flow's process lives, so whoever gets the lock knows that the flow has ended, whatever ended it.

    main.lock       held by main and by the flow's process
    main.begun      main is there, and waits for the receipt of on_start
    main.rc         the flow's exit code, if main lived to write it
    main.json       the flow's own report, if it lived to write it
    poststart       the kubelet's postStart hook was delivered
    closed          the attempt is over: a main that comes now must not begin
    <name>.tries    how often a callback was begun, counted before it begins
    <name>.outcome  what the callback's process has to say
    <name>.json     the receipt
"""

# ruff: noqa: PTH104, PTH108, PTH123 - pathlib costs memory and start-up, for nothing we need

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

# Equal to those of api/wire.py, which this file cannot import (tests/unit/runner/test_constants.py).
RUN_ENV = "FLOW_OPERATOR_RUN"
HOOKS_DIR = "/hooks"
TERMINATION_LOG = "/dev/termination-log"
MESSAGE_LIMIT = 2048
OUTCOME_ENV = "FLOW_OPERATOR_OUTCOME"
EXIT_CODE_ENV = "FLOW_OPERATOR_EXIT_CODE"
REASON_ENV = "FLOW_OPERATOR_REASON"

HOOKS_DIR_ENV = "FLOW_OPERATOR_HOOKS_DIR"
TERMINATION_LOG_ENV = "FLOW_OPERATOR_TERMINATION_LOG"
CALLBACKS_ENV = "FLOW_OPERATOR_CALLBACKS"  # which are declared, "on_start,on_exit"; unset: nobody looked

NAMES = ("on_start", "on_exit")
LOCK, BEGUN, EXIT_CODE, REPORT = "main.lock", "main.begun", "main.rc", "main.json"
POSTSTART, CLOSED = "poststart", "closed"

POSTSTART_PATIENCE = 1.0  # a kubelet that was killed never delivers it
MAX_TRIES = 3  # a callback that takes the whole container down must not do so for ever
KILL_AFTER = 2.0  # from SIGTERM to SIGKILL of a callback that is over its limit
SOON = 5.0  # what is waited for comes within this, unless something is amiss
ANSWER = 4  # bytes of a number that the process of the callbacks says


def directory() -> str:
    """Where main and flow-hooks meet."""
    return os.environ.get(HOOKS_DIR_ENV, HOOKS_DIR)


def read(name: str) -> str | None:
    """A file of the shared directory, None if it is not there."""
    try:
        with open(f"{directory()}/{name}", encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def write(name: str, text: str) -> None:
    """Put a file into the shared directory, whole or not at all."""
    hidden = f"{directory()}/.{name}.{os.getpid()}"
    with open(hidden, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
    os.rename(hidden, f"{directory()}/{name}")


def naps() -> Iterator[None]:
    """Sleep 4 ms at a time, for a pod's start is a row of waits; 30 ms once it takes long."""
    soon = time.monotonic() + SOON
    while True:
        yield
        time.sleep(0.004 if time.monotonic() < soon else 0.03)


def wait_for(name: str, *, limit: float = float("inf"), unless: Callable[[], bool] = lambda: False) -> str | None:
    """A file's text as soon as it is there; None when the limit or `unless` came first."""
    end = time.monotonic() + limit
    for _ in naps():
        text = read(name)
        if text is not None or unless() or time.monotonic() > end:
            return text
    return None


def open_lock() -> int:
    """Open the lock's file, made if absent. Read-only is enough to lock it."""
    return os.open(f"{directory()}/{LOCK}", os.O_RDONLY | os.O_CREAT, 0o666)


def tell(text: str) -> None:
    """Write the termination message. The file is the kubelet's: it can be rewritten, not replaced."""
    path = os.environ.get(TERMINATION_LOG_ENV, TERMINATION_LOG)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CREAT, 0o666)
    except OSError as error:
        print(f"flow-operator: no termination message: {error}", file=sys.stderr, flush=True)
        return
    os.write(fd, text.encode("utf-8", "backslashreplace"))
    os.close(fd)


def receipt(name: str) -> dict[str, Any] | None:
    """What is on record about a callback."""
    text = read(f"{name}.json")
    return None if text is None else _parse(text)


def serve() -> None:
    """Be PID 1 of flow-hooks. Always ends well: a failed callback is in its receipt, not in the exit code."""
    import signal

    stopped: list[bool] = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    _tell_receipts()  # after a restart the message starts empty
    declared = os.environ.get(CALLBACKS_ENV)
    for name in NAMES:
        if declared is not None and name not in declared.split(","):
            _settle(name, "Skipped", message="not declared")
    # The interpreter and our imports are there when on_start is called for.
    callbacks = Callbacks() if receipt("on_start") is None else None
    if not _begun(lambda: bool(stopped)):
        for name in NAMES:
            _settle(name, "Skipped", message="stopped before the flow could begin")
        return
    if receipt("on_start") is None:
        wait_for(POSTSTART, limit=POSTSTART_PATIENCE)
        _call("on_start", callbacks or Callbacks())
    if receipt("on_exit") is None:
        _after_main(callbacks or Callbacks())


def exit_late() -> None:
    """Be PID 1 of a pod of its own: on_exit of an attempt whose pod could not; how that ended is in the environment."""
    import signal

    # The grace period is longer than the callback may take: a pod that is deleted meanwhile comes to its end.
    signal.signal(signal.SIGTERM, lambda *_: None)
    _tell_receipts()
    if receipt("on_exit") is None:
        _call("on_exit", Callbacks())


def _begun(stopped: Callable[[], bool]) -> bool:
    """Wait for main; if we are stopped first, make sure that it never begins."""
    import fcntl

    if read(CLOSED) is None:  # else we were restarted after that
        wait_for(BEGUN, unless=stopped)
    lock = open_lock()
    for _ in naps():
        if read(BEGUN) is not None:
            break
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # main is between its lock and main.begun
        if read(BEGUN) is None:
            write(CLOSED, "")
        break
    os.close(lock)
    return read(BEGUN) is not None


def _after_main(callbacks: Callbacks) -> None:
    """Wait until the flow's process is gone, close the attempt, call on_exit."""
    import fcntl

    lock = open_lock()
    fcntl.flock(lock, fcntl.LOCK_EX)
    write(CLOSED, "")
    os.close(lock)
    if (receipt("on_start") or {}).get("state") == "Failed":
        _settle("on_exit", "Skipped", message="on_start failed")
    else:
        _call("on_exit", callbacks)


def flow_outcome() -> dict[str, str]:
    """How the flow ended, for on_exit's environment. Without an exit code main itself was killed."""
    code = int(read(EXIT_CODE) or 137)
    report = _parse(read(REPORT) or "{}")
    succeeded = code == 0 and report.get("state") == "Succeeded"  # os._exit(0) ends a flow, and says nothing
    reason = report.get("reason") or ("Killed" if code > 128 else "FlowExited")
    return {
        OUTCOME_ENV: "Succeeded" if succeeded else "Failed",
        EXIT_CODE_ENV: str(code),
        REASON_ENV: "" if succeeded else reason,
    }


def call(name: str) -> dict[str, Any]:
    """Call one callback where there is no container beside the flow's; return its receipt."""
    callbacks = Callbacks()
    _call(name, callbacks)
    callbacks.end()
    return receipt(name) or {}


class Callbacks:
    """Where callbacks come from: a process that has our imports and nothing of the user's, and forks for each.

    It is there before they are called for, and ends with us. A callback is a process of its own all the same.
    """

    def __init__(self) -> None:
        self._pid = 0
        try:  # noqa: SIM105 - contextlib is memory of every pod with callbacks
            self._begin()
        except OSError:
            pass  # said when it is called for

    def call(self, name: str, limit: float) -> int | None:
        """Run a callback; its exit code, negative for a signal; None if it took too long."""
        end = time.monotonic() + limit
        if self._pid:
            try:
                return self._call(name, end)
            except (BrokenPipeError, EOFError):  # it was killed since; nothing of the callback has begun
                self.end()
        self._begin()
        try:
            return self._call(name, end)
        except (BrokenPipeError, EOFError):
            return self.end()

    def end(self) -> int:
        """Kill it, for it has nothing to lose; its exit code."""
        import signal

        if not self._pid:
            return 0
        os.kill(self._pid, signal.SIGKILL)
        _, status = os.waitpid(self._pid, 0)
        os.close(self._words)
        os.close(self._answers)
        self._pid = 0
        return os.waitstatus_to_exitcode(status)

    def _begin(self) -> None:
        words, self._words = os.pipe()
        self._answers, answers = os.pipe()
        os.set_inheritable(answers, True)
        command = [sys.executable, "-P", "-u", "-m", "flow_operator.runner", "callbacks", str(answers)]
        place = [(os.POSIX_SPAWN_DUP2, words, 0)]
        self._pid = os.posix_spawn(sys.executable, command, os.environ, file_actions=place, setpgroup=0)
        os.close(words)
        os.close(answers)

    def _call(self, name: str, end: float) -> int | None:
        import signal

        os.write(self._words, name.encode())
        pid = 0
        try:
            pid = self._answer(end)
            return _end_of(pid, self._answer, end)
        except TimeoutError:  # it hangs itself
            self.end()
            _kill_group(pid)
            return None
        except EOFError:
            if not pid:
                raise
            _kill_group(pid)  # it was killed, and nobody else can say how the callback ends
            return -signal.SIGKILL

    def _answer(self, end: float) -> int:
        """The next number it says: the callback's process, then its exit code."""
        import select

        poll = select.poll()
        poll.register(self._answers, select.POLLIN)
        if not poll.poll(max(0.0, end - time.monotonic()) * 1000):
            raise TimeoutError
        said = os.read(self._answers, ANSWER)
        if not said:
            raise EOFError
        return int.from_bytes(said, "little", signed=True)


def _call(name: str, callbacks: Callbacks) -> None:
    """Run one callback in its own process and leave a receipt."""
    tries = int(read(f"{name}.tries") or 0) + 1
    if tries > MAX_TRIES:
        _settle(name, "Failed", tries=tries - 1, message=f"began {MAX_TRIES} times and was killed every time")
        return
    write(f"{name}.tries", str(tries))
    if read(f"{name}.outcome") is not None:
        os.unlink(f"{directory()}/{name}.outcome")
    limit = float(_parse(os.environ.get(RUN_ENV, "{}")).get("hookTimeoutSeconds", 60))
    start = _now()
    try:
        code = callbacks.call(name, limit)
    except OSError as error:
        _settle(name, "Failed", startTime=start, endTime=_now(), tries=tries, message=f"cannot be begun: {error}")
        return
    outcome = _parse(read(f"{name}.outcome") or "{}")
    if code is None:
        outcome = {"state": "Failed", "message": f"did not end within {limit:g} s"}
    elif not outcome:
        how = f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"
        outcome = {"state": "Failed", "message": f"its process {how}"}
    _settle(name, startTime=start, endTime=_now(), tries=tries, **outcome)


def _end_of(pid: int, answer: Callable[[float], int], end: float) -> int | None:
    """The exit code of the callback's process, negative for a signal; None if it took too long."""
    import signal

    # Its number is nobody else's until the process it was forked from ends: that does not reap it.
    try:
        return answer(end)
    except TimeoutError:
        os.killpg(pid, signal.SIGTERM)
    try:
        answer(time.monotonic() + KILL_AFTER)
    except TimeoutError:
        os.killpg(pid, signal.SIGKILL)
        answer(time.monotonic() + KILL_AFTER)
    return None


def _kill_group(pid: int) -> None:
    """Kill a callback, if it has begun, whose parent is gone, and wait until it is too."""
    import signal

    end = time.monotonic() + KILL_AFTER
    for _ in naps() if pid else ():
        try:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(-pid, os.WNOHANG)  # an orphan is the child of PID 1
        except ProcessLookupError:
            return
        except ChildProcessError:
            pass
        if time.monotonic() > end:
            return


def environment(name: str) -> dict[str, str]:
    """What a callback finds in its environment besides what is in everybody's."""
    known = name != "on_exit" or OUTCOME_ENV in os.environ  # the operator knew it, in a pod of its own
    return {**_identity(name, _parse(os.environ.get(RUN_ENV, "{}"))), **({} if known else flow_outcome())}


def _identity(name: str, request: dict[str, Any]) -> dict[str, str]:
    """What a callback may want to know about its run."""
    import json

    run = request.get("run", {})
    return {
        "FLOW_OPERATOR_HOOK_KEY": f"{run.get('uid')}/{run.get('attempt')}/{name}",
        "FLOW_OPERATOR_RUN_NAME": str(run.get("name")),
        "FLOW_OPERATOR_RUN_NAMESPACE": str(run.get("namespace")),
        "FLOW_OPERATOR_ATTEMPT": str(run.get("attempt")),
        "FLOW_OPERATOR_PARAMETERS": json.dumps(request.get("parameters", {}), separators=(",", ":")),
    }


def _settle(name: str, state: str, **facts: Any) -> None:
    """Write a receipt, unless there is one."""
    if receipt(name) is None:
        write(f"{name}.json", _json({"name": name, "state": state, **facts}))
        _tell_receipts()


def _tell_receipts() -> None:
    receipts = [found for found in map(receipt, NAMES) if found is not None]
    text = _json({"hooks": receipts})
    if len(text.encode("utf-8", "backslashreplace")) > MESSAGE_LIMIT:
        # The callback's program keeps its outcome short; if something else wrote there, the facts matter more.
        facts = ("name", "state", "tries", "startTime", "endTime")
        text = _json({"hooks": [{key: r[key] for key in facts if key in r} for r in receipts]})
    tell(text)


def _now() -> str:
    seconds = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds * 1000) % 1000:03d}Z"


def _json(value: object) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _parse(text: str) -> dict[str, Any]:
    import json

    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def main(command: str) -> None:
    """Dispatch. `started` and `drain` are the kubelet's postStart and preStop hooks."""
    if command == "serve":
        serve()
    elif command == "started":
        write(POSTSTART, "")
    elif command == "drain":
        if read(BEGUN) is not None:
            wait_for("on_exit.json")
    elif command == "exit":
        exit_late()
    else:
        sys.exit(f"flow-operator: no such command {command!r}: serve, started, drain, exit")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 else "")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # there is nothing of anybody else's to tear down
