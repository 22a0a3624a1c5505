"""The flow's own process: load, connect, run, report."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flow_operator.api import wire
from flow_operator.flow.errors import ParameterError
from flow_operator.runner import memory, results
from flow_operator.runner import report as reports
from flow_operator.runner.errors import RunFailed, StepFailed
from flow_operator.runner.executor import scheduler_beside, session
from flow_operator.runner.load import LoadError, load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flow_operator.api.wire import RunReport, RunRequest
    from flow_operator.flow.core import Flow


_STEPS = {"setup": "SetupFailed", "execute": "ExecuteFailed"}


def main(request: RunRequest) -> int:
    """Run a flow and tell how it went; the exit code."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    report: RunReport = {"state": "Succeeded", "stages": {}}
    try:
        code = _run(request, report)
    except KeyboardInterrupt as interrupt:
        code = _fail(report, "Stopped", interrupt, code=wire.EXIT_CLOSED)
        report["error"]["message"] = report["error"]["message"] or "stopped by SIGTERM"
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the flow is over; its report is not
    report.update(memory.report())
    reports.tell(report, share=request.get("hooks", False))
    return code


def _run(request: RunRequest, report: RunReport) -> int:
    try:
        value = _value(request, report)
    except LoadError as error:
        return _fail(report, "LoadFailed", error.cause) if error.cause else _refuse(report, "LoadFailed", error)
    except ParameterError as error:
        return _refuse(report, "BadParameters", error)
    except RunFailed as error:
        if error.remedy:
            report["remedy"] = error.remedy
        return _refuse(report, error.reason, error, error.code)
    except StepFailed as failed:
        return _judge(report, failed.error, "FlowRaised" if failed.flow else _STEPS[failed.step])
    except FlowRaised as raised:
        return _judge(report, raised.error)
    except Exception as error:  # noqa: BLE001 - ours, or a library's: it must not end without a word
        return _fail(report, "RunnerFailed", error)
    results.put(report, value)
    return wire.EXIT_OK


class FlowRaised(Exception):
    """Sets what the flow's code raised apart from what the runner did."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


def _value(request: RunRequest, report: RunReport) -> Any:
    stages = report["stages"]
    executor = request["executor"]
    with scheduler_beside(executor) as scheduler:
        with _timed(stages, "load"):
            flow = load(request["flow"], by_value=executor["kind"] != "Local" or "driver" in request)
            values = flow.bind(request["parameters"])
        if "driver" in request:
            from flow_operator.runner.drive import drive

            return drive(flow, request, report, lambda name: _timed(stages, name))
        with session(executor, request["run"], report, scheduler) as active, _timed(stages, "flow"):
            try:
                return _compute(flow, values)
            except FlowRaised as raised:
                active.explain(raised.error)
                raise


def _compute(flow: Flow, values: dict[str, Any]) -> Any:
    try:
        return flow.compute(values)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit, asyncio.CancelledError and friends included
        raise FlowRaised(error) from error


def _judge(report: RunReport, error: BaseException, reason: str = "FlowRaised") -> int:
    if not isinstance(error, SystemExit):
        return _fail(report, reason, error)
    if error.code in (None, 0) and reason == "FlowRaised":
        return wire.EXIT_OK
    code = error.code & 0xFF if isinstance(error.code, int) else wire.EXIT_FLOW_FAILED
    return _fail(report, "FlowExited" if reason == "FlowRaised" else reason, error, code=code or wire.EXIT_FLOW_FAILED)


def _fail(report: RunReport, reason: str, error: BaseException, code: int = wire.EXIT_FLOW_FAILED) -> int:
    reports.print_exception(error)
    report["state"] = "Failed"
    report["reason"] = reason
    report["error"] = reports.error_of(error)
    return code


def _refuse(report: RunReport, reason: str, error: Exception, code: int = wire.EXIT_FLOW_FAILED) -> int:
    """Fail for what we found ourselves: the sentence says it all, a traceback would show our own code."""
    print(f"flow-operator: {error}", file=sys.stderr)
    report["state"] = "Failed"
    report["reason"] = reason
    report["error"] = {"type": type(error).__name__, "message": str(error)[: reports.MAX_MESSAGE]}
    return code or wire.EXIT_FLOW_FAILED


@contextmanager
def _timed(stages: dict[str, float], name: str) -> Iterator[None]:
    start = time.monotonic()
    try:
        yield
    finally:
        stages[name] = round(time.monotonic() - start, 3)
