"""Packing and unpacking beside tar and its compressors, in interleaved rounds; a table of medians and ratios.

    python benches/archive.py --tree DIRECTORY [--file-size 2GiB] [--rounds 5] [--scratch /dev/shm] [--json FILE]

The tree is packed from the page cache, with everything that is written in `--scratch`, which should be a file system in
memory. `calibrate` is the same reads, hashes, compression and sums without order and output, on one thread and on all.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
S3Z = Path(sys.executable).with_name("s3z")


def main() -> None:
    """Runs the rounds and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, required=True)
    parser.add_argument("--file-size", default="2GiB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scratch", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    scratch = options.scratch / f"s3z-bench-{os.getpid()}"
    scratch.mkdir()
    try:
        results = {"tree": measure(options.tree, scratch, options.rounds)}
        big = scratch / "big"
        big.mkdir()
        make_file(options.tree, big / "file", size_of(options.file_size))
        results["file"] = measure(big, scratch, options.rounds)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    for name, rows in results.items():
        show(name, rows)


def size_of(text: str) -> int:
    """Bytes of a size such as `2GiB`."""
    return int(text[:-3]) * UNITS[text[-3:]]


def make_file(tree: Path, path: Path, size: int) -> None:
    """One file of the bytes of a tree's files, over and over."""
    with path.open("wb") as out:
        while out.tell() < size:
            for directory, _, names in os.walk(tree):
                for name in names:
                    place = Path(directory, name)
                    if place.is_file() and not place.is_symlink() and out.tell() < size:
                        out.write(place.read_bytes()[: size - out.tell()])


def measure(source: Path, scratch: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of each command in each round, and what it wrote."""
    ours, peer, pixz, out = scratch / "a.tar.zst", scratch / "b.tar.zst", scratch / "c.tpxz", scratch / "out"
    commands = {
        "s3z pack": [S3Z, "-q", "pack", f"{source}/", ours],
        "s3z pack to null": f"'{S3Z}' -q pack '{source}/' - > /dev/null",
        "s3z pack, 1 worker": [S3Z, "-q", "--numworkers", "1", "pack", f"{source}/", ours],
        "tar | zstd -3 -T0": f"tar -C '{source}' -cf - . | zstd -3 -T0 -q -f -o '{peer}'",
        "s3z unpack": [S3Z, "-q", "unpack", ours, out],
        "zstd -dc | tar x": f"mkdir '{out}' && zstd -dc '{ours}' | tar x -C '{out}'",
    }
    if shutil.which("pixz"):
        commands["tar | pixz -1"] = f"tar -C '{source}' -cf - . | pixz -1 -o '{pixz}'"
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    seconds |= {"calibrate, 1 thread": [], "calibrate, all threads": []}
    for number in range(rounds):
        # Whoever comes after the other gets memory that is warm: every second round goes backwards, but for the first.
        for name, command in list(commands.items())[:: -1 if number % 2 else 1]:
            shutil.rmtree(out, ignore_errors=True)
            began = time.perf_counter()
            subprocess.run(command, shell=isinstance(command, str), check=True)
            seconds[name].append(time.perf_counter() - began)
        for name, threads in (("calibrate, 1 thread", 1), ("calibrate, all threads", os.cpu_count() or 1)):
            seconds[name].append(calibrate(source, threads))
    written = {"s3z pack": ours, "tar | zstd -3 -T0": peer, "tar | pixz -1": pixz}
    table = {}
    for name, times in seconds.items():
        table[name] = {"median": statistics.median(times), "min": min(times), "max": max(times)}
        if name in written and written[name].exists():
            table[name]["bytes"] = written[name].stat().st_size
    shutil.rmtree(out, ignore_errors=True)
    return table


def calibrate(source: Path, threads: int) -> float:
    """Seconds of the work alone."""
    command = [S3Z, "--json", "--numworkers", str(threads), "pack", "--calibrate", f"{source}/"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    records = [json.loads(line) for line in (done.stdout + done.stderr).splitlines() if '"workers"' in line]
    return float(next(record["seconds"] for record in records if record["workers"] == threads))


def show(name: str, rows: dict[str, dict[str, float]]) -> None:
    """Prints the medians, each beside what it is compared with."""
    against = {
        "s3z pack": ("tar | zstd -3 -T0", "s3z pack, 1 worker", "tar | pixz -1"),
        "s3z pack to null": ("calibrate, all threads",),
        "s3z unpack": ("zstd -dc | tar x",),
    }
    print(f"\n{name}")
    for row, values in rows.items():
        size = f"  {values['bytes'] / 1e6:9.1f} MB" if "bytes" in values else ""
        print(f"  {row:24} {values['median']:7.2f} s  ({values['min']:.2f} to {values['max']:.2f}){size}")
    for ours, peers in against.items():
        for peer in (peer for peer in peers if peer in rows):
            print(f"  {ours} / {peer}: {rows[ours]['median'] / rows[peer]['median']:.2f}")
    ours, peer = rows["s3z pack"].get("bytes"), rows["tar | zstd -3 -T0"].get("bytes")
    if ours and peer:
        print(f"  size: {ours / peer:.3f}")


if __name__ == "__main__":
    main()
