"""The buffer that an object is fetched into: the same for every Python client."""

import os
from pathlib import Path


def allocate(size: int) -> bytearray:
    """Return a buffer of this size; Python writes its zeros, so every page is touched before the transfer."""
    return bytearray(size)


def finish(buffer: bytearray, received: int) -> None:
    """Fail unless the buffer was filled, and leave a copy where one is asked for."""
    if received != len(buffer):
        raise SystemExit(f"{received} bytes were received instead of {len(buffer)}")
    if keep := os.environ.get("BENCH_KEEP"):
        Path(keep).write_bytes(buffer)
