"""`s3z.get`, `get_into` and `get_ranges`: objects and ranges in memory, ours or the caller's."""

from __future__ import annotations

import array
import gc
import hashlib
import itertools
import mmap
import os
import random
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.command import python
from support.data import MIB, pattern

import s3z

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.servers import FakeS3, Server

SIZE = 20 * MIB + 4096
MARK = 0xA5


def ended(server: FakeS3, seconds: float = 30) -> list[dict[str, Any]]:
    """The GETs, once none is running."""
    end = time.monotonic() + seconds
    while not all(record["end"] for record in server.log(operation="GetObject")):
        assert time.monotonic() < end, "a request is still running"
        time.sleep(0.01)
    return server.log(operation="GetObject")


def body_bytes(server: FakeS3) -> int:
    return sum(record["bytes_out"] - record["head_out"] for record in ended(server))


@pytest.fixture
def uri(fake_s3: FakeS3) -> str:
    fake_s3.pattern("b", "k", SIZE)
    return "s3://b/k"


RANGES = [
    (0, SIZE), (0, 1), (SIZE - 1, None), (5 * MIB, 12 * MIB + 1), (SIZE, None), (9, 9), (7, SIZE + 1000), (None, 9),
]  # fmt: skip


class TestGet:
    @pytest.mark.parametrize("size", [0, 1, 777, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, SIZE])
    def test_sizes(self, server: Server, bucket: str, client: s3z.Client, size: int) -> None:
        data = pattern(size)
        server.boto3.put_object(Bucket=bucket, Key="k", Body=data)
        found = client.get(f"s3://{bucket}/k")
        assert isinstance(found, s3z.Buffer)
        assert (len(found), bytes(found)) == (size, data)

    @pytest.mark.parametrize(("start", "stop"), RANGES)
    def test_ranges(self, fake_client: s3z.Client, uri: str, start: int | None, stop: int | None) -> None:
        assert bytes(fake_client.get(uri, start=start, stop=stop)) == pattern(SIZE)[start:stop]

    @pytest.mark.parametrize(
        ("start", "stop"), [(-1, None), (None, -1), (10, 9), (SIZE + 1, None), (SIZE + 1, SIZE + 2)]
    )
    def test_what_is_no_range(self, fake_client: s3z.Client, uri: str, start: int | None, stop: int | None) -> None:
        with pytest.raises(s3z.ConfigError):
            fake_client.get(uri, start=start, stop=stop)
        with pytest.raises(s3z.ConfigError):
            fake_client.get_into(uri, bytearray(1), start=start, stop=stop)

    def test_in_parallel_unless_asked_otherwise(self, fake_s3: FakeS3, fake_client: s3z.Client, uri: str) -> None:
        assert fake_client.get(uri, part_size=MIB) == pattern(SIZE)
        assert len(fake_s3.log(operation="GetObject")) > 4
        fake_s3.do("clear_log")
        assert fake_client.get(uri, max_concurrency=1) == pattern(SIZE)
        assert len(fake_s3.log(operation="GetObject")) == 1

    def test_missing(self, fake_client: s3z.Client, uri: str) -> None:
        for call in (fake_client.get, lambda uri: fake_client.get_into(uri, bytearray(3)),
                     lambda uri: fake_client.get_ranges(uri, [(0, 1)])):  # fmt: skip
            with pytest.raises(s3z.NotFoundError) as caught:
                call("s3://b/none")
            assert (caught.value.bucket, caught.value.key) == ("b", "none")

    def test_version_id(self, moto: Server) -> None:
        bucket = f"get-versions-{os.getpid()}"
        moto.boto3.create_bucket(Bucket=bucket)
        moto.boto3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        first = moto.boto3.put_object(Bucket=bucket, Key="k", Body=b"first")["VersionId"]
        moto.boto3.put_object(Bucket=bucket, Key="k", Body=b"second")
        client, uri, into = moto.client(), f"s3://{bucket}/k", bytearray(5)
        assert client.get(uri) == b"second"
        assert client.get(uri, version_id=first) == b"first"
        assert client.get_into(uri, into, version_id=first) == 5
        assert into == b"first"
        assert client.get_ranges(uri, [(1, 3)], version_id=first) == [b"ir"]

    def test_one_version(self, fake_s3: FakeS3, fake_client: s3z.Client, uri: str) -> None:
        for call in (fake_client.get, lambda uri, **words: fake_client.get_into(uri, bytearray(SIZE), **words)):
            with pytest.raises(s3z.ObjectChangedError):
                call(uri, if_match='"other"')
            fake_s3.rule({"type": "swap_version"}, times=1, operation="GetObject", range_min=1)
            with pytest.raises(s3z.ObjectChangedError):
                call(uri, part_size=2 * MIB)

    def test_wrong_bytes(self, fake_s3: FakeS3, fake_client: s3z.Client, uri: str) -> None:
        fake_s3.rule({"type": "bit_flip", "offset": 9 * MIB})
        with pytest.raises(s3z.IntegrityError):
            fake_client.get(uri)
        with pytest.raises(s3z.IntegrityError):
            fake_client.get_into(uri, bytearray(SIZE))
        assert len(fake_client.get(uri, start=1)) == SIZE - 1, "there is nothing to compare a range with"

    def test_broken_bodies_are_continued(self, fake_s3: FakeS3, fake_client: s3z.Client, uri: str) -> None:
        fake_s3.rule({"type": "truncate", "after": 700_000}, times=3, operation="GetObject", skip=1)
        fake_s3.rule({"type": "reset", "after": 300_000}, times=3, operation="GetObject", skip=4)
        assert fake_client.get(uri, part_size=2 * MIB) == pattern(SIZE)

    def test_deadline(self, fake_s3: FakeS3, fake_client: s3z.Client, uri: str) -> None:
        fake_s3.rule({"type": "stall", "after": 1000, "seconds": 60}, operation="GetObject")
        with pytest.raises(s3z.TransferTimeoutError):
            fake_client.get(uri, deadline=0.5)
        with pytest.raises(s3z.TransferTimeoutError):
            fake_client.get_ranges(uri, [(0, 5000)], deadline=0.5)
        ended(fake_s3, 5)

    def test_progress(self, fake_s3: FakeS3, fake_client: s3z.Client, uri: str) -> None:
        fake_s3.switch(rate_total=60 * MIB)
        for call in (fake_client.get, lambda uri, **words: fake_client.get_into(uri, bytearray(SIZE), **words)):
            events: list[s3z.ProgressEvent] = []
            call(uri, progress=events.append)
            assert len(events) >= 2
            assert events == sorted(events, key=lambda event: (event.received, event.durable))
            assert events[-1] == s3z.ProgressEvent(SIZE, SIZE, SIZE, 1, 1)


class TestBuffer:
    def test_is_a_read_only_buffer(self, fake_s3: FakeS3, fake_client: s3z.Client, uri: str) -> None:
        found = fake_client.get(uri)
        with memoryview(found) as view, pytest.raises(TypeError):
            view[0] = 1
        assert memoryview(found).readonly
        assert hashlib.sha256(found).digest() == hashlib.sha256(pattern(SIZE)).digest()
        assert b"".join([found, found]) == pattern(SIZE) * 2
        with pytest.raises((AttributeError, TypeError)):
            found.more = 1

    def test_numpy_takes_no_copy(self, fake_client: s3z.Client, uri: str) -> None:
        found = fake_client.get(uri)
        bytewise, words = np.frombuffer(found, dtype=np.uint8), np.frombuffer(found, dtype="<u8")
        assert np.shares_memory(bytewise, words)
        assert not words.flags.writeable
        assert (words == np.frombuffer(pattern(SIZE), dtype="<u8")).all()

    def test_outlives_what_made_it(self, fake_s3: FakeS3, uri: str) -> None:
        client = fake_s3.client()
        found = client.get(uri)
        view, numbers = memoryview(client.get(uri)), np.frombuffer(client.get(uri), dtype=np.uint8)
        del client
        gc.collect()
        again = fake_s3.client().get(uri, start=100)  # may take memory that was let go
        assert bytes(found) == bytes(view) == numbers.tobytes() == pattern(SIZE)
        assert again == pattern(SIZE)[100:]

    def test_equality(self, fake_client: s3z.Client, uri: str) -> None:
        data = pattern(1000)
        found = fake_client.get(uri, stop=1000)
        for same in (data, bytearray(data), memoryview(data), fake_client.get(uri, stop=1000)):
            assert found == same
            assert same == found
        for other in (data[:-1], data[:-1] + b"?", b"", fake_client.get(uri, stop=999), "text", None, 5):
            assert found != other

    def test_repr_is_short(self, fake_s3: FakeS3, fake_client: s3z.Client) -> None:
        fake_s3.put("b", "secret", b"do not show" * 100)
        found = repr(fake_client.get("s3://b/secret"))
        assert ("Buffer" in found, "do not show" in found, len(found) < 100) == (True, False, True)

    def test_empty(self, fake_s3: FakeS3, fake_client: s3z.Client) -> None:
        fake_s3.put("b", "empty", b"")
        found = fake_client.get("s3://b/empty")
        assert (len(found), bytes(found), bool(found), memoryview(found).nbytes) == (0, b"", False, 0)
        assert found == b""


KINDS: dict[str, Callable[[], Any]] = {
    "bytearray": lambda: bytearray(SIZE),
    "slice": lambda: memoryview(bytearray(SIZE + 20))[7:-13],
    "cast": lambda: memoryview(bytearray(SIZE)).cast("I"),
    "array": lambda: array.array("d", bytes(SIZE)),
    "mmap": lambda: mmap.mmap(-1, SIZE),
    "table": lambda: np.zeros((SIZE // 1024, 128), dtype="float64"),
    "bools": lambda: np.zeros(SIZE, dtype=bool),
    "records": lambda: np.zeros(SIZE // 8, dtype=[("a", "<i4"), ("b", ">f4")]),
}


class TestGetInto:
    @pytest.mark.parametrize("kind", KINDS)
    def test_kinds(self, fake_client: s3z.Client, uri: str, kind: str) -> None:
        buffer = KINDS[kind]()
        assert fake_client.get_into(uri, buffer, part_size=2 * MIB) == SIZE
        assert memoryview(buffer).tobytes() == pattern(SIZE)

    @pytest.mark.parametrize(("start", "stop"), RANGES)
    def test_ranges(self, fake_client: s3z.Client, uri: str, start: int | None, stop: int | None) -> None:
        """And nothing beside them is touched."""
        expected = pattern(SIZE)[start:stop]
        whole = bytearray([MARK]) * (len(expected) + 20)
        with memoryview(whole) as view, view[10:-10] as middle:
            assert fake_client.get_into(uri, middle, start=start, stop=stop) == len(expected)
        assert whole == bytes([MARK]) * 10 + expected + bytes([MARK]) * 10

    def test_file(self, fake_client: s3z.Client, uri: str, tmp_path: Path) -> None:
        with (tmp_path / "file").open("w+b") as file:
            file.truncate(SIZE)
            with mmap.mmap(file.fileno(), SIZE) as mapped:
                assert fake_client.get_into(uri, mapped) == SIZE
        assert (tmp_path / "file").read_bytes() == pattern(SIZE)

    def test_wrong_length(self, fake_client: s3z.Client, uri: str) -> None:
        """Nothing is written then."""
        for length in (0, 1, SIZE - 1, SIZE + 1):
            buffer = bytearray([MARK]) * length
            with pytest.raises(ValueError, match=str(SIZE)):
                fake_client.get_into(uri, buffer)
            assert buffer.count(MARK) == length
        short = bytearray([MARK]) * 99
        with pytest.raises(ValueError, match="100"):
            fake_client.get_into(uri, short, start=9, stop=109)
        assert short.count(MARK) == 99

    def test_what_cannot_be_written(self, fake_client: s3z.Client, uri: str) -> None:
        fixed = np.zeros(SIZE, dtype=np.uint8)
        fixed.flags.writeable = False
        spread, columns = np.zeros(2 * SIZE, dtype=np.uint8), np.zeros((1024, SIZE // 1024), np.uint8, order="F")
        for refused in (
            bytes(SIZE), memoryview(bytes(SIZE)), memoryview(bytearray(SIZE)).toreadonly(), fixed, spread[::2], columns,
            memoryview(bytearray(2 * SIZE))[::2], memoryview(bytearray(SIZE))[::-1], "text", [0] * 10, None, 5,
        ):  # fmt: skip
            with pytest.raises((BufferError, TypeError)):
                fake_client.get_into(uri, refused)
        assert not spread.any()
        assert not columns.any()

    def test_empty(self, fake_s3: FakeS3, fake_client: s3z.Client) -> None:
        fake_s3.put("b", "empty", b"")
        for buffer in (bytearray(), np.zeros((0, 3))):
            assert fake_client.get_into("s3://b/empty", buffer) == 0

    def test_is_lent_only_meanwhile(self, fake_s3: FakeS3, fake_client: s3z.Client, uri: str) -> None:
        fake_s3.switch(rate_total=40 * MIB)
        buffer = bytearray(SIZE)
        refused: list[BufferError] = []

        def grow(event: s3z.ProgressEvent) -> None:
            if event.received < SIZE:
                with pytest.raises(BufferError) as caught:
                    buffer.append(1)
                refused.append(caught.value)

        fake_client.get_into(uri, buffer, progress=grow)
        assert refused
        buffer.append(1)
        assert buffer == pattern(SIZE) + b"\x01"

    @pytest.mark.parametrize("way", ["store", "deadline", "interrupt", "callback", "wrong bytes"])
    def test_never_written_after_its_end(self, fake_s3: FakeS3, fake_client: s3z.Client, uri: str, way: str) -> None:
        if way == "store":
            fake_s3.rule({"type": "latency", "ms": 300}, operation="GetObject", range_min=14 * MIB)
            fake_s3.rule({"type": "respond", "status": 403, "code": "AccessDenied"}, range_min=14 * MIB)
        if way == "wrong bytes":
            fake_s3.rule({"type": "bit_flip", "offset": 9 * MIB})
        else:
            drip = {"type": "drip", "after": 5000, "bytes_per_second": 400_000}
            fake_s3.rule(drip, operation="GetObject", range_min=1, range_max=14 * MIB - 1)

        def leave(event: s3z.ProgressEvent) -> None:
            if event.received and way in ("interrupt", "callback"):
                raise KeyboardInterrupt if way == "interrupt" else ZeroDivisionError

        raised = {
            "store": s3z.AccessDeniedError, "deadline": s3z.TransferTimeoutError, "interrupt": KeyboardInterrupt,
            "callback": ZeroDivisionError, "wrong bytes": s3z.IntegrityError,
        }[way]  # fmt: skip
        buffer = bytearray(SIZE)
        with pytest.raises(raised):
            fake_client.get_into(
                uri, buffer, part_size=2 * MIB, max_concurrency=16, progress=leave,
                deadline=1 if way == "deadline" else None,
            )  # fmt: skip
        buffer[:] = bytes([MARK]) * SIZE
        ended(fake_s3)
        assert buffer.count(MARK) == SIZE
        buffer.append(1)

    @pytest.mark.parametrize("call", ["get(uri)", "get_into(uri, bytearray(512 << 20))"])
    def test_memory(self, fake_s3: FakeS3, tmp_path: Path, call: str) -> None:
        """The bytes once, and the limit."""
        fake_s3.pattern("b", "k", 512 * MIB)
        code = (
            "import s3z\nuri = 's3://b/k'\n"
            f"s3z.Client(config=s3z.TransferConfig(memory_limit=16 << 20)).{call}\n"
            "with open('/proc/self/status') as status:\n"
            "    print(next(int(line.split()[1]) >> 10 for line in status if line.startswith('VmHWM')))\n"
        )
        outcome = python(code, env=fake_s3.environment(), cwd=tmp_path, timeout=60)
        assert outcome.status == 0, outcome
        assert int(outcome.stdout) <= 512 + 16 + 60, f"{outcome.stdout} MiB"


class TestGetRanges:
    def test_on_every_server(self, server: Server, bucket: str, client: s3z.Client) -> None:
        data = pattern(5 * MIB)
        server.boto3.put_object(Bucket=bucket, Key="k", Body=data)
        ranges = [(4 * MIB, 4 * MIB + 9), (0, 7), (3, 3), (5, 100), (0, 7), (5 * MIB - 1, 6 * MIB), (5 * MIB, 5 * MIB)]
        found = client.get_ranges(f"s3://{bucket}/k", iter(ranges))
        assert all(isinstance(each, s3z.Buffer) for each in found)
        assert [bytes(each) for each in found] == [data[start:stop] for start, stop in ranges]

    def test_many_at_random(self, fake_s3: FakeS3, fake_client: s3z.Client) -> None:
        chance = random.Random(seed := random.randrange(1 << 32))
        size = 64 * MIB + 5
        fake_s3.pattern("b", "k", size)
        data = pattern(size)
        starts = [chance.randrange(size) for _ in range(500)]
        ranges = [(start, start + chance.choice((0, 1, 100, 5000, 400_000))) for start in starts]
        ranges += [(0, 20 * MIB), (size - 1, size), *ranges[:20]]
        found = fake_client.get_ranges("s3://b/k", ranges)
        assert [bytes(each) for each in found] == [data[start:stop] for start, stop in ranges], seed

    @pytest.mark.parametrize(
        ("ranges", "requests", "most"),
        [
            ([(0, 100), (1000, 1100), (MIB, MIB + 10)], 1, MIB + 10),
            ([(10 + MIB, 20 + MIB), (0, 10)], 1, MIB + 20),
            ([(0, 10), (11 + MIB, 21 + MIB)], 2, 20),
            ([(5, 10)] * 50, 1, 5),
            ([(0, 1000), (500, 1500), (900, 910)], 1, 1500),
            ([(number * 4 * MIB, number * 4 * MIB + 10) for number in range(5)], 5, 50),
        ],
    )
    def test_near_ones_are_one_request(
        self, fake_s3: FakeS3, fake_client: s3z.Client, uri: str, ranges: list[tuple[int, int]], requests: int,
        most: int,
    ) -> None:  # fmt: skip
        data = pattern(SIZE)
        found = fake_client.get_ranges(uri, ranges)
        assert [bytes(each) for each in found] == [data[start:stop] for start, stop in ranges]
        assert len(fake_s3.log(operation="GetObject")) == requests
        assert body_bytes(fake_s3) <= most

    def test_nothing_asked_for(self, fake_client: s3z.Client, uri: str) -> None:
        assert fake_client.get_ranges(uri, []) == []
        assert fake_client.get_ranges(uri, [(3, 3), (SIZE, SIZE)]) == [b"", b""]

    def test_what_is_no_range(self, fake_client: s3z.Client, uri: str) -> None:
        for wrong in ((-1, 5), (5, -1), (5, 4), (SIZE + 1, SIZE + 2)):
            with pytest.raises(s3z.ConfigError):
                fake_client.get_ranges(uri, [(0, 1), wrong])
        for malformed in (5, (1,), (1, 2, 3), "a", ("1", "2"), None):
            with pytest.raises((TypeError, ValueError)):
                fake_client.get_ranges(uri, [(0, 1), malformed])

    def test_one_version(self, fake_s3: FakeS3, fake_client: s3z.Client, uri: str) -> None:
        far = [(0, 10), (5 * MIB, 5 * MIB + 10), (15 * MIB, 15 * MIB + 10)]
        fake_client.get_ranges(uri, far)
        later = sorted(fake_s3.log(operation="GetObject"), key=lambda record: int(record["seq"]))[1:]
        assert {dict(record["headers"]).get("if-match") for record in later} == {f'"{fake_client.head(uri).etag}"'}
        fake_s3.rule({"type": "swap_version"}, times=1, operation="GetObject", skip=1)
        with pytest.raises(s3z.ObjectChangedError):
            fake_client.get_ranges(uri, far)
        with pytest.raises(s3z.ObjectChangedError):
            fake_client.get_ranges(uri, far, if_match='"other"')

    def test_buffers(self, fake_client: s3z.Client, uri: str) -> None:
        ranges = [(9 * MIB, 12 * MIB), (0, 8), (8, 8), (4, 12)]
        buffers = [bytearray(3 * MIB), np.zeros(1), bytearray(), memoryview(bytearray(8))]
        found = fake_client.get_ranges(uri, ranges, buffers=buffers)
        assert all(ours is theirs for ours, theirs in itertools.zip_longest(buffers, found))
        assert [memoryview(each).tobytes() for each in found] == [pattern(SIZE)[start:stop] for start, stop in ranges]
        buffers[0].append(1)

    def test_wrong_buffers(self, fake_client: s3z.Client, uri: str) -> None:
        ranges = [(0, 10), (5 * MIB, 5 * MIB + 10)]
        good = bytearray([MARK]) * 10
        for buffers in ([good], [good, bytearray(9)], [good, bytearray(11)], [good, bytearray(10), bytearray(10)]):
            with pytest.raises(ValueError, match=r"\d"):
                fake_client.get_ranges(uri, ranges, buffers=buffers)
        for refused in (bytes(10), np.zeros(20, np.uint8)[::2], "0123456789", None):
            with pytest.raises((BufferError, TypeError)):
                fake_client.get_ranges(uri, ranges, buffers=[good, refused])
        assert good.count(MARK) == 10
