"""A registry that is slow, strict, broken or lying."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest

from flow_operator.api.wire import BuildReport
from flow_operator.images import upload
from flow_operator.images.blobs import BytesBlob
from flow_operator.images.clients import Clients, Trust
from flow_operator.images.connection import Connection
from flow_operator.images.credentials import Keychain
from flow_operator.images.errors import (
    DigestMismatchError,
    RegistryError,
    RegistryFailedError,
    RegistryForbiddenError,
    RegistryRateLimitedError,
    RegistryUnauthorizedError,
    RegistryUnreachableError,
)
from flow_operator.images.registry import Repository
from flow_operator.images.retries import Retries, retry_after
from tests.support.registry import Cut, FakeRegistry, Fault, dropped, status, torn

Build = Callable[..., BuildReport]
KEYCHAIN = Keychain({"auths": {"registry.test": {"username": "robot", "password": "hunter2"}}})


@pytest.mark.parametrize("fault", [status(500), status(502), status(503), dropped(), dropped(httpx.ConnectTimeout)])
@pytest.mark.parametrize(
    ("method", "part"),
    [
        ("GET", "/base/manifests"),
        ("GET", "/base/blobs"),
        ("HEAD", "/squares"),
        ("POST", "/squares"),
        ("PUT", "/squares"),
    ],
)
def test_a_stumbling_registry_is_asked_again(
    build: Build, registry: FakeRegistry, pauses: list[float], method: str, part: str, fault: Fault
) -> None:
    registry.fail(method, part, fault, fault)
    assert build()["digest"]
    assert len(pauses) >= 2


def test_pauses_grow_and_end(build: Build, registry: FakeRegistry, pauses: list[float]) -> None:
    registry.fail("GET", "/base/manifests", *[status(503)] * 99)
    with pytest.raises(RegistryFailedError) as caught:
        build()
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2]
    assert caught.value.retryable


def test_retry_after_is_obeyed_within_reason(build: Build, registry: FakeRegistry, pauses: list[float]) -> None:
    registry.fail("GET", "/base/manifests", status(429, {"Retry-After": "7"}))
    build()
    assert pauses == [7.0]
    registry.fail("GET", "/base/manifests", status(429, {"Retry-After": "3600"}))
    with pytest.raises(RegistryRateLimitedError):
        build()
    assert pauses == [7.0]


@pytest.mark.parametrize(
    ("seconds", "silent", "tries"),
    [
        (10.0, True, 4),  # nobody accepts a connection
        (40.0, True, 1),  # somebody does, and says nothing
        (300.0, False, 6),  # a long upload breaks, again and again: it got further each time
    ],
)
def test_silence_is_known_within_a_minute(seconds: float, silent: bool, tries: int) -> None:
    moments: list[float] = []

    def operation() -> None:
        moments.append(seconds)
        error = RegistryUnreachableError("no word")
        error.silent = silent
        raise error

    with pytest.raises(RegistryUnreachableError):
        Retries(sleep=lambda _: None, clock=lambda: sum(moments)).run(operation)
    assert len(moments) == tries


def test_a_timeout_is_silence_and_a_broken_connection_is_not(
    build: Build, registry: FakeRegistry, pauses: list[float]
) -> None:
    for error, silent in ((httpx.ReadTimeout, True), (httpx.ReadError, False)):
        registry.fail("GET", "/base/manifests", *[dropped(error)] * 6)
        with pytest.raises(RegistryUnreachableError) as caught:
            build()
        assert caught.value.silent is silent


def test_retry_after_may_be_a_date() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert retry_after("Thu, 01 Jan 2026 00:00:05 GMT", now) == 5
    assert retry_after("Wed, 31 Dec 2025 00:00:00 GMT", now) == 0
    assert retry_after("soon", now) is None
    assert retry_after(None, now) is None


@pytest.fixture
def streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send every blob as if it were long."""
    monkeypatch.setattr(upload, "MONOLITHIC", 0)
    monkeypatch.setattr(upload, "CHUNK", 4_000)


@pytest.mark.usefixtures("streamed")
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize("fault", [dropped(httpx.WriteError), status(502), status(404)])
def test_an_upload_that_breaks_goes_on(
    build: Build, registry: FakeRegistry, pauses: list[float], method: str, fault: Fault
) -> None:
    registry.fail(method, "/blobs/uploads/", fault)
    report = build(repository="other.test/squares")
    assert report["layers"][0]["uploaded"]
    assert registry.asked("GET", "/blobs/uploads/") == 1
    assert len(pauses) == 1


@pytest.fixture
def repository(registry: FakeRegistry, retries: Retries) -> Repository:
    clients = Clients(registry)
    client = clients.client("other.test", "https://other.test", Trust())
    login = clients.login("other.test", "https://other.test", Keychain({}), ())
    return Repository(Connection("other.test", "https://other.test", client, login, retries), "squares")


@pytest.mark.usefixtures("streamed")
def test_what_has_arrived_is_not_sent_again(repository: Repository, registry: FakeRegistry) -> None:
    """5,000 bytes arrive in the first try, 1,000 of the next chunk, and then the rest in chunks of 4,000."""
    code, blob = b"x" * 10_240, BytesBlob(b"x" * 10_240)
    registry.fail("PATCH", "/blobs/uploads/", Cut(registry, 5_000), Cut(registry, 1_000))
    repository.upload(blob)
    methods = [one.partition(" ")[0] for one in registry.requests]
    assert methods == ["POST", "PATCH", "GET", "PATCH", "GET", "PATCH", "PATCH", "PUT"]
    assert registry.repository("other.test/squares").blobs == {blob.digest: code}


@pytest.mark.usefixtures("streamed")
@pytest.mark.parametrize("fault", [status(404), status(500), status(204), status(204, {"Range": "0-999999"})])
def test_a_registry_that_forgot_an_upload_gets_it_from_the_start(
    build: Build, registry: FakeRegistry, fault: Fault
) -> None:
    registry.fail("PATCH", "/blobs/uploads/", dropped(httpx.WriteError))
    registry.fail("GET", "/blobs/uploads/", fault)
    assert build(repository="other.test/squares")["digest"]


@pytest.mark.usefixtures("streamed")
@pytest.mark.parametrize("claimed", ["0-99", "0-9999"])
def test_a_registry_that_counts_wrongly_gets_it_from_the_start(
    build: Build, registry: FakeRegistry, claimed: str
) -> None:
    registry.fail("PATCH", "/blobs/uploads/", Cut(registry, 5_000))
    registry.fail("GET", "/blobs/uploads/", status(204, {"Range": claimed}))
    assert build(repository="other.test/squares")["digest"]


@pytest.mark.usefixtures("streamed")
def test_the_registry_that_broke_is_named(build: Build, registry: FakeRegistry) -> None:
    registry.fail("PATCH", "other.test", *[dropped(httpx.WriteError)] * 99)
    with pytest.raises(RegistryUnreachableError, match=r"other\.test"):
        build(repository="other.test/squares")


def test_a_download_that_breaks_begins_again(build: Build, registry: FakeRegistry, pauses: list[float]) -> None:
    registry.put_image("registry.test/base", "3.11", layers=(b"x" * 1000,), labels={"flow-operator.io/runtime": "v"})
    digest = registry.manifest("registry.test/base", "3.11")["layers"][0]["digest"]
    registry.fail("GET", f"/base/blobs/{digest}", torn(b"half"))
    build(repository="other.test/squares")
    assert len(pauses) == 1


@pytest.mark.parametrize("part", ["config", "layers"])
def test_a_lie_about_content_is_noticed(build: Build, registry: FakeRegistry, part: str) -> None:
    manifest = registry.manifest("registry.test/base", "3.11")
    digest = (manifest["config"] if part == "config" else manifest["layers"][0])["digest"]
    blobs = registry.repository("registry.test/base").blobs
    blobs[digest] = bytes(len(blobs[digest]))
    with pytest.raises(DigestMismatchError, match=digest):
        build(repository="other.test/squares")


def test_a_lie_about_a_manifest_is_noticed(build: Build, registry: FakeRegistry) -> None:
    registry.fail("GET", "/base/manifests", status(200, {"Docker-Content-Digest": f"sha256:{'0' * 64}"}))
    with pytest.raises(DigestMismatchError):
        build()


def test_the_token_dance_is_danced_once(build: Build, registry: FakeRegistry) -> None:
    registry.login = ("robot", "hunter2")
    build(keychain=KEYCHAIN)
    [asked] = [httpx.URL(one.partition(" ")[2]) for one in registry.requests if "/token" in one]
    assert asked.params["service"] == "fake"
    assert {"repository:team/squares:pull,push", "repository:base:pull"} < set(asked.params.get_list("scope"))
    assert registry.asked("GET", "/v2/base/manifests/3.11") <= 2
    assert registry.asked("HEAD", "/squares/manifests/v1") <= 3  # before, refused; before; after


def test_a_login_that_expires_is_renewed(build: Build, registry: FakeRegistry) -> None:
    registry.login = ("robot", "hunter2")
    registry.fail("PUT", "/manifests/v1", registry.challenge)
    assert build(keychain=KEYCHAIN)["digest"]


def test_basic_logins_work_too(build: Build, registry: FakeRegistry) -> None:
    registry.login, registry.basic = ("robot", "hunter2"), True
    assert build(keychain=KEYCHAIN)["digest"]


@pytest.mark.parametrize("basic", [True, False])
@pytest.mark.parametrize("entry", [{}, {"username": "robot", "password": "wr0ng-secret"}])
def test_without_a_good_credential_the_build_is_refused(
    build: Build, registry: FakeRegistry, pauses: list[float], basic: bool, entry: dict[str, str]
) -> None:
    registry.login, registry.basic = ("robot", "hunter2"), basic
    with pytest.raises(RegistryUnauthorizedError, match=r"registry\.test") as caught:
        build(keychain=Keychain({"auths": {"registry.test": entry}}))
    assert "wr0ng-secret" not in f"{caught.value.message}{caught.value!r}"
    assert pauses == []


def test_a_credential_that_may_not_push(build: Build, registry: FakeRegistry, pauses: list[float]) -> None:
    registry.fail("POST", "/team/squares", *[status(403, word="DENIED")] * 9)
    with pytest.raises(RegistryForbiddenError, match="DENIED"):
        build()
    assert pauses == []


def test_a_login_goes_to_its_registry_alone(build: Build, registry: FakeRegistry) -> None:
    registry.login = ("robot", "hunter2")
    elsewhere = {"Location": "https://storage.test/v2/team/squares/blobs/uploads/x?state=kept"}
    registry.fail("POST", "/blobs/uploads/", status(202, elsewhere))
    with pytest.raises(RegistryError):
        build(keychain=KEYCHAIN)
    sent = zip(registry.requests, registry.headers, strict=True)
    assert all("Authorization" not in headers for request, headers in sent if "storage.test" in request)


def test_plain_http_is_never_slipped_in(build: Build, registry: FakeRegistry) -> None:
    registry.fail("GET", "/base/blobs/", status(307, {"Location": "http://storage.test/blob"}))
    with pytest.raises(RegistryFailedError, match="plain http"):
        build()
    assert not any("storage.test" in request for request in registry.requests)


def test_a_name_is_reached_where_it_is_mapped_to(build: Build, registry: FakeRegistry) -> None:
    registry.repositories["inner:5000", "base"] = registry.repository("registry.test/base")
    report = build(registries={"registry.test": {"endpoint": "http://inner:5000"}})
    assert report["image"].startswith("registry.test/team/squares@")
    assert all("http://inner:5000/" in request for request in registry.requests)


def test_an_unreachable_registry_is_named(build: Build, registry: FakeRegistry) -> None:
    registry.fail("GET", "", *[dropped(httpx.ConnectError)] * 99)
    with pytest.raises(RegistryUnreachableError, match=r"registry\.test"):
        build()


def test_a_cache_that_is_refused_does_no_harm(build: Build, registry: FakeRegistry) -> None:
    registry.fail("PUT", "flow-operator-cache", status(403))
    assert build(pythonDependencies=["pandas"])["digest"]


def test_retries_give_back_what_is_no_registry_error() -> None:
    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Retries(sleep=lambda _: None).run(broken)
