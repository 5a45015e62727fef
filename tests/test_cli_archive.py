"""`s3z pack`, `unpack` and `archive`: grammar, lines, records, exit statuses (archive.md 10, cli.md 5 to 7)."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from support.archive_files import NAMES, flipped, foreign, small_tree
from support.archive_tree import look, noise
from support.command import SCRIPT
from support.data import MIB, leftovers, write_pattern

import s3z

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Command
    from support.servers import FakeS3

SHOWN = [name.decode("utf-8", "surrogateescape") for name in NAMES]


@pytest.fixture
def run(fake_s3: FakeS3, command: Callable[..., Command], tmp_path: Path) -> Command:
    """Runs beside `dir`, a small tree, with a bucket `b`."""
    small_tree(tmp_path / "dir")
    fake_s3.do("create_bucket", bucket="b")
    fake_s3.do("clear_log")
    return command(fake_s3)


@pytest.fixture
def packed(run: Command) -> Command:
    """The same, with `a.tar.zst` and `s3://b/a.tar.zst`."""
    run("pack", "dir/", "a.tar.zst")
    run("pack", "dir/", "s3://b/a.tar.zst")
    return run


def listed(run: Command, name: str) -> list[str]:
    """Names in an archive, by GNU tar."""
    done = subprocess.run(
        ["tar", "-tf", name, "--quoting-style=literal"], cwd=run.directory, capture_output=True, check=True
    )
    return [line for line in done.stdout.decode("utf-8", "surrogateescape").splitlines() if "__s3z__" not in line]


class TestPack:
    def test_line(self, run: Command) -> None:
        outcome = run("pack", "dir/", "a.tar.zst")
        assert (outcome.stdout, outcome.stderr) == ("pack dir/ a.tar.zst\n", "")
        outcome = run("pack", "dir", "s3://b/d.tar.zst")
        assert (outcome.stdout, outcome.stderr) == ("pack dir s3://b/d.tar.zst\n", "")

    def test_record(self, run: Command) -> None:
        record, summary = run("--json", "pack", "dir/", "s3://b/a.tar.zst").records
        assert (record["operation"], record["success"]) == ("pack", True)
        assert (record["source"], record["destination"]) == ("dir/", "s3://b/a.tar.zst")
        assert (record["entries"], record["files"], record["skipped"], record["failed"]) == (17, 10, {}, 0)
        assert record["object"]["size"] == record["bytes_out"]
        assert re.fullmatch("[0-9a-f]{64}", record["root"])
        assert record["verified"].endswith("crc64nvme")
        assert (summary["command"], summary["success"], summary["objects"]["done"]) == ("pack", True, 17)
        assert summary["bytes"]["transferred"] == record["bytes_in"]

    @pytest.mark.parametrize(
        ("source", "names"),
        [
            ("dir/", SHOWN),
            ("dir", ["dir/", *(f"dir/{name}" for name in SHOWN)]),
            (".", None),
            ("dir/a.txt", ["a.txt"]),
            ("dir/*", SHOWN),
            ("dir/*.txt", ["a.txt"]),
            ("dir/?.txt", ["a.txt"]),
            ("dir/s*", [name for name in SHOWN if name.startswith("sub")]),
            ("d?r/sub/*.txt", ["dir/sub/b.txt"]),
            ("dir/*/b.txt", ["sub/b.txt"]),
            ("dir/*o*", ["nothing/", "photos/", "photos/1.jpg", "photos/2.jpg"]),
            ("dir/.h*", [".hidden/", ".hidden/x"]),
            ("dir/p*/", ["photos/", "photos/1.jpg", "photos/2.jpg"]),
        ],
    )
    def test_sources(self, run: Command, source: str, names: list[str] | None) -> None:
        run("pack", source, "out/a.tar.zst")
        if names is None:
            assert "dir/sub/b.txt" in listed(run, "out/a.tar.zst")
        else:
            assert listed(run, "out/a.tar.zst") == names

    def test_files_and_directories_that_match(self, run: Command) -> None:
        """In name order, whichever they are: `a-b`, `a.c`, `a/`."""
        for name in ("m-b", "m.c", "m0", "m/x", "m/y/z"):
            path = run.directory / "dir" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
        run("pack", "dir/m*", "a.tar.zst")
        assert listed(run, "a.tar.zst") == ["m-b", "m.c", "m/", "m/x", "m/y/", "m/y/z", "m0"]
        run("unpack", "a.tar.zst", "out")
        assert {path.read_text() for path in (run.directory / "out").rglob("*") if path.is_file()} == {
            "m-b", "m.c", "m0", "m/x", "m/y/z",
        }  # fmt: skip

    def test_a_link_that_matches_is_a_link(self, run: Command) -> None:
        run("pack", "dir/l*", "a.tar.zst")
        run("unpack", "a.tar.zst", "out", "--allow-unsafe-links")
        assert os.readlink(run.directory / "out" / "link") == "sub/b.txt"

    def test_more_matches_than_descriptors(self, run: Command) -> None:
        (run.directory / "many").mkdir()
        for number in range(300):
            (run.directory / "many" / f"f{number:03}").write_text("x")
        script = f"ulimit -n 100; exec {SCRIPT} pack 'many/f*' a.tar.zst"
        run(program=["sh", "-c", script])
        assert len(listed(run, "a.tar.zst")) == 300

    def test_raw(self, run: Command) -> None:
        (run.directory / "d*").mkdir()
        (run.directory / "d*" / "x").write_text("x")
        run("pack", "--raw", "d*", "a*.tar.zst")
        assert listed(run, "a*.tar.zst") == ["d*/", "d*/x"]

    @pytest.mark.parametrize(
        ("source", "names"),
        [
            ("s3://b", ["p/a.txt", "p/b.bin", "p/sub/c.txt", "q.txt"]),
            ("s3://b/p/", ["a.txt", "b.bin", "sub/c.txt"]),
            ("s3://b/p/*", ["a.txt", "b.bin", "sub/c.txt"]),
            ("s3://b/p*", ["p/a.txt", "p/b.bin", "p/sub/c.txt"]),
            ("s3://b/p/*.txt", ["a.txt", "sub/c.txt"]),
            ("s3://b/*/?.bin", ["p/b.bin"]),
        ],
    )
    def test_remote_sources(self, fake_s3: FakeS3, run: Command, source: str, names: list[str]) -> None:
        for key in ("p/a.txt", "p/b.bin", "p/sub/c.txt", "q.txt"):
            fake_s3.put("b", key, key.encode())
        outcome = run("pack", source, "a.tar.zst")
        assert outcome.lines == [f"pack {source} a.tar.zst"]
        assert listed(run, "a.tar.zst") == names

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["nope", "a.tar.zst"], 'given object "nope" not found'),
            (["dir/x*", "a.tar.zst"], 'no match found for "dir/x*"'),
            (["empty/*", "a.tar.zst"], 'no match found for "empty/*"'),
            (["nope/*", "a.tar.zst"], 'no match found for "nope/*"'),
            (["fifo", "a.tar.zst"], 'object "fifo" is not a regular file'),
            (["dir/a.txt/", "a.tar.zst"], 'given object "dir/a.txt/" not found'),
            (["s3://b/k", "a.tar.zst"], 'source "s3://b/k" must be a bucket, a prefix or a wildcard'),
            (["s3://b/no/", "a.tar.zst"], "no object found"),
            (["s3://b/no*", "a.tar.zst"], "no object found"),
            (["s3://none/", "a.tar.zst"], "NoSuchBucket"),
            (["dir/", "s3://b"], 'target "s3://b" must be an object'),
            (["dir/", "s3://b/p/"], 'target "s3://b/p/" must be an object'),
            (["dir/", "s3://b/p*"], 'target "s3://b/p*" can not contain glob characters'),
            (["dir/", "a*"], 'target "a*" can not contain glob characters'),
            (["dir/", "empty"], 'target "empty" is a directory'),
            (["dir/", "new/"], 'target "new/" is a directory'),
            (["dir/a.txt", "dir/a.txt"], "both source and destination"),
            (["--codec=zstd", "dir/", "a.tar"], "contradicts"),
            (["gs://b/p/", "a.tar.zst"], '"gs://" is not a scheme of s3z'),
        ],
    )
    def test_refusals(self, run: Command, arguments: list[str], message: str) -> None:
        os.mkfifo(run.directory / "fifo")
        (run.directory / "empty").mkdir()
        before = sorted(os.listdir(run.directory))
        outcome = run("pack", *arguments, status=1)
        assert outcome.stdout == ""
        assert outcome.errors[0].startswith('ERROR "pack ')
        assert message in outcome.errors[0]
        assert sorted(os.listdir(run.directory)) == before

    @pytest.mark.parametrize(
        "arguments",
        [
            ["dir/"], ["dir/", "a", "b"], ["-l", "20", "dir/", "a"], ["-l", "x", "dir/", "a"],
            ["--codec=gz", "dir/", "a"], ["--group-size=1K", "dir/", "a"], ["--slice-size=3M", "dir/", "a"],
            ["--on-error=ask", "dir/", "a"],
            ["-p", "1", "dir/", "s3://b/a"], ["-p", "8", "dir/", "a.tar.zst"], ["--acl", "private", "dir/", "a.tar"],
            ["--storage-class", "X", "dir/", "-"], ["--append", "dir/", "a.tar.zst"], ["--numworkers=0", "dir/", "a"],
        ],
        ids=" ".join,
    )  # fmt: skip
    def test_usage(self, fake_s3: FakeS3, run: Command, arguments: list[str]) -> None:
        outcome = run("pack", *arguments, status=2)
        assert outcome.errors[0].startswith('ERROR "pack": ')
        assert fake_s3.log() == []
        assert sorted(os.listdir(run.directory)) == [".home", "dir"]

    def test_options_reach_the_archive(self, run: Command) -> None:
        run("pack", "-l", "-3", "--group-size", "64K", "--slice-size", "1M", "--file-hash", "dir/", "a.tar.zst")
        run("archive", "index", "-o", "a.arrow", "a.tar.zst")
        import pyarrow as pa

        metadata = pa.ipc.open_file(run.directory / "a.arrow").schema.metadata
        assert (metadata[b"s3z.level"], metadata[b"s3z.group_size"], metadata[b"s3z.slice_size"]) == (
            b"-3", b"65536", b"1048576",
        )  # fmt: skip

    def test_filters(self, run: Command) -> None:
        run("pack", "--include", "*.txt", "--exclude", "sub/d*", "--exclude", "", "dir/", "a.tar.zst")
        assert listed(run, "a.tar.zst") == ["a.txt", "sub/b.txt"]

    def test_headers(self, fake_s3: FakeS3, run: Command) -> None:
        run("pack", "--metadata", "a=b", "--cache-control=no-cache", "-p", "5M", "dir/", "s3://b/a.tar.zst")
        head = fake_s3.boto3.head_object(Bucket="b", Key="a.tar.zst")
        assert (head["Metadata"], head["ContentType"], head["CacheControl"]) == (
            {"a": "b"}, "application/zstd", "no-cache",
        )  # fmt: skip

    @pytest.mark.parametrize("target", ["a.tar.zst", "s3://b/a.tar.zst"])
    def test_no_clobber(self, fake_s3: FakeS3, run: Command, target: str) -> None:
        assert run("pack", "-n", "dir/", target).lines == [f"pack dir/ {target}"]
        outcome = run("--json", "pack", "-n", "dir/sub", target)
        assert outcome.records[0]["reason"] == "exists"
        assert outcome.records[1]["objects"] == {
            "done": 0, "skipped": 1, "failed": 0, "deleted": 0, "deletes_held_back": 0,
        }  # fmt: skip
        assert run("archive", "cat", target, "a.txt").stdout == "hello\n"

    def test_dry_run(self, fake_s3: FakeS3, run: Command) -> None:
        assert run("--dry-run", "pack", "dir/", "new/a.tar.zst").lines == ["pack dir/ new/a.tar.zst"]
        assert run("--dry-run", "pack", "dir/", "s3://b/a").lines == ["pack dir/ s3://b/a"]
        assert sorted(os.listdir(run.directory)) == [".home", "dir"]
        assert fake_s3.do("keys", bucket="b")["keys"] == []

    def test_stdout(self, run: Command) -> None:
        run("pack", "dir/", "a.tar.zst")
        expected = (run.directory / "a.tar.zst").read_bytes()
        for flags in ([], ["--json"], ["-q"], ["--stat"]):
            process = run.start(*flags, "pack", "dir/", "-")
            stdout, stderr = process.communicate(timeout=60)
            assert (process.returncode, stdout) == (0, expected)
            if flags == ["--json"]:
                result, summary = (json.loads(line) for line in stderr.splitlines())
                assert (result["destination"], summary["record"]) == ("-", "summary")
            elif flags == ["-q"]:
                assert stderr == b""
            else:
                assert stderr.startswith(b"pack dir/ -\n")

    def test_plain_tar_on_stdout(self, run: Command) -> None:
        run("pack", "dir/", "a.tar")
        process = run.start("pack", "--codec", "none", "dir/", "-")
        assert process.communicate(timeout=60)[0] == (run.directory / "a.tar").read_bytes()

    def test_reader_that_leaves(self, run: Command) -> None:
        (run.directory / "dir" / "large").write_bytes(noise(9 * MIB))
        done = subprocess.run(
            ["bash", "-c", f"{SCRIPT} pack dir/ - | head -c 100 | wc -c; echo ${{PIPESTATUS[0]}}"],
            cwd=run.directory, env=run.environment, capture_output=True, timeout=60, check=True,
        )  # fmt: skip
        assert done.stdout.split() == [b"100", b"0"]
        assert done.stderr == b""

    def test_not_to_a_terminal(self, run: Command) -> None:
        assert "not for a terminal" in run.on_terminal("pack", "dir/", "-", status=1)

    def test_special_files_are_told(self, run: Command) -> None:
        os.mkfifo(run.directory / "dir" / "fifo")
        outcome = run("pack", "dir/", "a.tar.zst")
        assert outcome.lines == ["pack dir/ a.tar.zst"]
        assert outcome.errors == ['WARNING "pack dir/ a.tar.zst": left out: 1 that are sockets, devices or FIFOs']

    def test_failed_entry(self, fake_s3: FakeS3, run: Command) -> None:
        for key in ("p/a", "p/b"):
            fake_s3.put("b", key, b"x")
        fake_s3.rule({"type": "respond", "status": 403, "code": "AccessDenied"}, operation="GetObject", key="p/b")
        run("pack", "s3://b/p/", "a.tar.zst", status=1)
        assert not (run.directory / "a.tar.zst").exists()
        outcome = run("--json", "pack", "--on-error=skip", "s3://b/p/", "a.tar.zst", status=1)
        result, summary = outcome.records
        assert (result["entries"], result["failed"]) == (1, 1)
        assert (summary["success"], summary["objects"]["failed"]) == (False, 1)
        (error,) = outcome.error_records
        assert (error["success"], error["error"]["kind"]) == (False, "access_denied")
        assert error["error"]["message"].startswith("b: ")

    def test_workers(self, run: Command) -> None:
        for flags, variable, workers in (["--numworkers=3"], "auto", 3), ([], "2", 2), (["--numworkers", "1"], "2", 1):
            environment = {"S3Z_NUMWORKERS": variable}
            record = run("--json", *flags, "pack", "dir/", "a.tar.zst", env=environment).records[0]
            assert record["workers"] == workers
        outcome = run("pack", "dir/", "a.tar.zst", env={"S3Z_NUMWORKERS": "many"}, status=1)
        assert "S3Z_NUMWORKERS" in outcome.stderr

    def test_calibrate(self, run: Command) -> None:
        outcome = run("pack", "--calibrate", "dir/")
        assert outcome.lines[0].split()[0] == "1"
        assert sorted(os.listdir(run.directory)) == [".home", "dir"]
        assert "calibrate" not in run("pack", "--help").stdout

    def test_progress(self, run: Command) -> None:
        drawn = run.on_terminal("--sp", "pack", "dir/", "a.tar.zst")
        assert "pack dir/ a.tar.zst" in drawn
        assert re.search(r"17 objects, 9\.\dM, ", drawn)

    @pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
    @pytest.mark.parametrize("target", ["s3://b/a.tar.zst", "a.tar.zst"])
    def test_killed_half_way(self, fake_s3: FakeS3, run: Command, name: str, target: str) -> None:
        (run.directory / "dir" / "large.zip").write_bytes(b"")
        write_pattern(run.directory / "dir" / "large.zip", 200 * MIB)
        if target.startswith("s3"):
            fake_s3.switch(rate_total=20 * MIB)
        process = run.start("--log-progress", "0.05", "pack", "dir/", target)
        assert process.stderr is not None
        if target.startswith("s3"):
            fake_s3.wait_for_log(operation="UploadPart")
        else:
            process.stderr.readline()
        sent = time.monotonic()
        process.send_signal(getattr(signal, name))
        process.communicate(timeout=30)
        fake_s3.switch(rate_total=0)
        if target.startswith("s3") or process.returncode:
            assert process.returncode == -getattr(signal, name)
            assert time.monotonic() - sent < 4
            if (run.directory / "a.tar.zst").exists():
                run("archive", "verify", "a.tar.zst")  # it came just before the signal, whole
        assert fake_s3.do("keys", bucket="b")["keys"] == []
        assert fake_s3.uploads() == []
        assert leftovers(run.directory) == []


class TestUnpack:
    @pytest.mark.parametrize("archive", ["a.tar.zst", "s3://b/a.tar.zst"])
    def test_line(self, packed: Command, archive: str) -> None:
        outcome = packed("unpack", archive, "out/")
        assert (outcome.stdout, outcome.stderr) == (f"unpack {archive} out/\n", "")
        assert look(packed.directory / "out") == look(packed.directory / "dir")

    def test_record(self, packed: Command) -> None:
        record, summary = packed("--json", "unpack", "a.tar.zst", "out").records
        assert (record["operation"], record["success"], record["source"]) == ("unpack", True, "a.tar.zst")
        assert (record["entries"], record["files"], record["verified"], record["is_indexed"]) == (17, 10, True, True)
        assert (summary["command"], summary["objects"]["done"]) == ("unpack", 17)

    @pytest.mark.parametrize(
        ("arguments", "kept"),
        [
            (["a.tar.zst::sub/deep/", "out"], ["sub/deep/c.txt"]),
            (["a.tar.zst", "out", "a.txt", "sub/b.txt"], ["a.txt", "sub/b.txt"]),
            (["--strip-components", "1", "a.tar.zst::photos/", "out"], ["1.jpg", "2.jpg"]),
            (["--include", "*.jpg", "--exclude", "*/1*", "a.tar.zst", "out"], ["photos/2.jpg"]),
        ],
        ids=str,
    )
    def test_parts(self, packed: Command, arguments: list[str], kept: list[str]) -> None:
        packed("unpack", *arguments)
        out = packed.directory / "out"
        assert sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()) == kept

    @pytest.mark.parametrize("flags", [["--durable"], ["--memory-limit=64M"], ["--numworkers=2"], ["--same-owner"]])
    def test_flags(self, packed: Command, flags: list[str]) -> None:
        packed("unpack", *flags, "a.tar.zst", "out")
        assert look(packed.directory / "out") == look(packed.directory / "dir")

    def test_two_colons_in_a_name(self, packed: Command) -> None:
        (packed.directory / "a.tar.zst").rename(packed.directory / "x::y.tar.zst")
        packed("unpack", "x::y.tar.zst", "out", status=1)
        packed("unpack", "--raw", "x::y.tar.zst", "out")
        packed("unpack", "x::y.tar.zst::sub/", "out2")
        packed("unpack", "x::y.tar.zst", "out3", "a.txt")
        assert os.listdir(packed.directory / "out3") == ["a.txt"]

    def test_no_clobber(self, packed: Command) -> None:
        (packed.directory / "out").mkdir()
        (packed.directory / "out" / "a.txt").write_text("mine")
        outcome = packed("--json", "unpack", "-n", "a.tar.zst", "out", "a.txt", "empty")
        assert outcome.records[0]["skipped"] == {"exists": 1}
        assert (packed.directory / "out" / "a.txt").read_text() == "mine"

    @pytest.mark.parametrize("name", ["a.tar.zst", "a.tar"])
    def test_stdin(self, packed: Command, name: str) -> None:
        packed("pack", "dir/", "a.tar")
        with open(packed.directory / name, "rb") as file:
            outcome = packed("unpack", "-", "out", stdin=file)
        assert outcome.lines == ["unpack - out"]
        assert look(packed.directory / "out") == look(packed.directory / "dir")

    def test_pipeline(self, run: Command) -> None:
        script = f"set -o pipefail; {SCRIPT} pack dir/ - | {SCRIPT} unpack - out"
        run(program=["bash", "-c", script])
        assert look(run.directory / "out") == look(run.directory / "dir")

    def test_dry_run(self, packed: Command) -> None:
        assert packed("--dry-run", "unpack", "s3://b/a.tar.zst", "out").lines == ["unpack s3://b/a.tar.zst out"]
        assert not (packed.directory / "out").exists()
        packed("--dry-run", "unpack", "s3://b/none", "out", status=1)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["nope", "out"], 'given object "nope" not found'),
            (["s3://b/nope", "out"], 'given object "s3://b/nope" not found'),
            (["s3://b", "out"], 'archive "s3://b" must be an object'),
            (["s3://b/p/", "out"], 'archive "s3://b/p/" must be an object'),
            (["a.tar.zst", "s3://b/p"], 'target "s3://b/p" must be a bucket or a prefix'),
            (["a.tar.zst", "a.tar.zst"], 'target "a.tar.zst" is not a directory'),
            (["a.tar.zst", "out*"], 'target "out*" can not contain glob characters'),
            (["a.tar.zst", "out", "missing"], "missing"),
            (["--max-bytes=1M", "a.tar.zst", "out"], "max"),
            (["--max-members=5", "a.tar.zst", "out"], "max"),
            ([f"--root={'00' * 32}", "a.tar.zst", "out"], "root"),
            (["dir/a.txt", "out"], "malformed"),
        ],
        ids=str,
    )
    def test_refusals(self, packed: Command, arguments: list[str], message: str) -> None:
        outcome = packed("unpack", *arguments, status=1)
        assert outcome.stdout == ""
        assert outcome.errors[0].startswith('ERROR "unpack ')
        assert message in outcome.stderr
        out = packed.directory / "out"
        assert not out.exists() or list(out.iterdir()) == []

    @pytest.mark.parametrize(
        "arguments",
        [["a"], ["--root=12", "a", "b"], ["--max-ratio=0", "a", "b"], ["--trust=zip", "a", "b"], ["-l", "3", "a", "b"]],
        ids=" ".join,
    )
    def test_usage(self, run: Command, arguments: list[str]) -> None:
        assert run("unpack", *arguments, status=2).errors[0].startswith('ERROR "unpack": ')

    def test_failed_entry(self, packed: Command) -> None:
        path = packed.directory / "a.tar.zst"
        with s3z.Archive(path) as archive:
            found = archive.range_of("photos/1.jpg")
        assert found is not None
        path.write_bytes(flipped(path.read_bytes(), found.offset + 9))
        outcome = packed("unpack", "a.tar.zst", "out", status=1)
        assert outcome.stdout == ""
        assert len([line for line in outcome.errors if line.startswith("ERROR ")]) == 1
        assert "photos/1.jpg" in outcome.errors[0]
        assert not (packed.directory / "out" / "photos" / "1.jpg").exists()
        assert (packed.directory / "out" / "photos" / "2.jpg").exists()
        outcome = packed("--json", "unpack", "a.tar.zst", "out2", status=1)
        assert outcome.error_records[0]["error"]["kind"] == "integrity"
        assert outcome.records[-1]["objects"] == {
            "done": 16, "skipped": 0, "failed": 1, "deleted": 0, "deletes_held_back": 0,
        }  # fmt: skip

    def test_unsafe_entry(self, run: Command) -> None:
        foreign(run.directory / "bad.tar", ("../evil", b"x"))
        outcome = run("unpack", "bad.tar", "out", status=1)
        assert "evil" in outcome.stderr
        assert not (run.directory / "evil").exists()

    @pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
    def test_killed(self, fake_s3: FakeS3, run: Command, name: str) -> None:
        write_pattern(run.directory / "dir" / "large.zip", 100 * MIB)
        run("pack", "dir/", "s3://b/a.tar.zst")
        fake_s3.switch(rate_total=20 * MIB)
        fake_s3.do("clear_log")
        process = run.start("unpack", "s3://b/a.tar.zst", "out")
        fake_s3.wait_for_log(count=3, operation="GetObject")
        process.send_signal(getattr(signal, name))
        process.communicate(timeout=30)
        fake_s3.switch(rate_total=0)
        assert process.returncode == -getattr(signal, name)
        assert leftovers(run.directory) == []
        assert not (run.directory / "out" / "large.zip").exists()


class TestLs:
    @pytest.mark.parametrize("archive", ["a.tar.zst", "s3://b/a.tar.zst"])
    def test_lines(self, packed: Command, archive: str) -> None:
        outcome = packed("archive", "ls", archive)
        assert [line[38:] for line in outcome.lines] == SHOWN
        lines = {line[38:]: line[:38] for line in outcome.lines}
        assert lines["a.txt"] == "2023/11/14 22:13:20                 6 "
        assert lines["sub/"] == "                                  DIR "
        assert lines["link"] == "2023/11/14 22:13:20    l            0 "
        assert lines["z-same"] == "2023/11/14 22:13:20    h            6 "
        assert outcome.stderr == ""

    @pytest.mark.parametrize(
        ("arguments", "names"),
        [
            (["sub/"], [name for name in SHOWN if name.startswith("sub/")]),
            (["photos"], ["photos/", "photos/1.jpg", "photos/2.jpg"]),
            (["*.txt"], ["a.txt", "sub/b.txt", "sub/deep/c.txt"]),
            (["*/1*", "a.t?t"], ["photos/1.jpg", "a.txt"]),
            (["--exclude", "*.jpg", "photos/"], ["photos/"]),
            (["sub/deep"], ["sub/deep/", "sub/deep/c.txt"]),
        ],
        ids=str,
    )
    def test_patterns(self, packed: Command, arguments: list[str], names: list[str]) -> None:
        options = [each for each in arguments if arguments[0] == "--exclude"][:2]
        outcome = packed("archive", "ls", *options, "a.tar.zst", *arguments[len(options) :])
        assert [line[38:] for line in outcome.lines] == names

    def test_human_sizes(self, packed: Command) -> None:
        assert packed("archive", "ls", "-H", "a.tar.zst", "big.bin").stdout.split()[2] == "9.0M"

    def test_records(self, packed: Command) -> None:
        records = {record["key"]: record for record in packed("--json", "archive", "ls", "a.tar.zst").records}
        assert records["a.txt"] | {"checksum": ""} == {
            "key": "a.txt", "last_modified": "2023-11-14T22:13:20Z", "type": "file", "size": 6, "mode": "0644",
            "stored": False, "checksum": "",
        }  # fmt: skip
        assert (records["link"]["type"], records["link"]["link_target"]) == ("symlink", "sub/b.txt")
        assert (records["z-same"]["type"], records["z-same"]["link_target"]) == ("hard_link", "a.txt")
        assert records["sub/"]["type"] == "directory"
        assert records["sub/\ufffd.bin"]["key_base64"] == "c3ViL/8uYmlu"
        assert "record" not in records["a.txt"]

    def test_names_on_a_terminal(self, run: Command) -> None:
        (run.directory / "dir" / "new\nline\x1b[31m").write_text("x")
        run("pack", "dir/", "a.tar.zst")
        drawn = run.on_terminal("archive", "ls", "a.tar.zst", "new")
        assert drawn.endswith(" new\\nline\\x1b[31m\n")
        assert "new\nline\x1b[31m" in run("archive", "ls", "a.tar.zst", "new").stdout

    def test_nothing_found(self, packed: Command) -> None:
        outcome = packed("archive", "ls", "a.tar.zst", "missing", status=1)
        assert outcome.errors == ['ERROR "archive ls a.tar.zst": no match found for "missing"']

    def test_empty(self, run: Command) -> None:
        (run.directory / "none").mkdir()
        run("pack", "none/", "a.tar.zst")
        outcome = run("archive", "ls", "a.tar.zst")
        assert (outcome.stdout, outcome.stderr) == ("", "")

    def test_one_request(self, fake_s3: FakeS3, packed: Command) -> None:
        fake_s3.do("clear_log")
        packed("archive", "ls", "s3://b/a.tar.zst")
        assert len(fake_s3.log()) == 1

    def test_reader_that_leaves(self, packed: Command) -> None:
        script = f"{SCRIPT} archive ls a.tar.zst | true; echo ${{PIPESTATUS[0]}}"
        assert packed(program=["bash", "-c", script]).lines == ["0"]


class TestCat:
    def cat(self, run: Command, *arguments: str, status: int = 0) -> bytes:
        process = run.start("archive", "cat", *arguments)
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == status, stderr
        return stdout

    def test_bytes(self, packed: Command) -> None:
        held = {name: (packed.directory / "dir" / name).read_bytes() for name in ("a.txt", "big.bin", "photos/2.jpg")}
        for archive in ("a.tar.zst", "s3://b/a.tar.zst"):
            for name, data in held.items():
                assert self.cat(packed, archive, name) == data
            names = ["big.bin", "a.txt", "photos/2.jpg", "a.txt", "z-same"]
            assert self.cat(packed, archive, *names) == b"".join(held.get(name, b"hello\n") for name in names)
        assert self.cat(packed, "a.tar.zst", "*.txt") == b"".join(
            (packed.directory / "dir" / name).read_bytes() for name in ("a.txt", "sub/b.txt", "sub/deep/c.txt")
        )

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            ("0-0", slice(0, 1)), ("5-9", slice(5, 10)), ("4194300-8388700", slice(4194300, 8388701)),
            ("-1", slice(-1, None)), ("9000000-", slice(9000000, None)), ("-99999999", slice(None)),
            ("7-99999999", slice(7, None)),
        ],
    )  # fmt: skip
    def test_range(self, packed: Command, words: str, expected: slice) -> None:
        data = (packed.directory / "dir" / "big.bin").read_bytes()
        assert self.cat(packed, f"--range={words}", "a.tar.zst", "big.bin") == data[expected]

    def test_requests(self, fake_s3: FakeS3, packed: Command) -> None:
        for expected in (2, 1):
            fake_s3.do("clear_log")
            self.cat(packed, "s3://b/a.tar.zst", "sub/b.txt")
            assert len(fake_s3.log()) == expected

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["missing"], 'given entry "missing" not found'),
            (["sub"], 'entry "sub" is a directory'),
            (["sub/"], 'entry "sub/" is a directory'),
            (["link"], 'entry "link" is a symbolic link to "sub/b.txt"'),
            (["x*"], 'no match found for "x*"'),
            (["--raw", "*.txt"], 'given entry "*.txt" not found'),
            (["--range=6-", "a.txt"], "the range begins behind the end"),
        ],
        ids=str,
    )
    def test_refusals(self, packed: Command, arguments: list[str], message: str) -> None:
        *options, name = arguments
        outcome = packed("archive", "cat", *options, "a.tar.zst", name, status=1)
        assert outcome.stdout == ""
        assert message in outcome.errors[0]

    def test_damaged_entry(self, packed: Command) -> None:
        path = packed.directory / "a.tar.zst"
        with s3z.Archive(path) as archive:
            found = archive.range_of("photos/1.jpg")
        assert found is not None
        path.write_bytes(flipped(path.read_bytes(), found.offset))
        outcome = packed("--json", "archive", "cat", "a.tar.zst", "photos/1.jpg", status=1)
        assert outcome.stdout == ""
        assert outcome.error_records[0]["error"]["kind"] == "integrity"

    def test_reader_that_leaves(self, packed: Command) -> None:
        script = f"{SCRIPT} archive cat a.tar.zst big.bin | head -c 10; echo; echo ${{PIPESTATUS[0]}}"
        assert packed(program=["bash", "-c", script]).lines[-1] == "0"


class TestVerifyAndIndex:
    @pytest.mark.parametrize("flags", [[], ["--index-only"], ["--sample", "10"], ["--sample=0.5%"]])
    def test_well(self, packed: Command, flags: list[str]) -> None:
        outcome = packed("archive", "verify", *flags, "s3://b/a.tar.zst")
        word, name, root = outcome.stdout.split()
        assert (word, name) == ("verify", "s3://b/a.tar.zst")
        record = packed("--json", "archive", "verify", "--root", root, *flags, "a.tar.zst").records[0]
        assert (record["operation"], record["success"], record["root"]) == ("archive", True, root)

    def test_damage(self, packed: Command) -> None:
        path = packed.directory / "a.tar.zst"
        path.write_bytes(flipped(path.read_bytes(), 5000))
        outcome = packed("archive", "verify", "a.tar.zst", status=1)
        assert outcome.stdout == ""
        assert outcome.errors[0].startswith('ERROR "archive verify a.tar.zst": ')
        packed("archive", "verify", "--index-only", "a.tar.zst")

    def test_index(self, packed: Command) -> None:
        pa = pytest.importorskip("pyarrow")
        outcome = packed("archive", "index", "-o", "new/i.arrow", "s3://b/a.tar.zst")
        assert outcome.lines == ["index s3://b/a.tar.zst new/i.arrow"]
        table = pa.ipc.open_file(packed.directory / "new" / "i.arrow").read_all()
        assert "a.txt" in table.column("relative_path").to_pylist()
        process = packed.start("archive", "index", "a.tar.zst")
        stdout, stderr = process.communicate(timeout=60)
        assert (process.returncode, stderr) == (0, b"")
        assert stdout == (packed.directory / "new" / "i.arrow").read_bytes()

    def test_index_is_not_for_a_terminal(self, packed: Command) -> None:
        assert "not for a terminal" in packed.on_terminal("archive", "index", "a.tar.zst", status=1)


class TestGrammar:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["merge", "a", "b"], '"merge" is none of ls, cat, verify, index'),
            (["ls"], "expected at least 2 arguments, got 1"),
            (["cat", "a"], "expected at least one ENTRY"),
            (["verify", "a", "b"], "expected one ARCHIVE, got 2"),
            (["index", "a", "b"], "expected one ARCHIVE, got 2"),
            (["ls", "--range=1-2", "a"], 'option "--range" goes with cat'),
            (["cat", "-o", "x", "a", "b"], 'option "--output" goes with index'),
            (["index", "-H", "a"], 'option "--humanize" goes with ls'),
            (["cat", "--range=1-2", "a", "b", "c"], 'option "--range" is for one entry'),
            (["cat", "--range=1-2", "a", "b*"], 'option "--range" is for one entry'),
            (["verify", "--sample=0", "a"], "percentage"),
            (["verify", "--sample=5", "--index-only", "a"], "exclude each other"),
        ],
        ids=str,
    )
    def test_usage(self, fake_s3: FakeS3, run: Command, arguments: list[str], message: str) -> None:
        outcome = run("archive", *arguments, status=2)
        assert outcome.errors[0].startswith('ERROR "archive": ')
        assert message in outcome.errors[0]
        assert fake_s3.log() == []

    @pytest.mark.parametrize("verb", ["ls", "verify", "index"])
    @pytest.mark.parametrize("name", ["nope", "s3://b/nope"])
    def test_missing(self, run: Command, verb: str, name: str) -> None:
        outcome = run("--json", "archive", verb, name, status=1)
        assert outcome.error_records[0]["error"]["kind"] == "not_found"
        assert outcome.error_records[0]["error"]["message"] == f'given object "{name}" not found'

    def test_no_archive(self, run: Command) -> None:
        foreign(run.directory / "a.tar", ("x", b"hello"))
        for name in ("dir/a.txt", "a.tar"):
            outcome = run("--json", "archive", "ls", name, status=1)
            assert outcome.error_records[0]["error"]["kind"] == "archive"
