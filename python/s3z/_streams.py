"""Objects read in order or at any place: `ByteStream`, `ObjectReader`, and what opens them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from s3z import _core, _progress
from s3z._config import check_part_size, one_of
from s3z._exceptions import ConfigError, S3zError
from s3z._transfers import common, moment, object_uri
from s3z._types import DownloadResult, StreamResult
from s3z._units import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from _typeshed import WriteableBuffer

CHUNK = MIB
#: of the reader's own buffer: what small reads are served from without a call into the core
_BUFFERED = 128 << 10


class ReadOptions(TypedDict, total=False):
    """What may be said of a read; see `Client.stream`."""

    start: int | None
    stop: int | None
    version_id: str | None
    if_match: str | None
    verify: str
    part_size: int | None
    max_concurrency: int | None
    deadline: float | None


class ByteStream:
    r"""The bytes of an object, or of a range of it, in order; made by `s3z.stream`.

    An iterator of `bytes`, and a context manager that closes. Parts are fetched in parallel, at most as many as the
    share of `memory_limit` holds; a reader that pauses stops the requests, and closing cancels them.

    Attributes:
        uri: of the object.
        size: bytes it gives in all; None where only the end will tell.
        etag: of the version that is read.
        version_id: of a versioned bucket.
        result: what was given and what was proved about it, once the last chunk was; before that None.

    Example:
        >>> with s3z.stream("s3://examples/hello.txt") as stream:
        ...     print(b"".join(stream))
        b'hello\n'
    """

    def __init__(self, opened: tuple[_core.Stream, _core.ObjectFacts], uri: str, chunk_size: int, watcher: Any) -> None:
        self._core, facts = opened
        self.uri = uri
        self.size = facts["size"]
        self.etag = None if facts["etag"] is None else facts["etag"].strip('"')
        self.version_id = facts["version_id"]
        self.result: StreamResult | None = None
        self._chunk_size = chunk_size
        self._watcher = watcher
        self._closed = False
        self._failure: BaseException | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """The next chunk.

        Raises:
            ValueError: the stream is closed.
            IntegrityError: the bytes, all of which were given, are not what the store holds the checksum of.
            ObjectChangedError: another version appeared.
            S3zError: the rest could not be read; the text says how much was given.
        """
        if self._closed:
            raise ValueError("the stream is closed")
        if self.result is not None:
            raise StopIteration
        if self._failure is not None:
            failure, self._failure = self._failure, None
            self.close()
            raise failure
        try:
            chunk = self._core.take(self._chunk_size)
        except BaseException:
            self.close()
            raise
        if len(chunk) < self._chunk_size:
            try:
                self._end()
            except BaseException as error:
                if not chunk or not isinstance(error, S3zError):
                    self.close()
                    raise
                self._failure = error  # behind the last byte
        if not chunk:
            raise StopIteration
        return chunk

    def _end(self) -> None:
        report = self._core.report()
        if report is None:
            # What was given is whole, but its end was not looked at yet.
            self._core.take(1)
            report = self._core.report()
        assert report is not None
        words = common(report)
        del words["resumed_bytes"]
        self.result = StreamResult(uri=self.uri, **words)
        if self._watcher is not None:
            self._watcher.finish(report["bytes"])
            self._watcher.close()

    def close(self) -> None:
        """Cancel what is under way. Closing twice does nothing."""
        if not self._closed:
            self._closed = True
            self._core.close()
            if self._watcher is not None:
                self._watcher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "ended" if self.result is not None else "open"
        return f"<ByteStream {self.uri!r} {state}>"


class ObjectReader(io.RawIOBase):
    """An object open for reading at any place; made by `s3z.open`, which wraps it into an `io.BufferedReader`.

    Reads that follow each other are read ahead, more and more, in parallel; others fetch what they ask for. The
    version is the one that was there when it was opened.

    Attributes:
        name: the URI.
        size: bytes of the object.
        etag: of the version that is read.
        version_id: of a versioned bucket.
    """

    def __init__(self, opened: tuple[_core.Reader, _core.ObjectFacts], uri: str) -> None:
        super().__init__()
        self._core: _core.Reader | None
        self._core, facts = opened
        self.name = uri
        self.size = facts["size"] or 0
        self.etag = None if facts["etag"] is None else facts["etag"].strip('"')
        self.version_id = facts["version_id"]
        self._at = 0

    mode = "rb"

    def _open(self) -> _core.Reader:
        if self._core is None:
            raise ValueError("I/O operation on closed file.")
        return self._core

    def readable(self) -> bool:
        """True."""
        self._open()
        return True

    def seekable(self) -> bool:
        """True."""
        self._open()
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill `buffer` from where the reader stands; how many bytes, fewer than asked for only at the end.

        Args:
            buffer: writable and contiguous.

        Raises:
            ValueError: the reader is closed.
            ObjectChangedError: the object is another one than was opened.
            S3zError: it could not be read.
        """
        core = self._open()
        view = memoryview(buffer)
        read = core.read_into(self._at, view if view.format == "B" and view.ndim == 1 else view.cast("B"))
        self._at += read
        return read

    def readall(self) -> bytes:
        """All that is left."""
        rest = self._open().read_rest(self._at)
        self._at += len(rest)
        return rest

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Stand somewhere else; where that is.

        Args:
            offset: bytes, of which kind `whence` says.
            whence: from the beginning (0), from here (1) or from the end (2).

        Raises:
            ValueError: before the beginning, or another `whence`.
        """
        self._open()
        if whence not in (io.SEEK_SET, io.SEEK_CUR, io.SEEK_END):
            raise ValueError(f"invalid whence ({whence}, should be 0, 1 or 2)")
        at = (0, self._at, self.size)[whence] + offset
        if at < 0:
            raise ValueError(f"negative seek position {at}")
        self._at = at
        return at

    def tell(self) -> int:
        """Where the reader stands."""
        self._open()
        return self._at

    def close(self) -> None:
        """Let go of what was read ahead."""
        self._core = None
        super().close()

    def __repr__(self) -> str:
        return f"<ObjectReader {self.name!r}{' closed' if self.closed else ''}>"


def core_words(options: ReadOptions) -> _core.ReadOptions:
    """The words of the core, checked.

    Raises:
        ConfigError: a value is out of range.
    """
    check_part_size(options.get("part_size"))
    start, stop = options.get("start"), options.get("stop")
    for name, value in (("start", start), ("stop", stop)):
        if value is not None and (isinstance(value, bool) or not hasattr(value, "__index__") or value < 0):
            raise ConfigError(f"{name} must be a number of bytes from the beginning, not {value!r}")
    if start is not None and stop is not None and stop < start:
        raise ConfigError(f"stop ({stop}) is before start ({start})")
    chosen: Any = dict(options)
    chosen["verify"] = one_of("auto", "require", "off")(options.get("verify", "auto"), "verify")
    return chosen  # type: ignore[no-any-return]


def stream(core: _core.Client, uri: str, chunk_size: int | None, options: ReadOptions, progress: Any) -> ByteStream:
    """See `Client.stream`."""
    bucket, key = object_uri(uri)
    if chunk_size is not None and chunk_size < 1:
        raise ConfigError(f"chunk_size must be at least 1, not {chunk_size!r}")
    words = core_words(options)
    watcher = _progress.watch(progress, uri)
    try:
        opened = _core.open_stream(core, bucket, key, words, watcher)
    except BaseException:
        if watcher is not None:
            watcher.close()
        raise
    return ByteStream(opened, uri, chunk_size or CHUNK, watcher)


def open_reader(core: _core.Client, uri: str, buffering: int, options: ReadOptions) -> io.BufferedReader | ObjectReader:
    """See `Client.open`.

    Raises:
        ValueError: `buffering` is 1 or negative.
    """
    if buffering < -1 or buffering == 1:
        raise ValueError("buffering must be 0 for none, or a number of bytes above 1")
    bucket, key = object_uri(uri)
    raw = ObjectReader(_core.open_reader(core, bucket, key, core_words(options)), uri)
    return raw if buffering == 0 else io.BufferedReader(raw, _BUFFERED if buffering == -1 else buffering)


class Catenated(NamedTuple):
    """What became of objects that were written one behind the other.

    Attributes:
        done: how many were written whole.
        written: bytes, also of the one that was not.
        ends_line: whether what comes next begins a line.
        last: what is known of the last one.
        error: what ended it early; a BrokenPipeError if nobody reads any more.
    """

    done: int
    written: int
    ends_line: bool
    last: DownloadResult | None
    error: BaseException | None


def cat(
    core: _core.Client, objects: list[tuple[str, str]], words: _core.ReadOptions, descriptor: int, progress: Any
) -> Catenated:
    """Write objects, each a bucket and a key, to an open descriptor, one behind the other.

    Raises:
        OSError: there is no such descriptor, or nothing can be written to it.
    """
    watcher = _progress.watch(progress, objects[0][1])
    try:
        done, written, ends_line, report, error = _core.cat_objects(
            core, objects, words, descriptor, "<stdout>", watcher
        )
    finally:
        if watcher is not None:
            watcher.close()
    last = None
    if report is not None:
        modified, storage_class = moment(report["last_modified"]), report["storage_class"]
        last = DownloadResult(path="-", **common(report), last_modified=modified, storage_class=storage_class)
    return Catenated(done, written, ends_line, last, error)
