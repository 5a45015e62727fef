"""One object of a command: how it is sent with its headers, and what is told of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from s3z._exceptions import AlreadyExistsError, ServiceError
from s3z._log import warn

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3z._cli._context import Context
    from s3z._cli._names import Remote
    from s3z._types import DownloadResult, UploadResult

HEADERS = (
    "storage_class", "acl", "sse", "sse_kms_key_id", "content_type", "content_encoding", "content_disposition",
    "cache_control",
)  # fmt: skip


def iso(moment: datetime) -> str:
    """A UTC time as `2026-05-01T08:00:00Z`."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def store(context: Context, source: Any, target: Remote, names: dict[str, str], size: Callable[[], int | None]) -> None:
    """Make `target` of a file or of standard input, and tell it; `size` is asked for a dry run."""
    options, label, client = context.options, context.label, context.client("destination")
    if options.no_clobber and client.exists(target.uri):
        skip(context, label, names)
        return
    if context.dry_run:
        dry(context, label, names, size(), target.uri)
        return
    try:
        result = _send(context, source, target)
    except AlreadyExistsError:
        if not options.no_clobber:
            raise
        skip(context, label, names)
        return
    done(context, label, names, result, {"key": target.uri, "storage_class": options.storage_class or "STANDARD"})


def _send(context: Context, source: Any, target: Remote) -> UploadResult:
    """Upload `source` with the options of the object."""
    options, client = context.options, context.client("destination")
    headers = {name: getattr(options, name) for name in HEADERS}
    expires = None if options.expires is None else datetime.fromisoformat(options.expires)

    def send(condition: str | None) -> UploadResult:
        return client.upload(
            source,
            target.uri,
            **headers,
            expires=expires,
            checksum=options.checksum_algorithm,
            metadata=dict(options.metadata) if options.metadata else None,
            if_none_match=condition,
            part_size=options.part_size,
            expected_size=options.expected_size,
            max_concurrency=options.concurrency,
            resume=bool(getattr(options, "resume", None)),
            progress=context.display.show if context.display.active else None,
        )

    if not options.no_clobber:
        return send(None)
    try:
        return send("*")
    except ServiceError as error:
        if error.status != 501 or not isinstance(source, str):  # what came from stdin is gone
            raise
        warn("the store has no conditional writes; that nothing was there is known from before the upload only")
        return send(None)


def done(
    context: Context, label: str, names: dict[str, str], result: DownloadResult | UploadResult, facts: dict[str, Any]
) -> None:
    """Count and tell what was transferred."""
    tally, kind = context.tally, result.verified.kind
    tally.done += 1
    tally.transferred += result.bytes - result.resumed_bytes
    tally.resumed += result.resumed_bytes
    tally.verified[kind] = tally.verified.get(kind, 0) + 1
    record = {
        "operation": context.command,
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


def dry(context: Context, label: str, names: dict[str, str], size: int | None, key: str | None = None) -> None:
    """Say what would have been done, with the key of an object that would have been made."""
    context.tally.done += 1
    record = {
        "operation": context.command,
        "success": True,
        "dry_run": True,
        **names,
        "object": {"key": key, "type": "file", "size": size},
    }
    context.printer.result(label, record)


def skip(context: Context, label: str, names: dict[str, str]) -> None:
    """Count and tell what is there already."""
    context.tally.skipped += 1
    context.printer.debug(label, "object already exists")
    if context.options.json:
        record = {"operation": context.command, "success": True, "skipped": True, "reason": "exists", **names}
        context.printer.result(label, record)
