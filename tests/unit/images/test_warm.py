"""Building again: what a process and a host remember, and what they never believe."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from flow_operator.api.wire import BuildReport, BuildRequest
from flow_operator.images.build import LayersBuilder
from flow_operator.images.clients import Clients
from flow_operator.images.credentials import Keychain
from flow_operator.images.errors import RegistryForbiddenError, TagLostError
from flow_operator.images.host_cache import HostCache
from flow_operator.images.known import Known
from tests.support.registry import FakeRegistry, Fault, digest_of, status
from tests.unit.images.conftest import code_file

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from flow_operator.images.retries import Retries

Make = Callable[..., BuildReport]
TARGET = "registry.test/team/squares"
BASE_HEAD = "HEAD https://registry.test/v2/base/manifests/3.11"
TAG_HEAD = "HEAD https://registry.test/v2/team/squares/manifests/v1"
RUNTIME = {"flow-operator.io/runtime": "dask==2026.8.0"}


class Host:
    """A host with a cache; each process on it has connections of its own."""

    def __init__(self, registry: FakeRegistry, retries: Retries, make: Callable[..., BuildRequest], cache: Path):
        self._registry, self._retries, self._make, self._cache = registry, retries, make, cache
        self.lines: list[str] = []

    def process(self) -> Make:
        clients = Clients(self._registry)

        def build(**overrides: object) -> BuildReport:
            cache = HostCache(self._cache)
            keychain = Keychain({"auths": {"registry.test": {"username": "robot", "password": "hunter2"}}})
            builder = LayersBuilder(
                keychain=keychain, retries=self._retries, clients=clients, cache=cache, progress=self.lines.append
            )
            self._registry.forget()
            return builder.build(self._make(**overrides))

        return build


@pytest.fixture
def host(registry: FakeRegistry, retries: Retries, request_for: Callable[..., BuildRequest], tmp_path: Path) -> Host:
    return Host(registry, retries, request_for, tmp_path / "cache")


def after(registry: FakeRegistry, happened: Callable[[], bool]) -> Fault:
    """The right answer, once something has happened."""

    def fault(request: httpx.Request) -> httpx.Response:
        for _ in range(2000):
            if happened():
                return registry.answer(request)
            threading.Event().wait(0.005)
        raise AssertionError("it did not happen")

    return fault


def sbom_head(report: BuildReport) -> str:
    return f"HEAD https://registry.test/v2/team/squares/manifests/{report['sbom']}"


def test_nothing_but_code_again_in_one_process_is_two_heads(host: Host, registry: FakeRegistry) -> None:
    build = host.process()
    first, second = build(), build()
    assert second["digest"] == first["digest"]
    assert sorted(registry.requests) == [BASE_HEAD, TAG_HEAD]


def test_the_same_again_in_one_process_is_two_heads(host: Host, registry: FakeRegistry) -> None:
    build = host.process()
    first = build(pythonDependencies=["pandas==3.0"])
    second = build(pythonDependencies=["pandas==3.0"])
    assert (second["digest"], second["uploadedBytes"]) == (first["digest"], 0)
    assert sorted(registry.requests) == sorted([BASE_HEAD, TAG_HEAD, sbom_head(second)])


def test_the_same_again_on_one_host_asks_for_each_thing_once(host: Host, registry: FakeRegistry) -> None:
    first = host.process()(pythonDependencies=["pandas==3.0"], baseImage="registry.test/plain:3.11")
    second = host.process()(pythonDependencies=["pandas==3.0"], baseImage="registry.test/plain:3.11")
    assert (second["digest"], second["uploadedBytes"], registry.uploaded) == (first["digest"], 0, 0)
    code = f"HEAD https://registry.test/v2/team/squares/blobs/{second['layers'][-1]['digest']}"
    assert sorted(registry.requests) == sorted([BASE_HEAD.replace("base", "plain"), TAG_HEAD, code, sbom_head(second)])


def test_a_change_of_code_asks_for_what_is_new(host: Host, registry: FakeRegistry, source: Path) -> None:
    build = host.process()
    build(pythonDependencies=["pandas==3.0"])
    source.write_text("print('changed')\n")
    report = build(pythonDependencies=["pandas==3.0"], files=[code_file(source)])
    assert [layer["uploaded"] for layer in report["layers"]] == [False, True]
    methods = sorted(one.partition(" ")[0] for one in registry.requests)
    # Base, SBOM; two uploads; the manifest; its tag. The SBOM, its list, and that list again.
    assert methods == ["GET"] + ["HEAD"] * 3 + ["POST"] * 2 + ["PUT"] * 5


def test_a_change_of_code_alone_is_seven_requests(host: Host, registry: FakeRegistry, source: Path) -> None:
    build = host.process()
    build()
    source.write_text("print('changed')\n")
    build(files=[code_file(source)])
    assert sorted(one.partition(" ")[0] for one in registry.requests) == ["HEAD"] * 2 + ["POST"] * 2 + ["PUT"] * 3
    assert {BASE_HEAD, TAG_HEAD} <= set(registry.requests)


@pytest.mark.parametrize("base", ["base", "plain"])
def test_the_config_is_sent_before_the_base_is_known(
    host: Host, registry: FakeRegistry, source: Path, base: str
) -> None:
    build = host.process()
    image = f"registry.test/{base}:3.11"
    first = build(pythonDependencies=["pandas==3.0"], baseImage=image)
    both_sent = after(registry, lambda: registry.asked("PUT", "/squares/blobs/uploads/") == 2)
    registry.fail("HEAD", f"/{base}/manifests", both_sent)
    source.write_text("print('changed')\n")
    second = build(pythonDependencies=["pandas==3.0"], baseImage=image, files=[code_file(source)])
    assert (second["base"], second["digest"] == first["digest"]) == (first["base"], False)
    assert registry.config(TARGET, "v1")["rootfs"]["diff_ids"][-1] == second["layers"][-1]["digest"]


def test_what_becomes_of_a_wrong_guess_is_no_error(host: Host, registry: FakeRegistry, source: Path) -> None:
    build = host.process()
    build()
    registry.put_image("registry.test/base", "3.11", labels=RUNTIME, layers=(b"younger",))
    source.write_text("print('changed')\n")
    refused: list[str] = []

    def refuses_the_guess(request: httpx.Request) -> httpx.Response:
        if digest_of(b"no tar").encode() not in request.read():
            return registry.answer(request)
        refused.append(str(request.url))
        return status(403, word="DENIED")(request)

    registry.fail("PUT", "/squares/blobs/uploads/", *[refuses_the_guess] * 3)
    registry.fail("HEAD", "/base/manifests", after(registry, lambda: bool(refused)))
    report = build(files=[code_file(source)])
    diff_ids = registry.config(TARGET, "v1")["rootfs"]["diff_ids"]
    assert diff_ids == [digest_of(b"younger"), report["layers"][-1]["digest"]]
    assert len(refused) == 1


def test_a_guess_that_is_right_and_refused_is_an_error(host: Host, registry: FakeRegistry, source: Path) -> None:
    build = host.process()
    build()
    source.write_text("print('changed')\n")
    registry.fail("PUT", "/squares/blobs/uploads/", *[status(403, word="DENIED")] * 2)
    with pytest.raises(RegistryForbiddenError, match="DENIED"):
        build(files=[code_file(source)])
    assert registry.asked("PUT", "/manifests/") == 0


def test_code_is_asked_for_where_nothing_was_brought_lately(host: Host, registry: FakeRegistry, source: Path) -> None:
    host.process()()
    source.write_text("print('changed')\n")
    first = host.process()(files=[code_file(source)])
    again = host.process()(files=[code_file(source)])
    assert (again["digest"], again["uploadedBytes"]) == (first["digest"], 0)
    assert registry.asked("HEAD", "/squares/blobs/") == 1


def test_a_base_that_moved_is_noticed(host: Host, registry: FakeRegistry) -> None:
    build = host.process()
    before = build()["base"]
    registry.put_image("registry.test/base", "3.11", labels=RUNTIME, layers=(b"younger",))
    after = build()["base"]
    assert before != after
    assert registry.manifest(TARGET, "v1")["annotations"]["org.opencontainers.image.base.digest"] in after
    registry.put_image("registry.test/base", "3.11", labels=RUNTIME, layers=(b"older",))
    assert host.process()()["base"] not in (before, after)


def test_a_registry_that_says_no_digest_is_read(host: Host, registry: FakeRegistry) -> None:
    build = host.process()
    first = build()
    registry.fail("HEAD", "/base/manifests", *[status(200)] * 2)
    assert build()["digest"] == first["digest"]
    assert registry.asked("GET", "/base/manifests") == 1


@pytest.mark.parametrize("new_process", [False, True])
def test_a_registry_whose_data_was_deleted_heals(
    host: Host, registry: FakeRegistry, source: Path, new_process: bool
) -> None:
    build = host.process()
    build(pythonDependencies=["pandas==3.0"])
    repository = registry.repository(TARGET)
    repository.blobs.clear()
    repository.manifests.clear()
    source.write_text("print('changed')\n")
    again = host.process() if new_process else build
    report = again(pythonDependencies=["pandas==3.0"], files=[code_file(source)])
    assert all(layer["uploaded"] for layer in report["layers"])
    assert set(repository.blobs) >= {layer["digest"] for layer in registry.manifest(TARGET, "v1")["layers"]}


def test_a_registry_whose_data_was_deleted_gets_the_same_again(host: Host, registry: FakeRegistry) -> None:
    build = host.process()
    first = build(pythonDependencies=["pandas==3.0"])
    registry.repository(TARGET).blobs.clear()
    registry.repository(TARGET).manifests.clear()
    second = build(pythonDependencies=["pandas==3.0"])
    assert second["digest"] == first["digest"]
    assert registry.manifest(TARGET, "v1")


def test_a_manifest_that_is_refused_for_good_is_an_error(host: Host, registry: FakeRegistry, source: Path) -> None:
    build = host.process()
    build()
    source.write_text("print('changed')\n")
    registry.fail("PUT", "/manifests/v1", *[status(400, word="MANIFEST_INVALID")] * 2)
    with pytest.raises(Exception, match="MANIFEST_INVALID"):
        build(files=[code_file(source)])


def test_a_damaged_cache_costs_requests_alone(host: Host, registry: FakeRegistry, tmp_path: Path) -> None:
    first = host.process()(pythonDependencies=["pandas==3.0"])
    for file in (tmp_path / "cache").rglob("*"):
        if file.is_file():
            file.write_bytes(b"x")
    second = host.process()(pythonDependencies=["pandas==3.0"])
    assert (second["digest"], registry.uploaded) == (first["digest"], 0)


def test_tags_of_the_cache_are_written_once(host: Host, registry: FakeRegistry) -> None:
    host.process()(pythonDependencies=["pandas==3.0"])
    assert registry.asked("PUT", "flow-operator-cache") == 2
    for again in (host.process(), host.process()):
        again(pythonDependencies=["pandas==3.0"], tag="another")
        assert registry.asked("PUT", "flow-operator-cache") == 0


def test_a_login_is_kept(host: Host, registry: FakeRegistry) -> None:
    registry.login = ("robot", "hunter2")
    build = host.process()
    build()
    build()
    assert not any("/token" in one for one in registry.requests)
    assert len(registry.requests) == 2


def test_what_was_forbidden_is_asked_with_a_new_login(host: Host, registry: FakeRegistry) -> None:
    registry.login = ("robot", "hunter2")
    build = host.process()
    registry.fail("PUT", "/manifests/v1", status(403, word="DENIED"))
    with pytest.raises(Exception, match="DENIED"):
        build()
    assert build()["digest"]
    assert any("/token" in one for one in registry.requests)


def test_a_memory_of_blobs_ends() -> None:
    now = [0.0]
    known = Known(lambda: now[0])
    known.add("team/squares", "sha256:1")
    assert known.has("team/squares", "sha256:1")
    assert not known.has("team/other", "sha256:1")
    assert (known.has_any("team/squares"), known.has_any("team/other")) == (True, False)
    now[0] = 601
    assert not known.has("team/squares", "sha256:1")
    assert not known.has_any("team/squares")


@pytest.mark.parametrize("answer", [status(404), status(200, {"Docker-Content-Digest": "sha256:other"})])
def test_a_tag_that_is_lost_is_named(host: Host, registry: FakeRegistry, pauses: list[float], answer: Fault) -> None:
    registry.fail("HEAD", "/squares/manifests/v1", status(404), *[answer] * 9)
    with pytest.raises(
        TagLostError, match=r"registry\.test/team/squares:v1 was pushed as sha256:\w+, and is"
    ) as caught:
        host.process()()
    assert caught.value.retryable
    assert len(pauses) == 5


def test_a_tag_that_appears_late_is_waited_for(host: Host, registry: FakeRegistry, pauses: list[float]) -> None:
    registry.fail("HEAD", "/squares/manifests/v1", status(404), status(404))
    assert host.process()()["digest"]
    assert len(pauses) == 2


def test_a_dry_run_tells_the_digest_and_sends_nothing(host: Host, registry: FakeRegistry) -> None:
    dry = host.process()(pythonDependencies=["pandas==3.0"], push=False)
    assert {one.partition(" ")[0] for one in registry.requests} == {"GET"}
    assert not registry.repository(TARGET).manifests
    assert (dry["uploadedBytes"], [layer["uploaded"] for layer in dry["layers"]]) == (0, [False, False])
    wet = host.process()(pythonDependencies=["pandas==3.0"])
    assert wet["digest"] == dry["digest"]
    host.process()(pythonDependencies=["pandas==3.0"], push=False)
    assert not registry.requests or {one.partition(" ")[0] for one in registry.requests} == {"HEAD"}
