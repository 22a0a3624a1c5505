"""What a registry can do wrong, done to a real one through a proxy in front of it.

Each time: an exception that names the reason, the thing and a remedy; then the cause is taken away, and the same build
passes.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from flow_operator.images.build import LayersBuilder
from flow_operator.images.clients import Clients
from flow_operator.images.credentials import Keychain
from flow_operator.images.errors import BuildError
from flow_operator.images.host_cache import HostCache
from flow_operator.images.retries import Retries
from tests.integration.images.test_layers_builder import ACCEPT, push_base
from tests.support.fault_proxy import FaultProxy
from tests.unit.images.wheels import make_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from flow_operator.api.wire import BuildReport, BuildRequest

MEGABYTE = 1_000_000
MANIFEST = "/team/squares/manifests/v1"


@dataclass
class Host:
    """Builds against a proxy, in this process, with patience on paper."""

    proxy: FaultProxy
    folder: Path
    pauses: list[float] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    code: bytes = b"print(1)"
    timeout: float = 10.0
    cache: HostCache = HostCache(None)  # noqa: RUF009 - keeps nothing

    def build(self, *, login: tuple[str, str] | None = None, **more: Any) -> BuildReport:
        entry = dict(zip(("username", "password"), login, strict=True)) if login else {}
        with closing(Clients(timeout=httpx.Timeout(self.timeout))) as clients:
            builder = LayersBuilder(
                keychain=Keychain({"auths": {self.proxy.host: entry}} if login else {}),
                retries=Retries(sleep=self.pauses.append, progress=self.lines.append),
                clients=clients,
                cache=self.cache,
                progress=self.lines.append,
            )
            return builder.build(self._request(**more))

    def fails(self, **more: Any) -> BuildError:
        with pytest.raises(BuildError) as caught:
            self.build(**more)
        return caught.value

    def _request(self, **more: Any) -> BuildRequest:
        file = self.folder / "flow.py"
        file.write_bytes(self.code)
        return {
            "baseImage": f"{self.proxy.host}/base:3.11",
            "repository": f"{self.proxy.host}/team/squares",
            "tag": "v1",
            "files": [{"path": "/flows/flow.py", "source": str(file), "sha256": hashlib.sha256(self.code).hexdigest()}],
            "architecture": "amd64",
            **more,  # type: ignore[typeddict-item]
        }


@pytest.fixture(scope="module")
def upstream(start_registry: Callable[..., str]) -> str:
    host = start_registry()
    push_base(host)
    return f"http://{host}"


@pytest.fixture
def host(upstream: str, tmp_path: Path) -> Iterator[Host]:
    with FaultProxy(upstream) as proxy:
        yield Host(proxy, tmp_path, code=os.urandom(100))


def pushed(host: Host, report: BuildReport) -> bool:
    """Whether the tag is this image, asked behind the proxy's back."""
    url = f"{host.proxy.upstream.geturl()}/v2{MANIFEST}"
    return bool(httpx.head(url, headers=ACCEPT).headers.get("Docker-Content-Digest") == report["digest"])


@pytest.mark.parametrize(
    ("method", "path", "fault", "reason", "word"),
    [
        ("", "", {"status": 401}, "RegistryUnauthorized", "401"),
        ("GET", "/base/", {"status": 403, "word": "DENIED"}, "RegistryForbidden", "DENIED"),
        ("POST", "/uploads/", {"status": 403, "word": "DENIED"}, "RegistryForbidden", "team/squares"),
        ("PUT", MANIFEST, {"status": 403, "word": "DENIED"}, "RegistryForbidden", "manifest of team/squares"),
        ("", "", {"status": 429, "headers": {"Retry-After": "3600"}}, "RegistryRateLimited", "429"),
        ("", "", {"status": 429}, "RegistryRateLimited", "429"),
        ("GET", "/base/", {"status": 500, "word": "UNKNOWN"}, "RegistryFailed", "500"),
        ("PUT", MANIFEST, {"status": 500}, "RegistryFailed", "500"),
        ("PUT", MANIFEST, {"status": 413, "word": "SIZE_INVALID"}, "RegistryFailed", "SIZE_INVALID"),
        ("", "", {"drop": "before"}, "RegistryUnreachable", "dropped the connection"),
        ("PUT", "/uploads/", {"drop": "half"}, "RegistryUnreachable", "dropped the connection"),
        ("GET", "/base/", {"slow": 30.0}, "RegistryUnreachable", "did not answer in time"),
        ("GET", "/base/manifests", {"lie": True}, "DigestMismatch", "base answered with sha256"),
        ("GET", "/base/blobs", {"lie": True}, "DigestMismatch", "base answered with sha256"),
        ("PUT", MANIFEST, {"lie": True}, "DigestMismatch", "team/squares answered with sha256"),
    ],
)
def test_a_fault_has_a_reason_and_heals(
    host: Host, method: str, path: str, fault: dict[str, Any], reason: str, word: str
) -> None:
    host.proxy.fail(method, path, **fault)
    host.timeout = 0.3 if "slow" in fault else 10.0
    error = host.fails()
    assert (error.reason, word in error.message, host.proxy.host in error.message) == (reason, True, True), error
    assert error.remedy
    host.proxy.heal()
    host.timeout = 10.0
    assert pushed(host, host.build())


def test_a_registry_that_is_down(host: Host) -> None:
    host.proxy.stop()
    error = host.fails()
    assert (error.reason, error.retryable) == ("RegistryUnreachable", True)
    assert error.message == f"Registry {host.proxy.host} cannot be reached: Connection refused."
    host.proxy.start()
    assert pushed(host, host.build())


def test_a_short_trouble_is_waited_out(host: Host) -> None:
    host.proxy.fail("GET", "/base/manifests", status=429, headers={"Retry-After": "7"}, times=1)
    host.proxy.fail("GET", "/base/blobs", status=503, times=2)
    host.proxy.fail("PUT", MANIFEST, drop="before", times=1)
    assert pushed(host, host.build())
    assert 7.0 in host.pauses
    assert len(host.pauses) == 4


@pytest.mark.parametrize("fault", [{"status": 404}, {"lie": True}])
def test_a_tag_that_is_lost_after_the_push(host: Host, fault: dict[str, Any]) -> None:
    host.proxy.fail("HEAD", MANIFEST, **fault)
    error = host.fails()
    assert (error.reason, f"{host.proxy.host}/team/squares:v1" in error.message) == ("TagLost", True)
    host.proxy.heal()
    assert pushed(host, host.build())


def test_a_blob_goes_on_where_it_broke(host: Host) -> None:
    """The first try breaks in the middle; the second, in chunks, breaks in its second chunk."""
    host.code = os.urandom(40 * MEGABYTE)
    host.proxy.fail("PATCH", "/uploads/", drop="half", times=1)
    host.proxy.fail("GET", "/uploads/", status=404, times=1)
    broken = _BreaksOn(host.proxy, 3)
    report = host.build()
    assert broken.done
    assert pushed(host, report)
    asked = [one.partition(" ")[0] for one in host.proxy.requests if "/uploads/" in one and "digest=" not in one]
    # One try; what arrived did not fit, so a new session; a chunk, a broken one, and it again; the last.
    assert asked.count("PATCH") == 1 + 4
    assert asked.count("GET") == 2


class _BreaksOn:
    """Lets the n-th PATCH break before anything is forwarded."""

    def __init__(self, proxy: FaultProxy, number: int) -> None:
        self.done = False
        self._find, self._number, self._seen = proxy.fault_for, number, 0
        self._proxy = proxy
        proxy.fault_for = self._look  # type: ignore[method-assign]

    def _look(self, method: str, path: str) -> Any:
        self._seen += method == "PATCH"
        if self._seen == self._number and not self.done:
            self.done = True
            self._proxy.fail("PATCH", path, drop="before", times=1)
        return self._find(method, path)


def test_a_big_blob_that_never_gets_through(host: Host) -> None:
    host.code = os.urandom(9 * MEGABYTE)
    host.proxy.fail("PATCH", "/uploads/", drop="half")
    error = host.fails()
    assert (error.reason, error.message) == (
        "RegistryUnreachable",
        f"Registry {host.proxy.host} dropped the connection.",
    )
    host.proxy.heal()
    assert pushed(host, host.build())


@pytest.mark.parametrize("tokens", [True, False])
def test_a_login(host: Host, tokens: bool) -> None:
    host.proxy.login, host.proxy.tokens = ("robot", "hunter2"), tokens
    for login in (None, ("robot", "wr0ng-secret")):
        error = host.fails(login=login)
        assert error.reason == "RegistryUnauthorized"
        assert "wr0ng-secret" not in f"{error}{error!r}{host.lines}"
    host.proxy.requests.clear()
    assert pushed(host, host.build(login=("robot", "hunter2")))
    assert host.proxy.asked("GET", "/token") == tokens


def test_the_same_again_looks_at_each_thing_once(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    make_wheel(host.folder, "sample", "1.0")
    for name, value in (
        ("UV_OFFLINE", "1"),
        ("UV_FIND_LINKS", str(host.folder)),
        ("UV_CACHE_DIR", str(host.folder / "uv")),
    ):
        monkeypatch.setenv(name, value)
    first = host.build(pythonDependencies=["sample==1.0"])
    # This registry lists no referrers: the SBOM is in the index.
    url = f"{host.proxy.upstream.geturl()}/v2/team/squares/manifests/{first['digest'].replace(':', '-')}"
    index = httpx.get(url, headers={"Accept": "application/vnd.oci.image.index.v1+json"}).json()
    assert [entry["digest"] for entry in index["manifests"]] == [first["sbom"]]
    host.proxy.requests.clear()
    second = host.build(pythonDependencies=["sample==1.0"])
    assert (second["digest"], second["uploadedBytes"], second["sbom"]) == (first["digest"], 0, first["sbom"])
    # A cold builder: the base's manifest and config, the kept layer; the tag, the code, the SBOM.
    assert sorted(one.partition(" ")[0] for one in host.proxy.requests) == ["GET"] * 3 + ["HEAD"] * 3
    host.code = b"print(2)"
    changed = host.build(pythonDependencies=["sample==1.0"])
    assert [layer["uploaded"] for layer in changed["layers"]] == [False, True]
    assert changed["uploadedBytes"] < 50_000


def test_on_a_warm_host_a_base_costs_one_head(host: Host) -> None:
    host.cache = HostCache(host.folder / "cache")
    first = host.build()
    host.proxy.requests.clear()
    second = host.build()
    assert (second["digest"], second["uploadedBytes"]) == (first["digest"], 0)
    places = ["/v2/base/manifests/3.11", MANIFEST, f"/v2/team/squares/blobs/{first['layers'][0]['digest']}"]
    assert sorted(host.proxy.requests) == sorted(f"HEAD {'/v2' if p == MANIFEST else ''}{p}" for p in places)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A certificate for localhost that nobody has signed but itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    place = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run(["openssl", "req", *kind, *name, *place], check=True, capture_output=True)
    return str(folder / "cert.pem"), str(folder / "key.pem")


@pytest.fixture
def secure(upstream: str, tmp_path: Path, certificate: tuple[str, str]) -> Iterator[Host]:
    with FaultProxy(upstream, tls=certificate) as proxy:
        yield Host(proxy, tmp_path, code=os.urandom(100))


@pytest.mark.parametrize("settings", [{"ca": "the certificate"}, {"insecure": True}])
def test_a_certificate_nobody_signed(secure: Host, certificate: tuple[str, str], settings: dict[str, Any]) -> None:
    name = secure.proxy.host
    endpoint = {"endpoint": f"https://{name}"}
    error = secure.fails(registries={name: endpoint})
    assert (error.reason, error.retryable, secure.pauses) == ("RegistryUnreachable", False, [])
    assert f"Registry {name} has no certificate this builder trusts" in error.message
    assert "`ca`" in error.remedy
    # What is said of another registry does not count.
    assert secure.fails(registries={name: endpoint, "other.test": settings}).reason == "RegistryUnreachable"
    settings = {**settings, "ca": certificate[0]} if "ca" in settings else settings
    assert pushed(secure, secure.build(registries={name: {**endpoint, **settings}}))


def test_an_authority_that_cannot_be_read(secure: Host, tmp_path: Path) -> None:
    name = secure.proxy.host
    for content in (None, "no certificate"):
        if content:
            (tmp_path / "ca.pem").write_text(content)
        error = secure.fails(registries={name: {"endpoint": f"https://{name}", "ca": str(tmp_path / "ca.pem")}})
        assert (error.reason, str(tmp_path / "ca.pem") in error.message) == ("BadSettings", True)


def test_plain_http_where_tls_is_expected(host: Host) -> None:
    name = host.proxy.host
    error = host.fails(registries={name: {"endpoint": f"https://{name}"}})
    assert error.reason == "RegistryUnreachable"
    assert "http://" in error.remedy
    assert pushed(host, host.build(registries={name: {"endpoint": f"http://{name}"}}))


def test_the_proxy_is_a_program_too(host: Host) -> None:
    """Faults come and go by HTTP: for whoever runs it in a pod."""
    url = f"http://{host.proxy.host}/faults"
    httpx.post(url, content=json.dumps({"method": "GET", "path": "/base/", "status": 403, "word": "DENIED"}))
    assert host.fails().reason == "RegistryForbidden"
    httpx.delete(url)
    assert pushed(host, host.build())
