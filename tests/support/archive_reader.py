"""A second reader of s3z archives: the standard library, pyarrow, zstandard, blake3, and docs/archive-format.md.

It knows nothing of s3z. It opens by the tail and uses no byte that a hash did not prove; else it says `DamagedError`.
"""

from __future__ import annotations

import itertools
import os
import struct
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
import zstandard
from blake3 import blake3

from support.archive_frames import OURS, SEEK, DamagedError, Frame, require, walk_frames

TAIL = 256 << 10
SEEKABLE = bytes.fromhex("b1ea928f")


class Footer(NamedTuple):
    """The fields of the footer, in order."""

    magic: int
    length: int
    tag: bytes
    format: bytes
    major: int
    minor: int
    flags: int
    data_end: int
    index_offset: int
    index_len: int
    manifest_offset: int
    manifest_len: int
    n_rows: int
    n_entries: int
    raw_bytes: int
    root: bytes


FOOTER = struct.Struct("<II8s8sHHI8Q32s")


@dataclass
class Part:
    """One Arrow file of the index: its place, and where its first batch begins and its last one ends."""

    offset: int
    length: int
    prologue: bytes
    epilogue: bytes


class Reader:
    """An archive in a file.

    Args:
        path: of the archive.
        root: the 32 bytes that pin all others, if they are known from elsewhere.

    Raises:
        DamagedError: it is none, or not whole.
    """

    def __init__(self, path: str | os.PathLike[str], root: bytes | None = None) -> None:
        self._named: dict[int, dict[bytes, list[dict[str, Any]]]] = {}
        self._file = open(path, "rb")  # noqa: SIM115 (closed by __exit__)
        try:
            self._open(root)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def at(self, offset: int, length: int) -> bytes:
        """A range of the object."""
        require(offset >= 0 and length >= 0 and offset + length <= self.size, f"range {offset}+{length} is outside")
        return os.pread(self._file.fileno(), length, offset)

    # --- opening ------------------------------------------------------------------------------------------------------

    def _open(self, root: bytes | None) -> None:
        self.size = os.fstat(self._file.fileno()).st_size
        tail_at = max(0, self.size - TAIL)
        tail = self.at(tail_at, self.size - tail_at)
        if tail[-4:] == SEEKABLE:
            count = struct.unpack_from("<I", tail, len(tail) - 9)[0]
            self.container, self.footer_at = "tar+zstd", self.size - (17 + 8 * count) - 128
        else:
            self.container, self.footer_at = "tar", self.size - 1536
        raw = self.at(self.footer_at, 128)
        self.footer = footer = Footer(*FOOTER.unpack(raw))
        require((footer.magic, footer.length) == (OURS, 120), "footer frame")
        require((footer.tag, footer.format) == (b"S3ZFOOTR", b"S3ZPACK1"), "footer tag")
        require(footer.major == 1, f"version {footer.major}")
        require(not footer.flags >> 16, f"unknown features {footer.flags:#x}")
        manifest = self.at(footer.manifest_offset, footer.manifest_len)
        require(blake3(manifest + raw[16:96]).digest() == footer.root, "root")
        require(root in (None, footer.root), "root is another one")
        with pa.ipc.open_stream(manifest) as stream:
            self.manifest_schema = stream.schema
            self.manifest: list[dict[str, Any]] = stream.read_all().to_pylist()
        self._open_parts()

    def _open_parts(self) -> None:
        metadata = self.manifest_schema.metadata
        prologues = metadata[b"s3z.index_prologue"].decode().split(",")
        epilogues = metadata[b"s3z.index_epilogue"].decode().split(",")
        require(len(prologues) == len(epilogues), "as many prologues as epilogues")
        self.parts: list[Part] = []
        for ordinal, (prologue, epilogue) in enumerate(zip(prologues, epilogues, strict=True)):
            batches = [row for row in self.manifest if row["sub_index"] == ordinal]
            require([row["batch_no"] for row in batches] == list(range(len(batches))), "batch numbers")
            part = self._part(batches)
            require(blake3(part.prologue).hexdigest() == prologue, f"prologue of index {ordinal}")
            require(blake3(part.epilogue).hexdigest() == epilogue, f"epilogue of index {ordinal}")
            self.parts.append(part)
        last = (self.parts[-1].offset, self.parts[-1].length)
        require(last == (self.footer.index_offset, self.footer.index_len), "the footer names the last index")
        self.schema = pa.ipc.read_schema(pa.py_buffer(_schema_message(self.parts[-1].prologue)))

    def _part(self, batches: list[dict[str, Any]]) -> Part:
        if not batches:
            # No batch marks the border: it is behind the schema message.
            offset, length = self.footer.index_offset, self.footer.index_len
            whole = self.at(offset, length)
            start = whole.index(b"\xff\xff\xff\xff")
            start += 8 + struct.unpack_from("<I", whole, start + 4)[0]
            return Part(offset, length, whole[:start], whole[start:])
        offset, length = batches[0]["file_offset"], batches[0]["file_len"]
        end = batches[0]["index_offset"]
        prologue = self.at(offset, end - offset)
        for row in batches:
            require((row["file_offset"], row["file_len"]) == (offset, length), "one file for each index")
            require(row["index_offset"] == end, "batches without gaps")
            end += row["index_len"]
        return Part(offset, length, prologue, self.at(end, offset + length - end))

    # --- the index ----------------------------------------------------------------------------------------------------

    def batch(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        """The rows of one line of the manifest: the message is fetched and decoded alone."""
        message = self.at(row["index_offset"], row["index_len"])
        require(blake3(message).digest() == row["batch_checksum"], f"batch {row['batch_no']}")
        schema = _schema_message(self.parts[row["sub_index"]].prologue)
        with pa.ipc.open_stream(schema + message) as stream:
            rows: list[dict[str, Any]] = stream.read_next_batch().to_pylist()
        require(len(rows) == row["row_count"], "rows of a batch")
        names = (row_name(rows[0]), row_name(rows[-1]))
        require(names == (row["first_path"], row["last_path"]), "names of a batch")
        return rows

    def rows(self) -> list[dict[str, Any]]:
        """The whole index, in order."""
        found = [row for batch in self.manifest for row in self.batch(batch)]
        require(len(found) == self.footer.n_rows, "number of rows")
        order = [(row_name(row), not row["flags"] & 4, row["chunk_seq"]) for row in found]
        require(all(before < after for before, after in itertools.pairwise(order)), "order of rows")
        return found

    def lookup(self, name: bytes) -> list[dict[str, Any]]:
        """The rows of one entry, from the batches that can have them."""
        batches = [row for row in self.manifest if row["first_path"] <= name <= row["last_path"]]
        rows = [row for batch in batches for row in self._by_name(batch).get(name, [])]
        return [row for row in rows if not row["flags"] & 4]

    def _by_name(self, batch: dict[str, Any]) -> dict[bytes, list[dict[str, Any]]]:
        """The rows of a batch, decoded once."""
        named = self._named.setdefault(batch["index_offset"], {})
        if not named:
            for row in self.batch(batch):
                named.setdefault(row_name(row), []).append(row)
        return named

    # --- entries ------------------------------------------------------------------------------------------------------

    def read(self, name: bytes) -> bytes:
        """The bytes of a file; those of a hard link are its target's."""
        rows = self.lookup(name)
        if rows and rows[0]["kind"] == "h":
            rows = self.lookup(rows[0].get("link_raw") or rows[0]["link_target"].encode())
        require(rows and rows[0]["kind"] == "f", f"{name!r} is no file of this archive")
        require([row["chunk_seq"] for row in rows] == list(range(len(rows))), "numbers of the slices")
        data = bytearray()
        for row in rows:
            require(row["fdata_offset"] == len(data), "slices without gaps")
            data += self.slice(row)
        require(len(data) == rows[0]["file_size"], "size of the file")
        whole = rows[0]["file_checksum"]
        require(whole is None or blake3(data).digest() == whole, f"whole of {name!r}")
        return bytes(data)

    def slice(self, row: dict[str, Any]) -> bytes:
        """The original bytes of a row, checked."""
        size = row["uncompressed_size"]
        require(row["blob_offset"] + row["blob_size"] <= self.footer.data_end, "blob outside of the data")
        blob = self.at(row["blob_offset"], row["blob_size"])
        if row["compressed"]:
            content = decode(blob)
            require(len(content) == row["blob_raw_size"], "blob_raw_size")
            data = content[row["inner_offset"] : row["inner_offset"] + size]
        else:
            stride = int(self.schema.metadata[b"s3z.stored_stride"])
            data = without_marks(blob, stride) if stride else blob
            require(row["inner_offset"] == 0 and row["blob_raw_size"] == size, "a stored blob is the slice")
        require(len(data) == size, "size of the slice")
        require(blake3(data).digest() == row["checksum"], f"checksum of {row['relative_path']!r}")
        return data

    # --- the object as frames -----------------------------------------------------------------------------------------

    def frames(self) -> list[Frame]:
        """All frames of the object, walked from its first byte to its last; the seek table has to agree."""
        found = list(walk_frames(self.at(0, self.size)))
        last = found[-1]
        require(last.magic == SEEK, "the last frame is the seek table")
        table = self.at(last.offset, last.size)
        count = len(found) - 1
        require(last.size == 17 + 8 * count, "length of the seek table")
        require(table[-9:] == struct.pack("<IB", count, 0) + SEEKABLE, "end of the seek table")
        sizes = [number for frame in found[:-1] for number in (frame.size, frame.content_size)]
        require(table[8:-9] == struct.pack(f"<{2 * count}I", *sizes), "the seek table has every frame")
        return found

    def check(self) -> None:
        """Every hash there is, and the counts of the footer."""
        rows = self.rows()
        current = [row for row in rows if not row["flags"] & 4]
        first = [row for row in current if row["chunk_seq"] == 0]
        require(len(first) == self.footer.n_entries, "number of entries")
        require(sum(row["uncompressed_size"] for row in current) == self.footer.raw_bytes, "raw_bytes")
        for row in first:
            if row["kind"] == "f":
                self.read(row_name(row))


def row_name(row: dict[str, Any]) -> bytes:
    """The bytes of a row's name; `path_raw` may be no column at all."""
    name: bytes = row.get("path_raw") or row["relative_path"].encode()
    return name


def decode(frame: bytes) -> bytes:
    """One zstd frame; libzstd compares its XXH64."""
    try:
        content: bytes = zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise DamagedError(f"frame: {error}") from error
    return content


def without_marks(blob: bytes, stride: int) -> bytes:
    """A stored blob without the three bytes that stand after every `stride` of the slice."""
    return b"".join(blob[at : at + stride] for at in range(0, len(blob), stride + 3))


def _schema_message(prologue: bytes) -> bytes:
    require(prologue[:6] == b"ARROW1", "magic of the index")
    return prologue[prologue.index(b"\xff\xff\xff\xff") :]
