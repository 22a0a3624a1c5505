"""Attempts: retried, suspended, resumed, given up; judged by what the flow itself says outside of its pod."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support import recorder
from tests.support.cluster import condition, deployment, eventually, kubectl, reason, run

if TYPE_CHECKING:
    from tests.support.cluster import Manifest, Namespace

# What a flow says of itself.
MARK = (
    recorder.CLIENT
    + """
NUMBER = _json.loads(_os.environ.get("FLOW_OPERATOR_RUN", "{}")).get("run", {}).get("attempt")

def mark(what):
    record(what, attempt=NUMBER)
"""
)
BODY = """
    mark("start")
    try:
        for _ in range(400 if NUMBER in slow else 0):
            _time.sleep(1.5)
            mark("alive")
        if NUMBER <= fails:
            raise ValueError(f"attempt {NUMBER}")
    finally:
        mark("stop")
    return NUMBER
"""
FLOW = (
    MARK
    + """
from flow_operator import flow
from flow_operator.environments import RemoteEnvironment

@flow(environment=RemoteEnvironment(on_exit=lambda: mark("on_exit")))
def flow(fails: int = 0, slow: tuple = ()):
"""
    + BODY
)
DASK_FLOW = MARK + "\ndef flow(fails: int = 0, slow: tuple = ()):\n" + BODY
DASK = {"daskKubernetes": {"minWorkers": 1, "maxWorkers": 1}}


NEEDED = "needed"


def needed() -> Manifest:
    """What a pod of tries-held waits for."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NEEDED}}


@pytest.fixture(scope="module", autouse=True)
def runs(namespace: Namespace) -> None:
    """Begin all of them: each test waits for what is under way already."""
    namespace.apply(
        needed(),
        deployment("tries", FLOW),
        deployment("tries-dask", DASK_FLOW, environment=DASK),
        deployment(
            "tries-held",
            FLOW,
            runner={
                "volumes": [{"name": NEEDED, "configMap": {"name": NEEDED}}],
                "volumeMounts": [{"name": NEEDED, "mountPath": "/needed"}],
            },
        ),
    )
    namespace.wait_ready("tries")
    slow = {"slow": [1]}
    namespace.apply(
        run("thrice", "tries", parameters={"fails": 2}, backoffLimit=2),
        run("swept", "tries", parameters={"slow": [1, 2]}, infrastructureBackoffLimit=1),
        run("hopeless", "tries", parameters={"fails": 9}, backoffLimit=1),
        run("paused", "tries", parameters=slow),
        run("paused-dask", "tries-dask", parameters=slow),
        run("held", "tries", suspend=True),
        run("late", "tries", parameters={"fails": 1, "slow": [2]}, backoffLimit=9, activeDeadlineSeconds=75),
        run("left", "tries", parameters={"fails": 9}, backoffLimit=9),
    )


def change(namespace: Namespace, name: str, **spec: object) -> None:
    kubectl("-n", namespace.name, "patch", "flowrun", name, "--type=merge", "-p", json.dumps({"spec": spec}))


def delete_pod(namespace: Namespace, name: str, attempt: int) -> None:
    """Delete a run's runner pod by hand, as soon as it is there."""
    which = f"flow-operator.io/run={name},flow-operator.io/attempt={attempt},app.kubernetes.io/component=runner"
    eventually(lambda: namespace.list("pods", which), bool, 30, f"{name}: a pod of attempt {attempt}", every=0.1)
    kubectl("-n", namespace.name, "delete", "pods", "-l", which, "--wait=false")


def wait_start(namespace: Namespace, name: str, attempt: int) -> None:
    """Wait until an attempt's flow says that it runs."""
    eventually(
        lambda: [each.get("attempt") for each in recorder.records(namespace, name) if each["what"] == "start"],
        lambda seen: attempt in seen,
        60,
        f"{name}: the flow of attempt {attempt} runs",
    )


def attempts(seen: Manifest) -> list[tuple[str, str | None]]:
    return [(each["outcome"], each.get("reason")) for each in seen["status"]["attempts"]]


def never_two(namespace: Namespace, name: str) -> list[str]:
    """Return what a run's flows and callbacks said, after checking that nothing of two attempts overlaps."""
    said = sorted(recorder.records(namespace, name), key=lambda each: each["at"])
    numbers = [each["attempt"] for each in said]
    assert numbers == sorted(numbers), f"{name}: two attempts at once: {said}"
    return [each["what"] for each in said if each["what"] != "alive"]


def test_a_pod_that_is_deleted_before_its_flow_began_costs_the_infrastructures_budget(namespace: Namespace) -> None:
    namespace.wait_ready("tries-held")
    namespace.delete("configmap", NEEDED)  # the first pod cannot begin without it
    namespace.apply(run("swept-early", "tries-held"))
    delete_pod(namespace, "swept-early", 1)
    namespace.apply(needed())
    done = namespace.wait_run("swept-early", within=60)
    assert attempts(done) == [("Failed", "RunnerDeleted"), ("Succeeded", None)]
    assert done["status"]["retries"] == {"flow": 0, "infrastructure": 1}
    never_two(namespace, "swept-early")


def test_a_running_flow_is_suspended_and_goes_on_in_another_attempt(namespace: Namespace) -> None:
    wait_start(namespace, "paused", 1)
    change(namespace, "paused", suspend=True)
    seen = namespace.wait_phase("paused", "Suspended", within=40)
    assert condition(seen, "Suspended") == "True"
    assert attempts(seen) == [("Suspended", "Suspended")]
    assert [each["state"] for each in seen["status"]["hooks"] if each["name"] == "on_exit"] == ["Succeeded"]
    change(namespace, "paused", suspend=False)
    done = namespace.wait_run("paused", within=60)
    assert (done["status"]["phase"], done["status"]["result"]) == ("Succeeded", 2)
    assert never_two(namespace, "paused") == ["start", "stop", "on_exit"] * 2


def test_a_cluster_goes_while_its_run_is_suspended_and_another_comes(namespace: Namespace) -> None:
    wait_start(namespace, "paused-dask", 1)
    change(namespace, "paused-dask", suspend=True)
    namespace.wait_phase("paused-dask", "Suspended", within=40)
    eventually(
        lambda: [
            *namespace.list("daskclusters,services", "flow-operator.io/run=paused-dask"),
            *namespace.list("pods", "flow-operator.io/run=paused-dask,app.kubernetes.io/component=dask"),
        ],
        lambda left: not left,
        30,
        "no cluster",
    )
    change(namespace, "paused-dask", suspend=False)


def test_what_is_suspended_when_it_is_created_makes_nothing_and_ends_at_once(namespace: Namespace) -> None:
    seen = namespace.wait_phase("held", "Suspended", within=10)
    assert not seen["status"]["attempt"]
    assert not namespace.list("pods", "flow-operator.io/run=held")
    change(namespace, "held", cancel="Graceful")
    done = namespace.wait_run("held", within=20)
    assert reason(done, "Succeeded") == "Cancelled"


def test_a_run_that_waits_for_another_attempt_is_cancelled_at_once(namespace: Namespace) -> None:
    seen = namespace.wait_phase("left", "Retrying", within=60)
    assert (reason(seen, "Ready"), reason(seen, "Succeeded")) == ("FlowRaised", "Retrying")
    change(namespace, "left", cancel="Graceful")
    assert reason(namespace.wait_run("left", within=60), "Succeeded") == "Cancelled"
    never_two(namespace, "left")


def test_a_flow_that_fails_twice_succeeds_the_third_time(namespace: Namespace) -> None:
    done = namespace.wait_run("thrice", within=60)
    assert (done["status"]["phase"], done["status"]["result"]) == ("Succeeded", 3)
    assert attempts(done) == [("Failed", "FlowRaised"), ("Failed", "FlowRaised"), ("Succeeded", None)]
    assert done["status"]["retries"] == {"flow": 2, "infrastructure": 0}
    assert never_two(namespace, "thrice") == ["start", "stop", "on_exit"] * 3
    assert len(namespace.list("pods", "flow-operator.io/run=thrice")) == 3, "pods stay for their logs"


def test_a_budget_that_is_used_up_ends_the_run(namespace: Namespace) -> None:
    done = namespace.wait_run("hopeless", within=60)
    assert reason(done, "Succeeded") == "FlowRaised"
    assert "attempt 2: backoffLimit is 1" in done["status"]["diagnosis"]["message"]


def test_a_running_pod_that_is_deleted_again_and_again_ends_the_run(namespace: Namespace) -> None:
    for attempt in (1, 2):
        wait_start(namespace, "swept", attempt)
        delete_pod(namespace, "swept", attempt)
    done = namespace.wait_run("swept", within=60)
    assert reason(done, "Succeeded") == "RunnerDeleted"
    assert attempts(done) == [("Failed", "RunnerDeleted")] * 2
    assert never_two(namespace, "swept") == ["start", "stop", "on_exit"] * 2


def test_a_resumed_run_has_a_cluster_of_its_own(namespace: Namespace) -> None:
    done = namespace.wait_run("paused-dask", within=90)
    assert (done["status"]["phase"], done["status"]["result"]) == ("Succeeded", 2)
    assert never_two(namespace, "paused-dask") == ["start", "stop"] * 2


def test_the_deadline_is_that_of_all_attempts(namespace: Namespace) -> None:
    done = namespace.wait_run("late", within=90)
    assert attempts(done) == [("Failed", "FlowRaised"), ("Failed", "DeadlineExceeded")]
    first, second = (
        next(each["spec"] for each in namespace.list("pods", f"flow-operator.io/run=late,flow-operator.io/attempt={n}"))
        for n in (1, 2)
    )
    assert first["activeDeadlineSeconds"] == 75
    assert second["activeDeadlineSeconds"] < 75
    never_two(namespace, "late")


def test_the_spec_is_held_but_for_suspend_and_cancel(namespace: Namespace) -> None:
    patch = ("-n", namespace.name, "patch", "flowrun", "thrice", "--type=merge", "-p")
    said = kubectl(*patch, '{"spec":{"backoffLimit":5}}', check=False)
    assert "backoffLimit is immutable: create another FlowRun" in said
