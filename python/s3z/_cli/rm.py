"""`s3z rm`: objects in batches, or local files; every name has its own outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from s3z._cli._batch import drive
from s3z._cli._failures import RefusedError
from s3z._cli._files_from import Unfit, from_files, tell
from s3z._cli._files_from import check_options as check_files_from
from s3z._cli._links import Links
from s3z._cli._many import Source, not_regular, understand_source
from s3z._cli._match import split_wildcard
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
    if context.options.all_versions and not remote:
        raise UsageError('option "--all-versions" needs a remote argument', "rm")
    named: list[dict[str, Any]] = []
    for argument in context.arguments:
        label = f"rm {argument}"
        try:
            source, unfit = _selected(context, argument)
        except (RefusedError, OSError) as error:
            context.fail(label, error, {"source": argument})
            continue
        tell(context, unfit)
        if source.words is None:
            context.fail(label, RefusedError("no object found", "not_found"), {"source": argument})
        elif source.words["kind"] == "named" and source.is_remote:
            named.append(source.words)
        elif not unfit or source.words["entries"]:
            _remove(context, source, argument)
    if named:
        entries = [entry for words in named for entry in words["entries"]]
        drive(context, _request(context, {"kind": "named", "entries": entries}))
    if context.command == "rm":
        context.tally.done += context.tally.deleted


def _request(context: Context, selection: dict[str, Any]) -> dict[str, Any]:
    return {"operation": "rm", "selections": [selection], "dry_run": context.dry_run}


def _remove(context: Context, source: Source, argument: str) -> None:
    """Remove what one argument selects; errors that name nothing else are of this argument."""
    assert source.words is not None
    before = context.tally.failed
    whole = context.label, context.names
    context.label, context.names = f"rm {argument}", {"source": argument}
    try:
        counts = drive(context, _request(context, source.words))
        if counts["found"] or context.tally.failed > before:
            return
        if source.words.get("exact"):
            _gone_before(context)
        else:
            context.fail(context.label, RefusedError("no object found", "not_found"), context.names)
    finally:
        context.label, context.names = whole


def _gone_before(context: Context) -> None:
    """A key of which there is no version counts as removed."""
    context.tally.deleted += 1
    record = {"operation": "rm", "success": True, **(context.names or {})}
    context.printer.result(context.label, {**record, "dry_run": True} if context.dry_run else record)


def _check_options(context: Context) -> None:
    options = context.options
    if options.all_versions and options.version_id is not None:
        raise UsageError('options "--all-versions" and "--version-id" exclude each other', "rm")
    if options.version_id is not None and len(context.arguments) > 1:
        raise UsageError('option "--version-id" takes one argument', "rm")
    check_files_from(context)
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


def _selected(context: Context, argument: str) -> tuple[Source, list[Unfit]]:
    target = understand(argument)
    if isinstance(target, str):
        _check_links(context, target)
    if context.options.files_from is not None:
        return from_files(context, argument)
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


def _check_links(context: Context, path: str) -> None:
    """Refuse a path that is a link, or leads through one.

    Raises:
        RefusedError: it is.
        OSError: a part of it cannot be looked at.
    """
    if not context.options.raw and has_wildcard(path):
        path = split_wildcard(path)[1]
    link = Links().first(path)
    if link is None:
        return
    if link == path.rstrip("/"):
        raise not_regular(path)
    raise RefusedError(
        f'object "{path}" is behind the symbolic link "{link}"', "not_regular_file", hint="name it by its real path"
    )
