"""A graph of tasks: what depends on what is read off the calls, and dask runs it."""

from __future__ import annotations

from flow_operator import Flow, Parameter, task
from flow_operator.environments import RemoteEnvironment


@task
def numbers(n: int) -> list[int]:
    return list(range(n))


@task
def squares(values: list[int]) -> list[int]:
    return [value * value for value in values]


@task
def total(one: list[int], other: list[int]) -> int:
    return sum(one) + sum(other)


THREADS = RemoteEnvironment("flow_operator.executors.LocalDaskExecutor", {"scheduler": "threads"})

with Flow("graph", environment=THREADS) as flow:
    values = numbers(Parameter("n", default=10))
    total(values, squares(values))

if __name__ == "__main__":
    print(flow.run(n=20))  # the same in this process, without a cluster
