"""Yesterday's orders, by country; a stand-in for the flow you keep in Git."""

from __future__ import annotations

import random

from flow_operator import Flow, Parameter, task

COUNTRIES = ("DE", "FR", "IT")


@task
def orders(count: int) -> list[tuple[str, int]]:
    """Make orders: the same ones for the same count."""
    chance = random.Random(count)
    return [(chance.choice(COUNTRIES), chance.randint(1, 100)) for _ in range(count)]


@task
def revenue(orders: list[tuple[str, int]]) -> dict[str, int]:
    """Add them up by country."""
    return {country: sum(euros for of, euros in orders if of == country) for country in COUNTRIES}


with Flow("orders") as flow:
    revenue(orders(Parameter("count", default=1000)))

if __name__ == "__main__":
    print(flow.run(count=10))
