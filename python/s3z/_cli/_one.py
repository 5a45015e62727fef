"""The argument of commands that look at one object or one bucket."""

from __future__ import annotations

from s3z._cli._failures import RefusedError
from s3z._cli._names import Remote, has_wildcard, understand

_RAW_HINT = "with --raw it is the object of exactly that name"


def one_remote(argument: str, *, raw: bool) -> Remote:
    """A bucket or an object, without wildcards.

    Args:
        argument: as it was typed.
        raw: whether `*`, `?` and a slash at the end are ordinary characters.

    Raises:
        RefusedError: it is local, a prefix, or has wildcards.
    """
    target = understand(argument)
    if not isinstance(target, Remote):
        raise RefusedError("source must be a remote object")
    if not raw and has_wildcard(target.key):
        raise RefusedError(f'source "{target.uri}" can not contain glob characters', hint=_RAW_HINT)
    if not raw and target.key.endswith("/"):
        raise RefusedError(f'source "{target.uri}" must be an object', hint=_RAW_HINT)
    return target


def one_bucket(argument: str) -> Remote:
    """A bucket.

    Raises:
        RefusedError: it is anything else.
    """
    target = None if argument == "-" else understand(argument)
    if not isinstance(target, Remote) or target.key:
        raise RefusedError("invalid s3 bucket", hint="a bucket is written s3://BUCKET")
    return target
