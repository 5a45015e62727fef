"""The progress of a command: the redrawn line, plain lines, and the summary that it gives way to."""

from __future__ import annotations

import os
import threading

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
        #: of those that failed: deletions of a sync
        self.undeleted = 0
        #: that a comparison found
        self.differences = 0
        self.transferred = 0
        self.resumed = 0
        self.verified: dict[str, int] = {}

        #: of the lines of `run`: operation → good and bad
        self._lines: dict[str, list[int]] = {}

    def add(self, other: Tally, operation: str) -> None:
        """Add what came of one line of `run`."""
        self.done += other.done + (other.deleted if operation == "rm" and not other.done else 0)
        for name in ("skipped", "failed", "held_back", "transferred", "resumed", "deleted", "undeleted", "differences"):
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
        rows = [(operation, self.done + self.skipped, self.failed + self.differences - self.undeleted)]
        if operation != "rm" and (self.deleted or self.undeleted):
            rows.append(("rm", self.deleted, self.undeleted))
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

    def show(self, event: ProgressEvent, *, listing: bool = False) -> None:
        """Called at most ten times a second with the state of the transfer.

        Args:
            event: the state.
            listing: whether more is still being found, so that totals are those known so far.
        """
        rate = self._meter.rate(event.durable)
        counts = (event.durable, event.total, event.objects, event.objects_total, rate)
        with self._printer.screen:
            if self._line is not None and self._line.due():
                self._line.draw(line_text(*counts, listing=listing))
        if self._every is not None and self._meter.seconds() >= self._next_plain:
            self._next_plain += self._every
            if self._printer.as_json:
                names = ("durable", "total", "objects", "objects_total", "bytes_per_second")
                record = dict(zip(names, counts, strict=True))
                if listing:
                    record |= {"total": None, "objects_total": None}
                self._printer.progress_record(record)
            else:
                self._printer.progress(plain_text(*counts, listing=listing))

    def end(self, tally: Tally) -> None:
        """Take the line away; if it was seen, say what came of it."""
        if self._line is None:
            return
        with self._printer.screen:
            self._line.clear()
        if self._line.drawn:
            self._printer.progress(summary_text(tally, self._meter.seconds()))


class Part:
    """The display of one line of `run`, or of lines in one batch: what it is told counts for the whole.

    Args:
        whole: of all lines.
        sized: whether sizes are known before objects are begun.
    """

    def __init__(self, whole: Whole, *, sized: bool) -> None:
        self._whole = whole
        self.sized = sized
        self.active = whole.active

    def show(self, event: ProgressEvent, *, listing: bool = False) -> None:
        """As of `Display`."""
        self._whole.told(self, event, listing=listing)

    def end(self, tally: Tally) -> None:
        """Nothing: `Whole.ended` is told with the counts."""


class Whole:
    """Adds up what the lines of `run` tell, for the one display there is. Any thread may tell.

    Args:
        display: of the command.
    """

    def __init__(self, display: Display | Part) -> None:
        self._display = display
        self.active: bool = display.active
        self._lock = threading.Lock()
        self._live: dict[Part, tuple[ProgressEvent, bool]] = {}
        self._bytes = self._objects = 0
        self._reading = True

    def part(self, *, sized: bool) -> Part:
        """A display for one of them."""
        return Part(self, sized=sized)

    def told(self, part: Part, event: ProgressEvent, *, listing: bool) -> None:
        """One says how far it has come."""
        with self._lock:
            self._live[part] = (event, listing)
            self._show()

    def ended(self, part: Display | Part, tally: Tally, operation: str) -> None:
        """One is over: from now on its counts are what it came to."""
        if not self.active:
            return
        with self._lock:
            self._live.pop(part, None)  # type: ignore[arg-type]
            self._bytes += tally.transferred
            # Of `rm` what is deleted is what is done.
            self._objects += tally.done + tally.skipped + (0 if operation == "rm" else tally.deleted)
            self._show()

    def all_read(self) -> None:
        """There are no more lines."""
        with self._lock:
            self._reading = False

    def _show(self) -> None:
        from s3z._types import ProgressEvent

        events = [event for event, _ in self._live.values()]
        listing = self._reading or any(more for _, more in self._live.values())
        durable, objects = self._bytes, self._objects
        total, all_objects, sized = durable, objects, all(part.sized for part in self._live)
        received = durable
        for event in events:
            received += event.received
            durable += event.durable
            total += event.durable if event.total is None else event.total
            objects += event.objects
            all_objects += event.objects if event.objects_total is None else event.objects_total
        event = ProgressEvent(received, durable, total if sized else None, objects, all_objects)
        self._display.show(event, listing=listing)


def summary_text(tally: Tally, seconds: float) -> str:
    """`1200 objects, 4.8G, 7.9s, 612.4M/s, 3 skipped, 1 failed, 4 not verified`."""
    rate = human_size(tally.transferred / seconds) if seconds > 0 else "0"
    objects = "1 object" if tally.done == 1 else f"{tally.done} objects"
    fields = [objects, human_size(tally.transferred), f"{seconds:.1f}s", f"{rate}/s"]
    for count, name in ((tally.skipped, "skipped"), (tally.failed, "failed"), (tally.not_verified, "not verified")):
        if count:
            fields.append(f"{count} {name}")
    return ", ".join(fields)
