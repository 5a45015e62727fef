"""Many objects: a batch of the core for two clients, and what its new objects are like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from s3z import _core
from s3z._content_type import BY_EXTENSION, BYTES, TEXT
from s3z._headers import ObjectOptions, build

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s3z._client import Client

    Batch = _core.Batch
    BatchRow = _core.BatchRow
    ProgressFunction = _core.ProgressFunction
    VersionEntry = _core.VersionEntry


def start(source: Client, destination: Client, request: dict[str, Any]) -> Batch:
    """Begin a batch; it runs by itself, as long as its outcomes are taken."""
    return _core.start_batch(source._native(), destination._native(), request)


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


def versions(client: Client, bucket: str, prefix: str, delimiter: str | None) -> Iterator[VersionEntry]:
    """Every version of every key, and the markers of deleted ones, as the store lists them."""
    pages = _core.list_versions(client._native(), bucket, prefix, delimiter)
    while (page := pages.next_page()) is not None:
        yield from page
