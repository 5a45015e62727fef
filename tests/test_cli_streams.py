"""`s3z cp` with `-`, and dry runs: what is said is heeded or refused, and what would fail is told (cli.md 3)."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import pytest
from support.data import GIB, MIB, pattern
from support.planted import failed, fill, keys, kinds, plant, read, tree
from support.servers import FakeS3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.command import Command

FROZEN = {"type": "respond", "status": 403, "code": "InvalidObjectState"}


@pytest.fixture
def second() -> Iterator[FakeS3]:
    """Another store with the same keys and a bucket `b`."""
    server = FakeS3("--bucket", "b")
    yield server
    server.stop()


@pytest.fixture
def fake(fake_s3: FakeS3, command: Callable[..., Command]) -> Command:
    """`k` and `t/a` in bucket `b`; `c` is empty."""
    for name in "bc":
        fake_s3.do("create_bucket", bucket=name)
    fill(fake_s3, "b", {"k": b"near", "t/a": b"old"})
    fake_s3.do("clear_log")
    return command(fake_s3)


class TestOptions:
    @pytest.mark.parametrize(
        "option",
        [
            "-s", "-u", "-f", "--exclude=x", "--include=x", "--null", "--no-follow-symlinks", "--recursive", "--resume",
            "--force-glacier-transfer", "--ignore-glacier-warnings", "--metadata-directive=COPY", "--no-resume",
            "--durable", "--direct-io=on", "--verify=auto", "--no-verify", "--version-id=x", "--manifest=m",
            "--files-from=l", "--source-region=x", "--source-profile=x", "--source-endpoint-url=http://127.0.0.1:1",
        ],
    )  # fmt: skip
    def test_that_say_nothing_of_standard_input(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, option: str
    ) -> None:
        outcome = fake("cp", option, "-", "s3://b/t/a", input=b"new", status=2)
        assert outcome.errors[0].endswith("says nothing of standard input")
        assert fake_s3.log() == []
        assert os.listdir(tmp_path) == [".home"]

    @pytest.mark.parametrize(
        "option",
        [
            "-n", "-s", "-u", "-f", "--exclude=x", "--include=x", "--null", "--no-follow-symlinks", "--recursive",
            "--force-glacier-transfer", "--ignore-glacier-warnings", "--metadata-directive=COPY", "--manifest=m",
            "--resume", "--no-resume", "--durable", "--direct-io=on", "--expected-size=5", "--storage-class=X",
            "--acl=private", "--sse=AES256", "--content-type=a/b", "--metadata=a=b", "--files-from=l",
            "--expires=2030-01-01T00:00:00Z", "--checksum-algorithm=SHA1", "--destination-region=x",
            "--destination-profile=x", "--destination-endpoint-url=http://127.0.0.1:1",
        ],
    )  # fmt: skip
    def test_that_say_nothing_of_standard_output(self, fake: Command, fake_s3: FakeS3, option: str) -> None:
        outcome = fake("cp", option, "s3://b/k", "-", status=2)
        assert (outcome.stdout, outcome.errors[0].endswith("says nothing of standard output")) == ("", True)
        assert fake_s3.log() == []

    def test_a_switch_that_is_off_says_nothing(self, fake: Command) -> None:
        assert fake("cp", "--flatten=false", "s3://b/k", "-").stdout == "near"

    def test_of_standard_input(self, fake: Command, fake_s3: FakeS3) -> None:
        given = ["--storage-class=STANDARD_IA", "--metadata=a=b", "--content-type=a/b", "-c2", "-p5", "--raw"]
        fake("cp", *given, "--expected-size=9", "--checksum-algorithm=SHA1", "-", "s3://b/x*", input=b"in")
        head = fake_s3.boto3.head_object(Bucket="b", Key="x*", ChecksumMode="ENABLED")
        assert (head["StorageClass"], head["Metadata"], head["ContentType"]) == ("STANDARD_IA", {"a": "b"}, "a/b")
        assert "ChecksumSHA1" in head
        fake("cp", "-n", "-", "s3://b/k", input=b"other")
        assert read(fake_s3, "b", "k") == b"near"

    def test_of_one_side(self, fake: Command, fake_s3: FakeS3, second: FakeS3) -> None:
        second.put("b", "k", b"far")
        assert fake("cp", "--source-endpoint-url", second.endpoint, "s3://b/k", "-").stdout == "far"
        fake("cp", "--destination-endpoint-url", second.endpoint, "-", "s3://b/in", input=b"in")
        assert (read(second, "b", "in"), keys(fake_s3, "b")) == (b"in", {"k", "t/a"})

    @pytest.mark.parametrize(
        "arguments", ["--source-profile nope s3://b/k -", "--destination-profile nope - s3://b/in"]
    )
    def test_a_profile_that_is_missing(self, fake: Command, fake_s3: FakeS3, arguments: str) -> None:
        outcome = fake("cp", *arguments.split(), input=b"", status=1)
        assert "nope" in outcome.errors[0]
        assert keys(fake_s3, "b") == {"k", "t/a"}


class TestStandardOutput:
    def test_result(self, fake: Command, fake_s3: FakeS3) -> None:
        fill(fake_s3, "b", {"sum": b"summed"}, ChecksumAlgorithm="CRC32")
        outcome = fake("--json", "cp", "s3://b/sum", "-")
        assert outcome.stdout == "summed"
        result, summary = outcome.error_records
        assert {name: result[name] for name in ("operation", "success", "source", "destination", "verified")} == {
            "operation": "cp", "success": True, "source": "s3://b/sum", "destination": "-",
            "verified": "full_object/crc32",
        }  # fmt: skip
        assert (result["object"]["key"], result["object"]["size"]) == ("s3://b/sum", 6)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", result["object"]["last_modified"])
        assert (summary["objects"]["done"], summary["bytes"]["transferred"]) == (1, 6)
        assert summary["verified"] == {"full_object": 1}
        assert fake("cp", "s3://b/sum", "-").errors == ["cp s3://b/sum -"]
        assert fake("-q", "cp", "s3://b/sum", "-").errors == []

    def test_empty_object(self, fake: Command, fake_s3: FakeS3) -> None:
        fake_s3.put("b", "empty", b"")
        outcome = fake("--json", "cp", "s3://b/empty", "-")
        assert outcome.stdout == ""
        assert [record.get("object", {}).get("size") for record in outcome.error_records] == [0, None]

    def test_parts(self, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        fake_s3.pattern("b", "big", 20 * MIB)
        with (tmp_path / "out").open("wb") as out:
            process = fake.start("--json", "cp", "s3://b/big", "-", stdout=out)
            _, stderr = process.communicate(timeout=60)
        assert (tmp_path / "out").read_bytes() == pattern(20 * MIB)
        assert json.loads(stderr.splitlines()[0])["object"]["size"] == 20 * MIB

    @pytest.mark.parametrize("words", [["cp", "s3://b/k", "-"], ["cat", "s3://b/k"]])
    def test_cold(self, fake: Command, fake_s3: FakeS3, words: list[str]) -> None:
        fake_s3.rule(FROZEN, operation="GetObject", key="k")
        outcome = fake(*words, status=1)
        assert 'object "s3://b/k" is on Glacier storage' in outcome.errors[0]
        assert fake("--json", *words, status=1).error_records[0]["error"]["kind"] == "glacier"


def test_cold_object_by_name_is_skipped_where_the_store_would_give_it(fake: Command, fake_s3: FakeS3) -> None:
    fill(fake_s3, "b", {"cold": b"x"}, StorageClass="GLACIER")
    for destination in ("out", "s3://c/cold"):
        record, _ = fake("--json", "cp", "--ignore-glacier-warnings", "s3://b/cold", destination).records
        assert (record["skipped"], record["reason"]) == (True, "glacier")
    assert keys(fake_s3, "c") == set()
    assert fake("cp", "--ignore-glacier-warnings", "s3://b/k", "out").lines == ["cp s3://b/k out"]


class TestDryRun:
    """What is refused or fails without `--dry-run`, and is seen before a byte moves, fails with it."""

    def both(self, fake: Command, *arguments: str) -> tuple[dict[str, str], dict[str, str]]:
        outcomes = [fake(*flags, "--json", *arguments, status=1) for flags in (["--dry-run"], [])]
        return kinds(outcomes[0]), kinds(outcomes[1])

    def test_names_of_a_list_that_are_no_files(self, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        plant(tmp_path, {"d/sub/x": b"x", "d/good": b"g", "list": b"sub\nfifo\ngood\n"})
        os.mkfifo(tmp_path / "d/fifo")
        dry, real = self.both(fake, "cp", "--files-from", "list", "d/", "s3://c/")
        assert dry == real == {"d/sub": "not_regular_file", "d/fifo": "not_regular_file"}
        outcome = fake("--dry-run", "cp", "--files-from", "list", "d/", "s3://c/", status=1)
        assert all(line.endswith(f'object "d/{name}" is not a regular file') for line, name in
                   zip(sorted(failed(outcome)), ("fifo", "sub"), strict=True))  # fmt: skip

    def test_parts_that_cannot_hold_the_file(self, fake: Command, tmp_path: Path) -> None:
        (tmp_path / "large").touch()
        os.truncate(tmp_path / "large", 60 * GIB)
        for flags in (["--dry-run"], []):
            (line,) = failed(fake(*flags, "cp", "-p", "5M", "large", "s3://c/", status=1))
            assert 'option "--part-size": 5242880 is too small' in line
        os.truncate(tmp_path / "large", 0)

    def test_parts_that_cannot_hold_a_copy(self, fake: Command, fake_s3: FakeS3) -> None:
        fake_s3.pattern("b", "large", 60 * GIB)
        for flags in (["--dry-run"], []):
            (line,) = failed(fake(*flags, "cp", "-p", "5M", "s3://b/large", "s3://c/", status=1))
            assert "too small" in line

    def test_a_directory_is_where_the_file_would_be(self, fake: Command, tmp_path: Path) -> None:
        (tmp_path / "out/k").mkdir(parents=True)
        dry, real = self.both(fake, "cp", "s3://b/k*", "out/")
        assert dry == real == {"s3://b/k": "local_io"}

    def test_a_file_is_where_the_directory_would_be(self, fake: Command, tmp_path: Path) -> None:
        (tmp_path / "out").write_bytes(b"file")
        dry, real = self.both(fake, "cp", "s3://b/t/*", "out")
        assert dry == real == {"s3://b/t/a": "local_io"}
        assert tree(tmp_path)["out"] == b"file"

    def test_missing_object_to_standard_output(self, fake: Command, fake_s3: FakeS3) -> None:
        for command in (["cp", "s3://b/none", "-"], ["cat", "s3://b/none"]):
            for flags in (["--dry-run"], []):
                (line,) = failed(fake(*flags, *command, status=1))
                assert 'given object "s3://b/none" not found' in line
        fake_s3.do("clear_log")
        assert fake("--dry-run", "cp", "s3://b/k", "-").errors == ["cp s3://b/k -"]
        assert [record["operation"] for record in fake_s3.log()] == ["HeadObject"]

    def test_what_is_well_stays_so(self, fake: Command, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        plant(tmp_path, {"file": b"x"})
        for destination in ("new/deep/x", "file", "fifo", "/dev/null"):
            fake("--dry-run", "cp", "s3://b/k", destination)
        assert sorted(os.listdir(tmp_path)) == [".home", "fifo", "file"]


class TestMalformedValues:
    @pytest.mark.parametrize(
        "flags",
        [
            "--endpoint-url http://", "--endpoint-url http://h/p?x", "--endpoint-url http://u:secret@h/",
            "--source-endpoint-url http://h:x/", "--metadata=a\tb=x", "--metadata=ä=x", "--metadata=a=ä",
            "--content-type té", "--cache-control=\x01", "--content-disposition=\ta", "--acl=ä", "--storage-class=ü",
            "--expires 2030-W01-1T00:00:00Z", "--expires 2030-01-01T00:00:00", "--expires 20300101T000000Z",
            "--expires 2030-02-30T00:00:00Z", "--no-sign-request --source-profile two",
            "--no-sign-request --destination-profile two",
        ],
    )  # fmt: skip
    def test_are_usage_errors(self, fake: Command, fake_s3: FakeS3, flags: str) -> None:
        outcome = fake("cp", *flags.split(" "), "s3://b/k", "s3://c/k", status=2)
        assert outcome.errors[0].startswith('ERROR "cp": option')
        assert "secret" not in outcome.stderr
        assert fake_s3.log() == []

    def test_in_a_line_of_run(self, fake: Command, fake_s3: FakeS3) -> None:
        outcome = fake("--no-sign-request", "run", input=b"cp --source-profile two s3://b/k s3://c/k\n", status=1)
        assert '"--no-sign-request"' in outcome.stderr
        assert "anonymous=True" not in outcome.stderr

    @pytest.mark.parametrize("moment", ["2030-05-01T08:00:00Z", "2030-05-01t08:00:00.5z", "2030-05-01 10:00:00+02:00"])
    def test_moments(self, fake: Command, fake_s3: FakeS3, moment: str) -> None:
        fake("cp", "--expires", moment, "s3://b/k", "s3://c/k")
        assert fake_s3.boto3.head_object(Bucket="c", Key="k")["ExpiresString"] == "Wed, 01 May 2030 08:00:00 GMT"


class TestMessages:
    def test_escapes_are_of_one_kind(self, fake: Command) -> None:
        odd = "a\x1b[1m\u202eb\nc"
        (line,) = failed(fake("cp", f"s3://b/{odd}", "out", status=1))
        assert line.startswith('ERROR "cp s3://b/a\\x1b[1m\\u202eb c out": ')
        assert 'given object "s3://b/a\\x1b[1m\\u202eb c" not found' in line
        assert "{" not in line
        record = fake("--json", "cp", f"s3://b/{odd}", "out", status=1).error_records[0]
        assert 'given object "s3://b/a\\x1b[1m\\u202eb c" not found' in record["error"]["message"]

    def test_nobody_listens(self, command: Callable[..., Command]) -> None:
        environment = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}
        for arguments in (["ls"], ["ls", "s3://b"], ["cp", "s3://b/k", "x"]):
            outcome = command()("-r0", "--endpoint-url=http://127.0.0.1:1", *arguments, env=environment, status=1)
            assert "refused" in outcome.stderr
            assert "os error" not in outcome.stderr
            assert "s3:///" not in outcome.stderr

    def test_key_that_ends_with_a_slash(self, fake: Command, fake_s3: FakeS3) -> None:
        fake_s3.put("b", "t/nomark/", b"bytes")
        (line,) = failed(fake("cp", "s3://b/t/*", "out/", status=1))
        assert line.endswith('the key has no safe path: it ends with "/"')

    def test_no_descriptor(self, fake: Command) -> None:
        assert "No such file" in fake("cp", "s3://b/k", "/proc/x", status=1).stderr.replace("no such", "No such")
        assert "descriptor" not in fake("cp", "s3://b/k", "/proc/x", status=1).stderr
        assert "no such open descriptor" in fake("cp", "s3://b/k", "/dev/fd/99", status=1).stderr

    @pytest.mark.parametrize("flags", [[], ["--dry-run"]])
    def test_manifest_that_is_no_file(self, fake: Command, tmp_path: Path, flags: list[str]) -> None:
        os.mkfifo(tmp_path / "fifo")
        for name in ("/dev/null", "fifo"):
            outcome = fake(*flags, "cp", "--manifest", name, "s3://b/k", "x", status=1)
            assert f'the manifest "{name}" is not a regular file' in outcome.stderr


def test_help_says_what_it_can_do(command: Callable[..., Command]) -> None:
    run = command()
    assert "--expected-size" not in run("mv", "--help").stdout
    assert "--expected-size" in run("cp", "--help").stdout
    assert "unknown option" in run("mv", "--expected-size=5", "a", "s3://b/k", status=2).stderr
    assert "the last in this order decides" in run("cp", "--help").stdout
    assert "do not count" in run("du", "--help").stdout
