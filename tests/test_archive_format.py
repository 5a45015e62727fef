"""The bytes of an archive against a second opinion: a model of the writer, and a reader that knows nothing of s3z.

Both are in tests/support (`archive_*.py`), in plain Python, after docs/archive-format.md.
"""

from __future__ import annotations

import os
import struct
import subprocess
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from support.archive_crc import crc64nvme
from support.archive_frames import DATA, DamagedError
from support.archive_model import EOA, Options, cut, is_stored
from support.archive_reader import Reader, decode
from support.archive_tar import Entry, tar_stream, walk
from support.archive_tree import Tree, build, has_xattrs, noise, text
from support.servers import unavailable

# Its asserts should say as much as those here.
pytest.register_assert_rewrite("support.archive_checks")
from support.archive_checks import CHECKS, DEFAULT, ROWS, TAR_CHECKS, Subject, pack, same  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.command import Command

KIB, MIB = 1 << 10, 1 << 20


# --- the tree of all kinds --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(build(tmp_path_factory.mktemp("source") / "tree")) + "/"


VARIANTS = {
    "default": Options(),
    "group-64K": Options(group_size=64 * KIB),
    "slice-1M": Options(slice_size=MIB, group_size=256 * KIB),
    "slice-2M-level-1": Options(slice_size=2 * MIB, group_size=2 * MIB, level=1),
    "no-skip": Options(no_skip=True),
}


@pytest.fixture(scope="module", params=VARIANTS)
def packed(request: pytest.FixtureRequest, tree: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    subject = Subject(tree, tmp_path_factory.mktemp("packed") / "all.tar.zst", VARIANTS[request.param])
    with subject.reader:
        yield subject
    subject.path.unlink()


@pytest.fixture(scope="module")
def plain(tree: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    subject = Subject(tree, tmp_path_factory.mktemp("plain") / "all.tar")
    with subject.reader:
        yield subject
    subject.path.unlink()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_tar_zst(packed: Subject, check: Callable[[Subject], None]) -> None:
    check(packed)


@pytest.mark.parametrize("check", TAR_CHECKS, ids=lambda check: check.__name__)
def test_tar(plain: Subject, check: Callable[[Subject], None]) -> None:
    check(plain)


def test_the_tree_has_every_kind_of_frame(tree: str) -> None:
    """Else the checks above would prove less than they seem to."""
    frames = cut(walk(tree))
    small = [frame for frame in frames if len(frame.members) > 1]
    assert any(frame.stored for frame in small)
    assert any(not frame.stored for frame in small)
    assert sum(not frame.members for frame in frames) >= 5, "headers of big files"
    assert {frame.stored for frame in frames if frame.members and frame.members[0].start} == {True, False}
    assert any(frame.stored and not all(member.entry.data for member in frame.members) for frame in frames)
    assert any(frame.size > 4 * MIB for frame in frames)
    names = {entry.name: is_stored(entry, Options()) for entry in walk(tree)}
    hints = ("late.zip", "late.txt", "early.bin", "noise.txt", "text.zip")
    assert [names[b"hints/" + name.encode()] for name in hints] == [True, False, False, True, False]


class TestDeterminism:
    @pytest.mark.parametrize("suffix", ["tar.zst", "tar"])
    def test_workers_and_memory(self, tree: str, tmp_path: Path, suffix: str) -> None:
        settings = [
            {"workers": 1}, {"workers": 2}, {"workers": 16}, {"workers": 2, "memory_limit": 128 * MIB},
            {"workers": 2, "memory_limit": 1024 * MIB},
        ]  # fmt: skip
        first = b""
        for number, setting in enumerate(settings):
            path = tmp_path / f"{number}.{suffix}"
            pack(tree, path, DEFAULT, **setting)
            first = first or path.read_bytes()
            same(path.read_bytes(), first, f"{setting}")
            path.unlink()

    def test_the_names_of_the_directories_have_no_say(self, tmp_path: Path) -> None:
        found = []
        for name in ("one", "another"):
            tree = Tree(tmp_path / name)
            tree.file("z/b", text(5000))
            tree.file("a", noise(50_000))
            tree.settle()
            pack(f"{tmp_path / name}/", tmp_path / f"{name}.x")
            found.append((tmp_path / f"{name}.x").read_bytes())
        same(found[0], found[1], "another source of the same entries")


# --- other sources ----------------------------------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path: Path) -> Tree:
    """An empty directory `source` in `tmp_path`."""
    return Tree(tmp_path / "source")


def checked(tree: Tree, tmp_path: Path, options: Options = DEFAULT, name: str = "a.tar.zst", **more: Any) -> Subject:
    """What is in `tree`, packed and checked."""
    tree.settle()
    subject = Subject(str(tmp_path / "source") + "/", tmp_path / name, options, **more)
    with subject.reader:
        subject.check()
    return subject


@pytest.mark.parametrize("name", ["a.tar.zst", "a.tar"])
class TestSources:
    def test_empty_directory(self, source: Tree, tmp_path: Path, name: str) -> None:
        subject = checked(source, tmp_path, name=name)
        footer = subject.reader.footer
        assert (footer.data_end, footer.n_rows, footer.n_entries, footer.raw_bytes) == (0, 0, 0, 0)
        assert subject.reader.manifest == []
        assert subject.bytes.startswith(EOA if name == "a.tar.zst" else b"__s3z__/.index.arrow\0")

    def test_directory_by_its_name(self, source: Tree, tmp_path: Path, name: str) -> None:
        source.file("below/file", b"x")
        source.directory("", 0o750)
        source.settle()
        os.utime(source.root, ns=(5, 5))
        subject = Subject(str(tmp_path / "source"), tmp_path / name)
        with subject.reader:
            subject.check()
        assert [entry.name for entry in subject.entries] == [b"source/", b"source/below/", b"source/below/file"]

    @pytest.mark.parametrize("size", [0, 100, 5 * MIB])
    def test_one_file(self, source: Tree, tmp_path: Path, name: str, size: int) -> None:
        source.file("one.txt", text(size))
        source.settle()
        subject = Subject(str(tmp_path / "source" / "one.txt"), tmp_path / name)
        with subject.reader:
            subject.check()
        assert [entry.name for entry in subject.entries] == [b"one.txt"]

    def test_no_column_that_no_row_needs(self, source: Tree, tmp_path: Path, name: str) -> None:
        source.file("file", b"plain")
        source.symlink("link", b"\xff")
        subject = checked(source, tmp_path, name=name)
        assert "link_raw" in subject.reader.schema.names
        assert not {"path_raw", "xattrs", "pkg_type"} & set(subject.reader.schema.names)

    def test_batches_have_16384_rows(self, source: Tree, tmp_path: Path, name: str) -> None:
        for number in range(ROWS - 1):
            source.file(f"{number:06}")
        assert len(checked(source, tmp_path, name="exactly-" + name).reader.manifest) == 1
        source.file("x/one-more", b"1")
        subject = checked(source, tmp_path, name=name)
        assert [line["row_count"] for line in subject.reader.manifest] == [ROWS, 1]

    def test_hash_of_whole_files(self, source: Tree, tmp_path: Path, name: str) -> None:
        source.file("big", text(5 * MIB + 1) + noise(4 * MIB))
        source.file("small", text(4 * MIB))
        source.hard_link("to-big", "big")
        subject = checked(source, tmp_path, Options(file_hash=True), name)
        kept = [row["file_checksum"] is not None for row in subject.rows]
        assert kept == [True, True, True, False, False]

    def test_xattrs(self, source: Tree, tmp_path: Path, name: str) -> None:
        if not has_xattrs(tmp_path):
            unavailable(f"the file system of {tmp_path} has no extended attributes")
        path = source.file("with", b"data")
        for key, value in (("user.b", b"2\0\n=\xff"), ("user.a", b"1"), ("user.a.c", b"")):
            os.setxattr(path, key, value)
        os.setxattr(source.directory("directory"), "user.many", b"x" * 1000)
        source.file("without", b"data")
        subject = checked(source, tmp_path, Options(xattrs=True), name)
        kind = subject.reader.schema.field("xattrs").type
        assert [(field.name, field.type) for field in kind.value_type] == [("k", pa.utf8()), ("v", pa.binary())]

    def test_symlink_and_hard_link_to_it(self, source: Tree, tmp_path: Path, name: str) -> None:
        source.symlink("a", "nowhere")
        source.file("b", b"")
        source.hard_link("c", "b")
        subject = checked(source, tmp_path, name=name)
        assert [entry.kind for entry in subject.entries] == ["l", "f", "h"]


def test_group_size_of_the_command(tmp_path: Path, source: Tree, command: Callable[..., Command]) -> None:
    for number in range(40):
        source.file(f"{number:03}", text(7000, number))
    subject = checked(source, tmp_path, Options(group_size=64 * KIB))
    assert len(subject.frames) > 4
    command()("pack", "--group-size", "64K", "source/", "b.tar.zst")
    same((tmp_path / "b.tar.zst").read_bytes(), subject.bytes, "--group-size 64K")


class TestBorders:
    """Where frames end, one byte before and after."""

    @pytest.mark.parametrize("more", [-512, -1, 0, 1])
    @pytest.mark.parametrize("make", [text, noise])
    def test_full_frame(self, source: Tree, tmp_path: Path, more: int, make: Callable[[int, int], bytes]) -> None:
        """Two files whose headers and data fill a frame exactly, and an empty one that then has no room."""
        options = Options(slice_size=MIB, group_size=256 * KIB)
        limit = options.slice_size if make is noise else options.group_size
        source.file("a", make(limit // 2 - 512, 1))
        source.file("b", make(limit // 2 - 512 + more, 2))
        source.directory("c")
        sizes = [len(frame.members) for frame in checked(source, tmp_path, options).frames]
        assert sizes == {-512: [3], -1: [2, 1], 0: [2, 1], 1: [1, 2]}[more]

    @pytest.mark.parametrize("more", [-1, 0, 1])
    def test_full_run(self, source: Tree, tmp_path: Path, more: int) -> None:
        """1024 and its size are charged for each entry, against twice the slice."""
        options = Options(slice_size=MIB, group_size=MIB)
        source.file("a", text(MIB - 1024))
        source.file("b", text(MIB // 2))
        source.file("c", text(MIB // 2 - 2048 + more))
        sizes = [len(frame.members) for frame in checked(source, tmp_path, options).frames]
        assert sizes == ([1, 2] if more <= 0 else [1, 1, 1])

    def test_a_run_of_entries_without_data(self, source: Tree, tmp_path: Path) -> None:
        """The text of a link and the data of a hard link are no data of theirs."""
        source.file("000", text(100_000))
        for number in range(1, 1025):
            source.hard_link(f"h{number:04}", "000")
            source.symlink(f"s{number:04}", "t" * 90)
        frames = checked(source, tmp_path, Options(slice_size=MIB, group_size=MIB)).frames
        # A frame is full, the run is full, and the rest.
        full, run = 1 + (MIB - 100_864) // 512, 1 + (2 * MIB - 101_024) // 1024
        assert [len(frame.members) for frame in frames] == [full, run - full, 2049 - run]

    @pytest.mark.parametrize("more", [-1, 0, 1])
    @pytest.mark.parametrize("make", [text, noise])
    def test_one_slice(self, source: Tree, tmp_path: Path, more: int, make: Callable[[int, int], bytes]) -> None:
        source.file("a", b"before")
        source.file("b", make(MIB + more, 1))
        source.file("c", b"after")
        frames = checked(source, tmp_path, Options(slice_size=MIB)).frames
        assert sum(not frame.members for frame in frames) == (more > 0)

    @pytest.mark.parametrize("size", [2 * MIB - 1, 2 * MIB, 2 * MIB + 1, 3 * MIB + 512])
    @pytest.mark.parametrize("make", [text, noise])
    def test_several_slices(self, source: Tree, tmp_path: Path, size: int, make: Callable[[int, int], bytes]) -> None:
        source.file("a", make(size, 1))
        subject = checked(source, tmp_path, Options(slice_size=MIB))
        assert len(subject.rows) == -(-size // MIB)

    @pytest.mark.parametrize("strides", [1, 2, 5])
    @pytest.mark.parametrize("more", [-1, 0, 1])
    def test_stored_blob(self, source: Tree, tmp_path: Path, strides: int, more: int) -> None:
        """Three bytes stand after every 131072, and none after the last."""
        size = strides * 131_072 + more
        source.file("a", noise(size))
        subject = checked(source, tmp_path)
        row = subject.found_rows[0]
        assert (row["compressed"], row["blob_size"] - size) == (False, 3 * (strides if more > 0 else strides - 1))
        for at in (0, size // 2, size - 1):
            assert subject.bytes[row["blob_offset"] + at + 3 * (at // 131_072)] == noise(size)[at]

    @pytest.mark.parametrize("size", [16 * KIB - 1, 16 * KIB, 4 * MIB, 4 * MIB + 1])
    def test_class(self, source: Tree, tmp_path: Path, size: int) -> None:
        """Small files are never looked at; only those above 4 MiB are probed in the middle, too."""
        middle = size // 2 // 4096 * 4096
        data = noise(middle) + text(size - middle)
        source.file("a.zip", data)
        source.file("b.txt", data)
        entries = checked(source, tmp_path).entries
        assert [is_stored(entry, Options()) for entry in entries] == [16 * KIB < size <= 4 * MIB, False]

    def test_own_list_of_extensions(self, source: Tree, tmp_path: Path) -> None:
        data = noise(64 * KIB) + text(128 * KIB)
        for name in ("a.zip", "b.own", "c"):
            source.file(name, data)
        subject = checked(source, tmp_path, Options(skip_extensions=frozenset({"own"})))
        assert [frame.stored for frame in subject.frames] == [False, True, False]

    def test_runs_of_zeros(self, source: Tree, tmp_path: Path) -> None:
        """Outside of data 16 of them are a run, and 15 are not."""
        for zeros in (1, 15, 16, 17):
            # Behind the name up to the mode, and in the padding.
            source.file("n" * (100 - zeros), noise(40 * 512 - zeros))
        subject = checked(source, tmp_path)
        assert [frame.stored for frame in subject.frames] == [True]
        assert [size for kind, size in subject.data_frames[0].blocks if kind == 1].count(16) == 2

    def test_zeros(self, source: Tree, tmp_path: Path) -> None:
        """The data of a stored frame is never run-length encoded, however many zeros are in it."""
        source.file("a.zip", noise(64 * KIB) + bytes(200_000) + noise(1001))
        subject = checked(source, tmp_path)
        assert subject.frames[0].stored
        assert not subject.found_rows[0]["compressed"]


def read_all(path: Path) -> None:
    """Look at every byte of an archive."""
    with Reader(path) as reader:
        for frame in reader.frames():
            if frame.magic == DATA:
                decode(reader.at(frame.offset, frame.size))
        reader.check()
        end = reader.footer.data_end
        crc = reader.manifest_schema.metadata[b"s3z.data_crc64nvme"].decode()
        if crc != f"{crc64nvme(reader.at(0, end)):016x}" or reader.at(end, len(EOA)) != EOA:
            raise DamagedError("CRC, or end of the tar")


class TestReader:
    """The reader and the model can tell wrong from right."""

    @pytest.fixture
    def small(self, source: Tree, tmp_path: Path) -> Subject:
        source.file("noise", noise(20_000))
        source.file("text", text(20_000))
        return checked(source, tmp_path)

    def test_every_kind_of_byte(self, small: Subject, tmp_path: Path) -> None:
        assert len(small.bytes) < 60_000
        bad = tmp_path / "bad"
        for at in [*range(0, len(small.bytes), 97), *range(len(small.bytes) - 200, len(small.bytes))]:
            damaged = bytearray(small.bytes)
            damaged[at] ^= 0x20
            bad.write_bytes(damaged)
            with pytest.raises((DamagedError, pa.ArrowInvalid, struct.error)):
                read_all(bad)

    def test_truncation(self, small: Subject, tmp_path: Path) -> None:
        bad = tmp_path / "bad"
        for length in (len(small.bytes) - 1, len(small.bytes) - 128, len(small.bytes) // 2, 2000):
            bad.write_bytes(small.bytes[:length])
            with pytest.raises((DamagedError, struct.error)):
                Reader(bad)

    def test_another_root(self, small: Subject) -> None:
        root = small.reader.footer.root
        Reader(small.path, root).__exit__()
        with pytest.raises(DamagedError, match="root"):
            Reader(small.path, bytes(32))

    def test_header_of_the_model(self, source: Tree, tmp_path: Path) -> None:
        """The model's idea of ustar is GNU tar's."""
        name = "d" * 120 + "/" + "n" * 90
        source.file(name, b"12345", 0o4751)
        owner = ["--numeric-owner", "--owner=1000", "--group=100"]
        command = ["tar", "--format=ustar", *owner, "--mtime=@1700000000", "-cf-", name]
        done = subprocess.run(command, cwd=tmp_path / "source", stdout=subprocess.PIPE, check=True)
        entry = Entry(name.encode(), "f", 0o4751, 1000, 100, 1_700_000_000 * 10**9 + 1, 5, data=b"12345")
        same(done.stdout[:1024], tar_stream([entry]), "header by GNU tar")
