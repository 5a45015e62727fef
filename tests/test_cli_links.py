"""Symbolic links as arguments: `rm` goes through none, `--no-follow-symlinks` skips those named (cli.md 3.2, 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.planted import failed, keys, kinds, plant, reasons, tally, tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Command
    from support.servers import FakeS3

REAL = {"real/3": b"3", "real/4a": b"4", "real/sub/5": b"5"}


@pytest.fixture
def fake(fake_s3: FakeS3, tmp_path: Path, command: Callable[..., Command]) -> Command:
    """`REAL`, and in `d` links to the directory, to a file of it, to nothing, and to itself; bucket `b` is empty."""
    plant(tmp_path, REAL)
    plant(tmp_path / "d", {"own": b"own"})
    for name, target in (("dl", "../real"), ("fl", "../real/3"), ("brk", "none"), ("loop", "loop")):
        (tmp_path / "d" / name).symlink_to(target)
    fake_s3.do("create_bucket", bucket="b")
    return command(fake_s3)


class TestRemoval:
    @pytest.mark.parametrize(
        "argument",
        ["d/dl", "d/dl/", "d/dl//", "d/dl/.", "d/fl", "d/brk", "d/loop", "d/dl/3", "d/dl/4*", "d/dl/*", "d/dl/sub/?"],
    )
    def test_link_is_neither_followed_nor_removed(self, fake: Command, tmp_path: Path, argument: str) -> None:
        outcome = fake("--json", "rm", argument, "d/own", status=1)
        assert kinds(outcome) == {argument: "not_regular_file"}
        assert tally(outcome)["objects"]["deleted"] == 1
        assert tree(tmp_path) == REAL
        assert all((tmp_path / "d" / name).is_symlink() for name in ("dl", "fl", "brk", "loop"))

    @pytest.mark.parametrize(
        ("argument", "message"),
        [
            ("d/dl/", 'object "d/dl/" is not a regular file'),
            ("d/dl/3", 'object "d/dl/3" is behind the symbolic link "d/dl"'),
        ],
    )
    def test_what_is_said(self, fake: Command, argument: str, message: str) -> None:
        assert failed(fake("rm", argument, status=1)) == [f'ERROR "rm {argument}": {message}']

    def test_with_raw_the_whole_path_is_looked_at(self, fake: Command, tmp_path: Path) -> None:
        (tmp_path / "s*r").symlink_to("real")
        fake("rm", "--raw", "s*r/3", status=1)
        assert tree(tmp_path) == {**REAL, "d/own": b"own"}

    def test_wildcard_finds_links_and_leaves_them(self, fake: Command, tmp_path: Path) -> None:
        outcome = fake("--json", "rm", "d/*")
        assert reasons(outcome) == dict.fromkeys(("d/dl", "d/fl", "d/brk", "d/loop"), "symlink")
        assert tree(tmp_path) == REAL

    @pytest.mark.parametrize("name", ["fl", "brk", "dl/3", "dl", "dl/sub/5"])
    def test_list_of_names(self, fake: Command, tmp_path: Path, name: str) -> None:
        (tmp_path / "list").write_text(f"{name}\nown\n")
        outcome = fake("--json", "rm", "--files-from", "list", "d", status=1)
        assert kinds(outcome) == {f"d/{name}": "not_regular_file"}
        assert tally(outcome)["objects"]["deleted"] == 1
        (tmp_path / "list").unlink()
        assert tree(tmp_path) == REAL
        assert (tmp_path / "d/fl").is_symlink()

    def test_list_of_names_behind_a_link(self, fake: Command, tmp_path: Path) -> None:
        for argument in ("d/dl", "d/dl/"):
            outcome = fake("--json", "rm", "--files-from", "-", argument, input=b"3\n", status=1)
            assert kinds(outcome) == {argument: "not_regular_file"}
        assert tree(tmp_path) == {**REAL, "d/own": b"own"}


class TestTransfers:
    @pytest.mark.parametrize("verb", ["cp", "mv", "sync"])
    @pytest.mark.parametrize("argument", ["d/dl", "d/fl", "d/brk", "d/loop"])
    def test_link_that_is_named_is_skipped(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, verb: str, argument: str
    ) -> None:
        outcome = fake("--json", verb, "--no-follow-symlinks", argument, "s3://b/x/")
        assert reasons(outcome) == {argument: "symlink"}
        assert tally(outcome)["objects"] | {"skipped": 1} == {
            "done": 0, "skipped": 1, "failed": 0, "deleted": 0, "deletes_held_back": 0,
        }  # fmt: skip
        assert (keys(fake_s3, "b"), tree(tmp_path)) == (set(), {**REAL, "d/own": b"own"})

    def test_a_slash_means_the_directory(self, fake: Command, fake_s3: FakeS3) -> None:
        fake("cp", "--no-follow-symlinks", "d/dl/", "s3://b/x/")
        assert keys(fake_s3, "b") == {"x/3", "x/4a", "x/sub/5"}

    def test_verify_leaves_it_out(self, fake: Command) -> None:
        assert fake("verify", "--no-follow-symlinks", "d/fl", "s3://b/x/").stdout == ""

    def test_link_whose_name_looks_like_a_wildcard(self, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        plant(tmp_path, {"star": b"another"})
        (tmp_path / "st*r").symlink_to("real/3")
        fake("cp", "--raw", "--no-follow-symlinks", "st*r", "s3://b/x/", status=1)
        assert keys(fake_s3, "b") == set()

    def test_followed_unless_told_otherwise(self, fake: Command, fake_s3: FakeS3) -> None:
        fake("cp", "d/dl", "s3://b/x/")
        fake("cp", "d/fl", "s3://b/")
        assert keys(fake_s3, "b") == {"x/dl/3", "x/dl/4a", "x/dl/sub/5", "fl"}
        assert fake("cp", "d/brk", "s3://b/", status=1).errors == [
            'ERROR "cp d/brk s3://b/": given object "d/brk" not found'
        ]
