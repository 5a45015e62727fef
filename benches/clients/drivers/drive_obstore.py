"""obstore: ranges fetched by Python threads and written with pwrite, or its own multipart put."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

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


def main() -> None:
    """Arguments: verb, endpoint, bucket, key, path."""
    verb, endpoint, bucket, key, path = sys.argv[1:]
    store = S3Store(
        bucket,
        endpoint=endpoint,
        virtual_hosted_style_request=False,
        unsigned_payload=True,
        client_options={"allow_http": True, "timeout": timedelta(minutes=5)},
    )
    {"download": download, "upload": upload, "pipe": pipe}[verb](store, key, path)


if __name__ == "__main__":
    main()
