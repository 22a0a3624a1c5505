"""Environments, executors and storage: what they accept and what they say to the cluster."""

from __future__ import annotations

import os
from typing import Any

import dask
import pytest

from flow_operator import Flow, Parameter, flow, task
from flow_operator.environments import DaskKubernetesEnvironment, RemoteEnvironment
from flow_operator.executors import DaskExecutor, LocalDaskExecutor, LocalExecutor
from flow_operator.storage import Bytes, Docker


def test_environments_as_resources() -> None:
    assert RemoteEnvironment().to_resource() == {"remote": {"executor": "Local"}}
    assert RemoteEnvironment(
        "flow_operator.executors.LocalDaskExecutor", {"scheduler": "processes"}, labels=["b", "a"]
    ).to_resource() == {
        "remote": {"executor": "LocalDask", "executorKwargs": {"scheduler": "processes"}},
        "labels": ["a", "b"],
    }
    assert DaskKubernetesEnvironment().to_resource() == {"daskKubernetes": {"minWorkers": 1, "maxWorkers": 2}}


def test_storage_as_resources() -> None:
    assert Bytes().to_resource() == {"bytes": {}}
    assert Docker(registry_url=None).to_resource() == {"docker": {}}
    assert Docker(
        registry_url="registry.example.com/team-a", python_dependencies=["pandas"], env_vars={"A": "1"}
    ).to_resource() == {
        "docker": {
            "registryURL": "registry.example.com/team-a",
            "pythonDependencies": ["pandas"],
            "envVars": {"A": "1"},
        }
    }


def test_an_unknown_executor_warns_and_means_the_local_one() -> None:
    with pytest.warns(UserWarning, match="no executor 'elsewhere.DaskExecutor'"):
        environment = RemoteEnvironment(executor="elsewhere.DaskExecutor")
    assert environment.to_resource() == {"remote": {"executor": "Local"}}


@pytest.mark.parametrize(
    "workers",
    [{"min_workers": -1}, {"min_workers": 3}, {"max_workers": 0}, {"min_workers": True}, {"max_workers": 1.5}],
)
def test_numbers_of_workers(workers: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="_workers must be"):
        DaskKubernetesEnvironment(**workers)


def test_no_workers_at_rest_is_fine() -> None:
    assert DaskKubernetesEnvironment(min_workers=0, max_workers=1).min_workers == 0


@pytest.mark.parametrize("callback", [3, lambda run: None])
def test_callbacks_take_no_arguments(callback: Any) -> None:
    with pytest.raises(TypeError, match="on_start"):
        RemoteEnvironment(on_start=callback)


def test_texts_are_not_lists_of_texts() -> None:
    with pytest.raises(TypeError):
        RemoteEnvironment(labels="a")
    with pytest.raises(TypeError):
        Docker(python_dependencies="pandas")


def test_executor_arguments_are_json() -> None:
    with pytest.raises(ValueError, match="JSON"):
        RemoteEnvironment(executor_kwargs={"address": object()})


@pytest.mark.parametrize("arguments", [{"scheduler": "magic"}, {"num_workers": 0}])
def test_wrong_arguments_of_local_dask(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        LocalDaskExecutor(**arguments)


def test_sessions_set_dasks_scheduler_and_put_it_back() -> None:
    before = dask.config.get("scheduler", None)
    with LocalExecutor().session():
        assert dask.config.get("scheduler") == "synchronous"
    with LocalDaskExecutor("threads", num_workers=2).session():
        assert dask.config.get("scheduler") == "threads"
        assert dask.config.get("num_workers") == 2
    assert dask.config.get("scheduler", None) == before
    assert "DASK_SCHEDULER" not in os.environ


def test_a_run_in_process_uses_the_named_executor() -> None:
    @task
    def scheduler(n: int) -> str:
        return str(dask.config.get("scheduler"))

    with Flow("asking", environment=RemoteEnvironment("flow_operator.executors.LocalDaskExecutor")) as asking:
        scheduler(Parameter("n", default=1))
    assert asking.run() == "threads"
    asking.environment = DaskKubernetesEnvironment()
    assert asking.run() == "synchronous"


def test_storage_and_environment_are_given_at_once_or_later() -> None:
    docker = Docker()

    @flow(storage=docker)
    def stored() -> None: ...

    assert stored.storage is docker
    stored.storage = None
    assert stored.storage is None
    assert isinstance(stored.environment, RemoteEnvironment)


def test_a_dask_executor_keeps_what_it_is_given() -> None:
    executor = DaskExecutor("tcp://scheduler:8786", set_as_default=True)
    assert (executor.address, executor.client_kwargs) == ("tcp://scheduler:8786", {"set_as_default": True})
