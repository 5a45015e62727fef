"""Uploads: sizes at every border, what boto3 reads of them, headers and conditions, and nothing left after failures."""

from __future__ import annotations

import base64
import hashlib
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from support.data import GIB, MIB, pattern, sha256, write_pattern

import s3z

if TYPE_CHECKING:
    from pathlib import Path

    from support.servers import FakeS3, Server

PART = 5 * MIB
THRESHOLD = 16 * MIB
BORDERS = sorted({0, 1, 2, *(size + around for size in (PART, 2 * PART, THRESHOLD) for around in (-1, 0, 1))})


def content(server: Server, bucket: str, key: str = "k") -> bytes:
    data: bytes = server.boto3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return data


class TestSizes:
    @pytest.mark.parametrize("size", BORDERS)
    def test_boto3_reads_what_was_sent(
        self, server: Server, bucket: str, client: s3z.Client, tmp_path: Path, size: int
    ) -> None:
        source = write_pattern(tmp_path / "k", size)
        result = client.upload(source, f"s3://{bucket}/k", part_size=PART)
        assert content(server, bucket) == pattern(size)
        head = server.boto3.head_object(Bucket=bucket, Key="k")
        assert (head["ContentLength"], head["ETag"].strip('"')) == (size, result.etag)
        assert (result.bytes, result.uri) == (size, f"s3://{bucket}/k")
        assert server.open_uploads(bucket) == []

    def test_small_is_one_put_and_big_is_parts(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, tmp_path: Path
    ) -> None:
        fake_client.upload(write_pattern(tmp_path / "a", THRESHOLD), f"s3://{fake_bucket}/a")
        assert [record["operation"] for record in fake_s3.log()] == ["PutObject"]
        result = fake_client.upload(
            write_pattern(tmp_path / "b", 4 * PART + 1), f"s3://{fake_bucket}/b", part_size=PART
        )
        parts = sorted(record["part"] for record in fake_s3.log(operation="UploadPart"))
        assert parts == [1, 2, 3, 4, 5]
        assert result.parts == 5
        assert result.etag is not None
        assert result.etag.endswith("-5")

    def test_100_mib(self, server: Server, bucket: str, client: s3z.Client, tmp_path: Path) -> None:
        source = write_pattern(tmp_path / "source", 100 * MIB)
        client.upload(source, f"s3://{bucket}/k")
        server.boto3.download_file(bucket, "k", str(tmp_path / "back"))
        assert sha256(tmp_path / "back") == sha256(source)
        assert server.open_uploads(bucket) == []

    def test_2_gib_without_keeping_it(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, tmp_path: Path
    ) -> None:
        fake_s3.switch(discard_uploads=True)
        with (tmp_path / "sparse").open("wb") as file:
            file.truncate(2 * GIB + 1)
        result = fake_client.upload(tmp_path / "sparse", f"s3://{fake_bucket}/k")
        assert result.bytes == 2 * GIB + 1
        assert result.verified.kind == "full_object"
        assert fake_s3.do("crc", bucket=fake_bucket, key="k")["size"] == 2 * GIB + 1

    def test_stored_checksum_is_that_of_the_file(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, tmp_path: Path
    ) -> None:
        fake_client.upload(write_pattern(tmp_path / "k", 20 * MIB), f"s3://{fake_bucket}/k", part_size=PART)
        facts = fake_s3.do("crc", bucket=fake_bucket, key="k")
        stored = facts["stored"]
        assert [stored["algorithm"].lower(), stored["type"]] == ["crc64nvme", "FULL_OBJECT"]
        assert stored["value"] == facts["crc64nvme"]

    @pytest.mark.parametrize("algorithm", ["crc64nvme", "crc32", "crc32c"])
    @pytest.mark.parametrize("size", [10, 20 * MIB])
    def test_algorithm_of_ones_choice(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, tmp_path: Path, algorithm: str, size: int
    ) -> None:
        source = write_pattern(tmp_path / "k", size)
        result = fake_client.upload(source, f"s3://{fake_bucket}/k", checksum=algorithm)
        facts = fake_s3.do("crc", bucket=fake_bucket, key="k")
        assert facts["stored"]["value"] == facts[algorithm]
        assert str(result.verified) == f"full_object/{algorithm}"

    @pytest.mark.parametrize("algorithm", ["sha256", "sha1"])
    def test_hash_of_ones_choice(
        self, server: Server, bucket: str, client: s3z.Client, tmp_path: Path, algorithm: str
    ) -> None:
        """C9: of the whole in one request, of each part in many; boto3 sees it, and a download compares it."""
        for size, proof in ((10, f"full_object/{algorithm}"), (20 * MIB, f"parts/{algorithm}")):
            source = write_pattern(tmp_path / "k", size)
            result = client.upload(source, f"s3://{bucket}/k", checksum=algorithm, part_size=PART)
            if server.name != "moto":  # moto repeats no checksum of parts
                assert str(result.verified).startswith(proof)
                head = server.boto3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
                digest = base64.b64encode(hashlib.new(algorithm, source.read_bytes()).digest()).decode()
                stored = head[f"Checksum{algorithm.upper()}"]
                assert stored == digest if size == 10 else stored.endswith("-4")
            # Only a store that lists the parts and their checksums can be compared with.
            strict = "require" if server.name == "fake-s3" else "auto"
            back = client.download(f"s3://{bucket}/k", tmp_path / "back", verify=strict)
            assert strict == "auto" or str(back.verified).startswith(proof)
            assert (tmp_path / "back").read_bytes() == source.read_bytes()


class TestHeaders:
    def test_boto3_sees_every_header(self, server: Server, bucket: str, client: s3z.Client, tmp_path: Path) -> None:
        (tmp_path / "k").write_bytes(b"hello")
        client.upload(
            tmp_path / "k",
            f"s3://{bucket}/k",
            content_type="application/x-thing",
            metadata={"colour": "red", "made-by": "a test"},
            cache_control="max-age=60",
            content_disposition='attachment; filename="x"',
            content_encoding="x-odd",
            expires=datetime(2031, 5, 1, 8, tzinfo=UTC),
        )
        head = server.boto3.head_object(Bucket=bucket, Key="k")
        assert head["ContentType"] == "application/x-thing"
        assert head["Metadata"] == {"colour": "red", "made-by": "a test"}
        assert head["CacheControl"] == "max-age=60"
        assert head["ContentDisposition"] == 'attachment; filename="x"'
        assert head["ContentEncoding"] == "x-odd"
        if server.name != "moto":  # moto forgets it
            assert head["ResponseMetadata"]["HTTPHeaders"]["expires"] == "Thu, 01 May 2031 08:00:00 GMT"

    def test_parts_carry_the_same_headers(
        self, server: Server, bucket: str, client: s3z.Client, tmp_path: Path
    ) -> None:
        source = write_pattern(tmp_path / "k", 20 * MIB)
        client.upload(
            source, f"s3://{bucket}/k", content_type="application/x-thing", metadata={"a": "b"}, part_size=PART
        )
        head = server.boto3.head_object(Bucket=bucket, Key="k")
        assert (head["ContentType"], head["Metadata"]) == ("application/x-thing", {"a": "b"})

    def test_storage_class(self, fake_s3: FakeS3, moto: Server, tmp_path: Path) -> None:
        (tmp_path / "k").write_bytes(b"hello")
        for server in (fake_s3, moto):
            bucket = f"classes-{os.getpid()}"
            server.boto3.create_bucket(Bucket=bucket)
            server.client().upload(tmp_path / "k", f"s3://{bucket}/k", storage_class="STANDARD_IA")
            assert server.boto3.head_object(Bucket=bucket, Key="k")["StorageClass"] == "STANDARD_IA"

    @pytest.mark.parametrize(
        ("name", "start", "expected"),
        [
            ("a.txt", b"hello", "text/plain; charset=utf-8"),
            ("a.json", b"{}", "application/json"),
            ("a.png", b"", "image/png"),
            ("a.html", b"<p>", "text/html; charset=utf-8"),
            ("no-extension", b"plain words\n", "text/plain; charset=utf-8"),
            ("no-extension", b"\x00\x01\x02\xff", "application/octet-stream"),
        ],
    )
    def test_content_type_by_name_then_content(
        self,
        fake_s3: FakeS3,
        fake_bucket: str,
        fake_client: s3z.Client,
        tmp_path: Path,
        name: str,
        start: bytes,
        expected: str,
    ) -> None:
        (tmp_path / name).write_bytes(start)
        fake_client.upload(tmp_path / name, f"s3://{fake_bucket}/k")
        assert fake_s3.boto3.head_object(Bucket=fake_bucket, Key="k")["ContentType"] == expected

    def test_extra_args_of_boto3(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, tmp_path: Path
    ) -> None:
        (tmp_path / "k").write_bytes(b"hello")
        extra = {"ContentType": "x/y", "Metadata": {"a": "b"}, "StorageClass": "ONEZONE_IA"}
        fake_client.upload(tmp_path / "k", f"s3://{fake_bucket}/k", extra_args=extra)
        head = fake_s3.boto3.head_object(Bucket=fake_bucket, Key="k")
        assert (head["ContentType"], head["Metadata"], head["StorageClass"]) == ("x/y", {"a": "b"}, "ONEZONE_IA")

    @pytest.mark.parametrize("wrong", [{"NoSuchThing": "x"}, {"ContentType": "x\r\nevil: yes"}])
    def test_extra_args_that_cannot_be_honoured(
        self, fake_client: s3z.Client, tmp_path: Path, wrong: dict[str, Any]
    ) -> None:
        (tmp_path / "k").write_bytes(b"hello")
        with pytest.raises(s3z.ConfigError):
            fake_client.upload(tmp_path / "k", "s3://examples/k", extra_args=wrong)


class TestConditions:
    @pytest.mark.parametrize("size", [10, 20 * MIB])
    def test_if_none_match_keeps_what_is_there(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, tmp_path: Path, size: int
    ) -> None:
        source = write_pattern(tmp_path / "k", size)
        fake_client.upload(source, f"s3://{fake_bucket}/new", if_none_match="*")
        fake_s3.put(fake_bucket, "k", b"mine")
        with pytest.raises(s3z.AlreadyExistsError) as caught:
            fake_client.upload(source, f"s3://{fake_bucket}/k", if_none_match="*")
        assert isinstance(caught.value, FileExistsError)
        assert (caught.value.bucket, caught.value.key, caught.value.status) == (fake_bucket, "k", 412)
        assert content(fake_s3, fake_bucket) == b"mine"
        assert fake_s3.uploads() == []

    def test_if_match(self, server: Server, bucket: str, client: s3z.Client, tmp_path: Path) -> None:
        if server.name == "moto":
            pytest.skip("moto has no If-Match on PutObject")
        (tmp_path / "k").write_bytes(b"new")
        etag = server.boto3.put_object(Bucket=bucket, Key="k", Body=b"old")["ETag"]
        with pytest.raises(s3z.ObjectChangedError):
            client.upload(tmp_path / "k", f"s3://{bucket}/k", if_match='"0123456789abcdef0123456789abcdef"')
        assert content(server, bucket) == b"old"
        client.upload(tmp_path / "k", f"s3://{bucket}/k", if_match=etag)
        assert content(server, bucket) == b"new"


class TestFailures:
    """U9: whatever goes wrong, no part stays behind."""

    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        return write_pattern(tmp_path / "source", 30 * MIB)

    @pytest.mark.parametrize("operation", ["UploadPart", "CompleteMultipartUpload"])
    def test_refused_in_the_middle(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, source: Path, operation: str
    ) -> None:
        fake_s3.put(fake_bucket, "k", b"mine")
        fake_s3.rule({"type": "respond", "status": 403, "code": "AccessDenied"}, operation=operation, skip=0)
        with pytest.raises(s3z.AccessDeniedError) as caught:
            fake_client.upload(source, f"s3://{fake_bucket}/k", part_size=PART)
        assert (caught.value.bucket, caught.value.key, caught.value.code) == (fake_bucket, "k", "AccessDenied")
        assert fake_s3.uploads() == []
        assert content(fake_s3, fake_bucket) == b"mine"

    def test_breaks_are_mended(self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, source: Path) -> None:
        fake_s3.rule(
            {"type": "close_after_request_bytes", "bytes": MIB, "reset": True}, times=3, operation="UploadPart"
        )
        fake_s3.rule(
            {"type": "respond", "status": 500, "code": "InternalError"}, times=2, operation="UploadPart", skip=5
        )
        result = fake_client.upload(source, f"s3://{fake_bucket}/k", part_size=PART)
        assert content(fake_s3, fake_bucket) == pattern(30 * MIB)
        assert result.attempts > result.parts

    def test_error_inside_a_200_of_complete(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, source: Path
    ) -> None:
        fake_s3.rule({"type": "error_in_200", "code": "InternalError"}, times=1, operation="CompleteMultipartUpload")
        fake_client.upload(source, f"s3://{fake_bucket}/k", part_size=PART)
        assert content(fake_s3, fake_bucket) == pattern(30 * MIB)

    def test_lost_answer_of_complete_is_found_out(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, source: Path
    ) -> None:
        fake_s3.rule({"type": "act_then_drop"}, times=1, operation="CompleteMultipartUpload")
        fake_client.upload(source, f"s3://{fake_bucket}/k", part_size=PART)
        assert content(fake_s3, fake_bucket) == pattern(30 * MIB)

    def test_source_that_changes_while_it_is_read(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, source: Path
    ) -> None:
        done: list[int] = []

        def change(event: s3z.ProgressEvent) -> None:
            if not done:
                done.append(1)
                with source.open("r+b") as file:
                    file.write(b"other")

        fake_s3.switch(rate_total=20 * MIB)
        try:
            with pytest.raises(s3z.IntegrityError, match="changed while it was read"):
                fake_client.upload(source, f"s3://{fake_bucket}/k", part_size=PART, progress=change)
        finally:
            fake_s3.switch(rate_total=0)
        assert fake_s3.do("keys", bucket=fake_bucket)["keys"] == []

    def test_exception_of_the_progress_callback(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, source: Path
    ) -> None:
        def refuse(event: Any) -> None:
            raise ZeroDivisionError("enough")

        fake_s3.switch(rate_total=20 * MIB)
        try:
            with pytest.raises(ZeroDivisionError):
                fake_client.upload(source, f"s3://{fake_bucket}/k", part_size=PART, progress=refuse)
        finally:
            fake_s3.switch(rate_total=0)
        assert fake_s3.uploads() == []

    def test_deadline(self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, source: Path) -> None:
        fake_s3.rule({"type": "stall_request", "after": 1000, "seconds": 60}, operation="UploadPart")
        with pytest.raises(s3z.TransferTimeoutError):
            fake_client.upload(source, f"s3://{fake_bucket}/k", part_size=PART, deadline=0.5)
        assert fake_s3.uploads() == []

    def test_abort_that_fails_names_the_upload(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, source: Path
    ) -> None:
        fake_s3.rule({"type": "respond", "status": 403, "code": "AccessDenied"}, operation="UploadPart")
        fake_s3.rule({"type": "respond", "status": 403, "code": "AccessDenied"}, operation="AbortMultipartUpload")
        with pytest.raises(s3z.AccessDeniedError) as caught:
            fake_client.upload(source, f"s3://{fake_bucket}/k", part_size=PART)
        left = fake_s3.uploads()
        fake_s3.do("reset")
        assert caught.value.upload_id == left[0]["upload_id"]

    def test_progress_reaches_the_size(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, source: Path
    ) -> None:
        events: list[s3z.ProgressEvent] = []
        fake_client.upload(source, f"s3://{fake_bucket}/k", part_size=PART, progress=events.append)
        assert events[-1] == s3z.ProgressEvent(30 * MIB, 30 * MIB, 30 * MIB, 1, 1)
        assert all(event.durable <= event.received for event in events)


def test_md5_of_a_single_put_is_its_etag(server: Server, bucket: str, client: s3z.Client, tmp_path: Path) -> None:
    import hashlib

    (tmp_path / "k").write_bytes(b"hello")
    assert client.upload(tmp_path / "k", f"s3://{bucket}/k").etag == hashlib.md5(b"hello").hexdigest()


def test_checksum_header_is_the_crc_of_the_bytes(
    fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, tmp_path: Path
) -> None:
    import zlib

    (tmp_path / "k").write_bytes(b"hello")
    fake_client.upload(tmp_path / "k", f"s3://{fake_bucket}/k", checksum="crc32")
    head = fake_s3.boto3.head_object(Bucket=fake_bucket, Key="k", ChecksumMode="ENABLED")
    assert head["ChecksumCRC32"] == base64.b64encode(zlib.crc32(b"hello").to_bytes(4, "big")).decode()
