"""What every pod has."""

from __future__ import annotations

import re

import pytest

from flow_operator.plan import pods


def expanded(value: str, variables: dict[str, str]) -> str:
    """Expand a variable's value as a kubelet does."""

    def one(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else variables.get(found[1], found[0])

    return re.sub(r"\$\$|\$\((\w+)\)", one, value)


@pytest.mark.parametrize("value", ["", "$5", "$(HOME)", "$$(HOME)", "a$$b", 'it\'s $HOME "or" ${HOME}', "100 %"])
def test_a_value_arrives_as_it_was(value: str) -> None:
    (made,) = pods.environment({"A": value})
    assert expanded(made["value"], {"HOME": "/tmp"}) == value
