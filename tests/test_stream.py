"""`s3z.stream`: an object as chunks in order, verified at the end, in bounded memory (U14, C5, I5)."""

from __future__ import annotations

import gc
import os
import re
import signal
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from support.command import python
from support.data import GIB, MIB, pattern

import s3z

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.servers import FakeS3, Server

SIZE = 20 * MIB + 777
STALL = {"type": "stall", "after": 1000, "seconds": 60}


def ended(server: FakeS3, seconds: float = 10) -> list[dict[str, Any]]:
    """The GETs, once none is running."""
    end = time.monotonic() + seconds
    while not all(record["end"] for record in server.log(operation="GetObject")):
        assert time.monotonic() < end, "a request is still running"
        time.sleep(0.01)
    return server.log(operation="GetObject")


@pytest.fixture
def uri(fake_s3: FakeS3) -> str:
    fake_s3.pattern("b", "k", SIZE)
    return "s3://b/k"


class TestChunks:
    @pytest.mark.parametrize("size", [0, 1, 777, MIB - 1, MIB, MIB + 1, 8 * MIB, 8 * MIB + 1, SIZE])
    def test_sizes(self, server: Server, bucket: str, client: s3z.Client, size: int) -> None:
        data = pattern(size)
        etag = server.boto3.put_object(Bucket=bucket, Key="k", Body=data)["ETag"].strip('"')
        with client.stream(f"s3://{bucket}/k") as stream:
            assert isinstance(stream, s3z.ByteStream)
            assert iter(stream) is stream
            assert (stream.uri, stream.size, stream.etag) == (f"s3://{bucket}/k", size, etag)
            chunks = list(stream)
        assert b"".join(chunks) == data
        assert {type(chunk) for chunk in chunks} <= {bytes}
        assert [len(chunk) for chunk in chunks] == [MIB] * (size // MIB) + [size % MIB] * (size % MIB > 0)
        assert (stream.result.bytes, stream.result.etag) == (size, etag)

    @pytest.mark.parametrize("chunk_size", [1000, 65536, 333_333, MIB + 1, 9 * MIB, SIZE, 100 * MIB])
    def test_every_chunk_but_the_last_has_the_size(self, fake_client: s3z.Client, uri: str, chunk_size: int) -> None:
        chunks = list(fake_client.stream(uri, chunk_size=chunk_size))
        assert {len(chunk) for chunk in chunks[:-1]} <= {chunk_size}
        assert 0 < len(chunks[-1]) <= chunk_size
        assert b"".join(chunks) == pattern(SIZE)

    @pytest.mark.parametrize(
        "options",
        [
            {"part_size": 64 << 10},
            {"part_size": 333_333, "max_concurrency": 3},
            {"part_size": 16 * MIB},
            {"max_concurrency": 1},
        ],
        ids=str,
    )
    def test_with_options(self, fake_s3: FakeS3, fake_client: s3z.Client, uri: str, options: dict[str, int]) -> None:
        with fake_client.stream(uri, **options) as stream:
            assert b"".join(stream) == pattern(SIZE)
        requests = len(fake_s3.log(operation="GetObject"))
        assert (requests == 1) == (options == {"max_concurrency": 1}), requests

    def test_slow_parts_change_no_order(self, fake_s3: FakeS3, fake_client: s3z.Client, uri: str) -> None:
        fake_s3.rule({"type": "latency", "ms": 200}, operation="GetObject", every=3)
        fake_s3.rule({"type": "stall", "after": 1000, "seconds": 0.3}, operation="GetObject", every=4)
        assert b"".join(fake_client.stream(uri, part_size=MIB)) == pattern(SIZE)

    def test_the_end_stays_the_end(self, fake_client: s3z.Client, uri: str) -> None:
        stream = fake_client.stream(uri)
        assert sum(map(len, stream)) == SIZE
        assert list(stream) == []
        assert stream.result.bytes == SIZE
        stream.close()
        assert stream.result.bytes == SIZE

    def test_module_function(self, fake_s3: FakeS3, uri: str, tmp_path: Path) -> None:
        code = f"import s3z\nprint(sum(map(len, s3z.stream('{uri}', start=10))))"
        outcome = python(code, env=fake_s3.environment(), cwd=tmp_path)
        assert outcome.stdout == f"{SIZE - 10}\n", outcome


class TestRanges:
    @pytest.mark.parametrize(
        ("start", "stop"),
        [
            (0, SIZE), (0, 1), (SIZE - 1, None), (SIZE - 1, SIZE), (5 * MIB, 12 * MIB + 1), (8 * MIB, 8 * MIB),
            (SIZE, None), (SIZE, SIZE + 5), (0, 0), (7, SIZE + 1000), (None, 10), (1, None), (0, 1 << 60),
        ],
    )  # fmt: skip
    def test_half_open(self, fake_client: s3z.Client, uri: str, start: int | None, stop: int | None) -> None:
        expected = pattern(SIZE)[start:stop]
        with fake_client.stream(uri, start=start, stop=stop) as stream:
            assert stream.size == len(expected)
            assert b"".join(stream) == expected
        assert stream.result.bytes == len(expected)
        if 0 < len(expected) < SIZE:
            assert stream.result.verified.kind == "length"

    def test_no_more_is_fetched(self, fake_s3: FakeS3, fake_client: s3z.Client, uri: str) -> None:
        list(fake_client.stream(uri, start=3 * MIB, stop=3 * MIB + 500))
        assert sum(record["bytes_out"] - record["head_out"] for record in ended(fake_s3)) == 500

    @pytest.mark.parametrize(("start", "stop"), [(-1, None), (None, -1), (10, 9), (-5, -3)])
    def test_malformed(
        self, fake_s3: FakeS3, fake_client: s3z.Client, uri: str, start: int | None, stop: int | None
    ) -> None:
        with pytest.raises(s3z.ConfigError):
            fake_client.stream(uri, start=start, stop=stop)
        assert fake_s3.log() == []

    @pytest.mark.parametrize("stop", [None, SIZE + 1, SIZE + 100])
    def test_beyond_the_end(self, fake_client: s3z.Client, uri: str, stop: int | None) -> None:
        with pytest.raises(s3z.ConfigError):
            list(fake_client.stream(uri, start=SIZE + 1, stop=stop))

    @pytest.mark.parametrize("word", ["chunk_size", "part_size", "max_concurrency"])
    def test_nothing_at_a_time(self, fake_client: s3z.Client, uri: str, word: str) -> None:
        for value in (0, -1):
            with pytest.raises(s3z.ConfigError, match=word):
                fake_client.stream(uri, **{word: value})


class TestVerified:
    def test_says_what_was_proved(self, fake_client: s3z.Client, uri: str) -> None:
        with fake_client.stream(uri, part_size=2 * MIB) as stream:
            for _ in range(20):
                next(stream)
                assert stream.result is None
            list(stream)
        result = stream.result
        assert isinstance(result, s3z.StreamResult)
        assert str(result.verified) == "full_object/crc64nvme"
        assert (result.bytes, result.etag, result.version_id) == (SIZE, fake_client.head(uri).etag, None)
        assert result.attempts == result.parts > 1
        assert result.seconds > 0
        assert len(repr(result)) < 300

    def test_off_compares_the_length_only(self, fake_s3: FakeS3, fake_client: s3z.Client, uri: str) -> None:
        fake_s3.rule({"type": "bit_flip", "offset": 9 * MIB})
        with fake_client.stream(uri, verify="off") as stream:
            assert b"".join(stream) != pattern(SIZE)
        assert stream.result.verified.kind == "length"

    def test_require_fails_where_nothing_is_stored(self, fake_s3: FakeS3, fake_client: s3z.Client) -> None:
        fake_s3.switch(no_checksums=True)
        fake_s3.put("b", "bare", b"hello")
        with pytest.raises(s3z.IntegrityError):
            list(fake_client.stream("s3://b/bare", verify="require"))
        assert b"".join(fake_client.stream("s3://b/bare")) == b"hello"

    def test_wrong_bytes_are_told_after_the_last_one(self, fake_s3: FakeS3, fake_client: s3z.Client, uri: str) -> None:
        fake_s3.rule({"type": "bit_flip", "offset": 9 * MIB})
        count = 0
        with fake_client.stream(uri) as stream:
            with pytest.raises(s3z.IntegrityError, match=r"\d bytes") as caught:  # noqa: PT012
                for chunk in stream:
                    count += len(chunk)
            assert stream.result is None
        assert count == SIZE
        stated = {int(re.sub("[,_]", "", found)) for found in re.findall(r"(\d[\d,_]*) bytes", str(caught.value))}
        assert SIZE in stated
        assert (caught.value.bucket, caught.value.key) == ("b", "k")

    def test_broken_bodies_are_continued(self, fake_s3: FakeS3, fake_client: s3z.Client, uri: str) -> None:
        fake_s3.rule({"type": "truncate", "after": 1_000_000}, times=3, operation="GetObject")
        fake_s3.rule({"type": "reset", "after": 700_000}, times=3, operation="GetObject", skip=3)
        with fake_client.stream(uri, part_size=2 * MIB) as stream:
            assert b"".join(stream) == pattern(SIZE)
        assert stream.result.attempts > stream.result.parts


class TestOneVersion:
    def test_change_while_reading(self, fake_s3: FakeS3, fake_client: s3z.Client, uri: str) -> None:
        fake_s3.rule({"type": "swap_version", "seed": 9}, times=1, operation="GetObject", range_min=6 * MIB)
        came = b""
        with fake_client.stream(uri, part_size=2 * MIB, max_concurrency=2) as stream:
            with pytest.raises(s3z.ObjectChangedError) as caught:  # noqa: PT012
                for chunk in stream:
                    came += chunk
            assert stream.result is None
        assert (caught.value.bucket, caught.value.key) == ("b", "k")
        assert len(came) < SIZE
        assert pattern(SIZE).startswith(came)

    def test_every_later_request_is_pinned(self, fake_s3: FakeS3, fake_client: s3z.Client, uri: str) -> None:
        with fake_client.stream(uri, part_size=2 * MIB) as stream:
            etag = stream.etag
            list(stream)
        later = sorted(fake_s3.log(operation="GetObject"), key=lambda record: int(record["seq"]))[1:]
        assert {dict(record["headers"]).get("if-match") for record in later} == {f'"{etag}"'}

    def test_if_match(self, fake_client: s3z.Client, uri: str) -> None:
        with pytest.raises(s3z.ObjectChangedError):
            list(fake_client.stream(uri, if_match='"other"'))
        etag = fake_client.head(uri).etag
        assert sum(map(len, fake_client.stream(uri, if_match=f'"{etag}"'))) == SIZE

    def test_version_id(self, moto: Server) -> None:
        bucket = f"stream-versions-{os.getpid()}"
        moto.boto3.create_bucket(Bucket=bucket)
        moto.boto3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        first = moto.boto3.put_object(Bucket=bucket, Key="k", Body=b"first")["VersionId"]
        moto.boto3.put_object(Bucket=bucket, Key="k", Body=b"second")
        with moto.client().stream(f"s3://{bucket}/k", version_id=first) as stream:
            assert (b"".join(stream), stream.version_id) == (b"first", first)
        assert stream.result.version_id == first

    def test_missing(self, fake_client: s3z.Client, uri: str) -> None:
        for missing in ("s3://b/none", "s3://no-such-bucket/k"):
            with pytest.raises(s3z.NotFoundError):
                list(fake_client.stream(missing))


class TestEnd:
    @pytest.fixture
    def stalled(self, fake_s3: FakeS3, fake_client: s3z.Client, uri: str) -> s3z.ByteStream:
        """The first chunk is there; the later parts hang."""
        fake_s3.rule(STALL, operation="GetObject", range_min=1)
        stream = fake_client.stream(uri, part_size=2 * MIB)
        assert next(stream) == pattern(MIB)
        fake_s3.wait_for_log(operation="GetObject", count=2)
        return stream

    def test_close_cancels_at_once(self, fake_s3: FakeS3, stalled: s3z.ByteStream) -> None:
        stalled.close()
        stalled.close()
        ended(fake_s3, 5)
        assert stalled.result is None
        with pytest.raises(ValueError, match="closed"):
            next(stalled)

    def test_leaving_closes(self, fake_s3: FakeS3, stalled: s3z.ByteStream) -> None:
        with pytest.raises(ZeroDivisionError), stalled:
            raise ZeroDivisionError
        ended(fake_s3, 5)
        with pytest.raises(ValueError, match="closed"):
            next(stalled)

    def test_ctrl_c(self, fake_s3: FakeS3, stalled: s3z.ByteStream) -> None:
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt), stalled:  # noqa: PT012
            timer.start()
            list(stalled)
        timer.join()
        ended(fake_s3, 5)

    @pytest.mark.parametrize("chunks", [0, 1])
    def test_collected(self, fake_s3: FakeS3, fake_client: s3z.Client, uri: str, chunks: int) -> None:
        fake_s3.rule(STALL, operation="GetObject", range_min=1)
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            stream = fake_client.stream(uri, part_size=2 * MIB)
            for _ in range(chunks):
                next(stream)
            fake_s3.wait_for_log(operation="GetObject", count=2)
            del stream
            gc.collect()
            ended(fake_s3, 10)

    def test_deadline(self, fake_s3: FakeS3, fake_client: s3z.Client, uri: str) -> None:
        fake_s3.rule(STALL, operation="GetObject")
        with pytest.raises(s3z.TransferTimeoutError):
            list(fake_client.stream(uri, deadline=0.5))
        ended(fake_s3, 5)

    def test_exit_with_an_open_stream(self, fake_s3: FakeS3, uri: str, tmp_path: Path) -> None:
        """Y4."""
        fake_s3.rule(STALL, operation="GetObject", range_min=1)
        code = f"import s3z\nstream = s3z.stream('{uri}', part_size=2 << 20)\nprint(len(next(stream)))"
        outcome = python(code, env=fake_s3.environment(), cwd=tmp_path, timeout=20)
        assert (outcome.status, outcome.stdout) == (0, f"{MIB}\n"), outcome
        ended(fake_s3, 5)


class TestMany:
    def test_eight_at_once(self, fake_s3: FakeS3) -> None:
        """Whatever the order in which they are read, none waits for memory that another holds."""
        client = fake_s3.client(config=s3z.TransferConfig(memory_limit=32 * MIB))
        for number in range(8):
            fake_s3.pattern("b", str(number), SIZE, seed=number + 1)
        streams = [client.stream(f"s3://b/{number}") for number in range(8)]
        came = [next(stream) for stream in streams]
        for number in (7, 0):
            came[number] += b"".join(streams[number])
        streams[3].close()
        with ThreadPoolExecutor(8) as pool:
            rest = list(pool.map(b"".join, (streams[number] for number in (1, 2, 4, 5, 6))))
        for number, more in zip((1, 2, 4, 5, 6), rest, strict=True):
            came[number] += more
        for number in (0, 1, 2, 4, 5, 6, 7):
            assert came[number] == pattern(SIZE, seed=number + 1), number
            assert streams[number].result.verified.kind == "full_object"

    def test_more_than_memory_allows(self, fake_s3: FakeS3, uri: str) -> None:
        client = fake_s3.client(config=s3z.TransferConfig(memory_limit=16 * MIB))
        streams = [client.stream(uri) for _ in range(4)]
        assert [next(stream) for stream in streams] == [pattern(MIB)] * 4
        with pytest.raises(s3z.ConfigError, match="memory_limit"):
            next(client.stream(uri))
        streams[2].close()
        with client.stream(uri) as instead:
            assert b"".join(instead) == pattern(SIZE)
        for number in (0, 1, 3):
            assert MIB + sum(map(len, streams[number])) == SIZE

    def test_what_was_left_or_read_holds_nothing(self, fake_s3: FakeS3, uri: str) -> None:
        client = fake_s3.client(config=s3z.TransferConfig(memory_limit=16 * MIB))
        kept: list[Iterator[bytes]] = []
        for number in range(12):
            stream = client.stream(uri)
            next(stream)
            if number % 2:
                stream.close()
            else:
                assert MIB + sum(map(len, stream)) == SIZE
            kept.append(stream)
        assert len(client.get(uri)) == SIZE


class TestProgress:
    def test_events_grow_up_to_the_size(self, fake_s3: FakeS3, fake_client: s3z.Client, uri: str) -> None:
        fake_s3.switch(rate_total=40 * MIB)
        events: list[s3z.ProgressEvent] = []
        list(fake_client.stream(uri, progress=events.append))
        assert len(events) >= 2
        assert events == sorted(events, key=lambda event: (event.received, event.durable))
        assert all(event.durable <= event.received <= SIZE for event in events)
        assert (events[-1].received, events[-1].durable, events[-1].total) == (SIZE, SIZE, SIZE)

    def test_exception_in_it_cancels(self, fake_s3: FakeS3, fake_client: s3z.Client, uri: str) -> None:
        fake_s3.switch(rate_total=2 * MIB)

        def refuse(event: Any) -> None:
            raise ZeroDivisionError("enough")

        with pytest.raises(ZeroDivisionError, match="enough"), fake_client.stream(uri, progress=refuse) as stream:
            list(stream)
        ended(fake_s3, 4)


CONSUMER = """
import sys, time, s3z
size, rests = int(sys.argv[1]), list(map(int, sys.argv[2:]))
client = s3z.Client(config=s3z.TransferConfig(memory_limit=16 << 20, read_timeout=float(20)))
count = 0
with client.stream("s3://b/k") as stream:
    for number, chunk in enumerate(stream):
        count += len(chunk)
        if number in rests:
            time.sleep(1)
assert count == size, count
with open("/proc/self/status") as status:
    print(next(int(line.split()[1]) >> 10 for line in status if line.startswith("VmHWM")))
"""


class TestMemory:
    """U14: the limit, and no more than the interpreter beside it."""

    @pytest.mark.parametrize(
        ("size", "rests", "first"),
        [(2 * GIB, (), 0), (256 * MIB, (0, 30, 200), 0), (512 * MIB, (), 5)],
        ids=["fast", "rests", "first part is late"],
    )
    def test_bounded(self, fake_s3: FakeS3, tmp_path: Path, size: int, rests: tuple[int, ...], first: int) -> None:
        fake_s3.pattern("b", "k", size)
        if first:
            fake_s3.rule({"type": "stall", "after": 1000, "seconds": first}, times=1, operation="GetObject")
        outcome = python(CONSUMER, str(size), *map(str, rests), env=fake_s3.environment(), cwd=tmp_path, timeout=60)
        assert outcome.status == 0, outcome
        assert int(outcome.stdout) <= 16 + 60, f"{outcome.stdout} MiB"

    def test_rest_is_no_stall(self, fake_s3: FakeS3, tmp_path: Path) -> None:
        """The clocks of bodies nobody asks for stand still."""
        fake_s3.pattern("b", "k", 64 * MIB)
        code = CONSUMER.replace("float(20)", "0.4")
        outcome = python(code, str(64 * MIB), "0", "20", env=fake_s3.environment(), cwd=tmp_path, timeout=60)
        assert outcome.status == 0, outcome
        assert fake_s3.do("sent_twice", bucket="b", key="k")["bytes"] == 0
