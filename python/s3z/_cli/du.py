"""`s3z du`: how many objects there are, and how many bytes in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from s3z import _batching
from s3z._cli._failures import RefusedError
from s3z._cli._names import Remote, has_wildcard, understand
from s3z._cli._options import UsageError
from s3z._cli.ls import request
from s3z._units import human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s3z._cli._context import Context


def run(context: Context) -> None:
    """Carry out `du`.

    Raises:
        RefusedError: the argument is none that has a size.
        UsageError: options exclude each other.
    """
    options = context.options
    if options.all_versions and options.version_id is not None:
        raise UsageError('options "--all-versions" and "--version-id" exclude each other', "du")
    argument = context.arguments[0]
    target = understand(argument)
    sums: dict[str, list[int]] = {}
    rows = _local(context, target) if isinstance(target, str) else _remote(context, target)
    for storage_class, count, size in rows:
        row = sums.setdefault(storage_class if options.group else "", [0, 0])
        row[0] += count
        row[1] += size
        context.tally.done += count
    name = argument
    if not sums:
        sums[""] = [0, 0]
    for storage_class, (count, size) in sorted(sums.items()):
        _tell(context, name, storage_class, count, size)


def _tell(context: Context, name: str, storage_class: str, count: int, size: int) -> None:
    if context.options.json:
        record: dict[str, Any] = {
            "source": name,
            "storage_class": storage_class or None,
            "count": count,
            "size": size,
        }
        context.printer.record(record)
        return
    shown = human_size(size) if context.options.humanize else str(size)
    line = f"{shown} bytes in {count} objects: {name}"
    context.printer.data(f"{line} [{storage_class}]" if storage_class else line)


def _local(context: Context, target: str) -> Iterator[tuple[str, int, int]]:
    from s3z._cli._local import rows

    if context.options.version_id is not None or context.options.all_versions:
        raise UsageError("files have no versions", "du")
    found = rows(target, context.options.exclude, lambda name, error: context.fail(f"du {name}", error))
    for row in found:
        yield "STANDARD", 1, row[3]


def _remote(context: Context, target: Remote) -> list[tuple[str, int, int]]:
    options = context.options
    if options.version_id is not None:
        if target.is_container or has_wildcard(target.key) or options.recursive:
            raise RefusedError("--version-id needs one object")
        found = context.client().head(target.uri, version_id=options.version_id)
        return [(found.storage_class or "STANDARD", 1, found.size)]
    return _batching.look_sums(context.client(), request(context, target))
