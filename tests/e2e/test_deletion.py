"""A FlowRun deleted in any phase: nothing of it is left, within 30 s where the machine has nothing else to do."""

from __future__ import annotations

import pytest

from tests.support import recorder
from tests.support.cluster import Namespace, deployment, eventually, kubectl, run

SLOW = (
    recorder.CLIENT
    + """
import time
from flow_operator import flow
from flow_operator.environments import DaskKubernetesEnvironment

def leave():
    record("on_exit")
    time.sleep(4)

@flow(environment=DaskKubernetesEnvironment(min_workers=1, max_workers=2, on_exit=leave))
def flow(seconds: float = 60):
    record("flow")
    time.sleep(seconds)
"""
)
PLAIN = "import time\ndef flow(seconds: float = 60):\n    time.sleep(seconds)\n"


@pytest.fixture(scope="module", autouse=True)
def deployments(namespace: Namespace) -> None:
    namespace.apply(deployment("slow", SLOW), deployment("plain", PLAIN))
    for each in ("slow", "plain"):
        namespace.wait_ready(each)


def test_a_terminating_namespace_is_not_held_up(namespace: Namespace, images: dict[str, str]) -> None:
    """Nothing of ours sticks, though nothing may be made there any more: not even a callback's pod."""
    doomed = Namespace(f"{namespace.name}-doomed")
    kubectl("create", "namespace", doomed.name)
    recorder.start(doomed, images["runtime"])
    doomed.apply(deployment("slow", SLOW, environment={"remote": {}}), deployment("plain", PLAIN))
    for each in ("slow", "plain"):
        doomed.wait_ready(each)
        doomed.apply(run(each, each), run(f"{each}-waits", "absent"))
    for each in ("slow", "plain"):
        doomed.wait_phase(each, "Running")
    kubectl("delete", "namespace", doomed.name, "--wait=false")

    def left() -> str:
        return kubectl("get", "namespace", doomed.name, "-o", "name", "--ignore-not-found").strip()

    eventually(left, lambda seen: not seen, 120, f"namespace {doomed.name} is gone", every=1.0)


@pytest.mark.parametrize(
    ("phase", "of", "seconds"),
    [
        ("Pending", "absent", 60),
        ("SettingUp", "slow", 60),
        ("Running", "slow", 60),
        ("Running", "plain", 60),
        ("Finishing", "slow", 0.1),
        ("Succeeded", "slow", 0.1),
        ("Succeeded", "plain", 0.1),
    ],
)
def test_nothing_is_left_of_a_deleted_run(namespace: Namespace, phase: str, of: str, seconds: float) -> None:
    name = f"{phase.lower()}-{of}"
    namespace.apply(run(name, of, parameters={"seconds": seconds}))
    namespace.wait_phase(name, phase)
    namespace.delete("flowrun", name)
    namespace.wait_gone(f"flow-operator.io/run={name}", within=30)
    assert namespace.find("flowrun", name) is None


def test_on_exit_runs_when_a_running_run_is_deleted(namespace: Namespace) -> None:
    namespace.apply(run("deleted", "slow"))
    recorder.wait_for(namespace, "deleted", "flow", within=60)
    namespace.delete("flowrun", "deleted")
    namespace.wait_gone("flow-operator.io/run=deleted", within=30)
    assert recorder.names(namespace, "deleted") == ["flow", "on_exit"]


def test_a_run_deleted_and_made_again_under_its_name_runs(namespace: Namespace) -> None:
    namespace.apply(run("again", "plain", parameters={"seconds": 0}))
    first = namespace.wait_run("again")
    namespace.delete("flowrun", "again")
    eventually(lambda: namespace.find("flowrun", "again"), lambda seen: seen is None, 20, "again is gone")
    namespace.apply(run("again", "plain", parameters={"seconds": 0}))
    second = namespace.wait_run("again")
    assert second["status"]["phase"] == "Succeeded"
    assert second["status"]["pod"] != first["status"]["pod"]
