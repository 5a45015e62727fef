"""head, exists and delete, one and many, on every server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import s3z
from s3z import _api

if TYPE_CHECKING:
    from pathlib import Path

    from support.servers import FakeS3, Server


class TestHead:
    def test_says_what_boto3_says(self, server: Server, bucket: str, client: s3z.Client) -> None:
        server.boto3.put_object(
            Bucket=bucket,
            Key="k",
            Body=b"hello",
            ContentType="x/y",
            Metadata={"colour": "red"},
            CacheControl="no-store",
        )
        theirs = server.boto3.head_object(Bucket=bucket, Key="k")
        ours = client.head(f"s3://{bucket}/k")
        assert (ours.bucket, ours.key, ours.size) == (bucket, "k", 5)
        assert ours.etag == theirs["ETag"].strip('"')
        assert ours.content_type == "x/y"
        assert dict(ours.metadata) == {"colour": "red"}
        assert ours.headers["cache-control"] == "no-store"
        assert ours.last_modified == theirs["LastModified"]

    def test_missing_key(self, server: Server, bucket: str, client: s3z.Client) -> None:
        with pytest.raises(s3z.NotFoundError) as caught:
            client.head(f"s3://{bucket}/no-such-key")
        assert (caught.value.bucket, caught.value.key, caught.value.status) == (bucket, "no-such-key", 404)
        assert "no-such-key" in str(caught.value)


class TestExists:
    def test_object_and_bucket(self, server: Server, bucket: str, client: s3z.Client) -> None:
        server.boto3.put_object(Bucket=bucket, Key="dir/k", Body=b"")
        assert client.exists(f"s3://{bucket}/dir/k") is True
        assert client.exists(f"s3://{bucket}/dir/other") is False
        assert client.exists(f"s3://{bucket}") is True
        assert client.exists("s3://no-such-bucket-here") is False
        assert client.exists("s3://no-such-bucket-here/k") is False

    def test_refusal_is_no_answer(self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client) -> None:
        fake_s3.rule({"type": "respond", "status": 403}, operation="HeadObject")
        with pytest.raises(s3z.AccessDeniedError):
            fake_client.exists(f"s3://{fake_bucket}/k")


class TestDelete:
    def test_one(self, server: Server, bucket: str, client: s3z.Client) -> None:
        for key in ("k", "k2"):
            server.boto3.put_object(Bucket=bucket, Key=key, Body=b"")
        client.delete(f"s3://{bucket}/k")
        assert [item["Key"] for item in server.boto3.list_objects_v2(Bucket=bucket)["Contents"]] == ["k2"]
        client.delete(f"s3://{bucket}/k")

    def test_many(self, server: Server, bucket: str, client: s3z.Client) -> None:
        keys = [f"k{number}" for number in range(25)]
        for key in keys:
            server.boto3.put_object(Bucket=bucket, Key=key, Body=b"")
        client.delete(f"s3://{bucket}/{key}" for key in [*keys[:20], "never-there"])
        assert [item["Key"] for item in server.boto3.list_objects_v2(Bucket=bucket)["Contents"]] == sorted(keys[20:])

    def test_thousands_go_in_batches_of_at_most_1000(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client
    ) -> None:
        for number in range(2001):
            fake_s3.do("put", bucket=fake_bucket, key=f"{number}", text="")
        fake_client.delete(f"s3://{fake_bucket}/{number}" for number in range(2001))
        assert fake_s3.do("keys", bucket=fake_bucket)["keys"] == []
        assert len(fake_s3.log(operation="DeleteObjects")) == 3

    def test_several_buckets(self, fake_s3: FakeS3, fake_client: s3z.Client) -> None:
        for bucket in ("one", "two"):
            fake_s3.put(bucket, "k", b"")
        fake_client.delete(["s3://one/k", "s3://two/k"])
        assert [fake_s3.do("keys", bucket=bucket)["keys"] for bucket in ("one", "two")] == [[], []]

    def test_failures_in_a_200_are_told_one_by_one(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client
    ) -> None:
        for key in ("a", "b", "c"):
            fake_s3.put(fake_bucket, key, b"")
        fake_s3.rule({"type": "delete_errors", "keys": "b", "code": "AccessDenied"}, operation="DeleteObjects")
        with pytest.raises(s3z.BatchError, match="1 of 3") as caught:
            fake_client.delete([f"s3://{fake_bucket}/{key}" for key in ("a", "b", "c")])
        (failure,) = caught.value.failures
        assert isinstance(failure, s3z.AccessDeniedError)
        assert isinstance(failure, PermissionError)
        assert (failure.bucket, failure.key) == (fake_bucket, "b")
        assert fake_s3.do("keys", bucket=fake_bucket)["keys"] == ["b"]

    def test_bad_uri_among_many_deletes_nothing_after_it(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client
    ) -> None:
        fake_s3.put(fake_bucket, "k", b"")
        with pytest.raises(s3z.ConfigError):
            fake_client.delete(["nonsense", f"s3://{fake_bucket}/k"])
        assert fake_s3.do("keys", bucket=fake_bucket)["keys"] == ["k"]


def test_module_functions_use_environment_and_one_client(
    server: Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_api, "_default", None)
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    (tmp_path / "up").write_bytes(b"hello")
    s3z.upload(tmp_path / "up", f"s3://{bucket}/k")
    first = _api._default
    assert s3z.exists(f"s3://{bucket}/k")
    assert s3z.head(f"s3://{bucket}/k").size == 5
    assert [info.key for info in s3z.list(f"s3://{bucket}")] == ["k"]
    s3z.download(f"s3://{bucket}/k", tmp_path / "down")
    assert (tmp_path / "down").read_bytes() == b"hello"
    s3z.delete(f"s3://{bucket}/k")
    assert not s3z.exists(f"s3://{bucket}/k")
    assert _api._default is first


@pytest.mark.parametrize("call", ["download", "head", "list"])
def test_region_is_corrected_by_the_answer(fake_s3: FakeS3, tmp_path: Path, call: str) -> None:
    fake_s3.put("examples", "k", b"hello")
    client = fake_s3.client(region="eu-central-1")
    if call == "download":
        client.download("s3://examples/k", tmp_path / "k")
        assert (tmp_path / "k").read_bytes() == b"hello"
    elif call == "head":
        assert client.head("s3://examples/k").size == 5
    else:
        assert [info.key for info in client.list("s3://examples")] == ["k"]


def test_keys_of_a_boto3_client_and_a_session(fake_s3: FakeS3, fake_bucket: str) -> None:
    import boto3

    fake_s3.put(fake_bucket, "k", b"hello")
    assert s3z.Client(client=fake_s3.boto3).head(f"s3://{fake_bucket}/k").size == 5
    session = boto3.Session(**fake_s3.credentials, region_name=fake_s3.region)
    assert s3z.Client(session=session, endpoint_url=fake_s3.endpoint).head(f"s3://{fake_bucket}/k").size == 5


def test_keys_from_a_callable_are_renewed_when_they_expire(fake_s3: FakeS3, fake_bucket: str) -> None:
    fake_s3.put(fake_bucket, "k", b"hello")
    given = [(fake_s3.access_key, fake_s3.secret_key), ("second-id", "second-secret")]
    asked: list[int] = []

    def keys() -> dict[str, str]:
        access, secret = given[0]
        asked.append(1)
        return {"aws_access_key_id": access, "aws_secret_access_key": secret}

    client = fake_s3.client(credentials=keys)
    assert client.head(f"s3://{fake_bucket}/k").size == 5
    fake_s3.do("rotate_keys", access_key="second-id", secret_key="second-secret")
    given.pop(0)
    assert [info.key for info in client.list(f"s3://{fake_bucket}")] == ["k"]
    assert len(asked) >= 2


def test_anonymous_requests_are_not_signed(fake_s3: FakeS3, fake_bucket: str) -> None:
    client = s3z.Client(endpoint_url=fake_s3.endpoint, anonymous=True)
    with pytest.raises(s3z.AccessDeniedError):
        client.head(f"s3://{fake_bucket}/k")
    assert all("authorization" not in dict(record["headers"]) for record in fake_s3.log())
