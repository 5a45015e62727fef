"""`s3z mb` and `s3z rb`, and `make_bucket` and `remove_bucket` of the library."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

import pytest

import s3z

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.command import Command
    from support.servers import FakeS3, Server

_numbers = itertools.count(1)


@pytest.fixture
def name() -> str:
    return f"made-{os.getpid()}-{next(_numbers)}"


def buckets(server: Server) -> list[str]:
    return [each["Name"] for each in server.boto3.list_buckets()["Buckets"]]


class TestCommand:
    def test_made_and_removed(self, server: Server, name: str, command: Callable[..., Command]) -> None:
        run = command(server)
        outcome = run("mb", f"s3://{name}")
        assert (outcome.stdout, outcome.stderr) == (f"mb s3://{name}\n", "")
        assert name in buckets(server)
        outcome = run("rb", f"s3://{name}/")
        assert (outcome.stdout, outcome.stderr) == (f"rb s3://{name}\n", "")
        assert name not in buckets(server)

    def test_records(self, server: Server, name: str, command: Callable[..., Command]) -> None:
        run, uri = command(server), f"s3://{name}"
        assert run("--json", "mb", uri).records == [{"operation": "mb", "success": True, "source": uri}]
        assert run("--json", "rb", uri).records == [{"operation": "rb", "success": True, "source": uri}]

    def test_dry_run(self, server: Server, name: str, bucket: str, command: Callable[..., Command]) -> None:
        run = command(server)
        assert run("--dry-run", "mb", f"s3://{name}").lines == [f"mb s3://{name}"]
        assert name not in buckets(server)
        [record] = run("--dry-run", "--json", "rb", f"s3://{bucket}").records
        assert record == {"operation": "rb", "success": True, "source": f"s3://{bucket}", "dry_run": True}
        assert bucket in buckets(server)

    @pytest.mark.parametrize("flag", ["-q", "--only-show-errors", "--log=error"])
    def test_quiet(self, flag: str, fake_s3: FakeS3, name: str, command: Callable[..., Command]) -> None:
        assert command(fake_s3)(flag, "mb", f"s3://{name}").stdout == ""
        assert name in buckets(fake_s3)

    def test_stat(self, fake_s3: FakeS3, name: str, command: Callable[..., Command]) -> None:
        lines = command(fake_s3)("--stat", "mb", f"s3://{name}").lines
        assert lines == [f"mb s3://{name}", "", "Operation\tTotal\tError\tSuccess\t", "mb\t1\t0\t1\t"]

    def test_region(self, fake_s3: FakeS3, name: str, command: Callable[..., Command]) -> None:
        command(fake_s3)("--region", "eu-central-1", "mb", f"s3://{name}", status=None)
        [record] = fake_s3.log(operation="CreateBucket")[:1]
        assert "/eu-central-1/s3/" in str(record) or int(dict(record["headers"])["content-length"]) > 0

    def test_exists(self, fake_s3: FakeS3, name: str, command: Callable[..., Command]) -> None:
        fake_s3.do("create_bucket", bucket=name)
        fake_s3.rule({"type": "respond", "status": 409, "code": "BucketAlreadyOwnedByYou"}, operation="CreateBucket")
        run = command(fake_s3)
        outcome = run("mb", f"s3://{name}", status=1)
        assert outcome.stdout == ""
        assert outcome.errors[0].startswith(f'ERROR "mb s3://{name}": BucketAlreadyOwnedByYou: ')
        [record] = run("--json", "mb", f"s3://{name}", status=1).error_records
        assert (record["source"], record["error"]["kind"]) == (f"s3://{name}", "already_exists")

    def test_exists_at_a_store_that_others_made(
        self, versitygw: Server, name: str, command: Callable[..., Command]
    ) -> None:
        run = command(versitygw)
        run("mb", f"s3://{name}")
        [record] = run("--json", "mb", f"s3://{name}", status=1).error_records
        assert record["error"]["kind"] == "already_exists"

    def test_not_empty(self, server: Server, bucket: str, command: Callable[..., Command]) -> None:
        server.boto3.put_object(Bucket=bucket, Key="k", Body=b"x")
        outcome = command(server)("rb", f"s3://{bucket}", status=1)
        assert outcome.stdout == ""
        assert outcome.errors[0].startswith(f'ERROR "rb s3://{bucket}": BucketNotEmpty: ')
        assert outcome.errors[1].startswith("hint: only an empty bucket can be removed")
        assert bucket in buckets(server)

    def test_missing(self, server: Server, command: Callable[..., Command]) -> None:
        [record] = command(server)("--json", "rb", "s3://no-such-bucket-here", status=1).error_records
        assert record["error"]["kind"] == "not_found"

    @pytest.mark.parametrize("verb", ["mb", "rb"])
    @pytest.mark.parametrize(
        ("argument", "message"),
        [
            ("s3://b/k", "invalid s3 bucket"),
            ("s3://b/p/", "invalid s3 bucket"),
            ("b", "invalid s3 bucket"),
            ("-", "invalid s3 bucket"),
            ("s3://b$d", "invalid s3 bucket"),
            ("s3://b*", "bucket name cannot contain wildcards"),
            ("s3://", "s3 url should have a bucket"),
            ("gs://b", '"gs://" is not a scheme of s3z'),
        ],
    )
    def test_bad_names(
        self, verb: str, argument: str, message: str, fake_s3: FakeS3, command: Callable[..., Command]
    ) -> None:
        outcome = command(fake_s3)(verb, argument, status=1)
        assert outcome.errors[0] == f'ERROR "{verb} {argument}": {message}'
        assert fake_s3.log() == []

    @pytest.mark.parametrize("verb", ["mb", "rb"])
    @pytest.mark.parametrize("arguments", [[], ["s3://b", "s3://c"], ["--force", "s3://b"]])
    def test_not_parsed(
        self, verb: str, arguments: list[str], fake_s3: FakeS3, command: Callable[..., Command]
    ) -> None:
        assert command(fake_s3)(verb, *arguments, status=2).stdout == ""
        assert fake_s3.log() == []

    def test_closed_stdout_changes_nothing(self, fake_s3: FakeS3, name: str, command: Callable[..., Command]) -> None:
        process = command(fake_s3).start("mb", f"s3://{name}")
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=60) == 0
        assert process.stderr is not None
        process.stderr.close()
        assert name in buckets(fake_s3)


class TestCalls:
    def test_made_and_removed(self, server: Server, client: s3z.Client, name: str) -> None:
        client.make_bucket(f"s3://{name}")
        assert client.exists(f"s3://{name}")
        client.remove_bucket(f"s3://{name}")
        assert name not in buckets(server)

    def test_failures(self, server: Server, client: s3z.Client, bucket: str) -> None:
        server.boto3.put_object(Bucket=bucket, Key="k", Body=b"x")
        with pytest.raises(s3z.ServiceError) as caught:
            client.remove_bucket(f"s3://{bucket}")
        assert (caught.value.code, caught.value.bucket) == ("BucketNotEmpty", bucket)
        with pytest.raises(s3z.NotFoundError):
            client.remove_bucket("s3://no-such-bucket-here")

    @pytest.mark.parametrize("uri", ["s3://b/k", "b", "s3://", "s3://b c", ""])
    def test_bad_names(self, uri: str, fake_s3: FakeS3, fake_client: s3z.Client) -> None:
        for call in (fake_client.make_bucket, fake_client.remove_bucket):
            with pytest.raises(s3z.ConfigError):
                call(uri)
        assert fake_s3.log() == []
