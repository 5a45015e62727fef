"""The progress line: its text, and drawing it where it does not disturb."""

from __future__ import annotations

import contextlib
import os
import time

from s3z._units import human_seconds, human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: seconds between two drawings, and before the first
INTERVAL = 0.1
DELAY = 0.5
_SPAN = 3.0


class Meter:
    """Turns byte counts over time into a rate that follows the last few seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.start = clock()
        self._samples: list[tuple[float, int]] = [(self.start, 0)]

    def seconds(self) -> float:
        """Seconds since the beginning."""
        return self._clock() - self.start

    def rate(self, durable: int) -> float:
        """Bytes per second over the last three seconds."""
        now = self._clock()
        while len(self._samples) > 1 and self._samples[1][0] < now - _SPAN:
            self._samples.pop(0)
        then, before = self._samples[0]
        if now - self._samples[-1][0] >= INTERVAL:
            self._samples.append((now, durable))
        return max(0.0, (durable - before) / (now - then)) if now > then else 0.0


def line_text(
    durable: int, total: int | None, objects: int, objects_total: int | None, rate: float, *, listing: bool = False
) -> str:
    """`1.2G/4.8G 25%  37/1200 objects  612.4M/s  ETA 0:06`."""
    plus = "+" if listing else ""
    size = human_size(durable) if total is None else f"{human_size(durable)}/{human_size(total)}{plus}"
    if total:
        size += f" {min(100, durable * 100 // total)}%"
    count = f"{objects} objects" if objects_total is None else f"{objects}/{objects_total}{plus} objects"
    fields = [size, count, f"{human_size(rate)}/s"]
    if total is not None and rate > 0 and not listing:
        fields.append(f"ETA {human_seconds((total - durable) / rate)}")
    return "  ".join(fields)


def plain_text(
    durable: int, total: int | None, objects: int, objects_total: int | None, rate: float, *, listing: bool = False
) -> str:
    """`PROGRESS 1.2G/4.8G 37/1200 objects 612.4M/s`."""
    plus = "+" if listing else ""
    size = human_size(durable) if total is None else f"{human_size(durable)}/{human_size(total)}{plus}"
    count = f"{objects}" if objects_total is None else f"{objects}/{objects_total}{plus}"
    return f"PROGRESS {size} {count} objects {human_size(rate)}/s"


class Line:
    """One line of a terminal that is drawn again and again.

    Args:
        descriptor: of the terminal.
        delay: seconds before it is drawn for the first time.
    """

    def __init__(self, descriptor: int, delay: float = DELAY, clock: Callable[[], float] = time.monotonic) -> None:
        self._descriptor = descriptor
        self._clock = clock
        self._next = clock() + delay
        self._shown = False
        self.drawn = False

    def due(self) -> bool:
        """Whether it is time to draw again."""
        return self._clock() >= self._next

    def draw(self, text: str) -> None:
        """Show `text`, cut to the width of the terminal."""
        self._next = self._clock() + INTERVAL
        self._shown = self.drawn = True
        self._write("\r" + text[: max(0, self._width() - 1)] + "\x1b[K")

    def clear(self) -> None:
        """Take the line away; the next drawing puts it back."""
        if self._shown:
            self._shown = False
            self._write("\r\x1b[K")

    def _width(self) -> int:
        try:
            return os.get_terminal_size(self._descriptor).columns or 80
        except OSError:
            return 80

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # a closed stderr never changes anything
            os.write(self._descriptor, text.encode())


def can_draw(descriptor: int, *, dumb: bool = False) -> bool:
    """Whether there is a terminal that can redraw a line (`dumb`: also one that says it cannot)."""
    try:
        return os.isatty(descriptor) and (dumb or os.environ.get("TERM", "") != "dumb")
    except OSError:
        return False
