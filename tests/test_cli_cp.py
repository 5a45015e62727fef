"""`s3z cp` of one object: every row of cli.md 2.4 for one object, and each line of output to the letter."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.data import MIB, is_pattern, leftovers, write_pattern

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Command
    from support.servers import FakeS3, Server

WILD = 'target "{}" can not contain glob characters'
SOURCE_IS_MANY = "source argument must contain wildcard character"
TARGET_IS_ONE = 'target "{}" must be a bucket or a prefix'


@pytest.fixture
def run(fake_s3: FakeS3, tmp_path: Path, command: Callable[..., Command]) -> Command:
    """The tree and the bucket of cli.md 2.4."""
    (tmp_path / "dir/sub").mkdir(parents=True)
    (tmp_path / "dir/a.txt").write_text("local a\n")
    (tmp_path / "dir/sub/b.txt").write_text("local b\n")
    fake_s3.put("b", "p/a.txt", b"remote a\n")
    fake_s3.put("b", "p/sub/b.txt", b"remote b\n")
    fake_s3.put("b", "f*.txt", b"star\n")
    fake_s3.do("create_bucket", bucket="c")
    fake_s3.do("clear_log")
    return command(fake_s3)


def keys(server: FakeS3, bucket: str = "b") -> set[str]:
    return set(server.do("keys", bucket=bucket)["keys"])


class TestRows:
    @pytest.mark.parametrize(
        ("source", "destination", "key"),
        [
            ("dir/a.txt", "s3://c", "a.txt"),
            ("dir/a.txt", "s3://c/", "a.txt"),
            ("dir/a.txt", "s3://c/q/", "q/a.txt"),
            ("dir/a.txt", "s3://c/q", "q"),
            ("dir/a.txt", "s3://c/q//r", "q//r"),
            ("./dir/a.txt", "s3://c/q#y%41+z", "q#y%41+z"),
        ],
    )
    def test_upload(self, run: Command, fake_s3: FakeS3, source: str, destination: str, key: str) -> None:
        outcome = run("cp", source, destination)
        assert (outcome.stdout, outcome.stderr) == (f"cp {source} s3://c/{key}\n", "")
        assert keys(fake_s3, "c") == {key}

    @pytest.mark.parametrize(
        ("source", "destination", "path", "content"),
        [
            ("s3://b/p/a.txt", ".", "a.txt", "remote a\n"),
            ("s3://b/p/a.txt", "./", "a.txt", "remote a\n"),
            ("s3://b/p/a.txt", "out/", "out/a.txt", "remote a\n"),
            ("s3://b/p/a.txt", "out/x", "out/x", "remote a\n"),
            ("s3://b/p/a.txt", "dir", "dir/a.txt", "remote a\n"),
            ("s3://b/p/a.txt", "dir/a.txt", "dir/a.txt", "remote a\n"),
            ("s3://b/p/sub/b.txt", "deep/er/out/", "deep/er/out/b.txt", "remote b\n"),
        ],
    )
    def test_download(
        self, run: Command, tmp_path: Path, source: str, destination: str, path: str, content: str
    ) -> None:
        outcome = run("cp", source, destination)
        assert (outcome.stdout, outcome.stderr) == (f"cp {source} {path}\n", "")
        assert (tmp_path / path).read_text() == content

    def test_directory_of_the_name_takes_the_file_in(self, run: Command, tmp_path: Path) -> None:
        (tmp_path / "out/x").mkdir(parents=True)
        assert run("cp", "s3://b/p/a.txt", "out/x").stdout == "cp s3://b/p/a.txt out/x/a.txt\n"
        assert (tmp_path / "out/x/a.txt").read_text() == "remote a\n"

    def test_raw_takes_stars_as_they_are(self, run: Command, tmp_path: Path) -> None:
        assert run("cp", "--raw", "s3://b/f*.txt", ".").stdout == "cp s3://b/f*.txt f*.txt\n"
        assert (tmp_path / "f*.txt").read_text() == "star\n"

    def test_raw_uploads_a_name_with_a_star(self, run: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        (tmp_path / "s*r").write_text("x")
        run("cp", "--raw", "s*r", "s3://c/t*t")
        assert keys(fake_s3, "c") == {"t*t"}

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("dir", "s3://b/q"), TARGET_IS_ONE.format("s3://b/q")),
            (("dir/", "s3://b/q"), TARGET_IS_ONE.format("s3://b/q")),
            (("dir/*", "s3://b/q"), TARGET_IS_ONE.format("s3://b/q")),
            (("s3://b", "out/"), SOURCE_IS_MANY),
            (("s3://b/", "out/"), SOURCE_IS_MANY),
            (("s3://b/p/", "out/"), SOURCE_IS_MANY),
            (("s3://b/p/*", "s3://c/q"), TARGET_IS_ONE.format("s3://c/q")),
            (("s3://b/p/a.txt", "*"), WILD.format("*")),
            (("s3://b/p/a.txt", "o?t"), WILD.format("o?t")),
            (("dir/a.txt", "s3://b/*"), WILD.format("s3://b/*")),
            (("dir/", "other/"), "local->local copy operations are not permitted"),
            (("dir/a.txt", "x"), "local->local copy operations are not permitted"),
            (("none.txt", "s3://b/q"), 'given object "none.txt" not found'),
            (("dir/a.txt/x", "s3://b/q"), 'given object "dir/a.txt/x" not found'),
        ],
    )
    def test_refused(
        self, run: Command, fake_s3: FakeS3, tmp_path: Path, arguments: tuple[str, str], message: str
    ) -> None:
        before = sorted(path for path, _, _ in os.walk(tmp_path))
        outcome = run("cp", *arguments, status=1)
        assert outcome.errors[0] == f'ERROR "cp {" ".join(arguments)}": {message}'
        assert outcome.stdout == ""
        assert fake_s3.log() == []
        assert sorted(path for path, _, _ in os.walk(tmp_path)) == before

    def test_prefix_without_its_slash_is_an_object_that_is_missing(self, run: Command, tmp_path: Path) -> None:
        outcome = run("cp", "s3://b/p", "out/", status=1)
        first, hint = outcome.errors
        assert first == 'ERROR "cp s3://b/p out/p": given object "s3://b/p" not found'
        assert hint.startswith("hint: names are case-sensitive")
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        "name", ["with space", "plus+", "per%cent", "hash#", "quo'te\"s", "new\nline", "ä€😀", "[x]"]
    )
    def test_names(self, run: Command, fake_s3: FakeS3, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_text("x")
        assert run("cp", name, "s3://c/").stdout == f"cp {name} s3://c/{name}\n"
        assert keys(fake_s3, "c") == {name}
        (tmp_path / "out").mkdir()
        assert run("cp", f"s3://c/{name}", "out").stdout == f"cp s3://c/{name} out/{name}\n"
        assert (tmp_path / "out" / name).read_text() == "x"

    def test_local_name_that_is_no_utf8(self, run: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        path = bytes(tmp_path) + b"/\xff\xfe"
        with open(path, "w") as file:
            file.write("x")
        outcome = run("cp", b"\xff\xfe", "s3://c/", status=1)
        assert "a name that is not UTF-8 cannot be a key" in outcome.errors[0]
        run("cp", b"\xff\xfe", "s3://c/named")
        assert keys(fake_s3, "c") == {"named"}


class TestFiles:
    def test_mtime_is_last_modified(self, run: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        fake_s3.do("shift_clock", seconds=-1_000_000)
        fake_s3.put("b", "old", b"x")
        fake_s3.do("shift_clock", seconds=0)
        run("cp", "s3://b/old", "old")
        modified = fake_s3.boto3.head_object(Bucket="b", Key="old")["LastModified"]
        assert int((tmp_path / "old").stat().st_mtime) == int(modified.timestamp())

    @pytest.mark.parametrize("mask", [0o022, 0o027])
    def test_umask(self, run: Command, tmp_path: Path, mask: int) -> None:
        before = os.umask(mask)
        try:
            run("cp", "s3://b/p/a.txt", "new/f")
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "new/f").stat().st_mode) == 0o666 & ~mask
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o777 & ~mask

    def test_mode_of_an_existing_file_is_kept(self, run: Command, tmp_path: Path) -> None:
        (tmp_path / "f").write_text("old")
        (tmp_path / "f").chmod(0o640)
        run("cp", "s3://b/p/a.txt", "f")
        assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o640

    def test_content_type_and_headers(self, run: Command, fake_s3: FakeS3) -> None:
        run(
            "cp", "--metadata", "a=1", "--metadata=b=2", "--content-type", "x/y", "--cache-control=no-store",
            "--storage-class", "STANDARD_IA", "--expires", "2031-05-01T08:00:00Z", "dir/a.txt", "s3://c/k",
        )  # fmt: skip
        head = fake_s3.boto3.head_object(Bucket="c", Key="k")
        assert (head["ContentType"], head["CacheControl"], head["StorageClass"]) == ("x/y", "no-store", "STANDARD_IA")
        assert head["Metadata"] == {"a": "1", "b": "2"}
        run("cp", "dir/a.txt", "s3://c/plain")
        assert fake_s3.boto3.head_object(Bucket="c", Key="plain")["ContentType"] == "text/plain; charset=utf-8"

    def test_parts(self, run: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        write_pattern(tmp_path / "big", 30 * MIB)
        run("cp", "-p", "5", "big", "s3://c/big")
        assert len(fake_s3.log(operation="UploadPart")) == 6
        run("cp", "-c", "2", "--part-size=6M", "s3://c/big", "back")
        assert is_pattern(tmp_path / "back", 30 * MIB)

    @pytest.mark.parametrize("fault", ["bit_flip", "truncate", "reset", "swap_version"])
    def test_failed_download_leaves_the_old_file(
        self, run: Command, fake_s3: FakeS3, tmp_path: Path, fault: str
    ) -> None:
        fake_s3.pattern("b", "big", 30 * MIB)
        actions = {
            "bit_flip": {"offset": 29 * MIB},
            "truncate": {"after": 0},
            "reset": {"after": 0},
            "swap_version": {},
        }
        fake_s3.rule({"type": fault, **actions[fault]}, operation="GetObject", range_min=1)
        (tmp_path / "out").mkdir()
        (tmp_path / "out/big").write_text("old")
        outcome = run("-r", "1", "cp", "s3://b/big", "out/big", status=1)
        assert outcome.stdout == ""
        assert outcome.errors[0].startswith('ERROR "cp s3://b/big out/big": ')
        assert (tmp_path / "out/big").read_text() == "old"
        assert os.listdir(tmp_path / "out") == ["big"]


class TestNoClobber:
    def test_local_file_is_kept(self, run: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        (tmp_path / "f").write_text("old")
        outcome = run("cp", "-n", "s3://b/p/a.txt", "f")
        assert (outcome.stdout, outcome.stderr) == ("", "")
        assert (tmp_path / "f").read_text() == "old"
        assert fake_s3.log() == []
        assert run("cp", "-n", "s3://b/p/a.txt", "g").stdout == "cp s3://b/p/a.txt g\n"

    def test_object_is_kept(self, run: Command, fake_s3: FakeS3) -> None:
        outcome = run("cp", "--no-overwrite", "dir/a.txt", "s3://b/p/a.txt")
        assert (outcome.stdout, outcome.stderr) == ("", "")
        assert fake_s3.boto3.get_object(Bucket="b", Key="p/a.txt")["Body"].read() == b"remote a\n"
        run("cp", "-n", "dir/a.txt", "s3://b/new")
        assert fake_s3.boto3.get_object(Bucket="b", Key="new")["Body"].read() == b"local a\n"

    def test_the_write_itself_is_conditional(self, run: Command, fake_s3: FakeS3) -> None:
        run("cp", "-n", "dir/a.txt", "s3://b/new")
        (put,) = fake_s3.log(operation="PutObject")
        assert dict(put["headers"])["if-none-match"] == "*"

    def test_race_that_is_lost_is_a_skip(self, run: Command, fake_s3: FakeS3) -> None:
        fake_s3.rule({"type": "respond", "status": 412, "code": "PreconditionFailed"}, operation="PutObject")
        outcome = run("--json", "cp", "-n", "dir/a.txt", "s3://b/new")
        assert outcome.records[0]["skipped"] is True

    def test_debug_says_why(self, run: Command, tmp_path: Path) -> None:
        (tmp_path / "f").write_text("old")
        outcome = run("--log", "debug", "cp", "-n", "s3://b/p/a.txt", "f")
        assert outcome.errors == ['DEBUG "cp s3://b/p/a.txt f": object already exists']

    def test_json_has_the_reason(self, run: Command, tmp_path: Path) -> None:
        (tmp_path / "f").write_text("old")
        record, summary = run("--json", "cp", "-n", "s3://b/p/a.txt", "f").records
        assert record == {
            "operation": "cp", "success": True, "skipped": True, "reason": "exists", "source": "s3://b/p/a.txt",
            "destination": "f",
        }  # fmt: skip
        assert summary["objects"] == {"done": 0, "skipped": 1, "failed": 0, "deleted": 0, "deletes_held_back": 0}


class TestOutput:
    @pytest.mark.parametrize("flags", [["-q"], ["--quiet"], ["--only-show-errors"], ["--log", "error"]])
    def test_quiet_ways(self, run: Command, tmp_path: Path, flags: list[str]) -> None:
        outcome = run(*flags, "cp", "s3://b/p/a.txt", "f")
        assert (outcome.stdout, outcome.stderr) == ("", "")
        assert (tmp_path / "f").exists()
        outcome = run(*flags, "cp", "s3://b/none", "f", status=1)
        assert outcome.errors[0] == 'ERROR "cp s3://b/none f": given object "s3://b/none" not found'

    def test_stat(self, run: Command) -> None:
        assert run("--stat", "cp", "s3://b/p/a.txt", "f").lines == [
            "cp s3://b/p/a.txt f",
            "",
            "Operation\tTotal\tError\tSuccess\t",
            "cp\t1\t0\t1\t",
        ]
        assert run("cp", "--stat", "s3://b/none", "f", status=1).lines[-1] == "cp\t1\t1\t0\t"

    def test_json_of_a_download(self, run: Command, fake_s3: FakeS3) -> None:
        outcome = run("--json", "cp", "s3://b/p/a.txt", "out/")
        record, summary = outcome.records
        head = fake_s3.boto3.head_object(Bucket="b", Key="p/a.txt")
        seconds = record.pop("seconds")
        assert 0 <= seconds < 60
        record.pop("version_id", None)
        assert record == {
            "operation": "cp",
            "success": True,
            "source": "s3://b/p/a.txt",
            "destination": "out/a.txt",
            "object": {
                "key": "s3://b/p/a.txt",
                "type": "file",
                "size": 9,
                "etag": head["ETag"].strip('"'),
                "last_modified": head["LastModified"].strftime("%Y-%m-%dT%H:%M:%SZ"),
                "storage_class": "STANDARD",
            },
            "verified": record["verified"],
            "attempts": 1,
            "resumed_bytes": 0,
        }
        summary.pop("seconds")
        assert summary == {
            "record": "summary", "schema": 1, "command": "cp", "success": True, "exit_code": 0, "dry_run": False,
            "interrupted": False,
            "objects": {"done": 1, "skipped": 0, "failed": 0, "deleted": 0, "deletes_held_back": 0},
            "bytes": {"transferred": 9, "resumed": 0},
            "verified": {record["verified"].partition("/")[0]: 1},
        }  # fmt: skip
        assert outcome.stderr == ""

    def test_json_of_an_upload(self, run: Command) -> None:
        record, summary = run("--json", "cp", "dir/a.txt", "s3://c/q/").records
        assert (record["source"], record["destination"]) == ("dir/a.txt", "s3://c/q/a.txt")
        assert record["object"]["key"] == "s3://c/q/a.txt"
        assert record["object"]["size"] == 8
        assert record["verified"] == "full_object/crc64nvme"
        assert summary["bytes"] == {"transferred": 8, "resumed": 0}

    def test_json_of_a_failure(self, run: Command) -> None:
        outcome = run("--json", "cp", "s3://b/none", "x", status=1)
        (record,) = outcome.error_records
        error = record.pop("error")
        assert record == {"operation": "cp", "success": False, "source": "s3://b/none", "destination": "x"}
        assert error.pop("request_id")
        assert error.pop("hint").startswith("names are case-sensitive")
        assert error == {
            "kind": "not_found", "message": 'given object "s3://b/none" not found', "code": "NoSuchKey", "status": 404,
        }  # fmt: skip
        (summary,) = outcome.records
        assert (summary["success"], summary["exit_code"], summary["objects"]["failed"]) == (False, 1, 1)

    def test_json_of_a_usage_error(self, run: Command) -> None:
        outcome = run("--json", "cp", "only-one", status=2)
        assert outcome.stdout == ""
        (record,) = outcome.error_records
        assert record["error"]["kind"] == "usage"

    def test_every_line_at_trace_is_json(self, run: Command) -> None:
        outcome = run("--json", "--stat", "--log", "trace", "--log-progress", "1", "cp", "s3://b/none", "x", status=1)
        assert {record.get("record") for record in outcome.records} == {"stat", "summary"}
        assert outcome.records[-1]["record"] == "summary"
        assert all("Traceback" not in line for line in outcome.lines)
        assert outcome.error_records[0]["error"]["kind"] == "not_found"

    def test_json_in_one_stream(self, run: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        joined = run(
            "--json", "cp", "s3://b/none", "x", status=1, program=["sh", "-c", 'exec "$0" "$@" 2>&1', _script()]
        )
        assert all(isinstance(json.loads(line), dict) for line in joined.lines)

    def test_name_that_is_no_utf8_in_json(self, run: Command, tmp_path: Path) -> None:
        with open(bytes(tmp_path) + b"/\xff", "w") as file:
            file.write("x")
        record, _ = run("--json", "cp", b"\xff", "s3://c/k").records
        assert record["source"] == "\ufffd"
        assert record["source_base64"] == "/w=="

    @pytest.mark.parametrize("name", ["new\nline", "tab\tbed", "bell\x07", "esc\x1b[31m"])
    def test_error_is_one_line_without_control_characters(self, run: Command, name: str) -> None:
        outcome = run("cp", f"s3://b/{name}", "x", status=1)
        assert len(outcome.errors) == 2
        assert not any(ord(char) < 32 for char in outcome.stderr.replace("\n", ""))

    def test_quotes_and_backslashes_are_escaped(self, run: Command) -> None:
        outcome = run("cp", 's3://b/q"uo\\te', "x", status=1)
        assert outcome.errors[0].startswith('ERROR "cp s3://b/q\\"uo\\\\te x": ')

    def test_no_traceback_but_at_trace(self, run: Command) -> None:
        assert "Traceback" not in run("--log", "debug", "cp", "s3://b/none", "x", status=1).stderr
        trace = run("--log", "trace", "cp", "s3://b/none", "x", status=1)
        assert "TRACE Traceback" in trace.stderr
        assert trace.stdout == ""

    def test_dry_run_changes_nothing(self, run: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        outcome = run("--dry-run", "cp", "s3://b/p/a.txt", "new/dir/")
        assert outcome.stdout == "cp s3://b/p/a.txt new/dir/a.txt\n"
        assert not (tmp_path / "new").exists()
        outcome = run("cp", "--dryrun", "dir/a.txt", "s3://c/k")
        assert outcome.stdout == "cp dir/a.txt s3://c/k\n"
        assert keys(fake_s3, "c") == set()
        assert {record["method"] for record in fake_s3.log()} <= {"GET", "HEAD"}
        (record, summary) = run("--json", "--dry-run", "cp", "s3://b/p/a.txt", "f").records
        assert record["dry_run"] is True
        assert summary["dry_run"] is True

    def test_dry_run_of_a_missing_object(self, run: Command) -> None:
        outcome = run("--dry-run", "cp", "s3://b/none", "f", status=1)
        assert outcome.errors[0] == 'ERROR "cp s3://b/none f": given object "s3://b/none" not found'

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["cp"], "expected 2 arguments, got 0"),
            (["cp", "a", "b", "c"], "expected 2 arguments, got 3"),
            (["cp", "--foo", "a", "b"], 'unknown option "--foo"'),
            (["cp", "--verify=perhaps", "a", "b"], 'option "--verify": "perhaps" is none of auto, require, off'),
            (
                ["cp", "--storage-class", "X", "s3://b/p/a.txt", "x"],
                'option "--storage-class" needs a remote destination',
            ),
            (["cp", "--version-id", "X", "dir/a.txt", "s3://b/k"], 'option "--version-id" needs a remote source'),
        ],
    )
    def test_usage_errors(self, run: Command, fake_s3: FakeS3, arguments: list[str], message: str) -> None:
        outcome = run(*arguments, status=2)
        assert outcome.errors[0] == f'ERROR "cp": {message}'
        assert fake_s3.log() == []

    def test_unknown_command(self, run: Command) -> None:
        assert run("select", "x", status=2).errors[0] == 'ERROR "select": command not found'


def _script() -> str:
    from support.command import SCRIPT

    return SCRIPT


class TestProgram:
    @pytest.mark.parametrize(
        ("arguments", "status"),
        [
            (["--version"], 0), (["--help"], 0), (["cp", "--help"], 0), ([], 0), (["cp", "s3://b/p/a.txt", "f"], 0),
            (["cp", "s3://b/none", "f"], 1), (["cp"], 2), (["ls", "s3://b"], 0),
        ],
    )  # fmt: skip
    def test_module_is_the_same_command(self, run: Command, arguments: list[str], status: int) -> None:
        one = run(*arguments, status=status)
        other = run(*arguments, status=status, program=[sys.executable, "-m", "s3z"])
        assert (one.stdout, one.stderr) == (other.stdout, other.stderr)

    def test_closed_stdout_does_not_stop_a_copy(self, run: Command, tmp_path: Path) -> None:
        outcome = run("cp", "s3://b/p/a.txt", "f", program=["sh", "-c", 'exec "$0" "$@" >&-', _script()])
        assert (tmp_path / "f").read_text() == "remote a\n"
        assert outcome.stderr == ""

    def test_reader_that_left_does_not_stop_a_copy(self, run: Command, tmp_path: Path) -> None:
        read, write = os.pipe()
        os.close(read)
        try:
            process = run.start("cp", "s3://b/p/a.txt", "f", stdout=write)
        finally:
            os.close(write)
        assert process.communicate(timeout=60)[1] == b""
        assert process.returncode == 0
        assert (tmp_path / "f").read_text() == "remote a\n"

    def test_full_stdout_is_told_once(self, run: Command, tmp_path: Path) -> None:
        with open("/dev/full", "w") as full:
            process = run.start("cp", "s3://b/p/a.txt", "f", stdout=full)
            errors = process.communicate(timeout=60)[1].decode().splitlines()
        assert process.returncode == 1
        assert len(errors) == 1
        assert "cannot write to stdout" in errors[0]
        assert (tmp_path / "f").exists()

    def test_closed_stderr_changes_nothing(self, run: Command) -> None:
        outcome = run("cp", "s3://b/none", "f", status=1, program=["sh", "-c", 'exec "$0" "$@" 2>&-', _script()])
        assert outcome.stderr == ""


class TestTerminal:
    """Progress is drawn on a terminal only; result lines are printed above it."""

    @pytest.fixture
    def slow(self, run: Command, fake_s3: FakeS3) -> Command:
        fake_s3.pattern("b", "big", 24 * MIB)
        fake_s3.switch(rate_total=24 * MIB)
        return run

    def test_line_is_drawn_and_gives_way(self, slow: Command) -> None:
        drawn = slow.on_terminal("cp", "s3://b/big", "f")
        assert "\r" in drawn
        assert "/24.0M" in drawn
        assert "objects" in drawn
        assert "M/s" in drawn
        result = drawn.index("cp s3://b/big f\n")
        assert "\r\x1b[K" in drawn[:result], "the line is taken away before the result"
        assert drawn.index("/24.0M") < result
        last = drawn.rstrip("\n").split("\n")[-1]
        assert "1 object, 24.0M, " in last

    def test_nothing_is_drawn_without_a_terminal(self, slow: Command) -> None:
        for flags in ([], ["--show-progress"], ["--show-progress=always"]):
            outcome = slow(*flags, "cp", "s3://b/big", "f")
            assert (outcome.stdout, outcome.stderr) == ("cp s3://b/big f\n", "")

    @pytest.mark.parametrize("flags", [["-q"], ["--only-show-errors"], ["--no-progress"], ["--show-progress=never"]])
    def test_nothing_is_drawn_when_told_so(self, slow: Command, flags: list[str]) -> None:
        drawn = slow.on_terminal(*flags, "cp", "s3://b/big", "f")
        assert "\r" not in drawn
        assert "M/s" not in drawn

    def test_nothing_is_drawn_on_a_dumb_terminal_or_beside_json(self, slow: Command) -> None:
        assert "\r" not in slow.on_terminal("cp", "s3://b/big", "f", TERM="dumb")
        drawn = slow.on_terminal("--json", "cp", "s3://b/big", "f")
        assert all(isinstance(json.loads(line), dict) for line in drawn.splitlines())

    def test_always_is_drawn_from_the_start(self, run: Command) -> None:
        drawn = run.on_terminal("-sp", "-q", "cp", "s3://b/p/a.txt", "f")
        assert "objects" in drawn
        assert "cp s3" not in drawn

    def test_quick_copy_draws_nothing(self, run: Command) -> None:
        assert run.on_terminal("cp", "s3://b/p/a.txt", "f") == "cp s3://b/p/a.txt f\n"

    def test_plain_lines_for_logs(self, slow: Command) -> None:
        outcome = slow("--log-progress", "0.2s", "cp", "s3://b/big", "f")
        lines = [line for line in outcome.errors if line.startswith("PROGRESS ")]
        assert lines
        assert lines == outcome.errors
        assert "/24.0M" in lines[-1]

    def test_names_are_escaped_on_a_terminal(self, run: Command, fake_s3: FakeS3) -> None:
        fake_s3.put("b", "evil\x1b[31m", b"x")
        drawn = run.on_terminal("cp", "s3://b/evil\x1b[31m", "f")
        assert "\x1b[31m" not in drawn
        assert "evil\\x1b[31m" in drawn


def test_every_server_by_command(server: Server, bucket: str, command: Callable[..., Command], tmp_path: Path) -> None:
    run = command(server)
    write_pattern(tmp_path / "big", 20 * MIB + 1)
    assert run("cp", "big", f"s3://{bucket}/dir/").stdout == f"cp big s3://{bucket}/dir/big\n"
    assert run("cp", f"s3://{bucket}/dir/big", "back").stdout == f"cp s3://{bucket}/dir/big back\n"
    assert is_pattern(tmp_path / "back", 20 * MIB + 1)
    assert run("ls", f"s3://{bucket}").stdout.split() == ["DIR", "dir/"]
    assert leftovers(tmp_path) == []


def test_profile_and_files(fake_s3: FakeS3, command: Callable[..., Command], tmp_path: Path) -> None:
    fake_s3.put("b", "k", b"x")
    (tmp_path / "credentials").write_text(
        f"[mine]\naws_access_key_id = {fake_s3.access_key}\naws_secret_access_key = {fake_s3.secret_key}\n"
    )
    (tmp_path / "config").write_text(f"[profile mine]\nendpoint_url = {fake_s3.endpoint}\nregion = us-east-1\n")
    run = command()
    files = {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")}
    run("--profile", "mine", "cp", "s3://b/k", "one", env=files)
    run("cp", "s3://b/k", "two", env={**files, "AWS_PROFILE": "mine"})
    assert (tmp_path / "one").read_text() == (tmp_path / "two").read_text() == "x"


def test_help_and_version_load_no_native_module(tmp_path: Path) -> None:
    code = (
        "import sys; from s3z.__main__ import main\nsys.argv = ['s3z', *sys.argv[1:]]\nstatus = main()\n"
        "bad = [name for name in sys.modules if name.partition('.')[0] in ('boto3', 'botocore', 'tqdm', 'numpy')"
        " or name in ('s3z._core', 's3z._client')]\nassert not bad, bad\nsys.exit(status)\n"
    )
    for arguments, status in ((["--version"], 0), (["--help"], 0), (["cp", "--help"], 0), (["cp", "--nonsense"], 2)):
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == status, done
