"""Small trees and foreign or damaged archives, for the tests of calls and commands about them."""

from __future__ import annotations

import io
import struct
import subprocess
import tarfile
from typing import TYPE_CHECKING, Any

import zstandard
from blake3 import blake3

from support.archive_tree import MIB, Tree, noise, text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FOOTER = 128


def small_tree(root: Path) -> Path:
    """One of each kind: compressed, stored, empty, large, linked, not UTF-8; about 10 MiB."""
    tree = Tree(root)
    tree.file("a.txt", b"hello\n")
    tree.file("empty")
    tree.file("big.bin", text(9 * MIB + 777), 0o600)
    tree.file("photos/1.jpg", noise(50_000, 1))
    tree.file("photos/2.jpg", noise(300_000, 2))
    tree.file("run.sh", b"#!/bin/sh\n", 0o755)
    tree.file("sub/b.txt", text(20_000))
    tree.file("sub/deep/c.txt", b"deep\n")
    tree.file(b"sub/\xff.bin", b"no UTF-8")
    tree.file(".hidden/x", b"hidden\n")
    tree.directory("nothing", 0o700)
    tree.symlink("link", "sub/b.txt")
    tree.hard_link("z-same", "a.txt")
    tree.settle()
    return root


#: of `small_tree`, in name order
NAMES = [
    b".hidden/", b".hidden/x", b"a.txt", b"big.bin", b"empty", b"link", b"nothing/", b"photos/", b"photos/1.jpg",
    b"photos/2.jpg", b"run.sh", b"sub/", b"sub/b.txt", b"sub/deep/", b"sub/deep/c.txt", b"sub/\xff.bin", b"z-same",
]  # fmt: skip


def extract(archive: Path, directory: Path) -> Path:
    """What GNU tar makes of an archive."""
    directory.mkdir()
    subprocess.run(["tar", "-xpf", archive, "-C", directory], check=True, capture_output=True)
    return directory


def foreign(path: Path, *members: tarfile.TarInfo | tuple[str, bytes]) -> Path:
    """An archive that Python made; compressed if its name says so. Bytes are those of a file."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        for member in members:
            if isinstance(member, tuple):
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
            else:
                tar.addfile(member, io.BytesIO(bytes(member.size)))
    data = held.getvalue()
    path.write_bytes(zstandard.compress(data) if path.name.endswith("zst") else data)
    return path


def member(name: str, **fields: Any) -> tarfile.TarInfo:
    """An entry with any fields."""
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def footer_at(data: bytes) -> int:
    """Where the footer of a `.tar.zst` begins."""
    (count,) = struct.unpack_from("<I", data, len(data) - 9)
    return len(data) - (17 + 8 * int(count)) - FOOTER


def patched(data: bytes, change: Callable[[bytearray], object]) -> bytes:
    """An archive whose footer was changed by somebody who knows how to make it true again."""
    at = footer_at(data)
    footer = bytearray(data[at : at + FOOTER])
    change(footer)
    offset, length = struct.unpack_from("<QQ", footer, 56)
    footer[96:] = blake3(data[offset : offset + length] + bytes(footer[16:96])).digest()
    return data[:at] + bytes(footer) + data[at + FOOTER :]


def flipped(data: bytes, at: int) -> bytes:
    """With one bit changed."""
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]
