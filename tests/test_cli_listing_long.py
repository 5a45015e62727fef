"""`s3z ls` and `s3z du` of long listings and odd names: exact lines, requests side by side, memory (cli.md 4, 6)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from support.command import SCRIPT
from support.data import MIB
from support.trees import fill

from s3z._escape import escape
from s3z._units import human_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.command import Command
    from support.servers import FakeS3

#: characters that mean something to XML, URLs, JSON, terminals, or are several bytes long
ODD = [
    "plain", " lead", "trail ", "a b", "a+b", "100%", "a%20b", "&<>\"'", "back\\slash", "tab\t", "line\nfeed", "cr\r",
    "\b\f\x01\x1f", "del\x7f", "c1\x85\x9f", "é", "日本", "🦀", "bidi\u202e", "zero\u200b", "tag\U000e0041",
    "\ufeffbom", "\ufffd", "/lead", "a//b", "dir/x", "dir/", "~.-_", "`$(x)`",
]  # fmt: skip


@pytest.fixture
def run(fake_s3: FakeS3, command: Callable[..., Command]) -> Command:
    return command(fake_s3)


@pytest.fixture
def odd(run: Command, fake_s3: FakeS3) -> Command:
    for size, key in enumerate(ODD):
        fake_s3.put("odd", f"p/{key}", b"" if key.endswith("/") else b"x" * size)
    return run


def in_order(keys: list[str]) -> list[str]:
    return sorted(keys, key=str.encode)


class TestOddNames:
    def test_lines(self, odd: Command) -> None:
        keys = in_order([f"p/{key}" for key in ODD])
        assert odd("ls", "--show-fullpath", "s3://odd/*").stdout == "".join(f"s3://odd/{key}\n" for key in keys)
        found = odd("ls", "s3://odd/p/*").stdout
        sizes = {f"p/{key}": "DIR" if key.endswith("/") else str(size) for size, key in enumerate(ODD)}
        at = 0
        for key in keys:
            tail = f" {sizes[key]:>12} {key[2:]}\n"
            assert found[at + 19 + 1 + 2 + 1 + 1 :].startswith(tail), (key, found[at : at + 80])
            at += 24 + len(tail)
        assert at == len(found)

    def test_records_are_those_of_python(self, odd: Command, fake_s3: FakeS3) -> None:
        listed = {item["Key"]: item for item in fake_s3.boto3.list_objects_v2(Bucket="odd")["Contents"]}
        wanted = []
        for key in in_order(list(listed)):
            item = listed[key]
            record = {"key": f"s3://odd/{key}", "type": "directory"}
            if not (key.endswith("/") and item["Size"] == 0):
                record = {
                    "key": f"s3://odd/{key}",
                    "etag": item["ETag"].strip('"'),
                    "last_modified": f"{item['LastModified']:%Y-%m-%dT%H:%M:%SZ}",
                    "type": "file",
                    "size": item["Size"],
                    "storage_class": item["StorageClass"],
                }
            wanted.append(json.dumps(record, ensure_ascii=False, separators=(",", ":")))
        assert odd("--json", "ls", "s3://odd/*").stdout == "".join(f"{line}\n" for line in wanted)
        drawn = odd.on_terminal("--json", "ls", "s3://odd/*").replace("\r\n", "\n")
        assert drawn == "".join(json.dumps(json.loads(line), separators=(",", ":")) + "\n" for line in wanted)

    def test_a_terminal_sees_escapes(self, odd: Command) -> None:
        drawn = odd.on_terminal("ls", "--show-fullpath", "s3://odd/*").replace("\r\n", "\n")
        assert drawn == "".join(f"s3://odd/{escape(key)}\n" for key in in_order([f"p/{key}" for key in ODD]))

    def test_versions(self, odd: Command) -> None:
        lines = odd("ls", "--all-versions", "s3://odd/p/é").lines
        assert [line[24:] for line in lines] == [f" {ODD.index('é'):>12} {'é':<50} null"]

    def test_filters(self, odd: Command) -> None:
        def names(*arguments: str) -> list[str]:
            return [json.loads(line)["key"] for line in odd("--json", "ls", *arguments).stdout.split("\n")[:-1]]

        assert names("s3://odd/p/?") == ["s3://odd/p/é", "s3://odd/p/\ufffd", "s3://odd/p/🦀"]
        assert names("s3://odd/p/a*b") == ["s3://odd/p/a b", "s3://odd/p/a%20b", "s3://odd/p/a+b", "s3://odd/p/a//b"]
        assert names("--exclude", "p/a*", "s3://odd/p/a*") == ["s3://odd/p/a//b"]
        kept = names("--exclude", "*/*", "s3://odd/p/*")
        assert kept == [f"s3://odd/p/{key}" for key in in_order([key for key in ODD if "/" not in key])]

    def test_sizes_as_python_rounds_them(self, run: Command, fake_s3: FakeS3) -> None:
        sizes = [1024 * n // 20 for n in range(20, 60)] + [(1 << 20) * n // 8 for n in range(8, 20)] + [(1 << 40) + 1]
        for number, size in enumerate(sizes):
            fake_s3.pattern("sizes", f"{number:03}", size)
        assert [line.split()[-2] for line in run("ls", "-H", "s3://sizes").lines] == [
            human_size(size) for size in sizes
        ]


class TestLong:
    COUNT = 40_000

    @pytest.fixture
    def long(self, run: Command, fake_s3: FakeS3) -> Command:
        """A store that answers after a while, as one far away does."""
        fake_s3.do("set", switches={"page_keys": 200})
        fill(fake_s3, "long", self.names(), b"abc")
        fake_s3.do("set", switches={"latency_ms": 20})
        fake_s3.do("clear_log")
        return run

    def names(self) -> list[str]:
        return [f"data/{number // 100:04}/é-{number:06}" for number in range(self.COUNT)]

    def requests(self, server: FakeS3) -> tuple[int, int]:
        """All listings, and those that began somewhere in between."""
        log = [record for record in server.log() if record["operation"] == "ListObjectsV2"]
        return len(log), sum("start-after=" in record["query"] for record in log)

    def test_ls_and_du_ask_side_by_side(self, long: Command, fake_s3: FakeS3) -> None:
        assert long("ls", "--show-fullpath", "s3://long/*").lines == [f"s3://long/{name}" for name in self.names()]
        requests, cuts = self.requests(fake_s3)
        assert cuts > 5
        assert requests <= self.COUNT // 200 * 1.08
        fake_s3.do("clear_log")
        assert long("du", "s3://long/*").stdout == f"{3 * self.COUNT} bytes in {self.COUNT} objects: s3://long/*\n"
        assert self.requests(fake_s3)[1] > 5

    def test_rm_and_sync_do_too(self, long: Command, fake_s3: FakeS3) -> None:
        assert len(long("--dry-run", "rm", "s3://long/*").lines) == self.COUNT
        assert self.requests(fake_s3)[1] > 5
        fake_s3.do("create_bucket", bucket="other")
        lines = long("--dry-run", "sync", "s3://long/*", "s3://other/").lines
        assert sorted(line.split()[1] for line in lines) == [f"s3://long/{name}" for name in self.names()]

    @pytest.mark.parametrize("name", ["ls", "du"])
    def test_a_failure_in_between_is_told(self, long: Command, fake_s3: FakeS3, name: str) -> None:
        denied = {"type": "respond", "status": 403, "code": "AccessDenied"}
        fake_s3.rule(denied, operation="ListObjectsV2", bucket="long", skip=60)
        outcome = long(name, "s3://long/*", status=1)
        assert "AccessDenied" in outcome.errors[0]
        assert len(outcome.errors) == 1
        names = [line.split()[-1] for line in outcome.lines]
        assert names == self.names()[: len(names)]
        assert len(names) < self.COUNT

    @pytest.mark.parametrize("name", ["ls", "du"])
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_signals(self, long: Command, fake_s3: FakeS3, name: str, number: int) -> None:
        fake_s3.do("set", switches={"latency_ms": 100})
        with long.start(name, "s3://long/*", stdout=subprocess.DEVNULL) as process:
            fake_s3.wait_for_log(operation="ListObjectsV2", count=8)
            sent = time.time()
            process.send_signal(number)
            process.wait(30)
        assert process.returncode == -number
        assert time.time() - sent < 8
        assert all(record["time"] < sent + 1 for record in fake_s3.log(operation="ListObjectsV2"))

    def test_first_lines_come_with_the_first_page(self, long: Command, fake_s3: FakeS3) -> None:
        fake_s3.rule({"type": "stall", "seconds": 60}, operation="ListObjectsV2", bucket="long", skip=1)
        with long.start("ls", "s3://long/*") as process:
            assert process.stdout is not None
            assert os.read(process.stdout.fileno(), 10)
            process.kill()

    def test_reader_that_leaves(self, long: Command) -> None:
        with subprocess.Popen(
            [SCRIPT, "ls", "s3://long/*"],
            env=long.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.read(10)
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait(60) == 0


def peak(run: Command, *arguments: str) -> int:
    """The most memory that a command held, in bytes."""
    script = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run(
        ["python3", "-c", script, SCRIPT, *arguments], env=run.environment, capture_output=True, check=True, timeout=100
    )
    return int(done.stdout) * 1024


@pytest.mark.parametrize("name", ["ls", "du"])
def test_memory_is_the_same_for_few_keys_and_many(run: Command, fake_s3: FakeS3, name: str) -> None:
    for bucket, count in (("few", 5_000), ("many", 150_000)):
        fill(fake_s3, bucket, [f"{number:06}" for number in range(count)])
    few, many = (min(peak(run, name, f"s3://{bucket}/*") for _ in range(2)) for bucket in ("few", "many"))
    assert many - few < 6 * MIB
