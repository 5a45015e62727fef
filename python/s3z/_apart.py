"""Whether two places of one store are far enough apart that a job does not meet its own work.

A listing goes on while objects are written. A copy into what is still listed would be found and copied again, for ever;
a sync that deletes would take a source that lies in its destination for what is too much there.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s3z._reading import Reading as Client

#: names of this machine; a store listens on any of them
_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
_AWS = (".amazonaws.com", ".amazonaws.com.cn")
#: in a region of these, names of buckets mean something else than in the others
_PARTITIONS = ("cn-", "us-gov-", "us-iso", "eu-iso")
#: keys of a page that are compared to find out whether two stores are one
_PROBED = 100


class Selected(NamedTuple):
    """The keys that a source selects.

    Attributes:
        bucket: where they are.
        prefix: what all of them begin with.
        base: what is no part of their names at the destination.
        filtered: what is no part of the names that filters see.
        include: patterns; if there are any, a name must match one.
        exclude: patterns; a name must match none.
    """

    bucket: str
    prefix: bytes
    base: bytes
    filtered: bytes
    include: Sequence[bytes]
    exclude: Sequence[bytes]


def store(endpoint: str | None, region: str) -> str:
    """What a store is known by: addresses that differ in spelling only have the same. Others may be one all the same.

    Args:
        endpoint: its URL; None is AWS.
        region: of the client.
    """
    from urllib.parse import urlsplit

    parts = urlsplit(endpoint or f"https://s3.{region}.amazonaws.com")
    host = (parts.hostname or "").rstrip(".")
    if host.endswith(_AWS):
        return "aws " + next((each for each in _PARTITIONS if f".{each}" in host), "")
    if host in _LOOPBACK:
        host = "localhost"
    # Those two are as a rule the same, by one protocol and the other.
    port = "" if parts.port in (None, 80, 443) else parts.port
    return f"{host}:{port}{parts.path.rstrip('/')}"


def _address(client: Client) -> tuple[str | None, str]:
    return client._settings.endpoint_url.value, client._settings.region.value


def is_one_store(first: Client, second: Client) -> bool:
    """Whether two clients are known to speak to one store. If not, they may all the same."""
    if first is second:
        return True
    return store(*_address(first)) == store(*_address(second))


def check(
    sides: tuple[Client, Client], source: Selected, target: tuple[str, bytes], *, syncs: bool, deletes: bool
) -> str | None:
    """What is wrong with a destination, in words that follow its name; None: nothing.

    A store may have addresses nobody can know to be the same. Where that would matter, a look into both decides.

    Args:
        sides: the clients of source and destination.
        source: what is copied.
        target: bucket and prefix of all that is written or compared.
        syncs: whether both sides are compared as a whole.
        deletes: whether what is only at the destination is deleted.
    """
    why = objection(source, *target, syncs=syncs, deletes=deletes)
    if why is None or is_one_store(*sides):
        return why
    # Of the same places nothing is found missing, and so nothing deleted: equal copies may be compared.
    is_shifted = target[1] != source.base
    return why if is_shifted and _look_the_same(sides, source.bucket, source.prefix.decode()) else None


def _look_the_same(sides: tuple[Client, Client], bucket: str, prefix: str) -> bool:
    """Whether one of the first keys has the same ETag and the same time on both sides, as no copy has."""
    from s3z._exceptions import S3zError

    uri = f"s3://{bucket}/{prefix}"
    try:
        first, second = (
            {(info.key, info.etag, info.last_modified) for info in islice(side.list(uri), _PROBED)} for side in sides
        )
    except S3zError:  # who may not list cannot meet there what is written
        return False
    return not first.isdisjoint(second)


def objection(source: Selected, bucket: str, prefix: bytes, *, syncs: bool, deletes: bool) -> str | None:
    """What is wrong with a destination in the same store, in words that follow its name; None: nothing.

    Args:
        source: what is copied.
        bucket: of the destination.
        prefix: of all that is written or compared.
        syncs: whether both sides are compared as a whole.
        deletes: whether what is only at the destination is deleted.
    """
    if source.bucket != bucket:
        return None
    if prefix == source.base:
        # A copy onto itself is decided for each object: it may change what is known of it.
        return "is the source itself" if syncs else None
    if prefix.startswith(source.prefix) and not _left_out(source, _below(prefix, source.filtered)):
        return "lies in the source, which would grow while it is read"
    if deletes and source.base.startswith(prefix) and not _left_out(source, _below(source.base, prefix)):
        return "holds the source, which would be deleted"
    return None


def _below(name: bytes, prefix: bytes) -> bytes:
    return name[len(prefix) :] if name.startswith(prefix) else name


def _left_out(source: Selected, place: bytes) -> bool:
    """Whether filters leave out all names that begin with `place`; False where that is not plain to see."""
    if any(pattern == _head(pattern) + b"*" and place.startswith(_head(pattern)) for pattern in source.exclude):
        return True
    heads = [_head(pattern) for pattern in source.include]
    return bool(heads) and not any(place.startswith(head) or head.startswith(place) for head in heads)


def _head(pattern: bytes) -> bytes:
    """What is before the first wildcard."""
    return pattern[: min((at for at in (pattern.find(b"*"), pattern.find(b"?")) if at >= 0), default=len(pattern))]
