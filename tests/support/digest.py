"""The digest of a build, computed in another place than the builder's pod: nothing is pushed, nothing is kept."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cluster import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# What the builder's pod runs, less the report to the kubelet.
PROGRAM = """
import json, os, sys
from flow_operator.images.select import build_image
say = lambda words: print(words, file=sys.stderr)
print(json.dumps(build_image(json.loads(os.environ["FLOW_OPERATOR_BUILD"]), progress=say)))
"""
# Another time zone, language, umask and hash seed than anybody's.
ELSEWHERE = {"TZ": "Asia/Tokyo", "LC_ALL": "C", "LANG": "C", "PYTHONHASHSEED": "7"}


def a_file(path: str, source: Path) -> dict[str, str]:
    """A file of a build request."""
    return {"path": path, "source": str(source), "sha256": hashlib.sha256(source.read_bytes()).hexdigest()}


def host_digest(
    request: Mapping[str, Any], work: Path, *, checkout: Path = ROOT, umask: int = 0o022, **environment: str
) -> dict[str, Any]:
    """The report of a build by a checkout of this repository, in a process of its own."""
    work.mkdir(exist_ok=True)
    told = {
        "PYTHONPATH": str(checkout / "operator"),
        "FLOW_OPERATOR_BUILD": json.dumps({**request, "push": False}),
        "FLOW_OPERATOR_CACHE_DIR": str(work / "cache"),
        **environment,
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **told}, cwd=work, umask=umask, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert not done.returncode, done.stderr
    if "is not installed here" in done.stderr:
        pytest.skip("the base's release of Python is not installed here: docs/images.md, One digest")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def clean_clone(folder: Path) -> Path:
    """This repository as CI has it: a clone, with what is changed and not committed yet."""
    subprocess.run(
        ["git", "-c", "advice.detachedHead=false", "clone", "-q", "--no-hardlinks", str(ROOT), str(folder)], check=True
    )
    changed = subprocess.run(
        ["git", "ls-files", "--modified", "--others", "--exclude-standard", "operator", "requirements"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in changed.stdout.splitlines():
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder
