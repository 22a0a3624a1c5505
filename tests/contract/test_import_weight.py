"""`import flow_operator` is nearly free, and the runner's PID 1 loads what it needs and no more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "aiohttp",
    "boto3",
    "cloudpickle",
    "dask",
    "distributed",
    "docker",
    "httpx",
    "kopf",
    "kubernetes",
    "numpy",
    "pydantic",
}
ROOM = Path(__file__).parents[2] / "operator"


def _loaded(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"{code}\nimport sys; print(*sys.modules)"],
        env={"PYTHONPATH": str(ROOM)},
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.split(".")[0] if name.split(".")[0] != "flow_operator" else name for name in done.stdout.split()}


@pytest.mark.parametrize(
    "code",
    [
        "import flow_operator",
        "from flow_operator import Flow, FlowInvalid, Parameter, ParameterError, flow, task",
        "from flow_operator.environments import DaskKubernetesEnvironment, KubernetesJobEnvironment, RemoteEnvironment",
        "from flow_operator.environments import Environment, FargateTaskEnvironment\nFargateTaskEnvironment()",
        "from flow_operator.executors import DaskExecutor, LocalDaskExecutor, LocalExecutor",
        "from flow_operator.storage import Bytes, Docker, Local, Memory, Storage",
        "from flow_operator.environments.storage import Docker",
        "from flow_operator.schedules import CronSchedule",
        "from flow_operator import context\ncontext.scheduled_time()",
        "from flow_operator.errors import FlowOperatorError, DeployFailed, BuildError",
        "from flow_operator.storage import Docker\nDocker(registry_url='registry.example.com').serialize()",
        "import flow_operator.images",
        "from flow_operator import flow\n@flow\ndef f(n: int = 1): return n\nf.run()",
    ],
)
def test_what_a_user_imports_is_light(code: str) -> None:
    assert not _loaded(code) & HEAVY


def test_a_run_reads_its_settings_without_the_standard_librarys_heavy_half() -> None:
    loaded = _loaded("from flow_operator import Flow\nFlow('empty').run()")
    assert not loaded & {"hashlib", "pathlib", "tempfile", "tomllib", "uuid"}


def test_pid_1_loads_neither_flow_nor_inspect() -> None:
    loaded = _loaded("import flow_operator.runner.__main__, flow_operator.runner.supervisor")
    assert not loaded & {"inspect", "dataclasses", "pathlib", "subprocess", "traceback", "flow_operator.flow.core"}


FLOW = """
from flow_operator import flow
from flow_operator.environments import RemoteEnvironment

@flow(environment=RemoteEnvironment(on_exit=print))
def main(): ...
"""


def test_a_callbacks_process_imports_nothing_of_ours_after_the_fork(tmp_path: Path) -> None:
    file = tmp_path / "flow.py"
    file.write_text(FLOW)
    first = "from flow_operator.runner import callback, load; [__import__(each) for each in callback.OF_EVERY_FLOW]"
    then = f"load.load({{'location': {str(file)!r}, 'attribute': 'main'}})"
    assert _loaded(f"{first}; {then}") - _loaded(first) == {"flow"}


def test_the_hooks_program_is_the_standard_library_alone() -> None:
    loaded = _loaded("import flow_operator.runner.hooks as hooks")
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(ROOM / "flow_operator/runner/hooks.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no such command" in done.stderr
    assert "subprocess" not in loaded
