"""Measure clients side by side: `python benches/run.py [--workload …] [--client …] [--rounds N] [--quick]`.

Starts its own servers, runs every client in every workload, interleaved in random order after one warm-up each, checks
each result byte by byte outside the timed window, and writes `raw.csv`, `summary.txt` and `summary.svg`.
See `benches/README.md`.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import clients
from lib import conditions, many, pattern, plot, report, workload
from lib.job import MANY, Job
from lib.measure import measure
from lib.server import ROOT, Server

BUCKET, KEY, SEED = "bench", "object.bin", 7


@dataclass(frozen=True, slots=True)
class Entry:
    """One client in one workload."""

    workload: workload.Workload
    server: Server
    client: str
    adapter: clients.Adapter


def main() -> int:
    """Run what the command line asks for; exit 1 if any run failed."""
    options = parse_options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was measured is written all the same
    os.chdir(ROOT)
    if not options.no_build:
        subprocess.run(["cargo", "build", "--release", "--quiet", "-p", "fake-s3", "-p", "floor"], check=True)
    options.scratch.mkdir(parents=True, exist_ok=True)
    options.output.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        scratch = options.scratch / f"run-{os.getpid()}"
        scratch.mkdir()
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        bench = Bench(scratch, options.pause)
        # The machine is described before it is put to work.
        described = conditions.machine(scratch)
        versions = {name: clients.load(name).available() for name in options.client}
        loaded = [workload.load(name, quick=options.quick) for name in options.workload]
        entries = [entry for one in loaded for entry in bench.enter(one, versions, stack)]
        stated = described | {f"server, {entry.workload.name}": entry.server.flags for entry in entries}
        stated["order"] = (
            f"random, seed {options.seed}; pause {options.pause} s; {options.rounds} rounds after a warm-up"
        )
        runs: list[report.Run] = []
        try:
            bench.run(entries, options.rounds, options.seed, runs)
        except KeyboardInterrupt:
            stated["incomplete"] = "interrupted"
        write(options.output, loaded, runs, versions, stated)
    return 1 if "incomplete" in stated or any(run.failure for run in runs) else 0


def parse_options() -> argparse.Namespace:
    """Return the command line, defaults filled in."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workload", action="append", choices=workload.names(), help="repeatable; default: all")
    parser.add_argument("--client", action="append", choices=clients.NAMES, help="repeatable; default: all")
    parser.add_argument("--rounds", type=int, help="measured rounds (default 5, with --quick 2)")
    parser.add_argument("--quick", action="store_true", help="small objects, short pauses: a smoke test, not a figure")
    parser.add_argument("--output", type=Path, help="folder of the results (default target/bench/<time>)")
    parser.add_argument("--scratch", type=Path, default=ROOT / "target" / "bench-scratch", help="folder for the files")
    parser.add_argument("--pause", type=float, help="seconds between runs (default 4, with --quick 0.5)")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="of the random order")
    parser.add_argument("--no-build", action="store_true", help="use the release binaries as they are")
    options = parser.parse_args()
    options.workload = options.workload or workload.names()
    options.client = options.client or list(clients.NAMES)
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.pause = options.pause if options.pause is not None else (0.5 if options.quick else 4.0)
    options.output = (options.output or ROOT / "target" / "bench" / time.strftime("%Y%m%d-%H%M%S")).resolve()
    options.scratch = options.scratch.resolve()
    return options


class Bench:
    """The files and habits shared by all runs."""

    def __init__(self, scratch: Path, pause: float) -> None:
        self.scratch = scratch
        self.pause = pause
        self.home = scratch / "home"
        self.home.mkdir()
        self.uploads = 0

    def enter(self, one: workload.Workload, versions: dict[str, str | None], stack: ExitStack) -> list[Entry]:
        """Start the server of a workload, lay out its files, and name the clients that take part."""
        if one.lists:
            there = ["--keys", f"{BUCKET}={one.size}"]
        else:
            there = [] if one.is_many else ["--pattern", f"{BUCKET}/{KEY}={one.size}:{SEED}"]
        flags = ["--bucket", BUCKET, *there, *one.server]
        if one.secure:
            flags += ["--ca-out", str(self.scratch / f"{one.name}.pem")]
        server = stack.enter_context(Server.start(flags))
        if one.uploads and not (source := self.source(one)).exists():
            source.parent.mkdir()
            pattern.write(source, one.size, SEED)
        if one.is_many:
            tree = self.tree(one)
            if not tree.exists():
                many.plant(tree, one.size, one.object_size, SEED)
            settled = replace(
                self.job(Entry(one, server, "", clients.load("s3z-cli")), keep=False), path=tree, key="many/"
            )
            many.send(tree, f"s3://{BUCKET}/many/", settled.env())
        adapters = {name: clients.load(name) for name, version in versions.items() if version}
        return [Entry(one, server, name, made) for name, made in adapters.items() if one.verb in made.VERBS]

    def source(self, one: workload.Workload) -> Path:
        """Return the file that uploads read; its name is that of the object, since some clients insist."""
        return self.scratch / f"source-{one.size}" / KEY

    def tree(self, one: workload.Workload) -> Path:
        """Return the tree that workloads of many small objects are made of."""
        return self.scratch / f"many-{one.size}-{one.object_size}"

    def run(self, entries: list[Entry], rounds: int, seed: int, runs: list[report.Run]) -> None:
        """Run every entry once to warm up and then in shuffled rounds, adding to `runs`; who fails is not run again."""
        order, alive = random.Random(seed), list(entries)
        for number in range(rounds + 1):
            order.shuffle(alive)
            for entry in list(alive):
                done = self.once(entry, number)
                runs.append(done)
                told = f"FAILED: {done.failure}" if done.failure else f"{done.wall:7.2f} s {done.cpu:7.2f} s cpu"
                print(f"[{number}/{rounds}] {entry.workload.name:<24} {entry.client:<16} {told}", flush=True)
                if done.failure:
                    alive.remove(entry)

    def once(self, entry: Entry, number: int) -> report.Run:
        """Measure one run, then check its result and clean up."""
        one, server = entry.workload, entry.server
        job = self.job(entry, keep=number == 0)
        argv, env = entry.adapter.command(job)
        load = os.getloadavg()[0]
        before = server.cpu_seconds()
        used = measure(argv, env=env, cwd=str(self.scratch), timeout=300)
        server_cpu = server.cpu_seconds() - before
        checksum, failure = "", ""
        if used.status != 0:
            said = (used.stderr.strip() or used.stdout.strip() or "no message").splitlines()[-1][:160]
            failure = f"status {used.status}: {said}"
        elif entry.adapter.KIND != "reference":
            checksum, failure = self.check(job, entry)
            if one.verb == "sync-many" and used.stdout.strip():
                failure = f"it did something: {used.stdout.splitlines()[0][:100]}"
        self.clean(job)
        return report.Run(
            workload=one.name,
            client=entry.client,
            kind=entry.adapter.KIND,
            round=number,
            wall=used.wall,
            user=used.user,
            system=used.system,
            server_cpu=server_cpu,
            peak_rss=used.peak_rss,
            load=load,
            bytes=one.size,
            checksum=checksum,
            failure=failure,
        )

    def job(self, entry: Entry, *, keep: bool) -> Job:
        """Return the job of the next run; every upload has a key of its own, so no result can be an older one.

        `keep` asks for a file to compare where the workload leaves none.
        """
        one, server = entry.workload, entry.server
        if one.is_many:
            self.uploads += 1
            if one.verb == "download-many":
                key, path = "many/", self.scratch / f"trees-{self.uploads}"
            else:
                key, path = "many/" if one.verb == "sync-many" else f"many-{self.uploads}/", self.tree(one)
        elif one.uploads:
            self.uploads += 1
            key, path = f"upload-{self.uploads}/{KEY}", self.source(one)
        else:
            key, path = KEY, self.scratch / "output" / KEY
            path.parent.mkdir()
        return Job(
            verb=one.verb,
            endpoint=server.endpoint,
            ca=server.ca,
            bucket=BUCKET,
            key=key,
            size=one.size,
            path=path,
            access_key=server.access_key,
            secret_key=server.secret_key,
            region=server.region,
            part_size=one.part_size,
            home=self.home,
            keep=keep and one.verb in ("cat", "memory", "upload-many"),
        )

    def check(self, job: Job, entry: Entry) -> tuple[str, str]:
        """Return the checksum of the right result, and what is wrong with this one.

        A download is compared byte by byte with the pattern. An upload is compared by size and full-object CRC64NVME,
        which the server computes from what it received. What went into a pipe or into memory was counted by the command
        itself, which fails otherwise; byte by byte it is compared where it was kept, after the warm-up. A listing must
        name every key, in order, last on its line.
        """
        one = entry.workload
        if one.lists:
            return "", wrong_line(job.path, job.size)
        if one.verb == "download-many":
            return "", many.wrong_file(self.tree(one), job.path)
        if one.verb == "upload-many":
            return "", many.wrong_object(entry.server, job.bucket, job.path, job.key, 1 if job.keep else 100)
        if not (job.uploads or job.downloads or job.keep):
            return "", ""
        wanted = entry.server.ask("crc", bucket=BUCKET, key=KEY)
        if not job.uploads:
            return wanted["crc64nvme"], pattern.difference(job.path, job.size, SEED) or ""
        try:
            found = entry.server.ask("crc", bucket=BUCKET, key=job.key)
        except RuntimeError as error:
            return "", str(error)
        for name in ("size", "crc64nvme"):
            if found[name] != wanted[name]:
                return found["crc64nvme"] or "", f"{name} is {found[name]} instead of {wanted[name]}"
        return found["crc64nvme"], ""

    def clean(self, job: Job) -> None:
        """Delete what the run made and let the disk come to rest.

        Trees stay until the end: for half a minute after many files were deleted, ext4 looks for other inodes than
        theirs, and whoever makes files then pays for it, up to three times the system time.
        """
        if not (job.uploads or job.verb in MANY):
            shutil.rmtree(job.path.parent)
        os.sync()
        time.sleep(self.pause)


def wrong_line(path: Path, count: int) -> str:
    """What is wrong with a listing of the keys that `fake-s3 --keys` makes; empty if nothing is."""
    number = 0
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.split()[-1] != f"data/{number // 1000:04}/part-{number:07}.json":
                return f"line {number + 1} is {line.strip()[-60:]}"
            number += 1
    return "" if number == count else f"{number} lines instead of {count}"


def write(
    output: Path,
    loaded: list[workload.Workload],
    runs: list[report.Run],
    versions: dict[str, str | None],
    stated: dict[str, str],
) -> None:
    """Write the three files and print the summary."""
    panels = {one.name: report.rows(one.name, runs) for one in loaded}
    absent = [name for name, version in versions.items() if version is None]
    text = ["s3z benchmark", ""]
    text += [f"{name + ':':<34}{value}" for name, value in stated.items()]
    text += ["", "clients", ""]
    for name, version in versions.items():
        text.append(f"{name:<16}{version or 'absent'}; {clients.load(name).FLAGS}")
    for one in loaded:
        takes = [name for name in absent if one.verb in clients.load(name).VERBS]
        text += ["", report.table(one, panels[one.name], takes)]
    text += ["", "A result that is not byte-identical is a failure, not a time. Medians; ratios vary less."]
    report.write_csv(output / "raw.csv", runs)
    (output / "summary.txt").write_text("\n".join(text) + "\n", encoding="utf-8")
    (output / "summary.svg").write_text(plot.draw(panels), encoding="utf-8")
    print("\n" + "\n".join(text) + f"\n\nwritten to {output}")


if __name__ == "__main__":
    sys.exit(main())
