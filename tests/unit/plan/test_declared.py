"""What a flow's Python declares is held to the rules that the API server holds a resource to."""

from __future__ import annotations

from typing import Any

import pytest

from flow_operator.api import wire
from flow_operator.api.flow_deployment import parse_spec
from flow_operator.plan import declared
from tests.support import makers as m

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
        ({"kubernetesJob": {"jobSpec": {"template": {"spec": {"containers": ["flow"]}}}}}, "needs template.spec"),
        ({"kubernetesJob": {"jobSpec": {**JOB["kubernetesJob"]["jobSpec"], "completions": 2}}}, "must be 1"),
        ({"daskKubernetes": {"minWorkers": -1}}, "greater than or equal to 0"),
    ],
)
def test_what_no_resource_could_say_is_refused_by_name(environment: Any, words: str) -> None:
    with pytest.raises(declared.Unusable, match=words) as unusable:
        facts(environment)
    assert unusable.value.why.reason == "EnvironmentInvalid"
    assert facts(environment, environment={"remote": {}})["name"] == "squares", "the flow is not asked"


def test_a_job_of_a_flow_on_a_volume_is_refused() -> None:
    with pytest.raises(declared.Unusable, match="not in local storage"):
        facts(JOB, **m.a_local_flow())


@pytest.mark.parametrize("packed", ["~", "no", wire.pack({"a": "b" * 2_000_000})])
def test_what_cannot_be_unpacked_is_refused(packed: str) -> None:
    with pytest.raises(declared.Unusable, match="cannot be read"):
        facts(packed=packed)
