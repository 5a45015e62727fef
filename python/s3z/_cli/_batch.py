"""One batch of the core, from its first line to its counts."""

from __future__ import annotations

import os
from datetime import datetime
from typing import TYPE_CHECKING, Any

from s3z import _batching
from s3z._cli import _exit
from s3z._cli._failures import RefusedError
from s3z._cli._object import HEADERS
from s3z._exceptions import NotFoundError
from s3z._headers import ObjectOptions
from s3z._log import warn
from s3z._types import ProgressEvent

if TYPE_CHECKING:
    from s3z._cli._context import Context
    from s3z._cli._progress import Display, Part
    from s3z._client import Client

#: options that say what a new object is like; any of them makes a copy replace its metadata
_REPLACING = ("content_type", "content_encoding", "content_disposition", "cache_control", "metadata", "expires")
_SKIPPED = {
    "exists": "object already exists",
    "same_size": "object size matches",
    "not_newer": "object is newer or same age",
    "unchanged": "object is unchanged",
    "same_checksum": "object has the same content",
    "directory_marker": "object marks a directory",
    "symlink": "object is a symbolic link",
    "glacier": "object is on Glacier storage",
    "manifest": "object is done according to the manifest",
}


def object_words(context: Context) -> dict[str, Any]:
    """What the options say of objects that are made.

    Raises:
        ConfigError: a value cannot be a header.
    """
    options = context.options
    given = {name: getattr(options, name) for name in HEADERS}
    metadata = dict(options.metadata) if options.metadata else None
    expires = None if options.expires is None else datetime.fromisoformat(options.expires)
    words = _batching.object_words(ObjectOptions(**given, metadata=metadata, expires=expires), [])
    directive = getattr(options, "metadata_directive", None)
    replace = directive == "REPLACE" or (
        directive is None and any(getattr(options, name) is not None for name in _REPLACING)
    )
    return {
        **words,
        "replace_metadata": replace,
        "checksum": options.checksum_algorithm,
    }


def _format(context: Context) -> str:
    if not context.printer.shows_results:
        return "none"
    return "json" if context.options.json else "text"


def drive(
    context: Context, request: dict[str, Any], source: Client | None = None, destination: Client | None = None
) -> dict[str, int]:
    """Run a batch to its end, and tell what comes of it.

    Args:
        context: whose counts it adds to.
        request: for the core.
        source: the client of that side; None is the one of the command.
        destination: likewise.

    Returns:
        The counts of the core.

    Raises:
        Interrupted: a signal came; what was under way has been cleared up.
    """
    source = source or context.client()
    destination = destination or source
    words = {**request, "format": _format(context), "tells_skips": context.printer.level <= 1}
    # A name may hold a newline, so that only the core knows where a line ends.
    words["escapes"] = context.printer.terminal or context.printer.payload
    if "checksum" in words:
        words["checksum"] = words["checksum"] or _batching.usual_checksum(destination)
    held = _exit.hold(context.stop)
    interrupted: _exit.Interrupted | None = None
    try:
        batch = _batching.start(source, destination, words)
        context.begun(batch)
        progress = _shown(context.display, batch) if context.display.active else None
        # To its end, even if it was stopped: whatever has been done is told.
        while (row := batch.next(progress)) is not None:
            _tell(context, row)
    finally:
        if held:
            interrupted = _exit.release()
    counts = batch.counts()
    _count(context, counts)
    if counts["unconditional"]:
        warn("the store has no conditional writes; what was there is known from before the transfer only")
    if interrupted is not None:
        kept = batch.kept()
        if kept is not None:
            interrupted.add_note(kept)
        raise interrupted
    return counts


def _shown(display: Display | Part, batch: _batching.Batch) -> _batching.ProgressFunction:
    """What the core calls; while a listing goes on the objects found so far stand for all."""

    def show(received: int, durable: int, total: int | None, objects: int, objects_total: int | None) -> None:
        listing = objects_total is None
        known = batch.counts()["found"] if listing else objects_total
        display.show(ProgressEvent(received, durable, total, objects, known), listing=listing)

    return show


def _tell(context: Context, row: _batching.BatchRow) -> None:
    lines, failures, skips = row
    context.printer.lines(lines)
    for label, reason in skips:
        context.printer.debug(os.fsdecode(label), _SKIPPED[reason])
    for label, source, destination, error, kind in failures:
        names = {"source": os.fsdecode(source)} if source else {}
        if destination:
            names["destination"] = os.fsdecode(destination)
        if not source:
            # Of all that was selected, or of what is at the destination.
            context.report(context.label, _of_all(context, error), names or context.names, kind)
            continue
        if context.command != "rm" and label.startswith(b"rm "):
            context.tally.undeleted += 1
        line = context.numbers.get((source, destination or b"")) if context.numbers else None
        context.report(os.fsdecode(label), error, names, kind, line)


def _of_all(context: Context, error: BaseException) -> BaseException:
    """`rm` has one message for what nothing matched, here and at the store."""
    if context.command == "rm" and isinstance(error, NotFoundError) and error.code is None:
        return RefusedError("no object found", "not_found")
    return error


def _count(context: Context, counts: dict[str, int]) -> None:
    tally = context.tally
    tally.done += counts["done"]
    tally.skipped += counts["skipped"]
    tally.failed += counts["failed"]
    tally.deleted += counts["deleted"]
    tally.held_back += counts["held_back"]
    tally.transferred += counts["transferred"]
    tally.resumed += counts["resumed"]
    for kind in ("full_object", "parts", "length"):
        if counts[kind]:
            tally.verified[kind] = tally.verified.get(kind, 0) + counts[kind]
