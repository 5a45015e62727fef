"""`s3z pack`: a tree, or the objects of a prefix, as one archive: an object, a file, or standard output."""

from __future__ import annotations

import io
import os
from datetime import datetime
from typing import TYPE_CHECKING, Any

from s3z._cli._failures import RefusedError
from s3z._cli._names import Remote, as_directory, has_wildcard, understand
from s3z._cli._object import HEADERS, dry, skip
from s3z._cli._options import UsageError
from s3z._cli._printer import StdoutClosedError
from s3z._cli._sources import Source, understand_source
from s3z._cli._standard import STDOUT, check_stdout
from s3z._exceptions import ServiceError
from s3z._log import warn
from s3z._packing import PackRequest, calibrate, errors_of, pack
from s3z._units import MIB

if TYPE_CHECKING:
    from s3z._archive_types import PackReport
    from s3z._cli._context import Context

#: of the archive; by the same name for the core
_WORDS = ("level", "codec", "group_size", "slice_size", "no_skip", "file_hash", "xattrs", "follow_symlinks")
#: what only an object has
_OF_OBJECTS = (*HEADERS, "checksum_algorithm", "metadata", "expires", "part_size")


def run(context: Context) -> None:
    """Carry out `pack`.

    Raises:
        RefusedError: the arguments are nothing that can be packed, or no place for an archive.
        UsageError: an option says nothing about these arguments.
        StdoutClosedError: nobody reads any more.
    """
    options = context.options
    wanted = 1 if options.calibrate else 2
    if len(context.arguments) != wanted:
        raise UsageError(f"expected {wanted} argument{'s' * (wanted > 1)}, got {len(context.arguments)}", "pack")
    source = understand_source(context.arguments[0], raw=bool(options.raw), follow=bool(options.follow_symlinks))
    if source.pattern is not None and any(options.include or ()):
        raise RefusedError(
            f'--include does not go with the wildcard of "{source.name}"', hint="--exclude does, and so does a prefix"
        )
    if options.calibrate:
        _calibrate(context, source)
        return
    target = _target(context)
    name = target.uri if isinstance(target, Remote) else target
    context.label = label = f"pack {source.name} {name}"
    context.names = names = {"source": source.name, "destination": name}
    _check_found(context, source)
    if options.no_clobber and name != "-" and _is_there(context, target):
        skip(context, label, names)
        return
    if context.dry_run:
        dry(context, label, names, None, name)
        return
    try:
        report = _pack(context, source, target)
    except FileExistsError:  # of an object, too
        if not options.no_clobber:
            raise
        skip(context, label, names)
        return
    _tell(context, report, names, is_object=isinstance(target, Remote))


def _target(context: Context) -> Remote | str:
    options, name = context.options, context.arguments[1]
    if name == "-":
        _refuse_object_options(context)
        check_stdout()
        if context.printer.terminal:
            raise RefusedError("an archive is not for a terminal", hint="name a file or object, or redirect the output")
        return name
    target = understand(name)
    if not options.raw and has_wildcard(name):
        raise RefusedError(f'target "{name}" can not contain glob characters')
    if isinstance(target, Remote):
        if target.is_container:
            hint = f'an archive needs a name, such as "{target.uri.rstrip("/")}/NAME.tar.zst"'
            raise RefusedError(f'target "{name}" must be an object', hint=hint)
        if options.part_size is not None and options.part_size < 5 * MIB:
            raise UsageError('option "--part-size": at least 5M for uploads', "pack")
        return target
    _refuse_object_options(context)
    if as_directory(target) or os.path.isdir(target):  # noqa: PTH112 - pathlib would cost start-up time
        hint = f'an archive needs a name, such as "{target.rstrip("/")}/NAME.tar.zst"'
        raise RefusedError(f'target "{name}" is a directory', hint=hint)
    return target


def _refuse_object_options(context: Context) -> None:
    """Options of an object mean nothing for a file: an error, never ignored."""
    for name in _OF_OBJECTS:
        if getattr(context.options, name) is not None:
            raise UsageError(f'option "--{name.replace("_", "-")}" needs a remote destination', "pack")


def _check_found(context: Context, source: Source) -> None:
    """Refuse a remote source that holds nothing: more often than not it is a misspelling."""
    if source.words[0] != "prefix":
        return
    bucket, prefix = source.words[1:3]
    if next(iter(context.client().list(f"s3://{bucket}/{prefix}")), None) is None:
        raise RefusedError("no object found", "not_found")


def _is_there(context: Context, target: Remote | str) -> bool:
    return context.client().exists(target.uri) if isinstance(target, Remote) else os.path.lexists(target)


def _pack(context: Context, source: Source, target: Remote | str) -> PackReport:
    options = context.options

    def send(*, overwrite: bool) -> PackReport:
        destination = target.uri if isinstance(target, Remote) else target
        if destination == "-":
            return _pack_to(context, source, io.FileIO(STDOUT, "wb", closefd=False), overwrite=True)
        return _pack_to(context, source, destination, overwrite=overwrite)

    try:
        return send(overwrite=not options.no_clobber)
    except BrokenPipeError:
        if target != "-":
            raise
        raise StdoutClosedError from None
    except ServiceError as error:
        if error.status != 501 or not options.no_clobber:
            raise
        warn("the store has no conditional writes; that nothing was there is known from before the upload only")
        return send(overwrite=True)


def _pack_to(context: Context, source: Source, destination: object, *, overwrite: bool) -> PackReport:
    client = context.client()
    request = PackRequest(
        source=source.words,
        destination=destination,
        words=_words(context, source),
        overwrite=overwrite,
        durable=None,
        options=_object_options(context.options) if isinstance(destination, str) else {},
    )
    progress = context.display.show if context.display.active else None
    return pack(client._native(), client._settings, request, progress)


def _words(context: Context, source: Source) -> dict[str, Any]:
    options = context.options
    return {
        **{name: getattr(options, name) for name in _WORDS},
        "skip_extensions": options.skip_ext,
        "include": [source.pattern] if source.pattern is not None else options.include or (),
        "exclude": options.exclude or (),
        "on_error": options.on_error or "fail",
        "workers": context.workers,
        "memory_limit": options.memory_limit,
    }


def _object_options(options: Any) -> Any:
    given = {name: getattr(options, name) for name in HEADERS}
    given["checksum"] = options.checksum_algorithm
    given["metadata"] = dict(options.metadata) if options.metadata else None
    given["expires"] = None if options.expires is None else datetime.fromisoformat(options.expires)
    given["part_size"] = options.part_size
    return {name: value for name, value in given.items() if value is not None}


def _tell(context: Context, report: PackReport, names: dict[str, str], *, is_object: bool) -> None:
    tally, label = context.tally, context.label
    tally.done += report.entries
    tally.transferred += report.bytes_in
    tally.skipped += sum(count for reason, count in report.skipped.items() if reason != "excluded")
    if is_object:
        tally.verified[report.verified.kind] = tally.verified.get(report.verified.kind, 0) + 1
    if special := report.skipped.get("special"):
        warn(f"left out: {special} that are sockets, devices or FIFOs")
    for error in errors_of(report.failures):
        context.fail(label, error, names)
    counts = ("entries", "files", "directories", "symlinks", "hard_links", "compressed_files", "stored_files")
    record = {
        "operation": "pack",
        "success": True,
        **names,
        "object": {"key": report.destination, "type": "file", "size": report.bytes_out, "etag": report.etag},
        "version_id": report.version_id,
        "verified": str(report.verified) if is_object else None,
        **{name: getattr(report, name) for name in counts},
        "empty_files": report.empty_files,
        "bytes_in": report.bytes_in,
        "bytes_out": report.bytes_out,
        "skipped": dict(report.skipped),
        "failed": len(report.failures),
        "root": report.root.hex(),
        "workers": report.workers,
        "seconds": round(report.seconds, 3),
    }
    context.printer.result(label, record)


def _calibrate(context: Context, source: Source) -> None:
    """The same reads, hashes and compression without order and output, with one thread and with all (hidden)."""
    client = context.client()
    for workers in (1, context.workers or len(os.sched_getaffinity(0))):
        words = {**_words(context, source), "workers": workers}
        request = PackRequest(source.words, os.devnull, words, True, None, {})
        seconds = calibrate(client._native(), client._settings, request)
        if context.options.json:
            context.printer.record({"workers": workers, "seconds": round(seconds, 3)})
        else:
            context.printer.data(f"{workers} {seconds:.3f}")
