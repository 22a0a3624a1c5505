"""What a Python user waits for: the import, and a deploy from a live flow to Ready."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from tests.support.cluster import ROOT
from tests.support.reading import CONTEXT

from bench.kube import Failed
from flow_operator.images.runtime import LOCK_ENV

if TYPE_CHECKING:
    from flow_operator import Flow
    from flow_operator.api.settings import Settings

PROJECT = "Bench"
STAGES = ("pack", "build", "push", "apply", "verify")
# By its own clock: what Python needs to begin is not ours.
_IMPORT = "import time; began = time.perf_counter(); import flow_operator; print(time.perf_counter() - began)"


def import_seconds() -> float:
    """Return how long `import flow_operator` takes a new process."""
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT],
        env=os.environ | {"PYTHONPATH": str(ROOT / "operator")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Failed(f"import flow_operator: {done.stderr.strip()[-300:]}")
    return float(done.stdout)


def deploy_stages(change: str, namespace: str, settings: Settings) -> dict[str, float]:
    """Deploy a flow with one line that was never there before; return the seconds of each stage, in their order."""
    from flow_operator.storage import Docker

    os.environ.setdefault(LOCK_ENV, str(ROOT / "requirements" / "runtime.lock"))  # the builder's image sets it
    registry = settings.registry.partition("/")[0]
    flow = a_flow(change)
    flow.storage = storage = Docker(
        f"{registry}/bench", base_image=settings.runtime_image, image_name="deploy", image_tag="bench"
    )
    marks: dict[str, float] = {}

    def tell(line: str) -> None:
        marks.setdefault("applied" if line.startswith("Applied") else "other", time.monotonic())

    began = time.monotonic()
    storage.build()
    built = time.monotonic()
    flow.deploy(PROJECT, build=False, namespace=namespace, context=CONTEXT, progress=tell)
    ready = time.monotonic()
    report: Any = storage.report or {}
    push = report["stages"].get("push", 0.0)
    build = sum(report["stages"].values()) - push
    pack = built - began - build - push
    return dict(zip(STAGES, (pack, build, push, marks["applied"] - built, ready - marks["applied"]), strict=True))


def a_flow(change: str) -> Flow:
    """Return a flow whose pickle was never there before."""
    from flow_operator import Flow, task

    @task
    def said() -> str:
        return change

    with Flow("deployed") as flow:
        said()
    return flow
