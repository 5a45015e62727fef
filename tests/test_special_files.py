"""Destinations that are no regular files: written in order, or refused before any request (F9, F10, #63)."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import signal
import stat
import subprocess
import threading
import time
import tty
from typing import TYPE_CHECKING, Any

import pytest
from support.command import SCRIPT
from support.data import MIB, pattern, sha256
from support.kill import RESUMABLE, Child, open_to_others
from support.servers import unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.command import Command
    from support.servers import FakeS3

SIZE = 20 * MIB + 777


class Reader:
    """Reads a FIFO in a thread, whoever opens the other end and whenever; `with` waits for its end.

    Args:
        pause: seconds of rest after each MiB.
        limit: bytes after which it closes.
    """

    def __init__(self, path: Path, pause: float = 0, limit: int | None = None) -> None:
        self.digest = hashlib.sha256()
        self.count = 0
        self.closed = 0.0
        self._path, self._pause, self._limit = path, pause, limit
        self._thread = threading.Thread(target=self._read, daemon=True)

    def _read(self) -> None:
        with self._path.open("rb", buffering=0) as file:
            while self._limit is None or self.count < self._limit:
                part = file.read(1 << 16)
                if not part:
                    break
                self.digest.update(part)
                before, self.count = self.count, self.count + len(part)
                if self._pause and before // MIB != self.count // MIB:
                    time.sleep(self._pause)
        self.closed = time.time()

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(0.5)
        if self._thread.is_alive():
            with contextlib.suppress(OSError):  # nobody came: let it go
                os.close(os.open(self._path, os.O_WRONLY | os.O_NONBLOCK))
            self._thread.join(20)
        assert not self._thread.is_alive()

    def is_pattern(self, size: int) -> bool:
        return (self.count, self.digest.digest()) == (size, hashlib.sha256(pattern(size)).digest())


@pytest.fixture
def fifo(out: Path) -> Path:
    os.mkfifo(out / "fifo", 0o620)
    return out / "fifo"


@pytest.fixture
def child(fake_s3: FakeS3, out: Path, tmp_path: Path) -> Iterator[Child]:
    with Child(fake_s3, tmp_path, config={"memory_limit": 16 * MIB, "read_timeout": 1.0}) as child:
        fake_s3.do("clear_log")
        yield child


def _is_untouched(fifo: Path) -> None:
    """Still a FIFO, with its mode, alone in its directory."""
    assert stat.S_ISFIFO(fifo.lstat().st_mode)
    assert stat.S_IMODE(fifo.lstat().st_mode) == 0o620 & ~os.umask(os.umask(0o022))
    assert os.listdir(fifo.parent) == ["fifo"]


class TestFifo:
    @pytest.mark.parametrize("size", [0, 1, 4096, 8 * MIB - 1, 8 * MIB + 1, SIZE, RESUMABLE + 777])
    def test_bytes_arrive_in_order(self, fake_s3: FakeS3, child: Child, fifo: Path, size: int) -> None:
        fake_s3.pattern("b", "k", size)
        with Reader(fifo) as reader:
            done = child.download("s3://b/k", fifo).ok()
        assert reader.is_pattern(size)
        assert (done["bytes"], done["resumed_bytes"]) == (size, 0)
        assert done["verified"] == "full_object"
        _is_untouched(fifo)

    @pytest.mark.parametrize("options", [{"part_size": 333_333}, {"max_concurrency": 1}, {"durable": True}], ids=str)
    def test_with_options(self, child: Child, fifo: Path, options: dict[str, Any]) -> None:
        with Reader(fifo) as reader:
            child.download("s3://b/k", fifo, **options).ok()
        assert reader.is_pattern(SIZE)
        _is_untouched(fifo)

    def test_link_to_it_is_followed(self, child: Child, fifo: Path) -> None:
        """F9: the one kind of link that is."""
        link = fifo.parent.parent / "link"
        link.symlink_to(fifo)
        with Reader(fifo) as reader:
            child.download("s3://b/k", link).ok()
        assert reader.is_pattern(SIZE)
        assert link.is_symlink()
        _is_untouched(fifo)

    def test_broken_bodies_are_continued(self, fake_s3: FakeS3, child: Child, fifo: Path) -> None:
        """I9: no byte twice, none out of order, whatever the network does."""
        fake_s3.rule({"type": "truncate", "after": 3_000_000}, times=3, operation="GetObject")
        fake_s3.rule({"type": "reset", "after": 1_700_000}, times=3, operation="GetObject", skip=3)
        with Reader(fifo) as reader:
            done = child.download("s3://b/k", fifo, part_size=2 * MIB).ok()
        assert reader.is_pattern(SIZE)
        assert done["attempts"] > done["parts"]

    def test_slow_first_part_does_not_grow_memory(self, fake_s3: FakeS3, child: Child, fifo: Path) -> None:
        """U14: a permit is held until its bytes are consumed."""
        fake_s3.pattern("b", "k", 200 * MIB)
        fake_s3.rule({"type": "stall", "after": 1000, "seconds": 0.8}, times=1, operation="GetObject")
        with Reader(fifo) as reader:
            report = child.download("s3://b/k", fifo, part_size=2 * MIB)
        report.ok()
        assert reader.is_pattern(200 * MIB)
        assert report.peak < (16 + 60) * MIB

    def test_slow_reader_is_no_stall_and_costs_no_memory(self, fake_s3: FakeS3, child: Child, fifo: Path) -> None:
        """Section 3: who does not consume stops the clocks. The time limit of this client is one second."""
        with Reader(fifo, pause=0.15) as reader:
            report = child.download("s3://b/k", fifo, part_size=2 * MIB)
        report.ok()
        assert report.seconds > 1.5
        assert reader.is_pattern(SIZE)
        assert report.peak < (16 + 60) * MIB
        assert fake_s3.do("sent_twice", bucket="b", key="k")["bytes"] == 0

    def test_reader_that_leaves(self, fake_s3: FakeS3, child: Child, fifo: Path) -> None:
        """The kernel's error, with the bytes that were written; the network stops within a second (U14)."""
        fake_s3.pattern("b", "k", 400 * MIB)
        fake_s3.switch(rate_total=80 * MIB)
        with Reader(fifo, limit=5 * MIB) as reader:
            error = child.download("s3://b/k", fifo).error()
        assert error.errno == errno.EPIPE
        assert error.filename == str(fifo)
        assert "BrokenPipeError" in error.bases
        log = fake_s3.log(operation="GetObject")
        assert max(record["time"] + record["duration"] for record in log) - reader.closed < 1
        stated = _bytes_stated(error.text, error.notes)
        assert reader.count <= stated <= reader.count + MIB, "what a pipe holds was written too"
        _is_untouched(fifo)

    def test_no_reader_until_the_deadline(self, child: Child, fifo: Path) -> None:
        report = child.download("s3://b/k", fifo, deadline=0.5)
        assert report.error().type == "TransferTimeoutError"
        assert report.seconds < 5
        _is_untouched(fifo)

    def test_no_reader_until_ctrl_c(self, child: Child, fifo: Path) -> None:
        child.begin("s3://b/k", fifo)
        time.sleep(0.3)
        child.process.send_signal(signal.SIGINT)
        report = child.report(timeout=10)
        assert report.error().type == "KeyboardInterrupt"
        _is_untouched(fifo)

    def test_ctrl_c_while_the_reader_rests(self, fake_s3: FakeS3, child: Child, fifo: Path) -> None:
        """A write that blocks cannot hold up the end."""
        descriptor = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        try:
            child.begin("s3://b/k", fifo)
            time.sleep(0.3)
            sent = time.monotonic()
            child.process.send_signal(signal.SIGINT)
            error = child.report(timeout=10).error()
        finally:
            os.close(descriptor)
        assert error.type == "KeyboardInterrupt"
        assert time.monotonic() - sent < 3
        _is_untouched(fifo)

    def test_late_reader(self, child: Child, fifo: Path) -> None:
        child.begin("s3://b/k", fifo)
        time.sleep(0.5)
        with Reader(fifo) as reader:
            child.report().ok()
        assert reader.is_pattern(SIZE)

    def test_change_of_the_object_is_an_error_once_bytes_are_out(
        self, fake_s3: FakeS3, child: Child, fifo: Path
    ) -> None:
        """I5: also with `restart`, since what was delivered cannot be taken back."""
        fake_s3.rule({"type": "truncate", "after": 5 * MIB}, times=1, operation="GetObject")
        fake_s3.rule({"type": "swap_version", "seed": 9}, times=1, operation="GetObject", range_min=1)
        with Reader(fifo) as reader:
            error = child.download("s3://b/k", fifo, on_change="restart", part_size=2 * MIB, max_concurrency=2).error()
        assert error.type == "ObjectChangedError"
        assert 0 < reader.count < SIZE
        assert reader.digest.digest() == hashlib.sha256(pattern(SIZE)[: reader.count]).digest()
        assert _bytes_stated(error.text, error.notes) == reader.count

    def test_wrong_bytes_are_told_after_the_last_one(self, fake_s3: FakeS3, child: Child, fifo: Path) -> None:
        """C5."""
        fake_s3.rule({"type": "bit_flip", "offset": 9 * MIB})
        with Reader(fifo) as reader:
            error = child.download("s3://b/k", fifo).error()
        assert error.type == "IntegrityError"
        assert reader.count == SIZE
        assert _bytes_stated(error.text, error.notes) == SIZE

    def test_missing_object_writes_nothing(self, child: Child, fifo: Path) -> None:
        descriptor = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        try:
            assert child.download("s3://b/none", fifo).error().type == "NotFoundError"
            assert os.read(descriptor, 10) == b""
        finally:
            os.close(descriptor)
        _is_untouched(fifo)

    def test_by_the_command(self, fake_s3: FakeS3, fifo: Path, command: Callable[..., Command]) -> None:
        with Reader(fifo) as reader:
            outcome = command(fake_s3)("cp", "s3://b/k", str(fifo))
        assert reader.is_pattern(SIZE)
        assert outcome.stderr == ""
        _is_untouched(fifo)

    def test_process_substitution(self, fake_s3: FakeS3, out: Path, command: Callable[..., Command]) -> None:
        """A link below /proc to a pipe without a name."""
        run = command(fake_s3)
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; '{SCRIPT}' -q cp s3://b/k >(cat > copy; echo > done)"],
            cwd=out, env=run.environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        end = time.monotonic() + 20
        while not (out / "done").exists():
            assert time.monotonic() < end
            time.sleep(0.01)
        assert sha256(out / "copy") == hashlib.sha256(pattern(SIZE)).hexdigest()


def _bytes_stated(text: str, notes: list[str]) -> int:
    """The number of bytes that an error says were written."""
    found = re.search(r"(\d[\d,_]*) bytes", " ".join([text, *notes]))
    assert found, f"the error does not say how many bytes were written: {text} {notes}"
    return int(re.sub(r"\D", "", found[1]))


@pytest.fixture
def device(out: Path) -> Callable[[str], Path]:
    """A way to a character device that could be lost without harm, however wrong s3z is."""

    def make(name: str) -> Path:
        (out / name).symlink_to(f"/dev/{name}")
        return out / name

    return make


class TestCharacterDevice:
    @pytest.mark.parametrize("name", ["null", "zero"])
    def test_sink(self, child: Child, device: Callable[[str], Path], out: Path, name: str) -> None:
        path = device(name)
        done = child.download("s3://b/k", path, durable=True).ok()
        assert (done["bytes"], done["verified"]) == (SIZE, "full_object")
        assert path.is_symlink()
        assert stat.S_ISCHR(os.stat(path).st_mode)
        assert os.listdir(out) == [name]

    def test_node_of_its_own(self, child: Child, out: Path) -> None:
        try:
            os.mknod(out / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        except PermissionError:
            unavailable("device nodes need root")
        child.download("s3://b/k", out / "null").ok()
        assert stat.S_ISCHR((out / "null").lstat().st_mode)
        assert os.listdir(out) == ["null"]

    def test_full(self, child: Child, device: Callable[[str], Path], out: Path) -> None:
        path = device("full")
        error = child.download("s3://b/k", path).error()
        assert (error.errno, error.filename) == (errno.ENOSPC, str(path))
        assert not error.is_s3z
        assert not re.search(r"[1-9]\d* bytes", " ".join([error.text, *error.notes])), "none was written"
        assert os.listdir(out) == ["full"]
        assert path.is_symlink()

    def test_full_by_the_command(
        self, fake_s3: FakeS3, device: Callable[[str], Path], command: Callable[..., Command]
    ) -> None:
        outcome = command(fake_s3)("--json", "cp", "s3://b/k", str(device("full")), status=1)
        error = outcome.error_records[0]["error"]
        assert (error["kind"], error["errno"]) == ("local_io", errno.ENOSPC)

    def test_terminal(self, fake_s3: FakeS3, child: Child, out: Path) -> None:
        fake_s3.put("b", "text", b"hello\n" * 1000)
        master, slave = os.openpty()
        got = bytearray()

        def read() -> None:
            with contextlib.suppress(OSError):
                while len(got) < 6000:
                    got.extend(os.read(master, 4096))

        try:
            tty.setraw(slave)
            thread = threading.Thread(target=read, daemon=True)
            thread.start()
            child.download("s3://b/text", os.ttyname(slave)).ok()
            thread.join(20)
            assert bytes(got) == b"hello\n" * 1000
        finally:
            os.close(slave)
            os.close(master)

    def test_standard_output_that_is_a_pipe(self, fake_s3: FakeS3, out: Path, command: Callable[..., Command]) -> None:
        """As `/dev/stdout` is: a link to a link below /proc."""
        fake_s3.put("b", "text", b"hello\n" * 1000)
        (out / "stdout").symlink_to("/proc/self/fd/1")
        outcome = command(fake_s3)("-q", "cp", "s3://b/text", "stdout", cwd=out)
        assert outcome.stdout == "hello\n" * 1000
        assert os.readlink(out / "stdout") == "/proc/self/fd/1"
        assert os.listdir(out) == ["stdout"]


class TestRefused:
    """Before any request."""

    def test_block_device(self, fake_s3: FakeS3, child: Child, out: Path) -> None:
        try:
            # A number that belongs to no driver: nothing is lost should it be opened.
            os.mknod(out / "disk", stat.S_IFBLK | 0o600, os.makedev(240, 77))
        except PermissionError:
            unavailable("device nodes need root")
        for name in ("disk", "link"):
            if name == "link":
                (out / "link").symlink_to("disk")
            error = child.download("s3://b/k", out / name).error()
            assert error.errno is not None
            assert not error.is_s3z
            assert error.filename == str(out / name)
        assert fake_s3.log() == []
        assert stat.S_ISBLK((out / "disk").lstat().st_mode)
        assert (out / "link").is_symlink()

    def test_fifo_of_somebody_else(self, fake_s3: FakeS3, out: Path, tmp_path: Path) -> None:
        if os.getuid() != 0:
            pytest.skip("only root can give a FIFO away")
        open_to_others(tmp_path)
        os.mkfifo(out / "fifo", 0o600)
        with Child(fake_s3, tmp_path, nobody=True) as child:
            fake_s3.do("clear_log")
            error = child.download("s3://b/k", out / "fifo").error()
        assert (error.type, error.errno) == ("PermissionError", errno.EACCES)
        assert fake_s3.log() == []
        assert stat.S_ISFIFO((out / "fifo").lstat().st_mode)
