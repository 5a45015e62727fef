"""`s3z cp`: one object, a file to S3 or S3 to a file."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from s3z._cli import pipe
from s3z._cli._failures import RefusedError
from s3z._cli._names import Remote, as_directory, download_path, has_wildcard, understand, upload_key
from s3z._cli._object import HEADERS, done, dry, iso, skip, store
from s3z._cli._options import UsageError
from s3z._exceptions import NotFoundError
from s3z._units import MIB

if TYPE_CHECKING:
    from s3z._cli._context import Context
    from s3z._types import DownloadResult

_LATER = "is not available yet: name one object"


def run(context: Context) -> None:
    """Carry out `cp`.

    Raises:
        RefusedError: the arguments are not those of one transfer.
    """
    if context.arguments[0] == "-":
        pipe.run(context)
        return
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
    if second == "-":
        raise RefusedError("copying to stdout is not available yet")
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
    if context.options.expected_size is not None:
        raise UsageError('option "--expected-size" is for stdin', "cp")
    if context.options.version_id is not None:
        raise UsageError('option "--version-id" needs a remote source', "cp")


def _download(context: Context, source: Remote, destination: str) -> None:
    options, target = context.options, download_path(source, destination)
    _refuse_headers(context)
    context.label = label = f"cp {source.uri} {target}"
    context.names = names = {"source": source.uri, "destination": target}
    if options.no_clobber and os.path.lexists(target):
        skip(context, label, names)
        return
    client = context.client()
    if context.dry_run:
        found = _named(source, lambda: client.head(source.uri, version_id=options.version_id))
        dry(context, label, names, found.size)
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
        skip(context, label, names)
        return
    done(context, label, names, result, {"key": source.uri, **_facts(result)})


def _facts(result: DownloadResult) -> dict[str, Any]:
    return {
        "last_modified": None if result.last_modified is None else iso(result.last_modified),
        "storage_class": result.storage_class or "STANDARD",
    }


def _refuse_headers(context: Context) -> None:
    """Options of an object to be written mean nothing for a file: an error, never ignored."""
    for name in (*HEADERS, "checksum_algorithm", "metadata", "expires"):
        if getattr(context.options, name) is not None:
            raise UsageError(f'option "--{name.replace("_", "-")}" needs a remote destination', "cp")


def _upload(context: Context, source: str, destination: Remote) -> None:
    target = Remote(destination.bucket, upload_key(source, destination))
    context.label = f"cp {source} {target.uri}"
    context.names = names = {"source": source, "destination": target.uri}
    store(context, source, target, names, lambda: os.stat(source).st_size)  # noqa: PTH116


def _named(source: Remote, call: Any) -> Any:
    """What `call` returns; a missing key is reported by the name that was given."""
    try:
        return call()
    except NotFoundError as error:
        if error.code in (None, "NoSuchKey", "NotFound", "404"):
            error.args = (f'given object "{source.uri}" not found',)
        raise
