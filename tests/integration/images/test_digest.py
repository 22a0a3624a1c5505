"""A laptop and the operator's own image come to the same bytes, file by file and compressed.

numpy is the package on purpose: two releases of Python 3.11 compile one of its modules differently.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cluster import ROOT
from tests.support.digest import PROGRAM, a_file, host_digest

if TYPE_CHECKING:
    from pathlib import Path

BASE = "localhost:5001/python:3.11-slim"


def output(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert not done.returncode, f"{' '.join(command)}: {done.stderr}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def operator_image() -> str:
    """The image of this very tree."""
    image = output("hack/images", "--print").splitlines()[0]
    if subprocess.run(["docker", "pull", "-q", image], capture_output=True, check=False).returncode:
        pytest.skip(f"{image} is not in the registry: make images")
    return image


def locked(name: str) -> str:
    """The entries of a package in this repository's own lock: with hashes and markers."""
    text = (ROOT / "requirements" / "dev.lock").read_text()
    return "".join(re.findall(rf"^{name}==[^\n]*\n(?:    [^\n]*\n)+", text, re.MULTILINE))


def in_the_image(image: str, request: dict[str, Any], work: Path) -> dict[str, Any]:
    """The report of a build by the operator's image: another user, another Python, another folder."""
    bundle = output("bash", "-c", ". hack/lib.sh; ca_bundle")
    index = output("bash", "-c", ". hack/lib.sh; package_index")
    extra = output("bash", "-c", ". hack/lib.sh; extra_indexes")
    proxies = [f"-e{name}" for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY") if name in os.environ]
    environment = {
        "FLOW_OPERATOR_BUILD": json.dumps({**request, "push": False}),
        **({"SSL_CERT_FILE": "/ca.crt"} if bundle else {}),
        **({"UV_DEFAULT_INDEX": index} if index else {}),
        **({"UV_INDEX": extra} if extra else {}),
    }
    said = output(
        "docker", "run", "--rm", "--network=host", "--read-only", "--tmpfs=/tmp:mode=1777", f"-v{work}:{work}:ro",
        *([f"-v{bundle}:/ca.crt:ro"] if bundle else []),
        *(f"-e{name}={value}" for name, value in environment.items()), *proxies,
        "--entrypoint=python3", image, "-c", PROGRAM,
    )  # fmt: skip
    report: dict[str, Any] = json.loads(said)
    return report


def test_a_laptop_and_the_operators_image_come_to_the_same_digest(operator_image: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    (inputs / "flow.py").write_text("def flow():\n    return 1\n")
    (inputs / "requirements.txt").write_text(locked("numpy"))
    request = {
        "baseImage": BASE,
        "repository": "localhost:5001/digests/squares",
        "tag": "v1",
        "files": [a_file("/flows/flow.py", inputs / "flow.py")],
        "lock": a_file("requirements.txt", inputs / "requirements.txt"),
        "architecture": "amd64",
    }
    with ThreadPoolExecutor(2) as threads:
        elsewhere = threads.submit(in_the_image, operator_image, request, inputs)
        here = host_digest(request, tmp_path / "here")
        there = elsewhere.result()
    assert [layer["kind"] for layer in here["layers"]] == ["runtime", "dependencies", "code"]
    assert here["layers"] == there["layers"]
    assert (here["digest"], here["lock"]) == (there["digest"], there["lock"])
