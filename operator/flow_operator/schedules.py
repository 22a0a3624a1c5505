"""When a deployed flow is run by itself."""

from flow_operator.flow.schedules import CronSchedule

__all__ = ["CronSchedule"]
