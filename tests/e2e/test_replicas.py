"""Two operator replicas: the leader is killed in the middle of a run, the other takes over, one runner."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import recorder
from tests.support.cluster import SYSTEM, deployment, eventually, get_json, kubectl, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import Namespace

pytestmark = pytest.mark.alone  # the operator is scaled, and its leader killed

FLOW = (
    recorder.CLIENT
    + """
import time
def flow(seconds: float = 20):
    record("flow")
    time.sleep(seconds)
    return "done"
"""
)


@pytest.fixture
def two_replicas() -> Iterator[None]:
    kubectl("-n", SYSTEM, "scale", "deployment/flow-operator", "--replicas=2")
    kubectl("-n", SYSTEM, "rollout", "status", "deployment/flow-operator", "--timeout=120s")
    yield
    kubectl("-n", SYSTEM, "scale", "deployment/flow-operator", "--replicas=1")
    kubectl("-n", SYSTEM, "rollout", "status", "deployment/flow-operator", "--timeout=120s")


def leader() -> str:
    return str(get_json("-n", SYSTEM, "lease", "flow-operator")["spec"].get("holderIdentity", ""))


@pytest.mark.usefixtures("two_replicas")
def test_the_leader_is_killed_and_the_run_goes_on(namespace: Namespace) -> None:
    namespace.apply(deployment("long", FLOW))
    namespace.wait_ready("long")
    namespace.apply(run("long", "long"))
    namespace.wait_phase("long", "Running")
    first = eventually(leader, bool, 30, "a leader")
    kubectl("-n", SYSTEM, "delete", "pod", first, "--grace-period=0", "--force")
    done = namespace.wait_run("long", within=90)
    assert (done["status"]["phase"], done["status"]["result"]) == ("Succeeded", "done")
    assert recorder.names(namespace, "long") == ["flow"]
    assert len(namespace.list("pods", "flow-operator.io/run=long")) == 1
    assert leader() != first
