"""What calls about archives return: entries, ranges and reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from s3z._escape import escape
from s3z._types import Verification, html_table, rate_text
from s3z._units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    #: `bytes` is the name of a field below
    Root: TypeAlias = bytes

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def name_text(name: bytes) -> str:
    """A name as a text; bytes that are not UTF-8 become surrogates, as in names of files."""
    return name.decode("utf-8", "surrogateescape")


class ByteRange(NamedTuple):
    """Where the bytes of a file lie in an archive, as they are.

    Attributes:
        offset: of the first byte, in the archive.
        length: bytes to fetch.
        stride: after each so many bytes come three that are not of the file; 0 if there are none.
    """

    offset: int
    length: int
    stride: int

    @property
    def header(self) -> str:
        """What an HTTP client sends as `Range`."""
        return f"bytes={self.offset}-{self.offset + self.length - 1}"


@dataclass(frozen=True, slots=True, repr=False)
class ArchiveEntry:
    """One entry of an archive.

    Attributes:
        path: its name; a directory's ends in `/`. Bytes that are not UTF-8 are surrogates.
        path_bytes: the same, as it is.
        kind: `f` file, `d` directory, `l` symbolic link, `h` hard link.
        size: bytes; of a hard link those of its file, 0 for directories and symbolic links.
        mode: the twelve permission bits.
        mtime_ns: nanoseconds since 1970.
        link_target: what a symbolic link says; the name of the file that a hard link shares.
        stored: whether all its bytes lie in the archive as they are.
        checksum: BLAKE3 of a file of one slice, or of a whole file if the archive has it; else None.
        flags: a sum: 1 filled with zeros, 2 changed while it was packed.
    """

    path: str
    path_bytes: bytes
    kind: str
    size: int
    mode: int
    mtime_ns: int
    link_target: str | None
    stored: bool
    checksum: bytes | None
    flags: int

    @property
    def mtime(self) -> datetime:
        """The time in UTC, to the microsecond."""
        return _EPOCH + timedelta(microseconds=self.mtime_ns // 1000)

    def __repr__(self) -> str:
        size = human_size(self.size) if self.kind in "fh" else "directory" if self.kind == "d" else "link"
        return f"ArchiveEntry({escape(self.path)!r}, {size})"

    def _repr_html_(self) -> str:
        return html_table(self, "Entry")


@dataclass(frozen=True, slots=True)
class PackFailure:
    """An entry that was left out, or is not what it should be.

    Attributes:
        name: of the entry.
        kind: the class of the exception that it would have been.
        message: what happened.
        errno: of the operating system, where it was that.
    """

    name: str
    kind: str
    message: str
    errno: int | None = None

    def __str__(self) -> str:
        return f"{escape(self.name)}: {escape(self.message)}"


@dataclass(frozen=True, slots=True, repr=False)
class PackReport:
    """A tree that is now an archive.

    Attributes:
        destination: the object or file that was written.
        entries: how many there are in it.
        files: regular files.
        directories: directories.
        symlinks: symbolic links.
        hard_links: further names of files.
        compressed_files: files that are compressed, at least in part.
        stored_files: files whose bytes lie in the archive as they are.
        empty_files: files without bytes.
        bytes_in: of all files.
        bytes_out: of the archive.
        skipped: what was left out on purpose: how many for each reason, such as `special`, `excluded`, `output`.
        failures: entries that could not be packed as they are, with `on_error="skip"`.
        workers: threads that compressed.
        seconds: wall-clock time of the call.
        root: 32 bytes that pin every byte of the archive: who keeps them may read it from anywhere.
        etag: of the object, without quotation marks; None for a file.
        version_id: on buckets that keep versions.
        parts: parts of the multipart upload; 1 for a single PutObject.
        verified: what was proved about the object.
    """

    destination: str
    entries: int
    files: int
    directories: int
    symlinks: int
    hard_links: int
    compressed_files: int
    stored_files: int
    empty_files: int
    bytes_in: int
    bytes_out: int
    skipped: Mapping[str, int]
    failures: tuple[PackFailure, ...]
    workers: int
    seconds: float
    root: bytes
    etag: str | None = None
    version_id: str | None = None
    parts: int = 0
    verified: Verification = field(default_factory=lambda: Verification("none"))

    @property
    def ratio(self) -> float:
        """Bytes in to bytes out; 0 if nothing was written."""
        return self.bytes_in / self.bytes_out if self.bytes_out else 0.0

    def __repr__(self) -> str:
        return (
            f"PackReport({escape(self.destination)!r}, {self.entries} entries, {human_size(self.bytes_in)} to "
            f"{human_size(self.bytes_out)}, {self.seconds:.2f}s, {rate_text(self.bytes_in, self.seconds)}"
            f"{_failed(self.failures)})"
        )

    def _repr_html_(self) -> str:
        return html_table(self, "Pack")


@dataclass(frozen=True, slots=True, repr=False)
class UnpackReport:
    """An archive that is now a tree, or objects.

    Attributes:
        destination: the directory, bucket or prefix.
        entries: how many were made.
        files: regular files.
        directories: directories.
        symlinks: symbolic links.
        hard_links: further names of files.
        bytes: of all files.
        skipped: what was left out on purpose: how many for each reason, such as `exists`, `excluded`;
            in S3 `directory`, `symlink`, `hard_link`.
        failures: entries that could not be unpacked; nothing is left of them.
        seconds: wall-clock time of the call.
        verified: whether every byte was compared with its hash. A tar that is not of s3z has none.
        is_indexed: whether it was read by its index; False: from front to back.
        root: the 32 bytes that pin the archive, if it is one of s3z.
    """

    destination: str
    entries: int
    files: int
    directories: int
    symlinks: int
    hard_links: int
    bytes: int
    skipped: Mapping[str, int]
    failures: tuple[PackFailure, ...]
    seconds: float
    verified: bool
    is_indexed: bool
    root: Root | None = None

    def __repr__(self) -> str:
        return (
            f"UnpackReport({escape(self.destination)!r}, {self.entries} entries, {human_size(self.bytes)}, "
            f"{self.seconds:.2f}s, {rate_text(self.bytes, self.seconds)}{_failed(self.failures)})"
        )

    def _repr_html_(self) -> str:
        return html_table(self, "Unpack")


class VerifyProblem(NamedTuple):
    """Something in an archive that is not as it has to be.

    Attributes:
        name: of the entry, if it is one.
        offset: in the archive, if it is a place.
        what: what is wrong.
    """

    name: str | None
    offset: int | None
    what: str

    def __str__(self) -> str:
        place = "" if self.offset is None else f" at byte {self.offset}"
        return f"{'archive' if self.name is None else escape(self.name)}{place}: {escape(self.what)}"


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """An archive that was looked through.

    Attributes:
        level: `full`, `index` or `sample`.
        frames: frames that were decoded and compared.
        entries: entries that were compared.
        bytes: original bytes that were hashed.
        problems: what is wrong; empty if nothing is.
    """

    level: str
    frames: int
    entries: int
    bytes: int
    problems: tuple[VerifyProblem, ...] = ()

    def _repr_html_(self) -> str:
        return html_table(self, "Verify")


def _failed(failures: tuple[PackFailure, ...]) -> str:
    return f", {len(failures)} failed" if failures else ""
