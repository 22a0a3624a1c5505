"""The examples, applied as a user applies them; results are recomputed here, without dask and without pandas."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from croniter import croniter  # type: ignore[import-untyped]

from tests.support.cluster import ROOT, condition, eventually, kubectl

if TYPE_CHECKING:
    from tests.support.cluster import Namespace

BOROUGHS = ["Bronx", "Brooklyn", "Manhattan", "Queens", "Staten Island"]
# 60 of the 150 million trips: `make demo` has them all, and two cores have other tests to run.
FEWER = ("rows: 500000", "rows: 200000")


def apply(namespace: Namespace, example: str) -> None:
    manifests = kubectl("kustomize", str(ROOT / "examples" / example))
    kubectl("-n", namespace.name, "apply", "-f", "-", stdin=manifests.replace(*FEWER))


def test_squares(namespace: Namespace) -> None:
    apply(namespace, "squares")
    done = namespace.wait_run("squares-1")
    assert done["status"]["result"] == sum(i * i for i in range(20))


def test_graph(namespace: Namespace) -> None:
    apply(namespace, "graph")
    done = namespace.wait_run("graph-1")
    assert done["status"]["result"] == sum(range(20)) + sum(i * i for i in range(20))
    assert done["status"]["environment"]["remote"]["executor"] == "LocalDask"


def test_schedule(namespace: Namespace) -> None:
    apply(namespace, "schedule")
    ready = namespace.wait_ready("report")
    assert condition(ready, "Scheduled") == "True"
    spec, said = ready["spec"]["schedule"], datetime.fromisoformat(ready["status"]["nextScheduleTime"])
    now = datetime.now(ZoneInfo(spec["timeZone"]))
    assert said == min(croniter(line, now).get_next(datetime) for line in spec["cron"])
    assert not namespace.list("flowruns", "flow-operator.io/deployment=report")


def expected(partitions: int, rows: int) -> dict[str, Any]:
    """Recompute the trips example with numpy alone."""
    cents_of, count = [0] * len(BOROUGHS), 0
    for partition in range(partitions):
        random = np.random.default_rng(partition)
        zone = random.integers(0, 265, rows)
        metres = random.integers(-500, 30_000, rows)
        seconds = random.integers(0, 7_200, rows)
        cents = random.integers(-1_000, 9_000, rows)
        kept = (metres > 0) & (seconds >= 60) & (cents > 0)
        count += int(kept.sum())
        sums = np.bincount(zone[kept] % 5, weights=cents[kept], minlength=len(BOROUGHS))
        cents_of = [total + int(more) for total, more in zip(cents_of, sums, strict=True)]
    dollars = {name: total // 100 for name, total in zip(BOROUGHS, cents_of, strict=True)}
    return {"trips": partitions * rows, "clean": count, "dollars": dollars}


@pytest.fixture(scope="module")
def trips(namespace: Namespace) -> dict[str, Any]:
    """Return the status of the run that the others take for granted."""
    apply(namespace, "trips")
    namespace.wait_ready("trips", within=240)
    status: dict[str, Any] = namespace.wait_run("trips-1", within=240)["status"]
    return status


def test_trips(namespace: Namespace, trips: dict[str, Any]) -> None:
    assert trips["phase"] == "Succeeded", trips.get("diagnosis")
    given = trips["parameters"]
    assert trips["result"] == expected(given["partitions"], given["rows"])
    assert trips["workers"]["peak"] >= 2, "the autoscaler grew the cluster"
    assert len(trips["workers"]["computed"]) >= 2, "more than one worker computed"
    assert [(each["name"], each["state"]) for each in trips["hooks"]] == [
        ("on_start", "Succeeded"),
        ("on_exit", "Succeeded"),
    ]
    workers = "flow-operator.io/run=trips-1,app.kubernetes.io/component=dask"
    eventually(lambda: namespace.list("pods", workers), lambda left: not left, 40, "no worker after it")
    ledger = kubectl("get", "--raw", f"/api/v1/namespaces/{namespace.name}/services/ledger:8000/proxy/")
    assert [each["what"] for each in json.loads(ledger)] == ["on_start", "flow", "on_exit"]


@pytest.mark.usefixtures("trips")
def test_re_applying_the_examples_changes_no_generation_and_builds_nothing(namespace: Namespace) -> None:
    apply(namespace, "squares")
    namespace.wait_run("squares-1")
    kinds = ("flowdeployments", "flowruns")
    before = {each["metadata"]["name"]: each for kind in kinds for each in namespace.list(kind)}
    apply(namespace, "squares")
    apply(namespace, "trips")
    after = {each["metadata"]["name"]: each for kind in kinds for each in namespace.list(kind)}
    assert set(after) == set(before)
    for name, each in after.items():
        assert each["metadata"]["generation"] == before[name]["metadata"]["generation"]
        assert each["status"] == before[name]["status"]
    assert not namespace.list("pods", "app.kubernetes.io/component in (builder,check)")


def test_environments(namespace: Namespace) -> None:
    results = {"local": 2470, "remote": 2470, "dask": 2470, "kubernetes-job": 10}
    for each in results:  # at the same time
        apply(namespace, f"environments/{each}")
    for each, result in results.items():
        done = namespace.wait_run(f"{each}-1", within=180)
        assert done["status"].get("result") == result, done["status"].get("diagnosis")
