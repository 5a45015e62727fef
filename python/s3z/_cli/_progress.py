"""The progress of a command: the redrawn line, plain lines, and the summary that it gives way to."""

from __future__ import annotations

import os

from s3z._line import Line, Meter, can_draw, line_text, plain_text
from s3z._units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from s3z._cli._printer import Printer
    from s3z._types import ProgressEvent


class Tally:
    """Counts of one command."""

    def __init__(self) -> None:
        self.done = 0
        self.skipped = 0
        self.failed = 0
        self.deleted = 0
        self.held_back = 0
        self.transferred = 0
        self.resumed = 0
        self.verified: dict[str, int] = {}

        #: of the lines of `run`: operation → good and bad
        self._lines: dict[str, list[int]] = {}

    def add(self, other: Tally, operation: str) -> None:
        """Add what came of one line of `run`."""
        self.done += other.done + (other.deleted if operation == "rm" and not other.done else 0)
        for name in ("skipped", "failed", "held_back", "transferred", "resumed", "deleted"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for kind, count in other.verified.items():
            self.verified[kind] = self.verified.get(kind, 0) + count
        for name, good, bad in other.rows(operation):
            row = self._lines.setdefault(name, [0, 0])
            row[0] += good
            row[1] += bad

    def rows(self, operation: str) -> list[tuple[str, int, int]]:
        """What `--stat` tells: operations with their good and bad objects."""
        if self._lines:
            return [(name, good, bad) for name, (good, bad) in sorted(self._lines.items())]
        rows = [(operation, self.done + self.skipped, self.failed)]
        if self.deleted and operation != "rm":
            rows.append(("rm", self.deleted, 0))
        return rows

    @property
    def not_verified(self) -> int:
        """Objects of which only the length was checked."""
        return sum(count for kind, count in self.verified.items() if kind not in ("full_object", "parts"))


class Display:
    """Shows how far a command has come.

    Args:
        printer: prints plain lines, and calls back before it prints others.
        when: `auto`, `always` or `never`.
        every: seconds between plain lines; None is none.
        silent: whether `auto` draws nothing.
    """

    def __init__(self, printer: Printer, when: str, every: float | None, *, silent: bool) -> None:
        self._printer = printer
        self._meter = Meter()
        self._every = every
        self._next_plain = every or 0.0
        draw = when == "always" or (when == "auto" and not silent and os.environ.get("TERM", "") != "dumb")
        self._line: Line | None = None
        if draw and not printer.as_json and can_draw(2, dumb=when == "always"):
            self._line = Line(2, 0.0 if when == "always" else 0.5)
            printer.before = self._line.clear
        self.active = self._line is not None or every is not None

    def show(self, event: ProgressEvent) -> None:
        """Called at most ten times a second with the state of the transfer."""
        rate = self._meter.rate(event.durable)
        counts = (event.durable, event.total, event.objects, event.objects_total, rate)
        if self._line is not None and self._line.due():
            self._line.draw(line_text(*counts))
        if self._every is not None and self._meter.seconds() >= self._next_plain:
            self._next_plain += self._every
            if self._printer.as_json:
                names = ("durable", "total", "objects", "objects_total", "bytes_per_second")
                self._printer.progress_record(dict(zip(names, counts, strict=True)))
            else:
                self._printer.progress(plain_text(*counts))

    def end(self, tally: Tally) -> None:
        """Take the line away; if it was seen, say what came of it."""
        if self._line is None:
            return
        self._line.clear()
        if self._line.drawn:
            self._printer.progress(summary_text(tally, self._meter.seconds()))


class Silent:
    """The display of a line of `run`, which has none of its own."""

    active = False

    def show(self, event: ProgressEvent) -> None:
        """Nothing."""

    def end(self, tally: Tally) -> None:
        """Nothing."""


def summary_text(tally: Tally, seconds: float) -> str:
    """`1200 objects, 4.8G, 7.9s, 612.4M/s, 3 skipped, 1 failed, 4 not verified`."""
    rate = human_size(tally.transferred / seconds) if seconds > 0 else "0"
    objects = "1 object" if tally.done == 1 else f"{tally.done} objects"
    fields = [objects, human_size(tally.transferred), f"{seconds:.1f}s", f"{rate}/s"]
    for count, name in ((tally.skipped, "skipped"), (tally.failed, "failed"), (tally.not_verified, "not verified")):
        if count:
            fields.append(f"{count} {name}")
    return ", ".join(fields)
