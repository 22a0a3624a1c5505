from __future__ import annotations

import compileall
import hashlib
import py_compile
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flow_operator.api import wire
from flow_operator.api.wire import BuildFile, BuildReport, BuildRequest
from flow_operator.images import bytecode, runtime
from flow_operator.images.build import LayersBuilder
from flow_operator.images.bytecode import Compiler, compile_bytecode
from flow_operator.images.clients import Clients
from flow_operator.images.credentials import Keychain
from flow_operator.images.host_cache import HostCache
from flow_operator.images.progress import silent
from flow_operator.images.retries import Retries
from flow_operator.images.uv import Uv
from tests.support.registry import FakeRegistry
from tests.unit.images.wheels import lock_line, make_wheel

if TYPE_CHECKING:
    from collections.abc import Callable

RUNTIME = {"cloudpickle": "3.1.2", "dask": "2026.8.0", "distributed": "2026.8.0", "click": "8.5.1"}


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheels")
    for name, version in RUNTIME.items():
        make_wheel(directory, name, version, requires=("click>=8",) if name == "dask" else ())
    make_wheel(directory, "click", "7.0")
    make_wheel(directory, "click", "8.1")
    make_wheel(directory, "pandas", "3.0", requires=("numpy>=2", "click"), scripts=("pandas-cli",))
    make_wheel(directory, "numpy", "2.1")
    make_wheel(directory, "needs-old-click", "1.0", requires=("click<8.5",))
    make_wheel(directory, "windows-only", "1.0", tag="cp311-cp311-win_amd64")
    (directory / "runtime.lock").write_text(
        "".join(lock_line(directory / f"{name}-{version}-py3-none-any.whl") for name, version in RUNTIME.items())
    )
    return directory


@pytest.fixture(scope="session")
def uv_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uv-cache")


@pytest.fixture(scope="session")
def pythons() -> dict[str, str]:
    """Which Pythons this machine has: asking uv starts each of them, and the answer stays the same."""
    return {}


def compile_here(directory: Path, compiler: Compiler) -> None:
    """What `compile_bytecode` does, in this process where that is the compiler: starting another takes longer."""
    if compiler.program != sys.executable:
        compile_bytecode(directory, compiler)
        return
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(directory, ddir=".", quiet=2, rx=re.compile("/tests/"), invalidation_mode=unchecked)


@pytest.fixture(autouse=True)
def environment(
    monkeypatch: pytest.MonkeyPatch, wheels: Path, uv_cache: Path, tmp_path: Path, pythons: dict[str, str]
) -> None:
    """Nothing of the machine's registries, indexes, proxies and caches."""
    for name in ("DOCKER_CONFIG", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(uv_cache))
    monkeypatch.setenv("FLOW_OPERATOR_CACHE_DIR", str(tmp_path / "flow-operator-cache"))
    monkeypatch.setenv("FLOW_OPERATOR_RUNTIME_LOCK", str(wheels / "runtime.lock"))
    find = Uv.find_python

    def found(uv: Uv, version: str) -> str:
        if version not in pythons:
            pythons[version] = find(uv, version)
        return pythons[version]

    monkeypatch.setattr(Uv, "find_python", found)
    monkeypatch.setattr(bytecode, "compile_bytecode", compile_here)
    monkeypatch.setattr(sys, "pycache_prefix", None)  # bytecode of a layer goes into the layer
    # All of it is compiled in tests/integration.
    package = Path(wire.__file__).parents[1]
    monkeypatch.setattr(runtime, "_own_files", lambda: [package / "__init__.py", package / "api" / "wire.py"])


@pytest.fixture
def registry() -> FakeRegistry:
    """A registry with a base that has the runtime and one that has not."""
    fake = FakeRegistry()
    pins = " ".join(f"{name}=={version}" for name, version in RUNTIME.items())
    fake.put_image("registry.test/base", "3.11", labels={"flow-operator.io/runtime": pins})
    fake.put_image("registry.test/plain", "3.11", docker=True)
    return fake


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def retries(pauses: list[float]) -> Retries:
    """Retries that sleep on paper."""
    return Retries(sleep=pauses.append, jitter=lambda: 1.0)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "flow.py"
    file.write_text("print('hello')\n")
    return file


def code_file(source: Path, path: str = "/flows/flow.py") -> BuildFile:
    return BuildFile(path=path, source=str(source), sha256=hashlib.sha256(source.read_bytes()).hexdigest())


@pytest.fixture
def request_for(source: Path) -> Callable[..., BuildRequest]:
    """A request for a base that has the runtime; keyword arguments override."""

    def make(**overrides: object) -> BuildRequest:
        return {
            "baseImage": "registry.test/base:3.11",
            "repository": "registry.test/team/squares",
            "tag": "v1",
            "files": [code_file(source)],
            "architecture": "amd64",
            **overrides,  # type: ignore[typeddict-item]
        }

    return make


@pytest.fixture
def build(
    registry: FakeRegistry, retries: Retries, request_for: Callable[..., BuildRequest]
) -> Callable[..., BuildReport]:
    """Build with the fake registry; keyword arguments override the request."""

    def run(
        *, keychain: Keychain | None = None, progress: Callable[[str], None] = silent, **overrides: object
    ) -> BuildReport:
        builder = LayersBuilder(
            keychain=keychain or Keychain({}),
            retries=retries,
            clients=Clients(registry),
            cache=HostCache(None),
            progress=progress,
        )
        return builder.build(request_for(**overrides))

    return run
