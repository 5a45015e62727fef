"""`s3z verify`: a tree and a prefix, or two prefixes, compared; nothing is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from s3z._cli._batch import drive
from s3z._cli._failures import RefusedError
from s3z._cli._many import goal, understand_source, understand_target
from s3z._cli._names import Remote
from s3z._cli.sync import sides

if TYPE_CHECKING:
    from s3z._cli._context import Context


def run(context: Context) -> None:
    """Carry out `verify`.

    Raises:
        RefusedError: the arguments are no two sides.
    """
    options = context.options
    first, second = context.arguments
    target = understand_target(context, second)
    source = understand_source(context, first, to_files=isinstance(target, str), stats=True)
    goal(source, target, second)
    if not source.is_many:
        raise RefusedError("verify compares directories, prefixes and wildcards")
    assert source.words is not None
    place, compared = sides(context, source, target)
    compared["may_be_missing"] = False
    if isinstance(target, Remote):
        compared.pop("may_be_missing")
    compare = "size" if options.size_only else "etag" if options.checksum else "checksum"
    request: dict[str, Any] = {
        "operation": "verify",
        "selections": [source.words],
        "goal": place,
        "compared": compared,
        "compare": compare,
        "download": bool(options.download),
        "one_way": bool(options.one_way),
        "workers": context.workers,
    }
    counts = drive(context, request, context.client("source"), context.client("destination"))
    context.differs = counts["differs"] > 0
