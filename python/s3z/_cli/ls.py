"""`s3z ls`: buckets, one level of a bucket or prefix, all matches of a wildcard, or local files."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from s3z import _batching
from s3z._cli._failures import RefusedError
from s3z._cli._match import Excluder, matches, split_wildcard
from s3z._cli._names import Remote, has_wildcard, understand
from s3z._units import human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s3z._cli._context import Context

    #: full name, shown name, whether it is a prefix, size, ETag, time, storage class
    Plain = tuple[str, str, bool, int, str | None, float | None, str | None]

_MANY = 1000


def run(context: Context) -> None:
    """Carry out `ls`.

    Raises:
        RefusedError: nothing was found, or the argument is none.
    """
    if not context.arguments:
        _buckets(context)
        return
    target = understand(context.arguments[0])
    if isinstance(target, str):
        from s3z._cli._local import rows as local_rows

        found = _show(
            context, local_rows(target, context.options.exclude, lambda name, error: context.fail(f"ls {name}", error))
        )
        empty_is_fine = context.tally.failed > 0
    else:
        rows = _versions(context, target) if context.options.all_versions else _objects(context, target)
        found = _show(context, rows)
        empty_is_fine = not target.key
    if not found and not empty_is_fine:
        raise RefusedError("no object found", "not_found")


def _time(seconds: float | None) -> str:
    return "" if seconds is None else f"{datetime.fromtimestamp(int(seconds), UTC):%Y/%m/%d %H:%M:%S}"


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else f"{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%dT%H:%M:%SZ}"


def _buckets(context: Context) -> None:
    for name, created in context.client()._native().list_buckets():
        if context.options.json:
            context.printer.record({"created_at": _iso(created), "name": name})
        else:
            context.printer.data(
                f"s3://{name}" if context.options.show_fullpath else f"{_time(created):19}  s3://{name}"
            )


class Version(NamedTuple):
    """A row of one version."""

    full: str
    name: str
    is_prefix: bool
    size: int
    etag: str | None
    modified: float | None
    storage_class: str | None
    version_id: str | None
    is_marker: bool


if TYPE_CHECKING:
    Row = Plain | Version


def _level(context: Context, target: Remote) -> tuple[Remote, bool]:
    """What is listed, and whether it is a wildcard.

    Raises:
        RefusedError: `--recursive` of an object.
    """
    wild = has_wildcard(target.key)
    if not context.options.recursive or wild:
        return target, wild
    if not target.is_container:
        raise RefusedError("--recursive needs a bucket or a prefix", hint=f'"{target.uri}/" is the prefix of that name')
    return Remote(target.bucket, f"{target.key}*"), True


def _objects(context: Context, target: Remote) -> Iterator[Row]:
    target, wild = _level(context, target)
    prefix, parent = split_wildcard(target.key)
    excluder = Excluder(context.options.exclude, prefix)
    pages = context.client()._native().list_objects(target.bucket, prefix, None if wild else "/")
    while (page := pages.next_page()) is not None:
        for key, is_prefix, size, etag, modified, storage_class in page:
            if (wild and not matches(target.key, key)) or excluder.excludes(key):
                continue
            is_marker = size == 0 and key.endswith("/")
            uri = f"s3://{target.bucket}/{key}"
            yield uri, key[len(parent) :], is_prefix or is_marker, size, etag, modified, storage_class


def _versions(context: Context, target: Remote) -> Iterator[Row]:
    """Every version, the newest of each key first, as the store lists them; markers of deleted ones, too."""
    target, wild = _level(context, target)
    prefix, parent = split_wildcard(target.key)
    excluder = Excluder(context.options.exclude, prefix)
    for row in _batching.versions(context.client(), target.bucket, prefix, None if wild else "/"):
        key, version, _latest, is_marker, size, etag, modified, storage_class = row
        if (wild and not matches(target.key, key)) or excluder.excludes(key):
            continue
        uri = f"s3://{target.bucket}/{key}"
        plain = (uri, key[len(parent) :], version is None, size, etag, modified, storage_class)
        yield Version(*plain, version, is_marker)


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
    full, name, is_prefix, size, etag, modified, storage_class = row[:7]
    if terminal:
        from s3z._escape import escape

        full, name = escape(full), escape(name)
    if options.show_fullpath:
        return full
    if isinstance(row, Version) and not is_prefix:
        name = f"{name:<50} {row.version_id}"
    shown = "DIR" if is_prefix else human_size(size) if options.humanize else str(size)
    third = (etag or "").strip('"') if options.etag and not is_prefix else ""
    kind = (storage_class or "STANDARD") if options.storage_class and not is_prefix else ""
    time = "" if is_prefix else _time(modified)
    return f"{time:>19} {kind:>2} {third:<{38 if options.etag else 1}} {shown:>12} {name}"


def _record(row: Row) -> dict[str, Any]:
    full, _, is_prefix, size, etag, modified, storage_class = row[:7]
    if is_prefix:
        return {"key": full, "type": "directory"}
    return {
        "key": full,
        "etag": etag.strip('"') if etag else None,
        "last_modified": _iso(modified),
        "type": "file",
        "size": size,
        "storage_class": storage_class,
        "version_id": row.version_id if isinstance(row, Version) else None,
        "delete_marker": True if isinstance(row, Version) and row.is_marker else None,
    }
