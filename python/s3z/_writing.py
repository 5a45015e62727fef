"""The methods of a client that write: files, bytes and streams to objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from s3z import _transfers, _uploads
from s3z._reading import Reading

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from typing import IO, Unpack

    from _typeshed import ReadableBuffer as Buffer

    from s3z._types import UploadResult


class Writing(Reading):
    """Uploads from anywhere, and writers."""

    def upload(
        self,
        source: str | os.PathLike[str] | Buffer | IO[bytes] | Iterable[Buffer],
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
        expected_size: int | None = None,
        max_concurrency: int | None = None,
        resume: bool = False,
        deadline: float | None = None,
        progress: Any = None,
    ) -> UploadResult:
        """Send a file or what a program gives; the object appears complete and checked, or not at all.

        Args:
            source: the path of a regular file; bytes-like; a binary file object, read from where it stands to its end;
                or an iterable of bytes-like. What it raises comes out as it is, and nothing is stored.
            destination: `s3://bucket/key`, literally.
            if_none_match: `*` refuses to replace an object.
            if_match: the ETag of the object that may be replaced.
            checksum: the algorithm stored with the object: `crc64nvme`, `crc32c`, `crc32`, `sha256` or `sha1`; None is
                as configured, which is `crc64nvme`. In an upload by parts hashes are of each part, not of the whole.
            content_type: None is by the extension of the file, else by a look at its first 512 bytes; by the key alone
                if there is no file.
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
            part_size: bytes of one part, 5 MiB to 5 GiB; None leaves it to s3z. Where the length is not known
                it is that of the first thousand, and doubles after every thousand.
            expected_size: bytes that a file object or iterable will about give, for the size of the parts.
            max_concurrency: parts in flight; None leaves it to s3z.
            resume: whether parts of a file stay at the store when the upload fails or is interrupted, and the same call
                goes on from there. They cost storage until then, or until `abort_upload`. If the file or what is said
                of the object is another by then, they are removed, and all is sent anew.
            deadline: seconds for the whole call; None is no limit.
            progress: None, True, a callable, a tqdm or rich object, an fsspec Callback (see `s3z._progress`).

        Returns:
            What was written, how it went, and what was proved about the content.

        Raises:
            TypeError: the source is nothing of that, or gives text.
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
        options: _uploads.PutOptions = {
            "if_none_match": if_none_match,
            "if_match": if_match,
            "checksum": checksum,
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
            "extra_args": extra_args,
            "part_size": part_size,
            "max_concurrency": max_concurrency,
            "deadline": deadline,
        }
        request = _uploads.UploadRequest(source, destination, options, expected_size, progress, resume)
        return _uploads.upload(self._native(), self._settings, request)

    def put(self, uri: str, data: Buffer, **options: Unpack[_uploads.PutOptions]) -> UploadResult:
        """Store bytes as one object. `bytes` are sent from where they are, without a copy.

        Args:
            uri: `s3://bucket/key`, literally.
            data: bytes-like and contiguous.
            options: `content_type`, `metadata`, `if_none_match` and the other words of `upload`.

        Returns:
            What was written, how it went, and what was proved about the content.

        Raises:
            TypeError: the data is not bytes-like.
            AlreadyExistsError: `if_none_match` does not hold.
            ConfigError: an argument is malformed, out of range, or cannot be honoured.

        Example:
            >>> s3z.put("s3://examples/greeting.txt", b"hello").bytes
            5

        See also https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
        """
        return _uploads.put(self._native(), self._settings, uri, data, options)

    def open(
        self,
        target: str | os.PathLike[str],
        mode: str,
        buffering: int = -1,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        expected_size: int | None = None,
        progress: Any = None,
        **options: Unpack[_uploads.OpenOptions],
    ) -> Any:
        r"""A file of an object, to be read or written, or a local file with the same promise.

        Reading: seekable, at any place; reads that follow each other are read ahead, in parallel. All of it is of the
            version
        that was there when it was opened. Writing: parts leave while more is written; the memory it takes does not
        grow, and only a clean end makes the object.

        Args:
            target: `s3://bucket/key`, literally, or a local path.
            mode: `rb`; `wb`, or `xb` for an object or file that must not exist yet; for text `r`, `rt`, `w`, `wt`,
                `x`, `xt`.
            buffering: reading: bytes of the buffer that small reads are served from, 0 is none (`rb` only), -1 is 128
                KiB.
            encoding: of text; None is the locale's, as with the builtin.
            errors: of text, as with the builtin.
            newline: of text, as with the builtin.
            expected_size: writing: bytes that will about come, for the size of the parts; without it they grow.
            progress: writing: None, True, a callable, a tqdm or rich object, an fsspec Callback (see `s3z._progress`).
            options: to read an object `version_id`, `if_match`, `part_size`, `max_concurrency`; to write one the
                words of `upload`, such as `content_type` and `part_size`; to write a local file `durable`,
                `direct_io` and `overwrite`.

        Returns:
            `rb`: an `io.BufferedReader` over an `ObjectReader`, or that itself where `buffering` is 0. `wb`: an
            `ObjectWriter`, a binary file object with `bytes_written`, `abort()` and, once it is closed, `result`. In
            text modes an `io.TextIOWrapper` over one. A local file that is read is the builtin's.

        Raises:
            ValueError: the mode is none of those, or an option does not go with the target.
            NotFoundError: there is no such object to read.
            ConfigError: an argument is malformed, out of range, or cannot be honoured.
            OSError: the local file cannot be made.

        Example:
            >>> with s3z.open("s3://examples/log.txt", "wt") as file:
            ...     _ = file.write("first\n")
            >>> with s3z.open("s3://examples/log.txt", "rb") as file:
            ...     file.seek(-3, 2), file.read()
            (3, b'st\n')
        """
        text = {"encoding": encoding, "errors": errors, "newline": newline}
        request = (options, expected_size, progress)
        return _uploads.open_any(self._native(), self._settings, target, mode, buffering, text, request)

    def abort_upload(self, uri: str, upload_id: str) -> None:
        """Remove a multipart upload and its parts. One that is not there counts as removed.

        Args:
            uri: `s3://bucket/key` of the object it would become.
            upload_id: as `list_uploads` gives it.

        Raises:
            AccessDeniedError: the store refused.
            S3zError: parts may be left; it has the `upload_id`.

        Example:
            >>> s3z.abort_upload("s3://examples/big.bin", "no-such-upload")
        """
        _transfers.abort_upload(self._native(), uri, upload_id)
