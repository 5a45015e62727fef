"""`s3z cp` and `s3z mv`: one object or any number, from files, to files, or from S3 to S3."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from s3z import _apart
from s3z._cli import pipe
from s3z._cli._batch import drive, object_words
from s3z._cli._failures import RefusedError
from s3z._cli._files_from import Unfit, from_files, tell
from s3z._cli._files_from import check_options as check_files_from
from s3z._cli._many import Source, check_apart, goal, understand_source, understand_target
from s3z._cli._names import Remote
from s3z._cli._object import HEADERS
from s3z._cli._options import COMMANDS, UsageError
from s3z._units import MIB

if TYPE_CHECKING:
    from s3z._cli._context import Context

_OF_OBJECTS = (*HEADERS, "checksum_algorithm", "metadata", "expires", "metadata_directive")
_SIDE = ("region", "profile", "endpoint_url")
#: options that say something of standard input as the source
_OF_INPUT = frozenset(
    (
        *HEADERS, "checksum_algorithm", "metadata", "expires", "concurrency", "part_size", "expected_size", "raw",
        "no_clobber", *(f"destination_{name}" for name in _SIDE),
    )
)  # fmt: skip
#: and of standard output as the destination
_OF_OUTPUT = frozenset(
    ("concurrency", "part_size", "verify", "version_id", "raw", *(f"source_{name}" for name in _SIDE))
)

_OF_SIDES = ("region", "profile", "endpoint_url")


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
    unfit: list[Unfit] = []
    check_files_from(context)
    if context.options.files_from is not None:
        source, unfit = from_files(context, first)
    else:
        source = understand_source(context, first, to_files=isinstance(target, str))
    check_options(context, source, target)
    place = goal(source, target, second)
    check_apart(context, source, target)
    _name(context, source, place)
    tell(context, unfit)
    if source.words is None:
        raise RefusedError("no object found", "not_found")
    request = {**transfer_words(context, source), "operation": context.command, "goal": place}
    counts = drive(context, request, context.client("source"), context.client("destination"))
    if not counts["found"] and not context.tally.failed and (source.is_remote or not source.is_many):
        raise RefusedError("no object found", "not_found")


def _standard_streams(context: Context, first: str) -> None:
    if context.command == "mv":
        raise RefusedError("mv cannot move standard input or output")
    what, known = ("input", _OF_INPUT) if first == "-" else ("output", _OF_OUTPUT)
    for option in COMMANDS["cp"][0]:
        value = getattr(context.options, option.dest, None)
        if value is not None and value is not False and option.dest not in known:
            raise UsageError(f'option "--{option.name}" says nothing of standard {what}', "cp")
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


def _refuse(context: Context, names: tuple[str, ...], needs: str) -> None:
    for name in names:
        if getattr(context.options, name, None) is not None:
            raise UsageError(f'option "--{name.replace("_", "-")}" needs {needs}', context.command)


def check_sides(context: Context, source: Source, target: Remote | str) -> None:
    """Refuse options of a side that is local.

    Raises:
        UsageError: there is one.
    """
    if isinstance(target, str):
        _refuse(context, tuple(f"destination_{name}" for name in _OF_SIDES), "a remote destination")
    if not source.is_remote:
        _refuse(context, tuple(f"source_{name}" for name in _OF_SIDES), "a remote source")


def check_options(context: Context, source: Source, target: Remote | str) -> None:
    """Refuse options that say nothing about these sides: an error, never ignored.

    Raises:
        UsageError: there is one.
    """
    options, command = context.options, context.command
    to_remote = isinstance(target, Remote)

    def refuse(names: tuple[str, ...], needs: str) -> None:
        _refuse(context, names, needs)

    check_sides(context, source, target)
    if not to_remote:
        refuse(_OF_OBJECTS, "a remote destination")
        refuse(("resume",), "a local source")
    if not source.is_remote:
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


def _job(context: Context) -> bytes:
    """What was asked for, so that the same source means the same destination: with both stores, and whole paths."""
    stores = (context.client(side).endpoint_url or "" for side in ("source", "destination"))
    here = os.getcwd()  # noqa: PTH109 - names are bytes, and pathlib would cost start-up time
    places = (each if each.startswith("s3://") else os.path.join(here, each) for each in context.arguments)  # noqa: PTH118
    return "\0".join([context.command, *stores, *places]).encode("utf-8", "surrogateescape")


def transfer_words(context: Context, source: Source) -> dict[str, Any]:
    """What the options say of every transfer, in the words of the core."""
    options = context.options
    verify = options.verify or "auto"
    # What the environment says holds where the command line says nothing, and never for what removes its source.
    is_open = options.verify is None and context.command != "mv"
    if is_open and context.client("source")._settings.response_checksum_validation.value == "when_required":
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
        "job": _job(context),
        **object_words(context),
    }
