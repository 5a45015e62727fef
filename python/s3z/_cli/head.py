"""`s3z head`: what the store says of an object or a bucket, as one JSON object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from s3z._cli._failures import RefusedError
from s3z._cli._object import iso
from s3z._cli._one import one_remote

if TYPE_CHECKING:
    from s3z._cli._context import Context
    from s3z._types import HeadResult

_ENCRYPTION = "x-amz-server-side-encryption"
#: headers of the object, besides those that begin with `x-amz-`
_OF_THE_OBJECT = frozenset(("cache-control", "content-disposition", "content-encoding", "content-language", "expires"))
#: of the answer, or told under other names
_NOT_TOLD = frozenset(
    f"x-amz-{name}"
    for name in (
        "access-point-alias", "bucket-region", "content-sha256", "id-2", "request-id", "sdk-checksum-algorithm",
        "server-side-encryption", "storage-class", "version-id",
    )
)  # fmt: skip


def run(context: Context) -> None:
    """Carry out `head`.

    Raises:
        RefusedError: the argument is neither an object nor a bucket.
    """
    options = context.options
    target = one_remote(context.arguments[0], raw=bool(options.raw))
    context.label, context.names = f"head {target.uri}", {"source": target.uri}
    if target.key:
        context.printer.record(_record(context.client().head(target.uri, version_id=options.version_id)))
        context.tally.done += 1
        return
    if options.version_id is not None:
        raise RefusedError("--version-id needs an object")
    context.client()._native().head_bucket(target.bucket)
    context.printer.record({"bucket": target.uri})
    context.tally.done += 1


def _record(result: HeadResult) -> dict[str, Any]:
    known = {
        "key": result.uri,
        "content_type": result.content_type,
        "server_side_encryption": result.headers.get(_ENCRYPTION),
        "last_modified": None if result.last_modified is None else iso(result.last_modified),
        "size": result.size,
        "storage_class": result.storage_class or "STANDARD",
        "version_id": result.version_id,
        "etag": result.etag,
        "metadata": dict(result.metadata),
    }
    more = {
        name.removeprefix("x-amz-").replace("-", "_"): value
        for name, value in sorted(result.headers.items())
        if name in _OF_THE_OBJECT or (name.startswith("x-amz-") and name not in _NOT_TOLD)
    }
    return {**known, **{name: value for name, value in more.items() if name not in known}}
