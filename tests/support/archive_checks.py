"""An archive of `s3z pack` held against the model of a writer and the second reader, one rule at a time.

Stored frames, tar headers, tables and the footer are compared byte for byte; of compressed frames the content, since
another libzstd may find other bytes.
"""

from __future__ import annotations

import functools
import struct
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
import zstandard
from blake3 import blake3

import s3z
from support.archive_crc import crc64nvme
from support.archive_frames import DATA, OURS, SEEK, Frame
from support.archive_model import EMPTY_BLOB, EOA, Options, Placed, cut, render_stored, rows, tar_rows
from support.archive_reader import Reader, decode, row_name
from support.archive_tar import tar_stream, ustar, walk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KIB, MIB = 1 << 10, 1 << 20
DEFAULT = Options()
#: of a batch of the index
ROWS = 16_384
COLUMNS = {
    "relative_path": (pa.utf8(), False),
    "chunk_seq": (pa.uint32(), False),
    "fdata_offset": (pa.uint64(), False),
    "compressed": (pa.bool_(), False),
    "uncompressed_size": (pa.uint64(), False),
    "blob_offset": (pa.uint64(), False),
    "blob_size": (pa.uint64(), False),
    "checksum": (pa.binary(32), True),
    "blob_raw_size": (pa.uint32(), False),
    "inner_offset": (pa.uint32(), False),
    "kind": (pa.utf8(), False),
    "file_size": (pa.uint64(), False),
    "file_checksum": (pa.binary(32), True),
    "mode": (pa.uint32(), False),
    "uid": (pa.uint32(), True),
    "gid": (pa.uint32(), True),
    "mtime_ns": (pa.int64(), False),
    "link_target": (pa.utf8(), True),
    "path_raw": (pa.binary(), True),
    "link_raw": (pa.binary(), True),
    "flags": (pa.uint16(), False),
}
MANIFEST = {
    "pkg_type": pa.int8(),
    "repo": pa.utf8(),
    "module_name": pa.utf8(),
    "sub_index": pa.uint32(),
    "file_offset": pa.uint64(),
    "file_len": pa.uint64(),
    "batch_no": pa.uint32(),
    "index_offset": pa.uint64(),
    "index_len": pa.uint64(),
    "row_count": pa.uint64(),
    "first_path": pa.binary(),
    "last_path": pa.binary(),
    "min_blob_offset": pa.uint64(),
    "max_blob_end": pa.uint64(),
    "raw_bytes": pa.uint64(),
    "batch_checksum": pa.binary(32),
}


def pack(source: str, destination: Path, options: Options = DEFAULT, **more: Any) -> Any:
    """`s3z.pack` with the options that are not the defaults."""
    changed = {name: value for name, value in vars(options).items() if value != getattr(DEFAULT, name)}
    if "skip_extensions" in changed:
        changed["skip_extensions"] = sorted(changed["skip_extensions"])
    return s3z.pack(source, str(destination), **changed, **more)


class Subject:
    """An archive as it is, and as it should be."""

    def __init__(self, source: str, path: Path, options: Options = DEFAULT, **more: Any) -> None:
        self.path, self.options, self.more = path, options, more
        pack(source, path, options, **more)
        self.entries = walk(source, options.xattrs)
        self.bytes = path.read_bytes()
        self.reader = Reader(path)

    @functools.cached_property
    def is_tar(self) -> bool:
        return self.reader.container == "tar"

    @functools.cached_property
    def frames(self) -> list[Any]:
        return cut(self.entries, self.options)

    @functools.cached_property
    def found(self) -> list[Frame]:
        """Every frame of the object."""
        return self.reader.frames()

    @functools.cached_property
    def data_frames(self) -> list[Frame]:
        return [frame for frame in self.found if frame.offset < self.reader.footer.data_end]

    def written(self, frame: Frame) -> bytes:
        return self.bytes[frame.offset : frame.offset + frame.size]

    @functools.cached_property
    def placed(self) -> list[Placed]:
        """Where each frame of the model lies, if there are as many."""
        check_cut(self)
        return [
            Placed(found.offset, found.size, self.written(found) == render_stored(frame)[0])
            for frame, found in zip(self.frames, self.data_frames, strict=True)
        ]

    @functools.cached_property
    def found_rows(self) -> list[dict[str, Any]]:
        """As they are."""
        return self.reader.rows()

    @functools.cached_property
    def rows(self) -> list[dict[str, Any]]:
        """As they should be."""
        return tar_rows(self.entries, self.options) if self.is_tar else rows(self.frames, self.placed, self.options)

    def check(self) -> None:
        """Everything that this file knows to ask."""
        for check in CHECKS if not self.is_tar else TAR_CHECKS:
            check(self)


def same(found: bytes, expected: bytes, what: str) -> None:
    """Equal bytes; else the place of the first difference, not megabytes of it."""
    if found == expected:
        return
    shorter, step = min(len(found), len(expected)), 4 * KIB
    at = next((at for at in range(0, shorter, step) if found[at : at + step] != expected[at : at + step]), shorter)
    while at < shorter and found[at] == expected[at]:
        at += 1
    context = slice(max(0, at - 16), at + 48)
    pytest.fail(
        f"{what}: {len(found)} bytes, not {len(expected)}; first difference at {at}:\n"
        f"  is        {found[context]!r}\n  should be {expected[context]!r}"
    )


def names_of(frame: Any) -> list[bytes]:
    return [member.entry.name for member in frame.members]


# --- the checks -------------------------------------------------------------------------------------------------------


def check_cut(subject: Subject) -> None:
    """The borders of the frames."""
    found = [frame.content_size for frame in subject.data_frames]
    for number, (size, frame) in enumerate(zip(found, subject.frames, strict=False)):
        assert size == frame.size, f"frame {number} has {size} bytes, not {frame.size} of {names_of(frame)}"
    assert len(found) == len(subject.frames), names_of([*subject.frames, *subject.frames][len(found)])


def check_tar_stream(subject: Subject) -> None:
    """The contents of all frames, concatenated, are the tar."""
    stream = b"".join(decode(subject.written(frame)) for frame in subject.found if frame.magic == DATA)
    same(stream, tar_stream(subject.entries) + bytes(1024), "tar stream")


def check_stored_frames(subject: Subject) -> None:
    """Frames of class *stored*, byte for byte."""
    for frame, found in zip(subject.frames, subject.data_frames, strict=True):
        if frame.stored:
            same(subject.written(found), render_stored(frame)[0], f"stored frame of {names_of(frame)}")


def check_the_smaller_form(subject: Subject) -> None:
    """Other frames are compressed exactly if that is smaller."""
    for frame, at in zip(subject.frames, subject.placed, strict=True):
        if frame.stored:
            continue
        stored = len(render_stored(frame)[0])
        if at.stored:
            compressor = zstandard.ZstdCompressor(level=subject.options.level, write_checksum=True)
            # Another libzstd may be a little better or worse than the one in s3z.
            assert len(compressor.compress(frame.content)) >= stored * 0.995, names_of(frame)
        else:
            assert at.size < stored, f"{names_of(frame)}: {at.size} bytes, and {stored} in the stored form"


def check_frame_headers(subject: Subject) -> None:
    """Content size and checksum are there, a dictionary is not, and the window has its bound."""
    for frame, at in zip(subject.data_frames, subject.placed, strict=True):
        assert frame.magic == DATA
        assert frame.descriptor & 0b100, "no checksum"
        assert frame.window <= 8 * MIB
        if at.stored:
            assert frame.descriptor == 0xA4
            assert {kind for kind, _ in frame.blocks} <= {0, 1}
            assert all(0 < size <= 128 * KIB for _, size in frame.blocks)


def check_tail(subject: Subject) -> None:
    """After the data: the end of the tar, the index, the manifest, the footer, the seek table, and nothing else."""
    footer = subject.reader.footer
    tail = [frame for frame in subject.found if frame.offset >= footer.data_end]
    same(subject.written(tail[0]), EOA, "end of the tar")
    assert [frame.tag for frame in tail[1:]] == [b"S3ZINDEX", b"S3ZMANIF", b"S3ZFOOTR", b""]
    assert [frame.magic for frame in tail[1:]] == [OURS, OURS, OURS, SEEK]
    assert (tail[1].offset + 16, tail[1].size - 16) == (footer.index_offset, footer.index_len)
    assert (tail[2].offset + 16, tail[2].size - 16) == (footer.manifest_offset, footer.manifest_len)
    assert tail[3].size == 128
    count = len(subject.found) - 1
    table = b"".join(struct.pack("<II", frame.size, frame.content_size) for frame in subject.found[:-1])
    expected = (
        struct.pack("<II", 0x184D2A5E, 8 * count + 9) + table + struct.pack("<IB", count, 0) + b"\xb1\xea\x92\x8f"
    )
    same(subject.written(subject.found[-1]), expected, "seek table")


def check_rows(subject: Subject) -> None:
    """The index, row by row; of entries without data what they say of their blob comes separately."""
    found = subject.found_rows
    assert [(row_name(row), row["chunk_seq"]) for row in found] == [
        (row_name(row), row["chunk_seq"]) for row in subject.rows
    ]
    for row, expected in zip(found, subject.rows, strict=True):
        without_data = not expected["uncompressed_size"]
        wanted = {name: expected[name] for name in row if not (without_data and name in EMPTY_BLOB)}
        assert {name: row[name] for name in wanted} == wanted, row_name(row)


def check_rows_without_data(subject: Subject) -> None:
    """They have an empty blob: not a frame, no bytes."""
    for row in subject.found_rows:
        if not row["uncompressed_size"]:
            assert {name: row[name] for name in EMPTY_BLOB} == EMPTY_BLOB, row_name(row)


def check_schema(subject: Subject) -> None:
    """Columns, their types, which may be null, and the metadata in the order of its keys."""
    schema = subject.reader.schema
    needless = {name for name in ("path_raw", "link_raw") if not any(row[name] for row in subject.rows)}
    expected = {name: column for name, column in COLUMNS.items() if name not in needless}
    names = [name for name in schema.names if name != "xattrs" or not subject.options.xattrs]
    assert names == list(expected)
    for name, (kind, nullable) in expected.items():
        assert (schema.field(name).type, schema.field(name).nullable) == (kind, nullable), name
    metadata = {key.decode(): value.decode() for key, value in schema.metadata.items()}
    assert list(metadata) == sorted(metadata)
    assert metadata == {
        "s3z.codec": "none" if subject.is_tar else "zstd",
        "s3z.container": "tar" if subject.is_tar else "tar+zstd",
        "s3z.created_by": "s3z",
        "s3z.format": "s3z-pack",
        "s3z.group_size": str(subject.options.group_size),
        "s3z.hash": "blake3-256",
        "s3z.level": str(subject.options.level),
        "s3z.slice_size": str(subject.options.slice_size),
        "s3z.stored_stride": "0" if subject.is_tar else "131072",
        "s3z.version": "1.0",
    }


def check_manifest(subject: Subject) -> None:
    """A line for each batch, in order, and nothing null in it."""
    reader, footer = subject.reader, subject.reader.footer
    schema = reader.manifest_schema
    assert dict(zip(schema.names, schema.types, strict=True)) == MANIFEST
    assert schema.names == list(MANIFEST)
    assert not any(field.nullable for field in schema)
    assert list(schema.metadata) == [b"s3z.data_crc64nvme", b"s3z.index_epilogue", b"s3z.index_prologue"]
    assert len(reader.manifest) == -(-len(subject.rows) // ROWS)
    for number, line in enumerate(reader.manifest):
        batch = subject.rows[number * ROWS : (number + 1) * ROWS]
        expected = {
            "pkg_type": 0,
            "repo": "",
            "module_name": "",
            "sub_index": 0,
            "file_offset": footer.index_offset,
            "file_len": footer.index_len,
            "batch_no": number,
            "row_count": len(batch),
            "first_path": row_name(batch[0]),
            "last_path": row_name(batch[-1]),
            "min_blob_offset": min(row["blob_offset"] for row in batch),
            "max_blob_end": max(row["blob_offset"] + row["blob_size"] for row in batch),
            "raw_bytes": sum(row["uncompressed_size"] for row in batch),
            "batch_checksum": blake3(reader.at(line["index_offset"], line["index_len"])).digest(),
        }
        assert {name: line[name] for name in expected} == expected


def check_data_crc(subject: Subject) -> None:
    """The CRC over the data region."""
    crc = subject.reader.manifest_schema.metadata[b"s3z.data_crc64nvme"].decode()
    assert crc == f"{crc64nvme(subject.bytes[: subject.reader.footer.data_end]):016x}"


def check_footer(subject: Subject) -> None:
    """All of its fields; its place is what it was found by."""
    footer, expected = subject.reader.footer, subject.rows
    assert (footer.format, footer.major, footer.minor) == (b"S3ZPACK1", 1, 0)
    assert footer.flags == (0b1001 if subject.options.xattrs else 1)
    assert footer.n_rows == len(expected)
    assert footer.n_entries == len(subject.entries)
    assert footer.raw_bytes == sum(len(entry.data) for entry in subject.entries)
    manifest = subject.bytes[footer.manifest_offset : footer.manifest_offset + footer.manifest_len]
    raw = subject.bytes[subject.reader.footer_at :][:128]
    assert footer.root == raw[96:] == blake3(manifest + raw[16:96]).digest()
    if subject.is_tar:
        assert footer.data_end == len(tar_stream(subject.entries))
    else:
        assert footer.data_end == sum(frame.size for frame in subject.data_frames)


def check_index_file(subject: Subject) -> None:
    """Cut out of the object, the index is an Arrow file; each batch is compressed and stands alone."""
    footer = subject.reader.footer
    whole = subject.bytes[footer.index_offset : footer.index_offset + footer.index_len]
    assert whole[:6] == whole[-6:] == b"ARROW1"
    with pa.ipc.open_file(whole) as file:
        assert file.schema.equals(subject.reader.schema, check_metadata=True)
        assert file.num_record_batches == len(subject.reader.manifest)
        assert file.read_all().to_pylist() == subject.found_rows
    for line in subject.reader.manifest:
        message = subject.bytes[line["index_offset"] :][: line["index_len"]]
        assert message_facts(message) == {"version": 4, "kind": 3, "codec": 1}
    manifest = subject.bytes[footer.manifest_offset :][: footer.manifest_len]
    with pa.ipc.open_stream(manifest) as stream:
        assert all(batch.num_rows <= 65_536 for batch in stream)


def check_reader(subject: Subject) -> None:
    """Every hash holds, and every file is what the source has."""
    subject.reader.check()
    files = {entry.name: entry.data for entry in subject.entries}
    for entry in subject.entries:
        if entry.kind in "fh":
            found = subject.reader.read(entry.name)
            same(found, files[entry.target or entry.name], repr(entry.name))


def check_tar_flavour(subject: Subject) -> None:
    """The whole object: the tar stream, the three entries of ours, 1024 zeros."""
    reader, footer = subject.reader, subject.reader.footer
    index = subject.bytes[footer.index_offset :][: footer.index_len]
    manifest = subject.bytes[footer.manifest_offset :][: footer.manifest_len]
    raw = subject.bytes[reader.footer_at :][:128]
    expected = tar_stream(subject.entries)
    for name, data in ((b".index.arrow", index), (b".manifest.arrow", manifest), (b".footer", raw)):
        expected += ustar(b"__s3z__/" + name, b"0", size=len(data), mode=0o644) + data + bytes(-len(data) % 512)
    same(subject.bytes, expected + bytes(1024), "object")
    assert reader.footer_at == len(subject.bytes) - 1536


COMMON: list[Callable[[Subject], None]] = [
    check_rows, check_rows_without_data, check_schema, check_manifest, check_data_crc, check_footer, check_index_file,
    check_reader,
]  # fmt: skip
CHECKS: list[Callable[[Subject], None]] = [
    check_cut, check_tar_stream, check_stored_frames, check_the_smaller_form, check_frame_headers, check_tail, *COMMON,
]  # fmt: skip
TAR_CHECKS: list[Callable[[Subject], None]] = [check_tar_flavour, *COMMON]


def message_facts(message: bytes) -> dict[str, int]:
    """Of an IPC message: metadata version, kind of message, codec of the buffers (-1 without), from its flatbuffer."""
    data = message[8 : 8 + struct.unpack_from("<I", message, 4)[0]]

    def field(table: int, number: int) -> int:
        """Where a field of a table is, 0 without."""
        vtable = table - struct.unpack_from("<i", data, table)[0]
        size = struct.unpack_from("<H", data, vtable)[0]
        offset = struct.unpack_from("<H", data, vtable + 4 + 2 * number)[0] if 4 + 2 * number < size else 0
        return table + offset if offset else 0

    def follow(at: int) -> int:
        return int(at + struct.unpack_from("<I", data, at)[0])

    root = follow(0)
    batch = follow(field(root, 2))
    compression = field(batch, 3)
    codec = field(follow(compression), 0) if compression else 0
    return {
        "version": struct.unpack_from("<h", data, field(root, 0))[0],
        "kind": data[field(root, 1)],
        "codec": -1 if not compression else data[codec] if codec else 0,
    }
