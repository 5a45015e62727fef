"""Archives in the hands of others: every reader of `.tar.zst` and `.tar`, of seek tables, and of Arrow that people use.

One tree with every kind of entry goes through each, and what comes out is compared entry by entry.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib
import io
import os
import random
import shutil
import subprocess
import tarfile
import unicodedata
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from support.archive_frames import DATA, walk_frames
from support.archive_reader import Reader
from support.archive_tar import tar_stream, walk
from support.archive_tree import SECOND, Seen, build, look
from support.servers import ROOT, unavailable

import s3z

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import ModuleType

OURS = b"__s3z__/"
#: names are bytes in the locale of the readers, too
ENVIRONMENT = {**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC"}


@dataclasses.dataclass(frozen=True)
class Made:
    """A tree, and both of its archives."""

    source: Path
    zst: Path
    tar: Path
    seen: dict[bytes, Seen]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    directory = tmp_path_factory.mktemp("interop")
    source = build(directory / "source")
    found = Made(source, directory / "all.tar.zst", directory / "all.tar", look(source))
    for path in (found.zst, found.tar):
        s3z.pack(f"{source}/", str(path))
    yield found
    shutil.rmtree(directory)


def program(name: str) -> str:
    """Where a program is."""
    found = shutil.which(name)
    if found is None:
        unavailable(f"{name} is not installed")
    return str(found)


def module(name: str) -> ModuleType:
    """A module of PyPI."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        unavailable(f"{name} is not installed: {error}")
        raise


def chain(*commands: list[str], directory: Path) -> bytes:
    """A pipeline, in which every process has to end well, the first one, too; what the last one printed."""
    running: list[subprocess.Popen[bytes]] = []
    errors = [open(directory / f".stderr-{number}", "w+b") for number in range(len(commands))]  # noqa: SIM115
    with contextlib.ExitStack() as stack:
        for error in errors:
            stack.enter_context(error)
        before = None
        for command, error in zip(commands, errors, strict=True):
            process = subprocess.Popen(
                command,
                cwd=directory,
                stdin=before or subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=error,
                env=ENVIRONMENT,
            )
            if before is not None:
                before.close()
            before = process.stdout
            running.append(process)
        assert before is not None
        printed = before.read()
        before.close()
        statuses = [process.wait(timeout=60) for process in running]
        for error in errors:
            error.seek(0)
        assert not any(statuses), (statuses, [error.read()[-2000:] for error in errors])
    for error in errors:
        os.unlink(error.name)
    return printed


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """Where to extract; removed at once."""
    directory = tmp_path / "out"
    directory.mkdir()
    yield directory
    shutil.rmtree(directory)


def compare(found: dict[bytes, Seen], expected: dict[bytes, Seen]) -> None:
    """Entry by entry."""
    assert sorted(found.keys() - expected.keys()) == []
    assert sorted(expected.keys() - found.keys()) == []
    wrong = {name: (found[name], expected[name]) for name in expected if found[name] != expected[name]}
    assert not wrong


def composed(seen: dict[bytes, Seen]) -> dict[bytes, Seen]:
    """As libarchive has them: in pax it turns UTF-8 names to NFC."""

    def nfc(name: bytes) -> bytes:
        try:
            return unicodedata.normalize("NFC", name.decode()).encode()
        except UnicodeDecodeError:
            return name

    return {nfc(name): one for name, one in seen.items()}


def take_ours(directory: Path) -> list[bytes]:
    """What the `.tar` flavour has besides the tree: its names, and they are gone."""
    inside = os.path.join(os.fsencode(directory), OURS)
    names = sorted(os.listdir(inside))
    shutil.rmtree(inside)
    return names


# --- zstd, tar, bsdtar ------------------------------------------------------------------------------------------------


class TestZstd:
    def test_accepts(self, made: Made, tmp_path: Path) -> None:
        chain([program("zstd"), "-t", "-q", str(made.zst)], directory=tmp_path)

    def test_counts_frames(self, made: Made, tmp_path: Path) -> None:
        listed = chain([program("zstd"), "-l", str(made.zst)], directory=tmp_path).decode().splitlines()
        frames = list(walk_frames(made.zst.read_bytes()))
        data = sum(frame.magic == DATA for frame in frames)
        assert listed[1].split()[:2] == [str(len(frames)), "4"], listed
        assert len(frames) - data == 4

    def test_decompresses_to_the_tar(self, made: Made, tmp_path: Path) -> None:
        stream = chain([program("zstd"), "-dc", str(made.zst)], directory=tmp_path)
        expected = tar_stream(walk(f"{made.source}/")) + bytes(1024)
        assert hashlib.sha256(stream).digest() == hashlib.sha256(expected).digest()


#: every way to hand an archive to a tar; `archive` is its second name, without a suffix
ZST_WAYS: dict[str, tuple[str, Callable[[str, Path], list[list[str]]]]] = {
    "tar-file": ("tar", lambda tar, path: [[tar, "-xpf", str(path)]]),
    "tar-no-suffix": ("tar", lambda tar, path: [[tar, "-xpf", str(path.with_name("archive"))]]),
    "tar-pipe": ("tar", lambda tar, path: [["cat", str(path)], [tar, "--zstd", "-xpf", "-"]]),
    "zstd-tar": ("tar", lambda tar, path: [["zstd", "-dc", str(path)], [tar, "-xpf", "-"]]),
    "bsdtar-file": ("bsdtar", lambda tar, path: [[tar, "-xpf", str(path)]]),
    "bsdtar-no-suffix": ("bsdtar", lambda tar, path: [[tar, "-xpf", str(path.with_name("archive"))]]),
    "bsdtar-pipe": ("bsdtar", lambda tar, path: [["cat", str(path)], [tar, "-xpf", "-"]]),
    "zstd-bsdtar": ("bsdtar", lambda tar, path: [["zstd", "-dc", str(path)], [tar, "-xpf", "-"]]),
}
TAR_WAYS = {
    name: ZST_WAYS[name] for name in ("tar-file", "tar-no-suffix", "bsdtar-file", "bsdtar-no-suffix", "bsdtar-pipe")
}
TAR_WAYS["tar-pipe"] = ("tar", lambda tar, path: [["cat", str(path)], [tar, "-xpf", "-"]])


def extract(way: tuple[str, Callable[[str, Path], list[list[str]]]], archive: Path, directory: Path) -> None:
    """One way to extract an archive."""
    program("zstd")
    bare = archive.with_name("archive")
    bare.unlink(missing_ok=True)
    bare.hardlink_to(archive)
    chain(*way[1](program(way[0]), archive), directory=directory)


@pytest.mark.parametrize("way", ZST_WAYS)
def test_tar_zst(made: Made, out: Path, way: str) -> None:
    extract(ZST_WAYS[way], made.zst, out)
    compare(look(out), composed(made.seen) if "bsdtar" in way else made.seen)


@pytest.mark.parametrize("way", TAR_WAYS)
def test_tar(made: Made, out: Path, way: str) -> None:
    extract(TAR_WAYS[way], made.tar, out)
    assert take_ours(out) == [b".footer", b".index.arrow", b".manifest.arrow"]
    compare(look(out), composed(made.seen) if "bsdtar" in way else made.seen)


# --- Python -----------------------------------------------------------------------------------------------------------


def members(archive: Any) -> dict[bytes, Seen]:
    """What a `tarfile` has, in the words of `look`."""
    found: dict[bytes, Seen] = {}
    first: dict[bytes, bytes] = {}
    for member in archive:
        name = os.fsencode(member.name)
        kind = "directory" if member.isdir() else "symlink" if member.issym() else "file"
        target = os.fsencode(member.linkname) if member.issym() or member.islnk() else None
        content = None
        if member.isreg():
            content = hashlib.sha256(archive.extractfile(member).read()).hexdigest()
        elif member.islnk():
            assert target is not None
            first[target] = target
            content = found[target].content
        found[name] = Seen(kind, member.mode, member.mtime, target, content)
    for name in first:
        found[name] = dataclasses.replace(found[name], target=name)
    return found


def bytes_of_ours(found: dict[bytes, Seen]) -> list[bytes]:
    """Names of ours, which are taken out."""
    names = [name for name in found if name.startswith(OURS)]
    for name in names:
        assert (found[name].kind, found[name].mode, found[name].mtime) == ("file", 0o644, 0)
        del found[name]
    return names


class TestTarfile:
    """Python's own, which since 3.14 knows zstd; before, a package has that one for older versions."""

    @pytest.fixture
    def with_zstd(self) -> Any:
        with contextlib.suppress(ImportError):
            importlib.import_module("compression.zstd")
            return tarfile
        module("backports.zstd")
        return module("backports.zstd.tarfile")

    @pytest.mark.parametrize("mode", ["r:*", "r:zst"])
    def test_tar_zst(self, made: Made, with_zstd: Any, mode: str) -> None:
        with with_zstd.open(made.zst, mode) as archive:
            compare(members(archive), made.seen)

    @pytest.mark.parametrize("mode", ["r:*", "r:", "r|", "r|*"])
    def test_tar(self, made: Made, mode: Any) -> None:
        with tarfile.open(made.tar, mode) as archive:
            found = members(archive)
        assert bytes_of_ours(found) == [OURS + name for name in (b".index.arrow", b".manifest.arrow", b".footer")]
        compare(found, made.seen)

    def test_a_pipe_is_read_to_its_end(self, made: Made) -> None:
        """Else whoever writes into it would be killed."""
        with subprocess.Popen(["cat", str(made.tar)], stdout=subprocess.PIPE) as cat:
            with tarfile.open(fileobj=cat.stdout, mode="r|") as archive:
                names = archive.getnames()
            assert cat.wait(timeout=60) == 0
        assert names[-1] == "__s3z__/.footer"

    def test_streams_of_zstandard(self, made: Made) -> None:
        reader = module("zstandard").ZstdDecompressor()
        with made.zst.open("rb") as file, reader.stream_reader(file, read_across_frames=True) as stream:
            archive = tarfile.open(fileobj=stream, mode="r|")  # noqa: SIM115 (a stream, which is closed)
            compare(members(archive), made.seen)

    def test_the_known_hole(self, made: Made, with_zstd: Any) -> None:
        """Python's stream mode ends with the first frame. If that is mended, the page on the format has to say so."""
        with (
            pytest.raises((EOFError, tarfile.TarError, with_zstd.TarError)),
            with_zstd.open(made.zst, "r|zst") as archive,
        ):
            members(archive)


class TestSeekTable:
    def test_random_reads(self, made: Made) -> None:
        pyzstd = module("pyzstd")
        expected = tar_stream(walk(f"{made.source}/")) + bytes(1024)
        chance = random.Random(7)
        with pyzstd.SeekableZstdFile(made.zst) as file:
            assert file.seek(0, os.SEEK_END) == len(expected)
            places = [chance.randrange(len(expected)) for _ in range(60)]
            for at in [0, len(expected) - 1, len(expected) - 1025, *places]:
                file.seek(at)
                length = chance.choice((1, 512, 5000, 200_000))
                assert file.read(length) == expected[at : at + length], at

    def test_one_line_for_each_frame(self, made: Made) -> None:
        pyzstd = module("pyzstd")
        assert pyzstd.SeekableZstdFile.is_seekable_format_file(made.zst)
        frames = list(walk_frames(made.zst.read_bytes()))[:-1]
        with pyzstd.SeekableZstdFile(made.zst) as file:
            count, compressed, content = file.seek_table_info
        assert count == len(frames)
        assert (compressed, content) == (
            sum(frame.size for frame in frames),
            sum(frame.content_size for frame in frames),
        )


# --- Arrow ------------------------------------------------------------------------------------------------------------


class Ranged(io.RawIOBase):
    """Part of a file; remembers what was read."""

    def __init__(self, path: Path, offset: int, length: int) -> None:
        self.file = path.open("rb")
        self.offset, self.length, self.at = offset, length, 0
        self.reads: list[int] = []

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = (0, self.at, self.length)[whence] + offset
        return self.at

    def readinto(self, buffer: Any) -> int:
        data = os.pread(self.file.fileno(), min(len(buffer), self.length - self.at), self.offset + self.at)
        buffer[: len(data)] = data
        self.at += len(data)
        self.reads.append(len(data))
        return len(data)

    def close(self) -> None:
        self.file.close()
        super().close()


@pytest.fixture(params=["zst", "tar"])
def archive(request: pytest.FixtureRequest, made: Made) -> Path:
    path: Path = getattr(made, request.param)
    return path


def rows_of(path: Path) -> list[dict[str, Any]]:
    with Reader(path) as reader:
        return reader.rows()


class TestArrow:
    def test_pyarrow_on_the_embedded_index(self, archive: Path) -> None:
        with Reader(archive) as reader:
            footer = reader.footer
        ranged = Ranged(archive, footer.index_offset, footer.index_len)
        with ranged, pa.ipc.open_file(pa.PythonFile(ranged, "r")) as file:
            assert len(ranged.reads) == 2, ranged.reads
            assert sum(ranged.reads) < 16 << 10
            batches = [file.get_batch(number) for number in range(file.num_record_batches)]
            table = pa.Table.from_batches(batches, file.schema)
        assert table.to_pylist() == rows_of(archive)

    def test_pyarrow(self, archive: Path) -> None:
        with s3z.Archive(str(archive)) as opened:
            for _ in range(2):
                table = pa.table(opened.index())
                assert table.to_pylist() == rows_of(archive)
        with Reader(archive) as reader:
            assert table.schema.equals(reader.schema)

    def test_polars(self, archive: Path) -> None:
        polars = module("polars")
        with s3z.Archive(str(archive)) as opened:
            frame = polars.DataFrame(opened.index())
        assert frame.to_dicts() == rows_of(archive)
        sizes = (
            frame.filter(polars.col("kind") == "f").group_by("compressed").agg(polars.len(), polars.sum("file_size"))
        )
        assert sizes.height == (2 if archive.suffix == ".zst" else 1)

    def test_duckdb(self, archive: Path) -> None:
        duckdb = module("duckdb")
        expected = rows_of(archive)
        with s3z.Archive(str(archive)) as opened, duckdb.connect() as database:
            database.register("entries", opened.index())
            columns = ", ".join(expected[0])
            found = database.execute(f"SELECT {columns} FROM entries ORDER BY ALL").fetchall()
            database.register("again", opened.index())
            query = "SELECT kind, count(*), sum(uncompressed_size) FROM again GROUP BY kind ORDER BY kind"
            kinds = database.execute(query).fetchall()
        wanted = [tuple(row.values()) for row in expected]
        assert sorted(found, key=repr) == sorted(wanted, key=repr)
        names = sorted({row["kind"] for row in expected})
        assert [kind for kind, *_ in kinds] == names
        assert sum(size for *_, size in kinds) == sum(row["uncompressed_size"] for row in expected)

    def test_the_rows_are_the_tree(self, made: Made, archive: Path) -> None:
        """So that equal rows mean the right ones."""
        first = [row for row in rows_of(archive) if row["chunk_seq"] == 0]
        names = [row["path_raw"] or row["relative_path"].encode() for row in first]
        assert sorted(name.rstrip(b"/") for name in names) == sorted(made.seen)
        for name, row in zip(names, first, strict=True):
            seen = made.seen[name.rstrip(b"/")]
            assert (row["mode"], row["mtime_ns"] // SECOND) == (seen.mode, seen.mtime)


class TestPage:
    """docs/archive-format.md, which is what others have."""

    def test_the_example_runs(self, made: Made) -> None:
        page = (ROOT / "docs" / "archive-format.md").read_text()
        code = page.split("```python\n")[1].split("```")[0]
        names: dict[str, Any] = {}
        exec(code.replace("photos.tar.zst", str(made.zst)), names)
        assert names["table"].to_pylist() == rows_of(made.zst)

    def test_first_frame_only(self, made: Made) -> None:
        """What the page says of `zstandard`."""
        zstandard = module("zstandard")
        data = made.zst.read_bytes()
        first = next(walk_frames(data)).content_size
        assert len(zstandard.ZstdDecompressor().decompress(data)) == first
        assert len(zstandard.ZstdDecompressor().decompressobj().decompress(data)) == first
        assert len(zstandard.ZstdDecompressor().decompressobj(read_across_frames=True).decompress(data)) > first
