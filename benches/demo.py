"""`make demo`: real transfers through a real server, every byte checked, with boto3 beside s3z on the same file.

    python benches/demo.py --server target/release/fake-s3          # a local server, started and stopped here
    S3Z_DEMO_URI=s3://bucket/prefix python benches/demo.py          # your own store, with your own settings

Everything it makes is removed at the end, also after Ctrl-C. The exit status is not 0 when a byte differs.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import secrets
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MIB = 1 << 20
PAGE = 4096
SMALL_FILES = 500
SMALL_THREADS = 16
#: disk for one byte of the big file: the source, the object, a download, and the server's copy while it joins parts
COPIES = 4
LEAST_MIB = 64
CHILD_LIMIT = 1800.0

# The best of a few combinations tried; `benches/clients/boto3.py` says which.
BOTO3_THREADS = 16
BOTO3_PART = 16 * MIB


class DemoError(Exception):
    """The demo cannot go on; the message is for a person."""


@dataclass(frozen=True, slots=True)
class Used:
    """What one process used: seconds, and bytes of memory at its peak."""

    wall: float
    cpu: float
    peak: int


def main() -> int:
    """Run the demo; 0 if every byte arrived."""
    arguments = _arguments()
    if arguments.boto3:
        return boto3_transfer(*arguments.boto3)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    started = time.monotonic()
    try:
        with ExitStack() as stack:
            directory, size = working_directory(stack, arguments.mib * MIB)
            uri = os.environ.get("S3Z_DEMO_URI")
            target = own_store(stack, uri) if uri else local_server(stack, arguments.server, directory)
            big = big_file(directory, target, size)
            small_files(directory, target)
            show(big, size, local=not uri)
    except DemoError as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted", file=sys.stderr)
        return 130
    print(f"\nEvery byte checked, everything removed, {time.monotonic() - started:.0f} s in all.")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Real transfers through a local S3 server, beside boto3.")
    parser.add_argument("--server", type=Path, metavar="FILE", help="the fake-s3 binary (not with S3Z_DEMO_URI)")
    parser.add_argument("--mib", type=int, default=1024, metavar="N", help="size of the big file (default 1024)")
    parser.add_argument("--boto3", nargs=4, metavar="ARG", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not LEAST_MIB <= arguments.mib <= 1 << 20:
        parser.error(f"--mib must be from {LEAST_MIB} to {1 << 20}")
    if not (arguments.server or arguments.boto3 or os.environ.get("S3Z_DEMO_URI")):
        parser.error("--server or S3Z_DEMO_URI is needed")
    return arguments


# Places: a directory, and a prefix of a store


def working_directory(stack: ExitStack, size: int) -> tuple[Path, int]:
    """A temporary directory, removed at the end, and the size of file that fits there."""
    # /tmp is memory on many systems, and that is no disk to copy to.
    parent = Path(os.environ.get("TMPDIR") or ("/var/tmp" if os.access("/var/tmp", os.W_OK) else tempfile.gettempdir()))
    directory = Path(tempfile.mkdtemp(prefix="s3z-demo-", dir=parent))
    stack.callback(shutil.rmtree, directory, ignore_errors=True)
    free = shutil.disk_usage(directory).free
    need = size * COPIES + 256 * MIB
    if free >= need:
        return directory, size
    fits = (free - 256 * MIB) // COPIES // MIB * MIB
    told = f"{parent} has {free / 1e9:.1f} GB free, a file of {size // MIB} MiB needs {need / 1e9:.1f} GB"
    if fits < LEAST_MIB * MIB:
        raise DemoError(f"{told}; free some, or name another directory with TMPDIR")
    print(f"{told}: using {fits // MIB} MiB instead.")
    return directory, fits


def local_server(stack: ExitStack, binary: Path, directory: Path) -> str:
    """Start fake-s3 on a free port, point s3z and boto3 at it by the environment, and return the prefix to use."""
    store = directory / "store"
    store.mkdir()
    command = [str(binary), "--quiet", "--bucket", "demo", "--storage", f"dir:{store}"]
    try:
        # In a process group of its own, so that Ctrl-C lets clients end before their server does.
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0)
    except OSError as error:
        raise DemoError(f"cannot start {binary}: {error.strerror}; `make servers` builds it") from None
    stack.callback(_end, server)
    assert server.stdout is not None
    line = server.stdout.readline()
    if not line:
        raise DemoError(f"{binary} did not start (status {server.wait()})")
    told = json.loads(line)
    for name in list(os.environ):
        if name.startswith(("AWS_", "S3Z_", "S3_ENDPOINT")) or name.upper().endswith("_PROXY"):
            del os.environ[name]
    os.environ.update(
        AWS_ENDPOINT_URL_S3=told["endpoint"],
        AWS_ACCESS_KEY_ID=told["access_key"],
        AWS_SECRET_ACCESS_KEY=told["secret_key"],
        AWS_REGION=told["region"],
        AWS_DEFAULT_REGION=told["region"],
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    )
    print(f"A local S3 server is at {told['endpoint']}, its objects are files in {store}")
    return "s3://demo/"


def _end(server: subprocess.Popen[str]) -> None:
    """Close the server's stdin, which ends it; kill it if it does not end."""
    assert server.stdin is not None
    server.stdin.close()
    try:
        server.wait(timeout=5)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def own_store(stack: ExitStack, uri: str) -> str:
    """Return a new prefix below the person's own; all that is below it is deleted at the end."""
    if not uri.startswith("s3://") or not uri[5:].partition("/")[0]:
        raise DemoError(f'S3Z_DEMO_URI must be s3://BUCKET or s3://BUCKET/PREFIX, not "{uri}"')
    # boto3 does not read these two; it is to speak to the same store.
    for theirs, ours in (("AWS_ENDPOINT_URL_S3", "S3_ENDPOINT_URL"), ("AWS_DEFAULT_REGION", "AWS_REGION")):
        if os.environ.get(ours):
            os.environ[theirs] = os.environ[ours]
    prefix = f"{uri.rstrip('/')}/s3z-demo-{secrets.token_hex(4)}/"
    stack.callback(_empty, prefix)
    print(f"Your store: everything goes below {prefix} and is deleted at the end")
    return prefix


def _empty(prefix: str) -> None:
    """Delete what is below the prefix, and abort uploads that were cut off there."""
    import s3z

    try:
        s3z.delete([info.uri for info in s3z.list(prefix)])
        client = boto3_client()
        bucket, _, key = prefix[5:].partition("/")
        for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=key):
            for upload in page.get("Uploads", ()):
                client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    except Exception as error:
        raise DemoError(f"something may be left below {prefix}: {error}") from None


# The big file


def big_file(directory: Path, target: str, size: int) -> dict[str, Used]:
    """Send one file there and back with s3z and with boto3; what each used."""
    print(f"\nOne file of {size // MIB} MiB")
    source, copy = directory / "big.bin", directory / "copy.bin"
    step("make it", lambda: make_file(source, size))
    used = {}
    # Each is a process of its own, so that time, CPU and memory can be told apart. What is still to be written of the
    # last one goes to the disk first, so that the next one does not pay for it.
    os.sync()
    used["upload s3z"] = by_s3z(str(source), f"{target}big.bin")
    os.sync()
    used["download s3z"] = by_s3z(f"{target}big.bin", str(copy))
    step("compare every byte", lambda: same(source, copy))
    copy.unlink()
    os.sync()
    used["download boto3"] = by_boto3("download", f"{target}big.bin", copy)
    step("compare every byte", lambda: same(source, copy))
    copy.unlink()
    os.sync()
    used["upload boto3"] = by_boto3("upload", f"{target}by-boto3.bin", source)
    step("read it back with s3z", lambda: s3z_download(f"{target}by-boto3.bin", copy))
    step("compare every byte", lambda: same(source, copy))
    for path in (source, copy):
        path.unlink()
    return used


def make_file(path: Path, size: int) -> None:
    """Random bytes, repeated, with its own offset stamped on every page: a page out of place does not go unseen."""
    block = bytearray(os.urandom(MIB))
    with path.open("wb") as file:
        for offset in range(0, size, MIB):
            for page in range(0, MIB, PAGE):
                struct.pack_into("<Q", block, page, offset + page)
            file.write(block)


def same(path: Path, other: Path) -> None:
    """Compare two files byte by byte; DemoError where they differ."""
    with path.open("rb") as left, other.open("rb") as right:
        offset = 0
        while True:
            ours, theirs = left.read(MIB), right.read(MIB)
            if ours != theirs:
                raise DemoError(f"{other} DIFFERS from {path} in the MiB at {offset}")
            if not ours:
                return
            offset += MIB


def s3z_download(uri: str, path: Path) -> None:
    """Download in this process, unmeasured."""
    import s3z

    s3z.download(uri, path)


def by_s3z(source: str, destination: str) -> Used:
    """Measure `s3z cp`, which shows its own progress."""
    # Even a short transfer shows the line on a terminal; into a file or pipe it writes plain lines.
    shown = ["--show-progress"] if sys.stderr.isatty() else ["--log-progress", "0.5"]
    print(f"\n$ s3z cp {source} {destination}", flush=True)
    return measured("s3z", [sys.executable, "-m", "s3z", "cp", *shown, source, destination], {})


def by_boto3(verb: str, uri: str, path: Path) -> Used:
    """Measure boto3's managed transfer; checksums only where S3 demands them, to its advantage."""
    fastest = dict.fromkeys(("AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION"), "when_required")
    print(f"\nboto3 {verb}_file, {BOTO3_THREADS} threads, parts of {BOTO3_PART // MIB} MiB", flush=True)
    bucket, _, key = uri[5:].partition("/")
    call = [sys.executable, str(Path(__file__).resolve()), "--boto3", verb, bucket, key, str(path)]
    return measured("boto3", call, fastest)


def measured(name: str, command: Sequence[str], environment: dict[str, str]) -> Used:
    """Run a command to its end and print what it used.

    `lib/measure.py` keeps what a command prints to itself and kills it on Ctrl-C; here a person looks on, and an
    upload has to be aborted properly. A child's peak memory is at least that of this process, which stays small.
    """
    started = time.monotonic()
    # In a process group of its own: Ctrl-C reaches it once, from here. A second one would end it at once.
    child = subprocess.Popen(command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, process_group=0)
    try:
        _, status, usage = os.wait4(child.pid, 0)
    except BaseException:
        stop(child)
        raise
    child.returncode = os.waitstatus_to_exitcode(status)
    used = Used(time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
    if child.returncode:
        raise DemoError(f"{name} ended with status {child.returncode}")
    print(f"  {used.wall:.2f} s, {used.cpu:.2f} s of CPU, {used.peak / 1e6:.0f} MB of memory", flush=True)
    return used


def stop(child: subprocess.Popen[Any]) -> None:
    """Interrupt a child and give it time to clean up."""
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(signal.SIGINT)
    try:
        child.wait(timeout=5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def boto3_transfer(verb: str, bucket: str, key: str, path: str) -> int:
    """The process that is measured for boto3."""
    from boto3.s3.transfer import TransferConfig

    config = TransferConfig(
        multipart_threshold=BOTO3_PART,
        multipart_chunksize=BOTO3_PART,
        max_concurrency=BOTO3_THREADS,
        io_chunksize=MIB,
        preferred_transfer_client="classic",
    )
    client = boto3_client()
    if verb == "download":
        client.download_file(bucket, key, path, Config=config)
    else:
        client.upload_file(path, bucket, key, Config=config)
    return 0


def boto3_client() -> Any:
    """A client with a connection for each thread."""
    import boto3
    from botocore.config import Config

    return boto3.client("s3", config=Config(max_pool_connections=BOTO3_THREADS))


# Many small files


def small_files(directory: Path, target: str) -> None:
    """Send many small files there and back from threads that share one client."""
    import s3z

    print(f"\n{SMALL_FILES} files of 1 to 64 KiB, {SMALL_THREADS} threads with one s3z.Client")
    sources, copies = directory / "small", directory / "small-copies"
    sources.mkdir()
    names = [f"{number:03}.bin" for number in range(SMALL_FILES)]
    for number, name in enumerate(names):
        (sources / name).write_bytes(os.urandom(1024 + number * 63 * 1024 // (SMALL_FILES - 1)))
    client = s3z.Client()
    counted("upload", names, lambda name: client.upload(sources / name, f"{target}small/{name}"))
    counted("download", names, lambda name: client.download(f"{target}small/{name}", copies / name))
    step("compare every byte", lambda: [same(sources / name, copies / name) for name in names])
    if {path.name for path in copies.iterdir()} != set(names):
        raise DemoError(f"{copies} does not hold exactly the files that were sent")


def counted(verb: str, names: Sequence[str], transfer: Callable[[str], object]) -> None:
    """Do all transfers in threads and show how many are done."""
    started = time.monotonic()
    draw = sys.stdout.isatty()
    pool = ThreadPoolExecutor(SMALL_THREADS)
    try:
        waiting = [pool.submit(transfer, name) for name in names]
        for done, future in enumerate(as_completed(waiting), 1):
            future.result()
            if draw and (done % 10 == 0 or done == len(names)):
                print(f"\r  {verb:<28}{done:>4}/{len(names)}", end="", flush=True)
    finally:
        pool.shutdown(cancel_futures=True)
    seconds = time.monotonic() - started
    begin = "\r" if draw else ""
    print(f"{begin}  {verb:<28}{len(names):>4}/{len(names)}  {seconds:.2f} s, {len(names) / seconds:,.0f} files/s")


# What a person reads


def step(name: str, work: Callable[[], object]) -> None:
    """Do something that is not measured, and say how long it took."""
    print(f"  {name} … ", end="", flush=True)
    started = time.monotonic()
    try:
        work()
    except BaseException:
        print()
        raise
    print(f"{time.monotonic() - started:.1f} s", flush=True)


def show(used: dict[str, Used], size: int, *, local: bool) -> None:
    """The table of the big file."""
    print(f"\n{size // MIB} MiB{'':<12}{'time':>10}{'speed':>12}{'CPU':>10}{'peak memory':>15}")
    for verb in ("upload", "download"):
        ours, theirs = used[f"{verb} s3z"], used[f"{verb} boto3"]
        for name, each in (("s3z", ours), ("boto3", theirs)):
            speed, peak = f"{size / each.wall / 1e6:,.0f} MB/s", f"{each.peak / 1e6:.0f} MB"
            print(f"  {verb:<9} {name:<10}{each.wall:>8.2f} s{speed:>12}{each.cpu:>8.2f} s{peak:>15}")
        ratios = (theirs.wall / ours.wall, theirs.cpu / ours.cpu, theirs.peak / ours.peak)
        time_ratio, cpu_ratio, peak_ratio = (f"{ratio:.1f} x" for ratio in ratios)
        print(f"  {'':<9} {'boto3/s3z':<10}{time_ratio:>10}{'':>12}{cpu_ratio:>10}{peak_ratio:>15}")
    print("\nWhole processes, start-up included. One run each: the ratios are rough, `make bench` measures properly.")
    print("What s3z downloaded is on the disk when its clock stops (direct I/O); boto3's may still be in memory.")
    if local:
        print("Over plain http boto3 has to sign what it uploads with SHA-256; s3z does not on loopback.")


if __name__ == "__main__":
    sys.exit(main())
