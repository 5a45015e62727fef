"""`s3z sync`: make the destination hold what the source holds, one way; nothing is deleted unless all went well."""

# names are bytes here, and pathlib would cost start-up time
# ruff: noqa: PTH112, PTH118
from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from s3z import _sides
from s3z._cli._batch import drive
from s3z._cli._failures import RefusedError
from s3z._cli._many import Source, check_apart, goal, keys, understand_source, understand_target
from s3z._cli._match import split_wildcard
from s3z._cli._names import Remote, as_directory
from s3z._cli._options import UsageError
from s3z._cli.cp import check_options, transfer_words

if TYPE_CHECKING:
    from s3z._cli._context import Context


def run(context: Context) -> None:
    """Carry out `sync`.

    Raises:
        RefusedError: the arguments are no two sides, or deleting would be unsafe.
        UsageError: an option says nothing about these sides, or needs another.
    """
    options = context.options
    first, second = context.arguments
    target = understand_target(context, second)
    for name in ("max_delete", "force"):
        value = getattr(options, name)
        if value is not None and value is not False and not options.delete:
            raise UsageError(f'option "--{name.replace("_", "-")}" needs --delete', "sync")
    compare = comparison(context, to_files=isinstance(target, str))
    source = understand_source(context, first, to_files=isinstance(target, str), stats=True)
    check_options(context, source, target)
    place = goal(source, target, second)
    check_apart(context, source, target)
    if options.delete:
        _check_delete(source, target)
    if source.words is None:
        raise RefusedError("no object found", "not_found")
    if not source.is_many:
        _one(context, source, place)
        return
    place, compared = sides(context, source, target)
    request: dict[str, Any] = {
        **transfer_words(context, source),
        "operation": "sync",
        "goal": place,
        "compared": compared,
        "compare": compare,
        "delete": bool(options.delete),
        "max_delete": options.max_delete,
        "force": bool(options.force),
        "exit_on_error": bool(options.exit_on_error),
    }
    counts = drive(context, request, context.client("source"), context.client("destination"))
    if counts["held_back"]:
        count = counts["held_back"]
        text = "1 deletion was held back" if count == 1 else f"{count} deletions were held back"
        context.printer.warning(context.label, f"{text}: not everything before went well")
    if not counts["found"] and not context.tally.failed and not (options.delete and options.force):
        if options.delete:
            raise RefusedError("the source selects nothing: --delete needs --force then", "not_found")
        if source.is_remote:
            raise nothing_found(source)


def comparison(context: Context, *, to_files: bool) -> str:
    """How pairs of one size are compared."""
    options = context.options
    if options.size_only:
        return "size"
    if options.exact_timestamps and to_files:
        return "times"
    return options.checksum or "newer"


def _check_delete(source: Source, target: Remote | str) -> None:
    if not source.is_many:
        raise RefusedError("--delete needs a directory, a prefix or a wildcard as source")
    if isinstance(target, Remote):
        return
    what = _sides.protected(target)
    if what is not None:
        raise RefusedError(f'target "{target}" is {what}: nothing is deleted there')


def sides(
    context: Context, source: Source, target: Remote | str
) -> tuple[tuple[str, bytes, bytes, bool], dict[str, Any]]:
    """The place that is compared, and what of it takes part; the source's relative names are made to fit.

    Raises:
        RefusedError: the destination is local, and no directory.
    """
    assert source.words is not None
    filters = {name: source.words.get(name) for name in ("include", "exclude")}
    prefix = source.words.get("name_prefix") or b""
    if prefix:
        source.words["name_prefix"] = b""
    # Both sides are matched by the name below the compared place.
    if source.words["kind"] == "keys":
        strip = source.words["strip"]
        source.words["filter_prefix"] = source.words["prefix"].encode()[:strip]
    elif source.words["kind"] == "matches":
        assert isinstance(source.target, str)
        source.words["filter_prefix"] = os.fsencode(split_wildcard(source.target)[1])
    if isinstance(target, Remote):
        key = target.key + os.fsdecode(prefix)
        # Markers were copied if the source is remote, so they are there to be compared.
        compared = keys(context, Remote(target.bucket, ""), markers=not source.is_remote)
        compared |= {"prefix": key, "strip": len(key.encode()), "filter_prefix": key.encode(), **filters}
        return ("remote", target.bucket.encode(), key.encode(), False), compared
    if os.path.lexists(target) and not os.path.isdir(target):
        raise RefusedError(f'target "{target}" is not a directory')
    root = os.fsencode(target)
    tree = {
        "kind": "tree",
        "directory": True,
        "root": root,
        "name_prefix": b"",
        "follow": False,
        "stats": True,
        "may_be_missing": True,
        **filters,
    }
    return ("local", b"", root, False), tree


def one_side(
    context: Context, source: Source, place: tuple[str, bytes, bytes, bool]
) -> tuple[tuple[str, bytes, bytes, bool], dict[str, Any], bytes]:
    """Of one object or file: its place, what of the destination is compared, and the name on both sides."""
    kind, bucket, name, exact = place
    shown = source.target.uri if isinstance(source.target, Remote) else source.target
    base = shown.rpartition("/")[2]
    if kind == "local":
        path = os.fsdecode(name)
        target = context.arguments[1]
        if not os.path.isdir(target) and not as_directory(target):
            # A local destination is always a directory.
            path = os.path.join(target, base)
        directory, base_name = os.path.split(path)
        compared: dict[str, Any] = {
            "kind": "tree",
            "root": os.fsencode(path),
            "follow": False,
            "stats": True,
            "may_be_missing": True,
        }
        return ("local", b"", os.fsencode(directory or "."), False), compared, os.fsencode(base_name)
    key = os.fsdecode(name) + ("" if exact else base)
    relative = (key.rpartition("/")[2] if exact else base).encode()
    compared = {
        "kind": "keys",
        "bucket": bucket.decode(),
        "prefix": key,
        "exact": True,
        "file_name": relative,
    }
    return place, compared, relative


def _one(context: Context, source: Source, place: tuple[str, bytes, bytes, bool]) -> None:
    """One object or file: that one name is compared."""
    compare = comparison(context, to_files=place[0] == "local")
    place, compared, relative = one_side(context, source, place)
    assert source.words is not None
    words = listed(source, relative)
    request: dict[str, Any] = {
        **transfer_words(context, Source(words, source.target, is_many=False)),
        "operation": "sync",
        "goal": place,
        "compared": compared,
        "compare": compare,
        "exit_on_error": bool(context.options.exit_on_error),
    }
    counts = drive(context, request, context.client("source"), context.client("destination"))
    if not counts["found"] and not counts["skipped"] and not context.tally.failed:
        raise nothing_found(source)


def nothing_found(source: Source) -> RefusedError:
    """What is said of a source that holds nothing: by name if it is one object."""
    if isinstance(source.target, Remote) and not source.is_many:
        return RefusedError(f'given object "{source.target.uri}" not found', "not_found")
    return RefusedError("no object found", "not_found")


def listed(source: Source, relative: bytes) -> dict[str, Any]:
    """The one source as a listing tells it: with its size and time."""
    if isinstance(source.target, Remote):
        return {
            "kind": "keys",
            "bucket": source.target.bucket,
            "prefix": source.target.key,
            "exact": True,
            "file_name": relative,
        }
    if source.words is not None and source.words["kind"] == "matches":
        # A link that is skipped.
        return source.words
    return {"kind": "tree", "root": os.fsencode(source.target), "file_name": relative, "stats": True, "follow": True}
