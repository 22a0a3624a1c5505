"""Flows of tasks."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest

from flow_operator import Flow, FlowInvalid, Parameter, task


@task
def double(x: int) -> int:
    return 2 * x


@task
def add(*numbers: int) -> int:
    return sum(numbers)


@task
def total(numbers: list[int], options: dict[str, list[int]] | None = None) -> int:
    return sum(numbers) + sum((options or {}).get("more", []))


def test_the_one_terminal_task_gives_the_result() -> None:
    with Flow("sums") as flow:
        n = Parameter("n", default=10)
        add(double(n), n)
    assert flow.run() == 30
    assert flow.run(n=1) == 3


def test_several_terminal_tasks_give_a_dict_by_name() -> None:
    with Flow("sums") as flow:
        double(1)
        double(2)
        add(1, 2)
    assert flow.run() == {"double": 2, "double-2": 4, "add": 3}


def test_dependencies_are_found_in_nested_arguments() -> None:
    with Flow("nested") as flow:
        total([double(1), double(2)], options={"more": [double(5)]})
    assert flow.run() == 16


class Pair(NamedTuple):
    left: int
    right: list[int]


@dataclass(frozen=True, slots=True)
class Options:
    numbers: list[int]
    pair: Pair
    factor: int = field(default=2, kw_only=True)


def test_dependencies_are_found_in_named_tuples_and_dataclasses() -> None:
    @task
    def weighed(options: Options) -> int:
        return options.factor * (sum(options.numbers) + options.pair.left + sum(options.pair.right))

    with Flow("records") as flow:
        given = Options([double(1), 1], Pair(double(2), [double(3)]))
        weighed(given)
    assert flow.run() == 26
    assert flow.run() == 26, "what was given stays as it was"
    assert [node.name for node in (given.numbers[0], given.pair.left)] == ["double", "double"]  # type: ignore[attr-defined]


class Numbers(list[int]):
    pass


@pytest.mark.parametrize("kind", [Numbers, lambda items: OrderedDict(more=items), lambda items: [Numbers(items)]])
def test_a_container_of_ones_own_cannot_hold_what_is_not_known_yet(kind: Any) -> None:
    with Flow("own"), pytest.raises(FlowInvalid, match=r"<TaskCall 'double'> is in a (Numbers|OrderedDict)"):
        total(kind([double(1)]))
    with Flow("own") as flow:
        total(Numbers([1, 2]))
    assert flow.run() == 3


def test_upstream_tasks_only_order() -> None:
    happened = []

    @task
    def note(word: str) -> None:
        happened.append(word)

    with Flow("ordered") as flow:
        first = note("first")
        third = note("third")
        second = note("second", upstream_tasks=[first])
        third.set_upstream(second)
    assert flow.run() is None
    assert happened == ["first", "second", "third"]


def test_what_a_task_raises_is_raised() -> None:
    @task
    def fail() -> None:
        raise LookupError("nothing there")

    with Flow("failing") as flow:
        fail()
    with pytest.raises(LookupError, match="nothing there"):
        flow.run()


def test_a_cycle_is_refused_by_name() -> None:
    with Flow("round") as flow:
        one = double(1)
        two = add(one)
        one.set_upstream(two)
    with pytest.raises(FlowInvalid, match=r"tasks wait for each other: (double -> add -> double|add -> double -> add)"):
        flow.validate()
    with pytest.raises(FlowInvalid):
        flow.run()


def test_an_empty_flow_does_nothing() -> None:
    assert Flow("empty").run() is None


def test_parameters_without_tasks_are_refused() -> None:
    with Flow("empty") as flow:
        Parameter("n", default=1)
    with pytest.raises(FlowInvalid, match="no tasks"):
        flow.run()


def test_a_parameter_is_declared_once() -> None:
    with Flow("twice"):
        Parameter("n")
        with pytest.raises(FlowInvalid, match="'n'"):
            Parameter("n")


def test_a_parameter_may_be_made_before_its_flow() -> None:
    n = Parameter("n", default=4)
    with Flow("late") as flow:
        double(n)
    assert [spec.name for spec in flow.parameters] == ["n"]
    assert flow.run() == 8


def test_outside_of_a_flow_a_task_is_its_function() -> None:
    assert double(4) == 8
    assert double.name == "double"


def test_a_wrong_call_fails_on_its_own_line() -> None:
    with Flow("wrong"), pytest.raises(TypeError, match="too many positional arguments"):
        double(1, 2)


def test_a_task_has_no_truth_while_the_flow_is_built() -> None:
    with Flow("branching"):
        result = double(1)
        with pytest.raises(TypeError, match="decide inside a task"):
            bool(result)


def test_a_coroutine_is_no_task() -> None:
    async def later() -> None: ...

    with pytest.raises(TypeError, match="coroutine"):
        task(later)


def test_tasks_have_names_of_their_own() -> None:
    @task(name="Twice")
    def anonymous(x: int) -> int:
        return 2 * x

    with Flow("named") as flow:
        anonymous(1)
        anonymous(2)
    assert flow.run() == {"Twice": 2, "Twice-2": 4}
