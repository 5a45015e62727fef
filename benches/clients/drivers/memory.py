"""The buffer that an object is fetched into: the same for every Python client."""

import mmap
import os
from pathlib import Path


def allocate(size: int) -> mmap.mmap:
    """Return a buffer of this size whose pages were not touched yet, as `numpy.empty` gives one."""
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def finish(buffer: mmap.mmap, received: int) -> None:
    """Fail unless the buffer was filled, and leave a copy where one is asked for."""
    if received != len(buffer):
        raise SystemExit(f"{received} bytes were received instead of {len(buffer)}")
    if keep := os.environ.get("BENCH_KEEP"):
        Path(keep).write_bytes(buffer)
