"""The native module: what the Rust core offers to the Python door. Private; the public surface is `s3z`."""

import builtins
from collections.abc import Callable
from typing import Any, TypeAlias, TypedDict, final

from s3z._core_types import ArchivePlace as ArchivePlace
from s3z._core_types import BatchRow as BatchRow
from s3z._core_types import EntryFailure as EntryFailure
from s3z._core_types import EntryRow as EntryRow
from s3z._core_types import LocalSource as LocalSource
from s3z._core_types import LookRequest as LookRequest
from s3z._core_types import PackReport as PackReport
from s3z._core_types import PackSource as PackSource
from s3z._core_types import PackTarget as PackTarget
from s3z._core_types import TransferReport as TransferReport
from s3z._core_types import UnpackReport as UnpackReport
from s3z._core_types import VerifyReport as VerifyReport
from s3z._core_types import VersionEntry as VersionEntry

__version__: str

#: access key id, secret access key, session token or None, expiry in seconds since the epoch or None (never)
KeySet: TypeAlias = tuple[str, str, str | None, float | None]
#: network bytes, durable bytes, total bytes or None, objects done, objects in all or None
ProgressFunction: TypeAlias = Callable[[int, int, int | None, int, int | None], object]
#: key or common prefix, whether it is a prefix, size, etag, last modified (seconds since the epoch), storage class
ListEntry: TypeAlias = tuple[str, bool, int, str | None, float | None, str | None]

class TransferSettings(TypedDict, total=False):
    """Numbers left out or None mean the core's default (`defaults()`)."""

    part_size: int | None
    multipart_threshold: int | None
    copy_threshold: int | None
    max_bandwidth: int | None
    max_concurrency: int | None
    max_requests: int | None
    memory_limit: int | None
    max_attempts: int | None
    connect_timeout: float | None
    read_timeout: float | None
    direct_io: str | None
    strict_checksums: bool | None

class DownloadOptions(TypedDict, total=False):
    version_id: str | None
    if_match: str | None
    verify: str
    on_change: str
    resume: bool
    overwrite: bool
    durable: bool
    deadline: float | None
    direct_io: str | None
    part_size: int | None
    max_concurrency: int | None
    set_mtime: bool

class PutOptions(TypedDict, total=False):
    """`upload_file`, which knows the size, takes no `expected_size`, and alone takes `resume`."""

    if_none_match: str | None
    if_match: str | None
    checksum: str | None
    headers: list[tuple[str, str]]
    deadline: float | None
    part_size: int | None
    expected_size: int | None
    max_concurrency: int | None
    resume: bool

class WriteFileOptions(TypedDict, total=False):
    overwrite: bool
    durable: bool
    direct_io: str | None
    expected_size: int | None

class HeadReport(TypedDict):
    size: int
    etag: str | None
    version_id: str | None
    last_modified: float | None
    content_type: str | None
    storage_class: str | None
    metadata: dict[str, str]
    headers: dict[str, str]

@final
class ListPages:
    """Pages of one listing; each is fetched when asked for."""

    def next_page(self) -> list[ListEntry] | None: ...

@final
class Client:
    """One endpoint, one region to start with, one byte budget. Every call blocks with the GIL released."""

    def __new__(
        cls,
        *,
        endpoint_url: str | None = None,
        region: str = "us-east-1",
        addressing_style: str = "auto",
        credentials: KeySet | Callable[[], KeySet] | None = None,
        anonymous: bool = False,
        ca_bundle: str | None = None,
        verify: bool = True,
        proxies: dict[str, str] | None = None,
        state_dir: str | None = None,
        request_payer: bool = False,
        transfer: TransferSettings | None = None,
    ) -> Client: ...
    def download(
        self,
        bucket: str,
        key: str,
        destination: bytes,
        options: DownloadOptions,
        progress: ProgressFunction | None = None,
    ) -> TransferReport: ...
    def upload_file(
        self,
        source: bytes,
        bucket: str,
        key: str,
        options: PutOptions,
        progress: ProgressFunction | None = None,
    ) -> TransferReport: ...
    def list_objects(
        self, bucket: str, prefix: str, delimiter: str | None = None, start_after: str | None = None
    ) -> ListPages: ...
    def list_buckets(self) -> list[tuple[str, float | None]]: ...
    def head_object(self, bucket: str, key: str, version_id: str | None = None) -> HeadReport: ...
    def delete_object(
        self, bucket: str, key: str, version_id: str | None = None, if_match: str | None = None
    ) -> None: ...
    def delete_objects(self, bucket: str, keys: list[str]) -> list[tuple[str, str | None, str | None]]: ...
    def head_bucket(self, bucket: str) -> str | None: ...
    def create_bucket(self, bucket: str) -> None: ...
    def delete_bucket(self, bucket: str) -> None: ...

class CopyOptions(TypedDict, total=False):
    """Of the source: version, size where a listing told it, ETag it must have. The rest is about the destination."""

    version_id: str | None
    size: int | None
    if_match: str | None
    headers: list[tuple[str, str]]
    replace_metadata: bool
    if_none_match: str | None
    destination_if_match: str | None
    part_size: int | None
    max_concurrency: int | None

class CopyReport(TypedDict):
    size: int
    etag: str | None
    version_id: str | None
    parts: int
    attempts: int

def copy(
    client: Client,
    bucket: str,
    key: str,
    source_bucket: str,
    source_key: str,
    options: CopyOptions,
    progress: ProgressFunction | None = None,
) -> CopyReport:
    """Copy on the server, above 5 GiB by parts. Metadata in `headers` needs `replace_metadata`."""

def delete_versions(
    client: Client, bucket: str, objects: list[tuple[str, str | None]]
) -> list[tuple[str, str | None, str | None, str | None]]:
    """Key, version id, and code and message of the failure, for each in the order given."""

def presign(client: Client, bucket: str, key: str, seconds: float, version_id: str | None = None) -> str:
    """A URL to GET the object by, for 1 second to 7 days."""

def defaults() -> dict[str, int | float]:
    """Every number of `rust/src/config.rs` that a person may set: sizes in bytes, times in seconds."""

def stop_all() -> None:
    """Cancel what other threads have under way and wait a little for its clean-up; for the interpreter's exit."""

def parse_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of an `s3://` URI (key may be empty). Raises `s3z.ConfigError`."""

def sign(
    method: str,
    url: str,
    headers: list[tuple[str, str]],
    payload_hash: str,
    credentials: KeySet,
    region: str,
    amz_date: str,
) -> str:
    """The Authorization header for a request, as the core would send it; for checking it against other signers."""

class ReadOptions(TypedDict, total=False):
    """`tail` goes before `start` and `stop`."""

    start: int | None
    stop: int | None
    tail: int | None
    version_id: str | None
    if_match: str | None
    verify: str
    part_size: int | None
    max_concurrency: int | None
    deadline: float | None

class ObjectFacts(TypedDict):
    size: int | None
    etag: str | None
    version_id: str | None

@final
class Buffer:
    """Bytes of an object in memory, which nothing changes any more."""

    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class Stream:
    def take(self, len: int) -> bytes: ...
    def report(self) -> TransferReport | None: ...
    def close(self) -> None: ...

@final
class Reader:
    def read_into(self, at: int, buffer: memoryview) -> int: ...
    def read_rest(self, at: int) -> bytes: ...

def open_stream(
    client: Client, bucket: str, key: str, options: ReadOptions, progress: ProgressFunction | None = None
) -> tuple[Stream, ObjectFacts]: ...
def open_reader(client: Client, bucket: str, key: str, options: ReadOptions) -> tuple[Reader, ObjectFacts]: ...
def cat_objects(
    client: Client,
    objects: list[tuple[str, str]],
    options: ReadOptions,
    descriptor: int,
    name: str,
    progress: ProgressFunction | None = None,
) -> tuple[int, int, bool, TransferReport | None, BaseException | None]: ...
def get_object(
    client: Client, bucket: str, key: str, options: ReadOptions, progress: ProgressFunction | None = None
) -> Buffer: ...
def get_object_into(
    client: Client,
    bucket: str,
    key: str,
    buffer: memoryview,
    options: ReadOptions,
    progress: ProgressFunction | None = None,
) -> int: ...
def get_object_ranges(
    client: Client, bucket: str, key: str, ranges: list[tuple[int, int]], options: ReadOptions
) -> list[Buffer]: ...

@final
class Writer:
    def write(self, data: bytes | bytearray | memoryview) -> int: ...
    def close(self) -> TransferReport: ...
    def abort(self) -> None: ...

def open_object(
    client: Client, bucket: str, key: str, options: PutOptions, progress: ProgressFunction | None = None
) -> Writer: ...
def open_local(
    client: Client, destination: bytes, options: WriteFileOptions, progress: ProgressFunction | None = None
) -> Writer: ...
def upload_descriptor(
    client: Client,
    descriptor: int,
    name: str,
    bucket: str,
    key: str,
    options: PutOptions,
    progress: ProgressFunction | None = None,
) -> TransferReport: ...

@final
class UploadPages:
    def next_page(self) -> list[tuple[str, str, float | None, str | None]] | None:
        """Key, upload id, seconds since the epoch when it was begun, storage class."""

def create_upload(client: Client, bucket: str, key: str, options: PutOptions) -> str: ...
def upload_part(
    client: Client,
    upload: tuple[str, str, str],
    checksum: str | None,
    number: int,
    data: bytes | bytearray | memoryview,
) -> str: ...
def list_parts(client: Client, upload: tuple[str, str, str]) -> list[tuple[int, int, str]]: ...
def complete_upload(
    client: Client,
    upload: tuple[str, str, str],
    checksum: str | None,
    size: int | None,
    count: int | None,
    conditions: list[tuple[str, str]],
) -> TransferReport: ...
def abort_upload(client: Client, upload: tuple[str, str, str]) -> None: ...
def upload_part_size(size: int, part_size: int | None = None) -> int: ...
def left_uploads(client: Client) -> list[tuple[str, str, str, float]]: ...
def list_uploads(client: Client, bucket: str, prefix: str) -> UploadPages: ...

@final
class PartFile:
    def write_part(self, number: int, data: bytes | bytearray | memoryview) -> None: ...
    def states(self) -> tuple[bytes, int]:
        """Of each part 0 pending, 1 in progress, 2 complete, 3 failed; and the bytes an earlier process had written."""

    def publish(self) -> TransferReport: ...
    def close(self, keep: bool) -> None: ...

def open_part_file(
    client: Client, destination: bytes, plan: tuple[int, int], overwrite: bool, durable: bool
) -> PartFile: ...
def pack(
    client: Client,
    source: PackSource,
    destination: PackTarget,
    options: dict[str, Any],
    progress: ProgressFunction | None = None,
) -> PackReport: ...
def unpack(
    client: Client,
    archive: ArchivePlace,
    destination: bytes | tuple[str, str],
    options: dict[str, Any],
    progress: ProgressFunction | None = None,
) -> UnpackReport: ...

@final
class EntryPages:
    def next(self) -> list[EntryRow] | None: ...

@final
class Archive:
    root: bytes
    etag: str | None
    size: int
    entries: int
    rows: int
    raw_bytes: int
    flags: int

    def __new__(cls, client: Client, archive: ArchivePlace, options: dict[str, Any]) -> Archive: ...
    def list(self, prefix: bytes) -> EntryPages: ...
    def find(self, name: bytes) -> EntryRow | None: ...
    def read(
        self,
        name: bytes,
        start: int | None = None,
        stop: int | None = None,
        verify: bool = True,
        allow_incomplete: bool = False,
    ) -> Buffer: ...
    def read_many(self, names: builtins.list[bytes]) -> builtins.list[Buffer]: ...
    def range_of(self, name: bytes) -> tuple[int, int, int] | None: ...
    def verify(
        self, level: str, fraction: float | None = None, progress: ProgressFunction | None = None
    ) -> VerifyReport: ...
    def index_stream(self) -> object: ...
    def index_file(self) -> Buffer: ...
    def close(self) -> None: ...

@final
class Batch:
    def next(self, progress: ProgressFunction | None = None) -> BatchRow | None: ...
    def stop(self) -> None: ...
    def kept(self) -> str | None: ...
    def report(self) -> TransferReport | None: ...
    def counts(self) -> dict[str, int]: ...

def start_batch(source: Client, destination: Client, request: dict[str, Any]) -> Batch: ...

@final
class Look:
    def next(self) -> tuple[bytes, int] | None: ...  # finished lines, and how many rows they are

def start_look(client: Client, request: LookRequest) -> Look: ...
def look_sums(client: Client, request: LookRequest) -> list[tuple[str, int, int]]:
    """Storage class, objects, bytes."""
