"""The snippets of tests/seed/execution.md, every one, against a registry and a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from flow_operator import Flow
from tests.support.cluster import Namespace, run
from tests.support.sdk import REGISTRY, make_project, mirror_python, set_up, snippets

if TYPE_CHECKING:
    from pathlib import Path

SNIPPETS = snippets()


@pytest.fixture(autouse=True)
def sdk(namespace: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A laptop with the project of the snippets."""
    set_up(monkeypatch, tmp_path)
    make_project("My First Project", namespace)
    mirror_python()


@pytest.mark.parametrize("title", SNIPPETS)
def test_a_snippet(title: str, namespace: Namespace) -> None:
    code = SNIPPETS[title].replace('registry_url="', f'registry_url="{REGISTRY}/')
    names: dict[str, Any] = {"Flow": Flow}
    exec(code, names)
    flow = names["f"]
    if ".deploy(" not in code:
        assert flow.run() is None
        return
    ready = namespace.wait_ready(flow.slug, within=5)
    assert ready["status"]["flow"]["name"] == flow.name
    assert ready["status"]["image"].startswith(f"{REGISTRY}/flow-operator/storage-example/{flow.slug}@sha256:")
    namespace.apply(run(flow.slug, flow.slug))
    assert namespace.wait_run(flow.slug)["status"]["phase"] == "Succeeded"
