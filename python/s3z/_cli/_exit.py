"""Exit statuses and signals: clean up first, then die of the signal, so that a shell sees it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

OK = 0
FAILED = 1
USAGE = 2

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: seconds after which an interrupted command is ended, whatever it is doing
_GRACE = 3


class Interrupted(KeyboardInterrupt):
    """A signal asked the command to end.

    Args:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


_received = 0
_as_json = False
_AGAIN = "interrupted again: a temporary file .s3z-*.part or an unfinished upload may be left"
#: signals that came while `hold` was in force
_held: list[int] = []
_stop: Callable[[], object] | None = None


def hold(stop: Callable[[], object]) -> bool:
    """Until `release`, a signal calls `stop` instead of being raised: what is done by then can still be told.

    Args:
        stop: makes whatever is under way end soon.

    Returns:
        Whether it is in force: only the main thread is sent signals.
    """
    global _stop
    if threading.current_thread() is not threading.main_thread():
        return False
    _stop = stop
    return True


def release() -> Interrupted | None:
    """End `hold`, and what is to be raised because of a signal that came meanwhile."""
    global _stop
    _stop = None
    return Interrupted(_held.pop()) if _held else None


def _handle(number: int, _frame: FrameType | None) -> None:
    global _received
    _received += 1
    if _received > 1:
        with contextlib.suppress(OSError):
            os.write(2, _again())
        die_of(number)
    # Should the clean-up hang, the alarm ends it.
    signal.signal(signal.SIGALRM, lambda *_: die_of(number))
    signal.alarm(_GRACE)
    if _stop is None:
        raise Interrupted(number)
    _held.append(number)
    _stop()


def _again() -> bytes:
    """What is said of a second signal, whatever the printer is doing."""
    if not _as_json:
        return f"{_AGAIN}\n".encode()
    return f'{{"record":"log","level":"error","message":"{_AGAIN}"}}\n'.encode()


def install(*, as_json: bool = False) -> None:
    """Turn signals into `Interrupted`; those that the caller's parent ignores stay ignored (nohup).

    Args:
        as_json: whether what is told is to be JSON.
    """
    global _as_json
    _as_json = as_json
    for each in _SIGNALS:
        if signal.getsignal(each) != signal.SIG_IGN:
            signal.signal(each, _handle)


def die_of(number: int) -> None:
    """End this process by a signal, with its default action."""
    signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    os.kill(os.getpid(), number)


#: standard descriptors that were closed when the command began
closed: set[int] = set()


def keep_standard_descriptors() -> None:
    """Put `/dev/null` where stdin, stdout or stderr are closed, so that no file we open takes their numbers."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            closed.add(descriptor)
            os.open(os.devnull, os.O_RDWR)
