"""The base of every resource model: camelCase on the wire, snake_case in code."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """A part of a resource. Unknown fields are ignored: a newer API server may know more than this release."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON form, without unset and empty values."""
        dumped: dict[str, Any] = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return dumped


def first_fault(error: ValidationError) -> str:
    """Return the first thing that is wrong, as "place.in.it: what"."""
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


# Free-form JSON: the API server keeps whatever is there (a frozen PodSpec would prune new fields).
FREE_FORM: dict[str, Any] = {"x-kubernetes-preserve-unknown-fields": True}

FreeObject = Annotated[dict[str, Any], Field(json_schema_extra={"type": "object", **FREE_FORM})]
FreeObjects = Annotated[
    list[Annotated[dict[str, Any], Field(json_schema_extra={"type": "object", **FREE_FORM})]],
    Field(max_length=64),
]
DNSLabel = Annotated[str, StringConstraints(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
DNSName = Annotated[str, StringConstraints(max_length=253, pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")]
Text = Annotated[str, StringConstraints(max_length=1024)]
LongText = Annotated[str, StringConstraints(max_length=4096)]
ImageName = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[^\s]+$")]
EnvName = Annotated[str, StringConstraints(max_length=256)]


def rule(expression: str, message: str) -> dict[str, str]:
    """Return one CEL validation as the API server wants it."""
    return {"rule": expression, "message": message}


def exactly_one(*fields: str) -> dict[str, str]:
    """Return the CEL validation that one field of several is set."""
    return rule(f"{_how_many(fields)} == 1", f"set exactly one of {_listed(fields)}")


def at_most_one(*fields: str) -> dict[str, str]:
    """Return the CEL validation that no two fields of several are set."""
    return rule(f"{_how_many(fields)} <= 1", f"set at most one of {_listed(fields)}")


def _how_many(fields: tuple[str, ...]) -> str:
    there = ", ".join(f"has(self.{each})" for each in fields)
    return f"[{there}].filter(set, set).size()"


def _listed(fields: tuple[str, ...]) -> str:
    return f"{', '.join(fields[:-1])} and {fields[-1]}"


def map_list(key: str) -> dict[str, Any]:
    """Return the JSON schema extra of a list in which no two items have the same key."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


def rules(*validations: dict[str, str]) -> dict[str, Any]:
    """Return the JSON schema extra that carries CEL validations."""
    return {"x-kubernetes-validations": list(validations)}
