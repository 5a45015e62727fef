"""`s3z head`: one JSON object for an object or a bucket."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from support.strangers import closed_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.command import Command
    from support.servers import FakeS3, Server


def test_every_server(server: Server, bucket: str, command: Callable[..., Command]) -> None:
    answer = server.boto3.put_object(
        Bucket=bucket, Key="p/a.txt", Body=b"hello", ContentType="text/plain", Metadata={"made-by": "me"},
        CacheControl="max-age=60",
    )  # fmt: skip
    run = command(server)
    outcome = run("head", f"s3://{bucket}/p/a.txt")
    [line] = outcome.lines
    assert outcome.stderr == ""
    assert run("--json", "head", f"s3://{bucket}/p/a.txt").lines == [line]
    record = json.loads(line)
    assert list(record)[:2] == ["key", "content_type"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", record.pop("last_modified"))
    expected = {
        "key": f"s3://{bucket}/p/a.txt",
        "content_type": "text/plain",
        "size": 5,
        "storage_class": "STANDARD",
        "etag": answer["ETag"].strip('"'),
        "metadata": {"made-by": "me"},
        "cache_control": "max-age=60",
    }
    assert {name: record[name] for name in expected} == expected
    told = {*expected, "last_modified", "checksum_crc32", "checksum_type", "server_side_encryption"}
    assert set(record) <= told, "what is of the answer, not of the object, is not told"


def test_bucket(server: Server, bucket: str, command: Callable[..., Command]) -> None:
    run = command(server)
    for argument in (f"s3://{bucket}", f"s3://{bucket}/"):
        for form in ([], ["--json"], ["-q"], ["--dry-run"]):
            assert run(*form, "head", argument).records == [{"bucket": f"s3://{bucket}"}]


def test_what_the_store_says_of_encryption(fake_s3: FakeS3, command: Callable[..., Command]) -> None:
    fake_s3.put("b", "k", b"x")
    for name, value in (("x-amz-server-side-encryption", "aws:kms"), ("x-amz-replication-status", "COMPLETED")):
        fake_s3.rule({"type": "header", "name": name, "value": value}, operation="HeadObject")
    [record] = command(fake_s3)("head", "s3://b/k").records
    assert record["server_side_encryption"] == "aws:kms"
    assert record["replication_status"] == "COMPLETED"
    assert list(record).index("replication_status") > list(record).index("metadata")


def test_a_header_cannot_pass_for_a_fact(fake_s3: FakeS3, command: Callable[..., Command]) -> None:
    fake_s3.put("b", "k", b"x")
    for name in ("size", "key", "metadata", "x-amz-size"):
        fake_s3.rule({"type": "header", "name": name, "value": "7"}, operation="HeadObject")
    [record] = command(fake_s3)("head", "s3://b/k").records
    assert (record["size"], record["key"], record["metadata"]) == (1, "s3://b/k", {})


def test_version(moto: Server, command: Callable[..., Command]) -> None:
    moto.boto3.create_bucket(Bucket="versions-head")
    moto.boto3.put_bucket_versioning(Bucket="versions-head", VersioningConfiguration={"Status": "Enabled"})
    versions = [
        moto.boto3.put_object(Bucket="versions-head", Key="k", Body=body)["VersionId"] for body in (b"1", b"22")
    ]
    run = command(moto)
    for version, size in zip(versions, (1, 2), strict=True):
        [record] = run("head", "--version-id", version, "s3://versions-head/k").records
        assert (record["version_id"], record["size"]) == (version, size)
    assert run("head", "s3://versions-head/k").records[0]["version_id"] == versions[1]


@pytest.mark.parametrize("key", ["a*b", "what?", "dir/", "a b+c%20#", "ü\u202e"])
def test_raw_names(key: str, fake_s3: FakeS3, command: Callable[..., Command]) -> None:
    fake_s3.put("b", key, b"x")
    [record] = command(fake_s3)("head", "--raw", f"s3://b/{key}").records
    assert record["key"] == f"s3://b/{key}"


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["s3://b/*"], 'source "s3://b/*" can not contain glob characters'),
            (["s3://b/k?"], 'source "s3://b/k?" can not contain glob characters'),
            (["s3://b/p/"], 'source "s3://b/p/" must be an object'),
            (["file"], "source must be a remote object"),
            (["s3://"], "s3 url should have a bucket"),
            (["s3://b*"], "bucket name cannot contain wildcards"),
            (["http://b/k"], '"http://" is not a scheme of s3z'),
            (["--version-id=v", "s3://b"], "--version-id needs an object"),
        ],
    )
    def test_refused(
        self, arguments: list[str], message: str, fake_s3: FakeS3, command: Callable[..., Command]
    ) -> None:
        outcome = command(fake_s3)("head", *arguments, status=1)
        assert outcome.stdout == ""
        assert outcome.errors[0] == f'ERROR "head {arguments[-1]}": {message}'
        assert fake_s3.log() == []
        [record] = command(fake_s3)("--json", "head", *arguments, status=1).error_records
        assert (record["operation"], record["success"]) == ("head", False)
        assert record["error"]["kind"] == "refused"
        assert record["error"]["message"] == message

    @pytest.mark.parametrize("arguments", [[], ["s3://b", "s3://c"], ["--version-id=", "s3://b/k"], ["-n", "s3://b/k"]])
    def test_not_parsed(self, arguments: list[str], fake_s3: FakeS3, command: Callable[..., Command]) -> None:
        outcome = command(fake_s3)("head", *arguments, status=2)
        assert outcome.stdout == ""
        assert outcome.errors[1] == "hint: `s3z head --help` lists its options"
        assert fake_s3.log() == []

    def test_missing(self, fake_s3: FakeS3, command: Callable[..., Command]) -> None:
        fake_s3.do("create_bucket", bucket="b")
        run = command(fake_s3)
        outcome = run("head", "s3://b/k", status=1)
        assert outcome.errors[0].startswith('ERROR "head s3://b/k": given object "s3://b/k" not found')
        for argument in ("s3://b/k", "s3://missing", "s3://missing/k"):
            [record] = run("--json", "head", argument, status=1).error_records
            assert (record["error"]["kind"], record["source"]) == ("not_found", argument)

    def test_denied_and_unreachable(self, fake_s3: FakeS3, command: Callable[..., Command]) -> None:
        fake_s3.put("b", "k", b"x")
        for argument in ("s3://b", "s3://b/k"):
            [record] = command(fake_s3)("--json", "head", argument, status=1, env={"AWS_SECRET_ACCESS_KEY": "wrong"}
            ).error_records  # fmt: skip
            assert record["error"]["kind"] == "access_denied"
        flags = ["--json", "-r0", "--endpoint-url", closed_port()]
        [record] = command(fake_s3)(*flags, "head", "s3://b/k", status=1).error_records
        assert record["error"]["kind"] == "connection"


def test_closed_stdout(fake_s3: FakeS3, command: Callable[..., Command]) -> None:
    fake_s3.put("b", "k", b"x")
    process = command(fake_s3).start("head", "s3://b/k")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
