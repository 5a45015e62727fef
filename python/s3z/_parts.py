"""`MultipartUpload`: an object put together from parts that threads, processes and machines send in any order."""

from __future__ import annotations

import enum
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from s3z import _core, _uploads
from s3z._exceptions import ConfigError
from s3z._transfers import common, object_uri
from s3z._types import UploadResult
from s3z._writer import flat

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self, Unpack

    from s3z._client import Client

#: S3's: parts of an upload
MAX_PARTS = 10_000


class PartState(enum.Enum):
    """What became of a part, as far as this process knows."""

    PENDING = "pending"
    IN_PROGRESS = "in progress"
    COMPLETE = "complete"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PartInfo:
    """One part.

    Attributes:
        number: from 1.
        size: bytes, None while neither a plan nor the store says.
        state: see `PartState`.
        etag: of the store, once it has it.
    """

    number: int
    size: int | None
    state: PartState
    etag: str | None = None


class MultipartUpload:
    """An upload whose parts anybody may send who has it: it pickles, without secrets.

    Make one with `create`, or with `attach` from an id. As a context manager it aborts unless it was completed.

    Attributes:
        uri: of the object.
        upload_id: the store's name for it.
        size: bytes of the object, None if that was not planned.
        part_size: bytes of all parts but the last, None without a plan.

    Example:
        >>> with s3z.MultipartUpload.create("s3://examples/big.bin", size=12 << 20, part_size=5 << 20) as upload:
        ...     for number in (3, 1, 2):
        ...         start, stop = upload.part_range(number)
        ...         _ = upload.upload_part(number, bytes(stop - start))
        ...     upload.complete().parts
        3

    See also https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
    """

    def __init__(
        self,
        uri: str,
        upload_id: str,
        *,
        size: int | None = None,
        part_size: int | None = None,
        checksum: str | None = None,
        conditions: tuple[tuple[str, str], ...] = (),
        client: Client | None = None,
    ) -> None:
        self.uri = uri
        self.upload_id = upload_id
        self.size = size
        if size is not None and size < 1:
            raise ConfigError("an object made of parts has at least one byte; `put` makes empty ones")
        self.part_size = None if size is None else _core.upload_part_size(size, part_size)
        self._checksum = checksum
        self._conditions = conditions
        self._client = client
        self._lock = threading.Lock()
        self._parts: dict[int, PartInfo] = {}
        self._ended = ""

    @classmethod
    def create(
        cls,
        uri: str,
        *,
        size: int | None = None,
        client: Client | None = None,
        **options: Unpack[_uploads.PutOptions],
    ) -> Self:
        """Begin an upload at the store.

        Args:
            uri: `s3://bucket/key`, literally.
            size: bytes of the object, for a plan; without it any sizes do that the store takes.
            client: None is that of the module functions.
            options: `part_size`, of all parts but the last, which is 8 MiB if not given, or what 10,000 parts need;
                `content_type`, `metadata`, `if_none_match` and the other words of `upload`.

        Raises:
            ConfigError: the size needs more than 10,000 such parts; the message names the smallest part that works.
            NotFoundError: no such bucket.
        """
        bucket, key = object_uri(uri)
        owner = client or _default()
        planned = cls(uri, "", size=size, part_size=options.get("part_size")).part_size
        words = _uploads.core_options(owner._settings, options, key)
        for name in ("part_size", "max_concurrency"):
            words.pop(name, None)  # type: ignore[misc]
        conditions = tuple(
            (header, value)
            for name, header in (("if_none_match", "if-none-match"), ("if_match", "if-match"))
            if (value := words.get(name)) is not None
        )
        upload_id = _core.create_upload(owner._native(), bucket, key, words)
        return cls(
            uri,
            upload_id,
            size=size,
            part_size=planned,
            checksum=words["checksum"],
            conditions=conditions,  # type: ignore[arg-type]
            client=client,
        )

    @classmethod
    def attach(
        cls,
        uri: str,
        upload_id: str,
        *,
        size: int | None = None,
        part_size: int | None = None,
        checksum: str | None = "crc64nvme",
        client: Client | None = None,
    ) -> Self:
        """One that was begun elsewhere. No request is made.

        Args:
            uri: `s3://bucket/key`, literally.
            upload_id: as `create` or `list_uploads` gave it.
            size: bytes of the object, for the same plan as where it was begun.
            part_size: as where it was begun.
            checksum: the algorithm it was begun with; None sends none.
            client: None is that of the module functions.

        Raises:
            ConfigError: the URI is malformed, or the plan does not work.
        """
        object_uri(uri)
        return cls(uri, upload_id, size=size, part_size=part_size, checksum=checksum, client=client)

    def __repr__(self) -> str:
        return f"<s3z.MultipartUpload {self.uri} {self.upload_id}{' ' + self._ended if self._ended else ''}>"

    def __getstate__(self) -> dict[str, Any]:
        hidden = ("_lock", "_parts")
        return {name: value for name, value in self.__dict__.items() if name not in hidden}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()
        self._parts = {}

    @property
    def part_count(self) -> int | None:
        """How many parts the plan has, None without one."""
        if self.size is None or self.part_size is None:
            return None
        return -(-self.size // self.part_size)

    def plan(self) -> list[tuple[int, int]]:
        """The half-open byte ranges of all parts, the first one being that of part 1.

        Raises:
            ValueError: the size was not given.
        """
        return [self.part_range(number) for number in range(1, self._planned() + 1)]

    def part_range(self, number: int) -> tuple[int, int]:
        """The half-open byte range of one part.

        Args:
            number: from 1.

        Raises:
            ValueError: the size was not given, or there is no such part.
        """
        if not 1 <= number <= self._planned():
            raise ValueError(f"the plan has parts 1 to {self._planned()}, not {number}")
        assert self.size is not None
        assert self.part_size is not None
        start = (number - 1) * self.part_size
        return start, min(start + self.part_size, self.size)

    def upload_part(self, number: int, data: Any) -> PartInfo:
        """Send one part; again until the upload is complete, and then the last one counts.

        Any thread, process or machine may call it, in any order.

        Args:
            number: 1 to 10,000.
            data: bytes-like and contiguous; `bytes` are sent without a copy.

        Returns:
            The part with its ETag.

        Raises:
            ValueError: the number or the length is not that of the plan.
            NotFoundError: the upload was completed or aborted.
            ConfigError: the part is empty, too large, or has no such number.
        """
        self._open()
        length = memoryview(data).nbytes
        if self.size is not None:
            start, stop = self.part_range(number)
            if length != stop - start:
                raise ValueError(f"part {number} must hold {stop - start} bytes by the plan, not {length}")
        line = flat(data)
        self._note(PartInfo(number, length, PartState.IN_PROGRESS))
        try:
            etag = _core.upload_part(self._native(), self._key(), self._checksum, number, line)
        except BaseException:
            self._note(PartInfo(number, length, PartState.FAILED))
            raise
        part = PartInfo(number, length, PartState.COMPLETE, etag.strip('"'))
        self._note(part)
        return part

    def parts(self, *, refresh: bool = False) -> list[PartInfo]:
        """All parts that are planned or known, in order.

        Args:
            refresh: whether the store is asked what others have sent.

        Raises:
            NotFoundError: `refresh`, and the upload was completed or aborted.
        """
        if refresh:
            listed = _core.list_parts(self._native(), self._key())
            with self._lock:
                for number, size, etag in listed:
                    known = self._parts.get(number)
                    if known is None or known.state is not PartState.IN_PROGRESS:
                        self._parts[number] = PartInfo(number, size, PartState.COMPLETE, etag.strip('"'))
        planned = {
            number: PartInfo(number, stop - start, PartState.PENDING)
            for number, (start, stop) in enumerate(self.plan() if self.size is not None else (), 1)
        }
        with self._lock:
            return sorted({**planned, **self._parts}.values(), key=lambda part: part.number)

    def complete(self) -> UploadResult:
        """Make the object of the parts the store has, whoever sent them.

        Raises:
            ConfigError: a part is missing, or is still being sent by this process.
            IntegrityError: the parts do not add up to the planned size. The upload stays.
            AlreadyExistsError: `if_none_match` does not hold.
            NotFoundError: the upload was completed or aborted already.
        """
        self._open()
        with self._lock:
            busy = [part.number for part in self._parts.values() if part.state is PartState.IN_PROGRESS]
        if busy:
            raise ConfigError(f"part {busy[0]} is still being sent")
        report = _core.complete_upload(
            self._native(), self._key(), self._checksum, self.size, self.part_count, list(self._conditions)
        )
        self._ended = "complete"
        return UploadResult(uri=self.uri, **common(report))

    def abort(self) -> None:
        """Remove what was sent. After `complete`, or a second time, it does nothing.

        Raises:
            S3zError: parts may be left; it has the `upload_id`.
        """
        if not self._ended:
            _core.abort_upload(self._native(), self._key())
            self._ended = "aborted"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.abort()
        except Exception as left:
            if error is None:
                raise
            error.add_note(str(left))

    def _planned(self) -> int:
        count = self.part_count
        if count is None:
            raise ValueError("there is no plan: the size was not given")
        return count

    def _note(self, part: PartInfo) -> None:
        with self._lock:
            self._parts[part.number] = part

    def _open(self) -> None:
        if self._ended:
            raise ValueError(f"the upload is {self._ended}")

    def _native(self) -> _core.Client:
        return (self._client or _default())._native()

    def _key(self) -> tuple[str, str, str]:
        return (*object_uri(self.uri), self.upload_id)


def _default() -> Client:
    from s3z._api import default_client

    return default_client()
