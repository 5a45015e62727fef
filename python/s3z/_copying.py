"""The methods of a client that copy, move and delete what is named itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from s3z._syncing import Syncing

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from typing import Unpack

    from s3z._client import Client
    from s3z._many_types import BatchResult, CopyResult
    from s3z._uploads import ObjectWords


class Copying(Syncing):
    """Copies, moves, and removal."""

    def copy(
        self,
        source: str,
        destination: str,
        *,
        version_id: str | None = None,
        overwrite: bool = True,
        source_client: Client | None = None,
        replace_metadata: bool | None = None,
        verify: str = "auto",
        part_size: int | None = None,
        max_concurrency: int | None = None,
        progress: Any = None,
        **options: Unpack[ObjectWords],
    ) -> CopyResult:
        """Copy one object, of any size, to another name; the store does it by itself where it can.

        Above 5 GiB it is copied in parts, side by side. Where the store cannot copy, or the source is at another one,
        the bytes pass through this machine, and no file. Metadata come along, unless `options` replace them; tags do
        where the store copies.

        Args:
            source: `s3://bucket/key`, literally.
            destination: `s3://bucket/key`, literally: nothing is appended to it.
            version_id: of the source; None is the current one.
            overwrite: whether an object of that name is replaced.
            source_client: of the store of the source, if that is another.
            replace_metadata: whether metadata and headers are those of `options` only; None is if any is given.
            verify: of bytes that pass through this machine, as of `download`.
            part_size: bytes of one part, 5 MiB to 5 GiB; None leaves it to s3z.
            max_concurrency: parts in flight; None leaves it to s3z.
            progress: None, True, a callable, a tqdm or rich object, an fsspec Callback (see `s3z._progress`).
            options: of the new object: `metadata`, `storage_class`, `acl` and the other words of `upload_dir`.

        Returns:
            What was made, and how it went.

        Raises:
            NotFoundError: no such object, version or bucket.
            AccessDeniedError: the store refused.
            AlreadyExistsError: `overwrite=False`, and there is such an object.
            ObjectChangedError: another version of the source appeared meanwhile.
            ConfigError: an argument is malformed, or the object would be copied onto itself and nothing of it changed.

        Example:
            >>> s3z.copy("s3://examples/hello.txt", "s3://examples/old/hello.txt").bytes
            6

        See also https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
        """
        from s3z import _many, _sides

        words = {"version_id": version_id, "part_size": part_size, "max_concurrency": max_concurrency}
        asked = _many.Asked(
            words, overwrite=bool(overwrite), verify=verify, options=options, replace_metadata=replace_metadata
        )
        first, second = _sides.single(source), _sides.single(destination)
        clients = _sides.clients(self, source_client, first, second)
        return _many.one(clients, "cp", first, second, asked, progress)

    def move(
        self,
        source: str | os.PathLike[str],
        destination: str | os.PathLike[str],
        *,
        version_id: str | None = None,
        overwrite: bool = True,
        source_client: Client | None = None,
        replace_metadata: bool | None = None,
        verify: str = "auto",
        resume: bool | None = None,
        direct_io: str = "auto",
        part_size: int | None = None,
        max_concurrency: int | None = None,
        progress: Any = None,
        **options: Unpack[ObjectWords],
    ) -> CopyResult:
        """Move one object or file: transfer it, and remove the source once the destination is complete and verified.

        The source is removed only if it is still what was read. If that fails, an error says so, and both are there.
        A file that is made is synced to the disk before.

        Args:
            source: `s3://bucket/key`, literally, or the path of a file.
            destination: `s3://bucket/key`, literally: nothing is appended to it. For an object also a file, an existing
                directory or a path ending in `/` (the last segment of the key is appended).
            version_id: of the source; None is the current one. That version is then removed.
            overwrite: whether what is at the destination is replaced.
            source_client: of the store of the source, if that is another than the destination's.
            replace_metadata: of a copy: whether metadata and headers are those of `options` only; None is if any is
                given.
            verify: `auto` or `require`, as of `download`; there is no move without.
            resume: whether what an interrupted call left is used; None is yes for downloads and no for uploads.
            direct_io: of a file that is made: `auto` (as configured), `on` or `off`.
            part_size: bytes of one part or range; None leaves it to s3z.
            max_concurrency: parts or ranges in flight; None leaves it to s3z.
            progress: None, True, a callable, a tqdm or rich object, an fsspec Callback (see `s3z._progress`).
            options: of a new object, as of `copy`.

        Returns:
            What was made, and how it went.

        Raises:
            NotFoundError: no such object, version or bucket.
            AccessDeniedError: the store refused; if it was the removal, the destination is complete.
            AlreadyExistsError: `overwrite=False`, and the destination is there.
            ObjectChangedError: the source changed meanwhile, and is kept.
            IntegrityError: the content is not what it has to be; or a file changed after it was sent, and is kept.
            ConfigError: an argument is malformed, both sides are local, or source and destination are the same.
            OSError: the file is missing, or the local disk failed.

        Example:
            >>> result = s3z.move("s3://examples/hello.txt", "moved.txt")
            >>> result.destination, s3z.exists("s3://examples/hello.txt")
            ('moved.txt', False)
        """
        from s3z import _many, _sides

        first, second = _sides.move_pair(source, destination)
        clients = _sides.clients(self, source_client, first, second)
        words = {"version_id": version_id, "part_size": part_size, "max_concurrency": max_concurrency}
        asked = _many.Asked(
            words, overwrite=bool(overwrite), verify=verify, options=options, replace_metadata=replace_metadata,
            resume=resume, direct_io=direct_io, durable=None if second.is_remote else True,
        )  # fmt: skip
        return _many.one(clients, "mv", first, second, asked, progress)

    @overload
    def delete(  # type: ignore[overload-overlap]
        self, uris: str, *, version_id: str | None = None
    ) -> None: ...

    @overload
    def delete(self, uris: Iterable[str], *, errors: str = "raise", progress: Any = None) -> BatchResult: ...

    def delete(
        self,
        uris: str | Iterable[str],
        *,
        version_id: str | None = None,
        errors: str = "raise",
        progress: Any = None,
    ) -> BatchResult | None:
        """Remove one object or many. An object that is not there counts as removed.

        Args:
            uris: one `s3://bucket/key`, or an iterable of them, of any length and of any buckets. It is read as it
                goes, 8000 at a time, which are checked before any of them is removed; requests remove up to 1000 each.
            version_id: of a single object; None removes the current version.
            errors: of many: `raise` them at the end, or `return` them in the result.
            progress: of many: None, True, a callable, a tqdm or rich object, an fsspec Callback (see `s3z._progress`).

        Returns:
            Of many, how many were removed (`done`), and what failed; None of a single one.

        Raises:
            BatchError: some of many could not be removed; it has `failures` and `result`.
            AccessDeniedError: the store refused to remove a single object.
            CredentialsError: no keys were found, or they expired and cannot be refreshed.
            ConfigError: a URI is malformed or has no key.

        Example:
            >>> s3z.delete(["s3://examples/old.txt", "s3://examples/older.txt"]).done
            2

        See also https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
        """
        from s3z import _many

        return _many.delete(self, uris, version_id, _many.Telling(progress, errors))
