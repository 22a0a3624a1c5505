"""Runs of mounted code (bytes storage, no registry): outcome, result, error, callbacks and waits."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import recorder
from tests.support.cluster import condition, deployment, get_json, kubectl, reason, run
from tests.support.reading import CONTEXT

if TYPE_CHECKING:
    from tests.support.cluster import Namespace

SQUARES = """
def flow(n: int = 10) -> int:
    return sum(i * i for i in range(n))
"""
FAILING = (
    recorder.CLIENT
    + """
from flow_operator import flow
from flow_operator.environments import RemoteEnvironment

@flow(environment=RemoteEnvironment(on_start=lambda: record("on_start"), on_exit=lambda: record("on_exit")))
def flow(fail: bool = True):
    record("flow")
    if fail:
        raise ValueError("the input is empty")
    return "fine"
"""
)


@pytest.fixture(scope="module", autouse=True)
def deployments(namespace: Namespace) -> None:
    namespace.apply(deployment("squares", SQUARES), deployment("failing", FAILING))
    namespace.wait_ready("squares")
    namespace.wait_ready("failing")


def test_a_flow_runs_and_its_result_is_in_kubectl_get(namespace: Namespace) -> None:
    namespace.apply(run("first", "squares"))
    done = namespace.wait_run("first")
    assert done["status"]["phase"] == "Succeeded"
    assert done["status"]["result"] == 285
    columns = kubectl("-n", namespace.name, "get", "flowrun", "first", "--no-headers").split()
    assert columns[:3] == ["first", "squares", "Succeeded"]
    assert "285" in columns


def test_kubectl_wait_works(namespace: Namespace) -> None:
    namespace.apply(run("waited", "squares", parameters={"n": 4}))
    said = kubectl("-n", namespace.name, "wait", "--for=condition=Succeeded", "flowrun/waited", "--timeout=180s")
    assert "condition met" in said
    assert namespace.get("flowrun", "waited")["status"]["result"] == 14


def test_two_runs_of_one_deployment_do_not_touch_each_other(namespace: Namespace) -> None:
    namespace.apply(run("one", "squares", parameters={"n": 3}), run("two", "squares", parameters={"n": 5}))
    results = [namespace.wait_run(name)["status"]["result"] for name in ("one", "two")]
    assert results == [5, 30]
    pods = namespace.list("pods", "flow-operator.io/run in (one,two)")
    assert sorted(each["metadata"]["labels"]["flow-operator.io/run"] for each in pods) == ["one", "two"]


def test_a_failing_flow_says_why_and_on_exit_still_ran(namespace: Namespace) -> None:
    namespace.apply(run("bad", "failing"))
    done = namespace.wait_run("bad")
    assert condition(done, "Succeeded") == "False"
    assert reason(done, "Succeeded") == "FlowRaised"
    error = done["status"]["error"]
    assert (error["type"], error["message"]) == ("ValueError", "the input is empty")
    assert "flow.py" in error["frames"][-1]
    assert recorder.names(namespace, "bad") == ["on_start", "flow", "on_exit"]
    assert [(each["name"], each["state"]) for each in done["status"]["hooks"]] == [
        ("on_start", "Succeeded"),
        ("on_exit", "Succeeded"),
    ]


def test_callbacks_surround_a_flow_that_succeeds(namespace: Namespace) -> None:
    namespace.apply(run("good", "failing", parameters={"fail": False}))
    done = namespace.wait_run("good")
    assert done["status"]["result"] == "fine"
    records = recorder.records(namespace, "good")
    assert [each["what"] for each in records] == ["on_start", "flow", "on_exit"]
    assert len({each["pod"] for each in records}) == 1, "callbacks run in the runner pod"


def test_parameters_that_do_not_fit_are_named(namespace: Namespace) -> None:
    namespace.apply(run("misfit", "squares", parameters={"m": 1}))
    done = namespace.wait_run("misfit")
    assert reason(done, "Succeeded") == "ParametersInvalid"
    assert "unknown: m" in done["status"]["diagnosis"]["message"]
    assert not namespace.list("pods", "flow-operator.io/run=misfit")


def test_a_run_may_come_before_its_deployment(namespace: Namespace) -> None:
    namespace.apply(run("early", "late"))
    waiting = namespace.wait_phase("early", "Pending")
    assert reason(waiting, "Ready") == "DeploymentNotFound"
    assert "'late'" in waiting["status"]["diagnosis"]["message"]
    namespace.apply(deployment("late", SQUARES))
    assert namespace.wait_run("early")["status"]["result"] == 285


def test_a_run_that_waits_too_long_for_its_deployment_fails(namespace: Namespace) -> None:
    namespace.apply(run("forlorn", "never", preRunningDeadlineSeconds=2))
    done = namespace.wait_run("forlorn", within=20)
    assert reason(done, "Succeeded") == "DeploymentNotFound"


def test_a_run_outlives_its_deployment(namespace: Namespace) -> None:
    """What it began with is pinned, and its pod has the code already."""
    sleeper = "import time\ndef flow():\n    time.sleep(15)\n    return 'done'\n"
    namespace.apply(deployment("doomed", sleeper))
    namespace.wait_ready("doomed")
    namespace.apply(run("survivor", "doomed"))
    namespace.wait_phase("survivor", "Running")
    namespace.delete("flowdeployment", "doomed")
    done = namespace.wait_run("survivor")
    assert (done["status"]["phase"], done["status"]["result"]) == ("Succeeded", "done")
    assert namespace.find("flowdeployment", "doomed") is None


def test_out_of_memory_names_the_limit(namespace: Namespace) -> None:
    greedy = "def flow():\n    return len(bytearray(400 * 1024 * 1024))\n"
    limits = {"resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "96Mi"}}}
    namespace.apply(deployment("greedy", greedy, runner=limits), run("greedy", "greedy"))
    done = namespace.wait_run("greedy")
    assert reason(done, "Succeeded") == "OutOfMemory"
    assert "96Mi" in done["status"]["diagnosis"]["message"]


def test_an_unschedulable_run_shows_the_schedulers_words(namespace: Namespace) -> None:
    nowhere = {"nodeSelector": {"disk": "does-not-exist"}}
    namespace.apply(deployment("nowhere", SQUARES))
    namespace.wait_ready("nowhere")
    namespace.apply(deployment("nowhere", SQUARES, runner=nowhere))  # its check needs a node
    namespace.apply(run("nowhere", "nowhere", preRunningDeadlineSeconds=8))
    done = namespace.wait_run("nowhere")
    assert reason(done, "Succeeded") == "Unschedulable"
    assert "nodes are available" in done["status"]["diagnosis"]["message"]
    namespace.wait_pods_gone("flow-operator.io/run=nowhere")


def test_on_start_that_fails_keeps_the_flow_from_running(namespace: Namespace) -> None:
    source = FAILING.replace('on_start=lambda: record("on_start")', "on_start=lambda: 1 / 0")
    namespace.apply(deployment("no-start", source), run("no-start", "no-start"))
    done = namespace.wait_run("no-start")
    assert reason(done, "Succeeded") == "OnStartFailed"
    assert "ZeroDivisionError" in done["status"]["diagnosis"]["message"]
    assert recorder.names(namespace, "no-start") == []
    assert [each["state"] for each in done["status"]["hooks"]] == ["Failed", "Skipped"]


def test_a_deadline_ends_the_run_and_on_exit_runs(namespace: Namespace) -> None:
    source = FAILING.replace("    if fail:", "    _time.sleep(300)\n    if fail:")
    # It is counted from the beginning of the pod, and two containers and on_start come before the flow.
    namespace.apply(deployment("slow", source), run("slow", "slow", activeDeadlineSeconds=30))
    done = namespace.wait_run("slow")
    assert reason(done, "Succeeded") == "DeadlineExceeded"
    assert recorder.names(namespace, "slow") == ["on_start", "flow", "on_exit"]


def test_pods_of_a_run_go_after_the_ttl_and_the_run_stays(namespace: Namespace) -> None:
    namespace.apply(run("brief", "squares", ttlSecondsAfterFinished=1))
    namespace.wait_run("brief")
    namespace.wait_pods_gone("flow-operator.io/run=brief")
    assert namespace.get("flowrun", "brief")["status"]["result"] == 285


def test_re_applying_changes_no_generation_and_makes_no_pod(namespace: Namespace) -> None:
    before = namespace.get("flowdeployment", "squares")
    namespace.apply(deployment("squares", SQUARES))
    after = namespace.get("flowdeployment", "squares")
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert after["status"] == before["status"]
    assert not namespace.list("pods", "flow-operator.io/deployment=squares")


def test_events_tell_the_story_of_the_conditions(namespace: Namespace) -> None:
    events = get_json("-n", namespace.name, "events")["items"]
    told = {(each["involvedObject"]["kind"], each["involvedObject"]["name"], each["reason"]) for each in events}
    assert ("FlowRun", "first", "Succeeded") in told
    assert ("FlowRun", "bad", "FlowRaised") in told
    assert ("FlowDeployment", "squares", "Ready") in told


def test_kubectl_explain_describes_every_level() -> None:
    done = subprocess.run(
        ["kubectl", "--context", CONTEXT, "explain", "flowdeployment.spec.environment.daskKubernetes"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "minWorkers" in done.stdout
