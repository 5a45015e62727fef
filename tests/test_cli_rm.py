"""`s3z rm`: exactly what is named, each with its own outcome; versions, batches, local trees (cli.md 4, 11)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from support.planted import bound_by_modes, failed, fill, keys, kinds, named, places, plant, tally, tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Command
    from support.servers import FakeS3, Server

#: `k` and all that could be mistaken for it
KEYS = {"k", "k2", "k/x", "K", "kk", "p/a.txt", "p/b.bin", "p/sub/c.txt", "pp", "q/a.txt", "st*r", "star", "stir"}
FILES = {"a.txt": b"a", "b.bin": b"b", "sub/c.txt": b"c", "sub/deep/.d": b"d", ".h": b"h"}
MIXED = "arguments cannot have both local and remote sources"
BUCKETS = "removal of objects with different buckets in a single command is not allowed"
PREFIX = "s3 bucket/prefix cannot be used for delete operations (forgot wildcard character?)"


@pytest.fixture(params=["fake_s3", "versitygw"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def stored(server: Server) -> set[str]:
    """`KEYS`, as far as a gateway over files can hold them."""
    return KEYS if server.name == "fake-s3" else KEYS - {"k/x"}


@pytest.fixture
def run(server: Server, bucket: str, stored: set[str], tmp_path: Path, command: Callable[..., Command]) -> Command:
    fill(server, bucket, dict.fromkeys(sorted(stored), b"x"))
    return command(server)


@pytest.fixture
def fake(fake_s3: FakeS3, tmp_path: Path, command: Callable[..., Command]) -> Command:
    """`KEYS` in `s3://b`, `FILES` below `dir`; `s3://c` has `k`."""
    for key in KEYS:
        fake_s3.put("b", key, b"x")
    fake_s3.put("c", "k", b"x")
    plant(tmp_path / "dir", FILES)
    fake_s3.do("clear_log")
    return command(fake_s3)


@pytest.fixture
def versions(fake_s3: FakeS3, command: Callable[..., Command]) -> Command:
    """Two versions of each of `k`, `k2`, `k/x`, `p/a`, and a delete marker on top of `k` and `p/a`, in `s3://v`."""
    fake_s3.do("create_bucket", bucket="v")
    fake_s3.boto3.put_bucket_versioning(Bucket="v", VersioningConfiguration={"Status": "Enabled"})
    for key in ("k", "k2", "k/x", "p/a"):
        for body in (b"1", b"2"):
            fake_s3.boto3.put_object(Bucket="v", Key=key, Body=body)
    for key in ("k", "p/a"):
        fake_s3.boto3.delete_object(Bucket="v", Key=key)
    fake_s3.do("clear_log")
    return command(fake_s3)


def history(server: FakeS3) -> list[tuple[str, str]]:
    """Key and id of each version and delete marker in `s3://v`."""
    found = server.boto3.list_object_versions(Bucket="v")
    return sorted(
        (each["Key"], each["VersionId"]) for each in found.get("Versions", []) + found.get("DeleteMarkers", [])
    )


def changes(server: FakeS3) -> list[str]:
    """The requests that are no reads."""
    return [record["operation"] for record in server.log() if record["method"] not in ("GET", "HEAD")]


class TestObjects:
    @pytest.mark.parametrize(
        ("arguments", "removed"),
        [
            ("s3://b/k", {"k"}),
            ("s3://b/k s3://b/p/a.txt s3://b/pp", {"k", "p/a.txt", "pp"}),
            ("s3://b/p/*", {"p/a.txt", "p/b.bin", "p/sub/c.txt"}),
            ("s3://b/p*", {"p/a.txt", "p/b.bin", "p/sub/c.txt", "pp"}),
            ("s3://b/k?", {"k2", "kk"}),
            ("s3://b/k*", {"k", "k2", "k/x", "kk"}),
            ("s3://b/*.txt", {"p/a.txt", "p/sub/c.txt", "q/a.txt"}),
            ("s3://b/*/a.txt s3://b/k", {"p/a.txt", "q/a.txt", "k"}),
            ("s3://b/*", KEYS),
            ("s3://b/st*r", {"st*r", "star", "stir"}),
            ("--raw s3://b/st*r", {"st*r"}),
            ("--recursive s3://b/p/", {"p/a.txt", "p/b.bin", "p/sub/c.txt"}),
            ("--recursive s3://b", KEYS),
            ("--recursive s3://b/p*/", {"p/a.txt", "p/b.bin", "p/sub/c.txt"}),
            ("--recursive s3://b/?/s*/", {"p/sub/c.txt"}),
            ("--exclude *.txt s3://b/p/*", {"p/b.bin"}),
            ("--include *.txt s3://b/p/*", {"p/a.txt", "p/sub/c.txt"}),
            ("--include *.txt --exclude sub/* s3://b/p/*", {"p/a.txt"}),
            ("--exclude a.txt s3://b/p/* s3://b/q/* s3://b/k", {"p/b.bin", "p/sub/c.txt", "k"}),
        ],
    )
    def test_exactly_what_is_named(
        self, run: Command, server: Server, bucket: str, stored: set[str], arguments: str, removed: set[str]
    ) -> None:
        # `k?` does not match `k/x`: one character, then the end
        outcome = run("rm", *named(arguments, b=bucket).split(), status=None)
        removed = removed & stored
        assert keys(server, bucket) == stored - removed
        assert sorted(outcome.lines) == sorted(f"rm s3://{bucket}/{key}" for key in removed)
        if "q/*" in arguments:  # a wildcard whose matches are all excluded may be told of
            assert outcome.status in (0, 1)
        else:
            assert (outcome.status, outcome.stderr) == (0, "")

    def test_missing_key_counts_as_removed(self, run: Command, server: Server, bucket: str, stored: set[str]) -> None:
        assert run("rm", f"s3://{bucket}/none").stdout == f"rm s3://{bucket}/none\n"
        assert keys(server, bucket) == stored

    def test_key_named_twice(self, fake: Command, fake_s3: FakeS3) -> None:
        fake("rm", "s3://b/k", "s3://b/k*", "s3://b/k")
        assert keys(fake_s3, "b") == KEYS - {"k", "k2", "k/x", "kk"}

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ("s3://b", PREFIX),
            ("s3://b/", PREFIX),
            ("s3://b/p/", PREFIX),
            ("s3://b/k s3://b/p/", PREFIX),
            ("s3://b/k dir/a.txt", MIXED),
            ("dir/a.txt s3://b/k", MIXED),
            ("s3://b/k s3://c/k", BUCKETS),
            ("s3://b/* s3://c/*", BUCKETS),
            ("--recursive s3://b/k", ""),
            ("s3://b*/k", ""),
            ("--version-id x s3://b/k s3://b/k2", ""),
            ("--version-id x s3://b/*", ""),
            ("--version-id x --recursive s3://b/p/", "--version-id needs one object, not --recursive"),
            ("--version-id x --recursive s3://b", "--version-id needs one object, not --recursive"),
            ("--all-versions dir/a.txt", ""),
            ("--all-versions --recursive dir", ""),
            ("--version-id x dir/a.txt", ""),
            ("--version-id x --all-versions s3://b/k", ""),
        ],
    )
    def test_refused(self, fake: Command, fake_s3: FakeS3, tmp_path: Path, arguments: str, message: str) -> None:
        outcome = fake("rm", *arguments.split(), status=1 if message else None)
        assert outcome.status in (1, 2)
        assert len(failed(outcome)) == 1
        assert message in failed(outcome)[0]
        assert (outcome.stdout, changes(fake_s3)) == ("", [])
        assert (keys(fake_s3, "b"), tree(tmp_path / "dir")) == (KEYS, FILES)

    def test_no_argument_is_a_usage_error(self, fake: Command, fake_s3: FakeS3) -> None:
        assert fake("rm", status=2).errors
        assert fake_s3.log() == []

    def test_wildcard_without_a_match_does_not_stop_the_others(self, fake: Command, fake_s3: FakeS3) -> None:
        outcome = fake("rm", "s3://b/none*", "s3://b/k", "s3://b/nor*", status=1)
        assert outcome.stdout == "rm s3://b/k\n"
        lines = failed(outcome)
        assert len(lines) == 2
        assert all("no object found" in line for line in lines)
        assert ["s3://b/none*" in line for line in sorted(lines)] == [True, False]
        assert keys(fake_s3, "b") == KEYS - {"k"}

    def test_missing_bucket(self, fake: Command) -> None:
        for argument in ("s3://none-such/*", "s3://none-such/k"):
            assert fake("rm", argument, status=1).stdout == ""

    @pytest.mark.parametrize(
        "name",
        [
            "with space",
            "plus+",
            "per%cent",
            "hash#",
            "quo'te",
            'dou"ble',
            "new\nline",
            "a&b<c>",
            "[x]",
            "\\",
            "ä😀",
            "{}",
        ],
    )
    def test_odd_names(self, run: Command, server: Server, bucket: str, stored: set[str], name: str) -> None:
        fill(server, bucket, {f"odd/{name}": b"1", f"odd/2{name}": b"2", name: b"3"})
        run("rm", f"s3://{bucket}/odd/{name}")
        assert keys(server, bucket) == stored | {f"odd/2{name}", name}
        run("rm", f"s3://{bucket}/odd/*")
        assert keys(server, bucket) == stored | {name}

    def test_keys_that_fit_no_file_system(self, fake: Command, fake_s3: FakeS3) -> None:
        for key in ("u/../x", "u//x", "u/./x", "u/a//", "u/\r\n", "u/full/", "u/"):
            fake_s3.put("b", key, b"")
        fake("rm", "s3://b/u/*")
        assert keys(fake_s3, "b") == KEYS

    def test_markers(self, run: Command, server: Server, bucket: str, stored: set[str]) -> None:
        fill(server, bucket, {"m/": b"", "m/d/": b"", "m/x": b"x"})
        run("rm", "--raw", f"s3://{bucket}/m/d/")
        assert keys(server, bucket) == stored | {"m/", "m/x"}
        run("rm", f"s3://{bucket}/m/*")
        assert keys(server, bucket) == stored

    @pytest.mark.parametrize("flags", [[], ["--null"]])
    def test_files_from(self, fake: Command, fake_s3: FakeS3, tmp_path: Path, flags: list[str]) -> None:
        names = b"a.txt\0sub/c.txt\0" if flags else b"a.txt\nsub/c.txt\n"
        (tmp_path / "list").write_bytes(names)
        fake("rm", "--files-from", "list", *flags, "s3://b/p/")
        assert keys(fake_s3, "b") == KEYS - {"p/a.txt", "p/sub/c.txt"}
        fake("rm", "--files-from", "-", *flags, "dir/", input=names)
        assert set(tree(tmp_path / "dir")) == {*FILES} - {"a.txt", "sub/c.txt"}


class TestOutput:
    def test_json_agrees(self, fake: Command, fake_s3: FakeS3) -> None:
        outcome = fake("--json", "rm", "s3://b/p/*", "s3://b/k")
        summary = tally(outcome)
        assert (summary["command"], summary["dry_run"]) == ("rm", False)
        records = outcome.records[:-1]
        assert {(each["operation"], each["source"]) for each in records} == {
            ("rm", f"s3://b/{key}") for key in ("p/a.txt", "p/b.bin", "p/sub/c.txt", "k")
        }
        assert len(records) == 4

    def test_stat(self, fake: Command, fake_s3: FakeS3) -> None:
        fake_s3.rule({"type": "delete_errors", "keys": "p/b*", "code": "AccessDenied"}, operation="DeleteObjects")
        assert fake("--stat", "rm", "s3://b/p/*", status=1).lines[-1] == "rm\t3\t1\t2\t"

    @pytest.mark.parametrize("arguments", ["s3://b/*", "s3://b/k", "--all-versions s3://b/*", "dir/", "dir/*.txt"])
    def test_dry_run_prints_the_same_and_changes_nothing(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, arguments: str
    ) -> None:
        before = places(tmp_path)
        dry = fake("--dry-run", "rm", *arguments.split())
        assert changes(fake_s3) == []
        assert (keys(fake_s3, "b"), places(tmp_path)) == (KEYS, before)
        records = fake("--json", "--dry-run", "rm", *arguments.split()).records
        assert all(record["dry_run"] is True for record in records)
        assert sorted(dry.lines) == sorted(fake("rm", *arguments.split()).lines)
        assert dry.lines


class TestBatches:
    def test_ten_thousand_keys(self, fake: Command, fake_s3: FakeS3) -> None:
        for number in range(10_000):
            fake_s3.put("b", f"many/{number:05}", b"")
        fake_s3.do("clear_log")
        outcome = fake("--json", "rm", "s3://b/many/*")
        assert keys(fake_s3, "b") == KEYS
        assert tally(outcome)["exit_code"] == 0
        assert {record["source"] for record in outcome.records[:-1]} == {f"s3://b/many/{n:05}" for n in range(10_000)}
        # the server refuses more than 1000 in one
        assert {*changes(fake_s3)} == {"DeleteObjects"}
        assert 10 <= len(changes(fake_s3)) <= 30
        assert {record["status"] for record in fake_s3.log(operation="DeleteObjects")} == {200}

    def test_more_than_a_batch(self, run: Command, server: Server, bucket: str, stored: set[str]) -> None:
        fill(server, bucket, dict.fromkeys((f"many/{number:04}" for number in range(1_001)), b""))
        outcome = run("rm", f"s3://{bucket}/many/*")
        assert keys(server, bucket) == stored
        assert len(set(outcome.lines)) == 1_001

    @pytest.mark.parametrize("as_json", [False, True])
    def test_each_error_in_a_batch_is_told(self, fake: Command, fake_s3: FakeS3, as_json: bool) -> None:
        for number in range(2_500):
            fake_s3.put("b", f"many/{number:04}", b"")
        denied = {"type": "delete_errors", "keys": "many/??99", "code": "AccessDenied", "message": "not this one"}
        fake_s3.rule(denied, operation="DeleteObjects")
        outcome = fake(*["--json"] * as_json, "rm", "s3://b/many/*", status=1)
        kept = {f"many/{number:02}99" for number in range(25)}
        assert keys(fake_s3, "b") == KEYS | kept
        if as_json:
            assert kinds(outcome) == {f"s3://b/{key}": "access_denied" for key in kept}
            assert tally(outcome)["objects"]["failed"] == 25
        else:
            starts = {line.partition('": ')[0] for line in failed(outcome)}
            assert starts == {f'ERROR "rm s3://b/{key}' for key in kept}
            assert (len(failed(outcome)), len(outcome.lines)) == (25, 2_475)
            assert all("AccessDenied" in line for line in failed(outcome))

    def test_batch_that_fails_as_a_whole(self, fake: Command, fake_s3: FakeS3) -> None:
        denied = {"type": "respond", "status": 403, "code": "AccessDenied"}
        for operation in ("DeleteObjects", "DeleteObject"):
            fake_s3.rule(denied, operation=operation)
        outcome = fake("--json", "rm", "s3://b/p/*", status=1)
        assert kinds(outcome) == {f"s3://b/{key}": "access_denied" for key in KEYS if key.startswith("p/")}
        assert keys(fake_s3, "b") == KEYS

    @pytest.mark.parametrize(
        "fault", [{"type": "respond", "status": 503, "code": "SlowDown"}, {"type": "act_then_drop"}]
    )
    def test_batch_is_tried_again(self, fake: Command, fake_s3: FakeS3, fault: dict[str, Any]) -> None:
        fake_s3.rule(fault, operation="DeleteObjects", times=1)
        assert len(fake("rm", "s3://b/p/*").lines) == 3
        assert keys(fake_s3, "b") == {key for key in KEYS if not key.startswith("p/")}

    def test_listing_that_fails_on_its_second_page(self, fake: Command, fake_s3: FakeS3) -> None:
        for number in range(1_200):
            fake_s3.put("b", f"many/{number:04}", b"")
        denied = {"type": "respond", "status": 403, "code": "AccessDenied"}
        fake_s3.rule(denied, operation="ListObjectsV2", skip=1, times=1)
        outcome = fake("rm", "s3://b/many/*", status=1)
        assert len(failed(outcome)) == 1
        left = keys(fake_s3, "b")
        assert {f"many/{number:04}" for number in range(1_000, 1_200)} | KEYS <= left
        assert len(outcome.lines) == 1_200 + len(KEYS) - len(left)


class TestVersions:
    def test_without_an_option_a_marker_is_made(self, versions: Command, fake_s3: FakeS3) -> None:
        versions("rm", "s3://v/k2")
        assert "k2" not in keys(fake_s3, "v")
        assert len([key for key, _ in history(fake_s3) if key == "k2"]) == 3

    def test_one_version(self, versions: Command, fake_s3: FakeS3) -> None:
        first, second = (version for key, version in history(fake_s3) if key == "k2")
        outcome = versions("rm", "--version-id", first, "s3://v/k2")
        assert outcome.stdout == f"rm {'s3://v/k2':<50} {first}\n"
        assert [version for key, version in history(fake_s3) if key == "k2"] == [second]

    def test_all_versions_of_one_object_are_of_exactly_that_key(self, versions: Command, fake_s3: FakeS3) -> None:
        before = history(fake_s3)
        gone = [version for key, version in before if key == "k"]
        outcome = versions("rm", "--all-versions", "s3://v/k")
        assert history(fake_s3) == [each for each in before if each[0] != "k"]
        assert sorted(outcome.lines) == sorted(f"rm {'s3://v/k':<50} {version}" for version in gone)
        assert len(gone) == 3

    @pytest.mark.parametrize(
        ("arguments", "left"),
        [
            ("s3://v/*", set()), ("s3://v/k*", {"p/a"}), ("s3://v/p/*", {"k", "k2", "k/x"}),
            ("s3://v/k?", {"k", "k/x", "p/a"}), ("--exclude k* s3://v/*", {"k", "k2", "k/x"}),
            ("--recursive s3://v/p/", {"k", "k2", "k/x"}), ("s3://v/k s3://v/k2", {"k/x", "p/a"}),
        ],
    )  # fmt: skip
    def test_all_versions(self, versions: Command, fake_s3: FakeS3, arguments: str, left: set[str]) -> None:
        versions("rm", "--all-versions", *arguments.split())
        assert {key for key, _ in history(fake_s3)} == left

    def test_json_has_the_versions(self, versions: Command, fake_s3: FakeS3) -> None:
        before = {(f"s3://v/{key}", version) for key, version in history(fake_s3)}
        outcome = versions("--json", "rm", "--all-versions", "s3://v/*")
        assert {(record["source"], record["version_id"]) for record in outcome.records[:-1]} == before
        tally(outcome)

    def test_dry_run(self, versions: Command, fake_s3: FakeS3) -> None:
        before = history(fake_s3)
        assert len(versions("--dry-run", "rm", "--all-versions", "s3://v/*").lines) == len(before)
        assert history(fake_s3) == before
        assert changes(fake_s3) == []

    def test_more_versions_than_a_page(self, versions: Command, fake_s3: FakeS3) -> None:
        for number in range(1_300):
            fake_s3.put("v", "many/k", b"%d" % number)
        outcome = versions("rm", "--all-versions", "s3://v/many/k")
        assert len(set(outcome.lines)) == 1_300
        assert {key for key, _ in history(fake_s3)} == {"k", "k2", "k/x", "p/a"}

    def test_removals_overtake_the_listing(self, versions: Command, fake_s3: FakeS3) -> None:
        """The version that the next page begins behind is not removed before that page is there."""
        for number in range(2_300):
            fake_s3.put("v", "many/k", b"%d" % number)
        again = {"type": "respond", "status": 500, "code": "InternalError"}
        fake_s3.rule(again, times=5, operation="ListObjectVersions", skip=2)
        versions("rm", "--all-versions", "s3://v/many/k")
        operations = [record["operation"] for record in fake_s3.log() if record["status"] == 200]
        listings = [number for number, name in enumerate(operations) if name == "ListObjectVersions"]
        assert operations.index("DeleteObjects") < listings[2]
        assert {key for key, _ in history(fake_s3)} == {"k", "k2", "k/x", "p/a"}

    def test_key_without_a_version_counts_as_removed(self, versions: Command, fake_s3: FakeS3) -> None:
        before = history(fake_s3)
        assert versions("rm", "--all-versions", "s3://v/none").stdout == "rm s3://v/none\n"
        for flags, more in (([], {}), (["--dry-run"], {"dry_run": True})):
            outcome = versions("--json", *flags, "rm", "--all-versions", "s3://v/none")
            assert outcome.records[0] == {"operation": "rm", "success": True, "source": "s3://v/none", **more}
            assert tally(outcome)["objects"]["deleted"] == 1
        assert history(fake_s3) == before
        assert versions("rm", "--all-versions", "s3://v/none*", status=1).stdout == ""

    def test_bucket_that_keeps_no_versions(self, fake: Command, fake_s3: FakeS3) -> None:
        fake("rm", "--all-versions", "s3://b/k")
        assert keys(fake_s3, "b") == KEYS - {"k"}


class TestLocal:
    @pytest.mark.parametrize(
        ("arguments", "removed"),
        [
            ("dir/a.txt", {"a.txt"}),
            ("dir/a.txt dir/sub/c.txt", {"a.txt", "sub/c.txt"}),
            ("dir/", {*FILES}),
            ("dir", {*FILES}),
            ("dir/*", {*FILES}),
            ("dir/*.txt", {"a.txt"}),
            ("dir/s*", {"sub/c.txt", "sub/deep/.d"}),
            ("dir/*/*.txt", {"sub/c.txt"}),
            ("--exclude *.txt dir/", {"b.bin", "sub/deep/.d", ".h"}),
            ("--include *.txt dir/", {"a.txt", "sub/c.txt"}),
        ],
    )
    def test_files_go_and_directories_stay(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, arguments: str, removed: set[str]
    ) -> None:
        outcome = fake("rm", *arguments.split())
        assert set(tree(tmp_path / "dir")) == {*FILES} - removed
        assert (tmp_path / "dir/sub/deep").is_dir()
        assert sorted(outcome.lines) == sorted(f"rm dir/{name}" for name in removed)
        assert (outcome.stderr, fake_s3.log(), keys(fake_s3, "b")) == ("", [], KEYS)

    def test_links_are_neither_followed_nor_removed(self, fake: Command, tmp_path: Path) -> None:
        plant(tmp_path / "aside", {"x": b"x"})
        for name, target in (("file", "../aside/x"), ("tree", "../aside"), ("broken", "none"), ("loop", ".")):
            (tmp_path / "dir" / name).symlink_to(target)
        fake("rm", "dir/", status=None)
        assert tree(tmp_path) == {"aside/x": b"x"}
        assert {name for name in ("file", "tree", "broken", "loop") if (tmp_path / "dir" / name).is_symlink()} == {
            "file", "tree", "broken", "loop",
        }  # fmt: skip

    @pytest.mark.parametrize("argument", ["dir/none", "dir/*.none", "none/"])
    def test_missing_file_does_not_stop_the_others(self, fake: Command, tmp_path: Path, argument: str) -> None:
        outcome = fake("rm", argument, "dir/a.txt", status=1)
        assert outcome.stdout == "rm dir/a.txt\n"
        assert len(failed(outcome)) == 1
        assert argument in failed(outcome)[0]
        assert set(tree(tmp_path / "dir")) == {*FILES} - {"a.txt"}

    def test_each_argument_has_its_own_error(self, fake: Command, tmp_path: Path) -> None:
        arguments = ("dir/none", "dir/a.txt", "dir/x*")
        outcome = fake("rm", *arguments, status=1)
        assert failed(outcome) == [f'ERROR "rm {name}": no object found' for name in ("dir/none", "dir/x*")]
        assert outcome.stdout == "rm dir/a.txt\n"
        assert kinds(fake("--json", "rm", "dir/none", "dir/x*", status=1)) == dict.fromkeys(
            ("dir/none", "dir/x*"), "not_found"
        )

    def test_name_that_cannot_be_looked_at_does_not_stop_the_others(self, fake: Command, tmp_path: Path) -> None:
        program = bound_by_modes()
        (tmp_path / "dir/sub").chmod(0o000)
        try:
            outcome = fake("--json", "rm", "dir/sub/c.txt", "dir/a.txt", "dir/b.bin", status=1, program=program)
        finally:
            (tmp_path / "dir/sub").chmod(0o755)
        assert kinds(outcome) == {"dir/sub/c.txt": "local_io"}
        assert tally(outcome)["objects"]["deleted"] == 2
        assert set(tree(tmp_path / "dir")) == {*FILES} - {"a.txt", "b.bin"}

    def test_name_that_is_too_long_does_not_stop_the_others(self, fake: Command, tmp_path: Path) -> None:
        name = "n" * 300
        outcome = fake("--json", "rm", name, f"{name}/x", f"{name}*", "dir/a.txt", status=1)
        assert set(kinds(outcome)) == {name, f"{name}/x", f"{name}*"}
        assert set(tree(tmp_path / "dir")) == {*FILES} - {"a.txt"}

    def test_names_of_any_bytes(self, fake: Command, tmp_path: Path) -> None:
        names = [b"\xff\xfe", b"new\nline", b"st*r", b"with space"]
        (tmp_path / "odd").mkdir()
        for name in [*names, b"star"]:
            with open(os.fsencode(tmp_path) + b"/odd/" + name, "w") as file:
                file.write("x")
        fake("rm", "--raw", *(b"odd/" + name for name in names))
        assert set(tree(tmp_path / "odd")) == {"star"}

    def test_unfinished_downloads_are_left_alone(self, fake: Command, tmp_path: Path) -> None:
        part = tmp_path / "dir/.s3z-0123456789abcdef0123456789abcdef.part"
        part.write_bytes(b"x")
        try:
            fake("rm", "dir/")
            assert part.exists()
        finally:
            part.unlink(missing_ok=True)

    def test_unfinished_downloads_that_are_named_are_left_alone(self, fake: Command, tmp_path: Path) -> None:
        part = tmp_path / "dir/.s3z-0123456789abcdef0123456789abcdef.part"
        part.write_bytes(b"x")
        try:
            for flags in ([], ["--dry-run"]):
                outcome = fake("--json", *flags, "rm", f"dir/{part.name}", "dir/.s3z-*", status=1)
                assert kinds(outcome) == {f"dir/{part.name}": "refused", "dir/.s3z-*": "not_found"}
            listed = fake("--json", "rm", "--files-from", "-", "dir", input=part.name.encode(), status=1)
            assert kinds(listed) == {f"dir/{part.name}": "refused"}
            assert part.exists()
        finally:
            part.unlink(missing_ok=True)

    def test_file_that_cannot_be_removed_is_told_of(self, fake: Command, tmp_path: Path) -> None:
        program = bound_by_modes()
        (tmp_path / "dir/sub").chmod(0o555)
        try:
            outcome = fake("--json", "rm", "dir/", status=1, program=program)
        finally:
            (tmp_path / "dir/sub").chmod(0o755)
        assert kinds(outcome) == {"dir/sub/c.txt": "local_io"}
        assert set(tree(tmp_path / "dir")) == {"sub/c.txt"}
        assert tally(outcome)["objects"]["failed"] == 1
