"""What the tools themselves say: Flux's kstatus library, and the Lua interpreter that Argo CD embeds.

The program is built with Go: a second where the cluster's tools were built, since its modules have the same versions.
Argo CD's own `util/lua` is not in it: it needs 1,261 packages, among them one that no Go proxy serves.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.test_gitops import NAMES, ROWS, script, unseen
from tests.support import argocd, kstatus

if TYPE_CHECKING:
    from tests.support.cluster import Manifest

FOLDER = Path(__file__).parent

pytestmark = pytest.mark.skipif(not shutil.which("go"), reason="Go is not installed")

OBJECTS = [(kind, f"{kind}-{name}", shown) for kind, name, shown, _ in ROWS] + [
    (kind, f"{kind}-{name}", shown) for kind in NAMES for name, shown in unseen(kind).items()
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Manifest]:
    """Return what the tools say of each object."""
    program = tmp_path_factory.mktemp("go") / "gitops"
    flags = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -trimpath"}  # as tests/cluster builds: one cache for both
    subprocess.run(["go", "build", "-o", str(program), "."], cwd=FOLDER, env={**os.environ, **flags}, check=True)
    asked = [{"object": shown, "script": script(kind)} for kind, _, shown in OBJECTS]
    done = subprocess.run([str(program)], input=json.dumps(asked), capture_output=True, text=True, check=True)
    said: list[dict[str, Any]] = json.loads(done.stdout)
    return {name: each for (_, name, _), each in zip(OBJECTS, said, strict=True)}


@pytest.mark.parametrize(("kind", "name", "shown"), OBJECTS, ids=[name for _, name, _ in OBJECTS])
def test_the_tools_say_what_our_models_of_them_say(
    kind: str, name: str, shown: Manifest, answers: dict[str, Manifest]
) -> None:
    assert answers[name] == {"kstatus": kstatus.status(shown), "health": argocd.health(script(kind), shown)}
