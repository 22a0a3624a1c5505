"""Reports fit, whatever is in them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_operator.api import wire
from flow_operator.runner import results
from flow_operator.runner.report import encode, error_of, size

texts = st.text(st.characters(codec=None), max_size=400)
reports = st.fixed_dictionaries(
    {"state": st.just("Failed"), "reason": st.just("FlowRaised")},
    optional={
        "result": st.recursive(st.integers() | texts, lambda inner: st.lists(inner, max_size=6), max_leaves=12),
        "error": st.fixed_dictionaries(
            {"type": texts, "message": texts.map(lambda text: text * 5)},
            optional={"frames": st.lists(texts, max_size=5)},
        ),
        "workersSeen": st.lists(texts, max_size=16),
        "flow": st.fixed_dictionaries(
            {"parameters": st.lists(st.fixed_dictionaries({"name": texts, "default": texts}), max_size=9)}
        ),
    },
)


@settings(max_examples=60, deadline=None)
@given(reports)
def test_every_report_fits_and_is_json(report: dict[str, Any]) -> None:
    text = encode(report)
    assert size(text) <= wire.MESSAGE_LIMIT
    read = json.loads(text.encode("utf-8", "backslashreplace"))
    assert (read["state"], read["reason"]) == ("Failed", "FlowRaised")
    if size(json.dumps(report)) <= wire.MESSAGE_LIMIT:
        assert read == report


def test_frames_go_before_the_message_and_outer_frames_first() -> None:
    error = {"type": "E", "message": "m" * 1700, "frames": [f"{i}" * 100 for i in range(5)]}
    cut = json.loads(encode({"state": "Failed", "error": error}))["error"]
    assert cut["frames"] == ["3" * 100, "4" * 100]
    assert cut["message"] == error["message"]


def test_a_long_message_is_cut_near_the_limit() -> None:
    text = encode({"state": "Failed", "error": {"type": "E", "message": "é" * 3000, "frames": ["f"]}})
    assert "frames" not in json.loads(text)["error"]
    assert json.loads(text)["error"]["message"].endswith("é…")
    assert size(text) > wire.MESSAGE_LIMIT - 300


def test_a_large_result_gives_way() -> None:
    report = json.loads(encode({"state": "Succeeded", "result": list(range(600))}))
    assert report == {"state": "Succeeded", "resultOmitted": "too large (2291 bytes)"}


def test_defaults_give_way_before_names() -> None:
    facts = {"name": "f", "parameters": [{"name": "n", "required": False, "default": "x" * 3000}]}
    assert json.loads(encode({"flow": facts}))["flow"]["parameters"] == [{"name": "n", "required": False}]


def test_an_exception_that_cannot_be_shown() -> None:
    class Shy(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert error_of(Shy())["message"] == "(its message cannot be shown: RuntimeError)"


class Scalar:
    """As numpy's are."""

    shape = ()

    def item(self) -> int:
        return 7


class Lazy:
    """As a proxy whose connection is closed."""

    @property
    def shape(self) -> tuple[int, ...]:
        raise RuntimeError("closed")


@pytest.mark.parametrize(
    ("value", "report"),
    [
        (None, {}),
        ({"a": (1, 2)}, {"result": {"a": [1, 2]}}),
        ({"n": Scalar()}, {"result": {"n": 7}}),
        (float("nan"), {"resultOmitted": "not JSON: float (Out of range float values are not JSON compliant)"}),
        (Lazy(), {"resultOmitted": "not JSON: Lazy (closed)"}),
        ([object()], {"resultOmitted": "not JSON: list (object)"}),
        ("x" * 10_000, {"resultOmitted": "too large (10002 bytes)"}),
    ],
)
def test_results(value: object, report: dict[str, object]) -> None:
    made: wire.RunReport = {}
    results.put(made, value)
    if "resultOmitted" in made:
        made["resultOmitted"] = made["resultOmitted"].split(": nan")[0].replace("compliant: nan", "compliant")
    assert made == report
