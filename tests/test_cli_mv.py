"""`s3z mv`: the source goes only when the destination is there, verified, and the source is still what was read."""

from __future__ import annotations

import os
import random
import re
import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest
from support import strace
from support.command import SCRIPT, Outcome
from support.data import MIB, pattern, remove_leftovers
from support.planted import (
    bound_by_modes,
    failed,
    fill,
    keys,
    kinds,
    objects,
    places,
    plant,
    read,
    reasons,
    tally,
    tree,
)
from support.servers import FakeS3
from support.waiting import until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Command
    from support.servers import Server

FILES = {"a.txt": b"aa", "sub/b.txt": b"bbb", "z": b"z"}
#: source and destination of the three directions
UP, DOWN, ACROSS = ("up/", "s3://c/q/"), ("s3://b/p/*", "out/"), ("s3://b/p/*", "s3://c/q/")
DELETES = ("DeleteObject", "DeleteObjects")


@pytest.fixture(params=["fake_s3", "versitygw"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def other(server: Server, bucket: str) -> str:
    """A second bucket."""
    server.boto3.create_bucket(Bucket=f"{bucket}-c")
    return f"{bucket}-c"


@pytest.fixture
def run(server: Server, bucket: str, tmp_path: Path, command: Callable[..., Command]) -> Command:
    """`FILES` below `up` and below `p/`; `keep` beside them."""
    plant(tmp_path / "up", FILES)
    fill(server, bucket, {**{f"p/{name}": content for name, content in FILES.items()}, "keep": b"keep"})
    return command(server)


@pytest.fixture
def fake(fake_s3: FakeS3, tmp_path: Path, command: Callable[..., Command]) -> Command:
    """`FILES` below `up` and below `s3://b/p/`; `s3://c` is empty."""
    for name in "bc":
        fake_s3.do("create_bucket", bucket=name)
    plant(tmp_path / "up", FILES)
    fill(fake_s3, "b", {f"p/{name}": content for name, content in FILES.items()})
    fake_s3.do("clear_log")
    return command(fake_s3)


class Sides:
    """What is left at the source and what came to the destination, whatever the direction."""

    def __init__(self, server: FakeS3, directory: Path, way: tuple[str, str]) -> None:
        self.server, self.directory, self.way = server, directory, way

    @property
    def source(self) -> dict[str, bytes]:
        if self.way[0].startswith("s3:"):
            return {key.removeprefix("p/"): content for key, content in objects(self.server, "b").items()}
        return tree(self.directory / "up")

    @property
    def destination(self) -> dict[str, bytes]:
        if self.way[1].startswith("s3:"):
            return {key.removeprefix("q/"): content for key, content in objects(self.server, "c").items()}
        return tree(self.directory / "out")

    @property
    def write(self) -> str:
        """The request that carries an object."""
        return {UP: "PutObject", DOWN: "GetObject", ACROSS: "CopyObject"}[self.way]

    @property
    def prefix(self) -> str:
        """Of keys in such a request."""
        return "p/" if self.way == DOWN else "q/"

    def forget(self) -> None:
        """Empty the destination."""
        shutil.rmtree(self.directory / "out", ignore_errors=True)
        for key in keys(self.server, "c"):
            self.server.boto3.delete_object(Bucket="c", Key=key)

    def nothing_moved(self) -> None:
        assert (self.source, self.destination) == (FILES, {})


@pytest.fixture(params=[UP, DOWN, ACROSS], ids=["up", "down", "across"])
def sides(request: pytest.FixtureRequest, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> Sides:
    return Sides(fake_s3, tmp_path, request.param)


class TestMoves:
    @pytest.mark.parametrize(
        ("source", "moved"),
        [
            ("up/", {name: name for name in FILES}),
            ("up", {name: f"up/{name}" for name in FILES}),
            ("up/*.txt", {"a.txt": "a.txt"}),
            ("up/sub/b.txt", {"sub/b.txt": "b.txt"}),
        ],
    )
    def test_upload(
        self, run: Command, server: Server, other: str, tmp_path: Path, source: str, moved: dict[str, str]
    ) -> None:
        outcome = run("mv", source, f"s3://{other}/q/")
        assert objects(server, other) == {f"q/{key}": FILES[name] for name, key in moved.items()}
        assert tree(tmp_path / "up") == {name: content for name, content in FILES.items() if name not in moved}
        assert (tmp_path / "up/sub").is_dir(), "directories that became empty stay"
        assert sorted(outcome.lines) == sorted(f"mv up/{name} s3://{other}/q/{key}" for name, key in moved.items())
        assert outcome.stderr == ""

    @pytest.mark.parametrize(
        ("source", "moved"),
        [
            ("p/*", {name: name for name in FILES}),
            ("p*", {name: f"p/{name}" for name in FILES}),
            ("p/*.txt", {"a.txt": "a.txt", "sub/b.txt": "sub/b.txt"}),
            ("p/sub/b.txt", {"sub/b.txt": "b.txt"}),
        ],
    )
    @pytest.mark.parametrize("to_store", [False, True], ids=["down", "across"])
    def test_download_and_copy(
        self, run: Command, server: Server, bucket: str, other: str, tmp_path: Path, source: str,
        moved: dict[str, str], to_store: bool,
    ) -> None:  # fmt: skip
        base = f"s3://{other}/q/" if to_store else "out/"
        outcome = run("mv", f"s3://{bucket}/{source}", base)
        found = objects(server, other) if to_store else {f"q/{n}": c for n, c in tree(tmp_path / "out").items()}
        assert found == {f"q/{to}": FILES[name] for name, to in moved.items()}
        assert keys(server, bucket) == {"keep", *(f"p/{name}" for name in FILES if name not in moved)}
        lines = [f"mv s3://{bucket}/p/{name} {base}{to}" for name, to in moved.items()]
        assert sorted(outcome.lines) == sorted(lines)
        assert outcome.stderr == ""

    def test_large_objects(self, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        plant(tmp_path, {"big": pattern(20 * MIB)})
        fake("mv", "big", "s3://b/big")
        fake("mv", "s3://b/big", "s3://c/")
        fake("mv", "s3://c/big", "back")
        assert (tmp_path / "back").read_bytes() == pattern(20 * MIB)
        assert not (tmp_path / "big").exists()
        assert "big" not in keys(fake_s3, "b") | keys(fake_s3, "c")

    def test_json_agrees(self, sides: Sides, fake: Command) -> None:
        outcome = fake("--json", "mv", *sides.way)
        assert tally(outcome)["objects"]["done"] == len(FILES)
        assert {record["operation"] for record in outcome.records[:-1]} == {"mv"}
        assert outcome.records[-1]["command"] == "mv"
        assert (sides.source, sides.destination) == ({}, FILES)

    def test_dry_run_changes_nothing(self, sides: Sides, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        before = places(tmp_path)
        dry = fake("--dry-run", "mv", *sides.way)
        assert {record["method"] for record in fake_s3.log()} <= {"GET", "HEAD"}
        assert places(tmp_path) == before
        sides.nothing_moved()
        assert sorted(dry.lines) == sorted(fake("mv", *sides.way).lines)

    def test_filters_and_stat(self, sides: Sides, fake: Command) -> None:
        lines = fake("--stat", "mv", "--exclude", "*.txt", *sides.way).lines
        assert lines[-1] == "mv\t1\t0\t1\t"
        assert set(sides.source) == {"a.txt", "sub/b.txt"}
        assert set(sides.destination) == {"z"}

    def test_files_from(self, sides: Sides, fake: Command, tmp_path: Path) -> None:
        (tmp_path / "list").write_text("sub/b.txt\n")
        fake("mv", "--files-from", "list", sides.way[0].rstrip("*"), sides.way[1])
        assert set(sides.source) == {"a.txt", "z"}
        assert set(sides.destination) == {"sub/b.txt"}

    def test_metadata_goes_with_it(self, run: Command, server: Server, bucket: str, other: str) -> None:
        fill(server, bucket, {"m/1": b"1"}, ContentType="x/y", Metadata={"k": "v"}, CacheControl="c")
        run("mv", f"s3://{bucket}/m/*", f"s3://{other}/")
        head = server.boto3.head_object(Bucket=other, Key="1")
        assert (head["ContentType"], head["Metadata"], head["CacheControl"]) == ("x/y", {"k": "v"}, "c")

    def test_version_of_many_is_refused(self, fake: Command, fake_s3: FakeS3) -> None:
        fake_s3.put("b", "many/1", b"x")
        for source in ("s3://b/many/", "s3://b"):
            outcome = fake("mv", "--recursive", "--version-id", "v", source, "s3://c/q/", status=1)
            assert "--version-id needs one object, not --recursive" in failed(outcome)[0]
        assert "many/1" in keys(fake_s3, "b")
        assert keys(fake_s3, "c") == set()

    def test_version_that_is_named_is_the_one_deleted(self, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        fake_s3.boto3.put_bucket_versioning(Bucket="b", VersioningConfiguration={"Status": "Enabled"})
        first, second = (fake_s3.boto3.put_object(Bucket="b", Key="k", Body=b)["VersionId"] for b in (b"1", b"2"))
        fake("mv", "--version-id", first, "s3://b/k", "one")
        assert (tmp_path / "one").read_bytes() == b"1"
        versions = fake_s3.boto3.list_object_versions(Bucket="b", Prefix="k")
        assert [version["VersionId"] for version in versions["Versions"]] == [second]
        assert not versions.get("DeleteMarkers")

    def test_link_that_is_followed_leaves_its_target(self, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        plant(tmp_path, {"aside": b"aside"})
        (tmp_path / "up/link").symlink_to("../aside")
        fake("mv", "up/", "s3://c/", status=None)
        assert (tmp_path / "aside").read_bytes() == b"aside"

    def test_between_two_endpoints(self, fake: Command, fake_s3: FakeS3) -> None:
        second = FakeS3("--bucket", "far")
        try:
            fake("mv", "--destination-endpoint-url", second.endpoint, "s3://b/p/*", "s3://far/")
            assert objects(second, "far") == FILES
            assert keys(fake_s3, "b") == set()
        finally:
            second.stop()


class TestRefused:
    @pytest.mark.parametrize(
        "arguments",
        [
            "- s3://c/k", "s3://b/p/z -", "s3://b/p/z s3://b/p/z", "s3://b/p/z s3://b/p/", "s3://b/p/* s3://b/p/",
            "--storage-class STANDARD_IA s3://b/p/z s3://b/p/z", "--metadata a=1 s3://b/p/* s3://b/p/", "up/ s3://c/q",
            "s3://b/p/ out/", "s3://b out/", "s3://b/p/* s3://c/q", "up/ other/", "s3://b/p/z *",
            "--no-verify s3://b/p/* out/", "--verify=off up/ s3://c/", "--verify off s3://b/p/* s3://c/",
        ],
    )  # fmt: skip
    def test_nothing_is_touched(self, fake: Command, fake_s3: FakeS3, tmp_path: Path, arguments: str) -> None:
        before = places(tmp_path)
        outcome = fake("mv", *arguments.split(), status=None)
        assert outcome.status in (1, 2)
        assert failed(outcome)
        assert outcome.stdout == ""
        assert {record["method"] for record in fake_s3.log()} <= {"GET", "HEAD"}
        assert (places(tmp_path), tree(tmp_path / "up")) == (before, FILES)
        assert objects(fake_s3, "b") == {f"p/{name}": content for name, content in FILES.items()}

    @pytest.mark.parametrize("flags", [[], ["--verify=auto"]])
    def test_environment_does_not_switch_verification_off(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, flags: list[str]
    ) -> None:
        fill(fake_s3, "b", {"flip": b"content"}, ChecksumAlgorithm="CRC32")
        fake_s3.rule({"type": "bit_flip", "offset": 3}, operation="GetObject", key="flip")
        environment = {"AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required"}
        outcome = fake("--json", "-r0", "mv", *flags, "s3://b/flip", "out", env=environment, status=1)
        assert kinds(outcome) == {"s3://b/flip": "integrity"}
        assert not (tmp_path / "out").exists()
        assert "flip" in keys(fake_s3, "b")
        # A copy may be without; what the command line says prevails.
        assert fake("-r0", "cp", *flags, "s3://b/flip", "out", env=environment, status=None).status == len(flags)

    @pytest.mark.parametrize("flags", [[], ["--dry-run"]])
    def test_destination_that_keeps_nothing(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, flags: list[str]
    ) -> None:
        plant(tmp_path, {"out/a.txt": b""})
        os.mkfifo(tmp_path / "fifo")
        os.mkfifo(tmp_path / "out/z")
        for name in ("/dev/null", "fifo", "/dev/stderr"):
            outcome = fake("--json", *flags, "mv", "s3://b/p/z", name, status=1)
            assert kinds(outcome) == {"s3://b/p/z": "not_regular_file"}, name
            line = failed(fake(*flags, "mv", "s3://b/p/z", name, status=1))[0]
            assert line.endswith(f'object "{name}" is not a regular file')
        outcome = fake("--json", *flags, "mv", "s3://b/p/*", "out/", status=1)
        assert kinds(outcome) == {"s3://b/p/z": "not_regular_file"}
        assert read(fake_s3, "b", "p/z") == b"z"

    def test_two_sources_flattened_to_one_name_keep_the_second(self, sides: Sides, fake: Command) -> None:
        sides.server.put("b", "p/2/z", b"second")
        plant(sides.directory / "up", {"2/z": b"second"})
        outcome = fake("--json", "mv", "--flatten", *sides.way, status=1)
        ((source, kind),) = kinds(outcome).items()
        assert kind == "conflict"
        assert set(sides.destination) == {"a.txt", "b.txt", "z"}
        left = sides.source
        assert len(left) == 1
        assert sorted([*left.values(), sides.destination["z"]]) == [b"second", b"z"]
        assert source.endswith("/z")

    @pytest.mark.parametrize(("flags", "reason"), [("-n", "exists"), ("-s", "same_size"), ("-u", "not_newer")])
    def test_what_is_skipped_keeps_its_source(self, sides: Sides, fake: Command, flags: str, reason: str) -> None:
        sides.server.put("c", "q/z", b"Z")
        plant(sides.directory / "out", {"z": b"Z"})
        os.utime(sides.directory / "up/z", (1, 1))
        outcome = fake("--json", "mv", flags, *sides.way)
        assert list(reasons(outcome).values()) == [reason]
        assert sides.source == {"z": b"z"}
        assert sides.destination == {**FILES, "z": b"Z"}


class TestSourceIsKept:
    """Whatever goes wrong before the destination is there."""

    def one_failed(self, sides: Sides, outcome: Outcome, name: str = "z") -> None:
        sides.server.do("clear_rules")
        (line,) = failed(outcome)
        assert name in line
        assert sides.source == {name: FILES[name]}
        assert sides.destination == {each: content for each, content in FILES.items() if each != name}

    @pytest.mark.parametrize(
        "fault",
        [
            {"type": "respond", "status": 403, "code": "AccessDenied"}, {"type": "reset", "in_head": True},
            {"type": "respond", "status": 500, "code": "InternalError"},
        ],
        ids=["denied", "reset", "broken"],
    )  # fmt: skip
    def test_transfer_fails(self, sides: Sides, fake: Command, fake_s3: FakeS3, fault: dict[str, Any]) -> None:
        fake_s3.rule(fault, operation=sides.write, key=f"{sides.prefix}z")
        outcome = fake("-r", "0", "mv", *sides.way, status=1)
        if fault["type"] == "reset" and sides.write != "GetObject":
            assert sides.source == {"z": b"z"}, "the store has done it, but nobody was told"
            assert len(failed(outcome)) == 1
        else:
            self.one_failed(sides, outcome)

    def test_verification_of_a_download_fails(self, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        plant(tmp_path / "out", {"sub/b.txt": b"old"})
        fake_s3.rule({"type": "bit_flip", "offset": 1}, operation="GetObject", key="p/sub/b.txt")
        outcome = fake("--json", "-r", "1", "mv", *DOWN, status=1)
        fake_s3.do("clear_rules")
        assert kinds(outcome) == {"s3://b/p/sub/b.txt": "integrity"}
        assert objects(fake_s3, "b") == {"p/sub/b.txt": b"bbb"}
        assert tree(tmp_path / "out") == {**FILES, "sub/b.txt": b"old"}

    def test_verification_of_an_upload_fails(self, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        wrong = {"type": "header", "name": "x-amz-checksum-crc64nvme", "value": "AAAAAAAAAAA="}
        fake_s3.rule(wrong, operation="PutObject", key="q/z")
        outcome = fake("--json", "-r", "0", "mv", *UP, status=1)
        assert kinds(outcome) == {"up/z": "integrity"}
        assert tree(tmp_path / "up") == {"z": b"z"}

    def test_copy_that_fails_within_its_answer(self, fake: Command, fake_s3: FakeS3) -> None:
        fault = {"type": "error_in_200", "code": "InternalError", "message": "no"}
        fake_s3.rule(fault, operation="CopyObject", key="q/z")
        self.one_failed(Sides(fake_s3, fake.directory, ACROSS), fake("-r", "0", "mv", *ACROSS, status=1))

    def test_name_that_is_a_directory(self, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        plant(tmp_path / "out", {"z/inside": b"kept"})
        (tmp_path / "out/a.txt").mkdir()
        outcome = fake("mv", *DOWN, status=1)
        assert len(failed(outcome)) == 2
        assert objects(fake_s3, "b") == {"p/z": b"z", "p/a.txt": b"aa"}
        assert tree(tmp_path / "out") == {"z/inside": b"kept", "sub/b.txt": b"bbb"}

    def test_directory_that_cannot_be_written(self, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        program = bound_by_modes()
        (tmp_path / "out/sub").mkdir(parents=True)
        (tmp_path / "out/sub").chmod(0o555)
        try:
            outcome = fake("--json", "mv", *DOWN, status=1, program=program)
        finally:
            (tmp_path / "out/sub").chmod(0o755)
        assert kinds(outcome) == {"s3://b/p/sub/b.txt": "local_io"}
        assert objects(fake_s3, "b") == {"p/sub/b.txt": b"bbb"}

    @pytest.mark.parametrize("key", ["p/../x", "p/a//b", "p/./x", "p/full/"])
    def test_unsafe_key(self, fake: Command, fake_s3: FakeS3, tmp_path: Path, key: str) -> None:
        fake_s3.put("b", key, b"evil")
        outcome = fake("--json", "mv", *DOWN, status=1)
        assert list(kinds(outcome).values()) == ["unsafe_key"]
        assert keys(fake_s3, "b") == {key}
        assert tree(tmp_path / "out") == FILES

    def test_markers_are_not_deleted_by_a_download(self, fake: Command, fake_s3: FakeS3) -> None:
        fill(fake_s3, "b", {"p/d/": b""})
        assert set(reasons(fake("--json", "mv", *DOWN)).values()) == {"directory_marker"}
        assert keys(fake_s3, "b") == {"p/d/"}

    def test_directory_that_cannot_be_read(self, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        program = bound_by_modes()
        (tmp_path / "up/sub").chmod(0)
        try:
            outcome = fake("mv", *UP, status=1, program=program)
        finally:
            (tmp_path / "up/sub").chmod(0o755)
        self.one_failed(Sides(fake_s3, tmp_path, UP), Outcome(1, "", outcome.stderr.replace("sub", "sub/b.txt")),
                        "sub/b.txt")  # fmt: skip


def _step(call: strace.Call) -> str | None:
    """What a system call is to a download that moves."""
    if call.name in ("fsync", "fdatasync"):
        return "file" if ".s3z-" in call.arguments else "directory"
    if call.name.startswith("rename"):
        return "rename"
    return "delete" if re.search(r"DELETE /|POST /b\?delete", call.arguments) else None


class TestDelete:
    def until_asked(self, server: FakeS3, process: subprocess.Popen[bytes]) -> None:
        """Wait until the deletion of a source is asked for."""
        end = time.monotonic() + 20
        while not any(server.log(operation=operation) for operation in DELETES):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end, "no deletion was asked for"
            time.sleep(0.005)

    @pytest.mark.parametrize("way", [DOWN, ACROSS], ids=["down", "across"])
    def test_destination_is_complete_before(self, fake: Command, fake_s3: FakeS3, tmp_path: Path, way: Any) -> None:
        sides = Sides(fake_s3, tmp_path, way)
        for operation in DELETES:
            fake_s3.rule({"type": "latency", "ms": 1000}, operation=operation, times=1)
        process = fake.start("mv", "s3://b/p/z*", way[1])
        self.until_asked(fake_s3, process)
        assert sides.destination == {"z": b"z"}
        assert process.communicate(timeout=60)[0] == f"mv s3://b/p/z {way[1]}z\n".encode()
        assert set(sides.source) == {"a.txt", "sub/b.txt"}

    @pytest.mark.parametrize("way", [DOWN, ACROSS], ids=["down", "across"])
    @pytest.mark.parametrize("source", ["s3://b/p/z", "s3://b/p/z*"])
    def test_source_that_was_overwritten_is_kept(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, way: tuple[str, str], source: str
    ) -> None:
        sides = Sides(fake_s3, tmp_path, way)
        for operation in DELETES:
            fake_s3.rule({"type": "latency", "ms": 1000}, operation=operation, times=1)
        process = fake.start("mv", source, way[1])
        self.until_asked(fake_s3, process)
        fake_s3.put("b", "p/z", b"newer")
        stdout, stderr = process.communicate(timeout=60)
        assert (process.returncode, stdout) == (1, b"")
        assert stderr.startswith(b'ERROR "mv s3://b/p/z ')
        assert sides.source == {**FILES, "z": b"newer"}
        assert sides.destination == {"z": b"z"}

    @pytest.mark.parametrize("way", [DOWN, ACROSS], ids=["down", "across"])
    @pytest.mark.parametrize("change", [True, False])
    def test_store_with_no_conditional_deletes(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, way: tuple[str, str], change: bool
    ) -> None:
        """There a look at the source, just before, has to do."""
        sides = Sides(fake_s3, tmp_path, way)
        fake_s3.rule({"type": "respond", "status": 501, "code": "NotImplemented"}, operation="DeleteObject", times=1)
        fake_s3.rule({"type": "latency", "ms": 700}, operation="HeadObject", key="p/z")
        process = fake.start("mv", "s3://b/p/z*", way[1])
        fake_s3.wait_for_log(operation="HeadObject", key="p/z")
        if change:
            fake_s3.put("b", "p/z", b"newer")
        stdout, stderr = process.communicate(timeout=60)
        assert sides.destination == {"z": b"z"}
        if change:
            assert (process.returncode, stdout) == (1, b"")
            assert b"source changed after it was read, and is kept" in stderr
            assert sides.source == {**FILES, "z": b"newer"}
            assert not any(fake_s3.log(operation=operation) for operation in DELETES)
        else:
            assert process.returncode == 0, stderr
            assert "z" not in sides.source

    def test_copy_whose_source_changes_loses_nothing(self, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        fake_s3.rule({"type": "latency", "ms": 1000}, operation="CopyObject", times=1)
        process = fake.start("mv", "s3://b/p/z*", "s3://c/q/")
        fake_s3.wait_for_log(operation="CopyObject")
        fake_s3.put("b", "p/z", b"newer")
        process.communicate(timeout=60)
        left = objects(fake_s3, "b").get("p/z") if process.returncode else read(fake_s3, "c", "q/z")
        assert left == b"newer"

    @pytest.mark.parametrize("change", ["append", "rewrite", "replace", "touch"])
    def test_file_that_changes_meanwhile_is_kept(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, change: str
    ) -> None:
        path = tmp_path / "up/z"
        os.utime(path, (1_700_000_000, 1_700_000_000))
        fake_s3.rule({"type": "latency", "ms": 1000}, operation="PutObject", key="q/z", times=1)
        process = fake.start("mv", *UP)
        fake_s3.wait_for_log(operation="PutObject", key="q/z")
        if change == "append":
            with path.open("ab") as file:
                file.write(b"more")
        elif change == "rewrite":
            path.write_bytes(b"Z")
        elif change == "replace":
            plant(tmp_path, {"next": b"Z"})
            os.utime(tmp_path / "next", (1_700_000_000, 1_700_000_000))
            (tmp_path / "next").rename(path)
        else:
            path.touch()
        now = path.read_bytes()
        stderr = process.communicate(timeout=60)[1].decode()
        assert process.returncode == 1
        assert stderr.startswith('ERROR "mv up/z s3://c/q/z": ')
        assert tree(tmp_path / "up") == {"z": now}

    @pytest.mark.parametrize("way", [DOWN, ACROSS], ids=["down", "across"])
    def test_deletion_that_is_denied_is_an_error(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, way: tuple[str, str]
    ) -> None:
        sides = Sides(fake_s3, tmp_path, way)
        fake_s3.rule({"type": "respond", "status": 403, "code": "AccessDenied"}, operation="DeleteObject")
        fake_s3.rule({"type": "delete_errors", "keys": "*", "code": "AccessDenied"}, operation="DeleteObjects")
        outcome = fake("--json", "mv", *way, status=1)
        assert kinds(outcome) == {f"s3://b/p/{name}": "access_denied" for name in FILES}
        assert (sides.source, sides.destination) == (FILES, FILES)

    @pytest.mark.parametrize("fault", ["fsync,fdatasync:error=EIO", "renameat,renameat2,linkat:error=EIO"])
    def test_a_disk_that_fails_keeps_the_source(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, fault: str
    ) -> None:
        prefix, trace = strace.command(tmp_path / "trace", fault)
        outcome = fake("--json", "mv", *DOWN, status=1, program=strace.s3z_under(prefix, SCRIPT))
        assert trace.injections()
        assert kinds(outcome) == {f"s3://b/p/{name}": "local_io" for name in FILES}
        assert Sides(fake_s3, tmp_path, DOWN).source == FILES
        assert tree(tmp_path / "out") == {}
        assert not any(fake_s3.log(operation=operation) for operation in DELETES)

    def test_file_and_directory_are_synced_before(self, fake: Command, tmp_path: Path) -> None:
        """The only other copy goes: file, name and new directory are on the disk before its deletion is asked for."""
        calls = ("fsync", "fdatasync", "renameat", "renameat2", "write", "writev", "sendto")
        prefix, trace = strace.command(tmp_path / "trace", also=calls)
        fake("mv", "s3://b/p/sub/b.txt", "out/sub/", program=strace.s3z_under(prefix, SCRIPT))
        told = [_step(call) for call in trace.calls]
        steps = [step for step in told if step]
        assert steps[0] == "file", steps
        assert steps.index("rename") < steps.index("directory") < steps.index("delete"), steps
        directories = [call.arguments for call in trace.named("fsync") if ".s3z-" not in call.arguments]
        assert any(each.endswith("/out/sub>") for each in directories), directories

    def test_file_that_cannot_be_deleted_is_an_error(self, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        program = bound_by_modes()
        (tmp_path / "up/sub").chmod(0o555)
        try:
            outcome = fake("--json", "mv", *UP, status=1, program=program)
        finally:
            (tmp_path / "up/sub").chmod(0o755)
        assert kinds(outcome) == {"up/sub/b.txt": "local_io"}
        assert {key: read(fake_s3, "c", key) for key in keys(fake_s3, "c")} == {f"q/{n}": c for n, c in FILES.items()}
        assert tree(tmp_path / "up") == {"sub/b.txt": b"bbb"}


class TestKill:
    """`kill -9` at twenty moments, spread over all requests of a run: nothing is ever lost."""

    MANY = 12

    @pytest.mark.parametrize("way", [UP, DOWN, ACROSS], ids=["up", "down", "across"])
    def test_each_object_is_complete_on_one_side(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, way: tuple[str, str]
    ) -> None:
        sides = Sides(fake_s3, tmp_path, way)
        chance = random.Random(len(way[0]) * 100 + len(way[1]))
        cut = 0
        for moment in range(20):
            files = {f"{moment}/{number:02}": pattern(50_000 + number, moment) for number in range(self.MANY)}
            if way == UP:
                plant(tmp_path / "up", files)
            else:
                for name, content in files.items():
                    fake_s3.put("b", f"p/{name}", content)
            files.update(FILES if moment == 0 else {})
            fake_s3.do("clear_log")
            fake_s3.switch(latency_ms=30)
            others = fake_s3.do("connections")["connections"]
            process = fake.start("--numworkers", "2", "mv", *way)
            amid = 1 + moment % (self.MANY if way == UP else 2 * self.MANY)
            while process.poll() is None and len(fake_s3.log()) < amid:
                pass
            time.sleep(chance.random() / 100)
            process.kill()
            process.communicate()
            fake_s3.switch(latency_ms=0)
            cut += process.returncode < 0
            # Requests that were sent before the end are still carried out.
            until(lambda others=others: fake_s3.do("connections")["connections"] <= others)
            source, destination = sides.source, sides.destination
            for name, content in files.items():
                found = [side[name] for side in (source, destination) if name in side]
                assert found, f"{name} is lost"
                assert all(each == content for each in found), f"{name} is not whole"
            fake("mv", *way, status=None)  # nothing may be left for it
            remove_leftovers(tmp_path)
            assert (sides.source, sides.destination) == ({}, files)
            sides.forget()
        assert cut >= 10, "most runs are to be killed before their end"
