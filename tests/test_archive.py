"""`s3z.Archive`: entries listed and read over the network, with few requests, and never a wrong byte (archive.md 6)."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import random
import struct
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from support.archive_files import NAMES, flipped, footer_at, foreign, patched, small_tree
from support.archive_reader import Reader
from support.archive_tree import WHEN, Tree, noise, text
from support.command import python
from support.data import MIB

import s3z

if TYPE_CHECKING:
    from support.servers import FakeS3


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return small_tree(tmp_path / "source")


@pytest.fixture(params=["a.tar.zst", "a.tar"])
def path(request: pytest.FixtureRequest, source: Path, tmp_path: Path) -> Path:
    """An archive of the small tree, in both flavours."""
    path = tmp_path / request.param
    s3z.pack(f"{source}/", path, slice_size=MIB)
    return path


@pytest.fixture
def packed(fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, source: Path) -> str:
    """The same as an object."""
    uri = f"s3://{fake_bucket}/a.tar.zst"
    fake_client.pack(f"{source}/", uri, slice_size=MIB)
    fake_s3.do("clear_log")
    return uri


class TestEntries:
    def test_ls(self, path: Path, source: Path) -> None:
        with s3z.Archive(path) as archive:
            entries = list(archive.ls())
            assert [entry.path_bytes for entry in entries] == NAMES
            assert list(archive) == entries
            assert len(archive) == len(NAMES)
            assert archive.raw_bytes == sum(entry.size for entry in entries if entry.kind == "f")
            assert archive.size == path.stat().st_size
            assert archive.etag is None
        kinds = {entry.path: entry.kind for entry in entries}
        assert (kinds["photos/"], kinds["link"], kinds["z-same"], kinds["a.txt"]) == ("d", "l", "h", "f")
        found = {entry.path: entry for entry in entries}
        assert found["link"].link_target == "sub/b.txt"
        assert (found["z-same"].link_target, found["z-same"].size) == ("a.txt", 6)
        assert (found["big.bin"].size, found["big.bin"].mode) == (9 * MIB + 777, 0o600)
        assert found["a.txt"].mtime_ns == WHEN
        assert f"{found['a.txt'].mtime:%Y-%m-%d %H:%M:%S.%f}" == "2023-11-14 22:13:20.123456"
        assert found["sub/\udcff.bin"].path_bytes == b"sub/\xff.bin"
        assert found["photos/1.jpg"].stored

    @pytest.mark.parametrize("prefix", ["sub/", "sub", b"sub/\xff", "", "p", "nothing/", "no", "\udcff"])
    def test_prefix(self, path: Path, prefix: str | bytes) -> None:
        raw = prefix if isinstance(prefix, bytes) else prefix.encode("utf-8", "surrogateescape")
        with s3z.Archive(path) as archive:
            found = [entry.path_bytes for entry in archive.ls(prefix)]
        assert found == [name for name in NAMES if name.startswith(raw)]

    def test_find(self, path: Path) -> None:
        with s3z.Archive(path) as archive:
            assert "a.txt" in archive
            assert b"sub/\xff.bin" in archive
            assert "sub/\udcff.bin" in archive
            assert "sub/" in archive
            assert "sub" not in archive
            assert "missing" not in archive
            assert 5 not in archive
            entry = archive.find("a.txt")
            assert entry is not None
            assert (entry.size, entry.flags) == (6, 0)
            assert archive.find("missing") is None

    def test_words(self, path: Path) -> None:
        with s3z.Archive(path) as archive:
            entry = archive.find("sub/b.txt")
            assert repr(entry) == "ArchiveEntry('sub/b.txt', 19.5K)"
            assert pickle.loads(pickle.dumps(entry)) == entry
            assert repr(archive) == f"<s3z.Archive '{path}'>"
        assert repr(archive) == f"<s3z.Archive '{path}' closed>"
        with pytest.raises(ValueError, match="closed"):
            archive.read("a.txt")
        archive.close()

    @pytest.mark.parametrize("count", [0, 1, 16_383, 16_384, 16_385, 40_000])
    def test_many(self, tmp_path: Path, count: int) -> None:
        tree = Tree(tmp_path / "many")
        for number in range(count):
            tree.file(f"{number:06}")
        s3z.pack(f"{tmp_path}/many/", tmp_path / "a.tar.zst")
        with s3z.Archive(tmp_path / "a.tar.zst") as archive:
            assert [entry.path for entry in archive] == [f"{number:06}" for number in range(count)]
            assert len(archive) == count
            for number in {0, count // 2, 16_383, 16_384, count - 1, count}:
                assert (f"{number:06}" in archive) is (0 <= number < count)


class TestRead:
    @pytest.mark.parametrize(
        "name", ["a.txt", "big.bin", "empty", "photos/1.jpg", "photos/2.jpg", "sub/b.txt", b"sub/\xff.bin", "z-same"]
    )
    def test_whole(self, path: Path, source: Path, name: str | bytes) -> None:
        expected = Path(os.fsdecode(os.path.join(os.fsencode(source), os.fsencode(name)))).read_bytes()
        with s3z.Archive(path) as archive:
            buffer = archive.read(name)
            assert bytes(buffer) == expected
            assert len(buffer) == len(expected)
            assert bytes(archive.read(name, verify=False)) == expected

    @pytest.mark.parametrize("name", ["big.bin", "photos/2.jpg", "sub/b.txt", "a.txt", "empty"])
    def test_ranges(self, path: Path, source: Path, name: str) -> None:
        expected = (source / name).read_bytes()
        size, chance = len(expected), random.Random(name)
        ranges: list[tuple[int | None, int | None]] = [(None, None), (0, 0), (None, 1), (size, None), (0, size + 9)]
        ranges += [(MIB - 1, MIB + 1), (131_071, 131_073), (size - 1, None)] if size > 2 * MIB else []
        ranges += [tuple(sorted(chance.choices(range(size + 1), k=2))) for _ in range(8)]  # type: ignore[misc]
        with s3z.Archive(path) as archive:
            for start, stop in ranges:
                assert bytes(archive.read(name, start, stop)) == expected[start:stop], (start, stop)
                assert bytes(archive.read(name, start, stop, verify=False)) == expected[start:stop], (start, stop)

    @pytest.mark.parametrize(("start", "stop"), [(-1, None), (None, -5), (5, 3), (1.5, None), (True, None)])
    def test_bad_range(self, path: Path, start: Any, stop: Any) -> None:
        with s3z.Archive(path) as archive, pytest.raises(s3z.ConfigError):
            archive.read("a.txt", start, stop)

    @pytest.mark.parametrize("name", ["missing", "sub", "a.txt/", "", "../a.txt", "zzz", b"\0"])
    def test_missing(self, path: Path, name: str | bytes) -> None:
        with s3z.Archive(path) as archive:
            for call in (archive.read, archive.open, archive.range_of, lambda name: archive.read_many(["a.txt", name])):
                with pytest.raises(s3z.NotFoundError):
                    call(name)

    @pytest.mark.parametrize("name", ["sub/", "link"])
    def test_no_file(self, path: Path, name: str) -> None:
        with s3z.Archive(path) as archive:
            for call in (archive.read, archive.open):
                with pytest.raises(s3z.ArchiveError):
                    call(name)

    def test_many_in_the_order_asked(self, path: Path, source: Path) -> None:
        names = ["sub/b.txt", "photos/2.jpg", "a.txt", "big.bin", "a.txt", "z-same", "empty"]
        with s3z.Archive(path) as archive:
            found = archive.read_many(names)
            assert [bytes(buffer) for buffer in found] == [(source / name).read_bytes() for name in names]
            assert archive.read_many([]) == []

    def test_open(self, path: Path, source: Path) -> None:
        expected = (source / "big.bin").read_bytes()
        chance = random.Random(1)
        with s3z.Archive(path) as archive, archive.open("big.bin") as file:
            assert (file.readable(), file.seekable(), file.writable()) == (True, True, False)
            for _ in range(30):
                at, size = chance.randrange(len(expected) + 5), chance.choice([0, 1, 100, 5000, 3 * MIB])
                assert file.seek(at) == at
                assert file.read(size) == expected[at : at + size]
            assert file.seek(-10, io.SEEK_END) == len(expected) - 10
            assert file.read() == expected[-10:]
            file.seek(0)
            assert file.read() == expected
            with pytest.raises(ValueError, match="negative"):
                file.raw.seek(-1)
        with pytest.raises(ValueError, match="closed"):
            file.read()

    def test_open_feeds_other_readers(self, tmp_path: Path) -> None:
        tree = Tree(tmp_path / "source")
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w") as inner:
            inner.writestr("x", b"in a zip in an archive")
        tree.file("inner.zip", held.getvalue())
        tree.file("lines", b"one\ntwo\n")
        s3z.pack(f"{tmp_path}/source/", tmp_path / "a.tar.zst")
        with s3z.Archive(tmp_path / "a.tar.zst") as archive:
            with archive.open("inner.zip") as file, zipfile.ZipFile(file) as inner:
                assert inner.read("x") == b"in a zip in an archive"
            assert io.TextIOWrapper(archive.open("lines")).readlines() == ["one\n", "two\n"]

    def test_range_of(self, path: Path, source: Path) -> None:
        data = path.read_bytes()
        with s3z.Archive(path) as archive:
            for name in ("photos/1.jpg", "photos/2.jpg"):
                found = archive.range_of(name)
                assert found is not None
                blob = data[found.offset : found.offset + found.length]
                if found.stride:
                    step = found.stride + 3
                    blob = b"".join(blob[at : at + found.stride] for at in range(0, len(blob), step))
                assert blob == (source / name).read_bytes()
            if path.suffix == ".zst":
                assert archive.range_of("sub/b.txt") is None
            assert archive.range_of("big.bin") is None

    def test_range_by_any_http_client(
        self, fake_s3: FakeS3, fake_client: s3z.Client, packed: str, source: Path
    ) -> None:
        with s3z.Archive(packed, client=fake_client) as archive:
            found = archive.range_of("photos/1.jpg")
        assert found is not None
        signer = fake_s3.new_boto3(signature_version="s3v4")
        url = signer.generate_presigned_url("get_object", Params={"Bucket": "examples", "Key": "a.tar.zst"})
        request = urllib.request.Request(url, headers={"Range": found.header})
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.read() == (source / "photos" / "1.jpg").read_bytes()


class TestIndex:
    def test_pyarrow(self, path: Path) -> None:
        with s3z.Archive(path) as archive:
            index = archive.index()
            table = pa.table(index)
            again = pa.RecordBatchReader.from_stream(index).read_all()
            file = pa.ipc.open_file(pa.py_buffer(index.ipc())).read_all()
        with Reader(path) as reader:
            rows = reader.rows()
        for found in (table, again, file):
            assert found.column("relative_path").to_pylist() == [row["relative_path"] for row in rows]
            assert found.column("checksum").to_pylist() == [row["checksum"] for row in rows]

    def test_polars_and_duckdb(self, path: Path) -> None:
        polars = pytest.importorskip("polars")
        duckdb = pytest.importorskip("duckdb")
        with s3z.Archive(path) as archive:
            frame = polars.DataFrame(archive.index())
            assert frame["file_size"].max() == 9 * MIB + 777
            index = pa.table(archive.index())
            query = "select sum(uncompressed_size) from index where kind = 'f'"
            assert duckdb.sql(query).fetchall() == [(archive.raw_bytes,)]
            assert len(index) == len(frame)


class TestRequests:
    """archive.md 6.1, counted by the server."""

    @staticmethod
    def count(fake_s3: FakeS3) -> int:
        records = fake_s3.log()
        fake_s3.do("clear_log")
        return len(records)

    @pytest.fixture
    def many(self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path) -> str:
        """40,000 entries: the index is beyond the reach of the first request."""
        tree = Tree(tmp_path / "many")
        for number in range(40_000):
            tree.file(f"{number % 100:02}/{number:06}", b"%d" % number)
        uri = "s3://examples/many.tar.zst"
        fake_s3.do("create_bucket", bucket="examples")
        fake_client.pack(f"{tmp_path}/many/", uri)
        fake_s3.do("clear_log")
        return uri

    def test_small(self, fake_s3: FakeS3, fake_client: s3z.Client, packed: str) -> None:
        with s3z.Archive(packed, client=fake_client, cache=False) as archive:
            assert len(list(archive)) == len(NAMES)
            assert self.count(fake_s3) == 1, "ls"
            list(archive)
            assert self.count(fake_s3) == 0, "ls, once more"
            archive.read("sub/b.txt")
            assert self.count(fake_s3) == 1, "read"
        with s3z.Archive(packed, client=fake_client, cache=False) as archive:
            archive.read("photos/1.jpg")
            assert self.count(fake_s3) == 2, "read, cold"

    def test_small_and_warm(self, fake_s3: FakeS3, fake_client: s3z.Client, packed: str) -> None:
        for expected in (2, 1, 1):
            with s3z.Archive(packed, client=fake_client) as archive:
                archive.read("photos/1.jpg")
            assert self.count(fake_s3) == expected
        with s3z.Archive(packed, client=fake_client) as archive:
            list(archive)
        assert self.count(fake_s3) == 1

    def test_large(self, fake_s3: FakeS3, fake_client: s3z.Client, many: str) -> None:
        with s3z.Archive(many, client=fake_client, cache=False) as archive:
            assert len(list(archive)) == 40_100
        assert self.count(fake_s3) == 2, "ls"
        with s3z.Archive(many, client=fake_client, cache=False) as archive:
            assert bytes(archive.read("42/031442")) == b"31442"
        assert self.count(fake_s3) <= 4, "read"
        with s3z.Archive(many, client=fake_client, cache=False) as archive:
            found = archive.find("42/031442")
            before = self.count(fake_s3)
            assert found is not None
            assert bytes(archive.read(found.path)) == b"31442"
            assert before + self.count(fake_s3) <= 4, "the batch is fetched once"

    def test_large_and_warm(self, fake_s3: FakeS3, fake_client: s3z.Client, many: str) -> None:
        counts = []
        for _ in range(3):
            with s3z.Archive(many, client=fake_client) as archive:
                archive.read("42/031442")
            counts.append(self.count(fake_s3))
        assert counts[0] <= 4
        assert counts[1:] == [1, 1]

    def test_read_many_merges(self, fake_s3: FakeS3, fake_client: s3z.Client, many: str) -> None:
        with s3z.Archive(many, client=fake_client) as archive:
            names = [f"{number % 100:02}/{number:06}" for number in range(7, 40_000, 400)]
            before = self.count(fake_s3)
            assert [int(bytes(buffer)) for buffer in archive.read_many(names)] == list(range(7, 40_000, 400))
            assert before + self.count(fake_s3) <= 8

    def test_every_request_is_pinned(self, fake_s3: FakeS3, fake_client: s3z.Client, packed: str) -> None:
        with s3z.Archive(packed, client=fake_client, cache=False) as archive:
            archive.read("big.bin")
        first, *rest = fake_s3.log()
        assert first["range"] == "bytes=-262144"
        assert rest
        assert all("if-match" in dict(record["headers"]) for record in rest)

    def test_cache_is_private_and_may_be_damaged(
        self, fake_s3: FakeS3, fake_client: s3z.Client, packed: str, tmp_path: Path
    ) -> None:
        for _ in range(2):
            with s3z.Archive(packed, client=fake_client) as archive:
                archive.read("a.txt")
        directory = tmp_path / ".home" / "cache" / "s3z"
        assert directory.stat().st_mode & 0o777 == 0o700
        files = [path for path in directory.rglob("*") if path.is_file()]
        assert files
        for damage in (lambda data: flipped(data, len(data) // 2), lambda data: data[: len(data) // 2], lambda _: b""):
            for path in files:
                if path.exists():
                    path.write_bytes(damage(path.read_bytes()))
            with s3z.Archive(packed, client=fake_client) as archive:
                assert bytes(archive.read("a.txt")) == b"hello\n"


class TestChanges:
    def test_replaced(self, fake_client: s3z.Client, packed: str, tmp_path: Path) -> None:
        """Opened before, read after: not a byte of another version."""
        archive = s3z.Archive(packed, client=fake_client)
        (tmp_path / "source" / "a.txt").write_text("other")
        fake_client.pack(f"{tmp_path}/source/", packed, slice_size=MIB)
        with pytest.raises(s3z.ObjectChangedError):
            archive.read("photos/1.jpg")
        archive.close()
        with s3z.Archive(packed, client=fake_client) as archive:
            assert bytes(archive.read("a.txt")) == b"other"

    def test_root(self, path: Path, fake_client: s3z.Client, packed: str) -> None:
        with s3z.Archive(path) as archive:
            root = archive.root
        for form in (root, root.hex(), bytearray(root)):
            s3z.Archive(path, root=form).close()  # type: ignore[arg-type]
        for name, client in ((path, None), (packed, fake_client)):
            with pytest.raises(s3z.IntegrityError, match="root"):
                s3z.Archive(name, client=client, root=bytes(32))
        for form in (b"", "00", "z" * 64, b"x" * 31, 5):
            with pytest.raises(s3z.ConfigError, match="root"):
                s3z.Archive(path, root=form)  # type: ignore[arg-type]


class TestProcess:
    def test_pickle(self, path: Path, source: Path) -> None:
        with s3z.Archive(path) as archive, pickle.loads(pickle.dumps(archive)) as again:
            assert again.root == archive.root
            assert bytes(again.read("sub/b.txt")) == (source / "sub" / "b.txt").read_bytes()
        with pickle.loads(pickle.dumps(archive)) as again:
            assert len(again) == len(NAMES)

    def test_pickle_of_another_archive(self, path: Path, source: Path) -> None:
        with s3z.Archive(path) as archive:
            pickled = pickle.dumps(archive)
        (source / "a.txt").write_text("other")
        s3z.pack(f"{source}/", path, slice_size=MIB)
        with pytest.raises((s3z.IntegrityError, s3z.ObjectChangedError)):
            pickle.loads(pickled)

    def test_pickle_without_secrets(
        self, fake_s3: FakeS3, fake_client: s3z.Client, packed: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with s3z.Archive(packed, client=fake_client) as archive, pytest.raises(TypeError, match="secrets"):
            pickle.dumps(archive)
        for name, value in fake_s3.environment().items():
            monkeypatch.setenv(name, value)
        with s3z.Archive(packed, client=s3z.Client(endpoint_url=fake_s3.endpoint)) as archive:
            pickled = pickle.dumps(archive)
            assert fake_s3.secret_key.encode() not in pickled
            with pickle.loads(pickled) as again:
                assert (again.root, again.etag) == (archive.root, archive.etag)

    def test_threads(self, path: Path, source: Path) -> None:
        names = ["a.txt", "big.bin", "photos/1.jpg", "photos/2.jpg", "sub/b.txt", "sub/deep/c.txt"] * 10
        with s3z.Archive(path) as archive, ThreadPoolExecutor(8) as pool:
            for name, buffer in zip(names, pool.map(archive.read, names), strict=True):
                assert bytes(buffer) == (source / name).read_bytes()

    def test_fork(self, fake_s3: FakeS3, packed: str) -> None:
        code = (
            "import os, sys, s3z\n"
            "archive = s3z.Archive(sys.argv[1])\n"
            "assert bytes(archive.read('a.txt')) == b'hello\\n'\n"
            "for _ in range(3):\n"
            "    if os.fork() == 0:\n"
            "        assert bytes(archive.read('a.txt')) == b'hello\\n'\n"
            "        os._exit(0)\n"
            "assert [os.wait()[1] for _ in range(3)] == [0, 0, 0]\n"
            "assert bytes(archive.read('sub/deep/c.txt')) == b'deep\\n'\n"
        )
        outcome = python(code, packed, env=fake_s3.environment())
        assert (outcome.status, outcome.stderr) == (0, "")


class TestVerify:
    @pytest.mark.parametrize("level", ["full", "index", 0.01, 0.5, 1.0])
    def test_well(self, path: Path, level: str | float) -> None:
        with s3z.Archive(path) as archive:
            report = archive.verify(level)
            assert report.problems == ()
            assert report.level == (level if isinstance(level, str) else "sample")
            if level == "full":
                assert (report.entries, report.bytes) == (len(NAMES), archive.raw_bytes)

    @pytest.mark.parametrize("level", ["none", "", 0, 0.0, -1, 1.5, float("nan")])
    def test_no_level(self, path: Path, level: Any) -> None:
        with s3z.Archive(path) as archive, pytest.raises(s3z.ConfigError):
            archive.verify(level)

    def test_damage_is_named(self, path: Path) -> None:
        with s3z.Archive(path) as archive:
            found = archive.range_of("photos/1.jpg")
            assert found is not None
            path.write_bytes(flipped(path.read_bytes(), found.offset + 1000))
            with pytest.raises(s3z.IntegrityError) as caught:
                archive.verify()
        report = caught.value.report
        assert report is not None
        assert any("photos/1.jpg" in str(problem) or problem.offset is not None for problem in report.problems)
        assert pickle.loads(pickle.dumps(caught.value)).report == report
        with s3z.Archive(path) as archive:
            assert archive.verify("index").problems == ()

    def test_progress(self, path: Path) -> None:
        seen: list[s3z.ProgressEvent] = []
        with s3z.Archive(path) as archive:
            report = archive.verify(progress=seen.append)
        assert (seen[-1].durable, seen[-1].objects) == (report.bytes, report.entries)


class TestDamage:
    """Any changed byte is found; no changed byte is given out."""

    @pytest.fixture
    def tiny(self, tmp_path: Path) -> bytes:
        tree = Tree(tmp_path / "tiny")
        tree.file("noise", noise(20_000))
        tree.file("text", text(20_000))
        s3z.pack(f"{tmp_path}/tiny/", tmp_path / "tiny.tar.zst")
        return (tmp_path / "tiny.tar.zst").read_bytes()

    def test_any_byte(self, tiny: bytes, tmp_path: Path) -> None:
        bad, expected = tmp_path / "bad.tar.zst", {"noise": noise(20_000), "text": text(20_000)}
        for at in [*range(0, len(tiny), 61), *range(len(tiny) - 250, len(tiny))]:
            bad.write_bytes(flipped(tiny, at))
            try:
                with s3z.Archive(bad) as archive:
                    for name, data in expected.items():
                        with contextlib.suppress(s3z.ArchiveError, s3z.IntegrityError, s3z.NotFoundError):
                            assert bytes(archive.read(name)) == data, at
                    archive.verify()
            except (s3z.ArchiveError, s3z.IntegrityError):
                continue
            pytest.fail(f"byte {at} of {len(tiny)} may be changed unseen")

    def test_truncated(self, tiny: bytes, tmp_path: Path) -> None:
        bad = tmp_path / "bad.tar.zst"
        for length in (0, 1, 8, 9, 100, len(tiny) // 2, len(tiny) - 128, len(tiny) - 9, len(tiny) - 1):
            bad.write_bytes(tiny[:length])
            with pytest.raises((s3z.ArchiveError, s3z.IntegrityError)):
                s3z.Archive(bad)
        bad.write_bytes(tiny + b"\0")
        with pytest.raises((s3z.ArchiveError, s3z.IntegrityError)):
            s3z.Archive(bad)

    @pytest.mark.parametrize("data", [b"", b"no archive at all", bytes(2000), b"\x28\xb5\x2f\xfd" * 400])
    def test_no_archive(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "x.tar.zst").write_bytes(data)
        with pytest.raises(s3z.ArchiveError):
            s3z.Archive(tmp_path / "x.tar.zst")

    @pytest.mark.parametrize("name", ["x.tar", "x.tar.zst"])
    def test_foreign_archive(self, tmp_path: Path, name: str) -> None:
        foreign(tmp_path / name, ("a", b"hello"))
        with pytest.raises(s3z.ArchiveError):
            s3z.Archive(tmp_path / name)

    def test_newer_major(self, tiny: bytes, tmp_path: Path) -> None:
        path = tmp_path / "new.tar.zst"
        path.write_bytes(patched(tiny, lambda footer: struct.pack_into("<H", footer, 24, 2)))
        with pytest.raises(s3z.ArchiveError, match="2"):
            s3z.Archive(path)

    def test_newer_minor_and_low_flags(self, tiny: bytes, tmp_path: Path) -> None:
        path = tmp_path / "new.tar.zst"
        path.write_bytes(patched(tiny, lambda footer: struct.pack_into("<H", footer, 26, 7)))
        with s3z.Archive(path) as archive:
            assert bytes(archive.read("text")) == text(20_000)
        path.write_bytes(patched(tiny, lambda footer: footer.__setitem__(29, 0x80)))
        s3z.Archive(path).close()

    def test_flag_that_a_reader_must_know(self, tiny: bytes, tmp_path: Path) -> None:
        path = tmp_path / "new.tar.zst"
        path.write_bytes(patched(tiny, lambda footer: footer.__setitem__(30, 1)))
        with pytest.raises(s3z.ArchiveError):
            s3z.Archive(path)

    def test_footer_without_its_root(self, tiny: bytes, tmp_path: Path) -> None:
        path = tmp_path / "bad.tar.zst"
        path.write_bytes(flipped(tiny, footer_at(tiny) + 80))
        with pytest.raises((s3z.ArchiveError, s3z.IntegrityError)):
            s3z.Archive(path)


class TestNames:
    def test_missing(self, tmp_path: Path, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client) -> None:
        with pytest.raises(FileNotFoundError):
            s3z.Archive(tmp_path / "missing")
        with pytest.raises(s3z.NotFoundError):
            s3z.Archive(f"s3://{fake_bucket}/missing", client=fake_client)
        with pytest.raises(OSError, match="directory"):
            s3z.Archive(tmp_path)

    @pytest.mark.parametrize("name", ["s3://b", "http://h/a", ""])
    def test_malformed(self, fake_client: s3z.Client, name: str) -> None:
        with pytest.raises(s3z.ConfigError):
            s3z.Archive(name, client=fake_client)

    def test_types(self, path: Path) -> None:
        with s3z.Archive(path) as archive:
            for value in (5, None, ["a.txt"]):
                with pytest.raises(TypeError):
                    archive.read(value)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            s3z.Archive(5)  # type: ignore[arg-type]


def test_other_stores(client: s3z.Client, bucket: str, source: Path) -> None:
    """Each server in turn: packed, listed, read."""
    uri = f"s3://{bucket}/a.tar.zst"
    report = client.pack(f"{source}/", uri)
    with s3z.Archive(uri, client=client, root=report.root) as archive:
        assert [entry.path_bytes for entry in archive] == NAMES
        assert bytes(archive.read("big.bin")) == (source / "big.bin").read_bytes()
        assert archive.verify().problems == ()
