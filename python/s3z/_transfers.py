"""The operations behind `Client`: arguments to the words of the core, and its reports to results."""

from __future__ import annotations

import atexit
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from s3z import _core, _paths, _progress
from s3z._config import check_part_size, one_of, transfer_settings
from s3z._exceptions import ConfigError, NotFoundError
from s3z._types import DownloadResult, HeadResult, ObjectInfo, UploadInfo, Verification

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from s3z._settings import Settings

T = TypeVar("T")

# Transfers of daemon threads are stopped, and clean up, before the interpreter goes.
atexit.register(_core.stop_all)


def core_client(
    settings: Settings, keys: _core.KeySet | Callable[[], _core.KeySet] | None, *, anonymous: bool
) -> _core.Client:
    """A client of the core with these settings."""
    more: Any = {"request_payer": True} if settings.request_payer.value is not None else {}
    return _core.Client(
        endpoint_url=settings.endpoint_url.value,
        region=settings.region.value,
        addressing_style=settings.addressing_style.value,
        credentials=keys,
        anonymous=anonymous,
        ca_bundle=settings.ca_bundle.value,
        verify=settings.verify.value,
        proxies=dict(settings.proxies.value),
        state_dir=settings.state_dir.value,
        transfer=transfer_settings(settings.transfer),
        **more,
    )


def object_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of a URI that must have both.

    Raises:
        ConfigError: it is malformed or has no key.
    """
    bucket, key = any_uri(uri)
    if not key:
        raise ConfigError(f'"{uri}" names a bucket; an object is needed: s3://{bucket}/KEY', bucket=bucket)
    return bucket, key


def any_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of a URI; the key may be empty.

    Raises:
        TypeError: it is no text.
        ConfigError: it is malformed.
    """
    if not isinstance(uri, str):
        raise TypeError(f"a URI must be a str such as s3://bucket/key, not {type(uri).__name__}")
    return _core.parse_uri(uri)


def moment(seconds: float | None) -> datetime | None:
    """A time of the core as a datetime in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _etag(etag: str | None) -> str | None:
    return None if etag is None else etag.strip('"')


def watched(
    progress: Any, name: str, call: Callable[[_core.ProgressFunction | None], _core.TransferReport]
) -> _core.TransferReport:
    """What `call` returns, while its progress is shown."""
    return watched_value(progress, name, call, lambda report: report["bytes"])


def watched_value(
    progress: Any, name: str, call: Callable[[_core.ProgressFunction | None], T], size: Callable[[T], int]
) -> T:
    """The same for any call; `size` says how many bytes its value is of."""
    watcher = _progress.watch(progress, name)
    if watcher is None:
        return call(None)
    try:
        value = call(watcher)
        watcher.finish(size(value))
        return value
    finally:
        watcher.close()


def download(
    core: _core.Client,
    settings: Settings,
    source: str,
    destination: str | os.PathLike[str] | None,
    options: _core.DownloadOptions,
    progress: Any,
) -> DownloadResult:
    """See `Client.download`."""
    bucket, key = object_uri(source)
    check_part_size(options.get("part_size"))
    options["verify"] = one_of("auto", "require", "off")(options["verify"], "verify")
    options["on_change"] = one_of("error", "restart")(options["on_change"], "on_change")
    if options["verify"] == "auto" and settings.response_checksum_validation.value == "when_required":
        options["verify"] = "off"
    path = _paths.download_path(destination, key)
    report = watched(progress, path, lambda watcher: core.download(bucket, key, os.fsencode(path), options, watcher))
    return DownloadResult(
        path=path,
        **common(report),
        last_modified=moment(report["last_modified"]),
        content_type=report["content_type"],
        storage_class=report["storage_class"],
    )


def common(report: _core.TransferReport) -> dict[str, Any]:
    """What the results of all transfers have."""
    return {
        "bytes": report["bytes"],
        "seconds": report["seconds"],
        "etag": _etag(report["etag"]),
        "version_id": report["version_id"],
        "parts": report["parts"],
        "attempts": report["attempts"],
        "resumed_bytes": report["resumed_bytes"],
        "verified": Verification(*report["verified"]),
    }


def listing(core: _core.Client, uri: str, delimiter: str | None, start_after: str | None) -> Iterator[ObjectInfo]:
    """See `Client.list`."""
    bucket, prefix = any_uri(uri)
    return _entries(bucket, core.list_objects(bucket, prefix, delimiter, start_after))


def _entries(bucket: str, pages: _core.ListPages) -> Iterator[ObjectInfo]:
    while (page := pages.next_page()) is not None:
        for key, is_prefix, size, etag, modified, storage_class in page:
            yield ObjectInfo(bucket, key, is_prefix, size, _etag(etag), moment(modified), storage_class)


def uploads(core: _core.Client, uri: str | None) -> Iterator[UploadInfo]:
    """See `Client.list_uploads`."""
    if uri is None:
        return (
            UploadInfo(bucket, key, name, moment(begun), None) for bucket, key, name, begun in _core.left_uploads(core)
        )
    bucket, prefix = any_uri(uri)
    return _upload_infos(bucket, _core.list_uploads(core, bucket, prefix))


def _upload_infos(bucket: str, pages: _core.UploadPages) -> Iterator[UploadInfo]:
    while (page := pages.next_page()) is not None:
        for key, upload_id, initiated, storage_class in page:
            yield UploadInfo(bucket, key, upload_id, moment(initiated), storage_class)


def abort_upload(core: _core.Client, uri: str, upload_id: str) -> None:
    """See `Client.abort_upload`."""
    _core.abort_upload(core, (*object_uri(uri), upload_id))


def head(core: _core.Client, uri: str, version_id: str | None) -> HeadResult:
    """See `Client.head`."""
    bucket, key = object_uri(uri)
    report = core.head_object(bucket, key, version_id)
    return HeadResult(
        bucket=bucket,
        key=key,
        size=report["size"],
        etag=_etag(report["etag"]),
        version_id=report["version_id"],
        last_modified=moment(report["last_modified"]),
        content_type=report["content_type"],
        storage_class=report["storage_class"],
        metadata=report["metadata"],
        headers=report["headers"],
    )


def exists(core: _core.Client, uri: str, version_id: str | None) -> bool:
    """See `Client.exists`."""
    bucket, key = any_uri(uri)
    try:
        if key:
            core.head_object(bucket, key, version_id)
        else:
            core.head_bucket(bucket)
    except NotFoundError:
        return False
    return True
