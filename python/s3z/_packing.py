"""The operation behind `pack`, and what `unpack` shares: sources, destinations and options to the words of the core."""

# pathlib would cost start-up time
# ruff: noqa: PTH112, PTH116, PTH118, PTH119, PTH121
from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from s3z import _core, _exceptions, _paths, _progress
from s3z._archive_types import PackFailure, PackReport, name_text
from s3z._config import one_of
from s3z._escape import escape
from s3z._exceptions import ConfigError
from s3z._transfers import any_uri, object_uri
from s3z._types import Verification
from s3z._uploads import core_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import TypeVar

    from s3z._settings import Settings
    from s3z._uploads import PutOptions

    R = TypeVar("R")

#: names that promise a compression, by their ends
_CODECS = {".tar": "none", ".tar.zst": "zstd", ".tzst": "zstd"}
_OBJECT = ("if_none_match", "if_match", "checksum", "headers", "deadline", "part_size", "max_concurrency")


@dataclass(frozen=True, slots=True)
class PackRequest:
    """One archive as the caller asked for it.

    Attributes:
        source: for the core: local roots, or a prefix.
        destination: a URI, a path, or a raw file.
        words: options of the archive, as the core calls them.
        overwrite: whether what is there is replaced.
        durable: whether a file is synced; None is as configured.
        options: of the object.
    """

    source: _core.PackSource
    destination: object
    words: dict[str, Any]
    overwrite: bool
    durable: bool | None
    options: PutOptions


def is_uri(text: object) -> bool:
    """Whether this is an object rather than a local path."""
    return isinstance(text, str) and text.startswith("s3://")


def source_of(source: str | os.PathLike[str]) -> _core.PackSource:
    """What is packed, for the core.

    Args:
        source: a directory, a file, or a bucket or prefix as a URI.

    Raises:
        ConfigError: it is an object, or malformed.
        OSError: there is no such file, or it is neither a file nor a directory.
    """
    if is_uri(source):
        bucket, prefix = any_uri(str(source))
        if prefix and not prefix.endswith("/"):
            raise ConfigError(f'"{escape(str(source))}" names an object; a prefix ends in "/": s3://{bucket}/{prefix}/')
        return ("prefix", bucket, prefix, prefix)
    path = _paths.local_path(source, "source")
    return ("local", [root_of(path)])


def root_of(path: str) -> tuple[bytes, bytes]:
    """A local source, and what the names of its entries begin with.

    Raises:
        OSError: there is no such file, or it is neither a file nor a directory.
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "neither a regular file nor a directory", path)
    if not stat.S_ISDIR(mode) or _paths.is_directory_name(path):
        return os.fsencode(path), b""
    return os.fsencode(path), os.fsencode(os.path.basename(path)) + b"/"


def codec_for(name: str, codec: str | None) -> str:
    """The codec of an archive of this name.

    Raises:
        ConfigError: it is unknown, or the name says otherwise.
    """
    chosen = None if codec is None else one_of("zstd", "none")(codec, "codec")
    for suffix, implied in _CODECS.items():
        if name.lower().endswith(suffix):
            if chosen not in (None, implied):
                raise ConfigError(
                    f'codec "{chosen}" contradicts the name "{escape(name)}": {suffix} means codec "{implied}"'
                )
            return implied
    return chosen or "zstd"


def pack(core: _core.Client, settings: Settings, request: PackRequest, progress: Any) -> PackReport:
    """See `Client.pack`."""
    with contextlib.ExitStack() as stack:
        words, target, name = _understood(settings, request, stack)

        def call(watcher: _core.ProgressFunction | None) -> _core.PackReport:
            return _core.pack(core, request.source, target, words, watcher)

        report = watched_entries(progress, name, call, lambda report: (report["bytes_in"], report["entries"]))
    own = ("seconds", "workers", "root")
    counts = ("compressed_files", "stored_files", "empty_files", "bytes_in", "bytes_out")
    # What went to a descriptor is stored nowhere that could say more.
    etag = report.get("etag")
    return PackReport(
        destination=name,
        **counts_of(report),
        **{each: report[each] for each in (*own, *counts)},  # type: ignore[literal-required]
        etag=None if etag is None else etag.strip('"'),
        version_id=report.get("version_id"),
        parts=report.get("parts", 0),
        verified=Verification(*report.get("verified", ("none",))),
    )


def calibrate(core: _core.Client, settings: Settings, request: PackRequest) -> float:
    """Seconds of the same reads, hashes and compression, without order and output."""
    with contextlib.ExitStack() as stack:
        words, target, _ = _understood(settings, request, stack)
        return _core.pack(core, request.source, target, {**words, "calibrate": True}, None)["seconds"]


def _understood(
    settings: Settings, request: PackRequest, stack: contextlib.ExitStack
) -> tuple[dict[str, Any], _core.PackTarget, str]:
    """Options and destination as the core knows them, and what the latter is called; `stack` closes what is opened."""
    words = {name: value for name, value in request.words.items() if value is not None}
    words["on_error"] = one_of("fail", "skip")(words["on_error"], "on_error")
    words.setdefault("memory_limit", settings.transfer["memory_limit"].value)
    for name in ("include", "exclude"):
        words[name] = patterns_of(words.get(name, ()), name, request.source)
    target, name = _target(settings, request, words, stack)
    words["codec"] = codec_for(name, words.get("codec"))
    return words, target, name


def counts_of(report: _core.PackReport | _core.UnpackReport) -> dict[str, Any]:
    """What both reports have."""
    names = ("entries", "files", "directories", "symlinks", "hard_links")
    return {
        **{name: report[name] for name in names},  # type: ignore[literal-required]
        "skipped": dict(sorted(report["skipped"].items())),
        "failures": tuple(
            PackFailure(name_text(name), kind, message, number) for name, kind, number, message in report["failures"]
        ),
    }


def patterns_of(patterns: Iterable[str | bytes], what: str, source: _core.PackSource | None = None) -> list[bytes]:
    """Filters for the core, which knows names in the archive: the caller's are of what is below the source."""
    if isinstance(patterns, (str, bytes)):
        raise TypeError(f"{what} must be an iterable of patterns, not one pattern")
    before = b""
    if source is not None and source[0] != "prefix" and len(source[1]) == 1:
        before = source[1][0][1]
    return [before + name_bytes(pattern) for pattern in patterns if pattern]


def name_bytes(name: str | bytes) -> bytes:
    """The name of an entry as it is in an archive.

    Raises:
        TypeError: it is neither str nor bytes.
    """
    if isinstance(name, bytes):
        return name
    if not isinstance(name, str):
        raise TypeError(f"the name of an entry must be str or bytes, not {type(name).__name__}")
    return name.encode("utf-8", "surrogateescape")


def _target(
    settings: Settings, request: PackRequest, words: dict[str, Any], stack: contextlib.ExitStack
) -> tuple[_core.PackTarget, str]:
    """Where it goes, for the core, and what that is called; puts the options of that kind into `words`."""
    destination = request.destination
    if is_uri(destination):
        bucket, key = object_uri(str(destination))
        if key.endswith("/"):
            raise ConfigError(
                f'"{escape(str(destination))}" names a prefix; an archive needs a name: s3://{bucket}/{key}NAME.tar.zst'
            )
        options: dict[str, Any] = dict(core_options(settings, request.options, key))
        if not request.overwrite:
            if options["if_none_match"] not in (None, "*"):
                raise ConfigError('overwrite=False is if_none_match="*"; another one was given')
            options["if_none_match"] = "*"
        words.update({name: options[name] for name in _OBJECT})
        return ("object", bucket, key), f"s3://{bucket}/{key}"
    for option, value in request.options.items():
        if value is not None:
            raise ConfigError(f"{option} goes with an object as destination only")
    if type(destination) is io.FileIO:
        if not destination.writable():
            raise io.UnsupportedOperation("the destination is not open for writing")
        return descriptor_of(destination)
    path = _paths.local_path(destination, "destination")  # type: ignore[arg-type]
    if _paths.is_directory_name(path) or os.path.isdir(path):
        example = os.path.join(path, "NAME.tar.zst")
        raise ConfigError(f'"{escape(path)}" is a directory; an archive needs a name: {escape(example)}')
    if _is_written_in_order(path):
        file = stack.enter_context(io.FileIO(path, "wb"))
        return ("descriptor", file.fileno(), os.fsencode(path)), path
    _check_apart(request.source, path)
    words["overwrite"] = request.overwrite
    words["durable"] = settings.durable if request.durable is None else request.durable
    return ("file", os.fsencode(path)), path


def descriptor_of(file: io.FileIO) -> tuple[tuple[str, int, bytes], str]:
    """A raw file for the core, which is nothing but its descriptor, and what it is called."""
    name = file.name if isinstance(file.name, (str, bytes)) else f"<descriptor {file.fileno()}>"
    known = {0: "<stdin>", 1: "<stdout>"}
    text = known.get(file.fileno(), os.fsdecode(name))
    return ("descriptor", file.fileno(), os.fsencode(text)), text


def _is_written_in_order(path: str) -> bool:
    """Whether this is a FIFO or a device, which nothing can take the place of."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def _check_apart(source: _core.PackSource, path: str) -> None:
    """Refuse to write an archive over the file that it is of."""
    if source[0] == "prefix":
        return
    for root, _ in source[1]:
        with contextlib.suppress(OSError):
            if os.path.samefile(root, path):
                raise ConfigError(f'"{escape(path)}" is both source and destination')


def watched_entries(
    progress: Any, name: str, call: Callable[[_core.ProgressFunction | None], R], size: Callable[[R], tuple[int, int]]
) -> R:
    """What `call` returns, while its progress is shown; `size` gives bytes and entries."""
    watcher = _progress.watch(progress, name)
    if watcher is None:
        return call(None)
    try:
        value = call(watcher)
        watcher.finish(*size(value))
        return value
    finally:
        watcher.close()


def archive_of(archive: object) -> tuple[_core.ArchivePlace, str]:
    """An archive for the core, and what it is called.

    Raises:
        ConfigError: it is malformed, or a bucket.
    """
    if is_uri(archive):
        bucket, key = object_uri(str(archive))
        return ("object", bucket, key, None), f"s3://{bucket}/{key}"
    path = _paths.local_path(archive, "archive")  # type: ignore[arg-type]
    return ("file", os.fsencode(path)), path


def root_hash(root: bytes | str | None) -> bytes | None:
    """The root of an archive, of bytes or as 64 hexadecimal digits.

    Raises:
        ConfigError: it is neither.
    """
    if root is None:
        return None
    with contextlib.suppress(TypeError, ValueError):
        known = bytes.fromhex(root) if isinstance(root, str) else bytes(memoryview(root))
        if len(known) == 32:
            return known
    raise ConfigError("root must be 32 bytes, or 64 hexadecimal digits")


def errors_of(failures: Sequence[PackFailure]) -> list[Exception]:
    """The exceptions that entries failed with."""
    return [_error_of(failure) for failure in failures]


def _error_of(failure: PackFailure) -> Exception:
    kind = getattr(_exceptions, failure.kind, None)
    if isinstance(kind, type) and issubclass(kind, _exceptions.S3zError):
        return kind(str(failure))
    if failure.errno is None:
        return OSError(str(failure))
    return OSError(failure.errno, os.strerror(failure.errno), failure.name)
