"""The matrix as data: ends are rows, variants of callbacks are columns, and what is promised follows from both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.support import lives
from tests.support.cluster import Manifest, deployment, run

NEVER, ONCE, AT_LEAST_ONCE = range(1), range(1, 2), range(1, 9)
COUNTS = {NEVER: "0", ONCE: "1", AT_LEAST_ONCE: "1+"}

# The callbacks of the variants. on_start may be told to last, so that something can happen to it.
_BEGIN = """
def begin():
    life = Life("on_start")
    time.sleep(json.loads(os.environ["FLOW_OPERATOR_PARAMETERS"]).get("begin", 0))
    life.end(failed=%s)
"""
_WELL = _BEGIN % False
_FAILS = _BEGIN % True + '    raise OSError("no licence is free")\n'
_LEAVE = """
def leave():
    life = Life("on_exit")
    time.sleep(json.loads(os.environ["FLOW_OPERATOR_PARAMETERS"]).get("leave", 0.3))
    life.end()
"""
_LEAVE_FAILS = _LEAVE.replace("life.end()", 'life.end(failed=True)\n    raise OSError("no mail today")')
_LEAVE_HANGS = _LEAVE.replace("life.end()", "time.sleep(3600)")

# `how` says what the flow does; a second attempt always ends well.
_FLOW = """
import sys
from flow_operator import flow
from flow_operator.environments import RemoteEnvironment


@flow(environment=RemoteEnvironment({callbacks}))
def flow(how: str = "return", seconds: float = 0.5, begin: float = 0.0, leave: float = 0.3) -> str:
    life = Life("flow")
    if json.loads(os.environ["FLOW_OPERATOR_RUN"])["run"]["attempt"] > 1:
        how, seconds = "return", 0.5
    if how == "exhaust":
        held = []
        while True:
            held.append(bytearray(1 << 22))
            time.sleep(0.02)
    if how == "fill":
        with open("/tmp/filling", "wb") as file:
            for _ in range(40):
                file.write(bytes(1 << 22))
    time.sleep(3600 if how in ("wait", "fill") else seconds)
    if how == "kill":
        os.kill(os.getpid(), 9)
    life.end()
    if how == "raise":
        raise ValueError("the input is empty")
    if how == "exit":
        sys.exit(3)
    return "fine"
"""


@dataclass(frozen=True)
class Variant:
    """A column: what callbacks the flow has."""

    name: str
    title: str
    on_start: str = ""  # source, "" where it is not declared
    on_exit: str = ""
    states: tuple[str, str] | None = None  # of the receipts
    start_fails: bool = False
    exit_fails: bool = False
    run: dict[str, Any] = field(default_factory=dict, hash=False)  # of the deployment

    def source(self) -> str:
        """Return the flow's source."""
        callbacks = "on_start=begin, on_exit=leave" if self.on_start else ""
        return lives.CLIENT + self.on_start + self.on_exit + _FLOW.format(callbacks=callbacks)

    def deployment(self, storage: Manifest | None = None, **runner: Any) -> Manifest:
        """Return the FlowDeployment: no image of its own unless told otherwise, and limits that a flow can reach."""
        limits = {"memory": "160Mi", "ephemeral-storage": "100Mi"}
        resources = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": limits}
        runner = {"resources": resources, **runner}
        return deployment(self.name, self.source(), storage=storage, runner=runner, run=self.run)


NONE = Variant("none", "no callback")
BOTH = Variant("both", "both callbacks", _WELL, _LEAVE, ("Succeeded", "Succeeded"))
START_FAILS = Variant(
    "start-fails", "on_start fails", _FAILS, _LEAVE, ("Failed", "Skipped"), start_fails=True,
    run={"callbackTimeoutSeconds": 60},
)  # fmt: skip
EXIT_FAILS = Variant("exit-fails", "on_exit fails", _WELL, _LEAVE_FAILS, ("Succeeded", "Failed"), exit_fails=True)
EXIT_HANGS = Variant(
    "exit-hangs", "on_exit hangs", _WELL, _LEAVE_HANGS, ("Succeeded", "Failed"), exit_fails=True,
    run={"callbackTimeoutSeconds": 20},
)  # fmt: skip
VARIANTS = (NONE, BOTH, START_FAILS, EXIT_FAILS, EXIT_HANGS)


@dataclass(frozen=True)
class Expected:
    """What is promised of one cell."""

    phase: str | None  # None: the FlowRun is gone
    reason: str
    on_start: range
    flow: range
    on_exit: range
    states: tuple[str, str] | None  # of status.hooks, None where nothing is declared

    @property
    def counts(self) -> dict[str, range]:
        """Return how often each may have begun, by attempt."""
        return {"on_start": self.on_start, "flow": self.flow, "on_exit": self.on_exit}

    @property
    def words(self) -> str:
        """Return it as docs/callbacks-matrix.md has it."""
        counts = " · ".join(COUNTS[each] for each in self.counts.values())
        return f"{counts} `{self.reason}`" if self.reason else counts


@dataclass(frozen=True)
class End:
    """A row: how the run ends."""

    title: str
    phase: str | None
    reason: str
    how: str = "wait"  # what the flow does
    provoke: str = ""  # what is done to it once it has begun (play.py)
    then: str = ""  # what is done once it is suspended
    exact: bool = True  # nothing of the pod is lost: each callback is begun exactly once
    told: bool = True  # the receipt of on_start can always be read
    attempts: int = 1
    outlives: float = 0.0  # seconds that a failing on_start lasts, so that the end comes while it runs
    start_fails: tuple[str, str] = ("Failed", "OnStartFailed")  # phase and reason there
    start_is_killed: bool = False  # on_start does not come to its failure: it began, so on_exit is owed
    spec: dict[str, Any] = field(default_factory=dict, hash=False)
    parameters: dict[str, Any] = field(default_factory=dict, hash=False)
    variants: tuple[Variant, ...] = VARIANTS

    @property
    def name(self) -> str:
        """Return the title as a part of names."""
        return "-".join("".join(c if c.isalnum() else " " for c in self.title.lower()).split())

    def expected(self, variant: Variant) -> Expected:
        """Return what is promised of a cell."""
        # By itself nothing comes to an end before on_start has.
        alone = variant.start_fails and self.how not in ("wait", "return")
        declared = ONCE if self.exact or alone else AT_LEAST_ONCE
        phase, reason, flow, on_exit, states = self.phase, self.reason, ONCE, declared, variant.states
        if variant is NONE:
            return Expected(phase, reason, NEVER, ONCE, NEVER, None)
        if variant.start_fails:
            if self.phase is not None:
                phase, reason = self.start_fails
            flow, on_exit = NEVER, AT_LEAST_ONCE if self.start_is_killed else NEVER
        elif variant.exit_fails and self.phase == "Succeeded":
            phase, reason = "Failed", "OnExitFailed"
        return Expected(phase, reason, declared, flow, on_exit, states)


@dataclass(frozen=True)
class Cell:
    """One run of the matrix."""

    end: End
    variant: Variant

    @property
    def name(self) -> str:
        """Return the name of its FlowRun."""
        return f"{self.end.name}-{self.variant.name}"

    @property
    def expected(self) -> Expected:
        """Return what is promised of it."""
        return self.end.expected(self.variant)

    def run(self) -> Manifest:
        """Return its FlowRun."""
        begin = {"begin": self.end.outlives} if self.variant.start_fails and self.end.outlives else {}
        parameters = {"how": self.end.how, **self.end.parameters, **begin}
        return run(self.name, self.variant.name, parameters=parameters, **self.end.spec)


_ONE = {"infrastructureBackoffLimit": 0}
_LASTS = 25.0  # what ends it comes within seconds; when sixty others do the same, not within ten
_FEW = (NONE, BOTH)

# From the beginning of the pod: long enough for a flow to begin while a dozen others do.
DEADLINE = End(
    "deadline", "Failed", "DeadlineExceeded", spec={"activeDeadlineSeconds": 40},
    outlives=48.0, start_fails=("Failed", "DeadlineExceeded"),
)  # fmt: skip
# What a run and its namespace know of: nothing happens to the nodes.
ENDS = (
    End("exit code 0", "Succeeded", "Succeeded", how="return"),
    End("exception", "Failed", "FlowRaised", how="raise"),
    End("exit code 3", "Failed", "FlowExited", how="exit"),
    End("SIGKILL of the flow", "Failed", "Killed", how="kill", spec=_ONE),
    End(
        "SIGKILL of container main", "Failed", "Killed", provoke="kill main", spec=_ONE,
        outlives=_LASTS, start_fails=("Failed", "Killed"),
    ),
    End(
        "SIGKILL of flow-hooks", "Succeeded", "Succeeded", how="return", provoke="kill flow-hooks", exact=False,
        spec=_ONE, parameters={"seconds": 5.0}, outlives=3.0,
    ),
    End("out of memory", "Failed", "OutOfMemory", how="exhaust", spec=_ONE),
    DEADLINE,
    End(
        "suspend", "Suspended", "Suspended", provoke="suspend",
        outlives=_LASTS, start_fails=("Suspended", "Suspended"),
    ),
    End(
        "cancel: Graceful", "Cancelled", "Cancelled", provoke="cancel",
        outlives=_LASTS, start_fails=("Cancelled", "Cancelled"),
    ),
    End(
        "cancel: Now", "Cancelled", "Cancelled", provoke="cancel now", exact=False,
        outlives=_LASTS, start_fails=("Cancelled", "Cancelled"), start_is_killed=True,
    ),
    End("FlowRun deleted", None, "", provoke="delete", outlives=_LASTS),
    End(
        "pod evicted through the API", "Failed", "Evicted", provoke="evict", spec=_ONE,
        outlives=_LASTS, start_fails=("Failed", "Evicted"),
    ),
    End("pod evicted for its storage", "Failed", "Evicted", how="fill", exact=False, told=False, spec=_ONE),
)  # fmt: skip
# The same with a second attempt: it begins when nothing of the first is left.
ATTEMPTS = (
    End(
        "exception, retried", "Succeeded", "Succeeded", how="raise", attempts=2,
        spec={"backoffLimit": 1}, variants=_FEW,
    ),
    End(
        "evicted, retried", "Succeeded", "Succeeded", provoke="evict", attempts=2,
        spec={"infrastructureBackoffLimit": 1}, variants=_FEW,
    ),
    End("suspend, resume", "Succeeded", "Succeeded", provoke="suspend", then="resume", attempts=2, variants=_FEW),
)  # fmt: skip
# What happens to a node happens to all of its runs.
NODE_ENDS = (
    End("node drained", "Failed", "Evicted", spec=_ONE, outlives=_LASTS, start_fails=("Failed", "Evicted")),
    End(
        "kubelet killed", "Succeeded", "Succeeded", how="return", exact=False, spec=_ONE,
        parameters={"seconds": 5.0, "begin": 5.0, "leave": 4.0},
    ),
    End(
        "node stopped", "Failed", "NodeLost", exact=False, told=False, spec=_ONE,
        outlives=60.0, start_fails=("Failed", "NodeLost"), start_is_killed=True,
    ),
)  # fmt: skip

DRAINED, KUBELET_KILLED, NODE_STOPPED = NODE_ENDS
ALL_ENDS = (*ENDS, *NODE_ENDS, *ATTEMPTS)


def cells(*ends: End) -> tuple[Cell, ...]:
    """Return the cells of some rows, those that take longest first."""
    found = [Cell(end, variant) for variant in VARIANTS for end in ends if variant in end.variants]
    return tuple(sorted(found, key=lambda cell: (cell.end is not DEADLINE, cell.variant is not EXIT_HANGS)))


def markdown(word: Any) -> str:
    """Return the matrix as a table, `word(cell)` in each cell."""
    rows = [["the run ends by", *(each.title for each in VARIANTS)], ["---"] * (1 + len(VARIANTS))]
    for end in ALL_ENDS:
        words = [word(Cell(end, variant)) if variant in end.variants else "" for variant in VARIANTS]
        rows.append([end.title, *words])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
