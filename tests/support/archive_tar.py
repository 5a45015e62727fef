"""The tar stream that `s3z pack` has to write: entries of a directory in name order, ustar, pax where ustar cannot.

Worked out once more in plain Python from docs/archive-format.md; nothing here knows s3z.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One member. `target` is the text of a symbolic link, or the name that a hard link shares."""

    name: bytes
    kind: str
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    file_size: int = 0
    target: bytes | None = None
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    data: bytes = field(default=b"", repr=False)

    @property
    def header(self) -> bytes:
        return headers(self)

    @property
    def padding(self) -> bytes:
        return bytes(-len(self.data) % 512)


def walk(source: bytes | str | os.PathLike[str], xattrs: bool = False) -> list[Entry]:
    """The entries of a source, in the order of their names."""
    path = os.fsencode(source) if isinstance(source, str | bytes) else os.fsencode(os.fspath(source))
    found: list[tuple[bytes, bytes]] = []
    base = b"" if path.endswith(b"/") else os.path.basename(path)
    if stat.S_ISDIR(os.stat(path).st_mode):
        if base:
            found.append((base + b"/", path))
        _walk_directory(path, base + b"/" if base else b"", found)
    else:
        found.append((base, path))
    links: dict[tuple[int, int], Entry] = {}
    return [_entry(name, path, xattrs, links) for name, path in sorted(found)]


def _walk_directory(path: bytes, prefix: bytes, found: list[tuple[bytes, bytes]]) -> None:
    with os.scandir(path) as entries:
        for item in entries:
            mode = item.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                found.append((prefix + item.name + b"/", item.path))
                _walk_directory(item.path, prefix + item.name + b"/", found)
            elif stat.S_ISREG(mode) or stat.S_ISLNK(mode):
                found.append((prefix + item.name, item.path))


def _entry(name: bytes, path: bytes, xattrs: bool, links: dict[tuple[int, int], Entry]) -> Entry:
    status = os.lstat(path)
    common: dict[str, Any] = {
        "mode": status.st_mode & 0o7777, "uid": status.st_uid, "gid": status.st_gid, "mtime_ns": status.st_mtime_ns,
    }  # fmt: skip
    if stat.S_ISDIR(status.st_mode):
        return Entry(name, "d", **common, xattrs=_xattrs(path, xattrs))
    if stat.S_ISLNK(status.st_mode):
        return Entry(name, "l", **common, target=os.readlink(path), xattrs=_xattrs(path, xattrs))
    inode = (status.st_dev, status.st_ino)
    if first := links.get(inode):
        return Entry(name, "h", **common, file_size=first.file_size, target=first.name, xattrs=_xattrs(path, xattrs))
    with open(path, "rb") as file:
        data = file.read()
    entry = Entry(name, "f", **common, file_size=len(data), data=data, xattrs=_xattrs(path, xattrs))
    if status.st_nlink > 1:
        links[inode] = entry
    return entry


def _xattrs(path: bytes, xattrs: bool) -> tuple[tuple[bytes, bytes], ...]:
    if not xattrs:
        return ()
    names = sorted(os.fsencode(name) for name in os.listxattr(path, follow_symlinks=False))
    return tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in names)


def tar_stream(entries: list[Entry]) -> bytes:
    """Of all entries, without the 1024 zeros at its end."""
    return b"".join(part for entry in entries for part in (entry.header, entry.data, entry.padding))


def ustar(
    name: bytes, kind: bytes, *, size: int = 0, target: bytes = b"", prefix: bytes = b"", **numbers: int
) -> bytes:
    """One block of 512 bytes; `numbers` may be mode, uid, gid, mtime."""

    def octal(key: str, digits: int) -> bytes:
        return b"%0*o\0" % (digits, numbers.get(key, 0))

    block = b"".join([
        name.ljust(100, b"\0"), octal("mode", 7), octal("uid", 7), octal("gid", 7), b"%011o\0" % size,
        octal("mtime", 11), b" " * 8, kind, target.ljust(100, b"\0"), b"ustar\0" b"00", bytes(32), bytes(32),
        b"0000000\0", b"0000000\0", prefix.ljust(155, b"\0"), bytes(12),
    ])  # fmt: skip
    assert len(block) == 512, (name, target, prefix)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def split(name: bytes) -> tuple[bytes, bytes] | None:
    """Prefix and name as ustar takes them, or None if it cannot."""
    if len(name) <= 100:
        return b"", name
    for cut in range(min(155, len(name) - 1), 0, -1):
        if name[cut : cut + 1] == b"/" and 1 <= len(name) - cut - 1 <= 100:
            return name[:cut], name[cut + 1 :]
    return None


def headers(entry: Entry) -> bytes:
    records: list[tuple[bytes, bytes]] = []
    target = entry.target or b""
    if not (is_utf8(entry.name) and is_utf8(target)):
        records.append((b"hdrcharset", b"BINARY"))
    parts = split(entry.name) if entry.name.isascii() else None
    if parts is None:
        records.append((b"path", entry.name))
        parts = b"", _cut(entry.name)
    if len(target) > 100 or not target.isascii():
        records.append((b"linkpath", target))
        target = _cut(target)
    numbers = {
        "size": len(entry.data), "uid": entry.uid, "gid": entry.gid, "mtime": entry.mtime_ns // 1_000_000_000,
    }  # fmt: skip
    limits = {"size": 1 << 33, "uid": 1 << 21, "gid": 1 << 21, "mtime": 1 << 33}
    for key, limit in limits.items():
        if not 0 <= numbers[key] < limit:
            records.append((key.encode(), b"%d" % numbers[key]))
            numbers[key] = 0
    records += [(b"SCHILY.xattr." + key, value) for key, value in entry.xattrs]
    kind = {"f": b"0", "d": b"5", "l": b"2", "h": b"1"}[entry.kind]
    header = ustar(parts[1], kind, target=target, prefix=parts[0], mode=entry.mode, **numbers)
    if not records:
        return header
    text = b"".join(_record(key, value) for key, value in records)
    return ustar(b"././@PaxHeader", b"x", size=len(text)) + text + bytes(-len(text) % 512) + header


def _record(key: bytes, value: bytes) -> bytes:
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return str(length).encode() + rest


def is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _cut(text: bytes) -> bytes:
    return bytes(byte if byte < 0x80 else ord("?") for byte in text[:100])
