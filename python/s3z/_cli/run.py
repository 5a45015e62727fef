"""`s3z run`: many commands, one in each line, in one process and with one engine."""

from __future__ import annotations

import os
import queue
import shlex
import threading
from typing import TYPE_CHECKING

from s3z._cli._options import GLOBAL, UsageError
from s3z._cli._parser import normalise, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s3z._cli._context import Context
    from s3z._cli._parser import Parsed

#: lines at a time where no number is given
_LINES = 32
_REFUSED = frozenset(("run", "pipe"))


def run(context: Context) -> None:
    """Carry out `run`: every line by itself; a line that fails stops no other.

    Raises:
        OSError: the file cannot be read.
        Interrupted: a signal came; what was under way has been cleared up.
    """
    name = context.arguments[0] if context.arguments else "-"
    lines = _lines(name)
    _Crew(context).work(lines)


def _lines(name: str) -> Iterator[tuple[int, str]]:
    """Lines that say something, with their numbers."""
    file = open(0, "rb", closefd=False) if name == "-" else open(name, "rb")  # noqa: PTH123, SIM115
    with file:
        for number, raw in enumerate(file, 1):
            text = os.fsdecode(raw).rstrip("\n").rstrip("\r")
            if text.strip() and not text.lstrip().startswith("#"):
                yield number, text


class _Crew:
    """Threads that take line after line; each line has a context of its own, and the client is shared."""

    def __init__(self, context: Context) -> None:
        self._context = context
        workers = context.workers
        self._size = workers or _LINES
        # So many objects in all: an explicit number is never exceeded.
        self._each = 1 if workers else None
        self._queue: queue.Queue[tuple[int, str] | None] = queue.Queue(self._size)
        self._live: set[Context] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def work(self, lines: Iterator[tuple[int, str]]) -> None:
        threads: list[threading.Thread] = []
        interrupted: BaseException | None = None
        try:
            for line in lines:
                if len(threads) < self._size:
                    threads.append(threading.Thread(target=self._take, daemon=True))
                    threads[-1].start()
                self._queue.put(line)
        except BaseException as error:
            interrupted = error
            self._stop()
        for _ in threads:
            self._end()
        for thread in threads:
            while thread.is_alive():
                try:
                    thread.join(0.1)
                except KeyboardInterrupt as error:
                    if interrupted is not None:
                        raise
                    interrupted = error
                    self._stop()
        if interrupted is not None:
            raise interrupted

    def _end(self) -> None:
        while True:
            try:
                self._queue.put(None, timeout=0.1)
            except queue.Full:
                continue
            except KeyboardInterrupt:
                self._stop()
                continue
            return

    def _stop(self) -> None:
        """Nothing more is begun, and what is under way is asked to stop."""
        with self._lock:
            self._stopped = True
            live = list(self._live)
        for context in live:
            context.stop()
        while True:
            try:
                self._queue.get_nowait()
            except queue.Empty:
                return

    def _take(self) -> None:
        while (line := self._queue.get()) is not None:
            if not self._stopped:
                self._line(*line)

    def _line(self, number: int, text: str) -> None:
        from s3z._cli import _runner
        from s3z._cli._printer import StdoutClosedError

        context = self._context
        try:
            parsed = _understand(text)
        except (UsageError, ValueError) as error:
            label = error.command if isinstance(error, UsageError) else text
            with context.lock:
                context.tally.failed += 1
                context.report(label, error, None, "usage", number)
            return
        own = context.of_line(parsed, number, self._each)
        with self._lock:
            self._live.add(own)
            if self._stopped:
                own.stop()
        try:
            _runner(parsed.command)(own)
        except (StdoutClosedError, KeyboardInterrupt):
            pass
        except Exception as error:
            own.fail(own.label, error, own.names)
        finally:
            with self._lock:
                self._live.discard(own)
            context.add(own)


def _understand(text: str) -> Parsed:
    """The command of a line.

    Raises:
        UsageError: it is none, or none that may stand here.
        ValueError: its quoting is broken.
    """
    tokens = shlex.split(text)
    if not tokens or tokens[0].startswith("-"):
        raise UsageError("a line begins with a command", tokens[0] if tokens else "run")
    if tokens[0] in _REFUSED:
        raise UsageError(f"{tokens[0]} cannot be a line of run", tokens[0])
    parsed = parse(tokens)
    if parsed.asked is not None:
        raise UsageError("options of s3z itself stand before run", tokens[0])
    own = {option.name for option in GLOBAL}
    from s3z._cli._options import COMMANDS

    mine = {option.name for option in COMMANDS[parsed.command][0]}
    pairs, arguments, _ = normalise(tokens[1:], (*COMMANDS[parsed.command][0], *GLOBAL), parsed.command)
    for name, _value in pairs:
        if name in own and name not in mine:
            raise UsageError(f'option "--{name}" stands before run and holds for all lines', parsed.command)
    if "-" in arguments:
        raise UsageError('"-" cannot stand in a line of run', parsed.command)
    return parsed
