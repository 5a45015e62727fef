"""The methods of a client that read: each gives its words to the operation in `_transfers`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from s3z import _transfers

if TYPE_CHECKING:
    import builtins
    import os
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Unpack

    from _typeshed import WriteableBuffer

    from s3z import _core
    from s3z._core import Buffer
    from s3z._settings import Settings
    from s3z._streams import ByteStream, ReadOptions
    from s3z._types import DownloadResult, HeadResult, ObjectInfo, UploadInfo


class Reading:
    """Downloads, streams, ranges in memory, listings, and what the store says of an object."""

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

    def stream(
        self,
        uri: str,
        *,
        chunk_size: int | None = None,
        progress: Any = None,
        **options: Unpack[ReadOptions],
    ) -> ByteStream:
        r"""The bytes of an object in order: parallel inside, in bounded memory.

        Args:
            uri: `s3://bucket/key`, literally.
            chunk_size: bytes of each chunk but the last; None is 1 MiB.
            progress: None, True, a callable, a tqdm or rich object, an fsspec Callback (see `s3z._progress`).
            options: `start` and `stop`, a half-open range, what goes beyond the end is cut; `version_id`; `if_match`,
                the ETag the object must have; `verify`, which is `auto`, `require` or `off` (a range has no
                checksum); `part_size` and `max_concurrency`, None leaves them to s3z; `deadline`, seconds from here
                to the last byte.

        Returns:
            An iterator of `bytes` and a context manager; see `ByteStream`.

        Raises:
            NotFoundError: no such bucket, object or version.
            AccessDeniedError: the store refused.
            ConfigError: an argument is malformed or out of range, the range begins behind the object's end, or as many
                streams are open as `memory_limit` allows.

        Example:
            >>> for chunk in s3z.stream("s3://examples/hello.txt"):
            ...     print(chunk)
            b'hello\n'
        """
        from s3z import _streams

        return _streams.stream(self._native(), uri, chunk_size, options, progress)

    def get(self, uri: str, *, progress: Any = None, **options: Unpack[ReadOptions]) -> Buffer:
        """An object, or a range of it, in memory, fetched in parallel and copied once.

        Args:
            uri: `s3://bucket/key`, literally.
            progress: None, True, a callable, a tqdm or rich object, an fsspec Callback (see `s3z._progress`).
            options: `start`, `stop`, `version_id`, `if_match`, `verify`, `part_size`, `max_concurrency` and
                `deadline` as with `stream`.

        Returns:
            Memory that nothing changes any more: `bytes(b)`, `memoryview(b)`, `numpy.frombuffer(b, …)` without a copy.

        Raises:
            NotFoundError: no such bucket, object or version.
            IntegrityError: the bytes are not what the store holds the checksum of.
            ObjectChangedError: another version appeared meanwhile.
            ConfigError: an argument is malformed or out of range, or the range begins behind the object's end.
            MemoryError: there is not so much.

        Example:
            >>> bytes(s3z.get("s3://examples/hello.txt", start=1, stop=4))
            b'ell'
        """
        from s3z import _memory

        return _memory.get(self._native(), uri, options, progress)

    def get_into(
        self, uri: str, buffer: WriteableBuffer, *, progress: Any = None, **options: Unpack[ReadOptions]
    ) -> int:
        """An object, or a range of it, straight into a buffer of the caller's. It is left alone once the call is over.

        Args:
            uri: `s3://bucket/key`, literally.
            buffer: writable and contiguous, with exactly as many bytes as come: a bytearray, NumPy array, mmap …
            progress: None, True, a callable, a tqdm or rich object, an fsspec Callback (see `s3z._progress`).
            options: as with `get`.

        Returns:
            Bytes written. After an exception the content of the buffer is not defined.

        Raises:
            BufferError: it is read-only or not contiguous.
            ConfigError: it has another size (nothing was written), or an argument is malformed.
            NotFoundError: no such bucket, object or version.
            IntegrityError: the bytes are not what the store holds the checksum of.

        Example:
            >>> buffer = bytearray(6)
            >>> s3z.get_into("s3://examples/hello.txt", buffer)
            6
        """
        from s3z import _memory

        return _memory.get_into(self._native(), uri, buffer, options, progress)

    def get_ranges(
        self,
        uri: str,
        ranges: Iterable[tuple[int, int]],
        *,
        buffers: Sequence[WriteableBuffer] | None = None,
        **options: Unpack[ReadOptions],
    ) -> builtins.list[Any]:
        """Many ranges of one version of an object. Those that lie within 1 MiB of each other are fetched as one.

        Args:
            uri: `s3://bucket/key`, literally.
            ranges: pairs of start and stop, half open, in any order; what goes beyond the end is cut.
            buffers: writable and contiguous, one for each range and exactly as long; None makes new ones.
            options: `version_id`, `if_match`, `max_concurrency` and `deadline` as with `stream`.

        Returns:
            A `Buffer` for each range, in the order of `ranges`; or `buffers`.

        Raises:
            BufferError: a buffer is read-only or not contiguous.
            ConfigError: a range begins behind the object's end, or a buffer has another size than its range.
            NotFoundError: no such bucket, object or version.
            ObjectChangedError: another version appeared meanwhile.

        Example:
            >>> [bytes(b) for b in s3z.get_ranges("s3://examples/hello.txt", [(3, 5), (0, 1)])]
            [b'lo', b'h']
        """
        from s3z import _memory

        return _memory.get_ranges(self._native(), uri, ranges, buffers, options)

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
