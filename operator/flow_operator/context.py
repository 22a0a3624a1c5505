"""What a flow, its tasks and its callbacks may ask about the run they are in."""

from flow_operator.flow.context import scheduled_time

__all__ = ["scheduled_time"]
