"""Unpacking to a bucket or prefix: files become objects, whole or not at all; nothing else is left (archive.md 10)."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.archive_files import flipped, foreign, small_tree
from support.archive_tree import MIB, Tree, noise, text

import s3z

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Command
    from support.servers import FakeS3


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Directories, small and empty files, and one of several slices and parts."""
    tree = Tree(tmp_path / "source")
    for number in range(40):
        tree.file(f"small/{number:02}.txt", text(500 + number, number))
    tree.file("empty")
    tree.file("middle.jpg", noise(3 * MIB, 2))
    tree.file("sub/large.bin", noise(21 * MIB + 5, 3))
    tree.file("sub/large.txt", text(9 * MIB + 1, 4))
    tree.directory("bare")
    tree.symlink("symlink", "empty")
    tree.hard_link("zhard", "small/00.txt")
    tree.settle()
    return tmp_path / "source"


@pytest.fixture
def b(fake_s3: FakeS3) -> str:
    fake_s3.do("create_bucket", bucket="b")
    return "b"


def contents(directory: Path, left_out: tuple[str, ...] = ("symlink", "zhard")) -> dict[str, bytes]:
    files = (path for path in directory.rglob("*") if path.is_file() and path.name not in left_out)
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def stored(client: s3z.Client, uri: str) -> dict[str, bytes]:
    _, _, bucket, prefix = uri.split("/", 3)
    keys = [each.key for each in client.list(uri)]
    return {key.removeprefix(prefix): bytes(client.get(f"s3://{bucket}/{key}")) for key in keys}


class TestRoundTrip:
    @pytest.mark.parametrize("name", ["a.tar.zst", "a.tar"])
    @pytest.mark.parametrize("workers", [1, 4])
    def test_objects_equal_files(
        self, fake_s3: FakeS3, fake_client: s3z.Client, b: str, source: Path, tmp_path: Path, name: str, workers: int
    ) -> None:
        s3z.pack(f"{source}/", tmp_path / name)
        report = fake_client.unpack(tmp_path / name, "s3://b/p/", workers=workers)
        assert stored(fake_client, "s3://b/p/") == contents(source)
        assert (report.entries, report.files, report.directories) == (44, 44, 0)
        assert dict(report.skipped) == {"directory": 3, "hard_link": 1, "symlink": 1}
        assert (report.destination, report.verified, report.failures) == ("s3://b/p/", True, ())
        assert report.bytes == sum(map(len, contents(source).values()))
        assert fake_s3.uploads() == []

    def test_checksums_and_types(
        self, fake_s3: FakeS3, fake_client: s3z.Client, b: str, source: Path, tmp_path: Path
    ) -> None:
        (source / "unnamed").write_bytes(b"plain text\n")
        s3z.pack(f"{source}/", tmp_path / "a.tar.zst")
        fake_client.unpack(tmp_path / "a.tar.zst", "s3://b")
        for name in ("middle.jpg", "unnamed", "sub/large.bin", "sub/large.txt", "empty"):
            fake_client.upload(source / name, f"s3://b/uploaded/{name}")
            mine, theirs = fake_client.head(f"s3://b/{name}"), fake_client.head(f"s3://b/uploaded/{name}")
            assert mine.content_type == theirs.content_type, name
            assert mine.headers["x-amz-checksum-crc64nvme"] == theirs.headers["x-amz-checksum-crc64nvme"], name
            assert mine.headers["x-amz-checksum-type"] == theirs.headers["x-amz-checksum-type"] == "FULL_OBJECT", name
            assert mine.metadata == {}

    def test_parts_are_equal(
        self, fake_s3: FakeS3, fake_client: s3z.Client, b: str, source: Path, tmp_path: Path
    ) -> None:
        s3z.pack(f"{source}/sub/", tmp_path / "a.tar.zst")
        fake_client.unpack(tmp_path / "a.tar.zst", "s3://b/")
        sizes = [
            int(dict(each["headers"])["content-length"])
            for each in fake_s3.log(operation="UploadPart", key="large.bin")
        ]
        assert sorted(sizes) == [5 * MIB + 5, 8 * MIB, 8 * MIB]

    def test_archive_in_the_same_bucket(self, fake_client: s3z.Client, b: str, source: Path) -> None:
        fake_client.pack(f"{source}/", "s3://b/a.tar.zst")
        fake_client.unpack("s3://b/a.tar.zst", "s3://b/p/")
        assert stored(fake_client, "s3://b/p/") == contents(source)

    def test_other_stores(self, client: s3z.Client, bucket: str, source: Path, tmp_path: Path) -> None:
        s3z.pack(f"{source}/", tmp_path / "a.tar.zst")
        client.unpack(tmp_path / "a.tar.zst", f"s3://{bucket}/p/")
        assert stored(client, f"s3://{bucket}/p/") == contents(source)

    @pytest.mark.parametrize("name", ["a.tar.zst", "a.tar"])
    def test_from_a_pipe(
        self, fake_s3: FakeS3, fake_client: s3z.Client, b: str, source: Path, tmp_path: Path, name: str
    ) -> None:
        s3z.pack(f"{source}/", tmp_path / name)
        with subprocess.Popen(["cat", tmp_path / name], stdout=subprocess.PIPE, bufsize=0) as process:
            assert isinstance(process.stdout, io.FileIO)
            report = fake_client.unpack(process.stdout, "s3://b/p/")
        assert stored(fake_client, "s3://b/p/") == contents(source)
        assert report.verified
        assert fake_s3.uploads() == []

    @pytest.mark.parametrize("flags", [["-cf"], ["--zstd", "-cf"]])
    def test_of_gnu_tar(self, fake_client: s3z.Client, b: str, source: Path, tmp_path: Path, flags: list[str]) -> None:
        path = tmp_path / ("a.tar.zst" if len(flags) > 1 else "a.tar")
        subprocess.run(["tar", *flags, path, "-C", source, "."], check=True)
        report = fake_client.unpack(path, "s3://b/p/")
        # Of two names of one file, tar has met either first.
        links = {"small/00.txt", "zhard"}
        assert {k: v for k, v in stored(fake_client, "s3://b/p/").items() if k not in links} == {
            k: v for k, v in contents(source).items() if k not in links
        }
        assert not report.verified
        assert report.skipped["hard_link"] == 1

    def test_empty_archive(self, fake_client: s3z.Client, b: str, tmp_path: Path) -> None:
        (tmp_path / "nothing").mkdir()
        s3z.pack(f"{tmp_path / 'nothing'}/", tmp_path / "a.tar.zst")
        assert fake_client.unpack(tmp_path / "a.tar.zst", "s3://b/p/").entries == 0
        assert stored(fake_client, "s3://b/") == {}

    def test_long_components(self, fake_client: s3z.Client, b: str, tmp_path: Path) -> None:
        """What a path cannot be may be a key."""
        name = "x" * 300
        fake_client.put(f"s3://b/from/{name}", b"long")
        fake_client.pack("s3://b/from/", tmp_path / "a.tar.zst")
        fake_client.unpack(tmp_path / "a.tar.zst", "s3://b/to/")
        assert stored(fake_client, "s3://b/to/") == {name: b"long"}
        with pytest.raises((s3z.ArchiveError, s3z.BatchError)):
            fake_client.unpack(tmp_path / "a.tar.zst", tmp_path / "out")

    def test_many_that_grow_at_once(self, fake_s3: FakeS3, fake_client: s3z.Client, b: str, tmp_path: Path) -> None:
        """More of them than the memory has parts for: none waits for another for ever."""
        tree = Tree(tmp_path / "dir")
        for number in range(24):
            tree.file(f"{number:02}.bin", noise(4 * MIB, number) * 2 + b"end of %d" % number)
            tree.file(f"{number:02}.txt", text(30_000, number))
        s3z.pack(f"{tmp_path / 'dir'}/", tmp_path / "a.tar.zst")
        for memory in (64 * MIB, None):
            fake_client.unpack(tmp_path / "a.tar.zst", f"s3://b/{memory}/", workers=16, memory_limit=memory)
            assert stored(fake_client, f"s3://b/{memory}/") == contents(tmp_path / "dir")
        assert fake_s3.uploads() == []

    def test_progress(self, fake_client: s3z.Client, b: str, source: Path, tmp_path: Path) -> None:
        s3z.pack(f"{source}/", tmp_path / "a.tar.zst")
        seen: list[s3z.ProgressEvent] = []
        report = fake_client.unpack(tmp_path / "a.tar.zst", "s3://b/", progress=seen.append)
        assert (seen[-1].durable, seen[-1].objects) == (report.bytes, report.entries)
        assert all(event.durable <= report.bytes for event in seen)

    def test_extract(self, fake_client: s3z.Client, b: str, source: Path) -> None:
        fake_client.pack(f"{source}/", "s3://b/a.tar.zst")
        with s3z.Archive("s3://b/a.tar.zst", client=fake_client) as archive:
            archive.extract("small/0", "s3://b/p/", strip_components=1)
        assert sorted(stored(fake_client, "s3://b/p/")) == [f"{number:02}.txt" for number in range(10)]


class TestChoice:
    @pytest.mark.parametrize(
        ("options", "kept"),
        [
            ({"prefix": "small/3"}, [f"small/3{digit}.txt" for digit in range(10)]),
            ({"names": ["empty", "small/07.txt"]}, ["empty", "small/07.txt"]),
            ({"include": ["*.jpg"]}, ["middle.jpg"]),
            ({"include": ["sub/*"], "exclude": ["*.bin"], "strip_components": 1}, ["large.txt"]),
        ],
        ids=str,
    )
    def test_what(
        self, fake_client: s3z.Client, b: str, source: Path, tmp_path: Path, options: dict[str, Any], kept: list[str]
    ) -> None:
        s3z.pack(f"{source}/", tmp_path / "a.tar.zst")
        fake_client.unpack(tmp_path / "a.tar.zst", "s3://b/", **options)
        assert sorted(stored(fake_client, "s3://b/")) == kept

    def test_overwrite(self, fake_s3: FakeS3, fake_client: s3z.Client, b: str, source: Path, tmp_path: Path) -> None:
        s3z.pack(f"{source}/", tmp_path / "a.tar.zst")
        for name in ("small/03.txt", "sub/large.bin"):
            fake_client.put(f"s3://b/{name}", b"mine")
        report = fake_client.unpack(tmp_path / "a.tar.zst", "s3://b/", overwrite=False)
        assert report.skipped["exists"] == 2
        assert report.files == 42
        assert fake_client.get("s3://b/sub/large.bin") == fake_client.get("s3://b/small/03.txt") == b"mine"
        puts = fake_s3.log(operation="PutObject", key="empty")
        assert dict(puts[-1]["headers"])["if-none-match"] == "*"
        assert fake_s3.uploads() == []
        fake_client.unpack(tmp_path / "a.tar.zst", "s3://b/")
        assert stored(fake_client, "s3://b/") == contents(source)

    def test_what_was_there_survives_a_damaged_pipe(
        self, fake_client: s3z.Client, b: str, source: Path, tmp_path: Path
    ) -> None:
        """What was not written here is not taken away here, whatever the index says in the end."""
        s3z.pack(f"{source}/", tmp_path / "a.tar", file_hash=True)
        data = (tmp_path / "a.tar").read_bytes()
        at = data.index((source / "middle.jpg").read_bytes()[:64])
        (tmp_path / "a.tar").write_bytes(flipped(data, at + 9))
        fake_client.put("s3://b/middle.jpg", b"mine")
        with open(tmp_path / "a.tar", "rb", buffering=0) as file:
            report = fake_client.unpack(file, "s3://b/", overwrite=False)
        assert report.skipped["exists"] == 1
        assert fake_client.get("s3://b/middle.jpg") == b"mine"


class TestNoConditionalWrites:
    """A store that knows none of them: what was looked at before decides, and one warning says so (cli.md 2.7)."""

    @pytest.mark.parametrize(
        ("key", "operation"), [("empty", "PutObject"), ("sub/large.bin", "CompleteMultipartUpload")]
    )
    def test_the_look_decides(
        self, fake_s3: FakeS3, fake_client: s3z.Client, b: str, source: Path, tmp_path: Path, key: str, operation: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        s3z.pack(f"{source}/", tmp_path / "a.tar.zst")
        fake_client.put("s3://b/middle.jpg", b"mine")
        unknown = {"type": "respond", "status": 501, "code": "NotImplemented"}
        fake_s3.rule(unknown, operation=operation, header="if-none-match")
        report = fake_client.unpack(tmp_path / "a.tar.zst", "s3://b/", overwrite=False)
        assert stored(fake_client, "s3://b/") == {**contents(source), "middle.jpg": b"mine"}
        assert report.skipped["exists"] == 1
        assert fake_s3.uploads() == []
        assert len([each for each in caplog.records if "conditional writes" in each.message]) == 1
        assert any(each["status"] == 501 for each in fake_s3.log(operation=operation, key=key))

    def test_nothing_is_said_where_there_are(
        self, fake_client: s3z.Client, b: str, source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        s3z.pack(f"{source}/", tmp_path / "a.tar.zst")
        fake_client.unpack(tmp_path / "a.tar.zst", "s3://b/", overwrite=False)
        assert caplog.records == []


class TestFailures:
    @pytest.mark.parametrize("name", ["middle.jpg", "sub/large.bin"])
    @pytest.mark.parametrize("suffix", [".tar.zst", ".tar"])
    @pytest.mark.parametrize("from_pipe", [False, True])
    def test_damage(
        self, fake_s3: FakeS3, fake_client: s3z.Client, b: str, source: Path, tmp_path: Path, name: str, suffix: str,
        from_pipe: bool,
    ) -> None:  # fmt: skip
        path = tmp_path / f"a{suffix}"
        s3z.pack(f"{source}/", path)
        data = path.read_bytes()
        start = (17 if name.startswith("sub") else 1) * MIB
        at = data.index((source / name).read_bytes()[start : start + 64])
        path.write_bytes(flipped(data, at + 9))
        if from_pipe and suffix == ".tar.zst":
            # The stream itself is broken from there on.
            with open(path, "rb", buffering=0) as file, pytest.raises(s3z.IntegrityError):
                fake_client.unpack(file, "s3://b/")
            assert name not in stored(fake_client, "s3://b/")
            assert fake_s3.uploads() == []
            return
        with open(path, "rb", buffering=0) as file, pytest.raises(s3z.BatchError) as caught:
            fake_client.unpack(file if from_pipe else path, "s3://b/")
        assert [type(each) for each in caught.value.failures] == [s3z.IntegrityError]
        expected = contents(source)
        del expected[name]
        assert stored(fake_client, "s3://b/") == expected
        assert fake_s3.uploads() == []
        assert caught.value.report is not None
        assert caught.value.report.files == 43

    @pytest.mark.parametrize("key", ["p/small/07.txt", "p/sub/large.bin"])
    def test_one_key_is_refused(
        self, fake_s3: FakeS3, fake_client: s3z.Client, b: str, source: Path, tmp_path: Path, key: str
    ) -> None:
        s3z.pack(f"{source}/", tmp_path / "a.tar.zst")
        operation = "UploadPart" if "large" in key else "PutObject"
        fake_s3.rule({"type": "respond", "status": 403, "code": "AccessDenied"}, operation=operation, key=key)
        with pytest.raises(s3z.BatchError) as caught:
            fake_client.unpack(tmp_path / "a.tar.zst", "s3://b/p/")
        assert [type(each) for each in caught.value.failures] == [s3z.AccessDeniedError]
        expected = contents(source)
        del expected[key.removeprefix("p/")]
        assert stored(fake_client, "s3://b/p/") == expected
        assert fake_s3.uploads() == []

    def test_one_part_is_refused(
        self, fake_s3: FakeS3, fake_client: s3z.Client, b: str, source: Path, tmp_path: Path
    ) -> None:
        """A part in the middle: nothing of the upload is left, the entry is named, and the others are there."""
        s3z.pack(f"{source}/", tmp_path / "a.tar.zst")
        fake_s3.rule(
            {"type": "respond", "status": 400, "code": "InvalidPart"},
            operation="UploadPart",
            key="sub/large.bin",
            part=2,
        )
        with pytest.raises(s3z.BatchError, match=r"1 of 44 .* sub/large\.bin") as caught:
            fake_client.unpack(tmp_path / "a.tar.zst", "s3://b/")
        expected = contents(source)
        del expected["sub/large.bin"]
        assert stored(fake_client, "s3://b/") == expected
        assert fake_s3.uploads() == []
        assert fake_s3.log(operation="AbortMultipartUpload", key="sub/large.bin") != []
        assert caught.value.report is not None
        assert caught.value.report.files == 43

    def test_a_short_outage(
        self, fake_s3: FakeS3, fake_client: s3z.Client, b: str, source: Path, tmp_path: Path
    ) -> None:
        """Requests that fail once are made once more."""
        s3z.pack(f"{source}/", tmp_path / "a.tar.zst")
        for operation in ("PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"):
            fake_s3.rule({"type": "respond", "status": 503, "code": "SlowDown"}, operation=operation, times=2)
        report = fake_client.unpack(tmp_path / "a.tar.zst", "s3://b/p/")
        assert stored(fake_client, "s3://b/p/") == contents(source)
        assert report.failures == ()
        assert fake_s3.uploads() == []

    def test_no_bucket(self, fake_s3: FakeS3, fake_client: s3z.Client, source: Path, tmp_path: Path) -> None:
        """What would fail for each entry alike ends it at once."""
        s3z.pack(f"{source}/", tmp_path / "a.tar.zst")
        with pytest.raises(s3z.NotFoundError):
            fake_client.unpack(tmp_path / "a.tar.zst", "s3://nowhere/")

    def test_names_that_are_no_keys(self, fake_client: s3z.Client, b: str, tmp_path: Path) -> None:
        tree = Tree(tmp_path / "names")
        tree.file(b"not-utf8-\xff", b"x")
        tree.file("good", b"y")
        tree.file("/".join(["d" * 200] * 6), b"long")
        s3z.pack(f"{tmp_path / 'names'}/", tmp_path / "a.tar.zst")
        with pytest.raises(s3z.BatchError) as caught:
            fake_client.unpack(tmp_path / "a.tar.zst", "s3://b/p/")
        assert [type(each) for each in caught.value.failures] == [s3z.UnsafeKeyError] * 2
        assert stored(fake_client, "s3://b/p/") == {"good": b"y"}

    @pytest.mark.parametrize("prefix", ["x/../y/", "./"])
    def test_prefixes_that_are_no_keys(
        self, fake_s3: FakeS3, fake_client: s3z.Client, b: str, tmp_path: Path, prefix: str
    ) -> None:
        """Of every entry alike: refused at once."""
        path = foreign(tmp_path / "a.tar", ("good", b"y"))
        with pytest.raises(s3z.UnsafeKeyError, match="segment"):
            fake_client.unpack(path, f"s3://b/{prefix}")
        assert fake_s3.log(operation="PutObject") == []

    @pytest.mark.parametrize("strip", [0, 1])
    def test_two_of_one_name(self, fake_client: s3z.Client, b: str, tmp_path: Path, strip: int) -> None:
        """The first is kept, and the second is named: never two requests for one key."""
        names = ("a/x", "b/x") if strip else ("x", "x")
        path = foreign(tmp_path / "a.tar", (names[0], b"first"), (names[1], b"second"))
        with pytest.raises(s3z.BatchError, match="came before"):
            fake_client.unpack(path, "s3://b/", strip_components=strip)
        assert stored(fake_client, "s3://b/") == {"x": b"first"}

    def test_long_components_of_any_tar(self, fake_client: s3z.Client, b: str, tmp_path: Path) -> None:
        name = "x" * 300
        path = foreign(tmp_path / "a.tar", (f"top/{name}", b"long"))
        fake_client.unpack(path, "s3://b/whole/")
        fake_client.unpack(path, "s3://b/stripped/", strip_components=1)
        assert set(stored(fake_client, "s3://b/")) == {f"whole/top/{name}", f"stripped/{name}"}

    @pytest.mark.parametrize("name", ["../out", "a/../../out", "./x/../y", "/abs"])
    def test_names_that_lead_out(self, fake_client: s3z.Client, b: str, tmp_path: Path, name: str) -> None:
        path = foreign(tmp_path / "a.tar", (name, b"x"), ("good", b"y"))
        with pytest.raises((s3z.ArchiveError, s3z.BatchError)):
            fake_client.unpack(path, "s3://b/p/")
        assert set(stored(fake_client, "s3://b/")) <= {"p/good"}

    def test_never_over_the_archive(self, fake_client: s3z.Client, b: str, tmp_path: Path) -> None:
        tree = Tree(tmp_path / "names")
        tree.file("a.tar.zst", b"x")
        tree.file("good", b"y")
        fake_client.pack(f"{tmp_path / 'names'}/", "s3://b/a.tar.zst")
        with pytest.raises(s3z.BatchError, match="the archive itself"):
            fake_client.unpack("s3://b/a.tar.zst", "s3://b/")
        assert fake_client.get("s3://b/good") == b"y"

    @pytest.mark.parametrize(
        "option", [{"preserve": False}, {"same_owner": True}, {"allow_unsafe_links": True}, {"durable": True}], ids=str
    )
    def test_options_of_directories(
        self, fake_client: s3z.Client, b: str, source: Path, tmp_path: Path, option: dict[str, Any]
    ) -> None:
        s3z.pack(f"{source}/", tmp_path / "a.tar.zst")
        with pytest.raises(s3z.ConfigError, match=next(iter(option))):
            fake_client.unpack(tmp_path / "a.tar.zst", "s3://b/p/", **option)
        with pytest.raises(s3z.ConfigError, match="prefix"):
            fake_client.unpack(tmp_path / "a.tar.zst", "s3://b/p")

    def test_replaced_while_it_is_read(self, fake_s3: FakeS3, fake_client: s3z.Client, b: str, source: Path) -> None:
        fake_client.pack(f"{source}/", "s3://b/a.tar.zst")
        fake_s3.rule({"type": "swap_version"}, operation="GetObject", skip=1)
        with pytest.raises((s3z.ObjectChangedError, s3z.BatchError)):
            fake_client.unpack("s3://b/a.tar.zst", "s3://b/p/")
        assert fake_s3.uploads() == []


class TestInterrupts:
    @pytest.mark.parametrize("from_pipe", [False, True])
    @pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
    def test_killed_half_way(
        self, fake_s3: FakeS3, command: Callable[..., Command], b: str, tmp_path: Path, name: str, from_pipe: bool
    ) -> None:
        tree = Tree(tmp_path / "dir")
        tree.file("large.bin", noise(60 * MIB))
        tree.settle()
        run = command(fake_s3)
        run("pack", "dir/", "a.tar.zst")
        fake_s3.switch(rate_total=10 * MIB)
        with open(run.directory / "a.tar.zst", "rb") as file:
            archive, stdin = ("-", {"stdin": file}) if from_pipe else ("a.tar.zst", {})
            process = run.start("unpack", archive, "s3://b/p/", **stdin)
            fake_s3.wait_for_log(operation="UploadPart")
            sent = time.monotonic()
            process.send_signal(getattr(signal, name))
            process.communicate(timeout=30)
        took = time.monotonic() - sent
        fake_s3.switch(rate_total=0)
        assert process.returncode == -getattr(signal, name)
        assert took < 4
        assert fake_s3.do("keys", bucket="b")["keys"] == []
        assert fake_s3.uploads() == []


_MEASURED = """
import resource, sys, s3z
client = s3z.Client(config=s3z.TransferConfig(memory_limit=int(sys.argv[2])))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
client.unpack(sys.argv[1], "s3://b/p/", memory_limit=int(sys.argv[2]), max_ratio=10**6)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


class TestMemory:
    @pytest.mark.parametrize("kind", ["noise", "zeros"])
    def test_a_large_file(self, fake_s3: FakeS3, b: str, tmp_path: Path, kind: str) -> None:
        tree = Tree(tmp_path / "dir")
        tree.file("large.bin", noise(40 * MIB) * 10 if kind == "noise" else bytes(400 * MIB))
        s3z.pack(f"{tmp_path / 'dir'}/", tmp_path / "a.tar.zst")
        environment = {**os.environ, **fake_s3.environment()}
        done = subprocess.run(
            [sys.executable, "-c", _MEASURED, tmp_path / "a.tar.zst", str(64 * MIB)],
            env=environment, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        assert int(done.stdout) * 1024 < 124 * MIB
        assert fake_s3.uploads() == []


class TestCommand:
    @pytest.fixture
    def run(self, fake_s3: FakeS3, command: Callable[..., Command], b: str, tmp_path: Path) -> Command:
        small_tree(tmp_path / "dir")
        run = command(fake_s3)
        run("pack", "--exclude", "sub/?.bin", "dir/", "a.tar.zst")
        return run

    def test_line(self, run: Command) -> None:
        outcome = run("unpack", "a.tar.zst", "s3://b")
        assert outcome.lines == ["unpack a.tar.zst s3://b/"]
        assert outcome.errors == [
            'WARNING "unpack a.tar.zst s3://b/": left out: 2 that are links, of which there are none in S3'
        ]
        run("unpack", "a.tar.zst", "s3://b/p/")

    def test_record(self, run: Command) -> None:
        record, *_, summary = run("--json", "unpack", "a.tar.zst", "s3://b/p/").records
        assert (record["operation"], record["destination"], record["directories"]) == ("unpack", "s3://b/p/", 0)
        assert record["skipped"] == {"directory": 5, "hard_link": 1, "symlink": 1}
        assert (summary["command"], summary["objects"]["done"]) == ("unpack", record["files"])

    def test_stdin(self, fake_client: s3z.Client, run: Command) -> None:
        with open(run.directory / "a.tar.zst", "rb") as file:
            assert run("unpack", "-", "s3://b/p/", stdin=file).lines == ["unpack - s3://b/p/"]
        assert fake_client.get("s3://b/p/a.txt") == (run.directory / "dir" / "a.txt").read_bytes()

    def test_no_clobber(self, fake_client: s3z.Client, run: Command) -> None:
        fake_client.put("s3://b/a.txt", b"mine")
        record = run("--json", "unpack", "-n", "a.tar.zst", "s3://b", "a.txt", "empty").records[0]
        assert record["skipped"] == {"exists": 1}
        assert fake_client.get("s3://b/a.txt") == b"mine"

    def test_dry_run(self, fake_s3: FakeS3, run: Command) -> None:
        fake_s3.do("clear_log")
        assert run("--dry-run", "unpack", "a.tar.zst", "s3://b/p/").lines == ["unpack a.tar.zst s3://b/p/"]
        assert fake_s3.log() == []

    @pytest.mark.parametrize("flag", ["--no-preserve", "--same-owner", "--allow-unsafe-links", "--durable"])
    def test_options_of_directories(self, run: Command, flag: str) -> None:
        outcome = run("unpack", flag, "a.tar.zst", "s3://b/p/", status=2)
        assert f'option "{flag}" needs a local destination' in outcome.errors[0]

    @pytest.mark.parametrize(
        ("target", "message"),
        [
            ("s3://b/k", 'target "s3://b/k" must be a bucket or a prefix'),
            ("s3://b/k*/", 'target "s3://b/k*/" can not contain glob characters'),
        ],
    )
    def test_refusals(self, run: Command, target: str, message: str) -> None:
        assert message in run("unpack", "a.tar.zst", target, status=1).errors[0]

    def test_failures(self, fake_s3: FakeS3, run: Command) -> None:
        fake_s3.rule({"type": "respond", "status": 403, "code": "AccessDenied"}, operation="PutObject", key="a.txt")
        outcome = run("unpack", "a.tar.zst", "s3://b", status=1)
        assert any("a.txt" in line and line.startswith("ERROR ") for line in outcome.errors)
