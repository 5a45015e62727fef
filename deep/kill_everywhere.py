"""`kill -9` at every call, at random moments, with the power cut, and at the end of the interpreter.

    python deep/kill_everywhere.py                 every call of a small, a durable and a resumable download
    python deep/kill_everywhere.py --random 20     a throttled 1 GiB download, killed 20 times in a row
    python deep/kill_everywhere.py --power 20      the disk put back as it was at a random moment
    python deep/kill_everywhere.py --exits 200     interpreters that end with transfers under way

After each, the destination is absent, old, or complete; what is left is recognisable; the next run ends well. The last
line on stdout is a JSON object. Status 1: something else was seen.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.data import GIB, MIB, is_pattern, leftovers  # noqa: E402
from support.disks import LoopDisk  # noqa: E402
from support.kill import (  # noqa: E402
    RESUMABLE,
    Child,
    deadly_points,
    fetched,
    only_known_names,
    survive,
    whole_or_old,
)
from support.servers import FakeS3  # noqa: E402

OLD = b"what was there before"
PART, AT_ONCE = 4 * MIB, 4
#: seconds between two kills, on average
MEAN = 2.0


def tell(text: str) -> None:
    """Progress, for people."""
    sys.stderr.write(text + "\n")


def every_call(server: FakeS3, directory: Path) -> dict[str, Any]:
    """One run for each call of each kind of download."""
    wrong: list[str] = []
    figures: collections.Counter[str] = collections.Counter()
    kinds: list[tuple[int, dict[str, Any]]] = [
        (6 * MIB + 777, {}),
        (6 * MIB + 777, {"durable": True, "overwrite": False}),
        (RESUMABLE + 777, {}),
        (RESUMABLE + 777, {"durable": True, "direct_io": "off", "part_size": 3 * MIB + 1}),
    ]
    for size, options in kinds:
        server.pattern("b", "k", size)
        points = deadly_points(server, directory, size, **options)
        tell(f"{size} bytes, {options}: {len(points)} points")
        for number, point in enumerate(points):
            old = None if number % 3 == 0 or not options.get("overwrite", True) else OLD
            figures["points"] += 1
            try:
                end = survive(server, directory, point, size, old, **options)
            except AssertionError as error:
                wrong.append(f"{size} bytes, {options}, {point}: {error}")
                tell(wrong[-1])
                continue
            figures["kills"] += end.fired
            figures[f"then_{end.state}"] += end.fired
            figures["resumed"] += end.resumed > 0
            figures["orphans"] += end.orphan
    return {**figures, "wrong": wrong}


def random_moments(server: FakeS3, directory: Path, count: int, chance: random.Random) -> dict[str, Any]:
    """One download, killed again and again; what was fetched, beside what was missing."""
    size, out = GIB + 777, directory / "out"
    out.mkdir()
    server.pattern("b", "k", size)
    server.do("clear_log")
    (out / "k").write_bytes(OLD)
    # Slow enough for all kills to come, fast enough for the download to be nearly done then.
    server.switch(rate_total=int(size / (count * MEAN * 2)))
    options: dict[str, Any] = {"part_size": PART, "max_concurrency": AT_ONCE}
    wrong, before, killed = [], 0, 0
    for number in range(count):
        with Child(server, directory) as child:
            child.begin("s3://b/k", out / "k", **options)
            time.sleep(chance.uniform(0.1, 2 * MEAN - 0.1))
            child.kill()
            ended = child.has_reported()
        if ended:
            break
        killed += 1
        now = fetched(server)
        tell(f"kill {number + 1}: {now - before >> 10} KiB fetched, {now >> 10} KiB of {size >> 10} by now")
        before = now
        if whole_or_old(out / "k", OLD, size) != "old":
            wrong.append(f"kill {number + 1}: the old file is gone")
        only_known_names(out)
        if len(leftovers(out)) > 2:
            wrong.append(f"kill {number + 1}: left: {leftovers(out)}")
    server.switch(rate_total=0)
    kept = 0
    if not is_pattern(out / "k", size):
        with Child(server, directory) as child:
            kept = child.download("s3://b/k", out / "k", timeout=120, **options).ok()["resumed_bytes"]
    total = fetched(server)
    if not is_pattern(out / "k", size) or leftovers(out):
        wrong.append(f"the last run did not end well: {leftovers(out)}")
    if total > size + killed * AT_ONCE * PART:
        wrong.append(f"{total - size} bytes were fetched twice, in {killed} kills")
    return {
        "kills": killed, "size": size, "fetched": total, "fetched_twice": total - size,
        "bound": killed * AT_ONCE * PART, "kept_by_the_last_run": kept, "wrong": wrong,
    }  # fmt: skip


def power_cuts(server: FakeS3, directory: Path, count: int, chance: random.Random) -> dict[str, Any]:
    """The disk as it was at a random moment; with `durable`, a call that had returned stays done."""
    wrong: list[str] = []
    figures: collections.Counter[str] = collections.Counter()
    size = RESUMABLE + 777
    server.pattern("b", "k", size)
    for number in range(count):
        with LoopDisk(directory / f"loop-{number}", 3 * RESUMABLE) as disk:
            # ext4 writes down what it was told once in so many seconds; only then there is something to go on with.
            disk.remount("commit=1")
            (disk.at / "k").write_bytes(OLD)
            subprocess.run(["sync", "-f", str(disk.at)], check=True)
            server.switch(rate_total=20 * MIB)
            with Child(server, directory) as child:
                child.begin("s3://b/k", disk.at / "k", durable=True, tell=True)
                time.sleep(chance.uniform(0, 4.0))
                child.process.send_signal(signal.SIGSTOP)
                state = disk.snapshot()
                # It may have returned before that moment; then the file must be there.
                returned = child.has_reported()
                child.kill()
            server.switch(rate_total=0)
            disk.cut(state)
            now = whole_or_old(disk.at / "k", OLD, size)
            figures[now] += 1
            if returned and now != "new":
                wrong.append(f"cut {number}: the call had returned, and the file is {now}")
            only_known_names(disk.at)
            with Child(server, directory) as child:
                done = child.download("s3://b/k", disk.at / "k", durable=True).ok()
            figures["resumed"] += done["resumed_bytes"] > 0
            figures["orphans"] += len(leftovers(disk.at))
            if not is_pattern(disk.at / "k", size):
                wrong.append(f"cut {number}: the next run gave the wrong bytes")
    return {**figures, "wrong": wrong}


def exits(server: FakeS3, directory: Path, count: int, chance: random.Random) -> dict[str, Any]:
    """#75: no crash, no hang, nothing left."""
    from test_kill import LEAVES, SMALL

    (directory / "out").mkdir()
    server.pattern("b", "k", SMALL)
    wrong: list[str] = []
    longest = 0.0
    for number in range(count):
        kind, seed = ("end", "exit", "raise")[number % 3], str(chance.randrange(1 << 32))
        began = time.monotonic()
        try:
            done = subprocess.run(
                [sys.executable, "-c", LEAVES, seed, kind],
                cwd=directory, env={**os.environ, **server.environment()},
                capture_output=True, text=True, timeout=30, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            wrong.append(f"{kind}, seed {seed}: it hangs")
            continue
        longest = max(longest, time.monotonic() - began)
        if (done.returncode, done.stderr) != (0 if kind == "end" else 3, "") or leftovers(directory):
            wrong.append(f"{kind}, seed {seed}: {done.returncode} {done.stderr[-500:]} {leftovers(directory)}")
    return {"exits": count, "longest": round(longest, 2), "wrong": wrong}


def main() -> int:
    """The status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--random", type=int, metavar="N", help="kills of a 1 GiB download")
    parser.add_argument("--power", type=int, metavar="N", help="power cuts")
    parser.add_argument("--exits", type=int, metavar="N", help="ends of the interpreter")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    chance = random.Random(options.seed)
    directory = Path(tempfile.mkdtemp(prefix="s3z-kill-"))
    server = FakeS3()
    server.put("b", "warm", b"warm")
    try:
        if options.random:
            result = random_moments(server, directory, options.random, chance)
        elif options.power:
            result = power_cuts(server, directory, options.power, chance)
        elif options.exits:
            result = exits(server, directory, options.exits, chance)
        else:
            result = every_call(server, directory)
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)
    sys.stdout.write(json.dumps({"seed": options.seed, **result}) + "\n")
    return 1 if result["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
