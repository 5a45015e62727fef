"""Writers: objects and local files that are written piece by piece and exist only once they are closed cleanly."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Self

    from s3z import _core
    from s3z._progress import Watcher
    from s3z._types import UploadResult

#: bytes asked of a file object at a time: what fills a part is sent without a copy
CHUNK = 8 << 20


class ObjectWriter(io.BufferedIOBase):
    r"""A binary file open for writing: an object of a bucket, or a local file.

    Bytes leave while more are written, in parts. Only `close()` or a clean end of `with` makes the object. An
    exception in the `with` block, `abort()`, a collected writer and the end of the interpreter leave nothing behind.

    Attributes:
        name: the `s3://` URI or the path.
        result: an `UploadResult` once it is closed, else None.

    Example:
        >>> with s3z.open("s3://examples/numbers.txt", "wb") as file:
        ...     for number in range(3):
        ...         _ = file.write(b"%d\n" % number)
        >>> file.result.bytes
        6
    """

    def __init__(
        self,
        core: _core.Writer,
        name: str,
        result: Callable[[_core.TransferReport], UploadResult],
        watcher: Watcher | None,
    ) -> None:
        self.name = name
        self.result: UploadResult | None = None
        self._core: _core.Writer | None = core
        self._make_result = result
        self._watcher = watcher
        self._written = 0
        self._failure: BaseException | None = None

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{self._written} bytes written"
        return f"<s3z.ObjectWriter {self.name} {state}>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a writer cannot be pickled: it belongs to its process")

    @property
    def bytes_written(self) -> int:
        """Bytes that were taken."""
        return self._written

    @property
    def mode(self) -> str:
        """Always `wb`."""
        return "wb"

    def writable(self) -> bool:
        """Whether bytes may be written, which is as long as it is open."""
        self._open()
        return True

    def tell(self) -> int:
        """Bytes that were taken: the position in the object."""
        self._open()
        return self._written

    def flush(self) -> None:
        """Nothing: parts leave as they fill, and what is less than a part cannot leave yet."""

    def write(self, data: Any, /) -> int:
        """Take all of the data, or raise.

        Args:
            data: bytes-like and contiguous. `bytes` are not copied where they fill parts.

        Returns:
            Its length in bytes.

        Raises:
            S3zError: a part could not be stored; so will be said again by every later call.
            ValueError: the writer is closed.
            TypeError: it is text, or nothing bytes-like.
        """
        core = self._open()
        if type(data) is not bytes:
            if memoryview(data).nbytes == 0:
                return 0
            data = flat(data)
        try:
            taken = core.write(data)
        except BaseException as error:
            self._failed(error)
            raise
        self._written += taken
        return taken

    def close(self) -> None:
        """Make the object, of all bytes that were taken. A second call does nothing.

        Raises:
            S3zError: the object could not be stored. Nothing is left of it, or the exception has the `upload_id`.
            OSError: the local file could not be written.
        """
        if self.closed:
            return
        core, failure = self._core, self._failure
        try:
            if failure is not None:
                raise failure
            if core is not None:
                report = core.close()
                self.result = self._make_result(report)
                if self._watcher is not None:
                    self._watcher.finish(report["bytes"])
        except BaseException:
            self._give_up()
            raise
        finally:
            self._end()

    def abort(self) -> None:
        """Give up: no object appears, and what was sent is removed. A second call does nothing.

        Raises:
            S3zError: the parts that were sent could not be removed; it has the `upload_id`.
        """
        if self.closed:
            return
        try:
            if self._core is not None:
                self._core.abort()
        finally:
            self._end()

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
            return
        try:
            self.abort()
        except Exception as left:  # the first error is the one that counts; it says what the abort could not do
            if error is not None:
                error.add_note(_left(left))

    def __del__(self) -> None:
        if getattr(self, "_core", None) is None or self.closed:
            return
        warnings.warn(f"{self!r} was neither closed nor aborted: nothing is stored", ResourceWarning, stacklevel=1)
        with contextlib.suppress(Exception):  # nobody is left to tell
            self.abort()

    def _open(self) -> _core.Writer:
        if self._failure is not None and not self.closed:
            raise self._failure
        if self._core is None or self.closed:
            raise ValueError("the writer is closed")
        return self._core

    def _failed(self, error: BaseException) -> None:
        """Nothing can follow what was not taken; mistakes in an argument took nothing."""
        if not isinstance(error, (TypeError, BufferError)):
            self._failure = error

    def _give_up(self) -> None:
        """After a failure, which is what is told: whatever the abort says is added to it."""
        if self._core is not None:
            try:
                self._core.abort()
            except Exception as left:
                if self._failure is not None:
                    self._failure.add_note(_left(left))

    def _end(self) -> None:
        self._core = None
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
        super().close()


class TextWriter(io.TextIOWrapper):
    """Text over an `ObjectWriter`: an exception in the `with` block, or none who closes it, leaves nothing behind."""

    @property
    def result(self) -> UploadResult | None:
        """An `UploadResult` once it is closed, else None."""
        return _raw(self).result

    def abort(self) -> None:
        """Give up: no object appears."""
        _raw(self).abort()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            _raw(self).__exit__(kind, error, trace)

    def __del__(self) -> None:
        # The base class would flush and close, and so make an object of half a text.
        try:
            raw = _raw(self)
        except (AttributeError, ValueError):
            return
        raw.__del__()


def _left(error: Exception) -> str:
    """What is said beside the first error of an abort that failed."""
    upload_id = getattr(error, "upload_id", None)
    return str(error) if upload_id is None else f"{error}: its id is {upload_id}, and its parts may cost storage"


def _raw(text: TextWriter) -> ObjectWriter:
    raw: Any = text.buffer
    assert isinstance(raw, ObjectWriter)
    return raw


def feed(writer: ObjectWriter, source: Any) -> None:
    """Write all of a source.

    Args:
        writer: where to.
        source: bytes-like, a binary file object, or an iterable of bytes-like.

    Raises:
        TypeError: it is nothing of that.
    """
    if is_bytes_like(source):
        writer.write(source)
        return
    for piece in _pieces(source):
        if isinstance(piece, str):
            raise TypeError("the source gives text, not bytes: open the file in binary mode, or encode")
        writer.write(piece)


def flat(data: Any) -> bytes | memoryview:
    """What the core takes: `bytes` as they are, all else as a line of bytes.

    Raises:
        TypeError: it is text, not contiguous, or nothing bytes-like.
    """
    if type(data) is bytes:
        return data
    view = memoryview(data)
    return view if view.format == "B" and view.ndim == 1 else view.cast("B")


def is_bytes_like(source: Any) -> bool:
    """Whether it has a buffer."""
    try:
        memoryview(source).release()
    except TypeError:
        return False
    return True


def _pieces(source: Any) -> Iterable[Any]:
    read = getattr(source, "read", None)
    if read is None:
        yield from source
        return
    while True:
        piece = read(CHUNK)
        if piece is None:
            raise BlockingIOError("the source is in non-blocking mode and has nothing to give")
        if not piece:
            return
        yield piece


def length(source: Any) -> int | None:
    """How many bytes the source will give, if that can be known without reading it."""
    if isinstance(source, io.BytesIO):
        return max(source.getbuffer().nbytes - source.tell(), 0)
    if isinstance(getattr(source, "raw", source), io.FileIO):
        import os
        import stat

        status = os.fstat(source.fileno())
        if stat.S_ISREG(status.st_mode):
            return max(status.st_size - int(source.tell()), 0)
        return None
    return memoryview(source).nbytes if is_bytes_like(source) else None
