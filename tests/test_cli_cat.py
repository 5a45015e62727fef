"""`s3z cat`: the bytes of objects on standard output, all of them or an error (cli.md 4, U14)."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.command import SCRIPT, Command, python
from support.data import GIB, MIB, pattern

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.servers import FakeS3, Server

SIZE = 20 * MIB + 777
#: ways in which a shell, or Python, may see the end of a writer whose reader has left
QUIET = (0, 141, -signal.SIGPIPE)

#: a small process, so that its own memory is not taken for that of its child
READER = """
import resource, subprocess, sys, time
size, rest, count = int(sys.argv[1]), int(sys.argv[2]), 0
process = subprocess.Popen(sys.argv[3:], stdout=subprocess.PIPE)
while part := process.stdout.read(1 << 20):
    count += len(part)
    if count in (1 << 20, 100 << 20):
        time.sleep(rest)
assert (process.wait(), count) == (0, size)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)
"""


@pytest.fixture
def run(fake_s3: FakeS3, command: Callable[..., Command]) -> Command:
    fake_s3.pattern("b", "k", SIZE)
    fake_s3.put("b", "dir/a.txt", b"A\n")
    fake_s3.put("b", "dir/b.bin", b"no text\n")
    fake_s3.put("b", "dir/c.txt", b"C\n")
    fake_s3.put("b", "dir/sub/d.txt", b"D\n")
    fake_s3.put("b", "f*.txt", b"star\n")
    fake_s3.put("b", "foo.txt", b"foo\n")
    fake_s3.do("clear_log")
    return command(fake_s3)


def cat(run: Command, *arguments: str, status: int | None = 0, **changes: Any) -> tuple[bytes, str]:
    """What came on either stream."""
    process = run.start("cat", *arguments, **changes)
    stdout, stderr = process.communicate(timeout=60)
    assert status is None or process.returncode == status, (process.returncode, stderr)
    return stdout, stderr.decode()


def ended(server: FakeS3, seconds: float = 5) -> None:
    """Wait until no GET is running."""
    end = time.monotonic() + seconds
    while not all(record["end"] for record in server.log(operation="GetObject")):
        assert time.monotonic() < end, "a request is still running"
        time.sleep(0.01)


class TestBytes:
    @pytest.mark.parametrize("size", [0, 1, 777, 8 * MIB - 1, 8 * MIB + 1, SIZE])
    def test_sizes(self, fake_s3: FakeS3, run: Command, size: int) -> None:
        fake_s3.pattern("b", "k", size)
        assert cat(run, "s3://b/k") == (pattern(size), "")

    @pytest.mark.parametrize("flags", [["-q"], ["--json"], ["--only-show-errors"], ["--no-progress"]])
    def test_nothing_else_is_on_stdout(self, run: Command, flags: list[str]) -> None:
        stdout, stderr = cat(run, *flags, "s3://b/k")
        assert stdout == pattern(SIZE)
        assert flags == ["--json"] or stderr == ""
        assert cat(run, *flags, "--log", "trace", "s3://b/dir/a.txt")[0] == b"A\n"

    def test_several(self, run: Command) -> None:
        stdout, stderr = cat(run, "s3://b/dir/c.txt", "s3://b/k", "s3://b/dir/a.txt", "s3://b/dir/c.txt")
        assert (stdout, stderr) == (b"C\n" + pattern(SIZE) + b"A\nC\n", "")

    @pytest.mark.parametrize(
        ("wildcard", "expected"),
        [
            ("s3://b/dir/*.txt", b"A\nC\nD\n"),
            ("s3://b/dir/?.txt", b"A\nC\n"),
            ("s3://b/f*.txt", b"star\nfoo\n"),
            ("s3://b/*b*", b"no text\nD\n"),
        ],
    )
    def test_wildcard(self, run: Command, wildcard: str, expected: bytes) -> None:
        """In the order of the keys; both wildcards match `/` too."""
        assert cat(run, wildcard) == (expected, "")

    def test_order_of_many(self, fake_s3: FakeS3, run: Command) -> None:
        expected = b""
        for number in range(30):
            fake_s3.pattern("b", f"many/{number:02}", 1000 * number, seed=number)
            expected += pattern(1000 * number, seed=number)
        fake_s3.rule({"type": "latency", "ms": 300}, operation="GetObject", key="many/03")
        fake_s3.rule({"type": "stall", "after": 10, "seconds": 0.3}, operation="GetObject", key="many/17")
        assert cat(run, "s3://b/many/*") == (expected, "")

    def test_raw(self, run: Command) -> None:
        assert cat(run, "--raw", "s3://b/f*.txt") == (b"star\n", "")

    @pytest.mark.parametrize("name", ["with space", "plus+", "per%cent", "hash#", "new\nline", "ä€😀", "[x]"])
    def test_names(self, fake_s3: FakeS3, run: Command, name: str) -> None:
        fake_s3.put("b", name, b"x")
        assert cat(run, f"s3://b/{name}") == (b"x", "")

    def test_version_id(self, moto: Server, command: Callable[..., Command]) -> None:
        bucket = f"cat-versions-{os.getpid()}"
        moto.boto3.create_bucket(Bucket=bucket)
        moto.boto3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        first = moto.boto3.put_object(Bucket=bucket, Key="k", Body=b"first")["VersionId"]
        moto.boto3.put_object(Bucket=bucket, Key="k", Body=b"second")
        assert cat(command(moto), f"s3://{bucket}/k") == (b"second", "")
        assert cat(command(moto), "--version-id", first, f"s3://{bucket}/k") == (b"first", "")

    @pytest.mark.parametrize(
        ("flags", "single"),
        [
            (["-c", "2", "-p", "1"], False), (["--concurrency=4", "--part-size=2M"], False),
            (["--chunk-size", "333333B"], False), (["-c", "1"], True),
        ],
    )  # fmt: skip
    def test_parts(self, fake_s3: FakeS3, run: Command, flags: list[str], single: bool) -> None:
        assert cat(run, *flags, "s3://b/k") == (pattern(SIZE), "")
        assert (len(fake_s3.log(operation="GetObject")) == 1) == single


class TestRange:
    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (["--range", "0-0"], slice(0, 1)),
            (["--range=5-9"], slice(5, 10)),
            (["--range", f"{8 * MIB - 3}-{9 * MIB}"], slice(8 * MIB - 3, 9 * MIB + 1)),
            (["--range", "100-"], slice(100, None)),
            (["--range", "-1"], slice(-1, None)),
            (["--range=-777"], slice(-777, None)),
            (["--range", f"-{SIZE + 5}"], slice(None)),
            (["--range", f"7-{10 * SIZE}"], slice(7, None)),
        ],
        ids=str,
    )
    def test_both_ends_are_in_it(self, run: Command, words: list[str], expected: slice) -> None:
        assert cat(run, *words, "s3://b/k") == (pattern(SIZE)[expected], "")

    def test_beyond_the_end(self, run: Command) -> None:
        stdout, stderr = cat(run, "--range", f"{SIZE + 1}-", "s3://b/k", status=1)
        assert stdout == b""
        assert stderr.startswith("ERROR ")

    @pytest.mark.parametrize("word", ["5", "9-5", "a-b", "", "-", "0-4,8-9", "1--2", "+1-2", "0x1-2", "1 - 2", "-1-"])
    def test_malformed(self, fake_s3: FakeS3, run: Command, word: str) -> None:
        stdout, stderr = cat(run, f"--range={word}", "s3://b/k", status=2)
        assert stdout == b""
        assert "range" in stderr
        assert fake_s3.log() == []

    def test_of_one_object_only(self, fake_s3: FakeS3, run: Command) -> None:
        stdout, stderr = cat(run, "--range", "0-1", "s3://b/k", "s3://b/foo.txt", status=2)
        assert stdout == b""
        assert "range" in stderr
        assert fake_s3.log() == []


class TestFaults:
    """Whatever happens: the right bytes, or a status that is not 0."""

    @pytest.mark.parametrize("times", [1, None])
    @pytest.mark.parametrize(
        "action",
        [
            {"type": "swap_version"},
            {"type": "truncate", "after": 0},
            {"type": "truncate", "after": 300_000},
            {"type": "reset", "after": 300_000},
            {"type": "respond", "status": 500, "code": "InternalError"},
            {"type": "respond", "status": 404, "code": "NoSuchKey"},
            {"type": "short_range", "bytes": 5000},
            {"type": "ignore_range"},
            {"type": "trailing_bytes", "bytes": "more"},
            {"type": "wrong_content_range", "start": 5},
        ],
        ids=lambda action: f"{action['type']}{action.get('status', action.get('after', ''))}",
    )
    def test_never_short_and_well(
        self, fake_s3: FakeS3, run: Command, action: dict[str, Any], times: int | None
    ) -> None:
        data = pattern(SIZE)
        fake_s3.rule(action, times=times, operation="GetObject", range_min=1)
        process = run.start("-r", "2", "cat", "-p", "2", "s3://b/k")
        stdout, stderr = process.communicate(timeout=60)
        if process.returncode == 0:
            assert stdout == data
            assert times == 1 or action["type"] not in ("swap_version", "respond"), "where did they come from?"
        else:
            assert process.returncode == 1
            assert data.startswith(stdout)
            assert b"ERROR " in stderr
        if times == 1 and action["type"] in ("truncate", "reset"):
            assert process.returncode == 0, "once is mended"

    def test_wrong_bytes(self, fake_s3: FakeS3, run: Command) -> None:
        fake_s3.rule({"type": "bit_flip", "offset": 9 * MIB})
        for flags in ([], ["--verify=auto"], ["--verify=require"]):
            stdout, stderr = cat(run, *flags, "s3://b/k", status=1)
            assert len(stdout) <= SIZE
            assert "crc64nvme" in stderr.lower()
        stdout, stderr = cat(run, "--no-verify", "s3://b/k")
        assert (len(stdout), stderr) == (SIZE, "")
        assert stdout != pattern(SIZE)

    def test_missing(self, run: Command) -> None:
        for uri in ("s3://b/none", "s3://no-such-bucket/k"):
            stdout, stderr = cat(run, uri, status=1)
            assert stdout == b""
            assert stderr.startswith("ERROR ")
            assert "not found" in stderr or "NoSuch" in stderr
        stdout, stderr = cat(run, "s3://b/none*", status=1)
        assert (stdout, "no object found" in stderr) == (b"", True)

    def test_the_first_error_ends_it(self, run: Command) -> None:
        stdout, stderr = cat(run, "s3://b/dir/a.txt", "s3://b/none", "s3://b/dir/c.txt", status=1)
        assert stdout == b"A\n"
        assert "s3://b/none" in stderr

    def test_signal(self, fake_s3: FakeS3, run: Command) -> None:
        fake_s3.rule({"type": "stall", "after": 1000, "seconds": 60}, operation="GetObject", range_min=1)
        process = run.start("cat", "-p", "2", "s3://b/k")
        assert process.stdout is not None
        assert process.stdout.read(MIB) == pattern(MIB)
        fake_s3.wait_for_log(operation="GetObject", count=2)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert process.returncode == -signal.SIGINT
        assert time.monotonic() - sent < 5


class TestOutput:
    def test_closed_pipe(self, fake_s3: FakeS3, run: Command) -> None:
        fake_s3.pattern("b", "big", 2 * GIB)
        process = run.start("cat", "s3://b/big")
        assert process.stdout is not None
        assert process.stderr is not None
        assert os.read(process.stdout.fileno(), 1000) == pattern(1000)
        process.stdout.close()
        closed = time.monotonic()
        assert process.wait(20) in QUIET
        assert time.monotonic() - closed < 5
        assert process.stderr.read() == b""
        process.stderr.close()
        ended(fake_s3)

    def test_head(self, fake_s3: FakeS3, run: Command) -> None:
        fake_s3.pattern("b", "big", 2 * GIB)
        script = f"set -o pipefail; '{SCRIPT}' cat s3://b/big | head -c 1000"
        done = subprocess.run(["bash", "-c", script], env=run.environment, capture_output=True, timeout=30, check=False)
        assert (done.stdout, done.stderr) == (pattern(1000), b"")
        assert done.returncode in QUIET

    def test_full_device(self, run: Command) -> None:
        for uri in ("s3://b/k", "s3://b/dir/a.txt"):
            with open("/dev/full", "wb") as full:
                _, stderr = cat(run, uri, status=1, stdout=full)
            assert stderr == f'ERROR "cat {uri}": "<stdout>": no space left on device\n'

    def test_file(self, run: Command, tmp_path: Path) -> None:
        """From where the descriptor stands, or at the end: what was there stays."""
        path = tmp_path / "file"
        path.write_bytes(b"old\n")
        for _ in range(2):
            with path.open("ab") as file:
                cat(run, "s3://b/k", stdout=file)
        assert path.read_bytes() == b"old\n" + pattern(SIZE) * 2
        with path.open("r+b") as file:
            file.seek(2)
            cat(run, "s3://b/dir/a.txt", "s3://b/dir/c.txt", stdout=file)
            assert file.tell() == 6
        assert path.read_bytes()[:7] == b"olA\nC\n" + pattern(3)[2:3]

    def test_shell_appends(self, run: Command, tmp_path: Path) -> None:
        script = f"'{SCRIPT}' cat s3://b/dir/a.txt >> file; '{SCRIPT}' cat s3://b/dir/c.txt >> file"
        subprocess.run(["bash", "-ec", script], cwd=tmp_path, env=run.environment, timeout=60, check=True)
        assert (tmp_path / "file").read_bytes() == b"A\nC\n"

    def test_null_device(self, run: Command) -> None:
        assert cat(run, "s3://b/k", stdout=subprocess.DEVNULL)[1] == ""

    @pytest.mark.parametrize("kind", ["socket", "pipe"])
    @pytest.mark.parametrize("blocks", [True, False])
    def test_what_takes_little_at_a_time(self, run: Command, kind: str, blocks: bool) -> None:
        """Also where somebody has made it non-blocking."""
        if kind == "socket":
            ours, theirs = (end.detach() for end in socket.socketpair())
        else:
            ours, theirs = os.pipe()
        if not blocks:
            fcntl.fcntl(theirs, fcntl.F_SETFL, fcntl.fcntl(theirs, fcntl.F_GETFL) | os.O_NONBLOCK)
        process = run.start("cat", "s3://b/k", stdout=theirs)
        os.close(theirs)
        found = bytearray()
        with open(ours, "rb", buffering=0) as file:
            while part := file.read(100_000):
                found += part
        _, stderr = process.communicate(timeout=30)
        assert (process.returncode, stderr) == (0, b"")
        assert found == pattern(SIZE)

    def test_none_at_all(self, run: Command) -> None:
        """Descriptor 1 is closed; nothing opened since, such as a socket, is taken for it."""
        for arguments in (["s3://b/k"], ["--json", "s3://b/k"], ["s3://b/none"]):
            _, stderr = cat(run, *arguments, stdout=subprocess.DEVNULL, preexec_fn=lambda: os.close(1))
            assert stderr == ""

    @pytest.mark.parametrize(("size", "rest"), [(2 * GIB, 0), (256 * MIB, 1)], ids=["fast", "rests"])
    def test_memory(self, fake_s3: FakeS3, run: Command, size: int, rest: int) -> None:
        """The limit, and no more than the interpreter beside it, whatever the reader does."""
        fake_s3.pattern("b", "big", size)
        line = [SCRIPT, "--memory-limit", "16M", "cat", "s3://b/big"]
        outcome = python(READER, str(size), str(rest), *line, env=run.environment, cwd=run.directory, timeout=60)
        assert outcome.status == 0, outcome
        assert int(outcome.stdout) <= 16 + 60, f"{outcome.stdout} MiB"


class TestRefused:
    @pytest.mark.parametrize("name", ["local.txt", "./dir/", "/etc/hostname"])
    def test_local_names(self, run: Command, name: str) -> None:
        for arguments in ([name], ["s3://b/dir/a.txt", name]):
            stdout, stderr = cat(run, *arguments, status=1)
            assert "source must be a remote object" in stderr
            assert stdout in (b"", b"A\n")

    def test_standard_input(self, run: Command) -> None:
        stdout, stderr = cat(run, "-", status=None)
        assert stdout == b""
        assert stderr.startswith("ERROR ")

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            ([], "argument"),
            (["--no-such-option", "s3://b/k"], "unknown option"),
            (["-p", "0", "s3://b/k"], "out of range"),
            (["-c", "0", "s3://b/k"], "at least 1"),
            (["--range"], "needs a value"),
            (["--verify=much", "s3://b/k"], "verify"),
        ],
    )
    def test_usage(self, fake_s3: FakeS3, run: Command, arguments: list[str], text: str) -> None:
        stdout, stderr = cat(run, *arguments, status=2)
        assert stdout == b""
        assert text in stderr
        assert fake_s3.log() == []
