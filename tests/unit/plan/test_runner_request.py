"""What the runner is told of its executor."""

from __future__ import annotations

from typing import Any

import pytest

from flow_operator.api.flow_run import FlowRunSpec
from flow_operator.plan import pinned
from flow_operator.plan.runner_pod import run_request
from tests.support import makers as m


@pytest.mark.parametrize(
    ("environment", "executor"),
    [
        ({}, {"kind": "Local", "kwargs": {}}),
        ({"local": {}}, {"kind": "Local"}),
        (
            {"remote": {"executor": "LocalDask", "executorKwargs": {"num_workers": 2}}},
            {"kind": "LocalDask", "kwargs": {"num_workers": 2}},
        ),
        (
            {"remote": {"executor": "Dask", "executorKwargs": {"address": "tcp://a:1", "name": "b"}}},
            {"kind": "Dask", "address": "tcp://a:1", "kwargs": {"name": "b"}, "connectTimeoutSeconds": 60},
        ),
        ({"remote": {"executor": "Dask"}}, {"kind": "Dask", "address": "", "kwargs": {}, "connectTimeoutSeconds": 60}),
    ],
)
def test_the_executor_of_an_environment(environment: dict[str, Any], executor: dict[str, Any]) -> None:
    deployment = m.a_ready_deployment()
    deployment["spec"]["environment"] = environment
    pins = pinned.read(pinned.pin(deployment, FlowRunSpec.model_validate(m.a_run()["spec"]), m.settings()))
    assert run_request(m.a_run(), pins, 1)["executor"] == executor
