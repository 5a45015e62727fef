"""What the arguments of `cp`, `mv`, `sync`, `verify` and `rm` select, and where that goes, in the words of the core."""

# names are bytes here, and pathlib would cost start-up time
# ruff: noqa: PTH114, PTH116
from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

from s3z import _apart
from s3z._cli._failures import RefusedError
from s3z._cli._match import matches, split_wildcard
from s3z._cli._names import Remote, as_directory, download_path, has_wildcard, is_own_leftover, understand

if TYPE_CHECKING:
    from s3z._cli._context import Context


class Source(NamedTuple):
    """What an argument selects.

    Attributes:
        words: for the core; None if filters leave nothing of it.
        target: the argument, understood.
        is_many: whether it is a directory or a wildcard.
    """

    words: dict[str, Any] | None
    target: Remote | str
    is_many: bool

    @property
    def is_remote(self) -> bool:
        """Whether it is at the store."""
        return isinstance(self.target, Remote)


def _patterns(given: list[str] | None) -> list[bytes]:
    return [os.fsencode(pattern) for pattern in given or () if pattern]


def _filters(context: Context) -> dict[str, Any]:
    options = context.options
    return {
        "include": _patterns(getattr(options, "include", None)),
        "exclude": _patterns(getattr(options, "exclude", None)),
    }


def _leaves_out(context: Context, name: str) -> bool:
    """Whether filters leave out an argument that was named itself: it is matched whole."""
    include = [each for each in getattr(context.options, "include", None) or () if each]
    exclude = [each for each in getattr(context.options, "exclude", None) or () if each]
    if any(matches(pattern, name) for pattern in exclude):
        return True
    return bool(include) and not any(matches(pattern, name) for pattern in include)


def follows(context: Context) -> bool:
    """Whether symbolic links are gone through."""
    return not getattr(context.options, "no_follow_symlinks", None)


def keys(context: Context, target: Remote, *, markers: bool) -> dict[str, Any]:
    """All keys that a wildcard matches, or that begin with a prefix."""
    prefix, parent = split_wildcard(target.key)
    rest = target.key[len(prefix) :].strip("*")
    return {
        "kind": "keys",
        "bucket": target.bucket,
        "prefix": prefix,
        "pattern": target.key.encode() if rest else None,
        "strip": len(parent.encode()),
        "filter_prefix": prefix.encode(),
        "markers": markers,
        **_filters(context),
    }


def understand_source(context: Context, argument: str, *, to_files: bool, stats: bool = False) -> Source:
    """What a source argument selects.

    Args:
        context: of the command.
        argument: as typed.
        to_files: whether it is downloaded, so that directory markers are left out.
        stats: whether size and time of local files are asked for.

    Raises:
        RefusedError: it is nothing that can be a source.
    """
    target = understand(argument)
    if isinstance(target, Remote):
        return _remote(context, target, to_files=to_files)
    return _local(context, target, stats=stats)


def _remote(context: Context, target: Remote, *, to_files: bool) -> Source:
    options = context.options
    raw = bool(options.raw)
    wild = not raw and has_wildcard(target.key)
    version = getattr(options, "version_id", None)
    recursive = bool(getattr(options, "recursive", None))
    if version is not None and (wild or recursive):
        raise RefusedError(f"--version-id needs one object, not {'a wildcard' if wild else '--recursive'}")
    if recursive and wild and target.is_container:
        # A prefix with a wildcard in it, as if `*` were appended.
        return Source(keys(context, Remote(target.bucket, f"{target.key}*"), markers=to_files), target, is_many=True)
    if recursive and not wild:
        if not target.is_container:
            raise RefusedError(
                "--recursive needs a bucket or a prefix", hint=f'"{target.uri}/" is the prefix of that name'
            )
        prefix = target.key
        words = keys(context, Remote(target.bucket, ""), markers=to_files)
        words |= {"prefix": prefix, "strip": len(prefix.encode()), "filter_prefix": prefix.encode()}
        return Source(words, target, is_many=True)
    if wild:
        return Source(keys(context, target, markers=to_files), target, is_many=True)
    if target.is_container and not (raw and target.key):
        hint = f'add * or --recursive: "{target.uri.rstrip("/")}/*"'
        raise RefusedError("source argument must contain wildcard character", hint=hint)
    if _leaves_out(context, target.key):
        return Source(None, target, is_many=False)
    end = target.key.rstrip("/")
    base = target.key[end.rfind("/") + 1 :]
    entry = (base.encode(), (target.bucket, target.key, version), None)
    return Source({"kind": "named", "entries": [entry]}, target, is_many=False)


def _local(context: Context, path: str, *, stats: bool) -> Source:
    raw = bool(context.options.raw)
    if getattr(context.options, "version_id", None) is not None:
        from s3z._cli._options import UsageError

        raise UsageError('option "--version-id" needs a remote source', context.command)
    stats = stats or getattr(context.options, "manifest", None) is not None
    words: dict[str, Any] = {"follow": follows(context), "stats": stats, **_filters(context)}
    if not raw and has_wildcard(path):
        return Source({"kind": "matches", "pattern": os.fsencode(path), **words}, path, is_many=True)
    if not follows(context) and not as_directory(path) and os.path.islink(path):
        return _link(context, path, words)
    mode = _mode(path)
    if stat.S_ISDIR(mode):
        base = "" if as_directory(path) else path.rpartition("/")[2] + "/"
        return Source(
            {"kind": "tree", "root": os.fsencode(path), "name_prefix": os.fsencode(base), **words}, path, is_many=True
        )
    if as_directory(path) or not stat.S_ISREG(mode):
        raise not_regular(path)
    if is_own_leftover(path):
        raise leftover(path)
    if _leaves_out(context, path):
        return Source(None, path, is_many=False)
    name = path.rpartition("/")[2]
    return Source({"kind": "named", "entries": [(os.fsencode(name), None, os.fsencode(path))]}, path, is_many=False)


def _link(context: Context, path: str, words: dict[str, Any]) -> Source:
    """A link, whatever it leads to, where links are not followed: told as skipped, as a wildcard would find it."""
    if _leaves_out(context, path):
        return Source(None, path, is_many=False)
    if has_wildcard(path):
        # With --raw; in the core's words it would stand for other names, too.
        raise RefusedError(f'object "{path}" is a symbolic link', "not_regular_file")
    return Source({"kind": "matches", "pattern": os.fsencode(path), **words}, path, is_many=False)


def not_regular(path: str) -> RefusedError:
    """Neither a file nor a directory."""
    return RefusedError(f'object "{path}" is not a regular file', "not_regular_file")


def leftover(path: str) -> RefusedError:
    """What s3z itself left of a transfer; that is never an object."""
    directory = path.rpartition("/")[0] or "."
    return RefusedError(
        f'"{path}" is what s3z left of an unfinished transfer', hint=f'`s3z uploads ls "{directory}"` lists such files'
    )


def _mode(path: str) -> int:
    try:
        return os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise RefusedError(f'given object "{path}" not found', "not_found") from None


def understand_target(context: Context, argument: str) -> Remote | str:
    """A destination argument, which may hold no wildcard.

    Raises:
        RefusedError: it does, or is none.
    """
    target = understand(argument)
    name = target if isinstance(target, str) else target.key
    if not context.options.raw and has_wildcard(name):
        raise RefusedError(f'target "{argument}" can not contain glob characters')
    return target


def goal(source: Source, target: Remote | str, argument: str) -> tuple[str, bytes, bytes, bool]:
    """Where the source goes, in the words of the core.

    Raises:
        RefusedError: many things cannot go to one key, or both sides are local.
        UnsafeKeyError: the base name of a key is no file name.
    """
    if isinstance(target, Remote):
        if source.is_many and not target.is_container:
            raise RefusedError(f'target "{argument}" must be a bucket or a prefix')
        exact = not target.is_container
        return ("remote", target.bucket.encode(), target.key.encode(), exact)
    if not source.is_remote:
        raise RefusedError("local->local copy operations are not permitted")
    if source.is_many:
        return ("local", b"", os.fsencode(target), False)
    assert isinstance(source.target, Remote)
    return ("local", b"", os.fsencode(download_path(source.target, target)), True)


def check_apart(context: Context, source: Source, target: Remote | str) -> None:
    """Refuse a destination in the source, and for `sync` a source in the destination, where they are in one store.

    Raises:
        RefusedError: the job would meet its own work, or delete its source.
    """
    words, options = source.words, context.options
    if not isinstance(target, Remote) or words is None or words["kind"] != "keys":
        return
    syncs = context.command == "sync"
    prefix = words["prefix"].encode()
    base = prefix[: words["strip"]]
    filtered = base if syncs or not prefix else prefix.removesuffix(b"/") + b"/"
    selected = _apart.Selected(words["bucket"], prefix, base, filtered, words["include"], words["exclude"])
    deletes = bool(getattr(options, "delete", None))
    clients = context.client("source"), context.client("destination")
    why = _apart.check(clients, selected, (target.bucket, target.key.encode()), syncs=syncs, deletes=deletes)
    if why is not None:
        raise RefusedError(f'target "{target.uri}" {why}', hint="leave it out by --exclude, or name another place")
