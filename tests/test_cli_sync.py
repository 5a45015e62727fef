"""`s3z sync`: what is compared, what is transferred, and that a second run does nothing (cli.md 2.5, 2.6, 4.1)."""

from __future__ import annotations

import itertools
import os
import random
import signal
import socket
from typing import TYPE_CHECKING, Any

import pytest
from support.data import MIB, write_pattern
from support.trees import PAST, changes, ended, fill, keys, modified, objects, put_at, put_tree, read_tree, write_tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Command, Outcome
    from support.servers import FakeS3, Server

TREE = {"a.txt": "a\n", "sub/b.txt": "b\n"}
#: of a directory `x`, the names below it sort as `x/`
ORDER = [
    "a!x", "a-b", "a.b", "a/b", "a/c!", "a/c-d", "a/c.f", "a/c/-", "a/c/e", "a/c0", "a0", "aa", "b-/x", "b/x", "b0/x",
    "B", "z/ä/x", "z/ä-", "z/ä.", "z/zz/z-/z", "z/zz/z.", "z/zz/z/z", "ä",
]  # fmt: skip
ODD = [
    "with space", " lead", "plus+", "per%41cent", "hash#", "quo'te\"s", "new\nline", "tab\tbed", "ä€😀", "[x]", "{a,b}",
    "back\\slash", "nbsp\u00a0", "s*r", "q?m", "-dash", "~", "&<>", "a:b", "$HOME", "; ls", "ä", "\u202e", "bell\x07",
]  # fmt: skip
ARGUMENTS = {"up": ["dir/", "s3://dst/"], "down": ["s3://src/*", "out/"], "copy": ["s3://src/*", "s3://dst/"]}
_numbers = itertools.count(1)


@pytest.fixture(params=["fake_s3", "versitygw"])
def server(request: pytest.FixtureRequest) -> Server:
    """Two servers that list in byte order and copy."""
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def other(server: Server) -> str:
    """A second bucket."""
    name = f"other-{os.getpid()}-{next(_numbers)}"
    server.boto3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def run(server: Server, command: Callable[..., Command], tmp_path: Path) -> Command:
    write_tree(tmp_path / "dir", TREE)
    return command(server)


@pytest.fixture
def fake(fake_s3: FakeS3, command: Callable[..., Command], tmp_path: Path) -> Command:
    """On fake-s3 with the buckets `src` and `dst`."""
    for name in ("src", "dst"):
        fake_s3.do("create_bucket", bucket=name)
    return command(fake_s3)


def lines(outcome: Outcome) -> list[str]:
    return sorted(outcome.lines)


def tree_in(directory: Path) -> dict[str, str]:
    return read_tree(directory) if directory.exists() else {}


#: source, prefix of the destination, relative path of the tree there, what --delete removes, what it leaves
UP = [
    ("dir/", "q/", "q/", ["q/old", "q/sub/old", "q/z/y/old"], ["old", "q2/old", "r"]),
    ("dir/*", "q/", "q/", ["q/old", "q/sub/old"], ["old", "q2/old"]),
    ("dir", "q/", "q/dir/", ["q/dir/old", "q/dir/sub/old"], ["q/old", "q/dir2/old", "old"]),
    ("dir/", "", "", ["old", "q/old", "sub/old"], []),
    ("dir", "", "dir/", ["dir/old"], ["old", "dir2/old"]),
    ("./dir/.", "q/", "q/", ["q/old"], ["old"]),
]


class TestRows:
    @pytest.mark.parametrize(("source", "prefix", "place", "gone", "kept"), UP)
    def test_up(
        self, run: Command, server: Server, bucket: str, source: str, prefix: str, place: str, gone: list[str],
        kept: list[str],
    ) -> None:  # fmt: skip
        put_tree(server, bucket, dict.fromkeys([*gone, *kept], "x"))
        wanted = {place + name: content for name, content in TREE.items()}
        outcome = run("sync", source, f"s3://{bucket}/{prefix}")
        assert [line.split()[-1] for line in lines(outcome)] == sorted(f"s3://{bucket}/{key}" for key in wanted)
        assert all(line.startswith("cp ") for line in outcome.lines)
        assert outcome.stderr == ""
        assert objects(server, bucket) == {**dict.fromkeys([*gone, *kept], "x"), **wanted}
        assert run("sync", source, f"s3://{bucket}/{prefix}").stdout == ""
        outcome = run("sync", "--delete", source, f"s3://{bucket}/{prefix}")
        assert lines(outcome) == sorted(f"rm s3://{bucket}/{key}" for key in gone)
        assert objects(server, bucket) == {**dict.fromkeys(kept, "x"), **wanted}

    @pytest.mark.parametrize(
        ("pattern", "destination", "wanted"),
        [
            ("p/*", "out/", {"a.txt": "a\n", "sub/b.txt": "b\n", "c.bin": "c\n"}),
            ("p/*", "out", {"a.txt": "a\n", "sub/b.txt": "b\n", "c.bin": "c\n"}),
            ("p/*.txt", "out/", TREE),
            ("p*", "out/", {"p/a.txt": "a\n", "p/sub/b.txt": "b\n", "p/c.bin": "c\n"}),
            ("*/b.txt", "out/", {"p/sub/b.txt": "b\n"}),
        ],
    )
    def test_down(
        self, run: Command, server: Server, bucket: str, tmp_path: Path, pattern: str, destination: str,
        wanted: dict[str, str],
    ) -> None:  # fmt: skip
        put_tree(server, bucket, {f"p/{name}": content for name, content in {**TREE, "c.bin": "c\n"}.items()})
        out = write_tree(tmp_path / "out", {"old": "x", "sub/old.bin": "x"})
        write_tree(tmp_path / "out2", {"old": "x"})
        outcome = run("sync", f"s3://{bucket}/{pattern}", destination)
        assert [line.split()[-1] for line in lines(outcome)] == sorted(f"out/{name}" for name in wanted)
        assert outcome.stderr == ""
        assert tree_in(out) == {"old": "x", "sub/old.bin": "x", **wanted}
        assert run("sync", f"s3://{bucket}/{pattern}", destination).stdout == ""
        outcome = run("sync", f"s3://{bucket}/{pattern}", destination, "--delete")
        assert lines(outcome) == ["rm out/old", "rm out/sub/old.bin"]
        assert tree_in(out) == wanted
        assert tree_in(tmp_path / "out2") == {"old": "x"}

    @pytest.mark.parametrize("prefix", ["q/", ""])
    def test_from_bucket_to_bucket(self, run: Command, server: Server, bucket: str, other: str, prefix: str) -> None:
        put_tree(server, bucket, {f"p/{name}": content for name, content in TREE.items()})
        put_tree(server, other, {f"{prefix}old": "x", "r2/old": "y"} if prefix else {"old": "x"})
        kept = {"r2/old": "y"} if prefix else {}
        wanted = {prefix + name: content for name, content in TREE.items()}
        arguments = ["sync", f"s3://{bucket}/p/*", f"s3://{other}/{prefix}"]
        assert lines(run(*arguments)) == sorted(
            f"cp s3://{bucket}/p/{name} s3://{other}/{prefix}{name}" for name in TREE
        )
        assert objects(server, other) == {**kept, f"{prefix}old": "x", **wanted}
        assert run(*arguments).stdout == ""
        assert lines(run(*arguments, "--delete")) == [f"rm s3://{other}/{prefix}old"]
        assert objects(server, other) == {**kept, **wanted}
        assert sorted(keys(server, bucket)) == ["p/a.txt", "p/sub/b.txt"]

    def test_one_file_up_and_one_object_down(self, run: Command, server: Server, bucket: str, tmp_path: Path) -> None:
        put_tree(server, bucket, {"q/other": "x"})
        write_tree(tmp_path / "out", {"other": "x"})
        assert run("sync", "dir/a.txt", f"s3://{bucket}/q/").lines == [f"cp dir/a.txt s3://{bucket}/q/a.txt"]
        assert run("sync", "dir/a.txt", f"s3://{bucket}/q/").stdout == ""
        assert run("sync", f"s3://{bucket}/q/a.txt", "out").lines == [f"cp s3://{bucket}/q/a.txt out/a.txt"]
        assert run("sync", f"s3://{bucket}/q/a.txt", "out").stdout == ""
        for arguments in (["dir/a.txt", f"s3://{bucket}/q/"], [f"s3://{bucket}/q/a.txt", "out"]):
            assert run("sync", "--delete", *arguments, status=None).status in (1, 2)
        assert objects(server, bucket) == {"q/other": "x", "q/a.txt": "a\n"}
        assert tree_in(tmp_path / "out") == {"other": "x", "a.txt": "a\n"}

    def test_one_object_makes_its_directory(self, run: Command, server: Server, bucket: str, tmp_path: Path) -> None:
        put_tree(server, bucket, {"p/a.txt": "a\n"})
        run("sync", f"s3://{bucket}/p/a.txt", "new/er")
        assert tree_in(tmp_path / "new") == {"er/a.txt": "a\n"}

    def test_recursive_reads_a_prefix_as_a_wildcard(
        self, run: Command, server: Server, bucket: str, tmp_path: Path
    ) -> None:
        put_tree(server, bucket, {"p/a.txt": "a\n", "p/sub/b.txt": "b\n"})
        run("sync", "--recursive", f"s3://{bucket}/p/", "out/")
        assert tree_in(tmp_path / "out") == TREE


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["s3://src/p/", "out/"], "source argument must contain wildcard character"),
        (["s3://src", "out/"], "source argument must contain wildcard character"),
        (["dir/", "s3://dst/q"], 'target "s3://dst/q" must be a bucket or a prefix'),
        (["dir", "s3://dst/q"], 'target "s3://dst/q" must be a bucket or a prefix'),
        (["s3://src/*", "s3://dst/q"], 'target "s3://dst/q" must be a bucket or a prefix'),
        (["dir/", "other/"], "local->local copy operations are not permitted"),
        (["dir/", "s3://dst/*"], 'target "s3://dst/*" can not contain glob characters'),
        (["s3://src/*", "o*t"], 'target "o*t" can not contain glob characters'),
    ],
)
def test_refused(fake: Command, fake_s3: FakeS3, tmp_path: Path, arguments: list[str], message: str) -> None:
    write_tree(tmp_path / "dir", TREE)
    before = sorted(os.listdir(tmp_path))
    fake_s3.do("clear_log")
    outcome = fake("sync", *arguments, status=1)
    assert outcome.errors[0].startswith('ERROR "sync ')
    assert message in outcome.errors[0]
    assert (outcome.stdout, fake_s3.log()) == ("", [])
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize(
    "arguments",
    [
        "sync s3://src/* -", "sync - s3://dst/", "verify s3://src/* -", "verify - s3://dst/", "rm -", "ls -",
        "du -", "head -", "presign -", "cat -", "unpack s3://src/a.tar -", "pack - s3://dst/a.tar", "archive ls -",
        "uploads ls -", "uploads abort -", "cp - -", "cp - other", "mv - s3://dst/a", "mv s3://src/a -", "pipe -",
        "cp --files-from names - s3://dst/", "sync -- - s3://dst/",
    ],
)  # fmt: skip
def test_a_lone_dash_where_it_means_nothing(fake: Command, fake_s3: FakeS3, tmp_path: Path, arguments: str) -> None:
    (tmp_path / "-").mkdir()
    (tmp_path / "-/file").write_text("x")
    (tmp_path / "names").write_text("file")
    fake_s3.do("clear_log")
    outcome = fake(*arguments.split(), status=None)
    assert outcome.status in (1, 2)
    assert outcome.errors[0].startswith('ERROR "')
    assert (outcome.stdout, fake_s3.log()) == ("", [])
    assert read_tree(tmp_path / "-") == {"file": "x"}


def test_a_file_of_that_name(fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
    (tmp_path / "-").mkdir()
    (tmp_path / "-/file").write_text("x")
    assert fake("sync", "./-/", "s3://dst/").lines == ["cp ./-/file s3://dst/file"]
    assert fake("sync", "--size-only", "s3://dst/*", "./-").stdout == ""


@pytest.mark.parametrize(
    "options",
    [
        *itertools.combinations(["--size-only", "--exact-timestamps", "--checksum"], 2),
        ("--size-only", "--checksum=etag"), ("--checksum=md5",), ("--max-delete", "x"), ("--max-delete", "-1"),
        ("--flatten",), ("--delete=perhaps",), ("--force",), ("--max-delete", "3"), ("--max-delete=0", "--force"),
        ("--delete=false", "--force"),
    ],
)  # fmt: skip
def test_usage(fake: Command, fake_s3: FakeS3, tmp_path: Path, options: tuple[str, ...]) -> None:
    write_tree(tmp_path / "dir", TREE)
    fake_s3.do("clear_log")
    assert fake("sync", *options, "dir/", "s3://dst/", status=2).errors[0].startswith('ERROR "sync": ')
    assert fake_s3.log() == []


def arrange(direction: str, server: FakeS3, directory: Path, old: str, new: str, offset: int) -> list[str]:
    """One name on both sides, the source so much younger; the arguments."""
    if direction == "up":
        write_tree(directory / "dir", {"k": new}, PAST + offset)
        put_at(server, "dst", "k", old.encode(), PAST)
        return ARGUMENTS[direction]
    put_at(server, "src", "k", new.encode(), PAST + offset)
    if direction == "down":
        write_tree(directory / "out", {"k": old}, PAST)
        return ARGUMENTS[direction]
    put_at(server, "dst", "k", old.encode(), PAST)
    return ARGUMENTS[direction]


def content(direction: str, server: FakeS3, directory: Path) -> str:
    if direction == "down":
        return (directory / "out/k").read_text()
    text: str = server.boto3.get_object(Bucket="dst", Key="k")["Body"].read().decode()
    return text


@pytest.mark.parametrize("direction", ["up", "down", "copy"])
class TestBothThere:
    """The table of 4.1."""

    @pytest.mark.parametrize(("old", "offset"), [("old and longer", -60), ("old", 60), ("old", 0), ("old", -60)])
    @pytest.mark.parametrize(
        ("options", "transferred"),
        [
            ([], "yes yes no no"), (["--size-only"], "yes no no no"),
            (["--exact-timestamps"], "yes yes no downloads"), (["--checksum"], "yes yes yes yes"),
        ],
    )  # fmt: skip
    def test_table(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, direction: str, options: list[str], transferred: str,
        old: str, offset: int,
    ) -> None:  # fmt: skip
        column = 0 if old != "old" else {60: 1, 0: 2, -60: 3}[offset]
        wanted = {"yes": True, "no": False, "downloads": direction == "down"}[transferred.split()[column]]
        arguments = arrange(direction, fake_s3, tmp_path, old, "new", offset)
        outcome = fake("sync", *options, *arguments)
        assert (content(direction, fake_s3, tmp_path) == "new", len(outcome.lines)) == (wanted, int(wanted))

    @pytest.mark.parametrize("offset", [60, 0, -60])
    def test_equal_content_is_skipped_by_checksum(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, direction: str, offset: int
    ) -> None:
        arguments = arrange(direction, fake_s3, tmp_path, "same", "same", offset)
        for option in ("--checksum", "--checksum=etag"):
            assert fake("sync", option, *arguments).stdout == ""

    @pytest.mark.parametrize(
        ("option", "switches", "equal_is_skipped"),
        [
            ("--checksum", {"no_checksums": True}, False),
            ("--checksum=etag", {"no_checksums": True}, True),
            ("--checksum=etag", {"no_checksums": True, "etag_style": "opaque"}, False),
        ],
    )
    def test_where_no_checksum_is_stored(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, direction: str, option: str, switches: dict[str, Any],
        equal_is_skipped: bool,
    ) -> None:  # fmt: skip
        fake_s3.switch(**switches)
        arguments = arrange(direction, fake_s3, tmp_path, "same", "same", 0)
        both_opaque = direction == "copy" and "etag_style" in switches
        outcome = fake("sync", option, *arguments)
        assert both_opaque or len(outcome.lines) == (0 if equal_is_skipped else 1)
        arguments = arrange(direction, fake_s3, tmp_path, "old", "new", 0)
        assert len(fake("sync", option, *arguments).lines) == 1
        assert content(direction, fake_s3, tmp_path) == "new"

    @pytest.mark.parametrize(("options", "reason"), [([], "unchanged"), (["--checksum"], "same_checksum")])
    def test_json_of_a_skip(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, direction: str, options: list[str], reason: str
    ) -> None:
        record, summary = fake(
            "--json", "sync", *options, *arrange(direction, fake_s3, tmp_path, "same", "same", 0)
        ).records
        assert (record["skipped"], record["reason"]) == (True, reason)
        assert (summary["command"], summary["objects"]["done"], summary["objects"]["skipped"]) == ("sync", 0, 1)


def test_exact_timestamps_are_whole_seconds(fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
    put_at(fake_s3, "src", "k", b"new", PAST)
    write_tree(tmp_path / "out", {"k": "old"}, PAST + 0.4)
    assert fake("sync", "--exact-timestamps", "s3://src/*", "out/").stdout == ""


@pytest.mark.parametrize("more", [{}, {"part_size": 5 * MIB, "algorithm": "CRC32", "composite": True}])
def test_checksums_of_whole_objects_and_of_parts(
    fake: Command, fake_s3: FakeS3, tmp_path: Path, more: dict[str, Any]
) -> None:
    fake_s3.pattern("src", "k", 12 * MIB + 7, **more)
    (tmp_path / "out").mkdir()
    write_pattern(tmp_path / "out/k", 12 * MIB + 7)
    os.utime(tmp_path / "out/k", (PAST, PAST))
    assert fake("sync", "--checksum", "s3://src/*", "out/").stdout == ""
    write_pattern(tmp_path / "out/k", 12 * MIB + 7, seed=2)
    assert fake("sync", "--checksum", "s3://src/*", "out/").lines == ["cp s3://src/k out/k"]
    assert fake("sync", "--checksum", "s3://src/*", "out/").stdout == ""


class TestTwice:
    """Whatever the names: the second run, with --delete too, finds nothing to do."""

    def round_trip(self, run: Command, server: Server, bucket: str, other: str, tmp_path: Path) -> None:
        steps = [
            ("odd/", f"s3://{bucket}/p/"),
            (f"s3://{bucket}/p/*", f"s3://{other}/"),
            (f"s3://{other}/*", "back/"),
        ]
        for source, destination in steps:
            assert run("sync", source, destination).stdout != ""
            assert run("sync", "--delete", source, destination).stdout == ""
        wanted = read_tree(tmp_path / "odd")
        assert keys(server, bucket) == sorted((f"p/{name}" for name in wanted), key=str.encode)
        assert objects(server, other) == wanted
        assert read_tree(tmp_path / "back") == wanted

    def test_directories_sort_with_a_slash(
        self, run: Command, server: Server, bucket: str, other: str, tmp_path: Path
    ) -> None:
        write_tree(tmp_path / "odd", {name: name for name in ORDER})
        self.round_trip(run, server, bucket, other, tmp_path)

    def test_odd_names(self, run: Command, server: Server, bucket: str, other: str, tmp_path: Path) -> None:
        names = ODD if server.name == "fake-s3" else ODD[:-1]  # versitygw lists a control character as U+FFFD
        write_tree(tmp_path / "odd", {name: name for each in names for name in (each, f"d{each}/x")})
        self.round_trip(run, server, bucket, other, tmp_path)

    def test_deep_and_hidden(self, run: Command, server: Server, bucket: str, other: str, tmp_path: Path) -> None:
        deep = "d/" * 100
        write_tree(tmp_path / "odd", {f"{deep}f": "x", ".hidden": "h", ".dir/.x/y": "y", "d/f": "z", "empty": ""})
        self.round_trip(run, server, bucket, other, tmp_path)

    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_random_trees(self, run: Command, server: Server, bucket: str, tmp_path: Path, seed: int) -> None:
        """Of files and keys that differ at random, --delete makes the same set, up and down."""
        chance = random.Random(seed)
        parts = ["a", "a-", "a.", "a!", "a0", "b", "-", "ä"]

        def some(count: int) -> dict[str, str]:
            made = {
                "/".join([*chance.choices(parts, k=chance.randrange(4)), chance.choice(parts) + "f"])
                for _ in range(count)
            }
            return {name: name for name in sorted(made)}

        local = write_tree(tmp_path / "odd", some(60))
        put_tree(server, bucket, some(60))
        wanted = read_tree(local)
        run("sync", "--delete", "odd/", f"s3://{bucket}/")
        assert objects(server, bucket) == wanted
        assert run("sync", "--delete", "odd/", f"s3://{bucket}/").stdout == ""
        write_tree(tmp_path / "back", some(60))
        run("sync", "--delete", "--exact-timestamps", f"s3://{bucket}/*", "back/")
        assert read_tree(tmp_path / "back") == wanted
        assert run("sync", "--delete", "--exact-timestamps", f"s3://{bucket}/*", "back/").stdout == ""


LEFT = {"a.txt": "1", "a.log": "1", "sub/b.txt": "1", "sub/b.log": "1", "sub/deep/c.txt": "1"}
RIGHT = {"old.txt": "2", "old.log": "2", "sub/old.txt": "2", "sub/old.log": "2"}


class TestFilters:
    @pytest.mark.parametrize("direction", ["up", "down", "copy"])
    @pytest.mark.parametrize(
        ("options", "selected"),
        [
            (["--exclude", "*.log"], lambda name: not name.endswith(".log")),
            (["--include", "*.txt"], lambda name: name.endswith(".txt")),
            (["--exclude=sub/*"], lambda name: not name.startswith("sub/")),
            (["--exclude", "*.log", "--exclude", "sub/old*"], lambda name: name[-3:] == "txt" and name[4:7] != "old"),
            (["--exclude", "*/b.*", "--include", "*.txt"], lambda name: name[-3:] == "txt" and "/b." not in name),
            (["--exclude", ".log", "--exclude", ""], lambda name: True),
        ],
    )
    def test_both_sides_by_the_relative_path(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, direction: str, options: list[str],
        selected: Callable[[str], bool],
    ) -> None:  # fmt: skip
        source, destination = ("dir/" if direction == "up" else "s3://src/p/*"), "s3://dst/q/"
        if direction == "up":
            write_tree(tmp_path / "dir", LEFT)
        else:
            put_tree(fake_s3, "src", {f"p/{name}": text for name, text in LEFT.items()})
        if direction == "down":
            destination = "out/"
            write_tree(tmp_path / "out", RIGHT)
        else:
            put_tree(fake_s3, "dst", {f"q/{name}": text for name, text in RIGHT.items()})
        fake_s3.do("clear_log")
        fake("sync", "--delete", *options, source, destination)
        touched = {record["key"] for record in fake_s3.log() if record["key"]}
        if direction == "down":
            found = tree_in(tmp_path / "out")
        else:
            found = {key.removeprefix("q/"): text for key, text in objects(fake_s3, "dst").items()}
        wanted = {name: text for name, text in LEFT.items() if selected(name)}
        assert found == {**wanted, **{name: text for name, text in RIGHT.items() if not selected(name)}}
        assert all(selected(key[2:]) for key in touched), touched


class TestEntries:
    """Links and what is no file, in a tree that is uploaded."""

    @pytest.fixture
    def odd(self, fake: Command, tmp_path: Path) -> Path:
        return write_tree(tmp_path / "dir", {"a": "a", "z": "z"})

    def test_links_are_followed(self, fake: Command, fake_s3: FakeS3, odd: Path, tmp_path: Path) -> None:
        write_tree(tmp_path / "elsewhere", {"x": "x"})
        (odd / "file").symlink_to("a")
        (odd / "more").symlink_to(tmp_path / "elsewhere")
        fake("sync", "dir/", "s3://dst/")
        assert objects(fake_s3, "dst") == {"a": "a", "z": "z", "file": "a", "more/x": "x"}

    def test_links_are_skipped_when_told_so(self, fake: Command, fake_s3: FakeS3, odd: Path) -> None:
        for name, target in (("file", "a"), ("more", "."), ("broken", "nothing")):
            (odd / name).symlink_to(target)
        fake("sync", "--no-follow-symlinks", "dir/", "s3://dst/")
        assert objects(fake_s3, "dst") == {"a": "a", "z": "z"}

    @pytest.mark.parametrize("kind", ["loop", "self", "broken", "fifo", "socket", "not UTF-8", "not UTF-8 directory"])
    def test_what_cannot_be_carried_is_an_error_of_its_own(
        self, fake: Command, fake_s3: FakeS3, odd: Path, kind: str
    ) -> None:
        (odd / "m").mkdir()
        listener = socket.socket(socket.AF_UNIX)
        if kind == "loop":
            (odd / "m/x").symlink_to("..")
        elif kind in ("self", "broken"):
            (odd / "m/x").symlink_to("x" if kind == "self" else "nothing")
        elif kind == "fifo":
            os.mkfifo(odd / "m/x")
        elif kind == "socket":
            here = os.getcwd()
            os.chdir(odd / "m")  # a path of a socket has at most 107 bytes
            listener.bind("x")
            os.chdir(here)
        elif kind == "not UTF-8":
            (odd / "m" / os.fsdecode(b"\xffx")).write_text("x")
        else:
            write_tree(odd / "m" / os.fsdecode(b"\xffd"), {"x": "x"})
        listener.close()
        outcome = fake("sync", "dir/", "s3://dst/", status=1)
        assert outcome.errors[0].startswith('ERROR "')
        assert objects(fake_s3, "dst") == {"a": "a", "z": "z"}

    def test_empty_directories_and_markers(self, fake: Command, fake_s3: FakeS3, odd: Path, tmp_path: Path) -> None:
        (odd / "empty/er").mkdir(parents=True)
        fake("sync", "dir/", "s3://dst/")
        assert keys(fake_s3, "dst") == ["a", "z"]
        fake_s3.put("dst", "marker/", b"")
        assert fake("sync", "--delete", "dir/", "s3://dst/").stdout == ""
        assert keys(fake_s3, "dst") == ["a", "marker/", "z"]
        fake("sync", "s3://dst/*", "s3://src/")
        assert keys(fake_s3, "src") == ["a", "marker/", "z"]
        fake("sync", "s3://dst/*", "out/")
        assert tree_in(tmp_path / "out") == {"a": "a", "z": "z"}

    @pytest.mark.parametrize("key", ["/x", "a//b", "../x", "a/../../x", "./x", "n" * 256, "full/"])
    def test_keys_that_do_not_fit_a_file_system(self, fake: Command, fake_s3: FakeS3, tmp_path: Path, key: str) -> None:
        put_tree(fake_s3, "src", {"p/fine": "fine", "p/zz": "zz"})
        fake_s3.put("src", f"p/{key}", b"bad")
        outcome = fake("--json", "sync", "s3://src/p/*", "out/", status=1)
        assert [record["error"]["kind"] for record in outcome.error_records] == ["unsafe_key"]
        assert tree_in(tmp_path / "out") == {"fine": "fine", "zz": "zz"}
        assert not (tmp_path / "x").exists()

    def test_name_that_is_a_file_and_a_directory(self, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        put_tree(fake_s3, "src", {"a": "file", "a-": "1", "a/b": "2", "z": "3"})
        outcome = fake("--json", "sync", "s3://src/*", "out/", status=1)
        assert [record["error"]["kind"] for record in outcome.error_records] == ["conflict"]
        assert tree_in(tmp_path / "out") == {"a-": "1", "a/b": "2", "z": "3"}


class TestCourse:
    @pytest.mark.parametrize(
        ("direction", "listed", "operation"),
        [("down", "src", "GetObject"), ("copy", "src", "CopyObject"), ("up", "dst", "PutObject")],
    )
    def test_first_transfer_starts_before_a_listing_ends(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, direction: str, listed: str, operation: str
    ) -> None:
        """The second page does not come at all."""
        fill(fake_s3, listed, (f"k{number:05}" for number in range(1500)))
        write_tree(tmp_path / "dir", {"a": "a", "z": "z"})
        fake_s3.rule({"type": "latency", "ms": 60_000}, operation="ListObjectsV2", bucket=listed, skip=1)
        with ended(fake.start("sync", *ARGUMENTS[direction])) as process:
            fake_s3.wait_for_log(operation=operation)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
        assert process.returncode == -signal.SIGINT

    def test_all_pages_are_joined(self, fake: Command, fake_s3: FakeS3) -> None:
        names = [f"k{number:05}" for number in range(2503)]
        fill(fake_s3, "src", names, b"x")
        fill(fake_s3, "dst", [name for name in names if int(name[1:]) % 7], b"x")
        fill(fake_s3, "dst", [f"{name}old" for name in names[::100]], b"x")
        outcome = fake("sync", "--delete", "s3://src/*", "s3://dst/")
        assert lines(outcome) == sorted(
            [f"cp s3://src/{name} s3://dst/{name}" for name in names[::7]]
            + [f"rm s3://dst/{name}old" for name in names[::100]]
        )
        assert keys(fake_s3, "dst") == names

    @pytest.mark.parametrize("direction", ["up", "down", "copy"])
    def test_dry_run(self, fake: Command, fake_s3: FakeS3, tmp_path: Path, direction: str) -> None:
        write_tree(tmp_path / "dir", TREE)
        put_tree(fake_s3, "src", TREE)
        put_tree(fake_s3, "dst", {"old": "x"})
        write_tree(tmp_path / "out", {"old": "x"})
        arguments = ARGUMENTS[direction]
        fake_s3.do("clear_log")
        outcome = fake("--dry-run", "sync", "--delete", *arguments)
        assert changes(fake_s3) == []
        assert fake_s3.log(operation="GetObject") == []
        assert tree_in(tmp_path / "out") == {"old": "x"}
        assert sorted(os.listdir(tmp_path / "out")) == ["old"]
        assert lines(fake("sync", "--delete", *arguments)) == lines(outcome)
        assert [line.split()[0] for line in lines(outcome)] == ["cp", "cp", "rm"]

    def test_dry_run_makes_no_directory(self, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        put_tree(fake_s3, "src", TREE)
        record = fake("--json", "--dry-run", "sync", "s3://src/*", "new/er/").records[0]
        assert record["dry_run"] is True
        assert not (tmp_path / "new").exists()

    def test_one_failure_does_not_stop_the_others(self, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        write_tree(tmp_path / "dir", {f"{number:03}": "x" for number in range(50)})
        fake_s3.rule({"type": "respond", "status": 403, "code": "AccessDenied"}, operation="PutObject", key="000")
        outcome = fake("sync", "dir/", "s3://dst/", status=1)
        assert outcome.errors[0].startswith('ERROR "cp dir/000 s3://dst/000": AccessDenied: ')
        assert len(keys(fake_s3, "dst")) == len(outcome.lines) == 49

    def test_exit_on_error_stops_new_work(self, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        write_tree(tmp_path / "dir", {f"{number:04}": "x" for number in range(500)})
        fake_s3.rule({"type": "respond", "status": 403, "code": "AccessDenied"}, operation="PutObject", key="0000")
        fake_s3.switch(latency_ms=20)
        outcome = fake("--numworkers", "2", "sync", "--exit-on-error", "dir/", "s3://dst/", status=1)
        assert "AccessDenied" in outcome.stderr
        assert len(fake_s3.log(operation="PutObject")) < 250

    def test_exit_on_error_cancels_what_is_on_its_way(self, fake: Command, fake_s3: FakeS3) -> None:
        fake_s3.put("src", "bad", b"x")
        fake_s3.pattern("src", "a-slow", 2 * MIB)
        fake_s3.rule({"type": "stall", "after": 1000, "seconds": 100}, operation="GetObject", key="a-slow")
        fake_s3.rule({"type": "latency", "ms": 300}, operation="GetObject", key="bad")
        fake_s3.rule({"type": "respond", "status": 403, "code": "AccessDenied"}, operation="GetObject", key="bad")
        with ended(fake.start("--read-timeout", "5m", "sync", "--exit-on-error", "s3://src/*", "out/")) as process:
            _, stderr = process.communicate(timeout=30)
        assert process.returncode == 1
        assert b"AccessDenied" in stderr

    @pytest.mark.parametrize("destination", ["out/", "s3://dst/"])
    def test_object_of_the_future_is_transferred(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, destination: str
    ) -> None:
        fake_s3.do("shift_clock", seconds=3600)
        fake_s3.put("src", "k", b"new")
        fake_s3.do("shift_clock", seconds=0)
        put_at(fake_s3, "dst", "k", b"old", PAST)
        write_tree(tmp_path / "out", {"k": "old"})
        assert fake("sync", "s3://src/*", destination).lines == [f"cp s3://src/k {destination}k"]
        if destination == "out/":
            assert int((tmp_path / "out/k").stat().st_mtime) == modified(fake_s3, "src", "k")
            assert fake("sync", "s3://src/*", destination).stdout == ""

    def test_storage_class(self, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        write_tree(tmp_path / "dir", {"a": "a"})
        fake("sync", "--storage-class", "STANDARD_IA", "dir/", "s3://dst/")
        assert fake_s3.boto3.head_object(Bucket="dst", Key="a")["StorageClass"] == "STANDARD_IA"
        fake("sync", "s3://dst/*", "--storage-class=GLACIER", "s3://src/")
        assert fake_s3.boto3.head_object(Bucket="src", Key="a")["StorageClass"] == "GLACIER"

    def test_empty_sources(self, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        outcome = fake("sync", "empty/", "s3://dst/")
        assert (outcome.stdout, outcome.stderr) == ("", "")
        assert "no object found" in fake("sync", "s3://src/*", "out/", status=1).errors[0]
        assert "no object found" in fake("sync", "s3://src/none*", "s3://dst/", status=1).errors[0]

    @pytest.mark.parametrize("arguments", [["dir/", "s3://missing/"], ["s3://missing/*", "out/"]])
    def test_missing_bucket_stops_it(self, fake: Command, tmp_path: Path, arguments: list[str]) -> None:
        write_tree(tmp_path / "dir", {f"{number:03}": "x" for number in range(100)})
        outcome = fake("sync", *arguments, status=1)
        assert outcome.stdout == ""
        assert "NoSuchBucket" in outcome.stderr
        assert len([line for line in outcome.errors if line.startswith("ERROR")]) < 20
