"""`s3z.unpack`: what is packed comes back, from any tar; what is hostile or broken does no harm (archive.md 6.2, 7)."""

from __future__ import annotations

import dataclasses
import errno
import io
import os
import pickle
import subprocess
import tarfile
import threading
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from support.archive_files import NAMES, extract, flipped, foreign, member, small_tree
from support.archive_tree import MIB, Tree, build, look, noise
from support.data import leftovers

import s3z

if TYPE_CHECKING:
    from pathlib import Path

    from support.servers import FakeS3

#: whichever comes first: the archive is refused, or the entry is
REFUSED = (s3z.ArchiveError, s3z.BatchError, s3z.UnsafeKeyError)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return small_tree(tmp_path / "source")


@pytest.fixture(params=["a.tar.zst", "a.tar"])
def path(request: pytest.FixtureRequest, source: Path, tmp_path: Path) -> Path:
    path = tmp_path / request.param
    s3z.pack(f"{source}/", path)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def found(directory: Path) -> list[bytes]:
    """Names below a directory, as an archive has them."""
    below = []
    for parent, directories, files in os.walk(os.fsencode(directory)):
        start = len(os.fsencode(directory)) + 1
        below += [os.path.join(parent, name)[start:] + b"/" for name in directories if not _is_link(parent, name)]
        below += [os.path.join(parent, name)[start:] for name in directories if _is_link(parent, name)]
        below += [os.path.join(parent, name)[start:] for name in files]
    return sorted(below)


def _is_link(parent: bytes, name: bytes) -> bool:
    return os.path.islink(os.path.join(parent, name))


class TestRoundTrip:
    def test_tree(self, path: Path, source: Path, out: Path) -> None:
        report = s3z.unpack(path, out)
        assert look(out) == look(source)
        assert (report.entries, report.files, report.directories) == (17, 10, 5)
        assert (report.symlinks, report.hard_links) == (1, 1)
        assert (report.verified, report.is_indexed, report.failures) == (True, True, ())
        with s3z.Archive(path) as archive:
            assert (report.bytes, report.root) == (archive.raw_bytes, archive.root)
        assert repr(report).startswith(f"UnpackReport('{out}', 17 entries, ")
        assert pickle.loads(pickle.dumps(report)) == report
        assert leftovers(out) == []

    @pytest.mark.parametrize("name", ["a.tar.zst", "a.tar"])
    def test_every_kind_of_entry(self, tmp_path: Path, out: Path, name: str) -> None:
        source = build(tmp_path / "all")
        s3z.pack(f"{source}/", tmp_path / name)
        before = os.umask(0)
        try:
            s3z.unpack(tmp_path / name, out, allow_unsafe_links=True)
        finally:
            os.umask(before)
        # Set-user-id and sticky bits are dropped unless asked for.
        expected = {each: dataclasses.replace(seen, mode=seen.mode & 0o777) for each, seen in look(source).items()}
        assert look(out) == expected

    @pytest.mark.parametrize("workers", [1, 2, 16])
    def test_object(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, source: Path, out: Path, workers: int
    ) -> None:
        uri = f"s3://{fake_bucket}/a.tar.zst"
        packed = fake_client.pack(f"{source}/", uri)
        report = fake_client.unpack(uri, out, workers=workers, root=packed.root)
        assert look(out) == look(source)
        assert report.root == packed.root

    def test_other_stores(self, client: s3z.Client, bucket: str, source: Path, out: Path) -> None:
        client.pack(f"{source}/", f"s3://{bucket}/a.tar.zst")
        client.unpack(f"s3://{bucket}/a.tar.zst", out)
        assert look(out) == look(source)

    @pytest.mark.parametrize("name", ["a.tar.zst", "a.tar"])
    def test_from_a_pipe(self, source: Path, tmp_path: Path, out: Path, name: str) -> None:
        s3z.pack(f"{source}/", tmp_path / name)
        with subprocess.Popen(["cat", tmp_path / name], stdout=subprocess.PIPE, bufsize=0) as process:
            assert isinstance(process.stdout, io.FileIO)
            report = s3z.unpack(process.stdout, out)
        assert look(out) == look(source)
        assert report.verified
        assert report.is_indexed  # its index came last
        assert report.verified

    @pytest.mark.parametrize("command", [["tar", "-cf"], ["tar", "--zstd", "-cf"]])
    def test_of_gnu_tar(self, source: Path, tmp_path: Path, out: Path, command: list[str]) -> None:
        path = tmp_path / ("a.tar.zst" if len(command) > 2 else "a.tar")
        subprocess.run([*command, path, "-C", source, "."], check=True)
        report = s3z.unpack(path, out)
        assert look(out) == look(source)
        assert (report.verified, report.is_indexed, report.root) == (False, False, None)

    @pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    def test_of_python(self, tmp_path: Path, out: Path, format: int) -> None:
        tree = Tree(tmp_path / "source")
        tree.file("a" * 90 + "/" + "b" * 90, b"long")
        tree.file("ä/ö", b"not ASCII")
        tree.symlink("link", "ä/ö")
        tree.settle()
        with tarfile.open(tmp_path / "a.tar", "w", format=format) as tar:
            tar.add(tmp_path / "source", ".")
        s3z.unpack(tmp_path / "a.tar", out)
        assert look(out) == look(tmp_path / "source")

    def test_progress(self, path: Path, out: Path) -> None:
        seen: list[s3z.ProgressEvent] = []
        report = s3z.unpack(path, out, progress=seen.append)
        assert (seen[-1].durable, seen[-1].objects) == (report.bytes, report.entries)

    def test_extract(self, path: Path, source: Path, out: Path) -> None:
        with s3z.Archive(path) as archive:
            report = archive.extract("sub/", out, strip_components=1)
        assert found(out) == [b"b.txt", b"deep/", b"deep/c.txt", b"\xff.bin"]
        assert report.files == 3


class TestChoice:
    @pytest.mark.parametrize(
        ("options", "kept"),
        [
            ({"prefix": "sub/"}, [name for name in NAMES if name.startswith(b"sub/")]),
            ({"prefix": b"sub/\xff"}, [b"sub/", b"sub/\xff.bin"]),
            ({"names": ["a.txt", b"sub/\xff.bin"]}, [b"a.txt", b"sub/", b"sub/\xff.bin"]),
            ({"include": ["*.txt"], "exclude": ["sub/*"]}, [b"a.txt"]),
            ({"exclude": ["*"]}, []),
            ({"strip_components": 1, "include": ["photos/*", "a.txt"]}, [b"1.jpg", b"2.jpg"]),
            ({"strip_components": 9}, []),
        ],
        ids=str,
    )
    def test_what(self, path: Path, out: Path, options: dict[str, Any], kept: list[bytes]) -> None:
        s3z.unpack(path, out, **options)
        assert found(out) == sorted(kept)

    def test_missing_name(self, path: Path, out: Path) -> None:
        with pytest.raises((s3z.NotFoundError, s3z.BatchError), match="missing"):
            s3z.unpack(path, out, names=["a.txt", "missing"])

    def test_overwrite(self, path: Path, source: Path, out: Path) -> None:
        out.mkdir()
        (out / "a.txt").write_text("mine")
        report = s3z.unpack(path, out, overwrite=False, names=["a.txt", "empty"])
        assert (out / "a.txt").read_text() == "mine"
        assert (report.skipped, report.files) == ({"exists": 1}, 1)
        s3z.unpack(path, out, names=["a.txt"])
        assert (out / "a.txt").read_text() == "hello\n"

    def test_a_file_never_takes_the_place_of_a_directory(self, path: Path, out: Path) -> None:
        (out / "a.txt" / "kept").mkdir(parents=True)
        with pytest.raises(s3z.BatchError) as caught:
            s3z.unpack(path, out)
        assert (out / "a.txt" / "kept").is_dir()
        assert (out / "sub" / "b.txt").exists()
        # A hard link to it has nothing to share, then.
        assert 1 <= len(caught.value.failures) <= 2

    def test_preserve(self, path: Path, out: Path) -> None:
        before = os.umask(0o027)
        try:
            s3z.unpack(path, out, preserve=False, names=["run.sh", "big.bin"])
        finally:
            os.umask(before)
        assert (out / "big.bin").stat().st_mode & 0o777 == 0o640
        assert (out / "big.bin").stat().st_mtime > 1_750_000_000

    def test_set_user_id_is_dropped(self, tmp_path: Path, out: Path) -> None:
        foreign(tmp_path / "a.tar", member("x", mode=0o6755))
        s3z.unpack(tmp_path / "a.tar", out)
        assert (out / "x").stat().st_mode & 0o7777 == 0o755

    def test_incomplete_files(self, tmp_path: Path, out: Path) -> None:
        """An entry that changed while it was packed is refused unless asked for."""
        source = tmp_path / "source"
        source.mkdir()
        (source / "b").write_text("well")
        reader, writer = os.pipe()
        with open(source / "a.zip", "wb") as file:
            file.truncate(0)
            block = noise(MIB)
            for _ in range(160):
                file.write(block)
        held: list[bytes] = []

        def run() -> None:
            with io.FileIO(writer, "wb") as file:
                s3z.pack(f"{source}/", file, on_error="skip", memory_limit=96 * MIB, workers=2)

        thread = threading.Thread(target=run)
        thread.start()
        held.append(os.read(reader, 1000))
        os.truncate(source / "a.zip", 100 * MIB)
        while piece := os.read(reader, MIB):
            held.append(piece)
        thread.join()
        os.close(reader)
        path = tmp_path / "a.tar.zst"
        path.write_bytes(b"".join(held))
        with pytest.raises(s3z.BatchError, match=r"a\.zip"):
            s3z.unpack(path, out)
        assert os.listdir(out) == ["b"]
        s3z.unpack(path, out, allow_incomplete=True, names=["a.zip"])
        assert (out / "a.zip").stat().st_size == 160 * MIB
        (source / "a.zip").unlink()
        (out / "a.zip").unlink()


class TestHostile:
    """Nothing outside of the destination, whatever an archive says; what was there stays."""

    @pytest.fixture
    def outside(self, tmp_path: Path, out: Path) -> Path:
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside" / "file").write_text("mine")
        out.mkdir()
        return tmp_path / "outside"

    @pytest.mark.parametrize(
        "name",
        ["../outside/file", "/tmp/s3z-hostile", "a/../../outside/file", "a//b", "./../outside/x", "x" * 256, ".."],
    )
    @pytest.mark.parametrize("suffix", ["tar", "tar.zst"])
    def test_names(self, tmp_path: Path, outside: Path, out: Path, name: str, suffix: str) -> None:
        path = foreign(tmp_path / f"bad.{suffix}", (name, b"bad"), ("good", b"good"))
        with pytest.raises(REFUSED):
            s3z.unpack(path, out)
        assert (outside / "file").read_text() == "mine"
        assert set(found(out)) <= {b"good", b"a/"}
        assert not os.path.exists("/tmp/s3z-hostile")

    @pytest.mark.parametrize("target", ["/etc", "../outside", "a/../../outside", "../outside/file"])
    def test_links_that_lead_out(self, tmp_path: Path, outside: Path, out: Path, target: str) -> None:
        path = foreign(
            tmp_path / "bad.tar", member("link", type=tarfile.SYMTYPE, linkname=target), ("link/file", b"bad")
        )
        with pytest.raises(REFUSED):
            s3z.unpack(path, out)
        assert (outside / "file").read_text() == "mine"
        assert not os.path.lexists(out / "link")

    def test_links_that_lead_out_if_asked_for(self, tmp_path: Path, outside: Path, out: Path) -> None:
        path = foreign(tmp_path / "a.tar", member("link", type=tarfile.SYMTYPE, linkname="../outside"))
        s3z.unpack(path, out, allow_unsafe_links=True)
        assert os.readlink(out / "link") == "../outside"

    def test_no_file_goes_through_a_link(self, tmp_path: Path, outside: Path, out: Path) -> None:
        """Neither through one of the archive, even if it may lead out, nor through one that was there."""
        path = foreign(
            tmp_path / "bad.tar", member("link", type=tarfile.SYMTYPE, linkname="../outside"), ("link/file", b"bad")
        )
        with pytest.raises(REFUSED):
            s3z.unpack(path, out, allow_unsafe_links=True)
        assert (outside / "file").read_text() == "mine"
        os.symlink("../outside", out / "there")
        path = foreign(tmp_path / "bad.tar", ("there/file", b"bad"))
        with pytest.raises(REFUSED):
            s3z.unpack(path, out)
        assert (outside / "file").read_text() == "mine"

    def test_a_link_that_was_there_is_replaced_not_followed(self, tmp_path: Path, outside: Path, out: Path) -> None:
        os.symlink("../outside/file", out / "x")
        s3z.unpack(foreign(tmp_path / "a.tar", ("x", b"new")), out)
        assert (outside / "file").read_text() == "mine"
        assert not os.path.islink(out / "x")

    @pytest.mark.parametrize("target", ["../outside/file", "/etc/passwd", "missing"])
    def test_hard_links(self, tmp_path: Path, outside: Path, out: Path, target: str) -> None:
        path = foreign(tmp_path / "bad.tar", member("x", type=tarfile.LNKTYPE, linkname=target))
        with pytest.raises(REFUSED):
            s3z.unpack(path, out)
        assert found(out) == []

    @pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
    def test_devices_are_never_made(self, tmp_path: Path, outside: Path, out: Path, kind: bytes) -> None:
        path = foreign(tmp_path / "bad.tar", member("x", type=kind, devmajor=1, devminor=3), ("y", b"good"))
        report: Any = None
        try:
            report = s3z.unpack(path, out)
        except s3z.BatchError as error:
            report = error.report
        assert report.files == 1
        assert found(out) == [b"y"]

    @pytest.mark.parametrize("count", [2, 3])
    def test_a_name_that_comes_again(self, tmp_path: Path, out: Path, count: int) -> None:
        """A tar without an index may have it; the later one counts, as with tar."""
        path = foreign(tmp_path / "a.tar", *[("x", b"%d" % number) for number in range(count)])
        try:
            s3z.unpack(path, out)
        except REFUSED:
            return
        assert (out / "x").read_bytes() == b"%d" % (count - 1)

    def test_below_a_file(self, tmp_path: Path, out: Path) -> None:
        path = foreign(tmp_path / "bad.tar", ("x", b"file"), ("x/y", b"below"))
        with pytest.raises(REFUSED):
            s3z.unpack(path, out)


class TestBombs:
    def bomb(self, path: Path, size: int = 64 * MIB) -> Path:
        with tarfile.open(path.with_suffix(""), "w") as tar:
            info = tarfile.TarInfo("zeros")
            info.size = size
            tar.addfile(info, io.BytesIO(bytes(size)))
        data = path.with_suffix("").read_bytes()
        path.write_bytes(zstandard.ZstdCompressor(19).compress(data))
        path.with_suffix("").unlink()
        return path

    def test_ratio(self, tmp_path: Path, out: Path) -> None:
        path = self.bomb(tmp_path / "bomb.tar.zst")
        with pytest.raises(REFUSED, match="ratio"):
            s3z.unpack(path, out)
        assert not out.exists() or found(out) == []
        s3z.unpack(path, out, max_ratio=1_000_000)
        assert (out / "zeros").stat().st_size == 64 * MIB

    def test_ratio_of_an_indexed_archive(self, tmp_path: Path, out: Path) -> None:
        tree = Tree(tmp_path / "source")
        tree.file("zeros", bytes(64 * MIB))
        s3z.pack(f"{tmp_path}/source/", tmp_path / "a.tar.zst")
        with pytest.raises(s3z.ArchiveError, match="ratio"):
            s3z.unpack(tmp_path / "a.tar.zst", out, max_ratio=10)
        assert not out.exists() or found(out) == []
        s3z.unpack(tmp_path / "a.tar.zst", out, max_ratio=1_000_000)

    @pytest.mark.parametrize("option", [{"max_bytes": 1000}, {"max_members": 16}])
    def test_limits(self, path: Path, out: Path, option: dict[str, int]) -> None:
        with pytest.raises(s3z.ArchiveError):
            s3z.unpack(path, out, **option)
        assert not out.exists() or found(out) == []
        s3z.unpack(path, out, max_bytes=100 * MIB, max_members=17)

    def test_limits_of_a_foreign_archive(self, tmp_path: Path, out: Path) -> None:
        path = foreign(tmp_path / "a.tar", *[(f"{number}", b"x" * 1000) for number in range(100)])
        for option in ({"max_bytes": 50_000}, {"max_members": 50}):
            with pytest.raises(REFUSED):
                s3z.unpack(path, out, **option)  # type: ignore[arg-type]

    def test_window(self, tmp_path: Path, out: Path) -> None:
        """A frame that wants a gigabyte to be decoded with."""
        parameters = zstandard.ZstdCompressionParameters(window_log=30, write_content_size=False)
        compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        foreign(tmp_path / "a.tar", ("x", b"hello"))
        data = (tmp_path / "a.tar").read_bytes()
        (tmp_path / "a.tar.zst").write_bytes(compressor.compress(data) + compressor.flush())
        with pytest.raises((*REFUSED, s3z.IntegrityError)):
            s3z.unpack(tmp_path / "a.tar.zst", out)


class TestDamage:
    def test_one_entry_does_not_stop_the_others(self, source: Path, tmp_path: Path, out: Path) -> None:
        path = tmp_path / "a.tar.zst"
        s3z.pack(f"{source}/", path)
        with s3z.Archive(path) as archive:
            found_range = archive.range_of("photos/2.jpg")
        assert found_range is not None
        path.write_bytes(flipped(path.read_bytes(), found_range.offset + 5))
        with pytest.raises(s3z.BatchError, match=r"photos/2\.jpg") as caught:
            s3z.unpack(path, out)
        error = caught.value
        assert [type(each) for each in error.failures] == [s3z.IntegrityError]
        assert error.report is not None
        assert [each.name for each in error.report.failures] == ["photos/2.jpg"]
        assert found(out) == sorted(name for name in NAMES if name != b"photos/2.jpg")
        assert pickle.loads(pickle.dumps(error)).report == error.report

    def test_never_taken_for_a_plain_tar(self, source: Path, tmp_path: Path, out: Path) -> None:
        path = tmp_path / "a.tar.zst"
        s3z.pack(f"{source}/", path)
        data = path.read_bytes()
        for bad in (data[:-9], data[: len(data) - 200], flipped(data, len(data) - 2)):
            path.write_bytes(bad)
            with pytest.raises((s3z.ArchiveError, s3z.IntegrityError)):
                s3z.unpack(path, out)
        report = s3z.unpack(path, out, trust_tar=True)
        assert look(out) == look(source)
        assert not report.verified

    def test_truncated_pipe(self, source: Path, tmp_path: Path, out: Path) -> None:
        path = tmp_path / "a.tar.zst"
        s3z.pack(f"{source}/", path)
        path.write_bytes(path.read_bytes()[:-500])
        with open(path, "rb", buffering=0) as file, pytest.raises((s3z.ArchiveError, s3z.IntegrityError)):
            s3z.unpack(file, out)

    @pytest.mark.parametrize("data", [b"", b"no archive", bytes(1000), b"\x28\xb5\x2f\xfd\0\0\0\0"])
    def test_no_archive(self, tmp_path: Path, out: Path, data: bytes) -> None:
        (tmp_path / "x").write_bytes(data)
        with pytest.raises(s3z.ArchiveError):
            s3z.unpack(tmp_path / "x", out)

    def test_root(self, path: Path, out: Path) -> None:
        with pytest.raises(s3z.IntegrityError, match="root"):
            s3z.unpack(path, out, root="00" * 32)
        assert not out.exists() or found(out) == []

    def test_full_disk(self, path: Path, small_disk: Path) -> None:
        with pytest.raises((OSError, s3z.BatchError)) as caught:
            s3z.unpack(path, small_disk / "out")
        errors = getattr(caught.value, "failures", (caught.value,))
        assert any(getattr(error, "errno", None) == errno.ENOSPC for error in errors)
        assert leftovers(small_disk) == []
        assert not (small_disk / "out" / "big.bin").exists()

    def test_the_other_reader_agrees(self, path: Path, source: Path, out: Path, tmp_path: Path) -> None:
        s3z.unpack(path, out)
        theirs = extract(path, tmp_path / "theirs")
        assert {name: seen for name, seen in look(theirs).items() if not name.startswith(b"__s3z__")} == look(out)


class TestNames:
    def test_missing(self, tmp_path: Path, out: Path, fake_bucket: str, fake_client: s3z.Client) -> None:
        with pytest.raises(FileNotFoundError):
            s3z.unpack(tmp_path / "missing", out)
        with pytest.raises(s3z.NotFoundError):
            fake_client.unpack(f"s3://{fake_bucket}/missing", out)
        assert not out.exists()

    def test_destination(self, path: Path, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(OSError, match="file"):
            s3z.unpack(path, tmp_path / "file")
        with pytest.raises(s3z.ConfigError, match="must be a bucket or a prefix"):
            s3z.unpack(path, "s3://b/p")

    def test_replaced_while_it_is_read(self, fake_s3: FakeS3, fake_client: s3z.Client, source: Path, out: Path) -> None:
        fake_s3.do("create_bucket", bucket="b")
        fake_client.pack(f"{source}/", "s3://b/a.tar.zst")
        fake_s3.rule({"type": "swap_version"}, operation="GetObject", skip=1)
        with pytest.raises((s3z.ObjectChangedError, s3z.BatchError)):
            fake_client.unpack("s3://b/a.tar.zst", out)
