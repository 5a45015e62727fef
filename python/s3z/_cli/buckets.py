"""`s3z mb` and `s3z rb`: make and remove a bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from s3z._cli._one import one_bucket

if TYPE_CHECKING:
    from s3z._cli._context import Context


def run(context: Context) -> None:
    """Carry out `mb` or `rb`.

    Raises:
        RefusedError: the argument is no bucket.
    """
    target = one_bucket(context.arguments[0])
    names = {"source": target.uri}
    context.label, context.names = f"{context.command} {target.uri}", names
    record: dict[str, Any] = {"operation": context.command, "success": True, **names}
    client = context.client()
    if context.dry_run:
        record["dry_run"] = True
    elif context.command == "mb":
        client.make_bucket(target.uri)
    else:
        client.remove_bucket(target.uri)
    context.tally.done += 1
    context.printer.result(context.label, record)
