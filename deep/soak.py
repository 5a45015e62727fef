"""Writers overwrite objects while readers download them through faults; every download must be exactly one version.

Each 4 KiB block of an object says whose it is: hash of the key, number of the version, offset, size of the object, CRC.
So a file made of two versions, or of two places, is found out, and which version it is can be read from it. Times are
of the one monotonic clock of the machine, so a history is put together from what all processes say, and checked: what a
read returns is no older than what was there when it began, and no newer than what was being written when it ended.

    python deep/soak.py [--seconds 600] [--seed N] [--writers 2] [--readers 3] [--keys 8] [--directory DIR]

The last line on stdout is a JSON object. Status 1: there was a violation.
"""

from __future__ import annotations

import argparse
import bisect
import collections
import contextlib
import json
import os
import queue
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

BLOCK = 4096
WORDS = BLOCK // 8
MAGIC = 0x5333_5A53_4F41_4B21
KIB, MIB = 1 << 10, 1 << 20
#: bytes of a block before its filler; no object is shorter, so that each names its version
HEAD = 48
#: one is chosen for each version
SIZES = (HEAD, 777, BLOCK, 300 * KIB + 13, 3 * MIB, 9 * MIB + 5, 9 * MIB + 5, 20 * MIB + 4095)
#: of every fourth key: large enough for resume state, and left alone long enough for it to be of use
CALM_SIZES = (64 * MIB, 66 * MIB + 1)
BUCKET = "soak"


class ViolationError(Exception):
    """A promise was broken."""


def key_hash(key: str) -> int:
    """As it stands in the blocks."""
    return zlib.crc32(key.encode()) | (len(key) << 32)


def is_calm(key: str) -> bool:
    """Whether it is one of the large ones that seldom change."""
    return int(key.rpartition("-")[2]) % 4 == 3


def content(key: str, version: int, size: int) -> bytes:
    """The whole object."""
    count = -(-size // BLOCK)
    with np.errstate(over="ignore"):
        places = np.arange(count, dtype=np.uint64)
        own = (places * np.uint64(0x9E3779B97F4A7C15) + np.uint64(version)) * np.uint64(0xBF58476D1CE4E5B9)
        fill = np.arange(WORDS, dtype=np.uint64) * np.uint64(0x94D049BB133111EB)
    blocks = own[:, None] ^ fill[None, :]
    blocks[:, 0] = MAGIC
    blocks[:, 1] = key_hash(key)
    blocks[:, 2] = version
    blocks[:, 3] = places * np.uint64(BLOCK)
    blocks[:, 4] = size
    blocks[:, 5] = 0
    view = memoryview(blocks.data).cast("B")
    blocks[:, 5] = [zlib.crc32(view[at : at + BLOCK]) for at in range(0, count * BLOCK, BLOCK)]
    return bytes(view[:size])


def version_of(path: Path, key: str) -> int:
    """Which version of `key` a file is.

    Raises:
        ViolationError: it is none, or more than one, or damaged.
    """
    data = path.read_bytes()
    if len(data) < HEAD:
        raise ViolationError(f"{path}: {len(data)} bytes, and no object is so short")
    whole = np.frombuffer(data, dtype="<u8", count=len(data) // BLOCK * WORDS).reshape(-1, WORDS)
    versions = sorted({int.from_bytes(data[16:24], "little"), *map(int, whole[:, 2])})
    if len(versions) != 1:
        raise ViolationError(f"{path}: a mixture of the versions {versions}")
    right = content(key, versions[0], len(data))
    if data != right:
        at = next(at for at in range(len(data)) if data[at] != right[at])
        raise ViolationError(f"{path}: damaged, or of another place or key, from byte {at} on (version {versions[0]})")
    return versions[0]


@dataclass
class History:
    """All that was written and read of one key.

    Attributes:
        writes: version → begin and end; no end where the upload failed and may have worked.
        reads: begin, end, version.
    """

    writes: dict[int, tuple[float, float | None]] = field(default_factory=dict)
    reads: list[tuple[float, float, int]] = field(default_factory=list)

    def violations(self) -> list[str]:
        """Reads that no order of events explains."""
        done = sorted((end, version) for version, (_, end) in self.writes.items() if end is not None)
        ends, newest = [end for end, _ in done], _running_max([version for _, version in done])
        wrong = []
        for began, ended, version in self.reads:
            at = bisect.bisect_right(ends, began)
            least = newest[at - 1] if at else 0
            if version < least:
                wrong.append(f"version {version} was read after version {least} had been written")
            if version not in self.writes or self.writes[version][0] > ended:
                wrong.append(f"version {version} was read before it was written")
        by_end = sorted((ended, version) for _, ended, version in self.reads)
        ends, newest = [ended for ended, _ in by_end], _running_max([version for _, version in by_end])
        for began, _, version in self.reads:
            at = bisect.bisect_left(ends, began)
            if at and newest[at - 1] > version:
                wrong.append(f"version {version} was read after version {newest[at - 1]} had been read")
        return wrong


def _running_max(values: list[int]) -> list[int]:
    found: list[int] = []
    for value in values:
        found.append(max(value, found[-1] if found else value))
    return found


# What the child processes do. They say what happens in lines of JSON, and end when their stdin does.


def say(**what: Any) -> None:
    """One event; written at once, so that a kill loses none that is complete."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _until_told() -> threading.Event:
    over = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait, daemon=True).start()
    return over


def _client(**config: Any) -> Any:
    import s3z

    return s3z.Client(config=s3z.TransferConfig(read_timeout=1.0, connect_timeout=2.0, **config))


def write(keys: list[str], seed: int, directory: Path) -> None:
    """Overwrite these keys, nobody else's, with ever newer versions."""
    import s3z

    over, chance, client = _until_told(), random.Random(seed), _client(max_attempts=6)
    versions = dict.fromkeys(keys, 0)
    source = directory / f"source-{seed}"
    while not over.is_set():
        # Each once before any of them again, so that there is something to read.
        key = next((key for key in keys if not versions[key]), None) or chance.choice(keys)
        if is_calm(key) and versions[key] and chance.random() < 0.9:
            continue
        versions[key] += 1
        source.write_bytes(content(key, versions[key], chance.choice(CALM_SIZES if is_calm(key) else SIZES)))
        say(event="begin", key=key, version=versions[key], time=time.monotonic())
        try:
            client.upload(source, f"s3://{BUCKET}/{key}", part_size=chance.choice((5 * MIB, 8 * MIB)), deadline=10)
            say(event="end", key=key, version=versions[key], time=time.monotonic())
        except s3z.S3zError as error:
            say(event="failed", role="writer", kind=type(error).__name__, text=str(error)[:300])
        time.sleep(chance.random() * 0.2)


def read(keys: list[str], seed: int, directory: Path) -> None:
    """Download these keys again and again over what is there."""
    import s3z

    over, chance, client = _until_told(), random.Random(seed), _client(max_attempts=5)
    # What a killed reader had is looked at when its turn comes.
    have: dict[str, int | None] = {}
    while not over.is_set():
        key = chance.choice(keys)
        if key not in have:
            have[key] = version_of(directory / key, key) if (directory / key).exists() else None
        options: dict[str, Any] = {
            "part_size": chance.choice((None, 256 * KIB, MIB, 1_000_003, 5 * MIB)),
            "max_concurrency": chance.choice((None, None, 1, 4)),
            "on_change": chance.choice(("error", "restart")),
            "verify": chance.choice(("auto", "require")),
            "resume": chance.random() < 0.8,
        }
        began = time.monotonic()
        try:
            done = client.download(f"s3://{BUCKET}/{key}", directory / key, deadline=10, **options)
        except s3z.S3zError as error:
            kind = type(error).__name__
            say(event="failed", role="reader", kind=kind, text=str(error)[:300])
            _same(directory / key, key, have)
            continue
        ended = time.monotonic()
        have[key] = version_of(directory / key, key)
        retries = done.attempts - done.parts
        say(
            event="read", key=key, version=have[key], began=began, ended=ended, bytes=done.bytes, retries=retries,
            resumed=getattr(done, "resumed_bytes", 0), verified=done.verified.kind,
        )  # fmt: skip


def _same(path: Path, key: str, have: dict[str, int | None]) -> None:
    """After a failure the file is what it was."""
    now = version_of(path, key) if path.exists() else None
    if now != have.get(key):
        raise ViolationError(f"{path}: version {now} after a failure, {have.get(key)} before it")


# The process that starts the others, breaks the network, kills readers and checks what it is told.


def faults(chance: random.Random) -> list[dict[str, Any]]:
    """Some rules for the next second, each for a share of the requests."""
    after = chance.choice((0, 1000, 100_000, 700_000))
    catalogue: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
        ("truncated", {"type": "truncate", "after": after}, {"operation": "GetObject"}),
        ("reset", {"type": "reset", "after": after}, {"operation": "GetObject"}),
        ("stalled", {"type": "stall", "after": after, "seconds": 3}, {"operation": "GetObject"}),
        ("late", {"type": "latency", "ms": 300}, {}),
        ("dripping", {"type": "drip", "after": after, "bytes_per_second": 2_000_000}, {"operation": "GetObject"}),
        ("500", {"type": "respond", "status": 500, "code": "InternalError"}, {}),
        ("503", {"type": "respond", "status": 503, "code": "SlowDown", "headers": {"x-amz-retry-after": "100"}}, {}),
        ("closed", {"type": "close_at_reuse"}, {}),
        ("short", {"type": "short_range", "bytes": 200_000}, {"operation": "GetObject"}),
        ("whole", {"type": "ignore_range"}, {"operation": "GetObject"}),
        ("answer-lost", {"type": "act_then_drop"}, {"operation": "PutObject"}),
        ("head-refused", {"type": "respond", "status": 403, "code": "AccessDenied"}, {"operation": "HeadObject"}),
    )
    rules = []
    for name, action, match in chance.sample(catalogue, chance.randrange(1, 4)):
        share = {"probability": chance.choice((0.02, 0.1, 0.3)), "seed": chance.randrange(1 << 32)}
        rules.append({"name": name, "action": action, "match": {**match, **share}})
    return rules


class Soak:
    """One run."""

    def __init__(self, options: argparse.Namespace, directory: Path) -> None:
        from support.servers import FakeS3

        self.options, self.directory = options, directory
        self.chance = random.Random(options.seed)
        self.server = FakeS3()
        self.events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.history: dict[str, History] = collections.defaultdict(History)
        self.violations: list[str] = []
        self.errors: collections.Counter[str] = collections.Counter()
        self.faults: collections.Counter[str] = collections.Counter()
        self.figures: collections.Counter[str] = collections.Counter()
        self.keys = [f"key-{number}" for number in range(options.keys)]
        self.started = 0

    def start(self, role: str, keys: list[str], directory: Path) -> subprocess.Popen[str]:
        """A child process; its events go into the queue."""
        self.started += 1
        directory.mkdir(exist_ok=True)
        process = subprocess.Popen(
            [
                sys.executable, __file__, "--role", role, "--seed", str(self.options.seed * 1000 + self.started),
                "--directory", str(directory), "--only", *keys,
            ],
            env={**os.environ, **self.server.environment()},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        threading.Thread(target=self._listen, args=(process, role), daemon=True).start()
        return process

    def _listen(self, process: subprocess.Popen[str], role: str) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            with contextlib.suppress(ValueError):  # cut by a kill
                self.events.put(json.loads(line))
        told = process.stderr.read()
        status = process.wait()
        if status not in (0, -9):
            self.events.put({"event": "died", "text": f"{role} ended with {status}: {told[-2000:]}"})

    def take(self) -> None:
        """Sort in what was told."""
        while not self.events.empty():
            said = self.events.get()
            match said["event"]:
                case "begin":
                    self.history[said["key"]].writes[said["version"]] = (said["time"], None)
                case "end":
                    began, _ = self.history[said["key"]].writes[said["version"]]
                    self.history[said["key"]].writes[said["version"]] = (began, said["time"])
                    self.figures["versions"] += 1
                case "read":
                    self.history[said["key"]].reads.append((said["began"], said["ended"], said["version"]))
                    self.figures["downloads"] += 1
                    self.figures["resumed_downloads"] += said["resumed"] > 0
                    self.figures[f"verified_{said['verified']}"] += 1
                    for name in ("bytes", "retries", "resumed"):
                        self.figures[name] += said[name]
                case "failed":
                    self.errors[f"{said['role']}: {said['kind']}"] += 1
                    if said["kind"] == "S3zError":
                        self.violations.append(f"an error without a class: {said['text']}")
                case "died":
                    self.violations.append(said["text"])

    def run(self) -> dict[str, Any]:
        """All of it; the figures."""
        self.server.do("create_bucket", bucket=BUCKET)
        writers = self.options.writers
        shares = [self.keys[number::writers] for number in range(writers)]
        writing = [self.start("write", share, self.directory) for share in shares if share]
        places = [self.directory / f"reader-{number}" for number in range(self.options.readers)]
        self._wait_for_a_beginning()
        running = {place: self.start("read", self.keys, place) for place in places}
        end = time.monotonic() + self.options.seconds
        while time.monotonic() < end:
            self._another_second(end)
            if self.chance.random() < 0.25:
                place = self.chance.choice(sorted(running))
                running[place].kill()
                running[place].wait()
                self.figures["kills"] += 1
                running[place] = self.start("read", self.keys, place)
        self.server.do("clear_rules")
        self.server.switch(rate_total=0)
        self._end([*writing, *running.values()])
        self._last_look(list(running))
        return self._result()

    def _wait_for_a_beginning(self) -> None:
        end = time.monotonic() + 60
        while len(self.server.do("keys", bucket=BUCKET)["keys"]) < len(self.keys):
            if time.monotonic() > end:
                raise RuntimeError(f"the writers write nothing: {self.violations}")
            time.sleep(0.05)
            self.take()

    def _another_second(self, end: float) -> None:
        self.server.do("clear_rules")
        self.server.switch(rate_total=self.chance.choice((0, 0, 60 * MIB, 200 * MIB)))
        for rule in faults(self.chance):
            self.server.do("add_rule", rule=rule)
        time.sleep(min(1.0, max(end - time.monotonic(), 0)))
        for record in self.server.log():
            self.faults.update(record["rules"])
            self.figures["requests"] += 1
        self.server.do("clear_log")
        self.take()

    def _end(self, processes: list[subprocess.Popen[str]]) -> None:
        for process in processes:
            if process.stdin is not None:
                process.stdin.close()
        for process in processes:
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                self.violations.append("a process did not end: a transfer hangs")
                process.kill()
                process.wait()
        time.sleep(0.2)  # the threads that listen
        self.take()

    def _last_look(self, places: list[Path]) -> None:
        """Without faults everything ends well, and no state is left that could still be used."""
        from support.data import leftovers

        import s3z

        client = self.server.client()
        for key, history in sorted(self.history.items()):
            for place in places:
                began = time.monotonic()
                try:
                    client.download(f"s3://{BUCKET}/{key}", place / key)
                    version = version_of(place / key, key)
                    history.reads.append((began, time.monotonic(), version))
                except s3z.NotFoundError:
                    if any(finish is not None for _, finish in history.writes.values()):
                        self.violations.append(f"{key} is gone")
                except (s3z.S3zError, ViolationError) as error:
                    self.violations.append(f"{key}, at the end: {error}")
        left = [name for place in places for name in leftovers(place)]
        self.figures["orphans"] = sum(name.endswith(".part") for name in left)
        if any(name.endswith(".ledger") for name in left):
            self.violations.append(f"ledgers are left: {left}")
        if self.figures["orphans"] > self.figures["kills"]:
            self.violations.append(f"more hidden files than kills are left: {left}")
        if uploads := self.server.uploads():
            self.figures["open_uploads"] = len(uploads)

    def _result(self) -> dict[str, Any]:
        for key, history in self.history.items():
            self.violations += [f"{key}: {each}" for each in history.violations()]
        return {
            "seed": self.options.seed,
            "seconds": self.options.seconds,
            **dict(sorted(self.figures.items())),
            "errors": dict(sorted(self.errors.items())),
            "faults": dict(sorted(self.faults.items())),
            "violations": self.violations[:50],
        }


def main() -> int:
    """The status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--writers", type=int, default=2)
    parser.add_argument("--readers", type=int, default=3)
    parser.add_argument("--keys", type=int, default=8)
    parser.add_argument("--directory", type=Path, default=None)
    parser.add_argument("--role", choices=("write", "read"), help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role is not None:
        (write if options.role == "write" else read)(options.only, options.seed, options.directory)
        return 0
    if options.seed is None:
        options.seed = random.randrange(1 << 32)
    directory = Path(tempfile.mkdtemp(prefix="s3z-soak-", dir=options.directory))
    soak = Soak(options, directory)
    try:
        result = soak.run()
    finally:
        soak.server.stop()
        shutil.rmtree(directory, ignore_errors=True)
    sys.stdout.write(json.dumps(result) + "\n")
    return 1 if result["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
