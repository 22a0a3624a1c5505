"""Labels: who takes which run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from flow_operator.plan import deployment as deployment_plan
from flow_operator.plan import eligible
from flow_operator.plan import run as run_plan
from flow_operator.plan.types import ObservedDeployment, ObservedRun, Plan
from tests.support import makers as m
from tests.support.condition_rules import violations

Manifest = dict[str, Any]


@pytest.mark.parametrize(
    ("wanted", "offered", "expected"),
    [
        ("", "", True),
        ("a", "a", True),
        ("a", "ab", True),
        ("ab", "a", False),
        ("", "a", False),
        ("a", "", False),
        ("ab", "ba", True),
        ("aa", "a", True),
    ],
)
def test_the_rule_of_the_model(wanted: str, offered: str, expected: bool) -> None:
    assert eligible.takes(offered, wanted) is expected


def decide(
    deployment: Manifest | None, *offered: str, run: Manifest | None = None, after: float = 2, by: str = "flow-operator"
) -> Plan:
    seen, settings = ObservedRun(deployment=deployment), m.settings(labels=offered, leaderElection={"leaseName": by})
    return run_plan.decide(run or m.a_run(), seen, settings, m.NOW + timedelta(seconds=after))


GPU = {"labels": ["gpu"]}


@pytest.mark.parametrize(
    ("resource", "flow", "offered", "taken"),
    [
        (None, None, (), True),
        (None, None, ("gpu",), False),
        (GPU, None, ("gpu", "big"), True),
        (GPU, None, (), False),
        (None, GPU, ("gpu",), True),
        (None, GPU, (), False),
        ({"labels": []}, GPU, (), True),  # the resource has the last word
        ({"remote": {}}, GPU, ("gpu",), True),  # and says nothing of labels here
        ({"labels": ["gpu", "big"]}, GPU, ("gpu",), False),
    ],
)
def test_a_run_goes_where_all_its_labels_are_offered(
    resource: Manifest | None, flow: Manifest | None, offered: tuple[str, ...], taken: bool
) -> None:
    deployment = m.a_ready_deployment(environment=flow)
    if resource:
        deployment["spec"]["environment"] = resource
    plan = decide(deployment, *offered)
    assert bool(plan.create) is taken
    assert (plan.status is not None) is taken, "what is another's is left untouched"


def test_an_operator_stays_with_the_runs_it_began_whatever_becomes_of_its_labels() -> None:
    deployment = m.a_ready_deployment()
    deployment["spec"]["environment"] = GPU
    run = m.with_status(m.a_run(), decide(deployment, "gpu").status)
    assert decide(deployment, run=run).create
    assert decide(deployment, run=run, by="other") == Plan()
    assert decide(deployment, "gpu", run=run, by="other").create, "one that has the labels may go on with it"


def test_labels_are_pinned_and_a_later_edit_moves_no_run_that_has_begun() -> None:
    deployment = m.a_ready_deployment()
    deployment["spec"]["environment"] = GPU
    run = m.with_status(m.a_run(), decide(deployment, "gpu").status)
    assert run["status"]["environment"] == {"remote": {"executor": "Local", "executorKwargs": {}}, "labels": ["gpu"]}
    deployment["spec"]["environment"] = {"labels": ["other"]}
    assert decide(deployment, "gpu", run=run).create
    for seconds in (2, 3600):
        assert decide(deployment, "other", run=run, after=seconds, by="other") == Plan(), "it is somebody's"


def test_a_flow_may_declare_nothing_but_labels() -> None:
    deployment = m.a_ready_deployment(environment=GPU)
    deployment["spec"]["environment"] = {"daskKubernetes": {"minWorkers": 0}}
    plan = decide(deployment, "gpu")
    assert plan.status is not None
    assert set(plan.status["environment"]) == {"daskKubernetes", "labels"}


def test_while_the_labels_are_unknown_anybody_may_say_so_and_nobody_begins() -> None:
    for offered in ((), ("gpu",)):
        plan = decide(None, *offered)
        assert plan.status is not None
        assert plan.status["diagnosis"]["reason"] == "DeploymentNotFound"
        assert not plan.create
    assert decide(None) == decide(None, "gpu"), "so it does not matter who does"


@pytest.mark.parametrize(
    ("environment", "offered", "built"),
    [(None, (), True), (None, ("gpu",), True), (GPU, ("gpu",), True), (GPU, (), False)],
)
def test_a_deployment_is_built_where_its_resource_may_go(
    environment: Manifest | None, offered: tuple[str, ...], built: bool
) -> None:
    spec = {"environment": environment} if environment else {}
    plan = deployment_plan.decide(m.a_deployment(**spec), ObservedDeployment(), m.settings(labels=offered), m.NOW)
    assert bool(plan.create) is built


def test_two_operators_that_build_the_same_make_the_same_children() -> None:
    made = [
        deployment_plan.decide(m.a_deployment(), ObservedDeployment(), m.settings(labels=offered), m.NOW).create
        for offered in ((), ("gpu",))
    ]
    assert made[0] == made[1]


def labelled() -> Manifest:
    deployment = m.a_ready_deployment()
    deployment["spec"]["environment"] = GPU
    return deployment


def reason(manifest: Manifest) -> str:
    return str(next(each["reason"] for each in manifest["status"]["conditions"] if each["type"] == "Ready"))


def test_a_run_that_nobody_takes_is_spoken_for_after_a_while() -> None:
    assert decide(labelled()) == Plan(again_after=28)
    plan = decide(labelled(), after=31)
    told = m.with_status(m.a_run(), plan.status)
    assert not violations(told)
    assert (told["status"]["phase"], reason(told)) == ("Pending", "NoOperator")
    assert "only to one with the labels gpu" in told["status"]["diagnosis"]["message"]
    assert not plan.create
    for offered in ((), ("other",)):
        assert decide(labelled(), *offered, run=told, after=60) == Plan(), "once is enough, whoever looks"
    assert decide(labelled(), "gpu", run=told, after=60).create, "whose it is takes it when it comes"


def test_a_run_that_nobody_takes_can_be_cancelled() -> None:
    run = m.a_run(cancel="Graceful")
    for offered in ((), ("gpu",)):
        plan = decide(labelled(), *offered, run=run)
        assert plan.status is not None
        assert plan.status["phase"] == "Cancelled"


def test_what_was_said_before_the_labels_were_known_does_not_stay() -> None:
    unknown = m.with_status(m.a_run(), decide(None).status)
    assert reason(unknown) == "DeploymentNotFound"
    assert reason(m.with_status(unknown, decide(labelled(), run=unknown, after=31).status)) == "NoOperator"


def test_what_the_right_operator_says_is_left_alone() -> None:
    deployment = labelled()
    deployment["status"]["conditions"][0]["status"] = "False"
    waiting = m.with_status(m.a_run(), decide(deployment, "gpu").status)
    assert reason(waiting) == "DeploymentNotReady"
    assert decide(deployment, run=waiting, after=3600) == Plan()


def test_a_deployment_that_nobody_takes_is_spoken_for_too_and_taken_all_the_same() -> None:
    deployment = m.a_deployment(environment=GPU)
    seen, later = ObservedDeployment(), m.NOW + timedelta(seconds=10)
    told = m.with_status(deployment, deployment_plan.decide(deployment, seen, m.settings(), later).status)
    assert not violations(told)
    assert reason(told) == "NoOperator"
    assert deployment_plan.decide(told, seen, m.settings(), later) == Plan()
    taken = deployment_plan.decide(told, seen, m.settings(labels=["gpu"]), later)
    assert taken.create
    assert not violations(m.with_status(told, taken.status))
