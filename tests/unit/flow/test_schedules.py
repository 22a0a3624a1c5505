"""Schedules, as they are written and as they are sent."""

from __future__ import annotations

from typing import Any

import pytest

from flow_operator import Flow, flow
from flow_operator.schedules import CronSchedule


def test_one_line_several_lines_and_a_zone() -> None:
    assert CronSchedule("0 6 * * *").to_resource() == {"cron": ["0 6 * * *"]}
    made = CronSchedule(["0 6 * * 1-5", "0 9 * * 6"], "Europe/Berlin")
    assert made.to_resource() == {"cron": ["0 6 * * 1-5", "0 9 * * 6"], "timeZone": "Europe/Berlin"}
    assert made == CronSchedule(("0 6 * * 1-5", "0 9 * * 6"), time_zone="Europe/Berlin")
    assert repr(CronSchedule("0 6 * * *", "UTC")) == "CronSchedule('0 6 * * *', time_zone='UTC')"


@pytest.mark.parametrize("cron", ["", "0 6 * *", "@daily x", [], [1]])
def test_what_is_no_cron_line(cron: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        CronSchedule(cron)


def test_a_flow_takes_a_schedule_or_its_lines() -> None:
    made = Flow("daily", schedule="0 6 * * *")
    assert made.schedule == CronSchedule("0 6 * * *")
    made.schedule = ["0 7 * * *"]
    assert made.serialize()["schedule"] == {"type": "CronSchedule", "cron": ["0 7 * * *"], "time_zone": None}
    made.schedule = None
    assert made.schedule is None

    @flow(schedule=CronSchedule("1 1 * * *"))
    def nightly() -> None: ...

    assert nightly.schedule == CronSchedule("1 1 * * *")
