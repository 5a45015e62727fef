"""`s3z.open` for reading: a file like any other over an object, one version of it, in few requests."""

from __future__ import annotations

import array
import csv
import gc
import gzip
import io
import os
import random
import tarfile
import time
import warnings
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from support.command import python
from support.data import BLOCK, GIB, KIB, MIB, pattern

import s3z

if TYPE_CHECKING:
    from pathlib import Path

    from support.servers import FakeS3, Server

SIZE = 20 * MIB + 777


def ended(server: FakeS3, seconds: float = 10) -> list[dict[str, Any]]:
    """The GETs, once none is running."""
    end = time.monotonic() + seconds
    while not all(record["end"] for record in server.log(operation="GetObject")):
        assert time.monotonic() < end, "a request is still running"
        time.sleep(0.01)
    return server.log(operation="GetObject")


def exactly(file: Any, count: int) -> bytes:
    """So many bytes, or all there are: a raw file may give fewer at a time."""
    found = b""
    while len(found) < count and (part := file.read(count - len(found))):
        found += part
    return found


@pytest.fixture
def uri(fake_s3: FakeS3) -> str:
    fake_s3.pattern("b", "k", SIZE)
    return "s3://b/k"


class TestKinds:
    def test_binary(self, fake_client: s3z.Client, uri: str) -> None:
        with fake_client.open(uri, "rb") as file:
            assert isinstance(file, io.BufferedReader)
            assert isinstance(file.raw, s3z.ObjectReader)
            assert (file.readable(), file.writable(), file.seekable(), file.tell()) == (True, False, True, 0)
            assert not file.closed
        assert file.closed
        assert file.raw.closed

    def test_raw(self, fake_client: s3z.Client, uri: str) -> None:
        with fake_client.open(uri, "rb", buffering=0) as raw:
            assert isinstance(raw, s3z.ObjectReader)
            assert isinstance(raw, io.RawIOBase)
            assert (raw.readable(), raw.writable(), raw.seekable()) == (True, False, True)
            assert (raw.tell(), raw.size, raw.etag) == (0, SIZE, fake_client.head(uri).etag)
            assert len(repr(raw)) < 200
        assert raw.closed

    @pytest.mark.parametrize("mode", ["r", "rt"])
    def test_text(self, fake_s3: FakeS3, fake_client: s3z.Client, mode: str) -> None:
        fake_s3.put("b", "text", "ä\r\nb\r\nc".encode("utf-16-le"))
        with fake_client.open("s3://b/text", mode, encoding="utf-16-le") as file:
            assert isinstance(file, io.TextIOWrapper)
            assert list(file) == ["ä\n", "b\n", "c"]
        with fake_client.open("s3://b/text", mode, encoding="utf-16-le", newline="") as file:
            assert file.read() == "ä\r\nb\r\nc"
        fake_s3.put("b", "latin", b"\xe4\n")
        with fake_client.open("s3://b/latin", mode, encoding="ascii", errors="replace") as file:
            assert file.readline() == "\ufffd\n"
        with fake_client.open("s3://b/latin", mode, encoding="utf-8") as file, pytest.raises(UnicodeDecodeError):
            file.read()

    def test_refused(self, fake_s3: FakeS3, fake_client: s3z.Client, uri: str) -> None:
        with pytest.raises(ValueError, match="text modes only"):
            fake_client.open(uri, "rb", encoding="utf-8")
        with pytest.raises(ValueError, match="unbuffered"):
            fake_client.open(uri, "r", buffering=0)
        for missing in ("s3://b/none", "s3://no-such-bucket/k"):
            for buffering in (-1, 0):
                with pytest.raises(s3z.NotFoundError):
                    fake_client.open(missing, "rb", buffering=buffering)
        with fake_client.open(uri, "rb") as file:
            for call in (lambda: file.write(b"x"), lambda: file.truncate(0)):
                with pytest.raises(io.UnsupportedOperation):
                    call()

    def test_local_path(self, fake_client: s3z.Client, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"local\n")
        for path in (tmp_path / "file", str(tmp_path / "file")):
            with fake_client.open(path, "rb") as file:
                assert type(file) is io.BufferedReader
                assert isinstance(file.raw, io.FileIO)
                assert file.read() == b"local\n"
        with pytest.raises(FileNotFoundError):
            fake_client.open(tmp_path / "none", "rb")

    def test_module_function(self, fake_s3: FakeS3, uri: str, tmp_path: Path) -> None:
        code = f"import s3z\nwith s3z.open('{uri}', 'rb') as file:\n    print(len(file.read()))"
        assert python(code, env=fake_s3.environment(), cwd=tmp_path).stdout == f"{SIZE}\n"


@pytest.mark.parametrize("buffering", [0, -1, 100, 3 * MIB])
class TestReading:
    def test_pieces(self, fake_client: s3z.Client, uri: str, buffering: int) -> None:
        data = pattern(SIZE)
        for step in (777, 65536, MIB + 1, 9 * MIB) if buffering else (65536, 9 * MIB):
            with fake_client.open(uri, "rb", buffering=buffering) as file:
                count = 0
                while part := file.read(step):
                    assert part == data[count : count + len(part)], (step, count)
                    count += len(part)
                    assert file.tell() == count
            assert count == SIZE

    def test_all_of_it(self, fake_client: s3z.Client, uri: str, buffering: int) -> None:
        for name, arguments in (("read", ()), ("read", (-1,)), *([] if buffering else [("readall", ())])):
            with fake_client.open(uri, "rb", buffering=buffering) as file:
                assert getattr(file, name)(*arguments) == pattern(SIZE)
                assert getattr(file, name)(*arguments) == b""
                file.seek(-100, os.SEEK_END)
                assert getattr(file, name)(*arguments) == pattern(SIZE)[-100:]

    def test_readinto(self, fake_client: s3z.Client, uri: str, buffering: int) -> None:
        with fake_client.open(uri, "rb", buffering=buffering) as file:
            file.seek(9 * MIB)
            for buffer in (bytearray(999), memoryview(bytearray(1200))[100:-101], array.array("d", bytes(8000))):
                at = file.tell()
                count = file.readinto(buffer)
                assert 0 < count <= memoryview(buffer).nbytes
                assert memoryview(buffer).tobytes()[:count] == pattern(SIZE)[at : at + count]
                assert file.tell() == at + count
            with pytest.raises((TypeError, BufferError)):
                file.readinto(bytes(10))
            assert file.readinto(bytearray()) == 0
            file.seek(0, os.SEEK_END)
            assert file.readinto(bytearray(10)) == 0

    def test_seek(self, fake_client: s3z.Client, uri: str, buffering: int) -> None:
        data = pattern(SIZE)
        with fake_client.open(uri, "rb", buffering=buffering) as file:
            assert file.seek(5) == 5
            assert file.seek(10, os.SEEK_CUR) == file.tell() == 15
            assert exactly(file, 7) == data[15:22]
            assert file.seek(-20, os.SEEK_CUR) == 2
            assert exactly(file, 3) == data[2:5]
            assert file.seek(-9, os.SEEK_END) == SIZE - 9
            assert exactly(file, 50) == data[-9:]
            assert file.seek(1000, os.SEEK_END) == file.tell() == SIZE + 1000
            assert file.read(10) == file.read() == b""
            assert file.seek(0) == 0
            for offset, whence in ((-1, 0), (-1, 1), (-SIZE - 1, 2), (0, 9)):
                with pytest.raises((OSError, ValueError)):
                    file.seek(offset, whence)
            assert exactly(file, 5) == data[:5], "a refused seek moves nothing"

    def test_closed(self, fake_client: s3z.Client, uri: str, buffering: int) -> None:
        file = fake_client.open(uri, "rb", buffering=buffering)
        file.close()
        file.close()
        for call in (lambda: file.read(1), lambda: file.seek(0), file.tell, lambda: file.readinto(bytearray(1))):
            with pytest.raises(ValueError, match="closed"):
                call()

    def test_empty(self, fake_s3: FakeS3, fake_client: s3z.Client, buffering: int) -> None:
        fake_s3.put("b", "empty", b"")
        with fake_client.open("s3://b/empty", "rb", buffering=buffering) as file:
            assert file.read() == file.read(5) == b""
            assert file.seek(0, os.SEEK_END) == 0

    def test_one_version(self, fake_s3: FakeS3, fake_client: s3z.Client, buffering: int) -> None:
        fake_s3.pattern("b", "big", 256 * MIB)
        with fake_client.open("s3://b/big", "rb", buffering=buffering) as file:
            assert exactly(file, 4096) == pattern(4096)
            fake_s3.do("swap_version", bucket="b", key="big", seed=9)
            file.seek(200 * MIB)
            with pytest.raises(s3z.ObjectChangedError) as caught:
                file.read(10)
            assert caught.value.key == "big"

    def test_broken_bodies_are_continued(
        self, fake_s3: FakeS3, fake_client: s3z.Client, uri: str, buffering: int
    ) -> None:
        fake_s3.rule({"type": "truncate", "after": 500}, times=2, operation="GetObject")
        fake_s3.rule({"type": "reset", "after": 70_000}, times=3, operation="GetObject", skip=2)
        with fake_client.open(uri, "rb", buffering=buffering) as file:
            assert exactly(file, SIZE) == pattern(SIZE)


class TestServers:
    def test_here_and_there(self, server: Server, bucket: str, client: s3z.Client) -> None:
        data = pattern(3 * MIB)
        server.boto3.put_object(Bucket=bucket, Key="k", Body=data)
        with client.open(f"s3://{bucket}/k", "rb") as file:
            for at in (2 * MIB, 0, 3 * MIB - 5, MIB, 3 * MIB):
                file.seek(at)
                assert file.read(1000) == data[at : at + 1000]
            file.seek(1)
            assert file.read() == data[1:]

    def test_random_reads_equal_those_of_a_file(self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path) -> None:
        size = 8 * MIB + 77
        chance = random.Random(seed := random.randrange(1 << 32))
        fake_s3.pattern("b", "k", size, seed=3)
        (tmp_path / "file").write_bytes(pattern(size, seed=3))
        with (tmp_path / "file").open("rb") as local, fake_client.open("s3://b/k", "rb") as remote:
            for turn in range(10_000):
                at, far = local.tell(), chance.random() < 0.3
                to = chance.randrange(size + 5000) if far else max(0, at + chance.randrange(-20_000, 90_000))
                whence = chance.randrange(3)
                offset = to - (0, at, size)[whence]
                count = chance.choice((0, 1, 10, 4096, chance.randrange(70_000)))
                assert remote.seek(offset, whence) == local.seek(offset, whence), (seed, turn)
                assert remote.read(count) == local.read(count), (seed, turn)
                assert remote.tell() == local.tell(), (seed, turn)


class TestRequests:
    def test_sequential_reading_takes_few(self, fake_s3: FakeS3, fake_client: s3z.Client) -> None:
        fake_s3.pattern("b", "k", 64 * MIB)
        for buffering in (0, -1):
            fake_s3.do("clear_log")
            with fake_client.open("s3://b/k", "rb", buffering=buffering) as file:
                count = 0
                while part := file.read(64 * KIB):
                    count += len(part)
            assert count == 64 * MIB
            requests = ended(fake_s3)
            assert len(requests) <= 100
            assert sum(record["bytes_out"] - record["head_out"] for record in requests) <= 66 * MIB

    def test_short_skips_are_read_through(self, fake_s3: FakeS3, fake_client: s3z.Client, uri: str) -> None:
        with fake_client.open(uri, "rb", buffering=0) as file:
            for turn in range(200):
                assert exactly(file, 4 * KIB) == pattern(SIZE)[turn * 68 * KIB :][: 4 * KIB]
                file.seek(64 * KIB, os.SEEK_CUR)
        assert len(ended(fake_s3)) <= 40

    def test_random_reads_fetch_little_more(self, fake_s3: FakeS3, fake_client: s3z.Client) -> None:
        chance = random.Random(seed := random.randrange(1 << 32))
        fake_s3.pattern("b", "k", 256 * MIB)
        twice = pattern(2 * BLOCK)
        with fake_client.open("s3://b/k", "rb", buffering=0) as file:
            for _ in range(200):
                file.seek(at := chance.randrange(256 * MIB - 4 * KIB))
                assert exactly(file, 4 * KIB) == twice[at % BLOCK :][: 4 * KIB], (seed, at)
        sent = sum(record["bytes_out"] - record["head_out"] for record in ended(fake_s3))
        assert 200 * 4 * KIB <= sent <= 20 * 200 * 4 * KIB, seed

    def test_every_request_is_pinned(self, fake_s3: FakeS3, fake_client: s3z.Client, uri: str) -> None:
        with fake_client.open(uri, "rb", buffering=0) as file:
            for at in (15 * MIB, 0, 9 * MIB):
                file.seek(at)
                file.read(10)
            etag = file.etag
        log = [record for record in ended(fake_s3) if record["status"] == 206]
        assert len(log) >= 3
        unpinned = [record for record in log if dict(record["headers"]).get("if-match") != f'"{etag}"']
        assert len(unpinned) <= 1, "only the first one, which made known what there is"


class TestEnd:
    @pytest.fixture
    def reading(self, fake_s3: FakeS3, fake_client: s3z.Client) -> list[Any]:
        """A file that reads ahead, from 64 MiB on of a server that hangs."""
        fake_s3.pattern("b", "slow", 256 * MIB)
        fake_s3.rule({"type": "stall", "after": 1000, "seconds": 60}, operation="GetObject", range_min=64 * MIB)
        file = fake_client.open("s3://b/slow", "rb")
        assert exactly(file, 32 * MIB) == pattern(32 * MIB)
        while not any(
            int(record["range"][6:].split("-")[0]) >= 64 * MIB for record in fake_s3.log(operation="GetObject")
        ):
            assert file.tell() < 63 * MIB, "nothing is read ahead"
            file.read(MIB)
        return [file]

    def test_close_cancels(self, fake_s3: FakeS3, reading: list[Any]) -> None:
        reading[0].close()
        ended(fake_s3, 5)

    def test_collected(self, fake_s3: FakeS3, reading: list[Any]) -> None:
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            reading.clear()
            gc.collect()
            ended(fake_s3, 10)

    def test_exit_with_an_open_file(self, fake_s3: FakeS3, uri: str, tmp_path: Path) -> None:
        """Y4."""
        code = f"import s3z\nfile = s3z.open('{uri}', 'rb')\nprint(len(file.read(70000)))"
        outcome = python(code, env=fake_s3.environment(), cwd=tmp_path, timeout=20)
        assert (outcome.status, outcome.stdout) == (0, "70000\n"), outcome
        ended(fake_s3, 5)


class TestOthers:
    """What reads files reads these."""

    def test_zipfile(self, fake_s3: FakeS3, fake_client: s3z.Client) -> None:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(20):
                archive.writestr(f"dir/{number}", pattern(300_000 + number, seed=number))
        fake_s3.put("b", "zip", packed.getvalue())
        with fake_client.open("s3://b/zip", "rb") as file, zipfile.ZipFile(file) as archive:
            assert archive.testzip() is None
            for number in (17, 3, 11):
                assert archive.read(f"dir/{number}") == pattern(300_000 + number, seed=number)

    @pytest.mark.parametrize("kind", ["r:", "r|", "r:gz", "r|gz"])
    def test_tarfile(self, fake_s3: FakeS3, fake_client: s3z.Client, kind: str) -> None:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz" if "gz" in kind else "w:") as archive:
            for number in range(5):
                info = tarfile.TarInfo(f"dir/{number}")
                info.size = 500_000 + number
                archive.addfile(info, io.BytesIO(pattern(info.size, seed=number)))
        fake_s3.put("b", "tar", packed.getvalue())
        with fake_client.open("s3://b/tar", "rb") as file, tarfile.open(fileobj=file, mode=kind) as archive:
            found = [(member.name, archive.extractfile(member).read()) for member in archive]
        assert found == [(f"dir/{number}", pattern(500_000 + number, seed=number)) for number in range(5)]

    def test_gzip_and_lines(self, fake_s3: FakeS3, fake_client: s3z.Client) -> None:
        rows = [[str(number), f"name {number}", "ä"] for number in range(50_000)]
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        fake_s3.put("b", "gz", gzip.compress(text.getvalue().encode()))
        fake_s3.put("b", "csv", text.getvalue().encode())
        with fake_client.open("s3://b/gz", "rb") as file, gzip.open(file, "rt", encoding="utf-8", newline="") as lines:
            assert list(csv.reader(lines)) == rows
        with fake_client.open("s3://b/csv", "r", encoding="utf-8", newline="") as lines:
            assert list(csv.reader(lines)) == rows
        with fake_client.open("s3://b/csv", "rb") as file:
            assert sum(1 for _ in file) == len(rows)

    def test_parquet(self, fake_s3: FakeS3, fake_client: s3z.Client) -> None:
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        table = arrow.table({"a": list(range(200_000)), "b": [f"text {number}" for number in range(200_000)]})
        packed = io.BytesIO()
        parquet.write_table(table, packed, row_group_size=20_000)
        fake_s3.put("b", "parquet", packed.getvalue())
        with fake_client.open("s3://b/parquet", "rb") as file:
            assert parquet.read_table(file, columns=["b"]) == table.select(["b"])
        with fake_client.open("s3://b/parquet", "rb") as file:
            assert parquet.ParquetFile(file).read_row_group(7).column("a")[0].as_py() == 140_000


def test_memory(fake_s3: FakeS3, tmp_path: Path) -> None:
    """Reading ahead keeps within the limit."""
    fake_s3.pattern("b", "k", 2 * GIB)
    code = (
        "import s3z\n"
        "client = s3z.Client(config=s3z.TransferConfig(memory_limit=16 << 20))\n"
        "buffer, count = bytearray(1 << 20), 0\n"
        "with client.open('s3://b/k', 'rb') as file:\n"
        "    while part := file.readinto(buffer):\n"
        "        count += part\n"
        "assert count == 2 << 30, count\n"
        "with open('/proc/self/status') as status:\n"
        "    print(next(int(line.split()[1]) >> 10 for line in status if line.startswith('VmHWM')))\n"
    )
    outcome = python(code, env=fake_s3.environment(), cwd=tmp_path, timeout=60)
    assert outcome.status == 0, outcome
    assert int(outcome.stdout) <= 16 + 60, f"{outcome.stdout} MiB"
