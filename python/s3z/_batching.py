"""Many objects: a batch of the core for two clients, from its first object to its counts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from s3z import _core, _progress
from s3z._content_type import BY_EXTENSION, BYTES, TEXT
from s3z._exceptions import CredentialsError
from s3z._headers import ObjectOptions, build
from s3z._log import warn
from s3z._many_types import MOST_KEPT, Difference

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from s3z._headers import Headers
    from s3z._reading import Reading as Client

    Batch = _core.Batch
    BatchRow = _core.BatchRow
    ProgressFunction = _core.ProgressFunction
    LookRequest = _core.LookRequest

#: seconds between two events of progress
_EVERY = 0.1
_UNCONDITIONAL = "the store has no conditional writes; what was there is known from before the transfer only"


def start(source: Client, destination: Client, request: dict[str, Any]) -> Batch:
    """Begin a batch; it runs by itself, as long as its outcomes are taken."""
    return _core.start_batch(source._native(), destination._native(), request)


def object_words(options: ObjectOptions, more: Headers) -> dict[str, Any]:
    """Headers and content types of new objects, in the words of the core.

    Raises:
        ConfigError: a value cannot be a header.
    """
    return {
        "headers": build(options, more),
        "types": BY_EXTENSION,
        "text_type": TEXT,
        "bytes_type": BYTES,
    }


def usual_checksum(client: Client) -> str | None:
    """The checksum that new objects get where none is named."""
    return "crc64nvme" if client._settings.request_checksum_calculation.value == "when_supported" else None


def look(client: Client, request: LookRequest) -> Iterator[tuple[bytes, int]]:
    """Finished lines of a listing, and how many rows they are."""
    found = _core.start_look(client._native(), request)
    while (piece := found.next()) is not None:
        yield piece


def look_sums(client: Client, request: LookRequest) -> list[tuple[str, int, int]]:
    """Storage class, objects and bytes of a listing."""
    return _core.look_sums(client._native(), request)


class Course:
    """One call, which is one batch or several after each other: its progress, its failures, its counts.

    Args:
        progress: as the caller gave it.
        name: what a bar says is moving.

    Attributes:
        counts: of the core, of all batches.
        failures: the first of them.
        broken: what ended it as a whole, such as a listing that failed.
        refused: why nothing was deleted, though nothing had failed: `not_found` (an empty source), `delete_limit`.
        differences: the first names that a comparison found to differ.
        report: of the last transfer, if that is told.
    """

    def __init__(self, progress: Any, name: str) -> None:
        self.counts: dict[str, int] = {}
        self.failures: list[Exception] = []
        self.broken: Exception | None = None
        self.refused: str | None = None
        self.differences: list[Difference] = []
        self.report: _core.TransferReport | None = None
        self._began = time.monotonic()
        self._watcher = _progress.watch(progress, name)
        self._told = self._began
        self._last: tuple[int, int, int | None, int, int | None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._watcher is not None:
            self._watcher.close()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began

    def run(self, source: Client, destination: Client, request: dict[str, Any]) -> None:
        """Carry out one batch. Whatever interrupts it stops it first, and waits for its clean-up.

        Raises:
            CredentialsError: there are no keys, or they expired and cannot be renewed; everything was stopped.
        """
        batch = start(source, destination, {**request, "names_failures": True})
        show = None if self._watcher is None else self._paced(batch, request["operation"])
        try:
            while (row := batch.next(show)) is not None:
                self._take(row)
        except BaseException:
            batch.stop()
            while batch.next() is not None:
                pass
            raise
        for name, count in batch.counts().items():
            self.counts[name] = self.counts.get(name, 0) + count
        self.report = batch.report()
        for failure in self.failures:
            if isinstance(failure, CredentialsError):
                raise failure
        if self.counts["unconditional"]:
            warn(_UNCONDITIONAL)

    def finish(self) -> None:
        """The last event. If all went well, what is there now is all there was to do."""
        if self._watcher is None:
            return
        counts = self.counts
        if counts["failed"]:
            if self._last is not None:
                self._watcher(*self._last)
            return
        objects = sum(counts[name] for name in ("done", "skipped", "deleted", "differs"))
        self._watcher.finish(counts["transferred"] + counts["resumed"], objects)

    def _paced(self, batch: Batch, operation: str) -> ProgressFunction:
        watcher = self._watcher
        assert watcher is not None
        before = self.counts.get("deleted", 0)

        def show(received: int, durable: int, total: int | None, objects: int, objects_total: int | None) -> None:
            if operation == "rm":
                objects, objects_total = before + batch.counts()["deleted"], None
            self._last = (received, durable, total, objects, objects_total)
            now = time.monotonic()
            if now - self._told >= _EVERY:
                self._told = now
                watcher(*self._last)

        return show

    def _take(self, row: BatchRow) -> None:
        _, failures, differences = row
        for _, source, destination, error, kind in failures:
            # What is wrong at the destination names that.
            names_none = not source and not destination
            if names_none and kind is None:
                self.broken = self.broken or error
            elif names_none:
                self.refused = kind
            if len(self.failures) < MOST_KEPT or isinstance(error, CredentialsError):
                self.failures.append(error)
        room = MOST_KEPT - len(self.differences)
        for name, kind in differences[: max(room, 0)]:
            self.differences.append(Difference(name.decode("utf-8", "surrogateescape"), kind))
