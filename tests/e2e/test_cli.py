"""`kubectl flow`, called as a person calls it: from a file to a result, and what is said when it goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flow_operator.images.runtime import LOCK_ENV
from tests.support.cluster import ROOT, deployment, kubectl
from tests.support.reading import CONTEXT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import Namespace

FLOW = """
import time
from flow_operator import flow
from flow_operator.environments import RemoteEnvironment

@flow(name="squares", environment=RemoteEnvironment(on_exit=lambda: print("on the way out")))
def flow(n: int = 10, fail: bool = False, sleep: float = 0):
    print("in the flow", flush=True)
    time.sleep(sleep)
    if fail:
        raise ValueError("the input is empty")
    return sum(i * i for i in range(n))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("flows")
    (made / "squares.py").write_text(FLOW)
    (made / "broken.py").write_text("import no_such_package\n\ndef flow():\n    return 1\n")
    return made


def kubectl_flow(folder: Path, *arguments: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    """Call the plug-in through kubectl, which finds it beside the interpreter."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, LOCK_ENV: str(ROOT / "requirements" / "runtime.lock")}
    command = ["kubectl", "flow", *arguments, "--context", CONTEXT]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=timeout
    )  # fmt: skip


@pytest.fixture(scope="module")
def squares(namespace: Namespace, folder: Path) -> str:
    """Deploy the flow of a file; its code is mounted, which needs no build."""
    done = kubectl_flow(folder, "deploy", "squares.py", "--build", "none", "-n", namespace.name)
    assert done.returncode == 0, done.stderr
    assert "flowdeployment.flow-operator.io/squares is ready" in done.stdout
    assert "Applied FlowDeployment squares" in done.stderr
    return "squares"


def test_run_to_the_result_with_logs(namespace: Namespace, folder: Path, squares: str) -> None:
    here = ("-n", namespace.name)
    done = kubectl_flow(folder, "run", squares, *here, "-p", "n=20", "--run-name", "first", "--watch", "--logs")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "[flow] in the flow" in lines
    assert "[callbacks] on the way out" in lines
    assert lines[-1].startswith("Succeeded in ")
    assert lines[-1].endswith(": 2470")
    assert done.stderr.splitlines()[-1] == "Succeeded"
    again = kubectl_flow(folder, "logs", "first", *here, "--component", "runner")
    assert "[flow] in the flow" in again.stdout
    seen = json.loads(kubectl_flow(folder, "status", "first", *here, "-o", "json").stdout)
    assert (seen["status"]["phase"], seen["status"]["result"]) == ("Succeeded", 2470)
    assert "parameters   " in kubectl_flow(folder, "status", "first", *here).stdout


def test_a_run_that_fails(namespace: Namespace, folder: Path, squares: str) -> None:
    here = ("-n", namespace.name)
    done = kubectl_flow(folder, "run", squares, *here, "-p", "fail=true", "--run-name", "bad", "--watch")
    assert done.returncode == 1
    assert "FlowRun bad: Failed (FlowRaised): The flow failed: ValueError: the input is empty" in done.stderr
    said = kubectl_flow(folder, "explain", "bad", *here)
    assert said.stdout.startswith("FlowRun bad failed (FlowRaised): The flow failed: ValueError: the input is empty")
    assert said.stdout.count("\n") == 1


def test_cancel_a_run_that_takes_too_long(namespace: Namespace, folder: Path, squares: str) -> None:
    here = ("-n", namespace.name)
    slow = kubectl_flow(folder, "run", squares, *here, "-p", "sleep=300", "--run-name", "slow", "--timeout", "1")
    assert slow.returncode == 124
    assert "it goes on" in slow.stderr
    namespace.wait_phase("slow", "Running")
    done = kubectl_flow(folder, "cancel", "slow", *here)
    assert done.returncode == 0, done.stderr
    assert "FlowRun slow: Cancelled." in done.stderr
    assert "FlowRun slow was cancelled" in kubectl_flow(folder, "explain", "slow", *here).stdout


def test_a_run_is_suspended_and_goes_on(namespace: Namespace, folder: Path, squares: str) -> None:
    here = ("-n", namespace.name)
    assert kubectl_flow(folder, "run", squares, *here, "-p", "sleep=300", "--run-name", "pausing").returncode == 0
    namespace.wait_phase("pausing", "Running")
    done = kubectl_flow(folder, "suspend", "pausing", *here)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "FlowRun pausing: Suspended."
    assert "has been suspended for" in kubectl_flow(folder, "explain", "pausing", *here).stdout
    assert kubectl_flow(folder, "resume", "pausing", *here).returncode == 0
    namespace.wait_phase("pausing", "Running")
    assert "attempt 1 Suspended" in kubectl_flow(folder, "status", "pausing", *here).stdout
    kubectl_flow(folder, "cancel", "pausing", *here, "--now", "--no-wait")
    again = kubectl_flow(folder, "rerun", "pausing", *here, "-p", "sleep=0", "--watch", "-q")
    assert (again.returncode, again.stdout) == (0, "285\n"), again.stderr


def test_a_broken_deploy_is_explained(namespace: Namespace, folder: Path) -> None:
    here = ("-n", namespace.name)
    done = kubectl_flow(folder, "deploy", "broken.py", "--build", "none", "--unseen", "--name", "broken", *here)
    assert done.returncode == 1
    assert "Warning: broken.py imports 'no_such_package', which is not installed here" in done.stderr
    assert "broken.py imports 'no_such_package', which is not in the image" in done.stderr
    said = kubectl_flow(folder, "explain", "broken", *here).stdout
    assert said.startswith("FlowDeployment broken is not ready (ImportFailed)")
    assert "pythonDependencies" in said


def test_what_cannot_be_asked(namespace: Namespace, folder: Path, squares: str) -> None:
    here = ("-n", namespace.name)
    unknown = kubectl_flow(folder, "run", squares, *here, "-p", "m=1")
    assert unknown.returncode == 2
    assert "(unknown: m)" in unknown.stderr
    misspelt = kubectl_flow(folder, "run", "squars", *here)
    assert misspelt.returncode == 2
    assert "Did you mean squares?" in misspelt.stderr
    nobody = subprocess.run(
        ["kubectl", "--context", CONTEXT, "-n", namespace.name, "create", "token", "default"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    config = json.loads(kubectl("config", "view", "--raw", "--minify", "-o", "json"))
    config["users"] = [{"name": each["name"], "user": {"token": nobody}} for each in config["users"]]
    (folder / "nobody").write_text(json.dumps(config))
    forbidden = kubectl_flow(folder, "status", *here, "--kubeconfig", str(folder / "nobody"))
    assert forbidden.returncode == 3
    assert "You may not do this:" in forbidden.stderr


@pytest.fixture
def project() -> Iterator[str]:
    name = f"e2e project {uuid.uuid4().hex[:5]}"
    yield name
    kubectl("delete", "namespace", name.replace(" ", "-"), "--wait=false", "--ignore-not-found")


def test_a_project(folder: Path, project: str) -> None:
    absent = kubectl_flow(folder, "deploy", "squares.py", "--build", "none", "--project", project)
    assert absent.returncode == 2
    assert f'kubectl flow project create "{project}"' in absent.stderr
    assert kubectl_flow(folder, "project", "create", project).returncode == 0
    done = kubectl_flow(folder, "deploy", "squares.py", "--build", "none", "--project", project)
    assert done.returncode == 0, done.stderr
    assert project in kubectl_flow(folder, "project", "list").stdout


def test_what_is_rendered_is_what_kubectl_applies(namespace: Namespace, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flow_operator.deploy", "render", "squares.py", "--build", "none", "--name", "rendered"],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    kubectl("-n", namespace.name, "apply", "-f", "-", stdin=done.stdout)
    namespace.wait_ready("rendered")


def test_an_image_that_is_built_here(namespace: Namespace, folder: Path, images: dict[str, str]) -> None:
    """The image is built and pushed by this machine, and the cluster runs it by digest."""
    options = ("--build", "here", "--registry-url", "localhost:5001/e2e-cli", "--name", "here", "-n", namespace.name)
    (folder / "here.py").write_text(
        "from flow_operator import flow, storage\n"
        f"@flow(storage=storage.Docker('localhost:5001/x', base_image='{images['runtime']}'))\n"
        "def flow(n: int = 2):\n    return n\n"
    )
    done = kubectl_flow(folder, "deploy", "here.py", *options)
    assert done.returncode == 0, done.stderr
    spec = namespace.get("flowdeployment", "here")["spec"]["flow"]
    assert spec["image"]["reference"].startswith("localhost:5001/e2e-cli/here@sha256:")
    assert spec["image"]["location"] == "/flows/here.py:flow"
    ran = kubectl_flow(folder, "run", "here", "-n", namespace.name, "--watch", "-q")
    assert (ran.returncode, ran.stdout) == (0, "2\n"), ran.stderr
    rendered = kubectl_flow(folder, "deploy", "here.py", *options, "--dry-run", "-o", "json")
    assert json.loads(rendered.stdout)["spec"]["flow"]["image"] == spec["image"], "the same file is the same image"


YEARLY = """
from flow_operator import context, flow

@flow
def flow(sleep: float = 0):
    return str(context.scheduled_time())
"""


def test_past_ticks_are_filled_in_once(namespace: Namespace, folder: Path) -> None:
    """Each run is told its own tick; who calls it again, or at the same time, makes none twice."""
    namespace.apply(deployment("yearly", YEARLY, schedule={"cron": ["0 6 1 7 *"], "timeZone": "Europe/Berlin"}))
    namespace.wait_ready("yearly")
    command = ("backfill", "yearly", "-n", namespace.name, "--from", "2023-07-01", "--max-active", "2", "-o", "json")
    with ThreadPoolExecutor() as pool:
        both = [each.result() for each in [pool.submit(kubectl_flow, folder, *command, timeout=300) for _ in range(2)]]
    assert [each.returncode for each in both] == [0, 0], both
    runs = json.loads(both[0].stdout)["items"]
    years = [each["status"]["result"] for each in runs]
    assert years[:2] == ["2023-07-01 04:00:00+00:00", "2024-07-01 04:00:00+00:00"]
    assert len(set(years)) == len(namespace.list("flowruns", "flow-operator.io/deployment=yearly"))
    told = "".join(each.stderr for each in both)
    assert told.count("  created (") == len(years), "each once, by one of the two"
    again = kubectl_flow(folder, *command[:-2])
    assert again.returncode == 0
    assert again.stderr.count("exists already: Succeeded") == len(years)
