"""`s3z.open` for writing, `put`, and uploads of what a program gives: U1 to U8, #43, #47."""

# ruff: noqa: PT012, PT031 - that a `with` ends with an exception is the point here

from __future__ import annotations

import gc
import gzip
import io
import os
import pickle
import subprocess
import time
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from support.command import python
from support.data import MIB, is_pattern, leftovers, pattern

import s3z

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.servers import FakeS3, Server

PART = 5 * MIB


def stored(server: Server, bucket: str, key: str = "k") -> bytes:
    body: bytes = server.boto3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return body


class TestSizes:
    """On every server: what was written is what is there."""

    @pytest.mark.parametrize("size", [0, 1, 777, PART - 1, PART, PART + 1, 2 * PART, 3 * PART + 777])
    def test_one_write(self, server: Server, bucket: str, client: s3z.Client, size: int) -> None:
        data = pattern(size)
        with client.open(f"s3://{bucket}/k", "wb", part_size=PART) as file:
            assert file.write(data) == size
            assert file.tell() == file.bytes_written == size
        assert file.result is not None
        assert file.result.bytes == size
        assert file.result.parts == max(1, -(-size // PART))
        assert stored(server, bucket) == data

    @pytest.mark.parametrize("step", [777, 65536, MIB - 1, MIB, MIB + 1, 3 * MIB])
    def test_many_writes(self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, step: int) -> None:
        data = pattern(12 * MIB + 5)
        for kind in (bytes, bytearray, memoryview):
            with fake_client.open(f"s3://{fake_bucket}/k", "wb", part_size=PART) as file:
                for at in range(0, len(data), step):
                    file.write(kind(data[at : at + step]))
            assert file.result is not None
            assert (file.result.bytes, file.result.parts) == (len(data), 3)
            assert str(file.result.verified) == "full_object/crc64nvme"
            assert stored(fake_s3, fake_bucket) == data, kind

    def test_mixed_lengths(self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client) -> None:
        data = pattern(30 * MIB)
        steps = [1, 300_000, 7, 2 * MIB, 262_144, 11 * MIB, 3, 999_999]
        with fake_client.open(f"s3://{fake_bucket}/k", "wb", part_size=PART) as file:
            at = 0
            while at < len(data):
                step = steps[0]
                steps = [*steps[1:], step]
                file.write(data[at : at + step])
                at += step
        assert stored(fake_s3, fake_bucket) == data

    def test_a_buffer_may_be_used_again_at_once(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client
    ) -> None:
        block = bytearray(3 * MIB)
        with fake_client.open(f"s3://{fake_bucket}/k", "wb", part_size=PART) as file:
            for number in range(5):
                block[:] = bytes([number]) * len(block)
                file.write(block)
                block.extend(b"grown")  # refused while it is lent
                del block[-5:]
        assert stored(fake_s3, fake_bucket) == b"".join(bytes([number]) * len(block) for number in range(5))


class TestRequests:
    def test_small_is_one_request(self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client) -> None:
        """U3"""
        fake_s3.do("clear_log")
        fake_client.put(f"s3://{fake_bucket}/k", b"x" * PART)
        with fake_client.open(f"s3://{fake_bucket}/empty", "wb"):
            pass
        assert [record["operation"] for record in fake_s3.log()] == ["PutObject", "PutObject"]

    def test_the_first_leaves_before_the_second_part_is_full(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client
    ) -> None:
        fake_s3.do("clear_log")
        with fake_client.open(f"s3://{fake_bucket}/k", "wb", part_size=PART) as file:
            file.write(b"x" * PART)
            assert fake_s3.log() == [], "that may be all"
            file.write(b"y")
            fake_s3.wait_for_log(operation="UploadPart", count=1)
            file.write(b"z" * 100)
        assert [record["operation"] for record in fake_s3.log()] == [
            "CreateMultipartUpload", "UploadPart", "UploadPart", "CompleteMultipartUpload",
        ]  # fmt: skip

    def test_expected_size_plans_the_parts(self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client) -> None:
        """U6: 10,000 parts of 8 MiB would not hold it."""
        with fake_client.open(f"s3://{fake_bucket}/k", "wb", expected_size=90_000 * MIB) as file:
            file.write(b"x" * (10 * MIB))
        assert file.result is not None
        assert file.result.parts == 2
        lengths = [dict(record["headers"])["content-length"] for record in fake_s3.log(operation="UploadPart")]
        assert sorted(map(int, lengths)) == [MIB, 9 * MIB]

    def test_words_of_the_object(self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client) -> None:
        for size in (3, PART + 1):
            with fake_client.open(
                f"s3://{fake_bucket}/k.json", "wb", part_size=PART, metadata={"a": "b"}, cache_control="no-store"
            ) as file:
                file.write(b"x" * size)
            head = fake_client.head(f"s3://{fake_bucket}/k.json")
            assert head.content_type == "application/json"
            assert head.metadata == {"a": "b"}
            assert head.headers["cache-control"] == "no-store"


class TestConditions:
    """U12, #49"""

    @pytest.mark.parametrize("size", [10, 2 * PART])
    def test_x_refuses_what_exists(self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, size: int) -> None:
        fake_s3.put(fake_bucket, "k", b"old")
        with (
            pytest.raises(s3z.AlreadyExistsError),
            fake_client.open(f"s3://{fake_bucket}/k", "xb", part_size=PART) as file,
        ):
            file.write(b"x" * size)
        assert stored(fake_s3, fake_bucket) == b"old"
        with fake_client.open(f"s3://{fake_bucket}/new", "xb", part_size=PART) as file:
            file.write(b"x" * size)
        assert stored(fake_s3, fake_bucket, "new") == b"x" * size


class TestNothingIsLeft:
    """U1, #43: only a clean end makes an object; `no_leaks` sees to the uploads."""

    @pytest.fixture(params=[100, 3 * PART], ids=["small", "parts"])
    def begun(self, request: pytest.FixtureRequest, fake_bucket: str, fake_client: s3z.Client) -> Iterator[Any]:
        file = fake_client.open(f"s3://{fake_bucket}/k", "wb", part_size=PART)
        file.write(b"x" * request.param)
        yield file
        file.abort()

    def test_exception(self, fake_s3: FakeS3, begun: Any) -> None:
        with pytest.raises(ZeroDivisionError), begun:
            begun.write(b"more")
            raise ZeroDivisionError
        assert begun.closed
        assert begun.result is None
        assert fake_s3.do("keys", bucket="examples")["keys"] == []

    def test_abort(self, fake_s3: FakeS3, begun: Any) -> None:
        begun.abort()
        begun.abort()
        begun.close()
        assert begun.result is None
        assert fake_s3.do("keys", bucket="examples")["keys"] == []
        assert fake_s3.uploads() == []
        with pytest.raises(ValueError, match="closed"):
            begun.write(b"x")

    def test_collected(self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client) -> None:
        file = fake_client.open(f"s3://{fake_bucket}/k", "wb", part_size=PART)
        file.write(b"x" * (2 * PART + 1))
        fake_s3.wait_for_log(operation="UploadPart", count=1)
        with pytest.warns(ResourceWarning, match="neither closed nor aborted"):
            del file
            gc.collect()
        assert fake_s3.do("keys", bucket="examples")["keys"] == []
        assert fake_s3.uploads() == []

    def test_text(self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client) -> None:
        with pytest.raises(ZeroDivisionError), fake_client.open(f"s3://{fake_bucket}/k", "wt") as file:
            file.write("half a text")
            raise ZeroDivisionError
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            lost = fake_client.open(f"s3://{fake_bucket}/k", "wt")
            lost.write("half a text")
            del lost
            gc.collect()
        assert fake_s3.do("keys", bucket="examples")["keys"] == []

    def test_failure_is_told_by_the_next_write_and_by_close(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client
    ) -> None:
        """U2"""
        fake_s3.rule({"type": "respond", "status": 403, "code": "AccessDenied"}, operation="UploadPart")
        file = fake_client.open(f"s3://{fake_bucket}/k", "wb", part_size=PART)
        with pytest.raises(s3z.AccessDeniedError) as first:
            for _ in range(1000):
                file.write(b"x" * PART)
        with pytest.raises(s3z.AccessDeniedError) as second:
            file.write(b"more")
        with pytest.raises(s3z.AccessDeniedError) as third:
            file.close()
        assert first.value is second.value is third.value
        assert (first.value.bucket, first.value.key) == (fake_bucket, "k")
        assert file.closed
        file.close()
        assert fake_s3.do("keys", bucket="examples")["keys"] == []
        assert fake_s3.uploads() == []


class TestText:
    def test_lines(self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client) -> None:
        with fake_client.open(f"s3://{fake_bucket}/k", "w", encoding="utf-16-le", newline="\r\n") as file:
            print("ä", file=file)
            file.writelines(["b\n", "c"])
        assert stored(fake_s3, fake_bucket) == "ä\r\nb\r\nc".encode("utf-16-le")
        assert file.result.bytes == 14

    def test_wrapped_by_others(self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client) -> None:
        data = pattern(3 * MIB)
        with fake_client.open(f"s3://{fake_bucket}/k", "wb") as file, gzip.GzipFile(fileobj=file, mode="wb") as packed:
            packed.write(data)
        assert gzip.decompress(stored(fake_s3, fake_bucket)) == data


class TestSources:
    """U8, #47: `upload` of what is no path."""

    @pytest.mark.parametrize("size", [0, 777, 2 * PART + 777])
    @pytest.mark.parametrize("kind", ["bytes", "bytearray", "file", "raw", "bytesio", "pipe", "generator", "gzip"])
    def test_kinds(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, tmp_path: Path, kind: str, size: int
    ) -> None:
        data = pattern(size)
        with Source(kind, data, tmp_path) as source:
            result = fake_client.upload(source, f"s3://{fake_bucket}/k", part_size=PART)
        assert result.bytes == size
        assert stored(fake_s3, fake_bucket) == data

    def test_from_where_it_stands(self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client) -> None:
        source = io.BytesIO(b"0123456789")
        source.seek(4)
        assert fake_client.upload(source, f"s3://{fake_bucket}/k").bytes == 6
        assert stored(fake_s3, fake_bucket) == b"456789"

    def test_its_exception_comes_out(self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client) -> None:
        def source() -> Iterator[bytes]:
            yield b"x" * (2 * PART)
            raise ZeroDivisionError("mine")

        with pytest.raises(ZeroDivisionError, match="mine"):
            fake_client.upload(source(), f"s3://{fake_bucket}/k", part_size=PART)
        assert fake_s3.do("keys", bucket="examples")["keys"] == []

    def test_text_is_refused(self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client) -> None:
        for source in (io.StringIO("text"), iter(["text"]), iter([5])):
            with pytest.raises(TypeError):
                fake_client.upload(source, f"s3://{fake_bucket}/k")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="source must be"):
            fake_client.upload(5, f"s3://{fake_bucket}/k")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="bytes-like"):
            fake_client.put(f"s3://{fake_bucket}/k", "text")  # type: ignore[arg-type]
        assert fake_s3.do("keys", bucket="examples")["keys"] == []

    def test_what_is_no_line_of_bytes(self, fake_bucket: str, fake_client: s3z.Client, fake_s3: FakeS3) -> None:
        numpy = pytest.importorskip("numpy")
        table = numpy.arange(12, dtype="float64").reshape(3, 4)
        fake_client.put(f"s3://{fake_bucket}/k", table)
        assert stored(fake_s3, fake_bucket) == table.tobytes()
        with pytest.raises((TypeError, BufferError)):
            fake_client.put(f"s3://{fake_bucket}/no", table[:, 1])
        fake_client.put(f"s3://{fake_bucket}/none", numpy.zeros((0, 3)))
        assert stored(fake_s3, fake_bucket, "none") == b""


class Source:
    def __init__(self, kind: str, data: bytes, directory: Path) -> None:
        path = directory / "source"
        path.write_bytes(data)
        if kind == "gzip":
            with gzip.open(directory / "packed", "wb", compresslevel=1) as packed:
                packed.write(data)
        self.value: Any = {
            "bytes": lambda: data,
            "bytearray": lambda: bytearray(data),
            "file": lambda: path.open("rb"),
            "raw": lambda: path.open("rb", buffering=0),
            "bytesio": lambda: io.BytesIO(data),
            "pipe": lambda: self._cat(path),
            "generator": lambda: (data[at : at + 100_000] for at in range(0, len(data), 100_000)),
            "gzip": lambda: gzip.open(directory / "packed", "rb"),  # noqa: SIM115 - closed at the end
        }[kind]()

    def _cat(self, path: Path) -> Any:
        self.process = subprocess.Popen(["cat", path], stdout=subprocess.PIPE)
        return self.process.stdout

    def __enter__(self) -> Any:
        return self.value

    def __exit__(self, *_: object) -> None:
        if hasattr(self.value, "close"):
            self.value.close()
        if hasattr(self, "process"):
            self.process.wait(10)


class TestLocal:
    """The same class over a local file: hidden until it is closed."""

    @pytest.mark.parametrize("size", [0, 1, MIB, 12 * MIB + 777])
    def test_sizes(self, fake_client: s3z.Client, tmp_path: Path, size: int) -> None:
        path = tmp_path / "made/file"
        with fake_client.open(path, "wb", durable=True) as file:
            file.write(pattern(size))
            assert not path.exists()
        assert file.result is not None
        assert (file.result.bytes, file.result.uri) == (size, str(path))
        assert is_pattern(path, size)

    def test_exception_leaves_what_was(self, fake_client: s3z.Client, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_text("old")
        with pytest.raises(ZeroDivisionError), fake_client.open(path, "wb") as file:
            file.write(b"x" * (3 * MIB))
            raise ZeroDivisionError
        assert path.read_text() == "old"
        assert leftovers(tmp_path) == []
        with pytest.raises(FileExistsError):
            fake_client.open(path, "xb")
        with fake_client.open(str(path), "wb") as file:
            file.write(b"new")
        assert path.read_text() == "new"

    def test_collected(self, fake_client: s3z.Client, tmp_path: Path) -> None:
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            file = fake_client.open(tmp_path / "file", "wb")
            file.write(b"x" * (3 * MIB))
            del file
            gc.collect()
        assert leftovers(tmp_path) == []
        assert not (tmp_path / "file").exists()

    def test_full_disk(self, fake_client: s3z.Client, small_disk: Path) -> None:
        with pytest.raises(OSError, match="No space left"), fake_client.open(small_disk / "k", "wb") as file:
            for _ in range(100):
                file.write(b"x" * MIB)
        assert os.listdir(small_disk) == []


class TestArguments:
    def test_modes(self, fake_client: s3z.Client, tmp_path: Path) -> None:
        for mode in ("", "a", "ab", "rw", "wbt", "w+b", "U"):
            with pytest.raises(ValueError, match="mode must be"):
                fake_client.open("s3://b/k", mode)
        with pytest.raises(ValueError, match="text modes only"):
            fake_client.open("s3://b/k", "wb", encoding="utf-8")
        with pytest.raises(ValueError, match="local file only"):
            fake_client.open("s3://b/k", "wb", durable=True)
        with pytest.raises(ValueError, match="object only"):
            fake_client.open(tmp_path / "k", "wb", metadata={})
        with pytest.raises(s3z.ConfigError, match="part_size"):
            fake_client.open("s3://b/k", "wb", part_size=MIB)
        with pytest.raises(TypeError):
            fake_client.open("s3://b/k", "wb", no_such_word=1)  # type: ignore[call-arg]

    def test_what_a_writer_is(self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client) -> None:
        file = fake_client.open(f"s3://{fake_bucket}/k", "wb")
        assert isinstance(file, s3z.ObjectWriter | io.BufferedIOBase)
        assert (file.writable(), file.readable(), file.seekable(), file.closed) == (True, False, False, False)
        assert repr(file) == "<s3z.ObjectWriter s3://examples/k 0 bytes written>"
        with pytest.raises(TypeError, match="pickled"):
            pickle.dumps(file)
        with pytest.raises(io.UnsupportedOperation):
            file.read()
        with pytest.raises(TypeError):
            file.write("text")  # type: ignore[arg-type]
        assert file.write(b"after a mistake") == 15
        file.close()
        assert stored(fake_s3, fake_bucket) == b"after a mistake"


class TestProcess:
    """The end of the interpreter, and children of a fork."""

    @pytest.mark.parametrize(
        "code",
        [
            "file = s3z.open('s3://examples/k', 'wb'); file.write(b'x' * 12_000_000)",
            "import gzip\nfile = gzip.GzipFile(fileobj=s3z.open('s3://examples/k', 'wb'), mode='wb'); file.write(b'x')",
            "import io\nfile = io.TextIOWrapper(s3z.open('s3://examples/k', 'wb')); file.write('x' * 12_000_000)",
            "import atexit\nfile = s3z.open('s3://examples/k', 'wb')\nfile.write(b'x')\natexit.register(file.close)",
        ],
        ids=["writer", "gzip", "text", "atexit"],
    )
    def test_exit_with_an_open_writer(self, fake_s3: FakeS3, fake_bucket: str, tmp_path: Path, code: str) -> None:
        """Y4: it ends, soon, and nothing stays open at the store."""
        began = time.monotonic()
        outcome = python(f"import s3z\n{code}\n", env=fake_s3.environment(), cwd=tmp_path, timeout=20)
        assert outcome.status == 0, outcome
        assert time.monotonic() - began < 10
        assert fake_s3.uploads() == []
        assert fake_s3.do("keys", bucket=fake_bucket)["keys"] in ([], ["k"])

    def test_fork(self, fake_s3: FakeS3, fake_bucket: str, tmp_path: Path) -> None:
        """Y3: a child can use neither writer, and its end takes nothing from the parent."""
        code = (
            "import os, s3z\n"
            "remote = s3z.open('s3://examples/k', 'wb', part_size=5 << 20); remote.write(b'x' * (6 << 20))\n"
            "local = s3z.open('local', 'wb'); local.write(b'y' * 3_000_000)\n"
            "if (child := os.fork()) == 0:\n"
            "    for file in (remote, local):\n"
            "        try: file.write(b'z')\n"
            "        except s3z.S3zError: pass\n"
            "        else: os._exit(7)\n"
            "    del remote, local, file\n"
            "    import gc, sys; gc.collect(); sys.exit(0)\n"
            "assert os.waitpid(child, 0)[1] == 0\n"
            "remote.close(); local.close()\n"
            "print(remote.result.bytes, local.result.bytes)\n"
        )
        outcome = python(code, env={**fake_s3.environment(), "PYTHONWARNINGS": "ignore"}, cwd=tmp_path, timeout=30)
        assert (outcome.status, outcome.stdout) == (0, f"{6 * MIB} 3000000\n"), outcome
        assert stored(fake_s3, fake_bucket) == b"x" * (6 * MIB)
        assert (tmp_path / "local").read_bytes() == b"y" * 3_000_000


def test_memory_of_large_parts(fake_s3: FakeS3, fake_bucket: str, tmp_path: Path) -> None:
    """U6: a part that does not fit into memory lies in a file, wherever its bytes come from."""
    code = (
        "import s3z, sys\n"
        "class Source:\n"
        "    left = 400\n"
        "    def read(self, size):\n"
        "        self.left -= 8\n"
        "        return bytes(8 << 20) if self.left >= 0 else b''\n"
        "client = s3z.Client(config=s3z.TransferConfig(memory_limit=32 << 20))\n"
        "assert client.upload(Source(), 's3://examples/k', part_size=200 << 20).parts == 2\n"
        "with open('/proc/self/status') as status:\n"
        "    print(next(int(line.split()[1]) >> 10 for line in status if line.startswith('VmHWM')))\n"
    )
    outcome = python(code, env=fake_s3.environment(), cwd=tmp_path, timeout=60)
    assert outcome.status == 0, outcome
    assert int(outcome.stdout) < 180, f"{outcome.stdout} MiB"


def test_an_abort_that_fails_names_the_upload(fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client) -> None:
    """U9: as a note of the error that counts."""
    fake_s3.rule({"type": "respond", "status": 403, "code": "AccessDenied"}, operation="AbortMultipartUpload")
    with (
        pytest.raises(ZeroDivisionError) as caught,
        fake_client.open(f"s3://{fake_bucket}/k", "wb", part_size=PART) as file,
    ):
        file.write(b"x" * (2 * PART))
        fake_s3.wait_for_log(operation="UploadPart", count=1)
        raise ZeroDivisionError
    [left] = fake_s3.uploads()
    fake_s3.do("clear_rules")
    fake_client.abort_upload(f"s3://{fake_bucket}/k", left["upload_id"])
    assert left["upload_id"] in caught.value.__notes__[0]


def test_a_store_without_checksums_is_warned_of_once(
    fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """C13, #53"""
    fake_s3.switch(refuse_checksums=True, no_default_checksum=True)
    try:
        for number in range(3):
            result = fake_client.put(f"s3://{fake_bucket}/{number}", b"x")
            assert str(result.verified) == "length", result
            assert result.verified.detail == "the store refuses checksum headers"
        strict = s3z.Client(
            endpoint_url=fake_s3.endpoint,
            credentials={"aws_access_key_id": fake_s3.access_key, "aws_secret_access_key": fake_s3.secret_key},
            config=s3z.TransferConfig(strict_checksums=True),
        )
        with pytest.raises(s3z.ServiceError) as caught:
            strict.put(f"s3://{fake_bucket}/strict", b"x")
    finally:
        fake_s3.switch(refuse_checksums=False, no_default_checksum=False)
    assert caught.value.status == 501
    assert [record.message.partition(" refuses")[0] for record in caplog.records] == [fake_s3.endpoint]
