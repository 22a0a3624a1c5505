"""The Docker builder in the cluster: pods reach an engine over tcp, with certificates on both sides.

An operator on this machine has the engine in its settings, and a label, so that it alone takes these flows; the
installed one is not touched. The engine is this machine's own, behind a door with TLS.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cluster import Namespace, condition, deployment, eventually, kubectl, reason, run
from tests.support.engine import EngineFront
from tests.support.local_operator import LocalOperator, settings
from tests.support.reading import CONTEXT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Manifest = dict[str, Any]

SECRET = "docker-engine"
LABEL = "e2e-docker-builder"
FLOW = """\
from pathlib import Path

def flow() -> str:
    return Path("/etc/made").read_text().strip()
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineFront]:
    """An engine on the address under which pods reach this machine."""
    shown = subprocess.run(["docker", "network", "inspect", "kind"], capture_output=True, text=True, check=True)
    gateways = [each.get("Gateway", "") for each in json.loads(shown.stdout)[0]["IPAM"]["Config"]]
    with EngineFront(tmp_path_factory.mktemp("engine"), next(each for each in gateways if "." in each)) as front:
        yield front


@pytest.fixture(scope="module")
def operator(
    engine: EngineFront, namespace: Namespace, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalOperator]:
    docker = {"url": engine.url, "tlsSecret": SECRET}
    of_ours = settings(namespace.name, labels=[LABEL], dockerEngine=docker)
    folder = tmp_path_factory.mktemp("operator")
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(kubectl("config", "view", "--minify", "--flatten", f"--context={CONTEXT}", "-o", "json"))
    local = LocalOperator(folder, kubeconfig, of_ours)
    local.start()
    yield local
    local.stop()


def give(namespace: Namespace, certificates: Path) -> None:
    """What the builder shows the engine."""
    files = [f"--from-file={name}={certificates / name}" for name in ("ca.pem", "cert.pem", "key.pem")]
    secret = kubectl("create", "secret", "generic", SECRET, *files, "--dry-run=client", "-o", "json")
    kubectl("-n", namespace.name, "apply", "-f", "-", stdin=secret)


def built_by_docker(name: str, command: str) -> Manifest:
    storage = {"docker": {"builder": "Docker", "extraCommands": [command]}}
    return deployment(name, FLOW, storage=storage, environment={"labels": [LABEL]})


def wait_reason(namespace: Namespace, name: str, wanted: str, within: float = 60) -> str:
    """Wait until a build has failed for a reason; its message."""
    seen = namespace.wait_deployment(name, lambda one: reason(one, "Built") == wanted, within, wanted)
    [built] = [each for each in seen["status"]["conditions"] if each["type"] == "Built"]
    return str(built["message"])


def test_what_a_command_made_is_seen_by_a_run(
    namespace: Namespace, engine: EngineFront, operator: LocalOperator
) -> None:
    give(namespace, engine.client)
    namespace.apply(built_by_docker("made", 'echo "it\'s $((6 * 7))" > /etc/made'), run("made", "made"))
    ready = namespace.wait_ready("made")
    assert "@sha256:" in ready["status"]["image"]
    done = namespace.wait_run("made")
    assert (done["status"]["result"], done["status"]["image"]) == ("it's 42", ready["status"]["image"])


def test_a_certificate_the_engine_does_not_know(
    namespace: Namespace, engine: EngineFront, operator: LocalOperator
) -> None:
    give(namespace, engine.stranger())
    namespace.apply(built_by_docker("stranger", "echo stranger > /etc/made"))
    assert engine.url in wait_reason(namespace, "stranger", "EngineTLSFailed")


def test_an_engine_that_is_away_and_comes_back(
    namespace: Namespace, engine: EngineFront, operator: LocalOperator
) -> None:
    give(namespace, engine.client)
    engine.stop()
    namespace.apply(built_by_docker("away", "echo away > /etc/made"))
    message = wait_reason(namespace, "away", "EngineUnreachable")
    assert f"{engine.url} cannot be reached: Connection refused" in message
    engine.start()
    assert condition(namespace.wait_ready("away"), "Ready") == "True"
    eventually(
        lambda: condition(namespace.get("flowdeployment", "stranger"), "Ready"),
        lambda ready: ready == "True",
        120,
        "the flow that was refused is built, now that the certificate is right",
    )
