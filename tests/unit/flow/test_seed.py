"""The seed's snippets that need neither a registry nor a cluster; all of them run in tests/e2e/test_seed.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from flow_operator import Flow
from flow_operator.environments import RemoteEnvironment
from flow_operator.storage import Docker
from tests.support.sdk import snippets

if TYPE_CHECKING:
    from pathlib import Path

SNIPPETS = snippets()
ALONE = [title for title, code in SNIPPETS.items() if ".deploy(" not in code]


def test_there_are_six() -> None:
    assert len(SNIPPETS) == 6
    assert len(ALONE) == 4


@pytest.mark.parametrize("title", ALONE)
def test_a_snippet(title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    names: dict[str, Any] = {"Flow": Flow}
    exec(SNIPPETS[title], names)
    flow = names["f"]
    assert isinstance(flow, Flow)
    assert isinstance(flow.environment, RemoteEnvironment)
    assert flow.environment.executor == "Local"
    if "torage" in title:
        assert isinstance(flow.storage, Docker)
        assert flow.storage.registry_url == "flow-operator/storage-example"
    assert flow.run() is None
