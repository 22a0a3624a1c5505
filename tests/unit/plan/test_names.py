"""Names: deterministic, valid, short enough for what is derived from them, never shared by two owners."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from flow_operator.plan import names

LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
NAMES = st.from_regex(r"[a-z0-9]([-.a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
UIDS = st.uuids().map(str)


@given(NAMES, UIDS, st.integers(1, 99))
def test_a_runner_pod_has_a_valid_name_of_at_most_63(run: str, uid: str, attempt: int) -> None:
    name = names.runner_pod(run, uid, attempt)
    assert len(name) <= 63
    assert LABEL.match(name)


@given(NAMES, UIDS, st.integers(1, 99))
def test_a_cluster_name_leaves_room_for_what_dask_kubernetes_appends(run: str, uid: str, attempt: int) -> None:
    name = names.dask_cluster(run, uid, attempt)
    assert len(f"{name}-default-worker-0123456789") <= 63
    assert LABEL.match(name)
    assert name[0].isalpha(), "a Service's name begins with a letter"


@given(NAMES, UIDS, UIDS)
def test_two_runs_of_one_name_do_not_share_a_pod(run: str, one: str, other: str) -> None:
    if names.short_uid(one) != names.short_uid(other):
        assert names.runner_pod(run, one, 1) != names.runner_pod(run, other, 1)


@given(NAMES, st.text("0123456789abcdef", min_size=64, max_size=64), st.integers(0, 99))
def test_a_build_child_has_a_valid_name(deployment: str, inputs: str, attempt: int) -> None:
    name = names.build_child(deployment.replace(".", "-"), "build", inputs, attempt)
    assert len(name) <= 63
    assert LABEL.match(name)


def test_parts_of_a_digest_do_not_run_into_each_other() -> None:
    assert names.digest("ab", "c") != names.digest("a", "bc")


def test_two_long_names_with_one_beginning_do_not_share_a_child() -> None:
    one, other = "a" * 60 + "-1", "a" * 60 + "-2"
    assert names.build_child(one, "code", "f" * 64) != names.build_child(other, "code", "f" * 64)
    assert len(names.build_child(one, "code", "f" * 64)) <= 63
    assert names.build_child("short", "code", "f" * 64) == "short-code-ffffffffff"
