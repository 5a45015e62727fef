"""Where warnings go: the `s3z` logger, unless the command took them over. And what others may not log for us."""

from __future__ import annotations

import contextlib
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator

#: at DEBUG they write requests with tokens and signatures, and answers with keys
_TALKATIVE = ("botocore", "boto3", "urllib3")

_hushed: set[int] = set()
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


def _passes(record: logging.LogRecord) -> bool:
    if threading.get_ident() not in _hushed:
        return True
    # Of a warning the words may stay; the error with it can quote a process or an answer.
    record.exc_info = record.exc_text = None
    return record.levelno >= 30


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Keep botocore, asked for credentials by this thread, from logging them. It must have been imported before."""
    import logging

    thread = threading.get_ident()
    if thread in _hushed:
        yield
        return
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in _TALKATIVE:
            logging.getLogger(name).addFilter(_passes)
    _hushed.add(thread)
    try:
        yield
    finally:
        _hushed.discard(thread)
