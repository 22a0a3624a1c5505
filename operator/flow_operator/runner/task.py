"""PID 1 of a container that is alone: on_start, the flow, on_exit, one after the other, each in a process of its own.

A task of AWS has no container flow-hooks and nobody who reads receipts: the exit code is all that comes back. The
callbacks are run by the same program as in a pod, and tell the log how they ended.
"""

from __future__ import annotations

import json
import os
import sys

from flow_operator.api import wire
from flow_operator.runner import hooks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from flow_operator.api.wire import RunRequest
# Codes that say something of ours, as which a flow may exit too: AWS tells the code and nothing else.
_OURS = (wire.EXIT_OK, wire.EXIT_ON_START_FAILED, wire.EXIT_ON_EXIT_FAILED)


def main() -> NoReturn:
    """Run callbacks and flow, and exit as they did."""
    _own_folder()
    request: RunRequest = json.loads(os.environ[wire.RUN_ENV])
    code = _run({**request, "hooks": True})  # on_exit is told how the flow ended
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run(request: RunRequest) -> int:
    from flow_operator.runner.supervisor import Supervisor

    supervisor = Supervisor(request["stopGraceSeconds"])
    if _called("on_start") == "Failed":
        return wire.EXIT_ON_START_FAILED
    # Stopped meanwhile, the flow does not begin, and what on_start has set up is taken down.
    code = supervisor.run(request)
    hooks.write(hooks.EXIT_CODE, str(code))
    print(f"flow-operator: the flow ended with exit code {code}: {hooks.read(hooks.REPORT) or 'no report'}", flush=True)
    outcome = hooks.flow_outcome()
    on_exit = _called("on_exit")
    if code in _OURS and outcome[hooks.OUTCOME_ENV] == "Failed":
        return wire.EXIT_FLOW_FAILED
    return wire.EXIT_ON_EXIT_FAILED if on_exit == "Failed" and code == wire.EXIT_OK else code


def _own_folder() -> None:
    """Where callbacks, flow and we leave each other notes: a pod has a volume for that, a task has not."""
    import tempfile

    folder = tempfile.mkdtemp(prefix="flow-operator-")
    os.environ[hooks.HOOKS_DIR_ENV] = folder
    os.environ[hooks.TERMINATION_LOG_ENV] = f"{folder}/message"


def _called(name: str) -> str:
    """Call a callback if it is declared; how it ended."""
    if name not in os.environ.get(hooks.CALLBACKS_ENV, "").split(","):
        return "Skipped"
    receipt = hooks.call(name)
    print(f"flow-operator: {name}: {json.dumps(receipt, ensure_ascii=False)}", flush=True)
    return str(receipt.get("state"))
