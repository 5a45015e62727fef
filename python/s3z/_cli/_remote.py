"""Remote names for completion: one request, at most 1000 names, two seconds, and silence if anything fails."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

from s3z import _log
from s3z._cli._context import Context
from s3z._cli._options import GLOBAL
from s3z._cli._parser import Parsed, build
from s3z._units import parse_switch

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECONDS = 2.0
_MOST = 1000


def names(given: list[tuple[str, str]], current: str) -> list[str]:
    """Buckets, or one level of keys, that begin with `current`; what can be gone into ends in `/`.

    Args:
        given: global options by their canonical names.
        current: `s3://` and what follows.

    Raises:
        Exception: whatever went wrong; nobody wants to know.
    """
    if not parse_switch(os.environ.get("S3Z_COMPLETE_REMOTE", "true")):
        return []
    # There is nothing to clean up, and nothing has been written yet.
    signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
    signal.setitimer(signal.ITIMER_REAL, _SECONDS)
    try:
        return list(_found(_client(given), current))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _client(given: list[tuple[str, str]]) -> Any:
    """The client of a command with these options, in a hurry."""
    options = build(GLOBAL).parse_args([f"--{name}={value}" for name, value in given])
    options.connect_timeout = options.read_timeout = _SECONDS
    options.retry_count = 0
    context = Context(Parsed("ls", options, [], "s3z"))
    _log.set_sink(lambda _: None)
    return context.client()._native()


def _found(native: Any, current: str) -> Iterator[str]:
    bucket, slash, prefix = current.removeprefix("s3://").partition("/")
    if not slash:
        buckets = [name for name, _ in native.list_buckets() if name.startswith(bucket)]
        yield from (f"s3://{name}/" for name in buckets[:_MOST])
        return
    page = native.list_objects(bucket, prefix, "/").next_page() or []
    for key, *_ in page[:_MOST]:
        # A marker of the prefix itself is nothing to go to.
        if key != prefix:
            yield f"s3://{bucket}/{key}"
