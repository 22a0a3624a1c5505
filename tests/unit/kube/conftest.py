"""A small API server, and a kubeconfig that leads to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.api_server import ApiServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as made:
        yield made


@pytest.fixture
def kubeconfig(server: ApiServer, tmp_path: Path) -> str:
    return str(server.kubeconfig(tmp_path))
