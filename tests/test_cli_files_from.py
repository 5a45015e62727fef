"""`--files-from`: what a list may name, what is said of the rest, and which options do not go with it (cli.md 3.2)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support.planted import failed, keys, kinds, objects, plant, reasons, tally, tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Command
    from support.servers import FakeS3

FILES = {"d/1": b"1", "d/sub/2": b"2", "aside/3": b"3"}


@pytest.fixture
def fake(fake_s3: FakeS3, tmp_path: Path, command: Callable[..., Command]) -> Command:
    """`FILES`, beside them links and a FIFO; `p/1` and `p/sub/2` in bucket `b`, and an empty bucket `c`."""
    plant(tmp_path, FILES)
    (tmp_path / "d/lnk").symlink_to("../aside/3")
    (tmp_path / "d/lr").symlink_to("../aside")
    os.mkfifo(tmp_path / "d/ff")
    for key in ("p/1", "p/sub/2"):
        fake_s3.put("b", key, b"x")
    fake_s3.do("create_bucket", bucket="c")
    fake_s3.do("clear_log")
    return command(fake_s3)


class TestOptions:
    @pytest.mark.parametrize(
        "arguments",
        [
            "rm --version-id v --files-from - s3://b/p/", "rm --all-versions --files-from - s3://b/p/",
            "cp --version-id v --files-from - s3://b/p/ out/", "mv --version-id v --files-from - s3://b/p/ s3://c/",
            "rm --exclude 1 --files-from - s3://b/p/", "cp --include 1 --files-from - d/ s3://c/",
        ],
    )  # fmt: skip
    def test_excluded(self, fake: Command, fake_s3: FakeS3, tmp_path: Path, arguments: str) -> None:
        outcome = fake(*arguments.split(), input=b"1\n", status=2)
        assert len(failed(outcome)) == 1
        assert all(word in failed(outcome)[0] for word in ("--files-from", "exclude each other"))
        assert (fake_s3.log(), tree(tmp_path)) == ([], FILES)

    @pytest.mark.parametrize("verb", ["cp", "mv", "rm"])
    def test_help_says_so(self, fake: Command, verb: str) -> None:
        text = " ".join(fake(verb, "--help").stdout.split())
        assert "without filters" in text


class TestSource:
    @pytest.mark.parametrize("verb", ["cp", "rm"])
    def test_file_is_no_directory(self, fake: Command, verb: str) -> None:
        outcome = fake(verb, "--files-from", "-", "d/1", *["s3://c/"] * (verb == "cp"), input=b"1\n", status=1)
        assert '"d/1" is no directory' in failed(outcome)[0]

    def test_nothing_of_that_name(self, fake: Command) -> None:
        outcome = fake("cp", "--files-from", "-", "none", "s3://c/", input=b"1\n", status=1)
        assert 'given object "none" not found' in failed(outcome)[0]


class TestNames:
    @pytest.mark.parametrize("flags", [[], ["--dry-run"], ["--no-follow-symlinks"]])
    @pytest.mark.parametrize("verb", ["cp", "mv", "rm"])
    def test_only_files_are_taken(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, verb: str, flags: list[str]
    ) -> None:
        if verb == "rm" and flags == ["--no-follow-symlinks"]:
            flags = []
        arguments = ["--files-from", "-", "d", *["s3://c/"] * (verb != "rm")]
        outcome = fake("--json", verb, *flags, *arguments, input=b"ff\nsub\n1\n", status=1)
        assert kinds(outcome) == dict.fromkeys(("d/ff", "d/sub"), "not_regular_file")
        assert {record["error"]["message"] for record in outcome.error_records} == {
            'object "d/ff" is not a regular file', 'object "d/sub" is not a regular file',
        }  # fmt: skip
        assert tally(outcome)["objects"]["done"] == 1
        dry = flags == ["--dry-run"]
        assert keys(fake_s3, "c") == (set() if dry or verb == "rm" else {"1"})
        assert tree(tmp_path) == {name: body for name, body in FILES.items() if dry or verb == "cp" or name != "d/1"}

    @pytest.mark.parametrize("verb", ["cp", "mv"])
    def test_links(self, fake: Command, fake_s3: FakeS3, tmp_path: Path, verb: str) -> None:
        names = b"lnk\nlr/3\n1\n"
        outcome = fake("--json", verb, "--no-follow-symlinks", "--files-from", "-", "d", "s3://c/", input=names)
        assert reasons(outcome) == {"d/lnk": "symlink", "d/lr/3": "symlink"}
        assert tally(outcome)["objects"]["skipped"] == 2
        assert keys(fake_s3, "c") == {"1"}
        fake("cp", "--files-from", "-", "d", "s3://c/", input=b"lnk\nlr/3\n")
        assert objects(fake_s3, "c") == {"1": b"1", "lnk": b"3", "lr/3": b"3"}

    def test_skip_is_told_to_those_who_ask(self, fake: Command) -> None:
        arguments = ["cp", "--no-follow-symlinks", "--files-from", "-", "d", "s3://c/"]
        assert (
            'DEBUG "cp d/lnk": object is a symbolic link' in fake("--log", "debug", *arguments, input=b"lnk\n").errors
        )

    @pytest.mark.parametrize("source", ["d", "s3://b/p/"])
    def test_each_once_and_as_find_prints_them(self, fake: Command, fake_s3: FakeS3, source: str) -> None:
        outcome = fake("cp", "--files-from", "-", source, "s3://c/", input=b"./1\n1\n.//./sub/2\n1\n")
        assert len(outcome.lines) == 2
        assert keys(fake_s3, "c") == {"1", "sub/2"}

    def test_file_that_is_not_there(self, fake: Command, tmp_path: Path) -> None:
        outcome = fake("--json", "rm", "--files-from", "-", "d", input=b"none\nsub/2/x\n1\n", status=1)
        assert kinds(outcome) == dict.fromkeys(("d/none", "d/sub/2/x"), "not_found")
        assert set(tree(tmp_path)) == {"d/sub/2", "aside/3"}

    def test_names_of_the_current_directory(self, fake: Command, tmp_path: Path) -> None:
        fake("rm", "--files-from", "-", ".", input=b"d/1\n")
        assert set(tree(tmp_path)) == {"d/sub/2", "aside/3"}
