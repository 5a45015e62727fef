"""`kill -9` at any call and at any moment, and interpreters that end in the middle (promise 2, #61, #75).

A sample, with a new seed each time, which is printed; `deep/kill_everywhere.py` takes every point there is.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from support import strace
from support.data import MIB, is_pattern, leftovers
from support.kill import RESUMABLE, SLOW, Child, deadly_points, fetched, only_known_names, survive, whole_or_old

if TYPE_CHECKING:
    from pathlib import Path

    from support.servers import FakeS3

SMALL = 6 * MIB + 777
LARGE = RESUMABLE + 777
OLD = b"what was there before"


@pytest.fixture
def out(fake_s3: FakeS3, tmp_path: Path) -> Path:
    fake_s3.put("b", "warm", b"warm")
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize(
    ("size", "count", "durable"), [(SMALL, 10, True), (LARGE, 10, False)], ids=["small-durable", "large"]
)
def test_at_a_random_call(
    fake_s3: FakeS3, out: Path, tmp_path: Path, size: int, count: int, durable: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """#61: before the call that was hit, all that came before it has happened, and nothing else."""
    strace.require_strace()
    fake_s3.pattern("b", "k", size)
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    points = deadly_points(fake_s3, tmp_path, size, durable=durable)
    ends = [point for point in points if point.call in ("renameat", "fchmod", "fsync", "utimensat", "ftruncate")]
    # The few calls of the end are the dangerous ones; a plain choice would mostly hit writes.
    chosen = [*chance.sample(points, count - 3), *chance.sample(ends, 3)]
    done = []
    with Child(fake_s3, tmp_path) as finisher:
        for point in chosen:
            old = OLD if chance.random() < 0.7 else None
            try:
                done.append(survive(fake_s3, tmp_path, point, size, old, finisher=finisher, durable=durable))
            except AssertionError as error:
                raise AssertionError(f"killed at {point}, seed {seed}: {error}") from error
    with capsys.disabled():
        told = ", ".join(f"{each.point.call}#{each.point.nth} {each.state} +{each.resumed >> 20}" for each in done)
        print(f"\n[seed {seed}, {len(points)} points; {told}]", end="")
    assert sum(each.fired for each in done) >= count // 2, "hardly any of the kills came"
    for left in leftovers(tmp_path):
        os.unlink(left)


def test_at_a_random_moment(fake_s3: FakeS3, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Promise 5, three times in a row."""
    size = 2 * RESUMABLE
    fake_s3.pattern("b", "k", size)
    fake_s3.do("clear_log")
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    (out / "k").write_bytes(OLD)
    fake_s3.switch(rate_total=SLOW // 4)
    for _ in range(3):
        with Child(fake_s3, tmp_path) as child:
            child.begin("s3://b/k", out / "k", part_size=2 * MIB, max_concurrency=4)
            time.sleep(chance.uniform(0.05, 0.5))
            child.kill()
        assert whole_or_old(out / "k", OLD, size) == "old"
        only_known_names(out)
        assert len(leftovers(out)) <= 2
    fake_s3.switch(rate_total=0)
    with Child(fake_s3, tmp_path) as child:
        done = child.download("s3://b/k", out / "k", part_size=2 * MIB).ok()
    twice = fetched(fake_s3) - size
    with capsys.disabled():
        print(f"\n[seed {seed}: {done['resumed_bytes'] >> 20} MiB kept, {twice >> 10} KiB fetched twice]", end="")
    assert is_pattern(out / "k", size)
    assert leftovers(out) == []
    assert twice <= 3 * 4 * 2 * MIB


LEAVES = """
import random, sys, threading, time, s3z
client = s3z.Client()
chance = random.Random(int(sys.argv[1]))
kind = sys.argv[2]

def work(number):
    try:
        while True:
            client.download("s3://b/k", f"out/{number}", part_size=1 << 20)
    except s3z.S3zError:
        pass

for number in range(4):
    threading.Thread(target=work, args=(number,), daemon=True).start()
time.sleep(chance.random() * 0.12)
if kind == "exit":
    sys.exit(3)
if kind == "raise":
    raise SystemExit(3)
"""


def test_interpreter_ends_at_a_random_moment(fake_s3: FakeS3, out: Path, tmp_path: Path) -> None:
    """Y4, #75: threads in the middle of anything; no crash, no hang, no temporary file, no word."""
    fake_s3.pattern("b", "k", SMALL)
    seed = random.randrange(1 << 32)
    for number in range(20):
        kind = ("end", "exit", "raise")[number % 3]
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", LEAVES, str(seed + number), kind],
            cwd=tmp_path,
            env={**os.environ, **fake_s3.environment()},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        expected = 0 if kind == "end" else 3
        assert (done.returncode, done.stderr) == (expected, ""), f"{kind}, seed {seed + number}: {done}"
        assert time.monotonic() - began < 10, f"{kind}, seed {seed + number}"
        assert leftovers(tmp_path) == [], f"{kind}, seed {seed + number}"
        for path in out.iterdir():
            assert is_pattern(path, SMALL), f"{kind}, seed {seed + number}"


def test_kill_is_seen_when_it_does_harm(fake_s3: FakeS3, out: Path, tmp_path: Path) -> None:
    """The oracle is not blind: half a file and an unknown name are failures."""
    (out / "k").write_bytes(b"half")
    with pytest.raises(AssertionError, match="neither"):
        whole_or_old(out / "k", OLD, SMALL)
    (out / "k").unlink()
    with pytest.raises(AssertionError, match="gone"):
        whole_or_old(out / "k", OLD, SMALL)
    (out / ".s3z-unknown.part").touch()
    with pytest.raises(AssertionError):
        only_known_names(out)
    (out / ".s3z-unknown.part").unlink()
    with Child(fake_s3, tmp_path) as child:
        assert child.kill() == -signal.SIGKILL
