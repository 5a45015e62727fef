"""What `s3z sync --delete` must never delete, and what it says instead (reliability.md 9.5 rows 85 to 96, U15)."""

from __future__ import annotations

import itertools
import os
import re
import signal
from typing import TYPE_CHECKING, Any

import pytest
from support.command import SCRIPT, python
from support.data import leftovers, remove_leftovers
from support.trees import (
    PAST,
    changes,
    deletions,
    ended,
    fill,
    honour_modes,
    keys,
    objects,
    put_at,
    put_tree,
    read_tree,
    write_tree,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Command, Outcome
    from support.servers import FakeS3

DENIED = {"type": "respond", "status": 403, "code": "AccessDenied"}
ARGUMENTS = {"up": ["dir/", "s3://dst/"], "down": ["s3://src/*", "out/"], "copy": ["s3://src/*", "s3://dst/"]}
DIRECTIONS = pytest.mark.parametrize("direction", ["up", "down", "copy"])
OLD = ["0-old", "m-old", "z-old"]
NEW = ["a", "n", "y"]
OURS = [f".s3z-{'0a' * 16}.part", f".s3z-{'1b' * 16}.ledger"]

#: a small process, so that its own memory is not taken for that of its child
PEAK = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
stderr = process.stderr.read()
_, status, usage = os.wait4(process.pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss >> 10)
sys.stderr.buffer.write(stderr[-2000:])
"""


class Case:
    """A source, a destination with three names that are not in it, and a look at what is left there."""

    def __init__(self, run: Command, server: FakeS3, directory: Path, direction: str) -> None:
        self.run, self.server, self.directory, self.direction = run, server, directory, direction
        self.arguments = ARGUMENTS[direction]

    def make(self, new: list[str] = NEW, old: list[str] = OLD) -> Case:
        if self.direction == "up":
            write_tree(self.directory / "dir", dict.fromkeys(new, "new"))
        else:
            fill(self.server, "src", new, b"new")
        if self.direction == "down":
            write_tree(self.directory / "out", dict.fromkeys(old, "old"))
        else:
            fill(self.server, "dst", old, b"old")
        self.server.do("clear_log")
        return self

    def there(self) -> set[str]:
        """Names at the destination."""
        if self.direction == "down":
            return set(read_tree(self.directory / "out"))
        return set(keys(self.server, "dst"))

    def sync(self, *options: str, status: int | None = 1, **changed: Any) -> Outcome:
        return self.run(*options, "sync", "--delete", *self.arguments, status=status, **changed)

    def held_back(self, outcome: Outcome, old: list[str] = OLD) -> None:
        """Nothing was deleted."""
        assert outcome.status == 1
        assert set(old) <= self.there()
        assert deletions(self.server) == []
        assert not [line for line in outcome.lines if line.startswith("rm ")]

    def fails(self, name: str) -> None:
        """The transfer of this name does."""
        operation = {"up": "PutObject", "down": "GetObject", "copy": "CopyObject"}[self.direction]
        self.server.rule(DENIED, operation=operation, key=name)


@pytest.fixture
def run(fake_s3: FakeS3, command: Callable[..., Command]) -> Command:
    for name in ("src", "dst"):
        fake_s3.do("create_bucket", bucket=name)
    return command(fake_s3)


@pytest.fixture
def case(run: Command, fake_s3: FakeS3, tmp_path: Path) -> Callable[[str], Case]:
    return lambda direction: Case(run, fake_s3, tmp_path, direction)


def says(outcome: Outcome, count: int) -> bool:
    """Whether a line on stderr has this number and speaks of deletions."""
    number = re.compile(rf"(?<!\d){count}(?!\d)")
    return any("delet" in line.lower() and number.search(line) for line in outcome.errors)


class TestListingErrors:
    """#85: any page, either side."""

    @pytest.mark.parametrize("page", [1, 2])
    @pytest.mark.parametrize("status", [403, 500])
    @pytest.mark.parametrize(("direction", "side"), [("up", "dst"), ("down", "src"), ("copy", "src"), ("copy", "dst")])
    def test_nothing_is_deleted(
        self, case: Callable[[str], Case], fake_s3: FakeS3, direction: str, side: str, page: int, status: int
    ) -> None:
        many = [f"k{number:05}" for number in range(1500)]
        here = case(direction).make([*many, *NEW] if side == "src" else NEW, [*many, *OLD] if side == "dst" else OLD)
        code = "AccessDenied" if status == 403 else "InternalError"
        failure = {"type": "respond", "status": status, "code": code}
        fake_s3.rule(failure, operation="ListObjectsV2", bucket=side, skip=page - 1)
        outcome = here.sync("-r", "1")
        fake_s3.do("clear_rules")
        here.held_back(outcome, [*OLD, *(many if side == "dst" else [])])
        assert code in outcome.stderr

    @pytest.mark.parametrize("side", ["src", "dst"])
    def test_what_is_known_by_then_is_counted(self, case: Callable[[str], Case], fake_s3: FakeS3, side: str) -> None:
        """The first page has been joined, as the transfer shows, when the second one fails."""
        many = [f"k{number:05}" for number in range(1500)]
        here = case("copy").make([*many, *NEW], [*many, *OLD])
        fake_s3.rule({"type": "latency", "ms": 2000}, operation="ListObjectsV2", bucket=side, skip=1)
        fake_s3.rule(DENIED, operation="ListObjectsV2", bucket=side, skip=1)
        outcome = here.sync("--json")
        fake_s3.do("clear_rules")
        here.held_back(outcome)
        summary = outcome.records[-1]
        assert (summary["success"], summary["exit_code"], summary["objects"]["deleted"]) == (False, 1, 0)
        assert summary["objects"]["deletes_held_back"] >= 1

    @DIRECTIONS
    @pytest.mark.parametrize(
        "body",
        [
            "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
            "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key><Si",
            "",
            "<html>no such thing</html>",
        ],
        ids=["no-token", "cut", "empty", "other"],
    )
    def test_source_that_is_no_listing(
        self, case: Callable[[str], Case], fake_s3: FakeS3, direction: str, body: str
    ) -> None:
        """#50, U15: none of these is a source that holds nothing."""
        here = case(direction).make()
        side = "dst" if direction == "up" else "src"
        fake_s3.rule({"type": "respond", "status": 200, "body": body}, operation="ListObjectsV2", bucket=side)
        outcome = here.run("-r", "1", "sync", "--delete", "--force", *here.arguments, status=1)
        fake_s3.do("clear_rules")
        here.held_back(outcome)

    @pytest.mark.parametrize("side", ["src", "dst"])
    def test_token_that_repeats(self, case: Callable[[str], Case], fake_s3: FakeS3, side: str) -> None:
        here = case("copy").make()
        body = (
            "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
            f"{entry('b')}</ListBucketResult>"
        )
        fake_s3.rule({"type": "respond", "status": 200, "body": body}, operation="ListObjectsV2", bucket=side)
        outcome = here.sync()
        fake_s3.do("clear_rules")
        here.held_back(outcome)

    @pytest.mark.parametrize("listed", [NEW[::-1], [NEW[0], *NEW], [*NEW, NEW[2]]], ids=["reversed", "twice", "again"])
    @pytest.mark.parametrize("side", ["src", "dst"])
    def test_listing_out_of_order_loses_nothing(
        self, case: Callable[[str], Case], fake_s3: FakeS3, side: str, listed: list[str]
    ) -> None:
        """A store that lists in another order makes an error, or is understood; what the source has is not deleted."""
        here = case("copy").make(NEW, NEW)
        body = f"<ListBucketResult>{''.join(map(entry, listed))}</ListBucketResult>"
        fake_s3.rule({"type": "respond", "status": 200, "body": body}, operation="ListObjectsV2", bucket=side)
        here.sync(status=None)
        fake_s3.do("clear_rules")
        assert here.there() == set(NEW)
        assert deletions(fake_s3) == []


def entry(key: str) -> str:
    return (
        f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;1&quot;</ETag>"
        "<Size>3</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


class TestOtherErrors:
    """#86: of whatever kind."""

    @DIRECTIONS
    @pytest.mark.parametrize("name", NEW)
    def test_one_failed_transfer(self, case: Callable[[str], Case], direction: str, name: str) -> None:
        here = case(direction).make()
        here.fails(name)
        outcome = here.sync()
        here.held_back(outcome)
        assert says(outcome, 3), outcome.stderr
        assert len(outcome.lines) == 2
        assert here.there() == {*OLD, *NEW} - {name}

    @DIRECTIONS
    def test_json_counts_them(self, case: Callable[[str], Case], direction: str) -> None:
        here = case(direction).make()
        here.fails("n")
        outcome = here.sync("--json")
        here.held_back(outcome)
        objects = outcome.records[-1]["objects"]
        assert (objects["done"], objects["failed"], objects["deleted"], objects["deletes_held_back"]) == (2, 1, 0, 3)
        assert outcome.error_records[0]["error"]["kind"] == "access_denied"

    def test_after_the_cause_is_gone_it_is_made_up_for(self, case: Callable[[str], Case], fake_s3: FakeS3) -> None:
        here = case("up").make()
        here.fails("n")
        here.held_back(here.sync())
        fake_s3.do("clear_rules")
        assert sorted(here.sync(status=0).lines) == ["cp dir/n s3://dst/n", *(f"rm s3://dst/{name}" for name in OLD)]
        assert here.there() == set(NEW)

    def test_unreadable_directory(self, case: Callable[[str], Case], tmp_path: Path) -> None:
        here = case("up").make([*NEW, "closed/x"], [*OLD, "closed/x"])
        (tmp_path / "dir/closed").chmod(0)
        try:
            outcome = here.sync(preexec_fn=honour_modes)
        finally:
            (tmp_path / "dir/closed").chmod(0o755)
        here.held_back(outcome, [*OLD, "closed/x"])
        assert "closed" in outcome.errors[0]
        assert set(NEW) <= here.there()

    def test_unreadable_directory_at_the_destination(self, case: Callable[[str], Case], tmp_path: Path) -> None:
        here = case("down").make(NEW, [*OLD, "closed/x"])
        (tmp_path / "out/closed").chmod(0)
        try:
            outcome = here.sync(preexec_fn=honour_modes)
        finally:
            (tmp_path / "out/closed").chmod(0o755)
        here.held_back(outcome, [*OLD, "closed/x"])

    @pytest.mark.parametrize("kind", ["fifo", "broken", "loop", "not UTF-8"])
    def test_entry_that_cannot_be_carried(self, case: Callable[[str], Case], tmp_path: Path, kind: str) -> None:
        """#94 among them."""
        here = case("up").make()
        if kind == "fifo":
            os.mkfifo(tmp_path / "dir/odd")
        elif kind == "not UTF-8":
            (tmp_path / "dir" / os.fsdecode(b"od\xff")).write_text("x")
        else:
            (tmp_path / "dir/odd").symlink_to("none" if kind == "broken" else ".")
        here.held_back(here.sync())
        assert here.there() == {*OLD, *NEW}

    def test_key_that_is_no_path(self, case: Callable[[str], Case], fake_s3: FakeS3) -> None:
        here = case("down").make([*NEW, "x//y"])
        here.held_back(here.sync())

    def test_local_file_that_cannot_be_read(self, case: Callable[[str], Case], tmp_path: Path) -> None:
        here = case("up").make()
        (tmp_path / "dir/n").chmod(0)
        here.held_back(here.sync(preexec_fn=honour_modes))

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_interruption(self, case: Callable[[str], Case], fake_s3: FakeS3, number: int) -> None:
        here = case("copy").make()
        fake_s3.rule({"type": "latency", "ms": 60_000}, operation="CopyObject", key="n")
        with ended(here.run.start("--read-timeout", "5m", "sync", "--delete", *here.arguments)) as process:
            fake_s3.wait_for_log(operation="CopyObject", key="n")
            process.send_signal(number)
            process.communicate(timeout=30)
        assert process.returncode == -number
        assert set(OLD) <= here.there()
        assert deletions(fake_s3) == []


class TestEmptySource:
    """#87."""

    @pytest.mark.parametrize(
        ("arguments", "options"),
        [
            (["empty/", "s3://dst/"], []), (["s3://src/*", "s3://dst/"], []), (["s3://src/none*", "out/"], []),
            (["s3://src/none/*", "s3://dst/"], []), (["empty/", "s3://dst/"], ["--max-delete", "100"]),
        ],
    )  # fmt: skip
    def test_refused_before_the_first_change(
        self, run: Command, fake_s3: FakeS3, tmp_path: Path, arguments: list[str], options: list[str]
    ) -> None:
        (tmp_path / "empty").mkdir()
        write_tree(tmp_path / "out", {"old": "x", "older": "y"})
        fill(fake_s3, "dst", ["old", "older"])
        fake_s3.do("clear_log")
        for more in ([], ["--dry-run"]):
            outcome = run(*more, "sync", "--delete", *options, *arguments, status=1)
            assert outcome.stdout == ""
            assert outcome.errors[0].startswith('ERROR "sync ')
        assert changes(fake_s3) == []
        assert len(read_tree(tmp_path / "out")) == 2
        outcome = run("sync", "--delete", "--force", *options, *arguments)
        there = keys(fake_s3, "dst") if "dst" in arguments[1] else list(read_tree(tmp_path / "out"))
        assert (there, len(outcome.lines)) == ([], 2)

    def test_filters_that_leave_nothing(self, case: Callable[[str], Case], fake_s3: FakeS3) -> None:
        here = case("up").make()
        outcome = here.run("sync", "--delete", "--exclude", "[any]", "--include", "*-old", *here.arguments, status=1)
        here.held_back(outcome)
        assert changes(fake_s3) == []

    @pytest.mark.parametrize("force", [[], ["--force"]])
    @pytest.mark.parametrize("source", ["none/", "none", "none/*", "s3://missing/*", "s3://missing/p/*"])
    def test_missing_source_is_always_an_error(
        self, run: Command, fake_s3: FakeS3, tmp_path: Path, source: str, force: list[str]
    ) -> None:
        fill(fake_s3, "dst", ["none/old", "old"])
        fake_s3.do("clear_log")
        outcome = run("sync", "--delete", *force, source, "s3://dst/", status=1)
        assert outcome.errors[0].startswith('ERROR "')
        assert changes(fake_s3) == []
        write_tree(tmp_path / "out", {"old": "x"})
        if source.startswith("s3:"):
            run("sync", "--delete", *force, source, "out/", status=1)
        assert read_tree(tmp_path / "out") == {"old": "x"}


class TestLimit:
    """#88."""

    def test_of_one(self, case: Callable[[str], Case]) -> None:
        here = case("up").make(["a"], ["b"])
        outcome = here.run("sync", "--delete", "--max-delete", "0", *here.arguments, status=1)
        assert "1 object would be deleted, but the limit is 0: none was" in outcome.stderr

    @DIRECTIONS
    @pytest.mark.parametrize("more", [[], ["--force"]])
    def test_one_more_than_the_limit(self, case: Callable[[str], Case], direction: str, more: list[str]) -> None:
        here = case(direction).make()
        outcome = here.run("sync", "--delete", "--max-delete", "2", *more, *here.arguments, status=1)
        here.held_back(outcome)
        assert says(outcome, 3), outcome.stderr
        text = ": 3 objects would be deleted, but the limit is 2: none was"
        assert [line for line in outcome.errors if line.endswith(text)]
        assert any(line.startswith("hint: --max-delete sets the limit") for line in outcome.errors)
        outcome = here.run("--json", "--dry-run", "sync", "--delete", "--max-delete=2", *here.arguments, status=1)
        assert "delete_limit" in [record["error"]["kind"] for record in outcome.error_records if "error" in record]
        here.held_back(outcome)

    @DIRECTIONS
    def test_just_the_limit(self, case: Callable[[str], Case], direction: str) -> None:
        here = case(direction).make()
        here.run("sync", "--delete", "--max-delete", "3", *here.arguments)
        assert here.there() == set(NEW)


class TestOrder:
    """#89."""

    @pytest.mark.parametrize("direction", ["up", "copy"])
    def test_deletions_are_last(self, case: Callable[[str], Case], fake_s3: FakeS3, direction: str) -> None:
        here = case(direction).make([f"k{number:03}" for number in range(60)])
        fake_s3.rule({"type": "latency", "ms": 400}, key="k059")
        here.sync(status=0)
        log = fake_s3.log()
        puts = [record for record in log if record["operation"] in ("PutObject", "CopyObject")]
        assert len(puts) == 60
        assert min(record["time"] for record in deletions(fake_s3)) >= max(
            record["time"] + record["duration"] - 0.01 for record in puts
        )

    def test_many_in_batches_of_a_thousand(self, case: Callable[[str], Case], fake_s3: FakeS3) -> None:
        here = case("copy").make(NEW, [f"k{number:05}" for number in range(2500)])
        assert len(here.sync(status=0).lines) == 2503
        assert here.there() == set(NEW)
        assert 3 <= len(deletions(fake_s3)) <= 6

    def test_failed_deletion_is_an_error(self, case: Callable[[str], Case], fake_s3: FakeS3) -> None:
        """#101: each is reported, and the others are done."""
        here = case("up").make()
        fake_s3.rule({"type": "delete_errors", "keys": "m-*", "code": "AccessDenied"}, operation="DeleteObjects")
        fake_s3.rule(DENIED, operation="DeleteObject", key="m-old")
        outcome = here.sync()
        assert here.there() == {*NEW, "m-old"}
        assert outcome.errors[0].startswith('ERROR "rm s3://dst/m-old": AccessDenied')
        assert sorted(line for line in outcome.lines if line[:2] == "rm") == ["rm s3://dst/0-old", "rm s3://dst/z-old"]


class TestKept:
    @DIRECTIONS
    @pytest.mark.parametrize("options", [["--exclude", "*-old"], ["--include", "?"], ["--exclude=[", "--exclude=*old"]])
    def test_excluded_names(self, case: Callable[[str], Case], direction: str, options: list[str]) -> None:
        """#90."""
        here = case(direction).make([*NEW, "x-old"])
        here.run("sync", "--delete", *options, *here.arguments)
        assert here.there() == {*NEW, *OLD}

    @DIRECTIONS
    def test_own_temporary_files(
        self, case: Callable[[str], Case], fake_s3: FakeS3, tmp_path: Path, direction: str
    ) -> None:
        """#91: on either side, at any depth."""
        ours = [*OURS, *(f"sub/{name}" for name in OURS)]
        here = case(direction).make([*NEW, *(ours if direction == "up" else [])], [*OLD, *ours])
        before = here.there()
        try:
            outcome = here.sync(status=0)
            there = here.there()
        finally:
            remove_leftovers(tmp_path)
        assert (before - set(OLD)) | set(NEW) == there
        assert ".s3z-" not in outcome.stdout + outcome.stderr

    def test_own_temporary_files_are_not_uploaded(self, case: Callable[[str], Case], tmp_path: Path) -> None:
        here = case("up").make([*NEW, *OURS, f"sub/{OURS[0]}"])
        try:
            here.sync(status=0)
            assert len(leftovers(tmp_path)) == 3
        finally:
            remove_leftovers(tmp_path)
        assert here.there() == set(NEW)

    @pytest.mark.parametrize("direction", ["up", "down"])
    @pytest.mark.parametrize("force", [[], ["--force"]])
    @pytest.mark.parametrize("way", ["home", "home/", "home/sub/..", "link", "link/", "absolute"])
    def test_home_directory_is_refused(
        self, run: Command, fake_s3: FakeS3, tmp_path: Path, way: str, force: list[str], direction: str
    ) -> None:
        """#92: as a destination; as a source it is like any other."""
        home = write_tree(tmp_path / "home", {"precious": "x", "sub/y": "y"})
        (tmp_path / "link").symlink_to(home)
        fill(fake_s3, "src", ["a"])
        name = str(home) if way == "absolute" else way
        environment = {**run.environment, "HOME": str(home)}
        if direction == "up":
            run("sync", "--delete", *force, f"{name.rstrip('/')}/", "s3://dst/", env=environment)
            assert keys(fake_s3, "dst") == ["precious", "sub/y"]
            return
        fake_s3.do("clear_log")
        outcome = run("sync", "--delete", *force, "s3://src/*", name, env=environment, status=1)
        assert outcome.stdout == ""
        assert read_tree(home) == {"precious": "x", "sub/y": "y"}
        run("sync", "s3://src/*", name, env=environment)
        assert set(read_tree(home)) == {"precious", "sub/y", "a"}

    @pytest.mark.parametrize("force", [[], ["--force"]])
    @pytest.mark.parametrize("way", ["/", "//", "/tmp/..", "/."])
    def test_root_directory_is_refused(self, run: Command, fake_s3: FakeS3, way: str, force: list[str]) -> None:
        """Only tried dry, which refuses what the other would; and with a pattern that no name here matches."""
        fill(fake_s3, "src", ["s3z-test-none-a"])
        options = ["--delete", *force, "--include", "s3z-test-none-*"]
        outcome = run("--dry-run", "sync", *options, "s3://src/*", way, status=1)
        assert (outcome.stdout, outcome.errors[0].startswith('ERROR "sync ')) == ("", True)

    def test_below_the_home_directory_is_fine(self, run: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        home = write_tree(tmp_path / "home", {"precious": "x", "out/old": "y"})
        fill(fake_s3, "src", ["a"])
        run("sync", "--delete", "s3://src/*", "home/out", env={**run.environment, "HOME": str(home)})
        assert set(read_tree(home)) == {"precious", "out/a"}

    @pytest.mark.parametrize("change", ["longer", "touched", "another"])
    def test_candidate_that_changed_since_it_was_listed(
        self, case: Callable[[str], Case], fake_s3: FakeS3, tmp_path: Path, change: str
    ) -> None:
        """#93: when the last name is on its way, the ones before have been looked at."""
        here = case("down").make()
        fake_s3.rule({"type": "respond", "status": 503, "code": "SlowDown"}, operation="GetObject", key="y")
        with ended(here.run.start("-r", "50", "sync", "--delete", *here.arguments)) as process:
            fake_s3.wait_for_log(operation="GetObject", key="y")
            old = tmp_path / "out/0-old"
            if change == "longer":
                old.write_text("old, and more")
            elif change == "touched":
                os.utime(old, (PAST + 500, PAST + 500))
            else:
                (tmp_path / "another").write_text("now")
                os.utime(tmp_path / "another", (PAST, PAST))
                (tmp_path / "another").rename(old)
            fake_s3.do("clear_rules")
            _, stderr = process.communicate(timeout=60)
        assert process.returncode == 1
        assert b"0-old" in stderr
        assert {*NEW, "0-old"} <= here.there()

    def test_links_out_of_the_destination_are_not_followed(self, case: Callable[[str], Case], tmp_path: Path) -> None:
        here = case("down").make()
        outside = write_tree(tmp_path / "outside", {"precious": "x"})
        (tmp_path / "out/link").symlink_to(outside)
        here.sync(status=None)
        assert read_tree(outside) == {"precious": "x"}

    def test_destination_that_is_a_link_itself(self, run: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        """K5: the user's word."""
        write_tree(tmp_path / "real", {"old": "x"})
        (tmp_path / "out").symlink_to("real")
        fill(fake_s3, "src", ["a"])
        run("sync", "--delete", "s3://src/*", "out/")
        assert set(read_tree(tmp_path / "real")) == {"a"}

    @pytest.mark.parametrize(
        "name", ["new\nline", "quo'te\"s", "nbsp\u00a0x", "s*", "q?", "back\\", "[x]", "a b", "%41"]
    )
    @DIRECTIONS
    def test_only_the_name_itself_is_deleted(self, case: Callable[[str], Case], direction: str, name: str) -> None:
        """#94: bytes, no pattern and no shell."""
        others = ["sx", "qx", "x", "a", "b", "A", "new", "line"]
        here = case(direction).make(others, [*others, name])
        here.sync(status=0)
        assert here.there() == set(others)


def test_object_of_the_future(case: Callable[[str], Case], fake_s3: FakeS3) -> None:
    """#95: it is transferred, and no reason to delete its neighbour or itself."""
    here = case("copy").make()
    fake_s3.do("shift_clock", seconds=3600)
    fake_s3.put("src", "a", b"newer")
    fake_s3.do("shift_clock", seconds=0)
    put_at(fake_s3, "dst", "a", b"older", PAST)
    here.sync(status=0)
    assert objects(fake_s3, "dst") == {"a": "newer", "n": "new", "y": "new"}


@DIRECTIONS
def test_dry_run_only_reads(case: Callable[[str], Case], fake_s3: FakeS3, tmp_path: Path, direction: str) -> None:
    """#96."""
    here = case(direction).make([*NEW, "deep/er/x"])
    before = sorted(tmp_path.rglob("*"))
    outcome = here.sync("--dry-run", status=0)
    assert changes(fake_s3) == []
    assert sorted(tmp_path.rglob("*")) == before
    assert sorted(line.split()[0] for line in outcome.lines) == ["cp"] * 4 + ["rm"] * 3
    assert here.there() == set(OLD)


@DIRECTIONS
def test_without_delete_nothing_ever_goes(case: Callable[[str], Case], fake_s3: FakeS3, direction: str) -> None:
    here = case(direction).make()
    for more in ([], ["--force"], ["--max-delete", "100"], ["--delete=false"]):
        here.run("sync", *more, *here.arguments, status=None)
    assert here.there() == {*OLD, *NEW}
    assert deletions(fake_s3) == []


def test_environment_cannot_ask_for_it(case: Callable[[str], Case], fake_s3: FakeS3) -> None:
    here = case("up").make()
    here.run("sync", *here.arguments, env={"S3Z_DELETE": "1", "S3Z_FORCE": "1"}, status=None)
    assert set(OLD) <= here.there()


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", ["same", "candidates"])
def test_memory_is_flat(run: Command, fake_s3: FakeS3, kind: str) -> None:
    """#89: from 10,000 names to 200,000."""
    peaks = {}
    done = 0
    for count in (10_000, 200_000):
        names = [f"some/directory/{number:07}/{'n' * 40}" for number in range(done, count)]
        fill(fake_s3, "src", names if kind == "same" else ["some/directory/first"])
        fill(fake_s3, "dst", names)
        done = count
        options = [] if kind == "same" else ["--max-delete", "5"]
        line = [SCRIPT, "-q", "sync", "--delete", *options, "s3://src/*", "s3://dst/"]
        outcome = python(PEAK, *line, env=run.environment, cwd=run.directory, timeout=180)
        status, peaks[count] = map(int, outcome.stdout.split())
        assert status == (0 if kind == "same" else 1), outcome.stderr
    assert deletions(fake_s3) == []
    small, large = peaks.values()
    assert large - small <= 24, f"{small} MiB, then {large} MiB"


def test_every_pair_of_faults_holds_deletions_back(case: Callable[[str], Case], fake_s3: FakeS3) -> None:
    here = case("copy").make()
    for one, two in itertools.combinations(NEW, 2):
        here.fails(one)
        here.fails(two)
        put_tree(fake_s3, "src", {one: f"{one} again", two: f"{two} again"})
        here.held_back(here.sync())
        fake_s3.do("clear_rules")
        fake_s3.do("clear_log")
