"""s3z: a fast and careful S3 client.

    >>> import s3z
    >>> result = s3z.upload("hello.txt", "s3://examples/hello.txt")
    >>> s3z.download("s3://examples/hello.txt", "copy.txt").bytes
    6

Names are loaded when they are first used, so that the import itself costs next to nothing.
"""

from __future__ import annotations

from s3z._version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from s3z._api import (
        abort_upload,
        copy,
        delete,
        describe,
        download,
        download_dir,
        exists,
        get,
        get_into,
        get_ranges,
        head,
        list,
        list_uploads,
        make_bucket,
        move,
        open,
        pack,
        presign,
        put,
        remove_bucket,
        stream,
        sync,
        unpack,
        upload,
        upload_dir,
        verify,
    )
    from s3z._archive import Archive
    from s3z._archive_reading import ArchiveIndex, EntryReader
    from s3z._archive_types import (
        ArchiveEntry,
        ByteRange,
        PackFailure,
        PackReport,
        UnpackReport,
        VerifyProblem,
        VerifyReport,
    )
    from s3z._client import Client
    from s3z._config import TransferConfig
    from s3z._core import Buffer
    from s3z._describing import Description, SettingInfo
    from s3z._exceptions import (
        AccessDeniedError,
        AlreadyExistsError,
        ArchiveError,
        BatchError,
        ConfigError,
        CredentialsError,
        IntegrityError,
        NotFoundError,
        ObjectChangedError,
        S3zError,
        ServiceError,
        ThrottledError,
        TransferConnectionError,
        TransferTimeoutError,
        UnsafeKeyError,
    )
    from s3z._many_types import BatchResult, CopyResult, Difference, SyncResult, VerifyResult
    from s3z._part_file import PartFile, PartFileResult
    from s3z._parts import MultipartUpload, PartInfo, PartState
    from s3z._streams import ByteStream, ObjectReader
    from s3z._types import (
        DownloadResult,
        HeadResult,
        ObjectInfo,
        ProgressEvent,
        StreamResult,
        UploadInfo,
        UploadResult,
        Verification,
    )
    from s3z._writer import ObjectWriter, TextWriter

__all__ = [
    "AccessDeniedError",
    "AlreadyExistsError",
    "Archive",
    "ArchiveEntry",
    "ArchiveError",
    "ArchiveIndex",
    "BatchError",
    "BatchResult",
    "Buffer",
    "ByteRange",
    "ByteStream",
    "Client",
    "ConfigError",
    "CopyResult",
    "CredentialsError",
    "Description",
    "Difference",
    "DownloadResult",
    "EntryReader",
    "HeadResult",
    "IntegrityError",
    "MultipartUpload",
    "NotFoundError",
    "ObjectChangedError",
    "ObjectInfo",
    "ObjectReader",
    "ObjectWriter",
    "PackFailure",
    "PackReport",
    "PartFile",
    "PartFileResult",
    "PartInfo",
    "PartState",
    "ProgressEvent",
    "S3zError",
    "ServiceError",
    "SettingInfo",
    "StreamResult",
    "SyncResult",
    "TextWriter",
    "ThrottledError",
    "TransferConfig",
    "TransferConnectionError",
    "TransferTimeoutError",
    "UnpackReport",
    "UnsafeKeyError",
    "UploadInfo",
    "UploadResult",
    "Verification",
    "VerifyProblem",
    "VerifyReport",
    "VerifyResult",
    "__version__",
    "abort_upload",
    "copy",
    "delete",
    "describe",
    "download",
    "download_dir",
    "exists",
    "get",
    "get_into",
    "get_ranges",
    "head",
    "list",
    "list_uploads",
    "make_bucket",
    "move",
    "open",
    "pack",
    "presign",
    "put",
    "remove_bucket",
    "stream",
    "sync",
    "unpack",
    "upload",
    "upload_dir",
    "verify",
]

_HOMES = {
    "_api": (
        "abort_upload",
        "copy",
        "delete",
        "describe",
        "download",
        "download_dir",
        "exists",
        "get",
        "get_into",
        "get_ranges",
        "head",
        "list",
        "list_uploads",
        "make_bucket",
        "move",
        "open",
        "pack",
        "presign",
        "put",
        "remove_bucket",
        "stream",
        "sync",
        "unpack",
        "upload",
        "upload_dir",
        "verify",
    ),
    "_archive": ("Archive",),
    "_archive_reading": ("ArchiveIndex", "EntryReader"),
    "_archive_types": (
        "ArchiveEntry",
        "ByteRange",
        "PackFailure",
        "PackReport",
        "UnpackReport",
        "VerifyProblem",
        "VerifyReport",
    ),
    "_client": ("Client",),
    "_core": ("Buffer",),
    "_describing": ("Description", "SettingInfo"),
    "_config": ("TransferConfig",),
    "_many_types": ("BatchResult", "CopyResult", "Difference", "SyncResult", "VerifyResult"),
    "_writer": ("ObjectWriter", "TextWriter"),
    "_part_file": ("PartFile", "PartFileResult"),
    "_parts": ("MultipartUpload", "PartInfo", "PartState"),
    "_streams": ("ByteStream", "ObjectReader"),
    "_types": (
        "DownloadResult",
        "HeadResult",
        "ObjectInfo",
        "ProgressEvent",
        "StreamResult",
        "UploadInfo",
        "UploadResult",
        "Verification",
    ),
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    home = next((module for module, names in _HOMES.items() if name in names), "_exceptions")
    value: object = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:  # type: ignore[valid-type]
    return __all__
