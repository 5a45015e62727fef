"""What `pack` packs: a file, a directory, what a local wildcard matches component by component, or a remote prefix."""

# names are bytes here, and pathlib would cost start-up time
# ruff: noqa: PTH116
from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple

from s3z._cli._failures import RefusedError
from s3z._cli._match import matches, split_wildcard
from s3z._cli._names import Remote, has_wildcard, understand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


class Source(NamedTuple):
    """A source, understood.

    Attributes:
        name: as it is told.
        words: for the core.
        pattern: what the names of a remote wildcard have to match, if the prefix does not say it all.
    """

    name: str
    words: Any
    pattern: str | None = None


def understand_source(argument: str, *, raw: bool, follow: bool) -> Source:
    """The source that an argument of `pack` means.

    Args:
        argument: as it was typed.
        raw: whether `*` and `?` are ordinary characters.
        follow: whether symbolic links to directories are gone through.

    Raises:
        RefusedError: there is nothing of that name, or it is nothing that can be packed.
        OSError: it cannot be looked at.
    """
    target = understand(argument)
    wild = not raw and has_wildcard(argument)
    if isinstance(target, Remote):
        return _remote(target, wild=wild)
    return Source(target, ("matched", _roots(target, follow=follow)) if wild else ("local", [_root(target)]))


def _remote(target: Remote, *, wild: bool) -> Source:
    if not wild:
        if not target.is_container:
            raise RefusedError(
                f'source "{target.uri}" must be a bucket, a prefix or a wildcard',
                hint=f'"{target.uri}/" is the prefix of that name',
            )
        return Source(target.uri, ("prefix", target.bucket, target.key, target.key))
    prefix, parent = split_wildcard(target.key)
    is_all = not target.key[len(prefix) :].strip("*")
    pattern = None if is_all else target.key[len(parent) :]
    return Source(target.uri, ("prefix", target.bucket, prefix, parent), pattern)


def _root(path: str) -> tuple[bytes, bytes]:
    """A file or directory, and what the names of its entries begin with.

    Raises:
        RefusedError: there is none, or it is neither.
    """
    from s3z._packing import root_of

    try:
        return root_of(path)
    except (FileNotFoundError, NotADirectoryError):
        raise RefusedError(f'given object "{path}" not found', "not_found") from None
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise RefusedError(f'object "{path}" is not a regular file', "not_regular_file") from None


def _roots(argument: str, *, follow: bool) -> list[tuple[bytes, bytes]]:
    """The same for all that a wildcard matches, in name order."""
    parent = split_wildcard(argument)[1]
    pattern = argument[len(parent) :]
    found = matching(parent, pattern, follow=follow)
    if not pattern.strip("*"):
        # All that is in a directory: the directory, without its name. It need not be looked at twice.
        roots = [(os.fsencode(parent or "."), b"") for _ in zip(found, range(1), strict=False)]
    else:
        roots = [_matched(path, path[len(parent) :], is_directory) for path, is_directory in found]
    if not roots:
        raise RefusedError(f'no match found for "{argument}"', "not_found")
    return roots


def _matched(path: str, name: str, is_directory: bool) -> tuple[bytes, bytes]:
    before = f"{name}/" if is_directory else name[: name.rfind("/") + 1]
    return os.fsencode(path), os.fsencode(before)


def matching(directory: str, pattern: str, *, follow: bool) -> Iterator[tuple[str, bool]]:
    """Paths below `directory` that match, each with whether it is a directory, in name order, hidden ones too.

    Args:
        directory: empty, or ending in `/`.
        pattern: matched component by component; with a `/` at its end only directories match.
        follow: whether a symbolic link counts as what it leads to.

    Raises:
        OSError: a directory on the way cannot be read.
    """
    head, slash, tail = pattern.partition("/")
    tail = tail.lstrip("/")
    for name, is_directory in _children(directory, head, follow=follow):
        if slash and not is_directory:
            continue
        if tail:
            yield from matching(f"{directory}{name}/", tail, follow=follow)
        else:
            yield directory + name, is_directory


def _children(directory: str, pattern: str, *, follow: bool) -> list[tuple[str, bool]]:
    """Names in a directory that match, in the byte order in which directories sort as `name/`."""
    try:
        if not has_wildcard(pattern):
            path = directory + pattern
            mode = (os.stat(path) if follow else os.lstat(path)).st_mode
            return [(pattern, stat.S_ISDIR(mode))]
        with os.scandir(directory or ".") as entries:
            found = [
                (entry.name, entry.is_dir(follow_symlinks=follow)) for entry in entries if matches(pattern, entry.name)
            ]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(found, key=lambda pair: os.fsencode(f"{pair[0]}/" if pair[1] else pair[0]))
