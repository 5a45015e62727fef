"""The test data, made and checked without a server: byte `o` of an object is `block[o % 1048583]`.

The block is splitmix64 from a seed, little-endian, as `rust/fake-s3` defines it. 1048583 is a prime just above 1 MiB,
so no part, range or page that lands in the wrong place goes unseen.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

BLOCK_LEN = 1_048_583
_MASK = (1 << 64) - 1


@cache
def block(seed: int) -> bytes:
    """Return the block that the objects of a seed repeat."""
    words, state = [], seed
    for _ in range(BLOCK_LEN // 8 + 1):
        state = (state + 0x9E3779B97F4A7C15) & _MASK
        word = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
        words.append(word ^ (word >> 31))
    return struct.pack(f"<{len(words)}Q", *words)[:BLOCK_LEN]


def write(path: Path, size: int, seed: int) -> None:
    """Write an object of this size; it stays in the page cache."""
    unit = block(seed)
    with path.open("wb", buffering=0) as file:
        for offset in range(0, size, BLOCK_LEN):
            file.write(unit[: min(BLOCK_LEN, size - offset)])


def difference(path: Path, size: int, seed: int) -> str | None:
    """Compare a file with the object, byte by byte; return what is wrong, or None."""
    if not path.is_file():
        return "no file"
    if (found := path.stat().st_size) != size:
        return f"{found} bytes instead of {size}"
    unit, buffer = memoryview(block(seed)), bytearray(BLOCK_LEN)
    with path.open("rb", buffering=0) as file:
        for offset in range(0, size, BLOCK_LEN):
            wanted = min(BLOCK_LEN, size - offset)
            view, filled = memoryview(buffer)[:wanted], 0
            while filled < wanted and (length := file.readinto(view[filled:])):
                filled += length
            if view != unit[:wanted]:
                return f"differs between byte {offset} and {offset + wanted}"
    return None
