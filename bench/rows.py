"""The rows of the table: what is compared with what, and against which target."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import overhead
from bench.sdk import STAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.trials import Sample

    Samples = dict[str, list[Sample]]


@dataclass(frozen=True)
class Spread:
    """The middle of some values, and what nine of ten stay under."""

    median: float
    p90: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Return it; of one value, both are that value."""
        if len(values) < 2:
            return cls(values[0], values[0])
        return cls(statistics.median(values), statistics.quantiles(values, n=10, method="inclusive")[8])


@dataclass(frozen=True)
class Comparison:
    """Ours against a peer; the target bounds the ratio of the medians."""

    group: str
    title: str
    ours: str  # trials
    peer: str
    peer_title: str
    target: float | None = None
    stage: str | None = None  # of both; None: the whole


@dataclass(frozen=True)
class Bound:
    """A value of ours; the target bounds its median."""

    group: str
    title: str
    ours: str
    unit: str
    value: Callable[[Sample], float]
    target: float | None = None
    peer: str = ""


@dataclass(frozen=True)
class Difference:
    """What ours takes longer than another trial, in seconds; the target bounds the difference of the medians."""

    group: str
    title: str
    ours: str
    peer: str
    target: float | None = None


@dataclass(frozen=True)
class Tail:
    """What 99 of 100 delays of ours stay under; the target bounds that. `more` are trials that count too."""

    group: str
    title: str
    ours: str
    target: float | None = None
    peer: str = ""
    more: tuple[str, ...] = ()


def _seconds(sample: Sample) -> float:
    return sample.seconds


def _writes(sample: Sample) -> float:
    return overhead.writes(sample.requests)


def _reads(sample: Sample) -> float:
    return sum(sample.requests.values()) - overhead.writes(sample.requests)


def _uploaded(sample: Sample) -> float:
    return sample.uploaded


def _stage(name: str) -> Callable[[Sample], float]:
    return lambda sample: sample.stages[name]


COMPARISONS = (
    Comparison("remote", "FlowRun, remote, docker storage", "run", "pod", "bare pod", 1.25),
    Comparison("remote", "FlowRun, remote, bytes storage", "run-bytes", "pod", "bare pod", 1.25),
    Comparison("remote", "FlowRun, remote, docker storage", "run", "job", "batch/v1 Job"),
    Comparison("callbacks", "FlowRun, on_start and on_exit", "run-callbacks", "pod", "bare pod, no callbacks"),
    Comparison("callbacks", "FlowRun, on_start and on_exit", "run-callbacks", "pod-hooks", "bare pod, hooks by hand"),
    Comparison("dask", "FlowRun, daskKubernetes, one worker", "run-dask", "daskjob", "DaskJob, one worker", 0.9),
    *(
        Comparison("scaling", f"{title}, {provider}", ours, "scaling-daskjob", "DaskJob, DaskAutoscaler", target, stage)
        for stage, title in (("first task", "time to first task"), ("all workers", "time to 4 of 1 to 4 workers"))
        for provider, ours, target in (("Pods", "scaling", 0.7), ("DaskCluster", "scaling-cluster", None))
    ),
    Comparison("build", "storage.build(), code changed, warm host", "storage", "docker", "docker build && push", 0.1),
    Comparison("build", "rebuild and push, warm process", "layers", "docker", "docker build && push"),
    Comparison("build", "rebuild and push, new process", "layers-process", "docker", "docker build && push"),
    Comparison(
        "pandas", "first build and push, with pandas", "storage-pandas", "docker-pandas", "docker build && push"
    ),
)
BOUNDS: tuple[Bound, ...] = (
    Bound("edit", "edit to Ready, in the cluster", "edit", "s", _seconds, 6.0),
    Bound("build", "bytes uploaded, code changed", "storage", "", _uploaded, 50_000),
    Bound("import", "import flow_operator", "import", "s", _seconds, 0.1),
    Bound("deploy", "flow.deploy to Ready, code changed", "deploy", "s", _seconds),
    *(Bound("deploy", f"flow.deploy: {name}", "deploy", "s", _stage(name)) for name in STAGES),
    Bound("remote", "writes per run, remote", "run", "", _writes, 5),
    Bound("remote", "reads per run, remote", "run", "", _reads, 0),
    Bound("callbacks", "writes per run, callbacks", "run-callbacks", "", _writes, 11),
    Bound("suspend", "suspend: from the wish until nothing of the run is there", "suspend", "s", _stage("suspend")),
    Bound("suspend", "resume: from the wish until the flow runs again", "suspend", "s", _stage("resume")),
    Bound("dask", "writes per run, daskKubernetes", "run-dask", "", _writes),
)
DIFFERENCES = (
    Difference("callbacks", "callbacks that do nothing, added to a FlowRun", "run-callbacks", "run", 0.3),
    Difference("callbacks", "hooks by hand that call nothing, added to a bare pod", "pod-hooks", "pod"),
)
TAILS = (
    Tail("remote", "from the end of main to the terminal status, one at a time", "run", 0.2, more=("run-bytes",)),
    Tail("verdict", "from the end of main to the terminal status, seven at once", "verdicts", 0.2),
)
ROWS: tuple[Comparison | Bound | Difference | Tail, ...] = (*COMPARISONS, *DIFFERENCES, *BOUNDS, *TAILS)
GROUPS = tuple(dict.fromkeys(row.group for row in ROWS))


def trials_of(groups: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the trials that the rows of some groups need."""
    rows = [row for row in ROWS if row.group in groups]
    named = [name for row in rows for name in (row.peer, row.ours, *(row.more if isinstance(row, Tail) else ()))]
    return tuple(dict.fromkeys(name for name in named if name))


@dataclass(frozen=True)
class Line:
    """One row with what was measured."""

    title: str
    ours: Spread
    unit: str
    peer_title: str = ""
    peer: Spread | None = None
    target: float | None = None

    @property
    def ratio(self) -> float | None:
        """Return ours divided by the peer's."""
        return self.ours.median / self.peer.median if self.peer else None

    @property
    def met(self) -> bool | None:
        """Return whether the target is met, None where there is none."""
        if self.target is None:
            return None
        return (self.ours.median if self.ratio is None else self.ratio) <= self.target


def lines(samples: Samples, memory: dict[str, dict[str, int]]) -> list[Line]:
    """Return the rows for which there is something."""
    found = [
        Line(
            row.title,
            _spread(samples[row.ours], row.stage),
            "s",
            row.peer_title,
            _spread(samples[row.peer], row.stage),
            row.target,
        )
        for row in COMPARISONS
        if samples.get(row.ours) and samples.get(row.peer)
    ]
    found += [
        Line(row.title, Spread.of([row.value(each) for each in samples[row.ours]]), row.unit, target=row.target)
        for row in BOUNDS
        if samples.get(row.ours)
    ]
    found += [
        Line(row.title, _difference(samples[row.ours], samples[row.peer]), "s", target=row.target)
        for row in DIFFERENCES
        if samples.get(row.ours) and samples.get(row.peer)
    ]
    found += [line for row in TAILS if samples.get(row.ours) for line in _tail(row, samples)]
    found += [Line(f"operator memory, {when}", Spread(size, size), "MiB") for when, size in _mebibytes(memory)]
    return found


def _spread(samples: list[Sample], stage: str | None) -> Spread:
    return Spread.of([each.seconds if stage is None else each.stages[stage] for each in samples])


def _difference(ours: list[Sample], peer: list[Sample]) -> Spread:
    one, other = (Spread.of([each.seconds for each in samples]) for samples in (ours, peer))
    return Spread(one.median - other.median, one.p90 - other.p90)


def _tail(row: Tail, samples: Samples) -> tuple[Line, Line]:
    delays = [delay for name in (row.ours, *row.more) for each in samples.get(name, ()) for delay in each.delays]
    p99 = statistics.quantiles(delays, n=100, method="inclusive")[98]
    return (
        Line(f"{row.title}, {len(delays)} runs", Spread.of(delays), "s"),
        Line(f"{row.title}, 99 of 100", Spread(p99, p99), "s", target=row.target),
    )


def _mebibytes(memory: dict[str, dict[str, int]]) -> list[tuple[str, float]]:
    return [(when, each["resident"] / 2**20) for when, each in memory.items()]
