"""The two sides of a call about many objects, in the words of the core."""

# names are bytes here
# ruff: noqa: PTH112
from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from s3z import _apart, _paths
from s3z._escape import escape
from s3z._exceptions import ConfigError
from s3z._transfers import any_uri, object_uri

if TYPE_CHECKING:
    from collections.abc import Iterable

    from s3z._reading import Reading as Client

    Patterns = str | bytes | Iterable[str | bytes]
    Goal = tuple[str, bytes, bytes, bool]


@dataclass(frozen=True, slots=True)
class Side:
    """A source or a destination.

    Attributes:
        shown: as the caller named it.
        bucket: None where it is local.
        name: key, prefix, or path.
        is_many: whether it is a bucket, a prefix or a directory.
    """

    shown: str
    bucket: str | None
    name: str
    is_many: bool = True

    @property
    def is_remote(self) -> bool:
        """Whether it is at the store."""
        return self.bucket is not None

    def goal(self) -> Goal:
        """As a destination."""
        if self.bucket is None:
            return ("local", b"", os.fsencode(self.name), not self.is_many)
        return ("remote", self.bucket.encode(), self.name.encode(), not self.is_many)

    def selection(self, filters: Filters, *, to_files: bool, follows: bool, stats: bool) -> dict[str, Any]:
        """All that is in it, as a source."""
        if self.bucket is not None:
            return _keys(self.bucket, self.name, filters, markers=to_files)
        return {**_tree(self.name, filters), "follow": follows, "stats": stats}

    def compared(self, filters: Filters, source: Side) -> dict[str, Any]:
        """All that is in it, as a destination that takes part in a comparison with `source`."""
        if self.bucket is not None:
            # Markers were copied if the source is remote, so they are there to be compared.
            return _keys(self.bucket, self.name, filters, markers=not source.is_remote)
        tree = _tree(self.name, filters)
        return {**tree, "follow": False, "stats": True, "may_be_missing": True, "directory": True}

    def only(self) -> dict[str, Any]:
        """The one object or file that it is, as a listing tells it, under an empty name."""
        if self.bucket is not None:
            return {
                "kind": "keys",
                "bucket": self.bucket,
                "prefix": self.name,
                "exact": True,
                "all": True,
                "strip": len(self.name.encode()),
            }
        return {"kind": "tree", "root": os.fsencode(self.name), "file_name": b"", "stats": True, "follow": True}

    def named(self, version_id: str | None = None) -> dict[str, Any]:
        """The one object or file that it is, without a look at it."""
        if self.bucket is not None:
            base = self.name.rstrip("/").rpartition("/")[2]
            return {"kind": "named", "entries": [(base.encode(), (self.bucket, self.name, version_id), None)]}
        path = os.fsencode(self.name)
        return {"kind": "named", "entries": [(path.rpartition(b"/")[2], None, path)]}


@dataclass(frozen=True, slots=True)
class Filters:
    """Names that take part, by patterns.

    Attributes:
        include: if there are any, a name must match one.
        exclude: a name must match none.
    """

    include: list[bytes]
    exclude: list[bytes]

    @classmethod
    def of(cls, include: Patterns, exclude: Patterns) -> Filters:
        """As a caller gives them; empty patterns are ignored."""
        return cls(_patterns(include, "include"), _patterns(exclude, "exclude"))


def _patterns(given: Patterns, what: str) -> list[bytes]:
    each = [given] if isinstance(given, (str, bytes)) else list(given)
    for pattern in each:
        if not isinstance(pattern, (str, bytes)):
            raise TypeError(f"{what} must hold patterns (str or bytes), not {type(pattern).__name__}")
    return [os.fsencode(pattern) for pattern in each if pattern]


def _keys(bucket: str, prefix: str, filters: Filters, *, markers: bool) -> dict[str, Any]:
    name = prefix.encode()
    return {
        "kind": "keys",
        "bucket": bucket,
        "prefix": prefix,
        "strip": len(name),
        "filter_prefix": name,
        "markers": markers,
        "include": filters.include,
        "exclude": filters.exclude,
    }


def _tree(path: str, filters: Filters) -> dict[str, Any]:
    return {
        "kind": "tree",
        "root": os.fsencode(path),
        "name_prefix": b"",
        "include": filters.include,
        "exclude": filters.exclude,
    }


def is_uri(place: object) -> bool:
    """Whether this is meant to be at a store."""
    return isinstance(place, str) and place.startswith("s3://")


def prefix(uri: str, what: str) -> Side:
    """A bucket or a prefix.

    Raises:
        ConfigError: it is an object, or malformed.
    """
    bucket, key = any_uri(uri)
    if key and not key.endswith("/"):
        text = f'{what}: "{escape(uri)}" names an object; a prefix ends in "/": "{escape(uri)}/"'
        raise ConfigError(text, bucket=bucket, key=key)
    return Side(uri, bucket, key)


def source_directory(path: str | os.PathLike[str], what: str) -> Side:
    """A directory that is read.

    Raises:
        OSError: it is missing, or no directory.
    """
    name = _paths.local_path(path, what)
    if not os.path.isdir(name):
        _refuse(name)
    return Side(name, None, name)


def target_directory(path: str | os.PathLike[str], what: str) -> Side:
    """A directory that is written into, and made if it is missing.

    Raises:
        NotADirectoryError: something else is there.
    """
    name = _paths.local_path(path, what)
    if os.path.lexists(name) and not os.path.isdir(name):
        _refuse(name)
    return Side(name, None, name)


def _refuse(path: str) -> None:
    code = errno.ENOTDIR if os.path.lexists(path) else errno.ENOENT
    raise OSError(code, os.strerror(code), path)


def source(place: str | os.PathLike[str], what: str = "source") -> Side:
    """A directory or a prefix that is read.

    Raises:
        ConfigError: it is an object, or malformed.
        OSError: there is no such directory.
    """
    return prefix(str(place), what) if is_uri(place) else source_directory(place, what)


def target(place: str | os.PathLike[str], what: str = "destination") -> Side:
    """A directory or a prefix that is written into.

    Raises:
        ConfigError: it is an object, or malformed.
        NotADirectoryError: something else is there.
    """
    return prefix(str(place), what) if is_uri(place) else target_directory(place, what)


def single(uri: str) -> Side:
    """One object.

    Raises:
        ConfigError: it has no key, or is malformed.
    """
    return Side(uri, *object_uri(uri), is_many=False)


def check_not_both_local(first: Side, second: Side) -> None:
    """Refuse what needs no store.

    Raises:
        ConfigError: neither side is at one.
    """
    if not first.is_remote and not second.is_remote:
        raise ConfigError(f'neither "{escape(first.shown)}" nor "{escape(second.shown)}" is at a store: write s3://…')


def check_apart(clients: tuple[Client, Client], first: Side, second: Side, filters: Filters, *, deletes: bool) -> None:
    """Refuse sides of one store that lie within each other: a copy would find what it made itself.

    Raises:
        ConfigError: the destination is in the source, or with deletions the source in the destination.
    """
    if first.bucket is None or second.bucket is None:
        return
    name = first.name.encode()
    selected = _apart.Selected(first.bucket, name, name, name, filters.include, filters.exclude)
    why = _apart.check(clients, selected, (second.bucket, second.name.encode()), syncs=True, deletes=deletes)
    if why is not None:
        raise ConfigError(f'destination: "{escape(second.shown)}" {why}')


def protected(path: str) -> str | None:
    """What a directory is in which nothing is ever deleted by a sync; None: any other."""
    real = os.path.realpath(path)
    if real == "/":
        return "the root directory"
    home = _home()
    if home is None:
        return None
    if real == home:
        return "the home directory"
    return "a directory that holds the home directory" if home.startswith(real + "/") else None


def _home() -> str | None:
    """The user's directory. Where `HOME` is empty it is that of the password database, as where there is no `HOME`."""
    import pwd

    home = os.environ.get("HOME")
    if not home:
        try:
            home = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            return None
    return os.path.realpath(home)


def single_file(path: str | os.PathLike[str], what: str) -> Side:
    """One file that is read.

    Raises:
        OSError: it is missing, a directory, or no regular file.
        ConfigError: it is no path.
    """
    name = _paths.local_path(path, what)
    _paths.check_source(name)
    return Side(name, None, name, is_many=False)


def file_for(path: str | os.PathLike[str], key: str) -> Side:
    """The file that an object becomes: named so, or by the last segment of its key in a directory.

    Raises:
        UnsafeKeyError: the name would come from a key that has none.
        ConfigError: it is no path.
    """
    name = _paths.download_path(path, key)
    return Side(name, None, name, is_many=False)


def pair(local: str | os.PathLike[str], uri: str) -> tuple[Side, Side]:
    """Two sides that are compared: both of many names, or both of one.

    Raises:
        ConfigError: they are not, or one is malformed.
        OSError: the file or directory is missing.
    """
    if is_uri(local):
        first = _one_or_many(str(local))
    else:
        path = _paths.local_path(local, "local")
        first = source_directory(path, "local") if os.path.isdir(path) else single_file(path, "local")
    second = _one_or_many(uri)
    if first.is_many != second.is_many:
        text = 'a directory or prefix is compared with a prefix, which ends in "/"; a file or object with an object'
        raise ConfigError(f'uri: "{escape(uri)}" cannot be compared with "{escape(first.shown)}": {text}')
    return first, second


def _one_or_many(uri: str) -> Side:
    bucket, key = any_uri(uri)
    return Side(uri, bucket, key, is_many=not key or key.endswith("/"))


def clients(own: Client, source_client: Client | None, first: Side, second: Side) -> tuple[Client, Client]:
    """The clients of the two sides.

    Raises:
        ConfigError: neither side is at a store, or only one is, which needs no second client.
    """
    check_not_both_local(first, second)
    if source_client is None:
        return own, own
    if not (first.is_remote and second.is_remote):
        raise ConfigError("source_client goes with two sides at stores")
    return source_client, own


def move_pair(source: str | os.PathLike[str], destination: str | os.PathLike[str]) -> tuple[Side, Side]:
    """One object or file, and the one it becomes.

    Raises:
        ConfigError: one is malformed, or both are local.
        UnsafeKeyError: the file would be called by a segment of the key that is no file name.
        OSError: the file is missing, a directory, or no regular file.
    """
    if is_uri(source):
        first = single(str(source))
        return first, single(str(destination)) if is_uri(destination) else file_for(destination, first.name)
    if not is_uri(destination):
        path = _paths.local_path(destination, "destination")
        check_not_both_local(Side(_paths.local_path(source, "source"), None, ""), Side(path, None, ""))
    return single_file(source, "source"), single(str(destination))
