"""A child process that downloads on command, so that it can be traced, limited, and killed at any moment."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from support import strace
from support.data import MIB, is_pattern, leftovers
from support.servers import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.servers import FakeS3, Server

#: what every new child fetches first, so that its threads and a connection are there
WARM = "s3://b/warm"
#: from here on a ledger is kept
RESUMABLE = 64 * MIB
#: bytes per second that let a download of this size be killed in its middle
SLOW = 128 * MIB

PROGRAM = """
import ctypes, encodings.idna, json, os, sys, time, traceback

setup = json.loads(sys.argv[1])
import s3z
client = s3z.Client(config=s3z.TransferConfig(**setup["config"]))
if setup["warm"]:
    client.download(setup["warm"], setup["scratch"])
    os.unlink(setup["scratch"])
if setup["nobody"] and os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
# A debugger that is no ancestor needs leave where yama guards processes.
ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)

def peak():
    with open("/proc/self/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return int(fields["VmHWM"].split()[0]) << 10

def say(**what):
    print(json.dumps(what), flush=True)

def seen(event):
    say(durable=event.durable)

def outcome(error):
    path = getattr(error, "filename", None)
    return {
        "type": type(error).__name__,
        "bases": [each.__name__ for each in type(error).__mro__],
        "errno": getattr(error, "errno", None),
        "filename": None if path is None else os.fsdecode(path),
        "text": str(error),
        "notes": getattr(error, "__notes__", []),
        "is_s3z": isinstance(error, s3z.S3zError),
    }

say(ready=os.getpid())
for line in sys.stdin:
    order = json.loads(line)
    began = time.monotonic()
    try:
        options = order["options"]
        if order["tell"]:
            options["progress"] = seen
        if order["client"] is not None:
            config = s3z.TransferConfig(**{**setup["config"], **order["client"].pop("config", {})})
            client = s3z.Client(config=config, **order["client"])
        done = client.download(order["uri"], order["to"], **options)
        said = {name: getattr(done, name, None) for name in ("bytes", "etag", "parts", "attempts", "resumed_bytes")}
        said["verified"] = done.verified.kind
        say(done=said, seconds=time.monotonic() - began, peak=peak())
    except BaseException as error:
        say(failed=outcome(error), seconds=time.monotonic() - began, peak=peak())
"""


class Failure(NamedTuple):
    """The exception of a child's download."""

    type: str
    bases: list[str]
    errno: int | None
    filename: str | None
    text: str
    notes: list[str]
    is_s3z: bool


@dataclass(frozen=True)
class Report:
    """How a child's download ended.

    Attributes:
        peak: the most memory the child ever held (VmHWM), bytes.
        done: bytes, etag, parts, attempts, resumed_bytes, verified.
    """

    seconds: float
    peak: int
    done: dict[str, Any] | None = None
    failed: Failure | None = None

    def ok(self) -> dict[str, Any]:
        assert self.done is not None, self.failed
        return self.done

    def error(self) -> Failure:
        assert self.failed is not None, f"no error came of it: {self.done}"
        return self.failed


@dataclass
class Child:
    """A process with a client of its own; `with` ends it, whatever it is doing.

    Attributes:
        config: fields of `TransferConfig`.
        nobody: whether root is given up once all modules are loaded and all threads run.
        prefix: goes before the interpreter, such as `prlimit …`.
        warm: fetched before anything else; None leaves the client cold.
    """

    server: Server
    directory: Path
    config: dict[str, Any] = field(default_factory=dict)
    nobody: bool = False
    prefix: tuple[str, ...] = ()
    warm: str | None = WARM
    env: dict[str, str] = field(default_factory=dict)
    preexec: Callable[[], None] = die_with_parent

    def __enter__(self) -> Child:
        setup = {
            "config": self.config,
            "warm": self.warm,
            "scratch": str(self.directory / ".home" / f"warm-{time.monotonic_ns()}"),
            "nobody": self.nobody,
        }
        Path(setup["scratch"]).parent.mkdir(exist_ok=True)  # type: ignore[arg-type]
        self.process = subprocess.Popen(
            [*self.prefix, sys.executable, "-c", PROGRAM, json.dumps(setup)],
            env={**os.environ, **self.server.environment(), **self.env},
            cwd=self.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=self.preexec,
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.pid = int(self._next(60)["ready"])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._reader.join(10)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _next(self, timeout: float) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            self.kill()
            raise AssertionError(f"the child said nothing for {timeout} s: it hangs") from None
        if not line:
            self.process.wait(10)
            assert self.process.stderr is not None
            raise ChildProcessError(f"the child ended, status {self.process.returncode}: {self.process.stderr.read()}")
        said: dict[str, Any] = json.loads(line)
        return said

    @property
    def lanes(self) -> list[int]:
        """Its threads that make file calls."""
        return self.threads("s3z-io")

    def threads(self, name: str) -> list[int]:
        """Its threads with a name that begins so."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        found = sorted(int(task.name) for task in tasks if (task / "comm").read_text().startswith(name))
        assert found, f"no thread {name} runs; is it called differently now?"
        return found

    def begin(
        self, uri: str, to: Path | str, *, tell: bool = False, client: dict[str, Any] | None = None, **options: Any
    ) -> None:
        """Start a download.

        Args:
            uri: what.
            to: where.
            tell: makes progress known to `wait_for`.
            client: arguments of a client that replaces the one before; None goes on with that.
            options: of the download.
        """
        assert self.process.stdin is not None
        order = {"uri": uri, "to": str(to), "options": options, "tell": tell, "client": client}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def wait_for(self, durable: int) -> int:
        """Until so many bytes are written to the file; how many they are, or -1 if the download ended before."""
        while True:
            said = self._next(60)
            if "durable" not in said:
                return -1
            if said["durable"] >= durable:
                return int(said["durable"])

    def report(self, timeout: float = 60) -> Report:
        """How the download ended."""
        end = time.monotonic() + timeout
        while True:
            said = self._next(max(end - time.monotonic(), 0.01))
            if "durable" in said:
                continue
            failed = Failure(**said["failed"]) if "failed" in said else None
            return Report(said["seconds"], said["peak"], said.get("done"), failed)

    def download(self, uri: str, to: Path | str, timeout: float = 60, **options: Any) -> Report:
        self.begin(uri, to, **options)
        return self.report(timeout)

    def has_reported(self) -> bool:
        """Whether a download has returned or failed by now."""
        while not self._lines.empty():
            line = self._lines.get()
            if line and "durable" not in json.loads(line):
                return True
        return False

    def kill(self, number: int = signal.SIGKILL) -> int:
        """End it; its status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)

    def died(self, timeout: float = 60) -> int:
        """Wait for an end that somebody else brings about; the status."""
        return self.process.wait(timeout)


def open_to_others(directory: Path) -> None:
    """Let somebody else reach a directory of the tests, which pytest keeps to its owner."""
    if os.getuid() == 0:
        for parent in (directory, *directory.parents):
            if parent != Path("/") and not parent.stat().st_mode & stat.S_IXOTH:
                parent.chmod(parent.stat().st_mode | 0o011)


def fetched(server: FakeS3, key: str = "k") -> int:
    """Bytes of the object that the server gave away since its log was cleared."""
    return sum(end - start for start, end in runs(server, key))


def runs(server: FakeS3, key: str = "k") -> list[tuple[int, int]]:
    """The ranges of the object that it gave away, in the order of the requests."""
    return [
        (record["body_start"], record["body_start"] + record["bytes_out"] - record["head_out"])
        for record in server.log(operation="GetObject", key=key)
        if record["body_start"] is not None and record["status"] in (200, 206)
    ]


def whole_or_old(path: Path, old: bytes | None, size: int, seed: int = 1) -> str:
    """Promise 2: what is under the name is `absent`, `old` or `new`; anything else is a failure."""
    if not path.exists():
        assert old is None, "the old file is gone"
        return "absent"
    if old is not None and path.stat().st_size == len(old) and path.read_bytes() == old:
        return "old"
    assert is_pattern(path, size, seed), f"{path} is neither the old nor the new file ({path.stat().st_size} bytes)"
    return "new"


def only_known_names(directory: Path) -> None:
    """All that a killed download may leave beside its destination is recognisable."""
    for left in leftovers(directory):
        stem, suffix = os.path.splitext(os.path.basename(left))
        assert suffix in (".part", ".ledger"), left
        assert len(stem) == len(".s3z-") + 32, left
        assert set(stem[5:]) <= set("0123456789abcdef"), left


def ledger_of(destination: Path) -> Path:
    """Where the ledger of a destination is: found by the next run without a search (F12)."""
    name = hashlib.sha256(os.fsencode(destination.name)).hexdigest()[:32]
    return destination.with_name(f".s3z-{name}.ledger")


def temps(directory: Path) -> list[Path]:
    """The hidden files of unfinished downloads."""
    return sorted(directory.glob(".s3z-*.part"))


@dataclass
class Killed:
    """What `kill -9` left: a hidden file and its ledger; can be put back as it was, to be resumed again.

    Attributes:
        durable: bytes that were written, by the progress told last.
        fetched: bytes the server gave away.
    """

    destination: Path
    durable: int
    fetched: int
    temp: Path
    ledger: Path
    _content: bytes = field(default=b"", repr=False)
    _records: bytes = field(default=b"", repr=False)
    _inode: int = 0

    def remember(self) -> Killed:
        """Keep what is there, for `restore`."""
        self._content, self._records = self.temp.read_bytes(), self.ledger.read_bytes()
        self._inode = self.temp.stat().st_ino
        return self

    def resumable(self) -> bool:
        """Whether the hidden file still is the very one, maybe published by now."""
        return any(path.exists() and path.stat().st_ino == self._inode for path in (self.temp, self.destination))

    def restore(self) -> None:
        """Put hidden file and ledger back. The hidden file must still be the very one, maybe under its new name."""
        if not self.temp.exists():
            self.destination.rename(self.temp)
        # A file that is open for reading may not be truncated under it; nobody has it open here.
        with self.temp.open("r+b") as file:
            file.write(self._content)
            file.truncate()
        self.temp.chmod(0o600)
        self.ledger.write_bytes(self._records)
        self.ledger.chmod(0o600)


def kill_amid(
    server: FakeS3,
    directory: Path,
    destination: Path,
    durable: int,
    uri: str = "s3://b/k",
    *,
    rate: int = SLOW,
    **options: Any,
) -> Killed:
    """Download slowly and kill the process once so many bytes are written."""
    server.do("clear_log")
    server.switch(rate_total=rate)
    try:
        with Child(server, directory) as child:
            child.begin(uri, destination, tell=True, **options)
            reached = child.wait_for(durable)
            child.kill()
            ended = reached < 0 or child.has_reported()
    finally:
        server.switch(rate_total=0)
    assert not ended, "the download had ended before it was killed"
    left = temps(destination.parent)
    assert len(left) == 1, left
    return Killed(destination, reached, fetched(server, uri.rpartition("/")[2]), left[0], ledger_of(destination))


#: calls at which a download may be killed: all that leave a trace in the file system or decide about it
DEADLY = (
    "open", "openat", "openat2", "mkdirat", "flock", "fallocate", "ftruncate", "fcntl", "pwrite64", "pread64", "write",
    "fstat", "newfstatat", "fchmod", "utimensat", "fsync", "fdatasync", "rename", "renameat", "renameat2", "linkat",
    "unlinkat", "close",
)  # fmt: skip


class Point(NamedTuple):
    """The n-th time that a thread makes a call; it is killed before the call is made."""

    call: str
    nth: int


def deadly_points(server: FakeS3, directory: Path, size: int, **options: Any) -> list[Point]:
    """Every point at which a download of `s3://b/k` can be killed, found by watching one to its end."""
    destination = directory / "watched"
    with Child(server, directory) as child:
        with strace.attached(child.lanes, directory / "watched-trace", also=DEADLY) as trace:
            child.download("s3://b/k", destination, **options).ok()
        assert is_pattern(destination, size)
    destination.unlink()
    most: dict[str, int] = {}
    counted: dict[tuple[int, str], int] = {}
    for call in trace.calls:
        at = (call.thread, call.name)
        counted[at] = counted.get(at, 0) + 1
        most[call.name] = max(most.get(call.name, 0), counted[at])
    for file in directory.glob("watched-trace.*"):
        file.unlink()
    return [Point(name, nth) for name in sorted(most) for nth in range(1, most[name] + 1)]


@dataclass(frozen=True)
class Survival:
    """What a kill at one point, and the run after it, did.

    Attributes:
        fired: whether the process was killed; threads share the work differently each time.
        state: `absent`, `old` or `new` after the kill.
        resumed: bytes that the next run did not fetch.
        orphan: whether a hidden file is left that no ledger names.
    """

    point: Point
    fired: bool
    state: str
    resumed: int
    orphan: bool


def survive(
    server: FakeS3,
    directory: Path,
    point: Point,
    size: int,
    old: bytes | None,
    *,
    finisher: Child | None = None,
    **options: Any,
) -> Survival:
    """Kill a download of `s3://b/k` at a point, check what is left, and finish it.

    Args:
        server: which has `s3://b/k`.
        directory: where all happens, below `out`.
        point: where to kill.
        size: of the object.
        old: what is at the destination before; None is nothing.
        finisher: the process of the second run; None starts one.
        options: of both downloads.

    Raises:
        AssertionError: half a file, an unknown name, or a next run that does not end well.
    """
    out = directory / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    if old is not None:
        (out / "k").write_bytes(old)
    fault = f"{point.call}:signal=KILL:when={point.nth}"
    base = directory / "kill-trace"
    with Child(server, directory) as child:
        with strace.attached(child.lanes, base, fault) as trace:
            child.begin("s3://b/k", out / "k", **options)
            try:
                child.report().ok()
            except ChildProcessError:
                assert child.died() == -signal.SIGKILL
        fired = child.process.poll() is not None
    assert fired == trace.killed
    for file in directory.glob("kill-trace.*"):
        file.unlink()
    state = whole_or_old(out / "k", old, size)
    assert fired or state == "new"
    only_known_names(out)
    left = leftovers(out)
    assert len(left) <= 2, left
    ledger = ledger_of(out / "k")
    names_temp = ledger.exists() and all(part.name.encode() in ledger.read_bytes() for part in temps(out))
    with contextlib.ExitStack() as stack:
        if finisher is None:
            finisher = stack.enter_context(Child(server, directory))
        if not options.get("overwrite", True):
            (out / "k").unlink(missing_ok=True)
        done = finisher.download("s3://b/k", out / "k", **options).ok()
    assert is_pattern(out / "k", size)
    assert not ledger.exists(), "the next run leaves no state"
    orphans = temps(out)
    assert not (orphans and names_temp), "a hidden file that a ledger names is used or removed"
    assert len(orphans) <= 1
    return Survival(point, fired, state, int(done["resumed_bytes"]), bool(orphans))
