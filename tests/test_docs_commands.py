"""Every `s3z …` that the pages for newcomers show is carried out, in a place that has what they speak of."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.command import SCRIPT
from support.trees import write_tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.command import Command
    from support.servers import FakeS3

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = ("from-s5cmd.md", "from-aws-s3.md")
#: commands that find a difference, as they should here
DIFFERS = ("s3z verify ",)
FILES = {
    "a.txt": "a\n",
    "data.bin": "data" * 100,
    "names.txt": "a.txt\nsub/b.txt\n",
    "dir/a.txt": "a\n",
    "dir/sub/b.txt": "b\n",
    "commands.txt": "cp a.txt s3://bucket/1\nrm s3://bucket/p/a.txt\n",
}
KEYS = ("a.txt", "data.bin", "report.pdf", "p/a.txt", "p/sub/b.txt", "logs/2026-01.gz", "logs/2026-02.gz")


def commands(text: str) -> list[str]:
    """Lines of shell blocks, and what stands in backticks elsewhere."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()] + re.findall(r"`([^`\n]+)`", rest)
    return list(dict.fromkeys(line for line in lines if line.startswith("s3z ")))


SHOWN = [(page, line) for page in PAGES for line in commands((DOCS / page).read_text())]


@pytest.fixture
def place(fake_s3: FakeS3, command: Callable[..., Command], tmp_path: Path) -> Command:
    for name in ("bucket", "other", "empty"):
        fake_s3.do("create_bucket", bucket=name)
    for key in KEYS:
        fake_s3.put("bucket", key, key.encode())
    write_tree(tmp_path, FILES)
    return command(fake_s3)


@pytest.mark.parametrize(("page", "line"), SHOWN)
def test_it_works(place: Command, page: str, line: str) -> None:
    environment = {**place.environment, "PATH": f"{Path(SCRIPT).parent}:{place.environment['PATH']}"}
    done = subprocess.run(
        ["sh", "-ec", line], cwd=place.directory, env=environment, capture_output=True, text=True, timeout=60,
        input="from stdin\n", check=False,
    )  # fmt: skip
    assert done.returncode == (1 if line.startswith(DIFFERS) else 0), (line, done.stdout, done.stderr)
    assert done.stdout or " cat " not in line, "it has something to show"
    if not line.startswith(DIFFERS):
        assert done.stderr == "", line


def test_pages_show_commands() -> None:
    """What finds them finds them."""
    assert commands("`s3z ls`\n```sh\ns3z cp a b\n# s3z no\n```\n`aws s3 ls` and `s3z du x`") == [
        "s3z cp a b", "s3z ls", "s3z du x",
    ]  # fmt: skip
    assert all(sum(page == name for name, _ in SHOWN) > 15 for page in PAGES)


@pytest.mark.parametrize(
    "line", ["select x", "bucket-version s3://b", "--use-list-objects-v1 ls", "website s3://b", "ls --page-size 5"]
)
def test_what_is_not_there_says_so(place: Command, fake_s3: FakeS3, line: str) -> None:
    fake_s3.do("clear_log")
    outcome = place(*line.split(), status=2)
    assert re.search(r"command not found|unknown option", outcome.stderr)
    assert fake_s3.log() == []


def options_said_to_be_the_same() -> list[str]:
    s5cmd, aws = ((DOCS / page).read_text() for page in PAGES)
    text = s5cmd.partition("## The same")[2].partition("##")[0]
    text += "".join(line for line in aws.splitlines() if "| the same" in line)
    return sorted(set(re.findall(r"`(--[a-z-]+)", text)))


def test_options_that_are_the_same_are_there() -> None:
    from s3z._cli._options import COMMANDS, GLOBAL

    known = {f"--{name}" for option in GLOBAL for name in option.spellings()}
    known |= {f"--{name}" for options, _, _ in COMMANDS.values() for option in options for name in option.spellings()}
    said = options_said_to_be_the_same()
    assert len(said) > 40
    assert set(said) <= known
