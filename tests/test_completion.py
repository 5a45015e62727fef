"""Completion: what is offered, in each shell, and that it costs one request at most and says nothing when it fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.command import SCRIPT
from support.shells import Terminal, bash_completes
from support.strangers import closed_port

from s3z._cli._bash_line import split
from s3z._cli._completion import candidates
from s3z._cli._options import COMMANDS, GLOBAL, VERBS
from s3z._cli._shells import script
from s3z._cli._values import SHELLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.command import Command
    from support.servers import FakeS3

BREAKS = " \t\n\"'@><=;|&(:"


def offered(*words: str) -> list[str]:
    return [each.word for each in candidates(list(words[:-1]), words[-1])]


class TestOffers:
    """Everything is made of the tables that the parser itself uses."""

    def test_commands(self) -> None:
        assert offered("") == sorted(COMMANDS)
        assert offered("--json", "--log", "info", "") == sorted(COMMANDS)
        assert offered("m") == [name for name in sorted(COMMANDS) if name.startswith("m")]

    @pytest.mark.parametrize("command", COMMANDS)
    def test_options_of_every_command(self, command: str) -> None:
        own = {option.name for option in COMMANDS[command][0] if not option.hidden}
        shown = {option.name for option in GLOBAL if not option.hidden}
        assert set(offered(command, "--")) == {f"--{name}" for name in own | shown}
        assert len(offered(command, "-")) == len(own | shown)

    def test_an_option_is_known_in_every_spelling(self) -> None:
        assert offered("cp", "-part") == ["-part-size"]
        assert offered("cp", "--chunk") == ["--chunk-size"]
        assert offered("--reg") == ["--region"]
        assert "--calibrate" not in offered("pack", "--")

    def test_fixed_values(self) -> None:
        for command, (options, _, _) in {**COMMANDS, "ls": ((*COMMANDS["ls"][0], *GLOBAL), 0, 1)}.items():
            for option in options:
                choices = getattr(option.convert, "choices", None)
                if choices and option.takes_value:
                    assert offered(command, f"--{option.name}", "") == list(choices)
                if choices:
                    assert offered(command, f"--{option.name}=") == [f"--{option.name}={each}" for each in choices]

    @pytest.mark.parametrize(
        ("words", "found"),
        [
            (["cp", "-c", ""], ["auto"]),
            (["cp", "-p="], ["-p=auto"]),
            (["cp", "--part-size", "a"], ["auto"]),
            (["pack", "--slice-size", ""], ["1M", "2M", "4M"]),
            (["--install-completion="], [f"--install-completion={shell}" for shell in ("bash", "zsh", "fish")]),
            (["ls", "--json="], ["--json=true", "--json=false"]),
            (["cp", "--sse", "aws:kms:"], ["aws:kms:dsse"]),
            (["cp", "--content-type", ""], []),
            (["--log=inf"], ["--log=info"]),
            (["nothing", ""], []),
            (["--no-such-option", "l"], ["ls"]),
        ],
    )
    def test_words(self, words: list[str], found: list[str]) -> None:
        assert offered(*words) == found

    @pytest.mark.parametrize("command", VERBS)
    def test_verbs(self, command: str) -> None:
        assert offered(command, "") == list(VERBS[command])
        assert offered(command, "--json", "") == list(VERBS[command])

    def test_local_names(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "dir").mkdir()
        for name in ("dir/b", "a b.txt", ".hidden", "new\nline", os.fsdecode(b"bytes-\xff")):
            (tmp_path / name).write_text("")
        assert offered("cp", "") == ["s3://", "a b.txt", os.fsdecode(b"bytes-\xff"), "dir/"]
        assert offered("cp", ".") == [".hidden", ".home/"]
        assert offered("cp", "x", "dir/") == ["dir/b"]
        assert offered("--ca-bundle", "d") == ["dir/"]
        assert offered("cp", "--ca-bundle=di") == ["--ca-bundle=dir/"]
        assert offered("cp", "missing/") == []
        assert offered("cp", "--", "--") == []
        (tmp_path / "--odd").write_text("")
        assert offered("cp", "--", "--") == ["--odd"]
        monkeypatch.setenv("HOME", str(tmp_path))
        assert offered("cp", "~/di") == ["~/dir/"]


class TestLines:
    @pytest.mark.parametrize(
        ("line", "words", "text", "quote"),
        [
            ("s3z ", ["s3z"], "", ""),
            ("s3z cp 'a b' c\\ d", ["s3z", "cp", "a b"], "c d", ""),
            ('s3z "a \\" b', ["s3z"], 'a " b', '"'),
            ("s3z 'a \\", ["s3z"], "a \\", "'"),
            ('s3z ""', ["s3z"], "", ""),
            ("s3z a'b'\"c\"", ["s3z"], "abc", ""),
            ("s3z a\\", ["s3z"], "a\\", ""),
        ],
    )
    def test_split(self, line: str, words: list[str], text: str, quote: str) -> None:
        found, current = split(line)
        assert (found, current.text, current.quote) == (words, text, quote)

    @pytest.mark.parametrize(
        ("line", "word", "put"),
        [
            ("s3z ls s3://b/a", "s3://b/ab", "//b/ab "),
            ("s3z ls s3://b/a", "s3://b/a b$(x)", "//b/a\\ b\\$\\(x\\) "),
            ("s3z ls 's3://b/a", "s3://b/a b", "s3://b/a b"),
            ('s3z ls "s3://b/a', 's3://b/a"$`', 's3://b/a\\"\\$\\`'),
            ("s3z ls s3://b/'a", "s3://b/ab", "ab"),
            ("s3z --log=i", "--log=info", "info "),
            ("s3z ls a\\:b", "a:bc", "a:bc "),
            ("s3z ls ", "~x", "\\~x "),
            ("s3z ls ~/x", "~/xy", "~/xy "),
            ("s3z ls ", "ä", "ä "),
        ],
    )
    def test_completed(self, line: str, word: str, put: str) -> None:
        _, current = split(line)
        assert current.completed(word, BREAKS, is_final=True) == put


class TestScripts:
    @pytest.mark.parametrize("shell", SHELLS)
    def test_printed(self, shell: str, command: Callable[..., Command], tmp_path: Path) -> None:
        run = command()
        text = run(f"--install-completion={shell}").stdout
        assert text == f"{script(shell)}\n"
        assert "s3z --install-completion" in text.split("\n", 2)[1] + text, "where to put it"
        assert run("ls", "--install-completion", env={"SHELL": f"/usr/bin/{shell}"}).stdout == text
        assert run("--json", "--install-completion", shell, status=None).stdout != text, "the value needs an ="
        if shutil.which(shell):
            subprocess.run([shell, "-n", "/dev/stdin"], input=text, text=True, check=True, capture_output=True)
        assert [path.name for path in tmp_path.iterdir()] == [".home"], "it installs nothing"

    @pytest.mark.parametrize("environment", [{"SHELL": "/bin/tcsh"}, {"SHELL": ""}])
    def test_other_shells_are_refused(self, environment: dict[str, str], command: Callable[..., Command]) -> None:
        outcome = command()("--install-completion", status=2, env=environment)
        assert outcome.errors[0].endswith("$SHELL is none of bash, zsh, fish: say which one is meant")
        outcome = command()("--install-completion=tcsh", status=2)
        assert outcome.errors[0].endswith('"tcsh" is none of bash, zsh, fish')

    @pytest.mark.parametrize(
        "tokens",
        [
            ["--install-completion=fish"],
            ["--install-completion=tcsh"],
            ["--complete", "zsh", "cp", "--"],
            ["--complete", "bash", "s3z cp ", ":="],
            ["--complete", "fish", "s3z", ""],
        ],
    )
    def test_next_to_nothing_is_loaded(self, tokens: list[str], tmp_path: Path) -> None:
        probe = (
            "import sys\nbefore = set(sys.modules)\nfrom s3z.__main__ import main\nsys.argv = ['s3z', *sys.argv[1:]]\n"
            "main()\noutside = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
            "print(sorted(outside - sys.stdlib_module_names - {'s3z'}), 's3z._core' in sys.modules, file=sys.stderr)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", probe, *tokens], capture_output=True, text=True, check=True, cwd=tmp_path
        )
        assert done.stderr.splitlines()[-1] == "[] False"


@pytest.fixture
def stored(fake_s3: FakeS3, command: Callable[..., Command]) -> Command:
    """Buckets `examples` and `example-2` with keys that are hard to type."""
    for key in ("a.txt", "a/b.txt", "c d.txt", "e$(touch gone)@x:y=z", "q'uote", "sub/", "sub/one", "new\nline"):
        fake_s3.put("examples", key, b"x")
    fake_s3.do("create_bucket", bucket="example-2")
    fake_s3.do("create_bucket", bucket="other")
    return command(fake_s3)


def ask(run: Command, *words: str, **changes: Any) -> list[str]:
    outcome = run("--complete", "zsh", *words, **changes)
    assert outcome.stderr == ""
    return outcome.lines


class TestRemoteNames:
    def test_buckets(self, stored: Command) -> None:
        assert sorted(ask(stored, "ls", "s3://")) == ["s3://example-2/", "s3://examples/", "s3://other/"]
        assert sorted(ask(stored, "ls", "s3://ex")) == ["s3://example-2/", "s3://examples/"]
        assert ask(stored, "cp", "s") == ["s3://"]

    def test_one_level_of_keys_by_one_request(self, stored: Command, fake_s3: FakeS3) -> None:
        names = ["s3://examples/a.txt", "s3://examples/a/"]
        before = len(fake_s3.log())
        assert ask(stored, "cp", "s3://examples/a") == names
        assert len(fake_s3.log()) == before + 1
        assert ask(stored, "cp", "s3://examples/a/") == ["s3://examples/a/b.txt"]
        assert ask(stored, "cp", "s3://examples/sub/") == ["s3://examples/sub/one"]
        assert "s3://examples/sub/" in ask(stored, "cp", "s3://examples/")

    def test_at_most_a_thousand_of_many(self, stored: Command, fake_s3: FakeS3) -> None:
        for number in range(1001):
            fake_s3.do("put", bucket="many", key=f"{number:04}", text="")
        before = len(fake_s3.log())
        assert len(ask(stored, "ls", "s3://many/")) == 1000
        assert len(fake_s3.log()) == before + 1

    def test_options_that_were_typed_hold(self, stored: Command, fake_s3: FakeS3) -> None:
        endpoint = {"AWS_ENDPOINT_URL": closed_port()}
        assert ask(stored, "ls", "s3://ot", env=endpoint) == []
        for words in (["--endpoint-url", fake_s3.endpoint, "ls"], ["ls", f"--endpoint-url={fake_s3.endpoint}"]):
            assert ask(stored, *words, "s3://ot", env=endpoint) == ["s3://other/"]

    @pytest.mark.parametrize("value", ["0", "false", "never", ""])
    def test_switched_off(self, value: str, stored: Command, fake_s3: FakeS3) -> None:
        before = len(fake_s3.log())
        assert ask(stored, "ls", "s3://", env={"S3Z_COMPLETE_REMOTE": value}) == []
        assert len(fake_s3.log()) == before
        assert ask(stored, "ls", "s3://ot", env={"S3Z_COMPLETE_REMOTE": "1"}) == ["s3://other/"]

    @pytest.mark.parametrize(
        "environment",
        [
            {"AWS_ENDPOINT_URL": "ftp://nowhere"},
            {"AWS_ACCESS_KEY_ID": "wrong"},
            {"AWS_PROFILE": "missing"},
            {"S3Z_LOG": "loud"},
            {"S3Z_MISSPELT": "1"},
        ],
    )
    def test_failures_print_nothing(self, environment: dict[str, str], stored: Command) -> None:
        found = ask(stored, "ls", "s3://ot", env=environment)
        assert found == (["s3://other/"] if "S3Z_MISSPELT" in environment else [])

    @pytest.mark.parametrize("tokens", [[], ["tcsh", "cp", ""], ["bash"], ["zsh"], ["bash", "", ""], ["zsh", "x", ""]])
    def test_whatever_is_asked_it_ends_well(self, tokens: list[str], command: Callable[..., Command]) -> None:
        outcome = command()("--complete", *tokens)
        assert outcome.stderr == ""

    def test_a_slow_store_is_not_waited_for(self, stored: Command, fake_s3: FakeS3) -> None:
        fake_s3.switch(latency_ms=30000)
        begun = time.monotonic()
        assert ask(stored, "ls", "s3://") == []
        assert time.monotonic() - begun < 10, "two seconds, and what a busy machine adds"
        fake_s3.switch(latency_ms=0)

    def test_denied(self, stored: Command, fake_s3: FakeS3) -> None:
        fake_s3.rule({"type": "respond", "status": 403, "code": "AccessDenied"})
        assert ask(stored, "ls", "s3://examples/") == []

    def test_stdout_that_nobody_reads(self, stored: Command) -> None:
        process = stored.start("--complete", "zsh", "")
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=30) == 0
        assert process.stderr is not None
        process.stderr.close()


class TestBash:
    @pytest.mark.parametrize(
        ("line", "found"),
        [
            ("s3z unp", ["unpack "]),
            ("s3z cp --verify=re", ["require "]),
            ("s3z ls s3://other", ["//other/"]),
            ("s3z ls s3://examples/c", ["//examples/c\\ d.txt "]),
            ('s3z ls "s3://examples/c', ["s3://examples/c d.txt"]),
            ("s3z ls s3://examples/e", ["//examples/e\\$\\(touch\\ gone\\)@x:y=z "]),
            ("s3z ls s3://examples/e\\$\\(touch\\ gone\\)@x:", ["y=z "]),
            ("s3z ls s3://nowhere/", []),
        ],
    )
    def test_function(self, line: str, found: list[str], stored: Command, tmp_path: Path) -> None:
        assert bash_completes(stored, line) == found
        assert not (tmp_path / "gone").exists()


@pytest.fixture(params=SHELLS)
def terminal(request: pytest.FixtureRequest, stored: Command) -> Iterator[Terminal]:
    (stored.directory / "local dir").mkdir()
    (stored.directory / "local dir" / "file").write_text("")
    found = Terminal(request.param, stored)
    yield found
    found.close()


class TestTerminals:
    """The scripts in the shells they are for, with a person's TAB."""

    @pytest.mark.parametrize(
        ("line", "arguments"),
        [
            ("s3z unp\tx", ["unpack", "x"]),
            ("s3z cp --no-cl\tx", ["cp", "--no-clobber", "x"]),
            ("s3z cp --verify=re\tx", ["cp", "--verify=require", "x"]),
            ("s3z cp --verify re\tx", ["cp", "--verify", "require", "x"]),
            ("s3z ls s3://ot\tx", ["ls", "s3://other/x"]),
            ("s3z cp s3://examples/c\t.", ["cp", "s3://examples/c d.txt", "."]),
            ("s3z cp s3://examples/e\t.", ["cp", "s3://examples/e$(touch gone)@x:y=z", "."]),
            ("s3z cp s3://examples/q\t.", ["cp", "s3://examples/q'uote", "."]),
            ("s3z cp 's3://examples/c\t .", ["cp", "s3://examples/c d.txt", "."]),
            ("s3z cp lo\tfi\t s3://ot\t", ["cp", "local dir/file", "s3://other/"]),
            (
                "s3z --complete-nothing ls s3://examples/c\tx",
                ["--complete-nothing", "ls", "s3://examples/c d.txt", "x"],
            ),
        ],
    )
    def test_line(self, terminal: Terminal, line: str, arguments: list[str], tmp_path: Path) -> None:
        assert terminal.arguments(line) == arguments
        assert not (tmp_path / "gone").exists()


def test_the_script_is_found_where_it_is_looked_for() -> None:
    assert os.access(SCRIPT, os.X_OK)
