"""`s3z run`: many commands, one a line, in one process (cli.md 4)."""

from __future__ import annotations

import json
import os
import re
import signal
from typing import TYPE_CHECKING

import pytest
from support.data import MIB
from support.trees import changes, ended, fill, keys, objects, read_tree, write_tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Command, Outcome
    from support.servers import FakeS3, Server


@pytest.fixture
def run(fake_s3: FakeS3, command: Callable[..., Command], tmp_path: Path) -> Command:
    write_tree(tmp_path / "dir", {"a.txt": "a\n", "sub/b.txt": "b\n"})
    fill(fake_s3, "b", ["p/a.txt", "p/sub/b.txt"], b"remote\n")
    fake_s3.do("create_bucket", bucket="c")
    fake_s3.do("clear_log")
    return command(fake_s3)


def lines(run: Command, *text: str, options: tuple[str, ...] = (), status: int | None = 0) -> Outcome:
    """Run these lines from stdin."""
    return run(*options, "run", input="\n".join(text).encode("utf-8", "surrogateescape") + b"\n", status=status)


def numbers(outcome: Outcome) -> list[int]:
    """Lines that errors speak of."""
    found = [re.search(r"line (\d+)", line) for line in outcome.errors if line.startswith("ERROR ")]
    return sorted(int(each[1]) for each in found if each)


class TestSources:
    @pytest.mark.parametrize("way", ["file", "stdin", "no newline at the end", "pipe of a shell"])
    def test_file_and_stdin(self, run: Command, fake_s3: FakeS3, tmp_path: Path, way: str) -> None:
        text = "cp dir/a.txt s3://c/1\n\ncp s3://b/p/a.txt out/2\nrm s3://b/p/sub/b.txt"
        text += "" if way.startswith("no") else "\n"
        (tmp_path / "commands").write_text(text)
        if way == "file":
            outcome = run("run", "commands")
        elif way == "pipe of a shell":
            outcome = run(program=["sh", "-c", f'cat commands | "{_script()}" run'])
        else:
            outcome = run("run", input=text.encode())
        assert sorted(outcome.lines) == [
            "cp dir/a.txt s3://c/1",
            "cp s3://b/p/a.txt out/2",
            "rm s3://b/p/sub/b.txt",
        ]
        assert outcome.stderr == ""
        assert objects(fake_s3, "c") == {"1": "a\n"}
        assert read_tree(tmp_path / "out") == {"2": "remote\n"}
        assert keys(fake_s3, "b") == ["p/a.txt"]

    def test_missing_file(self, run: Command, fake_s3: FakeS3) -> None:
        outcome = run("run", "no-such-file", status=1)
        assert outcome.errors[0].startswith('ERROR "run no-such-file": ')
        assert (outcome.stdout, fake_s3.log()) == ("", [])

    @pytest.mark.parametrize("arguments", [["a", "b"], ["--foo"], ["--raw", "a"]])
    def test_usage(self, run: Command, fake_s3: FakeS3, arguments: list[str]) -> None:
        assert run("run", *arguments, status=2).errors[0].startswith('ERROR "run": ')
        assert fake_s3.log() == []

    def test_blank_lines_and_comments(self, run: Command, fake_s3: FakeS3) -> None:
        outcome = lines(run, "", "   ", "# cp dir/a.txt s3://c/no", "  \t# nor this", "#", "\t")
        assert (outcome.stdout, outcome.stderr, fake_s3.log()) == ("", "", [])
        outcome = lines(run, "# first", "", "  cp dir/a.txt s3://c/yes  ")
        assert keys(fake_s3, "c") == ["yes"]


def _script() -> str:
    from support.command import SCRIPT

    return SCRIPT


class TestQuoting:
    @pytest.mark.parametrize(
        ("word", "key"),
        [
            ("'with space'", "with space"), ('"with space"', "with space"), (r"with\ space", "with space"),
            ("'it''s'", "its"), (r"'it'\''s'", "it's"), ('"q\\"uote"', 'q"uote'), ("'back\\slash'", "back\\slash"),
            ('"back\\slash"', "back\\slash"), (r"back\\slash", "back\\slash"), ("a#b", "a#b"), ("'#'", "#"),
            ("$HOME", "$HOME"), ("`ls`", "`ls`"), ("{a,b}", "{a,b}"), ("~", "~"), ("a;b", "a;b"), ("ä€😀", "ä€😀"),
            ("a&&b", "a&&b"), ("''x''", "x"),
        ],
    )  # fmt: skip
    def test_words(self, run: Command, fake_s3: FakeS3, word: str, key: str) -> None:
        """As POSIX splits them; nothing is expanded."""
        lines(run, f"cp dir/a.txt s3://c/{word}")
        assert keys(fake_s3, "c") == [key]

    def test_hash_after_a_word_is_ordinary(self, run: Command, fake_s3: FakeS3) -> None:
        outcome = lines(run, "cp dir/a.txt s3://c/x # here", status=1)
        assert numbers(outcome) == [1], "# and here are two more arguments"
        assert keys(fake_s3, "c") == []

    def test_wildcards_are_those_of_s3z_quoted_or_not(self, run: Command, tmp_path: Path) -> None:
        lines(run, "cp s3://b/p/* one/", "cp 's3://b/p/*' two/", 'cp "s3://b/p/*" three/')
        assert [read_tree(tmp_path / name) for name in ("one", "two", "three")] == [
            {"a.txt": "remote\n", "sub/b.txt": "remote\n"}
        ] * 3

    def test_options_are_those_of_the_line(self, run: Command, fake_s3: FakeS3) -> None:
        lines(
            run, "cp --storage-class STANDARD_IA dir/a.txt s3://c/1", "cp dir/a.txt s3://c/2",
            "cp -n dir/a.txt s3://b/p/a.txt", "cp --metadata 'k=a b' dir/a.txt s3://c/3",
        )  # fmt: skip
        heads = [fake_s3.boto3.head_object(Bucket="c", Key=key) for key in "123"]
        assert [head.get("StorageClass", "STANDARD") for head in heads] == ["STANDARD_IA", "STANDARD", "STANDARD"]
        assert heads[2]["Metadata"] == {"k": "a b"}
        assert objects(fake_s3, "b")["p/a.txt"] == "remote\n"


class TestBadLines:
    @pytest.mark.parametrize(
        "bad",
        [
            "cp 'unclosed s3://c/x", 'cp "unclosed s3://c/x', "cp dir/a.txt s3://c/x\\", "nonsense a b", "cp onlyone",
            "cp dir/a.txt s3://c/x extra", "cp --foo dir/a.txt s3://c/x", "cp -p 0 dir/a.txt s3://c/x",
            "cp dir/none s3://c/x", "cp s3://b/none out/x", "cp dir s3://c/x", "run", "run commands", "run -",
            "--json cp dir/a.txt s3://c/x", "--dry-run cp dir/a.txt s3://c/x", "-r 3 cp dir/a.txt s3://c/x",
            "cp --dry-run dir/a.txt s3://c/x", "cp dir/a.txt s3://c/x --json", "cp dir/a.txt s3://c/x -q",
            "cp --endpoint-url http://127.0.0.1:1 dir/a.txt s3://c/x", "cp --numworkers=2 dir/a.txt s3://c/x",
            "pipe s3://c/x", "cp - s3://c/x", "cp s3://b/p/a.txt -", "--help", "--version", "''",
            "cp --files-from - dir/ s3://c/q/", "cp --files-from=- dir/ s3://c/q/", "mv dir/ s3://c/q/ --files-from -",
            "rm --files-from - s3://c/", "archive index -o - s3://b/p/a.txt", "archive index -o- s3://b/p/a.txt",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("json", [(), ("--json",)])
    def test_one_is_an_error_for_that_line_only(
        self, run: Command, fake_s3: FakeS3, tmp_path: Path, bad: str, json: tuple[str, ...]
    ) -> None:
        (tmp_path / "commands").write_text("cp dir/a.txt s3://c/nested\n")
        outcome = lines(
            run, "# comment", "cp dir/a.txt s3://c/one", "", bad, "cp dir/a.txt s3://c/two", options=json, status=1
        )
        assert keys(fake_s3, "c") == ["one", "two"]
        if json:
            assert [record["line"] for record in outcome.error_records if "error" in record] == [4]
            return
        assert numbers(outcome) == [4], outcome.stderr
        assert sorted(outcome.lines) == ["cp dir/a.txt s3://c/one", "cp dir/a.txt s3://c/two"]

    @pytest.mark.parametrize(
        ("bad", "message"), [("cp 'x", "no closing quotation"), ("cp x\\", "no escaped character")]
    )
    def test_quoting_to_the_letter(self, run: Command, bad: str, message: str) -> None:
        shown = bad.replace("\\", "\\\\")
        assert run("run", input=bad.encode(), status=1).errors == [f'ERROR "{shown}": line 1: {message}']
        (error, *_) = run("--json", "run", input=bad.encode(), status=1).error_records
        assert error["error"]["kind"] == "usage"

    def test_error_to_the_letter(self, run: Command) -> None:
        outcome = lines(run, "", "cp s3://b/x x", status=1)
        assert outcome.errors[0] == 'ERROR "cp s3://b/x x": line 2: given object "s3://b/x" not found'

    def test_one_failing_among_many(self, run: Command, fake_s3: FakeS3) -> None:
        text = [f"cp dir/a.txt s3://c/{number:03}" for number in range(1, 301)]
        text[122] = "cp s3://b/none out/none"
        outcome = lines(run, *text, status=1)
        assert numbers(outcome) == [123]
        assert len(keys(fake_s3, "c")) == len(outcome.lines) == 299

    def test_several_failing_and_the_summary(self, run: Command) -> None:
        outcome = lines(
            run, "cp s3://b/none x", "cp dir/a.txt s3://c/1", "bad", "cp s3://b/p/* out/", options=("--json",), status=1
        )
        records = [record for record in outcome.error_records if "error" in record]
        assert sorted(record["line"] for record in records) == [1, 3]
        first = min(records, key=lambda record: int(record["line"]))
        assert (first["operation"], first["error"]["kind"], first["error"]["status"]) == ("cp", "not_found", 404)
        summary = outcome.records[-1]
        assert (summary["record"], summary["command"], summary["exit_code"]) == ("summary", "run", 1)
        assert summary["objects"]["done"] == 3
        assert summary["objects"]["failed"] >= 1

    def test_errors_of_one_wildcard_all_carry_its_number(self, run: Command, fake_s3: FakeS3) -> None:
        denied = {"type": "respond", "status": 403, "code": "AccessDenied"}
        fake_s3.rule(denied, operation="GetObject", key_prefix="p/")
        outcome = lines(run, "# one", "cp s3://b/p/* out/", "cp dir/a.txt s3://c/x", status=1)
        assert numbers(outcome) == [2, 2]


class TestTogether:
    def test_dry_run_holds_for_all_lines(self, run: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        outcome = lines(
            run, "cp dir/a.txt s3://c/1", "rm s3://b/p/a.txt", "mv s3://b/p/sub/b.txt out/b", "cp s3://b/p/* two/",
            "sync dir/ s3://c/q/", options=("--dry-run",),
        )  # fmt: skip
        assert changes(fake_s3) == []
        assert not (tmp_path / "out").exists()
        assert not (tmp_path / "two").exists()
        assert {"cp dir/a.txt s3://c/1", "rm s3://b/p/a.txt", "mv s3://b/p/sub/b.txt out/b"} <= set(outcome.lines)
        assert len(outcome.lines) == 7

    def test_global_options_hold_for_all_lines(self, run: Command) -> None:
        outcome = lines(run, "cp dir/a.txt s3://c/1", "cp dir/a.txt s3://c/2", options=("--only-show-errors",))
        assert (outcome.stdout, outcome.stderr) == ("", "")
        outcome = lines(run, "cp dir/a.txt s3://c/1", "rm s3://c/2", options=("--stat",))
        rows = {line.split("\t")[0]: line for line in outcome.lines if "\t" in line}
        assert (rows["cp"], rows["rm"]) == ("cp\t1\t0\t1\t", "rm\t1\t0\t1\t")

    @pytest.mark.parametrize("workers", ["1", "2", "auto"])
    def test_more_wildcards_than_workers(self, run: Command, fake_s3: FakeS3, tmp_path: Path, workers: str) -> None:
        """A line that waits for its listing does not keep the last worker from another."""
        fill(fake_s3, "b", [f"w{line}/{number}" for line in range(40) for number in range(5)], b"x")
        lines(run, *[f"cp s3://b/w{line}/* out/{line}/" for line in range(40)], options=("--numworkers", workers))
        assert len(read_tree(tmp_path / "out")) == 200

    def test_one_budget(self, run: Command, fake_s3: FakeS3) -> None:
        fake_s3.switch(latency_ms=50)
        lines(run, *[f"cp dir/a.txt s3://c/{number}" for number in range(30)], options=("--numworkers", "3"))
        puts = [(record["time"], record["duration"]) for record in fake_s3.log(operation="PutObject")]
        ends = [(time, 1) for time, _ in puts] + [(time + duration - 0.005, -1) for time, duration in puts]
        running = most = 0
        for _, step in sorted(ends):
            running += step
            most = max(most, running)
        assert most == 3

    @pytest.mark.timeout(300)
    def test_ten_thousand_lines_in_one_process(self, run: Command, fake_s3: FakeS3) -> None:
        """Three bad ones, each of its own kind, fail alone and by their numbers."""
        text = [f"cp dir/a.txt s3://c/{number:05}" for number in range(10_000)]
        text[4_321], text[7_000], text[9_999] = "cp 'unclosed", "cp s3://b/none out/none", "cp dir/none s3://c/none"
        outcome = lines(run, *text, status=1)
        assert numbers(outcome) == [4_322, 7_001, 10_000]
        good = [line for number, line in enumerate(text) if number not in (4_321, 7_000, 9_999)]
        assert sorted(outcome.lines) == good
        assert keys(fake_s3, "c") == [line[-5:] for line in good]
        connections = {record["connection"] for record in fake_s3.log(operation="PutObject")}
        assert len(connections) < 1000, "an engine for each line?"

    def test_payload_is_never_mixed(self, run: Command, fake_s3: FakeS3) -> None:
        payloads = {}
        for number in range(12):
            payloads[f"k{number}"] = bytes([65 + number]) * (MIB + number) + b"\n"
            fake_s3.put("b", f"big/k{number}", payloads[f"k{number}"])
        text = [f"cat s3://b/big/{name}" for name in payloads]
        text += [f"cp dir/a.txt s3://c/{number}" for number in range(100)]
        text[::2], text[1::2] = text[: len(text) // 2], text[len(text) // 2 :]
        process = run.start("run", stdin=-1)
        stdout, stderr = process.communicate("\n".join(text).encode(), timeout=90)
        assert process.returncode == 0, stderr
        for payload in payloads.values():
            assert stdout.count(payload) == 1
            stdout = stdout.replace(payload, b"")
        assert all(re.fullmatch(rb"cp dir/a\.txt s3://c/\d+", line) for line in stdout.splitlines())
        assert len(keys(fake_s3, "c")) == 100

    @pytest.mark.parametrize("flags", [(), ("--json",)])
    @pytest.mark.parametrize(("payload", "between"), [(b"no newline", b"\n"), (b"newline\n", b""), (b"", b"")])
    def test_what_follows_payload_begins_a_line(
        self, run: Command, fake_s3: FakeS3, tmp_path: Path, payload: bytes, between: bytes, flags: tuple[str, ...]
    ) -> None:
        fake_s3.put("b", "payload", payload)
        (tmp_path / "commands").write_text("cat s3://b/payload\ncat s3://b/payload\nls s3://b/p/a.txt\n")
        line = [*flags, "--numworkers", "1", "run", "commands"]
        with ended(run.start(*line)) as process:
            stdout, stderr = process.communicate(timeout=60)
        assert (process.returncode, stderr) == (0, b"")
        assert stdout.startswith(payload * 2 + between)
        rest = stdout.removeprefix(payload * 2 + between)
        assert rest.startswith(b'{"key":"s3://b/p/a.txt"' if flags else b"20")
        assert b"\n\n" not in rest

    def test_payload_that_breaks_off_ends_its_line(self, run: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        fake_s3.put("b", "payload", b"no newline")
        (tmp_path / "commands").write_text("cat s3://b/payload s3://b/none\nls s3://b/p/a.txt\n")
        outcome = run("--json", "--numworkers", "1", "run", "commands", status=1)
        assert outcome.lines[0] == "no newline"
        assert json.loads(outcome.lines[1])["key"] == "s3://b/p/a.txt"

    def test_failing_cat_among_them(self, run: Command, fake_s3: FakeS3) -> None:
        outcome = lines(run, "cat s3://b/p/a.txt", "cat s3://b/none", "cat s3://b/p/sub/b.txt", status=1)
        assert outcome.stdout == "remote\n" * 2
        assert numbers(outcome) == [2]

    @pytest.mark.parametrize(
        "line", ["ls s3://b/p/*", "du s3://b/p/*", "head s3://b/p/a.txt", "presign s3://b/p/a.txt"]
    )
    def test_lines_that_show_something(self, run: Command, line: str) -> None:
        assert re.sub(r"\?.*", "", lines(run, line).stdout) == re.sub(r"\?.*", "", run(*line.split()).stdout)

    def test_interruption(self, run: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        fake_s3.switch(latency_ms=100)
        text = "".join(f"cp dir/a.txt s3://c/{number}\n" for number in range(2000))
        (tmp_path / "commands").write_text(text)
        with ended(run.start("--json", "--numworkers", "4", "run", "commands")) as process:
            fake_s3.wait_for_log(operation="PutObject", count=4)
            process.send_signal(signal.SIGTERM)
            stdout, _ = process.communicate(timeout=20)
        assert process.returncode == -signal.SIGTERM
        assert b'"record":"summary"' in stdout.splitlines()[-1].replace(b": ", b":")
        assert len(keys(fake_s3, "c")) < 2000

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    @pytest.mark.parametrize("count", [3000, 6000, 12_000])
    def test_interruption_after_the_last_line_was_read(
        self, run: Command, fake_s3: FakeS3, tmp_path: Path, count: int, number: int
    ) -> None:
        """Whatever waits for its turn by then, in the queue or before it, the command did not do what was asked."""
        fake_s3.put("b", "k", b"x")
        fake_s3.switch(latency_ms=20)
        (tmp_path / "commands").write_text("".join(f"cp s3://b/k out/{each}\n" for each in range(count)))
        with ended(run.start("--json", "run", "commands")) as process:
            fake_s3.wait_for_log(operation="GetObject", count=100)
            process.send_signal(number)
            stdout, _ = process.communicate(timeout=20)
        assert process.returncode == -number
        summary = json.loads(stdout.splitlines()[-1])
        assert (summary["record"], summary["success"], summary["interrupted"]) == ("summary", False, True)
        assert summary["exit_code"] == 128 + number
        assert len(read_tree(tmp_path / "out")) < count

    def test_names_for_a_line_are_not_taken_from_the_lines(self, run: Command, fake_s3: FakeS3) -> None:
        fill(fake_s3, "c", ["p/k1", "p/k2"])
        outcome = lines(run, "rm --files-from - s3://c/p/", "k1", "k2", "cp dir/a.txt s3://c/x", status=1)
        assert numbers(outcome) == [1, 2, 3]
        assert keys(fake_s3, "c") == ["p/k1", "p/k2", "x"]


@pytest.mark.parametrize("name", ["fake_s3", "versitygw"])
def test_every_server(
    request: pytest.FixtureRequest, name: str, command: Callable[..., Command], tmp_path: Path
) -> None:
    server: Server = request.getfixturevalue(name)
    bucket = f"run-{os.getpid()}"
    write_tree(tmp_path / "dir", {f"{number:02}": str(number) for number in range(50)})
    outcome = lines(command(server), f"mb s3://{bucket}")
    assert outcome.lines == [f"mb s3://{bucket}"]
    lines(command(server), *[f"cp dir/{number:02} s3://{bucket}/d/" for number in range(50)])
    lines(command(server), f"sync s3://{bucket}/d/* out/", f"ls s3://{bucket}", f"du s3://{bucket}/*")
    assert read_tree(tmp_path / "out") == read_tree(tmp_path / "dir")
    lines(command(server), f"rm s3://{bucket}/d/1*", f"rm s3://{bucket}/d/0*")
    assert keys(server, bucket) == [f"d/{number}" for number in range(20, 50)]


class TestAlike:
    """Lines of one object each that follow each other with the same options are one batch, and nobody can tell."""

    #: with `%` for what keeps one from the other: a directory, and the beginning of keys
    SAME = (
        "cp dir/a.txt s3://c/%/1", "cp dir/a.txt s3://c/%/", "cp dir/sub/b.txt s3://c/%/d/", "cp dir/none s3://c/%/2",
        "cp dir s3://c/%/3", "cp dir/ s3://c/%/4/", "cp -n dir/a.txt s3://c/%/5", "cp --metadata k=v dir/a.txt s3://c/%/6",
        "cp --content-type x/y --storage-class STANDARD_IA dir/a.txt s3://c/%/7", "cp s3://b/p/a.txt %/x",
        "cp s3://b/p/a.txt %/there", "cp s3://b/p/a.txt %/new/", "cp s3://b/p/a.txt %/new/deep/y",
        "cp s3://b/p/none %/z",
        "cp --verify=require s3://b/p/a.txt %/v", "cp s3://b/p/a.txt s3://c/%/8", "cp s3://b/p/a.txt s3://c/%/e/",
        "cp s3://b/p/a.txt s3://b/p/a.txt", "cp s3://b/p/. %/dot", "cp s3://b/p/.. %/", "cp s3://b/p/* %/w/",
        "cp s3://nobucket/x %/n", "cp s3://b/p/a.txt %/a.txt/below", "mv s3://b/%/m1 %/m1", "mv s3://b/%/m2 s3://c/%/m2",
        "mv %/up s3://c/%/up", "rm s3://b/%/r1", "rm s3://b/%/r2", "rm s3://b/%/none", "rm %/gone", "rm s3://b/%/",
        "rm s3://b/%/r3 s3://b/%/r4", "cp --resume dir/a.txt s3://c/%/9", "cp --no-such dir/a.txt s3://c/%/9",
        "cp --metadata-directive COPY dir/a.txt s3://c/%/9", "cp -c 1 -p 5 dir/a.txt s3://c/%/10", "cp ./dir/a.txt s3://c/%/11",
        "cp s3://b/p/a.txt ./%/dotted", "cp %/link s3://c/%/12", "cp %/fifo s3://c/%/13",
    )  # fmt: skip

    def place(self, fake_s3: FakeS3, directory: Path) -> None:
        write_tree(directory, {"there/kept": "kept\n", "up": "up\n", "gone": "gone\n", "a.txt": "a file\n"})
        (directory / "link").symlink_to("a.txt")
        os.mkfifo(directory / "fifo")
        for key in ("m1", "m2", "r1", "r2", "r3", "r4"):
            fake_s3.put("b", f"{directory.name}/{key}", key.encode())

    def told(self, outcome: Outcome, name: str) -> list[str]:
        """Records but for what differs from run to run, and between a line and a command."""
        found = []
        for record in [*outcome.records, *outcome.error_records]:
            if record.get("record") == "summary":
                continue
            for each in ("seconds", "line"):
                record.pop(each, None)
            for each in ("request_id", "hint"):
                record.get("error", {}).pop(each, None)
            record.get("object", {}).pop("last_modified", None)
            record.setdefault("command", "")
            record.pop("command")
            text = re.sub(r", request id: \w+", "", str(sorted(record.items())))
            found.append(text.replace(f"{name}/", "%/"))
        return sorted(found)

    @pytest.mark.parametrize("workers", [(), ("--numworkers", "3")])
    def test_as_if_by_themselves(self, run: Command, fake_s3: FakeS3, tmp_path: Path, workers: tuple[str, ...]) -> None:
        self.place(fake_s3, tmp_path / "one")
        self.place(fake_s3, tmp_path / "all")
        alone = [run("--json", *line.replace("%", "one").split(), status=None) for line in self.SAME]
        together = lines(run, *[line.replace("%", "all") for line in self.SAME], options=("--json", *workers), status=1)
        (tmp_path / "one/fifo").unlink()
        (tmp_path / "all/fifo").unlink()
        expected = sorted(record for outcome in alone for record in self.told(outcome, "one"))
        assert self.told(together, "all") == expected
        assert read_tree(tmp_path / "one") == read_tree(tmp_path / "all")
        mine, theirs = (
            {key.replace(name, "%"): text for key, text in {**objects(fake_s3, "b"), **objects(fake_s3, "c")}.items()
             if name in key}
            for name in ("one", "all")
        )  # fmt: skip
        assert mine == theirs
        failed = [record["line"] for record in together.error_records if "error" in record]
        assert sorted(failed) == [number for number, outcome in enumerate(alone, 1) if outcome.status]

    def test_removals_are_few_requests_and_each_has_its_line(self, run: Command, fake_s3: FakeS3) -> None:
        fill(fake_s3, "c", [f"{number:04}" for number in range(2500)])
        fake_s3.rule({"type": "delete_errors", "keys": "0777", "code": "AccessDenied"}, operation="DeleteObjects")
        outcome = lines(run, *[f"rm s3://c/{number:04}" for number in range(2500)], options=("--json",), status=1)
        assert len(fake_s3.log(operation="DeleteObjects")) == 3
        assert keys(fake_s3, "c") == ["0777"]
        (error,) = [record for record in outcome.error_records if "error" in record]
        assert (error["line"], error["command"]) == (778, "rm s3://c/0777")
        assert outcome.records[-1]["objects"] == {
            "done": 2499, "skipped": 0, "failed": 1, "deleted": 2499, "deletes_held_back": 0,
        }  # fmt: skip

    def test_the_same_line_twice(self, run: Command, fake_s3: FakeS3) -> None:
        text = ["cp s3://b/none x", "cp dir/a.txt s3://c/1", "cp s3://b/none x", "cp dir/a.txt s3://c/1", "rm s3://c/2"]
        outcome = lines(run, *text, "rm s3://c/2", status=1)
        assert numbers(outcome) == [1, 3]
        assert sorted(outcome.lines) == ["cp dir/a.txt s3://c/1"] * 2 + ["rm s3://c/2"] * 2

    def test_a_line_is_not_kept_waiting_for_the_next(self, run: Command, fake_s3: FakeS3) -> None:
        with ended(run.start("run", stdin=-1)) as process:
            assert process.stdin is not None
            for number in range(3):
                process.stdin.write(b"cp dir/a.txt s3://c/%d\ncp dir" % number)
                process.stdin.flush()
                fake_s3.wait_for_log(operation="PutObject", key=str(number))
                process.stdin.write(b"/a.txt s3://c/again\n")
            stderr = process.communicate(timeout=30)[1]
        assert (process.returncode, stderr) == (0, b"")
        assert keys(fake_s3, "c") == ["0", "1", "2", "again"]

    def test_conditions_hold(self, run: Command, fake_s3: FakeS3) -> None:
        lines(run, "cp -n dir/a.txt s3://c/new", "cp -n dir/a.txt s3://b/p/a.txt")
        puts = fake_s3.log(operation="PutObject")
        assert [(put["key"], dict(put["headers"]).get("if-none-match")) for put in puts] == [("new", "*")]

    def test_mv_keeps_what_does_not_arrive(self, run: Command, fake_s3: FakeS3, tmp_path: Path) -> None:
        fake_s3.rule({"type": "bit_flip", "offset": 1}, operation="GetObject", key="p/a.txt")
        outcome = lines(run, "mv s3://b/p/a.txt out/a", "mv s3://b/p/sub/b.txt out/b", status=1)
        fake_s3.do("clear_rules")
        assert numbers(outcome) == [1]
        assert keys(fake_s3, "b") == ["p/a.txt"]
        assert read_tree(tmp_path / "out") == {"b": "remote\n"}
