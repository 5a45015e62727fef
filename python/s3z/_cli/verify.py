"""`s3z verify`: a tree and a prefix, or two prefixes, compared; nothing is written."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

from s3z._cli._batch import drive
from s3z._cli._failures import RefusedError
from s3z._cli._many import goal, understand_source, understand_target
from s3z._cli._names import Remote
from s3z._cli.cp import check_sides
from s3z._cli.sync import listed, nothing_found, one_side, sides

if TYPE_CHECKING:
    from s3z._cli._context import Context


def run(context: Context) -> None:
    """Carry out `verify`.

    Raises:
        RefusedError: the arguments are no two sides, or a remote source holds nothing.
        UsageError: an option says nothing about these sides.
        FileNotFoundError: there is no such directory to compare with.
    """
    options = context.options
    first, second = context.arguments
    target = understand_target(context, second)
    source = understand_source(context, first, to_files=isinstance(target, str), stats=True)
    check_sides(context, source, target)
    place = goal(source, target, second)
    if source.words is None:
        raise RefusedError("no object found", "not_found")
    words = source.words
    if source.is_many:
        place, compared = sides(context, source, target)
    else:
        place, compared, relative = one_side(context, source, place)
        words = listed(source, relative)
    if not isinstance(target, Remote):
        # The directory that was named has to be there; of one object, the file in it does not.
        if not os.path.lexists(target):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), target)
        compared["may_be_missing"] = not source.is_many
    compare = "size" if options.size_only else "etag" if options.checksum else "checksum"
    request: dict[str, Any] = {
        "operation": "verify",
        "selections": [words],
        "goal": place,
        "compared": compared,
        "compare": compare,
        "download": bool(options.download),
        "one_way": bool(options.one_way),
        "workers": context.workers,
    }
    counts = drive(context, request, context.client("source"), context.client("destination"))
    context.tally.differences += counts["differs"]
    nothing = not counts["found"] and not counts["skipped"] and not context.tally.failed
    if nothing and (source.is_remote or not source.is_many):
        raise nothing_found(source)
