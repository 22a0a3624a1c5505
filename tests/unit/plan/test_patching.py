"""What is added to a pod of the user's own making (model 4.2): replaced, appended, left, and no second time."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from flow_operator.plan import patching, pinned
from flow_operator.plan.dask_specs import scheduler_spec, worker_spec
from tests.support import makers as m

Manifest = dict[str, Any]
OWN: Manifest = {
    "containers": [
        {
            "name": "mine",
            "image": "other:1",
            "command": ["mine"],
            "args": ["--mine"],
            "env": [{"name": "A", "value": "1"}, {"name": "HOME", "value": "/root"}],
            "resources": {"limits": {"memory": "2Gi"}},
            "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],
        },
        {"name": "beside", "image": "sidecar:1"},
    ],
    "nodeSelector": {"disk": "fast"},
    "imagePullSecrets": [{"name": "own"}],
    "volumes": [{"name": "scratch", "emptyDir": {}}],
    "serviceAccountName": "mine",
}


def of(spec: Manifest | None, **more: Any) -> pinned.Pinned:
    """Return a run whose scheduler and workers are made from a spec."""
    environment = {"daskKubernetes": {"schedulerSpec": spec, "workerSpec": spec, "privateRegistry": "private"}}
    deployment = m.a_ready_deployment(
        environment={**environment}, runner={"env": [{"name": "B", "value": "2"}]}, **more
    )
    from flow_operator.api.flow_run import FlowRunSpec

    return pinned.read(pinned.pin(deployment, FlowRunSpec.model_validate(m.a_run()["spec"]), m.settings()))


def test_image_is_replaced_variables_are_appended_and_the_rest_is_the_users() -> None:
    for patched in (scheduler_spec(of(OWN), m.settings()), worker_spec(of(OWN), m.settings())):
        first, beside = patched["containers"]
        assert first["image"] == m.IMAGE
        assert {key: first[key] for key in ("name", "command", "args", "resources", "volumeMounts")} == {
            key: OWN["containers"][0][key] for key in ("name", "command", "args", "resources", "volumeMounts")
        }
        assert beside == OWN["containers"][1]
        assert patched["nodeSelector"] == {"disk": "fast"}
        assert patched["serviceAccountName"] == "mine"
        assert patched["imagePullSecrets"] == [{"name": "own"}, {"name": "private"}]
        assert [each["name"] for each in patched["volumes"]] == ["flow-operator-tmp", "scratch"]


def test_a_volume_of_the_users_takes_the_place_of_none_of_ours() -> None:
    own = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in ("tmp", "code")]
    mounted = [{"name": "tmp", "mountPath": "/scratch"}]
    patched = worker_spec(
        of({"containers": [{"volumeMounts": mounted}], "volumes": own}, storage={"bytes": {}}), m.settings()
    )
    ours = {"flow-operator-tmp": "/tmp", "flow-operator-code": "/flows"}
    assert [each["name"] for each in patched["volumes"]] == [*ours, "tmp", "code"]
    mounts = {each["name"]: each["mountPath"] for each in patched["containers"][0]["volumeMounts"]}
    assert mounts == {**ours, "tmp": "/scratch"}


def test_of_one_name_the_platforms_variable_takes_effect() -> None:
    (first, _) = worker_spec(of(OWN), m.settings())["containers"]
    values = [(each["name"], each["value"]) for each in first["env"]]
    assert ("HOME", "/tmp") in values
    assert ("HOME", "/root") not in values
    assert values[:2] == [("A", "1"), ("B", "2")]
    assert len({name for name, _ in values}) == len(values)


def test_a_schedulers_defaults_are_there_and_the_users_word_counts_before_them() -> None:
    def settings_of(spec: Manifest, **more: Any) -> dict[str, str]:
        (first,) = scheduler_spec(of(spec, **more), m.settings())["containers"]
        return {
            each["name"].rpartition("__")[2]: each["value"] for each in first["env"] if "SCHEDULER__" in each["name"]
        }

    told = settings_of({})
    assert (told["WORK_STEALING"], told["BLOCKED_HANDLERS"]) == ("False", "['feed', 'run_function']")
    own = [{"name": "DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING", "value": "True"}]
    assert settings_of({"containers": [{"env": own}]})["WORK_STEALING"] == "True"
    assert "WORK_STEALING" not in str(worker_spec(of({}), m.settings()))


def test_patching_again_changes_nothing_and_leaves_the_users_words_alone() -> None:
    before = copy.deepcopy(OWN)
    once = worker_spec(of(OWN), m.settings())
    assert before == OWN
    assert worker_spec(of(once), m.settings()) == once


@pytest.mark.parametrize(
    ("own", "args"),
    [
        ({"args": ["--nthreads", "4"]}, ["--nthreads", "4", "--name", "$(DASK_WORKER_NAME)"]),
        ({"args": []}, ["--name", "$(DASK_WORKER_NAME)"]),
        ({"args": ["--name", "mine"]}, ["--name", "mine"]),
        ({"args": ["--name=mine"]}, ["--name=mine"]),
        ({"args": ["--nthreads", "4"], "command": ["mine"]}, ["--nthreads", "4"]),
    ],
)
def test_a_worker_has_its_pods_name_whatever_else_it_is_told(own: Manifest, args: list[str]) -> None:
    once = worker_spec(of({"containers": [own]}), m.settings())
    assert once["containers"][0]["args"] == args
    assert worker_spec(of(once), m.settings()) == once


def test_missing_keys_are_made() -> None:
    empties: list[Manifest] = [{}, {"containers": []}, {"containers": [{"env": None}], "volumes": None}]
    for empty in empties:
        patched = worker_spec(of(empty), m.settings())
        assert patched["containers"][0]["name"] == "worker"
        assert patched["containers"][0]["args"]
        assert patched["volumes"] == [{"name": "flow-operator-tmp", "emptyDir": {}}]


def test_whose_counts() -> None:
    mine, ours = [{"name": "a", "mountPath": "/a", "v": 1}], [{"name": "a", "mountPath": "/a", "v": 2}]
    assert patching.variables(mine, ours) == ours
    assert patching.volumes(mine, ours) == mine
    assert patching.mounts(mine, ours) == mine
    assert patching.pull_secrets(None, ("a", "b")) == [{"name": "a"}, {"name": "b"}]
