"""What is told: the table, where the time goes, and the same as JSON."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table

from bench.rows import lines

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from bench.rows import Line, Samples, Spread

HEAD = ("ours", "median", "p90", "peer", "median", "p90", "ratio", "target", "")


@dataclass(frozen=True)
class Report:
    """Everything one run has found."""

    began: str  # RFC 3339, UTC
    seconds: float
    rounds: int
    facts: dict[str, Any]
    samples: Samples
    memory: dict[str, dict[str, int]]  # when: resident, peak; bytes
    crosschecks: dict[str, dict[str, int]]
    failures: list[str]

    def to_json(self) -> str:
        """Return it as a document; the rows of the table are in it too."""
        table = [asdict(line) | {"ratio": line.ratio, "met": line.met} for line in self._lines]
        return json.dumps(asdict(self) | {"table": table}, indent=1)

    def to_markdown(self) -> str:
        """Return the table for docs/benchmarks.md."""
        rows = [HEAD, ("---",) * len(HEAD), *map(_cells, self._lines)]
        return "".join(f"| {' | '.join(row)} |\n" for row in rows)

    def print(self, console: Console) -> None:
        """Print the tables."""
        table = Table(*HEAD[:-1], "", title="Ours and peers", title_justify="left")
        for line in self._lines:
            table.add_row(*_cells(line), style={True: "green", False: "red", None: ""}[line.met])
        console.print(table)
        for each in (self._where_time_goes(), self._requests()):
            if each.row_count:
                console.print(each)
        for name, count in self.crosschecks.items():
            console.print(
                f"writes of the first FlowRun of {name}: {count['operator']} by the operator's count, "
                f"{count['server']} by the API server's and by the objects there (deletions of pods are not in it)"
            )

    def write(self, folder: Path) -> Path:
        """Write it under its time, and as the latest; return where."""
        folder.mkdir(exist_ok=True)
        file = folder / f"{self.began.replace(':', '')}.json"
        for path, text in (
            (file, self.to_json()),
            (folder / "latest.json", self.to_json()),
            (folder / "latest.md", self.to_markdown()),
        ):
            path.write_text(text)
        return file

    @property
    def _lines(self) -> list[Line]:
        return lines(self.samples, self.memory)

    def _where_time_goes(self) -> Table:
        table = Table("trial", "step seen by a watch", "median s", title="Where the time goes", title_justify="left")
        for trial, samples in self.samples.items():
            steps = {step for each in samples for step in each.timeline}
            middle = {
                step: statistics.median([s.timeline[step] for s in samples if step in s.timeline]) for step in steps
            }
            if not middle:
                continue
            middle["the end is told"] = statistics.median([each.seconds for each in samples])
            for step, seconds in sorted(middle.items(), key=lambda item: item[1]):
                table.add_row(trial, step, f"{seconds:.2f}")
            table.add_section()
        return table

    def _requests(self) -> Table:
        table = Table("FlowRun", "request", "median", title="Requests of the operator", title_justify="left")
        for trial, samples in self.samples.items():
            kinds = sorted({kind for each in samples for kind in each.requests})
            for kind in kinds:
                table.add_row(trial, kind, f"{statistics.median(each.requests.get(kind, 0) for each in samples):g}")
        return table


def _cells(line: Line) -> tuple[str, ...]:
    ours, peer = _spread(line.ours, line.unit), _spread(line.peer, line.unit) if line.peer else ("", "")
    ratio = "" if line.ratio is None else f"{line.ratio:.2f}x"
    target = "" if line.target is None else f"≤ {line.target:g}{'x' if line.peer else ' ' + line.unit}".rstrip()
    verdict = {True: "met", False: "missed", None: ""}[line.met]
    return (line.title, *ours, line.peer_title, *peer, ratio, target, verdict)


def _spread(spread: Spread, unit: str) -> tuple[str, str]:
    digits = {"s": ".2f", "MiB": ".0f"}.get(unit, "g")
    median, p90 = (f"{value:{digits}} {unit}".rstrip() for value in (spread.median, spread.p90))
    return median, p90 if unit != "MiB" else ""
