"""What computes the tasks of a flow inside its main process."""

from flow_operator.flow.executors import DaskExecutor, LocalDaskExecutor, LocalExecutor

__all__ = ["DaskExecutor", "LocalDaskExecutor", "LocalExecutor"]
