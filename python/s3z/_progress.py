"""What `progress=` may be, and how each kind is served.

The rules, the first that fits decides:

1. None or False: nothing.
2. True: a bar of `tqdm.auto` if tqdm is installed (in Jupyter a widget), else s3z's own line on a terminal.
3. An `fsspec` Callback: `set_size` and `absolute_update` with durable bytes.
4. A rich `Progress` (it has `add_task`): a task of its own; started and stopped here only if it was not running.
5. A tqdm bar (it has `update`, `n` and `total`): durable bytes are added; it is left open.
6. A callable like boto3's `Callback`, that is one whose first parameter is annotated `int`, or is named `n`, `amount`,
   `chunk`, `delta`, `increment`, or has `bytes` in its name: the durable bytes since the last call.
7. Any other callable: a `ProgressEvent`.

All are called on the thread that waits, at most ten times a second, and once at the end.
"""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any

from s3z._line import Line, Meter, can_draw, line_text
from s3z._types import ProgressEvent

if TYPE_CHECKING:
    from collections.abc import Callable

_INCREMENT_NAMES = frozenset(("n", "amount", "chunk", "delta", "increment"))


class Watcher:
    """One call's progress: give it to the core, then call `finish` or `close`.

    Args:
        show: shows an event.
        close: gives back what was made for the call.
    """

    def __init__(self, show: Callable[[ProgressEvent], object], close: Callable[[], object] = lambda: None) -> None:
        self._show = show
        self._close = close
        self._last: ProgressEvent | None = None

    def __call__(self, received: int, durable: int, total: int | None, objects: int, objects_total: int | None) -> None:
        event = ProgressEvent(received, durable, total, objects, objects_total)
        if event != self._last:
            self._last = event
            self._show(event)

    def finish(self, size: int, objects: int = 1) -> None:
        """The call succeeded with `size` bytes of so many objects: the last event, if it was not given yet."""
        received = max(size, self._last.received if self._last else 0)
        self(received, size, size, objects, objects)

    def close(self) -> None:
        """The call is over, however it ended."""
        self._close()


def watch(progress: Any, name: str) -> Watcher | None:
    """A watcher for the `progress=` of a call.

    Args:
        progress: see the rules of this module.
        name: what a bar made here says is moving.

    Raises:
        TypeError: it is nothing of that.
    """
    if progress is None or progress is False:
        return None
    if progress is True:
        return _own_bar(name)
    if hasattr(progress, "absolute_update") and hasattr(progress, "set_size"):
        return _fsspec(progress)
    if hasattr(progress, "add_task") and hasattr(progress, "update"):
        return _rich(progress, name)
    if hasattr(progress, "update") and hasattr(progress, "n") and hasattr(progress, "total"):
        return Watcher(_tqdm_updates(progress))
    if not callable(progress):
        raise TypeError(
            "progress must be None, True, a callable, a tqdm or rich object, or an fsspec Callback, "
            f"not {type(progress).__name__}"
        )
    return Watcher(_increments(progress) if _takes_increment(progress) else progress)


def _takes_increment(function: Callable[..., object]) -> bool:
    """Whether this is boto3's `Callback(bytes_delta)`."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return False
    if not parameters:
        return False
    first = parameters[0]
    if first.annotation is not inspect.Parameter.empty:
        return first.annotation in (int, "int")
    return first.name in _INCREMENT_NAMES or "bytes" in first.name


def _increments(add: Callable[[int], object]) -> Callable[[ProgressEvent], None]:
    told = 0

    def show(event: ProgressEvent) -> None:
        nonlocal told
        delta, told = event.durable - told, event.durable
        if delta:
            add(delta)

    return show


def _tqdm_updates(bar: Any) -> Callable[[ProgressEvent], None]:
    add = _increments(bar.update)

    def show(event: ProgressEvent) -> None:
        if bar.total is None and event.total is not None:
            bar.total = event.total
        add(event)

    return show


def _fsspec(callback: Any) -> Watcher:
    size: int | None = None

    def show(event: ProgressEvent) -> None:
        nonlocal size
        if event.total is not None and event.total != size:
            size = event.total
            callback.set_size(size)
        callback.absolute_update(event.durable)

    return Watcher(show)


def _rich(bars: Any, name: str) -> Watcher:
    running = bool(getattr(getattr(bars, "live", None), "is_started", True))
    if not running:
        bars.start()
    task = bars.add_task(name, total=None)

    def show(event: ProgressEvent) -> None:
        bars.update(task, completed=event.durable, total=event.total)

    return Watcher(show, (lambda: None) if running else bars.stop)


def _own_bar(name: str) -> Watcher | None:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return _own_line()
    bar = tqdm(desc=name, unit="B", unit_scale=True, unit_divisor=1024, miniters=1)
    return Watcher(_tqdm_updates(bar), bar.close)


def _own_line() -> Watcher | None:
    try:
        descriptor = sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return None
    if not can_draw(descriptor):
        return None
    line, meter = Line(descriptor), Meter()

    def show(event: ProgressEvent) -> None:
        if line.due():
            rate = meter.rate(event.durable)
            line.draw(line_text(event.durable, event.total, event.objects, event.objects_total, rate))

    return Watcher(show, line.clear)
