"""Flows of functions, parameters, callbacks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from flow_operator import Flow, FlowInvalid, Parameter, ParameterError, flow, task
from flow_operator.environments import RemoteEnvironment
from flow_operator.flow.parameters import ParameterSpec

if TYPE_CHECKING:
    from collections.abc import Callable


@flow
def squares(n: int = 10) -> int:
    """Say what it does."""
    return n * n


def test_a_bare_decorator_names_the_flow_after_the_function() -> None:
    assert isinstance(squares, Flow)
    assert squares.name == "squares"
    assert squares.__doc__ == "Say what it does."
    assert squares.run() == 100
    assert squares.run(n=2) == 4
    assert squares(3) == 9


def test_a_decorator_with_arguments() -> None:
    @flow(name="Cubes")
    def cubes(n: int) -> int:
        return n**3

    assert cubes.name == "Cubes"
    assert cubes.run(n=2) == 8


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"n": "2"}, "flow 'squares': parameter 'n' must be int, not str"),
        ({"n": True}, "must be int, not bool"),
        ({"n": 1.5}, "must be int, not float"),
        ({"m": 1, "n": 1}, "unknown parameter 'm' (it takes: n)"),
    ],
)
def test_parameters_that_do_not_fit_are_named(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError) as caught:
        squares.run(**parameters)
    assert words in str(caught.value)
    assert isinstance(caught.value, TypeError)


def test_a_missing_parameter_is_named() -> None:
    @task
    def double(x: int) -> int:
        return 2 * x

    with Flow("doubling") as doubling:
        double(Parameter("n"))
    with pytest.raises(ParameterError, match="flow 'doubling': parameter 'n' is required"):
        doubling.run()


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        ("int", [1, -1], [1.0, "1", True, None]),
        ("float", [1, 1.5], ["1", True]),
        ("str", ["x"], [1]),
        ("bool", [True], [1, "yes"]),
        ("list[int]", [[1]], [{"a": 1}]),
        ("dict", [{}], [[]]),
        ("int | None", [1, None], ["x"]),
        ("Optional[str]", ["x", None], [1]),
        ("pathlib.Path", ["x", 1, None], []),
        ("", ["x", 1, None], []),
    ],
)
def test_annotations_check_json_types(annotation: str, good: list[object], bad: list[object]) -> None:
    spec = ParameterSpec("p", annotation=annotation)
    assert all(spec.accepts(value) for value in good)
    assert not any(spec.accepts(value) for value in bad)


def test_none_is_fine_where_it_is_the_default() -> None:
    assert ParameterSpec("p", None, "int").accepts(None)


def test_extra_keyword_arguments_take_whatever_comes() -> None:
    @flow
    def openly(**extra: object) -> dict[str, object]:
        return extra

    assert openly.run(a=1) == {"a": 1}


def test_parameters_that_json_cannot_fill_are_refused() -> None:
    def positional(n: int, /) -> None: ...
    def many(*n: int) -> None: ...

    functions: list[Callable[..., Any]] = [positional, many]
    for function in functions:
        with pytest.raises(FlowInvalid, match="cannot be given by name"):
            flow(function)


def test_a_coroutine_is_run_and_a_lazy_value_computed() -> None:
    from dask import delayed

    @flow
    async def later() -> int:
        await asyncio.sleep(0)
        return 1

    @flow
    def lazily() -> Any:
        return delayed(sum)([1, 2])

    assert later.run() == 1
    assert lazily.run() == 3


@pytest.mark.parametrize("name", ["", "  ", None, 3])
def test_a_flow_needs_a_name(name: Any) -> None:
    with pytest.raises(ValueError, match="name"):
        Flow(name)


def test_a_flow_is_made_of_a_function() -> None:
    with pytest.raises(TypeError, match="not of 3"):
        flow(3)  # type: ignore[call-overload]


def test_a_graph_is_not_called_and_a_function_takes_no_tasks() -> None:
    with pytest.raises(TypeError, match=r"use \.run"):
        Flow("graph")()
    with pytest.raises(FlowInvalid, match="made of a function"), squares:
        pass


def _with_callbacks(happened: list[str], body: Callable[[], object], **callbacks: Callable[[], object]) -> Flow:
    def note(word: str) -> Callable[[], object]:
        return lambda: happened.append(word)

    on_start = callbacks.get("on_start", note("on_start"))
    on_exit = callbacks.get("on_exit", note("on_exit"))
    return Flow.from_function(body, environment=RemoteEnvironment(on_start=on_start, on_exit=on_exit))


def _fail(error: BaseException) -> Callable[[], object]:
    def fail() -> None:
        raise error

    return fail


def test_callbacks_surround_the_flow() -> None:
    happened: list[str] = []

    def body() -> None:
        happened.append("flow")

    _with_callbacks(happened, body).run()
    assert happened == ["on_start", "flow", "on_exit"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3)])
def test_on_exit_runs_whatever_happened(error: BaseException) -> None:
    happened: list[str] = []
    with pytest.raises(type(error)):
        _with_callbacks(happened, _fail(error)).run()
    assert happened == ["on_start", "on_exit"]


def test_after_a_failed_on_start_nothing_runs() -> None:
    happened: list[str] = []
    with pytest.raises(OSError, match="down"):
        _with_callbacks(happened, lambda: happened.append("flow"), on_start=_fail(OSError("down"))).run()
    assert happened == []


def test_an_error_of_on_exit_keeps_the_flows_error_as_its_cause() -> None:
    with pytest.raises(OSError, match="full") as caught:
        _with_callbacks([], _fail(ValueError("no")), on_exit=_fail(OSError("full"))).run()
    assert repr(caught.value.__cause__) == "ValueError('no')"
