"""What calls about many objects return, and those that copy or move one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from s3z._escape import escape
from s3z._types import Verification, html_table, rate_text
from s3z._units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

#: failures, or differences, that a result keeps; the counts are of all
MOST_KEPT = 1000


@dataclass(frozen=True, slots=True, repr=False)
class CopyResult:
    """One object, or one file, that is now at another place: what `copy` and `move` return.

    Attributes:
        source: where it was, and after `copy` still is: a URI or a path.
        destination: where it is now: a URI or a path.
        bytes: its size in bytes.
        seconds: wall-clock time of the transfer.
        etag: of the object at the store, without quotation marks.
        version_id: of the new object, on buckets that keep versions; of a download, that of the source.
        parts: parts of the copy or upload, or ranges of the download; 1 for a single request.
        attempts: requests sent for the bytes, retries included.
        resumed_bytes: bytes that an earlier, interrupted call had left.
        verified: what was proved about the content. Of a copy that the store made, only the length.
        last_modified: of an object that was downloaded, UTC.
    """

    source: str
    destination: str
    bytes: int
    seconds: float
    etag: str | None
    version_id: str | None
    parts: int
    attempts: int
    resumed_bytes: int
    verified: Verification
    last_modified: datetime | None = None

    def __repr__(self) -> str:
        return (
            f"CopyResult({escape(self.source)!r}, {escape(self.destination)!r}, {human_size(self.bytes)}, "
            f"{self.seconds:.2f}s, {rate_text(self.bytes, self.seconds)}, verified={escape(str(self.verified))})"
        )

    def _repr_html_(self) -> str:
        return html_table(self, "Copy")


@dataclass(frozen=True, slots=True, repr=False)
class BatchResult:
    """What became of many objects. Memory does not grow with their number: successes are only counted.

    Attributes:
        source: a URI or a directory; None where single objects were named.
        destination: likewise; None where there is none.
        done: objects transferred, or removed; with `dry_run`, that would have been.
        skipped: objects left alone on purpose, such as those that were there already.
        failed: how many could not be done.
        bytes: bytes transferred, without those that an earlier call had left.
        resumed_bytes: bytes that an earlier, interrupted call had left.
        seconds: wall-clock time of the call.
        verified: of the objects done, how many were proved how: `full_object`, `parts`, `length` (see `Verification`).
        failures: the first 1000 exceptions, each naming its object or file; `failed` counts all.
        dry_run: whether nothing was really done.
    """

    source: str | None
    destination: str | None
    done: int
    skipped: int
    failed: int
    bytes: int
    resumed_bytes: int
    seconds: float
    verified: Mapping[str, int] = field(default_factory=dict)
    failures: tuple[Exception, ...] = ()
    dry_run: bool = False

    def __repr__(self) -> str:
        return f"BatchResult({self._shown()})"

    def _shown(self) -> str:
        places = [escape(place) for place in (self.source, self.destination) if place is not None]
        rate = rate_text(self.bytes, self.seconds) if self.bytes else None
        counts = [
            f"{self.done} done",
            f"{self.skipped} skipped" if self.skipped else None,
            f"{self.failed} failed" if self.failed else None,
            *self._more(),
            human_size(self.bytes) if self.bytes else None,
            f"{self.seconds:.2f}s",
            rate,
            "dry run" if self.dry_run else None,
        ]
        return ", ".join([*map(repr, places), *(each for each in counts if each)])

    def _more(self) -> tuple[str | None, ...]:
        return ()

    def _repr_html_(self) -> str:
        return html_table(self, "Batch")


@dataclass(frozen=True, slots=True, repr=False)
class SyncResult(BatchResult):
    """What a sync did; the attributes of `BatchResult`, and those of its deletions.

    Attributes:
        deleted: objects or files of the destination that were removed, or with `dry_run` would have been.
        held_back: how many would have been, had not something failed before, or `max_delete` been less.
    """

    deleted: int = 0
    held_back: int = 0

    def __repr__(self) -> str:
        return f"SyncResult({self._shown()})"

    def _more(self) -> tuple[str | None, ...]:
        return (
            f"{self.deleted} deleted" if self.deleted else None,
            f"{self.held_back} held back" if self.held_back else None,
        )

    def _repr_html_(self) -> str:
        return html_table(self, "Sync")


class Difference(NamedTuple):
    """A name that a comparison found to differ.

    Attributes:
        name: relative to the two sides.
        kind: `differs`; `source_only` or `destination_only`; `unproven`: of the same size, and nothing tells more.
    """

    name: str
    kind: str

    def __str__(self) -> str:
        return f"{escape(self.name)} ({self.kind})"


@dataclass(frozen=True, slots=True, repr=False)
class VerifyResult:
    """What a comparison found. Nothing was written.

    Attributes:
        source: the first side, a URI or a path.
        destination: the second.
        same: names whose content is the same on both sides.
        differing: names whose content, or only size, differs.
        source_only: names that only the first side has.
        destination_only: names that only the second side has.
        unproven: names of the same size, of which no checksum tells more.
        failed: names that could not be compared.
        seconds: wall-clock time of the call.
        differences: the first 1000 of them; the counts are of all.
        failures: the first 1000 exceptions; `failed` counts all.
    """

    source: str
    destination: str
    same: int
    differing: int
    source_only: int
    destination_only: int
    unproven: int
    failed: int
    seconds: float
    differences: tuple[Difference, ...] = ()
    failures: tuple[Exception, ...] = ()

    @property
    def is_same(self) -> bool:
        """Whether both sides are proved to hold the same."""
        return not (self.differing or self.source_only or self.destination_only or self.unproven or self.failed)

    def __repr__(self) -> str:
        names = ("differing", "source_only", "destination_only", "unproven", "failed")
        counts = [f"{getattr(self, name)} {name.replace('_', ' ')}" for name in names if getattr(self, name)]
        told = ", ".join([f"{self.same} same", *counts])
        return f"VerifyResult({escape(self.source)!r}, {escape(self.destination)!r}, {told}, {self.seconds:.2f}s)"

    def _repr_html_(self) -> str:
        return html_table(self, "Verify")
