"""`python3 -m flow_operator.runner run | task | check | describe | callbacks FD | worker ARGUMENTS`.

`run` is PID 1 of a flow's pod, and imports next to nothing, so that the pod is hardly later than a bare one. `task` is
PID 1 of a container that is alone.
"""

from __future__ import annotations

import signal
import sys


def _hold_sigterm() -> None:
    """Have it wait until somebody handles it: the kernel discards what PID 1 neither handles nor blocks."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def main(arguments: list[str]) -> int:
    """Do one of them; the exit code."""
    sys.dont_write_bytecode = True  # the file system is read-only, and not ours
    match arguments:
        case ["run"]:
            _hold_sigterm()
            from flow_operator.runner import supervisor

            return supervisor.main()
        case ["task"]:
            _hold_sigterm()
            from flow_operator.runner import task

            return task.main()
        case ["check"]:
            from flow_operator.runner import check

            return check.main()
        case ["describe"]:
            from flow_operator.runner import describe

            return describe.main()
        case ["callbacks", answers]:
            from flow_operator.runner import callback

            return callback.main(int(answers))
        case ["worker", *options]:
            from flow_operator.runner import worker

            return worker.main(options)
        case _:
            usage = "run | task | check | describe | callbacks FD | worker ARGUMENTS"
            print(f"usage: python3 -m flow_operator.runner {usage}", file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
