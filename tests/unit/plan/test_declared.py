"""What a flow's Python declares is held to the rules that the API server holds a resource to."""

from __future__ import annotations

from typing import Any

import pytest

from flow_operator.api import wire
from flow_operator.api.crds import structural
from flow_operator.api.flow_deployment import FlowDeploymentSpec, parse_spec
from flow_operator.plan import declared, run
from flow_operator.plan.types import ObservedRun
from tests.support import makers as m

CRD = structural(FlowDeploymentSpec)
JOB = {"kubernetesJob": {"jobSpec": {"template": {"spec": {"containers": [{"name": "flow"}]}}}}}


def facts(told_of: Any = None, packed: str | None = None, **spec: Any) -> dict[str, Any]:
    told = {"name": "squares", "environment": told_of or {}, **({"packedEnvironment": packed} if packed else {})}
    return declared.facts(told, parse_spec(m.a_deployment(**spec)["spec"]))


def test_what_was_packed_is_kept_as_it_was() -> None:
    assert facts(packed=wire.pack(JOB)) == facts(JOB) == {"name": "squares", "environment": JOB}


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"kubernetesJob": {"jobSpec": {}}}, "needs template.spec.containers"),
        ({"kubernetesJob": {"jobSpec": {**JOB["kubernetesJob"]["jobSpec"], "completions": 2}}}, "must be 1"),
        ({"daskKubernetes": {"minWorkers": -1}}, "greater than or equal to 0"),
        ({"daskKubernetes": {"minWorkers": 5, "maxWorkers": 2}}, "minWorkers must not be larger than maxWorkers"),
    ],
)
def test_what_no_resource_could_say_is_refused_by_name(environment: Any, words: str) -> None:
    with pytest.raises(declared.Unusable, match=words) as unusable:
        facts(environment)
    assert unusable.value.why.reason == "EnvironmentInvalid"
    assert facts(environment, environment={"remote": {}})["name"] == "squares", "the flow is not asked"


def a_job(metadata: Any = None, **pod: Any) -> dict[str, Any]:
    template = {"metadata": metadata, "spec": {"containers": [{"name": "flow"}], **pod}}
    return {"kubernetesJob": {"jobSpec": {"template": template}}}


def workers(**pod: Any) -> dict[str, Any]:
    return {"daskKubernetes": {"workerSpec": pod}}


MISSHAPEN: list[tuple[dict[str, Any], str]] = [
    ({"kubernetesJob": {"jobSpec": {"template": ["spec"]}}}, "jobSpec.template"),
    ({"kubernetesJob": {"jobSpec": {"template": {"spec": ["containers"]}}}}, "jobSpec.template.spec"),
    (a_job(metadata="x"), "jobSpec.template.metadata"),
    (a_job(metadata={"labels": ["a=b"]}), "jobSpec.template.metadata.labels"),
    (a_job(metadata={"finalizers": 1}), "jobSpec.template.metadata.finalizers"),
    (a_job(containers={"flow": {}}), "jobSpec.template.spec.containers"),
    (a_job(containers=["flow"]), "jobSpec.template.spec.containers[0]"),
    (a_job(containers=[{"env": {"A": "b"}}]), "jobSpec.template.spec.containers[0].env"),
    (a_job(containers=[{"volumeMounts": ["/data"]}]), "jobSpec.template.spec.containers[0].volumeMounts[0]"),
    (a_job(containers=[{"securityContext": ["a"]}]), "jobSpec.template.spec.containers[0].securityContext"),
    (a_job(imagePullSecrets=["regcred"]), "jobSpec.template.spec.imagePullSecrets[0]"),
    (a_job(volumes={"data": {"emptyDir": {}}}), "jobSpec.template.spec.volumes"),
    (workers(containers={"worker": {}}), "workerSpec.containers"),
    (workers(containers=[None]), "workerSpec.containers[0]"),
    (workers(containers=["worker"]), "workerSpec.containers[0]"),
    (workers(containers=[{"env": {"OMP_NUM_THREADS": "1"}}]), "workerSpec.containers[0].env"),
    (workers(initContainers=["init"]), "workerSpec.initContainers[0]"),
    (workers(imagePullSecrets=["regcred"]), "workerSpec.imagePullSecrets[0]"),
    (workers(volumes={"data": {}}), "workerSpec.volumes"),
    ({"daskKubernetes": {"schedulerSpec": {"containers": [{"env": {"A": "1"}}]}}}, "schedulerSpec.containers[0].env"),
]


@pytest.mark.parametrize(("environment", "place"), MISSHAPEN, ids=[place for _, place in MISSHAPEN])
def test_a_part_of_another_shape_is_named_by_the_check_and_refused_by_the_crd(environment: Any, place: str) -> None:
    with pytest.raises(declared.Unusable) as unusable:
        facts(environment)
    assert f"{place} must be a" in unusable.value.why.message
    assert "Value error" not in unusable.value.why.message
    (kind,) = environment
    (told,) = structural_faults(environment[kind], CRD["properties"]["environment"]["properties"][kind], "")
    assert told == f".{place}"


def structural_faults(value: Any, schema: dict[str, Any], place: str) -> list[str]:
    """Return where a value has another type than a schema says, as the API server would."""
    kinds: dict[str, type] = {"object": dict, "array": list, "string": str, "integer": int}
    if value is None and schema.get("nullable"):
        return []
    if "type" in schema and not isinstance(value, kinds[schema["type"]]):
        return [place]
    if isinstance(value, list):
        items = schema.get("items", {})
        return [fault for n, each in enumerate(value) for fault in structural_faults(each, items, f"{place}[{n}]")]
    known = schema.get("properties", {})
    return [
        fault
        for key in (value if isinstance(value, dict) else ())
        for fault in structural_faults(value[key], known.get(key, {}), f"{place}.{key}")
    ]


@pytest.mark.parametrize(
    "environment",
    [
        a_job(containers=[{"env": None, "volumeMounts": None}], volumes=None, imagePullSecrets=None),
        a_job(metadata={"labels": None, "annotations": None, "finalizers": None}),
        a_job(containers=[{"env": [{"name": ["A"]}, {"name": 1}]}]),
        workers(containers=None, volumes=None, initContainers=None),
    ],
)
def test_what_is_null_or_wrong_further_down_is_the_api_servers_to_judge(environment: Any) -> None:
    (kind,) = environment
    facts(environment)
    assert not structural_faults(environment[kind], CRD["properties"]["environment"]["properties"][kind], "")
    deployment = m.a_ready_deployment(environment=environment)
    plan = run.decide(m.a_run(), ObservedRun(deployment=deployment), m.settings(), m.NOW)
    assert plan.create


@pytest.mark.parametrize("storage", [{"bytes": {}}, None])
def test_a_fargate_task_needs_the_flow_in_an_image(storage: Any) -> None:
    spec = {"storage": storage} if storage else m.a_local_flow()
    with pytest.raises(declared.Unusable, match="fargateTask needs the flow in an image"):
        facts({"fargateTask": {}}, **spec)
    assert facts({"fargateTask": {}}, storage={"docker": {}})


def test_a_job_of_a_flow_on_a_volume_is_refused() -> None:
    with pytest.raises(declared.Unusable, match="not in local storage"):
        facts(JOB, **m.a_local_flow())


@pytest.mark.parametrize("packed", ["~", "no", wire.pack({"a": "b" * 2_000_000})])
def test_what_cannot_be_unpacked_is_refused(packed: str) -> None:
    with pytest.raises(declared.Unusable, match="cannot be read"):
        facts(packed=packed)
