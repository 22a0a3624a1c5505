"""A real registry as an ordinary process. Without its binary these tests are not collected: e2e has a registry too."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BINARY = shutil.which("docker-registry")
collect_ignore_glob = [] if BINARY else ["test_*.py"]

# robot:hunter2, as `htpasswd -B` writes it.
_PASSWORDS = "robot:$2b$04$cs6QQDg2THXfK41syKUNnOxdPylAKS8cD9yXC3d12sAkY4VkgSDai\n"


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(url)
        except httpx.TransportError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"the registry did not start at {url}")


@pytest.fixture(scope="module")
def start_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Starts registries on free ports; `localhost:PORT` of each."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*, auth: bool = False) -> str:
        directory: Path = tmp_path_factory.mktemp("registry")
        (directory / "passwords").write_text(_PASSWORDS)
        host = f"localhost:{_free_port()}"
        config = f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {directory}/data}}}}\n"
        config += f'http: {{addr: "{host}"}}\n'
        config += f"auth: {{htpasswd: {{realm: test, path: {directory}/passwords}}}}\n" if auth else ""
        (directory / "config.yml").write_text(config)
        assert BINARY
        command = [BINARY, "serve", str(directory / "config.yml")]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        running.append(process)
        _wait_for(f"http://{host}/v2/", process)
        return host

    yield start
    for process in running:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def host(start_registry: Callable[..., str]) -> str:
    return start_registry()
