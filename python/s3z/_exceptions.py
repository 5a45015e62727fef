"""Everything that s3z raises, apart from `OSError` for local disks and `KeyboardInterrupt`.

::

    S3zError(Exception)
    ├── NotFoundError            FileNotFoundError   no such key, bucket or version
    ├── AccessDeniedError        PermissionError     refused, wrong signature, unknown access key
    ├── CredentialsError                             none found, or expired and not refreshable
    ├── AlreadyExistsError       FileExistsError     a write was conditional and something is there
    ├── ObjectChangedError                           another version appeared while it was read
    ├── IntegrityError                               checksum or length mismatch
    ├── TransferTimeoutError     TimeoutError
    ├── TransferConnectionError  ConnectionError
    ├── ThrottledError                               retries spent on SlowDown
    ├── ArchiveError                                 no archive, damaged, unsafe, or of an unknown version
    ├── BatchError                                   .failures, .result
    ├── ConfigError              ValueError
    ├── UnsafeKeyError           ValueError          a key that has no safe path, or cannot be sent byte-exact
    └── ServiceError                                 any other S3 error code

The class on the right is inherited too, so that code which catches the builtin goes on working.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from s3z._archive_types import UnpackReport, VerifyReport
    from s3z._many_types import BatchResult, VerifyResult


class S3zError(Exception):
    """What all errors of s3z have in common. Every one can be pickled.

    Attributes:
        bucket: the bucket that was spoken to.
        key: the key, without a leading slash.
        code: the S3 error code, such as `NoSuchKey`.
        status: the HTTP status.
        request_id: `x-amz-request-id`, for the store's support.
        host_id: `x-amz-id-2`, likewise.
        attempts: how often the failed request was sent, the first time included.
        upload_id: the multipart upload that could not be aborted, if any.

    Each is None where it is not known.

    Example:
        >>> error = NotFoundError('given object "s3://b/k" not found', bucket="b", key="k", status=404)
        >>> isinstance(error, FileNotFoundError), error.status
        (True, 404)
    """

    bucket: str | None
    key: str | None
    code: str | None
    status: int | None
    request_id: str | None
    host_id: str | None
    attempts: int | None
    upload_id: str | None

    def __init__(
        self,
        message: str = "",
        *,
        bucket: str | None = None,
        key: str | None = None,
        code: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        host_id: str | None = None,
        attempts: int | None = None,
        upload_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.bucket = bucket
        self.key = key
        self.code = code
        self.status = status
        self.request_id = request_id
        self.host_id = host_id
        self.attempts = attempts
        self.upload_id = upload_id

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), str(self)), self.__dict__.copy())


def _rebuild(kind: type[S3zError], message: str) -> S3zError:
    return kind(message)


class NotFoundError(S3zError, FileNotFoundError):
    """There is no such object, bucket or version (`NoSuchKey`, `NoSuchBucket`, `NoSuchVersion`, 404)."""


class AccessDeniedError(S3zError, PermissionError):
    """The store refused (`AccessDenied`, `SignatureDoesNotMatch`, `InvalidAccessKeyId`, 403)."""


class CredentialsError(S3zError):
    """No credentials were found, or they expired and cannot be refreshed."""


class AlreadyExistsError(S3zError, FileExistsError):
    """A conditional write found something in its place (`If-None-Match` refused)."""


class ObjectChangedError(S3zError):
    """Another version of the object appeared while it was read, or `if_match` did not hold."""


class IntegrityError(S3zError):
    """Bytes, length or checksum are not what was promised. Nothing was published.

    Attributes:
        report: of `Archive.verify`, all that is wrong; else None.
    """

    report: VerifyReport | None = None


class TransferTimeoutError(S3zError, TimeoutError):
    """No progress within the time limits, retries included, or `deadline` passed."""


class TransferConnectionError(S3zError, ConnectionError):
    """The endpoint could not be reached, or broke off every time."""


class ThrottledError(S3zError):
    """The store asked to slow down until the retries were spent (`SlowDown`, 503, 429)."""


class ArchiveError(S3zError):
    """This is no archive, or it is damaged, of an unknown version, or holds what may not be unpacked."""


class BatchError(S3zError):
    """Some of many objects failed; the others are done.

    Attributes:
        failures: one exception for each object that failed, each naming its object or file; at most the first 1000.
        result: what the call would have returned, with the counts of all; else None.
        report: the same of `unpack`.
    """

    failures: tuple[Exception, ...]
    result: BatchResult | VerifyResult | None = None
    report: UnpackReport | None = None

    def __init__(self, message: str = "", *, failures: Iterable[Exception] = (), **details: Any) -> None:
        super().__init__(message, **details)
        self.failures = tuple(failures)


class ConfigError(S3zError, ValueError):
    """A setting or an argument is malformed or cannot be honoured; the message names it."""


class UnsafeKeyError(S3zError, ValueError):
    """A key that has no safe path, or that cannot be sent byte for byte."""


class ServiceError(S3zError):
    """Any other error answer of the store."""
