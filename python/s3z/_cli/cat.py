"""`s3z cat`: objects to standard output, in order, and nothing else there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from s3z._cli._failures import RefusedError
from s3z._cli._match import matches, split_wildcard
from s3z._cli._names import Remote, has_wildcard, understand
from s3z._cli._object import done, dry, iso
from s3z._cli._options import UsageError
from s3z._cli._printer import StdoutClosedError
from s3z._cli._standard import STDOUT, check_stdout
from s3z._exceptions import S3zError
from s3z._streams import cat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s3z._cli._context import Context
    from s3z._streams import Catenated

#: objects of one call into the core
_BATCH = 1000


def run(context: Context) -> None:
    """Carry out `cat`.

    Raises:
        RefusedError: an argument is no object, or matches none.
        UsageError: a range is malformed, or there is more than one object for it.
        StdoutClosedError: nobody reads any more.
    """
    options, words = context.options, _words(context)
    check_stdout()
    targets = [_target(argument) for argument in context.arguments]
    one = len(targets) == 1 and not (targets[0].is_container or (not options.raw and has_wildcard(targets[0].key)))
    if options.range is not None and not one:
        raise UsageError('option "--range" is for one object', "cat")
    if options.version_id is not None and not one:
        raise UsageError('option "--version-id" is for one object', "cat")
    batch: list[tuple[str, str]] = []
    for target in targets:
        context.label, context.names = f"cat {target.uri}", {"source": target.uri}
        for key in _keys(context, target):
            batch.append((target.bucket, key))
            if len(batch) == _BATCH:
                _write(context, batch, words)
                batch = []
    if batch:
        _write(context, batch, words)


def to_stdout(context: Context, argument: str) -> None:
    """Carry out `cp SRC -`: one object, no wildcard.

    Raises:
        RefusedError: it is none.
        StdoutClosedError: nobody reads any more.
    """
    options, target = context.options, _target(argument)
    check_stdout()
    if not target.key or (not options.raw and (target.is_container or has_wildcard(target.key))):
        raise RefusedError("only one object can be copied to standard output", hint="`s3z cat` takes many")
    context.label = label = f"cp {target.uri} -"
    context.names = names = {"source": target.uri, "destination": "-"}
    if context.dry_run:
        dry(context, label, names, _head(context, target.uri))
        return
    words: dict[str, Any] = {
        "version_id": options.version_id,
        "verify": options.verify or "auto",
        "part_size": options.part_size,
        "max_concurrency": options.concurrency,
    }
    written = _pass(context, [(target.bucket, target.key)], words)
    if written.error is not None:
        context.tally.transferred += written.written
        _check(written.error)
    result = written.last
    assert result is not None
    modified = result.last_modified
    facts = {"last_modified": None if modified is None else iso(modified), "storage_class": result.storage_class}
    done(context, label, names, result, {"key": target.uri, **facts})


def _head(context: Context, uri: str) -> int:
    """Bytes of an object that has to be there."""
    return context.client("source").head(uri, version_id=context.options.version_id).size


def _words(context: Context) -> Any:
    options = context.options
    words: dict[str, Any] = {
        "version_id": options.version_id,
        "verify": options.verify or "auto",
        "part_size": options.part_size,
        "max_concurrency": options.concurrency,
    }
    if options.range is not None:
        first, _, last = options.range.partition("-")
        if not first:
            words["tail"] = int(last)
        else:
            words["start"], words["stop"] = int(first), int(last) + 1 if last else None
    return words


def _target(argument: str) -> Remote:
    target = understand(argument)
    if not isinstance(target, Remote):
        raise RefusedError("source must be a remote object")
    return target


def _keys(context: Context, target: Remote) -> Iterator[str]:
    """What the argument stands for, in key order."""
    wild = not context.options.raw and has_wildcard(target.key)
    if not wild and target.key and (context.options.raw or not target.is_container):
        if context.dry_run:
            _head(context, target.uri)
        yield target.key
        return
    prefix = split_wildcard(target.key)[0] if wild else target.key
    pages = context.client()._native().list_objects(target.bucket, prefix, None if wild else "/")
    found = False
    while (page := pages.next_page()) is not None:
        for key, is_prefix, size, *_ in page:
            is_marker = size == 0 and key.endswith("/")
            if is_prefix or is_marker or (wild and not matches(target.key, key)):
                continue
            found = True
            yield key
    if not found:
        raise RefusedError("no object found", "not_found")


def _write(context: Context, batch: list[tuple[str, str]], words: Any) -> None:
    if context.dry_run:
        for bucket, key in batch:
            context.printer.debug(f"cat s3://{bucket}/{key}", "dry run")
        return
    written = _pass(context, batch, words)
    context.tally.done += written.done
    context.tally.transferred += written.written
    _check(written.error)


def _pass(context: Context, batch: list[tuple[str, str]], words: Any) -> Catenated:
    """Write objects; what ended it early is told with the rest."""
    progress = context.display.show if context.display.active else None
    with context.printer.lock:
        written = cat(context.client("source")._native(), batch, words, STDOUT, progress)
        if written.written:
            context.printer.in_line = not written.ends_line
    return written


def _check(error: BaseException | None) -> None:
    if isinstance(error, BrokenPipeError):
        raise StdoutClosedError
    if isinstance(error, S3zError) and error.code == "InvalidObjectState":
        raise RefusedError(f'object "s3://{error.bucket}/{error.key}" is on Glacier storage', "glacier")
    if error is not None:
        raise error
