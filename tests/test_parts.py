"""`MultipartUpload`: parts in any order, from anywhere, put together once (python.md)."""

# ruff: noqa: PT012 - that a `with` ends with an exception is the point here

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from support.data import MIB, pattern

import s3z
from s3z import MultipartUpload, PartState

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.command import Command
    from support.servers import FakeS3, Server

PART = 5 * MIB
SIZE = 4 * PART + 777


def stored(server: Server, bucket: str, key: str = "k") -> bytes:
    body: bytes = server.boto3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return body


def test_any_order_by_threads(server: Server, bucket: str, client: s3z.Client) -> None:
    data = pattern(SIZE)
    upload = MultipartUpload.create(f"s3://{bucket}/k", size=SIZE, part_size=PART, client=client, metadata={"a": "b"})
    assert upload.part_count == 5
    assert upload.plan() == [(at, min(at + PART, SIZE)) for at in range(0, SIZE, PART)]
    assert {part.state for part in upload.parts()} == {PartState.PENDING}

    def send(number: int) -> None:
        start, stop = upload.part_range(number)
        part = upload.upload_part(number, memoryview(data)[start:stop])
        assert part.state is PartState.COMPLETE
        assert part.etag

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, [5, 2, 4, 1, 3]))
    upload.upload_part(2, data[PART : 2 * PART])
    result = upload.complete()
    assert (result.bytes, result.parts) == (SIZE, 5)
    assert stored(server, bucket) == data
    assert client.head(f"s3://{bucket}/k").metadata == {"a": "b"}
    with pytest.raises(ValueError, match="complete"):
        upload.upload_part(1, data[:PART])
    upload.abort()
    assert stored(server, bucket) == data


def _send(pickled: bytes, numbers: list[int]) -> None:
    upload = pickle.loads(pickled)
    data = pattern(SIZE)
    for number in numbers:
        start, stop = upload.part_range(number)
        upload.upload_part(number, data[start:stop])


def test_four_processes_send_one_object(fake_s3: FakeS3, fake_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in fake_s3.environment().items():
        monkeypatch.setenv(name, value)
    client = s3z.Client(endpoint_url=fake_s3.endpoint)
    upload = MultipartUpload.create(f"s3://{fake_bucket}/k", size=SIZE, part_size=PART, client=client)
    pickled = pickle.dumps(upload)
    assert fake_s3.secret_key.encode() not in pickled
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_send, args=(pickled, [n, n + 4] if n == 1 else [n])) for n in range(1, 5)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    other = pickle.loads(pickled)
    assert [part.state for part in other.parts()] == [PartState.PENDING] * 5
    assert [part.state for part in other.parts(refresh=True)] == [PartState.COMPLETE] * 5
    result = other.complete()
    assert str(result.verified) == "full_object/crc64nvme"
    assert stored(fake_s3, fake_bucket) == pattern(SIZE)


def test_without_a_plan(fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client) -> None:
    data = pattern(2 * PART)
    begun = MultipartUpload.create(f"s3://{fake_bucket}/k", client=fake_client)
    with pytest.raises(ValueError, match="no plan"):
        begun.plan()
    upload = MultipartUpload.attach(f"s3://{fake_bucket}/k", begun.upload_id, client=fake_client)
    upload.upload_part(2, bytearray(data[PART + 10 :]))
    with pytest.raises(s3z.ConfigError, match="part 1 was not sent"):
        upload.complete()
    upload.upload_part(1, data[: PART + 10])
    assert upload.complete().bytes == 2 * PART
    assert stored(fake_s3, fake_bucket) == data


class TestMistakes:
    @pytest.fixture
    def upload(self, fake_bucket: str, fake_client: s3z.Client) -> MultipartUpload:
        return MultipartUpload.create(f"s3://{fake_bucket}/k", size=SIZE, part_size=PART, client=fake_client)

    def test_holes_and_lengths(self, fake_s3: FakeS3, upload: MultipartUpload) -> None:
        with upload:
            for number, length in ((1, PART - 1), (1, PART + 1), (5, PART), (0, PART), (6, PART), (-1, PART)):
                with pytest.raises(ValueError, match="part"):
                    upload.upload_part(number, bytes(length))
            for number in (1, 2, 4, 5):
                start, stop = upload.part_range(number)
                upload.upload_part(number, bytes(stop - start))
            with pytest.raises(s3z.ConfigError, match="part 3 was not sent"):
                upload.complete()
            with pytest.raises(TypeError):
                upload.upload_part(3, "text")
        assert fake_s3.uploads() == []
        assert fake_s3.do("keys", bucket="examples")["keys"] == []

    def test_plans_that_do_not_work(self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client) -> None:
        fake_s3.do("clear_log")
        uri = f"s3://{fake_bucket}/k"
        for size, part_size in ((SIZE, MIB), (60_000 * PART, PART), (0, None), (-1, None), (SIZE, 6 << 30)):
            with pytest.raises((s3z.ConfigError, OverflowError)):
                MultipartUpload.create(uri, size=size, part_size=part_size, client=fake_client)
        with pytest.raises(s3z.ConfigError, match="object is needed"):
            MultipartUpload.create("s3://examples", client=fake_client)
        assert fake_s3.log() == []

    def test_a_part_that_fails(self, fake_s3: FakeS3, upload: MultipartUpload) -> None:
        fake_s3.rule({"type": "respond", "status": 403, "code": "AccessDenied"}, operation="UploadPart")
        with upload:
            with pytest.raises(s3z.AccessDeniedError):
                upload.upload_part(1, bytes(PART))
            assert upload.parts()[0].state is PartState.FAILED
            fake_s3.do("clear_rules")
            assert upload.upload_part(1, bytes(PART)).state is PartState.COMPLETE
        assert fake_s3.uploads() == []

    def test_exception_aborts(self, fake_s3: FakeS3, upload: MultipartUpload) -> None:
        with pytest.raises(ZeroDivisionError), upload:
            upload.upload_part(1, bytes(PART))
            raise ZeroDivisionError
        assert fake_s3.uploads() == []
        with pytest.raises(ValueError, match="aborted"):
            upload.complete()

    def test_conditions_are_those_of_complete(self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client) -> None:
        fake_s3.put(fake_bucket, "k", b"old")
        with MultipartUpload.create(f"s3://{fake_bucket}/k", client=fake_client, if_none_match="*") as upload:
            upload.upload_part(1, b"new")
            with pytest.raises(s3z.AlreadyExistsError):
                upload.complete()
        assert stored(fake_s3, fake_bucket) == b"old"


class TestUploadsCommand:
    """`s3z uploads ls|abort`, `list_uploads`, `abort_upload`: U10, #44, #45."""

    @pytest.fixture
    def left(self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client) -> list[MultipartUpload]:
        return [
            MultipartUpload.create(f"s3://{fake_bucket}/{key}", client=fake_client)
            for key in ("a b", "logs/1", "logs/1", "logs/2", "other\nline")
        ]

    def test_list(
        self, fake_s3: FakeS3, fake_client: s3z.Client, command: Callable[..., Command], left: list[MultipartUpload]
    ) -> None:
        found = list(fake_client.list_uploads("s3://examples"))
        assert sorted((info.uri, info.upload_id) for info in found) == sorted((up.uri, up.upload_id) for up in left)
        assert all(info.initiated is not None for info in found)
        run = command(fake_s3)
        lines = run("uploads", "ls", "s3://examples/logs/").lines
        assert [line.split("  ")[1:] for line in lines] == [
            [up.upload_id, up.uri] for up in sorted(left[1:4], key=lambda up: (up.uri, up.upload_id))
        ]
        assert len(run("uploads", "ls", "s3://examples/*/2").lines) == 1
        assert len(run("uploads", "ls", "--exclude", "logs/*", "s3://examples").lines) == 3
        for options, where, found in (
            (["--include", "logs/*"], "s3://examples", 3),
            (["--include", "logs/*", "--include", "a b", "--exclude", "*/1"], "s3://examples", 2),
            (["--include", "1"], "s3://examples/logs/", 2),
            (["--include", "1"], "s3://examples/logs/*", 2),
            (["--include", "other?line"], "s3://examples", 1),
            (["--include", "none"], "s3://examples", 0),
        ):
            assert len(run("--json", "uploads", "ls", *options, where).records) == found, options
        records = run("--json", "uploads", "ls", "s3://examples/other").records
        assert [record["key"] for record in records] == ["s3://examples/other\nline"]
        run("uploads", "abort", "--older-than", "0", "s3://examples")

    def test_pages(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, command: Callable[..., Command]
    ) -> None:
        for number in range(1003):
            fake_s3.boto3.create_multipart_upload(Bucket=fake_bucket, Key=f"k{number:04}")
        assert [info.key for info in fake_client.list_uploads("s3://examples")] == [f"k{n:04}" for n in range(1003)]
        outcome = command(fake_s3)("--json", "uploads", "abort", "--older-than", "0", "s3://examples")
        assert outcome.records[-1]["objects"]["done"] == 1003
        assert fake_s3.uploads() == []

    def test_abort(
        self, fake_s3: FakeS3, fake_client: s3z.Client, command: Callable[..., Command], left: list[MultipartUpload]
    ) -> None:
        run = command(fake_s3)
        assert run("uploads", "abort", "s3://examples").lines == [], "they are younger than a day"
        assert len(fake_s3.uploads()) == 5
        assert run("--dry-run", "uploads", "abort", "--older-than", "0", "s3://examples/logs/2").lines == [
            f"abort s3://examples/logs/2 {left[3].upload_id}"
        ]
        assert len(fake_s3.uploads()) == 5
        run("uploads", "abort", "--upload-id", left[2].upload_id, "s3://examples/logs/1")
        assert sorted(up["upload_id"] for up in fake_s3.uploads()) == sorted(
            up.upload_id for up in left if up is not left[2]
        )
        fake_client.abort_upload(left[0].uri, left[0].upload_id)
        outcome = run(
            "uploads", "abort", "--older-than", "0", "--include", "logs/*", "--exclude", "*2", "s3://examples"
        )
        assert outcome.lines == [f"abort s3://examples/logs/1 {left[1].upload_id}"]
        assert len(fake_s3.uploads()) == 2
        run("uploads", "abort", "--older-than", "0", "s3://examples")
        assert fake_s3.uploads() == []
        for line, status in (
            (["uploads", "rm", "s3://b"], 2),
            (["uploads", "ls", "--older-than", "1h", "s3://b"], 2),
            (["uploads", "abort", "--upload-id", "x", "s3://b"], 1),
            (["uploads", "abort", "--upload-id", "x", "s3://examples/logs/"], 1),
            (["uploads", "abort", "--upload-id", "x", "s3://examples/logs/*"], 1),
            (["uploads", "abort", "--upload-id", "x", "file"], 1),
            (["uploads", "abort", "--older-than", "soon", "s3://b"], 2),
            (["uploads", "abort", "--upload-id", "x", "--older-than", "1h", "s3://examples/logs/1"], 2),
            (["uploads", "abort", "--upload-id", "x", "--include", "1", "s3://examples/logs/1"], 2),
            (["uploads", "abort", "--upload-id", "x", "--exclude", "1", "s3://examples/logs/1"], 2),
        ):
            fake_s3.do("clear_log")
            run(*line, status=status)
            assert fake_s3.log() == [], line

    @pytest.mark.parametrize("flags", [[], ["--dry-run"]])
    def test_an_upload_that_is_not_there(
        self, fake_s3: FakeS3, fake_bucket: str, command: Callable[..., Command], flags: list[str]
    ) -> None:
        """By its id; a misspelt one is not taken for one that was removed, and neither is that of another key."""
        run = command(fake_s3)
        other = fake_s3.boto3.create_multipart_upload(Bucket=fake_bucket, Key="logs/1")["UploadId"]
        for uri, upload_id in ((f"s3://{fake_bucket}/logs/1", "nope"), (f"s3://{fake_bucket}/logs/2", other)):
            outcome = run(*flags, "uploads", "abort", "--upload-id", upload_id, uri, status=1)
            assert outcome.stdout == ""
            assert outcome.errors[0] == f'ERROR "abort {uri} {upload_id}": given upload "{upload_id}" not found'
            (error,) = run("--json", *flags, "uploads", "abort", "--upload-id", upload_id, uri, status=1).error_records
            assert error["error"]["kind"] == "not_found"
        missing = run("uploads", "abort", "--upload-id", other, "s3://no-such-bucket/k", status=1)
        assert "NoSuchBucket" in missing.stderr
        assert len(fake_s3.uploads()) == 1
        line = [*flags, "uploads", "abort", "--upload-id", other, f"s3://{fake_bucket}/logs/1"]
        assert run(*line).lines == [f"abort s3://{fake_bucket}/logs/1 {other}"]
        assert len(fake_s3.uploads()) == len(flags)
        fake_s3.do("reset")

    def test_beside_files(self, fake_s3: FakeS3, command: Callable[..., Command]) -> None:
        import fcntl
        import os

        run = command(fake_s3)
        held = run.directory / f".s3z-{'0' * 32}.part"
        old = run.directory / f".s3z-{'1' * 32}.part"
        young = run.directory / f".s3z-{'2' * 32}.ledger"
        foreign = run.directory / ".s3z-notes"
        for path in (held, old, young, foreign):
            path.write_bytes(b"x")
        os.utime(old, (1, 1))
        with held.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert [line.split("  ")[-1] for line in run("uploads", "ls", ".").lines] == [
                f"./{old.name}",
                f"./{young.name}",
            ]
            assert [line.split("  ")[-1] for line in run("uploads", "ls", "--exclude", "*.part", ".").lines] == [
                f"./{young.name}"
            ]
            assert run("--dry-run", "uploads", "abort", ".").lines == [f"abort ./{old.name}"]
            assert run("uploads", "abort", "--include", "*.ledger", ".").lines == []
            assert run("uploads", "abort", ".").lines == [f"abort ./{old.name}"]
            run("uploads", "abort", "--older-than", "0", ".")
        assert [path.exists() for path in (held, old, young, foreign)] == [True, False, False, True]
        held.unlink()
        foreign.unlink()
