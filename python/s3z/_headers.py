"""The headers of an upload, from keyword options and from boto3's `ExtraArgs`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from s3z._escape import escape
from s3z._exceptions import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    Headers = list[tuple[str, str]]

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")

#: boto3's names that are a keyword option of `upload`
_SAME = {
    "ACL": "acl",
    "CacheControl": "cache_control",
    "ContentDisposition": "content_disposition",
    "ContentEncoding": "content_encoding",
    "ContentType": "content_type",
    "Expires": "expires",
    "IfMatch": "if_match",
    "IfNoneMatch": "if_none_match",
    "Metadata": "metadata",
    "SSEKMSKeyId": "sse_kms_key_id",
    "ServerSideEncryption": "sse",
    "StorageClass": "storage_class",
    "Tagging": "tags",
    "ChecksumAlgorithm": "checksum",
}
#: boto3's names that are only a header
_PLAIN = {
    "BucketKeyEnabled": "x-amz-server-side-encryption-bucket-key-enabled",
    "ContentLanguage": "content-language",
    "GrantFullControl": "x-amz-grant-full-control",
    "GrantRead": "x-amz-grant-read",
    "GrantReadACP": "x-amz-grant-read-acp",
    "GrantWriteACP": "x-amz-grant-write-acp",
    "ObjectLockLegalHoldStatus": "x-amz-object-lock-legal-hold",
    "ObjectLockMode": "x-amz-object-lock-mode",
    "ObjectLockRetainUntilDate": "x-amz-object-lock-retain-until-date",
    "SSEKMSEncryptionContext": "x-amz-server-side-encryption-context",
    "WebsiteRedirectLocation": "x-amz-website-redirect-location",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectOptions:
    """What an upload may say about its object; None is nothing."""

    content_type: str | None = None
    metadata: Mapping[str, str] | None = None
    storage_class: str | None = None
    sse: str | None = None
    sse_kms_key_id: str | None = None
    tags: Mapping[str, str] | str | None = None
    acl: str | None = None
    cache_control: str | None = None
    content_encoding: str | None = None
    content_disposition: str | None = None
    expires: datetime | str | None = None
    if_match: str | None = None
    if_none_match: str | None = None
    checksum: str | None = None


def http_date(moment: datetime | str) -> str:
    """A moment as HTTP writes it; text passes as it is. A datetime without a zone is UTC."""
    if isinstance(moment, str):
        return moment
    if not isinstance(moment, datetime):
        raise ConfigError(f"expires must be a datetime or a text, not {type(moment).__name__}")
    utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return f"{_DAYS[utc.weekday()]}, {utc.day:02} {_MONTHS[utc.month - 1]} {utc.year:04} {utc:%H:%M:%S} GMT"


def merge(options: dict[str, Any], extra_args: Mapping[str, Any] | None) -> tuple[ObjectOptions, Headers]:
    """Keyword options and boto3's `ExtraArgs` in one, and the headers that have no option.

    Raises:
        ConfigError: a name is unknown or cannot be honoured, or something is said twice.
    """
    merged, headers = dict(options), []
    for name, value in (extra_args or {}).items():
        if name in _SAME:
            option = _SAME[name]
            if merged.get(option) is not None:
                raise ConfigError(f"{option} is given both as an option and in extra_args")
            merged[option] = value
        elif name in _PLAIN:
            headers.append((_PLAIN[name], _plain(value)))
        else:
            raise ConfigError(f'extra_args: "{escape(str(name))}" is unknown or cannot be honoured by an upload')
    return ObjectOptions(**merged), headers


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        utc = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return f"{utc:%Y-%m-%dT%H:%M:%SZ}"
    return str(value)


def build(options: ObjectOptions, more: Headers) -> Headers:
    """The headers to send, checked.

    Raises:
        ConfigError: a name or value cannot be a header. The value is not shown: what it says may be secret.
    """
    headers = [
        ("content-type", options.content_type),
        ("cache-control", options.cache_control),
        ("content-disposition", options.content_disposition),
        ("content-encoding", options.content_encoding),
        ("expires", None if options.expires is None else http_date(options.expires)),
        ("x-amz-acl", options.acl),
        ("x-amz-storage-class", options.storage_class),
        ("x-amz-server-side-encryption", options.sse),
        ("x-amz-server-side-encryption-aws-kms-key-id", options.sse_kms_key_id),
        ("x-amz-tagging", _tagging(options.tags)),
        *more,
        *((f"x-amz-meta-{_metadata_name(name)}", value) for name, value in (options.metadata or {}).items()),
    ]
    return [(name, _value(name, value)) for name, value in headers if value is not None]


def _tagging(tags: Mapping[str, str] | str | None) -> str | None:
    from urllib.parse import urlencode

    return tags if tags is None or isinstance(tags, str) else urlencode(dict(tags))


def _metadata_name(name: str) -> str:
    if not isinstance(name, str) or not name or not _TOKEN.issuperset(name):
        raise ConfigError(f'metadata: "{escape(str(name))}" cannot be a name: use ASCII letters, digits and "-"')
    return name.lower()


def _value(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{name} must be a text, not {type(value).__name__}")
    if not value.isascii() or not value.replace("\t", " ").isprintable():
        raise ConfigError(f"{name}: this value cannot be sent: use visible ASCII characters only")
    if value != value.strip():
        raise ConfigError(f"{name}: this value cannot be sent: blanks at an end would be lost")
    return value
