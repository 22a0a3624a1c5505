"""The pages of the storages: every argument with its default, every error in the code's own words."""

from __future__ import annotations

import ast
import inspect
from typing import TYPE_CHECKING

import pytest

from flow_operator import storage
from flow_operator.api.crds import FLOW_DEPLOYMENT, structural
from tests.contract.test_docs import PACKAGE, code, doc, table

if TYPE_CHECKING:
    from pathlib import Path

KINDS: list[type[storage.Storage]] = [storage.Docker, storage.Bytes, storage.Local, storage.Memory]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def page(kind: type[storage.Storage]) -> str:
    return f"storage-{kind.__name__.lower()}.md"


@every_kind
def test_every_argument_is_in_the_table_with_its_default(kind: type[storage.Storage]) -> None:
    listed = [(code(row[0])[0], code(row[1])[0], row[1]) for row in table(page(kind), kind.__name__)]
    signature = inspect.signature(kind).parameters.values()
    assert [(name, default) for name, default, _ in listed] == [(each.name, repr(each.default)) for each in signature]
    assert all(cell.startswith("`") for _, _, cell in listed), "the default comes first"


@every_kind
def test_every_argument_is_explained_where_it_is_defined(kind: type[storage.Storage]) -> None:
    for name in inspect.signature(kind).parameters:
        assert f"{name}:" in (kind.__doc__ or ""), f"{kind.__name__} does not say what {name} is"


def test_fields_that_are_named_beside_an_argument_exist() -> None:
    fields = structural(FLOW_DEPLOYMENT.spec)["properties"]["storage"]["properties"]["docker"]["properties"]
    named = [each for row in table("storage-docker.md", "Docker") for each in code(row[3]) if each != "dockerEngine"]
    assert set(named) <= set(fields)
    assert set(fields) - set(named) == {"pushSecret"}, "and all of them are beside an argument, but for the secret"


def texts(file: Path) -> list[str]:
    """Every text in a file; what a message puts in is an ellipsis."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(str(p.value) if isinstance(p, ast.Constant) else "…" for p in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return found


SAID = [text for room in ("flow", "deploy") for file in (PACKAGE / room).rglob("*.py") for text in texts(file)]
ERRORS = [(kind, code(row[0])[0]) for kind in KINDS for row in table(page(kind), "errors")]


@pytest.mark.parametrize(("kind", "words"), ERRORS, ids=[f"{kind.__name__}-{words}" for kind, words in ERRORS])
def test_an_error_is_quoted_in_the_codes_own_words(kind: type[storage.Storage], words: str) -> None:
    assert any(words in text for text in SAID), f"{page(kind)}: nothing says {words!r}"


def test_the_limit_of_bytes_is_that_of_the_code() -> None:
    from flow_operator.flow.storage.bytes import LARGEST

    assert f"{LARGEST * 3 // 4:,} bytes ({LARGEST:,} in base64)" in doc("storage-bytes.md")
