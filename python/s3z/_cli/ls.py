"""`s3z ls`: buckets, one level of a bucket or prefix, all matches of a wildcard, or local files."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from s3z import _batching
from s3z._cli._failures import RefusedError
from s3z._cli._match import split_wildcard
from s3z._cli._names import Remote, has_wildcard, understand
from s3z._units import human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s3z._batching import LookRequest
    from s3z._cli._context import Context

    #: full name, shown name, whether it is a prefix, size, ETag, time, storage class
    Row = tuple[str, str, bool, int, str | None, float | None, str | None]

_MANY = 1000


def run(context: Context) -> None:
    """Carry out `ls`.

    Raises:
        RefusedError: nothing was found, or the argument is none.
        UsageError: an option says nothing about files.
    """
    if not context.arguments:
        _buckets(context)
        return
    target = understand(context.arguments[0])
    if isinstance(target, str):
        from s3z._cli._local import rows as local_rows
        from s3z._cli._options import UsageError

        if context.options.all_versions:
            raise UsageError("files have no versions", "ls")
        found = _show(
            context, local_rows(target, context.options.exclude, lambda name, error: context.fail(f"ls {name}", error))
        )
        empty_is_fine = context.tally.failed > 0
    else:
        found = 0
        for lines, rows in _batching.look(context.client(), request(context, target)):
            found += rows
            context.printer.rows(lines)
        empty_is_fine = not target.key
    context.tally.done += found
    if not found and not empty_is_fine:
        raise RefusedError("no object found", "not_found")


def _time(seconds: float | None) -> str:
    return "" if seconds is None else f"{datetime.fromtimestamp(int(seconds), UTC):%Y/%m/%d %H:%M:%S}"


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else f"{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%dT%H:%M:%SZ}"


def _buckets(context: Context) -> None:
    for name, created in context.client()._native().list_buckets():
        context.tally.done += 1
        if context.options.json:
            context.printer.record({"created_at": _iso(created), "name": name})
        else:
            context.printer.data(
                f"s3://{name}" if context.options.show_fullpath else f"{_time(created):19}  s3://{name}"
            )


def request(context: Context, target: Remote) -> LookRequest:
    """What is listed, and how it is shown, in the words of the core.

    Raises:
        RefusedError: `--recursive` of an object.
    """
    options, wild = context.options, has_wildcard(target.key)
    if options.recursive and (target.is_container or not wild):
        if not target.is_container:
            hint = f'"{target.uri}/" is the prefix of that name'
            raise RefusedError("--recursive needs a bucket or a prefix", hint=hint)
        target, wild = Remote(target.bucket, f"{target.key}*"), True
    prefix, parent = split_wildcard(target.key)
    return {
        "bucket": target.bucket,
        "prefix": prefix,
        "delimiter": None if wild else "/",
        "pattern": os.fsencode(target.key) if wild else None,
        "exclude": [os.fsencode(pattern) for pattern in options.exclude or ()],
        "filter_prefix": os.fsencode(prefix),
        "strip": len(os.fsencode(parent)),
        "versions": options.all_versions,
        "json": options.json,
        "full_path": getattr(options, "show_fullpath", False),
        "etag": getattr(options, "etag", False),
        "storage_class": getattr(options, "storage_class", False),
        "human": options.humanize,
        "escapes": context.printer.terminal,
    }


def _show(context: Context, rows: Iterator[Row]) -> int:
    """Print rows, at most a thousand with each write; how many there were."""
    options, printer = context.options, context.printer
    count, lines = 0, []
    for row in rows:
        count += 1
        if options.json:
            printer.record(_record(row))
            continue
        # A name may hold a newline; on a terminal each line is escaped by itself, so such a name must be so before.
        lines.append(_line(row, options, terminal=printer.terminal))
        if len(lines) == _MANY:
            printer.data("\n".join(lines), escaped=True)
            lines.clear()
    if lines:
        printer.data("\n".join(lines), escaped=True)
    return count


def _line(row: Row, options: Any, *, terminal: bool) -> str:
    full, name, is_prefix, size, etag, modified, storage_class = row
    if terminal:
        from s3z._escape import escape

        full, name = escape(full), escape(name)
    if options.show_fullpath:
        return full
    shown = "DIR" if is_prefix else human_size(size) if options.humanize else str(size)
    third = (etag or "").strip('"') if options.etag and not is_prefix else ""
    kind = (storage_class or "STANDARD") if options.storage_class and not is_prefix else ""
    time = "" if is_prefix else _time(modified)
    return f"{time:>19} {kind:>2} {third:<{38 if options.etag else 1}} {shown:>12} {name}"


def _record(row: Row) -> dict[str, Any]:
    full, _, is_prefix, size, etag, modified, storage_class = row
    if is_prefix:
        return {"key": full, "type": "directory"}
    return {
        "key": full,
        "etag": etag.strip('"') if etag else None,
        "last_modified": _iso(modified),
        "type": "file",
        "size": size,
        "storage_class": storage_class,
    }
