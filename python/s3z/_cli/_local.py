"""Local files for `ls`: walked completely, wildcards matched component by component."""

# names are bytes here, and pathlib would cost start-up time
# ruff: noqa: PTH112
from __future__ import annotations

import errno
import os
import stat

from s3z._cli._failures import RefusedError
from s3z._cli._match import Excluder, matches, split_wildcard
from s3z._cli._names import as_directory, has_wildcard, is_own_leftover

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Report = Callable[[str, OSError], None]
    Row = tuple[str, str, bool, int, str | None, float | None, str | None]


def _children(directory: str) -> list[tuple[str, bool]]:
    """Names and whether they are directories, in the byte order in which directories sort as `name/`."""
    with os.scandir(directory or ".") as entries:
        found = [(entry.name, _is_directory(entry)) for entry in entries]
    return sorted(found, key=lambda pair: os.fsencode(f"{pair[0]}/" if pair[1] else pair[0]))


def _is_directory(entry: os.DirEntry[str]) -> bool:
    """Of a link, what it leads to; one that leads nowhere is told by itself, later."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _walk(directory: str, report: Report, above: tuple[tuple[int, int], ...] = ()) -> Iterator[str]:
    """Files below a directory; what cannot be read is reported, and the walk goes on."""
    try:
        facts = os.stat(directory)  # noqa: PTH116
        here = (facts.st_dev, facts.st_ino)
        if here in above:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), directory)
        children = _children(directory)
    except OSError as error:
        report(directory, error)
        return
    for name, is_directory in children:
        if is_directory:
            yield from _walk(f"{directory}{name}/", report, (*above, here))
        elif not is_own_leftover(name):
            yield f"{directory}{name}"


def _named(directory: str, name: str) -> list[tuple[str, bool]]:
    """The same of one name; whether its directory can be listed does not matter."""
    try:
        mode = os.lstat(directory + name).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [(name, stat.S_ISDIR(mode) or os.path.isdir(directory + name))]


def _matching(directory: str, pattern: str, report: Report) -> Iterator[str]:
    """Paths below `directory` that match, component by component; with a slash at the end if the pattern has one.

    A directory that cannot be read is reported, and the others are still looked into.
    """
    if not pattern:
        yield directory
        return
    head, slash, tail = pattern.partition("/")
    tail = tail.lstrip("/")
    try:
        children = _children(directory) if has_wildcard(head) else _named(directory, head)
    except OSError as error:
        report(directory, error)
        return
    for name, is_directory in children:
        if is_own_leftover(name) or not matches(head, name):
            continue
        if not slash:
            yield directory + name
        elif is_directory:
            yield from _matching(f"{directory}{name}/", tail, report)


def _chosen(argument: str, parent: str, report: Report) -> Iterator[str]:
    if not has_wildcard(argument):
        try:
            os.lstat(argument)
        except (FileNotFoundError, NotADirectoryError):
            raise RefusedError(f'given object "{argument}" not found', "not_found") from None
        yield argument
        return
    told = False

    def failed(name: str, error: OSError) -> None:
        nonlocal told
        told = True
        report(name, error)

    if not parent or os.path.isdir(parent):
        for path in _matching(parent, argument[len(parent) :], failed):
            told = True
            yield path
    if not told:
        raise RefusedError(f'no match found for "{argument}"', "not_found")


def rows(argument: str, exclude: list[str] | None, report: Report) -> Iterator[Row]:
    """Rows as `ls` shows them; names are relative to the last `/` of the argument, before its first wildcard.

    Args:
        argument: a file, a directory, or a pattern.
        exclude: patterns of names to leave out.
        report: told of each name that cannot be read.

    Raises:
        RefusedError: there is no such file, or nothing matches.
    """
    if as_directory(argument) and not argument.endswith("/"):
        argument += "/"
    prefix, parent = split_wildcard(argument)
    excluder = Excluder(exclude, prefix)
    for path in _chosen(argument, parent, report):
        is_directory = os.path.isdir(path)
        for file in _walk(path if path.endswith("/") else f"{path}/", report) if is_directory else [path]:
            if excluder.excludes(file):
                continue
            try:
                facts = os.stat(file)  # noqa: PTH116
            except OSError as error:
                report(file, error)
                continue
            yield file, file[len(parent) :], False, facts.st_size, None, facts.st_mtime, None
