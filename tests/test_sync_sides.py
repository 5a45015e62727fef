"""Both sides of `sync` and `verify` have the same names: under filters, for one object, for directory markers."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest
from support.trees import PAST, deletions, objects, put_at, put_tree, read_tree, write_tree

import s3z
from s3z import _sides

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Command
    from support.servers import FakeS3


@pytest.fixture
def run(fake_s3: FakeS3, command: Callable[..., Command]) -> Command:
    for name in "bc":
        fake_s3.do("create_bucket", bucket=name)
    return command(fake_s3)


class TestPartialWildcard:
    @pytest.fixture(autouse=True)
    def tree(self, run: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        write_tree(tmp_path / "dir", {"sub/keep1": "1", "sub/b": "b", "s2/c": "c", "other": "o"})
        put_tree(fake_s3, "b", {"q/sub/keep1": "there", "q/sub/old": "old"})

    def test_what_is_left_out_is_neither_sent_nor_deleted(self, run: Command, fake_s3: FakeS3) -> None:
        run("sync", "--delete", "--exclude", "sub/keep*", "dir/s*", "s3://b/q/")
        assert objects(fake_s3, "b") == {"q/sub/keep1": "there", "q/sub/b": "b", "q/s2/c": "c"}

    def test_the_whole_path_is_no_name_on_either_side(self, run: Command, fake_s3: FakeS3) -> None:
        run("sync", "--delete", "--exclude", "dir/sub/keep*", "dir/s*", "s3://b/q/")
        assert objects(fake_s3, "b") == {"q/sub/keep1": "1", "q/sub/b": "b", "q/s2/c": "c"}

    def test_what_is_to_be_taken(self, run: Command, fake_s3: FakeS3) -> None:
        run("sync", "--include", "sub/*", "dir/s*", "s3://c/q/")
        assert objects(fake_s3, "c") == {"q/sub/keep1": "1", "q/sub/b": "b"}

    def test_verify(self, run: Command) -> None:
        assert run("verify", "--exclude", "sub/*", "dir/s*", "s3://b/q/", status=1).lines == ["+ s2/c"]
        assert run("verify", "--include", "sub/o*", "dir/s*", "s3://b/q/", status=1).lines == ["- sub/old"]

    def test_copies_match_the_name_without_the_source_prefix_as_ever(self, run: Command, fake_s3: FakeS3) -> None:
        run("cp", "--exclude", "dir/sub/*", "dir/s*", "s3://c/")
        assert objects(fake_s3, "c") == {"s2/c": "c"}

    @pytest.mark.parametrize("word", ["sync", "cp"])
    def test_a_link_that_is_left_out_is_not_told(self, run: Command, tmp_path: Path, word: str) -> None:
        (tmp_path / "dir/slink").symlink_to("other")
        flags = ["--json", "--log", "debug", word, "--no-follow-symlinks"]
        names = "slink" if word == "sync" else "dir/slink"
        outcome = run(*flags, "--exclude", names, "--exclude", "*/*", "dir/s*", "s3://c/", status=None)
        assert "symlink" not in outcome.stdout + outcome.stderr
        assert '"reason":"symlink"' in run(*flags, "dir/s*", "s3://c/").stdout


class TestOneObject:
    """The name at the destination may be any, longer or shorter than that of the source."""

    @pytest.mark.parametrize("name", ["longer-than-the-source", "x", "p/long", "d/"])
    def test_a_second_run_does_nothing(self, run: Command, fake_s3: FakeS3, name: str) -> None:
        put_at(fake_s3, "b", "p/long", b"12345", PAST)
        for flags in ([], ["--size-only"]):
            assert len(run("sync", *flags, "s3://b/p/long", f"s3://c/{name}").lines) == (0 if flags else 1)
            assert run("sync", *flags, "s3://b/p/long", f"s3://c/{name}").lines == []
        assert objects(fake_s3, "c") == {f"{name}long" if name.endswith("/") else name: "12345"}
        assert run("verify", "s3://b/p/long", f"s3://c/{name}").lines == []

    def test_verify_tells_what_differs(self, run: Command, fake_s3: FakeS3) -> None:
        put_tree(fake_s3, "b", {"p/long": "12345", "xy": "12346"})
        assert run("verify", "s3://b/p/long", "s3://b/xy", status=1).lines == ["* xy"]
        assert run("verify", "s3://b/p/long", "s3://b/longer-name", status=1).lines == ["+ longer-name"]

    def test_a_file(self, run: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        write_tree(tmp_path, {"f": "12345"})
        for _ in range(2):
            outcome = run("sync", "f", "s3://c/another-name")
        assert outcome.lines == []
        assert run("verify", "f", "s3://c/another-name").lines == []
        for _ in range(2):
            outcome = run("sync", "s3://c/another-name", "out/")
        assert outcome.lines == []


class TestNoDirectory:
    """A local destination is a directory, and is itself never removed."""

    @pytest.mark.parametrize(
        ("word", "flags"),
        [("sync", []), ("sync", ["--delete"]), ("sync", ["--delete", "--force"]), ("verify", [])],
        ids=lambda value: " ".join(value) if isinstance(value, list) else value,
    )
    @pytest.mark.parametrize("source", ["s3://b/p/*", "s3://b/empty/*"])
    @pytest.mark.parametrize("kind", ["file", "fifo", "link"])
    def test_refused(
        self, run: Command, fake_s3: FakeS3, tmp_path: Path, word: str, flags: list[str], source: str, kind: str
    ) -> None:
        put_tree(fake_s3, "b", {"p/file": "12345"})
        write_tree(tmp_path, {"file": "54321"})
        name = {"file": "file", "fifo": "fifo", "link": "link"}[kind]
        os.mkfifo(tmp_path / "fifo")
        (tmp_path / "link").symlink_to("file")
        outcome = run(word, *flags, source, name, status=1)
        assert f'"{name}" is not a directory' in outcome.stderr
        assert outcome.stdout == ""
        assert (tmp_path / "file").read_text() == "54321"
        assert (tmp_path / "fifo").is_fifo()
        assert (tmp_path / "link").is_symlink()

    def test_calls(self, fake_s3: FakeS3, run: Command, tmp_path: Path) -> None:
        put_tree(fake_s3, "b", {"p/file": "12345"})
        write_tree(tmp_path, {"file": "54321"})
        with pytest.raises(NotADirectoryError):
            fake_s3.client().sync("s3://b/p/", tmp_path / "file", delete=True)
        assert (tmp_path / "file").read_text() == "54321"

    @pytest.mark.parametrize("prefix", ["p/", "empty/"])
    def test_a_file_that_is_put_there_meanwhile(
        self, fake_s3: FakeS3, run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str
    ) -> None:
        put_tree(fake_s3, "b", {"p/file": "12345"})
        write_tree(tmp_path, {"file": "54321"})
        monkeypatch.setattr(_sides, "_refuse", lambda _: None)
        with pytest.raises(NotADirectoryError):
            fake_s3.client().sync(f"s3://b/{prefix}", tmp_path / "file", delete=True, force=True)
        assert (tmp_path / "file").read_text() == "54321"


class TestMarkers:
    """Zero-byte keys that end in a slash: copied, then the same on both sides, and never deleted."""

    def test_settle(self, run: Command, fake_s3: FakeS3) -> None:
        put_at(fake_s3, "b", "p/sub/", b"", PAST)
        put_at(fake_s3, "b", "p/a", b"a", PAST)
        assert len(run("sync", "s3://b/p/*", "s3://c/q/").lines) == 2
        for flags in ([], ["--size-only"], ["--checksum"], ["--delete"]):
            assert run("sync", *flags, "s3://b/p/*", "s3://c/q/").lines == []
        assert run("verify", "s3://b/p/*", "s3://c/q/").lines == []
        client = fake_s3.client()
        assert client.sync("s3://b/p/", "s3://c/q/").done == 0
        assert client.verify("s3://b/p/", "s3://c/q/").is_same

    def test_are_left_alone(self, run: Command, fake_s3: FakeS3) -> None:
        put_tree(fake_s3, "b", {"p/a": "a"})
        put_tree(fake_s3, "c", {"q/": "", "q/only/": "", "q/full/": "12", "q/old": "o"})
        assert run("verify", "s3://b/p/*", "s3://c/q/", status=1).lines == ["+ a", "- full/", "- old"]
        outcome = run("sync", "--delete", "s3://b/p/*", "s3://c/q/")
        assert sorted(outcome.lines) == ["cp s3://b/p/a s3://c/q/a", "rm s3://c/q/full/", "rm s3://c/q/old"]
        assert objects(fake_s3, "c") == {"q/": "", "q/only/": "", "q/a": "a"}
        assert run("verify", "s3://b/p/*", "s3://c/q/").lines == []
        fake_s3.client().sync("s3://b/p/", "s3://c/q/", delete=True)
        assert len(deletions(fake_s3)) == 1


class TestDeletionsBeneath:
    """Files go beneath the destination's descriptor: a link put on the way meanwhile is not followed."""

    @pytest.mark.parametrize("word", ["sync", "rm"])
    def test_a_parent_swapped_for_a_link(self, run: Command, fake_s3: FakeS3, tmp_path: Path, word: str) -> None:
        put_tree(fake_s3, "b", {"p/a": "a" * 1000})
        out, away = tmp_path / "out", tmp_path / "away"
        # The same file by two names, so that whatever is compared of it is the same there.
        write_tree(away, {"old": "precious"})
        (out / "sub").mkdir(parents=True)
        os.link(away / "old", out / "sub/old")
        if word == "rm":
            write_tree(out, {f"n{number:05}": "" for number in range(3000)})
        swapped = threading.Event()

        def swap() -> None:
            (out / "sub").rename(tmp_path / "was")
            (out / "sub").symlink_to(away)
            swapped.set()

        if word == "sync":
            fake_s3.rule({"type": "latency", "ms": 1500}, operation="GetObject")
            with run.start("sync", "--delete", "s3://b/p/*", "out") as process:
                fake_s3.wait_for_log(1, operation="GetObject")
                swap()
                _, errors = process.communicate(timeout=60)
            status = process.returncode
        else:
            swap()
            (tmp_path / "names").write_text("sub/old\n")
            outcome = run("rm", "--files-from", "names", "out", status=None)
            status, errors = outcome.status, outcome.stderr.encode()
        assert status == 1, errors
        assert (b"symbolic link" if word == "sync" else b"not a regular file") in errors
        assert (away / "old").read_text() == "precious"
        assert (tmp_path / "was/old").exists()

    def test_the_destination_itself_may_be_a_link(self, run: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        put_tree(fake_s3, "b", {"p/a": "a"})
        write_tree(tmp_path / "real", {"old": "", "x/y/old": "", "x/z": ""})
        (tmp_path / "out").symlink_to("real")
        outcome = run("sync", "--delete", "s3://b/p/*", "out")
        assert sorted(outcome.lines) == ["cp s3://b/p/a out/a", "rm out/old", "rm out/x/y/old", "rm out/x/z"]
        assert read_tree(tmp_path / "real") == {"a": "a"}


class TestTold:
    def test_what_is_unchanged_names_its_destination(self, run: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        write_tree(tmp_path / "dir", {"a.txt": "a"})
        run("sync", "dir/", "s3://b/q/")
        for flags, reason in (([], "unchanged"), (["--checksum"], "same_checksum")):
            records = run("--json", "sync", *flags, "dir/", "s3://b/q/").records
            assert [(each["reason"], each["source"], each["destination"]) for each in records[:-1]] == [
                (reason, "dir/a.txt", "s3://b/q/a.txt")
            ]
        text = run("--log", "debug", "sync", "dir/", "s3://b/q/").stderr
        assert 'DEBUG "cp dir/a.txt s3://b/q/a.txt": object is unchanged' in text
        run("sync", "s3://b/q/*", "dir")
        text = run("--log", "debug", "sync", "s3://b/q/*", "dir").stderr
        assert 'DEBUG "cp s3://b/q/a.txt dir/a.txt": object is unchanged' in text

    def test_what_is_wrong_with_the_destination_is_no_source(
        self, run: Command, fake_s3: FakeS3, tmp_path: Path
    ) -> None:
        put_tree(fake_s3, "b", {"p/a": "a"})
        (tmp_path / "out").mkdir()
        os.mkfifo(tmp_path / "out/ff")
        outcome = run("sync", "s3://b/p/*", "out", status=1)
        assert outcome.errors == ['ERROR "sync s3://b/p/* out": object "out/ff" is not a regular file']
        [record] = run("--json", "sync", "s3://b/p/*", "out", status=1).error_records
        assert "source" not in record
        assert (record["destination"], record["error"]["kind"]) == ("out/ff", "not_regular_file")
        with pytest.raises(s3z.BatchError, match="not a regular file"):
            fake_s3.client().sync("s3://b/p/", tmp_path / "out")

    @pytest.mark.parametrize("name", ["a\nb", "a\x1b[31mb", "tab\tbed", "\u202ea", "ä b"])
    def test_names_on_a_terminal(self, run: Command, fake_s3: FakeS3, name: str) -> None:
        fake_s3.put("b", f"ctl/{name}", b"1")
        shown = {"a\nb": "a\\nb", "a\x1b[31mb": "a\\x1b[31mb", "tab\tbed": "tab\\tbed", "\u202ea": "\\u202ea"}
        text = shown.get(name, name)
        drawn = run.on_terminal("cp", "--no-progress", "s3://b/ctl/*", "s3://c/")
        assert drawn == f"cp s3://b/ctl/{text} s3://c/{text}\n"
        assert run.on_terminal("verify", "--no-progress", "s3://b/ctl/*", "s3://b/x/", status=1) == f"+ {text}\n"
        # Elsewhere it is the name.
        assert run("cp", "s3://b/ctl/*", "s3://c/").stdout == f"cp s3://b/ctl/{name} s3://c/{name}\n"


def test_directories_that_hold_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home/user"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    assert _sides.protected("/") == "the root directory"
    assert _sides.protected(str(home)) == "the home directory"
    assert _sides.protected(str(tmp_path / "home")) == "a directory that holds the home directory"
    assert _sides.protected(str(tmp_path)) == "a directory that holds the home directory"
    assert _sides.protected(str(home / "x")) is None
    assert _sides.protected(str(tmp_path / "home/user2")) is None
    monkeypatch.setenv("HOME", "")
    monkeypatch.chdir(tmp_path)
    assert _sides.protected(".") is None
