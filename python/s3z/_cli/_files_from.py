"""The names of `--files-from`: which of them can be taken, and what is said of the others."""

# names are bytes here, and pathlib would cost start-up time
# ruff: noqa: PTH112, PTH116, PTH118
from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

from s3z._cli._failures import RefusedError
from s3z._cli._links import Links
from s3z._cli._many import Source, follows, leftover, not_regular
from s3z._cli._names import Remote, is_own_leftover, understand
from s3z._cli._options import UsageError
from s3z._cli._standard import stdin

if TYPE_CHECKING:
    from s3z._cli._context import Context

#: of these only cp, mv and rm have some
_NOT_WITH = ("version_id", "all_versions")


class Unfit(NamedTuple):
    """A name that is not taken.

    Attributes:
        name: as it is told.
        error: why; None: a link that is skipped.
    """

    name: str
    error: RefusedError | None


def check_options(context: Context) -> None:
    """Refuse options that say nothing of a list of names.

    Raises:
        UsageError: there is one.
    """
    options, command = context.options, context.command
    if options.files_from is None:
        if options.null:
            raise UsageError('option "--null" needs --files-from', command)
        return
    for name in _NOT_WITH:
        if getattr(options, name, None):
            option = name.replace("_", "-")
            raise UsageError(f'options "--files-from" and "--{option}" exclude each other', command)


def names_of(path: str, *, null: bool) -> list[str]:
    """The names of a list, each once; a `./` before them, as `find` has it, says nothing.

    Raises:
        OSError: the file cannot be read.
    """
    if path == "-":
        with stdin() as file:
            data = file.readall()
    else:
        with open(path, "rb") as file:  # noqa: PTH123
            data = file.read()
    rows = data.split(b"\0" if null else b"\n")
    return list(dict.fromkeys(os.fsdecode(_plain(row)) for row in rows if row))


def _plain(row: bytes) -> bytes:
    """Without any `./` at its beginning; what is nothing else stays."""
    rest = row
    while rest.startswith(b"./"):
        rest = rest[2:].lstrip(b"/")
    return rest or row


def _bad(name: str) -> str | None:
    """Why a name cannot be taken, None if it can."""
    if name.startswith("/"):
        return "it begins with a slash"
    if ".." in name.split("/"):
        return "it holds .."
    return None


def from_files(context: Context, argument: str) -> tuple[Source, list[Unfit]]:
    """The names of `--files-from` below SRC, and those that are not taken.

    Raises:
        RefusedError: SRC is no directory, bucket or prefix.
        UsageError: another option excludes it.
        OSError: the list cannot be read.
    """
    check_options(context)
    options, target = context.options, understand(argument)
    if isinstance(target, Remote):
        if not target.is_container:
            raise RefusedError("--files-from needs a directory, a bucket or a prefix as source")
    elif not os.path.isdir(target):
        if not os.path.lexists(target):
            raise RefusedError(f'given object "{target}" not found', "not_found")
        raise RefusedError(
            f'"{target}" is no directory: --files-from needs a directory, a bucket or a prefix as source'
        )
    good: list[Any] = []
    unfit: list[Unfit] = []
    look = _Look(context, target) if isinstance(target, str) else None
    for name in names_of(options.files_from, null=bool(options.null)):
        why = _bad(name)
        if why is None and look is None and not _is_text(name):
            why = "a name that is not UTF-8 cannot be a key"
        if why is not None:
            unfit.append(Unfit(name, RefusedError(f'"{name}": {why}', "unsafe_key")))
        elif isinstance(target, Remote):
            good.append((name.encode(), (target.bucket, target.key + name, None), None))
        elif look is not None:
            path = os.path.join(target, name)
            bad = look.at(path)
            if bad is None:
                good.append((os.fsencode(name), None, os.fsencode(path)))
            else:
                unfit.append(bad)
    return Source({"kind": "named", "entries": good}, target, is_many=True), unfit


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Look:
    """Tells files that are taken from other things.

    Args:
        context: of the command.
        directory: in which the names are.
    """

    def __init__(self, context: Context, directory: str) -> None:
        self._removes = context.command == "rm"
        self._follows = follows(context) and not self._removes
        self._links = Links(len(os.path.join(directory, "")))

    def at(self, path: str) -> Unfit | None:
        """Why a file is not taken; what cannot be looked at is left to the transfer to tell."""
        if is_own_leftover(path):
            return Unfit(path, leftover(path))
        try:
            if not self._follows and self._links.first(path) is not None:
                return Unfit(path, not_regular(path) if self._removes else None)
            mode = os.stat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return Unfit(path, RefusedError("no object found", "not_found")) if self._removes else None
        except OSError:
            return None
        return None if stat.S_ISREG(mode) else Unfit(path, not_regular(path))


def tell(context: Context, unfit: list[Unfit]) -> None:
    """Report names that are not taken, each by itself."""
    for name, error in unfit:
        label = f"{context.command} {name}"
        if error is not None:
            context.fail(label, error, {"source": name})
            continue
        context.tally.skipped += 1
        context.printer.debug(label, "object is a symbolic link")
        if context.options.json:
            record = {"operation": context.command, "success": True, "skipped": True, "reason": "symlink"}
            context.printer.result(label, {**record, "source": name})
