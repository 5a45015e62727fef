"""What an archive opens: a file of it, to be read at any place, and its index, for whatever speaks Arrow."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from s3z import _core
    from s3z._archive import Archive
    from s3z._archive_types import ArchiveEntry
    from s3z._core import Buffer

#: of the largest slice: what a reader fetches at a time, so that no slice is fetched twice
_BLOCK = 4 << 20


class ArchiveIndex:
    """The index of an archive, for whatever speaks Arrow; made by `Archive.index`.

    It can be asked more than once, and outlives the archive's `with`.
    """

    def __init__(self, core: _core.Archive) -> None:
        self._core = core

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """A PyCapsule of record batches; see the Arrow PyCapsule interface."""
        return self._core.index_stream()

    def ipc(self) -> Buffer:
        """All of it as one Arrow IPC file."""
        return self._core.index_file()

    def __repr__(self) -> str:
        return f"<ArchiveIndex, {self._core.rows} rows>"


class EntryReader(io.RawIOBase):
    """A file of an archive, open for reading at any place; made by `Archive.open`, which wraps it.

    Attributes:
        name: of the entry.
        size: bytes of the file.
    """

    mode = "rb"

    def __init__(self, archive: Archive, entry: ArchiveEntry) -> None:
        super().__init__()
        self.name = entry.path
        self.size = entry.size
        self._archive = archive
        self._path = entry.path_bytes
        self._at = 0
        self._block: tuple[int, memoryview] | None = None

    def _check(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file.")

    def readable(self) -> bool:
        """True."""
        self._check()
        return True

    def seekable(self) -> bool:
        """True."""
        self._check()
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill `buffer` from where the reader stands, at most to the end of a block; how many bytes.

        Args:
            buffer: writable and contiguous.

        Raises:
            ValueError: the reader or its archive is closed.
            IntegrityError: the bytes are not those that were packed.
        """
        self._check()
        if self._at >= self.size:
            return 0
        number, inner = divmod(self._at, _BLOCK)
        if self._block is None or self._block[0] != number:
            self._block = None  # before the next one takes its memory
            stop = min((number + 1) * _BLOCK, self.size)
            self._block = number, memoryview(self._archive.read(self._path, number * _BLOCK, stop))
        view = memoryview(buffer).cast("B")
        piece = self._block[1][inner : inner + len(view)]
        view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Stand somewhere else; where that is.

        Args:
            offset: bytes, of which kind `whence` says.
            whence: from the beginning (0), from here (1) or from the end (2).

        Raises:
            ValueError: before the beginning, or another `whence`.
        """
        self._check()
        if whence not in (io.SEEK_SET, io.SEEK_CUR, io.SEEK_END):
            raise ValueError(f"invalid whence ({whence}, should be 0, 1 or 2)")
        at = (0, self._at, self.size)[whence] + offset
        if at < 0:
            raise ValueError(f"negative seek position {at}")
        self._at = at
        return at

    def tell(self) -> int:
        """Where the reader stands."""
        self._check()
        return self._at

    def close(self) -> None:
        """Let go of what was read ahead."""
        self._block = None
        super().close()

    def __repr__(self) -> str:
        return f"<EntryReader {self.name!r}{' closed' if self.closed else ''}>"
