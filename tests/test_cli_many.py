"""`s3z cp` of many: every row of cli.md 2.4, filters (2.6), odd names and files, unsafe keys (2.8), one line each."""

from __future__ import annotations

import os
import re
import socket
import stat
from typing import TYPE_CHECKING

import pytest
from support.planted import (
    bound_by_modes,
    failed,
    fill,
    keys,
    kinds,
    named,
    objects,
    places,
    plant,
    reasons,
    tally,
    tree,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Command
    from support.servers import FakeS3, Server

LOCAL = {"dir/a.txt": b"local a\n", "dir/sub/b.txt": b"local b\n"}
REMOTE = {"p/a.txt": b"remote a\n", "p/sub/b.txt": b"remote b\n", "f*.txt": b"star\n"}
SOURCE_IS_MANY = "source argument must contain wildcard character"
FILES = {f"f{number:02}": b"%d" % number for number in range(40)}
BAD = ("f03", "f17", "f39")
ODD = [
    "with space", " before", "plus+", "per%cent", "per%41", "hash#", "quo'te", 'dou"ble', "new\nline", "[x]", "{y,z}",
    "back\\slash", "star*", "que?ry", "!not", "~tilde", "&amp;<b>", "-dash", "ä€😀", "a=b;c", "$HOME", ".hidden",
]  # fmt: skip


@pytest.fixture(params=["fake_s3", "versitygw"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def other(server: Server, bucket: str) -> str:
    """A second bucket, `c` of the tables."""
    server.boto3.create_bucket(Bucket=f"{bucket}-c")
    return f"{bucket}-c"


@pytest.fixture
def run(server: Server, bucket: str, other: str, tmp_path: Path, command: Callable[..., Command]) -> Command:
    """The tree and the bucket of cli.md 2.4."""
    plant(tmp_path, LOCAL)
    fill(server, bucket, REMOTE)
    return command(server)


@pytest.fixture
def fake(fake_s3: FakeS3, command: Callable[..., Command]) -> Command:
    """Buckets `b` and `c`, both empty."""
    for name in "bc":
        fake_s3.do("create_bucket", bucket=name)
    return command(fake_s3)


class TestRows:
    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ("dir/a.txt s3://c", {"dir/a.txt": "a.txt"}),
            ("dir/a.txt s3://c/q/", {"dir/a.txt": "q/a.txt"}),
            ("dir/a.txt s3://c/q", {"dir/a.txt": "q"}),
            ("dir/ s3://c/q/", {"dir/a.txt": "q/a.txt", "dir/sub/b.txt": "q/sub/b.txt"}),
            ("dir s3://c/q/", {"dir/a.txt": "q/dir/a.txt", "dir/sub/b.txt": "q/dir/sub/b.txt"}),
            ("dir s3://c", {"dir/a.txt": "dir/a.txt", "dir/sub/b.txt": "dir/sub/b.txt"}),
            ("dir/* s3://c/q/", {"dir/a.txt": "q/a.txt", "dir/sub/b.txt": "q/sub/b.txt"}),
            ("dir/*.txt s3://c/q/", {"dir/a.txt": "q/a.txt"}),
            ("di*/sub/b.txt s3://c/", {"dir/sub/b.txt": "dir/sub/b.txt"}),
            ("dir/s* s3://c/", {"dir/sub/b.txt": "sub/b.txt"}),
            ("dir/?.txt s3://c/", {"dir/a.txt": "a.txt"}),
            ("--flatten dir/ s3://c/q/", {"dir/a.txt": "q/a.txt", "dir/sub/b.txt": "q/b.txt"}),
            ("-f dir s3://c", {"dir/a.txt": "a.txt", "dir/sub/b.txt": "b.txt"}),
            ("--recursive dir/ s3://c/q/", {"dir/a.txt": "q/a.txt", "dir/sub/b.txt": "q/sub/b.txt"}),
            ("--recursive dir/a.txt s3://c/q", {"dir/a.txt": "q"}),
        ],
    )
    def test_upload(self, run: Command, server: Server, other: str, arguments: str, expected: dict[str, str]) -> None:
        outcome = run("cp", *named(arguments, c=other).split())
        assert objects(server, other) == {key: LOCAL[source] for source, key in expected.items()}
        assert sorted(outcome.lines) == sorted(f"cp {source} s3://{other}/{key}" for source, key in expected.items())
        assert outcome.stderr == ""

    @pytest.mark.parametrize(
        ("source", "cwd"), [(".", "tree"), ("./", "tree"), ("tree/.", "."), ("..", "tree/dir"), ("../", "tree/dir")]
    )
    def test_dots_count_as_written_with_a_slash(
        self, run: Command, server: Server, other: str, tmp_path: Path, source: str, cwd: str
    ) -> None:
        plant(tmp_path / "tree", {"dir/a.txt": b"a", "z": b"z"})
        run("cp", source, f"s3://{other}/q/", cwd=tmp_path / cwd)
        assert objects(server, other) == {"q/dir/a.txt": b"a", "q/z": b"z"}

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ("s3://b/p/a.txt .", {"p/a.txt": "a.txt"}),
            ("s3://b/p/a.txt out/", {"p/a.txt": "out/a.txt"}),
            ("s3://b/p/a.txt out/x", {"p/a.txt": "out/x"}),
            ("s3://b/p/a.txt dir/sub", {"p/a.txt": "dir/sub/a.txt"}),
            ("s3://b/p/* out", {"p/a.txt": "out/a.txt", "p/sub/b.txt": "out/sub/b.txt"}),
            ("s3://b/p/* new/out/", {"p/a.txt": "new/out/a.txt", "p/sub/b.txt": "new/out/sub/b.txt"}),
            ("s3://b/p* out/", {"p/a.txt": "out/p/a.txt", "p/sub/b.txt": "out/p/sub/b.txt"}),
            ("s3://b/p/*.txt out/", {"p/a.txt": "out/a.txt", "p/sub/b.txt": "out/sub/b.txt"}),
            ("s3://b/p/?.txt out/", {"p/a.txt": "out/a.txt"}),
            ("s3://b/p?a.txt out/", {"p/a.txt": "out/p/a.txt"}),
            ("s3://b/*/b.txt out/", {"p/sub/b.txt": "out/p/sub/b.txt"}),
            ("s3://b/p/sub* out/", {"p/sub/b.txt": "out/sub/b.txt"}),
            ("--flatten s3://b/p/* out/", {"p/a.txt": "out/a.txt", "p/sub/b.txt": "out/b.txt"}),
            ("--raw s3://b/f*.txt .", {"f*.txt": "f*.txt"}),
            ("--recursive s3://b/p/ out/", {"p/a.txt": "out/a.txt", "p/sub/b.txt": "out/sub/b.txt"}),
            ("--recursive s3://b out", {key: f"out/{key}" for key in REMOTE}),
            ("--recursive s3://b/p/* out", {"p/a.txt": "out/a.txt", "p/sub/b.txt": "out/sub/b.txt"}),
            ("--recursive s3://b/p*/ out", {"p/a.txt": "out/p/a.txt", "p/sub/b.txt": "out/p/sub/b.txt"}),
            ("--recursive s3://b/p/s?b/ out", {"p/sub/b.txt": "out/sub/b.txt"}),
        ],
    )
    def test_download(
        self, run: Command, bucket: str, tmp_path: Path, arguments: str, expected: dict[str, str]
    ) -> None:
        outcome = run("cp", *named(arguments, b=bucket).split())
        assert tree(tmp_path) == {**LOCAL, **{path: REMOTE[key] for key, path in expected.items()}}
        assert sorted(outcome.lines) == sorted(f"cp s3://{bucket}/{key} {path}" for key, path in expected.items())
        assert outcome.stderr == ""

    def test_download_into_a_directory_of_the_name(self, run: Command, bucket: str, tmp_path: Path) -> None:
        (tmp_path / "out/x").mkdir(parents=True)
        run("cp", f"s3://{bucket}/p/a.txt", "out/x")
        assert tree(tmp_path / "out") == {"x/a.txt": REMOTE["p/a.txt"]}

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ("s3://b/p/a.txt s3://c", {"p/a.txt": "a.txt"}),
            ("s3://b/p/a.txt s3://c/q/", {"p/a.txt": "q/a.txt"}),
            ("s3://b/p/a.txt s3://c/q", {"p/a.txt": "q"}),
            ("s3://b/p/* s3://c", {"p/a.txt": "a.txt", "p/sub/b.txt": "sub/b.txt"}),
            ("s3://b/p/* s3://c/q/", {"p/a.txt": "q/a.txt", "p/sub/b.txt": "q/sub/b.txt"}),
            ("s3://b/* s3://c/q/", {key: f"q/{key}" for key in REMOTE}),
            ("--flatten s3://b/p/* s3://c/q/", {"p/a.txt": "q/a.txt", "p/sub/b.txt": "q/b.txt"}),
            ("--raw s3://b/f*.txt s3://c/g*", {"f*.txt": "g*"}),
            ("--recursive s3://b/p/ s3://c/q/", {"p/a.txt": "q/a.txt", "p/sub/b.txt": "q/sub/b.txt"}),
        ],
    )
    def test_copy(
        self, run: Command, server: Server, bucket: str, other: str, arguments: str, expected: dict[str, str]
    ) -> None:
        outcome = run("cp", *named(arguments, b=bucket, c=other).split())
        assert objects(server, other) == {key: REMOTE[source] for source, key in expected.items()}
        assert objects(server, bucket) == REMOTE
        lines = [f"cp s3://{bucket}/{source} s3://{other}/{key}" for source, key in expected.items()]
        assert sorted(outcome.lines) == sorted(lines)
        assert outcome.stderr == ""

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ("dir s3://b/q", 'target "s3://b/q" must be a bucket or a prefix'),
            ("dir/ s3://b/q", 'target "s3://b/q" must be a bucket or a prefix'),
            ("dir/* s3://b/q", 'target "s3://b/q" must be a bucket or a prefix'),
            ("--flatten dir/ s3://b/q", 'target "s3://b/q" must be a bucket or a prefix'),
            ("s3://b out/", SOURCE_IS_MANY),
            ("s3://b/ out/", SOURCE_IS_MANY),
            ("s3://b/p/ out/", SOURCE_IS_MANY),
            ("s3://b/p/ s3://c/q/", SOURCE_IS_MANY),
            ("s3://b/p out/", 'given object "s3://b/p" not found'),
            ("--raw s3://b/p/ out/", ""),
            ("--recursive s3://b/p/a.txt out/", ""),
            ("s3://b/p/* s3://c/q", 'target "s3://c/q" must be a bucket or a prefix'),
            ("s3://b/p/a.txt *", 'target "*" can not contain glob characters'),
            ("s3://b/p/* o?t/", 'target "o?t/" can not contain glob characters'),
            ("s3://b/p/* s3://c/*/", 'target "s3://c/*/" can not contain glob characters'),
            ("dir/ other/", "local->local copy operations are not permitted"),
            ("dir/* other/", "local->local copy operations are not permitted"),
            ("dir/*.x s3://b/q/", 'no match found for "dir/*.x"'),
            ("none/ s3://b/q/", "not found"),
            ("s3://b/none* out/", "no object found"),
            ("s3://b/none/* s3://c/q/", "no object found"),
        ],
    )
    def test_refused(
        self, run: Command, server: Server, bucket: str, other: str, tmp_path: Path, arguments: str, message: str
    ) -> None:
        outcome = run("cp", *named(arguments, b=bucket, c=other).split(), status=1)
        (line,) = failed(outcome)
        assert line.startswith('ERROR "cp ')
        assert named(message, b=bucket, c=other) in line
        assert outcome.stdout == ""
        assert tree(tmp_path) == LOCAL
        assert (objects(server, bucket), keys(server, other)) == (REMOTE, set())

    @pytest.mark.parametrize("source", ["s3://none-such-bucket/*", "s3://none-such-bucket/k"])
    def test_missing_bucket_is_one_error(self, run: Command, source: str) -> None:
        assert len(failed(run("cp", source, "out/", status=1))) == 1


class TestNames:
    def test_odd_names_there_and_back(
        self, run: Command, server: Server, bucket: str, other: str, tmp_path: Path
    ) -> None:
        files = {f"{first}/{name}": f"{first}{name}".encode() for first in ("1", ".d d", "x%2F+") for name in ODD}
        plant(tmp_path / "odd", files)
        assert tally(run("--json", "cp", "odd/", f"s3://{other}/q q/"))["objects"]["done"] == len(files)
        assert objects(server, other) == {f"q q/{name}": content for name, content in files.items()}
        run("cp", f"s3://{other}/q q/*", "back/")
        assert tree(tmp_path / "back") == files
        run("cp", f"s3://{other}/*", f"s3://{bucket}/")
        assert keys(server, bucket) == {*REMOTE, *(f"q q/{name}" for name in files)}

    @pytest.mark.parametrize("name", ODD)
    def test_raw_means_exactly_the_name(self, fake: Command, fake_s3: FakeS3, tmp_path: Path, name: str) -> None:
        plant(tmp_path / "up", {name: b"1", f"{name}2": b"2", "stary": b"3"})
        fake("cp", "--raw", f"up/{name}", "s3://b/q/")
        assert keys(fake_s3, "b") == {f"q/{name}"}
        fake_s3.put("b", "q/stary", b"other")
        fake("cp", "--raw", f"s3://b/q/{name}", "down/")
        assert tree(tmp_path / "down") == {name: b"1"}
        fake("cp", "--raw", f"s3://b/q/{name}", f"s3://c/{name}")
        assert keys(fake_s3, "c") == {name}

    @pytest.mark.parametrize(
        ("wildcard", "expected"),
        [
            ("[x]*", {"[x]", "[x]2"}),
            ("{y}?", {"{y}2"}),
            ("\\*", {"\\s"}),
            ("!*", {"!n"}),
            ("n*l", {"n\nl"}),
            ("?", {"ä", "x", "y"}),
            ("x?", set()),
            ("*", {"[x]", "[x]2", "{y}2", "\\s", "!n", "n\nl", "ä", "x", "y", ".h"}),
        ],
    )
    def test_only_stars_and_question_marks_are_special(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, wildcard: str, expected: set[str]
    ) -> None:
        names = {"[x]", "[x]2", "{y}2", "\\s", "!n", "n\nl", "ä", "x", "y", ".h"}
        plant(tmp_path / "up", dict.fromkeys(names, b"1"))
        fill(fake_s3, "b", {f"p/{name}": b"2" for name in names})
        status = 0 if expected else 1
        fake("cp", f"up/{wildcard}", "s3://c/q/", status=status)
        assert keys(fake_s3, "c") == {f"q/{name}" for name in expected}
        fake("cp", f"s3://b/p/{wildcard}", "down/", status=status)
        assert set(tree(tmp_path / "down")) == expected

    def test_name_that_is_no_utf8_fails_alone(self, run: Command, server: Server, other: str, tmp_path: Path) -> None:
        plant(tmp_path / "up", {"a": b"a", "sub/z": b"z"})
        for name in (b"up/b\xff", b"up/sub/\xfe"):
            with open(os.path.join(os.fsencode(tmp_path), name), "w") as file:
                file.write("x")
        assert len(failed(run("cp", "up/", f"s3://{other}", status=1))) == 2
        assert objects(server, other) == {"a": b"a", "sub/z": b"z"}
        outcome = run("--json", "cp", "up/", f"s3://{other}", status=1)
        assert tally(outcome)["objects"]["failed"] == 2
        assert {record["source_base64"] for record in outcome.error_records} == {"dXAvYv8=", "dXAvc3ViL/4="}

    def test_question_mark_is_one_byte_of_a_name_that_is_no_utf8(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path
    ) -> None:
        (tmp_path / "up").mkdir()
        with open(os.fsencode(tmp_path) + b"/up/\xff", "w") as file:
            file.write("x")
        assert len(failed(fake("cp", "up/?", "s3://b/", status=1))) == 1
        assert "no match found" in failed(fake("cp", "up/??", "s3://b/", status=1))[0]

    def test_adjacent_slashes_stay_in_keys(self, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        plant(tmp_path, LOCAL)
        fake("cp", "dir/", "s3://b/q//")
        assert keys(fake_s3, "b") == {"q//a.txt", "q//sub/b.txt"}
        fake_s3.put("b", "q/x///y", b"y")
        fake("cp", "s3://b/q/*", "s3://c/r/")
        assert keys(fake_s3, "c") == {"r//a.txt", "r//sub/b.txt", "r/x///y"}
        fake("cp", "s3://b/q//*", "out/")
        assert tree(tmp_path / "out") == {"a.txt": b"local a\n", "sub/b.txt": b"local b\n"}


class TestLocalSources:
    def test_hidden_files_go_and_empty_directories_do_not(
        self, run: Command, server: Server, other: str, tmp_path: Path
    ) -> None:
        plant(
            tmp_path / "up", {".h": b"1", ".d/.e": b"2", "x": b"", ".s3z-0123456789abcdef0123456789abcdef.part": b"4"}
        )
        (tmp_path / "up/empty/deeper").mkdir(parents=True)
        outcome = run("cp", "up/", f"s3://{other}/", status=None)
        (tmp_path / "up/.s3z-0123456789abcdef0123456789abcdef.part").unlink()
        assert outcome.status == 0, outcome
        assert objects(server, other) == {".h": b"1", ".d/.e": b"2", "x": b""}

    def test_links_are_followed(self, run: Command, server: Server, other: str, tmp_path: Path) -> None:
        plant(tmp_path, {"up/a": b"a", "aside/b": b"b", "far": b"far"})
        (tmp_path / "up/link").symlink_to("../far")
        (tmp_path / "up/tree").symlink_to("../aside")
        (tmp_path / "linked").symlink_to("up")
        run("cp", "up/", f"s3://{other}/")
        assert objects(server, other) == {"a": b"a", "link": b"far", "tree/b": b"b"}
        run("cp", "linked/", f"s3://{other}/2/")
        assert {key for key in keys(server, other) if key.startswith("2/")} == {"2/a", "2/link", "2/tree/b"}

    def test_links_are_skipped_when_told_so(self, run: Command, server: Server, other: str, tmp_path: Path) -> None:
        plant(tmp_path, {"up/a": b"a", "aside/b": b"b"})
        for name, target in (("link", "../dir/a.txt"), ("tree", "../aside"), ("broken", "none"), ("loop", ".")):
            (tmp_path / "up" / name).symlink_to(target)
        outcome = run("--json", "cp", "--no-follow-symlinks", "up/", f"s3://{other}/")
        assert objects(server, other) == {"a": b"a"}
        assert tally(outcome)["objects"]["done"] == 1
        assert set(reasons(outcome).values()) == {"symlink"}

    @pytest.mark.parametrize("target", ["none", ".", "..", "link", "sub/back"])
    def test_link_that_is_broken_or_loops_fails_alone(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, target: str
    ) -> None:
        plant(tmp_path / "top/up", {"a": b"a", "sub/c": b"c", "z": b"z"})
        (tmp_path / "top/up/sub/back").symlink_to("../link")
        (tmp_path / "top/up/link").symlink_to(target)
        outcome = fake("cp", "top/up/", "s3://b/", status=1)
        assert {"a", "sub/c", "z"} <= keys(fake_s3, "b")
        assert failed(outcome)
        assert all("link" in line or "back" in line for line in failed(outcome))

    def test_sockets_and_fifos_fail_alone(self, run: Command, server: Server, other: str, tmp_path: Path) -> None:
        plant(tmp_path / "up", {"a": b"a", "z/z": b"z"})
        os.mkfifo(tmp_path / "up/fifo")
        os.mknod(tmp_path / "up/z/socket", stat.S_IFSOCK | 0o600)
        outcome = run("--json", "cp", "up/", f"s3://{other}/", status=1)
        assert objects(server, other) == {"a": b"a", "z/z": b"z"}
        assert kinds(outcome) == {"up/fifo": "not_regular_file", "up/z/socket": "not_regular_file"}
        lines = failed(run("cp", "up/*", f"s3://{other}/", status=1))
        assert sorted('"up/fifo"' in line for line in lines) == [False, True]
        assert all("is not a regular file" in line for line in lines)

    @pytest.mark.parametrize("verb", ["cp", "mv", "sync", "verify"])
    def test_what_s3z_left_itself_is_never_uploaded(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, verb: str
    ) -> None:
        left = tmp_path / f"d/.s3z-{'0' * 32}.part"
        plant(tmp_path, {f"d/{left.name}": b"half", "run": f"cp d/{left.name} s3://c/\n".encode()})
        try:
            named = fake("--json", verb, f"d/{left.name}", "s3://c/", status=1)
            matched = fake(verb, "d/.s3z-*", "s3://c/", status=1)
            line = fake("--json", "run", "run", status=1)
        finally:
            left.unlink()
        assert [record["error"]["kind"] for record in named.error_records] == ["refused"]
        assert "no match found" in failed(matched)[0]
        assert [record["error"]["kind"] for record in line.error_records] == ["refused"]
        assert keys(fake_s3, "c") == set()

    def test_directory_and_file_that_cannot_be_read_fail_alone(
        self, run: Command, server: Server, other: str, tmp_path: Path
    ) -> None:
        plant(tmp_path / "up", {"a": b"a", "m/x": b"x", "n": b"n", "z/z": b"z"})
        program = bound_by_modes()
        (tmp_path / "up/m").chmod(0)
        (tmp_path / "up/n").chmod(0)
        try:
            outcome = run("--json", "cp", "up/", f"s3://{other}/", status=1, program=program)
        finally:
            (tmp_path / "up/m").chmod(0o755)
            (tmp_path / "up/n").chmod(0o644)
        assert objects(server, other) == {"a": b"a", "z/z": b"z"}
        assert {source.rstrip("/"): kind for source, kind in kinds(outcome).items()} == {
            "up/m": "local_io", "up/n": "local_io",
        }  # fmt: skip

    def test_nothing_of_an_empty_directory(self, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        (tmp_path / "up/sub").mkdir(parents=True)
        outcome = fake("cp", "up/", "s3://b/q/", status=None)
        assert outcome.status in (0, 1)
        assert (keys(fake_s3, "b"), outcome.stdout) == (set(), "")


class TestFilters:
    KEYS = ("a.txt", "b.bin", "sub/b.txt", "sub/c.bin", "sub/deep/d.txt")

    @pytest.mark.parametrize(
        ("flags", "expected"),
        [
            ("--exclude *.txt", {"b.bin", "sub/c.bin"}),
            ("--include *.txt", {"a.txt", "sub/b.txt", "sub/deep/d.txt"}),
            ("--include *.txt --exclude sub/*", {"a.txt"}),
            ("--exclude sub/* --include *.txt", {"a.txt"}),
            ("--exclude a.txt --exclude sub/deep/*", {"b.bin", "sub/b.txt", "sub/c.bin"}),
            ("--include a.txt --include *.bin", {"a.txt", "b.bin", "sub/c.bin"}),
            ("--exclude sub", set(KEYS)),
            ("--exclude a.tx", set(KEYS)),
            ("--exclude .txt", set(KEYS)),
            ("--exclude= --include=", set(KEYS)),
            ("--exclude ?.txt", {"b.bin", "sub/b.txt", "sub/c.bin", "sub/deep/d.txt"}),
            ("--exclude [ab].txt", set(KEYS)),
            ("--exclude s*d*", {"a.txt", "b.bin", "sub/b.txt", "sub/c.bin"}),
        ],
    )
    def test_both_ways(self, fake: Command, fake_s3: FakeS3, tmp_path: Path, flags: str, expected: set[str]) -> None:
        files = {name: name.encode() for name in self.KEYS}
        plant(tmp_path / "up", files)
        fill(fake_s3, "b", {f"p/{name}": content for name, content in files.items()})
        fake_s3.do("clear_log")
        for number, source in enumerate(("up", "up/", "up/*")):
            fake("cp", *flags.split(" "), source, f"s3://c/{number}/")
            between = "up/" if source == "up" else ""
            assert {key for key in keys(fake_s3, "c") if key.startswith(f"{number}/")} == {
                f"{number}/{between}{name}" for name in expected
            }
        fake("cp", *flags.split(" "), "s3://b/p/*", "down/")
        assert set(tree(tmp_path / "down")) == expected
        asked = {record["key"] for record in fake_s3.log() if record["bucket"] == "b" and record["key"]}
        assert asked == {f"p/{name}" for name in expected}

    @pytest.mark.parametrize(
        ("pattern", "expected"),
        [
            ("abc.*", {"abc/x", "abcd"}),
            ("x", {"abc.pdf", "abcd"}),
            ("abc/x", {"abc.pdf", "abc/x", "abcd"}),
            ("abcd", {"abc.pdf", "abc/x"}),
        ],
    )
    def test_pattern_sees_the_name_without_the_source_prefix(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, pattern: str, expected: set[str]
    ) -> None:
        fill(fake_s3, "b", {"abc.pdf": b"1", "abc/x": b"2", "abcd": b"3", "zzz": b"4"})
        fake("cp", "--exclude", pattern, "s3://b/abc*", ".")
        assert set(tree(tmp_path)) == expected

    def test_what_is_excluded_cannot_fail(self, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        plant(tmp_path / "up", {"a": b"a"})
        os.mkfifo(tmp_path / "up/fifo.x")
        (tmp_path / "up/broken.x").symlink_to("none")
        fill(fake_s3, "b", {"p/a": b"a"})
        fake_s3.put("b", "p/../x.x", b"evil")
        outcome = fake("--json", "cp", "--exclude", "*.x", "up/", "s3://c/")
        assert tally(outcome)["objects"] == {"done": 1, "skipped": 0, "failed": 0, "deleted": 0, "deletes_held_back": 0}
        assert tally(fake("--json", "cp", "--exclude", "*.x", "s3://b/p/*", "down/"))["objects"]["done"] == 1


class TestUnsafeKeys:
    @pytest.mark.parametrize(
        "name",
        ["../x", "/x", "a/../../x", "a//b", ".", "./x", "..", "a/.", "a/..", "n" * 256, "a\0b", "d/e/", "/", "//"],
    )
    def test_fails_alone_and_writes_nothing(self, fake: Command, fake_s3: FakeS3, tmp_path: Path, name: str) -> None:
        fill(fake_s3, "b", {"p/ok": b"ok", "p/zz/ok": b"ok"})
        fake_s3.put("b", f"p/{name}", b"evil")
        outcome = fake("--json", "cp", "s3://b/p/*", "top/out/", status=1)
        assert tree(tmp_path) == {"top/out/ok": b"ok", "top/out/zz/ok": b"ok"}
        (kind,) = kinds(outcome).values()
        assert kind == "unsafe_key"
        assert tally(outcome)["objects"]["done"] == 2
        assert not fake_s3.log(operation="GetObject", key=f"p/{name}")

    @pytest.mark.parametrize("key", ["../x", "a/../x", ".", "a/."])
    def test_dot_segments_never_travel_in_a_path(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, key: str
    ) -> None:
        fake_s3.put("b", key, b"evil")
        plant(tmp_path, {"f": b"f"})
        for arguments in ((f"s3://b/{key}", "out/x"), (f"s3://b/{key}", "s3://c/x"), ("f", f"s3://c/q/{key}")):
            outcome = fake("--json", "cp", *arguments, status=1)
            assert list(kinds(outcome).values()) == ["unsafe_key"]
        assert tree(tmp_path) == {"f": b"f"}
        assert keys(fake_s3, "c") == set()

    def test_of_one_object_and_flattened_only_the_base_name_counts(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path
    ) -> None:
        fill(fake_s3, "b", {"p/a//b": b"1", "/c": b"2", f"p/{'n' * 256}/d": b"3"})
        fake("cp", "s3://b/p/a//b", "one/")
        fake("cp", "s3://b//c", "one/")
        fake("cp", "--flatten", "s3://b/p/*", "flat/")
        assert tree(tmp_path) == {"one/b": b"1", "one/c": b"2", "flat/b": b"1", "flat/d": b"3"}

    def test_markers_are_skipped_unless_they_have_content(
        self, run: Command, server: Server, bucket: str, other: str, tmp_path: Path
    ) -> None:
        fill(server, bucket, {"m/": b"", "m/d/": b"", "m/e": b"e", "m/d/f": b"f"})
        outcome = run("--json", "cp", f"s3://{bucket}/m/*", "out/")
        assert tree(tmp_path / "out") == {"e": b"e", "d/f": b"f"}
        assert set(reasons(outcome).values()) == {"directory_marker"}
        assert tally(outcome)["objects"]["done"] == 2
        outcome = run("--json", "cp", f"s3://{bucket}/m/*", f"s3://{other}/q/")
        assert keys(server, other) == {"q/d/", "q/e", "q/d/f"}
        assert reasons(outcome) == {f"s3://{bucket}/m/": "directory_marker"}

    def test_name_that_is_also_a_directory_fails_before_its_bytes_move(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path
    ) -> None:
        fill(fake_s3, "b", {"p/a": b"file", "p/a-b": b"1", "p/a.b": b"2", "p/a/b": b"3", "p/a/c/d": b"4", "p/ab": b"5"})
        outcome = fake("--json", "cp", "s3://b/p/*", "out/", status=1)
        assert tree(tmp_path / "out") == {"a-b": b"1", "a.b": b"2", "a/b": b"3", "a/c/d": b"4", "ab": b"5"}
        assert kinds(outcome) == {"s3://b/p/a": "conflict"}
        assert tally(outcome)["objects"]["done"] == 5
        assert not fake_s3.log(operation="GetObject", key="p/a")

    def test_no_file_is_replaced_by_a_directory_nor_the_reverse(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path
    ) -> None:
        fill(fake_s3, "b", {"p/dir": b"1", "p/file/x": b"2", "p/ok": b"3"})
        before = plant(tmp_path / "out", {"file": b"old", "dir/old": b"old"})
        outcome = fake("cp", "s3://b/p/*", "out/", status=1)
        assert tree(before) == {"file": b"old", "dir/old": b"old", "ok": b"3"}
        assert len(failed(outcome)) == 2

    def test_links_inside_the_destination_are_not_followed(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path
    ) -> None:
        plant(tmp_path, {"aside/x": b"old", "real/y": b"y"})
        (tmp_path / "real/link").symlink_to("../aside")
        (tmp_path / "real/inner").symlink_to("sub")
        (tmp_path / "real/sub").mkdir()
        (tmp_path / "out").symlink_to("real")
        fill(fake_s3, "b", {"p/link/x": b"new", "p/link/z": b"new", "p/inner/x": b"new", "p/ok": b"ok"})
        outcome = fake("cp", "s3://b/p/*", "out/", status=1)
        assert len(failed(outcome)) == 3
        assert tree(tmp_path) == {"aside/x": b"old", "real/y": b"y", "real/ok": b"ok"}

    def test_link_in_the_place_of_a_file_is_not_written_through(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path
    ) -> None:
        plant(tmp_path, {"aside": b"old"})
        (tmp_path / "out").mkdir()
        (tmp_path / "out/f").symlink_to("../aside")
        fill(fake_s3, "b", {"p/f": b"new"})
        fake("cp", "s3://b/p/*", "out/", status=None)
        assert (tmp_path / "aside").read_bytes() == b"old"


class TestOneOfMany:
    """An object that fails stops none of the others, and each failure is told once."""

    @pytest.mark.parametrize(
        ("operation", "source", "destination", "target"),
        [
            ("PutObject", "up/", "s3://c/q/", "q/"),
            ("GetObject", "s3://b/p/*", "down/", "p/"),
            ("CopyObject", "s3://b/p/*", "s3://c/q/", "q/"),
        ],
    )
    @pytest.mark.parametrize("as_json", [False, True])
    def test_every_direction(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, operation: str, source: str, destination: str,
        target: str, as_json: bool,
    ) -> None:  # fmt: skip
        plant(tmp_path / "up", FILES)
        fill(fake_s3, "b", {f"p/{name}": content for name, content in FILES.items()})
        denied = {"type": "respond", "status": 403, "code": "AccessDenied", "message": "no"}
        for name in BAD:
            fake_s3.rule(denied, operation=operation, key=target + name)
        outcome = fake(*["--json"] * as_json, "cp", source, destination, status=1)
        good = {name: content for name, content in FILES.items() if name not in BAD}
        if operation == "GetObject":
            assert tree(tmp_path / "down") == good
        else:
            assert objects(fake_s3, "c") == {f"q/{name}": content for name, content in good.items()}
        first = source.rstrip("*")
        if as_json:
            assert kinds(outcome) == {f"{first}{name}": "access_denied" for name in BAD}
            assert tally(outcome)["objects"]["done"] == len(good)
            assert {r["source"] for r in outcome.records if "source" in r} == {f"{first}{name}" for name in good}
        else:
            pairs = [f"cp {first}{name} {destination}{name}" for name in sorted(FILES)]
            assert sorted(outcome.lines) == [pair for pair in pairs if pair[-3:] not in BAD]
            assert sorted(line.partition('": ')[0] for line in failed(outcome)) == [
                f'ERROR "{pair}' for pair in pairs if pair[-3:] in BAD
            ]
            told = re.compile(r'": AccessDenied: access to ".*" was denied: no; status code: 403, request id: \S')
            assert all(told.search(line) for line in failed(outcome))

    @pytest.mark.parametrize(
        "fault",
        [
            {"type": "reset", "after": 1}, {"type": "truncate", "after": 1}, {"type": "bit_flip", "offset": 1},
            {"type": "respond", "status": 503, "code": "SlowDown"},
        ],
        ids=lambda fault: str(fault["type"]),
    )  # fmt: skip
    def test_failed_download_leaves_the_old_file(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, fault: dict[str, object]
    ) -> None:
        fill(fake_s3, "b", {f"p/{name}": b"new" * 99 for name in "abc"})
        plant(tmp_path / "out", dict.fromkeys("abc", b"old"))
        fake_s3.rule(fault, operation="GetObject", key="p/b")
        outcome = fake("-r", "0", "cp", "s3://b/p/*", "out/", status=1)
        assert tree(tmp_path / "out") == {"a": b"new" * 99, "b": b"old", "c": b"new" * 99}
        assert places(tmp_path / "out") == {"a", "b", "c"}
        assert len(failed(outcome)) == 1

    def test_listing_that_fails_on_its_second_page_is_an_error(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path
    ) -> None:
        for number in range(1001):
            fake_s3.put("b", f"p/{number:04}", b"")
        fake_s3.rule({"type": "respond", "status": 403, "code": "AccessDenied"}, operation="ListObjectsV2", skip=1)
        outcome = fake("--json", "cp", "s3://b/p/*", "out/", status=1)
        assert len(tree(tmp_path / "out")) == outcome.records[-1]["objects"]["done"] <= 1000

    def test_two_sources_flattened_onto_one_name(self, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        files = {"1/x": b"1", "2/x": b"2", "3/y": b"3"}
        plant(tmp_path / "up", files)
        fill(fake_s3, "b", {f"p/{name}": content for name, content in files.items()})
        for source, destination in (("up/", "s3://c/"), ("s3://b/p/*", "down/"), ("s3://b/p/*", "s3://c/2/")):
            outcome = fake("--json", "cp", "--flatten", source, destination, status=1)
            assert tally(outcome)["objects"]["done"] == 2
            ((failure, kind),) = kinds(outcome).items()
            assert kind == "conflict"
            assert failure.endswith("/x")
        assert keys(fake_s3, "c") == {"x", "y", "2/x", "2/y"}
        assert set(tree(tmp_path / "down")) == {"x", "y"}

    def test_host_that_cannot_be_reached(self, fake: Command, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        plant(tmp_path / "up", {"a": b"a"})
        nowhere = ["--endpoint-url", f"http://127.0.0.1:{port}"]
        for source, destination in (("up/", "s3://b/"), ("s3://b/*", "out/")):
            outcome = fake("--json", "-r", "0", *nowhere, "cp", source, destination, status=1)
            assert set(kinds(outcome).values()) == {"connection"}
