"""`s3z uploads ls|abort`: what interrupted transfers left, at the store and beside local files (U10)."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from s3z._cli._failures import RefusedError
from s3z._cli._match import Filter, matches, split_wildcard
from s3z._cli._names import Remote, has_wildcard, understand
from s3z._cli._object import iso
from s3z._cli._options import VERBS, UsageError
from s3z._exceptions import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from s3z._cli._context import Context

_DAY = 24 * 3600.0


class _Left(NamedTuple):
    """Something that was left: at the store with an upload id, on a disk without."""

    name: str
    upload_id: str
    begun: datetime | None


def run(context: Context) -> None:
    """Carry out `uploads`.

    Raises:
        UsageError: neither `ls` nor `abort`.
        RefusedError: an option does not go with the argument.
    """
    verb, *arguments = context.arguments
    if verb not in VERBS["uploads"]:
        raise UsageError(f'"{verb}" is neither ls nor abort', "uploads")
    options, target = context.options, understand(arguments[0]) if arguments else None
    if options.upload_id is not None:
        _check_one(context, target)
    if verb == "ls":
        for name in ("older_than", "upload_id"):
            if getattr(options, name) is not None:
                raise UsageError(f'option "--{name.replace("_", "-")}" goes with abort', "uploads")
        for left in _found(context, target):
            _tell(context, left)
        return
    if options.upload_id is not None:
        assert isinstance(target, Remote)
        _abort_one(context, target, options.upload_id)
        return
    age = timedelta(seconds=_DAY if options.older_than is None else options.older_than)
    oldest = datetime.now(UTC) - age
    for left in _found(context, target):
        # What the store gives no time for is only removed when age does not matter.
        if (left.begun is None and not age) or (left.begun is not None and left.begun <= oldest):
            _abort(context, left)
        else:
            context.tally.skipped += 1
            context.printer.debug(f"abort {left.name} {left.upload_id}".rstrip(), "younger than --older-than")


def _check_one(context: Context, target: Remote | str | None) -> None:
    """Refuse what is no object that an upload could become."""
    raw = bool(context.options.raw)
    if not isinstance(target, Remote) or not target.key or (target.is_container and not raw):
        raise RefusedError("--upload-id needs the object it belongs to")
    if not raw and has_wildcard(target.key):
        raise RefusedError(f'target "{target.uri}" can not contain glob characters')


def _abort_one(context: Context, target: Remote, upload_id: str) -> None:
    """One that was named. If there is none, it was misspelt more often than not."""
    from s3z._parts import MultipartUpload

    label, names = f"abort {target.uri} {upload_id}", {"source": target.uri}
    try:
        MultipartUpload.attach(target.uri, upload_id, client=context.client()).parts(refresh=True)
    except NotFoundError as error:
        hint = "`s3z uploads ls` shows those there are"
        if error.code == "NoSuchBucket":
            context.fail(label, error, names)
        else:
            context.fail(label, RefusedError(f'given upload "{upload_id}" not found', "not_found", hint), names)
        return
    _abort(context, _Left(target.uri, upload_id, None))


def _found(context: Context, target: Remote | str | None) -> Iterator[_Left]:
    if isinstance(target, str):
        keeps = _filter(context, "")
        return (left for left in _on_disk(target) if keeps(left.name.rpartition("/")[2]))
    return _noted(context) if target is None else _at_store(context, target)


def _filter(context: Context, prefix: str) -> Callable[[str], bool]:
    """Whether `--include` and `--exclude` keep a name below a prefix."""
    return Filter(context.options.include, context.options.exclude, prefix).keeps


def _noted(context: Context) -> Iterator[_Left]:
    """What s3z remembers of uploads that it began here."""
    keeps = _filter(context, "")
    for info in context.client().list_uploads():
        if keeps(info.key):
            yield _Left(info.uri, info.upload_id, info.initiated)


def _at_store(context: Context, target: Remote) -> Iterator[_Left]:
    wild = not context.options.raw and has_wildcard(target.key)
    prefix = split_wildcard(target.key)[0] if wild else target.key
    keeps = _filter(context, prefix)
    for info in context.client().list_uploads(f"s3://{target.bucket}/{prefix}"):
        if (not wild or matches(target.key, info.key)) and keeps(info.key):
            yield _Left(info.uri, info.upload_id, info.initiated)


def _on_disk(directory: str) -> Iterator[_Left]:
    """Hidden files of downloads that nobody is writing."""
    import fcntl

    with os.scandir(directory) as entries:
        names = sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))
    for name in names:
        if not (name.startswith(".s3z-") and name.endswith((".part", ".ledger"))):
            continue
        path = os.path.join(directory, name)  # noqa: PTH118 - names are bytes here
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            modified = os.fstat(descriptor).st_mtime
        except BlockingIOError:
            continue  # a download is under way
        finally:
            os.close(descriptor)
        yield _Left(path, "", datetime.fromtimestamp(modified, UTC))


def _tell(context: Context, left: _Left) -> None:
    if context.options.json:
        begun = None if left.begun is None else iso(left.begun)
        context.printer.record({"key": left.name, "upload_id": left.upload_id or None, "initiated": begun})
        return
    time = "" if left.begun is None else f"{left.begun:%Y/%m/%d %H:%M:%S}"
    context.printer.data(f"{time:19}  {left.upload_id or '-'}  {left.name}")


def _abort(context: Context, left: _Left) -> None:
    label = f"abort {left.name} {left.upload_id}".rstrip()
    names = {"source": left.name}
    record = {"operation": "abort", "success": True, **names, "upload_id": left.upload_id or None}
    try:
        if context.dry_run:
            record["dry_run"] = True
        elif left.upload_id:
            context.client().abort_upload(left.name, left.upload_id)
        else:
            os.unlink(left.name)  # noqa: PTH108 - names are bytes here
    except Exception as error:
        context.fail(label, error, names)
        return
    context.tally.done += 1
    context.printer.result(label, record)
