"""What a host keeps: verified, shared, and never needed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from flow_operator.images.host_cache import HostCache, host_cache
from flow_operator.images.oci import sha256

if TYPE_CHECKING:
    from pathlib import Path

DATA = b'{"schemaVersion":2}'
DIGEST = sha256(DATA)


def test_contents_are_found_by_digest(tmp_path: Path) -> None:
    HostCache(tmp_path / "new").keep(DATA)
    assert HostCache(tmp_path / "new").content(DIGEST) == DATA
    assert HostCache(tmp_path / "new").content(sha256(b"other")) is None
    assert HostCache(tmp_path / "new").content("") is None


def test_notes_are_found_by_all_their_names(tmp_path: Path) -> None:
    cache = HostCache(tmp_path)
    cache.keep_note("first", "tag", "registry.test/base", "3.11")
    cache.keep_note("second", "tag", "registry.test/base", "3.11")
    assert cache.note("tag", "registry.test/base", "3.11") == "second"
    assert cache.note("tag", "registry.test/base:3.11") == ""


@pytest.mark.parametrize("damage", [b"", b"{", b"null", b"[1,2,3]", b'[["other"],"text"]', b"\xff\xfe"])
def test_what_is_damaged_is_as_if_it_were_not_there(tmp_path: Path, damage: bytes) -> None:
    cache = HostCache(tmp_path)
    cache.keep(DATA)
    cache.keep_note("text", "name")
    for file in tmp_path.rglob("*"):
        if file.is_file():
            file.write_bytes(damage)
    assert cache.content(DIGEST) is None
    assert cache.note("name") == ""
    cache.keep(DATA)
    cache.keep_note("text", "name")
    assert (cache.content(DIGEST), cache.note("name")) == (DATA, "text")


@pytest.mark.parametrize("folder", ["a-file/below", "/proc/1/nothing"])
def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path: Path, folder: str) -> None:
    (tmp_path / "a-file").write_text("")
    cache = HostCache(tmp_path / folder)
    cache.keep(DATA)
    cache.keep_note("text", "name")
    assert (cache.content(DIGEST), cache.note("name")) == (None, "")


def test_without_a_folder_nothing_is_kept() -> None:
    cache = HostCache(None)
    cache.keep(DATA)
    cache.keep_note("text", "name")
    assert (cache.content(DIGEST), cache.note("name")) == (None, "")


def test_many_may_write_at_once(tmp_path: Path) -> None:
    bodies = [bytes([65 + n]) * 100_000 for n in range(4)]

    def work() -> None:
        cache = HostCache(tmp_path)
        for body in bodies * 5:
            cache.keep(body)
            assert cache.content(sha256(body)) == body
            cache.keep_note(sha256(body), "tag")
            assert cache.note("tag") in map(sha256, bodies)

    failed: list[object] = []
    threads = [threading.Thread(target=lambda: _told(work, failed)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert not [file for file in tmp_path.rglob(".*") if file.is_file()]  # nothing half done is left


def _told(work: object, failed: list[object]) -> None:
    try:
        work()  # type: ignore[operator]
    except BaseException as error:  # noqa: BLE001 - of a thread
        failed.append(error)


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"FLOW_OPERATOR_CACHE_DIR": "/told", "HOME": "/home/me"}, "/told"),
        ({"XDG_CACHE_HOME": "/caches", "HOME": "/home/me"}, "/caches/flow-operator/images"),
        ({"HOME": "/home/me"}, "/home/me/.cache/flow-operator/images"),
        ({}, "None"),
    ],
)
def test_where_it_is(environ: dict[str, str], folder: str) -> None:
    assert str(host_cache(environ).folder) == folder
