"""Objects in memory: `Buffer`, `get`, `get_into`, `get_ranges`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from s3z import _core
from s3z._exceptions import ConfigError
from s3z._streams import ReadOptions, core_words
from s3z._transfers import object_uri, watched_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from _typeshed import WriteableBuffer

Buffer = _core.Buffer


def get(core: _core.Client, uri: str, options: ReadOptions, progress: Any) -> Buffer:
    """See `Client.get`."""
    bucket, key = object_uri(uri)
    words = core_words(options)
    return watched_value(progress, uri, lambda watcher: _core.get_object(core, bucket, key, words, watcher), len)


def get_into(core: _core.Client, uri: str, buffer: WriteableBuffer, options: ReadOptions, progress: Any) -> int:
    """See `Client.get_into`."""
    bucket, key = object_uri(uri)
    words = core_words(options)
    with _writable(buffer) as line:
        return watched_value(
            progress, uri, lambda watcher: _core.get_object_into(core, bucket, key, line, words, watcher), int
        )


def get_ranges(
    core: _core.Client,
    uri: str,
    ranges: Iterable[tuple[int, int]],
    buffers: Sequence[WriteableBuffer] | None,
    options: ReadOptions,
) -> list[Any]:
    """See `Client.get_ranges`."""
    bucket, key = object_uri(uri)
    wanted = [(start, stop) for start, stop in ranges]
    for start, stop in wanted:
        core_words({"start": start, "stop": stop})
    if buffers is None:
        return _core.get_object_ranges(core, bucket, key, wanted, core_words(options))
    if len(buffers) != len(wanted):
        raise ConfigError(f"{len(wanted)} ranges were asked for, but {len(buffers)} buffers given")
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(_writable(buffer)) for buffer in buffers]
        found = _core.get_object_ranges(core, bucket, key, wanted, core_words(options))
        for line, memory in zip(lines, found, strict=True):
            if line.nbytes != len(memory):
                raise ConfigError(f"a buffer has {line.nbytes} bytes, but {len(memory)} are to be written")
        for line, memory in zip(lines, found, strict=True):
            line[:] = memoryview(memory)
    return list(buffers)


def _writable(buffer: WriteableBuffer) -> memoryview:
    """The buffer as a line of bytes.

    Raises:
        BufferError: it is read-only or not contiguous.
    """
    with memoryview(buffer) as view:
        if view.readonly or not view.c_contiguous:
            raise BufferError("the buffer must be writable and contiguous")
        return memoryview(bytearray()) if view.nbytes == 0 else view.cast("B")
