"""`s3z pipe` and `s3z cp -`: standard input as one object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3z._cli._failures import RefusedError
from s3z._cli._names import Remote, has_wildcard, understand
from s3z._cli._object import store
from s3z._cli._options import UsageError
from s3z._cli._standard import stdin
from s3z._units import MIB

if TYPE_CHECKING:
    from s3z._cli._context import Context


def run(context: Context) -> None:
    """Carry out `pipe`, or `cp` with `-` as its source.

    Raises:
        RefusedError: the destination is no object.
        UsageError: parts of this size are none of an upload.
    """
    options, target = context.options, _target(context)
    words = ["-"] if context.command == "cp" else []
    context.label = " ".join([context.command, *words, target.uri])
    context.names = names = {"source": "-", "destination": target.uri}
    with stdin() as source:
        store(context, source, target, names, lambda: options.expected_size)


def _target(context: Context) -> Remote:
    options, name = context.options, context.arguments[-1]
    target = understand(name)
    if isinstance(target, str):
        raise RefusedError(f'target "{name}" must be an object')
    if not options.raw and has_wildcard(target.key):
        raise RefusedError(f'target "{name}" can not contain glob characters')
    if target.is_container and not (options.raw and target.key):
        raise RefusedError(f'target "{name}" must be an object')
    if options.part_size is not None and options.part_size < 5 * MIB:
        raise UsageError('option "--part-size": at least 5M for uploads', context.command)
    return target
