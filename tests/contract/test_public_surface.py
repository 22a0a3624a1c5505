"""The public face is exact: what is exported, and nothing else."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path

import pytest

import flow_operator

PUBLIC = {
    "flow_operator": ["Flow", "FlowInvalid", "Parameter", "ParameterError", "__version__", "flow", "task"],
    "flow_operator.storage": ["Bytes", "Docker", "Local", "Memory", "Storage"],
    "flow_operator.environments.storage": ["Bytes", "Docker", "Local", "Memory", "Storage"],
    "flow_operator.schedules": ["CronSchedule"],
    "flow_operator.errors": [
        "BuildError",
        "ClusterError",
        "DeployError",
        "DeployFailed",
        "DeployRefused",
        "EnvironmentFailed",
        "FlowInvalid",
        "FlowOperatorError",
        "ParameterError",
        "SettingsError",
        "StorageError",
        "UnknownProject",
    ],
    "flow_operator.context": ["scheduled_time"],
    "flow_operator.environments": [
        "DaskKubernetesEnvironment",
        "Environment",
        "FargateTaskEnvironment",
        "KubernetesJobEnvironment",
        "LocalEnvironment",
        "RemoteEnvironment",
    ],
    "flow_operator.executors": ["DaskExecutor", "LocalDaskExecutor", "LocalExecutor"],
}


@pytest.mark.parametrize("module", PUBLIC)
def test_what_is_exported(module: str) -> None:
    face = importlib.import_module(module)
    assert face.__all__ == PUBLIC[module]
    assert all(getattr(face, name).__doc__ for name in face.__all__)


def test_the_tree_of_errors_is_the_one_that_is_drawn() -> None:
    from flow_operator import errors

    drawn = re.findall(r"^ {4}[ |`+-]*(\w+)", errors.__doc__ or "", re.MULTILINE)
    assert sorted(drawn) == errors.__all__
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), errors.FlowOperatorError)


def test_flow_is_the_decorator_whatever_was_imported() -> None:
    importlib.import_module("flow_operator.flow.core")
    assert callable(flow_operator.flow)
    assert not hasattr(flow_operator, "nothing")


def test_the_version_is_the_distributions() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project.get("version", flow_operator.__version__) == flow_operator.__version__


def test_there_is_no_package_named_operator() -> None:
    assert not (
        Path(flow_operator.__file__).parents[1] / "__init__.py"
    ).exists()  # it would hide the standard library's
