"""kill -9 of an operator after every single write of a run: same end state, one runner, nothing leaked."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import recorder
from tests.support.api_proxy import ApiProxy, Write
from tests.support.cluster import Manifest, Namespace, deployment, eventually, run
from tests.support.local_operator import LocalOperator, settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LABEL = "e2e-crash"  # the installed operator leaves what has it to the one that is killed
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
DASK = {"daskKubernetes": {"minWorkers": 1, "maxWorkers": 1}}


def labelled(name: str, source: str, environment: Manifest | None = None, **spec: Any) -> Manifest:
    return deployment(name, source, environment={**(environment or {}), "labels": [LABEL]}, **spec)


KINDS = {
    "remote": labelled("crash-remote", FLOW),
    "daskKubernetes": labelled("crash-dask", DASK_FLOW, DASK),
    "retried": labelled("crash-retried", FLAKY, run={"backoffLimit": 1}),
}
# Writes of a run that is tried again: the pause is told, the second attempt is told, its pod is made.
OF_A_RETRY = (4, 6, 7)
# More than any run writes; the matrix ends with the first cell in which nothing was left to kill after.
MOST_WRITES = 40


@dataclass(frozen=True)
class Stage:
    """Where runs are played: a namespace, an operator to kill, and the way on which its writes are seen."""

    namespace: Namespace
    operator: LocalOperator
    proxy: ApiProxy

    def play(self, kind: str, numbers: Iterable[int]) -> list[dict[str, Any]]:
        """Run once for each number of a write, until a run has fewer writes; print how each ended."""
        matrix: list[dict[str, Any]] = []
        try:
            for number in numbers:
                matrix.append(self.cell(kind, number))
                if matrix[-1]["killed after"] is None:
                    break
        except AssertionError as error:
            raise AssertionError(f"{error}\n{_table(matrix)}\n{self.operator.log()}") from error
        print(f"\nkill -9 after writes of a {kind} run\n{_table(matrix)}")
        return matrix

    def cell(self, kind: str, number: int) -> dict[str, Any]:
        """Run once with a kill after write `number`, and say how it ended."""
        name = f"{kind.lower()}-{number}"
        killed: list[Write] = []

        def kill(write: Write) -> None:
            if write.number == number and not killed:
                killed.append(write)
                self.operator.kill()

        self.proxy.writes.clear()
        self.proxy.on_write = kill
        self.operator.start()
        self.namespace.apply(run(name, KINDS[kind]["metadata"]["name"]))
        began = time.monotonic()
        done = _supervised(self.namespace, self.operator, name)
        selector = f"flow-operator.io/run={name}"
        eventually(
            lambda: _leaked(self.namespace, self.operator, selector),
            lambda left: not left,
            40,
            f"{name}: nothing leaked",
        )
        runners = self.namespace.list("pods", f"{selector},app.kubernetes.io/component=runner")
        return {
            "run": name,
            "killed after": f"{number}: {killed[0].what}" if killed else None,
            "phase": done["status"]["phase"],
            "result": done["status"].get("result"),
            "runners": len(runners),
            "flows": recorder.names(self.namespace, name).count("flow"),
            "seconds": round(time.monotonic() - began, 1),
        }


@pytest.fixture(scope="module")
def stage(namespace: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Make all deployments Ready, by the operator that is going to be killed."""
    folder = tmp_path_factory.mktemp("operator")
    with ApiProxy(lambda _write: None) as proxy:
        kubeconfig = proxy.kubeconfig(folder / "kubeconfig")
        operator = LocalOperator(folder, kubeconfig, settings(namespace.name, labels=[LABEL]))
        try:
            operator.start()
            namespace.apply(*KINDS.values())
            for each in KINDS.values():
                namespace.wait_ready(each["metadata"]["name"])
            yield Stage(namespace, operator, proxy)
        finally:
            operator.stop()


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


@pytest.mark.parametrize("kind", ["remote", "daskKubernetes"])
def test_a_kill_after_any_write_changes_nothing_about_the_end(stage: Stage, kind: str) -> None:
    matrix = stage.play(kind, range(1, MOST_WRITES))
    # Told that it is set up, made, told how it ended: one that is over before its start was seen is never Running.
    assert len(matrix) > 3, "a run has at least three writes"
    assert matrix[-1]["killed after"] is None, "the matrix reached the end of the run"
    for each in matrix:
        assert (each["phase"], each["result"]) == ("Succeeded", 285), each
        assert (each["runners"], each["flows"]) == (1, 1), each


def test_a_kill_in_the_middle_of_a_retry_starts_nothing_twice(stage: Stage) -> None:
    for each in stage.play("retried", OF_A_RETRY):
        assert each["killed after"], each
        assert (each["phase"], each["result"]) == ("Succeeded", 285), each
        assert (each["runners"], each["flows"]) == (2, 2), each


def _table(matrix: list[dict[str, Any]]) -> str:
    rows = [list(matrix[0])] if matrix else []
    rows += [[str(value) for value in each.values()] for each in matrix]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))] if rows else []
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows)
