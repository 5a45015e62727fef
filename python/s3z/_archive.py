"""`Archive`: the entries of an archive, wherever it lies, listed and read one by one."""

from __future__ import annotations

import io
import os
import threading
from typing import TYPE_CHECKING, Any

from s3z import _core, _packing, _paths
from s3z._archive_reading import ArchiveIndex, EntryReader
from s3z._archive_types import ArchiveEntry, ByteRange, VerifyProblem, VerifyReport, name_text
from s3z._escape import escape
from s3z._exceptions import ArchiveError, ConfigError, IntegrityError, NotFoundError, ObjectChangedError
from s3z._packing import name_bytes
from s3z._secrecy import Hidden, forgetful

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType
    from typing import Self

    from s3z._archive_types import UnpackReport
    from s3z._client import Client
    from s3z._core import Buffer

#: of the reader's own buffer, as of objects
_BUFFERED = 128 << 10
_KINDS = {"d": "a directory", "l": "a symbolic link"}
#: core archives of a parent process: never used, and never torn down, in the child
_abandoned: list[object] = []


class Archive:
    r"""An archive that `pack` made, opened by its index: one request or two, whatever its size.

    What is read is compared with its hash first. Threads may share it, and it may be used after a fork. It pickles by
    its name, ETag and root, so that worker processes read the very same archive. An iterator of its entries; `len()` is
    how many there are, `path in archive` whether one of that name is among them. A directory's name ends in `/`.

    Args:
        archive: `s3://bucket/key`, or a path.
        client: None is that of the module functions.
        root: 32 bytes, or 64 hexadecimal digits, that the archive must have as its root. Whoever keeps them may read
            from a store that is not trusted.
        cache: whether the index of an object is kept in the user's cache directory, so that the next time there is less
            to fetch. It is checked again when it is used.

    Attributes:
        name: the URI or path.

    Raises:
        NotFoundError: there is no such object; of a file, FileNotFoundError.
        ArchiveError: it is no archive of s3z, it is damaged, or of a version that is not known.
        IntegrityError: the root is another one, or the index is not what the root says.

    Example:
        >>> _ = s3z.pack("hello.txt", "s3://examples/hello.tar.zst")
        >>> with s3z.Archive("s3://examples/hello.tar.zst") as archive:
        ...     [entry.path for entry in archive], bytes(archive.read("hello.txt"))
        (['hello.txt'], b'hello\n')
    """

    def __init__(
        self,
        archive: str | os.PathLike[str],
        *,
        client: Client | None = None,
        root: bytes | str | None = None,
        cache: bool = True,
    ) -> None:
        self._place, self.name = _packing.archive_of(archive)
        self._options = Hidden({"client": client, "cache": cache})
        self._lock = threading.Lock()
        self._closed = False
        self._pid = os.getpid()
        self._core = self._opened(_packing.root_hash(root))
        self._root = self._core.root
        self._etag = None if self._core.etag is None else self._core.etag.strip('"')

    def _opened(self, root: bytes | None) -> _core.Archive:
        cached = _paths.cache_directory() if self._options["cache"] and self._place[0] == "object" else None
        options = {"root": root, "cache_dir": None if cached is None else os.fsencode(cached)}
        return _core.Archive(self._client()._native(), self._place, options)

    def _client(self) -> Client:
        from s3z._api import default_client

        client: Client | None = self._options["client"]
        return client or default_client()

    def _native(self) -> _core.Archive:
        """That of the core, opened anew in a child process."""
        if self._closed:
            raise ValueError("the archive is closed")
        if self._pid == os.getpid():
            return self._core
        self._lock = threading.Lock()  # the parent's may have been held when it forked
        with self._lock:
            if self._pid != os.getpid():
                _abandoned.append(self._core)
                self._core = self._opened(self._root)
                self._pid = os.getpid()
            return self._core

    @property
    def root(self) -> bytes:
        """32 bytes that pin every byte of the archive."""
        return self._root

    @property
    def etag(self) -> str | None:
        """Of the object, without quotation marks; None for a file."""
        return self._etag

    @property
    def size(self) -> int:
        """Bytes of the archive."""
        return self._native().size

    @property
    def raw_bytes(self) -> int:
        """Original bytes of all files."""
        return self._native().raw_bytes

    def __len__(self) -> int:
        return self._native().entries

    def __contains__(self, path: object) -> bool:
        return isinstance(path, (str, bytes)) and self._native().find(name_bytes(path)) is not None

    def __iter__(self) -> Iterator[ArchiveEntry]:
        return self.ls()

    def ls(self, prefix: str | bytes = "") -> Iterator[ArchiveEntry]:
        """Entries whose names begin with `prefix`, in the order of their names, fetched as they are asked for.

        Args:
            prefix: compared byte by byte: write the `/`.

        Raises:
            IntegrityError: the index is damaged; while iterating, like all that the store says.
        """
        return _entries(self._native().list(name_bytes(prefix)))

    def find(self, path: str | bytes) -> ArchiveEntry | None:
        """The entry of that name, None if there is none.

        Args:
            path: its name; a directory's ends in `/`.
        """
        row = self._native().find(name_bytes(path))
        return None if row is None else _entry(row)

    def read(
        self,
        path: str | bytes,
        start: int | None = None,
        stop: int | None = None,
        *,
        verify: bool = True,
        allow_incomplete: bool = False,
    ) -> Buffer:
        """A file, or a range of it, in memory. Only what holds it is fetched.

        Args:
            path: its name.
            start: the first byte; None is the beginning.
            stop: the byte behind the last; None is the end, what goes beyond it is cut.
            verify: whether each slice is fetched whole and compared with its hash. False fetches fewer bytes of files
                that are stored as they are.
            allow_incomplete: whether a file is read that changed, or was cut short, while it was packed.

        Returns:
            Memory that nothing changes any more: `bytes(b)`, `memoryview(b)`, `numpy.frombuffer(b, …)` without a copy.

        Raises:
            NotFoundError: no such entry.
            ArchiveError: it is no file, or it is damaged.
            IntegrityError: the bytes are not those that were packed.
            ObjectChangedError: the archive is another one by now.
        """
        for what, value in (("start", start), ("stop", stop)):
            if value is not None and (isinstance(value, bool) or not hasattr(value, "__index__") or value < 0):
                raise ConfigError(f"{what} must be a number of bytes from the beginning, not {value!r}")
        if start is not None and stop is not None and stop < start:
            raise ConfigError(f"stop ({stop}) is before start ({start})")
        return self._native().read(name_bytes(path), start, stop, verify, allow_incomplete)

    def read_many(self, paths: Iterable[str | bytes]) -> list[Buffer]:
        """Several files in memory. What they share, and what lies close together, is fetched once.

        Args:
            paths: their names.

        Returns:
            A `Buffer` for each, in the same order.

        Raises:
            NotFoundError: one of them is not there.
            IntegrityError: the bytes are not those that were packed.
        """
        return self._native().read_many([name_bytes(path) for path in paths])

    def open(self, path: str | bytes) -> io.BufferedReader:
        """A file of the archive as a binary file: seekable, fetched slice by slice.

        Args:
            path: its name.

        Returns:
            An `io.BufferedReader` over an `EntryReader`.

        Raises:
            NotFoundError: no such entry.
            ArchiveError: it is no file.
        """
        entry = self.find(path)
        if entry is None:
            raise NotFoundError(f'there is no entry "{escape(name_text(name_bytes(path)))}" in "{escape(self.name)}"')
        if entry.kind in _KINDS:
            raise ArchiveError(f'"{escape(entry.path)}" is {_KINDS[entry.kind]}, not a file')
        return io.BufferedReader(EntryReader(self, entry), _BUFFERED)

    def extract(
        self, prefix: str | bytes, destination: str | os.PathLike[str], *, progress: Any = None, **options: Any
    ) -> UnpackReport:
        """Make the files of a part of the archive.

        Args:
            prefix: entries whose names begin with this, byte by byte; empty for all.
            destination: a directory, which is made if there is none.
            progress: None, True, a callable, a tqdm or rich object, an fsspec Callback (see `s3z._progress`).
            options: the other words of `unpack`.

        Returns:
            What was made, and what was left out.

        Raises:
            BatchError: some entries could not be unpacked; the others are done.
            ArchiveError: the archive is unsafe, or too large.
        """
        if self._closed:
            raise ValueError("the archive is closed")
        path: Any = self.name
        return self._client().unpack(path, destination, prefix=prefix, root=self._root, progress=progress, **options)

    def verify(self, level: str | float = "full", *, progress: Any = None) -> VerifyReport:
        """Look through the archive, and compare everything with what it has to be.

        Args:
            level: `full`, every byte; `index`, all but the data; or a fraction of the frames from 0 to 1, and the
                index. The same fraction picks the same frames each time.
            progress: None, True, a callable, a tqdm or rich object, an fsspec Callback (see `s3z._progress`).

        Returns:
            How much was looked at.

        Raises:
            IntegrityError: something is wrong; `report` has all of it.
            ConfigError: there is no such level.
        """
        fraction = None
        if not isinstance(level, str):
            fraction, level = float(level), "sample"
            if not 0 < fraction <= 1:
                raise ConfigError(f"a fraction is above 0 and at most 1, not {fraction}")
        elif level not in ("full", "index"):
            raise ConfigError(f'level must be "full", "index" or a fraction, not "{level}"')
        core = self._native()
        found = _packing.watched_entries(
            progress,
            self.name,
            lambda watcher: core.verify(level, fraction, watcher),
            lambda report: (report["bytes"], report["entries"]),
        )
        problems = tuple(
            VerifyProblem(None if name is None else name_text(name), offset, what)
            for name, offset, what in found["problems"]
        )
        report = VerifyReport(level, found["frames"], found["entries"], found["bytes"], problems)
        if problems:
            more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
            error = IntegrityError(f'"{escape(self.name)}" is damaged: {problems[0]}{more}')
            error.report = report
            raise error
        return report

    def index(self) -> ArchiveIndex:
        """The index as a table: `pyarrow.table(archive.index())`, `polars.DataFrame(…)`, and duckdb take it.

        It has a row for each slice of each file. None of these packages is needed for anything else.
        """
        return ArchiveIndex(self._native())

    def range_of(self, path: str | bytes) -> ByteRange | None:
        """Where a file lies, if its bytes are in the archive as they are, in one piece; None if they are not.

        Args:
            path: its name.

        Raises:
            NotFoundError: no such entry.
        """
        found = self._native().range_of(name_bytes(path))
        return None if found is None else ByteRange(*found)

    def close(self) -> None:
        """Let go of the index. Closing twice does nothing."""
        if not self._closed:
            self._closed = True
            if self._pid == os.getpid():
                self._core.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = " closed" if self._closed else ""
        return f"<s3z.Archive {escape(self.name)!r}{state}>"

    def __reduce__(self) -> tuple[object, ...]:
        if self._place[0] == "object":
            return _rebuild, (self.name, self._options["client"], self._root, self._options["cache"], self._etag)
        # A file needs no keys, whatever the client has.
        return _rebuild, (os.path.abspath(self.name), None, self._root, self._options["cache"], None)  # noqa: PTH100


def _rebuild(name: str, client: Client | None, root: bytes, cache: bool, etag: str | None) -> Archive:
    archive = Archive(name, client=client, root=root, cache=cache)
    if etag is not None and archive.etag != etag:
        raise ObjectChangedError(f'"{escape(name)}" is another object than the one that was pickled')
    return archive


def _entry(row: _core.EntryRow) -> ArchiveEntry:
    name, kind, size, mode, mtime_ns, link, stored, checksum, flags = row
    target = None if link is None else name_text(link)
    return ArchiveEntry(name_text(name), name, kind, size, mode, mtime_ns, target, stored, checksum, flags)


def _entries(pages: _core.EntryPages) -> Iterator[ArchiveEntry]:
    while (page := pages.next()) is not None:
        yield from map(_entry, page)


for _name in ("__init__", "ls", "find", "read", "read_many", "open", "extract", "verify", "range_of"):
    setattr(Archive, _name, forgetful(getattr(Archive, _name)))
