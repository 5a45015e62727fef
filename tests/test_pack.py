"""`s3z.pack`: what is packed, where it goes, what is told of it, and what is left when it fails (archive.md 5).

The bytes themselves are those of `test_archive_format.py`.
"""

from __future__ import annotations

import errno
import io
import os
import pickle
import threading
from typing import TYPE_CHECKING, Any

import pytest
from support.archive_files import NAMES, extract, small_tree
from support.archive_reader import Reader
from support.archive_tree import Tree, look, noise
from support.command import python
from support.data import MIB, pattern, write_pattern
from support.kill import open_to_others

import s3z

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.servers import FakeS3, Server


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return small_tree(tmp_path / "source")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where an archive goes; alone in its directory."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "a.tar.zst"


def names(path: Path) -> list[bytes]:
    """Names of entries, by the second reader."""
    with Reader(path) as reader:
        found = [row["path_raw"] if row.get("path_raw") else row["relative_path"].encode() for row in reader.rows()]
    return list(dict.fromkeys(found))


class TestReport:
    def test_counts(self, source: Path, out: Path) -> None:
        report = s3z.pack(f"{source}/", out)
        assert (report.entries, report.files, report.directories) == (17, 10, 5)
        assert (report.symlinks, report.hard_links) == (1, 1)
        assert report.files == report.compressed_files + report.stored_files + report.empty_files
        assert (report.stored_files, report.empty_files) == (2, 1)
        assert report.bytes_in == sum(
            path.stat().st_size for path in source.rglob("*") if path.is_file() and path.name not in ("link", "z-same")
        )
        assert report.bytes_out == out.stat().st_size
        assert report.ratio == report.bytes_in / report.bytes_out
        assert (report.skipped, report.failures) == ({}, ())
        assert report.destination == str(out)
        with Reader(out) as reader:
            assert reader.footer.root == report.root
        assert names(out) == NAMES

    def test_words(self, source: Path, out: Path) -> None:
        report = s3z.pack(f"{source}/", out)
        assert repr(report).startswith(f"PackReport('{out}', 17 entries, ")
        assert report.root.hex() in report._repr_html_()
        assert pickle.loads(pickle.dumps(report)) == report

    def test_object(self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, source: Path) -> None:
        report = fake_client.pack(f"{source}/", f"s3://{fake_bucket}/a.tar.zst", part_size=5 * MIB)
        head = fake_client.head(f"s3://{fake_bucket}/a.tar.zst")
        assert (report.bytes_out, report.etag) == (head.size, head.etag)
        assert str(report.verified).partition(":")[0] in ("full_object/crc64nvme", "parts/crc64nvme")
        assert report.destination == f"s3://{fake_bucket}/a.tar.zst"

    def test_progress(self, source: Path, out: Path) -> None:
        seen: list[s3z.ProgressEvent] = []
        report = s3z.pack(f"{source}/", out, progress=seen.append)
        assert (seen[-1].durable, seen[-1].objects) == (report.bytes_in, report.entries)
        assert [event.durable for event in seen] == sorted(event.durable for event in seen)

    def test_an_exception_in_progress_cancels(self, source: Path, out: Path) -> None:
        def refuse(event: s3z.ProgressEvent) -> None:
            raise LookupError("enough")

        with pytest.raises(LookupError, match="enough"):
            s3z.pack(f"{source}/", out, progress=refuse)
        # It may have been called only once, at the end.
        assert [path.name for path in out.parent.iterdir()] in ([], ["a.tar.zst"])


class TestSource:
    @pytest.mark.parametrize(
        ("name", "prefix"), [("source/", b""), ("source", b"source/"), ("./source/.", b""), ("source/sub/..", b"")]
    )
    def test_directory(
        self, source: Path, out: Path, monkeypatch: pytest.MonkeyPatch, name: str, prefix: bytes
    ) -> None:
        monkeypatch.chdir(source.parent)
        s3z.pack(name, out)
        assert names(out) == ([prefix] if prefix else []) + [prefix + name for name in NAMES]

    def test_file(self, source: Path, out: Path) -> None:
        assert s3z.pack(source / "sub" / "b.txt", out).entries == 1
        assert names(out) == [b"b.txt"]

    def test_names_are_literal(self, tmp_path: Path, out: Path) -> None:
        (tmp_path / "a*").mkdir()
        (tmp_path / "a*" / "?").write_text("x")
        s3z.pack(f"{tmp_path}/a*/", out)
        assert names(out) == [b"?"]

    def test_tree_comes_back(self, source: Path, out: Path, tmp_path: Path) -> None:
        s3z.pack(f"{source}/", out)
        assert look(extract(out, tmp_path / "again")) == look(source)

    def test_prefix(self, bucket: str, client: s3z.Client, out: Path, tmp_path: Path) -> None:
        held = {"p/a.txt": b"A", "p/sub/b.bin": pattern(300_000), "p/sub/c": b"", "p/marker/": b"", "q/other": b"no"}
        for key, data in held.items():
            client.put(f"s3://{bucket}/{key}", data)
        report = client.pack(f"s3://{bucket}/p/", out)
        assert names(out) == [b"a.txt", b"marker/", b"sub/b.bin", b"sub/c"]
        assert (report.files, report.directories, report.bytes_in) == (3, 1, 300_001)
        again = extract(out, tmp_path / "again")
        assert (again / "sub" / "b.bin").read_bytes() == held["p/sub/b.bin"]
        assert (again / "a.txt").stat().st_mode & 0o777 == 0o644

    def test_whole_bucket_to_the_same_store(self, bucket: str, client: s3z.Client) -> None:
        client.put(f"s3://{bucket}/a", b"A")
        assert client.pack(f"s3://{bucket}", f"s3://{bucket}/z.tar.zst").files == 1

    def test_missing(self, tmp_path: Path, out: Path) -> None:
        with pytest.raises(FileNotFoundError, match="missing"):
            s3z.pack(tmp_path / "missing", out)
        assert not out.exists()

    def test_neither_file_nor_directory(self, tmp_path: Path, out: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        with pytest.raises(OSError, match="neither a regular file") as caught:
            s3z.pack(tmp_path / "fifo", out)
        assert caught.value.filename == str(tmp_path / "fifo")

    def test_object(self, fake_client: s3z.Client, out: Path) -> None:
        with pytest.raises(s3z.ConfigError, match="s3://b/k/"):
            fake_client.pack("s3://b/k", out)

    def test_no_bucket(self, fake_s3: FakeS3, fake_client: s3z.Client, out: Path) -> None:
        with pytest.raises(s3z.NotFoundError):
            fake_client.pack("s3://no-such-bucket/p/", out)
        assert not out.exists()

    def test_is_the_destination(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("hello")
        with pytest.raises(s3z.ConfigError, match="both source and destination"):
            s3z.pack(tmp_path / "a", tmp_path / "a")
        assert (tmp_path / "a").read_text() == "hello"

    @pytest.mark.parametrize("value", [b"bytes", 5, None, io.BytesIO()])
    def test_wrong_type(self, out: Path, value: Any) -> None:
        with pytest.raises(TypeError):
            s3z.pack(value, out)


class TestDestination:
    @pytest.mark.parametrize("name", ["out/", "out", "out/new/", "."])
    def test_directory(self, source: Path, out: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.chdir(source.parent)
        with pytest.raises(s3z.ConfigError, match=r"NAME\.tar\.zst"):
            s3z.pack(source, name)
        assert list(out.parent.iterdir()) == []

    @pytest.mark.parametrize("uri", ["s3://b", "s3://b/", "s3://b/p/"])
    def test_no_object(self, fake_client: s3z.Client, source: Path, uri: str) -> None:
        with pytest.raises(s3z.ConfigError, match="s3://b/"):
            fake_client.pack(source, uri)

    def test_parents_are_made(self, source: Path, tmp_path: Path) -> None:
        s3z.pack(source, tmp_path / "new" / "er" / "a.tar.zst")
        assert (tmp_path / "new" / "er" / "a.tar.zst").exists()

    def test_pipe(self, source: Path, out: Path) -> None:
        reader, writer = os.pipe()
        held: list[bytes] = []

        def drain() -> None:
            with os.fdopen(reader, "rb") as file:
                held.append(file.read())

        thread = threading.Thread(target=drain)
        thread.start()
        with io.FileIO(writer, "wb") as file:
            report = s3z.pack(f"{source}/", file)
        thread.join()
        s3z.pack(f"{source}/", out)
        assert held[0] == out.read_bytes()
        assert (report.etag, report.bytes_out) == (None, len(held[0]))

    def test_fifo_and_device(self, source: Path, out: Path, tmp_path: Path) -> None:
        s3z.pack(f"{source}/", out)
        os.mkfifo(tmp_path / "fifo")
        held: list[bytes] = []
        thread = threading.Thread(target=lambda: held.append((tmp_path / "fifo").read_bytes()))
        thread.start()
        s3z.pack(f"{source}/", tmp_path / "fifo")
        thread.join()
        assert held[0] == out.read_bytes()
        assert s3z.pack(f"{source}/", os.devnull).bytes_out == out.stat().st_size

    def test_overwrite(self, source: Path, out: Path) -> None:
        out.write_text("old")
        with pytest.raises(FileExistsError):
            s3z.pack(source, out, overwrite=False)
        assert out.read_text() == "old"
        s3z.pack(source, out)
        assert out.stat().st_size > 1000

    def test_overwrite_of_an_object(self, bucket: str, client: s3z.Client, source: Path) -> None:
        client.put(f"s3://{bucket}/a", b"old")
        with pytest.raises(s3z.AlreadyExistsError):
            client.pack(source, f"s3://{bucket}/a", overwrite=False)
        assert bytes(client.get(f"s3://{bucket}/a")) == b"old"
        client.pack(source, f"s3://{bucket}/b", overwrite=False)

    def test_headers(self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, source: Path) -> None:
        fake_client.pack(source, f"s3://{fake_bucket}/a.tar.zst", metadata={"made-by": "me"}, cache_control="no-cache")
        head = fake_client.head(f"s3://{fake_bucket}/a.tar.zst")
        assert (head.metadata["made-by"], head.content_type) == ("me", "application/zstd")
        assert head.headers["cache-control"] == "no-cache"

    @pytest.mark.parametrize("option", [{"metadata": {"a": "b"}}, {"part_size": 8 * MIB}, {"if_match": "e"}])
    def test_options_of_objects(self, source: Path, out: Path, option: dict[str, Any]) -> None:
        with pytest.raises(s3z.ConfigError, match="object"):
            s3z.pack(source, out, **option)

    def test_old_file_survives_a_failure(self, source: Path, out: Path, small_disk: Path) -> None:
        (source / "large").write_bytes(noise(9 * MIB))
        target = small_disk / "a.tar.zst"
        target.write_text("old")
        with pytest.raises(OSError, match="No space") as caught:
            s3z.pack(source, target)
        assert caught.value.errno == errno.ENOSPC
        assert target.read_text() == "old"
        assert os.listdir(small_disk) == ["a.tar.zst"]


class TestOptions:
    @pytest.mark.parametrize(
        ("name", "codec", "magic"),
        [
            ("a.tar.zst", None, b"\x28\xb5"), ("a.tzst", "zstd", b"\x28\xb5"), ("a", None, b"\x28\xb5"),
            ("a.TAR", None, b"a."), ("a.tar", "none", b"a."), ("a.bin", "none", b"a."), ("tar", None, b"\x28\xb5"),
        ],
    )  # fmt: skip
    def test_codec(self, source: Path, out: Path, name: str, codec: str | None, magic: bytes) -> None:
        s3z.pack(source / "a.txt", out.with_name(name), codec=codec)
        assert out.with_name(name).read_bytes().startswith(magic)

    @pytest.mark.parametrize(("name", "codec"), [("a.tar", "zstd"), ("a.tar.zst", "none"), ("a.TZST", "none")])
    def test_codec_against_the_name(self, source: Path, out: Path, name: str, codec: str) -> None:
        with pytest.raises(s3z.ConfigError, match="contradicts"):
            s3z.pack(source, out.with_name(name), codec=codec)
        assert list(out.parent.iterdir()) == []

    @pytest.mark.parametrize(
        "option",
        [
            {"codec": "gzip"}, {"level": 20}, {"level": -8}, {"group_size": 1}, {"group_size": 8 * MIB},
            {"slice_size": 3 * MIB}, {"on_error": "ignore"}, {"workers": 0},
        ],
        ids=str,
    )  # fmt: skip
    def test_out_of_range(self, source: Path, out: Path, option: dict[str, Any]) -> None:
        with pytest.raises(s3z.ConfigError):
            s3z.pack(source, out, **option)
        assert list(out.parent.iterdir()) == []

    @pytest.mark.parametrize(
        ("include", "exclude", "kept"),
        [
            ([], ["*.txt"], [name for name in NAMES if not name.endswith(b".txt")]),
            (["*.txt"], [], [b"a.txt", b"sub/b.txt", b"sub/deep/c.txt"]),
            (["*.txt", "*.jpg"], ["sub/*", "photos/1*"], [b"a.txt", b"photos/2.jpg"]),
            (["?.txt", ""], [], [b"a.txt"]),
            ([b"sub/\xff*"], [], [b"sub/\xff.bin"]),
        ],
    )
    @pytest.mark.parametrize("name", ["source/", "source"])
    def test_filters(
        self, source: Path, out: Path, name: str, include: list[Any], exclude: list[Any], kept: list[bytes]
    ) -> None:
        """Of names below the source, however it is written."""
        prefix = b"" if name.endswith("/") else b"source/"
        report = s3z.pack(f"{source.parent}/{name}", out, include=include, exclude=exclude)
        assert [each for each in names(out) if each != b"source/"] == [prefix + each for each in kept]
        assert report.skipped["excluded"] + report.entries == len(NAMES) + bool(prefix)

    def test_one_pattern_is_not_a_list(self, source: Path, out: Path) -> None:
        with pytest.raises(TypeError, match="exclude"):
            s3z.pack(source, out, exclude="*.txt")

    def test_follow_symlinks(self, source: Path, out: Path) -> None:
        report = s3z.pack(f"{source}/", out, follow_symlinks=True)
        assert (report.symlinks, report.files) == (0, 11)

    def test_special_files_and_the_output_are_skipped(self, source: Path) -> None:
        os.mkfifo(source / "fifo")
        target = source / "photos" / "all.tar.zst"
        for output in (1, 2):  # the temporary file, and then the old archive, too
            report = s3z.pack(f"{source}/", target)
            assert names(target) == NAMES
            assert report.skipped == {"output": output, "special": 1}


class TestSame:
    """Neither workers, nor memory, nor the destination has a say in the bytes."""

    def test_bytes(self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, source: Path, out: Path) -> None:
        s3z.pack(f"{source}/", out, workers=2)
        expected = out.read_bytes()
        for workers, memory_limit in ((1, None), (16, None), (16, 96 * MIB), (2, 400 * MIB)):
            s3z.pack(f"{source}/", out, workers=workers, memory_limit=memory_limit)
            assert out.read_bytes() == expected, (workers, memory_limit)
        uri = f"s3://{fake_bucket}/a.tar.zst"
        etags = {fake_client.pack(f"{source}/", uri, workers=workers).etag for workers in (1, 2, 16)}
        assert bytes(fake_client.get(uri)) == expected
        assert len(etags) == 1

    def test_a_gateway(self, versitygw: Server, source: Path, out: Path) -> None:
        client = versitygw.client()
        bucket = f"pack-{os.getpid()}"
        versitygw.boto3.create_bucket(Bucket=bucket)
        report = s3z.pack(f"{source}/", out)
        assert client.pack(f"{source}/", f"s3://{bucket}/a.tar.zst", part_size=5 * MIB).root == report.root
        assert bytes(client.get(f"s3://{bucket}/a.tar.zst")) == out.read_bytes()
        assert versitygw.open_uploads(bucket) == []


UNREADABLE = """
import os, sys, s3z
s3z.pack(__import__("tempfile").mkdtemp(), os.devnull)  # loads all that nobody may read
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
source, out = sys.argv[1:]
try:
    s3z.pack(source, out)
except PermissionError as error:
    print(error.filename)
print(os.listdir(os.path.dirname(out)))
for failure in s3z.pack(source, out, on_error="skip").failures:
    print(failure.name, failure.kind, failure.errno)
"""


class TestUnreadable:
    def test_file_and_directory(self, source: Path, out: Path) -> None:
        (source / "sub" / "b.txt").chmod(0)
        (source / "photos").chmod(0)
        for name in ("big.bin", "nothing"):
            (source / name).chmod(0o755)
        out.parent.chmod(0o777)
        open_to_others(out.parent.parent)
        done = python(UNREADABLE, f"{source}/", str(out))
        (source / "photos").chmod(0o755)
        assert done.status == 0, done
        path, *rest = done.lines
        assert path in (str(source / "photos"), str(source / "sub" / "b.txt"))
        assert rest == ["[]", f"photos/ OSError {errno.EACCES}", f"sub/b.txt OSError {errno.EACCES}"]
        assert names(out) == [name for name in NAMES if not name.startswith((b"photos", b"sub/b"))]


class Stalled:
    """A pack that waits for its reader: the first file fills the memory, what comes after it was only listed."""

    LARGE = 160 * MIB

    def __init__(self, source: Path, **options: Any) -> None:
        self.source = source
        self.reader, writer = os.pipe()
        self.data = b""
        self.outcome: s3z.PackReport | BaseException | None = None

        def run() -> None:
            with io.FileIO(writer, "wb") as file:
                try:
                    self.outcome = s3z.pack(f"{source}/", file, workers=2, memory_limit=96 * MIB, **options)
                except BaseException as error:
                    self.outcome = error

        self.thread = threading.Thread(target=run)
        self.thread.start()
        self.data += os.read(self.reader, 1 << 16)

    def finish(self) -> s3z.PackReport:
        """Read the rest; what the call returned, or raise what it raised."""
        pieces = [self.data]
        while piece := os.read(self.reader, 1 << 20):
            pieces.append(piece)
        os.close(self.reader)
        self.thread.join()
        self.data = b"".join(pieces)
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        assert self.outcome is not None
        return self.outcome

    def row(self, name: str, directory: Path) -> dict[str, Any]:
        """The last row of an entry."""
        path = directory / "stalled.tar.zst"
        path.write_bytes(self.data)
        with Reader(path) as reader:
            return [row for row in reader.rows() if row["relative_path"] == name][-1]


class TestChanges:
    """Files that change while they are packed: never silently another content."""

    @pytest.fixture
    def stall(self, tmp_path: Path) -> Iterator[Callable[..., Stalled]]:
        source = tmp_path / "source"
        source.mkdir()
        # Stored as it is, so the pipe fills at once.
        write_pattern(source / "a.zip", Stalled.LARGE)
        (source / "b.txt").write_text("small")
        (source / "c.txt").write_text("last")
        running: list[Stalled] = []

        def start(**options: Any) -> Stalled:
            running.append(Stalled(source, **options))
            return running[-1]

        yield start
        for each in running:
            assert not each.thread.is_alive()
        (source / "a.zip").unlink()

    def test_vanished(self, stall: Callable[..., Stalled]) -> None:
        stalled = stall()
        (stalled.source / "b.txt").unlink()
        with pytest.raises(FileNotFoundError, match=r"b\.txt"):
            stalled.finish()

    def test_vanished_and_skipped(self, stall: Callable[..., Stalled], tmp_path: Path) -> None:
        stalled = stall(on_error="skip")
        (stalled.source / "b.txt").unlink()
        report = stalled.finish()
        assert [(each.name, each.errno) for each in report.failures] == [("b.txt", errno.ENOENT)]
        assert (report.entries, report.files) == (2, 2)
        assert stalled.row("c.txt", tmp_path)["flags"] == 0

    def test_grown_before_it_was_opened(self, stall: Callable[..., Stalled], tmp_path: Path) -> None:
        """Only the size at its opening counts."""
        stalled = stall()
        (stalled.source / "b.txt").write_text("a little larger")
        assert stalled.finish().failures == ()
        assert stalled.row("b.txt", tmp_path)["file_size"] == 15

    @pytest.mark.parametrize(("size", "flag"), [(Stalled.LARGE + 5, 2), (Stalled.LARGE // 2, 1)])
    def test_large_file(self, stall: Callable[..., Stalled], tmp_path: Path, size: int, flag: int) -> None:
        stalled = stall(on_error="skip")
        os.truncate(stalled.source / "a.zip", size)
        report = stalled.finish()
        assert [each.name for each in report.failures] == ["a.zip"]
        row = stalled.row("a.zip", tmp_path)
        assert row["flags"] & flag
        assert row["file_size"] == Stalled.LARGE

    @pytest.mark.parametrize("size", [Stalled.LARGE + 5, Stalled.LARGE // 2])
    def test_large_file_fails_the_pack(self, stall: Callable[..., Stalled], size: int) -> None:
        stalled = stall()
        os.truncate(stalled.source / "a.zip", size)
        with pytest.raises(s3z.S3zError, match=r"a\.zip") as caught:
            stalled.finish()
        assert type(caught.value) is s3z.ObjectChangedError


class TestFaults:
    """Nothing appears, and nothing is left."""

    @pytest.mark.parametrize("operation", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"])
    def test_store(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, source: Path, operation: str
    ) -> None:
        (source / "large").write_bytes(noise(12 * MIB))
        fake_s3.rule({"type": "respond", "status": 403, "code": "AccessDenied"}, operation=operation)
        with pytest.raises(s3z.AccessDeniedError):
            fake_client.pack(source, f"s3://{fake_bucket}/a.tar.zst", part_size=5 * MIB)
        assert fake_s3.do("keys", bucket=fake_bucket)["keys"] == []
        assert fake_s3.uploads() == []

    def test_put(self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, source: Path) -> None:
        fake_s3.rule({"type": "respond", "status": 403, "code": "AccessDenied"}, operation="PutObject")
        with pytest.raises(s3z.AccessDeniedError):
            fake_client.pack(source / "sub", f"s3://{fake_bucket}/a.tar.zst")
        assert fake_s3.do("keys", bucket=fake_bucket)["keys"] == []

    def test_listing_that_breaks_off(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, out: Path
    ) -> None:
        """A short listing is never taken for a whole one."""
        for number in range(1001):
            fake_s3.put(fake_bucket, f"p/{number:04}", b"x")
        fake_s3.rule({"type": "respond", "status": 403, "code": "AccessDenied"}, operation="ListObjectsV2", skip=1)
        for on_error in ("fail", "skip"):
            with pytest.raises(s3z.AccessDeniedError):
                fake_client.pack(f"s3://{fake_bucket}/p/", out, on_error=on_error)
        assert list(out.parent.iterdir()) == []

    def test_object_that_cannot_be_read(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, out: Path
    ) -> None:
        for key in ("p/a", "p/b", "p/c"):
            fake_s3.put(fake_bucket, key, b"x")
        fake_s3.rule({"type": "respond", "status": 403, "code": "AccessDenied"}, operation="GetObject", key="p/b")
        with pytest.raises(s3z.AccessDeniedError):
            fake_client.pack(f"s3://{fake_bucket}/p/", out)
        report = fake_client.pack(f"s3://{fake_bucket}/p/", out, on_error="skip")
        assert [(each.name, each.kind) for each in report.failures] == [("b", "AccessDeniedError")]
        assert names(out) == [b"a", b"c"]

    def test_reader_that_leaves(self, source: Path) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        with io.FileIO(writer, "wb") as file, pytest.raises(BrokenPipeError):
            s3z.pack(source, file)

    def test_same_names(self, tmp_path: Path, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client) -> None:
        """`a` and `a/` count as one."""
        for key in ("p/a", "p/a/"):
            fake_s3.put(fake_bucket, key, b"")
        with pytest.raises(s3z.S3zError, match="a"):
            fake_client.pack(f"s3://{fake_bucket}/p/", tmp_path / "a.tar.zst")

    def test_reserved_name_in_a_plain_tar(self, tmp_path: Path) -> None:
        tree = Tree(tmp_path / "source")
        tree.file("__s3z__/x", b"x")
        with pytest.raises(s3z.ArchiveError, match="__s3z__"):
            s3z.pack(f"{tmp_path}/source/", tmp_path / "a.tar")
        s3z.pack(f"{tmp_path}/source/", tmp_path / "a.tar.zst")
