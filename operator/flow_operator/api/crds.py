"""Render the models as CustomResourceDefinitions: structural schemas, CEL rules and printer columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .flow_deployment import FlowDeploymentSpec, FlowDeploymentStatus
from .flow_run import FlowRunSpec, FlowRunStatus
from .labels import GROUP, VERSION
from .model import rule

if TYPE_CHECKING:
    from .model import Model

Schema = dict[str, Any]

# The API server gives it to an object that nobody has looked at. Without it kstatus, and so Flux, would take silence
# for success.
UNSEEN = {"observedGeneration": -1}


@dataclass(frozen=True)
class Kind:
    """One kind of ours, as the API server and its users see it."""

    kind: str
    plural: str
    short: str
    spec: type[Model]
    status: type[Model]
    description: str
    columns: tuple[tuple[str, str, str, int], ...]  # name, type, JSONPath, priority
    name_limit: int


def _condition(kind: str, field: str) -> str:
    return f".status.conditions[?(@.type=='{kind}')].{field}"


FLOW_DEPLOYMENT = Kind(
    kind="FlowDeployment",
    plural="flowdeployments",
    short="fd",
    spec=FlowDeploymentSpec,
    status=FlowDeploymentStatus,
    description="What a flow is, where it is stored and how it runs.",
    columns=(
        ("Ready", "string", _condition("Ready", "status"), 0),
        ("Reason", "string", _condition("Ready", "reason"), 0),
        ("Flow", "string", ".status.flow.name", 0),
        ("Next", "string", ".status.nextScheduleTime", 1),
        ("Image", "string", ".status.image", 1),
        ("Message", "string", _condition("Ready", "message"), 1),
        ("Age", "date", ".metadata.creationTimestamp", 0),
    ),
    name_limit=63,
)
FLOW_RUN = Kind(
    kind="FlowRun",
    plural="flowruns",
    short="fr",
    spec=FlowRunSpec,
    status=FlowRunStatus,
    description="One execution of a flow.",
    columns=(
        ("Deployment", "string", ".spec.deployment", 0),
        ("Phase", "string", ".status.phase", 0),
        ("Reason", "string", _condition("Ready", "reason"), 0),
        ("Workers", "integer", ".status.workers.ready", 0),
        ("Duration", "string", ".status.duration", 0),
        ("Result", "string", ".status.result", 0),
        ("Attempt", "integer", ".status.attempt", 1),
        ("Next", "string", ".status.nextAttemptTime", 1),
        ("Pod", "string", ".status.pod", 1),
        ("Message", "string", _condition("Ready", "message"), 1),
        ("Age", "date", ".metadata.creationTimestamp", 0),
    ),
    name_limit=63,
)
KINDS = (FLOW_DEPLOYMENT, FLOW_RUN)


def render(kind: Kind) -> Schema:
    """Return the CustomResourceDefinition of a kind."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": [kind.short],
                "categories": ["flows"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _root(kind)},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(*column) for column in kind.columns],
                }
            ],
        },
    }


def _root(kind: Kind) -> Schema:
    limit = kind.name_limit
    return {
        "type": "object",
        "description": kind.description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(kind.spec),
            "status": {**structural(kind.status), "default": UNSEEN},
        },
        "x-kubernetes-validations": [
            rule(
                f"self.metadata.name.size() <= {limit}",
                f"metadata.name must be at most {limit} characters: it is a label on the pods",
            )
        ],
    }


def _column(name: str, kind: str, path: str, priority: int) -> Schema:
    column: Schema = {"name": name, "type": kind, "jsonPath": path}
    return column | {"priority": priority} if priority else column


def structural(model: type[Model]) -> Schema:
    """Return a pydantic model's schema in the structural subset of OpenAPI v3 that CRDs accept."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    definitions: dict[str, Schema] = schema.pop("$defs", {})
    return _inline(schema, definitions)


def _inline(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    schema = _resolve(schema, definitions)
    out: Schema = {}
    for key, value in schema.items():
        if key in ("title", "additionalProperties") and not isinstance(value, dict):
            continue
        match key, value:
            case "properties", dict():
                out[key] = {name: _inline(each, definitions) for name, each in value.items()}
            case (("items" | "additionalProperties"), dict()):
                out[key] = _inline(value, definitions)
            case "default", (None | [] | {}):
                continue
            case "propertyNames", _:
                continue
            case "const", _:
                out["enum"] = [value]
            case _:
                out[key] = value
    if out.get("x-kubernetes-preserve-unknown-fields"):
        out.pop("additionalProperties", None)
    return out


def _resolve(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """Follow $ref, and read `X | None` as an optional X: absent is the only null that CRDs know."""
    schema = dict(schema)
    if choices := schema.pop("anyOf", None):
        (only,) = [each for each in choices if each.get("type") != "null"]
        schema = {**only, **schema}
    if ref := schema.pop("$ref", None):
        schema = {**_resolve(definitions[ref.rsplit("/", 1)[1]], definitions), **schema}
    return schema
