"""`s3z cp` and `s3z mv`: one object or any number, from files, to files, or from S3 to S3."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from s3z import _apart
from s3z._cli import pipe
from s3z._cli._batch import drive, object_words
from s3z._cli._failures import RefusedError
from s3z._cli._many import Source, check_apart, from_files, goal, understand_source, understand_target
from s3z._cli._names import Remote
from s3z._cli._object import HEADERS
from s3z._cli._options import UsageError
from s3z._units import MIB

if TYPE_CHECKING:
    from s3z._cli._context import Context

_OF_OBJECTS = (*HEADERS, "checksum_algorithm", "metadata", "expires", "metadata_directive")


def run(context: Context) -> None:
    """Carry out `cp` or `mv`.

    Raises:
        RefusedError: the arguments are not those of a transfer.
        UsageError: an option says nothing about these arguments.
    """
    first, second = context.arguments
    if "-" in (first, second):
        _standard_streams(context, first)
        return
    target = understand_target(context, second)
    bad: list[tuple[str, str]] = []
    if context.options.files_from is not None:
        source, bad = from_files(context, first)
    else:
        if context.options.null:
            raise UsageError('option "--null" needs --files-from', context.command)
        source = understand_source(context, first, to_files=isinstance(target, str))
    check_options(context, source, target)
    place = goal(source, target, second)
    check_apart(context, source, target)
    _name(context, source, place)
    for name, why in bad:
        context.fail(f"{context.command} {name}", RefusedError(f'"{name}": {why}', "unsafe_key"), {"source": name})
    if source.words is None:
        raise RefusedError("no object found", "not_found")
    request = {**transfer_words(context, source), "operation": context.command, "goal": place}
    counts = drive(context, request, context.client("source"), context.client("destination"))
    if not counts["found"] and not context.tally.failed and (source.is_remote or not source.is_many):
        raise RefusedError("no object found", "not_found")


def _standard_streams(context: Context, first: str) -> None:
    options = context.options
    if context.command == "mv":
        raise RefusedError("mv cannot move standard input or output")
    if options.files_from is not None or options.manifest is not None:
        raise UsageError('options "--files-from" and "--manifest" do not go with "-"', "cp")
    if first == "-":
        pipe.run(context)
        return
    from s3z._cli import cat

    cat.to_stdout(context, first)


def _name(context: Context, source: Source, place: tuple[str, bytes, bytes, bool]) -> None:
    """What errors of the whole name: the resolved arguments where there is one object."""
    kind, bucket, name, exact = place
    if source.is_many:
        return
    shown = source.target.uri if isinstance(source.target, Remote) else source.target
    target = os.fsdecode(name)
    if kind == "remote":
        base = "" if exact else shown.rpartition("/")[2]
        target = f"s3://{bucket.decode()}/{target}{base}"
    context.label = f"{context.command} {shown} {target}"
    context.names = {"source": shown, "destination": target}


def check_options(context: Context, source: Source, target: Remote | str) -> None:
    """Refuse options that say nothing about these sides: an error, never ignored.

    Raises:
        UsageError: there is one.
    """
    options, command = context.options, context.command
    to_remote = isinstance(target, Remote)

    def refuse(names: tuple[str, ...], needs: str) -> None:
        for name in names:
            if getattr(options, name, None) is not None:
                raise UsageError(f'option "--{name.replace("_", "-")}" needs {needs}', command)

    if not to_remote:
        refuse(_OF_OBJECTS, "a remote destination")
        refuse(("destination_region", "destination_profile", "destination_endpoint_url"), "a remote destination")
        refuse(("resume",), "a local source")
    if not source.is_remote:
        refuse(("source_region", "source_profile", "source_endpoint_url"), "a remote source")
        refuse(("version_id",), "a remote source")
        refuse(("no_resume", "durable", "direct_io"), "a remote source")
    if to_remote:
        if source.is_remote:
            refuse(("resume",), "a local source")
        else:
            refuse(("metadata_directive",), "a remote source")
        if options.part_size is not None and options.part_size < 5 * MIB:
            raise UsageError('option "--part-size": at least 5M for uploads', command)
    if getattr(options, "expected_size", None) is not None:
        raise UsageError('option "--expected-size" is for stdin', command)
    if command == "mv" and options.verify == "off":
        raise UsageError("mv cannot do without verification: it removes the source", command)


def transfer_words(context: Context, source: Source) -> dict[str, Any]:
    """What the options say of every transfer, in the words of the core."""
    options = context.options
    verify = options.verify or "auto"
    if verify == "auto" and context.client("source")._settings.response_checksum_validation.value == "when_required":
        verify = "off"
    glacier = "skip" if options.ignore_glacier_warnings else "error"
    return {
        "selections": [source.words],
        "flatten": bool(getattr(options, "flatten", None)),
        "no_clobber": bool(getattr(options, "no_clobber", None)),
        "if_size_differs": bool(getattr(options, "if_size_differ", None)),
        "if_source_newer": bool(getattr(options, "if_source_newer", None)),
        "verify": verify,
        "resume_downloads": not options.no_resume,
        "resume_uploads": bool(options.resume),
        "durable": bool(options.durable) or context.command == "mv",
        "direct_io": options.direct_io,
        "part_size": options.part_size,
        "max_concurrency": options.concurrency,
        "glacier": "try" if options.force_glacier_transfer else glacier,
        "dry_run": context.dry_run,
        "copies_on_server": context.is_one_store,
        "one_store": _apart.is_one_store(context.client("source"), context.client("destination")),
        "workers": context.workers,
        "manifest": None if options.manifest is None else os.fsencode(options.manifest),
        # What was asked for, where the same source means the same destination.
        "job": "\0".join([context.command, *context.arguments]).encode("utf-8", "surrogateescape"),
        **object_words(context),
    }
