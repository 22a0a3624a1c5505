"""Every child as it is sent to the API server. UPDATE_GOLDEN=1 writes the files anew; read the diff."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from flow_operator.api.flow_deployment import parse_spec
from flow_operator.plan import deployment, run, schedule
from flow_operator.plan.types import ObservedDeployment, ObservedRun
from tests.support import makers as m

if TYPE_CHECKING:
    from collections.abc import Callable

Manifest = dict[str, Any]
FOLDER = Path(__file__).parent / "children"
SETTINGS = m.settings(
    registries={"localhost:5001": {"endpoint": "http://kind-registry:5000"}},
    runner={"resources": {"requests": {"cpu": "100m", "memory": "256Mi"}}},
    builder={"resources": {"limits": {"memory": "2Gi"}}},
    imagePullSecrets=["pull"],
    dockerEngine={"url": "tcp://docker.example.com:2376", "tlsSecret": "engine"},
)
DASK = {"daskKubernetes": {"minWorkers": 1, "maxWorkers": 4, "provider": "DaskCluster"}}
PODS = {"daskKubernetes": {"minWorkers": 2, "maxWorkers": 4, "provider": "Pods"}}
FARGATE = {
    "region": "eu-west-1",
    "credentialsSecret": "aws",
    "endpointURL": "http://aws.team-a.svc:5000",
    "registerOptions": {"cpu": "256"},
    "runOptions": {"cluster": "flows"},
}
CUSTOM = {"containers": [{"resources": {"limits": {"memory": "2Gi"}}, "env": [{"name": "A", "value": "1"}]}]}


MAPS = {
    "files": m.a_config_map("files", settings__toml="a = 1\n", table__bin=b"\xff"),
    "lock": m.a_config_map("lock", uv__lock="version = 1\n"),
}
EVERYTHING = {
    "builder": "Docker",
    "extraCommands": ["apt-get update"],
    "files": [
        {"path": "/etc/settings.toml", "configMap": {"name": "files", "key": "settings.toml"}},
        {"path": "/data/table.bin", "configMap": {"name": "files", "key": "table.bin"}},
    ],
    "dependencyLock": {"configMap": {"name": "lock", "key": "uv.lock"}},
    "annotations": {"org.opencontainers.image.revision": "1f0c"},
    "envVars": {"GREETING": 'it\'s $5 "or" less'},
}


def children_of_deployment(**spec: Any) -> list[Manifest]:
    made = m.a_deployment(**spec)
    plan = deployment.decide(made, ObservedDeployment(ca_bundle="PEM", referenced=MAPS), SETTINGS, m.NOW)
    return list(plan.create)


def children_of_run(*callbacks: str, **spec: Any) -> list[Manifest]:
    seen = ObservedRun(deployment=m.a_ready_deployment(callbacks=callbacks, **spec))
    return list(run.decide(m.a_run(parameters={"n": 20}), seen, SETTINGS, m.NOW + timedelta(seconds=1)).create)


def run_of_a_tick() -> list[Manifest]:
    made = m.a_deployment(schedule={"cron": ["@hourly"], "concurrencyPolicy": "Replace", "parameters": {"n": 3}})
    wanted = parse_spec(made["spec"]).schedule
    assert wanted
    return [schedule.run_of(made, wanted, m.NOW)]


CASES: dict[str, Callable[[], list[Manifest]]] = {
    "run-of-a-tick": run_of_a_tick,
    "build": lambda: children_of_deployment(
        storage={"docker": {"pythonDependencies": ["pandas"], "pushSecret": "push"}}
    ),
    "build-with-everything": lambda: children_of_deployment(storage={"docker": EVERYTHING}),
    "check-of-an-image-built-elsewhere": lambda: children_of_deployment(flow=m.an_elsewhere_built_flow()),
    "check-of-local-storage": lambda: children_of_deployment(**m.a_local_flow()),
    "run-of-local-storage": lambda: children_of_run("on_exit", **m.a_local_flow()),
    "check-for-fargate": lambda: children_of_deployment(
        flow=m.an_elsewhere_built_flow(), environment={"fargateTask": FARGATE}
    ),
    "check-of-mounted-code": lambda: children_of_deployment(storage={"bytes": {}}),
    "run-remote": lambda: children_of_run(),
    "run-remote-with-callbacks": lambda: children_of_run("on_start", "on_exit"),
    "run-of-mounted-code": lambda: children_of_run(storage={"bytes": {}}),
    "run-with-runner-settings": lambda: children_of_run(
        runner={"nodeSelector": {"disk": "ssd"}, "serviceAccountName": "flows", "env": [{"name": "A", "value": "1"}]}
    ),
    "run-job": lambda: children_of_run("on_exit", environment=m.a_job_environment(), storage={"bytes": {}}),
    "run-job-bare": lambda: children_of_run(environment=m.a_job_environment(template={"spec": {"containers": [{}]}})),
    "run-custom-with-callbacks": lambda: children_of_run("on_start", "on_exit", environment={"custom": {}}),
    "run-fargate": lambda: children_of_run("on_start", "on_exit", environment={"fargateTask": FARGATE}),
    "run-dask": lambda: children_of_run(environment=DASK),
    "run-dask-pods": lambda: children_of_run("on_exit", environment=PODS, storage={"bytes": {}}),
    "run-dask-pods-with-spec": lambda: children_of_run(
        environment={
            "daskKubernetes": {
                "minWorkers": 1,
                "maxWorkers": 1,
                "provider": "Pods",
                "workerSpec": {**CUSTOM, "restartPolicy": "Always", "nodeSelector": {"spot": "yes"}, "affinity": {}},
            }
        }
    ),
    "run-dask-with-specs-of-jobs": lambda: children_of_run(
        storage={"bytes": {}},
        environment={
            "daskKubernetes": {
                "minWorkers": 1,
                "maxWorkers": 1,
                "workerSpec": {**CUSTOM, "restartPolicy": "Never", "volumes": [{"name": "code", "emptyDir": {}}]},
                "schedulerSpec": {**CUSTOM, "restartPolicy": "OnFailure"},
            }
        },
    ),
    "run-dask-with-specs": lambda: children_of_run(
        environment={
            "daskKubernetes": {"minWorkers": 0, "maxWorkers": 2, "workerSpec": CUSTOM, "schedulerSpec": CUSTOM}
        }
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_children_are_as_committed(case: str) -> None:
    text = yaml.safe_dump_all(CASES[case](), sort_keys=False, width=120)
    file = FOLDER / f"{case}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert text == file.read_text(), "UPDATE_GOLDEN=1 writes the files anew; read the diff before you commit it"


@pytest.mark.parametrize("case", CASES)
def test_every_pod_is_restricted_and_has_no_token(case: str) -> None:
    for pod in _pods(CASES[case]()):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is bool(pod.get("serviceAccountName"))
        assert not pod.get("hostNetwork")
        assert not [each for each in pod["volumes"] if "hostPath" in each]
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def _pods(children: list[Manifest]) -> list[Manifest]:
    plain = [each["spec"] for each in children if each["kind"] == "Pod"]
    clusters = [each["spec"] for each in children if each["kind"] == "DaskCluster"]
    return plain + [each[role]["spec"] for each in clusters for role in ("scheduler", "worker")]
