"""What the native module takes and gives for archives; for type checkers only, there is no such module."""

import builtins
from typing import Literal, NotRequired, TypeAlias, TypedDict

#: roots, each with what the names of its entries begin with; or bucket, prefix, and what is cut off the keys
LocalSource: TypeAlias = tuple[Literal["local", "matched"], list[tuple[bytes, bytes]]]
PackSource: TypeAlias = LocalSource | tuple[Literal["prefix"], str, str, str]
#: a path; bucket and key; or a descriptor and its name
PackTarget: TypeAlias = tuple[str, bytes] | tuple[str, str, str] | tuple[str, int, bytes]
#: the same to be read, an object with its version
ArchivePlace: TypeAlias = tuple[str, bytes] | tuple[str, str, str, str | None] | tuple[str, int, bytes]
#: key or prefix, version id (None: a prefix), whether the latest, whether a delete marker; the rest as a `ListEntry`
VersionEntry: TypeAlias = tuple[str, str | None, bool, bool, int, str | None, float | None, str | None]
#: name, f, d, l or h, size, mode, time in ns, target of a link, whether it is stored, BLAKE3, flags
EntryRow: TypeAlias = tuple[bytes, str, int, int, int, bytes | None, bool, bytes | None, int]

#: name, class of the exception, errno, message
EntryFailure: TypeAlias = tuple[bytes, str, int | None, str]

class TransferReport(TypedDict):
    bytes: int
    seconds: float
    etag: str | None
    version_id: str | None
    parts: int
    attempts: int
    resumed_bytes: int
    verified: tuple[str, str | None, str | None]
    last_modified: float | None
    content_type: str | None
    storage_class: str | None

class LookRequest(TypedDict, total=False):
    """What is listed, and how its rows are shown: `ls`, `du`."""

    bucket: str
    prefix: str
    delimiter: str | None
    #: of the whole key
    pattern: bytes | None
    exclude: list[bytes]
    filter_prefix: bytes
    #: bytes of the key before the name that is shown
    strip: int
    versions: bool
    json: bool
    full_path: bool
    etag: bool
    storage_class: bool
    human: bool
    #: for a terminal
    escapes: bool

class PackReport(TypedDict):
    entries: int
    files: int
    directories: int
    symlinks: int
    hard_links: int
    skipped: dict[str, int]
    failures: list[EntryFailure]
    seconds: float
    compressed_files: int
    stored_files: int
    empty_files: int
    bytes_in: int
    bytes_out: int
    workers: int
    root: bytes
    etag: NotRequired[str | None]
    version_id: NotRequired[str | None]
    parts: NotRequired[int]
    verified: NotRequired[tuple[str, str | None, str | None]]

class UnpackReport(TypedDict):
    entries: int
    files: int
    directories: int
    symlinks: int
    hard_links: int
    skipped: dict[str, int]
    failures: list[EntryFailure]
    seconds: float
    bytes: int
    unconditional: int
    verified: bool
    is_indexed: bool
    root: builtins.bytes | None

class VerifyReport(TypedDict):
    frames: int
    entries: int
    bytes: int
    problems: list[tuple[builtins.bytes | None, int | None, str]]

#: finished lines; failures: label, source, destination, exception, kind; what was skipped: label, reason; or differs
BatchRow: TypeAlias = tuple[
    builtins.bytes,
    list[tuple[builtins.bytes, builtins.bytes, builtins.bytes | None, Exception, str | None]],
    list[tuple[builtins.bytes, str]],
]
