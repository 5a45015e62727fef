"""The operations behind the writing methods of `Client`: files, bytes, file objects, iterables and writers."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from s3z import _content_type, _core, _headers, _paths, _progress
from s3z._config import check_part_size
from s3z._exceptions import ConfigError
from s3z._log import warn
from s3z._transfers import common, object_uri, watched
from s3z._types import UploadResult

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from s3z._settings import Settings
    from s3z._writer import ObjectWriter, TextWriter

_READ_MODES = {"rb": False, "br": False, "r": True, "rt": True, "tr": True}
_MODES = {
    "wb": (False, False), "bw": (False, False), "xb": (True, False), "bx": (True, False),
    "w": (False, True), "wt": (False, True), "tw": (False, True),
    "x": (True, True), "xt": (True, True), "tx": (True, True),
}  # fmt: skip
#: what the core says of an upload to a store that takes no checksums, and the endpoints that were warned about
_REFUSED = "the store refuses checksum headers"
_warned: set[str] = set()
#: options of `open` that speak of an object, and those that speak of a local file
_LOCAL = ("durable", "direct_io", "overwrite")
#: and those of an object that is read
_READS = ("version_id", "if_match", "part_size", "max_concurrency", "deadline")


class ObjectWords(TypedDict, total=False):
    """What may be said of any object that is to be stored; see `Client.upload`."""

    checksum: str | None
    content_type: str | None
    metadata: Mapping[str, str] | None
    storage_class: str | None
    sse: str | None
    sse_kms_key_id: str | None
    tags: Mapping[str, str] | str | None
    acl: str | None
    cache_control: str | None
    content_encoding: str | None
    content_disposition: str | None
    expires: datetime | str | None
    extra_args: Mapping[str, Any] | None


class PutOptions(ObjectWords, total=False):
    """The same, and what may be said of a single one; see `Client.upload`."""

    if_none_match: str | None
    if_match: str | None
    part_size: int | None
    max_concurrency: int | None
    deadline: float | None


class OpenOptions(PutOptions, total=False):
    """The same, and what may be said of a local file or of a read; see `Client.open`."""

    version_id: str | None

    durable: bool
    direct_io: str
    overwrite: bool


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """One upload as the caller asked for it."""

    source: object
    destination: str
    options: PutOptions
    expected_size: int | None
    progress: Any
    resume: bool = False


def upload(core: _core.Client, settings: Settings, request: UploadRequest) -> UploadResult:
    """See `Client.upload`."""
    if not isinstance(request.source, (str, os.PathLike)):
        if request.resume:
            raise ConfigError("resume goes with the path of a file: what comes as a stream cannot be read again")
        return _upload_stream(core, settings, request)
    if request.expected_size is not None:
        raise ConfigError("expected_size goes with a source of unknown length; a file has its own")
    path = _paths.local_path(request.source, "source")
    bucket, key = object_uri(request.destination)
    options = core_options(settings, request.options, None)
    options["resume"] = request.resume
    _paths.check_source(path)
    if not any(name == "content-type" for name, _ in options["headers"]):
        options["headers"].insert(0, ("content-type", _content_type.guess(path)))
    report = watched(
        request.progress, path, lambda watcher: core.upload_file(os.fsencode(path), bucket, key, options, watcher)
    )
    return _result(settings, f"s3://{bucket}/{key}", report)


def _result(settings: Settings, uri: str, report: _core.TransferReport) -> UploadResult:
    result = UploadResult(uri=uri, **common(report))
    endpoint = settings.endpoint_url.value or "AWS"
    if result.verified.detail == _REFUSED and endpoint not in _warned:
        _warned.add(endpoint)
        warn(f"{endpoint} refuses checksum headers: uploads go without, and only their lengths are compared")
    return result


def _upload_stream(core: _core.Client, settings: Settings, request: UploadRequest) -> UploadResult:
    from s3z._writer import feed, is_bytes_like, length

    source = request.source
    if type(source) is io.FileIO:
        return _upload_descriptor(core, settings, source, request)
    if not (is_bytes_like(source) or hasattr(source, "read") or hasattr(source, "__iter__")):
        raise TypeError(
            "source must be a path, bytes-like, a binary file object or an iterable of bytes, "
            f"not {type(source).__name__}"
        )
    expected = length(source) if request.expected_size is None else request.expected_size
    writer = open_object(core, settings, request.destination, request.options, expected, request.progress)
    with writer:
        feed(writer, source)
    assert writer.result is not None
    return writer.result


def put(core: _core.Client, settings: Settings, uri: str, data: Any, options: PutOptions) -> UploadResult:
    """See `Client.put`."""
    from s3z._writer import is_bytes_like

    if not is_bytes_like(data):
        raise TypeError(f"data must be bytes-like, not {type(data).__name__}; `upload` takes files and iterables")
    return _upload_stream(core, settings, UploadRequest(data, uri, options, None, None))


def _upload_descriptor(
    core: _core.Client, settings: Settings, source: io.FileIO, request: UploadRequest
) -> UploadResult:
    """A raw file is nothing but its descriptor, which the core reads faster: a pipe, standard input."""
    from s3z._writer import length

    if not source.readable():
        raise io.UnsupportedOperation("the source is not open for reading")
    bucket, key = object_uri(request.destination)
    options = core_options(settings, request.options, key)
    options["expected_size"] = length(source) if request.expected_size is None else request.expected_size
    name = os.fsdecode(source.name) if isinstance(source.name, (str, bytes)) else _descriptor_name(source.fileno())
    report = watched(
        request.progress,
        name,
        lambda watcher: _core.upload_descriptor(core, source.fileno(), name, bucket, key, options, watcher),
    )
    return _result(settings, f"s3://{bucket}/{key}", report)


def _descriptor_name(descriptor: int) -> str:
    return "<stdin>" if descriptor == 0 else f"<descriptor {descriptor}>"


def open_object(
    core: _core.Client, settings: Settings, uri: str, options: PutOptions, expected: int | None, progress: Any
) -> ObjectWriter:
    """A writer of an object.

    Args:
        core: the client.
        settings: of the client.
        uri: of the object.
        options: as the caller said them.
        expected: bytes that will come, if that is known.
        progress: see `s3z._progress`.
    """
    from s3z._writer import ObjectWriter

    bucket, key = object_uri(uri)
    chosen = core_options(settings, options, key)
    if expected is not None:
        chosen["expected_size"] = expected
    watcher = _progress.watch(progress, uri)

    def result(report: _core.TransferReport) -> UploadResult:
        return _result(settings, uri, report)

    return ObjectWriter(_core.open_object(core, bucket, key, chosen, watcher), uri, result, watcher)


def open_any(
    core: _core.Client,
    settings: Settings,
    target: str | os.PathLike[str],
    mode: str,
    buffering: int,
    text: Mapping[str, Any],
    request: tuple[OpenOptions, int | None, Any],
) -> Any:
    """See `Client.open`; `text` has encoding, errors and newline.

    Raises:
        ValueError: the mode is none of those, or an option does not go with it.
    """
    if mode not in _READ_MODES:
        if buffering != -1:
            raise ValueError("buffering goes with reading: a writer fills parts")
        return open_writer(core, settings, target, mode, text, request)
    options, expected, progress = request
    if expected is not None or progress is not None:
        raise ValueError("expected_size and progress go with writing")
    is_text = _READ_MODES[mode]
    if not is_text and any(value is not None for value in text.values()):
        raise ValueError("encoding, errors and newline go with text modes only")
    if is_text and buffering == 0:
        raise ValueError("can't have unbuffered text I/O")
    if not (isinstance(target, str) and target.startswith("s3://")):
        for name in options:
            raise ValueError(f"{name} goes with an object only")
        return open(target, mode, buffering, **text)  # noqa: PTH123
    for name in options:
        if name not in _READS:
            raise ValueError(f"{name} goes with writing only")
    from s3z._streams import ReadOptions, open_reader

    chosen: ReadOptions = {name: options[name] for name in options}  # type: ignore[literal-required,assignment]
    opened = open_reader(core, target, buffering, chosen)
    return io.TextIOWrapper(opened, **text) if is_text else opened


def open_writer(
    core: _core.Client,
    settings: Settings,
    target: str | os.PathLike[str],
    mode: str,
    text: Mapping[str, Any],
    request: tuple[OpenOptions, int | None, Any],
) -> ObjectWriter | TextWriter:
    """See `Client.open`; `text` has encoding, errors and newline.

    Raises:
        ValueError: the mode is none of those, or an option does not go with it.
    """
    from s3z._writer import TextWriter

    if mode not in _MODES:
        raise ValueError(f'mode must be "rb", "wb", "xb", "r", "w", "x", "rt", "wt" or "xt", not "{mode}"')
    create_only, is_text = _MODES[mode]
    if not is_text and any(value is not None for value in text.values()):
        raise ValueError("encoding, errors and newline go with text modes only")
    options, expected, progress = request
    if isinstance(target, str) and target.startswith("s3://"):
        writer = _open_object(core, settings, target, create_only, options, expected, progress)
    else:
        writer = _open_local(core, settings, target, create_only, options, expected, progress)
    return TextWriter(writer, **text) if is_text else writer


def _open_object(
    core: _core.Client,
    settings: Settings,
    uri: str,
    create_only: bool,
    options: OpenOptions,
    expected: int | None,
    progress: Any,
) -> ObjectWriter:
    for name in _LOCAL:
        if name in options:
            raise ValueError(f"{name} goes with a local file only")
    if "version_id" in options:
        raise ValueError("version_id goes with reading only")
    chosen: Any = dict(options)
    if create_only:
        if chosen.get("if_none_match") not in (None, "*"):
            raise ValueError('if_none_match of a writer that only creates is "*"')
        chosen["if_none_match"] = "*"
    return open_object(core, settings, uri, chosen, expected, progress)


def _open_local(
    core: _core.Client,
    settings: Settings,
    target: str | os.PathLike[str],
    create_only: bool,
    options: OpenOptions,
    expected: int | None,
    progress: Any,
) -> ObjectWriter:
    from s3z._writer import ObjectWriter

    path = _paths.local_path(target, "path")
    for name in options:
        if name not in _LOCAL:
            raise ValueError(f"{name} goes with an object only")
    direct_io = options.get("direct_io", "auto")
    chosen: _core.WriteFileOptions = {
        "overwrite": options.get("overwrite", True) and not create_only,
        "durable": options.get("durable", settings.durable),
        "direct_io": None if direct_io == "auto" else direct_io,
        "expected_size": expected,
    }
    watcher = _progress.watch(progress, path)

    def result(report: _core.TransferReport) -> UploadResult:
        return UploadResult(uri=path, **common(report))

    return ObjectWriter(_core.open_local(core, os.fsencode(path), chosen, watcher), path, result, watcher)


def core_options(settings: Settings, options: PutOptions, key: str | None) -> _core.PutOptions:
    """The words of the core; with a key, the content type is by its extension."""
    words: dict[str, Any] = dict.fromkeys(PutOptions.__annotations__) | dict(options)
    extra_args = words.pop("extra_args")
    chosen: _core.PutOptions = {name: words.pop(name) for name in ("part_size", "max_concurrency", "deadline")}  # type: ignore[assignment]
    check_part_size(chosen["part_size"])
    wanted, more = _headers.merge(words, extra_args)
    headers = _headers.build(wanted, more)
    if key is not None and wanted.content_type is None:
        headers.insert(0, ("content-type", _content_type.by_extension(key) or "application/octet-stream"))
    chosen["headers"] = headers
    chosen["if_match"] = wanted.if_match
    chosen["if_none_match"] = wanted.if_none_match
    if wanted.checksum is not None:
        chosen["checksum"] = wanted.checksum.lower()
    elif settings.request_checksum_calculation.value == "when_supported":
        chosen["checksum"] = "crc64nvme"
    else:
        chosen["checksum"] = None
    return chosen
