"""The methods of a client that make archives and take them apart; `s3z.Archive` reads single entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from s3z import _packing, _unpacking
from s3z._writing import Writing

if TYPE_CHECKING:
    import io
    import os
    from collections.abc import Iterable
    from typing import Unpack

    from s3z._archive_types import PackReport, UnpackReport
    from s3z._uploads import PutOptions


class Archiving(Writing):
    """Trees to archives and back."""

    def pack(
        self,
        source: str | os.PathLike[str],
        destination: str | os.PathLike[str] | io.FileIO,
        *,
        level: int = 3,
        codec: str | None = None,
        group_size: int | None = None,
        slice_size: int | None = None,
        skip_extensions: Iterable[str] | None = None,
        no_skip: bool = False,
        file_hash: bool = False,
        xattrs: bool = False,
        follow_symlinks: bool = False,
        include: Iterable[str | bytes] = (),
        exclude: Iterable[str | bytes] = (),
        on_error: str = "fail",
        overwrite: bool = True,
        durable: bool | None = None,
        workers: int | None = None,
        memory_limit: int | None = None,
        progress: Any = None,
        **options: Unpack[PutOptions],
    ) -> PackReport:
        """Turn a directory, or the objects below a prefix, into one `.tar.zst` with an index, on all cores.

        No temporary copy is made, and the archive appears complete or not at all. The same source and options give
        the same bytes, whatever the machine.

        Args:
            source: a directory, whose name the names of the entries begin with, unless it is written with a `/` at its
                end; a file; or `s3://bucket/prefix/`, all objects below it. Literally; there are no wildcards.
            destination: `s3://bucket/key`, a path, or a raw binary file such as `io.FileIO(1, "w")`, which is written
                in order. A name that ends in `.tar` means `codec="none"`.
            level: of zstd, from -7 to 19.
            codec: `zstd`, or `none` for a plain tar; None is by the name of the destination.
            group_size: bytes that small files are compressed in together, from 64 KiB to `slice_size`; None is 1 MiB.
                Less makes reading one of them cheaper, and the archive larger.
            slice_size: bytes of a large file that are compressed and hashed by themselves, 1, 2 or 4 MiB; None is 4.
            skip_extensions: of files that are probably compressed already, and are looked at before it is tried again;
                None is a list of the usual ones.
            no_skip: whether everything is compressed that becomes smaller by it, without a look.
            file_hash: whether files of several slices get a hash of the whole besides those of their slices.
            xattrs: whether extended attributes are kept.
            follow_symlinks: whether what symbolic links lead to is packed, rather than the links.
            include: patterns of names below the source, with `*` and `?`, which match `/` too; others are left out.
            exclude: patterns of names that are left out, whatever `include` says.
            on_error: what to do about an entry that cannot be read, or changes meanwhile: `fail`, or `skip`, which
                leaves it out and puts it into `failures` of the report.
            overwrite: whether a file or object of that name is replaced.
            durable: whether a file is synced to the disk at the end; None is as configured, which is no.
            workers: threads that compress; None is one for each core.
            memory_limit: bytes in buffers; None is as configured, or by the number of workers.
            progress: None, True, a callable, a tqdm or rich object, an fsspec Callback (see `s3z._progress`). Bytes are
                those of the source, objects are entries.
            options: of an object: `content_type`, `metadata`, `storage_class`, `part_size` and the other words of
                `upload`.

        Returns:
            What is in the archive, what is not, how it went, and the root that pins it.

        Raises:
            ArchiveError: an entry cannot be in an archive.
            ObjectChangedError: a file or object changed while it was read, or `if_match` does not hold.
            IntegrityError: an object is not what the store holds the checksum of.
            AlreadyExistsError: `overwrite=False`, and there is such an object. Of a file: FileExistsError.
            NotFoundError: no such bucket.
            ConfigError: an argument is malformed, out of range, or contradicts another.
            OSError: the local disk failed, with errno and file name.

        Example:
            >>> report = s3z.pack("hello.txt", "s3://examples/hello.tar.zst")
            >>> report.entries, report.bytes_in
            (1, 6)
        """
        words = {
            "level": level,
            "codec": codec,
            "group_size": group_size,
            "slice_size": slice_size,
            "skip_extensions": None if skip_extensions is None else [name.lstrip(".") for name in skip_extensions],
            "no_skip": no_skip,
            "file_hash": file_hash,
            "xattrs": xattrs,
            "follow_symlinks": follow_symlinks,
            "include": include,
            "exclude": exclude,
            "on_error": on_error,
            "workers": workers,
            "memory_limit": memory_limit,
        }
        where = _packing.source_of(source)
        request = _packing.PackRequest(where, destination, words, overwrite, durable, options)
        return _packing.pack(self._native(), self._settings, request, progress)

    def unpack(
        self,
        archive: str | os.PathLike[str] | io.FileIO,
        destination: str | os.PathLike[str],
        *,
        prefix: str | bytes = "",
        names: Iterable[str | bytes] | None = None,
        include: Iterable[str | bytes] = (),
        exclude: Iterable[str | bytes] = (),
        strip_components: int = 0,
        overwrite: bool = True,
        preserve: bool = True,
        same_owner: bool = False,
        max_bytes: int | None = None,
        max_members: int | None = None,
        max_ratio: int | None = None,
        allow_unsafe_links: bool = False,
        allow_incomplete: bool = False,
        trust_tar: bool = False,
        root: bytes | str | None = None,
        durable: bool | None = None,
        workers: int | None = None,
        memory_limit: int | None = None,
        progress: Any = None,
    ) -> UnpackReport:
        """Make the files, or objects, of an archive, in parallel, each checked before it appears under its name.

        Any `.tar.zst` or `.tar` will do; one without an index is read from front to back. Nothing is written outside
        the destination, and nothing through a link.

        Args:
            archive: `s3://bucket/key`, a path, or a raw binary file such as `io.FileIO(0)`, which is read in order.
            destination: a directory, which is made if there is none; or `s3://bucket/` or `s3://bucket/prefix/`. There
                files become objects, and all else is left out and counted in `skipped`: `directory`, `symlink`,
                `hard_link`. Modes, times and owners are not kept.
            prefix: only entries whose names begin with this, byte by byte: write the `/`.
            names: exactly these entries; None is all.
            include: patterns of names, with `*` and `?`, which match `/` too; others are left out.
            exclude: patterns of names that are left out, whatever `include` says.
            strip_components: how many components are cut off the beginning of names.
            overwrite: whether files or objects are replaced; if not, those that are there are left alone, and counted
                as skipped.
            preserve: whether modes and times are those of the archive; this and `same_owner`, `allow_unsafe_links`,
                `durable` go with a directory only.
            same_owner: whether owners are, too; for root. Set-user-id and sticky bits never come from an archive.
            max_bytes: of all files together; more is refused before anything is written.
            max_members: entries, likewise.
            max_ratio: original bytes for each byte of the archive, likewise; None is 1000.
            allow_unsafe_links: whether links may lead out of the destination.
            allow_incomplete: whether files are unpacked that changed, or were cut short, while they were packed.
            trust_tar: whether a damaged archive of s3z is read as a plain tar, without its hashes.
            root: 32 bytes, or 64 hexadecimal digits, that the archive must have as its root.
            durable: whether files are synced to the disk; None is as configured, which is no.
            workers: threads; None is one for each core.
            memory_limit: bytes in buffers; None is as configured, or by the number of workers.
            progress: None, True, a callable, a tqdm or rich object, an fsspec Callback (see `s3z._progress`). Bytes are
                those of the files, objects are entries.

        Returns:
            What was made, and what was left out.

        Raises:
            BatchError: some entries could not be unpacked, and nothing is left of them; the others are done. `failures`
                has an exception for each, `report` what this call would have returned.
            ArchiveError: this is no archive, it is damaged, unsafe, too large, or of a version that is not known.
            IntegrityError: a hash differs, or the root does.
            NotFoundError: no such archive, or no such entry.
            ObjectChangedError: another version appeared meanwhile.
            ConfigError: an argument is malformed, out of range, or contradicts another.
            OSError: the local disk failed, with errno and file name.

        Example:
            >>> _ = s3z.pack("hello.txt", "s3://examples/hello.tar.zst")
            >>> report = s3z.unpack("s3://examples/hello.tar.zst", "out")
            >>> report.files, report.verified
            (1, True)
        """
        words = {
            "prefix": prefix,
            "names": names,
            "include": include,
            "exclude": exclude,
            "strip_components": strip_components,
            "overwrite": overwrite,
            "preserve": preserve,
            "same_owner": same_owner,
            "max_bytes": max_bytes,
            "max_members": max_members,
            "max_ratio": max_ratio,
            "allow_unsafe_links": allow_unsafe_links,
            "allow_incomplete": allow_incomplete,
            "trust_tar": trust_tar,
            "root": root,
            "durable": durable,
            "workers": workers,
            "memory_limit": memory_limit,
        }
        return _unpacking.unpack(self._native(), self._settings, archive, destination, words, progress)
