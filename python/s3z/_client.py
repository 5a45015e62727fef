"""`Client`: one endpoint, one set of keys, one budget of memory and connections."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from s3z import _boto, _transfers
from s3z._log import warn
from s3z._secrecy import Hidden, forgetful
from s3z._settings import Given, refuse_both, resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from s3z import _core
    from s3z._config import TransferConfig
    from s3z._types import DownloadResult, HeadResult, ObjectInfo, UploadResult

#: core clients of a parent process: never used, and never torn down, in the child
_abandoned: list[object] = []


class Client:
    """A connection to one S3-compatible store. Threads may share it, and it may be used after a fork.

    Each setting is taken from the arguments, else the environment, else the profile, else the defaults.

    Args:
        profile: profile of the shared AWS files. Given here it switches credentials from the environment off.
        session: a boto3 or botocore session: its credentials, region and profile are used.
        client: a boto3 client for s3: its endpoint, region, addressing style, proxies, TLS checks, timeouts, retries,
            checksum modes and credentials are used.
        credentials: a dictionary (`aws_access_key_id`, `aws_secret_access_key`, `aws_session_token`, `expiry_time`),
            a botocore credentials object, or a callable that returns either; it is called again before the expiry.
        region: such as `eu-central-1`; a store that names another one in its answer is followed.
        endpoint_url: `http://` or `https://`; None is AWS.
        addressing_style: `auto`, `path` or `virtual`.
        anonymous: whether requests are sent unsigned.
        verify: whether TLS certificates are checked; None is yes.
        ca_bundle: a PEM file that replaces the system's roots.
        proxies: proxy URLs by the scheme of the request, `http` and `https`, and `no_proxy`.
        credentials_file: a file that replaces `~/.aws/credentials`.
        config: sizes, limits and timeouts.

    Raises:
        ConfigError: a setting is malformed or cannot be honoured; the message names it.
        CredentialsError: the keys given are incomplete. Whether there are any, the first request tells.

    Example:
        >>> s3z.Client(region="eu-central-1", config=s3z.TransferConfig(max_concurrency=16))
        <s3z.Client endpoint=AWS region=eu-central-1>
    """

    def __init__(
        self,
        *,
        profile: str | None = None,
        session: Any = None,
        client: Any = None,
        credentials: Any = None,
        region: str | None = None,
        endpoint_url: str | None = None,
        addressing_style: str | None = None,
        anonymous: bool = False,
        verify: bool | None = None,
        ca_bundle: str | os.PathLike[str] | None = None,
        proxies: Mapping[str, str] | None = None,
        credentials_file: str | os.PathLike[str] | None = None,
        config: TransferConfig | None = None,
    ) -> None:
        self._arguments = Hidden({name: value for name, value in locals().items() if name not in ("self", "__class__")})
        refuse_both(self._arguments)
        settled: dict[str, Any] = {}
        if client is not None:
            settled = _boto.settled_by_client(client)
            anonymous = anonymous or _boto.is_unsigned(client)
        if session is not None:
            session_region, session_profile = _boto.session_settings(session)
            settled = {"region": session_region} if session_region else {}
            profile = session_profile
        given = Given(
            profile=profile,
            credentials_file=None if credentials_file is None else os.fspath(credentials_file),
            region=region,
            endpoint_url=endpoint_url,
            addressing_style=addressing_style,
            verify=verify,
            ca_bundle=None if ca_bundle is None else os.fspath(ca_bundle),
            proxies=proxies,
            config=config,
            settled=settled,
        )
        self._settings, find = resolve(given)
        self._anonymous, self._find = anonymous, find
        self._lock = threading.Lock()
        self._core: _core.Client | None = None
        self._pid = 0
        for message in self._settings.warnings:
            warn(message)
        self._native()

    @property
    def region(self) -> str:
        """The region to begin with."""
        return self._settings.region.value

    @property
    def endpoint_url(self) -> str | None:
        """The endpoint, None for AWS."""
        return self._settings.endpoint_url.value

    def __repr__(self) -> str:
        if not hasattr(self, "_settings"):  # seen by whoever looks at why it could not be made
            return "<s3z.Client>"
        return f"<s3z.Client endpoint={self.endpoint_url or 'AWS'} region={self.region}>"

    def __reduce__(self) -> tuple[object, ...]:
        for name in ("credentials", "session", "client"):
            if self._arguments[name] is not None:
                raise TypeError(f"a Client made with {name}= cannot be pickled: it would carry secrets")
        if any("@" in url for url in (self._arguments["proxies"] or {}).values()):
            raise TypeError("a Client made with a proxy's password cannot be pickled: it would carry secrets")
        return _rebuild, ({name: value for name, value in self._arguments.items() if value is not None},)

    def _native(self) -> _core.Client:
        """The client of the core, made anew in a child process."""
        if self._pid == os.getpid() and self._core is not None:
            return self._core
        if self._pid not in (0, os.getpid()):
            self._lock = threading.Lock()  # the parent's may have been held when it forked
        with self._lock:
            if self._pid != os.getpid() or self._core is None:
                if self._core is not None:
                    _abandoned.append(self._core)
                self._core = _transfers.core_client(
                    self._settings,
                    None if self._anonymous else _boto.keys(self._arguments, self._find),
                    anonymous=self._anonymous,
                )
                self._pid = os.getpid()
            return self._core

    def download(
        self,
        source: str,
        destination: str | os.PathLike[str] | None = None,
        *,
        version_id: str | None = None,
        if_match: str | None = None,
        verify: str = "auto",
        on_change: str = "error",
        resume: bool = True,
        overwrite: bool = True,
        durable: bool | None = None,
        deadline: float | None = None,
        direct_io: str = "auto",
        part_size: int | None = None,
        max_concurrency: int | None = None,
        progress: Any = None,
    ) -> DownloadResult:
        """Fetch one object into a file, in parallel, verified, and visible only once it is complete.

        Args:
            source: `s3://bucket/key`, literally; there are no wildcards.
            destination: a file, an existing directory or a path ending in `/` (the last segment of the key is
                appended); None is the working directory. Missing parents are made. A FIFO or character device is
                written in order.
            version_id: of the object; None is the current one.
            if_match: the ETag it must have.
            verify: `auto` compares with the stored checksum where there is one, `require` fails where there is none,
                `off` only checks the length.
            on_change: what to do when the object changes meanwhile: `error`, or `restart` once with the new one.
            resume: whether to go on with what an interrupted call left, and to leave it if interrupted; from 64 MiB on.
            overwrite: whether a file of that name is replaced.
            durable: whether file and directory are synced to the disk at the end; None is as configured, which is no.
            deadline: seconds for the whole call; None is no limit.
            direct_io: `auto` (as configured), `on` or `off`.
            part_size: bytes of one range; None leaves it to s3z.
            max_concurrency: ranges in flight; None leaves it to s3z, 1 is one plain GET.
            progress: None, True, a callable, a tqdm or rich object, an fsspec Callback (see `s3z._progress`).

        Returns:
            What was written, how it went, and what was proved about the content.

        Raises:
            NotFoundError: no such bucket, object or version.
            AccessDeniedError: the store refused.
            FileExistsError: `overwrite=False` and there is such a file.
            ObjectChangedError: another version appeared, or `if_match` does not hold.
            IntegrityError: checksum or length are wrong. Nothing was published.
            TransferTimeoutError: `deadline` passed, or there was no progress, retries included.
            ConfigError: an argument is malformed or out of range.
            OSError: the local disk failed, with errno and file name.

        Example:
            >>> result = s3z.download("s3://examples/hello.txt", "out/")
            >>> result.path, result.bytes
            ('out/hello.txt', 6)

        See also https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
        """
        options: _core.DownloadOptions = {
            "version_id": version_id,
            "if_match": if_match,
            "verify": verify,
            "on_change": on_change,
            "resume": resume,
            "overwrite": overwrite,
            "durable": self._settings.durable if durable is None else durable,
            "deadline": deadline,
            "direct_io": None if direct_io == "auto" else direct_io,
            "part_size": part_size,
            "max_concurrency": max_concurrency,
        }
        return _transfers.download(self._native(), self._settings, source, destination, options, progress)

    def upload(
        self,
        source: str | os.PathLike[str],
        destination: str,
        *,
        if_none_match: str | None = None,
        if_match: str | None = None,
        checksum: str | None = None,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        storage_class: str | None = None,
        sse: str | None = None,
        sse_kms_key_id: str | None = None,
        tags: Mapping[str, str] | str | None = None,
        acl: str | None = None,
        cache_control: str | None = None,
        content_encoding: str | None = None,
        content_disposition: str | None = None,
        expires: datetime | str | None = None,
        extra_args: Mapping[str, Any] | None = None,
        part_size: int | None = None,
        max_concurrency: int | None = None,
        deadline: float | None = None,
        progress: Any = None,
    ) -> UploadResult:
        """Send one file; the object appears complete and checked, or not at all.

        Args:
            source: the path of a regular file.
            destination: `s3://bucket/key`, literally.
            if_none_match: `*` refuses to replace an object.
            if_match: the ETag of the object that may be replaced.
            checksum: the algorithm stored with the object; None is as configured, which is `crc64nvme`.
            content_type: None is by the extension of the file, else by a look at its first 512 bytes.
            metadata: the user's own; names and values in visible ASCII.
            storage_class: such as `STANDARD_IA`.
            sse: `AES256`, `aws:kms` or `aws:kms:dsse`.
            sse_kms_key_id: the key for it.
            tags: names and values, or text in the form of a query.
            acl: a canned ACL, such as `bucket-owner-full-control`.
            cache_control: header of that name.
            content_encoding: header of that name. The bytes are sent as they are.
            content_disposition: header of that name.
            expires: header of that name; a datetime without a zone is UTC.
            extra_args: boto3's `ExtraArgs`, such as `{"StorageClass": "STANDARD_IA"}`.
            part_size: bytes of one part, 5 MiB to 5 GiB; None leaves it to s3z.
            max_concurrency: parts in flight; None leaves it to s3z.
            deadline: seconds for the whole call; None is no limit.
            progress: None, True, a callable, a tqdm or rich object, an fsspec Callback (see `s3z._progress`).

        Returns:
            What was written, how it went, and what was proved about the content.

        Raises:
            TypeError: the source is no path.
            NotFoundError: no such bucket.
            AccessDeniedError: the store refused.
            AlreadyExistsError: `if_none_match` does not hold.
            ObjectChangedError: `if_match` does not hold.
            IntegrityError: the source changed while it was read, or a checksum is wrong.
            ConfigError: an argument is malformed, out of range, or cannot be honoured.
            OSError: the source is missing, a directory, or cannot be read.

        Example:
            >>> result = s3z.upload("hello.txt", "s3://examples/hello.txt", metadata={"made-by": "me"})
            >>> result.uri, result.bytes
            ('s3://examples/hello.txt', 6)

        See also https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
        """
        headers = {
            "content_type": content_type,
            "metadata": metadata,
            "storage_class": storage_class,
            "sse": sse,
            "sse_kms_key_id": sse_kms_key_id,
            "tags": tags,
            "acl": acl,
            "cache_control": cache_control,
            "content_encoding": content_encoding,
            "content_disposition": content_disposition,
            "expires": expires,
            "if_match": if_match,
            "if_none_match": if_none_match,
            "checksum": checksum,
        }
        options: _core.UploadOptions = {
            "deadline": deadline,
            "part_size": part_size,
            "max_concurrency": max_concurrency,
        }
        request = _transfers.UploadRequest(source, destination, headers, extra_args, options, progress)
        return _transfers.upload(self._native(), self._settings, request)

    def list(
        self, uri: str, *, recursive: bool = True, delimiter: str | None = None, start_after: str | None = None
    ) -> Iterator[ObjectInfo]:
        """Objects whose keys begin with that of `uri`, in key order, fetched page by page as they are asked for.

        Args:
            uri: `s3://bucket` or `s3://bucket/prefix`, literally.
            recursive: whether keys with further slashes are given one by one; False is `delimiter="/"`.
            delimiter: keys that hold it after the prefix are rolled up into one entry with `is_prefix`.
            start_after: only keys after this one.

        Returns:
            An iterator of `ObjectInfo`.

        Raises:
            NotFoundError: no such bucket; while iterating, like all that the store says.
            ConfigError: the URI is malformed.

        Example:
            >>> [info.key for info in s3z.list("s3://examples/hello")]
            ['hello.txt']

        See also https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
        """
        if delimiter is None and not recursive:
            delimiter = "/"
        return _transfers.listing(self._native(), uri, delimiter, start_after)

    def head(self, uri: str, *, version_id: str | None = None) -> HeadResult:
        """What the store says of one object, without its bytes.

        Args:
            uri: `s3://bucket/key`, literally.
            version_id: None is the current version.

        Raises:
            NotFoundError: no such bucket, object or version.
            ConfigError: the URI is malformed or has no key.

        Example:
            >>> s3z.head("s3://examples/hello.txt").size
            6
        """
        return _transfers.head(self._native(), uri, version_id)

    def exists(self, uri: str, *, version_id: str | None = None) -> bool:
        """Whether there is such an object, or such a bucket if the URI has no key.

        Args:
            uri: `s3://bucket/key` or `s3://bucket`, literally.
            version_id: None is the current version.

        Raises:
            AccessDeniedError: the store does not say.
            ConfigError: the URI is malformed.

        Example:
            >>> s3z.exists("s3://examples/no-such-key")
            False
        """
        return _transfers.exists(self._native(), uri, version_id)

    def delete(self, uris: str | Iterable[str], *, version_id: str | None = None) -> None:
        """Remove one object or many. An object that is not there counts as removed.

        Args:
            uris: one `s3://bucket/key`, or an iterable of them, which is read as it goes, in batches of 1000.
            version_id: of a single object; None removes the current version.

        Raises:
            BatchError: some of many could not be removed; `failures` has one exception for each.
            AccessDeniedError: the store refused to remove a single object.
            ConfigError: a URI is malformed or has no key.

        Example:
            >>> s3z.delete(["s3://examples/old.txt", "s3://examples/older.txt"])
        """
        _transfers.delete(self._native(), uris, version_id)


def _rebuild(arguments: dict[str, Any]) -> Client:
    return Client(**arguments)


for _name in ("__init__", "download", "upload", "list", "head", "exists", "delete"):
    setattr(Client, _name, forgetful(getattr(Client, _name)))
