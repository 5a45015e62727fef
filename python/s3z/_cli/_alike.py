"""Lines of `run` that are alike: one object or file each, with the same options. Many of them are one batch.

What is not plainly of that kind (wildcards, directories, other options, anything that is refused) is left to the
command itself, which carries out, or refuses, one line at a time.
"""

# names are bytes here, and pathlib would cost start-up time
# ruff: noqa: PTH116
from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from s3z._cli._batch import drive
from s3z._cli._failures import RefusedError
from s3z._cli._many import Source
from s3z._cli._names import Remote, as_directory, download_path, has_wildcard, is_own_leftover, understand, upload_key
from s3z._cli._options import COMMANDS, UsageError
from s3z._cli.cp import check_options, transfer_words
from s3z._exceptions import ConfigError, UnsafeKeyError

if TYPE_CHECKING:
    from s3z._cli._context import Context

#: lines of one batch, which is also how many keys a request can delete
MOST = 1000
#: options of `cp` and `mv` that mean the same for one object as for many
_FIT = frozenset((
    "acl", "cache_control", "checksum_algorithm", "concurrency", "content_disposition", "content_encoding",
    "content_type", "direct_io", "durable", "expires", "force_glacier_transfer", "if_size_differ", "if_source_newer",
    "ignore_glacier_warnings", "metadata", "metadata_directive", "no_clobber", "no_resume", "part_size", "sse",
    "sse_kms_key_id", "storage_class", "verify",
))  # fmt: skip


class Alike:
    """Lines with the same options, between the same kinds of places: a request of the core but for its entries.

    Args:
        context: of a line, without its arguments.
        request: what the core is to do.
    """

    def __init__(self, context: Context, request: dict[str, Any]) -> None:
        self.context, self.request = context, request


class Group:
    """Lines that go as one batch.

    Args:
        alike: what they have in common.
    """

    def __init__(self, alike: Alike) -> None:
        self.alike = alike
        self._entries: list[tuple[bytes, tuple[str, str, None] | None, bytes | None]] = []
        #: what a line is told by → its number
        self._numbers: dict[tuple[bytes, bytes], int] = {}

    def takes(self, line: Plain) -> bool:
        """Whether a line belongs here; two that say the same could not be told apart."""
        return line.alike is self.alike and len(self._entries) < MOST and line.names not in self._numbers

    def add(self, line: Plain, number: int) -> None:
        """Take a line in."""
        self._entries.append(line.entry)
        self._numbers[line.names] = number

    def run(self, context: Context, workers: int | None) -> None:
        """Carry them out.

        Args:
            context: of this group.
            workers: objects at once; None leaves it to the core.
        """
        context.numbers = self._numbers
        request = {**self.alike.request, "selections": [{"kind": "named", "entries": self._entries}]}
        if context.command != "rm":
            request["workers"] = workers
        drive(context, request)
        if context.command == "rm":
            context.tally.done += context.tally.deleted


class Plain:
    """One line of such a kind."""

    __slots__ = ("alike", "entry", "names")

    def __init__(
        self,
        alike: Alike,
        entry: tuple[bytes, tuple[str, str, None] | None, bytes | None],
        names: tuple[bytes, bytes],
    ) -> None:
        self.alike, self.entry, self.names = alike, entry, names


class Sorter:
    """Finds the lines that are alike.

    Args:
        context: of `run`.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        #: command and options → a context of such lines, None if they cannot be batched
        self._heads: dict[tuple[str, ...], Context | None] = {}
        self._alike: dict[tuple[Any, ...], Alike | None] = {}

    def plain(self, tokens: list[str]) -> Plain | None:
        """What a line is; None: the command itself is to see to it."""
        count = 1 if tokens[0] == "rm" else 2
        if len(tokens) <= count or tokens[0] not in ("cp", "mv", "rm"):
            return None
        arguments = tokens[-count:]
        if any(each.startswith("-") or has_wildcard(each) for each in arguments):
            return None
        head = tuple(tokens[:-count])
        if head not in self._heads:
            self._heads[head] = self._head(head, count)
        context = self._heads[head]
        if context is None:
            return None
        try:
            places = [understand(each) for each in arguments]
            return self._removal(head, context, *places) if count == 1 else self._transfer(head, context, *places)
        except (RefusedError, UnsafeKeyError, OSError):
            return None

    def _head(self, head: tuple[str, ...], count: int) -> Context | None:
        """Options by themselves: whatever follows them, if it looks like no option, is an argument."""
        from s3z._cli.run import understood

        given = ["s3://b/k"] * count
        try:
            parsed = understood([*head, *given])
        except UsageError:
            return None
        if parsed.arguments != given:
            return None
        fit = _FIT if parsed.command != "rm" else frozenset()
        own = (option.dest for option in COMMANDS[parsed.command][0])
        if any(getattr(parsed.options, name, None) is not None and name not in fit for name in own):
            return None
        return self._context.of_line(parsed, None, None)

    def _removal(self, head: tuple[str, ...], context: Context, target: Remote | str) -> Plain | None:
        if isinstance(target, str) or target.is_container:
            return None
        key = (head, target.bucket)
        if key not in self._alike:
            self._alike[key] = Alike(context, {"operation": "rm", "dry_run": context.dry_run})
        alike = self._alike[key]
        assert alike is not None
        return Plain(alike, (target.key.encode(), (target.bucket, target.key, None), None), (target.uri.encode(), b""))

    def _transfer(
        self, head: tuple[str, ...], context: Context, source: Remote | str, target: Remote | str
    ) -> Plain | None:
        if isinstance(source, Remote):
            if source.is_container:
                return None
            place, path = (source.bucket, source.key, None), None
            shown = source.uri
            name = target.key if isinstance(target, Remote) else download_path(source, target)
            if isinstance(target, Remote) and target.is_container:
                name += source.key.rpartition("/")[2]
        else:
            if isinstance(target, str) or as_directory(source) or not stat.S_ISREG(os.stat(source).st_mode):
                return None
            if is_own_leftover(source):
                return None
            place, path = None, os.fsencode(source)
            shown = source
            name = upload_key(source, target)
        bucket = target.bucket if isinstance(target, Remote) else ""
        key = (head, place is None, bucket)
        if key not in self._alike:
            self._alike[key] = self._kind(context, source, target)
        alike = self._alike[key]
        if alike is None:
            return None
        told = f"s3://{bucket}/{name}" if bucket else name
        return Plain(alike, (os.fsencode(name), place, path), (os.fsencode(shown), os.fsencode(told)))

    def _kind(self, context: Context, source: Remote | str, target: Remote | str) -> Alike | None:
        chosen = Source(None, source, is_many=False)
        try:
            check_options(context, chosen, target)
            words = transfer_words(context, chosen)
            context.client()
        except (UsageError, ConfigError):
            return None
        bucket = target.bucket.encode() if isinstance(target, Remote) else b""
        goal = ("remote", bucket, b"", False) if bucket else ("paths", b"", b"", False)
        return Alike(context, {**words, "operation": context.command, "goal": goal})
