"""Arguments: what is remote, what is local, and how a destination is called."""

from __future__ import annotations

import os

from s3z._cli._failures import RefusedError

WILDCARDS = ("*", "?")


class Remote:
    """`s3://bucket/key`.

    Args:
        bucket: its bucket.
        key: what follows the first slash, possibly nothing.
    """

    __slots__ = ("bucket", "key")

    def __init__(self, bucket: str, key: str) -> None:
        self.bucket = bucket
        self.key = key

    @property
    def uri(self) -> str:
        """`s3://bucket/key`, or `s3://bucket`."""
        return f"s3://{self.bucket}/{self.key}" if self.key else f"s3://{self.bucket}"

    @property
    def is_container(self) -> bool:
        """Whether it is a bucket or a prefix."""
        return not self.key or self.key.endswith("/")


def has_wildcard(text: str) -> bool:
    """Whether `*` or `?` is in it."""
    return any(each in text for each in WILDCARDS)


def understand(argument: str) -> Remote | str:
    """A remote argument, or the local path that it is.

    Raises:
        RefusedError: a lone `-`, another scheme, no bucket, or a bucket that cannot be one.
    """
    if argument == "-":
        raise RefusedError(
            '"-" means standard input or output, which has no place here', hint='a file of that name is "./-"'
        )
    scheme, mark, rest = argument.partition("://")
    if not mark or "/" in scheme:
        if not argument or "\0" in argument:
            raise RefusedError(f'"{argument}" is not a path')
        return argument
    if scheme != "s3":
        raise RefusedError(f'"{scheme}://" is not a scheme of s3z', hint="remote arguments begin with s3://")
    bucket, _, key = rest.partition("/")
    if not bucket:
        raise RefusedError("s3 url should have a bucket")
    if has_wildcard(bucket):
        raise RefusedError("bucket name cannot contain wildcards")
    if not bucket.isascii() or not bucket.replace(".", "").replace("-", "").replace("_", "").isalnum():
        raise RefusedError("invalid s3 bucket")
    try:
        key.encode()
    except UnicodeEncodeError:
        raise RefusedError("a key must be UTF-8", "unsafe_key") from None
    return Remote(bucket, key)


def as_directory(path: str) -> bool:
    """Whether a local argument counts as written with a trailing slash."""
    return path.endswith("/") or path.rpartition("/")[2] in (".", "..")


def is_own_leftover(path: str) -> bool:
    """Whether a file is called as those that s3z itself leaves of unfinished transfers."""
    name = path.rpartition("/")[2]
    return name.startswith(".s3z-") and name.endswith((".part", ".ledger"))


def upload_key(source: str, destination: Remote) -> str:
    """The key for one file: exactly that of the destination, or its base name below a bucket or prefix.

    Raises:
        RefusedError: a name that is not UTF-8 cannot be a key.
    """
    if not destination.is_container:
        return destination.key
    name = source.rpartition("/")[2]
    try:
        name.encode()
    except UnicodeEncodeError:
        raise RefusedError("a name that is not UTF-8 cannot be a key", "unsafe_key") from None
    return destination.key + name


def download_path(source: Remote, destination: str) -> str:
    """The file for one object.

    Raises:
        UnsafeKeyError: it would be called by a segment of the key that is no file name.
    """
    from s3z._paths import base_name

    if as_directory(destination) or os.path.isdir(destination):  # noqa: PTH112 - pathlib would cost start-up time
        name = base_name(source.key)
        # A lone "." adds nothing to the name, here or in the result line.
        while destination.startswith("./"):
            destination = destination[2:].lstrip("/")
        return name if destination in ("", ".") else f"{destination.rstrip('/') or '/'}/{name}".replace("//", "/", 1)
    return destination
