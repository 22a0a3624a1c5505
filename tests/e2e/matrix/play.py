"""Plays cells on the cluster, all at the same time: makes their runs, provokes their ends, waits for them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support import lives as record
from tests.support import nodes
from tests.support.cluster import Manifest, Namespace, Timeout, kubectl, reason
from tests.support.condition_rules import violations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pytest

    from tests.e2e.matrix.cells import Cell
    from tests.support.lives import Life

    Provocation = Callable[[Namespace, list[str]], list[str]]  # does it to some runs, returns to which it could

ENDED = ("Succeeded", "Failed", "Cancelled", "Suspended")
AT_ONCE = 10  # runs that have not begun yet: more of them only wait for each other on two cores
RUN = "flow-operator.io/run"


@dataclass
class Played:
    """What became of one cell."""

    cell: Cell
    uid: str = ""
    run: Manifest | None = None  # None: gone, or not made yet
    lives: list[Life] = field(default_factory=list)
    live_pods: int = 0
    provoked: bool = False
    resumed: bool = False

    @property
    def begun(self) -> bool:
        """Return whether that has begun which the end is to interrupt."""
        awaited = "on_start" if self.cell.variant.start_fails else "flow"
        return bool(record.of(self.lives, awaited)) or self.ended

    @property
    def ended(self) -> bool:
        """Return whether the run has come to its end, and nothing of it is alive."""
        if not self.uid or self.live_pods or (self.cell.end.then and not self.resumed):
            return False
        return self.run is None or self.phase in ENDED

    @property
    def phase(self) -> str | None:
        """Return the phase that the operator says it is in."""
        return ((self.run or {}).get("status") or {}).get("phase")

    def broken(self) -> list[str]:
        """Return what was promised and not kept: by the records first, then by what the operator says."""
        expected = self.cell.expected
        said = record.broken_promises(self.lives, expected.counts)
        attempts = max([each.attempt for each in self.lives], default=1)
        if attempts != self.cell.end.attempts:
            said.append(f"{attempts} attempts, not {self.cell.end.attempts}")
        said += self._untold()
        if not self.ended:
            said.append("it has not come to its end")
        if (self.run is None) != (expected.phase is None):
            said.append(f"the FlowRun is {'gone' if self.run is None else 'still there'}")
        if self.run is None or expected.phase is None:
            return said
        return said + violations(self.run) + self._misreported(self.run["status"], expected.phase, expected.reason)

    def _untold(self) -> list[str]:
        """Compare what on_exit was told with how the flow ended."""
        ended_well = {each.attempt: self._ended_well(each) for each in record.of(self.lives, "flow")}
        return [
            f"on_exit was told {each.told.get('OUTCOME')}"
            for each in record.of(self.lives, "on_exit")
            if each.attempt in ended_well
            and (each.told.get("OUTCOME") == "Succeeded") != ended_well[each.attempt]
        ]  # fmt: skip

    def _ended_well(self, flow: Life) -> bool:
        well = self.cell.end.how == "return" or flow.attempt > 1
        return well and flow.ended is not None

    def _misreported(self, status: dict[str, Any], phase: str, why: str) -> list[str]:
        said = []
        if status.get("phase") != phase:
            said.append(f"phase is {status.get('phase')}, not {phase}")
        told = self._reason(status)
        if told != why:
            said.append(f"reason is {told}, not {why}")
        states = self.cell.expected.states
        hooks = {each["name"]: each["state"] for each in status.get("hooks", ())}
        wanted = dict(zip(("on_start", "on_exit"), states, strict=True)) if states else {}
        if not self.cell.end.told or (self.cell.variant.start_fails and self.cell.end.start_is_killed):
            # What is told of on_start, if anything; of on_exit something always is.
            wanted = {name: hooks.get(name, "told") for name in wanted if name in hooks or name == "on_exit"}
        if hooks != wanted:
            said.append(f"hooks are {hooks}, not {wanted}")
        return said

    def _reason(self, status: dict[str, Any]) -> str | None:
        if status.get("phase") == "Suspended":
            return reason({"status": status}, "Ready")
        return reason({"status": status}, "Succeeded")

    @property
    def words(self) -> str:
        """Return what was seen, as the matrix has it."""
        counts = " · ".join(str(len(record.of(self.lives, what))) for what in ("on_start", "flow", "on_exit"))
        status = (self.run or {}).get("status", {})
        return f"{counts} {self._reason(status) if self.run else 'gone'}"


def chosen(request: pytest.FixtureRequest, cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
    """Return those that somebody wants to see: all, unless pytest was told to look at some."""
    wanted = [each.callspec.params.get("cell") for each in request.session.items if hasattr(each, "callspec")]
    return tuple(each for each in cells if each in wanted)


def play(namespace: Namespace, cells: Iterable[Cell], within: float) -> dict[Cell, Played]:
    """Play cells until all have ended, or the time is up; tests judge each."""
    # The slowest first: a kubelet measures its disks about once a minute.
    slowest_first = sorted(cells, key=lambda each: each.end.how != "fill")
    wanted = {each.name: Played(each) for each in slowest_first}
    end, quiet = time.monotonic() + within, 0
    while quiet < 2 and time.monotonic() < end:
        look(namespace, wanted.values())
        _make(namespace, wanted)
        provoke(namespace, wanted.values())
        quiet = quiet + 1 if all(each.ended for each in wanted.values()) else 0
        time.sleep(0.3)
    return {each.cell: each for each in wanted.values()}


def make(namespace: Namespace, cells: Iterable[Cell]) -> dict[Cell, Played]:
    """Make the runs of some cells."""
    played = {each: Played(each) for each in cells}
    namespace.apply(*(each.run() for each in played))
    look(namespace, played.values())
    return played


def wait(
    namespace: Namespace,
    played: Iterable[Played],
    until: Callable[[Played], bool],
    within: float,
    *,
    strict: bool = True,
) -> None:
    """Look until all are as wished; not so strict, leave it to the tests to say what is not."""
    waiting, end = list(played), time.monotonic() + within
    while True:
        look(namespace, waiting)
        provoke(namespace, waiting)
        left = [each.cell.name for each in waiting if not until(each)]
        if not left:
            return
        if time.monotonic() > end:
            if not strict:
                return
            raise Timeout(f"not within {within:.0f} s: {', '.join(left)}")
        time.sleep(0.3)


def look(namespace: Namespace, played: Iterable[Played]) -> None:
    """See what has become of the runs, their pods and their lives, in three requests."""
    found = namespace.list("flowruns,pods")
    runs = {each["metadata"]["name"]: each for each in found if each["kind"] == "FlowRun"}
    pods = [each for each in found if each["kind"] == "Pod"]
    lives = record.lives(namespace)
    for each in played:
        each.run = runs.get(each.cell.name)
        if each.run:
            each.uid = each.run["metadata"]["uid"]
        each.lives = lives.get(each.cell.name, [])
        each.live_pods = sum(_is_live(pod) and pod["metadata"]["labels"].get(RUN) == each.cell.name for pod in pods)


def _is_live(pod: Manifest) -> bool:
    """Nobody has confirmed the end of this pod."""
    meta = pod["metadata"]
    confirmed = meta.get("deletionTimestamp") and meta.get("deletionGracePeriodSeconds") == 0
    return pod.get("status", {}).get("phase") not in ("Succeeded", "Failed") and not confirmed


def _make(namespace: Namespace, wanted: dict[str, Played]) -> None:
    waiting = sum(bool(each.uid) and not each.begun for each in wanted.values())
    made = [each.cell.run() for each in wanted.values() if not each.uid][: AT_ONCE - waiting]
    if made:
        namespace.apply(*made)


def provoke(namespace: Namespace, played: Iterable[Played]) -> None:
    """Do to the runs that have begun what is to end them, again and again until it could be done."""
    by_name = {each.cell.name: each for each in played}
    due: dict[str, list[str]] = {}
    for name, each in by_name.items():
        if each.cell.end.provoke and each.begun and not each.provoked:
            due.setdefault(each.cell.end.provoke, []).append(name)
    for what, names in due.items():
        for name in PROVOKE[what](namespace, names):
            by_name[name].provoked = True
    suspended = [
        each for each in by_name.values() if each.cell.end.then and each.phase == "Suspended" and not each.resumed
    ]
    for each in suspended:
        each.resumed = True
        PROVOKE[each.cell.end.then](namespace, [each.cell.name])


def _patch(spec: dict[str, Any]) -> Provocation:
    def patch(namespace: Namespace, names: list[str]) -> list[str]:
        kubectl("-n", namespace.name, "patch", "flowrun", *names, "--type=merge", "-p", json.dumps({"spec": spec}))
        return names

    return patch


def _delete(namespace: Namespace, names: list[str]) -> list[str]:
    kubectl("-n", namespace.name, "delete", "flowrun", *names, "--wait=false")
    return names


def _evict(namespace: Namespace, names: list[str]) -> list[str]:
    for each in namespace.list("pods", f"{RUN} in ({','.join(names)})"):
        meta = {"name": each["metadata"]["name"], "namespace": namespace.name}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta}
        path = f"/api/v1/namespaces/{namespace.name}/pods/{meta['name']}/eviction"
        kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    return names


def _kill(container: str) -> Provocation:
    def kill(namespace: Namespace, names: list[str]) -> list[str]:
        pods = namespace.list("pods", f"{RUN} in ({','.join(names)})")
        return [each["metadata"]["labels"][RUN] for each in pods if nodes.kill_container(each, container)]

    return kill


PROVOKE: dict[str, Provocation] = {
    "suspend": _patch({"suspend": True}),
    "resume": _patch({"suspend": False}),
    "cancel": _patch({"cancel": "Graceful"}),
    "cancel now": _patch({"cancel": "Now"}),
    "delete": _delete,
    "evict": _evict,
    "kill main": _kill("main"),
    "kill flow-hooks": _kill("flow-hooks"),
}
