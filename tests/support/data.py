"""Bytes that are cheap to make, the same everywhere, and different at every offset that could be mixed up."""

from __future__ import annotations

import functools
import hashlib
import os
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
BLOCK = 1_048_583


@functools.lru_cache(maxsize=8)
def pattern_block(seed: int) -> bytes:
    """The block that fake-s3 repeats (rust/fake-s3/README.md, "Patterns")."""
    count = -(-BLOCK // 8)
    with np.errstate(over="ignore"):
        steps = np.arange(1, count + 1, dtype=np.uint64)
        z = np.uint64(seed) + steps * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return z.astype("<u8").tobytes()[:BLOCK]


def pattern(size: int, seed: int = 1) -> bytes:
    """The first `size` bytes of a pattern."""
    block = pattern_block(seed)
    return (block * (size // BLOCK + 1))[:size]


def write_pattern(path: Path, size: int, seed: int = 1) -> Path:
    """A file of `size` bytes of a pattern, a block at a time."""
    block = pattern_block(seed)
    with path.open("wb") as file:
        for _ in range(size // BLOCK):
            file.write(block)
        file.write(block[: size % BLOCK])
    return path


def is_pattern(path: Path, size: int, seed: int = 1) -> bool:
    """Whether a file is exactly these bytes; reads it once, a block at a time."""
    if path.stat().st_size != size:
        return False
    block = pattern_block(seed)
    with path.open("rb") as file:
        while part := file.read(BLOCK):
            if part != block[: len(part)]:
                return False
    return True


def sha256(path: Path) -> str:
    """Of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def leftovers(directory: Path) -> list[str]:
    """Temporary files and ledgers of s3z below a directory."""
    found = []
    for parent, directories, files in os.walk(directory):
        found += [os.path.join(parent, name) for name in (*directories, *files) if name.startswith(".s3z-")]
    return found


def remove_leftovers(directory: Path) -> None:
    """Remove what a test found, and found right."""
    for left in leftovers(directory):
        os.unlink(left)
