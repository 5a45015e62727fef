"""Downloads: sizes at every border, what boto3 wrote, destinations, and files that are left as they should be."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.data import GIB, MIB, is_pattern, leftovers, pattern, sha256, write_pattern
from support.servers import FakeS3

import s3z

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.servers import Server

AUTO_PART = 8 * MIB
BORDERS = sorted(
    {0, 1, 2, *(size + around for size in (4096, 5 * MIB, AUTO_PART, 2 * AUTO_PART, 16 * MIB) for around in (-1, 0, 1))}
)


class TestSizes:
    @pytest.mark.parametrize("size", BORDERS)
    def test_what_boto3_wrote_arrives_whole(
        self, server: Server, bucket: str, client: s3z.Client, tmp_path: Path, size: int
    ) -> None:
        server.boto3.put_object(Bucket=bucket, Key="k", Body=pattern(size))
        result = client.download(f"s3://{bucket}/k", tmp_path / "k")
        assert is_pattern(tmp_path / "k", size)
        assert (result.bytes, result.path) == (size, str(tmp_path / "k"))
        assert result.etag == server.boto3.head_object(Bucket=bucket, Key="k")["ETag"].strip('"')

    @pytest.mark.parametrize("part", [1 * MIB, 1 * MIB + 1, 333_333, 64 * 1024])
    def test_any_part_size_gives_the_same_bytes(
        self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path, part: int
    ) -> None:
        fake_s3.pattern("b", "k", 5 * MIB + 17)
        result = fake_client.download("s3://b/k", tmp_path / "k", part_size=part)
        assert is_pattern(tmp_path / "k", 5 * MIB + 17)
        assert result.parts > 1
        assert fake_s3.do("sent_twice", bucket="b", key="k")["bytes"] == 0

    def test_100_mib_that_boto3_sent_in_parts(
        self, server: Server, bucket: str, client: s3z.Client, tmp_path: Path
    ) -> None:
        source = write_pattern(tmp_path / "source", 100 * MIB)
        server.boto3.upload_file(str(source), bucket, "k")
        client.download(f"s3://{bucket}/k", tmp_path / "k")
        assert is_pattern(tmp_path / "k", 100 * MIB)

    def test_2_gib(self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path) -> None:
        fake_s3.pattern("b", "k", 2 * GIB + 1, seed=5)
        result = fake_client.download("s3://b/k", tmp_path / "k")
        assert is_pattern(tmp_path / "k", 2 * GIB + 1, seed=5)
        assert result.verified.kind == "full_object"
        (tmp_path / "k").unlink()

    def test_one_plain_get_when_asked_for(self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path) -> None:
        fake_s3.pattern("b", "k", 20 * MIB)
        fake_client.download("s3://b/k", tmp_path / "k", max_concurrency=1)
        assert is_pattern(tmp_path / "k", 20 * MIB)
        gets = fake_s3.log(operation="GetObject")
        assert len(gets) == 1, [record["range"] for record in gets]

    def test_no_head_goes_before_the_first_bytes(
        self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path
    ) -> None:
        fake_s3.pattern("b", "k", 40 * MIB)
        fake_client.download("s3://b/k", tmp_path / "k")
        heads = [record["seq"] for record in fake_s3.log(operation="HeadObject")]
        gets = fake_s3.log(operation="GetObject")
        first = min(record["seq"] for record in gets)
        assert len(heads) <= 1
        # I1: HEAD is sent beside the discovery, never instead of it.
        assert next(record for record in gets if record["seq"] == first)["range"].startswith("bytes=0-")
        etag = next(value for name, value in fake_s3.boto3.head_object(Bucket="b", Key="k").items() if name == "ETag")
        later = [dict(record["headers"]) for record in gets if record["seq"] != first]
        assert {headers.get("if-match") for headers in later} == {etag}


class TestVerified:
    def test_says_what_was_compared(self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path) -> None:
        fake_s3.pattern("b", "k", 20 * MIB)
        verified = fake_client.download("s3://b/k", tmp_path / "k").verified
        assert (verified.kind, verified.algorithm) == ("full_object", "crc64nvme")

    def test_off_compares_the_length_only(self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path) -> None:
        fake_s3.pattern("b", "k", 20 * MIB)
        assert fake_client.download("s3://b/k", tmp_path / "k", verify="off").verified.kind == "length"

    def test_require_fails_where_nothing_is_stored(
        self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path
    ) -> None:
        fake_s3.switch(no_checksums=True)
        fake_s3.put("b", "k", b"hello")
        assert fake_client.download("s3://b/k", tmp_path / "k").verified.kind == "length"
        (tmp_path / "k").write_text("old")
        with pytest.raises(s3z.IntegrityError) as caught:
            fake_client.download("s3://b/k", tmp_path / "k", verify="require")
        assert (caught.value.bucket, caught.value.key) == ("b", "k")
        assert (tmp_path / "k").read_text() == "old"

    @pytest.mark.parametrize("size", [100, 20 * MIB])
    def test_flipped_bit_is_never_published(
        self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path, size: int
    ) -> None:
        fake_s3.pattern("b", "k", size)
        fake_s3.rule({"type": "bit_flip", "offset": size - 7})
        (tmp_path / "k").write_text("old")
        with pytest.raises(s3z.IntegrityError, match=r"(?i)crc64nvme"):
            fake_client.download("s3://b/k", tmp_path / "k")
        assert (tmp_path / "k").read_text() == "old"

    def test_flipped_bit_once_is_mended(self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path) -> None:
        fake_s3.pattern("b", "k", 20 * MIB)
        fake_s3.rule({"type": "bit_flip", "offset": 12 * MIB}, times=1, operation="GetObject", range_min=12 * MIB)
        fake_client.download("s3://b/k", tmp_path / "k", part_size=4 * MIB)
        assert is_pattern(tmp_path / "k", 20 * MIB)


class TestOneVersion:
    def test_change_while_reading_is_an_error(self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path) -> None:
        fake_s3.pattern("b", "k", 40 * MIB)
        fake_s3.rule({"type": "swap_version", "seed": 9}, times=1, operation="GetObject", range_min=1)
        (tmp_path / "k").write_text("old")
        with pytest.raises(s3z.ObjectChangedError) as caught:
            fake_client.download("s3://b/k", tmp_path / "k")
        assert caught.value.key == "k"
        assert (tmp_path / "k").read_text() == "old"

    def test_restart_takes_the_new_one_whole(self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path) -> None:
        fake_s3.pattern("b", "k", 40 * MIB)
        fake_s3.rule({"type": "swap_version", "seed": 9}, times=1, operation="GetObject", range_min=1)
        fake_client.download("s3://b/k", tmp_path / "k", on_change="restart")
        assert is_pattern(tmp_path / "k", 40 * MIB, seed=9)

    def test_if_match_that_does_not_hold(self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path) -> None:
        fake_s3.put("b", "k", b"hello")
        with pytest.raises(s3z.ObjectChangedError):
            fake_client.download("s3://b/k", tmp_path / "k", if_match='"other"')
        assert not (tmp_path / "k").exists()

    def test_if_match_that_holds(self, server: Server, bucket: str, client: s3z.Client, tmp_path: Path) -> None:
        etag = server.boto3.put_object(Bucket=bucket, Key="k", Body=b"hello")["ETag"]
        client.download(f"s3://{bucket}/k", tmp_path / "k", if_match=etag)
        assert (tmp_path / "k").read_bytes() == b"hello"

    def test_broken_bodies_are_continued(self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path) -> None:
        fake_s3.pattern("b", "k", 40 * MIB)
        fake_s3.rule({"type": "truncate", "after": 1_000_000}, times=6, operation="GetObject", skip=1)
        result = fake_client.download("s3://b/k", tmp_path / "k")
        assert is_pattern(tmp_path / "k", 40 * MIB)
        assert result.attempts > result.parts
        assert fake_s3.do("sent_twice", bucket="b", key="k")["bytes"] == 0


class TestDestination:
    @pytest.fixture(autouse=True)
    def hello(self, fake_s3: FakeS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fake_s3.put("b", "dir/hello.txt", b"hello\n")
        monkeypatch.chdir(tmp_path)

    def test_none_is_the_base_name_here(self, fake_client: s3z.Client, tmp_path: Path) -> None:
        assert fake_client.download("s3://b/dir/hello.txt").path == "hello.txt"
        assert (tmp_path / "hello.txt").read_text() == "hello\n"

    def test_existing_directory(self, fake_client: s3z.Client, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        assert fake_client.download("s3://b/dir/hello.txt", tmp_path / "out").path == str(tmp_path / "out/hello.txt")
        assert (tmp_path / "out/hello.txt").read_text() == "hello\n"

    @pytest.mark.parametrize("name", ["new/", "new/deep/er/"])
    def test_trailing_slash_is_a_directory_that_is_made(
        self, fake_client: s3z.Client, tmp_path: Path, name: str
    ) -> None:
        fake_client.download("s3://b/dir/hello.txt", name)
        assert (tmp_path / name / "hello.txt").read_text() == "hello\n"

    def test_missing_parents_are_made(self, fake_client: s3z.Client, tmp_path: Path) -> None:
        fake_client.download("s3://b/dir/hello.txt", tmp_path / "a/b/c")
        assert (tmp_path / "a/b/c").read_text() == "hello\n"

    def test_parents_made_for_nothing_go_again(self, fake_client: s3z.Client, tmp_path: Path) -> None:
        with pytest.raises(s3z.NotFoundError):
            fake_client.download("s3://b/no-such-key", tmp_path / "a/b/c")
        assert not (tmp_path / "a").exists()

    def test_path_object_and_bytes_of_any_name(self, fake_client: s3z.Client, tmp_path: Path) -> None:
        name = os.fsdecode(bytes(tmp_path) + b"/\xff\xfe odd\n")
        fake_client.download("s3://b/dir/hello.txt", Path(name))
        assert os.listdir(bytes(tmp_path)).count(b"\xff\xfe odd\n") == 1

    def test_longest_name(self, fake_client: s3z.Client, tmp_path: Path) -> None:
        fake_client.download("s3://b/dir/hello.txt", tmp_path / ("n" * 255))
        assert (tmp_path / ("n" * 255)).read_text() == "hello\n"

    def test_mtime_is_that_of_the_object(self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path) -> None:
        fake_s3.do("shift_clock", seconds=-86400)
        fake_s3.put("b", "old", b"x")
        fake_s3.do("shift_clock", seconds=0)
        result = fake_client.download("s3://b/old", tmp_path / "old")
        assert result.last_modified == fake_s3.boto3.head_object(Bucket="b", Key="old")["LastModified"]
        assert int((tmp_path / "old").stat().st_mtime) == int(result.last_modified.timestamp())

    @pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
    def test_new_file_follows_the_umask(self, fake_client: s3z.Client, tmp_path: Path, mask: int) -> None:
        before = os.umask(mask)
        try:
            fake_client.download("s3://b/dir/hello.txt", tmp_path / "f")
            assert os.umask(mask) == mask
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o666 & ~mask

    @pytest.mark.parametrize(("had", "has"), [(0o600, 0o600), (0o755, 0o755), (0o4755, 0o755), (0o400, 0o400)])
    def test_replaced_file_keeps_its_mode_without_set_id_bits(
        self, fake_client: s3z.Client, tmp_path: Path, had: int, has: int
    ) -> None:
        (tmp_path / "f").write_text("old")
        (tmp_path / "f").chmod(had)
        fake_client.download("s3://b/dir/hello.txt", tmp_path / "f")
        assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == has
        assert (tmp_path / "f").read_text() == "hello\n"

    def test_link_at_the_destination_is_replaced_itself(self, fake_client: s3z.Client, tmp_path: Path) -> None:
        (tmp_path / "target").write_text("mine")
        (tmp_path / "f").symlink_to(tmp_path / "target")
        fake_client.download("s3://b/dir/hello.txt", tmp_path / "f")
        assert (tmp_path / "target").read_text() == "mine"
        assert not (tmp_path / "f").is_symlink()
        assert (tmp_path / "f").read_text() == "hello\n"

    def test_dangling_link_is_replaced(self, fake_client: s3z.Client, tmp_path: Path) -> None:
        (tmp_path / "f").symlink_to(tmp_path / "nowhere")
        fake_client.download("s3://b/dir/hello.txt", tmp_path / "f")
        assert not (tmp_path / "nowhere").exists()
        assert (tmp_path / "f").read_text() == "hello\n"

    def test_overwrite_false_keeps_what_is_there(self, fake_client: s3z.Client, tmp_path: Path) -> None:
        (tmp_path / "f").write_text("old")
        with pytest.raises(FileExistsError) as caught:
            fake_client.download("s3://b/dir/hello.txt", tmp_path / "f", overwrite=False)
        assert caught.value.filename in (str(tmp_path / "f"), bytes(tmp_path / "f"))
        assert (tmp_path / "f").read_text() == "old"

    def test_overwrite_false_writes_what_is_not(self, fake_client: s3z.Client, tmp_path: Path) -> None:
        fake_client.download("s3://b/dir/hello.txt", tmp_path / "f", overwrite=False)
        assert (tmp_path / "f").read_text() == "hello\n"

    def test_durable_publishes_too(self, fake_client: s3z.Client, tmp_path: Path) -> None:
        fake_client.download("s3://b/dir/hello.txt", tmp_path / "a/f", durable=True)
        assert (tmp_path / "a/f").read_text() == "hello\n"

    @pytest.mark.parametrize("direct_io", ["auto", "on", "off"])
    def test_direct_io_or_not_the_bytes_are_the_same(
        self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path, direct_io: str
    ) -> None:
        fake_s3.pattern("b", "k", 10 * MIB + 4097)
        fake_client.download("s3://b/k", tmp_path / "k", direct_io=direct_io)
        assert is_pattern(tmp_path / "k", 10 * MIB + 4097)

    def test_temporary_file_is_hidden_beside_the_destination_and_private(self, fake_s3: FakeS3, tmp_path: Path) -> None:
        fake_s3.pattern("b", "k", 4 * MIB)
        fake_s3.rule({"type": "stall", "after": MIB, "seconds": 60}, operation="GetObject")
        seen: list[tuple[str, int]] = []

        def look(event: s3z.ProgressEvent) -> None:
            seen.extend((Path(name).name, os.stat(name).st_mode) for name in leftovers(tmp_path / "out"))
            if seen:
                raise RuntimeError("seen enough")

        (tmp_path / "out").mkdir()
        with pytest.raises(RuntimeError, match="seen enough"):
            fake_s3.client().download("s3://b/k", tmp_path / "out/k", progress=look)
        name, mode = seen[0]
        assert name.startswith(".s3z-")
        assert name.endswith(".part")
        assert len(name) == 42
        assert stat.S_IMODE(mode) == 0o600
        assert os.listdir(tmp_path / "out") == []


class TestProgress:
    def test_events_grow_up_to_the_size(self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path) -> None:
        fake_s3.pattern("b", "k", 30 * MIB)
        fake_s3.switch(rate_total=60 * MIB)
        try:
            events: list[s3z.ProgressEvent] = []
            fake_client.download("s3://b/k", tmp_path / "k", progress=events.append)
        finally:
            fake_s3.switch(rate_total=0)
        assert len(events) >= 2
        assert events == sorted(events, key=lambda event: (event.received, event.durable))
        assert all(event.durable <= event.received <= 30 * MIB for event in events)
        assert events[-1] == s3z.ProgressEvent(30 * MIB, 30 * MIB, 30 * MIB, 1, 1)

    def test_exception_in_it_cancels_and_propagates(
        self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path
    ) -> None:
        fake_s3.pattern("b", "k", 30 * MIB)
        fake_s3.switch(rate_total=10 * MIB)

        def refuse(event: Any) -> None:
            raise ZeroDivisionError("enough")

        try:
            with pytest.raises(ZeroDivisionError, match="enough"):
                fake_client.download("s3://b/k", tmp_path / "k", progress=refuse)
        finally:
            fake_s3.switch(rate_total=0)
        assert not (tmp_path / "k").exists()

    def test_deadline(self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path) -> None:
        fake_s3.pattern("b", "k", 30 * MIB)
        fake_s3.rule({"type": "stall", "after": 1000, "seconds": 60}, operation="GetObject")
        with pytest.raises(s3z.TransferTimeoutError) as caught:
            fake_client.download("s3://b/k", tmp_path / "k", deadline=0.3)
        assert isinstance(caught.value, TimeoutError)
        assert not (tmp_path / "k").exists()


@pytest.fixture
def big_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server that keeps objects as files."""
    if request.param == "versitygw":
        yield request.getfixturevalue("versitygw")
        return
    (tmp_path / "store").mkdir()
    server = FakeS3("--storage", f"dir:{tmp_path}/store")
    yield server
    server.stop()


@pytest.mark.slow
@pytest.mark.parametrize("big_store", ["fake_s3", "versitygw"], indirect=True)
def test_gigabytes_there_and_back(big_store: Server, tmp_path: Path) -> None:
    size = 2 * GIB
    bucket = f"big-{os.getpid()}"
    big_store.boto3.create_bucket(Bucket=bucket)
    client = big_store.client()
    source = write_pattern(tmp_path / "source", size, seed=3)
    client.upload(source, f"s3://{bucket}/k")
    source.unlink()
    client.download(f"s3://{bucket}/k", tmp_path / "back")
    assert is_pattern(tmp_path / "back", size, seed=3)
    (tmp_path / "back").unlink()
    client.delete(f"s3://{bucket}/k")


def test_version_id(tmp_path: Path, moto: Server) -> None:
    bucket = f"versions-{os.getpid()}"
    moto.boto3.create_bucket(Bucket=bucket)
    moto.boto3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = moto.boto3.put_object(Bucket=bucket, Key="k", Body=b"first")["VersionId"]
    second = moto.boto3.put_object(Bucket=bucket, Key="k", Body=b"second")["VersionId"]
    client = moto.client()
    assert client.download(f"s3://{bucket}/k", tmp_path / "k").version_id == second
    assert (tmp_path / "k").read_bytes() == b"second"
    assert client.download(f"s3://{bucket}/k", tmp_path / "k", version_id=first).version_id == first
    assert (tmp_path / "k").read_bytes() == b"first"
    assert client.head(f"s3://{bucket}/k", version_id=first).size == 5
    client.delete(f"s3://{bucket}/k", version_id=second)
    client.download(f"s3://{bucket}/k", tmp_path / "k")
    assert (tmp_path / "k").read_bytes() == b"first"


def test_same_file_from_two_clients_is_the_same(
    server: Server, bucket: str, client: s3z.Client, tmp_path: Path
) -> None:
    source = write_pattern(tmp_path / "source", 17 * MIB + 3, seed=8)
    server.boto3.upload_file(str(source), bucket, "k")
    client.download(f"s3://{bucket}/k", tmp_path / "ours")
    server.boto3.download_file(bucket, "k", str(tmp_path / "theirs"))
    assert sha256(tmp_path / "ours") == sha256(tmp_path / "theirs") == sha256(source)
