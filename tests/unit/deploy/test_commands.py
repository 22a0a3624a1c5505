"""Commands against an API server: what they ask, what they show, and the exit code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from flow_operator.api import labels
from tests.support import makers

if TYPE_CHECKING:
    from tests.support.api_server import ApiServer
    from tests.unit.deploy.conftest import Call


def finished(run: dict[str, Any], phase: str = "Succeeded", **status: Any) -> dict[str, Any]:
    """Return a run that has ended."""
    return {**run, "status": {"phase": phase, "duration": "2s", "observedGeneration": 1, **status}}


def void(_: Any) -> None:
    """Forget what a call returns."""


def operator_ends_runs(server: ApiServer, phase: str = "Succeeded", **status: Any) -> None:
    """Let the run that is watched pass through its phases."""

    def react(plural: str) -> None:
        runs = [each for (kind, *_), each in server.objects.items() if kind == plural == "flowruns"]
        for run in runs:
            server.put({**run, "status": {"phase": "Running"}})
            server.put(finished(run, phase, **status))

    server.after_watch = react


def a_pod(name: str, component: str, *containers: str) -> dict[str, Any]:
    """Return a pod of the run whose containers have ended."""
    state = {"terminated": {"exitCode": 0}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "team-a",
            "labels": {labels.RUN_UID: makers.RUN_UID, labels.COMPONENT: component},
        },
        "status": {"containerStatuses": [{"name": each, "state": state} for each in containers]},
    }


# run


def test_run_creates_a_run_with_a_name_of_its_own(kubectl_flow: Call, server: ApiServer) -> None:
    server.put(makers.a_ready_deployment())
    said = kubectl_flow("run", "squares", "-p", "n=20")
    assert said.code == 0
    name = said.out.removeprefix("flowrun.flow-operator.io/").removesuffix(" created\n")
    assert len(name) == len("squares-12345")
    made = server.objects["flowruns", "team-a", name]
    assert made["spec"] == {"deployment": "squares", "parameters": {"n": 20}}


@pytest.mark.parametrize(
    ("flags", "read"),
    [
        (["-o", "json"], lambda out: json.loads(out)["metadata"]["name"]),
        (["-o", "yaml"], lambda out: yaml.safe_load(out)["metadata"]["name"]),
        (["-o", "name"], lambda out: out.strip().removeprefix("flowrun.flow-operator.io/")),
        (["-q"], str.strip),
    ],
)
def test_run_tells_machines(kubectl_flow: Call, server: ApiServer, flags: list[str], read: Any) -> None:
    server.put(makers.a_ready_deployment())
    said = kubectl_flow("run", "squares", "--run-name", "mine", *flags)
    assert (said.code, read(said.out), said.err) == (0, "mine", "")


def test_run_refuses_parameters_before_it_writes(kubectl_flow: Call, server: ApiServer) -> None:
    deployment = makers.a_ready_deployment()
    deployment["status"]["flow"]["parameters"].append({"name": "day", "required": True})
    server.put(deployment)
    said = kubectl_flow("run", "squares", "-p", "m=1")
    assert said.code == 2
    assert "(unknown: m; missing: day)" in said.err
    assert "It takes: day, n." in said.err
    assert server.bodies == []


def test_defaults_of_the_deployment_count(kubectl_flow: Call, server: ApiServer) -> None:
    deployment = makers.a_ready_deployment(parameters={"day": "today"})
    deployment["status"]["flow"]["parameters"] = [{"name": "day", "required": True}]
    server.put(deployment)
    assert kubectl_flow("run", "squares").code == 0


def test_run_of_a_name_that_is_not_there(kubectl_flow: Call, server: ApiServer) -> None:
    server.put(makers.a_ready_deployment())
    said = kubectl_flow("run", "squars")
    assert said.code == 2
    assert "There is no FlowDeployment 'squars' in namespace team-a." in said.err
    assert "Did you mean squares?" in said.err


def test_run_of_a_deployment_that_is_not_ready_says_so(kubectl_flow: Call, server: ApiServer) -> None:
    server.put(makers.a_deployment())
    said = kubectl_flow("run", "squares")
    assert said.code == 0
    assert "Warning: FlowDeployment squares is not ready, and the run waits for it" in said.err


def test_run_with_a_name_that_is_taken(kubectl_flow: Call, server: ApiServer) -> None:
    server.put(makers.a_ready_deployment())
    server.put(makers.a_run())
    said = kubectl_flow("run", "squares", "--run-name", "squares-1")
    assert said.code == 2
    assert "There is a FlowRun 'squares-1' already" in said.err


def test_a_watched_run_that_succeeds(kubectl_flow: Call, server: ApiServer) -> None:
    server.put(makers.a_ready_deployment())
    operator_ends_runs(server, result={"sum": 285})
    said = kubectl_flow("run", "squares", "--watch")
    assert said.code == 0
    assert said.out == 'Succeeded in 2s: {"sum": 285}\n'
    assert said.err.splitlines()[-2:] == ["Running", "Succeeded"]


def test_quietly_the_result_alone(kubectl_flow: Call, server: ApiServer) -> None:
    server.put(makers.a_ready_deployment())
    operator_ends_runs(server, result=285)
    said = kubectl_flow("run", "squares", "--watch", "-q")
    assert (said.code, said.out, said.err) == (0, "285\n", "")


def test_a_watched_run_that_fails(kubectl_flow: Call, server: ApiServer) -> None:
    server.put(makers.a_ready_deployment())
    why = {"reason": "FlowRaised", "message": "The flow failed: ValueError: empty.", "remedy": "Mend the flow."}
    operator_ends_runs(server, "Failed", diagnosis=why)
    said = kubectl_flow("run", "squares", "--watch", "-o", "json")
    assert said.code == 1
    assert json.loads(said.out)["status"]["phase"] == "Failed"
    assert "Failed (FlowRaised): The flow failed: ValueError: empty.\nMend the flow.\n" in said.err


def test_a_watched_run_that_takes_too_long(kubectl_flow: Call, server: ApiServer) -> None:
    server.put(makers.a_ready_deployment())
    said = kubectl_flow("run", "squares", "--run-name", "slow", "--timeout", "0.2")
    assert said.code == 124
    assert "FlowRun slow has not ended within 0.2 s; it goes on." in said.err
    assert "kubectl flow cancel slow -n team-a" in said.err


def test_a_watched_run_that_is_deleted(kubectl_flow: Call, server: ApiServer) -> None:
    server.put(makers.a_ready_deployment())
    server.after_watch = lambda _plural: void(server.remove("flowruns", "team-a", "gone"))
    said = kubectl_flow("run", "squares", "--run-name", "gone", "--watch")
    assert said.code == 1
    assert "FlowRun gone was deleted." in said.err


def test_another_run_of_the_name_is_not_the_watched_one(kubectl_flow: Call, server: ApiServer) -> None:
    server.put(makers.a_ready_deployment())

    def again(_plural: str) -> None:
        gone = server.remove("flowruns", "team-a", "mine")
        server.put(finished({**gone, "metadata": {"name": "mine", "namespace": "team-a"}}))

    server.after_watch = again
    said = kubectl_flow("run", "squares", "--run-name", "mine", "--watch")
    assert said.code == 1
    assert "FlowRun mine was deleted." in said.err


def test_logs_of_a_watched_run(kubectl_flow: Call, server: ApiServer) -> None:
    server.put(makers.a_ready_deployment())

    def begin(plural: str) -> None:
        run = server.objects["flowruns", "team-a", "logged"]
        if plural == "pods":
            pod = a_pod("squares-pod", "runner", "main")
            pod["metadata"]["labels"][labels.RUN_UID] = run["metadata"]["uid"]
            server.put(pod)

    def end(_pod: str) -> None:
        server.put(finished(server.objects["flowruns", "team-a", "logged"]))

    server.logs["squares-pod", "main"] = ["one", "two"]
    server.after_watch, server.after_log = begin, end
    said = kubectl_flow("run", "squares", "--logs", "--run-name", "logged")
    assert said.code == 0
    assert said.out == "[flow] one\n[flow] two\nSucceeded in 2s\n"


def test_a_run_is_watched_without_its_logs_where_they_may_not_be_read(kubectl_flow: Call, server: ApiServer) -> None:
    server.put(makers.a_ready_deployment())
    server.forbidden.add(("GET", "pods"))
    operator_ends_runs(server)
    said = kubectl_flow("run", "squares", "--logs")
    assert said.code == 0
    assert said.out.count("[logs] cannot be shown: pods is forbidden") == 1
    assert said.out.endswith("Succeeded in 2s\n")
    server.put(finished(makers.a_run()))
    alone = kubectl_flow("logs", "squares-1")
    assert alone.code == 3
    assert "You may not do this: pods is forbidden" in alone.err


# logs


def test_logs_of_all_pods(kubectl_flow: Call, server: ApiServer) -> None:
    server.put(finished(makers.a_run()))
    server.put(a_pod("squares-1-1", "runner", "main", "flow-hooks"))
    server.put(a_pod("r-default-worker-0a1b2c3d4e", "dask", "worker"))
    server.put(a_pod("r-scheduler", "dask", "scheduler"))
    server.logs["squares-1-1", "main"] = ["in the flow"]
    server.logs["squares-1-1", "flow-hooks"] = ["started"]
    server.logs["r-scheduler", "scheduler"] = ["scheduling"]
    server.logs["r-default-worker-0a1b2c3d4e", "worker"] = ["working"]
    everything = {"[flow] in the flow", "[callbacks] started", "[scheduler] scheduling", "[worker-c3d4e] working"}
    assert set(kubectl_flow("logs", "squares-1").out.splitlines()) == everything
    assert set(kubectl_flow("logs", "squares-1", "-f").out.splitlines()) == everything
    assert kubectl_flow("logs", "squares-1", "--component", "dask").out.count("\n") == 2


def test_no_logs_is_said(kubectl_flow: Call, server: ApiServer) -> None:
    server.put(makers.a_run())
    said = kubectl_flow("logs", "squares-1", "-n", "team-a")
    assert (said.code, said.out) == (0, "")
    assert "There are no logs." in said.err
    assert "kubectl flow explain squares-1 -n team-a" in said.err


def test_logs_of_a_build(kubectl_flow: Call, server: ApiServer) -> None:
    server.put(makers.a_deployment())
    pod = a_pod("squares-build-1", "builder", "builder")
    pod["metadata"]["labels"] = {labels.DEPLOYMENT_UID: makers.DEPLOYMENT_UID}
    server.put(pod)
    server.logs["squares-build-1", "builder"] = ["resolving"]
    assert kubectl_flow("logs", "squares", "--build").out == "[build] resolving\n"


# status


def test_status_of_nothing(kubectl_flow: Call, server: ApiServer) -> None:
    said = kubectl_flow("status")
    assert (said.code, said.out) == (0, "")
    assert "There are no flows in namespace team-a." in said.err
    assert json.loads(kubectl_flow("status", "-o", "json").out)["items"] == []


def test_status_of_all(kubectl_flow: Call, server: ApiServer) -> None:
    server.put(makers.a_ready_deployment())
    server.put(finished(makers.a_run(), result=285, workers={"ready": 0, "desired": 0}))
    said = kubectl_flow("status")
    deployments, runs = said.out.split("\n\n")
    assert deployments.splitlines()[0].split()[:3] == ["DEPLOYMENT", "READY", "REASON"]
    assert deployments.splitlines()[1].split()[:4] == ["squares", "True", "Ready", "squares"]
    assert runs.splitlines()[1].split()[:7] == ["squares-1", "squares", "Succeeded", "-", "0/0", "285", "2s"]
    named = kubectl_flow("status", "-o", "name").out.splitlines()
    assert named == ["flowdeployment.flow-operator.io/squares", "flowrun.flow-operator.io/squares-1"]


def test_status_of_a_run_is_its_story(kubectl_flow: Call, server: ApiServer) -> None:
    server.put(
        finished(
            makers.a_run(parameters={"n": 4}),
            "Failed",
            attempt=1,
            pod="squares-1-1",
            stages={"flow": "1s", "setUp": "2s"},
            hooks=[{"name": "on_exit", "state": "Failed", "tries": 2, "message": "KeyError: 'x'"}],
            error={"type": "ValueError", "message": "empty", "frames": ["flow.py:3 in flow"]},
            diagnosis={"reason": "FlowRaised", "message": "The flow failed.", "remedy": "Mend it."},
            conditions=[
                {"type": "Succeeded", "status": "False", "reason": "FlowRaised", "message": "The flow failed."}
            ],
        )
    )
    said = kubectl_flow("status", "squares-1")
    assert said.code == 0
    assert said.out.startswith("FlowRun squares-1 failed (FlowRaised): The flow failed. Mend it.\n")
    lines = [" ".join(line.split()) for line in said.out.splitlines()]
    for line in (
        "parameters n=4",
        "attempt 1, pod squares-1-1",
        "stages setUp 2s, flow 1s",
        "callbacks on_exit Failed, tried 2 times: KeyError: 'x'",
        "error ValueError: empty",
        "at flow.py:3 in flow",
        "Succeeded False FlowRaised 0ms The flow failed.",
    ):
        assert line in lines


def test_status_of_a_deployment_and_of_a_name_both_have(kubectl_flow: Call, server: ApiServer) -> None:
    server.put(makers.a_ready_deployment(callbacks=("on_exit",)))
    said = kubectl_flow("status", "squares")
    assert "FlowDeployment squares is ready" in said.out
    assert "n=10" in said.out
    run = makers.a_run()
    run["metadata"]["name"] = "squares"
    server.put(run)
    both = kubectl_flow("status", "squares")
    assert both.code == 2
    assert "Write run/squares or deployment/squares." in both.err
    assert json.loads(kubectl_flow("status", "run/squares", "-o", "json").out)["kind"] == "FlowRun"
    assert kubectl_flow("status", "fd/squares", "-o", "name").out == "flowdeployment.flow-operator.io/squares\n"
    assert kubectl_flow("status", "pod/squares").code == 2


@pytest.mark.parametrize("written", ["run/squares-1", "fr/squares-1", "flowruns.flow-operator.io/squares-1"])
def test_every_command_takes_a_run_with_its_kind(kubectl_flow: Call, server: ApiServer, written: str) -> None:
    server.put(finished(makers.a_run()))
    for command in ("status", "explain", "logs", "cancel"):
        said = kubectl_flow(command, written)
        assert said.code == 0, said.err
        assert "run/squares-1 " not in said.err
    refused = kubectl_flow("run", written)
    assert refused.code == 2
    assert f"{written} is a FlowRun; a FlowDeployment is asked for." in refused.err


@pytest.mark.parametrize("written", ["deployment/squares", "fd/squares", "flowdeployment.flow-operator.io/squares"])
def test_every_command_takes_a_deployment_with_its_kind(kubectl_flow: Call, server: ApiServer, written: str) -> None:
    server.put(makers.a_ready_deployment())
    for arguments in (["status"], ["explain"], ["logs", "--build"]):
        assert kubectl_flow(*arguments, written).code == 0
    assert kubectl_flow("run", written, "-q").out.startswith("squares-")
    for command in ("logs", "cancel"):
        refused = kubectl_flow(command, written)
        assert refused.code == 2
        assert f"{written} is a FlowDeployment; a FlowRun is asked for." in refused.err


@pytest.mark.parametrize("written", ["pod/x", "deployment.apps/x", "run/", "/x"])
def test_another_kind_is_no_kind_of_ours(kubectl_flow: Call, server: ApiServer, written: str) -> None:
    for command in ("status", "explain", "logs", "cancel", "run"):
        said = kubectl_flow(command, written)
        assert said.code == 2
        assert "Write run/NAME or deployment/NAME." in said.err


# suspend, resume, rerun


def operator_suspends(server: ApiServer) -> None:
    def react(method: str, made: dict[str, Any]) -> None:
        if method == "PATCH" and made["kind"] == "FlowRun":
            server.put({**made, "status": {"phase": "Suspended"}})

    server.after_write = react


def test_suspend_waits_until_nothing_of_the_run_is_there(kubectl_flow: Call, server: ApiServer) -> None:
    server.put({**makers.a_run(), "status": {"phase": "Running"}})
    operator_suspends(server)
    said = kubectl_flow("suspend", "squares-1", "-o", "name")
    assert (said.code, said.out) == (0, "flowrun.flow-operator.io/squares-1\n")
    assert said.err.splitlines() == ["FlowRun squares-1 is being suspended.", "FlowRun squares-1: Suspended."]
    assert server.bodies == [{"spec": {"suspend": True}}]
    assert "is suspended already" in kubectl_flow("suspend", "squares-1").err
    assert "FlowRun squares-1 goes on." in kubectl_flow("resume", "squares-1").err
    assert server.bodies[1:] == [{"spec": {"suspend": False}}]
    assert "is not suspended already" in kubectl_flow("resume", "squares-1").err


def test_suspend_has_a_limit(kubectl_flow: Call, server: ApiServer) -> None:
    server.put({**makers.a_run(), "status": {"phase": "Running"}})
    said = kubectl_flow("suspend", "squares-1", "--timeout", "0.2")
    assert said.code == 124
    assert "FlowRun squares-1 has not stopped within 0.2 s" in said.err


def test_suspend_of_a_schedule(kubectl_flow: Call, server: ApiServer) -> None:
    server.put(makers.a_ready_deployment(schedule={"cron": ["@daily"]}))
    said = kubectl_flow("suspend", "squares")
    assert (said.code, said.err) == (0, "The schedule of FlowDeployment squares is suspended.\n")
    assert kubectl_flow("resume", "deployment/squares").code == 0
    assert server.bodies == [{"spec": {"schedule": {"suspend": each}}} for each in (True, False)]


def test_what_cannot_be_suspended(kubectl_flow: Call, server: ApiServer) -> None:
    server.put(makers.a_ready_deployment())
    unscheduled = kubectl_flow("suspend", "squares")
    assert unscheduled.code == 2
    assert "FlowDeployment squares has no schedule" in unscheduled.err
    server.put(finished(makers.a_run()))
    over = kubectl_flow("suspend", "squares-1")
    assert over.code == 1
    assert "has ended already: Succeeded." in over.err
    assert "kubectl flow rerun squares-1" in over.err


def test_rerun_does_the_same_again_with_its_own_tick(kubectl_flow: Call, server: ApiServer) -> None:
    server.put(makers.a_ready_deployment())
    before = finished(makers.a_run(parameters={"n": 3}, activeDeadlineSeconds=60, cancel="Now", suspend=False))
    before["metadata"]["annotations"] = {labels.SCHEDULED_AT: "2026-03-01T05:00:00Z"}
    server.put(before)
    said = kubectl_flow("rerun", "squares-1", "--run-name", "again", "-o", "json")
    assert said.code == 0
    made = json.loads(said.out)
    assert made["spec"] == {"deployment": "squares", "parameters": {"n": 3}, "activeDeadlineSeconds": 60}
    assert made["metadata"]["annotations"] == {labels.SCHEDULED_AT: "2026-03-01T05:00:00Z"}
    assert kubectl_flow("rerun", "squares-1", "-p", "m=1").code == 2
    server.remove("flowruns", "team-a", "again")
    operator_ends_runs(server, result=9)
    assert kubectl_flow("rerun", "squares-1", "-p", "n=4", "--watch", "-q").out == "9\n"


def test_status_of_a_run_that_was_tried_before(kubectl_flow: Call, server: ApiServer) -> None:
    tried = {"number": 1, "pod": "p", "outcome": "Failed", "reason": "FlowRaised", "message": "The flow failed: no."}
    hook = {"name": "on_exit", "state": "Succeeded", "where": "Fallback"}
    server.put(finished(makers.a_run(), attempt=2, attempts=[tried], hooks=[hook], peakMemory="71.9Mi"))
    said = kubectl_flow("status", "squares-1").out
    assert "attempt 1 Failed (FlowRaised): The flow failed: no." in said
    assert "on_exit Succeeded in a pod of its own" in said
    assert "71.9Mi at its peak" in said


# cancel


def test_cancel_asks_and_waits(kubectl_flow: Call, server: ApiServer) -> None:
    server.put({**makers.a_run(), "status": {"phase": "Running"}})
    operator_ends_runs(server, "Cancelled")
    said = kubectl_flow("cancel", "squares-1", "--now")
    assert said.code == 0
    assert said.err.splitlines() == ["FlowRun squares-1 is asked to stop.", "FlowRun squares-1: Cancelled."]
    assert server.bodies == [{"spec": {"cancel": "Now"}}]


def test_cancel_without_waiting(kubectl_flow: Call, server: ApiServer) -> None:
    server.put({**makers.a_run(), "status": {"phase": "Running"}})
    assert kubectl_flow("cancel", "squares-1", "--no-wait").code == 0
    assert server.bodies == [{"spec": {"cancel": "Graceful"}}]


def test_cancel_of_what_has_ended(kubectl_flow: Call, server: ApiServer) -> None:
    server.put(finished(makers.a_run()))
    said = kubectl_flow("cancel", "squares-1", "-o", "name")
    assert (said.code, said.out) == (0, "flowrun.flow-operator.io/squares-1\n")
    assert "has ended already: Succeeded" in said.err
    assert server.bodies == []


# explain


def test_explain(kubectl_flow: Call, server: ApiServer) -> None:
    server.put(makers.a_ready_deployment())
    said = kubectl_flow("explain", "squares")
    assert said.out == "FlowDeployment squares is ready: flow 'squares' can run. Run it: kubectl flow run squares\n"
    machine = json.loads(kubectl_flow("explain", "squares", "-o", "json").out)
    assert (machine["state"], machine["reason"]) == ("Healthy", "Ready")


def test_explain_what_is_not_there(kubectl_flow: Call, server: ApiServer) -> None:
    server.put(makers.a_ready_deployment())
    said = kubectl_flow("explain", "squars")
    assert said.code == 2
    assert said.out == "FlowDeployment or FlowRun squars is not there, in namespace team-a. Did you mean squares?\n"


# completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(kubectl_flow: Call, shell: str) -> None:
    said = kubectl_flow("completion", shell)
    assert said.code == 0
    assert "_KUBECTL_FLOW_COMPLETE" in said.out


def test_completion_of_words(kubectl_flow: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_KUBECTL_FLOW_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "kubectl-flow can")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert kubectl_flow().out == "plain,cancel\n"


def test_names_are_completed_by_asking_kubectl(
    kubectl_flow: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text('#!/bin/sh\necho "$@" >"$0.asked"\necho flowrun.flow-operator.io/squares-1\necho f/cubes-1\n')
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("_KUBECTL_FLOW_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "kubectl-flow cancel -n team-b sq")
    monkeypatch.setenv("COMP_CWORD", "4")
    assert kubectl_flow().out == "plain,squares-1\n"
    asked = (tmp_path / "kubectl.asked").read_text()
    assert "get flowruns.flow-operator.io -o name" in asked
    assert "--namespace=team-b" in asked
