"""Local names: where a download goes, what may be uploaded."""

# pathlib would cost start-up time
# ruff: noqa: PTH111, PTH112, PTH116, PTH117, PTH118
from __future__ import annotations

import errno
import os
import stat

from s3z._escape import escape, shown_uri
from s3z._exceptions import ConfigError, UnsafeKeyError

_MOST_BYTES = 255


def base_name(key: str) -> str:
    """The last segment of a key, which becomes a file name.

    Raises:
        UnsafeKeyError: no file can be called that.
    """
    name = key.rpartition("/")[2]
    if name in ("", ".", "..") or "\0" in name or len(os.fsencode(name)) > _MOST_BYTES:
        raise UnsafeKeyError(f'the last segment of the key "{escape(key)}" cannot be a file name', key=key)
    return name


def is_directory_name(path: str) -> bool:
    """Whether a path is written as a directory: with a trailing slash, `.` or `..`."""
    return path.endswith("/") or path.rpartition("/")[2] in (".", "..")


def local_path(path: str | os.PathLike[str] | os.PathLike[bytes], what: str) -> str:
    """A path as text (undecodable bytes as surrogates).

    Raises:
        TypeError: it is no path.
        ConfigError: it is empty, holds a NUL, or is a URI.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{what} must be a path (str or os.PathLike), not {type(path).__name__}")
    text = os.fsdecode(path)
    if not text or "\0" in text:
        raise ConfigError(f"{what} must be a path, not {escape(text)!r}")
    scheme, mark, _ = text.partition("://")
    if mark and scheme.isalnum():
        raise ConfigError(f'{what} must be a local path, not "{shown_uri(text)}"')
    return text


def download_path(destination: str | os.PathLike[str] | None, key: str) -> str:
    """The file that a download of `key` writes.

    Args:
        destination: a file, an existing directory or a path ending in `/`; None is the working directory.
        key: gives the file its name in the latter cases.

    Raises:
        UnsafeKeyError: the name would come from a key that has none.
        ConfigError: the destination is no path.
    """
    if destination is None:
        return base_name(key)
    path = local_path(destination, "destination")
    if is_directory_name(path) or os.path.isdir(path):
        return os.path.join(path, base_name(key))
    return path


def check_source(path: str) -> os.stat_result:
    """Facts about the file to upload.

    Raises:
        OSError: it is missing, a directory, or no regular file.
    """
    facts = os.stat(path)
    if stat.S_ISDIR(facts.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(facts.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)
    return facts


def cache_directory() -> str | None:
    """Where what can be fetched again is kept, after the XDG specification; None where there is no home."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        home = os.environ.get("HOME") or os.path.expanduser("~")
        base = os.path.join(home, ".cache") if os.path.isabs(home) else ""
    return os.path.join(base, "s3z") if base else None
