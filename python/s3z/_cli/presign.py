"""`s3z presign`: a URL that fetches one object without keys."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from s3z._cli._failures import RefusedError
from s3z._cli._object import iso
from s3z._cli._one import one_remote

if TYPE_CHECKING:
    from s3z._cli._context import Context

_DEFAULT = 3 * 3600


def run(context: Context) -> None:
    """Carry out `presign`.

    Raises:
        RefusedError: the argument is no object.
    """
    options = context.options
    target = one_remote(context.arguments[0], raw=bool(options.raw))
    if not target.key:
        raise RefusedError(f'source "{target.uri}" must be an object')
    context.label, context.names = f"presign {target.uri}", {"source": target.uri}
    seconds = _DEFAULT if options.expire is None else options.expire
    url = context.client().presign(target.uri, expires=seconds, version_id=options.version_id)
    context.tally.done += 1
    if not options.json:
        context.printer.data(url)
        return
    context.printer.record(
        {
            "operation": "presign",
            "success": True,
            "source": target.uri,
            "url": url,
            "expires_at": iso(_signed_at(url) + timedelta(seconds=seconds)),
        }
    )


def _signed_at(url: str) -> datetime:
    """The moment a URL counts from; now, if it does not say."""
    _, _, rest = url.partition("X-Amz-Date=")
    try:
        return datetime.strptime(rest.partition("&")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return datetime.fromtimestamp(int(time.time()), UTC)
