"""The operation behind `unpack`: destinations and options to the words of the core, and back."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

from s3z import _core, _paths
from s3z._archive_types import UnpackReport
from s3z._content_type import BY_EXTENSION, BYTES, TEXT
from s3z._escape import escape
from s3z._exceptions import BatchError, ConfigError
from s3z._log import warn
from s3z._packing import (
    archive_of,
    counts_of,
    descriptor_of,
    errors_of,
    is_uri,
    name_bytes,
    patterns_of,
    root_hash,
    watched_entries,
)
from s3z._transfers import any_uri

if TYPE_CHECKING:
    from collections.abc import Mapping

    from s3z._settings import Settings

#: what only a directory has, and what it is if nobody says so
_LOCAL_ONLY = {"preserve": True, "same_owner": False, "allow_unsafe_links": False, "durable": False}
_UNCONDITIONAL = "the store has no conditional writes; what was there is known from before the transfer only"


def unpack(
    core: _core.Client, settings: Settings, archive: object, destination: Any, words: Mapping[str, Any], progress: Any
) -> UnpackReport:
    """See `Client.unpack`; `words` are options as the core calls them."""
    if type(archive) is io.FileIO:
        if not archive.readable():
            raise io.UnsupportedOperation("the archive is not open for reading")
        place: _core.ArchivePlace
        place, name = descriptor_of(archive)
    else:
        place, name = archive_of(archive)
    chosen = {each: value for each, value in words.items() if value is not None}
    target: bytes | tuple[str, str]
    if is_uri(destination):
        target = prefix_of(str(destination))
        path = f"s3://{target[0]}/{target[1]}"
        chosen = _of_objects(settings, chosen)
    else:
        path = _paths.local_path(destination, "destination")
        target = os.fsencode(path)
    chosen["prefix"] = name_bytes(chosen.get("prefix", b""))
    if "names" in chosen:
        chosen["names"] = patterns_of(chosen["names"], "names")
    for each in ("include", "exclude"):
        chosen[each] = patterns_of(chosen.get(each, ()), each)
    chosen["root"] = root_hash(chosen.get("root"))
    configured = {"memory_limit": settings.transfer["memory_limit"].value}
    if isinstance(target, bytes):
        configured["durable"] = settings.durable or None
    chosen = {each: value for each, value in (configured | chosen).items() if value is not None}

    def call(watcher: _core.ProgressFunction | None) -> _core.UnpackReport:
        return _core.unpack(core, place, target, chosen, watcher)

    report = watched_entries(progress, name, call, lambda report: (report["bytes"], report["entries"]))
    own = ("bytes", "seconds", "verified", "is_indexed", "root")
    done = UnpackReport(
        destination=path,
        **counts_of(report),
        **{each: report[each] for each in own},  # type: ignore[literal-required]
    )
    if report["unconditional"]:
        warn(_UNCONDITIONAL)
    if done.failures:
        raise _batch_error(done)
    return done


def prefix_of(uri: str) -> tuple[str, str]:
    """Bucket and prefix that an archive is unpacked to.

    Raises:
        ConfigError: it is malformed, or an object.
    """
    bucket, prefix = any_uri(uri)
    if prefix and not prefix.endswith("/"):
        raise ConfigError(f'target "{escape(uri)}" must be a bucket or a prefix, which ends in "/"')
    return bucket, prefix


def _of_objects(settings: Settings, chosen: dict[str, Any]) -> dict[str, Any]:
    """The options of an unpack to S3, with how objects are made, and without those that say nothing there.

    Raises:
        ConfigError: one was given that goes with a directory only.
    """
    for name, default in _LOCAL_ONLY.items():
        if chosen.pop(name, default) != default:
            raise ConfigError(f"{name} goes with a directory as destination only")
    if settings.request_checksum_calculation.value == "when_supported":
        chosen["checksum"] = "crc64nvme"
    return {**chosen, "types": BY_EXTENSION, "text_type": TEXT, "bytes_type": BYTES}


def _batch_error(report: UnpackReport) -> BatchError:
    total = report.entries + len(report.failures)
    text = f"{len(report.failures)} of {total} entries could not be unpacked; first: {report.failures[0]}"
    error = BatchError(text, failures=errors_of(report.failures))
    error.report = report
    return error
