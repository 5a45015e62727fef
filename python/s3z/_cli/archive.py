"""`s3z archive ls|cat|verify|index`: look into an archive; only what is asked for is fetched."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from s3z._archive import Archive
from s3z._cli._failures import RefusedError
from s3z._cli._match import Excluder, matches, split_wildcard
from s3z._cli._names import has_wildcard
from s3z._cli._options import VERBS, UsageError
from s3z._cli._printer import StdoutClosedError
from s3z._cli._standard import STDOUT, check_stdout
from s3z._cli.unpack import named, understand_archive
from s3z._escape import escape
from s3z._exceptions import IntegrityError
from s3z._units import human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s3z._archive_types import ArchiveEntry
    from s3z._cli._context import Context

_MANY = 1000
#: bytes of a file that are fetched at once, and of small files together
_BLOCK = 8 << 20
#: option → the verbs that it goes with; `root` goes with all
_VERBS = {
    "humanize": ("ls",),
    "exclude": ("ls",),
    "raw": ("ls", "cat"),
    "range": ("cat",),
    "index_only": ("verify",),
    "sample": ("verify",),
    "output": ("index",),
}
_TYPES = {"f": "file", "d": "directory", "l": "symlink", "h": "hard_link"}


def run(context: Context) -> None:
    """Carry out `archive`.

    Raises:
        UsageError: no such verb, or an option or argument does not go with it.
        RefusedError: there is no such archive or entry.
        StdoutClosedError: nobody reads any more.
    """
    verb, name, *names = context.arguments
    _check(context, verb, names)
    place = understand_archive(name)
    context.label, context.names = f"archive {verb} {place}", {"source": place}
    with named(place, lambda: Archive(place, client=context.client(), root=context.options.root)) as archive:
        {"ls": _ls, "cat": _cat, "verify": _verify, "index": _index}[verb](context, archive, names)


def _check(context: Context, verb: str, names: list[str]) -> None:
    """What can be said before anything is opened."""
    options = context.options
    if verb not in VERBS["archive"]:
        raise UsageError(f'"{verb}" is none of ls, cat, verify, index', "archive")
    for option, known in _VERBS.items():
        if getattr(options, option) is not None and verb not in known:
            raise UsageError(f'option "--{option.replace("_", "-")}" goes with {" and ".join(known)}', "archive")
    if verb == "cat" and not names:
        raise UsageError("expected at least one ENTRY", "archive")
    if verb in ("verify", "index") and names:
        raise UsageError(f"expected one ARCHIVE, got {1 + len(names)}", "archive")
    if options.range is not None and (len(names) != 1 or (not options.raw and has_wildcard(names[0]))):
        raise UsageError('option "--range" is for one entry', "archive")
    if verb == "cat":
        check_stdout()


def _chosen(context: Context, archive: Archive, patterns: list[str]) -> Iterator[ArchiveEntry]:
    """Entries that match a pattern, or begin with it; for each pattern in turn.

    Raises:
        RefusedError: one matches nothing.
    """
    for pattern in patterns:
        wild = not context.options.raw and has_wildcard(pattern)
        prefix = split_wildcard(pattern)[0] if wild else pattern
        excluder = Excluder(context.options.exclude, prefix)
        found = False
        for entry in archive.ls(prefix):
            bare = entry.path.removesuffix("/")
            if wild and not (matches(pattern, entry.path) or matches(pattern, bare)):
                continue
            found = True
            if not excluder.excludes(bare):
                yield entry
        if not found and pattern:
            raise RefusedError(f'no match found for "{pattern}"', "not_found")


def _ls(context: Context, archive: Archive, patterns: list[str]) -> None:
    printer, lines = context.printer, []
    for entry in _chosen(context, archive, patterns or [""]):
        if context.options.json:
            printer.record(_record(entry))
            continue
        lines.append(_line(entry, humanize=bool(context.options.humanize), terminal=printer.terminal))
        if len(lines) == _MANY:
            printer.data("\n".join(lines), escaped=True)
            lines.clear()
    if lines:
        printer.data("\n".join(lines), escaped=True)


def _line(entry: ArchiveEntry, *, humanize: bool, terminal: bool) -> str:
    """As a line of `ls`: `DIR` for a directory, and `l` or `h` in the third column for a link."""
    name = escape(entry.path) if terminal else entry.path
    if entry.kind == "d":
        return f"{'':>19} {'':>2} {'':<1} {'DIR':>12} {name}"
    size = human_size(entry.size) if humanize else str(entry.size)
    mark = entry.kind if entry.kind in "lh" else ""
    return f"{entry.mtime:%Y/%m/%d %H:%M:%S} {'':>2} {mark:<1} {size:>12} {name}"


def _record(entry: ArchiveEntry) -> dict[str, Any]:
    record = {
        "key": entry.path,
        "last_modified": f"{entry.mtime:%Y-%m-%dT%H:%M:%SZ}",
        "type": _TYPES[entry.kind],
        "size": entry.size,
        "mode": f"{entry.mode:04o}",
        "link_target": entry.link_target,
        "stored": entry.stored if entry.kind == "f" else None,
        "checksum": None if entry.checksum is None else entry.checksum.hex(),
        "incomplete": True if entry.flags & 3 else None,
    }
    if any("\udc80" <= character <= "\udcff" for character in entry.path):
        import binascii

        record["key_base64"] = binascii.b2a_base64(entry.path_bytes, newline=False).decode()
    return record


def _cat(context: Context, archive: Archive, names: list[str]) -> None:
    # In a file of commands others write there, too.
    with context.printer.lock:
        _cat_alone(context, archive, names)


def _cat_alone(context: Context, archive: Archive, names: list[str]) -> None:
    options = context.options
    waiting: list[bytes] = []
    size = 0
    for name in names:
        for entry in _files(context, archive, name):
            context.tally.done += 1
            if entry.size <= _BLOCK and options.range is None:
                waiting.append(entry.path_bytes)
                size += entry.size
                if size <= _BLOCK and len(waiting) < _MANY:
                    continue
            _write_all(context, archive, waiting)
            if entry.size > _BLOCK or options.range is not None:
                _write_one(context, archive, entry)
            waiting, size = [], 0
    _write_all(context, archive, waiting)


def _files(context: Context, archive: Archive, name: str) -> Iterator[ArchiveEntry]:
    """The entry of that name, or files that match.

    Raises:
        RefusedError: there is none, or it is no file.
    """
    if not context.options.raw and has_wildcard(name):
        yield from (entry for entry in _chosen(context, archive, [name]) if entry.kind in "fh")
        return
    entry = archive.find(name)
    if entry is None and not name.endswith("/"):
        entry = archive.find(f"{name}/")
    if entry is None:
        hint = "names are case-sensitive; `s3z archive ls` shows them"
        raise RefusedError(f'given entry "{name}" not found', "not_found", hint)
    if entry.kind not in "fh":
        what = "a directory" if entry.kind == "d" else f'a symbolic link to "{entry.link_target}"'
        raise RefusedError(f'entry "{name}" is {what}', "not_regular_file")
    yield entry


def _write_all(context: Context, archive: Archive, names: list[bytes]) -> None:
    """Small files, fetched together."""
    if len(names) == 1:
        _write(context, archive.read(names[0]))
    elif names:
        for memory in archive.read_many(names):
            _write(context, memory)


def _write_one(context: Context, archive: Archive, entry: ArchiveEntry) -> None:
    """A file piece by piece, or the range of it that was asked for."""
    start, stop = _span(context.options.range, entry)
    while start < stop:
        end = min(start + _BLOCK - start % _BLOCK, stop)
        _write(context, archive.read(entry.path_bytes, start, end))
        start = end


def _span(text: str | None, entry: ArchiveEntry) -> tuple[int, int]:
    """A range as HTTP writes it, as a half-open one within the entry.

    Raises:
        RefusedError: it begins behind the end.
    """
    if text is None:
        return 0, entry.size
    first, _, last = text.partition("-")
    if not first:
        return max(0, entry.size - int(last)), entry.size
    if int(first) >= entry.size:
        raise RefusedError(f'the range begins behind the end of "{entry.path}", which has {entry.size} bytes')
    return int(first), min(int(last) + 1, entry.size) if last else entry.size


def _write(context: Context, memory: Any) -> None:
    with memoryview(memory) as view:
        context.tally.transferred += len(view)
        if len(view):
            context.printer.in_line = view[-1] != ord("\n")
        at = 0
        while at < len(view):
            try:
                at += os.write(STDOUT, view[at:])
            except BrokenPipeError:
                raise StdoutClosedError from None
            except OSError as error:
                error.filename = "<stdout>"
                raise


def _verify(context: Context, archive: Archive, _: list[str]) -> None:
    options = context.options
    level: Any = "index" if options.index_only else "full" if options.sample is None else options.sample
    progress = context.display.show if context.display.active else None
    try:
        report = archive.verify(level, progress=progress)
    except IntegrityError as error:
        if error.report is None:
            raise
        for problem in error.report.problems:
            context.fail(context.label, IntegrityError(str(problem)), context.names)
        return
    context.tally.done += report.entries
    record = {
        "operation": "archive",
        "success": True,
        "source": archive.name,
        "level": report.level,
        "frames": report.frames,
        "entries": report.entries,
        "bytes": report.bytes,
        "root": archive.root.hex(),
    }
    context.printer.result(f"verify {archive.name} {archive.root.hex()}", record)


def _index(context: Context, archive: Archive, _: list[str]) -> None:
    output = context.options.output
    if output in (None, "-"):
        if context.printer.terminal:
            raise RefusedError("the index is not for a terminal", hint="-o FILE writes it to a file")
        check_stdout()
        index = archive.index().ipc()
        with context.printer.lock:
            _write(context, index)
        return
    with context.client().open(output, "wb") as file:
        file.write(memoryview(archive.index().ipc()))
    names = {"source": archive.name, "destination": output}
    context.printer.result(f"index {archive.name} {output}", {"operation": "archive", "success": True, **names})
