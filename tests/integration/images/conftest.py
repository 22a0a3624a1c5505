"""Real registries of their own: containers of the image that the test cluster's registry runs."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# robot:hunter2, as `htpasswd -B` writes it.
_PASSWORDS = "robot:$2b$04$cs6QQDg2THXfK41syKUNnOxdPylAKS8cD9yXC3d12sAkY4VkgSDai\n"
_AUTH = {
    "REGISTRY_AUTH": "htpasswd",
    "REGISTRY_AUTH_HTPASSWD_REALM": "test",
    "REGISTRY_AUTH_HTPASSWD_PATH": "/auth/passwords",
}


def _docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert not done.returncode, (
        f"docker {arguments[0]}: {done.stderr.strip()} (make cluster starts engine and registry)"
    )
    return done.stdout.strip()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            httpx.get(url)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"the registry did not start at {url}")


@pytest.fixture(scope="module")
def start_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Starts registries on free ports; `localhost:PORT` of each."""
    image = _docker("inspect", "-f", "{{.Config.Image}}", "kind-registry")
    running: list[str] = []

    def start(*, auth: bool = False) -> str:
        folder = tmp_path_factory.mktemp("registry")
        folder.chmod(0o755)
        (folder / "passwords").write_text(_PASSWORDS)
        options = [f"-e{name}={value}" for name, value in (_AUTH if auth else {}).items()]
        running.append(
            _docker("run", "-d", "--rm", "-p", "127.0.0.1::5000", "-v", f"{folder}:/auth:ro", *options, image)
        )
        host = "localhost:" + _docker("port", running[-1], "5000").splitlines()[0].rpartition(":")[2]
        _wait_for(f"http://{host}/v2/")
        return host

    yield start
    for each in running:
        _docker("rm", "-f", each)


@pytest.fixture(scope="module")
def host(start_registry: Callable[..., str]) -> str:
    return start_registry()
