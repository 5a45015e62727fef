"""`copy`, `move` and `delete`: what is named itself, one or many."""

from __future__ import annotations

import hashlib
import os
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from support.data import MIB
from support.planted import fill, keys, objects, plant, read, tree
from support.trees import fill as fill_many

import s3z
from s3z import _transfers

if TYPE_CHECKING:
    from pathlib import Path

    from support.servers import FakeS3, Server

DENIED = {"type": "respond", "status": 403, "code": "AccessDenied"}
LACKING = {"type": "respond", "status": 501, "code": "NotImplemented"}


class TestCopy:
    def test_keeps_content_and_metadata(self, client: s3z.Client, server: Server, bucket: str) -> None:
        fill(server, bucket, {"a b": b"hello"}, Metadata={"who": "me"}, ContentType="text/x", CacheControl="no-store")
        result = client.copy(f"s3://{bucket}/a b", f"s3://{bucket}/ä/b")
        assert (result.source, result.destination) == (f"s3://{bucket}/a b", f"s3://{bucket}/ä/b")
        assert (result.bytes, result.parts, str(result.verified)) == (5, 1, "length")
        head = client.head(f"s3://{bucket}/ä/b")
        assert (head.etag, head.metadata, head.content_type) == (result.etag, {"who": "me"}, "text/x")
        assert objects(server, bucket) == {"a b": b"hello", "ä/b": b"hello"}
        assert pickle.loads(pickle.dumps(result)) == result
        assert repr(result).startswith(f"CopyResult('s3://{bucket}/a b', 's3://{bucket}/ä/b', 5")

    def test_replaces_metadata_when_told(self, fake_client: s3z.Client, fake_s3: FakeS3, fake_bucket: str) -> None:
        uri = f"s3://{fake_bucket}/a"
        fill(fake_s3, fake_bucket, {"a": b"a"}, Metadata={"old": "1"}, ContentType="text/x")
        fake_client.copy(uri, f"s3://{fake_bucket}/b", metadata={"new": "2"}, storage_class="STANDARD_IA")
        assert fake_client.head(f"s3://{fake_bucket}/b").metadata == {"new": "2"}
        fake_client.copy(uri, uri, metadata={"own": "3"})
        assert fake_client.head(uri).metadata == {"own": "3"}
        with pytest.raises(s3z.ConfigError, match="metadata"):
            fake_client.copy(uri, f"s3://{fake_bucket}/c", metadata={"a": "b"}, replace_metadata=False)

    def test_by_parts(self, fake_s3: FakeS3, fake_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = _transfers.transfer_settings
        monkeypatch.setattr(_transfers, "transfer_settings", lambda it: {**settings(it), "copy_threshold": 6 * MIB})
        client = fake_s3.client()
        data = os.urandom(12 * MIB)
        client.put(f"s3://{fake_bucket}/large", data, metadata={"who": "me"})
        fake_s3.do("clear_log")
        events: list[s3z.ProgressEvent] = []
        result = client.copy(
            f"s3://{fake_bucket}/large", f"s3://{fake_bucket}/copy", part_size=5 * MIB, progress=events.append
        )
        assert (result.parts, result.bytes, events[-1].durable) == (3, len(data), len(data))
        assert len(fake_s3.log(operation="UploadPartCopy")) == 3
        assert not fake_s3.log(operation="GetObject")
        copied = client.get(f"s3://{fake_bucket}/copy")
        assert hashlib.sha256(copied).digest() == hashlib.sha256(data).digest()
        assert client.head(f"s3://{fake_bucket}/copy").metadata == {"who": "me"}

    def test_streams_where_the_store_cannot_copy(
        self, fake_client: s3z.Client, fake_s3: FakeS3, fake_bucket: str
    ) -> None:
        fill(fake_s3, fake_bucket, {"a": b"hello"}, Metadata={"who": "me"})
        fake_s3.rule(LACKING, operation="CopyObject")
        result = fake_client.copy(f"s3://{fake_bucket}/a", f"s3://{fake_bucket}/b")
        assert (result.bytes, str(result.verified)) == (5, "full_object/crc64nvme")
        assert read(fake_s3, fake_bucket, "b") == b"hello"
        assert fake_client.head(f"s3://{fake_bucket}/b").metadata == {"who": "me"}
        assert fake_s3.log(operation="GetObject")

    def test_from_another_store(self, fake_client: s3z.Client, fake_s3: FakeS3, fake_bucket: str, moto: Server) -> None:
        other = f"other-{os.getpid()}"
        moto.boto3.create_bucket(Bucket=other)
        fill(moto, other, {"a": b"from afar"}, Metadata={"who": "me"})
        result = fake_client.copy(f"s3://{other}/a", f"s3://{fake_bucket}/b", source_client=moto.client())
        assert result.bytes == 9
        assert read(fake_s3, fake_bucket, "b") == b"from afar"
        assert fake_client.head(f"s3://{fake_bucket}/b").metadata == {"who": "me"}
        assert not fake_s3.log(operation="CopyObject")
        moved = fake_client.move(f"s3://{other}/a", f"s3://{fake_bucket}/c", source_client=moto.client())
        assert moved.bytes == 9
        assert keys(moto, other) == set()

    def test_does_not_overwrite_unless_told(self, fake_client: s3z.Client, fake_s3: FakeS3, fake_bucket: str) -> None:
        fill(fake_s3, fake_bucket, {"a": b"a", "b": b"b"})
        with pytest.raises(s3z.AlreadyExistsError) as caught:
            fake_client.copy(f"s3://{fake_bucket}/a", f"s3://{fake_bucket}/b", overwrite=False)
        assert caught.value.key == "b"
        assert read(fake_s3, fake_bucket, "b") == b"b"
        fake_client.copy(f"s3://{fake_bucket}/a", f"s3://{fake_bucket}/c", overwrite=False)
        assert read(fake_s3, fake_bucket, "c") == b"a"

    def test_errors_are_of_the_object(self, fake_client: s3z.Client, fake_s3: FakeS3, fake_bucket: str) -> None:
        fill(fake_s3, fake_bucket, {"a": b"a"})
        uri = f"s3://{fake_bucket}/a"
        with pytest.raises(s3z.NotFoundError, match="none"):
            fake_client.copy(f"s3://{fake_bucket}/none", uri)
        with pytest.raises(s3z.ConfigError, match="same object"):
            fake_client.copy(uri, uri)
        with pytest.raises(s3z.ConfigError, match="an object is needed"):
            fake_client.copy(uri, f"s3://{fake_bucket}")
        with pytest.raises(TypeError, match="str such as"):
            fake_client.copy(3, uri)  # type: ignore[arg-type]
        with pytest.raises(s3z.ConfigError, match="source_client"):
            fake_client.move(uri, "here", source_client=fake_s3.client())


class TestMove:
    def test_in_every_direction(self, client: s3z.Client, server: Server, bucket: str, tmp_path: Path) -> None:
        plant(tmp_path, {"in/a b.txt": b"hello"})
        up = client.move(tmp_path / "in" / "a b.txt", f"s3://{bucket}/one", metadata={"who": "me"})
        assert (up.source, up.destination) == (str(tmp_path / "in" / "a b.txt"), f"s3://{bucket}/one")
        assert tree(tmp_path) == {}
        across = client.move(f"s3://{bucket}/one", f"s3://{bucket}/p/two")
        assert across.bytes == 5
        assert keys(server, bucket) == {"p/two"}
        assert client.head(f"s3://{bucket}/p/two").metadata["who"] == "me"
        down = client.move(f"s3://{bucket}/p/two", f"{tmp_path}/out/")
        assert down.destination == f"{tmp_path}/out/two"
        assert down.last_modified is not None
        assert tree(tmp_path) == {"out/two": b"hello"}
        assert keys(server, bucket) == set()

    def test_keeps_the_source_when_the_destination_fails(
        self, fake_client: s3z.Client, fake_s3: FakeS3, fake_bucket: str, tmp_path: Path
    ) -> None:
        fill(fake_s3, fake_bucket, {"a": b"a"})
        plant(tmp_path, {"file": b"f", "taken/x": b""})
        for operation in ("PutObject", "CopyObject"):
            fake_s3.rule(DENIED, operation=operation)
        with pytest.raises(s3z.AccessDeniedError):
            fake_client.move(tmp_path / "file", f"s3://{fake_bucket}/b")
        with pytest.raises(s3z.AccessDeniedError):
            fake_client.move(f"s3://{fake_bucket}/a", f"s3://{fake_bucket}/b")
        with pytest.raises(OSError, match="a"):
            fake_client.move(f"s3://{fake_bucket}/a", tmp_path / "file" / "below")
        assert tree(tmp_path) == {"file": b"f", "taken/x": b""}
        assert objects(fake_s3, fake_bucket) == {"a": b"a"}
        assert not fake_s3.log(operation="DeleteObject")

    def test_a_refused_removal_is_an_error(self, fake_client: s3z.Client, fake_s3: FakeS3, fake_bucket: str) -> None:
        fill(fake_s3, fake_bucket, {"a": b"a"})
        fake_s3.rule(DENIED, operation="DeleteObject")
        with pytest.raises(s3z.AccessDeniedError, match="the destination is complete"):
            fake_client.move(f"s3://{fake_bucket}/a", f"s3://{fake_bucket}/b")
        assert keys(fake_s3, fake_bucket) == {"a", "b"}

    def test_no_setting_switches_verification_off(
        self, fake_s3: FakeS3, fake_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(fake_s3, fake_bucket, {"a": b"content"}, ChecksumAlgorithm="CRC32")
        fake_s3.rule({"type": "bit_flip", "offset": 3}, operation="GetObject")
        monkeypatch.setenv("AWS_RESPONSE_CHECKSUM_VALIDATION", "when_required")
        client, uri = fake_s3.client(), f"s3://{fake_bucket}/a"
        with pytest.raises(s3z.IntegrityError):
            client.move(uri, tmp_path / "moved")
        assert client.download(uri, tmp_path / "copied").verified.kind == "length"
        assert keys(fake_s3, fake_bucket) == {"a"}

    def test_needs_a_file(self, fake_client: s3z.Client, fake_s3: FakeS3, fake_bucket: str, tmp_path: Path) -> None:
        fill(fake_s3, fake_bucket, {"a": b"content"})
        os.mkfifo(tmp_path / "fifo")
        for place in ("/dev/null", tmp_path / "fifo"):
            with pytest.raises(OSError, match="not a regular file"):
                fake_client.move(f"s3://{fake_bucket}/a", place)
        assert objects(fake_s3, fake_bucket) == {"a": b"content"}

    def test_what_is_no_move(self, fake_client: s3z.Client, fake_s3: FakeS3, fake_bucket: str, tmp_path: Path) -> None:
        fill(fake_s3, fake_bucket, {"a": b"a", "b": b"b"})
        plant(tmp_path, {"file": b"f"})
        uri = f"s3://{fake_bucket}/a"
        refused: list[tuple[Any, str]] = [
            (lambda: fake_client.move(uri, uri), "same object"),
            (lambda: fake_client.move(tmp_path / "file", tmp_path / "other"), "at a store"),
            (lambda: fake_client.move(uri, tmp_path / "x", verify="off"), "verify"),
            (lambda: fake_client.move(uri, tmp_path / "x", acl="private"), "acl"),
            (lambda: fake_client.move(tmp_path / "file", uri, direct_io="on"), "direct_io"),
            (lambda: fake_client.move(tmp_path / "file", uri, version_id="v"), "version_id"),
            (lambda: fake_client.move(tmp_path / "file", uri, replace_metadata=True), "replace_metadata"),
            (lambda: fake_client.move(tmp_path / "file", uri, max_concurrency=0), "max_concurrency"),
        ]
        for call, word in refused:
            with pytest.raises(s3z.ConfigError, match=word):
                call()
        with pytest.raises(s3z.AlreadyExistsError):
            fake_client.move(uri, tmp_path / "file", overwrite=False)
        with pytest.raises(s3z.AlreadyExistsError):
            fake_client.move(tmp_path / "file", uri, overwrite=False)
        with pytest.raises(IsADirectoryError):
            fake_client.move(tmp_path, uri)
        assert objects(fake_s3, fake_bucket) == {"a": b"a", "b": b"b"}
        assert tree(tmp_path) == {"file": b"f"}


class TestDelete:
    def test_many_of_several_buckets(self, client: s3z.Client, server: Server, bucket: str) -> None:
        other = f"{bucket}-other"
        server.boto3.create_bucket(Bucket=other)
        for name in (bucket, other):
            fill(server, name, dict.fromkeys(["a", "b", "plus+ ä", "keep"], b""))
        uris = [f"s3://{name}/{key}" for key in ("a", "b", "plus+ ä", "never") for name in (bucket, other)]
        result = client.delete(iter(uris))
        assert (result.done, result.failed, result.source) == (8, 0, None)
        assert keys(server, bucket) == keys(server, other) == {"keep"}

    def test_2500_keys_with_a_partial_failure(self, fake_client: s3z.Client, fake_s3: FakeS3, fake_bucket: str) -> None:
        names = [f"k{number:04}" for number in range(2500)]
        fill_many(fake_s3, fake_bucket, [*names, "keep"])
        fake_s3.rule({"type": "delete_errors", "keys": "k1*7", "code": "AccessDenied"}, operation="DeleteObjects")
        events: list[s3z.ProgressEvent] = []
        uris = [f"s3://{fake_bucket}/{name}" for name in names]
        with pytest.raises(s3z.BatchError, match=r"^100 of 2500 objects could not be removed; first: ") as caught:
            fake_client.delete(iter(uris), progress=events.append)
        error = caught.value
        assert error.result is not None
        assert (error.result.failed, len(error.failures), events[-1].objects) == (100, 100, 2400)
        assert {type(each) for each in error.failures} == {s3z.AccessDeniedError}
        assert len(fake_s3.log(operation="DeleteObjects")) == 3
        kept = {name for name in names if name.startswith("k1") and name.endswith("7")}
        assert {each.key for each in error.failures} == kept  # type: ignore[attr-defined]
        assert keys(fake_s3, fake_bucket) == kept | {"keep"}
        result = fake_client.delete(uris, errors="return")
        assert (result.done, result.failed) == (2400, 100)

    def test_one_gives_nothing(self, fake_client: s3z.Client, fake_s3: FakeS3, fake_bucket: str) -> None:
        fill(fake_s3, fake_bucket, {"a": b""})
        assert fake_client.delete(f"s3://{fake_bucket}/a") is None  # type: ignore[func-returns-value]
        assert keys(fake_s3, fake_bucket) == set()
        with pytest.raises(s3z.ConfigError, match="iterable"):
            fake_client.delete(f"s3://{fake_bucket}/a", errors="return")
        with pytest.raises(s3z.ConfigError, match="single"):
            fake_client.delete([f"s3://{fake_bucket}/a"], version_id="v")  # type: ignore[call-overload]
        assert fake_client.delete([]).done == 0

    def test_a_bad_uri_removes_nothing_beside_it(
        self, fake_client: s3z.Client, fake_s3: FakeS3, fake_bucket: str
    ) -> None:
        fill(fake_s3, fake_bucket, {"a": b""})
        with pytest.raises(s3z.ConfigError):
            fake_client.delete([f"s3://{fake_bucket}/a", f"s3://{fake_bucket}"])
        assert keys(fake_s3, fake_bucket) == {"a"}
