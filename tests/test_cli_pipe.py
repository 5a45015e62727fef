"""`s3z pipe` and `s3z cp -`: standard input becomes one object, or none (cli.md 4)."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from support.command import SCRIPT, Command
from support.data import MIB, pattern, write_pattern

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.servers import FakeS3

PART = 5 * MIB


@pytest.fixture
def run(fake_s3: FakeS3, command: Callable[..., Command]) -> Command:
    fake_s3.do("create_bucket", bucket="b")
    fake_s3.do("clear_log")
    return command(fake_s3)


def stored(server: FakeS3, key: str = "k") -> bytes:
    body: bytes = server.boto3.get_object(Bucket="b", Key=key)["Body"].read()
    return body


@pytest.mark.parametrize("size", [0, 1, 777, PART, PART + 1, 3 * PART + 777])
@pytest.mark.parametrize(
    "line", [["pipe", "-p", "5", "s3://b/k"], ["cp", "-p", "5", "-", "s3://b/k"]], ids=["pipe", "cp"]
)
def test_sizes(fake_s3: FakeS3, run: Command, tmp_path: Path, line: list[str], size: int) -> None:
    data = pattern(size)
    outcome = run(*line, input=data)
    assert outcome.lines == ["pipe s3://b/k" if line[0] == "pipe" else "cp - s3://b/k"]
    assert outcome.stderr == ""
    assert stored(fake_s3) == data
    write_pattern(tmp_path / "file", size)
    with (tmp_path / "file").open("rb") as file:
        file.seek(size // 2)
        run(*line, stdin=file)
    assert stored(fake_s3) == data[size // 2 :], "from where the descriptor stands"


def test_record_and_words(fake_s3: FakeS3, run: Command) -> None:
    outcome = run("--json", "pipe", "--metadata", "a=b", "--content-type", "text/x", "s3://b/k.json", input=b"hello")
    record, summary = outcome.records
    assert record["operation"] == "pipe"
    assert (record["source"], record["destination"]) == ("-", "s3://b/k.json")
    assert (record["object"]["size"], record["verified"]) == (5, "full_object/crc64nvme")
    assert (summary["command"], summary["objects"]["done"], summary["bytes"]["transferred"]) == ("pipe", 1, 5)
    head = fake_s3.boto3.head_object(Bucket="b", Key="k.json")
    assert (head["ContentType"], head["Metadata"]) == ("text/x", {"a": "b"})
    run("pipe", "s3://b/t.json", input=b"{}")
    assert fake_s3.boto3.head_object(Bucket="b", Key="t.json")["ContentType"] == "application/json"


def test_parts_leave_while_the_producer_works(fake_s3: FakeS3, run: Command) -> None:
    process = run.start("pipe", "-p", "5", "s3://b/k", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(b"x" * (PART + 1))
    process.stdin.flush()
    fake_s3.wait_for_log(operation="UploadPart", count=1)
    process.stdin.write(b"y" * 10)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert stored(fake_s3) == b"x" * (PART + 1) + b"y" * 10


@pytest.mark.parametrize("written", [10, 2 * PART])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_signal_leaves_nothing(fake_s3: FakeS3, run: Command, written: int, name: str) -> None:
    """#43, #72: also while the producer is silent."""
    process = run.start("pipe", "-p", "5", "s3://b/k", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(b"x" * written)
    process.stdin.flush()
    if written > PART:
        fake_s3.wait_for_log(operation="UploadPart", count=1)
    else:
        time.sleep(0.4)
    sent = time.monotonic()
    process.send_signal(getattr(signal, name))
    assert process.wait(10) == -getattr(signal, name)
    assert time.monotonic() - sent < 3
    process.stdin.close()
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        stream.close()
    assert fake_s3.do("keys", bucket="b")["keys"] == []
    assert fake_s3.uploads() == []


def test_idiom_that_guards_against_a_producer_that_dies(fake_s3: FakeS3, run: Command, tmp_path: Path) -> None:
    """As the help and docs/uploads.md have it."""
    script = "exec 3> >(exec {s3z} pipe -p 5 s3://b/k)\nif {make} >&3; then exec 3>&-; else kill $!; fi; wait $!\n"
    make = tmp_path / "make-data"
    for status, keys in ((1, []), (0, ["k"])):
        make.write_text(f"#!/bin/bash\nhead -c 12000000 /dev/zero\nexit {status}\n")
        make.chmod(0o755)
        done = subprocess.run(
            ["bash", "-c", script.format(s3z=SCRIPT, make=make)],
            cwd=tmp_path, env={**run.environment, **os.environ, **fake_s3.environment()},
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode == 0) == (status == 0), done
        assert fake_s3.do("keys", bucket="b")["keys"] == keys
        assert fake_s3.uploads() == []


def test_broken_input(fake_s3: FakeS3, run: Command, tmp_path: Path) -> None:
    """When reading fails, no object appears."""
    unreadable = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    outcome = run("pipe", "s3://b/k", stdin=unreadable, status=1)
    os.close(unreadable)
    assert outcome.errors[0] == 'ERROR "pipe s3://b/k": "<stdin>": bad file descriptor'
    assert fake_s3.do("keys", bucket="b")["keys"] == []


@pytest.mark.parametrize(
    "line",
    [
        ["pipe", "s3://b/k"], ["pipe", "-n", "s3://b/new"], ["cp", "-", "s3://b/k"], ["run"], ["run", "-"],
        ["cp", "--files-from", "-", "dir/", "s3://b/"], ["rm", "--files-from", "-", "s3://b/"], ["unpack", "-", "out"],
    ],
)  # fmt: skip
@pytest.mark.parametrize("json", [(), ("--json",)])
def test_closed_input(fake_s3: FakeS3, run: Command, tmp_path: Path, line: list[str], json: tuple[str, ...]) -> None:
    """It is not an empty one: what is there is not replaced, and nothing is taken for done."""
    (tmp_path / "dir").mkdir()
    fake_s3.put("b", "k", b"kept")
    closed = ["sh", "-c", 'exec "$0" "$@" <&-', SCRIPT]
    outcome = run(*json, *line, program=closed, status=1)
    assert stored(fake_s3) == b"kept"
    assert fake_s3.do("keys", bucket="b")["keys"] == ["k"]
    if json:
        (error,) = [record["error"] for record in outcome.error_records if "error" in record]
        assert (error["kind"], error["message"]) == ("local_io", '"<stdin>": bad file descriptor')
    else:
        assert outcome.errors[0].endswith(': "<stdin>": bad file descriptor')
        assert outcome.stdout == ""


def test_closed_input_of_a_command_that_reads_none(fake_s3: FakeS3, run: Command) -> None:
    fake_s3.put("b", "k", b"x")
    closed = ["sh", "-c", 'exec "$0" "$@" <&-', SCRIPT]
    assert run("cat", "s3://b/k", program=closed).stdout == "x"


def test_no_clobber_and_dry_run(fake_s3: FakeS3, run: Command) -> None:
    run("--dry-run", "pipe", "s3://b/k", input=b"new")
    record = run("--dry-run", "--json", "pipe", "s3://b/k", input=b"new").records[0]
    assert record["object"] == {"key": "s3://b/k", "type": "file"}
    assert fake_s3.do("keys", bucket="b")["keys"] == []
    run("pipe", "-n", "s3://b/k", input=b"new")
    assert run("pipe", "-n", "s3://b/k", input=b"newer").lines == []
    assert stored(fake_s3) == b"new"


@pytest.mark.parametrize(
    ("line", "status", "text"),
    [
        (["pipe", "s3://b"], 1, 'target "s3://b" must be an object'),
        (["pipe", "s3://b/"], 1, 'target "s3://b/" must be an object'),
        (["pipe", "s3://b/p/"], 1, 'target "s3://b/p/" must be an object'),
        (["pipe", "local"], 1, 'target "local" must be an object'),
        (["pipe", "s3://b/*"], 1, 'target "s3://b/*" can not contain glob characters'),
        (["cp", "-", "here"], 1, 'target "here" must be an object'),
        (["pipe"], 2, "expected 1 argument"),
        (["pipe", "-p", "1", "s3://b/k"], 2, "at least 5M"),
        (["cp", "--no-resume", "-", "s3://b/k"], 2, "says nothing of standard input"),
        (["cp", "--expected-size", "5G", "file", "s3://b/k"], 2, "is for stdin"),
        (["pipe", "--expected-size", "many", "s3://b/k"], 2, "expected-size"),
    ],
)
def test_refused(run: Command, tmp_path: Path, line: list[str], status: int, text: str) -> None:
    (tmp_path / "file").write_text("x")
    outcome = run(*line, status=status, input=b"x")
    assert text in outcome.errors[0]
    assert outcome.lines == []


def test_memory_does_not_grow_with_the_input(fake_s3: FakeS3, run: Command) -> None:
    """The full figures are in benches; this only sees that 1 GiB takes no more than 128 MiB does."""
    peaks = []
    for mib in (128, 1024):
        producer = subprocess.Popen(["head", "-c", str(mib * MIB), "/dev/zero"], stdout=subprocess.PIPE)
        process = run.start("pipe", "s3://b/k", stdin=producer.stdout)
        assert producer.stdout is not None
        producer.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.communicate()
        producer.wait()
        assert process.returncode == 0
        peaks.append(usage.ru_maxrss << 10)
    assert peaks[1] < peaks[0] + 40 * MIB, peaks


def test_no_clobber_where_the_store_cannot(fake_s3: FakeS3, run: Command) -> None:
    """What came from stdin cannot be sent again: an error, and never an empty object."""
    fake_s3.rule({"type": "respond", "status": 501, "code": "NotImplemented"}, operation="PutObject")
    run("pipe", "-n", "s3://b/k", input=b"new", status=1)
    assert fake_s3.do("keys", bucket="b")["keys"] == []
