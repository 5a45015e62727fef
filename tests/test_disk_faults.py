"""The local disk fails: full, over quota, broken, slow to say so, read-only, not ours. Rows 55 to 64 of the matrix."""

from __future__ import annotations

import errno
import os
import signal
import stat
from typing import TYPE_CHECKING, Any

import pytest
from support import strace
from support.command import SCRIPT
from support.data import MIB, is_pattern, leftovers
from support.disks import LoopDisk, run, tmpfs
from support.kill import RESUMABLE, Child, Report, fetched, only_known_names, open_to_others, whole_or_old
from support.servers import unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.command import Command
    from support.servers import FakeS3

SIZE = 24 * MIB + 777
OLD = b"what was there before"
#: every call that changes a directory or a file
CHANGES = (
    "pwrite64", "fallocate", "ftruncate", "fchmod", "utimensat", "fsync", "fdatasync", "renameat", "renameat2",
    "rename", "linkat", "unlinkat", "openat", "mkdirat", "close",
)  # fmt: skip


@pytest.fixture
def child(fake_s3: FakeS3, out: Path, tmp_path: Path) -> Iterator[Child]:
    with Child(fake_s3, tmp_path) as child:
        fake_s3.do("clear_log")
        yield child


def _try(child: Child, out: Path, *faults: str, also: tuple[str, ...] = CHANGES, **options: Any) -> tuple[Report, Any]:
    """Download over an old file while calls fail; how it ended and what was called."""
    if not (out / "k").exists():
        (out / "k").write_bytes(OLD)
    with strace.attached(child.lanes, out.parent / "trace", *faults, also=also) as trace:
        report = child.download("s3://b/k", out / "k", **options)
    trace.injections()
    return report, trace


def _is_clean_failure(report: Report, out: Path, number: int) -> None:
    """F5: the kernel's own error, naming the destination; the old file; nothing else."""
    error = report.error()
    assert "OSError" in error.bases
    assert not error.is_s3z
    assert (error.errno, error.filename) == (number, str(out / "k")), error
    assert os.listdir(out) == ["k"]
    assert (out / "k").read_bytes() == OLD


class TestEnds:
    """#55, #56, #59, #60."""

    @pytest.mark.parametrize(
        ("fault", "number"),
        [
            ("fallocate:error=ENOSPC", errno.ENOSPC),
            ("fallocate:error=EDQUOT", errno.EDQUOT),
            ("fallocate:error=EFBIG", errno.EFBIG),
            ("fallocate:error=EIO", errno.EIO),
            ("pwrite64:error=ENOSPC:when=1+", errno.ENOSPC),
            ("pwrite64:error=ENOSPC:when=7", errno.ENOSPC),
            ("pwrite64:error=EDQUOT:when=3+", errno.EDQUOT),
            ("pwrite64:error=EIO:when=5", errno.EIO),
            ("pwrite64:error=EFBIG:when=2+", errno.EFBIG),
            # Of a buffered write it is no hint to try without direct I/O.
            ("pwrite64:error=EINVAL:when=1+", errno.EINVAL),
            # Nothing written and no error either: as a broken disk, not as a reason to try for ever.
            ("pwrite64:retval=0:when=2+", errno.EIO),
            ("ftruncate:error=EIO", errno.EIO),
            ("fchmod:error=EIO", errno.EIO),
            ("utimensat:error=EIO", errno.EIO),
            ("renameat:error=EIO", errno.EIO),
            ("renameat:error=EACCES", errno.EACCES),
            ("renameat:error=EXDEV", errno.EXDEV),
            ("renameat:error=EROFS", errno.EROFS),
            ("newfstatat:error=EIO", errno.EIO),
        ],
    )
    def test_call_fails(self, child: Child, out: Path, fault: str, number: int) -> None:
        report, _ = _try(child, out, fault)
        _is_clean_failure(report, out, number)
        # The process and its client are as good as before.
        assert child.download("s3://b/k", out / "k").ok()["bytes"] == SIZE
        assert is_pattern(out / "k", SIZE)

    def test_no_file_can_be_opened(self, child: Child, out: Path) -> None:
        """Whichever of them it is that fails, the temporary one among them."""
        (out / "k").write_bytes(OLD)
        hit = []
        for nth in range(1, 9):
            base = out.parent / f"trace{nth}-"
            with strace.attached(child.lanes, base, f"openat:error=ENOSPC:when={nth}") as trace:
                report = child.download("s3://b/k", out / "k")
            hit += [call.arguments for call in trace.calls if call.injected]
            if report.failed is None:
                assert is_pattern(out / "k", SIZE)
                (out / "k").write_bytes(OLD)
                continue
            assert report.failed.errno == errno.ENOSPC
            assert report.failed.filename in (str(out / "k"), str(out)), report.failed
            assert os.listdir(out) == ["k"]
            assert (out / "k").read_bytes() == OLD
        assert any('".s3z-' in arguments for arguments in hit), hit

    @pytest.mark.parametrize("fault", ["fallocate:error=ENOSPC", "pwrite64:error=EIO:when=3"])
    def test_nothing_appears_where_nothing_was(self, child: Child, out: Path, fault: str) -> None:
        with strace.attached(child.lanes, out.parent / "trace", fault) as trace:
            report = child.download("s3://b/k", out / "made/for/nothing/k")
        trace.injections()
        assert report.error().errno is not None
        assert os.listdir(out) == []

    @pytest.mark.parametrize("fault", ["pwrite64:error=ENOSPC:when=9", "pwrite64:error=EIO:when=2"])
    def test_call_fails_for_a_large_file(self, fake_s3: FakeS3, child: Child, out: Path, fault: str) -> None:
        """With direct I/O, and with resume state, which goes too: the disk is not to be trusted."""
        fake_s3.pattern("b", "k", RESUMABLE + SIZE)
        report, _ = _try(child, out, fault)
        _is_clean_failure(report, out, errno.ENOSPC if "ENOSPC" in fault else errno.EIO)

    def test_full_disk_is_known_before_more_is_fetched(self, fake_s3: FakeS3, child: Child, out: Path) -> None:
        """F3: one range was under way, and there is no second."""
        fake_s3.pattern("b", "k", 40 * MIB)
        report, _ = _try(child, out, "fallocate:error=ENOSPC", part_size=4 * MIB)
        _is_clean_failure(report, out, errno.ENOSPC)
        assert [record["range"] for record in fake_s3.log(operation="GetObject")] == [f"bytes=0-{4 * MIB - 1}"]

    def test_write_error_stops_the_network(
        self, fake_s3: FakeS3, child: Child, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """F5: within 100 ms. The best of some tries, since a busy machine adds its own."""
        fake_s3.pattern("b", "k", 400 * MIB)
        fake_s3.switch(rate_total=80 * MIB)
        delays = []
        for number in range(5):
            fake_s3.do("clear_log")
            for file in out.parent.glob("trace.*"):
                file.unlink()
            report, trace = _try(child, out, "pwrite64:error=ENOSPC:when=6+")
            _is_clean_failure(report, out, errno.ENOSPC)
            failed = trace.injections()[0].time
            log = fake_s3.log(operation="GetObject")
            assert all(record["end"] for record in log), "all requests have ended"
            delays.append(max(record["time"] + record["duration"] for record in log) - failed)
            if delays[-1] <= 0.1 and number:
                break
        with capsys.disabled():
            print(f"\n[the network stopped {', '.join(f'{each * 1000:.0f}' for each in delays)} ms later]", end="")
        assert min(delays) <= 0.1
        assert fetched(fake_s3) < 100 * MIB

    def test_first_cause_is_told_when_the_clean_up_fails_too(self, child: Child, out: Path) -> None:
        report, _ = _try(child, out, "pwrite64:error=ENOSPC:when=2+", "unlinkat:error=EIO")
        assert report.error().errno == errno.ENOSPC
        assert (out / "k").read_bytes() == OLD
        only_known_names(out)
        for left in leftovers(out):
            os.unlink(left)

    def test_close_error_counts(self, child: Child, out: Path) -> None:
        """F5: network file systems tell of a full disk at the end. The descriptors strace withholds stay open."""
        report, trace = _try(child, out, "close:error=EIO")
        assert any(".s3z-" in call.arguments or "/out/k" in call.arguments for call in trace.injections())
        assert report.error().errno == errno.EIO
        assert whole_or_old(out / "k", OLD, SIZE) in ("old", "new")
        assert leftovers(out) == []

    def test_parents_made_before_the_failure_go_again(self, child: Child, out: Path) -> None:
        with strace.attached(child.lanes, out.parent / "trace", "mkdirat:error=ENOSPC:when=2") as trace:
            report = child.download("s3://b/k", out / "a/b/c/k")
        trace.injections()
        assert report.error().errno == errno.ENOSPC
        assert os.listdir(out) == []

    def test_by_the_command(self, fake_s3: FakeS3, out: Path, command: Callable[..., Command]) -> None:
        (out / "k").write_bytes(OLD)
        prefix, trace = strace.command(out.parent / "trace", "pwrite64:error=ENOSPC:when=3+")
        outcome = command(fake_s3)(
            "--json", "cp", "s3://b/k", "out/k", program=strace.s3z_under(prefix, SCRIPT), status=1
        )
        trace.injections()
        error = outcome.error_records[0]["error"]
        assert (error["kind"], error["errno"]) == ("local_io", errno.ENOSPC)
        assert os.listdir(out) == ["k"]
        assert (out / "k").read_bytes() == OLD


class TestFileSizeLimit:
    """#56: EFBIG in the middle of the file, since its size was not known before; SIGXFSZ is no death."""

    def test_of_a_call(self, fake_s3: FakeS3, out: Path) -> None:
        fake_s3.rule({"type": "chunked"}, operation="GetObject", key="k")
        (out / "k").write_bytes(OLD)
        with Child(fake_s3, out.parent, prefix=("prlimit", f"--fsize={5 * MIB + 1}", "--")) as child:
            report = child.download("s3://b/k", out / "k", max_concurrency=1)
            _is_clean_failure(report, out, errno.EFBIG)
            fake_s3.pattern("b", "k", 5 * MIB + 1)
            assert child.download("s3://b/k", out / "k", max_concurrency=1).ok()["bytes"] == 5 * MIB + 1

    def test_of_the_command(self, fake_s3: FakeS3, out: Path, command: Callable[..., Command]) -> None:
        fake_s3.rule({"type": "chunked"}, operation="GetObject", key="k")
        (out / "k").write_bytes(OLD)
        program = ["prlimit", f"--fsize={5 * MIB + 1}", "--", SCRIPT]
        outcome = command(fake_s3)("cp", "-c", "1", "s3://b/k", "out/k", program=program, status=1)
        assert "file too large" in outcome.errors[0].lower()
        assert os.listdir(out) == ["k"]
        assert (out / "k").read_bytes() == OLD


class TestGoesOn:
    """#57, #58: what is no failure."""

    @pytest.mark.parametrize(
        ("fault", "size"),
        [
            ("pwrite64:error=EINTR:when=1..4", SIZE),
            ("pwrite64:error=EAGAIN:when=2..6", SIZE),
            ("pwrite64:error=EINTR:when=1+2", RESUMABLE + 777),
            ("fallocate:error=EOPNOTSUPP", RESUMABLE + 777),
            ("fallocate:error=ENOSYS", SIZE),
            ("fallocate:error=EINVAL", SIZE),
            ("fallocate:error=EINTR:when=1..3", SIZE),
            ("flock:error=ENOLCK", SIZE),
            # A file system without locks has no ledger (F11), and needs none.
            ("flock:error=ENOLCK", RESUMABLE + 777),
            ("flock:error=EOPNOTSUPP", RESUMABLE + 777),
            # As a file system without modes does.
            ("fchmod:error=EPERM", SIZE),
            ("fchmod:error=EOPNOTSUPP", SIZE),
        ],
    )
    def test_call_is_repeated_or_done_without(
        self, fake_s3: FakeS3, child: Child, out: Path, fault: str, size: int
    ) -> None:
        fake_s3.pattern("b", "k", size)
        report, trace = _try(child, out, fault)
        assert report.ok()["verified"] == "full_object"
        assert is_pattern(out / "k", size)
        assert os.listdir(out) == ["k"]
        if fault.startswith("fallocate") and "EINTR" not in fault:
            assert trace.named("ftruncate"), "the size is given another way"

    @pytest.mark.parametrize("fault", ["EINVAL:when=1", "EINVAL:when=6", "EOPNOTSUPP:when=2"])
    def test_direct_write_refused_turns_the_file_to_buffered(
        self, fake_s3: FakeS3, child: Child, out: Path, fault: str
    ) -> None:
        """F4: the whole file, invisibly, and the padding of a direct tail is not in it.

        One thread at a time: the file is buffered after the first refusal, and then EINVAL is an error.
        """
        fake_s3.pattern("b", "k", RESUMABLE + 777)
        fired = 0
        for lane in child.lanes:
            with strace.attached(
                [lane], out.parent / f"trace{lane}", f"pwrite64:error={fault}", also=("fcntl",)
            ) as trace:
                assert child.download("s3://b/k", out / "k").ok()["bytes"] == RESUMABLE + 777
            assert is_pattern(out / "k", RESUMABLE + 777)
            if any(call.injected for call in trace.calls):
                fired += 1
                flags = [call.arguments for call in trace.named("fcntl") if "F_SETFL" in call.arguments]
                assert "O_DIRECT" not in flags[-1]
        assert fired, "the fault never fired"

    def test_flags_that_cannot_be_set_leave_the_file_buffered(self, fake_s3: FakeS3, child: Child, out: Path) -> None:
        """F4: `fcntl` refuses O_DIRECT. Other uses of the call may fail too; that is an error, and clean."""
        fake_s3.pattern("b", "k", RESUMABLE + 777)
        refused = 0
        for nth in range(1, 9):
            (out / "k").write_bytes(OLD)
            base = out.parent / f"trace{nth}-"
            with strace.attached(child.lanes, base, f"fcntl:error=EINVAL:when={nth}") as trace:
                report = child.download("s3://b/k", out / "k")
            hit = [call.arguments for call in trace.calls if call.injected]
            if report.failed is None:
                assert is_pattern(out / "k", RESUMABLE + 777), hit
            else:
                assert not any("FL" in arguments for arguments in hit), report.failed
                assert (out / "k").read_bytes() == OLD, hit
            assert os.listdir(out) == ["k"], hit
            refused += any("F_SETFL" in arguments for arguments in hit)
        assert refused, "the flag was never set"

    def test_direct_io_that_is_a_must_is_an_error_where_it_fails(self, child: Child, out: Path) -> None:
        for fault in ("fcntl:error=EINVAL", "pwrite64:error=EINVAL:when=3"):
            report, _ = _try(child, out, fault, direct_io="on")
            assert report.error().type == "ConfigError"
            assert os.listdir(out) == ["k"]
            assert (out / "k").read_bytes() == OLD
            for file in out.parent.glob("trace.*"):
                file.unlink()

    @pytest.mark.parametrize("missing", ["ENOSYS", "EINVAL", "EOPNOTSUPP"])
    def test_no_clobber_without_renameat2(self, child: Child, out: Path, missing: str) -> None:
        """F6: `link` and `unlink` instead."""
        with strace.attached(
            child.lanes, out.parent / "trace", f"renameat2:error={missing}", also=("linkat", "unlinkat")
        ) as trace:
            report = child.download("s3://b/k", out / "k", overwrite=False)
        trace.injections()
        assert trace.named("linkat")
        assert report.ok()["bytes"] == SIZE
        assert os.listdir(out) == ["k"]
        assert (out / "k").stat().st_nlink == 1

    @pytest.mark.parametrize("fault", [[], ["renameat2:error=ENOSYS"]], ids=["renameat2", "link"])
    def test_no_clobber_when_a_file_comes_in_between(
        self, fake_s3: FakeS3, child: Child, out: Path, fault: list[str]
    ) -> None:
        """#102: no check followed by a write."""
        fake_s3.switch(rate_total=60 * MIB)
        with strace.attached(child.lanes, out.parent / "trace", *fault, also=("renameat2",)) as trace:
            child.begin("s3://b/k", out / "k", tell=True, overwrite=False)
            assert child.wait_for(MIB) > 0
            (out / "k").write_bytes(b"somebody else's")
            report = child.report()
        assert trace.named("renameat2")
        assert report.error().type == "FileExistsError"
        assert report.error().filename == str(out / "k")
        assert (out / "k").read_bytes() == b"somebody else's"
        assert os.listdir(out) == ["k"]


def _of_the_file(trace: strace.Trace) -> list[strace.Call]:
    """The syncs but those of a ledger, whose head is safe before anything counts on it."""
    return [call for call in trace.named("fsync", "fdatasync") if ".ledger>" not in call.arguments]


class TestDurable:
    """#59, #62: the order of fsyncs, and what their failure means."""

    def _order(self, trace: strace.Trace, out: Path) -> list[str]:
        """What was synced or renamed, in order."""
        order = []
        for call in trace.named("fsync", "fdatasync", "renameat", "renameat2", "rename"):
            if call.name.startswith("rename"):
                order.append("rename")
            elif ".s3z-" in call.arguments and ".part>" in call.arguments:
                order.append("fsync temp")
            elif ".ledger" not in call.arguments:
                path = call.arguments.partition("<")[2].rpartition(">")[0]
                order.append(f"fsync {os.path.relpath(path, out)}")
        return order

    @pytest.mark.parametrize("size", [777, SIZE, RESUMABLE + 777])
    def test_order(self, fake_s3: FakeS3, child: Child, out: Path, size: int) -> None:
        fake_s3.pattern("b", "k", size)
        with strace.attached(child.lanes, out.parent / "trace", also=CHANGES) as trace:
            report = child.download("s3://b/k", out / "k", durable=True)
        assert report.ok()["bytes"] == size
        assert self._order(trace, out) == ["fsync temp", "rename", "fsync ."]
        last_write = max(call.time for call in trace.named("pwrite64", "ftruncate", "fchmod", "utimensat"))
        assert _of_the_file(trace)[0].time > last_write, "what is changed later is not synced"

    def test_order_with_new_parents(self, child: Child, out: Path) -> None:
        with strace.attached(child.lanes, out.parent / "trace", also=CHANGES) as trace:
            report = child.download("s3://b/k", out / "a/b/k", durable=True)
        assert report.ok()["bytes"] == SIZE
        order = self._order(trace, out)
        assert order[:2] == ["fsync temp", "rename"]
        assert sorted(order[2:]) == ["fsync .", "fsync a", "fsync a/b"]

    def test_none_without(self, child: Child, out: Path) -> None:
        with strace.attached(child.lanes, out.parent / "trace", also=CHANGES) as trace:
            child.download("s3://b/k", out / "k").ok()
        assert self._order(trace, out) == ["rename"]

    @pytest.mark.parametrize("size", [SIZE, RESUMABLE + 777])
    def test_failed_fsync_of_the_file_is_final(self, fake_s3: FakeS3, child: Child, out: Path, size: int) -> None:
        """F8, #59: no second try, which would say that all is well; no rename; nothing kept for a resume."""
        fake_s3.pattern("b", "k", size)
        report, trace = _try(child, out, "fsync:error=EIO", durable=True)
        _is_clean_failure(report, out, errno.EIO)
        assert len(_of_the_file(trace)) == 1
        assert not trace.named("rename", "renameat", "renameat2")

    def test_failed_fsync_of_the_directory_is_told(self, child: Child, out: Path) -> None:
        """The new file is there by then, complete; whether it will be after a power cut, nobody knows."""
        report, trace = _try(child, out, "fsync:error=EIO:when=2", durable=True)
        assert self._order(trace, out) == ["fsync temp", "rename", "fsync ."]
        assert report.error().errno == errno.EIO
        assert is_pattern(out / "k", SIZE)
        assert os.listdir(out) == ["k"]


class TestSmallDisk:
    """#55, #64 on real file systems."""

    def test_ext4_full_in_the_middle(self, fake_s3: FakeS3, out: Path, tmp_path: Path) -> None:
        """The size is not known before, so the disk runs full under the writes."""
        with LoopDisk(tmp_path / "loop", 8 * MIB) as disk:
            (disk.at / "k").write_bytes(OLD)
            fake_s3.rule({"type": "chunked"}, operation="GetObject", key="k")
            with Child(fake_s3, tmp_path) as child:
                for direct in ("off", "on"):
                    report = child.download("s3://b/k", disk.at / "k", max_concurrency=1, direct_io=direct)
                    _is_clean_failure(report, disk.at, errno.ENOSPC)
                fake_s3.pattern("b", "k", 3 * MIB + 1)
                assert child.download("s3://b/k", disk.at / "k").ok()["bytes"] == 3 * MIB + 1
            assert is_pattern(disk.at / "k", 3 * MIB + 1)

    def test_ext4_full_at_once(self, fake_s3: FakeS3, out: Path, tmp_path: Path) -> None:
        with LoopDisk(tmp_path / "loop", 8 * MIB) as disk, Child(fake_s3, tmp_path) as child:
            (disk.at / "k").write_bytes(OLD)
            _is_clean_failure(child.download("s3://b/k", disk.at / "k"), disk.at, errno.ENOSPC)

    def test_no_inode_left(self, fake_s3: FakeS3, out: Path, tmp_path: Path) -> None:
        with tmpfs(tmp_path / "small", "size=64m,nr_inodes=3") as small, Child(fake_s3, tmp_path) as child:
            (small / "k").write_bytes(OLD)
            (small / "other").touch()
            error = child.download("s3://b/k", small / "k").error()
            assert (error.errno, error.filename) == (errno.ENOSPC, str(small / "k"))
            assert (small / "k").read_bytes() == OLD
            assert sorted(os.listdir(small)) == ["k", "other"]

    @pytest.mark.parametrize("name", ["n" * 255, "é" * 127, "\udcff\udcfe" + "x" * 253], ids=["ascii", "utf8", "bytes"])
    def test_longest_name(self, fake_s3: FakeS3, out: Path, tmp_path: Path, name: str) -> None:
        """#64: the temporary name is short whatever the destination is called; with resume state too."""
        fake_s3.pattern("b", "k", RESUMABLE)
        with LoopDisk(tmp_path / "loop", RESUMABLE + 24 * MIB) as disk, Child(fake_s3, tmp_path) as child:
            assert child.download("s3://b/k", disk.at / name).ok()["bytes"] == RESUMABLE
            assert os.listdir(os.fsencode(disk.at)) == [os.fsencode(name)]

    @pytest.mark.parametrize("name", ["n" * 256, "d/" * 2100 + "k"], ids=["name", "path"])
    def test_too_long_is_refused_before_any_request(self, fake_s3: FakeS3, child: Child, out: Path, name: str) -> None:
        error = child.download("s3://b/k", out / name).error()
        left = os.listdir(out)
        run("rm", "-rf", str(out / "d"))  # too deep for Python, should it be there
        assert error.errno == errno.ENAMETOOLONG
        assert error.filename is not None
        assert fake_s3.log() == []
        assert left == []

    def test_read_only(self, fake_s3: FakeS3, out: Path, tmp_path: Path) -> None:
        """#63, F2."""
        with LoopDisk(tmp_path / "loop", 8 * MIB) as disk, Child(fake_s3, tmp_path) as child:
            (disk.at / "k").write_bytes(OLD)
            disk.remount("ro")
            fake_s3.do("clear_log")
            for name in ("k", "new", "new/deep/k"):
                error = child.download("s3://b/k", disk.at / name).error()
                assert error.errno == errno.EROFS, error
                assert error.filename is not None
                assert error.filename.startswith(str(disk.at))
            assert fake_s3.log() == []
            assert (disk.at / "k").read_bytes() == OLD

    def test_turned_read_only_meanwhile(self, fake_s3: FakeS3, out: Path, tmp_path: Path) -> None:
        """As ext4 does after an error of the disk; then not even the temporary file can be removed."""
        fake_s3.switch(rate_total=30 * MIB)
        with LoopDisk(tmp_path / "loop", 64 * MIB) as disk, Child(fake_s3, tmp_path) as child:
            (disk.at / "k").write_bytes(OLD)
            child.begin("s3://b/k", disk.at / "k", tell=True)
            assert child.wait_for(2 * MIB) > 0
            disk.remount("abort")
            error = child.report().error()
            assert error.errno in (errno.EROFS, errno.EIO)
            assert error.filename == str(disk.at / "k")
            assert (disk.at / "k").read_bytes() == OLD


class TestPermissions:
    """#63: as somebody else, since root ignores modes."""

    @pytest.fixture
    def nobody(self, fake_s3: FakeS3, out: Path, tmp_path: Path) -> Iterator[Child]:
        open_to_others(tmp_path)
        with Child(fake_s3, tmp_path, nobody=True) as child:
            fake_s3.do("clear_log")
            yield child

    @pytest.mark.parametrize("mode", [0o666, 0o555, 0o000], ids=["no-exec", "no-write", "nothing"])
    def test_directory_is_closed(self, fake_s3: FakeS3, nobody: Child, out: Path, mode: int) -> None:
        (out / "k").write_bytes(OLD)
        if os.getuid() == 0:
            os.chown(out, 65534, 65534)
        out.chmod(mode)
        try:
            error = nobody.download("s3://b/k", out / "k").error()
        finally:
            out.chmod(0o755)
        assert (error.type, error.errno) == ("PermissionError", errno.EACCES)
        assert error.filename in (str(out), str(out / "k"))
        assert fake_s3.log() == []
        assert os.listdir(out) == ["k"]
        assert (out / "k").read_bytes() == OLD

    def test_parent_of_a_new_directory_is_closed(self, fake_s3: FakeS3, nobody: Child, out: Path) -> None:
        out.chmod(0o555)
        error = nobody.download("s3://b/k", out / "new/k").error()
        assert (error.type, error.errno) == ("PermissionError", errno.EACCES)
        assert fake_s3.log() == []
        out.chmod(0o755)
        assert os.listdir(out) == []

    def test_unwritable_file_in_a_writable_directory_is_replaced(self, nobody: Child, out: Path) -> None:
        """As `mv` would; the mode is kept."""
        (out / "k").write_bytes(OLD)
        (out / "k").chmod(0o444)
        out.chmod(0o777)
        if os.getuid() == 0:
            os.chown(out / "k", 65534, 65534)
        nobody.download("s3://b/k", out / "k").ok()
        assert is_pattern(out / "k", SIZE)
        assert stat.S_IMODE((out / "k").stat().st_mode) == 0o444

    @pytest.mark.skipif(os.getuid() != 0, reason="needs a file of somebody else's")
    def test_file_of_somebody_else_in_a_sticky_directory(self, nobody: Child, out: Path) -> None:
        """As in /tmp: new names are free, those of others cannot be taken."""
        (out / "k").write_bytes(OLD)
        out.chmod(0o1777)
        error = nobody.download("s3://b/k", out / "k").error()
        assert error.type == "PermissionError"
        assert os.listdir(out) == ["k"]
        assert (out / "k").read_bytes() == OLD


class TestPowerCut:
    """#62: the disk as it was at one moment, mounted again. What ext4 had only in memory is gone."""

    def test_durable_file_is_there_afterwards(self, fake_s3: FakeS3, out: Path, tmp_path: Path) -> None:
        with LoopDisk(tmp_path / "loop", 96 * MIB) as disk:
            (disk.at / "other").write_bytes(OLD)
            with Child(fake_s3, tmp_path) as child:
                child.download("s3://b/k", disk.at / "a/b/k", durable=True).ok()
            disk.cut(disk.snapshot())
            assert is_pattern(disk.at / "a/b/k", SIZE)
            assert leftovers(disk.at) == []

    def test_at_a_moment_of_the_download(self, fake_s3: FakeS3, out: Path, tmp_path: Path) -> None:
        """The next run finishes whatever is left, and leaves nothing: not a hidden file as large as the object."""
        size = RESUMABLE + 777
        fake_s3.pattern("b", "k", size)
        with LoopDisk(tmp_path / "loop", 3 * RESUMABLE) as disk:
            # ext4 writes names down once in so many seconds; only then there is anything to go on with.
            disk.remount("commit=1")
            (disk.at / "k").write_bytes(OLD)
            os.sync()
            fake_s3.switch(rate_total=12 * MIB)
            with Child(fake_s3, tmp_path) as child:
                child.begin("s3://b/k", disk.at / "k", tell=True, durable=True)
                assert child.wait_for(30 * MIB) > 0
                child.process.send_signal(signal.SIGSTOP)
                state = disk.snapshot()
                child.kill()
            disk.cut(state)
            fake_s3.switch(rate_total=0)
            assert whole_or_old(disk.at / "k", OLD, size) == "old"
            only_known_names(disk.at)
            found = sorted(os.listdir(disk.at))
            with Child(fake_s3, tmp_path) as child:
                child.download("s3://b/k", disk.at / "k", durable=True).ok()
            assert is_pattern(disk.at / "k", size)
            assert leftovers(disk.at) == [], f"after the cut there were {found}"


def test_missing_strace_is_seen_by_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool that is not there must not make a run green that has tested nothing."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception):
        unavailable("strace is missing")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception):
        unavailable("strace is missing")


def test_fault_that_never_fires_fails_the_test(fake_s3: FakeS3, child: Child, out: Path) -> None:
    with strace.attached(child.lanes, out.parent / "trace", "fsync:error=EIO") as trace:
        child.download("s3://b/k", out / "k", durable=False).ok()
    with pytest.raises(AssertionError, match="never fired"):
        trace.injections()
