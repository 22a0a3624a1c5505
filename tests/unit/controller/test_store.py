"""The store: newer wins, namesakes are told apart, children are found by owner."""

from __future__ import annotations

from typing import Any

from flow_operator.api import labels
from flow_operator.controller.store import Key, Store, owner_key
from tests.support import makers as m

Manifest = dict[str, Any]


def pod(name: str = "p", version: int = 1, uid: str = "u1", component: str = labels.RUNNER) -> Manifest:
    owned = {labels.RUN_UID: m.RUN_UID, labels.RUN_NAME: "squares-1", labels.COMPONENT: component}
    owned[labels.ATTEMPT] = "1"
    meta = {"name": name, "namespace": "team-a", "uid": uid, "resourceVersion": str(version), "labels": owned}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta}


KEY = Key("Pod", "team-a", "p")


def test_the_newer_version_stays() -> None:
    store = Store()
    assert store.put(pod(version=5))
    assert not store.put(pod(version=4))
    assert not store.put(pod(version=5))
    assert store.put(pod(version=10))
    found = store.get(KEY)
    assert found is not None
    assert found["metadata"]["resourceVersion"] == "10"


def test_a_late_deletion_of_a_namesake_does_not_remove_its_successor() -> None:
    store = Store()
    store.put(pod(uid="new", version=9))
    assert not store.remove(pod(uid="old", version=8))
    assert store.get(KEY) is not None


def test_what_is_gone_is_not_brought_back_by_the_late_answer_to_a_write() -> None:
    store = Store()
    store.put(pod(version=5))
    store.remove(pod(version=8))
    assert not store.put(pod(version=7))
    assert store.get(KEY) is None
    assert store.put(pod(version=9)), "it was not gone after all: a list was older than it"
    assert store.put(pod(uid="another", version=10))


def test_children_are_found_by_owner_until_they_are_removed() -> None:
    store = Store()
    store.put(pod())
    assert [each["metadata"]["name"] for each in store.children(m.RUN_UID, "team-a", "Pod")] == ["p"]
    assert store.children(m.RUN_UID, "team-a", "DaskCluster") == []
    store.remove(pod())
    assert store.children(m.RUN_UID, "team-a", "Pod") == []
    assert store.children_by_run_name("team-a", "squares-1") == []


def test_a_deleted_runner_leaves_its_last_words_until_the_run_goes() -> None:
    store = Store()
    store.put(m.a_run())
    store.put(pod())
    store.remove(pod(version=7))
    words = store.last_words(m.RUN_UID, "1")
    assert words is not None
    assert words["metadata"]["resourceVersion"] == "7"
    store.remove(m.a_run())
    assert store.last_words(m.RUN_UID, "1") is None


def test_nobody_waits_for_the_last_words_of_a_runner_whose_run_is_gone_before_it() -> None:
    store = Store()
    store.put(m.a_run())
    store.put(pod())
    store.remove(m.a_run())
    store.remove(pod(version=7))
    assert store.last_words(m.RUN_UID, "1") is None


def test_nor_for_those_of_a_namesake_of_its_run() -> None:
    store = Store()
    run = m.a_run()
    run["metadata"]["uid"] = "another"
    store.put(run)
    store.put(pod())
    store.remove(pod(version=7))
    assert store.last_words(m.RUN_UID, "1") is None


def test_a_child_knows_its_owner() -> None:
    assert owner_key(pod()) == Key("FlowRun", "team-a", "squares-1")
