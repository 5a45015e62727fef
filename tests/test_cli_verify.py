"""`s3z verify`: two trees compared, and nothing written (cli.md 4)."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any

import pytest
from support.data import MIB, write_pattern
from support.trees import PAST, changes, fill, honour_modes, keys, put_at, put_tree, write_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.command import Command, Outcome
    from support.servers import FakeS3, Server

LEFT = {"same": "1", "sub/same": "22", "size": "333", "content": "4444", "only": "5", "sub/only": "6"}
RIGHT = {"same": "1", "sub/same": "22", "size": "3", "content": "four", "more": "7", "sub/more": "8"}
LINES = ["* content", "* size", "+ only", "+ sub/only", "- more", "- sub/more"]
SIDE = {"region": "x-1", "profile": "p", "endpoint-url": "http://127.0.0.1:1"}
DIRECTIONS = pytest.mark.parametrize("direction", ["up", "down", "copy"])
ARGUMENTS = {"up": ["dir/", "s3://dst/q/"], "down": ["s3://src/p/*", "dir/"], "copy": ["s3://src/p/*", "s3://dst/q/"]}
_numbers = itertools.count(1)


@pytest.fixture(params=["fake_s3", "versitygw"])
def server(request: pytest.FixtureRequest) -> Server:
    """Two servers that list in byte order."""
    found: Server = request.getfixturevalue(request.param)
    return found


def local(directory: Path) -> list[tuple[str, bytes, int, int]]:
    """All that a run might change below a directory."""
    return sorted(
        (str(path), path.read_bytes() if path.is_file() else b"", path.stat().st_mtime_ns, path.stat().st_mode)
        for path in directory.rglob("*")
        if ".home" not in path.parts
    )


class Trees:
    """Both sides, and `verify` of them."""

    def __init__(self, run: Command, server: FakeS3, directory: Path) -> None:
        self.run, self.server, self.directory = run, server, directory

    def make(self, direction: str, left: dict[str, str] = LEFT, right: dict[str, str] = RIGHT) -> Trees:
        self.arguments = ARGUMENTS[direction]
        if direction == "up":
            write_tree(self.directory / "dir", left)
        else:
            put_tree(self.server, "src", {f"p/{name}": text for name, text in left.items()})
        if direction == "down":
            write_tree(self.directory / "dir", right)
        else:
            put_tree(self.server, "dst", {f"q/{name}": text for name, text in right.items()})
        return self

    def verify(self, *options: str, status: int = 1, **changed: Any) -> Outcome:
        """Which writes nothing on either side, nor beside them."""
        self.server.do("clear_log")
        before = local(self.directory)
        outcome = self.run("verify", *options, *self.arguments, status=status, **changed)
        assert changes(self.server) == []
        assert local(self.directory) == before
        return outcome


@pytest.fixture
def trees(fake_s3: FakeS3, command: Callable[..., Command], tmp_path: Path) -> Iterator[Trees]:
    for name in ("src", "dst"):
        fake_s3.do("create_bucket", bucket=name)
        put_tree(fake_s3, name, {"beside": "x", "q2/beside": "x", "p2/beside": "x"})
    return Trees(command(fake_s3), fake_s3, tmp_path)


@DIRECTIONS
class TestLines:
    def test_each_kind(self, trees: Trees, direction: str) -> None:
        outcome = trees.make(direction).verify()
        assert sorted(outcome.lines) == LINES
        assert outcome.stderr == ""

    def test_one_way(self, trees: Trees, direction: str) -> None:
        trees.make(direction)
        assert sorted(trees.verify("--one-way").lines) == [line for line in LINES if line[0] != "-"]

    def test_sizes_only(self, trees: Trees, direction: str) -> None:
        trees.make(direction)
        assert sorted(trees.verify("--size-only").lines) == [line for line in LINES if line != "* content"]

    def test_equal(self, trees: Trees, direction: str) -> None:
        trees.make(direction, LEFT, LEFT)
        for options in ([], ["--one-way"], ["--size-only"], ["--checksum=etag"], ["--download"]):
            outcome = trees.verify(*options, status=0)
            assert (outcome.stdout, outcome.stderr) == ("", "")

    @pytest.mark.parametrize(
        ("options", "kept"),
        [
            (["--exclude", "sub/*"], ["* content", "* size", "+ only", "- more"]),
            (["--include", "sub/*"], ["+ sub/only", "- sub/more"]),
            (["--exclude", "*o*"], ["* size"]),
            (["--exclude", "content", "--exclude", "size", "--include", "?*"], LINES[2:]),
            (["--exclude", "same"], LINES),
        ],
    )
    def test_filters_on_both_sides(self, trees: Trees, direction: str, options: list[str], kept: list[str]) -> None:
        assert sorted(trees.make(direction).verify(*options).lines) == kept

    def test_all_differences_excluded(self, trees: Trees, direction: str) -> None:
        trees.make(direction)
        assert trees.verify("--include", "*same", status=0).stdout == ""

    def test_only_in_the_destination_one_way_is_fine(self, trees: Trees, direction: str) -> None:
        trees.make(direction, {"same": "1"}, {"same": "1", "more": "2"})
        assert trees.verify("--one-way", status=0).stdout == ""
        assert trees.verify().lines == ["- more"]

    def test_times_play_no_part(self, trees: Trees, direction: str) -> None:
        trees.make(direction, {"same": "1", "content": "2222"}, {"same": "1", "content": "3333"})
        if direction == "up":
            write_tree(trees.directory / "dir", {"same": "1", "content": "2222"}, PAST + 500)
            put_at(trees.server, "dst", "q/content", b"3333", PAST + 500)
        assert trees.verify().lines == ["* content"]

    def test_json(self, trees: Trees, direction: str) -> None:
        *records, summary = trees.make(direction).verify("--json").records
        statuses = {"*": "differs", "+": "source_only", "-": "destination_only"}
        wanted = {(line[2:], statuses[line[0]]) for line in LINES}
        assert {(record["path"], record["status"]) for record in records if "path" in record} == wanted
        assert {record["operation"] for record in records if "path" in record} == {"verify"}
        assert (summary["record"], summary["command"], summary["exit_code"]) == ("summary", "verify", 1)
        assert summary["success"] is False
        assert (summary["objects"]["differences"], summary["objects"]["failed"]) == (len(LINES), 0)
        trees.make(direction, LEFT, LEFT)
        *records, summary = trees.verify("--json", "--one-way", status=0).records
        assert records == []
        assert (summary["success"], summary["exit_code"]) == (True, 0)
        assert summary["objects"]["differences"] == 0

    def test_dry_run_is_the_same(self, trees: Trees, direction: str) -> None:
        assert sorted(trees.make(direction).verify("--dry-run").lines) == LINES

    @pytest.mark.parametrize("flags", [["-q"], ["--only-show-errors"]])
    def test_quiet_keeps_the_status(self, trees: Trees, direction: str, flags: list[str]) -> None:
        trees.make(direction).verify(*flags)
        trees.make(direction, LEFT, LEFT).verify("--one-way", *flags, status=0)


class TestUnproven:
    """Of two contents of one size of which nothing is stored that could be compared."""

    @pytest.fixture
    def bare(self, trees: Trees, fake_s3: FakeS3) -> Trees:
        fake_s3.switch(no_checksums=True, etag_style="opaque")
        return trees

    @DIRECTIONS
    def test_is_said(self, bare: Trees, direction: str) -> None:
        bare.make(direction, {"k": "new", "size": "1"}, {"k": "new", "size": "22"})
        assert sorted(bare.verify().lines) == ["* size", "? k"]
        *records, _ = bare.verify("--json").records
        assert ("k", "unproven") in {(record.get("path"), record.get("status")) for record in records}

    @DIRECTIONS
    def test_alone_it_is_no_success(self, bare: Trees, direction: str) -> None:
        bare.make(direction, {"k": "new"}, {"k": "new"})
        assert bare.verify().lines == ["? k"]
        assert bare.verify("--one-way").lines == ["? k"]
        assert bare.verify("--size-only", status=0).stdout == ""

    @DIRECTIONS
    def test_download_decides(self, bare: Trees, direction: str) -> None:
        bare.make(direction, {"k": "new", "m": "old"}, {"k": "new", "m": "new"})
        assert bare.verify("--download").lines == ["* m"]
        bare.make(direction, {"k": "new", "m": "new"}, {"k": "new", "m": "new"})
        assert bare.verify("--download", status=0).stdout == ""

    @pytest.mark.parametrize("direction", ["up", "down"])
    def test_etag_decides_when_it_is_a_digest(self, trees: Trees, fake_s3: FakeS3, direction: str) -> None:
        fake_s3.switch(no_checksums=True)
        trees.make(direction, {"k": "new", "m": "old"}, {"k": "new", "m": "new"})
        assert sorted(trees.verify("--checksum=etag").lines) == ["* m"]
        assert sorted(trees.verify().lines) == ["? k", "? m"]

    def test_no_object_is_read_without_need(self, trees: Trees, fake_s3: FakeS3) -> None:
        trees.make("up", LEFT, LEFT).verify("--download", status=0)
        assert fake_s3.log(operation="GetObject") == []

    @pytest.mark.parametrize("more", [{}, {"part_size": 5 * MIB, "algorithm": "CRC32", "composite": True}])
    def test_checksums_of_whole_objects_and_of_parts(self, trees: Trees, fake_s3: FakeS3, more: dict[str, Any]) -> None:
        trees.arguments = ARGUMENTS["down"]
        fake_s3.pattern("src", "p/k", 12 * MIB + 7, **more)
        (trees.directory / "dir").mkdir()
        write_pattern(trees.directory / "dir/k", 12 * MIB + 7)
        assert trees.verify(status=0).stdout == ""
        assert fake_s3.log(operation="GetObject") == []
        write_pattern(trees.directory / "dir/k", 12 * MIB + 7, seed=2)
        assert trees.verify().lines == ["* k"]


class TestErrors:
    def test_read_error(self, trees: Trees) -> None:
        trees.make("up", LEFT, LEFT)
        (trees.directory / "dir/sub").chmod(0)
        try:
            outcome = trees.run("verify", *trees.arguments, status=1, preexec_fn=honour_modes)
        finally:
            (trees.directory / "dir/sub").chmod(0o755)
        assert outcome.errors[0].startswith('ERROR "')

    @pytest.mark.parametrize("page", [1, 2])
    @pytest.mark.parametrize("side", ["src", "dst"])
    def test_listing_error(self, trees: Trees, fake_s3: FakeS3, side: str, page: int) -> None:
        trees.arguments = ARGUMENTS["copy"]
        names = [f"k{number:05}" for number in range(1500)]
        fill(fake_s3, "src", [f"p/{name}" for name in names])
        fill(fake_s3, "dst", [f"q/{name}" for name in names])
        denied = {"type": "respond", "status": 403, "code": "AccessDenied"}
        fake_s3.rule(denied, operation="ListObjectsV2", bucket=side, skip=page - 1)
        assert "AccessDenied" in trees.verify().stderr

    @pytest.mark.parametrize("options", [[], ["--one-way"]])
    @pytest.mark.parametrize(
        "arguments", [["none/", "s3://dst/q/"], ["dir/", "s3://missing/"], ["s3://missing/*", "dir/"]]
    )
    def test_missing(self, trees: Trees, arguments: list[str], options: list[str]) -> None:
        trees.make("up", LEFT, LEFT)
        trees.arguments = arguments
        assert trees.verify(*options).errors[0].startswith('ERROR "')

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["s3://src/p/", "dir/"], "source argument must contain wildcard character"),
            (["dir/", "s3://dst/q"], 'target "s3://dst/q" must be a bucket or a prefix'),
            (["dir/", "dir/"], "local->local"),
        ],
    )
    def test_refused(self, trees: Trees, fake_s3: FakeS3, arguments: list[str], message: str) -> None:
        trees.make("up", LEFT, LEFT).arguments = arguments
        assert message in trees.verify().errors[0]
        assert fake_s3.log() == []

    @pytest.mark.parametrize(
        "arguments",
        [[], ["dir/"], ["dir/", "s3://dst/q/", "x"], ["--delete", "dir/", "s3://dst/q/"], ["--foo", "dir/", "s3://dst/"],
         ["--size-only", "--checksum=etag", "dir/", "s3://dst/q/"],
         ["--size-only", "--download", "dir/", "s3://dst/q/"],
         *[[f"--source-{name}", value, "dir/", "s3://dst/q/"] for name, value in SIDE.items()],
         *[[f"--destination-{name}", value, "s3://dst/*", "dir/"] for name, value in SIDE.items()]],
    )  # fmt: skip
    def test_usage(self, trees: Trees, fake_s3: FakeS3, arguments: list[str]) -> None:
        trees.make("up").arguments = arguments
        assert trees.verify(status=2).errors[0].startswith('ERROR "verify": ')
        assert fake_s3.log() == []

    @pytest.mark.parametrize("options", [[], ["--one-way"], ["--size-only"], ["--json"]])
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["s3://src/typo/*", "dir/"], "no object found"),
            (["s3://src/typo/*", "s3://dst/q/"], "no object found"),
            (["--recursive", "s3://src/typo/", "s3://dst/q/"], "no object found"),
            (["--include=none", "s3://src/*", "s3://dst/q/"], "no object found"),
            (["s3://src/typo", "dir"], 'given object "s3://src/typo" not found'),
            (["s3://src/typo", "dir/"], 'given object "s3://src/typo" not found'),
            (["s3://src/typo", "s3://dst/q/"], 'given object "s3://src/typo" not found'),
        ],
    )
    def test_a_source_that_holds_nothing_is_never_the_same(
        self, trees: Trees, arguments: list[str], message: str, options: list[str]
    ) -> None:
        trees.make("up", LEFT, LEFT).arguments = arguments
        outcome = trees.verify(*options)
        if "--json" not in options:
            assert [line for line in outcome.errors if not line.startswith("hint: ")] == [
                f'ERROR "verify {" ".join([*options, *arguments])}": {message}'
            ]
            return
        (error,) = [record["error"] for record in outcome.error_records]
        assert (error["kind"], error["message"]) == ("not_found", message)
        assert outcome.records[-1]["objects"]["failed"] == 1

    def test_an_empty_directory_is_no_misspelling(self, trees: Trees) -> None:
        (trees.directory / "empty").mkdir()
        trees.arguments = ["empty/", "s3://dst/none/"]
        assert trees.verify(status=0).stderr == ""

    @pytest.mark.parametrize(
        "arguments", [["s3://src/p/same", "vv"], ["s3://src/p/*", "vv"], ["s3://src/p/same", "vv/"]]
    )
    def test_a_directory_that_is_not_there(self, trees: Trees, arguments: list[str]) -> None:
        trees.make("down").arguments = arguments
        assert trees.verify().errors == [
            f'ERROR "verify {" ".join(arguments)}": "{arguments[1]}": no such file or directory'
        ]

    def test_a_line_of_run_keeps_its_status(self, trees: Trees) -> None:
        trees.make("up")
        outcome = trees.run("--json", "run", input=b"verify dir/ s3://dst/q/\n", status=1)
        assert outcome.records[-1]["objects"]["differences"] == len(LINES)
        trees.make("up", LEFT, LEFT)
        outcome = trees.run("--json", "run", input=b"verify --one-way dir/ s3://dst/q/\n")
        assert "differences" not in outcome.records[-1]["objects"]

    def test_closed_stdout_keeps_the_status(self, trees: Trees) -> None:
        from support.command import SCRIPT

        trees.make("up")
        assert trees.verify(program=["sh", "-c", 'exec "$0" "$@" >&-', SCRIPT]).stderr == ""
        trees.make("up", LEFT, LEFT)
        trees.verify("--one-way", status=0, program=["sh", "-c", 'exec "$0" "$@" >&-', SCRIPT])


class TestNames:
    ORDER = ("a-b", "a.b", "a/b", "a/c-d", "a/c/e", "a0", "new\nline", "ä/x", "per%41", "s*r")

    @DIRECTIONS
    def test_order_and_odd_names(self, trees: Trees, direction: str) -> None:
        tree = dict.fromkeys(self.ORDER, "x")
        assert trees.make(direction, tree, tree).verify(status=0).stdout == ""
        trees.make(direction, {**tree, "a/c/only": "x"}, tree)
        assert trees.verify().lines == ["+ a/c/only"]

    def test_directory_without_a_slash_keeps_its_name(self, trees: Trees, fake_s3: FakeS3) -> None:
        write_tree(trees.directory / "dir", {"a": "1"})
        put_tree(fake_s3, "dst", {"q/dir/a": "1", "q/other": "2"})
        trees.arguments = ["dir", "s3://dst/q/"]
        assert trees.verify(status=0).stdout == ""

    def test_one_object(self, trees: Trees) -> None:
        trees.make("up")
        trees.arguments = ["dir/same", "s3://dst/q/"]
        assert trees.verify(status=0).stdout == ""
        trees.arguments = ["dir/content", "s3://dst/q/"]
        assert trees.verify().lines == ["* content"]

    @pytest.mark.parametrize(("destination", "path"), [("dir", "only"), ("dir/", "only"), ("s3://dst/q/", "only")])
    def test_one_object_that_is_missing(self, trees: Trees, destination: str, path: str) -> None:
        trees.make("down")
        trees.arguments = ["s3://src/p/only", destination]
        outcome = trees.verify()
        assert (outcome.lines, outcome.stderr) == ([f"+ {path}"], "")

    def test_own_temporary_files_and_links(self, trees: Trees) -> None:
        trees.make("up", LEFT, LEFT)
        ours = trees.directory / "dir" / f".s3z-{'0a' * 16}.part"
        ours.write_text("x")
        (trees.directory / "dir/link").symlink_to("same")
        try:
            assert trees.verify("--no-follow-symlinks", status=0).stdout == ""
            assert trees.verify().lines == ["+ link"]
        finally:
            ours.unlink()

    def test_more_than_a_page(self, trees: Trees, fake_s3: FakeS3) -> None:
        trees.arguments = ARGUMENTS["copy"]
        names = [f"k{number:05}" for number in range(2503)]
        fill(fake_s3, "src", [f"p/{name}" for name in names], b"x")
        fill(fake_s3, "dst", [f"q/{name}" for name in names if name != "k01999"], b"x")
        fill(fake_s3, "dst", ["q/k02000-more"], b"x")
        assert sorted(trees.verify().lines) == ["+ k01999", "- k02000-more"]


def test_every_server(server: Server, bucket: str, command: Callable[..., Command], tmp_path: Path) -> None:
    """What was just synchronised verifies; what was changed since does not."""
    run = command(server)
    write_tree(tmp_path / "dir", LEFT)
    write_pattern(tmp_path / "dir/big", 20 * MIB + 1)
    other = f"verify-{os.getpid()}-{next(_numbers)}"
    server.boto3.create_bucket(Bucket=other)
    run("cp", "dir/", f"s3://{bucket}/q/")
    run("cp", f"s3://{bucket}/q/*", f"s3://{other}/")
    pairs = [
        ["dir/", f"s3://{bucket}/q/"], [f"s3://{bucket}/q/*", "dir/"], [f"s3://{bucket}/q/*", f"s3://{other}/"],
    ]  # fmt: skip
    before = keys(server, bucket)
    for arguments in pairs:
        assert run("verify", "--download", *arguments).stdout == ""
    (tmp_path / "dir/only").write_text("!")
    server.boto3.delete_object(Bucket=other, Key="big")
    assert run("verify", "--download", *pairs[0], status=1).lines == ["* only"]
    assert run("verify", "--download", *pairs[2], status=1).lines == ["+ big"]
    assert keys(server, bucket) == before
