"""`s3z cp`: one object, a file to S3 or S3 to a file."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from s3z._cli._failures import RefusedError
from s3z._cli._names import Remote, as_directory, download_path, has_wildcard, understand, upload_key
from s3z._cli._options import UsageError
from s3z._exceptions import AlreadyExistsError, NotFoundError, ServiceError
from s3z._log import warn
from s3z._units import MIB

if TYPE_CHECKING:
    from s3z._cli._context import Context
    from s3z._types import DownloadResult, UploadResult

_HEADERS = (
    "storage_class", "acl", "sse", "sse_kms_key_id", "content_type", "content_encoding", "content_disposition",
    "cache_control",
)  # fmt: skip
_LATER = "is not available yet: name one object"


def run(context: Context) -> None:
    """Carry out `cp`.

    Raises:
        RefusedError: the arguments are not those of one transfer.
    """
    source, destination = _endpoints(context)
    if isinstance(source, Remote):
        assert isinstance(destination, str)
        _download(context, source, destination)
    else:
        assert isinstance(destination, Remote)
        _upload(context, source, destination)


def _endpoints(context: Context) -> tuple[Remote | str, Remote | str]:
    """Both arguments, after the checks that need no request.

    Raises:
        RefusedError: see `cli.md` 2.4 and 5.2.
    """
    first, second = context.arguments
    if "-" in (first, second):
        raise RefusedError("copying from stdin or to stdout is not available yet")
    raw = bool(context.options.raw)
    source, destination = understand(first), understand(second)
    name = destination if isinstance(destination, str) else destination.key
    if not raw and has_wildcard(name):
        raise RefusedError(f'target "{second}" can not contain glob characters')
    if isinstance(source, str) and isinstance(destination, str):
        raise RefusedError("local->local copy operations are not permitted")
    if isinstance(source, Remote):
        _check_remote_source(source, destination, raw=raw)
    elif isinstance(destination, Remote):
        _check_local_source(context, source, destination, raw=raw)
    return source, destination


def _check_remote_source(source: Remote, destination: Remote | str, *, raw: bool) -> None:
    wild = not raw and has_wildcard(source.key)
    if not wild and source.is_container and not (raw and source.key):
        hint = f'to copy all that is in it, "{source.uri.rstrip("/")}/*" will do, once wildcards are available'
        raise RefusedError("source argument must contain wildcard character", hint=hint)
    if wild and isinstance(destination, Remote) and not destination.is_container:
        raise RefusedError(f'target "{destination.uri}" must be a bucket or a prefix')
    if wild:
        raise RefusedError(f"copying by wildcard {_LATER}", hint="--raw takes * and ? as ordinary characters")
    if isinstance(destination, Remote):
        raise RefusedError("copying from S3 to S3 is not available yet")


def _check_local_source(context: Context, source: str, destination: Remote, *, raw: bool) -> None:
    many = not raw and has_wildcard(source)
    mode = None
    if not many:
        try:
            mode = os.stat(source).st_mode  # noqa: PTH116 - names are bytes here
        except (FileNotFoundError, NotADirectoryError):
            raise RefusedError(f'given object "{source}" not found', "not_found") from None
    directory = mode is not None and stat.S_ISDIR(mode)
    if (many or directory) and not destination.is_container:
        raise RefusedError(f'target "{destination.uri}" must be a bucket or a prefix')
    if many or directory:
        raise RefusedError(f"copying {'a directory' if directory else 'by wildcard'} {_LATER}")
    if as_directory(source) or (mode is not None and not stat.S_ISREG(mode)):
        raise RefusedError(f'object "{source}" is not a regular file', "not_regular_file")
    size = context.options.part_size
    if size is not None and size < 5 * MIB:
        raise UsageError('option "--part-size": at least 5M for uploads', "cp")
    if context.options.version_id is not None:
        raise UsageError('option "--version-id" needs a remote source', "cp")


def _download(context: Context, source: Remote, destination: str) -> None:
    options, target = context.options, download_path(source, destination)
    _refuse_headers(context)
    context.label = label = f"cp {source.uri} {target}"
    context.names = names = {"source": source.uri, "destination": target}
    if options.no_clobber and os.path.lexists(target):
        _skip(context, label, names)
        return
    client = context.client()
    if context.dry_run:
        found = _named(source, lambda: client.head(source.uri, version_id=options.version_id))
        _dry(context, label, names, found.size)
        return
    try:
        result: DownloadResult = _named(
            source,
            lambda: client.download(
                source.uri,
                target,
                version_id=options.version_id,
                verify=options.verify or "auto",
                resume=not options.no_resume,
                overwrite=not options.no_clobber,
                part_size=options.part_size,
                max_concurrency=options.concurrency,
                progress=context.display.show if context.display.active else None,
            ),
        )
    except FileExistsError:
        if not options.no_clobber:
            raise
        _skip(context, label, names)
        return
    _done(context, label, names, result, {"key": source.uri, **_facts(result)})


def _facts(result: DownloadResult) -> dict[str, Any]:
    return {
        "last_modified": None if result.last_modified is None else iso(result.last_modified),
        "storage_class": result.storage_class or "STANDARD",
    }


def iso(moment: datetime) -> str:
    """A UTC time as `2026-05-01T08:00:00Z`."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _refuse_headers(context: Context) -> None:
    """Options of an object to be written mean nothing for a file: an error, never ignored."""
    for name in (*_HEADERS, "metadata", "expires"):
        if getattr(context.options, name) is not None:
            raise UsageError(f'option "--{name.replace("_", "-")}" needs a remote destination', "cp")


def _upload(context: Context, source: str, destination: Remote) -> None:
    options = context.options
    target = Remote(destination.bucket, upload_key(source, destination))
    context.label = label = f"cp {source} {target.uri}"
    context.names = names = {"source": source, "destination": target.uri}
    client = context.client()
    if options.no_clobber and client.exists(target.uri):
        _skip(context, label, names)
        return
    if context.dry_run:
        _dry(context, label, names, os.stat(source).st_size)  # noqa: PTH116
        return
    try:
        result = _send(context, source, target)
    except AlreadyExistsError:
        if not options.no_clobber:
            raise
        _skip(context, label, names)
        return
    _done(context, label, names, result, {"key": target.uri, "storage_class": options.storage_class or "STANDARD"})


def _send(context: Context, source: str, target: Remote) -> UploadResult:
    options, client = context.options, context.client()
    headers = {name: getattr(options, name) for name in _HEADERS}
    expires = None if options.expires is None else datetime.fromisoformat(options.expires)

    def send(condition: str | None) -> UploadResult:
        return client.upload(
            source,
            target.uri,
            **headers,
            expires=expires,
            metadata=dict(options.metadata) if options.metadata else None,
            if_none_match=condition,
            part_size=options.part_size,
            max_concurrency=options.concurrency,
            progress=context.display.show if context.display.active else None,
        )

    if not options.no_clobber:
        return send(None)
    try:
        return send("*")
    except ServiceError as error:
        if error.status != 501:
            raise
        warn("the store has no conditional writes; that nothing was there is known from before the upload only")
        return send(None)


def _named(source: Remote, call: Any) -> Any:
    """What `call` returns; a missing key is reported by the name that was given."""
    try:
        return call()
    except NotFoundError as error:
        if error.code in (None, "NoSuchKey", "NotFound", "404"):
            error.args = (f'given object "{source.uri}" not found',)
        raise


def _done(
    context: Context, label: str, names: dict[str, str], result: DownloadResult | UploadResult, facts: dict[str, Any]
) -> None:
    tally, kind = context.tally, result.verified.kind
    tally.done += 1
    tally.transferred += result.bytes - result.resumed_bytes
    tally.resumed += result.resumed_bytes
    tally.verified[kind] = tally.verified.get(kind, 0) + 1
    record = {
        "operation": "cp",
        "success": True,
        **names,
        "object": {"key": facts.pop("key"), "type": "file", "size": result.bytes, "etag": result.etag, **facts},
        "version_id": result.version_id,
        "verified": str(result.verified),
        "attempts": result.attempts,
        "resumed_bytes": result.resumed_bytes,
        "seconds": round(result.seconds, 3),
    }
    context.printer.result(label, record)


def _dry(context: Context, label: str, names: dict[str, str], size: int) -> None:
    context.tally.done += 1
    record = {"operation": "cp", "success": True, "dry_run": True, **names, "object": {"type": "file", "size": size}}
    context.printer.result(label, record)


def _skip(context: Context, label: str, names: dict[str, str]) -> None:
    context.tally.skipped += 1
    context.printer.debug(label, "object already exists")
    if context.options.json:
        record = {"operation": "cp", "success": True, "skipped": True, "reason": "exists", **names}
        context.printer.result(label, record)
