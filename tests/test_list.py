"""Listings: what boto3 lists, in its order, page after page, lazily."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

import s3z

if TYPE_CHECKING:
    from support.servers import FakeS3, Server

KEYS = [
    "a", "a-b", "a.b", "a/b", "a/b/c", "a/b/d", "a/c", "a0", "b", "p/x y", "p/x+y", "p/x%y", "p/é", "p/😀", "z/",
]  # fmt: skip


def boto3_listing(server: Server, bucket: str, **arguments: Any) -> list[tuple[str, bool]]:
    """Keys and prefixes, each page in key order, as they follow one another."""
    found: list[tuple[str, bool]] = []
    for page in server.boto3.get_paginator("list_objects_v2").paginate(Bucket=bucket, **arguments):
        rows = [(item["Key"], False) for item in page.get("Contents", [])]
        rows += [(item["Prefix"], True) for item in page.get("CommonPrefixes", [])]
        found += sorted(rows, key=lambda row: row[0].encode())
    return found


def listing(client: s3z.Client, uri: str, **arguments: Any) -> list[tuple[str, bool]]:
    return [(info.key, info.is_prefix) for info in client.list(uri, **arguments)]


#: versitygw keeps keys as files, and no file is a directory too
NO_FILES = {"a", "a/b"}


@pytest.fixture
def filled(server: Server, bucket: str) -> str:
    for key in KEYS:
        if not (server.name == "versitygw" and key in NO_FILES):
            server.boto3.put_object(Bucket=bucket, Key=key, Body=b"" if key.endswith("/") else key.encode())
    return bucket


class TestAgainstBoto3:
    @pytest.mark.parametrize("prefix", ["", "a", "a/", "a/b", "p/", "p/x", "none", "z/"])
    @pytest.mark.parametrize("delimiter", [None, "/"])
    def test_same_entries_in_the_same_order(
        self, server: Server, filled: str, client: s3z.Client, prefix: str, delimiter: str | None
    ) -> None:
        arguments = {"Delimiter": delimiter} if delimiter else {}
        expected = boto3_listing(server, filled, Prefix=prefix, **arguments)
        assert listing(client, f"s3://{filled}/{prefix}", delimiter=delimiter) == expected
        if delimiter:
            assert listing(client, f"s3://{filled}/{prefix}", recursive=False) == expected

    def test_facts_of_each_object(self, server: Server, bucket: str, client: s3z.Client) -> None:
        server.boto3.put_object(Bucket=bucket, Key="dir/k", Body=b"hello")
        theirs = server.boto3.list_objects_v2(Bucket=bucket)["Contents"][0]
        (ours,) = client.list(f"s3://{bucket}")
        assert (ours.bucket, ours.key, ours.size, ours.is_prefix) == (bucket, "dir/k", 5, False)
        assert ours.uri == f"s3://{bucket}/dir/k"
        assert ours.etag == theirs["ETag"].strip('"')
        assert ours.last_modified == theirs["LastModified"].astimezone(UTC)
        assert abs((datetime.now(UTC) - ours.last_modified).total_seconds()) < 60
        assert (ours.storage_class or "STANDARD") == theirs.get("StorageClass", "STANDARD")

    def test_start_after(self, server: Server, filled: str, client: s3z.Client) -> None:
        assert listing(client, f"s3://{filled}", start_after="a/c") == boto3_listing(server, filled, StartAfter="a/c")

    def test_more_than_a_page(self, server: Server, bucket: str, client: s3z.Client) -> None:
        keys = [f"many/{number:05}" for number in range(1103)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: server.boto3.put_object(Bucket=bucket, Key=key, Body=b""), keys))
        assert [info.key for info in client.list(f"s3://{bucket}/many/")] == keys

    def test_empty_bucket(self, server: Server, bucket: str, client: s3z.Client) -> None:
        assert list(client.list(f"s3://{bucket}")) == []

    def test_missing_bucket(self, server: Server, client: s3z.Client) -> None:
        with pytest.raises(s3z.NotFoundError) as caught:
            list(client.list("s3://no-such-bucket-here/"))
        assert isinstance(caught.value, FileNotFoundError)
        assert caught.value.bucket == "no-such-bucket-here"
        assert caught.value.code == "NoSuchBucket"


class TestPages:
    def test_are_fetched_when_asked_for(self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client) -> None:
        for number in range(2500):
            fake_s3.do("put", bucket=fake_bucket, key=f"{number:05}", text="")
        entries = fake_client.list(f"s3://{fake_bucket}")
        assert next(entries).key == "00000"
        assert len(fake_s3.log(operation="ListObjectsV2")) <= 2  # the next page may be fetched ahead
        assert [info.key for info in entries] == [f"{number:05}" for number in range(1, 2500)]
        assert len(fake_s3.log(operation="ListObjectsV2")) == 3

    def test_failure_on_a_later_page_is_no_short_listing(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client
    ) -> None:
        for number in range(1500):
            fake_s3.do("put", bucket=fake_bucket, key=f"{number:05}", text="")
        fake_s3.rule({"type": "respond", "status": 403, "code": "AccessDenied"}, operation="ListObjectsV2", skip=1)
        seen = []
        with pytest.raises(s3z.AccessDeniedError):
            seen.extend(info.key for info in fake_client.list(f"s3://{fake_bucket}"))

    @pytest.mark.parametrize("token", [b"same", None])
    def test_token_that_loops_or_is_missing_is_an_error(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, token: bytes | None
    ) -> None:
        inside = b"<NextContinuationToken>same</NextContinuationToken>" if token else b""
        body = (
            b"<ListBucketResult><IsTruncated>true</IsTruncated>" + inside + b"<Contents><Key>k</Key>"
            b"<LastModified>2026-05-01T08:00:00.000Z</LastModified><Size>1</Size></Contents></ListBucketResult>"
        )
        fake_s3.rule({"type": "respond", "status": 200, "body": body.decode()}, operation="ListObjectsV2")
        with pytest.raises(s3z.ServiceError, match="where it goes on"):
            list(fake_client.list(f"s3://{fake_bucket}"))

    def test_cut_xml_is_an_error(self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client) -> None:
        body = "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>k</Key>"
        fake_s3.rule({"type": "respond", "status": 200, "body": body}, operation="ListObjectsV2")
        with pytest.raises(s3z.ServiceError):
            list(fake_client.list(f"s3://{fake_bucket}"))

    def test_wildcards_are_literal_in_python(self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client) -> None:
        for key in ("a*b", "axb", "a?b"):
            fake_s3.put(fake_bucket, key, b"")
        assert [info.key for info in fake_client.list(f"s3://{fake_bucket}/a*")] == ["a*b"]
