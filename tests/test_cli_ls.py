"""`s3z ls`: buckets, levels, wildcards and local files, column by column."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from support.command import SCRIPT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Command
    from support.servers import FakeS3, Server

TIME = r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d"


@pytest.fixture
def run(fake_s3: FakeS3, command: Callable[..., Command]) -> Command:
    for key, size in (("a.txt", 1364), ("b.txt", 0), ("sub/c.txt", 5), ("sub/deep/d.txt", 6), ("sub.txt", 7)):
        fake_s3.put("b", key, b"x" * size)
    fake_s3.do("create_bucket", bucket="empty")
    return command(fake_s3)


def shape(text: str) -> str:
    """A listing with its times made alike."""
    return re.sub(TIME, "2026/03/26 09:14:10", text)


class TestLevels:
    @pytest.mark.parametrize("argument", ["s3://b", "s3://b/"])
    def test_bucket(self, run: Command, argument: str) -> None:
        assert shape(run("ls", argument).stdout) == (
            "2026/03/26 09:14:10              1364 a.txt\n"
            "2026/03/26 09:14:10                 0 b.txt\n"
            "2026/03/26 09:14:10                 7 sub.txt\n"
            "                                  DIR sub/\n"
        )

    @pytest.mark.parametrize(
        ("argument", "names"),
        [
            ("s3://b/sub", ["sub.txt", "sub/"]),
            ("s3://b/sub/", ["c.txt", "deep/"]),
            ("s3://b/sub/d", ["deep/"]),
            ("s3://b/a.txt", ["a.txt"]),
            ("s3://b/*.txt", ["a.txt", "b.txt", "sub.txt", "sub/c.txt", "sub/deep/d.txt"]),
            ("s3://b/sub/*", ["c.txt", "deep/d.txt"]),
            ("s3://b/s*c.txt", ["sub/c.txt"]),
            ("s3://b/?.txt", ["a.txt", "b.txt"]),
        ],
    )
    def test_argument(self, run: Command, argument: str, names: list[str]) -> None:
        assert [line.split()[-1] for line in run("ls", argument).lines] == names

    def test_recursive(self, run: Command) -> None:
        assert [line.split()[-1] for line in run("ls", "--recursive", "s3://b/sub/").lines] == ["c.txt", "deep/d.txt"]

    def test_exclude(self, run: Command) -> None:
        lines = run("ls", "--exclude", "a*", "--exclude=sub*", "s3://b").lines
        assert [line.split()[-1] for line in lines] == ["b.txt"]

    def test_buckets(self, run: Command) -> None:
        assert shape(run("ls").stdout) == "2026/03/26 09:14:10  s3://b\n2026/03/26 09:14:10  s3://empty\n"

    def test_marker_shows_as_directory(self, run: Command, fake_s3: FakeS3) -> None:
        fake_s3.put("b", "sub/", b"")
        assert "DIR" in run("ls", "s3://b/sub/*").lines[0]

    def test_more_than_a_page(self, run: Command, fake_s3: FakeS3) -> None:
        for number in range(2100):
            fake_s3.do("put", bucket="many", key=f"{number:05}", text="")
        assert [line.split()[-1] for line in run("ls", "s3://many").lines] == [f"{number:05}" for number in range(2100)]

    def test_every_server(self, server: Server, bucket: str, command: Callable[..., Command]) -> None:
        for key in ("a.txt", "dir/b.txt"):
            server.boto3.put_object(Bucket=bucket, Key=key, Body=b"hello")
        assert [line.split()[-2:] for line in command(server)("ls", f"s3://{bucket}").lines] == [
            ["5", "a.txt"],
            ["DIR", "dir/"],
        ]
        assert f"  s3://{bucket}" in command(server)("ls").stdout


class TestColumns:
    @pytest.mark.parametrize(
        ("size", "shown"), [(0, "0"), (1023, "1023"), (1024, "1024"), (1025, "1.0K"), (1536, "1.5K"), (1 << 21, "2.0M")]
    )
    def test_human_sizes(self, run: Command, fake_s3: FakeS3, size: int, shown: str) -> None:
        fake_s3.pattern("h", "k", size)
        assert run("ls", "-H", "s3://h").lines[0].split()[-2:] == [shown, "k"]

    def test_etag_and_class(self, run: Command, fake_s3: FakeS3) -> None:
        etag = fake_s3.boto3.head_object(Bucket="b", Key="a.txt")["ETag"].strip('"')
        line = shape(run("ls", "-e", "-s", "s3://b/a.txt").stdout)
        assert line == f"2026/03/26 09:14:10 STANDARD {etag:<38} {1364:>12} a.txt\n"

    def test_full_paths(self, run: Command) -> None:
        assert run("ls", "--show-fullpath", "s3://b").lines == [
            "s3://b/a.txt",
            "s3://b/b.txt",
            "s3://b/sub.txt",
            "s3://b/sub/",
        ]

    def test_time_is_utc(self, run: Command, fake_s3: FakeS3) -> None:
        modified = fake_s3.boto3.head_object(Bucket="b", Key="a.txt")["LastModified"]
        line = run("ls", "s3://b/a.txt", env={"TZ": "Pacific/Auckland"}).lines[0]
        assert line.startswith(modified.strftime("%Y/%m/%d %H:%M:%S"))


class TestNothing:
    def test_empty_bucket_is_fine(self, run: Command) -> None:
        outcome = run("ls", "s3://empty")
        assert (outcome.stdout, outcome.stderr) == ("", "")

    @pytest.mark.parametrize("argument", ["s3://b/none", "s3://b/none/", "s3://b/n*", "s3://empty/x"])
    def test_no_match(self, run: Command, argument: str) -> None:
        outcome = run("ls", argument, status=1)
        assert outcome.errors[0] == f'ERROR "ls {argument}": no object found'
        assert outcome.stdout == ""

    def test_missing_bucket(self, run: Command) -> None:
        outcome = run("ls", "s3://no-such-bucket", status=1)
        assert outcome.errors[0].startswith('ERROR "ls s3://no-such-bucket": NoSuchBucket: ')
        assert "; status code: 404, request id: " in outcome.errors[0]
        assert outcome.errors[1].startswith("hint: ")

    def test_failure_on_a_later_page(self, run: Command, fake_s3: FakeS3) -> None:
        for number in range(1500):
            fake_s3.do("put", bucket="many", key=f"{number:05}", text="")
        fake_s3.rule({"type": "respond", "status": 403, "code": "AccessDenied"}, operation="ListObjectsV2", skip=1)
        outcome = run("ls", "s3://many", status=1)
        assert "AccessDenied" in outcome.errors[0]


class TestStreams:
    def test_json(self, run: Command, fake_s3: FakeS3) -> None:
        records = run("--json", "ls", "s3://b").records
        head = fake_s3.boto3.head_object(Bucket="b", Key="a.txt")
        assert records[0] == {
            "key": "s3://b/a.txt",
            "etag": head["ETag"].strip('"'),
            "last_modified": head["LastModified"].strftime("%Y-%m-%dT%H:%M:%SZ"),
            "type": "file",
            "size": 1364,
            "storage_class": "STANDARD",
        }
        assert records[3] == {"key": "s3://b/sub/", "type": "directory"}
        assert len(records) == 4

    def test_json_of_buckets(self, run: Command) -> None:
        records = run("--json", "ls").records
        assert [record["name"] for record in records] == ["b", "empty"]
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", record["created_at"]) for record in records)

    def test_json_of_a_failure(self, run: Command) -> None:
        outcome = run("--json", "ls", "s3://b/none", status=1)
        assert outcome.stdout == ""
        (record,) = outcome.error_records
        assert (record["operation"], record["success"], record["error"]["kind"]) == ("ls", False, "not_found")
        assert record["error"]["message"] == "no object found"

    def test_quiet_still_lists(self, run: Command) -> None:
        assert len(run("-q", "ls", "s3://b").lines) == 4
        assert len(run("--only-show-errors", "ls", "s3://b").lines) == 4

    def test_reader_that_leaves_is_no_error(self, run: Command, fake_s3: FakeS3) -> None:
        for number in range(3000):
            fake_s3.do("put", bucket="many", key=f"{number:05}", text="")
        with subprocess.Popen(
            [SCRIPT, "ls", "s3://many"], env=run.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.read(10)
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait(60) == 0

    def test_closed_stdout_is_no_error(self, run: Command) -> None:
        outcome = run("ls", "s3://b", program=["sh", "-c", 'exec "$0" "$@" >&-', SCRIPT])
        assert outcome.stderr == ""

    def test_names_byte_for_byte_unless_on_a_terminal(self, run: Command, fake_s3: FakeS3) -> None:
        fake_s3.put("odd", "e\x1b[31mvil", b"")
        assert run("ls", "s3://odd").stdout.endswith(" e\x1b[31mvil\n")
        assert run.on_terminal("ls", "s3://odd").endswith(" e\\x1b[31mvil\n")

    def test_usage(self, run: Command, fake_s3: FakeS3) -> None:
        fake_s3.do("clear_log")
        assert run("ls", "a", "b", status=2).errors[0] == 'ERROR "ls": expected at most 1 argument, got 2'
        assert run("ls", "--foo", status=2).errors[0] == 'ERROR "ls": unknown option "--foo"'
        assert fake_s3.log() == []


class TestLocal:
    @pytest.fixture
    def tree(self, run: Command, tmp_path: Path) -> Command:
        (tmp_path / "dir/sub").mkdir(parents=True)
        (tmp_path / "dir/.hidden").write_text("xx")
        (tmp_path / "dir/a.txt").write_text("x")
        (tmp_path / "dir/sub/b.txt").write_text("xyz")
        return run

    def test_directory_is_walked(self, tree: Command) -> None:
        assert [line.split()[-2:] for line in tree("ls", "dir/").lines] == [
            ["2", ".hidden"],
            ["1", "a.txt"],
            ["3", "sub/b.txt"],
        ]
        assert [line.split()[-1] for line in tree("ls", "dir/*.txt").lines] == ["a.txt"]

    def test_missing(self, tree: Command) -> None:
        assert tree("ls", "none", status=1).errors[0] == 'ERROR "ls none": given object "none" not found'
        assert tree("ls", "d*z", status=1).errors[0] == 'ERROR "ls d*z": no match found for "d*z"'

    def test_own_leftovers_are_not_listed(self, tree: Command, tmp_path: Path) -> None:
        name = tmp_path / f"dir/.s3z-{'0' * 32}.part"
        name.write_text("x")
        listed = tree("ls", "dir/").stdout
        name.unlink()
        assert ".s3z-" not in listed

    def test_no_request(self, tree: Command, fake_s3: FakeS3) -> None:
        fake_s3.do("clear_log")
        tree("ls", "dir/")
        assert fake_s3.log() == []
