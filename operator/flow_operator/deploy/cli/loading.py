"""A flow in a file: what it says of itself. Its code runs in a process of its own, never in the program's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...api import wire
from ..source import Declared
from .trouble import TIMEOUT, USAGE, Trouble, did_you_mean

if TYPE_CHECKING:
    from typing import IO

MEND = "Mend what runs when the file is imported."
PATIENCE = 120.0  # seconds to load a flow: imports of a large package from a slow disk
TERMINATION_LOG_ENV = "FLOW_OPERATOR_TERMINATION_LOG"  # of the runner's programs


@dataclass(frozen=True)
class Target:
    """A file and the flow in it."""

    path: Path
    attribute: str  # "" for a pickle

    @classmethod
    def of(cls, text: str) -> Target:
        """Read FILE or FILE:NAME.

        Raises:
            Trouble: there is no such file.
        """
        file, colon, attribute = text.rpartition(":")
        if not colon or "/" in attribute or "\\" in attribute:
            file, attribute = text, ""
        path = Path(file).expanduser()
        if path.is_dir():
            raise Trouble(f"{file} is a folder.", "Name the file with the flow in it.", USAGE)
        if not path.is_file():
            beside = [each.name for each in path.parent.glob("*.py")] if path.parent.is_dir() else []
            raise Trouble(f"There is no file {file}.", did_you_mean(path.name, beside), USAGE)
        if path.suffix != ".py" and attribute:
            raise Trouble(f"{file} is not a Python file.", "Give it the ending .py.", USAGE)
        return cls(path.resolve(), attribute or ("flow" if path.suffix == ".py" else ""))

    @property
    def reference(self) -> wire.FlowRef:
        """As the runner's programs want it."""
        return {"location": str(self.path), "attribute": self.attribute}


@dataclass(frozen=True)
class Described:
    """What a flow says of itself, or why it could not be asked."""

    declared: Declared
    failure: Trouble | None = None
    missing: str = ""  # the module that is not installed here, where that is why


def describe(target: Target) -> Described:
    """Load a flow in a process of its own, and return what it says."""
    with tempfile.TemporaryDirectory(prefix="kubectl-flow-") as folder:
        answer = Path(folder) / "answer"
        environment = {wire.CHECK_ENV: json.dumps({"flow": target.reference}), TERMINATION_LOG_ENV: str(answer)}
        process = runner("describe", environment=environment, output=sys.stderr)
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            said = f"{target.path.name} was not loaded within {PATIENCE:.0f} s."
            raise Trouble(said, "Move what takes so long out of the module, into the flow.", TIMEOUT) from None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        found = json.loads(answer.read_text(encoding="utf-8")) if answer.exists() and answer.stat().st_size else {}
    if "flow" not in found:
        said = found.get("message") or f"{target.path.name} could not be loaded: its process ended with code {code}"
        place = f" (at {found['place']})" if "place" in found else ""
        failure = Trouble(f"{said.removesuffix('.')}{place}.", found.get("remedy", MEND))
        return Described(Declared(), failure, found.get("missing", ""))
    keys = ("storage", "arguments", "schedule", "pull_secret", "refused")
    return Described(Declared(found["flow"], **{key: found[key] for key in keys if key in found}))


def runner(*arguments: str, environment: dict[str, str], output: IO[str] | None = None) -> subprocess.Popen[bytes]:
    """Start one of the programs of a flow's pod here, in a session of its own: Ctrl-C is ours to pass on."""
    command = [sys.executable, "-P", "-m", "flow_operator.runner", *arguments]
    return start(command, environment, output)


def start(command: list[str], environment: dict[str, str], output: IO[str] | None) -> subprocess.Popen[bytes]:
    """Start a process that has no keyboard, as in a pod."""
    sys.stdout.flush()
    return subprocess.Popen(
        command,
        env={**os.environ, wire.HERE_ENV: "1", **environment},
        stdin=subprocess.DEVNULL,
        stdout=output,
        start_new_session=True,
    )
