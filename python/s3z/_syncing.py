"""The methods of a client that speak of many objects: directories, prefixes, and what differs between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from s3z._managing import Managing

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from typing import Unpack

    from s3z._client import Client
    from s3z._many_types import BatchResult, SyncResult, VerifyResult
    from s3z._uploads import ObjectWords


class Syncing(Managing):
    """Whole directories and prefixes."""

    def download_dir(
        self,
        prefix_uri: str,
        directory: str | os.PathLike[str],
        *,
        include: str | bytes | Iterable[str | bytes] = (),
        exclude: str | bytes | Iterable[str | bytes] = (),
        overwrite: bool | str = True,
        verify: str = "auto",
        resume: bool = True,
        durable: bool | None = None,
        direct_io: str = "auto",
        glacier: str = "error",
        part_size: int | None = None,
        max_concurrency: int | None = None,
        workers: int | None = None,
        dry_run: bool = False,
        errors: str = "raise",
        progress: Any = None,
    ) -> BatchResult:
        """Fetch all objects below a prefix into a directory, in parallel, while the listing goes on.

        Each is verified and appears complete or not at all. A key that has no safe path, or would have to be both a
        file and a directory, is a failure of its own; nothing is written outside the directory.

        Args:
            prefix_uri: `s3://bucket` or `s3://bucket/prefix/`, literally; what follows is the path below `directory`.
            directory: where to; it is made if it is missing.
            include: patterns of names below the prefix, with `*` and `?`, which match `/` too; others are left out.
            exclude: patterns of names that are left out, whatever `include` says.
            overwrite: what becomes of files that are there: True replaces them, False leaves them alone,
                `if_size_differs` replaces those of another size, `if_newer` those that are older than the object.
            verify: `auto` compares with the stored checksum where there is one, `require` fails where there is none,
                `off` only checks the length.
            resume: whether to go on with what an interrupted call left, and to leave it if interrupted; from 64 MiB on.
            durable: whether files are synced to the disk; None is as configured, which is no.
            direct_io: `auto` (as configured), `on` or `off`.
            glacier: what to do about objects in cold storage: `error`, `skip`, or `try`.
            part_size: bytes of one range; None leaves it to s3z.
            max_concurrency: ranges of one object in flight; None leaves it to s3z.
            workers: objects at a time; None leaves it to s3z.
            dry_run: whether to decide and count, but to write nothing.
            errors: `raise` them at the end, or `return` them in the result.
            progress: None, True, a callable, a tqdm or rich object, an fsspec Callback (see `s3z._progress`).

        Returns:
            What was done, skipped, and failed; successes are only counted.

        Raises:
            BatchError: some objects failed, and the others are done; it has `failures` and `result`.
            NotFoundError: no such bucket, or nothing below the prefix.
            AccessDeniedError: the store refused to list.
            CredentialsError: no keys were found, or they expired and cannot be refreshed.
            ConfigError: an argument is malformed or out of range.
            NotADirectoryError: something else is where the directory should be.

        Example:
            >>> s3z.download_dir("s3://examples/", "copies", include="*.txt").done
            1
        """
        from s3z import _many, _sides

        words = {
            "glacier": glacier, "part_size": part_size, "max_concurrency": max_concurrency, "workers": workers,
            "dry_run": dry_run,
        }  # fmt: skip
        asked = _many.Asked(
            words, overwrite=overwrite, verify=verify, resume=resume, durable=durable, direct_io=direct_io
        )
        source = _sides.prefix(prefix_uri, "prefix_uri")
        target = _sides.target_directory(directory, "directory")
        filters = _sides.Filters.of(include, exclude)
        return _many.transfer(self, source, target, filters, asked, _many.Telling(progress, errors))

    def upload_dir(
        self,
        directory: str | os.PathLike[str],
        prefix_uri: str,
        *,
        include: str | bytes | Iterable[str | bytes] = (),
        exclude: str | bytes | Iterable[str | bytes] = (),
        follow_symlinks: bool = True,
        overwrite: bool | str = True,
        resume: bool = False,
        part_size: int | None = None,
        max_concurrency: int | None = None,
        workers: int | None = None,
        dry_run: bool = False,
        errors: str = "raise",
        progress: Any = None,
        **options: Unpack[ObjectWords],
    ) -> BatchResult:
        """Send all files of a directory, at any depth, to keys below a prefix, in parallel, while the walk goes on.

        Hidden files are files, too; empty directories leave nothing. A name that is not UTF-8 cannot be a key, which is
        a failure of its own, and so is what is neither a file nor a directory.

        Args:
            directory: what is in it is sent, without its own name.
            prefix_uri: `s3://bucket` or `s3://bucket/prefix/`, literally.
            include: patterns of names below the directory, with `*` and `?`, which match `/` too; others are left out.
            exclude: patterns of names that are left out, whatever `include` says.
            follow_symlinks: whether what symbolic links lead to is sent; without it they are skipped.
            overwrite: what becomes of objects that are there: True replaces them, False leaves them alone,
                `if_size_differs` replaces those of another size, `if_newer` those that are older than the file. Where
                the store can, the write itself depends on it, so that no other writer's object is lost.
            resume: whether parts of files stay at the store when they fail or are interrupted, and the same call goes
                on from there (see `upload`).
            part_size: bytes of one part, 5 MiB to 5 GiB; None leaves it to s3z.
            max_concurrency: parts of one object in flight; None leaves it to s3z.
            workers: objects at a time; None leaves it to s3z.
            dry_run: whether to decide and count, but to send nothing.
            errors: `raise` them at the end, or `return` them in the result.
            progress: None, True, a callable, a tqdm or rich object, an fsspec Callback (see `s3z._progress`).
            options: of all new objects: `checksum`, `content_type`, `metadata`, `storage_class`, `sse`,
                `sse_kms_key_id`, `tags`, `acl`, `cache_control`, `content_encoding`, `content_disposition`, `expires`
                and `extra_args`, as of `upload`.

        Returns:
            What was done, skipped, and failed; successes are only counted.

        Raises:
            BatchError: some files failed, and the others are done; it has `failures` and `result`.
            NotFoundError: no such bucket.
            CredentialsError: no keys were found, or they expired and cannot be refreshed.
            ConfigError: an argument is malformed, out of range, or cannot be honoured.
            OSError: the directory is missing, or none.

        Example:
            >>> from pathlib import Path
            >>> Path("site/img").mkdir(parents=True)
            >>> for name in ("index.html", "img/a.png"):
            ...     _ = Path("site", name).write_text("hello")
            >>> s3z.upload_dir("site", "s3://examples/www/", cache_control="max-age=60").done
            2
        """
        from s3z import _many, _sides

        words = {
            "part_size": part_size, "max_concurrency": max_concurrency, "workers": workers, "dry_run": dry_run,
            "follow": follow_symlinks,
        }  # fmt: skip
        asked = _many.Asked(words, overwrite=overwrite, resume=resume, options=options, follow_symlinks=follow_symlinks)
        source = _sides.source_directory(directory, "directory")
        target = _sides.prefix(prefix_uri, "prefix_uri")
        filters = _sides.Filters.of(include, exclude)
        return _many.transfer(self, source, target, filters, asked, _many.Telling(progress, errors))

    def sync(
        self,
        source: str | os.PathLike[str],
        destination: str | os.PathLike[str],
        *,
        delete: bool = False,
        max_delete: int | None = None,
        force: bool = False,
        compare: str = "newer",
        include: str | bytes | Iterable[str | bytes] = (),
        exclude: str | bytes | Iterable[str | bytes] = (),
        follow_symlinks: bool = True,
        source_client: Client | None = None,
        verify: str = "auto",
        resume: bool | None = None,
        durable: bool | None = None,
        direct_io: str = "auto",
        glacier: str = "error",
        replace_metadata: bool | None = None,
        part_size: int | None = None,
        max_concurrency: int | None = None,
        workers: int | None = None,
        stop_on_error: bool = False,
        dry_run: bool = False,
        errors: str = "raise",
        progress: Any = None,
        **options: Unpack[ObjectWords],
    ) -> SyncResult:
        """Make the destination hold what the source holds, one way: only what is missing or differs is transferred.

        Both sides are listed side by side, so that memory does not grow with their size. Deletions come last, and only
        if nothing at all has failed.

        Args:
            source: a directory, `s3://bucket` or `s3://bucket/prefix/`; what is in it, without its own name.
            destination: likewise; one of the two is at a store. A directory is made if it is missing. Within one store
                neither may lie in the other.
            delete: whether what only the destination has is removed. Names that filters leave out never are, nor files
                that changed since they were listed.
            max_delete: if more would be removed, nothing is; None is no limit.
            force: whether `delete` may empty the destination because the source selects nothing.
            compare: what makes a pair of one name and size differ: `newer`, the source is; `size`, nothing;
                `times`, another time in whole seconds (of files); `checksum`, the content by its checksums, and where
                there is none to compare it is transferred; `etag`, the same, also by MD5 of objects of one part.
                Another size always does.
            include: patterns of names below the sides, with `*` and `?`, which match `/` too; others are left out.
            exclude: patterns of names that are left out, whatever `include` says.
            follow_symlinks: whether what symbolic links of the source lead to is sent; without it they are skipped.
            source_client: of the store of the source, if that is another; objects then pass through this machine.
            verify: of downloads, as of `download`.
            resume: whether what an interrupted call left is used; None is yes for downloads and no for uploads.
            durable: whether files are synced to the disk; None is as configured, which is no.
            direct_io: of files: `auto` (as configured), `on` or `off`.
            glacier: what to do about objects in cold storage: `error`, `skip`, or `try`.
            replace_metadata: of copies: whether metadata and headers are those of `options` only; None is if any is
                given.
            part_size: bytes of one part or range; None leaves it to s3z.
            max_concurrency: parts or ranges of one object in flight; None leaves it to s3z.
            workers: objects at a time; None leaves it to s3z.
            stop_on_error: whether the first failure ends it all.
            dry_run: whether to list, decide and count, refusals included, but to change nothing.
            errors: `raise` them at the end, or `return` them in the result.
            progress: None, True, a callable, a tqdm or rich object, an fsspec Callback (see `s3z._progress`).
            options: of new objects, as of `upload_dir`.

        Returns:
            What was done, skipped, deleted, held back, and failed.

        Raises:
            BatchError: some objects failed, or more would be deleted than `max_delete`; nothing was deleted then. It
                has `failures` and `result`.
            NotFoundError: no such bucket; or the source selects nothing, which with `delete` needs `force`.
            AccessDeniedError: the store refused to list.
            CredentialsError: no keys were found, or they expired and cannot be refreshed.
            ConfigError: an argument is malformed, out of range, or does not go with these sides; or `delete` is asked
                for in the root or the home directory.
            OSError: the source is a directory that is missing, or none.

        Example:
            >>> _ = s3z.download_dir("s3://examples/", "mirror")
            >>> result = s3z.sync("s3://examples/", "mirror", delete=True, max_delete=100)
            >>> result.done, result.skipped, result.deleted
            (0, 1, 0)
        """
        from s3z import _many, _sides

        words = {
            "delete": delete, "max_delete": max_delete, "force": force, "compare": compare, "glacier": glacier,
            "part_size": part_size, "max_concurrency": max_concurrency, "workers": workers, "dry_run": dry_run,
            "exit_on_error": stop_on_error, "follow": follow_symlinks,
        }  # fmt: skip
        asked = _many.Asked(
            words, verify=verify, resume=resume, options=options, replace_metadata=replace_metadata,
            durable=durable, direct_io=direct_io, follow_symlinks=follow_symlinks,
        )  # fmt: skip
        first, second = _sides.source(source), _sides.target(destination)
        clients = _sides.clients(self, source_client, first, second)
        filters = _sides.Filters.of(include, exclude)
        return _many.sync(clients, first, second, filters, asked, _many.Telling(progress, errors))

    def verify(
        self,
        local: str | os.PathLike[str],
        uri: str,
        *,
        compare: str = "checksum",
        download: bool = False,
        one_way: bool = False,
        include: str | bytes | Iterable[str | bytes] = (),
        exclude: str | bytes | Iterable[str | bytes] = (),
        follow_symlinks: bool = True,
        workers: int | None = None,
        errors: str = "raise",
        progress: Any = None,
    ) -> VerifyResult:
        """Compare files with objects, without transferring any; nothing is written on either side.

        Args:
            local: a directory or a file; or a prefix or an object, to be compared with another.
            uri: `s3://bucket/prefix/` for a directory, `s3://bucket/key` for a file.
            compare: `checksum`, the content with the stored checksums; `etag`, the same, also by MD5 of objects of one
                part; `size`, nothing more.
            download: whether objects without a checksum are read, rather than told as unproven.
            one_way: whether it does not matter what only the second side has.
            include: patterns of names below the sides, with `*` and `?`, which match `/` too; others are left out.
            exclude: patterns of names that are left out, whatever `include` says.
            follow_symlinks: whether symbolic links stand for what they lead to; without it they are left out.
            workers: objects at a time; None leaves it to s3z.
            errors: `raise` them at the end, or `return` them in the result.
            progress: None, True, a callable, a tqdm or rich object, an fsspec Callback (see `s3z._progress`).

        Returns:
            What is the same, and what is not; `is_same` says it in one word. Differences are not raised.

        Raises:
            BatchError: some names could not be compared; it has `failures` and `result`.
            NotFoundError: no such bucket.
            AccessDeniedError: the store refused to list.
            CredentialsError: no keys were found, or they expired and cannot be refreshed.
            ConfigError: an argument is malformed or out of range, or a directory is compared with an object.
            OSError: the file or directory is missing.

        Example:
            >>> result = s3z.verify("hello.txt", "s3://examples/hello.txt")
            >>> result.is_same, result.same
            (True, 1)
        """
        from s3z import _many, _sides

        words = {
            "compare": compare, "download": download, "one_way": one_way, "follow_symlinks": follow_symlinks,
            "workers": workers,
        }  # fmt: skip
        source, target = _sides.pair(local, uri)
        filters = _sides.Filters.of(include, exclude)
        return _many.verify(self, source, target, filters, words, _many.Telling(progress, errors))
