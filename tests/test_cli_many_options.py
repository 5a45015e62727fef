"""`s3z cp` of many, by option: -n -s -u (cli.md 2.7), headers, versions, classes, lists, manifests, two endpoints."""

from __future__ import annotations

import json
import os
import stat
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.command import Outcome
from support.data import GIB, MIB, is_pattern, pattern
from support.planted import failed, fill, keys, kinds, objects, places, plant, read, reasons, tally, tree
from support.servers import FakeS3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.command import Command
    from support.servers import Server

FILES = {"a.txt": b"aa", "sub/b.txt": b"bbb", "z": b"z"}
FLAGS = ["", "-n", "-s", "-u", "-n -s", "-n -u", "-s -u", "-n -s -u"]
#: destinations that are there before; the source is `new!`
STATES = {"same-newer": b"old!", "same-older": b"old!", "size-newer": b"older", "size-older": b"older"}
ABSENT = "absent"
HEADERS = {
    "--content-type": ("ContentType", "x/y"),
    "--content-encoding": ("ContentEncoding", "br"),
    "--content-disposition": ("ContentDisposition", 'attachment; filename="a b"'),
    "--cache-control": ("CacheControl", "no-store"),
}
DENIED = {"type": "respond", "status": 403, "code": "AccessDenied"}


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
    """`FILES` below `up` and below `p/`."""
    plant(tmp_path / "up", FILES)
    fill(server, bucket, {f"p/{name}": content for name, content in FILES.items()})
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


def decide(flags: str, name: str) -> str | None:
    """Why a name of `STATES` is skipped; None is a transfer."""
    if name == ABSENT or not flags:
        return None
    if "-u" in flags:
        return None if name.endswith("newer") else "not_newer"
    if "-s" in flags:
        return None if name.startswith("size") else "same_size"
    return "exists"


def age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds, time.time() - seconds))


def check(outcome: Outcome, flags: str, prefix: str, left: dict[str, bytes]) -> None:
    wanted = {name: decide(flags, name) for name in (*STATES, ABSENT)}
    assert left == {name: STATES[name] if wanted[name] else b"new!" for name in wanted}
    assert reasons(outcome) == {prefix + name: reason for name, reason in wanted.items() if reason}
    assert tally(outcome)["objects"]["done"] == sum(reason is None for reason in wanted.values())


def headers(record: dict[str, Any]) -> dict[str, str]:
    return dict(record["headers"])


class TestNoClobberSizeAge:
    @pytest.mark.parametrize("flags", FLAGS)
    def test_upload(self, server: Server, bucket: str, tmp_path: Path, command: Any, flags: str) -> None:
        fill(server, bucket, STATES)
        before = {name: server.boto3.head_object(Bucket=bucket, Key=name)["ETag"] for name in STATES}
        plant(tmp_path / "new", dict.fromkeys((*STATES, ABSENT), b"new!"))
        for name in (*STATES, ABSENT):
            age(tmp_path / "new" / name, 100_000 if name.endswith("older") else -1_000)
        if isinstance(server, FakeS3):
            server.do("clear_log")
        outcome = command(server)("--json", "cp", *flags.split(), "new/", f"s3://{bucket}/")
        if isinstance(server, FakeS3):
            for record in server.log(operation="PutObject"):
                sent = headers(record)
                conditions = (sent.get("if-none-match"), sent.get("if-match"))
                relied = ("*", None) if record["key"] == ABSENT else (None, before[record["key"]])
                assert conditions == (relied if flags else (None, None)), record["key"]
        check(outcome, flags, "new/", objects(server, bucket))

    @pytest.mark.parametrize("flags", FLAGS)
    def test_download(self, server: Server, bucket: str, tmp_path: Path, command: Any, flags: str) -> None:
        fill(server, bucket, dict.fromkeys((*STATES, ABSENT), b"new!"))
        plant(tmp_path / "out", STATES)
        for name in STATES:
            age(tmp_path / "out" / name, 100_000 if name.endswith("newer") else -1_000)
        outcome = command(server)("--json", "cp", *flags.split(), f"s3://{bucket}/*", "out/")
        check(outcome, flags, f"s3://{bucket}/", tree(tmp_path / "out"))

    @pytest.mark.parametrize("flags", FLAGS)
    def test_copy(self, fake: Command, fake_s3: FakeS3, flags: str) -> None:
        for name in (*STATES, ABSENT):
            fake_s3.do("shift_clock", seconds=-100_000 if name.endswith("older") else -1_000)
            fake_s3.put("b", f"n/{name}", b"new!")
        fake_s3.do("shift_clock", seconds=-50_000)
        for name, content in STATES.items():
            fake_s3.put("c", name, content)
        fake_s3.do("shift_clock", seconds=0)
        outcome = fake("--json", "cp", *flags.split(), "s3://b/n/*", "s3://c/")
        for record in fake_s3.log(operation="CopyObject"):
            assert bool({*headers(record)} & {"if-match", "if-none-match"}) is bool(flags)
        check(outcome, flags, "s3://b/n/", objects(fake_s3, "c"))

    def test_same_age_is_not_newer(self, run: Command, bucket: str) -> None:
        run("cp", "-u", f"s3://{bucket}/p/*", "out/")
        assert run("cp", "-u", f"s3://{bucket}/p/*", "out/").stdout == ""

    @pytest.mark.parametrize(
        ("flags", "said"),
        [
            ("-n", "object already exists"), ("-s", "object size matches"), ("-u", "object is newer or same age"),
            ("--no-clobber", "object already exists"), ("--if-size-differ", "object size matches"),
            ("--if-source-newer", "object is newer or same age"),
        ],
    )  # fmt: skip
    def test_debug_says_why(self, fake: Command, flags: str, said: str) -> None:
        fake("cp", "s3://b/p/*", "out/")
        outcome = fake("--log", "debug", "cp", flags, "s3://b/p/*", "out/")
        lines = [line for line in outcome.errors if said in line]
        assert sorted(lines) == sorted(f'DEBUG "cp s3://b/p/{name} out/{name}": {said}' for name in FILES)
        assert outcome.stdout == ""


class TestRace:
    """Somebody writes the destination after the tests were made and before the write."""

    def race(self, run: Command, server: FakeS3, operation: str, arguments: list[str], write: Any) -> Outcome:
        server.rule({"type": "latency", "ms": 1500}, operation=operation, times=1)
        process = run.start("--json", "cp", *arguments)
        server.wait_for_log(operation=operation)
        write()
        stdout, stderr = process.communicate(timeout=60)
        return Outcome(process.returncode, stdout.decode(), stderr.decode())

    @pytest.mark.parametrize(
        ("flags", "before", "writer", "reason", "left"),
        [
            ("-n", None, b"writer", "exists", b"writer"),
            ("-s", None, b"W", "same_size", b"W"),
            ("-s", None, b"writer", None, b"z"),
            ("-u", None, b"writer", "not_newer", b"writer"),
            ("-n -s", None, b"W", "same_size", b"W"),
            ("-s", b"longer", b"W", "same_size", b"W"),
            ("-s", b"longer", b"writer", None, b"z"),
        ],
    )
    @pytest.mark.parametrize("operation", ["PutObject", "CopyObject"])
    def test_to_the_store(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, operation: str, flags: str, before: bytes | None,
        writer: bytes, reason: str | None, left: bytes,
    ) -> None:  # fmt: skip
        age(tmp_path / "up/z", 100_000)
        fake_s3.do("shift_clock", seconds=-100_000)
        fake_s3.put("b", "p/z", b"z")
        fake_s3.do("shift_clock", seconds=0)
        if before is not None:
            fake_s3.put("c", "z", before)
        source = "up/z*" if operation == "PutObject" else "s3://b/p/z*"
        arguments = [*flags.split(), source, "s3://c/"]
        outcome = self.race(fake, fake_s3, operation, arguments, lambda: fake_s3.put("c", "z", writer))
        assert read(fake_s3, "c", "z") == left
        assert list(reasons(outcome).values()) == ([reason] if reason else [])
        assert tally(outcome)["exit_code"] == 0
        assert len(fake_s3.log(operation=operation)) == (1 if reason else 2)

    @pytest.mark.parametrize(("flags", "reason"), [("-n", "exists"), ("-s", "same_size"), ("-u", "not_newer")])
    def test_to_a_file(self, fake: Command, fake_s3: FakeS3, tmp_path: Path, flags: str, reason: str) -> None:
        (tmp_path / "out").mkdir()

        def write() -> None:
            (tmp_path / "out/z").write_bytes(b"W")
            age(tmp_path / "out/z", -1_000)

        outcome = self.race(fake, fake_s3, "GetObject", [flags, "s3://b/p/z*", "out/"], write)
        assert tree(tmp_path / "out") == {"z": b"W"}
        assert reasons(outcome) == {"s3://b/p/z": reason}
        assert tally(outcome)["exit_code"] == 0

    def test_race_lost_again_and_again_is_an_error(self, fake: Command, fake_s3: FakeS3) -> None:
        lost = {"type": "respond", "status": 412, "code": "PreconditionFailed"}
        fake_s3.rule(lost, operation="PutObject", key="z")
        outcome = fake("cp", "-s", "up/", "s3://c/", status=1)
        assert len(failed(outcome)) == 1
        assert "up/z" in failed(outcome)[0]
        assert keys(fake_s3, "c") == {"a.txt", "sub/b.txt"}
        assert len(fake_s3.log(operation="PutObject", key="z")) == 2

    def test_store_without_conditional_writes_is_told_of_once(self, fake: Command, fake_s3: FakeS3) -> None:
        fake_s3.put("c", "z", b"kept")
        unknown = {"type": "respond", "status": 501, "code": "NotImplemented"}
        fake_s3.rule(unknown, operation="PutObject", header="if-none-match")
        outcome = fake("cp", "-n", "up/", "s3://c/")
        assert objects(fake_s3, "c") == {**FILES, "z": b"kept"}
        assert len([line for line in outcome.errors if line.startswith("WARNING ")]) == 1


class TestHeaders:
    FLAGS = tuple(text for flag, (_, value) in HEADERS.items() for text in (flag, value))

    def expect(self, server: Server, bucket: str, key: str, metadata: dict[str, str]) -> None:
        head = server.boto3.head_object(Bucket=bucket, Key=key)
        assert {name: head.get(name) for name, _ in HEADERS.values()} == dict(HEADERS.values())
        assert head["Metadata"] == metadata
        assert head["ExpiresString"] == "Thu, 01 May 2031 08:00:00 GMT"

    def test_upload(self, run: Command, server: Server, other: str) -> None:
        given = ["--metadata", "a=1", "--metadata=b=x=y", "--expires", "2031-05-01T08:00:00Z"]
        run("cp", *self.FLAGS, *given, "up/", f"s3://{other}/")
        assert keys(server, other) == {*FILES}
        for key in FILES:
            self.expect(server, other, key, {"a": "1", "b": "x=y"})

    @pytest.mark.parametrize("more", [[], ["--metadata-directive", "COPY"], ["--storage-class", "STANDARD_IA"]])
    def test_copy_keeps_all(self, run: Command, server: Server, bucket: str, other: str, more: list[str]) -> None:
        own = {**dict(HEADERS.values()), "Expires": "2031-05-01T08:00:00Z", "Metadata": {"k": "v"}}
        fill(server, bucket, {"m/1": b"1", "m/2/3": b"2"}, **own)
        run("cp", *more, f"s3://{bucket}/m/*", f"s3://{other}/")
        for key in ("1", "2/3"):
            self.expect(server, other, key, {"k": "v"})
            if server.name == "fake-s3" and "--storage-class" in more:
                assert server.boto3.head_object(Bucket=other, Key=key)["StorageClass"] == "STANDARD_IA"

    def test_copy_replaces_when_one_is_given(self, run: Command, server: Server, bucket: str, other: str) -> None:
        fill(server, bucket, {"m/1": b"1"}, ContentType="o/ld", CacheControl="old", Metadata={"k": "v"})
        given = ["--metadata", "n=w", "--expires", "2031-05-01T08:00:00Z"]
        run("cp", *self.FLAGS, *given, f"s3://{bucket}/m/*", f"s3://{other}/")
        self.expect(server, other, "1", {"n": "w"})
        run("cp", "--content-type", "n/ew", f"s3://{bucket}/m/*", f"s3://{other}/one/")
        head = server.boto3.head_object(Bucket=other, Key="one/1")
        assert (head["ContentType"], head["Metadata"], head.get("CacheControl")) == ("n/ew", {}, None)
        run("cp", "--metadata-directive", "REPLACE", f"s3://{bucket}/m/*", f"s3://{other}/none/")
        head = server.boto3.head_object(Bucket=other, Key="none/1")
        assert (head["Metadata"], head.get("CacheControl")) == ({}, None)

    @pytest.mark.parametrize("arguments", [["up/", "s3://c/"], ["s3://b/p/*", "out/"]])
    def test_directive_is_for_copies_only(self, fake: Command, fake_s3: FakeS3, arguments: list[str]) -> None:
        outcome = fake("cp", "--metadata-directive", "REPLACE", *arguments, status=None)
        assert outcome.status in (1, 2)
        assert len(failed(outcome)) == 1
        assert fake_s3.log() == []

    @pytest.mark.parametrize("operation", ["PutObject", "CopyObject"])
    def test_headers_of_protection(self, fake: Command, fake_s3: FakeS3, operation: str) -> None:
        source = "up/" if operation == "PutObject" else "s3://b/p/*"
        fake("cp", "--acl", "private", "--sse", "aws:kms", "--sse-kms-key-id", "key-1", source, "s3://c/")
        sent = [headers(record) for record in fake_s3.log(operation=operation)]
        assert len(sent) == len(FILES)
        for each in sent:
            assert each["x-amz-acl"] == "private"
            assert each["x-amz-server-side-encryption"] == "aws:kms"
            assert each["x-amz-server-side-encryption-aws-kms-key-id"] == "key-1"

    @pytest.mark.parametrize("algorithm", ["CRC64NVME", "CRC32C", "CRC32", "SHA1", "SHA256"])
    def test_checksum_algorithm(self, fake: Command, fake_s3: FakeS3, algorithm: str) -> None:
        fake("cp", "--checksum-algorithm", algorithm, "up/", "s3://c/")
        for key in FILES:
            assert fake_s3.boto3.head_object(Bucket="c", Key=key, ChecksumMode="ENABLED")[f"Checksum{algorithm}"]

    def test_content_types(self, run: Command, server: Server, other: str, tmp_path: Path) -> None:
        types = {
            "a.html": "text/html; charset=utf-8", "b.css": "text/css; charset=utf-8", "c.json": "application/json",
            "d.png": "image/png", "e/f.txt": "text/plain; charset=utf-8", "README": "text/plain; charset=utf-8",
            "blob": "application/octet-stream",
        }  # fmt: skip
        plant(tmp_path / "typed", dict.fromkeys(types, b"words\n") | {"blob": bytes(range(256))})
        run("cp", "typed/", f"s3://{other}/")
        found = {key: server.boto3.head_object(Bucket=other, Key=key)["ContentType"] for key in types}
        assert found == types


class TestClassesAndVersions:
    @pytest.fixture
    def cold(self, fake: Command, fake_s3: FakeS3) -> Command:
        for name in ("GLACIER", "DEEP_ARCHIVE", "GLACIER_IR", "STANDARD_IA"):
            fill(fake_s3, "b", {f"cold/{name}": b"x"}, StorageClass=name)
        fake_s3.do("clear_log")
        return fake

    @pytest.mark.parametrize("destination", ["out/", "s3://c/"])
    def test_cold_objects_fail_alone(self, cold: Command, fake_s3: FakeS3, tmp_path: Path, destination: str) -> None:
        outcome = cold("--json", "cp", "s3://b/cold/*", destination, status=1)
        assert kinds(outcome) == {"s3://b/cold/GLACIER": "glacier", "s3://b/cold/DEEP_ARCHIVE": "glacier"}
        assert tally(outcome)["objects"]["done"] == 2
        assert set(tree(tmp_path / "out")) | keys(fake_s3, "c") == {"GLACIER_IR", "STANDARD_IA"}
        assert not fake_s3.log(operation="GetObject", key="cold/GLACIER")
        frozen = {"type": "respond", "status": 403, "code": "InvalidObjectState"}
        fake_s3.rule(frozen, operation="GetObject", key="cold/GLACIER")
        fake_s3.rule(frozen, operation="CopyObject", key="GLACIER")
        (line, *_) = failed(cold("cp", "s3://b/cold/GLACIER", destination, status=1))
        assert 'object "s3://b/cold/GLACIER" is on Glacier storage' in line

    @pytest.mark.parametrize("source", ["s3://b/cold/*", "s3://b/cold/GLACIER"])
    def test_cold_objects_are_skipped_or_tried(
        self, cold: Command, fake_s3: FakeS3, tmp_path: Path, source: str
    ) -> None:
        # Known from a listing, or a look at what was named: it is not asked for.
        outcome = cold("--json", "cp", "--ignore-glacier-warnings", source, "out/")
        assert reasons(outcome)["s3://b/cold/GLACIER"] == "glacier"
        assert tally(outcome)["objects"]["failed"] == 0
        assert "GLACIER" not in tree(tmp_path / "out")
        assert not fake_s3.log(operation="GetObject", key="cold/GLACIER")
        cold("cp", "--force-glacier-transfer", source, "out/")
        assert "GLACIER" in tree(tmp_path / "out")

    def test_object_that_only_the_store_knows_to_be_cold(self, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        frozen = {"type": "respond", "status": 403, "code": "InvalidObjectState"}
        fake_s3.rule(frozen, operation="GetObject", key="p/z")
        for source in ("s3://b/p/z", "s3://b/p/*"):
            outcome = fake("--json", "cp", "--ignore-glacier-warnings", source, "out/")
            assert reasons(outcome) == {"s3://b/p/z": "glacier"}
        assert "z" not in tree(tmp_path / "out")

    def test_version(self, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        fake_s3.boto3.put_bucket_versioning(Bucket="b", VersioningConfiguration={"Status": "Enabled"})
        first, _ = (
            fake_s3.boto3.put_object(Bucket="b", Key="k", Body=body)["VersionId"] for body in (b"first", b"second")
        )
        fake("cp", "--version-id", first, "s3://b/k", "one")
        fake("cp", "s3://b/k", "two")
        fake("cp", "--version-id", first, "s3://b/k", "s3://c/k")
        assert (tree(tmp_path)["one"], tree(tmp_path)["two"], read(fake_s3, "c", "k")) == (
            b"first",
            b"second",
            b"first",
        )
        assert fake("cp", "--version-id", "none", "s3://b/k", "three", status=1)
        for source in ("s3://b/*", "up/a.txt"):
            assert fake("cp", "--version-id", first, source, "s3://c/q/", status=None).status in (1, 2)
        assert keys(fake_s3, "c") == {"k"}


class TestFiles:
    def test_time_and_modes(self, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        fake_s3.do("shift_clock", seconds=-1_000_000)
        for name in ("x", "d/y"):
            fake_s3.put("b", f"t/{name}", b"x")
        fake_s3.do("shift_clock", seconds=0)
        plant(tmp_path / "out", {"x": b"old"}).joinpath("x").chmod(0o604)
        before = os.umask(0o027)
        try:
            fake("cp", "s3://b/t/*", "out/")
        finally:
            os.umask(before)
        for name in ("x", "d/y"):
            modified = fake_s3.boto3.head_object(Bucket="b", Key=f"t/{name}")["LastModified"]
            assert int((tmp_path / "out" / name).stat().st_mtime) == int(modified.timestamp())
        modes = [stat.S_IMODE((tmp_path / "out" / name).stat().st_mode) for name in ("x", "d", "d/y")]
        assert modes == [0o604, 0o750, 0o640]

    @pytest.mark.parametrize("arguments", [("up/", "s3://c/q/"), ("s3://b/p/*", "new/out/"), ("s3://b/p/*", "s3://c")])
    def test_dry_run_prints_the_same_and_changes_nothing(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, arguments: tuple[str, str]
    ) -> None:
        before = places(tmp_path)
        dry = fake("--dry-run", "cp", *arguments)
        assert {record["method"] for record in fake_s3.log()} <= {"GET", "HEAD"}
        assert not fake_s3.log(operation="GetObject")
        assert (places(tmp_path), keys(fake_s3, "c")) == (before, set())
        records = fake("--json", "cp", "--dryrun", *arguments).records
        assert all(record["dry_run"] is True for record in records)
        assert sorted(dry.lines) == sorted(fake("cp", *arguments).lines)
        assert len(dry.lines) == len(FILES)

    def test_stat(self, fake: Command, fake_s3: FakeS3) -> None:
        fake_s3.rule(DENIED, operation="GetObject", key="p/z")
        lines = fake("--stat", "cp", "s3://b/p/*", "out/", status=1).lines
        assert lines[-3:] == ["", "Operation\tTotal\tError\tSuccess\t", "cp\t3\t1\t2\t"]
        assert len(lines) == 5

    def test_stat_on_a_terminal_and_beside_payload(self, fake: Command) -> None:
        """Its tabs are not shown as what they are."""
        head = "Operation\tTotal\tError\tSuccess\t"
        assert f"\n{head}\ncp\t3\t0\t3\t\n" in fake.on_terminal("--stat", "cp", "s3://b/p/*", "out/")
        told = "cp s3://b/p/z -\n"
        assert fake("--stat", *told.split()).stderr == f"{told}\n{head}\ncp\t1\t0\t1\t\n"
        assert fake("--stat", "cat", "s3://b/p/*").stderr == f"\n{head}\ncat\t3\t0\t3\t\n"

    def test_stat_of_a_sync_tells_deletions_by_themselves(self, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        (tmp_path / "one").mkdir()
        (tmp_path / "one/new").write_text("x")
        fill(fake_s3, "c", {f"old/{number:02}": b"" for number in range(50)})
        fake_s3.rule({"type": "delete_errors", "keys": "old/0*", "code": "AccessDenied"}, operation="DeleteObjects")
        lines = fake("--stat", "sync", "--delete", "one/", "s3://c/", status=1).lines
        assert lines[-2:] == ["sync\t1\t0\t1\t", "rm\t50\t10\t40\t"]

    @pytest.mark.parametrize(
        ("arguments", "good"),
        [("ls s3://b/p/*", 3), ("ls", 2), ("du s3://b/p/*", 3), ("head s3://b/p/z", 1), ("head s3://b", 1),
         ("presign s3://b/p/z", 1), ("rm s3://b/p/z", 1), ("mb s3://new", 1)],
    )  # fmt: skip
    def test_stat_of_commands_that_look(self, fake: Command, arguments: str, good: int) -> None:
        name = arguments.split()[0]
        assert fake("--stat", *arguments.split()).lines[-1] == f"{name}\t{good}\t0\t{good}\t"

    def test_stdin_and_stdout(self, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        process = fake.start("cp", "-", "s3://c/k", stdin=-1)
        stdout, stderr = process.communicate(pattern(9 * MIB), timeout=60)
        assert (stdout, stderr, process.returncode) == (b"cp - s3://c/k\n", b"", 0)
        for flags in ([], ["--json"], ["--stat"]):
            process = fake.start(*flags, "cp", "s3://c/k", "-")
            stdout, stderr = process.communicate(timeout=60)
            assert (stdout == pattern(9 * MIB), process.returncode) == (True, 0)
            assert flags != ["--json"] or json.loads(stderr.splitlines()[-1])["record"] == "summary"
        assert not (tmp_path / "-").exists()

    @pytest.mark.parametrize(
        "arguments", ["s3://b/p/* -", "s3://b/none -", "s3://b -", "up/ -", "- s3://c/q/", "- s3://c", "- s3://c/*"]
    )
    def test_stdin_and_stdout_take_one_object(self, fake: Command, fake_s3: FakeS3, arguments: str) -> None:
        outcome = fake("cp", *arguments.split(), status=1, input=b"words")
        assert (outcome.stdout, keys(fake_s3, "c")) == ("", set())
        assert len(failed(outcome)) == 1

    def test_copy_above_five_gibibytes_goes_in_parts(self, fake: Command, fake_s3: FakeS3) -> None:
        fake_s3.pattern("b", "huge", 5 * GIB + 1)
        fake("cp", "s3://b/huge", "s3://c/")
        assert len(fake_s3.log(operation="UploadPartCopy")) >= 2
        wanted, found = (fake_s3.do("crc", bucket=bucket, key="huge") for bucket in "bc")
        assert (found["size"], found["crc64nvme"]) == (5 * GIB + 1, wanted["crc64nvme"])

    @pytest.mark.parametrize("source", ["s3://b/p/z", "s3://b/p/*"])
    def test_onto_itself_is_refused_unless_something_changes(self, fake: Command, fake_s3: FakeS3, source: str) -> None:
        fake("cp", source, "s3://b/p/", status=1)
        assert {record["method"] for record in fake_s3.log()} <= {"GET", "HEAD"}
        fake("cp", "--storage-class", "STANDARD_IA", source, "s3://b/p/")
        fake("cp", "--metadata", "a=1", source, "s3://b/p/")
        assert fake_s3.boto3.head_object(Bucket="b", Key="p/z")["Metadata"] == {"a": "1"}
        assert read(fake_s3, "b", "p/z") == b"z"


class TestFilesFrom:
    NAMES = ("a.txt", "sub/b.txt", " lead", "#hash", "st*r", "no end")

    @pytest.fixture
    def listed(self, fake: Command, fake_s3: FakeS3, tmp_path: Path) -> Command:
        more = {name: name.encode() for name in (*self.NAMES, "stir", "new\nline")}
        plant(tmp_path / "up", more)
        fill(fake_s3, "b", {f"p/{name}": content for name, content in more.items()})
        return fake

    @pytest.mark.parametrize("source", ["up/", "s3://b/p/"])
    @pytest.mark.parametrize("null", [False, True])
    @pytest.mark.parametrize("stdin", [False, True])
    def test_exactly_the_names(
        self, listed: Command, fake_s3: FakeS3, tmp_path: Path, source: str, null: bool, stdin: bool
    ) -> None:
        names = [*self.NAMES, *["new\nline"] * null]
        text = ("\0" if null else "\n").join(names).encode()
        (tmp_path / "list").write_bytes(text)
        changes: dict[str, Any] = {"input": text} if stdin else {}
        flags = ["--files-from", "-" if stdin else "list", *["--null"] * null]
        outcome = listed("cp", *flags, source, "s3://c/q/", **changes)
        assert keys(fake_s3, "c") == {f"q/{name}" for name in names}
        assert len(outcome.lines) == len(names) + 2 * null  # one name is twice two lines
        if source != "up/":
            listed("cp", *flags, source, "out/", **changes)
            assert set(tree(tmp_path / "out")) == set(names)
            assert not [r for r in fake_s3.log(operation="GetObject") if r["key"] == "p/stir"]

    def test_of_a_bucket(self, listed: Command, tmp_path: Path) -> None:
        (tmp_path / "list").write_text("p/a.txt\np/z\n")
        listed("cp", "--files-from", "list", "s3://b", "out/")
        assert set(tree(tmp_path / "out")) == {"p/a.txt", "p/z"}

    @pytest.mark.parametrize(
        ("source", "destination"), [("up/", "s3://c/"), ("s3://b/p/", "out/"), ("s3://b/p/", "s3://c")]
    )
    def test_missing_name_fails_alone(
        self, listed: Command, fake_s3: FakeS3, tmp_path: Path, source: str, destination: str
    ) -> None:
        (tmp_path / "list").write_text("a.txt\nnone\nsub/b.txt\n")
        outcome = listed("--json", "cp", "--files-from", "list", source, destination, status=1)
        assert kinds(outcome) == {f"{source}none": "not_found"}
        assert set(tree(tmp_path / "out")) | keys(fake_s3, "c") == {"a.txt", "sub/b.txt"}

    @pytest.mark.parametrize("name", ["../secret", "sub/../../secret", ".."])
    @pytest.mark.parametrize(("source", "destination"), [("up/", "s3://c/q/"), ("s3://b/p/", "out/in/")])
    def test_no_name_leads_outside(
        self, listed: Command, fake_s3: FakeS3, tmp_path: Path, name: str, source: str, destination: str
    ) -> None:
        plant(tmp_path, {"secret": b"secret", "list": f"{name}\n".encode()})
        fake_s3.put("b", "secret", b"secret")
        fake_s3.put("b", f"p/{name}", b"secret")
        outcome = listed("cp", "--files-from", "list", source, destination, status=None)
        assert outcome.status in (1, 2)
        assert failed(outcome)
        assert (tree(tmp_path / "out"), keys(fake_s3, "c")) == ({}, set())

    def test_list_that_is_missing(self, listed: Command, fake_s3: FakeS3) -> None:
        assert listed("cp", "--files-from", "none", "up/", "s3://c/", status=None).status in (1, 2)
        assert keys(fake_s3, "c") == set()


class TestManifest:
    """What is done and unchanged is skipped by the next run."""

    WAYS = (("up/", "s3://c/q/"), ("s3://b/p/*", "out/"), ("s3://b/p/*", "s3://c/q/"))

    def change(self, server: FakeS3, directory: Path) -> None:
        """`sub/b.txt` of either source gets other bytes of the same size."""
        (directory / "up/sub/b.txt").write_bytes(b"BBB")
        age(directory / "up/sub/b.txt", 5_000)
        server.put("b", "p/sub/b.txt", b"BBB")

    @pytest.mark.parametrize("way", WAYS)
    def test_second_run_skips_all_but_what_changed(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, way: tuple[str, str]
    ) -> None:
        first = way[0].rstrip("*")
        fake("cp", "--manifest", "m", *way)
        records = [json.loads(line) for line in (tmp_path / "m").read_text().splitlines()]
        assert {record["source"] for record in records if "source" in record} >= {first + name for name in FILES}
        outcome = fake("--json", "cp", "--manifest", "m", *way)
        assert reasons(outcome) == {first + name: "manifest" for name in FILES}
        self.change(fake_s3, tmp_path)
        assert fake("cp", "--manifest", "m", *way).lines == [f"cp {first}sub/b.txt {way[1]}sub/b.txt"]
        done = {f"q/{name}": content for name, content in (FILES | {"sub/b.txt": b"BBB"}).items()}
        found = objects(fake_s3, "c") or {f"q/{name}": content for name, content in tree(tmp_path / "out").items()}
        assert found == done
        assert fake("cp", "--manifest", "m", *way).lines == []

    def test_half_written_last_line_is_ignored(self, fake: Command, tmp_path: Path) -> None:
        fake("cp", "--manifest", "m", "up/", "s3://c/")
        content = (tmp_path / "m").read_bytes()
        (tmp_path / "m").write_bytes(content[:-9])
        assert len(fake("cp", "--manifest", "m", "up/", "s3://c/").lines) == 1
        assert fake("cp", "--manifest", "m", "up/", "s3://c/").lines == []

    def test_what_failed_is_tried_again(self, fake: Command, fake_s3: FakeS3) -> None:
        fake_s3.rule(DENIED, operation="PutObject", key="z", times=1)
        fake("cp", "--manifest", "m", "up/", "s3://c/", status=1)
        assert fake("cp", "--manifest", "m", "up/", "s3://c/").lines == ["cp up/z s3://c/z"]

    def test_manifest_of_another_job_makes_nothing_skip(self, fake: Command, fake_s3: FakeS3) -> None:
        fake("cp", "--manifest", "m", "up/", "s3://c/q/")
        outcome = fake("cp", "--manifest", "m", "up/", "s3://c/r/", status=None)
        missing = {f"r/{name}" for name in FILES} - keys(fake_s3, "c")
        assert outcome.status == bool(missing), "it is either refused or done"
        assert bool(failed(outcome)) == bool(missing)

    @pytest.mark.parametrize(
        "content",
        [b"my notes\nand no end", b"no line at all", b"\0" * 300, b"\n", b'{"record":"manifest"}\n', b"x" * 200],
    )
    def test_foreign_file_is_refused_and_left_as_it_is(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, content: bytes
    ) -> None:
        (tmp_path / "m").write_bytes(content)
        outcome = fake("cp", "--manifest", "m", "up/", "s3://c/q/", status=1)
        assert "is no manifest of this job" in outcome.stderr
        assert (tmp_path / "m").read_bytes() == content
        assert keys(fake_s3, "c") == set()

    @pytest.mark.parametrize("cut", [0, 1, 20])
    def test_first_line_that_was_cut_short_is_begun_anew(self, fake: Command, tmp_path: Path, cut: int) -> None:
        fake("cp", "--manifest", "m", "up/", "s3://c/q/")
        (tmp_path / "m").write_bytes((tmp_path / "m").read_bytes()[:cut])
        fake("cp", "--manifest", "m", "up/", "s3://c/q/")
        assert set(reasons(fake("--json", "cp", "--manifest", "m", "up/", "s3://c/q/")).values()) == {"manifest"}

    def test_manifest_in_use_is_refused(self, fake: Command, fake_s3: FakeS3) -> None:
        fake_s3.rule({"type": "latency", "ms": 60_000}, operation="PutObject", times=len(FILES))
        process = fake.start("cp", "--manifest", "m", "up/", "s3://c/q/")
        try:
            fake_s3.wait_for_log(operation="PutObject")
            outcome = fake("cp", "--manifest", "m", "up/", "s3://c/r/", status=1)
        finally:
            process.kill()
            process.communicate()
        assert (len(failed(outcome)), outcome.stdout) == (1, "")
        assert not any(key.startswith("r/") for key in keys(fake_s3, "c"))

    def test_of_another_store_is_of_another_job(self, fake: Command, fake_s3: FakeS3) -> None:
        second = FakeS3("--bucket", "c")
        try:
            fake("cp", "--manifest", "m", "up/", "s3://c/q/")
            for far in ("--endpoint-url", "--destination-endpoint-url"):
                outcome = fake("cp", "--manifest", "m", far, second.endpoint, "up/", "s3://c/q/", status=1)
                assert "is no manifest of this job" in outcome.stderr
            fake("cp", "--manifest", "m2", "--endpoint-url", second.endpoint, "up/", "s3://c/q/")
            assert keys(second, "c") == {f"q/{name}" for name in FILES}
        finally:
            second.stop()

    def test_of_another_directory_is_of_another_job(self, fake: Command, tmp_path: Path) -> None:
        (tmp_path / "there").mkdir()
        fake("cp", "--manifest", "m", "s3://b/p/*", "out/")
        outcome = fake("cp", "--manifest", "../m", "s3://b/p/*", "out/", cwd=tmp_path / "there", status=1)
        assert "is no manifest of this job" in outcome.stderr
        assert not (tmp_path / "there/out").exists()

    @pytest.mark.parametrize("way", [("s3://b/p/*", "out/"), ("s3://b/p/z", "out/z")])
    def test_file_that_is_gone_comes_again(self, fake: Command, tmp_path: Path, way: tuple[str, str]) -> None:
        fake("cp", "--manifest", "m", *way)
        (tmp_path / "out/z").unlink()
        assert fake("cp", "--manifest", "m", *way).lines == ["cp s3://b/p/z out/z"]
        assert (tmp_path / "out/z").read_bytes() == b"z"

    @pytest.mark.parametrize("operation", ["cp", "mv"])
    def test_manifest_in_the_source_stays_there(
        self, fake: Command, fake_s3: FakeS3, tmp_path: Path, operation: str
    ) -> None:
        outcome = fake("--json", operation, "--manifest", "up/m", "up/", "s3://c/q/")
        assert reasons(outcome) == {"up/m": "manifest"}
        assert keys(fake_s3, "c") == {f"q/{name}" for name in FILES}
        assert (tmp_path / "up/m").read_bytes().count(b"done") == len(FILES)

    def test_dry_run_writes_none(self, fake: Command, tmp_path: Path) -> None:
        fake("--dry-run", "cp", "--manifest", "m", "up/", "s3://c/")
        assert not (tmp_path / "m").exists()


class TestTwoEndpoints:
    @pytest.fixture
    def second(self) -> Iterator[FakeS3]:
        server = FakeS3("--access-key", "second", "--secret-key", "second-secret", "--bucket", "far")
        yield server
        server.stop()

    @pytest.fixture
    def profiles(self, fake_s3: FakeS3, second: FakeS3, tmp_path: Path) -> dict[str, str]:
        lines = []
        for name, each in (("near", fake_s3), ("far", second)):
            lines += [f"[{name}]", f"aws_access_key_id={each.access_key}", f"aws_secret_access_key={each.secret_key}"]
        (tmp_path / ".home/credentials").write_text("\n".join(lines))
        return {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / ".home/credentials")}

    def test_there_and_back(
        self, fake: Command, fake_s3: FakeS3, second: FakeS3, tmp_path: Path, profiles: dict[str, str]
    ) -> None:
        fake_s3.boto3.put_object(
            Bucket="b", Key="p/big", Body=pattern(20 * MIB), Metadata={"k": "v"}, ContentType="x/y", CacheControl="c"
        )
        far = ["--destination-endpoint-url", second.endpoint, "--destination-profile", "far"]
        outcome = fake("cp", *far, "s3://b/p/*", "s3://far/q/", env=profiles)
        assert sorted(outcome.lines) == sorted(f"cp s3://b/p/{n} s3://far/q/{n}" for n in (*FILES, "big"))
        assert keys(second, "far") == {f"q/{name}" for name in (*FILES, "big")}
        head = second.boto3.head_object(Bucket="far", Key="q/big")
        assert (head["Metadata"], head["ContentType"], head["CacheControl"]) == ({"k": "v"}, "x/y", "c")
        near = ["--source-endpoint-url", second.endpoint, "--source-profile", "far"]
        fake("cp", *near, "s3://far/q/*", "s3://c/", env=profiles)
        assert {name: read(fake_s3, "c", name) for name in FILES} == FILES
        fake("cp", "s3://c/big", "big")
        assert is_pattern(tmp_path / "big", 20 * MIB)
        assert second.uploads() == []

    def test_broken_stream_leaves_no_object(
        self, fake: Command, fake_s3: FakeS3, second: FakeS3, profiles: dict[str, str]
    ) -> None:
        fake_s3.pattern("b", "p/big", 20 * MIB)
        fake_s3.rule({"type": "bit_flip", "offset": 19 * MIB}, operation="GetObject", key="p/big")
        far = ["--destination-endpoint-url", second.endpoint, "--destination-profile", "far"]
        outcome = fake("--json", "-r", "1", "cp", *far, "s3://b/p/*", "s3://far/", env=profiles, status=1)
        assert kinds(outcome) == {"s3://b/p/big": "integrity"}
        assert keys(second, "far") == {*FILES}
        assert second.uploads() == []

    @pytest.mark.parametrize("option", ["--source-endpoint-url=http://127.0.0.1:1", "--source-profile=x"])
    def test_local_side_has_no_endpoint(self, fake: Command, fake_s3: FakeS3, option: str) -> None:
        assert fake("cp", option, "up/", "s3://c/", status=None).status in (1, 2)
        assert keys(fake_s3, "c") == set()


@pytest.mark.parametrize(("asked", "stored"), [(None, True), ("when_supported", True), ("when_required", False)])
def test_checksums_are_sent_as_the_environment_asks(
    fake: Command, fake_s3: FakeS3, asked: str | None, stored: bool
) -> None:
    """`AWS_REQUEST_CHECKSUM_CALCULATION`, cli.md 9."""
    fake("cp", "up/", "s3://c/q/", env={} if asked is None else {"AWS_REQUEST_CHECKSUM_CALCULATION": asked})
    sent = [dict(record["headers"]) for record in fake_s3.log(operation="PutObject")]
    assert len(sent) == len(FILES)
    assert all(("x-amz-checksum-crc64nvme" in headers) is stored for headers in sent)
