"""Resume: what a killed download had written is neither fetched nor written again, and nothing else is believed."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from support import strace
from support.data import MIB, is_pattern, leftovers
from support.kill import (
    RESUMABLE,
    SLOW,
    Child,
    Killed,
    fetched,
    kill_amid,
    ledger_of,
    only_known_names,
    temps,
    whole_or_old,
)
from support.servers import FakeS3

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.command import Command

SIZE = RESUMABLE + 777
#: where downloads are killed
AMID = 20 * MIB
PART = 2 * MIB
AT_ONCE = 4
#: options that make it known how much can be in flight
FEW: dict[str, Any] = {"part_size": PART, "max_concurrency": AT_ONCE}


@pytest.fixture
def child(fake_s3: FakeS3, out: Path, tmp_path: Path) -> Iterator[Child]:
    with Child(fake_s3, tmp_path) as child:
        yield child


def _resume(server: FakeS3, child: Child, killed: Killed, *, nothing_left: bool = True, **options: Any) -> int:
    """Go on; the bytes that were not fetched again, which the server's log must agree with."""
    server.do("clear_log")
    done = child.download("s3://b/k", killed.destination, **options).ok()
    assert is_pattern(killed.destination, SIZE)
    assert done["bytes"] == SIZE
    assert done["verified"] == "full_object", "the checksum covers what was there already"
    assert fetched(server) + done["resumed_bytes"] == SIZE, "no proven byte is fetched again, each missing one once"
    if nothing_left:
        assert leftovers(killed.destination.parent) == []
    return int(done["resumed_bytes"])


class TestKilled:
    @pytest.mark.parametrize("seed", range(3))
    def test_next_run_goes_on(
        self, fake_s3: FakeS3, child: Child, out: Path, tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Promise 5, F12 to F14."""
        (out / "k").write_bytes(b"old")
        killed = kill_amid(fake_s3, tmp_path, out / "k", random.Random(seed).randrange(8, 44) * MIB, **FEW)
        assert whole_or_old(out / "k", b"old", SIZE) == "old"
        only_known_names(out)
        resumed = _resume(fake_s3, child, killed, **FEW)
        assert resumed >= killed.durable, "what progress called durable is"
        total = killed.fetched + SIZE - resumed
        with capsys.disabled():
            print(f"\n[killed at {killed.durable >> 20} MiB: {total - SIZE >> 10} KiB fetched twice]", end="")
        assert total <= SIZE + AT_ONCE * PART

    def test_by_the_command(self, fake_s3: FakeS3, out: Path, command: Callable[..., Command], tmp_path: Path) -> None:
        fake_s3.switch(rate_total=SLOW)
        process = command(fake_s3).start("cp", "-p", "2", "-c", "4", "s3://b/k", "out/k")
        _wait_for_records(process, out / "k")
        process.kill()
        process.communicate(timeout=20)
        fake_s3.switch(rate_total=0)
        first = fetched(fake_s3)
        fake_s3.do("clear_log")
        record = command(fake_s3)("--json", "cp", "-p", "2", "-c", "4", "s3://b/k", "out/k").records[0]
        assert record["resumed_bytes"] > 0
        assert fetched(fake_s3) + record["resumed_bytes"] == SIZE
        assert first + fetched(fake_s3) <= SIZE + AT_ONCE * PART
        assert is_pattern(out / "k", SIZE)
        assert os.listdir(out) == ["k"]

    def test_command_goes_on_with_what_a_call_left(
        self, fake_s3: FakeS3, out: Path, command: Callable[..., Command], tmp_path: Path
    ) -> None:
        kill_amid(fake_s3, tmp_path, out / "k", AMID)
        record = command(fake_s3)("--json", "cp", "s3://b/k", "out/").records[0]
        assert record["resumed_bytes"] >= AMID
        assert is_pattern(out / "k", SIZE)
        assert os.listdir(out) == ["k"]

    def test_proven_bytes_are_not_written_again(self, fake_s3: FakeS3, child: Child, out: Path, tmp_path: Path) -> None:
        """F14, by the calls made."""
        killed = kill_amid(fake_s3, tmp_path, out / "k", AMID)
        with strace.attached(child.lanes, tmp_path / "trace", also=("pwrite64", "fallocate", "ftruncate")) as trace:
            resumed = _resume(fake_s3, child, killed)
        written = sum(int(call.result.split()[0]) for call in trace.named("pwrite64") if ".part>" in call.arguments)
        assert written < SIZE - resumed + 4096

    def test_leftovers_do_not_pile_up(
        self, fake_s3: FakeS3, child: Child, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Ten kills, each a little later: one hidden file and one ledger, always."""
        given = 0
        for step in range(1, 11):
            killed = kill_amid(fake_s3, tmp_path, out / "k", step * 2 * MIB, rate=16 * MIB, **FEW)
            given += killed.fetched
            assert len(leftovers(out)) == 2
            assert not (out / "k").exists()
        resumed = _resume(fake_s3, child, killed, **FEW)
        assert resumed >= 20 * MIB
        total = given + SIZE - resumed
        with capsys.disabled():
            print(f"\n[ten kills: {total - SIZE >> 10} KiB fetched twice]", end="")
        assert total <= SIZE + 10 * AT_ONCE * PART

    def test_killed_while_it_reads_back(self, fake_s3: FakeS3, child: Child, out: Path, tmp_path: Path) -> None:
        """A run that has fetched nothing yet leaves the state as good as it was."""
        killed = kill_amid(fake_s3, tmp_path, out / "k", AMID)
        with Child(fake_s3, tmp_path) as other:
            faults = "pread64,read,preadv:signal=KILL:when=9"
            with strace.attached(other.lanes, tmp_path / "trace", faults) as trace:
                other.begin("s3://b/k", out / "k")
                other.died()
        assert trace.killed
        assert len(leftovers(out)) == 2
        assert _resume(fake_s3, child, killed) >= AMID

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ({"part_size": MIB}, {"part_size": 8 * MIB}),
            ({"part_size": 1_000_003}, {"part_size": 3_333_333}),
            ({"part_size": 8 * MIB}, {"part_size": 777_777}),
            ({"direct_io": "on"}, {"direct_io": "off", "durable": True}),
            ({"direct_io": "off", "verify": "off"}, {"direct_io": "on", "verify": "require"}),
            ({"max_concurrency": 1}, {"overwrite": False}),
            ({"overwrite": False}, {"max_concurrency": 1}),
        ],
        ids=str,
    )
    def test_with_other_options(
        self, fake_s3: FakeS3, child: Child, out: Path, tmp_path: Path, before: dict[str, Any], after: dict[str, Any]
    ) -> None:
        killed = kill_amid(fake_s3, tmp_path, out / "k", AMID, **before)
        assert _resume(fake_s3, child, killed, **after) >= AMID

    def test_without_verification_only_the_length_is_known(
        self, fake_s3: FakeS3, child: Child, out: Path, tmp_path: Path
    ) -> None:
        kill_amid(fake_s3, tmp_path, out / "k", AMID)
        done = child.download("s3://b/k", out / "k", verify="off").ok()
        assert done["verified"] == "length"
        assert done["resumed_bytes"] >= AMID
        assert is_pattern(out / "k", SIZE)

    def test_reaches_its_end_in_a_directory_of_another_name(
        self, fake_s3: FakeS3, child: Child, out: Path, tmp_path: Path
    ) -> None:
        """The state lies beside the destination and goes with it."""
        killed = kill_amid(fake_s3, tmp_path, out / "k", AMID)
        out.rename(tmp_path / "moved")
        killed.destination = tmp_path / "moved/k"
        assert _resume(fake_s3, child, killed) >= AMID

    def test_another_destination_begins_anew(self, fake_s3: FakeS3, child: Child, out: Path, tmp_path: Path) -> None:
        killed = kill_amid(fake_s3, tmp_path, out / "k", AMID)
        assert child.download("s3://b/k", out / "other").ok()["resumed_bytes"] == 0
        assert len(leftovers(out)) == 2, "and leaves the other's state alone"
        assert _resume(fake_s3, child, killed) >= AMID

    def test_faults_while_it_goes_on(self, fake_s3: FakeS3, child: Child, out: Path, tmp_path: Path) -> None:
        killed = kill_amid(fake_s3, tmp_path, out / "k", AMID)
        fake_s3.rule({"type": "truncate", "after": 300_000}, times=5, operation="GetObject")
        fake_s3.rule({"type": "reset", "after": 500_000}, times=5, operation="GetObject", skip=5)
        fake_s3.do("clear_log")
        done = child.download("s3://b/k", killed.destination).ok()
        assert done["resumed_bytes"] >= AMID
        assert is_pattern(out / "k", SIZE)
        assert leftovers(out) == []


def _wait_for_records(process: subprocess.Popen[bytes], destination: Path, size: int = 600) -> None:
    """Until a ledger has some records."""
    end = time.monotonic() + 30
    ledger = ledger_of(destination)
    while not ledger.exists() or ledger.stat().st_size < size:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "no ledger is written"
        time.sleep(0.005)


class TestLedger:
    """F12: what it is, and when there is none."""

    def test_is_private_and_tells_nothing(self, fake_s3: FakeS3, out: Path, tmp_path: Path) -> None:
        """S10: no secret, no URL, not even the names of bucket and key."""
        fake_s3.pattern("b", "some-telling-key", SIZE)
        kill_amid(fake_s3, tmp_path, out / "k", AMID, uri="s3://b/some-telling-key")
        ledger = ledger_of(out / "k")
        content = ledger.read_bytes()
        assert ledger.stat().st_mode & 0o7777 == 0o600
        assert len(content) < 64 << 10
        for word in (fake_s3.access_key, fake_s3.secret_key, "telling", "127.0.0.1", "http", "Signature"):
            assert word.encode() not in content, word
        for left in leftovers(out):
            os.unlink(left)

    def test_none_for_a_small_object(self, fake_s3: FakeS3, out: Path, tmp_path: Path) -> None:
        fake_s3.pattern("b", "k", RESUMABLE - 1)
        killed = kill_amid(fake_s3, tmp_path, out / "k", AMID)
        assert not killed.ledger.exists()
        killed.temp.unlink()

    def test_one_from_64_mib_on(self, fake_s3: FakeS3, child: Child, out: Path, tmp_path: Path) -> None:
        fake_s3.pattern("b", "k", RESUMABLE)
        killed = kill_amid(fake_s3, tmp_path, out / "k", AMID)
        assert killed.ledger.exists()
        assert child.download("s3://b/k", out / "k").ok()["resumed_bytes"] >= AMID
        assert is_pattern(out / "k", RESUMABLE)

    @pytest.mark.parametrize("etag", ['W/"weak"', None], ids=["weak", "none"])
    def test_none_without_a_strong_etag(self, fake_s3: FakeS3, out: Path, tmp_path: Path, etag: str | None) -> None:
        """I4."""
        fake_s3.rule({"type": "header", "name": "ETag", **({"value": etag} if etag else {})}, key="k")
        killed = kill_amid(fake_s3, tmp_path, out / "k", AMID)
        assert not killed.ledger.exists()
        killed.temp.unlink()

    def test_none_when_not_wanted(self, fake_s3: FakeS3, child: Child, out: Path, tmp_path: Path) -> None:
        killed = kill_amid(fake_s3, tmp_path, out / "k", AMID, resume=False)
        assert not killed.ledger.exists()
        assert child.download("s3://b/k", out / "k").ok()["resumed_bytes"] == 0
        killed.temp.unlink()

    def test_one_that_is_there_is_not_used_when_not_wanted(
        self, fake_s3: FakeS3, child: Child, out: Path, tmp_path: Path
    ) -> None:
        kill_amid(fake_s3, tmp_path, out / "k", AMID)
        fake_s3.do("clear_log")
        done = child.download("s3://b/k", out / "k", resume=False).ok()
        assert done["resumed_bytes"] == 0
        assert fetched(fake_s3) == SIZE
        assert is_pattern(out / "k", SIZE)
        for left in leftovers(out):
            os.unlink(left)

    def test_not_used_by_the_command_when_not_wanted(
        self, fake_s3: FakeS3, out: Path, command: Callable[..., Command], tmp_path: Path
    ) -> None:
        kill_amid(fake_s3, tmp_path, out / "k", AMID)
        record = command(fake_s3)("--json", "cp", "--no-resume", "s3://b/k", "out/k").records[0]
        assert record["resumed_bytes"] == 0
        assert is_pattern(out / "k", SIZE)
        for left in leftovers(out):
            os.unlink(left)


class TestEnd:
    """Section 4's table: what each end of a download keeps."""

    @pytest.fixture
    def patient(self, fake_s3: FakeS3, out: Path, tmp_path: Path) -> Iterator[Child]:
        with Child(fake_s3, tmp_path, config={"max_attempts": 2}) as child:
            yield child

    def _is_kept_and_said(self, words: str, out: Path) -> None:
        assert sorted(os.path.splitext(left)[1] for left in leftovers(out)) == [".ledger", ".part"]
        assert any(word in words.lower() for word in ("resum", "kept", "goes on", "go on")), words

    def test_ctrl_c_of_a_call(self, fake_s3: FakeS3, child: Child, out: Path, tmp_path: Path) -> None:
        fake_s3.switch(rate_total=SLOW)
        with Child(fake_s3, tmp_path) as other:
            other.begin("s3://b/k", out / "k", tell=True)
            assert other.wait_for(AMID) > 0
            other.process.send_signal(signal.SIGINT)
            error = other.report().error()
        fake_s3.switch(rate_total=0)
        assert error.type == "KeyboardInterrupt"
        self._is_kept_and_said(" ".join([error.text, *error.notes]), out)
        killed = Killed(out / "k", AMID, 0, temps(out)[0], ledger_of(out / "k"))
        assert _resume(fake_s3, child, killed) >= AMID

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_signal_to_the_command(
        self, fake_s3: FakeS3, out: Path, command: Callable[..., Command], number: signal.Signals
    ) -> None:
        fake_s3.switch(rate_total=SLOW)
        process = command(fake_s3).start("cp", "s3://b/k", "out/k")
        _wait_for_records(process, out / "k")
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
        fake_s3.switch(rate_total=0)
        assert process.returncode == -number
        assert b"Traceback" not in errors
        self._is_kept_and_said(errors.decode(), out)
        assert command(fake_s3)("--json", "cp", "s3://b/k", "out/k").records[0]["resumed_bytes"] > 0
        assert is_pattern(out / "k", SIZE)
        assert os.listdir(out) == ["k"]

    def test_ctrl_c_before_anything_is_recorded_leaves_nothing(
        self, fake_s3: FakeS3, out: Path, tmp_path: Path
    ) -> None:
        fake_s3.rule({"type": "stall", "after": 1000, "seconds": 60}, operation="GetObject", key="k")
        with Child(fake_s3, tmp_path) as child:
            child.begin("s3://b/k", out / "k")
            end = time.monotonic() + 20
            while not temps(out):
                assert time.monotonic() < end
                time.sleep(0.005)
            child.process.send_signal(signal.SIGINT)
            assert child.report().error().type == "KeyboardInterrupt"
        assert os.listdir(out) == []

    @pytest.mark.parametrize(
        "action",
        [
            {"type": "reset", "after": 0},
            {"type": "respond", "status": 503, "code": "SlowDown", "headers": {"x-amz-retry-after": "10"}},
            {"type": "respond", "status": 500, "code": "InternalError"},
            {"type": "respond", "status": 403, "code": "ExpiredToken"},
        ],
        ids=["reset", "throttled", "500", "expired"],
    )
    def test_retries_spent(
        self, fake_s3: FakeS3, patient: Child, child: Child, out: Path, action: dict[str, Any]
    ) -> None:
        fake_s3.rule(action, operation="GetObject", key="k", range_min=24 * MIB)
        error = patient.download("s3://b/k", out / "k", part_size=PART, max_concurrency=2).error()
        assert error.is_s3z
        self._is_kept_and_said(" ".join([error.text, *error.notes]), out)
        fake_s3.do("clear_rules")
        killed = Killed(out / "k", 0, 0, temps(out)[0], ledger_of(out / "k"))
        assert _resume(fake_s3, child, killed) > 0

    @pytest.mark.parametrize(
        ("action", "class_name"),
        [
            ({"type": "swap_version", "seed": 9}, "ObjectChangedError"),
            ({"type": "respond", "status": 404, "code": "NoSuchKey"}, "NotFoundError"),
            ({"type": "wrong_content_range", "start": 5}, "ServiceError"),
            ({"type": "bit_flip", "offset": 30 * MIB}, "IntegrityError"),
        ],
        ids=["changed", "deleted", "bad-answer", "checksum"],
    )
    def test_what_cannot_go_on_leaves_nothing(
        self, fake_s3: FakeS3, child: Child, out: Path, action: dict[str, Any], class_name: str
    ) -> None:
        fake_s3.rule(action, operation="GetObject", key="k", range_min=24 * MIB)
        error = child.download("s3://b/k", out / "k", part_size=PART, max_concurrency=2).error()
        assert error.type == class_name
        assert os.listdir(out) == []

    def test_local_error_while_it_goes_on_leaves_nothing(
        self, fake_s3: FakeS3, child: Child, out: Path, tmp_path: Path
    ) -> None:
        kill_amid(fake_s3, tmp_path, out / "k", AMID)
        with strace.attached(child.lanes, tmp_path / "trace", "pwrite64:error=ENOSPC:when=3+") as trace:
            error = child.download("s3://b/k", out / "k").error()
        trace.injections()
        assert error.errno == errno.ENOSPC
        assert os.listdir(out) == []

    def test_state_that_cannot_be_read_back_is_fetched_again(
        self, fake_s3: FakeS3, child: Child, out: Path, tmp_path: Path
    ) -> None:
        kill_amid(fake_s3, tmp_path, out / "k", AMID)
        faults = "pread64,preadv:error=EIO:when=3+"
        with strace.attached(child.lanes, tmp_path / "trace", faults) as trace:
            report = child.download("s3://b/k", out / "k")
        trace.injections()
        if report.failed is None:
            assert is_pattern(out / "k", SIZE)
            assert os.listdir(out) == ["k"]
        else:  # a disk that cannot be read may also be an error
            assert report.error().errno == errno.EIO
            assert os.listdir(out) == []


class TestStale:
    """F13: the state is of another object, or of another version. It goes, and nothing is mixed."""

    def _begins_anew(self, server: FakeS3, child: Child, out: Path, *, uri: str = "s3://b/k", seed: int = 1) -> None:
        server.do("clear_log")
        done = child.download(uri, out / "k").ok()
        assert done["resumed_bytes"] == 0
        assert is_pattern(out / "k", done["bytes"], seed=seed)
        assert fetched(server, uri.rpartition("/")[2]) == done["bytes"]
        assert os.listdir(out) == ["k"]

    def test_object_was_overwritten(self, fake_s3: FakeS3, child: Child, out: Path, tmp_path: Path) -> None:
        kill_amid(fake_s3, tmp_path, out / "k", AMID)
        fake_s3.pattern("b", "k", SIZE, seed=2)
        self._begins_anew(fake_s3, child, out, seed=2)

    def test_object_has_another_size(self, fake_s3: FakeS3, child: Child, out: Path, tmp_path: Path) -> None:
        kill_amid(fake_s3, tmp_path, out / "k", AMID)
        fake_s3.pattern("b", "k", SIZE - 5 * MIB)
        self._begins_anew(fake_s3, child, out)

    def test_object_is_small_now(self, fake_s3: FakeS3, child: Child, out: Path, tmp_path: Path) -> None:
        kill_amid(fake_s3, tmp_path, out / "k", AMID)
        fake_s3.pattern("b", "k", 777)
        self._begins_anew(fake_s3, child, out)

    def test_object_is_gone(self, fake_s3: FakeS3, child: Child, out: Path, tmp_path: Path) -> None:
        kill_amid(fake_s3, tmp_path, out / "k", AMID)
        fake_s3.boto3.delete_object(Bucket="b", Key="k")
        assert child.download("s3://b/k", out / "k").error().type == "NotFoundError"
        assert leftovers(out) == []

    def test_another_key(self, fake_s3: FakeS3, child: Child, out: Path, tmp_path: Path) -> None:
        """Even one with the same size and ETag."""
        fake_s3.pattern("b", "other", SIZE)
        kill_amid(fake_s3, tmp_path, out / "k", AMID, uri="s3://b/other")
        self._begins_anew(fake_s3, child, out)

    def test_another_endpoint(self, fake_s3: FakeS3, child: Child, out: Path, tmp_path: Path) -> None:
        server = FakeS3()
        try:
            server.put("b", "warm", b"warm")
            server.pattern("b", "k", SIZE)
            kill_amid(server, tmp_path, out / "k", AMID)
        finally:
            server.stop()
        self._begins_anew(fake_s3, child, out)

    def _put_version(self, server: FakeS3, seed: int) -> str:
        server.pattern("b", "k", SIZE, seed=seed)
        return str(server.boto3.head_object(Bucket="b", Key="k")["VersionId"])

    def test_another_version(self, fake_s3: FakeS3, child: Child, out: Path, tmp_path: Path) -> None:
        fake_s3.boto3.put_bucket_versioning(Bucket="b", VersioningConfiguration={"Status": "Enabled"})
        first, second = (self._put_version(fake_s3, seed) for seed in (3, 4))
        assert first != second
        kill_amid(fake_s3, tmp_path, out / "k", AMID, version_id=first)
        done = child.download("s3://b/k", out / "k", version_id=second).ok()
        assert done["resumed_bytes"] == 0
        assert is_pattern(out / "k", SIZE, seed=4)
        assert os.listdir(out) == ["k"]
        kill_amid(fake_s3, tmp_path, out / "k", AMID, version_id=first)
        assert child.download("s3://b/k", out / "k", version_id=first).ok()["resumed_bytes"] >= AMID
        assert is_pattern(out / "k", SIZE, seed=3)

    def test_changes_while_it_goes_on(self, fake_s3: FakeS3, child: Child, out: Path, tmp_path: Path) -> None:
        """Never a mixture: an error, or all of the new one."""
        (out / "k").write_bytes(b"old")
        kill_amid(fake_s3, tmp_path, out / "k", AMID)
        fake_s3.rule({"type": "swap_version", "seed": 9}, times=1, operation="GetObject", skip=1)
        options: dict[str, Any] = {"part_size": PART, "max_concurrency": 2}
        assert child.download("s3://b/k", out / "k", **options).error().type == "ObjectChangedError"
        assert (out / "k").read_bytes() == b"old"
        assert os.listdir(out) == ["k"]
        fake_s3.pattern("b", "k", SIZE)
        kill_amid(fake_s3, tmp_path, out / "k", AMID)
        fake_s3.rule({"type": "swap_version", "seed": 9}, times=1, operation="GetObject", skip=1)
        assert child.download("s3://b/k", out / "k", on_change="restart", **options).ok()["resumed_bytes"] == 0
        assert is_pattern(out / "k", SIZE, seed=9)
        assert os.listdir(out) == ["k"]


class TestDamaged:
    """F13, F14, #69: nothing in the ledger or the hidden file is believed."""

    @pytest.fixture
    def killed(self, fake_s3: FakeS3, out: Path, tmp_path: Path) -> Killed:
        return kill_amid(fake_s3, tmp_path, out / "k", AMID).remember()

    def _is_right(self, server: FakeS3, child: Child, killed: Killed) -> int:
        """A run over whatever is there gives the right file; the bytes it kept."""
        server.do("clear_log")
        done = child.download("s3://b/k", killed.destination).ok()
        assert is_pattern(killed.destination, SIZE)
        assert done["verified"] == "full_object"
        assert fetched(server) + done["resumed_bytes"] == SIZE
        assert not killed.ledger.exists()
        # A head that cannot be read names no file; then that one stays for whoever tidies up.
        assert set(leftovers(killed.destination.parent)) <= {str(killed.temp)}
        return int(done["resumed_bytes"])

    def test_byte_of_the_ledger(self, fake_s3: FakeS3, child: Child, killed: Killed, tmp_path: Path) -> None:
        """A sample of positions, seeded; the first ones are of the head."""
        seed = random.randrange(1 << 32)
        chance = random.Random(seed)
        length = killed.ledger.stat().st_size
        for place in (0, 8, 12, 16, 60, *(chance.randrange(100, length) for _ in range(8)), length - 1):
            records = bytearray(killed.ledger.read_bytes())
            records[place] ^= 1 << chance.randrange(8)
            killed.ledger.write_bytes(records)
            self._try_any(child, killed, f"byte {place}, seed {seed}")
            self._again(fake_s3, killed, tmp_path)
        self._tidy(killed)

    def test_cut_ledger(self, fake_s3: FakeS3, child: Child, killed: Killed, tmp_path: Path) -> None:
        """What precedes the cut is used, so that a crash in the middle of a record costs that record."""
        length = killed.ledger.stat().st_size
        kept = []
        for left in (0, 1, 15, 100, length // 2, length - 17, length - 1):
            os.truncate(killed.ledger, left)
            kept.append(self._try_any(child, killed, f"cut at {left}"))
            self._again(fake_s3, killed, tmp_path)
        self._tidy(killed)
        assert kept == sorted(kept)
        assert kept[0] == 0
        assert kept[-1] >= killed.durable - 2 * MIB

    def test_garbage_behind_the_records(self, fake_s3: FakeS3, child: Child, killed: Killed, tmp_path: Path) -> None:
        for more in (b"\0" * 100, b"\xff" * 33, b"garbage at the end"):
            with killed.ledger.open("ab") as file:
                file.write(more)
            assert self._is_right(fake_s3, child, killed) >= killed.durable
            self._again(fake_s3, killed, tmp_path)
        self._tidy(killed)

    def test_records_twice(self, fake_s3: FakeS3, child: Child, killed: Killed) -> None:
        """Overlaps count once, and claim no byte that is not there."""
        records = killed.ledger.read_bytes()
        with killed.ledger.open("ab") as file:
            file.write(records[-320:])
        assert 0 < self._is_right(fake_s3, child, killed) <= killed.durable + 30 * MIB

    def test_ledger_that_is_no_ledger(self, fake_s3: FakeS3, child: Child, killed: Killed) -> None:
        """Somebody else's file of that name is neither used nor harmed."""
        killed.ledger.write_bytes(b"notes of mine\n" * 1000)
        done = child.download("s3://b/k", killed.destination).ok()
        assert done["resumed_bytes"] == 0
        assert is_pattern(killed.destination, SIZE)
        assert killed.ledger.read_bytes() == b"notes of mine\n" * 1000
        self._tidy(killed)

    def _try_any(self, child: Child, killed: Killed, what: str) -> int:
        try:
            done = child.download("s3://b/k", killed.destination).ok()
        except AssertionError as error:
            raise AssertionError(f"{what}: {error}") from None
        assert is_pattern(killed.destination, SIZE), what
        only_known_names(killed.destination.parent)
        return int(done["resumed_bytes"])

    def _again(self, server: FakeS3, killed: Killed, tmp_path: Path) -> None:
        """The state as it was; by a kill of its own if the hidden file has gone."""
        if killed.resumable():
            killed.restore()
            return
        self._tidy(killed)
        new = kill_amid(server, tmp_path, killed.destination, AMID).remember()
        killed.__dict__.update(new.__dict__)

    def _tidy(self, killed: Killed) -> None:
        for left in leftovers(killed.destination.parent):
            os.unlink(left)

    def test_bytes_of_the_hidden_file_are_gone(
        self, fake_s3: FakeS3, child: Child, killed: Killed, tmp_path: Path
    ) -> None:
        """As after a power cut: recorded, and zero. Those parts are fetched again, the others not."""
        for start, length in ((0, 4096), (13 * MIB + 5, MIB), (0, SIZE)):
            with killed.temp.open("r+b") as file:
                file.seek(start)
                file.write(bytes(length))
            resumed = self._is_right(fake_s3, child, killed)
            assert leftovers(killed.destination.parent) == []
            if length == SIZE:
                assert resumed == 0
            else:
                assert 0 < resumed <= SIZE - length
            self._again(fake_s3, killed, tmp_path)
        self._tidy(killed)

    def test_hidden_file_is_another(self, fake_s3: FakeS3, child: Child, killed: Killed, tmp_path: Path) -> None:
        for how in ("cut", "grown", "missing", "replaced"):
            if how == "cut":
                os.truncate(killed.temp, 12 * MIB)
            elif how == "grown":
                os.truncate(killed.temp, SIZE + 5 * MIB)
            elif how == "missing":
                killed.temp.unlink()
            else:
                content = killed.temp.read_bytes()
                # Beside the first one, so that it cannot get its number.
                (tmp_path / "other").write_bytes(content)
                (tmp_path / "other").chmod(0o600)
                (tmp_path / "other").rename(killed.temp)
            self._try_any(child, killed, how)
            self._again(fake_s3, killed, tmp_path)
        self._tidy(killed)

    @pytest.mark.parametrize("which", ["ledger", "temp"])
    def test_planted(self, fake_s3: FakeS3, child: Child, killed: Killed, tmp_path: Path, which: str) -> None:
        """S19: what somebody else could have made or changed is not used, not followed and not harmed."""
        for how in ("link", "hard link", "group-writable", "world-writable", "of another owner", "fifo"):
            file = killed.ledger if which == "ledger" else killed.temp
            aside = tmp_path / "aside"
            if how == "of another owner" and os.getuid() != 0:
                continue  # only root gives files away
            match how:
                case "link":
                    file.rename(aside)
                    file.symlink_to(aside)
                case "hard link":
                    os.link(file, aside)
                case "group-writable":
                    file.chmod(0o660)
                case "world-writable":
                    file.chmod(0o606)
                case "of another owner":
                    os.chown(file, 65534, 65534)
                case "fifo":
                    file.unlink()
                    os.mkfifo(file)
            before = aside.read_bytes() if aside.exists() else None
            assert self._try_any(child, killed, how) == 0, how
            if before is not None:
                assert aside.read_bytes() == before, how
            self._put_back(killed, file, aside)
            self._again(fake_s3, killed, tmp_path)
        self._tidy(killed)

    def _put_back(self, killed: Killed, file: Path, aside: Path) -> None:
        """What was planted goes; the hidden file comes back, if it was only moved."""
        if file == killed.temp and aside.exists():
            aside.rename(file)
        elif aside.exists():
            aside.unlink()
        if file == killed.temp and file.exists() and os.getuid() == 0:
            os.chown(file, 0, 0)
        killed.ledger.unlink(missing_ok=True)
        if killed.temp.is_fifo():
            killed.temp.unlink()

    def test_link_to_a_file_of_ours(self, fake_s3: FakeS3, child: Child, killed: Killed, tmp_path: Path) -> None:
        """In place of the hidden file, with the right size: it is not written to."""
        victim = tmp_path / "victim"
        victim.write_bytes(bytes(SIZE))
        killed.temp.unlink()
        killed.temp.symlink_to(victim)
        assert child.download("s3://b/k", killed.destination).ok()["resumed_bytes"] == 0
        assert victim.read_bytes() == bytes(SIZE)
        self._tidy(killed)


class TestTwoProcesses:
    """F11, #68: both succeed, the last one wins, nothing is mixed, nothing is left."""

    @pytest.mark.parametrize("with_state", [False, True], ids=["fresh", "resuming"])
    def test_at_once(self, fake_s3: FakeS3, out: Path, tmp_path: Path, with_state: bool) -> None:
        fake_s3.pattern("b", "other", SIZE, seed=2)
        if with_state:
            kill_amid(fake_s3, tmp_path, out / "k", AMID)
        fake_s3.switch(rate_total=2 * SLOW)
        with Child(fake_s3, tmp_path) as one, Child(fake_s3, tmp_path) as two, Child(fake_s3, tmp_path) as three:
            one.begin("s3://b/k", out / "k")
            two.begin("s3://b/other", out / "k")
            three.begin("s3://b/k", out / "k")
            assert [each.report().ok()["bytes"] for each in (one, two, three)] == [SIZE] * 3
        assert is_pattern(out / "k", SIZE, seed=1) or is_pattern(out / "k", SIZE, seed=2)
        assert os.listdir(out) == ["k"]

    def test_one_overtakes_another_that_stands_still(
        self, fake_s3: FakeS3, child: Child, out: Path, tmp_path: Path
    ) -> None:
        """Its state is in use, however dead it looks."""
        fake_s3.switch(rate_total=SLOW)
        with Child(fake_s3, tmp_path) as slow:
            slow.begin("s3://b/k", out / "k", tell=True)
            assert slow.wait_for(AMID) > 0
            slow.process.send_signal(signal.SIGSTOP)
            fake_s3.switch(rate_total=0)
            done = child.download("s3://b/k", out / "k").ok()
            assert done["resumed_bytes"] == 0
            assert is_pattern(out / "k", SIZE)
            assert len(leftovers(out)) == 2, "what the other one needs"
            slow.process.send_signal(signal.SIGCONT)
            assert slow.report().ok()["bytes"] == SIZE
        assert is_pattern(out / "k", SIZE)
        assert os.listdir(out) == ["k"]

    def test_two_threads_of_a_process(self, fake_s3: FakeS3, out: Path, tmp_path: Path) -> None:
        """The lock of one is not the lock of the other, though the process is the same."""
        from concurrent.futures import ThreadPoolExecutor

        client = fake_s3.client()
        with ThreadPoolExecutor(4) as pool:
            done = list(pool.map(lambda _: client.download("s3://b/k", out / "k"), range(4)))
        assert {each.bytes for each in done} == {SIZE}
        assert is_pattern(out / "k", SIZE)
        assert os.listdir(out) == ["k"]


def test_result_and_record_tell_what_was_resumed(
    fake_s3: FakeS3, out: Path, command: Callable[..., Command], tmp_path: Path
) -> None:
    result = fake_s3.client().download("s3://b/k", out / "k")
    assert result.resumed_bytes == 0
    outcome = command(fake_s3)("--json", "cp", "s3://b/k", "out/k")
    assert outcome.records[0]["resumed_bytes"] == 0
    kill_amid(fake_s3, tmp_path, out / "other", AMID)
    outcome = command(fake_s3)("--json", "cp", "s3://b/k", "out/other")
    assert outcome.records[0]["resumed_bytes"] >= AMID
    assert json.loads(outcome.lines[-1])["bytes"]["resumed"] == outcome.records[0]["resumed_bytes"]
