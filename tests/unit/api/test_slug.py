"""Names that files, images and resources may have."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_operator.api.slug import slug


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("squares", "squares"),
        ("My First Project", "my-first-project"),
        ("a_b.c  d--e!", "a-b-c-d-e"),
        (" Été à Zürich ", "ete-a-zurich"),
        ("2026-11-25T19:06:34.000123+00:00", "2026-11-25t19-06-34-000123-00-00"),
    ],
)
def test_slugs(name: str, expected: str) -> None:
    assert slug(name) == expected


def test_names_without_a_letter_and_long_names_are_told_apart_by_a_hash() -> None:
    assert slug("流れ").startswith("flow-")
    assert slug("流れ") != slug("流")
    assert slug("x" * 80) != slug("x" * 81)


@given(st.text())
def test_a_slug_is_a_dns_label_and_the_slug_of_itself(name: str) -> None:
    made = slug(name)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", made)
    assert slug(made) == made
