"""What a flow, its tasks and its callbacks may ask about the run they are in."""

from __future__ import annotations

import os
from datetime import datetime

from flow_operator.api.wire import SCHEDULED_TIME_ENV


def scheduled_time() -> datetime | None:
    """The tick that this run is for, in UTC; None where no schedule started it, and on your own machine.

        from flow_operator import context, flow

        @flow
        def report() -> str:
            day = context.scheduled_time() or datetime.now(UTC)
            return f"{day:%Y-%m-%d}.csv"

    It is the time the schedule names, however late the run begins, and the same in every attempt: so a run that is
    made up or filled in later works on its own day.
    """
    text = os.environ.get(SCHEDULED_TIME_ENV)
    return datetime.fromisoformat(text) if text else None
