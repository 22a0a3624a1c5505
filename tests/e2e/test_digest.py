"""One digest for the same inputs: the builder's pod, this host, and a clean clone as CI has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flow_operator.deploy import pack
from flow_operator.storage import Docker
from tests.support.cluster import deployment, run
from tests.support.digest import ELSEWHERE, clean_clone, host_digest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.cluster import Namespace

BASE = "localhost:5001/python:3.11-slim"  # without the runtime: all layers are made
FLOW = "import humanize\ndef flow() -> str:\n    return humanize.intcomma(1234567)\n"
LOCK = """\
humanize==4.12.0 \\
    --hash=sha256:106a7436a2d545d742c147c469716b3a08424aa143a82103630147c489a89f48 \\
    --hash=sha256:87ff7b43591370b12a1d103c9405849d911d4b039ed22d80b718b62c76eec8a3
"""


def layers(report: dict[str, Any]) -> list[tuple[str, str]]:
    return [(layer["kind"], layer["digest"]) for layer in report["layers"]]


def test_pod_host_and_a_clean_clone_come_to_one_digest(namespace: Namespace, tmp_path: Path) -> None:
    storage = {"docker": {"baseImage": BASE, "dependencyLock": {"inline": LOCK}, "envVars": {"GREETING": "hello you"}}}
    namespace.apply(deployment("same", FLOW, storage=storage))
    built = namespace.wait_ready("same", 180)
    repository, _, digest = built["status"]["image"].partition("@")

    (tmp_path / "any-name.py").write_text(FLOW)
    (tmp_path / "any-lock.txt").write_text(LOCK)
    name = repository.rpartition("/")[2]
    elsewhere = Docker(
        # Another repository of that name: it keeps no layers of earlier builds.
        registry_url=f"localhost:5001/{namespace.name}-elsewhere",
        base_image=BASE,
        env_vars={"GREETING": "hello you"},
        requirements=tmp_path / "any-lock.txt",
    )
    request = pack.request_of_source(
        elsewhere,
        tmp_path / "any-name.py",
        "flow",
        location="/flows/flow.py",
        repository=elsewhere.repository(name),
        tag="elsewhere",
        push=False,
    )
    host = host_digest(request, tmp_path / "host")
    assert layers(host) == layers(built["status"]["build"])
    assert (host["digest"], host["lock"]) == (digest, built["status"]["build"]["lock"])
    clone = clean_clone(tmp_path / "clone")
    ci = host_digest(request, tmp_path / "ci", checkout=clone, umask=0o077, **ELSEWHERE)
    assert ci["digest"] == digest

    namespace.apply(run("once", "same"))
    assert namespace.wait_run("once")["status"]["result"] == "1,234,567"
