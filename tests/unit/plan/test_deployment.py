"""From a FlowDeployment to a verified image, decided step by step."""

from __future__ import annotations

import copy
import json
from datetime import timedelta
from typing import Any

import pytest

from flow_operator.plan import deployment as deployment_plan
from flow_operator.plan.types import ObservedDeployment, Plan
from tests.support import makers as m
from tests.support.condition_rules import violations

Manifest = dict[str, Any]
FACTS = {"name": "squares", "parameters": [], "callbacks": [], "environment": {}}


def decide(deployment: Manifest, seen: ObservedDeployment | None = None, after: float = 3, **changes: Any) -> Plan:
    """Decide twice: the second time there must be nothing new to tell."""
    seen, settings, now = seen or ObservedDeployment(), m.settings(**changes), m.NOW + timedelta(seconds=after)
    before = copy.deepcopy(deployment)
    plan = deployment_plan.decide(deployment, seen, settings, now)
    assert deployment == before, "a decision must not change what it is given"
    told = m.with_status(deployment, plan.status)
    assert not violations(told), violations(told)
    if plan.again_after is None:
        assert deployment_plan.decide(told, seen, settings, now).status is None
    return plan


def reason(plan: Plan, kind: str = "Ready") -> str:
    assert plan.status is not None
    return str(next(each["reason"] for each in plan.status["conditions"] if each["type"] == kind))


def pod_of(plan: Plan) -> Manifest:
    (found,) = [each for each in plan.create if each["kind"] == "Pod"]
    return m.scheduled(found)


def building(deployment: Manifest | None = None, **changes: Any) -> tuple[Manifest, Manifest, Plan]:
    """Return deployment, builder pod and plan after the first look."""
    deployment = deployment or m.a_deployment()
    plan = decide(deployment, **changes)
    return m.with_status(deployment, plan.status), pod_of(plan), plan


def built(deployment: Manifest | None = None) -> tuple[Manifest, Manifest, Plan]:
    """Return deployment, ended builder pod and the plan that makes the check pod."""
    told, builder, _ = building(deployment)
    builder = m.ended(builder, "builder", message=json.dumps({"image": m.IMAGE, "uploadedBytes": 2048}))
    plan = decide(told, ObservedDeployment(builders=(builder,)))
    return m.with_status(told, plan.status), builder, plan


def test_a_new_deployment_gets_its_code_and_a_builder() -> None:
    _, _, plan = building()
    assert [each["kind"] for each in plan.create] == ["ConfigMap", "Pod"]
    assert reason(plan) == "Building"


def test_the_builder_has_no_token_and_runs_restricted() -> None:
    _, pod, _ = building()
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    (container,) = pod["spec"]["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_a_ca_bundle_is_mounted_into_the_builder() -> None:
    plan = decide(m.a_deployment(), ObservedDeployment(ca_bundle="PEM"))
    assert [each["metadata"]["name"][:10] for each in plan.create] == ["squares-co", "squares-ca", "squares-bu"]
    env = {each["name"]: each["value"] for each in pod_of(plan)["spec"]["containers"][0]["env"]}
    assert env["SSL_CERT_FILE"] == "/etc/flow-operator/ca/ca.crt"


def test_a_push_secret_is_mounted_never_read() -> None:
    _, pod, _ = building(m.a_deployment(storage={"docker": {"pushSecret": "registry"}}))
    (volume,) = [each for each in pod["spec"]["volumes"] if "secret" in each]
    assert volume["secret"]["secretName"] == "registry"


def test_a_built_image_is_checked_then_ready_and_swept() -> None:
    told, builder, plan = built()
    assert reason(plan, "Built") == "Pushed"
    check = m.ended(pod_of(plan), "check", message=json.dumps({"flow": FACTS}))
    done = decide(told, ObservedDeployment(builders=(builder,), checks=(check,)))
    assert done.status is not None
    assert reason(done) == "Ready"
    assert done.status["image"] == m.IMAGE
    assert done.status["flow"]["name"] == "squares"
    assert {each.name for each in done.delete} == {builder["metadata"]["name"], check["metadata"]["name"]}
    assert [each.reason for each in done.announce] == ["Ready"]


def test_a_ready_deployment_is_left_alone() -> None:
    told, _, plan = built()
    check = m.ended(pod_of(plan), "check", message=json.dumps({"flow": FACTS}))
    told = m.with_status(told, decide(told, ObservedDeployment(checks=(check,))).status)
    assert decide(told) == Plan()


@pytest.mark.parametrize(
    "change",
    [
        {"flow": {"source": {"inline": "def flow(): ...\n"}, "entrypoint": "flow.py:flow"}},
        {"flow": {"source": {"inline": m.SOURCE}, "entrypoint": "flow.py:other"}},
        {"storage": {"docker": {"pythonDependencies": ["pandas"]}}},
        {"storage": {"docker": {"envVars": {"A": "$b c"}}}},
    ],
)
def test_a_change_of_the_inputs_builds_again(change: Manifest) -> None:
    told, builder, _ = built()
    changed = copy.deepcopy(told)
    changed["spec"] |= change
    plan = decide(changed, ObservedDeployment(builders=(builder,)))
    assert pod_of(plan)["metadata"]["name"] != builder["metadata"]["name"]
    assert plan.status is not None
    assert "image" not in plan.status


@pytest.mark.parametrize("change", [{"parameters": {"n": 1}}, {"run": {"activeDeadlineSeconds": 5}}])
def test_a_change_of_anything_else_builds_nothing(change: Manifest) -> None:
    told, builder, plan = built()
    check = m.ended(pod_of(plan), "check", message=json.dumps({"flow": FACTS}))
    seen = ObservedDeployment(builders=(builder,), checks=(check,))
    told = m.with_status(told, decide(told, seen).status)
    told["spec"] |= change
    assert not decide(told).create


def test_a_failed_build_says_why_and_is_tried_again_later() -> None:
    told, builder, _ = building()
    words = {"reason": "RegistryUnreachable", "message": "no route", "remedy": "start it", "retryable": True}
    builder = m.ended(builder, "builder", code=1, message=json.dumps(words))
    plan = decide(told, ObservedDeployment(builders=(builder,)))
    assert reason(plan, "Built") == "RegistryUnreachable"
    assert plan.again_after == pytest.approx(9)
    later = decide(told, ObservedDeployment(builders=(builder,)), after=13)
    assert [each.name for each in later.delete] == [builder["metadata"]["name"]]
    told = m.with_status(told, later.status)
    assert pod_of(decide(told, after=13))["metadata"]["name"] != builder["metadata"]["name"]


def test_a_builder_that_never_begins_is_named_with_its_secret() -> None:
    told, builder, _ = building(m.a_deployment(storage={"docker": {"pushSecret": "registry"}}))
    early = decide(told, ObservedDeployment(builders=(builder,)))
    assert early.again_after == pytest.approx(42)
    late = decide(told, ObservedDeployment(builders=(builder,)), after=60)
    assert reason(late, "Built") == "NotStarted"
    assert late.status is not None
    assert "'registry'" in late.status["diagnosis"]["remedy"]


def test_a_builder_the_kubelet_refused_is_tried_again() -> None:
    told, builder, _ = building()
    builder["status"] = {"phase": "Failed", "reason": "Evicted", "message": "disk pressure"}
    plan = decide(told, ObservedDeployment(builders=(builder,)))
    assert reason(plan, "Built") == "Evicted"


def test_an_import_that_is_missing_is_named() -> None:
    told, _, plan = built()
    words = {"reason": "ImportFailed", "message": "No module named 'pandas'", "remedy": "add it"}
    check = m.ended(pod_of(plan), "check", code=1, message=json.dumps(words))
    done = decide(told, ObservedDeployment(checks=(check,)))
    assert done.status is not None
    verified = next(each for each in done.status["conditions"] if each["type"] == "Verified")
    assert (verified["status"], verified["reason"]) == ("False", "ImportFailed")
    assert "pandas" in verified["message"]


def test_a_source_that_is_missing_is_named_and_nothing_is_made() -> None:
    deployment = m.a_deployment(flow={"source": {"configMap": {"name": "code"}}, "entrypoint": "flow.py:flow"})
    plan = decide(deployment, ObservedDeployment(source_missing="There is no ConfigMap 'code' in this namespace."))
    assert reason(plan) == "SourceNotFound"
    assert not plan.create


def test_a_source_from_a_config_map_is_part_of_the_inputs() -> None:
    deployment = m.a_deployment(flow={"source": {"configMap": {"name": "code"}}, "entrypoint": "flow.py:flow"})
    one, two = (decide(deployment, ObservedDeployment(source=text)) for text in ("a = 1", "a = 2"))
    assert pod_of(one)["metadata"]["name"] != pod_of(two)["metadata"]["name"]


def test_no_registry_is_said() -> None:
    assert reason(decide(m.a_deployment(), registry="")) == "RegistryNotSet"


def test_bytes_storage_builds_nothing_and_mounts_the_code() -> None:
    plan = decide(m.a_deployment(storage={"bytes": {}}), registry="")
    assert reason(plan, "Built") == "Mounted"
    pod = pod_of(plan)
    assert pod["metadata"]["labels"]["app.kubernetes.io/component"] == "check"
    assert {"name": "code", "mountPath": "/flows", "readOnly": True} in pod["spec"]["containers"][0]["volumeMounts"]


def test_a_refused_builder_shows_the_servers_words_and_is_tried_again() -> None:
    plan = decide(m.a_deployment(), ObservedDeployment(refused="violates PodSecurity restricted"))
    assert reason(plan) == "PodRefused"
    assert pod_of(plan)
    assert plan.again_after
