"""obstore: ranges fetched by Python threads, its stream to standard output, or its own multipart put."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import memory
import obstore
from obstore.store import S3Store

MIB = 1 << 20


def download(store: S3Store, key: str, path: str) -> None:
    """Fetch ranges in parallel; each thread writes its own."""
    threads = int(os.environ.get("BENCH_THREADS", "4"))
    part = int(os.environ.get("BENCH_PART", 4 * MIB))
    size = obstore.head(store, key)["size"]
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.truncate(descriptor, size)

    def fetch(start: int) -> None:
        body = memoryview(obstore.get_range(store, key, start=start, end=min(size, start + part)))
        while body:
            written = os.pwrite(descriptor, body, start)
            body, start = body[written:], start + written

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(fetch, range(0, size, part)):
            pass
    os.close(descriptor)


def upload(store: S3Store, key: str, path: str) -> None:
    """Let obstore read and send the file by itself."""
    concurrency = int(os.environ.get("BENCH_THREADS", "4"))
    part = int(os.environ.get("BENCH_PART", 16 * MIB))
    obstore.put(store, key, Path(path), use_multipart=True, chunk_size=part, max_concurrency=concurrency)


def pipe(store: S3Store, key: str, path: str) -> None:  # noqa: ARG001 - the path is what `cat` reads
    """Let obstore read standard input."""
    concurrency = int(os.environ.get("BENCH_THREADS", "4"))
    part = int(os.environ.get("BENCH_PART", 16 * MIB))
    obstore.put(store, key, sys.stdin.buffer, use_multipart=True, chunk_size=part, max_concurrency=concurrency)


def cat(store: S3Store, key: str, path: str) -> None:  # noqa: ARG001 - the path is where a copy may be kept
    """Write the stream of one request to standard output."""
    for chunk in obstore.get(store, key).stream(min_chunk_size=MIB):
        sys.stdout.buffer.write(chunk)


def fill(store: S3Store, key: str, size: str) -> None:
    """Fetch ranges in parallel; each thread copies its own into the buffer."""
    threads = int(os.environ.get("BENCH_THREADS", "4"))
    part = int(os.environ.get("BENCH_PART", 4 * MIB))
    buffer = memory.allocate(int(size))
    view = memoryview(buffer)

    def fetch(start: int) -> int:
        body = obstore.get_range(store, key, start=start, end=min(len(view), start + part))
        view[start : start + len(body)] = memoryview(body)
        return len(body)

    with ThreadPoolExecutor(threads) as pool:
        memory.finish(buffer, sum(pool.map(fetch, range(0, len(view), part))))


def main() -> None:
    """Arguments: verb, endpoint, bucket, key, path; with `memory` the size instead of the path."""
    verb, endpoint, bucket, key, path = sys.argv[1:]
    store = S3Store(
        bucket,
        endpoint=endpoint,
        virtual_hosted_style_request=False,
        unsigned_payload=True,
        client_options={"allow_http": True, "timeout": timedelta(minutes=5)},
    )
    verbs = {"download": download, "upload": upload, "pipe": pipe, "cat": cat, "memory": fill}
    verbs[verb](store, key, path)


if __name__ == "__main__":
    main()
