"""The program as a person calls it: arguments in, exit code and both streams out; a small API server to talk to."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pytest

from flow_operator.deploy.cli.program import run
from tests.support.api_server import ApiServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Said:
    """What a call came to."""

    code: int
    out: str
    err: str


class Call(Protocol):
    """Calls the program with arguments."""

    def __call__(self, *arguments: str) -> Said: ...


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No call reaches a real cluster, or the settings of whoever runs the tests."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))
    monkeypatch.setenv("FLOW_OPERATOR__USER_CONFIG_PATH", str(tmp_path / "no-config.toml"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nowhere: None) -> Iterator[ApiServer]:
    """An API server, and a kubeconfig that leads to namespace team-a of it."""
    with ApiServer() as made:
        monkeypatch.setenv("KUBECONFIG", str(made.kubeconfig(tmp_path)))
        yield made


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let programs hear of Ctrl-C: a shell has what it starts in the background ignore it, and its children inherit."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def kubectl_flow(capfd: pytest.CaptureFixture[str], nowhere: None) -> Call:
    """Call the program."""

    def call(*arguments: str) -> Said:
        capfd.readouterr()
        code = run(arguments)
        out, err = capfd.readouterr()
        assert "Traceback" not in err or "flow.py" in err, err
        assert "This is a bug" not in err, err
        return Said(code, out, err)

    return call
