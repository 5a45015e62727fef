"""`s3z ls` and `s3z du`: columns to the letter, what is selected, versions, pages (cli.md 4, 5.2, 6)."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest
from support.data import MIB, write_pattern
from support.planted import bound_by_modes, failed, plant
from support.trees import fill, put_at, write_tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Command
    from support.servers import FakeS3, Server

TIME = "2026/03/26 09:14:10"
GIB, TIB = 1 << 30, 1 << 40
#: with -H: the largest unit that the size exceeds
HUMAN = [
    (0, "0"), (1, "1"), (1023, "1023"), (1024, "1024"), (1025, "1.0K"), (1536, "1.5K"), (10_240, "10.0K"),
    (MIB, "1024.0K"), (MIB + 1, "1.0M"), (5 * MIB // 2, "2.5M"), (GIB, "1024.0M"), (GIB + 1, "1.0G"),
    (TIB, "1024.0G"), (3 * TIB, "3.0T"),
]  # fmt: skip


def row(name: str, size: object, kind: str = "", third: str = "", *, wide: bool = False, time: str = TIME) -> str:
    """A line of 5.2: `%19s %2s %-1s %12s %s`, with -e `%-38s` for the third."""
    return f"{time:>19} {kind:>2} {third:<{38 if wide else 1}} {size:>12} {name}"


def shape(line: str) -> str:
    return re.sub(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d", TIME, line)


def etag(server: Server, bucket: str, key: str, **more: str) -> str:
    found: str = server.boto3.head_object(Bucket=bucket, Key=key, **more)["ETag"]
    return found.strip('"')


@pytest.fixture
def run(fake_s3: FakeS3, command: Callable[..., Command]) -> Command:
    """Sizes 5, 7, 11, 13 of two classes, one of them below `sub/`."""
    for key, size, kind in (("a.txt", 5, "STANDARD"), ("b.bin", 7, "STANDARD_IA"), ("sub/c.txt", 11, "GLACIER")):
        fake_s3.boto3.put_object(Bucket=bucket(fake_s3), Key=key, Body=b"x" * size, StorageClass=kind)
    fake_s3.put("b", "sub/deep/d.txt", b"x" * 13)
    fake_s3.do("create_bucket", bucket="empty")
    return command(fake_s3)


def bucket(server: FakeS3) -> str:
    if not any(each["Name"] == "b" for each in server.boto3.list_buckets()["Buckets"]):
        server.do("create_bucket", bucket="b")
    return "b"


@pytest.fixture
def versions(fake_s3: FakeS3, command: Callable[..., Command]) -> dict[str, list[str]]:
    """In bucket `v`: `k` of 3, then 5 bytes; `gone` of 7 bytes, deleted; `kk` of 11 bytes. Their ids, oldest first."""
    fake_s3.do("create_bucket", bucket="v")
    fake_s3.boto3.put_bucket_versioning(Bucket="v", VersioningConfiguration={"Status": "Enabled"})
    made: dict[str, list[str]] = {"k": [], "gone": [], "kk": []}
    for key, size in (("k", 3), ("k", 5), ("gone", 7), ("kk", 11)):
        answer = fake_s3.boto3.put_object(Bucket="v", Key=key, Body=b"x" * size)
        made[key].append(answer["VersionId"])
    made["gone"].append(fake_s3.boto3.delete_object(Bucket="v", Key="gone")["VersionId"])
    return made


class TestColumns:
    def test_storage_class_in_full(self, run: Command) -> None:
        assert [shape(line) for line in run("ls", "-s", "s3://b").lines] == [
            row("a.txt", 5, "STANDARD"), row("b.bin", 7, "STANDARD_IA"), row("sub/", "DIR", time=""),
        ]  # fmt: skip
        assert [line.split()[2] for line in run("ls", "--storage-class", "s3://b/*").lines] == [
            "STANDARD", "STANDARD_IA", "GLACIER", "STANDARD",
        ]  # fmt: skip

    def test_etag(self, run: Command, fake_s3: FakeS3) -> None:
        for option in ("-e", "--etag"):
            assert [shape(line) for line in run("ls", option, "s3://b").lines] == [
                row("a.txt", 5, third=etag(fake_s3, "b", "a.txt"), wide=True),
                row("b.bin", 7, third=etag(fake_s3, "b", "b.bin"), wide=True),
                row("sub/", "DIR", wide=True, time=""),
            ]

    def test_etag_of_an_upload_in_parts(self, run: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        write_pattern(tmp_path / "big", 6 * MIB)
        upload = fake_s3.boto3.create_multipart_upload(Bucket="b", Key="big")["UploadId"]
        part = fake_s3.boto3.upload_part(
            Bucket="b", Key="big", UploadId=upload, PartNumber=1, Body=(tmp_path / "big").read_bytes()
        )
        fake_s3.boto3.complete_multipart_upload(
            Bucket="b", Key="big", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        )
        tag = etag(fake_s3, "b", "big")
        assert tag.endswith("-1")
        assert shape(run("ls", "-e", "s3://b/big").stdout) == row("big", 6 * MIB, third=tag, wide=True) + "\n"

    @pytest.mark.parametrize(("size", "shown"), HUMAN)
    def test_human_sizes(self, run: Command, fake_s3: FakeS3, size: int, shown: str) -> None:
        fake_s3.pattern("h", "k", size)
        for option in ("-H", "--humanize", "--human-readable"):
            assert shape(run("ls", option, "s3://h").stdout) == row("k", shown) + "\n"
        assert shape(run("ls", "s3://h").stdout) == row("k", size) + "\n"

    def test_all_columns_together(self, run: Command, fake_s3: FakeS3) -> None:
        line = run("ls", "-e", "-s", "-H", "s3://b/b.bin").stdout
        assert shape(line) == row("b.bin", 7, "STANDARD_IA", etag(fake_s3, "b", "b.bin"), wide=True) + "\n"

    def test_full_paths_are_the_uri_alone(self, run: Command) -> None:
        wanted = ["s3://b/a.txt", "s3://b/b.bin", "s3://b/sub/c.txt", "s3://b/sub/deep/d.txt"]
        assert run("ls", "--show-fullpath", "s3://b/*").lines == wanted
        assert run("ls", "--show-fullpath", "-e", "-s", "-H", "s3://b/*").lines == wanted
        assert run("ls", "--show-fullpath", "s3://b/sub/").lines == ["s3://b/sub/c.txt", "s3://b/sub/deep/"]

    def test_time_is_last_modified(self, run: Command, fake_s3: FakeS3) -> None:
        put_at(fake_s3, "t", "k", b"x", 1_700_000_000)
        assert (
            run("ls", "s3://t/k", env={"TZ": "Asia/Kolkata"}).stdout == row("k", 1, time="2023/11/14 22:13:20") + "\n"
        )

    @pytest.mark.parametrize("key", ["with space", " lead", "ä€😀", "x" * 200, "s*r", "#%+&", "a//b"])
    def test_names_are_as_they_are(self, run: Command, fake_s3: FakeS3, key: str) -> None:
        fake_s3.put("n", key, b"x")
        assert shape(run("ls", "s3://n/*").stdout) == row(key, 1) + "\n"


class TestSelection:
    @pytest.mark.parametrize(
        ("argument", "names", "size", "count"),
        [
            ("s3://b", ["a.txt", "b.bin", "sub/"], 12, 2),
            ("s3://b/*", ["a.txt", "b.bin", "sub/c.txt", "sub/deep/d.txt"], 36, 4),
            ("s3://b/sub/", ["c.txt", "deep/"], 11, 1),
            ("s3://b/sub/*", ["c.txt", "deep/d.txt"], 24, 2),
            ("s3://b/s*.txt", ["sub/c.txt", "sub/deep/d.txt"], 24, 2),
            ("s3://b/sub", ["sub/"], 0, 0),
            ("s3://b/?.*", ["a.txt", "b.bin"], 12, 2),
        ],
    )
    def test_level_against_wildcard(self, run: Command, argument: str, names: list[str], size: int, count: int) -> None:
        """And du sums what ls selects."""
        assert [line.split()[-1] for line in run("ls", argument).lines] == names
        found = run("du", argument).stdout
        assert re.fullmatch(rf"{size} bytes in {count} objects?: {re.escape(argument)}\n", found), found

    def test_recursive_is_the_wildcard(self, run: Command) -> None:
        assert run("ls", "--recursive", "s3://b").stdout == run("ls", "s3://b/*").stdout
        assert run("du", "--recursive", "s3://b").stdout.startswith("36 bytes in 4 objects: ")
        assert run("du", "--recursive", "s3://b/sub/").stdout.startswith("24 bytes in 2 objects: ")

    def test_recursive_of_a_prefix_with_a_wildcard(self, run: Command) -> None:
        assert run("ls", "--recursive", "s3://b/s*/").stdout == run("ls", "s3://b/s*/*").stdout
        assert run("du", "--recursive", "s3://b/s?b/").stdout.startswith("24 bytes in 2 objects: ")

    def test_exclude(self, run: Command) -> None:
        assert [line.split()[-1] for line in run("ls", "--exclude", "*.txt", "s3://b/*").lines] == ["b.bin"]
        assert run("du", "--exclude", "a*", "--exclude", "deep/*", "s3://b/*").stdout.startswith("31 bytes in 3 ")
        assert run("du", "--exclude", "deep/*", "s3://b/sub/*").stdout.startswith("11 bytes in 1 ")

    def test_markers_are_directories_and_not_counted(self, run: Command, fake_s3: FakeS3) -> None:
        fake_s3.put("b", "sub/", b"")
        fake_s3.put("b", "marker/", b"")
        assert shape(run("ls", "s3://b/*").stdout).count(" DIR ") == 2
        assert run("du", "s3://b/*").stdout == "36 bytes in 4 objects: s3://b/*\n"

    @pytest.mark.parametrize("argument", ["s3://empty", "s3://empty/", "s3://empty/*", "s3://b/none*", "s3://b/none/"])
    def test_nothing_for_du(self, run: Command, argument: str) -> None:
        outcome = run("du", argument)
        assert (outcome.stdout, outcome.stderr) == (f"0 bytes in 0 objects: {argument}\n", "")

    @pytest.mark.parametrize("argument", ["s3://empty/*", "s3://empty/x/", "s3://b/z*", "s3://b/sub/none"])
    def test_nothing_for_ls(self, run: Command, argument: str) -> None:
        if argument == "s3://empty/*":
            outcome = run("ls", argument, status=None)
            assert outcome.stdout == ""
            return
        outcome = run("ls", argument, status=1)
        assert outcome.errors[0] == f'ERROR "ls {argument}": no object found'

    @pytest.mark.parametrize("name", ["ls", "du"])
    @pytest.mark.parametrize("argument", ["s3://no-such-bucket", "s3://no-such-bucket/*", "s3://no-such-bucket/p/"])
    def test_missing_bucket(self, run: Command, name: str, argument: str) -> None:
        outcome = run(name, argument, status=1)
        assert outcome.stdout == ""
        assert outcome.errors[0].startswith(f'ERROR "{name} {argument}": NoSuchBucket')

    @pytest.mark.parametrize("argument", ["s3://b*", "s3://b?/x", "s3://", "gs://b/x"])
    def test_bad_arguments(self, run: Command, fake_s3: FakeS3, argument: str) -> None:
        fake_s3.do("clear_log")
        for name in ("ls", "du"):
            assert run(name, argument, status=1).stdout == ""
        assert fake_s3.log() == []

    @pytest.mark.parametrize(
        "arguments",
        [["du"], ["du", "a", "b"], ["du", "--foo", "s3://b"], ["du", "--all-versions", "--version-id", "x", "s3://b/k"],
         ["ls", "--version-id", "x", "s3://b/k"], ["du", "-s", "s3://b"], ["ls", "-g", "s3://b"]],
    )  # fmt: skip
    def test_usage(self, run: Command, fake_s3: FakeS3, arguments: list[str]) -> None:
        fake_s3.do("clear_log")
        assert run(*arguments, status=2).errors[0].startswith(f'ERROR "{arguments[0]}": ')
        assert fake_s3.log() == []


class TestPages:
    """Nothing is dropped between pages, and nothing shown twice."""

    COUNT = 5003

    def test_flat(self, run: Command, fake_s3: FakeS3) -> None:
        names = [f"{number:05}" for number in range(self.COUNT)]
        fill(fake_s3, "many", names, b"xyz")
        for argument in ("s3://many", "s3://many/*"):
            assert [line.split()[-1] for line in run("ls", argument).lines] == names
        assert [record["key"] for record in run("--json", "ls", "s3://many").records] == [
            f"s3://many/{name}" for name in names
        ]
        assert run("du", "s3://many/*").stdout == f"{3 * self.COUNT} bytes in {self.COUNT} objects: s3://many/*\n"

    def test_a_filter_that_leaves_whole_pages_out(self, run: Command, fake_s3: FakeS3) -> None:
        fill(fake_s3, "many", [f"{number:05}" for number in range(self.COUNT)])
        assert [line.split()[-1] for line in run("ls", "s3://many/*77").lines] == [
            f"{number:05}" for number in range(self.COUNT) if number % 100 == 77
        ]
        assert [line.split()[-1] for line in run("ls", "s3://many/*05002").lines] == ["05002"]

    def test_prefixes_over_pages(self, run: Command, fake_s3: FakeS3) -> None:
        fill(fake_s3, "many", [f"d{number % 3}/{number:05}" for number in range(self.COUNT)])
        fill(fake_s3, "many", [f"e{number:04}/x" for number in range(2100)])
        names = ["d0/", "d1/", "d2/", *(f"e{number:04}/" for number in range(2100))]
        assert run("ls", "s3://many").lines == [row(name, "DIR", time="") for name in names]
        assert len(run("ls", "s3://many/d1/").lines) == len(range(1, self.COUNT, 3))

    def test_versions(self, run: Command, fake_s3: FakeS3) -> None:
        fill(fake_s3, "many", [f"{number:05}" for number in range(1500)], b"1")
        fake_s3.boto3.put_bucket_versioning(Bucket="many", VersioningConfiguration={"Status": "Enabled"})
        fill(fake_s3, "many", [f"{number:05}" for number in range(1500)], b"22")
        lines = run("ls", "--all-versions", "s3://many/*").lines
        assert len(lines) == len(set(lines)) == 3000
        assert run("du", "--all-versions", "s3://many/*").stdout.startswith("4500 bytes in 3000 objects: ")

    @pytest.mark.parametrize("name", ["ls", "du"])
    def test_failure_on_a_later_page(self, run: Command, fake_s3: FakeS3, name: str) -> None:
        fill(fake_s3, "many", [f"{number:05}" for number in range(1500)])
        denied = {"type": "respond", "status": 403, "code": "AccessDenied"}
        fake_s3.rule(denied, operation="ListObjectsV2", bucket="many", skip=1)
        outcome = run(name, "s3://many/*", status=1)
        assert "AccessDenied" in outcome.errors[0]
        assert name == "ls" or "1500 objects" not in outcome.stdout


class TestVersions:
    def test_columns(self, run: Command, fake_s3: FakeS3, versions: dict[str, list[str]]) -> None:
        """The name has 50 columns then, and the version follows; the newest first, as the store lists them."""
        lines = [shape(line) for line in run("ls", "--all-versions", "s3://v/k*").lines]
        old, new = versions["k"]
        assert lines == [
            row(f"{'k':<50} {new}", 5), row(f"{'k':<50} {old}", 3), row(f"{'kk':<50} {versions['kk'][0]}", 11),
        ]  # fmt: skip
        line = shape(run("ls", "--all-versions", "-e", "-s", "s3://v/kk").lines[-1])
        tag = etag(fake_s3, "v", "kk")
        assert line == row(f"{'kk':<50} {versions['kk'][0]}", 11, "STANDARD", tag, wide=True)

    def test_delete_markers(self, run: Command, versions: dict[str, list[str]]) -> None:
        assert [line.split()[-1] for line in run("ls", "s3://v").lines] == ["k", "kk"]
        lines = run("ls", "--all-versions", "s3://v/g*").lines
        assert sorted(line.split()[-1] for line in lines) == sorted(versions["gone"])
        assert run("du", "--all-versions", "s3://v/g*").stdout.startswith("7 bytes in ")

    def test_json(self, run: Command, versions: dict[str, list[str]]) -> None:
        records = run("--json", "ls", "--all-versions", "s3://v/*").records
        assert {(record["key"], record["version_id"]) for record in records} == {
            (f"s3://v/{key}", version) for key, made in versions.items() for version in made
        }
        markers = [record for record in records if record.get("delete_marker")]
        assert [record["version_id"] for record in markers] == versions["gone"][1:]
        assert [record["size"] for record in records if record["key"] == "s3://v/k"] == [5, 3]

    def test_sums(self, run: Command, versions: dict[str, list[str]]) -> None:
        assert run("du", "s3://v/*").stdout == "16 bytes in 2 objects: s3://v/*\n"
        assert run("du", "--all-versions", "s3://v/k*").stdout == "19 bytes in 3 objects: s3://v/k*\n"
        old, new = versions["k"]
        for version, size in ((old, 3), (new, 5)):
            outcome = run("du", "--version-id", version, "s3://v/k")
            assert re.fullmatch(rf"{size} bytes in 1 objects?: s3://v/k( .*)?\n", outcome.stdout)

    def test_unknown_version(self, run: Command, versions: dict[str, list[str]]) -> None:
        """Of `k`, and neither of `kk` nor all of them."""
        outcome = run("du", "--version-id", versions["kk"][0], "s3://v/k", status=None)
        assert not outcome.stdout.startswith(("11 ", "8 ", "5 ", "3 "))

    def test_bucket_without_versions(self, run: Command) -> None:
        lines = run("ls", "--all-versions", "s3://b/a.txt").lines
        assert shape(lines[0]) == row(f"{'a.txt':<50} null", 5)


class TestGroups:
    def test_one_line_for_each_class(self, run: Command) -> None:
        for option in ("-g", "--group"):
            assert sorted(line.replace(" 1 objects", " 1 object") for line in run("du", option, "s3://b/*").lines) == [
                "11 bytes in 1 object: s3://b/* [GLACIER]", "18 bytes in 2 objects: s3://b/* [STANDARD]",
                "7 bytes in 1 object: s3://b/* [STANDARD_IA]",
            ]  # fmt: skip

    def test_human(self, run: Command, fake_s3: FakeS3) -> None:
        fake_s3.pattern("h", "one", 1000)
        fake_s3.pattern("h", "two", 25)
        assert run("du", "-H", "s3://h").stdout == "1.0K bytes in 2 objects: s3://h\n"
        assert run("du", "--human-readable", "-g", "s3://h").stdout == "1.0K bytes in 2 objects: s3://h [STANDARD]\n"

    def test_json(self, run: Command) -> None:
        (record,) = run("--json", "du", "s3://b/*").records
        record.pop("storage_class", None)
        assert record == {"source": "s3://b/*", "count": 4, "size": 36}
        records = run("--json", "du", "-g", "s3://b/*").records
        assert sorted((each["storage_class"], each["count"], each["size"]) for each in records) == [
            ("GLACIER", 1, 11), ("STANDARD", 2, 18), ("STANDARD_IA", 1, 7),
        ]  # fmt: skip
        assert {each["source"] for each in records} == {"s3://b/*"}

    @pytest.mark.parametrize("argument", ["s3://empty", "s3://b/none", "s3://b/none*"])
    def test_nothing_is_zero(self, run: Command, argument: str) -> None:
        assert run("du", "-g", argument).stdout == f"0 bytes in 0 objects: {argument}\n"
        assert run("--json", "du", "-g", argument).records == [{"source": argument, "count": 0, "size": 0}]


class TestLocal:
    @pytest.fixture
    def tree(self, run: Command, tmp_path: Path) -> Command:
        write_tree(tmp_path / "dir", {".hidden": "12", "a b": "1", "sub/c": "123", "sub-x": "1234"}, 1_700_000_000)
        return run

    def test_columns(self, tree: Command) -> None:
        time = "2023/11/14 22:13:20"
        assert tree("ls", "dir/").lines == [
            row(".hidden", 2, time=time), row("a b", 1, time=time), row("sub-x", 4, time=time),
            row("sub/c", 3, time=time),
        ]  # fmt: skip

    def test_human_and_json(self, tree: Command, tmp_path: Path) -> None:
        write_pattern(tmp_path / "dir/big", 1025)
        assert "        1.0K big\n" in tree("ls", "-H", "dir/").stdout
        records = tree("--json", "ls", "dir/").records
        assert [(record["key"].removeprefix("dir/"), record["size"]) for record in records] == [
            (".hidden", 2), ("a b", 1), ("big", 1025), ("sub-x", 4), ("sub/c", 3),
        ]  # fmt: skip
        assert {record["type"] for record in records} == {"file"}

    def test_sums(self, tree: Command, fake_s3: FakeS3) -> None:
        fake_s3.do("clear_log")
        assert tree("du", "dir/").stdout == "10 bytes in 4 objects: dir/\n"
        assert tree("du", "dir/s*").stdout == "7 bytes in 2 objects: dir/s*\n"
        assert fake_s3.log() == []

    @pytest.mark.parametrize("name", ["ls", "du"])
    def test_files_have_no_versions(self, tree: Command, name: str) -> None:
        outcome = tree(name, "--all-versions", "dir", status=2)
        assert outcome.errors[0] == f'ERROR "{name}": files have no versions'
        assert outcome.stdout == ""

    @pytest.mark.parametrize("argument", ["deep/*/?", "deep/*/x", "deep/"])
    def test_directory_that_cannot_be_read_hides_no_other(self, tree: Command, tmp_path: Path, argument: str) -> None:
        plant(tmp_path / "deep", {"a/x": b"1", "m/x": b"22", "z/x": b"333"})
        program = bound_by_modes()
        (tmp_path / "deep/m").chmod(0o000)
        try:
            listed = tree("ls", "--show-fullpath", argument, status=1, program=program)
            summed = tree("--json", "du", argument, status=1, program=program)
            alone = tree("ls", "deep/m*/?", status=1, program=program)
            file = tree("--json", "ls", "deep/m/x", status=1, program=program)
        finally:
            (tmp_path / "deep/m").chmod(0o755)
        assert listed.lines == ["deep/a/x", "deep/z/x"]
        assert [record["size"] for record in summed.records] == [4]
        assert len(summed.error_records) == len(failed(listed)) == len(failed(alone)) == 1
        for line in (*failed(listed), *failed(alone)):
            assert line.startswith('ERROR "ls deep/m/')
            assert "permission denied" in line
        assert [record["error"]["kind"] for record in file.error_records] == ["local_io"]

    def test_link_to_itself_hides_no_other(self, tree: Command, tmp_path: Path) -> None:
        (tmp_path / "around").mkdir()
        (tmp_path / "around/loop").symlink_to("loop")
        (tmp_path / "around/x").write_text("x")
        for argument in ("around", "around/*"):
            outcome = tree("ls", "--show-fullpath", argument, status=1)
            assert outcome.lines == ["around/x"]
            assert [line.startswith('ERROR "ls around/loop"') for line in failed(outcome)] == [True]

    def test_names_that_are_not_utf8(self, tree: Command, tmp_path: Path) -> None:
        (tmp_path / "dir" / os.fsdecode(b"\xff")).write_text("x")
        assert len(tree("ls", "dir/").lines) == 5
        (record,) = tree("--json", "ls", f"{tmp_path}/dir/?").records
        assert "\ufffd" in record["key"]


@pytest.mark.parametrize("name", ["fake_s3", "moto", "versitygw"])
def test_every_server(
    request: pytest.FixtureRequest, name: str, command: Callable[..., Command], tmp_path: Path
) -> None:
    server: Server = request.getfixturevalue(name)
    mine = f"listing-{os.getpid()}"
    server.boto3.create_bucket(Bucket=mine)
    run = command(server)
    assert run("ls", f"s3://{mine}").stdout == ""
    assert run("du", f"s3://{mine}").stdout == f"0 bytes in 0 objects: s3://{mine}\n"
    for key, size in (("a", 1000), ("p/b", 25), ("p/q/c", 3)):
        server.boto3.put_object(Bucket=mine, Key=key, Body=b"x" * size)
    assert [shape(line) for line in run("ls", "-e", f"s3://{mine}").lines] == [
        row("a", 1000, third=etag(server, mine, "a"), wide=True), row("p/", "DIR", wide=True, time=""),
    ]  # fmt: skip
    assert [line.split()[-2:] for line in run("ls", f"s3://{mine}/p/*").lines] == [["25", "b"], ["3", "q/c"]]
    assert run("du", f"s3://{mine}/*").stdout == f"1028 bytes in 3 objects: s3://{mine}/*\n"
    assert run("du", "-g", "-H", f"s3://{mine}/*").stdout == f"1.0K bytes in 3 objects: s3://{mine}/* [STANDARD]\n"
