"""Progress of many objects and of `run`: counts of all, and a `+` while more is still being found (cli.md 5.3)."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from support.trees import ended, fill, keys, read_tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Command
    from support.servers import FakeS3

#: so many keys are two pages of a listing
COUNT = 1500


@pytest.fixture
def run(fake_s3: FakeS3, command: Callable[..., Command]) -> Command:
    for name in "bc":
        fake_s3.do("create_bucket", bucket=name)
    return command(fake_s3)


@pytest.fixture
def slow(run: Command, fake_s3: FakeS3) -> Command:
    """The second page takes its time, and so does the last object."""
    fill(fake_s3, "b", [f"p/{number:04}" for number in range(COUNT)], b"12345")
    fake_s3.rule({"type": "latency", "ms": 1200}, operation="ListObjectsV2", skip=1, times=1)
    for operation in ("GetObject", "CopyObject"):
        fake_s3.rule({"type": "latency", "ms": 1200}, operation=operation, key_prefix=f"p/{COUNT - 1}")
    return run


def states(drawn: str) -> list[str]:
    """What the progress line said, one after the other."""
    return [each for each in re.split(r"[\r\n]|\x1b\[K", drawn) if " objects  " in each]


def counts(states: list[str]) -> set[str]:
    """The totals of objects that were shown."""
    return {each[1] for state in states if (each := re.search(r"/(\d+\+?) objects", state))}


class TestListing:
    @pytest.mark.parametrize("way", ["down", "across", "sync"])
    def test_plus_until_it_ends(self, slow: Command, way: str) -> None:
        line = {"down": ("cp", "s3://b/p/*", "out/"), "across": ("cp", "s3://b/p/*", "s3://c/p/"),
                "sync": ("sync", "s3://b/p/*", "out/")}[way]  # fmt: skip
        shown = states(slow.on_terminal("-sp", *line, stdout=False))
        assert {"1000+", str(COUNT)} <= counts(shown), shown
        open_, known = ([each for each in shown if f"/{total} objects" in each] for total in ("1000+", COUNT))
        assert not any("ETA" in each for each in open_)
        assert not any("+" in each for each in known)
        if way != "across":
            assert any("/4.9K+ " in each for each in open_), "the bytes found so far"
            assert any("/7.3K " in each for each in known)

    def test_plain_lines(self, slow: Command) -> None:
        errors = slow("--log-progress", "0.2", "cp", "s3://b/p/*", "out/").errors
        assert any(re.fullmatch(r"PROGRESS \S+/4\.9K\+ \d+/1000\+ objects \S+/s", each) for each in errors), errors
        assert any(re.fullmatch(rf"PROGRESS \S+/7\.3K \d+/{COUNT} objects \S+/s", each) for each in errors), errors

    def test_json_says_no_total_that_is_none(self, slow: Command) -> None:
        records = slow("--json", "--log-progress", "0.2", "cp", "s3://b/p/*", "out/").error_records
        assert all(record["record"] == "progress" for record in records)
        totals = [(record.get("total"), record.get("objects_total")) for record in records]
        assert (None, None) in totals
        assert set(totals) == {(None, None), (5 * COUNT, COUNT)}

    def test_removal(self, run: Command, fake_s3: FakeS3) -> None:
        fill(fake_s3, "b", [f"p/{number:04}" for number in range(COUNT)], b"12345")
        fake_s3.rule({"type": "latency", "ms": 800}, operation="DeleteObjects", skip=1)
        shown = states(run.on_terminal("-sp", "rm", "s3://b/p/*", stdout=False))
        assert any(re.search(f" (500|1000)/{COUNT} objects", each) for each in shown)
        assert keys(fake_s3, "b") == []

    def test_deletions_of_a_sync_count(self, run: Command, fake_s3: FakeS3) -> None:
        fill(fake_s3, "b", ["a"])
        fill(fake_s3, "c", ["a", *(f"p/{number:04}" for number in range(COUNT))])
        fake_s3.rule({"type": "latency", "ms": 800}, operation="DeleteObjects", skip=1)
        shown = states(run.on_terminal("-sp", "sync", "--delete", "s3://b/*", "s3://c/", stdout=False))
        assert any(re.search(f" (501|1001)/{COUNT + 1} objects", each) for each in shown)

    def test_one_object_is_known_at_once(self, run: Command, fake_s3: FakeS3) -> None:
        """Even where there is no room to look for another."""
        fake_s3.put("b", "k", b"12345")
        fake_s3.rule({"type": "latency", "ms": 800}, operation="GetObject")
        shown = states(run.on_terminal("-sp", "--numworkers", "1", "cp", "s3://b/k", "k", stdout=False))
        assert counts(shown) == {"1"}


class TestRun:
    def test_counts_of_all_lines_together(self, run: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        fill(
            fake_s3, "b", [f"p/{number:02}" for number in range(30)] + [f"w/{number}" for number in range(5)], b"12345"
        )
        fake_s3.rule({"type": "latency", "ms": 1000}, operation="GetObject", key="p/17")
        text = [f"cp s3://b/p/{number:02} out/{number:02}" for number in range(30)]
        text += ["cp s3://b/w/* out/", "cp 's3://b/w/0' 'out/again'", *(f"rm s3://c/{number}" for number in range(4))]
        (tmp_path / "commands").write_text("\n".join(text))
        drawn = run.on_terminal("-sp", "run", "commands")
        shown = states(drawn)
        assert any(each.startswith("175  39/40 objects  ") for each in shown), "nobody knows the size of one"
        assert not any("ETA" in each for each in shown)
        assert "\n40 objects, 180, " in drawn
        lines = [each.split("\x1b[K")[-1] for each in drawn.split("\n")]
        assert sum(bool(re.fullmatch(r"\r?(cp|rm) s3://\S+( \S+)?", each)) for each in lines) == 40, lines
        assert len(read_tree(tmp_path / "out")) == 36

    def test_plus_while_lines_are_read(self, run: Command, fake_s3: FakeS3) -> None:
        fake_s3.put("b", "k", b"12345")
        fake_s3.rule({"type": "latency", "ms": 3000}, operation="GetObject")
        process = run.start("--log-progress", "0.1", "run", stdin=-1)
        with ended(process):
            assert process.stdin is not None
            assert process.stderr is not None
            process.stdin.write(b"cp s3://b/k out/k\n")
            process.stdin.flush()
            assert re.fullmatch(rb"PROGRESS 0 0/1\+ objects 0/s\n", process.stderr.readline())
            process.stdin.close()
            told = process.stderr.read().decode().splitlines()
            assert process.wait(timeout=20) == 0
        assert any("0/1 objects" in each for each in told), told

    def test_json(self, run: Command, fake_s3: FakeS3) -> None:
        fill(fake_s3, "b", [f"{number:02}" for number in range(20)], b"12345")
        fake_s3.rule({"type": "latency", "ms": 1000}, operation="GetObject", key="07")
        text = "\n".join(f"cp s3://b/{number:02} out/{number:02}" for number in range(20))
        outcome = run("--json", "--log-progress", "0.2", "run", input=text.encode())
        assert any(
            record.get("objects") == 19 and record.get("objects_total") == 20 for record in outcome.error_records
        )
        assert json.loads(outcome.lines[-1])["objects"]["done"] == 20

    def test_none_without_a_terminal(self, run: Command, fake_s3: FakeS3) -> None:
        fake_s3.put("b", "k", b"12345")
        fake_s3.rule({"type": "latency", "ms": 1000}, operation="GetObject")
        assert run("run", input=b"cp s3://b/k out/k\n").stderr == ""
