"""`s3z run`: many commands, one in each line, in one process and with one engine."""

from __future__ import annotations

import os
import queue
import re
import select
import shlex
import threading
from typing import TYPE_CHECKING

from s3z._cli._alike import Group, Sorter
from s3z._cli._failures import RefusedError
from s3z._cli._options import COMMANDS, GLOBAL, UsageError
from s3z._cli._parser import normalise, parse
from s3z._cli._progress import Whole
from s3z._cli._standard import STDIN, check_stdin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from s3z._cli._context import Context
    from s3z._cli._parser import Parsed

#: lines at a time where no number is given
_LINES = 32
#: what waits for a place
_WAITING = 4
_BLOCK = 1 << 16
_REFUSED = frozenset(("run", "pipe"))
#: options of which `-` means stdin or stdout, as it does among arguments
_STREAMS = frozenset(("files-from", "output"))
_QUOTING = re.compile(r"['\"\\]")
_WORD = re.compile(r"[^ \t\r\n]+")


def run(context: Context) -> None:
    """Carry out `run`: every line by itself; a line that fails stops no other.

    Raises:
        OSError: the file cannot be read.
        Interrupted: a signal came; what was under way has been cleared up.
    """
    name = context.arguments[0] if context.arguments else "-"
    if name == "-":
        check_stdin()
    descriptor = STDIN if name == "-" else os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _Crew(context).work(_work(context, descriptor))
    finally:
        if descriptor != STDIN:
            os.close(descriptor)


def _lines(descriptor: int) -> Iterator[tuple[int, str] | None]:
    """Lines that say something, with their numbers; None where the next one is not there yet."""
    number, rest = 0, b""
    while True:
        if not select.select([descriptor], [], [], 0)[0]:
            yield None
        block = os.read(descriptor, _BLOCK)
        *lines, rest = (rest + block).split(b"\n")
        if not block and rest:
            lines, rest = [rest], b""
        for raw in lines:
            number += 1
            text = os.fsdecode(raw).rstrip("\r")
            if text.strip() and not text.lstrip().startswith("#"):
                yield number, text
        if not block:
            return


def _work(context: Context, descriptor: int) -> Iterator[tuple[int, str] | Group]:
    """Lines by themselves, and groups of those that are alike and come together."""
    sorter, group = Sorter(context), None
    for line in _lines(descriptor):
        plain = None
        if line is not None and not _QUOTING.search(line[1]):
            plain = sorter.plain(_WORD.findall(line[1]))
        if group is not None and (plain is None or not group.takes(plain)):
            yield group
            group = None
        if plain is not None and line is not None:
            group = group or Group(plain.alike)
            group.add(plain, line[0])
        elif line is not None:
            yield line
    if group is not None:
        yield group


class _Places:
    """So many may be in work: a line takes one place, a group what is free of those that groups may have.

    Args:
        count: of places.
        most: that a group takes.
    """

    def __init__(self, count: int, most: int) -> None:
        self._free, self._most = count, most
        self._changed = threading.Condition()

    def take(self, *, many: bool) -> int:
        """Wait for a place, or for some."""
        with self._changed:
            self._changed.wait_for(lambda: self._free > 0)
            taken = min(self._free, self._most if many else 1)
            self._free -= taken
            return taken

    def give(self, taken: int) -> None:
        """Give them back."""
        with self._changed:
            self._free += taken
            self._changed.notify_all()


class _Crew:
    """Threads that take line after line; each line has a context of its own, and the client is shared."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._progress = Whole(context.display)
        # So many objects in all: an explicit number is never exceeded.
        self._is_bound = context.workers is not None
        self._size = context.workers or _LINES
        # Without a number two groups go side by side, each with as many objects at once as the core likes.
        self._places = _Places(self._size, self._size if self._is_bound else self._size // 2)
        self._queue: queue.Queue[tuple[int, str] | Group | None] = queue.Queue(_WAITING)
        self._live: set[Context] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def work(self, lines: Iterator[tuple[int, str] | Group]) -> None:
        threads: list[threading.Thread] = []
        interrupted: BaseException | None = None
        try:
            for line in lines:
                if len(threads) < self._size:
                    threads.append(threading.Thread(target=self._take, daemon=True))
                    threads[-1].start()
                self._queue.put(line)
            self._progress.all_read()
        except BaseException as error:
            interrupted = error
            self._stop()
        for _ in threads:
            interrupted = self._end(interrupted)
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

    def _end(self, interrupted: BaseException | None) -> BaseException | None:
        """Tell one thread, when all that waits has been taken, that there is no more; what interrupted the work."""
        while True:
            try:
                self._queue.put(None, timeout=0.1)
            except queue.Full:
                continue
            except KeyboardInterrupt as error:
                interrupted = error
                self._stop()
                continue
            return interrupted

    def _stop(self) -> None:
        """Nothing more is begun (what waits is passed over), and what is under way is asked to stop."""
        with self._lock:
            self._stopped = True
            live = list(self._live)
        for context in live:
            context.stop()

    def _take(self) -> None:
        while (line := self._queue.get()) is not None:
            places = self._places.take(many=isinstance(line, Group))
            try:
                if self._stopped:
                    continue
                workers = places if self._is_bound else None
                if isinstance(line, Group):
                    self._group(line, workers)
                else:
                    self._line(*line, workers)
            finally:
                self._places.give(places)

    def _group(self, group: Group, workers: int | None) -> None:
        own = group.alike.context.again()
        own.display = self._progress.part(sized=own.command == "rm")
        self._carry_out(own, lambda: group.run(own, workers))

    def _line(self, number: int, text: str, workers: int | None) -> None:
        from s3z._cli import _runner

        context = self._context
        try:
            parsed = understood(shlex.split(text))
        except UsageError as error:
            self._bad(number, error.command, error)
            return
        except ValueError as error:  # a quotation that does not end; the words are Python's
            self._bad(number, text, RefusedError(str(error)[:1].lower() + str(error)[1:]))
            return
        own = context.of_line(parsed, number, workers)
        own.display = self._progress.part(sized=True)
        self._carry_out(own, lambda: _runner(parsed.command)(own))

    def _bad(self, number: int, label: str, error: Exception) -> None:
        with self._context.lock:
            self._context.tally.failed += 1
            self._context.report(label, error, None, "usage", number)

    def _carry_out(self, own: Context, work: Callable[[], None]) -> None:
        """Do what lines say, and tell how it ended."""
        from s3z._cli._printer import StdoutClosedError

        with self._lock:
            self._live.add(own)
            if self._stopped:
                own.stop()
        try:
            work()
        except (StdoutClosedError, KeyboardInterrupt):
            pass
        except Exception as error:
            own.fail(own.label, error, own.names)
        finally:
            with self._lock:
                self._live.discard(own)
            self._context.add(own)
            self._progress.ended(own.display, own.tally, own.command)


def understood(tokens: list[str]) -> Parsed:
    """The command of a line.

    Raises:
        UsageError: it is none, or none that may stand here.
    """
    if not tokens or tokens[0].startswith("-"):
        raise UsageError("a line begins with a command", tokens[0] if tokens else "run")
    if tokens[0] in _REFUSED:
        raise UsageError(f"{tokens[0]} cannot be a line of run", tokens[0])
    parsed = parse(tokens)
    if parsed.asked is not None:
        raise UsageError("options of s3z itself stand before run", tokens[0])
    own = {option.name for option in GLOBAL}
    mine = {option.name for option in COMMANDS[parsed.command][0]}
    pairs, arguments, _ = normalise(tokens[1:], (*COMMANDS[parsed.command][0], *GLOBAL), parsed.command)
    for name, _value in pairs:
        if name in own and name not in mine:
            raise UsageError(f'option "--{name}" stands before run and holds for all lines', parsed.command)
    if "-" in arguments or any(name in _STREAMS and value == "-" for name, value in pairs):
        raise UsageError('"-" cannot stand in a line of run', parsed.command)
    return parsed
