"""What calls return: small frozen values that show themselves well in a terminal and in a notebook."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from s3z._escape import escape, escape_html
from s3z._units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


#: of a tuple, what a table shows
_MOST_SHOWN = 20


def _rows(value: object) -> list[tuple[str, object]]:
    return [(each.name, getattr(value, each.name)) for each in fields(value)]  # type: ignore[arg-type]


def html_table(value: object, caption: str) -> str:
    """A table of the fields of `value` that are known, escaped."""
    cells = "".join(
        f'<tr><th style="text-align:left">{escape_html(name)}</th>'
        f'<td style="text-align:left">{escape_html(_shown(content))}</td></tr>'
        for name, content in _rows(value)
        if content is not None and content not in ({}, ())
    )
    return f"<table><caption>{escape_html(caption)}</caption>{cells}</table>"


def _shown(content: object) -> str:
    if isinstance(content, tuple):
        more = [f"and {len(content) - _MOST_SHOWN} more"] if len(content) > _MOST_SHOWN else []
        return "; ".join([*map(str, content[:_MOST_SHOWN]), *more])
    return content.hex() if isinstance(content, bytes) else str(content)


def rate_text(size: int, seconds: float) -> str:
    return f"{human_size(size / seconds)}/s" if seconds > 0 else "-"


@dataclass(frozen=True, slots=True)
class Verification:
    """What was proved about the bytes, and never more.

    Attributes:
        kind: `full_object` (the stored checksum of the whole object), `parts` (that of every part), `length`, or
            `none`.
        algorithm: such as `crc64nvme`; None where no checksum was compared.
        detail: the number of parts, or why only the length was compared.
    """

    kind: str
    algorithm: str | None = None
    detail: str | None = None

    def __str__(self) -> str:
        if self.algorithm is None:
            return self.kind
        return f"{self.kind}/{self.algorithm}" + (f":{self.detail}" if self.detail else "")


@dataclass(frozen=True, slots=True, repr=False)
class DownloadResult:
    """One object that is now a file.

    Attributes:
        path: the file that was published.
        bytes: the size of the object in bytes.
        seconds: wall-clock time of the call.
        etag: without quotation marks.
        version_id: on buckets that keep versions.
        parts: requests that fetched a range of their own.
        attempts: requests sent for the object's bytes, retries included; as many as `parts` if nothing was tried twice.
        resumed_bytes: bytes that an earlier, interrupted call had left.
        verified: what was proved about the content.
        last_modified: time of the object, UTC.
        content_type: as the store has it.
        storage_class: as the store has it; None is STANDARD.
    """

    path: str
    bytes: int
    seconds: float
    etag: str | None
    version_id: str | None
    parts: int
    attempts: int
    resumed_bytes: int
    verified: Verification
    last_modified: datetime | None = None
    content_type: str | None = None
    storage_class: str | None = None

    def __repr__(self) -> str:
        return (
            f"DownloadResult({escape(self.path)!r}, {human_size(self.bytes)}, {self.seconds:.2f}s, "
            f"{rate_text(self.bytes, self.seconds)}, verified={escape(str(self.verified))})"
        )

    def _repr_html_(self) -> str:
        return html_table(self, "Download")


@dataclass(frozen=True, slots=True, repr=False)
class StreamResult:
    """One object, or a range of it, that was given out whole.

    Attributes:
        uri: the object that was read.
        bytes: how many were given.
        seconds: wall-clock time from opening to the end.
        etag: without quotation marks.
        version_id: on buckets that keep versions.
        parts: ranges that were fetched.
        attempts: requests sent for the object's bytes, retries included; as many as `parts` if nothing was tried twice.
        verified: what was proved about the content; a range of an object has no checksum.
    """

    uri: str
    bytes: int
    seconds: float
    etag: str | None
    version_id: str | None
    parts: int
    attempts: int
    verified: Verification

    def __repr__(self) -> str:
        return (
            f"StreamResult({escape(self.uri)!r}, {human_size(self.bytes)}, {self.seconds:.2f}s, "
            f"{rate_text(self.bytes, self.seconds)}, verified={escape(str(self.verified))})"
        )

    def _repr_html_(self) -> str:
        return html_table(self, "Stream")


@dataclass(frozen=True, slots=True, repr=False)
class UploadResult:
    """One file that is now an object.

    Attributes:
        uri: the object that was written.
        bytes: its size in bytes.
        seconds: wall-clock time of the call.
        etag: without quotation marks.
        version_id: on buckets that keep versions.
        parts: parts of the multipart upload; 1 for a single PutObject.
        attempts: requests sent for the object's bytes, retries included; as many as `parts` if nothing was tried twice.
        resumed_bytes: bytes that an earlier, interrupted call had sent.
        verified: what was proved about the content.
    """

    uri: str
    bytes: int
    seconds: float
    etag: str | None
    version_id: str | None
    parts: int
    attempts: int
    resumed_bytes: int
    verified: Verification

    def __repr__(self) -> str:
        return (
            f"UploadResult({escape(self.uri)!r}, {human_size(self.bytes)}, {self.seconds:.2f}s, "
            f"{rate_text(self.bytes, self.seconds)}, verified={escape(str(self.verified))})"
        )

    def _repr_html_(self) -> str:
        return html_table(self, "Upload")


@dataclass(frozen=True, slots=True, repr=False)
class ObjectInfo:
    """One line of a listing: an object, or with a delimiter a common prefix.

    Attributes:
        bucket: its bucket.
        key: the key; of a prefix, all of it up to and with the delimiter.
        is_prefix: whether this is a common prefix. The fields below are then 0 or None.
        size: in bytes.
        etag: without quotation marks.
        last_modified: UTC.
        storage_class: as the store has it.
    """

    bucket: str
    key: str
    is_prefix: bool = False
    size: int = 0
    etag: str | None = None
    last_modified: datetime | None = None
    storage_class: str | None = None

    @property
    def uri(self) -> str:
        """`s3://bucket/key`."""
        return f"s3://{self.bucket}/{self.key}"

    def __repr__(self) -> str:
        kind = "prefix" if self.is_prefix else human_size(self.size)
        return f"ObjectInfo({escape(self.uri)!r}, {kind})"

    def _repr_html_(self) -> str:
        return html_table(self, "Object")


@dataclass(frozen=True, slots=True, repr=False)
class UploadInfo:
    """A multipart upload that was neither completed nor aborted: its parts cost storage.

    Attributes:
        bucket: its bucket.
        key: of the object it would become.
        upload_id: the store's name for it.
        initiated: when it was begun, UTC; None if the store does not say.
        storage_class: as the store has it.
    """

    bucket: str
    key: str
    upload_id: str
    initiated: datetime | None = None
    storage_class: str | None = None

    @property
    def uri(self) -> str:
        """`s3://bucket/key`."""
        return f"s3://{self.bucket}/{self.key}"

    def __repr__(self) -> str:
        return f"UploadInfo({escape(self.uri)!r}, {escape(self.upload_id)!r})"

    def _repr_html_(self) -> str:
        return html_table(self, "Upload")


@dataclass(frozen=True, slots=True, repr=False)
class HeadResult:
    """What a store says of one object.

    Attributes:
        bucket: its bucket.
        key: its key.
        size: in bytes.
        etag: without quotation marks.
        version_id: on buckets that keep versions.
        last_modified: UTC.
        content_type: as stored.
        storage_class: as stored; None is STANDARD.
        metadata: the user's own, names without `x-amz-meta-`.
        headers: the other headers of the answer, names in lower case.
    """

    bucket: str
    key: str
    size: int
    etag: str | None
    version_id: str | None
    last_modified: datetime | None
    content_type: str | None
    storage_class: str | None
    metadata: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        """`s3://bucket/key`."""
        return f"s3://{self.bucket}/{self.key}"

    def __repr__(self) -> str:
        return f"HeadResult({escape(self.uri)!r}, {human_size(self.size)}, etag={escape(self.etag or '-')!r})"

    def _repr_html_(self) -> str:
        return html_table(self, "Object")


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """How far a call has come. Counts never exceed the truth, also after a retry.

    Attributes:
        received: bytes that have crossed the network (sent ones, for an upload).
        durable: bytes written to their place, or acknowledged by the store.
        total: bytes in all, None while that is not known.
        objects: objects done.
        objects_total: objects in all, None while that is not known.
    """

    received: int
    durable: int
    total: int | None = None
    objects: int = 0
    objects_total: int | None = None
