"""What a flow's own Python says, as its check told it: held to the rules that the API server holds a resource to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError

from ..api import wire
from ..api.flow_deployment import Environment, FlowFactsStatus
from ..api.model import Model, Text, first_fault
from . import diagnosis

if TYPE_CHECKING:
    from ..api.flow_deployment import Diagnosis, FlowDeploymentSpec


class _Parameter(Model):
    name: Text


class _Told(FlowFactsStatus):
    """Facts as a check tells them."""

    parameters: list[_Parameter] = Field(default_factory=list, max_length=64)  # type: ignore[assignment] # narrower
    environment: dict[str, Any] | None = None  # type: ignore[assignment] # looked at by itself
    packed_environment: str | None = None


class Unusable(Exception):
    """What the flow declares cannot be run; `why` says so."""

    def __init__(self, why: Diagnosis) -> None:
        super().__init__(why.message)
        self.why = why


def facts(told: dict[str, Any], spec: FlowDeploymentSpec) -> dict[str, Any]:
    """Return the facts of a flow as status keeps them.

    Raises:
        Unusable: status cannot keep them, or its environment could not have been written in the resource.
    """
    _fit_into_status(told)
    found = {key: each for key, each in told.items() if key != "packedEnvironment"}
    if packed := told.get("packedEnvironment"):
        try:
            found["environment"] = wire.unpack(packed)
        except ValueError as error:
            raise Unusable(_invalid(found, f"it cannot be read ({error})")) from None
    if not (spec.environment and spec.environment.kind):  # else the flow is not asked
        _check(found, spec)
    return found


def _fit_into_status(told: dict[str, Any]) -> None:
    try:
        _Told.model_validate(told)
    except ValidationError as error:
        raise Unusable(
            diagnosis.diagnosis(
                "FlowInvalid",
                f"What the flow says of itself cannot be kept: {first_fault(error)}.",
                "Change that of the flow; if its module writes to the termination message, let it not.",
            )
        ) from None


def _check(found: dict[str, Any], spec: FlowDeploymentSpec) -> None:
    try:
        environment = Environment.model_validate(found.get("environment") or {})
    except ValidationError as error:
        raise Unusable(_invalid(found, first_fault(error).replace("Value error, ", "", 1))) from None
    storage = spec.storage
    if environment.kubernetes_job and storage and storage.local is not None:
        raise Unusable(_invalid(found, "kubernetesJob needs the flow in an image or mounted, not in local storage"))
    if environment.fargate_task and storage and storage.docker is None:
        raise Unusable(_invalid(found, "fargateTask needs the flow in an image: storage docker, not bytes or local"))


def _invalid(found: dict[str, Any], why: str) -> Diagnosis:
    return diagnosis.diagnosis(
        "EnvironmentInvalid",
        f"The environment that flow {found.get('name', '')!r} declares cannot be used: {why}.",
        "Correct it in the flow, or set spec.environment, which counts before what the flow declares.",
    )
