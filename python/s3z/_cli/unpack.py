"""`s3z unpack`: an archive, or a part of it, as files of a directory, or as objects."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from s3z._cli._failures import RefusedError
from s3z._cli._names import Remote, has_wildcard, understand
from s3z._cli._object import dry
from s3z._cli._options import UsageError
from s3z._cli._standard import stdin
from s3z._exceptions import BatchError, NotFoundError
from s3z._log import warn

if TYPE_CHECKING:
    import io

    from s3z._archive_types import UnpackReport
    from s3z._cli._context import Context

#: by the same name for the library
_WORDS = ("strip_components", "max_bytes", "max_members", "max_ratio", "root", "durable", "memory_limit")
#: what says nothing about objects
_LOCAL_ONLY = ("no_preserve", "same_owner", "allow_unsafe_links", "durable")
_SWITCHES = ("same_owner", "allow_unsafe_links", "allow_incomplete")


def run(context: Context) -> None:
    """Carry out `unpack`.

    Raises:
        RefusedError: there is no such archive, or the destination is no place for files.
    """
    archive, prefix = _archive(context)
    destination = _destination(context)
    context.label = label = f"unpack {context.arguments[0]} {destination}"
    context.names = names = {"source": context.arguments[0], "destination": destination}
    if context.dry_run:
        dry(context, label, names, _size(context, archive))
        return
    try:
        report = _unpack(context, archive, prefix, destination)
    except BatchError as error:
        if error.report is None:
            raise
        _count(context, error.report)
        for each in error.failures:
            context.fail(label, each, names)
        return
    _count(context, report)
    context.printer.result(label, _record(report, names))


def understand_archive(argument: str) -> str:
    """The archive that an argument names: a URI, or a path.

    Raises:
        RefusedError: it is a bucket or a prefix, or there is no such file.
    """
    target = understand(argument)
    if isinstance(target, Remote):
        if target.is_container:
            raise RefusedError(f'archive "{argument}" must be an object')
        return target.uri
    if not os.path.lexists(target):
        raise RefusedError(f'given object "{target}" not found', "not_found")
    return target


def _archive(context: Context) -> tuple[str, str]:
    """The archive, and the prefix behind `::`."""
    argument, prefix = context.arguments[0], ""
    if not context.options.raw and len(context.arguments) == 2 and "::" in argument:
        argument, _, prefix = argument.rpartition("::")
    return argument if argument == "-" else understand_archive(argument), prefix


def _destination(context: Context) -> str:
    name = context.arguments[1]
    target = understand(name)
    if not context.options.raw and has_wildcard(name):
        raise RefusedError(f'target "{name}" can not contain glob characters')
    if isinstance(target, Remote):
        if not target.is_container:
            raise RefusedError(f'target "{name}" must be a bucket or a prefix', hint=f'a prefix ends in "/": "{name}/"')
        for option in _LOCAL_ONLY:
            if getattr(context.options, option):
                raise UsageError(f'option "--{option.replace("_", "-")}" needs a local destination', "unpack")
        return target.uri if target.key else f"{target.uri}/"
    if os.path.lexists(target) and not os.path.isdir(target):  # noqa: PTH112 - pathlib would cost start-up time
        raise RefusedError(f'target "{name}" is not a directory')
    return target


def _size(context: Context, archive: str) -> int | None:
    """Bytes of an archive that is there, for a dry run."""
    if archive == "-":
        return None
    if archive.startswith("s3://"):
        return named(archive, lambda: context.client().head(archive).size)  # type: ignore[no-any-return]
    return os.stat(archive).st_size  # noqa: PTH116 - names are bytes here


def named(archive: str, call: Any) -> Any:
    """What `call` returns; an archive that is missing is reported by the name that was given."""
    try:
        return call()
    except NotFoundError as error:
        if error.code in ("NoSuchKey", "NotFound", "404") or (error.code is None and error.status == 404):
            error.args = (f'given object "{archive}" not found',)
        raise


def _unpack(context: Context, archive: str, prefix: str, destination: str) -> UnpackReport:
    options, client = context.options, context.client()
    words: dict[str, Any] = {name: value for name in _WORDS if (value := getattr(options, name)) is not None}
    words.update({name: bool(getattr(options, name)) for name in _SWITCHES})
    if len(context.arguments) > 2:
        words["names"] = context.arguments[2:]

    def call(source: str | io.FileIO) -> UnpackReport:
        return client.unpack(
            source,
            destination,
            prefix=prefix,
            include=options.include or (),
            exclude=options.exclude or (),
            overwrite=not options.no_clobber,
            preserve=not options.no_preserve,
            trust_tar=options.trust is not None,
            workers=context.workers,
            progress=context.display.show if context.display.active else None,
            **words,
        )

    if archive == "-":
        return call(stdin())
    return named(archive, lambda: call(archive))  # type: ignore[no-any-return]


def _count(context: Context, report: UnpackReport) -> None:
    tally = context.tally
    tally.done += report.entries
    tally.transferred += report.bytes
    tally.skipped += sum(count for reason, count in report.skipped.items() if reason != "excluded")
    if links := report.skipped.get("symlink", 0) + report.skipped.get("hard_link", 0):
        warn(f"left out: {links} that are links, of which there are none in S3")


def _record(report: UnpackReport, names: dict[str, str]) -> dict[str, Any]:
    counts = ("entries", "files", "directories", "symlinks", "hard_links", "bytes", "verified", "is_indexed")
    return {
        "operation": "unpack",
        "success": True,
        **names,
        **{name: getattr(report, name) for name in counts},
        "skipped": dict(report.skipped),
        "root": None if report.root is None else report.root.hex(),
        "seconds": round(report.seconds, 3),
    }
