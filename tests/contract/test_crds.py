"""The CRDs: rendered from the models, committed, small, and following the API conventions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from flow_operator.api.crds import KINDS, Kind, render
from flow_operator.api.render import main as render_all

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
Schema = dict[str, Any]


def schema(kind: Kind) -> Schema:
    found: Schema = render(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def fields(node: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    for name, each in node.get("properties", {}).items():
        yield f"{path}.{name}", each
        yield from fields(each, f"{path}.{name}")
    for inner in ("items", "additionalProperties"):
        if isinstance(node.get(inner), dict):
            yield from fields(node[inner], f"{path}[]")


ALL = [(f"{kind.kind}{path}", each) for kind in KINDS for path, each in fields(schema(kind))]
OURS = [(path, each) for path, each in ALL if path.count(".") > 1]


def test_committed_crds_are_what_the_models_render(tmp_path: Path) -> None:
    render_all(tmp_path)
    rendered = {each.name: each.read_text() for each in tmp_path.iterdir()}
    committed = {each.name: each.read_text() for each in (ROOT / "crds").glob("*.yaml")}
    assert rendered == committed, "run `make generate`"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_a_crd_fits_client_side_apply(kind: Kind) -> None:
    assert len(yaml.safe_dump(render(kind))) < 100_000


# Kubernetes' own word, in a Kubernetes kind's own sense: people and tools know what CronJobs and Jobs do with it.
BOOLEANS = {"FlowDeployment.spec.schedule.suspend", "FlowRun.spec.suspend"}  # Kubernetes' own word


@pytest.mark.parametrize(("path", "field"), OURS, ids=[path for path, _ in OURS])
def test_every_field_follows_the_conventions(path: str, field: Schema) -> None:
    assert field.get("description"), "every field is described"
    assert field.get("type") != "number", "no floats"
    assert field.get("type") != "boolean" or path in BOOLEANS, "no booleans: an enum can grow a third value"
    free = field.get("x-kubernetes-preserve-unknown-fields", False)
    assert free or "type" in field, "every field has a type"
    assert not {"anyOf", "$ref", "title", "allOf"} & set(field), "the schema is structural"
    spec_text = ".spec" in path and field.get("type") == "string" and "enum" not in field
    assert not spec_text or "maxLength" in field or "pattern" in field, "strings are bounded, or CEL costs too much"
    if ".spec" in path and field.get("type") == "array":
        assert "maxItems" in field, "lists are bounded"
    if ".spec" in path and "additionalProperties" in field:
        assert "maxProperties" in field, "maps are bounded"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_conditions_come_first_in_status(kind: Kind) -> None:
    assert next(iter(schema(kind)["properties"]["status"]["properties"])) == "conditions"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_an_object_that_nobody_has_seen_says_so(kind: Kind) -> None:
    assert schema(kind)["properties"]["status"]["default"] == {"observedGeneration": -1}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_printer_columns_point_at_fields_that_exist(kind: Kind) -> None:
    known = {path for path, _ in fields(schema(kind))}
    for _, _, path, _ in kind.columns:
        plain = path.split("[")[0]
        assert plain in known or plain.startswith(".metadata"), path
