"""What a benchmark leaves behind: `raw.csv` with every run, `summary.txt` with medians and ratios."""

from __future__ import annotations

import csv
import statistics
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from lib.workload import format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from lib.workload import Workload


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one client. Times in seconds, sizes in bytes; `failure` is empty for a byte-identical result."""

    workload: str
    client: str
    kind: str
    round: int
    wall: float
    user: float
    system: float
    server_cpu: float
    peak_rss: int
    load: float
    bytes: int
    checksum: str
    failure: str

    @property
    def cpu(self) -> float:
        """User and system time of the client."""
        return self.user + self.system


@dataclass(frozen=True, slots=True)
class Row:
    """One client in one workload, over its measured rounds (the warm-up is left out)."""

    client: str
    kind: str
    runs: tuple[Run, ...]
    failure: str

    @property
    def wall(self) -> float:
        """Median wall time."""
        return self._median(lambda run: run.wall)

    @property
    def cpu(self) -> float:
        """Median CPU time."""
        return self._median(lambda run: run.cpu)

    @property
    def server_cpu(self) -> float:
        """Median CPU time of the server meanwhile."""
        return self._median(lambda run: run.server_cpu)

    @property
    def peak_rss(self) -> float:
        """Median peak memory."""
        return self._median(lambda run: run.peak_rss)

    def _median(self, value: Callable[[Run], float]) -> float:
        return statistics.median(value(run) for run in self.runs)


def rows(workload: str, runs: Iterable[Run]) -> list[Row]:
    """Group the runs of a workload by client, fastest first, failures last."""
    by_client: dict[str, list[Run]] = {}
    for run in runs:
        if run.workload == workload:
            by_client.setdefault(run.client, []).append(run)
    made = []
    for client, own in by_client.items():
        failure = next((run.failure for run in own if run.failure), "")
        measured = tuple(run for run in own if run.round > 0)
        if not measured and not failure:
            continue
        made.append(Row(client, own[0].kind, measured, failure))
    return sorted(made, key=lambda row: (bool(row.failure), 0.0 if row.failure else row.wall))


def write_csv(path: Path, runs: Iterable[Run]) -> None:
    """Write every run, the warm-ups (round 0) too."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Run)], lineterminator="\n")
        table.writeheader()
        for run in runs:
            table.writerow({name: round(v, 4) if isinstance(v, float) else v for name, v in asdict(run).items()})


def table(workload: Workload, made: Sequence[Row], absent: Sequence[str]) -> str:
    """Return the table of one workload.

    `floor` and `peer` are ratios of wall time: to the floor, and to the fastest peer; `peer cpu` is the ratio of CPU
    time to the peer that is fastest by the clock.
    """
    floor = next((row for row in made if row.kind == "floor" and not row.failure), None)
    peer = next((row for row in made if row.kind == "peer" and not row.failure), None)
    parts = "" if workload.counts else f", parts of {format_size(workload.part_size)} where a client takes them"
    lines = [f"{workload.name}: {workload.shown_size}{parts}", ""]
    rate, unit = ("k/s", 1e3) if workload.counts else ("MB/s", 1e6)
    lines.append(
        f"{'client':<16}{'kind':<10}{'wall s':>8}{'min':>7}{'max':>7}{rate:>7}{'cpu s':>8}{'peak MB':>9}"
        f"{'srv cpu':>9}{'/floor':>8}{'/peer':>7}{'/peer cpu':>10}"
    )
    for row in made:
        if row.failure:
            lines.append(f"{row.client:<16}{row.kind:<10}  FAILED: {row.failure}")
            continue
        walls = [run.wall for run in row.runs]
        lines.append(
            f"{row.client:<16}{row.kind:<10}{row.wall:>8.2f}{min(walls):>7.2f}{max(walls):>7.2f}"
            f"{workload.size / row.wall / unit:>7.0f}{row.cpu:>8.2f}{row.peak_rss / 1e6:>9.0f}{row.server_cpu:>9.2f}"
            f"{_ratio(row.wall, floor.wall if floor else None):>8}{_ratio(row.wall, peer.wall if peer else None):>7}"
            f"{_ratio(row.cpu, peer.cpu if peer else None):>10}"
        )
    lines += [f"{client:<16}{'absent':<10}" for client in absent]
    return "\n".join(lines)


def _ratio(value: float, base: float | None) -> str:
    return f"{value / base:.2f}" if base else "-"
