"""From an exception to what a person and a script are told: kind, message, hint."""

from __future__ import annotations

import os

from s3z._cli._options import UsageError
from s3z._exceptions import (
    AccessDeniedError,
    AlreadyExistsError,
    ArchiveError,
    ConfigError,
    CredentialsError,
    IntegrityError,
    NotFoundError,
    ObjectChangedError,
    S3zError,
    ThrottledError,
    TransferConnectionError,
    TransferTimeoutError,
    UnsafeKeyError,
)

_KINDS: tuple[tuple[type[BaseException], str], ...] = (
    (NotFoundError, "not_found"),
    (AccessDeniedError, "access_denied"),
    (CredentialsError, "credentials"),
    (AlreadyExistsError, "already_exists"),
    (ObjectChangedError, "object_changed"),
    (IntegrityError, "integrity"),
    (TransferTimeoutError, "timeout"),
    (TransferConnectionError, "connection"),
    (ThrottledError, "throttled"),
    (ArchiveError, "archive"),
    (ConfigError, "config"),
    (UnsafeKeyError, "unsafe_key"),
    (S3zError, "service"),
    (UsageError, "usage"),
    (KeyboardInterrupt, "interrupted"),
    (OSError, "local_io"),
)
#: parameters that the core names where the command has an option
_PARAMETERS = (("part_size", "part-size"), ("max_concurrency", "concurrency"))
_HINTS = {
    "NoSuchBucket": "`s3z ls` shows your buckets; bucket names are unique to an endpoint, see --endpoint-url",
    "NoSuchKey": "names are case-sensitive; `s3z ls` of the prefix shows what is there",
    "BucketNotEmpty": "only an empty bucket can be removed; versions and unfinished uploads count, too",
    "SignatureDoesNotMatch": "check the secret access key",
    "InvalidAccessKeyId": "check the access key id, and that it belongs to this endpoint",
    "RequestTimeTooSkewed": "check the clock of this machine",
    "connection": "check --endpoint-url, and that the store can be reached from here",
    "timeout": "check --endpoint-url; --read-timeout and --retry-count set how long to be patient",
    "throttled": "lower --concurrency, or try again later",
    "delete_limit": "--max-delete sets the limit; --dry-run shows what would be deleted",
    "object_changed": "it was written while it was read; try again",
}


class RefusedError(Exception):
    """A command that parses, but is not carried out; exit status 1.

    Args:
        message: as `cli.md` has it.
        kind: `error.kind` of the record.
        hint: a remedy.
    """

    def __init__(self, message: str, kind: str = "refused", hint: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.hint = hint


class Failure:
    """What is told of one error.

    Args:
        error: the exception.
        kind: what it is called, where its class does not say it.
    """

    def __init__(self, error: BaseException, kind: str | None = None) -> None:
        self.code: str | None = getattr(error, "code", None) if isinstance(error, S3zError) else None
        self.status: int | None = getattr(error, "status", None)
        self.request_id: str | None = getattr(error, "request_id", None)
        self.errno: int | None = getattr(error, "errno", None) if isinstance(error, OSError) else None
        self.kind = kind or (error.kind if isinstance(error, RefusedError) else _kind(error))
        self.message = self._message(error)
        self.hint = (
            error.hint if isinstance(error, RefusedError) else _HINTS.get(self.code or "", _HINTS.get(self.kind))
        )
        notes = getattr(error, "__notes__", ())
        for note in notes:
            self.hint = note
        if isinstance(error, S3zError) and error.upload_id and not notes:
            self.hint = f"the upload {error.upload_id} is unfinished and may cost storage"

    def _message(self, error: BaseException) -> str:
        if isinstance(error, ConfigError):
            return _as_option(str(error))
        if isinstance(error, S3zError):
            return self._answer(str(error))
        if isinstance(error, KeyboardInterrupt):
            return "interrupted"
        if isinstance(error, OSError) and error.strerror:
            if self.kind == "not_regular_file" and isinstance(error.filename, (str, bytes)):
                return f'object "{os.fsdecode(error.filename)}" is not a regular file'
            cause = error.strerror[:1].lower() + error.strerror[1:]
            name = error.filename
            return f'"{os.fsdecode(name)}": {cause}' if isinstance(name, (str, bytes)) else cause
        if isinstance(error, (RefusedError, UsageError)):
            return str(error)
        text = str(error)
        return f"{type(error).__name__}: {text}" if text else type(error).__name__

    def _answer(self, text: str) -> str:
        """`CODE: message; status code: 404, request id: ID`, with what is known and none of it twice."""
        if text.startswith('given object "'):
            return text
        for mark in (f"; {self.code}", "; status code:"):
            text = text.partition(mark)[0] if self.status is not None else text
        if self.code and not text.startswith(f"{self.code}: "):
            text = f"{self.code}: {text}"
        if self.status is not None:
            text += f"; status code: {self.status}"
            if self.request_id:
                text += f", request id: {self.request_id}"
        return text

    def record(self) -> dict[str, object]:
        """The `error` object of a JSON record."""
        return {
            "kind": self.kind,
            "message": self.message,
            "code": self.code,
            "status": self.status,
            "request_id": self.request_id,
            "errno": self.errno,
            "hint": self.hint,
        }


def _as_option(text: str) -> str:
    """What was said of a parameter, said of the option."""
    named, mark, rest = text.rpartition('": ') if text.startswith('"s3://') else ("", "", text)
    for name, option in _PARAMETERS:
        if rest.startswith(f"{name} "):
            return f'{named}{mark}option "--{option}":{rest.removeprefix(name)}'
    return text


def _kind(error: BaseException) -> str:
    return next((kind for type_, kind in _KINDS if isinstance(error, type_)), "service")
