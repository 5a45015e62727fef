"""A move never destroys what it moves: not where source and destination are one object under two descriptions."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from support.alias import alias
from support.servers import FakeS3
from support.trees import keys, objects

import s3z
from s3z import _apart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.command import Command
    from support.servers import Server

SAME = "source and destination are the same object"
BIG = random.Random(4).randbytes(6 << 20)


@pytest.fixture
def store(fake_s3: FakeS3) -> FakeS3:
    fake_s3.do("create_bucket", bucket="b")
    for name in ("p/a", "p/b", "k"):
        fake_s3.put("b", name, name.encode())
    return fake_s3


@pytest.fixture
def run(store: FakeS3, command: Callable[[Server | None], Command]) -> Command:
    return command(store)


@pytest.fixture
def other(store: FakeS3) -> Iterator[str]:
    with alias(store) as endpoint:
        yield endpoint


ALL = {"p/a": "p/a", "p/b": "p/b", "k": "k"}
WAYS = [["s3://b/p/a", "s3://b/p/a"], ["s3://b/p/a", "s3://b/p/"], ["s3://b/p/*", "s3://b/p/"]]


@pytest.mark.parametrize("arguments", WAYS, ids=" ".join)
@pytest.mark.parametrize(
    "options",
    [
        ["--source-endpoint-url", "{}"],
        ["--destination-endpoint-url", "{}"],
        ["--destination-endpoint-url", "{}/"],
        ["--source-region", "eu-west-1"],
        ["--destination-profile", "second"],
        ["--source-endpoint-url", "http://LocalHost:{port}"],
    ],
    ids=" ".join,
)
def test_one_store_described_in_two_ways(run: Command, store: FakeS3, arguments: list[str], options: list[str]) -> None:
    (run.directory / "keys").write_text("[second]\naws_access_key_id = other\naws_secret_access_key = other\n")
    options = [option.format(store.endpoint, port=store.address[1]) for option in options]
    extra = ["--credentials-file", "keys", *options] if "second" in options else options
    outcome = run("mv", *extra, *arguments, status=1)
    assert outcome.stderr.count(SAME) == len(outcome.errors) > 0
    assert outcome.stdout == ""
    assert objects(store, "b") == ALL
    assert {record["method"] for record in store.log()} <= {"GET", "HEAD"}


@pytest.mark.parametrize("side", ["source", "destination"])
@pytest.mark.parametrize("arguments", WAYS, ids=" ".join)
def test_an_address_nobody_knows_to_be_the_same(
    run: Command, store: FakeS3, other: str, arguments: list[str], side: str
) -> None:
    store.put("b", "p/a", BIG)
    outcome = run("mv", f"--{side}-endpoint-url", other, *arguments, status=1)
    assert outcome.stderr.count(SAME) == len(outcome.errors) > 0
    assert outcome.stdout == ""
    assert keys(store, "b") == ["k", "p/a", "p/b"]
    assert store.boto3.get_object(Bucket="b", Key="p/a")["Body"].read() == BIG


def test_json_tells_it_as_refused(run: Command, other: str) -> None:
    outcome = run("--json", "mv", "--source-endpoint-url", other, "s3://b/k", "s3://b/k", status=1)
    assert [record["error"]["kind"] for record in outcome.error_records] == ["refused"]


@pytest.mark.parametrize("state", ["Enabled", "Suspended", None])
@pytest.mark.parametrize("aliased", [True, False])
def test_a_version_moved_onto_its_own_key(
    run: Command, store: FakeS3, other: str, state: str | None, aliased: bool
) -> None:
    def content() -> bytes:
        found: bytes = store.boto3.get_object(Bucket="b", Key="k")["Body"].read()
        return found

    if state is not None:
        store.boto3.put_bucket_versioning(Bucket="b", VersioningConfiguration={"Status": "Enabled"})
        store.put("b", "k", b"new")
        store.boto3.put_bucket_versioning(Bucket="b", VersioningConfiguration={"Status": state})
    extra = ["--source-endpoint-url", other] if aliased else []
    # What was there before the bucket had versions.
    outcome = run("mv", *extra, "--version-id", "null", "s3://b/k", "s3://b/k", status=None)
    assert content() == b"k"
    if state == "Enabled":
        assert outcome.status == 0
        found = store.boto3.list_object_versions(Bucket="b", Prefix="k")["Versions"]
        assert "null" not in [version["VersionId"] for version in found]
    else:
        assert outcome.status == 1
        assert SAME in outcome.stderr


@pytest.mark.parametrize("aliased", [True, False])
def test_the_current_version_moved_onto_its_own_key(run: Command, store: FakeS3, other: str, aliased: bool) -> None:
    store.boto3.put_bucket_versioning(Bucket="b", VersioningConfiguration={"Status": "Enabled"})
    store.put("b", "k", b"new")
    version = store.boto3.head_object(Bucket="b", Key="k")["VersionId"]
    extra = ["--source-endpoint-url", other] if aliased else []
    run("mv", *extra, "--version-id", version, "s3://b/k", "s3://b/k")
    assert objects(store, "b")["k"] == "new"


def test_the_same_name_in_another_store_is_another_object(run: Command, store: FakeS3) -> None:
    second = FakeS3("--bucket", "b", "--no-auth")
    try:
        outcome = run("mv", "--destination-endpoint-url", second.endpoint, "s3://b/p/*", "s3://b/p/")
        assert sorted(outcome.lines) == [f"mv s3://b/p/{name} s3://b/p/{name}" for name in "ab"]
        assert objects(store, "b") == {"k": "k"}
        assert objects(second, "b") == {"p/a": "p/a", "p/b": "p/b"}
    finally:
        second.stop()


def test_a_store_that_keeps_no_mark_proves_nothing(run: Command, store: FakeS3) -> None:
    """Without the mark at the destination, its absence at the source says nothing."""
    second = FakeS3("--bucket", "b", "--no-auth")
    try:
        gone = {"type": "respond", "status": 403, "code": "AccessDenied"}
        second.rule(gone, operation="HeadObject")
        outcome = run("mv", "--destination-endpoint-url", second.endpoint, "s3://b/k", "s3://b/k", status=1)
        assert "kept" in outcome.stderr
        assert objects(store, "b") == ALL
        # Another name needs no such proof.
        run("mv", "--destination-endpoint-url", second.endpoint, "s3://b/p/a", "s3://b/other")
        assert objects(store, "b") == {"p/b": "p/b", "k": "k"}
    finally:
        second.stop()


def test_calls(store: FakeS3, other: str) -> None:
    client = store.client()
    for source in (store.client(region="us-west-2"), store.client(), store.client(endpoint_url=other)):
        with pytest.raises(s3z.ConfigError, match=SAME):
            client.move("s3://b/k", "s3://b/k", source_client=source)
    assert objects(store, "b") == ALL
    client.move("s3://b/k", "s3://b/l", source_client=store.client(endpoint_url=other))
    assert objects(store, "b") == {"p/a": "p/a", "p/b": "p/b", "l": "k"}
    assert client.head("s3://b/l").metadata == {}


def test_a_sync_that_would_delete_its_source_under_another_address(run: Command, store: FakeS3, other: str) -> None:
    for extra in ([], ["--dry-run"]):
        for side in ("source", "destination"):
            line = [*extra, "sync", "--delete", f"--{side}-endpoint-url", other, "s3://b/p/*", "s3://b/"]
            outcome = run(*line, status=1)
            assert "holds the source, which would be deleted" in outcome.stderr
    for word in ("cp", "mv", "sync"):
        outcome = run(word, "--source-endpoint-url", other, "s3://b/*", "s3://b/p/", status=1)
        assert "lies in the source" in outcome.stderr
    with pytest.raises(s3z.ConfigError, match="holds the source"):
        store.client().sync("s3://b/p/", "s3://b/", source_client=store.client(endpoint_url=other), delete=True)
    assert objects(store, "b") == ALL


def test_another_store_of_the_same_names_may_be_deleted_from(run: Command, store: FakeS3) -> None:
    second = FakeS3("--bucket", "b", "--no-auth")
    try:
        second.put("b", "p/a", b"another")
        run("sync", "--delete", "--destination-endpoint-url", second.endpoint, "s3://b/p/*", "s3://b/")
        assert objects(second, "b") == {"a": "p/a", "b": "p/b"}
    finally:
        second.stop()


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("http://h", "http://H/", True),
        ("http://h", "http://h:80", True),
        ("https://h", "https://h.:443", True),
        ("http://h", "https://h", True),
        ("http://h:9000", "http://h:9001", False),
        ("http://localhost:9000", "http://127.0.0.1:9000", True),
        ("http://localhost:9000", "http://[::1]:9000", True),
        ("http://127.0.0.1:9000", "http://127.0.0.2:9000", False),
        ("http://h/a", "http://h/b", False),
        ("http://h", "http://i", False),
        (None, "https://s3.eu-west-1.amazonaws.com", True),
        (None, "https://bucket.vpce-1.s3.us-east-1.vpce.amazonaws.com", True),
        (None, "https://s3.cn-north-1.amazonaws.com.cn", False),
        (None, "https://s3.us-gov-west-1.amazonaws.com", False),
        (None, "https://h", False),
        (None, "https://amazonaws.com.example.org", False),
    ],
)
def test_addresses_of_one_store(first: str | None, second: str | None, same: bool) -> None:
    assert (_apart.store(first, "us-east-1") == _apart.store(second, "us-east-1")) is same
    assert _apart.store(None, "us-east-1") == _apart.store(None, "eu-west-1")
    assert _apart.store(None, "us-east-1") != _apart.store(None, "cn-north-1")
