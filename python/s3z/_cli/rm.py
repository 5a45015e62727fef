"""`s3z rm`: objects in batches, or local files; every name has its own outcome."""

# names are bytes here, and pathlib would cost start-up time
# ruff: noqa: PTH114
from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from s3z._cli._batch import drive
from s3z._cli._failures import RefusedError
from s3z._cli._many import Source, from_files, understand_source
from s3z._cli._names import Remote, has_wildcard, understand
from s3z._cli._options import UsageError

if TYPE_CHECKING:
    from s3z._cli._context import Context


def run(context: Context) -> None:
    """Carry out `rm`.

    Raises:
        RefusedError: the arguments are not those of one removal.
        UsageError: options exclude each other.
    """
    _check_options(context)
    targets = [understand(argument) for argument in context.arguments]
    remote = [target for target in targets if isinstance(target, Remote)]
    if remote and len(remote) != len(targets):
        raise RefusedError("arguments cannot have both local and remote sources")
    if len({target.bucket for target in remote}) > 1:
        raise RefusedError("removal of objects with different buckets in a single command is not allowed")
    for target in remote:
        _check_remote(context, target)
    named: list[dict[str, Any]] = []
    for argument in context.arguments:
        label = f"rm {argument}"
        try:
            source, bad = _selected(context, argument)
        except RefusedError as error:
            context.fail(label, error, {"source": argument})
            continue
        for name, why in bad:
            context.fail(f"rm {name}", RefusedError(f'"{name}": {why}', "unsafe_key"), {"source": name})
        if source.words is None:
            context.fail(label, RefusedError("no object found", "not_found"), {"source": argument})
        elif source.words["kind"] == "named" and source.is_remote:
            named.append(source.words)
        else:
            _remove(context, [source.words], argument)
    if named:
        entries = [entry for words in named for entry in words["entries"]]
        _remove(context, [{"kind": "named", "entries": entries}], None)
    if context.command == "rm":
        context.tally.done += context.tally.deleted


def _remove(context: Context, selections: list[dict[str, Any]], argument: str | None) -> None:
    before = context.tally.failed
    request = {"operation": "rm", "selections": selections, "dry_run": context.dry_run}
    counts = drive(context, request)
    if argument is not None and not counts["found"] and context.tally.failed == before:
        context.fail(f"rm {argument}", RefusedError("no object found", "not_found"), {"source": argument})


def _check_options(context: Context) -> None:
    options = context.options
    if options.all_versions and options.version_id is not None:
        raise UsageError('options "--all-versions" and "--version-id" exclude each other', "rm")
    if options.version_id is not None and len(context.arguments) > 1:
        raise UsageError('option "--version-id" takes one argument', "rm")
    if options.null and options.files_from is None:
        raise UsageError('option "--null" needs --files-from', "rm")
    if options.files_from is not None and len(context.arguments) > 1:
        raise UsageError('option "--files-from" takes one argument', "rm")


def _check_remote(context: Context, target: Remote) -> None:
    options = context.options
    if options.files_from is not None or options.recursive:
        return
    wild = not options.raw and has_wildcard(target.key)
    if target.is_container and not wild and not (options.raw and target.key):
        raise RefusedError(
            "s3 bucket/prefix cannot be used for delete operations (forgot wildcard character?)",
            hint=f'add * or --recursive: "{target.uri.rstrip("/")}/*"',
        )


def _selected(context: Context, argument: str) -> tuple[Source, list[tuple[str, str]]]:
    if context.options.files_from is not None:
        return from_files(context, argument)
    target = understand(argument)
    if isinstance(target, str) and os.path.islink(target):
        raise RefusedError(f'object "{target}" is not a regular file', "not_regular_file")
    try:
        source = understand_source(context, argument, to_files=False)
    except RefusedError as error:
        if error.kind == "not_found" and isinstance(target, str):
            raise RefusedError("no object found", "not_found") from None
        raise
    if source.words is not None and not source.is_remote:
        source.words["follow"] = False
    if source.words is not None and source.words["kind"] == "keys":
        source.words["all"] = True
    if source.words is not None and source.is_remote and context.options.all_versions:
        if source.words["kind"] == "named":
            # Exactly that key, whatever else begins like it.
            assert isinstance(source.target, Remote)
            key = source.target.key
            words = {"kind": "keys", "bucket": source.target.bucket, "prefix": key, "exact": True, "versions": True}
            return Source(words, source.target, is_many=False), []
        source.words["versions"] = True
    return source, []
