"""The frames of an archive by their own bytes (RFC 8878): no table is believed, and nothing is decoded."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS, SEEK = 0x184D2A53, 0x184D2A5E
DATA = 0xFD2FB528


class DamagedError(Exception):
    """The archive is not what its hashes, or the format, say."""


def require(condition: object, message: str) -> None:
    if not condition:
        raise DamagedError(message)


class Frame(NamedTuple):
    """One frame of the object, by its own bytes. `blocks`: type and size of each; `tag`: of a skippable frame."""

    offset: int
    size: int
    magic: int
    tag: bytes
    content_size: int
    descriptor: int
    window: int
    blocks: tuple[tuple[int, int], ...]


def walk_frames(data: bytes) -> Iterator[Frame]:
    """The frames of some bytes, one behind the other (RFC 8878)."""
    offset = 0
    while offset < len(data):
        frame = _skippable(data, offset) if data[offset + 1 : offset + 4] == b"\x2a\x4d\x18" else _zstd(data, offset)
        require(offset + frame.size <= len(data), f"the frame at {offset} is cut off")
        yield frame
        offset += frame.size


def _skippable(data: bytes, offset: int) -> Frame:
    magic, length = struct.unpack_from("<II", data, offset)
    require(magic in (OURS, SEEK), f"unknown skippable frame at {offset}")
    tag = data[offset + 8 : offset + 16] if magic == OURS else b""
    return Frame(offset, 8 + length, magic, tag, 0, 0, 0, ())


def _zstd(data: bytes, offset: int) -> Frame:
    magic, descriptor = struct.unpack_from("<IB", data, offset)
    require(magic == DATA, f"no frame at {offset}")
    single, checksum = descriptor >> 5 & 1, descriptor >> 2 & 1
    require(not descriptor & 0b1011, f"the frame at {offset} has a reserved bit or a dictionary")
    at, window = offset + 5, 0
    if not single:
        window = 1 << 10 + (data[at] >> 3)
        window += window // 8 * (data[at] & 7)
        at += 1
    width = (1 if single else 0, 2, 4, 8)[descriptor >> 6]
    content_size = int.from_bytes(data[at : at + width], "little") + (256 if width == 2 else 0)
    require(width, f"the frame at {offset} has no content size")
    at += width
    blocks, last = [], 0
    while not last:
        require(at + 3 <= len(data), f"the frame at {offset} is cut off")
        header = int.from_bytes(data[at : at + 3], "little")
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        require(kind != 3, f"the frame at {offset} has a reserved block")
        blocks.append((kind, size))
        at += 3 + (1 if kind == 1 else size)
    return Frame(offset, at + 4 * checksum - offset, magic, b"", content_size, descriptor, window, tuple(blocks))
