"""`hack/bench`: measure in rounds, every trial once in each, in another order each time."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from rich.console import Console

from bench import overhead
from bench.facts import facts, one_node
from bench.kube import Failed, Kube
from bench.report import Report
from bench.rows import GROUPS, trials_of
from bench.trials import Bench
from flow_operator.api.errors import FlowOperatorError

if TYPE_CHECKING:
    from bench.rows import Samples
    from bench.trials import Trial

# A trial that fails this often is left out: the others are still worth having.
ENOUGH = 3

# kubectl's failures in tests/support are AssertionErrors.
FAILURES = (Failed, FlowOperatorError, httpx.HTTPError, AssertionError)

# In a file or a pipe the table is as wide as it needs to be.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)


class Series:
    """Rounds of trials, and what came of them."""

    def __init__(self, trials: dict[str, Trial]) -> None:
        self.samples: Samples = {name: [] for name in trials}
        self.failures: list[str] = []
        self._trials = trials
        self._bad: Counter[str] = Counter()

    def warm_up(self) -> None:
        """Do everything once, uncounted: images are pulled, deployments are Ready, caches are filled."""
        for name in list(self._trials):
            while not self._attempt(name) and self._bad[name] < ENOUGH:
                continue

    def round(self, number: int) -> None:
        """Measure every trial once; each round begins with another, so that none has always the same before it."""
        names = list(self._trials)
        shift = number % max(1, len(names))
        for name in (*names[shift:], *names[:shift]):
            if self._bad[name] < ENOUGH and self._attempt(name, keep=True):
                console.print(f"  {name} {self.samples[name][-1].seconds:.2f} s")

    def _attempt(self, name: str, *, keep: bool = False) -> bool:
        try:
            sample = self._trials[name]()
        except FAILURES as error:
            self._bad[name] += 1
            self.failures.append(f"{name}: {error}")
            console.print(f"  [red]{name} failed[/red]: {error}")
            return False
        if keep:
            self.samples[name].append(sample)
        return True


def main() -> int:
    """Measure and tell; 1 where something failed, whatever the times are."""
    wanted = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the namespace is deleted
    began = time.monotonic()
    try:
        report = measure(wanted.n, tuple(wanted.only or GROUPS))
    except FAILURES as error:
        console.print(f"[red]{error}[/red]")
        return 1
    report.print(console)
    console.print(f"in {report.write(wanted.output)}; {time.monotonic() - began:.0f} s in all")
    for failure in report.failures:
        console.print(f"[red]failed[/red]: {failure.splitlines()[0][:150]}")
    return 1 if report.failures else 0


def measure(rounds: int, groups: tuple[str, ...]) -> Report:
    """Return what some rounds of the trials of some groups have found."""
    began, stamp = time.monotonic(), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    kube = Kube()
    about = facts(kube)
    if about["load"][0] > about["cores"]:
        console.print(f"[yellow]this machine is busy (load {about['load'][0]}): times will be longer[/yellow]")
    with Bench(kube, one_node(kube)) as bench:
        memory = {"idle": overhead.memory(kube)}
        known = bench.trials()
        series = Series({name: known[name] for name in trials_of(groups)})
        console.print(f"warming up: {', '.join(series.samples)}")
        series.warm_up()
        for number in range(rounds):
            console.print(f"round {number + 1} of {rounds} ({time.monotonic() - began:.0f} s)")
            series.round(number)
        memory["after the runs"] = overhead.memory(kube)
        return Report(
            began=stamp,
            seconds=time.monotonic() - began,
            rounds=rounds,
            facts=about | bench.facts(),
            samples=series.samples,
            memory=memory,
            crosschecks=bench.crosschecks,
            failures=series.failures,
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="hack/bench", description="Measure flow-operator and its peers.")
    parser.add_argument("-n", type=int, default=15, metavar="ROUNDS", help="how often each is measured (default: 15)")
    parser.add_argument("--only", action="append", choices=GROUPS, help="only these rows; may be repeated")
    parser.add_argument("--output", type=Path, default=Path("bench-results"), help="folder for the JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
