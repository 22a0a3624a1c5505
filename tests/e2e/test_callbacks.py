"""on_exit where the runner pod cannot run it, or its run is being deleted: by the callbacks' own records."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.support import recorder
from tests.support.cluster import Namespace, deployment, eventually, get_json, kubectl, reason, run

if TYPE_CHECKING:
    from tests.support.cluster import Manifest

SOURCE = (
    recorder.CLIENT
    + """
import os, signal, time
from flow_operator import flow
from flow_operator.environments import RemoteEnvironment

def leave():
    told = {name: os.environ["FLOW_OPERATOR_" + name] for name in ("HOOK_KEY", "OUTCOME", "REASON")}
    record("on_exit", **told)

@flow(environment=RemoteEnvironment(on_start=lambda: record("on_start"), on_exit=leave))
def flow(stubborn: bool = False):
    if stubborn:  # then a pod that is to end at once dies before on_exit could begin
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    record("flow")
    time.sleep(120)
"""
)
RUNS = ("forced", "urgent", "deleted", "foreground")
NO_RETRY = {"infrastructureBackoffLimit": 0}


def pod_of(namespace: Namespace, name: str) -> str:
    return str(namespace.get("flowrun", name)["status"]["pod"])


def force(namespace: Namespace, name: str) -> None:
    """Delete a runner pod as if nobody had to hear of it."""
    kubectl(
        "-n", namespace.name, "delete", "pod", pod_of(namespace, name), "--grace-period=0", "--force", "--wait=false"
    )


def on_exit(manifest: Manifest) -> tuple[str, str]:
    (found,) = [each for each in manifest["status"]["hooks"] if each["name"] == "on_exit"]
    return found["state"], found["where"]


def exits(namespace: Namespace, name: str) -> list[Manifest]:
    return [each for each in recorder.records(namespace, name) if each["what"] == "on_exit"]


@pytest.fixture(scope="module")
def begun(namespace: Namespace) -> Namespace:
    """Begin all runs at once."""
    namespace.apply(deployment("callbacks", SOURCE, run=NO_RETRY))
    namespace.wait_ready("callbacks")
    namespace.apply(*(run(name, "callbacks", parameters={"stubborn": name != "deleted"}) for name in RUNS))
    for name in RUNS:
        recorder.wait_for(namespace, name, "flow", within=60)
    return namespace


def test_on_exit_is_never_lost(begun: Namespace) -> None:
    namespace = begun
    assert namespace.get("flowrun", "forced")["metadata"]["finalizers"] == ["flow-operator.io/callbacks"]
    pods = {name: pod_of(namespace, name) for name in RUNS}
    force(namespace, "foreground")
    namespace.delete("flowrun", "foreground", "--cascade=foreground")
    namespace.delete("flowrun", "deleted")
    force(namespace, "forced")
    kubectl("-n", namespace.name, "patch", "flowrun", "urgent", "--type=merge", "-p", '{"spec":{"cancel":"Now"}}')

    forced = namespace.wait_run("forced", within=60)
    state, where = on_exit(forced)  # a kubelet that heard of the force late has let the pod do it
    assert state == "Succeeded"
    assert forced["status"]["phase"] == "Failed"
    urgent = namespace.wait_run("urgent", within=60)
    assert on_exit(urgent)[0] == "Succeeded"
    assert reason(urgent, "Succeeded") == "Cancelled"
    for name in ("deleted", "foreground"):
        eventually(partial(namespace.find, "flowrun", name), lambda seen: seen is None, 60, f"{name} gone")
    for name in RUNS:
        uid = exits(namespace, name)[0]["HOOK_KEY"].partition("/")[0]
        assert {each["HOOK_KEY"] for each in exits(namespace, name)} == {f"{uid}/1/on_exit"}
        assert recorder.names(namespace, name)[:2] == ["on_start", "flow"]
    by = {name: exits(namespace, name)[-1]["pod"] for name in RUNS}
    assert by["deleted"] == pods["deleted"], "its pod had the time"
    assert by["forced"] == pods["forced"] + {"Pod": "", "Fallback": "-exit"}[where]
    assert by["foreground"].removesuffix("-exit") == pods["foreground"], "nobody takes that pod away with its run"
    for name in ("deleted", "foreground"):
        namespace.wait_gone(f"flow-operator.io/run={name}")
    told = {
        (each["involvedObject"]["name"], each["reason"]) for each in get_json("-n", namespace.name, "events")["items"]
    }
    assert {(name, "CallbackSucceeded") for name in RUNS} <= told
    assert ("deleted", "Deleted") in told


def test_a_namespace_is_not_held_by_a_run_whose_callback_can_run_nowhere(begun: Namespace) -> None:
    other = Namespace(f"{begun.name}-other")
    kubectl("create", "namespace", other.name)
    # Nobody records there.
    plain = SOURCE.replace('record("flow")', "print()").replace('record("on_start")', "print()")
    other.apply(deployment("callbacks", plain, run=NO_RETRY))
    other.wait_ready("callbacks")
    other.apply(run("going", "callbacks", parameters={"stubborn": True}, callbackTimeoutSeconds=3))
    other.wait_phase("going", "Running")
    kubectl("delete", "namespace", other.name, "--wait=false")
    force(other, "going")
    gone = json.dumps([])
    eventually(
        lambda: kubectl("get", "namespace", other.name, "--ignore-not-found").strip() or gone,
        lambda seen: seen == gone,
        60,
        "the namespace is gone",
    )
