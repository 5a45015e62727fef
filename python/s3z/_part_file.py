"""`PartFile`: a local file put together from parts that are written in any order, by any thread."""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from s3z import _core, _paths
from s3z._exceptions import ConfigError
from s3z._parts import PartInfo, PartState
from s3z._writer import flat

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_STATES = (PartState.PENDING, PartState.IN_PROGRESS, PartState.COMPLETE, PartState.FAILED)
_PART = 8 << 20


@dataclass(frozen=True, slots=True)
class PartFileResult:
    """A file that was put together.

    Attributes:
        path: where it is.
        total_bytes: its length.
        part_count: of how many parts.
        etags: of the parts, by their numbers, as far as any were said.
        resumed_bytes: what an earlier process had written.
    """

    path: str
    total_bytes: int
    part_count: int
    etags: dict[int, str]
    resumed_bytes: int


class PartFile:
    """A file of known size, hidden until all its parts are written and it is published.

    Each part is written once, whole. Opened again after a crash or `close()`, with the same size and part size, it has
    the parts that were written, each compared with its checksum before it counts.

    Args:
        path: the file to be made; missing parents are made.
        size: its bytes, at least one.
        part_size: bytes of all parts but the last.
        overwrite: whether a file of that name is replaced.
        durable: whether file and directory are synced to the disk by `publish`.

    Raises:
        ConfigError: the sizes make no plan.
        FileExistsError: `overwrite=False` and there is such a file.
        OSError: the file cannot be made.

    Example:
        >>> with s3z.PartFile("assembled.bin", 10, part_size=4) as file:
        ...     for number in (3, 1, 2):
        ...         start, stop = file.part_range(number)
        ...         file.write_part(number, bytes(stop - start))
        ...     file.publish().part_count
        3
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: int,
        *,
        part_size: int = _PART,
        overwrite: bool = True,
        durable: bool = False,
    ) -> None:
        if size < 1 or part_size < 1:
            raise ConfigError("a part file has at least one byte, and parts of at least one byte")
        from s3z._api import default_client

        self.path = _paths.local_path(path, "path")
        self.size = size
        self.part_size = part_size
        self._etags: dict[int, str] = {}
        self._lock = threading.Lock()
        self._core: _core.PartFile | None = _core.open_part_file(
            default_client()._native(), os.fsencode(self.path), (size, part_size), overwrite, durable
        )

    def __repr__(self) -> str:
        state = "closed" if self._core is None else f"{self.completed_count} of {self.part_count} parts"
        return f"<s3z.PartFile {self.path} {state}>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a PartFile cannot be pickled: it belongs to its process")

    @property
    def part_count(self) -> int:
        """How many parts the plan has."""
        return -(-self.size // self.part_size)

    @property
    def completed_count(self) -> int:
        """How many parts are in the file."""
        return sum(part.state is PartState.COMPLETE for part in self.parts())

    @property
    def is_complete(self) -> bool:
        """Whether all parts are in the file."""
        return self.completed_count == self.part_count

    @property
    def resumed_bytes(self) -> int:
        """What an earlier process had written."""
        return self._open().states()[1]

    def plan(self) -> list[tuple[int, int]]:
        """The half-open byte ranges of all parts, the first one being that of part 1."""
        return [self.part_range(number) for number in range(1, self.part_count + 1)]

    def part_range(self, number: int) -> tuple[int, int]:
        """The half-open byte range of one part.

        Args:
            number: from 1.

        Raises:
            ValueError: there is no such part.
        """
        if not 1 <= number <= self.part_count:
            raise ValueError(f"the plan has parts 1 to {self.part_count}, not {number}")
        start = (number - 1) * self.part_size
        return start, min(start + self.part_size, self.size)

    def parts(self) -> list[PartInfo]:
        """All parts in order, each with its state and the ETag that was said of it."""
        states, _ = self._open().states()
        with self._lock:
            etags = dict(self._etags)
        return [
            PartInfo(number, stop - start, _STATES[state], etags.get(number))
            for number, (state, (start, stop)) in enumerate(zip(states, self.plan(), strict=True), 1)
        ]

    def write_part(self, number: int, data: Any, etag: str | None = None) -> None:
        """Write one part, whole. Any thread may, while others write theirs.

        Args:
            number: from 1.
            data: bytes-like and contiguous, as long as the plan says.
            etag: noted for the result.

        Raises:
            ValueError: there is no such part, the length is another one, or it was written before.
            OSError: it could not be written. Open the file again to go on.
        """
        core = self._open()
        line = flat(data)
        if not 0 < number < 1 << 32:
            raise ValueError(f"the plan has parts 1 to {self.part_count}, not {number}")
        core.write_part(number, line)
        if etag is not None:
            self.set_part_etag(number, etag)

    def set_part_etag(self, number: int, etag: str) -> None:
        """Note the ETag of a part, for the result. It is not kept over a crash.

        Args:
            number: from 1.
            etag: with or without quotation marks.

        Raises:
            ValueError: there is no such part.
        """
        self.part_range(number)
        with self._lock:
            self._etags[number] = etag.strip('"')

    def publish(self) -> PartFileResult:
        """Give the file its name.

        Returns:
            What was put together.

        Raises:
            ConfigError: a part is missing; the message names it. It stays open.
            OSError: the file could not be renamed or synced.
        """
        resumed = self.resumed_bytes
        self._open().publish()
        self._core = None
        return PartFileResult(self.path, self.size, self.part_count, dict(self._etags), resumed)

    def close(self) -> None:
        """End it and keep what is written for a later one. After `publish` it does nothing."""
        self._end(keep=True)

    def abort(self) -> None:
        """End it and remove what is written. After `publish` it does nothing."""
        self._end(keep=False)

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_core", None) is not None:
            with contextlib.suppress(Exception):  # nobody is left to tell
                self.close()

    def _open(self) -> _core.PartFile:
        if self._core is None:
            raise ValueError("the part file is closed")
        return self._core

    def _end(self, *, keep: bool) -> None:
        core, self._core = self._core, None
        if core is not None:
            core.close(keep)
