"""Signals, readers that leave and few descriptors, with many objects at work (cli.md 7)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.command import SCRIPT
from support.data import MIB, leftovers, write_pattern
from support.trees import changes, deletions, ended, fill, keys, read_tree, write_tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Command
    from support.servers import FakeS3

COUNT = 2000
BODY = b"content of every object"
#: nothing is transferred after 200 ms; the rest is for the machine
QUIET_AFTER = 1.0
#: 200 ms and 2 s, likewise
GONE_AFTER = 8.0
SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])


@pytest.fixture
def run(fake_s3: FakeS3, command: Callable[..., Command]) -> Command:
    for name in ("src", "dst"):
        fake_s3.do("create_bucket", bucket=name)
    return command(fake_s3)


@pytest.fixture
def many(run: Command, fake_s3: FakeS3, tmp_path: Path) -> Command:
    """So many objects in `src`, and files in `dir`."""
    names = [f"d{number % 7}/k{number:04}" for number in range(COUNT)]
    fill(fake_s3, "src", names, BODY)
    write_tree(tmp_path / "dir", dict.fromkeys(names, BODY.decode()))
    fake_s3.do("clear_log")
    return run


class Ended:
    """A process that was sent a signal when a number of requests of a kind had come."""

    def __init__(
        self, run: Command, server: FakeS3, number: int, operation: str, *arguments: str, count: int = 20, **more: Any
    ) -> None:
        with ended(run.start(*arguments, **more)) as process:
            server.wait_for_log(operation=operation, count=count)
            self.sent = time.time()
            process.send_signal(number)
            self.stdout, self.stderr = process.communicate(timeout=60)
        self.seconds = time.time() - self.sent
        self.number, self.server, self.status = number, server, process.returncode

    def check(self, *, summary: bool = True) -> None:
        """What holds of all commands."""
        assert self.status == -self.number, (self.status, self.stderr)
        assert self.seconds < GONE_AFTER
        assert b"Traceback" not in self.stderr
        late = [
            record for record in self.server.log()
            if record["time"] > self.sent + QUIET_AFTER and record["operation"] != "AbortMultipartUpload"
        ]  # fmt: skip
        assert late == []
        assert self.server.uploads() == []
        if summary:
            last = json.loads(self.stdout.splitlines()[-1])
            assert last["record"] == "summary"
            assert (last["success"], last["interrupted"], last["exit_code"]) == (False, True, 128 + self.number)
            objects = last["objects"]
            assert len(self.done) == objects["done"], "what has been done is told, all of it"

    @property
    def done(self) -> list[str]:
        """Names that a result record says have been transferred."""
        records = [json.loads(line) for line in self.stdout.splitlines()]
        return [each["destination"] for each in records if each.get("success") and "destination" in each]


@SIGNALS
@pytest.mark.parametrize("name", ["cp", "sync", "mv"])
class TestManyObjects:
    def test_download(self, many: Command, fake_s3: FakeS3, tmp_path: Path, name: str, number: int) -> None:
        fake_s3.switch(latency_ms=100)
        stopped = Ended(many, fake_s3, number, "GetObject", "--json", name, "s3://src/*", "out/")
        stopped.check()
        assert leftovers(tmp_path) == []
        found = read_tree(tmp_path / "out")
        assert len(found) < COUNT
        assert set(found.values()) <= {BODY.decode()}
        told = {os.path.relpath(path, "out") for path in stopped.done}
        # A source that could not be removed any more is not told as moved.
        assert told <= set(found) if name == "mv" else told == set(found)
        if name == "mv":
            fake_s3.switch(latency_ms=0)
            assert set(found) | set(keys(fake_s3, "src")) == set(read_tree(tmp_path / "dir"))

    def test_upload(self, many: Command, fake_s3: FakeS3, tmp_path: Path, name: str, number: int) -> None:
        fake_s3.switch(latency_ms=100)
        before = set(read_tree(tmp_path / "dir"))
        stopped = Ended(many, fake_s3, number, "PutObject", "--json", name, "dir/", "s3://dst/")
        stopped.check()
        fake_s3.switch(latency_ms=0)
        found = set(keys(fake_s3, "dst"))
        assert len(found) < COUNT
        assert {uri.removeprefix("s3://dst/") for uri in stopped.done} <= found
        left = set(read_tree(tmp_path / "dir"))
        assert left | found == before
        assert name == "mv" or left == before

    def test_copy_by_the_server(self, many: Command, fake_s3: FakeS3, name: str, number: int) -> None:
        fake_s3.switch(latency_ms=100)
        stopped = Ended(many, fake_s3, number, "CopyObject", "--json", name, "s3://src/*", "s3://dst/")
        stopped.check()
        fake_s3.switch(latency_ms=0)
        found, left = set(keys(fake_s3, "dst")), set(keys(fake_s3, "src"))
        assert len(found) < COUNT
        assert len(found | left) == COUNT
        assert name == "mv" or len(left) == COUNT
        assert {uri.removeprefix("s3://dst/") for uri in stopped.done} <= found


class TestOthers:
    def test_hangup(self, many: Command, fake_s3: FakeS3) -> None:
        fake_s3.switch(latency_ms=100)
        Ended(many, fake_s3, signal.SIGHUP, "GetObject", "--json", "cp", "s3://src/*", "out/").check()

    @SIGNALS
    @pytest.mark.parametrize("text", [True, False], ids=["text", "json"])
    def test_listing(self, run: Command, fake_s3: FakeS3, number: int, text: bool) -> None:
        fill(fake_s3, "src", [f"{number:06}" for number in range(60_000)])
        fake_s3.switch(latency_ms=200)
        flags = [] if text else ["--json"]
        for name in ("ls", "du"):
            fake_s3.do("clear_log")
            stopped = Ended(run, fake_s3, number, "ListObjectsV2", *flags, name, "s3://src/*", count=1)
            stopped.check(summary=False)
            assert len(stopped.stdout.splitlines()) < 60_000

    @SIGNALS
    @pytest.mark.parametrize(
        "arguments",
        [["cp", "s3://src/*", "out/"], ["sync", "--delete", "s3://src/*", "s3://dst/"], ["rm", "s3://src/none*"],
         ["verify", "s3://src/*", "s3://dst/"]],
        ids=lambda arguments: arguments[0],
    )  # fmt: skip
    def test_listing_that_hangs(
        self, run: Command, fake_s3: FakeS3, tmp_path: Path, number: int, arguments: list[str]
    ) -> None:
        """In the first request of all; no record but the summary, and no change."""
        fill(fake_s3, "dst", ["old"])
        fake_s3.rule({"type": "latency", "ms": 100_000}, operation="ListObjectsV2", bucket="src")
        stopped = Ended(run, fake_s3, number, "ListObjectsV2", "--json", "--read-timeout", "5m", *arguments, count=1)
        stopped.check()
        assert changes(fake_s3) == []
        assert not (tmp_path / "out").exists() or read_tree(tmp_path / "out") == {}

    @SIGNALS
    def test_large_files_in_parts(self, run: Command, fake_s3: FakeS3, tmp_path: Path, number: int) -> None:
        (tmp_path / "big").mkdir()
        for each in range(6):
            write_pattern(tmp_path / f"big/{each}", 40 * MIB)
        fake_s3.switch(rate_per_connection=2 * MIB)
        stopped = Ended(run, fake_s3, number, "UploadPart", "--json", "cp", "-p", "5M", "big/", "s3://dst/", count=6)
        stopped.check()
        assert keys(fake_s3, "dst") == []

    @SIGNALS
    def test_large_objects_in_parts(self, run: Command, fake_s3: FakeS3, tmp_path: Path, number: int) -> None:
        for each in range(6):
            fake_s3.pattern("src", f"{each}", 40 * MIB)
        fake_s3.switch(rate_per_connection=2 * MIB)
        stopped = Ended(run, fake_s3, number, "GetObject", "--json", "cp", "--no-resume", "s3://src/*", "out/", count=6)
        stopped.check()
        assert leftovers(tmp_path) == []
        assert not (tmp_path / "out").exists() or read_tree(tmp_path / "out") == {}

    @SIGNALS
    def test_large_copy_by_the_server(self, run: Command, fake_s3: FakeS3, number: int) -> None:
        fake_s3.pattern("src", "huge", 6 << 30)
        fake_s3.rule({"type": "latency", "ms": 100_000}, operation="UploadPartCopy")
        stopped = Ended(
            run, fake_s3, number, "UploadPartCopy", "--json", "--read-timeout", "5m", "cp", "s3://src/huge",
            "s3://dst/", count=1,
        )  # fmt: skip
        stopped.check()
        assert keys(fake_s3, "dst") == []

    @SIGNALS
    def test_removal(self, run: Command, fake_s3: FakeS3, number: int) -> None:
        fill(fake_s3, "src", [f"{number:06}" for number in range(30_000)])
        fake_s3.rule({"type": "latency", "ms": 500}, operation="DeleteObjects")
        stopped = Ended(run, fake_s3, number, "DeleteObjects", "--json", "rm", "s3://src/*", count=1)
        stopped.check()
        left = len(keys(fake_s3, "src"))
        records = [json.loads(line) for line in stopped.stdout.splitlines()]
        gone = [record for record in records if record.get("operation") == "rm" and record["success"]]
        assert 0 < left <= 30_000 - len(gone)
        assert len(deletions(fake_s3)) < 30

    def test_text_has_no_half_lines(self, many: Command, fake_s3: FakeS3) -> None:
        fake_s3.switch(latency_ms=50)
        stopped = Ended(many, fake_s3, signal.SIGINT, "CopyObject", "cp", "s3://src/*", "s3://dst/")
        stopped.check(summary=False)
        fake_s3.switch(latency_ms=0)
        assert stopped.stdout == b"" or stopped.stdout.endswith(b"\n")
        there = set(keys(fake_s3, "dst"))
        for line in stopped.stdout.decode().splitlines():
            _, source, destination = line.split(" ")
            assert source.replace("src", "dst") == destination
            assert destination.removeprefix("s3://dst/") in there

    def test_a_shell_sees_the_number(self, many: Command, fake_s3: FakeS3) -> None:
        fake_s3.switch(latency_ms=100)
        script = f"'{SCRIPT}' cp 's3://src/*' out/ >/dev/null & wait_for=$!; echo $wait_for; wait $wait_for; echo $?"
        shell = subprocess.Popen(
            ["bash", "-c", script], cwd=many.directory, env=many.environment, stdout=subprocess.PIPE
        )
        assert shell.stdout is not None
        child = int(shell.stdout.readline())
        fake_s3.wait_for_log(operation="GetObject", count=5)
        os.kill(child, signal.SIGTERM)
        assert shell.stdout.read() == b"143\n"
        shell.stdout.close()
        assert shell.wait(20) == 0


def leave(process: subprocess.Popen[bytes], count: int = 10) -> bytes:
    """Read a little of stdout, and close it."""
    assert process.stdout is not None
    read = os.read(process.stdout.fileno(), count)
    process.stdout.close()
    process.stdout = None
    return read


class TestReaderThatLeaves:
    @pytest.mark.parametrize(
        "arguments",
        [["cp", "s3://src/*", "out/"], ["cp", "s3://src/*", "s3://dst/"], ["cp", "dir/", "s3://dst/"],
         ["sync", "s3://src/*", "out/"], ["sync", "dir/", "s3://dst/"]],
        ids=" ".join,
    )  # fmt: skip
    @pytest.mark.parametrize("flags", [[], ["--json"]], ids=["text", "json"])
    def test_transfers_go_on(
        self, many: Command, fake_s3: FakeS3, tmp_path: Path, arguments: list[str], flags: list[str]
    ) -> None:
        process = many.start(*flags, *arguments)
        leave(process)
        _, stderr = process.communicate(timeout=100)
        assert (process.returncode, stderr) == (0, b"")
        found = read_tree(tmp_path / "out") if "out/" in arguments else keys(fake_s3, "dst")
        assert len(found) == COUNT

    def test_a_failure_still_counts(self, many: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        denied = {"type": "respond", "status": 403, "code": "AccessDenied"}
        fake_s3.rule(denied, operation="GetObject", key=f"d{(COUNT - 1) % 7}/k{COUNT - 1:04}")
        process = many.start("cp", "s3://src/*", "out/")
        leave(process)
        _, stderr = process.communicate(timeout=100)
        assert process.returncode == 1
        assert b"AccessDenied" in stderr
        assert len(read_tree(tmp_path / "out")) == COUNT - 1

    def test_removal_goes_on(self, many: Command, fake_s3: FakeS3) -> None:
        process = many.start("rm", "s3://src/*")
        leave(process)
        assert process.communicate(timeout=100)[1] == b""
        assert (process.returncode, keys(fake_s3, "src")) == (0, [])

    def test_run_goes_on(self, many: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        (tmp_path / "commands").write_text("".join(f"cp s3://src/d{each}/* s3://dst/{each}/\n" for each in range(7)))
        process = many.start("run", "commands")
        leave(process)
        assert process.communicate(timeout=100)[1] == b""
        assert (process.returncode, len(keys(fake_s3, "dst"))) == (0, COUNT)

    def test_verify_keeps_its_status(self, many: Command) -> None:
        process = many.start("verify", "s3://src/*", "s3://dst/")
        leave(process)
        assert process.communicate(timeout=100)[1] == b""
        assert process.returncode == 1

    @pytest.mark.parametrize("flags", [[], ["--json"]], ids=["text", "json"])
    def test_listing_stops_silently(self, run: Command, fake_s3: FakeS3, flags: list[str]) -> None:
        fill(fake_s3, "src", [f"{number:06}" for number in range(60_000)])
        fake_s3.do("clear_log")
        fake_s3.switch(latency_ms=20)
        process = run.start(*flags, "ls", "s3://src/*")
        leave(process)
        _, stderr = process.communicate(timeout=60)
        assert (process.returncode, stderr) == (0, b"")
        assert len(fake_s3.log(operation="ListObjectsV2")) < 60, "it went on"

    def test_closed_from_the_start(self, many: Command, fake_s3: FakeS3) -> None:
        closed = ["sh", "-c", 'exec "$0" "$@" >&-', SCRIPT]
        many("pack", "dir/", "s3://dst/a.tar.zst")
        for arguments in (
            ["ls", "s3://src"], ["du", "s3://src/*"], ["head", "s3://src/d0/k0000"], ["cat", "s3://src/d0/k0000"],
            ["cat", "s3://src/*"], ["cp", "s3://src/d0/k0000", "-"], ["pack", "dir/", "-"], ["config"],
            ["archive", "ls", "s3://dst/a.tar.zst"], ["archive", "cat", "s3://dst/a.tar.zst", "d0/k0000"],
            ["archive", "index", "s3://dst/a.tar.zst"],
        ):  # fmt: skip
            outcome = many(*arguments, program=closed)
            assert (outcome.status, outcome.stderr) == (0, "")
        many("rm", "s3://dst/a.tar.zst")
        assert many("cp", "s3://src/*", "s3://dst/", program=closed).stderr == ""
        assert len(keys(fake_s3, "dst")) == COUNT

    @pytest.mark.parametrize("flags", [[], ["--json"]], ids=["text", "json"])
    @pytest.mark.parametrize(
        "arguments",
        [["config"], ["ls", "s3://src/*"], ["ls", "--etag", "s3://src/d1/"], ["du", "s3://src/*"], ["ls"],
         ["cp", "s3://src/*", "out/"], ["--stat", "du", "s3://src/*"], ["--stat", "mb", "s3://new"]],
        ids=" ".join,
    )  # fmt: skip
    def test_what_cannot_be_written_is_told_once_and_no_success(
        self, many: Command, fake_s3: FakeS3, arguments: list[str], flags: list[str]
    ) -> None:
        with open("/dev/full", "w") as full, ended(many.start(*flags, *arguments, stdout=full)) as process:
            _, stderr = process.communicate(timeout=60)
        assert process.returncode == 1
        assert stderr.decode().count("cannot write to stdout: no space left on device") == 1


@pytest.mark.parametrize("limit", ["64:64", "64:4096"])
@pytest.mark.parametrize("name", ["cp", "sync"])
@pytest.mark.parametrize("direction", ["down", "up", "copy"])
def test_few_descriptors(many: Command, fake_s3: FakeS3, tmp_path: Path, direction: str, name: str, limit: str) -> None:
    """The soft limit is raised as far as it goes, and kept within."""
    arguments = {"down": ["s3://src/*", "out/"], "up": ["dir/", "s3://dst/"], "copy": ["s3://src/*", "s3://dst/"]}
    line = ["prlimit", f"--nofile={limit}", SCRIPT]
    outcome = many(name, *arguments[direction], program=line)
    assert outcome.stderr == ""
    assert len(outcome.lines) == COUNT
    if direction == "down":
        assert read_tree(tmp_path / "out") == read_tree(tmp_path / "dir")
    else:
        assert len(keys(fake_s3, "dst")) == COUNT


def test_few_descriptors_and_deep_trees(run: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
    """A walk and a download do not hold a descriptor for each level."""
    deep = "/".join(f"d{number}" for number in range(150))
    write_tree(tmp_path / "dir", {f"{deep}/f": "x", "a": "y"})
    line = ["prlimit", "--nofile=64:64", SCRIPT]
    run("sync", "dir/", "s3://dst/", program=line)
    run("sync", "s3://dst/*", "out/", program=line)
    assert read_tree(tmp_path / "out") == {f"{deep}/f": "x", "a": "y"}
    assert run("sync", "--delete", "s3://dst/*", "out/", program=line).stdout == ""


@pytest.mark.parametrize("workers", ["500", "auto"])
def test_few_descriptors_and_many_workers(many: Command, tmp_path: Path, workers: str) -> None:
    line = ["prlimit", "--nofile=64:64", SCRIPT]
    many("--numworkers", workers, "cp", "-c", "8", "s3://src/*", "out/", program=line)
    assert len(read_tree(tmp_path / "out")) == COUNT
