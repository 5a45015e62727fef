"""Many objects: a batch of the core for two clients, and what its new objects are like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from s3z import _core
from s3z._content_type import BY_EXTENSION, BYTES, TEXT
from s3z._headers import ObjectOptions, build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from s3z._client import Client
    from s3z._types import ProgressEvent

    Batch = _core.Batch
    BatchRow = _core.BatchRow
    ProgressFunction = _core.ProgressFunction
    LookRequest = _core.LookRequest


def start(source: Client, destination: Client, request: dict[str, Any]) -> Batch:
    """Begin a batch; it runs by itself, as long as its outcomes are taken."""
    return _core.start_batch(source._native(), destination._native(), request)


def shown(show: Callable[[ProgressEvent], object]) -> ProgressFunction:
    """What the core calls with its counts, for who wants events."""
    from s3z._types import ProgressEvent

    return lambda *counts: show(ProgressEvent(*counts))


def object_words(given: dict[str, Any]) -> dict[str, Any]:
    """Headers and content types of new objects, in the words of the core.

    Raises:
        ConfigError: a value cannot be a header.
    """
    return {
        "headers": build(ObjectOptions(**given), []),
        "types": BY_EXTENSION,
        "text_type": TEXT,
        "bytes_type": BYTES,
    }


def look(client: Client, request: LookRequest) -> Iterator[tuple[bytes, int]]:
    """Finished lines of a listing, and how many rows they are."""
    found = _core.start_look(client._native(), request)
    while (piece := found.next()) is not None:
        yield piece


def look_sums(client: Client, request: LookRequest) -> list[tuple[str, int, int]]:
    """Storage class, objects and bytes of a listing."""
    return _core.look_sums(client._native(), request)
