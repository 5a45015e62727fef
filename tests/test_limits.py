"""Limits of the process and a disk slower than the network: descriptors, memory, time (#70, #71, #80)."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import strace
from support.command import python
from support.data import MIB, is_pattern, leftovers
from support.kill import RESUMABLE, Child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.command import Command
    from support.servers import FakeS3

SIZE = 24 * MIB + 777


PARALLEL = """
import resource, sys, threading, s3z
soft, hard, count, size = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
client = s3z.Client()
failures = []

def work(number):
    try:
        assert client.download("s3://b/k", f"out/{number}", part_size=size).bytes
    except BaseException as error:
        failures.append(repr(error))

threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert not failures, sorted(failures)
"""


class TestDescriptors:
    """#70, F15: too few of them lower the concurrency; they fail nothing."""

    def test_many_ranges(self, fake_s3: FakeS3, out: Path) -> None:
        fake_s3.pattern("b", "k", 100 * MIB)
        outcome = python(
            PARALLEL, "64", "64", "1", str(256 << 10), env=fake_s3.environment(), cwd=out.parent, timeout=60
        )
        assert (outcome.status, outcome.stderr) == (0, "")
        assert is_pattern(out / "0", 100 * MIB)

    def test_twenty_downloads_at_once(self, fake_s3: FakeS3, out: Path) -> None:
        fake_s3.pattern("b", "k", 8 * MIB + 777)
        outcome = python(PARALLEL, "64", "64", "20", str(MIB), env=fake_s3.environment(), cwd=out.parent, timeout=60)
        assert (outcome.status, outcome.stderr) == (0, "")
        assert sorted(map(int, os.listdir(out))) == list(range(20))
        assert all(is_pattern(path, 8 * MIB + 777) for path in out.iterdir())

    def test_twenty_downloads_with_resume_state(self, fake_s3: FakeS3, out: Path) -> None:
        """Each holds a directory, a hidden file and a ledger open."""
        fake_s3.pattern("b", "k", RESUMABLE)
        outcome = python(PARALLEL, "64", "64", "20", str(MIB), env=fake_s3.environment(), cwd=out.parent, timeout=90)
        assert (outcome.status, outcome.stderr) == (0, "")
        assert sorted(map(int, os.listdir(out))) == list(range(20))
        assert all(is_pattern(path, RESUMABLE) for path in out.iterdir())

    def test_command_raises_its_soft_limit(self, fake_s3: FakeS3, out: Path, command: Callable[..., Command]) -> None:
        import resource

        fake_s3.pattern("b", "k", 40 * MIB)
        fake_s3.switch(rate_total=40 * MIB)
        process = command(fake_s3).start(
            "--log-progress", "0.1", "cp", "s3://b/k", "out/k",
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 3000)),
        )  # fmt: skip
        assert process.stderr is not None
        process.stderr.readline()
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        process.communicate(timeout=30)
        assert process.returncode == 0
        found = re.search(r"Max open files\s+(\d+)\s+(\d+)", limits)
        assert found
        assert found[1] == found[2] == "3000"

    @pytest.mark.parametrize("fault", ["socket:error=EMFILE:when=1..3", "socket:error=ENFILE:when=2..4"])
    def test_no_socket_for_a_while(self, fake_s3: FakeS3, out: Path, tmp_path: Path, fault: str) -> None:
        fake_s3.pattern("b", "k", 60 * MIB)
        fake_s3.rule({"type": "latency", "ms": 20}, operation="GetObject", key="k")
        with Child(fake_s3, tmp_path) as child:
            with strace.attached(child.threads("s3z-net"), tmp_path / "trace", fault) as trace:
                report = child.download("s3://b/k", out / "k", part_size=MIB, max_concurrency=8)
            trace.injections()
            report.ok()
        assert is_pattern(out / "k", 60 * MIB)

    @pytest.mark.parametrize("fault", ["openat:error=EMFILE:when=1..2", "openat:error=ENFILE:when=2..3"])
    def test_no_file_for_a_while(self, fake_s3: FakeS3, out: Path, tmp_path: Path, fault: str) -> None:
        with Child(fake_s3, tmp_path) as child:
            with strace.attached(child.lanes, tmp_path / "trace", fault) as trace:
                report = child.download("s3://b/k", out / "k")
            trace.injections()
            report.ok()
        assert is_pattern(out / "k", SIZE)
        assert os.listdir(out) == ["k"]

    def test_no_socket_ever(self, fake_s3: FakeS3, out: Path, tmp_path: Path) -> None:
        """An end, and no spinning until then."""
        with Child(fake_s3, tmp_path) as child:
            fake_s3.rule({"type": "close_at_reuse"})
            with strace.attached(child.threads("s3z-net"), tmp_path / "trace", "socket:error=EMFILE") as trace:
                report = child.download("s3://b/k", out / "k", deadline=2)
            assert len(trace.injections()) < 200
        assert {"TransferTimeoutError", "TransferConnectionError", "OSError"} & {*report.error().bases}
        assert report.seconds < 10
        assert os.listdir(out) == []


class TestSlowDisk:
    """#71, Y9: what the disk does not take is not fetched."""

    @pytest.mark.parametrize("limit", [16, 48])
    def test_memory_is_bounded(
        self, fake_s3: FakeS3, out: Path, tmp_path: Path, limit: int, capsys: pytest.CaptureFixture[str]
    ) -> None:
        size = 2 * limit * MIB + 40 * MIB
        fake_s3.pattern("b", "k", size)
        with Child(fake_s3, tmp_path, config={"memory_limit": limit * MIB}) as child:
            with strace.attached(child.lanes, tmp_path / "trace", "pwrite64:delay_enter=15000") as trace:
                report = child.download("s3://b/k", out / "k")
            trace.injections()
            report.ok()
        assert is_pattern(out / "k", size)
        with capsys.disabled():
            print(f"\n[slow disk, memory limit {limit} MiB: {report.peak >> 20} MiB]", end="")
        assert report.peak <= (limit + 60) * MIB

    def test_disk_that_hangs_for_a_while_is_no_stall_of_the_network(
        self, fake_s3: FakeS3, out: Path, tmp_path: Path
    ) -> None:
        """Section 3: the clocks of bodies nobody asks for stand still."""
        size = 60 * MIB
        fake_s3.pattern("b", "k", size)
        with Child(fake_s3, tmp_path, config={"memory_limit": 8 * MIB, "read_timeout": 0.5}) as child:
            with strace.attached(child.lanes, tmp_path / "trace", "pwrite64:delay_enter=1500000:when=3") as trace:
                report = child.download("s3://b/k", out / "k", max_concurrency=4)
            trace.injections()
            report.ok()
        assert is_pattern(out / "k", size)
        assert fake_s3.do("sent_twice", bucket="b", key="k")["bytes"] == 0

    def test_ctrl_c_while_the_disk_hangs(self, fake_s3: FakeS3, out: Path, tmp_path: Path) -> None:
        fake_s3.pattern("b", "k", 60 * MIB)
        slow = "pwrite64:delay_enter=700000:when=2+"
        with Child(fake_s3, tmp_path) as child, strace.attached(child.lanes, tmp_path / "trace", slow):
            child.begin("s3://b/k", out / "k")
            time.sleep(0.4)
            sent = time.monotonic()
            child.process.send_signal(signal.SIGINT)
            error = child.report(20).error()
            took = time.monotonic() - sent
        assert error.type == "KeyboardInterrupt"
        assert took < 4, "one write of each thread may have to end, not all that wait"
        assert os.listdir(out) == []


ADDRESS_SPACE = """
import resource, sys, s3z, s3z._core, encodings.idna, traceback
from s3z import _exceptions, _transfers
with open("/proc/self/status") as status:
    now = int(next(line for line in status if line.startswith("VmSize")).split()[1]) << 10
limit = now + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    s3z.download("s3://b/k", "out/k")
    print("done")
except BaseException as error:
    print(*[each.__name__ for each in type(error).__mro__])
"""


class TestAddressSpace:
    """#80: MemoryError, an error that says what could not be had, or success; never a hang, a panic or half a file."""

    @pytest.mark.parametrize("more", [0, 4, 6, 8, 10, 12, 16, 24, 48, 256])
    def test_little_is_left(self, fake_s3: FakeS3, out: Path, more: int) -> None:
        size = 40 * MIB
        fake_s3.pattern("b", "k", size)
        (out / "k").write_bytes(b"old")
        outcome = python(ADDRESS_SPACE, str(more * MIB), env=fake_s3.environment(), cwd=out.parent, timeout=30)
        if outcome.status == 0 and outcome.stdout == "done\n":
            assert is_pattern(out / "k", size)
            assert leftovers(out) == []
            return
        assert more < 256, f"more than enough for this: {outcome}"
        if outcome.status == 0:
            bases = outcome.stdout.split()
            assert {"MemoryError", "S3zError", "OSError"} & set(bases), outcome
            assert "panicked" not in outcome.stderr
            assert leftovers(out) == []
        else:
            # Below the allocator of Rust's own library nothing can be caught. Our own buffers can.
            assert outcome.status == -signal.SIGABRT, outcome
            for left in leftovers(out):
                os.unlink(left)
            # Two threads may fail at once, and their lines then lie within each other.
            assert "memory allocation of" in outcome.stderr, outcome
            sizes = [int(size) for size in re.findall(r"\d+", outcome.stderr)]
            assert max(sizes) < MIB // 2, f"a buffer was asked for as if it could not be refused: {outcome}"
        assert (out / "k").read_bytes() == b"old"

    def test_explicit_limit_fits_where_the_default_might_not(self, fake_s3: FakeS3, out: Path) -> None:
        fake_s3.pattern("b", "k", 80 * MIB)
        code = ADDRESS_SPACE.replace(
            "s3z.download(", "s3z.Client(config=s3z.TransferConfig(memory_limit=8 << 20)).download("
        )
        outcome = python(code, str(64 * MIB), env=fake_s3.environment(), cwd=out.parent, timeout=30)
        assert (outcome.status, outcome.stdout) == (0, "done\n"), outcome
        assert is_pattern(out / "k", 80 * MIB)


@pytest.fixture
def cgroup() -> Iterator[Callable[[int], Path]]:
    """Makes memory cgroups; the limit is in bytes."""
    made: list[Path] = []

    def make(limit: int) -> Path:
        v1 = Path("/sys/fs/cgroup/memory")
        parent, name = (v1, "memory.limit_in_bytes") if v1.is_dir() else (Path("/sys/fs/cgroup"), "memory.max")
        group = parent / f"s3z-test-{os.getpid()}-{len(made)}"
        try:
            group.mkdir()
            made.append(group)
            (group / name).write_text(str(limit))
        except OSError as error:
            pytest.skip(f"memory cgroups cannot be made here: {error}")
        return group

    yield make
    for group in made:
        group.rmdir()


class TestCgroup:
    """#80: the budget follows the limit of the group the process is in, wherever that is mounted."""

    @pytest.mark.parametrize("limit", [64])
    def test_no_death_by_memory(
        self, fake_s3: FakeS3, out: Path, tmp_path: Path, cgroup: Callable[[int], Path], limit: int,
        capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        group = cgroup(limit * MIB)
        size = 160 * MIB
        fake_s3.pattern("b", "k", size)

        def enter() -> None:
            (group / "cgroup.procs").write_text(str(os.getpid()))

        slow = "pwrite64:delay_enter=3000"
        with (
            Child(fake_s3, tmp_path, preexec=enter) as child,
            strace.attached(child.lanes, tmp_path / "trace", slow),
        ):
            report = child.download("s3://b/k", out / "k")
        report.ok()
        with capsys.disabled():
            print(f"\n[in a group of {limit} MiB: {report.peak >> 20} MiB]", end="")
        assert is_pattern(out / "k", size)
        assert report.peak < limit * MIB


def test_memory_of_many_small_requests_is_bounded(fake_s3: FakeS3, out: Path, tmp_path: Path) -> None:
    """Y9: for any count of parts."""
    fake_s3.pattern("b", "k", 120 * MIB)
    with Child(fake_s3, tmp_path, config={"memory_limit": 8 * MIB}) as child:
        report = child.download("s3://b/k", out / "k", part_size=32 << 10)
    report.ok()
    assert report.peak <= (8 + 60) * MIB
    assert is_pattern(out / "k", 120 * MIB)
