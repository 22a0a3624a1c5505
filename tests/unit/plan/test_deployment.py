"""From a FlowDeployment to a verified image, decided step by step."""

from __future__ import annotations

import copy
import json
from datetime import timedelta
from typing import Any

import pytest

from flow_operator.api.flow_deployment import FlowDeploymentStatus
from flow_operator.plan import deployment as deployment_plan
from flow_operator.plan.types import ObservedDeployment, Plan
from tests.support import makers as m
from tests.support.condition_rules import violations

Manifest = dict[str, Any]
ENGINE = {"url": "tcp://docker.example.com:2376", "tlsSecret": "engine"}
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


def request_of(pod: Manifest) -> Manifest:
    (container,) = pod["spec"]["containers"]
    (text,) = [
        each["value"] for each in container["env"] if each["name"] in ("FLOW_OPERATOR_BUILD", "FLOW_OPERATOR_CHECK")
    ]
    request: Manifest = json.loads(text.replace("$$", "$"))
    return request


def test_a_push_secret_is_mounted_never_read_and_the_builder_says_when_it_is_missing() -> None:
    _, pod, _ = building(m.a_deployment(storage={"docker": {"pushSecret": "registry"}}))
    (volume,) = [each for each in pod["spec"]["volumes"] if "secret" in each]
    assert volume["secret"]["secretName"] == "registry"
    assert volume["secret"]["optional"] is True, "a kubelet would wait for it in silence"
    assert request_of(pod)["pushSecret"] == "registry"


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


def test_an_image_that_is_not_in_a_registry_is_none() -> None:
    told, builder, _ = building()
    builder = m.ended(builder, "builder", message=json.dumps({"image": "alice/squares:i-123", "uploadedBytes": 0}))
    plan = decide(told, ObservedDeployment(builders=(builder,)))
    assert plan.status is not None
    assert "image" not in plan.status
    assert reason(plan, "Built") == "BuilderFailed"
    assert "alice/squares:i-123" in plan.status["diagnosis"]["message"]


def test_a_check_runs_where_the_flow_would_and_again_when_that_is_corrected() -> None:
    taint = {"key": "flows", "operator": "Exists"}
    placed = m.a_deployment(runner={"nodeSelector": {"kubernetes.io/arch": "arm64"}, "tolerations": [taint]})
    _, _, plan = built(placed)
    assert pod_of(plan)["spec"]["nodeSelector"] == {"kubernetes.io/arch": "arm64"}
    assert pod_of(plan)["spec"]["tolerations"] == [taint]

    told, _, plan = built()
    check = pod_of(plan)
    assert not {"nodeSelector", "tolerations"} & set(check["spec"])
    told["spec"]["runner"] = {"tolerations": [taint]}
    again = pod_of(decide(told, ObservedDeployment(checks=(check,))))
    assert again["metadata"]["name"] != check["metadata"]["name"]
    assert again["spec"]["tolerations"] == [taint]


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
        {"storage": {"docker": {"builder": "Docker", "extraCommands": ["true"]}}},
        {"storage": {"docker": {"dependencyLock": {"inline": "pandas==1 --hash=sha256:0"}}}},
        {"storage": {"docker": {"annotations": {"a": "b"}}}},
    ],
)
def test_a_change_of_the_inputs_builds_again(change: Manifest) -> None:
    told, builder, _ = built()
    changed = copy.deepcopy(told)
    changed["spec"] |= change
    plan = decide(changed, ObservedDeployment(builders=(builder,)), dockerEngine=ENGINE)
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


def test_a_failure_is_shown_while_it_is_tried_again() -> None:
    told, builder, _ = building()
    words = {"reason": "RegistryUnreachable", "message": "no route", "remedy": "start it", "retryable": True}
    builder = m.ended(builder, "builder", code=1, message=json.dumps(words))
    told = m.with_status(told, decide(told, ObservedDeployment(builders=(builder,)), after=13).status)
    again = decide(told, after=13)
    assert again.status is not None
    assert reason(again, "Built") == "Building"
    assert again.status["diagnosis"]["reason"] == "RegistryUnreachable"
    second = m.ended(pod_of(again), "builder", message=json.dumps({"image": m.IMAGE}))
    healed = decide(m.with_status(told, again.status), ObservedDeployment(builders=(second,)), after=14)
    assert healed.status is not None
    assert "diagnosis" not in healed.status


def test_what_a_person_must_mend_is_tried_again_more_slowly_and_what_inputs_decide_is_not() -> None:
    told, builder, _ = building()
    waits = []
    for word in ("RegistryUnauthorized", "BadRequest"):
        report = json.dumps({"reason": word, "message": "no", "remedy": "do", "retryable": False})
        ended = m.ended(builder, "builder", code=1, message=report)
        waits.append(decide(told, ObservedDeployment(builders=(ended,))).again_after)
    assert waits == [pytest.approx(29), None]


def test_a_check_that_waited_for_its_image_until_the_end_says_so_and_is_tried_again() -> None:
    told, _, plan = built()
    check = m.waiting(pod_of(plan), "ImagePullBackOff", name="check", message="403 Forbidden")
    stuck = decide(told, ObservedDeployment(checks=(check,)))
    assert reason(stuck, "Verified") == "ImagePullFailed"
    check["status"] |= {"phase": "Failed", "reason": "DeadlineExceeded"}
    late = decide(m.with_status(told, stuck.status), ObservedDeployment(checks=(check,)), after=301)
    assert late.delete, "the dead pod goes, and another comes"
    assert late.status is not None
    assert late.status["diagnosis"]["reason"] == "ImagePullFailed"


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
    later = decide(told, ObservedDeployment(builders=(builder,)), after=11)
    assert later.delete


def test_a_builder_that_filled_its_disk_says_so() -> None:
    told, builder, _ = building()
    said = "Pod ephemeral local storage usage exceeds the total limit of containers 10Mi."
    builder["status"] = {"phase": "Failed", "reason": "Evicted", "message": said}
    plan = decide(told, ObservedDeployment(builders=(builder,)))
    assert reason(plan, "Built") == "BuilderDiskFull"
    assert plan.status is not None
    assert said in plan.status["diagnosis"]["message"]


def test_an_import_that_is_missing_is_named() -> None:
    told, _, plan = built()
    words = {"reason": "ImportFailed", "message": "No module named 'pandas'", "remedy": "add it"}
    check = m.ended(pod_of(plan), "check", code=1, message=json.dumps(words))
    done = decide(told, ObservedDeployment(checks=(check,)))
    assert done.status is not None
    verified = next(each for each in done.status["conditions"] if each["type"] == "Verified")
    assert (verified["status"], verified["reason"]) == ("False", "ImportFailed")
    assert "pandas" in verified["message"]


MAPPED = {"source": {"configMap": {"name": "code", "key": "flow.py"}}, "entrypoint": "flow.py:flow"}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({}, "spec.flow.source.configMap: There is no ConfigMap 'code' in this namespace."),
        ({"code": m.a_config_map(other="")}, "ConfigMap 'code' has no key 'flow.py'; it has: other."),
    ],
)
def test_a_source_that_is_missing_is_named_and_nothing_is_made(found: Manifest, words: str) -> None:
    plan = decide(m.a_deployment(flow=MAPPED), ObservedDeployment(referenced=found))
    assert reason(plan) == "SourceNotFound"
    assert plan.status is not None
    assert words in plan.status["diagnosis"]["message"]
    assert not plan.create


def test_a_source_from_a_config_map_is_part_of_the_inputs() -> None:
    deployment = m.a_deployment(flow=MAPPED)
    one, two = (
        decide(deployment, ObservedDeployment(referenced={"code": m.a_config_map(flow__py=text)}))
        for text in ("a = 1", "a = 2")
    )
    assert pod_of(one)["metadata"]["name"] != pod_of(two)["metadata"]["name"]


FILES = [
    {"path": "/etc/settings.toml", "configMap": {"name": "files", "key": "settings.toml"}},
    {"path": "/data/table.bin", "configMap": {"name": "files", "key": "table.bin"}},
]
LOCKED = {"docker": {"files": FILES, "dependencyLock": {"configMap": {"name": "lock", "key": "uv.lock"}}}}
MAPS = {
    "files": m.a_config_map("files", settings__toml="a = 1\n", table__bin=b"\xff\x00", unused="x"),
    "lock": m.a_config_map("lock", uv__lock="version = 1\n"),
}


def test_files_and_lock_are_copied_mounted_and_told_by_digest() -> None:
    plan = decide(m.a_deployment(storage=LOCKED), ObservedDeployment(referenced=MAPS))
    copies = [each for each in plan.create if each["metadata"]["labels"]["app.kubernetes.io/component"] == "files"]
    assert len(copies) == 2, "one for each ConfigMap of the user's, so that none is too large"
    assert all(each["immutable"] for each in copies)
    content = {
        key: each for copy_ in copies for key, each in (copy_.get("data", {}) | copy_.get("binaryData", {})).items()
    }
    assert sorted(content.values()) == ["/wA=", "a = 1\n", "version = 1\n"], "and only the keys that are named"
    request = request_of(pod_of(plan))
    assert [each["path"] for each in request["files"]] == ["/flows/flow.py", "/data/table.bin", "/etc/settings.toml"]
    assert request["lock"]["path"] == "uv.lock"
    for each in (*request["files"][1:], request["lock"]):
        assert each["source"] == f"/files/{each['sha256']}"
        assert each["sha256"] in content
    (volume,) = [each for each in pod_of(plan)["spec"]["volumes"] if each["name"] == "files"]
    mounted = [each["configMap"]["name"] for each in volume["projected"]["sources"]]
    assert mounted == [each["metadata"]["name"] for each in copies]


@pytest.mark.parametrize("missing", ["files", "lock"])
def test_a_file_or_lock_that_is_missing_is_named(missing: str) -> None:
    found = {name: each for name, each in MAPS.items() if name != missing}
    plan = decide(m.a_deployment(storage=LOCKED), ObservedDeployment(referenced=found))
    assert plan.status is not None
    assert f"There is no ConfigMap '{missing}' in this namespace." in plan.status["diagnosis"]["message"]
    assert not plan.create


def test_another_byte_in_a_file_builds_again_and_another_name_of_the_map_does_not() -> None:
    def inputs(storage: Manifest, maps: Manifest) -> str:
        plan = decide(m.a_deployment(storage=storage), ObservedDeployment(referenced=maps))
        assert plan.status is not None
        return str(plan.status["build"]["inputs"])

    renamed = json.loads(json.dumps(LOCKED).replace('"files", "key"', '"files-x7", "key"'))
    other = {**MAPS, "files": m.a_config_map("files", settings__toml="a = 2\n", table__bin=b"\xff\x00")}
    assert inputs(LOCKED, MAPS) == inputs(renamed, {"files-x7": MAPS["files"], "lock": MAPS["lock"]})
    assert inputs(LOCKED, MAPS) != inputs(LOCKED, other)


def test_an_image_built_elsewhere_goes_straight_to_its_check() -> None:
    plan = decide(m.a_deployment(flow=m.an_elsewhere_built_flow()), registry="")
    assert reason(plan, "Built") == "BuiltElsewhere"
    assert [each["kind"] for each in plan.create] == ["Pod"]
    pod = pod_of(plan)
    assert pod["spec"]["containers"][0]["image"] == m.IMAGE
    assert pod["spec"]["imagePullSecrets"] == [{"name": "pull-mine"}]
    assert request_of(pod)["flow"] == {"location": "/flows/squares.flow", "attribute": ""}


def test_local_storage_is_checked_on_the_users_volumes() -> None:
    plan = decide(m.a_deployment(**m.a_local_flow()), registry="")
    assert reason(plan, "Built") == "Mounted"
    assert [each["kind"] for each in plan.create] == ["Pod"]
    (container,) = pod_of(plan)["spec"]["containers"]
    assert container["image"] == "runtime:1"
    assert {"name": "data", "mountPath": "/data", "readOnly": True} in container["volumeMounts"]
    assert request_of(pod_of(plan))["flow"] == {"location": "/data/flow.py", "attribute": "flow"}


def test_a_check_that_sees_more_than_its_image_is_tried_again() -> None:
    words = json.dumps({"reason": "NoSuchFlow", "message": "there is no file /data/flow.py", "remedy": "name it"})
    for spec, wait in ((m.a_local_flow(), pytest.approx(29)), ({"storage": {"bytes": {}}}, None)):
        first = decide(m.a_deployment(**spec))
        check = m.ended(pod_of(first), "check", code=1, message=words)
        told = m.with_status(m.a_deployment(**spec), first.status)
        assert decide(told, ObservedDeployment(checks=(check,))).again_after == wait


def test_a_check_that_cannot_begin_names_what_it_may_wait_for() -> None:
    told = m.a_deployment(**m.a_local_flow())
    first = decide(told)
    late = decide(m.with_status(told, first.status), ObservedDeployment(checks=(pod_of(first),)), after=60)
    assert late.status is not None
    assert "ConfigMap 'flows'" in late.status["diagnosis"]["remedy"]


def test_a_pickle_becomes_the_file_it_names() -> None:
    pickle = {"data": "AAAA", "python": "3.12", "file": "my-squares.flow"}
    plan = decide(m.a_deployment(flow={"pickle": pickle}))
    (code,) = [each for each in plan.create if each["kind"] == "ConfigMap"]
    assert code["data"] == {"my-squares.flow": "\0\0\0"}
    assert request_of(pod_of(plan))["files"][0]["path"] == "/flows/my-squares.flow"


@pytest.mark.parametrize(("python", "warned"), [("3.12.4", False), ("3.11.2", True)])
def test_another_python_than_the_authors_is_a_warning_in_a_condition(python: str, warned: bool) -> None:
    told = m.a_deployment(flow={"pickle": {"data": "AAAA", "python": "3.12"}}, storage={"bytes": {}})
    first = decide(told)
    assert request_of(pod_of(first))["python"] == "3.12"
    check = m.ended(pod_of(first), "check", message=json.dumps({"flow": {**FACTS, "python": python}}))
    done = decide(m.with_status(told, first.status), ObservedDeployment(checks=(check,)))
    assert done.status is not None
    assert reason(done) == "Ready"
    (verified,) = [each for each in done.status["conditions"] if each["type"] == "Verified"]
    assert ("Python 3.12, and the image has 3.11.2" in verified["message"]) is warned


def ready() -> Manifest:
    told, builder, plan = built()
    check = m.ended(pod_of(plan), "check", message=json.dumps({"flow": FACTS}))
    return m.with_status(told, decide(told, ObservedDeployment(builders=(builder,), checks=(check,))).status)


GONE = {"reason": "ImagePullFailed", "message": f"cannot pull {m.IMAGE}: not found", "remedy": "check"}


def test_an_image_that_vanished_is_built_again_once() -> None:
    told = ready()
    seen = ObservedDeployment(unpullable=GONE)
    plan = decide(told, seen)
    assert plan.status is not None
    assert plan.status["diagnosis"]["reason"] == "ImageVanished"
    assert "image" not in plan.status
    assert pod_of(plan)["metadata"]["name"].endswith("-2")
    builder = m.ended(pod_of(plan), "builder", message=json.dumps({"image": m.IMAGE}))
    told = m.with_status(told, plan.status)
    second = decide(told, ObservedDeployment(builders=(builder,), unpullable=GONE), after=8)
    assert [each["metadata"]["labels"]["app.kubernetes.io/component"] for each in second.create] == ["check"]
    check = m.ended(pod_of(second), "check", message=json.dumps({"flow": FACTS}))
    told = m.with_status(told, decide(m.with_status(told, second.status), ObservedDeployment(checks=(check,))).status)
    assert not decide(told, seen, after=599).create, "the same trouble does not build for ever"
    assert decide(told, seen, after=700).create


def test_an_image_that_may_not_be_pulled_is_not_built_again() -> None:
    assert decide(ready(), ObservedDeployment(unpullable={**GONE, "message": "403 Forbidden"})) == Plan()


def test_an_image_that_vanished_before_its_check_is_built_again() -> None:
    told, _, plan = built()
    check = m.waiting(pod_of(plan), "ErrImagePull", name="check", message="not found")
    again = decide(told, ObservedDeployment(checks=(check,)))
    assert again.status is not None
    assert again.status["diagnosis"]["reason"] == "ImageVanished"


def test_an_image_built_elsewhere_is_not_built_here_when_it_vanishes() -> None:
    first = decide(m.a_deployment(flow=m.an_elsewhere_built_flow()))
    check = m.waiting(pod_of(first), "ErrImagePull", name="check", message="not found")
    told = m.with_status(m.a_deployment(flow=m.an_elsewhere_built_flow()), first.status)
    assert reason(decide(told, ObservedDeployment(checks=(check,))), "Verified") == "ImagePullFailed"


def test_the_architecture_of_the_runs_nodes_is_that_of_the_image() -> None:
    plain = decide(m.a_deployment())
    arm = decide(m.a_deployment(runner={"nodeSelector": {"kubernetes.io/arch": "arm64"}}))
    assert "architecture" not in request_of(pod_of(plain))
    assert request_of(pod_of(arm))["architecture"] == "arm64"
    assert pod_of(arm)["metadata"]["name"] != pod_of(plain)["metadata"]["name"]


def test_a_certificate_is_unverified_only_where_it_is_written() -> None:
    registries = {"a": {"endpoint": "https://a", "insecure": True}, "b": {"endpoint": "https://b"}}
    said = request_of(pod_of(decide(m.a_deployment(), registries=registries)))["registries"]
    assert said == {"a": {"endpoint": "https://a", "insecure": True}, "b": {"endpoint": "https://b"}}


def test_nothing_of_the_place_enters_the_image() -> None:
    annotations = request_of(pod_of(decide(m.a_deployment(storage={"docker": {"imageName": "cubes"}}))))["annotations"]
    assert annotations == {"org.opencontainers.image.title": "cubes"}


def test_docker_needs_an_engine() -> None:
    deployment = m.a_deployment(storage={"docker": {"builder": "Docker", "extraCommands": ["apt-get update"]}})
    plan = decide(deployment)
    assert reason(plan, "Built") == "EngineNotSet"
    assert not plan.create
    pod = pod_of(decide(deployment, dockerEngine=ENGINE))
    request = request_of(pod)
    assert request["builder"] == "Docker"
    assert request["engine"] == {"url": "tcp://docker.example.com:2376", "tls": "/secrets/engine"}
    assert request["extraCommands"] == ["apt-get update"]
    assert request["flows"] == [{"location": "/flows/flow.py", "attribute": "flow"}]
    (volume,) = [each for each in pod["spec"]["volumes"] if each["name"] == "engine"]
    assert volume["secret"]["secretName"] == "engine"


def test_a_request_that_no_pod_can_be_given_is_refused() -> None:
    commands = ["x" * 4000] * 40
    deployment = m.a_deployment(storage={"docker": {"builder": "Docker", "extraCommands": commands}})
    plan = decide(deployment, dockerEngine=ENGINE)
    assert reason(plan) == "BadRequest"
    assert not plan.create


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


def test_a_refused_check_pod_of_mounted_code_is_tried_again() -> None:
    deployment = m.a_deployment(storage={"bytes": {}})
    (copy,) = [each for each in decide(deployment).create if each["kind"] == "ConfigMap"]
    seen = ObservedDeployment(config_maps=(copy,), refused="exceeded quota: small")
    plan = decide(deployment, seen)
    assert reason(plan, "Built") == "Mounted"
    assert reason(plan, "Verified") == "PodRefused"
    assert pod_of(plan), "it is wished for again"


def test_a_pickle_that_is_no_base64_is_said() -> None:
    flow = {"pickle": {"data": "abc", "python": "3.11", "file": "flow.flow"}}
    plan = decide(m.a_deployment(flow=flow, storage={"bytes": {}}))
    assert plan.status is not None
    assert "spec.flow.pickle.data is not base64" in plan.status["diagnosis"]["message"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ('{"reason": 7}', "Killed"),
        ('{"reason": "no good!", "message": "x"}', "Killed"),
        ('{"reason": "ImportFailed", "message": 5, "remedy": ["x"], "error": "e"}', "ImportFailed"),
        ('{"flow": 5}', "Killed"),
        ("[" * 4000, "Killed"),
        ('{"flow": {"name": 5}}', "FlowInvalid"),
        ('{"flow": {"parameters": [{"required": true}]}}', "FlowInvalid"),
        ('{"flow": {"parameters": 5}}', "FlowInvalid"),
        ('{"flow": {"callbacks": ["on_fire"]}}', "FlowInvalid"),
        ('{"flow": {"packedEnvironment": 5}}', "FlowInvalid"),
        (json.dumps({"flow": {**FACTS, "parameters": [{"name": f"p{each}"} for each in range(65)]}}), "FlowInvalid"),
    ],
    ids=lambda each: each[:40],
)
def test_last_words_of_a_check_that_are_not_its_own_stop_nothing(words: str, told: str) -> None:
    deployment, _, plan = built()
    check = m.ended(pod_of(plan), "check", code=1, message=words)
    done = decide(deployment, ObservedDeployment(checks=(check,)))
    assert reason(done, "Verified") == told
    FlowDeploymentStatus.model_validate(done.status)


@pytest.mark.parametrize("words", [None, "", "no", "[1]", "[" * 4000])
def test_last_words_of_a_builder_that_are_no_report_are_none(words: str | None) -> None:
    assert deployment_plan.read_report({"message": words}) is None
