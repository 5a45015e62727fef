"""Where warnings go: the `s3z` logger, unless the command took them over."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_sink: Callable[[str], None] | None = None


def set_sink(sink: Callable[[str], None] | None) -> None:
    """Send warnings to `sink` instead of `logging` (None: back to `logging`)."""
    global _sink
    _sink = sink


def warn(message: str) -> None:
    """Give one warning. `message` holds no secret and is already escaped."""
    if _sink is not None:
        _sink(message)
        return
    import logging

    logging.getLogger("s3z").warning("%s", message)
