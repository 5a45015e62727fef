"""Whether two places of one store are far enough apart that a job does not meet its own work.

A listing goes on while objects are written. A copy into what is still listed would be found and copied again, for ever;
a sync that deletes would take a source that lies in its destination for what is too much there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


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
