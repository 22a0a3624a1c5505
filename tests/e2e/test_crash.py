"""kill -9 of the operator after every single write of a run: same end state, one runner, nothing leaked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support import recorder
from tests.support.api_proxy import ApiProxy, Write
from tests.support.cluster import SYSTEM, Namespace, deployment, eventually, get_json, kubectl, run
from tests.support.local_operator import LocalOperator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.alone  # the installed operator is taken away

FLOW = (
    recorder.CLIENT
    + """
def flow(n: int = 10) -> int:
    record("flow")
    return sum(i * i for i in range(n))
"""
)
DASK_FLOW = (
    recorder.CLIENT
    + """
import dask
def flow(n: int = 10) -> int:
    record("flow")
    squares = [dask.delayed(pow)(i, 2) for i in range(n)]
    return dask.delayed(sum)(squares).compute()
"""
)
FLAKY = FLOW.replace(
    "    return sum",
    "    if _json.loads(_os.environ['FLOW_OPERATOR_RUN'])['run']['attempt'] == 1:\n        raise ValueError('once')\n"
    "    return sum",
)
KINDS = {
    "remote": deployment("crash-remote", FLOW),
    "daskKubernetes": deployment(
        "crash-dask", DASK_FLOW, environment={"daskKubernetes": {"minWorkers": 1, "maxWorkers": 1}}
    ),
    "retried": deployment("crash-retried", FLAKY, run={"backoffLimit": 1}),
}
# Writes of a run that is tried again: the pause is told, the second attempt is told, its pod is made.
OF_A_RETRY = (4, 6, 7)
# More than any run writes; the matrix ends with the first cell in which nothing was left to kill after.
MOST_WRITES = 40


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    """Return the installed operator's settings, for a local one without an election."""
    maps = get_json("-n", SYSTEM, "configmaps")["items"]
    (text,) = [each["data"]["settings.yaml"] for each in maps if "settings.yaml" in (each.get("data") or {})]
    found: dict[str, Any] = yaml.safe_load(text)
    return {**found, "leaderElection": {"enabled": False}, "caBundle": "", "logFormat": "text"}


@pytest.fixture(scope="module")
def no_operator_in_the_cluster(namespace: Namespace) -> Iterator[None]:
    """Make both deployments Ready, then take the installed operator away for this module."""
    namespace.apply(*KINDS.values())
    for each in KINDS.values():
        namespace.wait_ready(each["metadata"]["name"])
    name = "deployment/flow-operator"
    kubectl("-n", SYSTEM, "scale", name, "--replicas=0")
    kubectl("-n", SYSTEM, "wait", "--for=delete", "pod", "-l", "app.kubernetes.io/component=operator", "--timeout=60s")
    yield
    kubectl("-n", SYSTEM, "scale", name, "--replicas=1")
    kubectl("-n", SYSTEM, "rollout", "status", name, "--timeout=120s")


def cell(namespace: Namespace, operator: LocalOperator, proxy: ApiProxy, kind: str, number: int) -> dict[str, Any]:
    """Run once with a kill after write `number`, and say how it ended."""
    name = f"{kind.lower()}-{number}"
    killed: list[Write] = []

    def kill(write: Write) -> None:
        if write.number == number and not killed:
            killed.append(write)
            operator.kill()

    proxy.writes.clear()
    proxy.on_write = kill
    operator.start()
    namespace.apply(run(name, KINDS[kind]["metadata"]["name"]))
    began = time.monotonic()
    done = _supervised(namespace, operator, name)
    selector = f"flow-operator.io/run={name}"
    eventually(lambda: _leaked(namespace, operator, selector), lambda left: not left, 40, f"{name}: nothing leaked")
    runners = namespace.list("pods", f"{selector},app.kubernetes.io/component=runner")
    return {
        "run": name,
        "killed after": f"{number}: {killed[0].what}" if killed else None,
        "phase": done["status"]["phase"],
        "result": done["status"].get("result"),
        "runners": len(runners),
        "flows": recorder.names(namespace, name).count("flow"),
        "seconds": round(time.monotonic() - began, 1),
    }


def _supervised(namespace: Namespace, operator: LocalOperator, name: str) -> dict[str, Any]:
    """Wait for the end while restarting the operator as a Deployment would."""

    def look() -> dict[str, Any]:
        operator.start()
        return namespace.get("flowrun", name)

    found: dict[str, Any] = eventually(
        look, lambda seen: seen.get("status", {}).get("phase") in ("Succeeded", "Failed"), 90, f"{name} ended"
    )
    return found


def _leaked(namespace: Namespace, operator: LocalOperator, selector: str) -> list[str]:
    operator.start()
    kinds = "daskclusters,daskautoscalers,deployments.apps,services"
    left = [f"{each['kind']}/{each['metadata']['name']}" for each in namespace.list(kinds, selector)]
    dask = namespace.list("pods", f"{selector},app.kubernetes.io/component=dask")
    return left + [each["metadata"]["name"] for each in dask]


@pytest.mark.usefixtures("no_operator_in_the_cluster")
@pytest.mark.parametrize("kind", ["remote", "daskKubernetes"])
def test_a_kill_after_any_write_changes_nothing_about_the_end(
    namespace: Namespace, settings: dict[str, Any], kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    matrix: list[dict[str, Any]] = []
    with ApiProxy(lambda _write: None) as proxy:
        local = {**settings, "watchNamespaces": [namespace.name]}
        operator = LocalOperator(tmp_path, proxy.kubeconfig(tmp_path / "kubeconfig"), local)
        try:
            for number in range(1, MOST_WRITES):
                matrix.append(cell(namespace, operator, proxy, kind, number))
                if matrix[-1]["killed after"] is None:
                    break
        except AssertionError as error:
            raise AssertionError(f"{error}\n{_table(matrix)}\n{operator.log()}") from error
        finally:
            operator.stop()
    with capsys.disabled():
        print(f"\nkill -9 after every write of a {kind} run\n{_table(matrix)}")
    cells = matrix[:-1]
    assert len(cells) >= 4, "a run has at least four writes"
    assert matrix[-1]["killed after"] is None, "the matrix reached the end of the run"
    for each in matrix:
        assert (each["phase"], each["result"]) == ("Succeeded", 285), each
        assert (each["runners"], each["flows"]) == (1, 1), each


@pytest.mark.usefixtures("no_operator_in_the_cluster")
def test_a_kill_in_the_middle_of_a_retry_starts_nothing_twice(
    namespace: Namespace, settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    matrix: list[dict[str, Any]] = []
    with ApiProxy(lambda _write: None) as proxy:
        local = {**settings, "watchNamespaces": [namespace.name]}
        operator = LocalOperator(tmp_path, proxy.kubeconfig(tmp_path / "kubeconfig"), local)
        try:
            matrix = [cell(namespace, operator, proxy, "retried", number) for number in OF_A_RETRY]
        except AssertionError as error:
            raise AssertionError(f"{error}\n{operator.log()}") from error
        finally:
            operator.stop()
    with capsys.disabled():
        print(f"\nkill -9 in the middle of a retry\n{_table(matrix)}")
    for each in matrix:
        assert each["killed after"], each
        assert (each["phase"], each["result"]) == ("Succeeded", 285), each
        assert (each["runners"], each["flows"]) == (2, 2), each


def _table(matrix: list[dict[str, Any]]) -> str:
    rows = [list(matrix[0])] if matrix else []
    rows += [[str(value) for value in each.values()] for each in matrix]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))] if rows else []
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows)
