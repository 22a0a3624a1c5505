"""The chart goes while a run lives, and comes back under another name: nothing is stuck, nothing is lost."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.cluster import ROOT, SYSTEM, deployment, kubectl, run
from tests.support.reading import CONTEXT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import Namespace

pytestmark = pytest.mark.alone  # the chart is uninstalled

FLOW = "import time\ndef flow(seconds: float = 0):\n    time.sleep(seconds)\n    return 'done'\n"
CALLBACKS = """
import time
from flow_operator import flow
from flow_operator.environments import RemoteEnvironment

@flow(environment=RemoteEnvironment(on_exit=lambda: None))
def flow(seconds: float = 0):
    time.sleep(seconds)
"""
DASK = {"daskKubernetes": {"minWorkers": 1, "maxWorkers": 2}}
OTHER, OTHER_NAMESPACE = "flows", "flow-operator-other"


def command(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        arguments, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=300
    )
    assert not done.returncode, f"{' '.join(arguments)}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def helm(*arguments: str) -> str:
    return command("helm", "--kube-context", CONTEXT, *arguments)


@pytest.fixture
def installed_again() -> Iterator[None]:
    yield
    if OTHER in helm("list", "-n", OTHER_NAMESPACE, "-q").split():
        helm("uninstall", OTHER, "-n", OTHER_NAMESPACE, "--wait")
    kubectl("delete", "namespace", OTHER_NAMESPACE, "--ignore-not-found", "--timeout=60s")
    command("hack/install")


@pytest.mark.usefixtures("installed_again")
def test_uninstall_with_a_live_run_and_install_under_another_name(namespace: Namespace) -> None:
    namespace.apply(deployment("living", FLOW, environment=DASK), deployment("held", CALLBACKS))
    namespace.wait_ready("living")
    namespace.wait_ready("held")
    namespace.apply(run("done", "living"), run("living", "living", parameters={"seconds": 300}))
    namespace.apply(run("held", "held", parameters={"seconds": 300}))
    namespace.wait_run("done")
    namespace.wait_phase("living", "Running")
    namespace.wait_phase("held", "Running")

    helm("uninstall", "flow-operator", "-n", SYSTEM, "--wait", "--timeout=120s")
    assert namespace.get("flowrun", "done")["status"]["result"] == "done", "what users made is kept"
    namespace.delete("flowrun", "living")
    namespace.delete("flowrun", "held")
    namespace.wait_gone("flow-operator.io/run=living", within=30)
    namespace.wait_gone("flow-operator.io/run=held", within=30)

    command("hack/install", RELEASE=OTHER, NAMESPACE=OTHER_NAMESPACE)
    namespace.apply(run("after", "living"))
    assert namespace.wait_run("after")["status"]["result"] == "done"
