"""What `s3z pack` has to write, worked out once more in plain Python from docs/archive-format.md.

Entries go in; out come frames with their classes, the exact bytes of stored frames, and the rows of the index. Nothing
here knows s3z. Compressed bytes are not foretold: another libzstd may find others.
"""

from __future__ import annotations

import os
import re
import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import zstandard
from blake3 import blake3

from support.archive_tar import Entry, is_utf8

KIB, MIB = 1 << 10, 1 << 20
STRIDE = 131_072
EOA = bytes.fromhex("28b52ffd a4 00040000 032000 00 cdac85f0")
HINTS = frozenset(
    """
    zip gz tgz bz2 tbz xz txz lz lzma lz4 zst tzst br 7z rar cab jar war ear apk whl deb rpm crate dmg jpg jpeg png
    gif webp heic avif mp3 m4a aac ogg opus flac mp4 m4v mov mkv webm avi parquet orc npz docx xlsx pptx odt epub
    pdf woff woff2
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True)
class Options:
    """The options of `pack` that have a say in the bytes."""

    slice_size: int = 4 * MIB
    group_size: int = MIB
    level: int = 3
    no_skip: bool = False
    skip_extensions: frozenset[str] = HINTS
    file_hash: bool = False
    xattrs: bool = False

    @property
    def run_size(self) -> int:
        return 2 * self.slice_size


@dataclass
class Piece:
    """What is written at once: the headers of an entry, a slice of its data, or its padding."""

    role: str
    data: bytes


@dataclass(frozen=True)
class Member:
    """What has a row: slice `number` of an entry, from byte `start`; `place` is the piece that is its data, if any."""

    entry: Entry
    number: int
    start: int
    place: int | None


@dataclass
class Frame:
    """One frame of class *stored*, or one to be compressed. The headers of a big file are one without members."""

    stored: bool
    pieces: list[Piece] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)

    @property
    def content(self) -> bytes:
        return b"".join(piece.data for piece in self.pieces)

    @property
    def size(self) -> int:
        return sum(len(piece.data) for piece in self.pieces)


@dataclass(frozen=True)
class Placed:
    """Where a frame came to lie, and whether it was written in the stored form."""

    offset: int
    size: int
    stored: bool


# --- the cutting into frames ------------------------------------------------------------------------------------------


def is_stored(entry: Entry, options: Options) -> bool:
    """Whether a file is of class *stored*."""
    data, size = entry.data, len(entry.data)
    if size < 16 * KIB or options.no_skip:
        return False
    middle = size // 2 // 4096 * 4096
    extension = os.path.splitext(os.path.basename(entry.name))[1][1:].decode("ascii", "replace").lower()
    look = sum(count * count for count in Counter(data[middle : middle + 4096]).values())
    if look > 131_072 and extension not in options.skip_extensions:
        return False
    probes = [data[: 64 * KIB]] + ([data[middle : middle + 64 * KIB]] if size > 4 * MIB else [])
    compressor = zstandard.ZstdCompressor(level=1)
    return not any(len(probe) >= 1.05 * len(compressor.compress(probe)) for probe in probes)


class _Cutter:
    """Takes entries in order, gives frames."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.frames: list[Frame] = []
        self.open: Frame | None = None
        self.run = 0

    def close(self) -> None:
        if self.open is not None:
            self.frames.append(self.open)
        self.open = None

    def add(self, entry: Entry) -> None:
        if len(entry.data) > self.options.slice_size:
            self.close()
            self.run = 0
            self._big(entry)
            return
        charge = 1024 + len(entry.data)
        if self.run + charge > self.options.run_size:
            self.close()
            self.run = 0
        self.run += charge
        self._small(entry)

    def _small(self, entry: Entry) -> None:
        wanted = is_stored(entry, self.options) if entry.data else None
        size = len(entry.header) + len(entry.data) + len(entry.padding)
        if self.open is not None:
            limit = self.options.slice_size if self.open.stored else self.options.group_size
            if wanted not in (None, self.open.stored) or self.open.size + size > limit:
                self.close()
        if self.open is None:
            self.open = Frame(stored=bool(wanted))
        self.open.pieces.append(Piece("header", entry.header))
        place = len(self.open.pieces) if entry.data else None
        for role, data in (("data", entry.data), ("padding", entry.padding)):
            if data:
                self.open.pieces.append(Piece(role, data))
        self.open.members.append(Member(entry, 0, 0, place))

    def _big(self, entry: Entry) -> None:
        self.frames.append(Frame(stored=False, pieces=[Piece("header", entry.header)]))
        stored, step = is_stored(entry, self.options), self.options.slice_size
        for number, start in enumerate(range(0, len(entry.data), step)):
            pieces = [Piece("data", entry.data[start : start + step])]
            if start + step >= len(entry.data) and entry.padding:
                pieces.append(Piece("padding", entry.padding))
            self.frames.append(Frame(stored, pieces, [Member(entry, number, start, 0)]))


def cut(entries: list[Entry], options: Options = Options()) -> list[Frame]:
    """The frames of the data region, in order."""
    cutter = _Cutter(options)
    for entry in entries:
        cutter.add(entry)
    cutter.close()
    return cutter.frames


# --- stored frames ----------------------------------------------------------------------------------------------------


def render_stored(frame: Frame) -> tuple[bytes, list[int]]:
    """The stored form of a frame, and where in it the content of each piece begins (meant for data: always Raw)."""
    blocks: list[tuple[int, bytes, int]] = []
    first_block = []
    for piece in frame.pieces:
        first_block.append(len(blocks))
        blocks += _blocks(piece)
    out, starts = bytearray(b"\x28\xb5\x2f\xfd\xa4" + struct.pack("<I", frame.size)), []
    for number, (kind, data, size) in enumerate(blocks):
        last = number == len(blocks) - 1
        out += (last | kind << 1 | size << 3).to_bytes(3, "little")
        starts.append(len(out))
        out += data
    return bytes(out) + xxh64_low(frame.content), [starts[number] for number in first_block]


def _blocks(piece: Piece) -> list[tuple[int, bytes, int]]:
    """Type, bytes in the frame, size of the content."""
    if piece.role == "data":
        return _raw(piece.data)
    blocks, done = [], 0
    for zeros in re.finditer(rb"\0{16,}", piece.data):
        blocks += _raw(piece.data[done : zeros.start()])
        done = zeros.end()
        length = done - zeros.start()
        blocks += [(1, b"\0", min(STRIDE, length - at)) for at in range(0, length, STRIDE)]
    return blocks + _raw(piece.data[done:])


def _raw(data: bytes) -> list[tuple[int, bytes, int]]:
    parts = [data[at : at + STRIDE] for at in range(0, len(data), STRIDE)]
    return [(0, part, len(part)) for part in parts]


def xxh64_low(content: bytes) -> bytes:
    """The low half of XXH64 as it ends a zstd frame: libzstd is asked for one."""
    return zstandard.ZstdCompressor(level=1, write_checksum=True).compress(content)[-4:]


# --- the rows of the index --------------------------------------------------------------------------------------------


def rows(frames: list[Frame], placed: list[Placed], options: Options) -> list[dict[str, Any]]:
    """The rows of a `.tar.zst` in their order, once it is known where each frame came to lie."""
    found = []
    for frame, at in zip(frames, placed, strict=True):
        starts, positions, position = render_stored(frame)[1] if at.stored else [], [], 0
        for piece in frame.pieces:
            positions.append(position)
            position += len(piece.data)
        for member in frame.members:
            place = member.place
            row = _row(member, b"" if place is None else frame.pieces[place].data, options)
            if place is None:
                row |= {"blob_offset": at.offset, **EMPTY_BLOB}
            elif at.stored:
                row |= _stored_blob(at.offset + starts[place], row["uncompressed_size"], STRIDE)
            else:
                row |= {
                    "compressed": True, "blob_offset": at.offset, "blob_size": at.size, "blob_raw_size": frame.size,
                    "inner_offset": positions[place],
                }  # fmt: skip
            found.append(row)
    # The entries came in the order of their names, and the slices of one in theirs.
    return found


def tar_rows(entries: list[Entry], options: Options = Options()) -> list[dict[str, Any]]:
    """The rows of a plain `.tar`."""
    found, offset = [], 0
    for entry in entries:
        header = offset
        offset += len(entry.header)
        if not entry.data:
            found.append({**_row(Member(entry, 0, 0, None), b"", options), "blob_offset": header, **EMPTY_BLOB})
        for number, start in enumerate(range(0, len(entry.data), options.slice_size)):
            data = entry.data[start : start + options.slice_size]
            row = _row(Member(entry, number, start, 0), data, options)
            found.append({**row, **_stored_blob(offset + start, len(data), 0)})
        offset += len(entry.data) + len(entry.padding)
    return found


#: what the row of an entry without data says of its blob, besides `blob_offset`
EMPTY_BLOB = {"compressed": False, "blob_size": 0, "blob_raw_size": 0, "inner_offset": 0}


def _stored_blob(offset: int, size: int, stride: int) -> dict[str, Any]:
    marks = 3 * (-(-size // stride) - 1) if stride else 0
    return {
        "compressed": False, "blob_offset": offset, "blob_size": size + marks, "blob_raw_size": size, "inner_offset": 0,
    }  # fmt: skip


def _row(member: Member, data: bytes, options: Options) -> dict[str, Any]:
    """Everything but the blob; `path_raw`, `link_raw` and `xattrs` are None where they are not needed."""
    entry, name, target = member.entry, member.entry.name, member.entry.target
    is_big = entry.kind == "f" and entry.file_size > options.slice_size
    return {
        "relative_path": name.decode("utf-8", "replace"),
        "chunk_seq": member.number,
        "fdata_offset": member.start,
        "uncompressed_size": len(data),
        "checksum": blake3(data).digest() if entry.kind == "f" else None,
        "kind": entry.kind,
        "file_size": entry.file_size if entry.kind in "fh" else 0,
        "file_checksum": blake3(entry.data).digest() if options.file_hash and is_big else None,
        "mode": entry.mode,
        "uid": entry.uid,
        "gid": entry.gid,
        "mtime_ns": entry.mtime_ns,
        "link_target": None if target is None else target.decode("utf-8", "replace"),
        "path_raw": None if is_utf8(name) else name,
        "link_raw": None if target is None or is_utf8(target) else target,
        "xattrs": [{"k": key.decode(), "v": value} for key, value in entry.xattrs] or None,
        "flags": 0,
    }
