"""The methods of a client that read: each gives its words to the operation in `_transfers`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from s3z import _transfers

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from s3z import _core
    from s3z._settings import Settings
    from s3z._types import DownloadResult, HeadResult, ObjectInfo, UploadInfo


class Reading:
    """Downloads, listings, and what the store says of an object."""

    _settings: Settings

    def _native(self) -> _core.Client:
        """The client of the core."""
        raise NotImplementedError

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

    def list_uploads(self, uri: str | None = None) -> Iterator[UploadInfo]:
        """Multipart uploads that were neither completed nor aborted, below or beginning with `uri`.

        `abort_upload(info.uri, info.upload_id)` removes one.

        Args:
            uri: `s3://bucket` or `s3://bucket/prefix`, literally. None: those that s3z began on this machine, at this
                endpoint, and left; the store is not asked.

        Returns:
            An iterator of `UploadInfo`, fetched page by page.

        Raises:
            NotFoundError: no such bucket; while iterating, like all that the store says.
            ConfigError: the URI is malformed.

        Example:
            >>> [info.key for info in s3z.list_uploads("s3://examples")]
            []

        See also https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html
        """
        return _transfers.uploads(self._native(), uri)

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
