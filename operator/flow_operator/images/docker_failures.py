"""What a build or a check that ended badly means."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from flow_operator.images.engine_border import plain, step_error
from flow_operator.images.errors import BuildError, EngineOutOfMemoryError, FlowCheckFailedError
from flow_operator.images.pip_words import pip_error

if TYPE_CHECKING:
    from flow_operator.images.dockerfile import Dockerfile
    from flow_operator.images.engine import Built, Ran

_KILLED = 137
_LINES = 5  # of a step's last words, in a message


def failure(dockerfile: Dockerfile, built: Built) -> BuildError:
    """The error for a build that stopped."""
    step = dockerfile.step(built.step)
    if step.kind == "dependencies" and built.code not in (0, _KILLED):
        return pip_error(built.output)
    words = " ".join(built.output[-_LINES:]) if built.code else built.words
    code = f" with exit code {built.code}" if built.code else ""
    match step.kind:
        case "command":
            what = f"extraCommands: {_shown(step.text)} failed{code}"
        case "":
            what = f"The engine stopped at {_shown(step.text)}"
        case _:
            what = f"Step {step.kind} failed{code}"
    return step_error(what, words, built.code)


def _shown(text: str) -> str:
    """A command as its author wrote it, shortened."""
    if text.startswith("RUN ["):
        text = json.loads(text.removeprefix("RUN "))[-1]
    line = plain(text)
    return repr(line if len(line) <= 120 else f"{line[:120]}…")


def refusal(ran: Ran) -> BuildError:
    """The error for a check that failed: its own reason and words, where it could still speak."""
    if ran.killed_for_memory or ran.code == _KILLED:
        return EngineOutOfMemoryError("The check of the flows was killed, most likely for its memory.")
    for line in reversed(ran.out.splitlines()):
        if report := _report(line):
            return FlowCheckFailedError(
                str(report.get("message", "")), reason=str(report["reason"]), remedy=report.get("remedy")
            )
    last = plain(" ".join(ran.err.splitlines()[-_LINES:]))
    return FlowCheckFailedError(f"The check of the flows ended with exit code {ran.code}: {last}.")


def _report(line: str) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except ValueError:
        return {}
    return document if isinstance(document, dict) and "reason" in document else {}
