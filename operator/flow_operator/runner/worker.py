"""A Dask worker that is a pod of a run: it may begin before its scheduler, and waits for it."""

from __future__ import annotations

import os
import sys

from flow_operator.api import wire
from flow_operator.runner.dialling import answers

PATIENCE = 600.0


def main(arguments: list[str]) -> int:
    """Be a worker, by the arguments of `dask worker`, once the scheduler is heard."""
    from distributed.cli import dask_worker  # most of a second, in which the scheduler begins

    address = os.environ.get(wire.SCHEDULER_ENV, "")
    patience = float(os.environ.get(wire.PATIENCE_ENV, PATIENCE))
    if address and not answers(address, patience):
        print(f"flow-operator: no Dask scheduler at {address} within {patience:g} s", file=sys.stderr)
        return 1
    dask_worker.main(arguments, prog_name="dask worker")
    return 0
