"""Faults of system calls by `strace -e inject`, and a record of the calls that were made.

strace attaches to the I/O threads of a child, which make all its file calls, once the child is ready. So neither the
start of the interpreter nor the network counts, and `when=` counts calls of the transfer. It counts for each thread
and each call by itself.
"""

from __future__ import annotations

import contextlib
import functools
import re
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from support.servers import die_with_parent, unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_LINE = re.compile(
    r"(?P<time>\d+\.\d+) (?P<name>\w+)\((?P<arguments>.*)\)\s+= (?P<result>.*?)(?: <(?P<took>\d+\.\d+)>)?$"
)


class Call(NamedTuple):
    """One system call, as strace tells it.

    Attributes:
        time: seconds since the epoch when it began.
        result: the number or address returned, the name of the error after -1, and what strace did to it.
    """

    time: float
    thread: int
    name: str
    arguments: str
    result: str
    took: float

    @property
    def injected(self) -> bool:
        return "INJECTED" in self.result or "DELAYED" in self.result

    @property
    def failed(self) -> bool:
        return self.result.startswith("-1 ")


@dataclass
class Trace:
    """What strace wrote; complete once the `with` of `attached` or `command` has ended."""

    base: Path

    @property
    def calls(self) -> list[Call]:
        """All calls of all threads, in the order they began."""
        found = []
        for file in self.base.parent.glob(self.base.name + ".*"):
            thread = int(file.suffix[1:])
            for line in file.read_text(errors="replace").splitlines():
                if match := _LINE.match(line):
                    took = float(match["took"] or 0)
                    found.append(
                        Call(float(match["time"]), thread, match["name"], match["arguments"], match["result"], took)
                    )
        return sorted(found, key=lambda call: call.time)

    @property
    def killed(self) -> bool:
        files = self.base.parent.glob(self.base.name + ".*")
        return any("+++ killed by SIGKILL" in file.read_text(errors="replace") for file in files)

    def named(self, *names: str) -> list[Call]:
        return [call for call in self.calls if call.name in names]

    def injections(self) -> list[Call]:
        """The calls that were tampered with; at least one, else the test has tested nothing."""
        found = [call for call in self.calls if call.injected]
        assert found, f"the fault never fired; calls made: {sorted({call.name for call in self.calls})}"
        return found


@functools.cache
def _reason_why_not() -> str | None:
    if shutil.which("strace") is None:
        return "strace is missing"
    tried = subprocess.run(
        ["strace", "-qq", "-e", "inject=getpid:error=EPERM", "-e", "trace=getpid", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return None if tried.returncode == 0 else f"strace does not work here: {tried.stderr.strip()[-200:]}"


def require_strace() -> None:
    """Skip, or in CI fail, where calls cannot be tampered with."""
    if reason := _reason_why_not():
        unavailable(reason)


def _options(base: Path, faults: Iterable[str], also: Iterable[str]) -> list[str]:
    injections = [option for fault in faults for option in ("-e", f"inject={fault}")]
    named = {name for fault in faults for name in fault.partition(":")[0].split(",")}
    traced = sorted(named | set(also))
    return ["strace", "-qq", "-ttt", "-T", "-y", "-o", str(base), "-e", f"trace={','.join(traced)}", *injections]


@contextlib.contextmanager
def attached(threads: Iterable[int], base: Path, *faults: str, also: Iterable[str] = ()) -> Iterator[Trace]:
    """Tamper with the calls of running threads for as long as the `with` lasts.

    Args:
        threads: their ids.
        base: where the record goes; ids are appended to the name.
        faults: such as `pwrite64:error=ENOSPC:when=7`.
        also: calls that are recorded only.
    """
    require_strace()
    threads = list(threads)
    command = [*_options(base, faults, also), "--output-separately", *(f"--attach={thread}" for thread in threads)]
    command.remove("-qq")  # else it would not say that it is there
    strace = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, preexec_fn=die_with_parent
    )
    assert strace.stderr is not None
    waiting = len(threads)
    try:
        said = ""
        while waiting:
            line = strace.stderr.readline()
            said += line
            assert line, f"strace did not attach: {said}"
            waiting -= "attached" in line
        drain = threading.Thread(target=strace.stderr.read, daemon=True)
        drain.start()
        yield Trace(base)
    finally:
        if strace.poll() is None:
            strace.send_signal(signal.SIGINT)
        try:
            strace.wait(20)
        except subprocess.TimeoutExpired:
            strace.kill()
            strace.wait()
        if not waiting:
            drain.join(10)
        strace.stderr.close()


def command(base: Path, *faults: str, also: Iterable[str] = ()) -> tuple[list[str], Trace]:
    """What to put before a program so that it and all its threads are tampered with from its start."""
    require_strace()
    return [*_options(base, faults, also), "--follow-forks", "--output-separately", "--"], Trace(base)


def s3z_under(prefix: list[str], script: str) -> list[str]:
    """The command `s3z` behind a prefix, run by this interpreter."""
    return [*prefix, sys.executable, script]
