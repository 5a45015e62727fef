"""A tree with every kind of entry that an archive can hold, at the border of every rule; and a look at such a tree."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import random
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

KIB, MIB = 1 << 10, 1 << 20
SECOND = 1_000_000_000
#: of everything that has no time of its own; not a whole second
WHEN = 1_700_000_000 * SECOND + 123_456_789


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that nothing can compress."""
    return random.Random(f"{seed}/{size}").randbytes(size)


@functools.lru_cache
def _words(seed: int) -> bytes:
    chance = random.Random(seed)
    words = ["".join(chance.choices("etaoinshrdlu", k=chance.randint(2, 9))) for _ in range(2000)]
    return "".join(f"{number:06} {' '.join(chance.choices(words, k=9))}\n" for number in range(4000)).encode()


def text(size: int, seed: int = 1) -> bytes:
    """Bytes that compress to about a third."""
    words = _words(seed % 8)
    return (words * (size // len(words) + 1))[:size]


class Tree:
    """Fills a directory; paths are bytes below it."""

    def __init__(self, root: Path) -> None:
        root.mkdir(exist_ok=True)
        self.root = os.fsencode(root) + b"/"

    def file(self, name: bytes | str, data: bytes = b"", mode: int = 0o644) -> bytes:
        path = self.path(name)
        with open(path, "xb") as file:
            file.write(data)
        os.chmod(path, mode)
        return path

    def directory(self, name: bytes | str, mode: int = 0o755) -> bytes:
        path = self.path(name)
        os.makedirs(path, exist_ok=True)
        os.chmod(path, mode)
        return path

    def symlink(self, name: bytes | str, target: bytes | str) -> None:
        os.symlink(os.fsencode(target), self.path(name))

    def hard_link(self, name: bytes | str, existing: bytes | str) -> None:
        os.link(self.path(existing), self.path(name), follow_symlinks=False)

    def path(self, name: bytes | str) -> bytes:
        path = self.root + os.fsencode(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def settle(self, times: dict[bytes, int] | None = None) -> None:
        """Give every entry its time, when nothing is written any more; `times` in ns, by name."""
        for parent, directories, files in os.walk(self.root, topdown=False):
            for name in (*directories, *files):
                path = os.path.join(parent, name)
                when = (times or {}).get(path[len(self.root) :], WHEN)
                os.utime(path, ns=(when, when), follow_symlinks=False)


def build(root: Path) -> Path:
    """The tree of all kinds, about 45 MiB."""
    tree = Tree(root)
    _names(tree)
    _links(tree)
    _modes(tree)
    _sizes(tree)
    _classes(tree)
    for name in ("times/zero", "times/before", "times/halves", "times/far", "times/last", "times/2038", "times/fine"):
        tree.file(name, b"when")
    tree.settle({
        b"times/zero": 0,
        b"times/before": -1000 * SECOND,
        b"times/halves": -3 * SECOND // 2,
        b"times/2038": (1 << 31) * SECOND,
        b"times/last": ((1 << 33) - 1) * SECOND + 999_999_999,
        b"times/far": (1 << 33) * SECOND + 5,
        b"times/fine": 1_000_000_000 * SECOND + 999_999_999,
    })  # fmt: skip
    return root


def _names(tree: Tree) -> None:
    # In the order of bytes `a-b` and `a.c` come before `a/`, `a0` after all that is in it.
    for name in ("order/a/x", "order/a/y/z", "order/a-b", "order/a.c", "order/a0", "order/a/-", "order/B", "order/~"):
        tree.file(name, name.encode())
    for length in (99, 100, 101):
        tree.file("names/" + "f" * (length - 6), b"%d" % length)
        tree.directory("names/" + "d" * (length - 7))
        tree.file("R" * length, b"not to be split: %d" % length)
    for before, after in ((155, 99), (155, 100), (155, 101), (156, 100), (154, 100)):
        tree.file(f"{'names/'.ljust(before, 'p')}/{'q' * after}", b"%d" % after)
        tree.directory(f"{'names/'.ljust(before, 'p')}/{'e' * (after - 1)}")
    tree.file(f"{'names/'.ljust(60, 'x')}/{'y' * 60}/{'z' * 60}", b"the longest prefix wins")
    tree.file("names/" + "c" * 255, b"longest component")
    tree.file("names/" + "/".join("l" * 240 for _ in range(4)) + "/end", b"about a thousand")
    for name in ("ünï/cödé", "日本/日本語.txt", "é" * 50, "é" * 51, "names/" + "ß" * 127, "e\u0301 and é"):
        tree.file(name, name.encode())
    bad = (
        b"bad/\xff", b"bad/\xff\xfe-two", b"bad/cut-\xe2\x82", b"bad/surrogate-\xed\xa0\x80", b"bad/over-\xc0\x80",
        b"bad/dir-\xf0\x9f/in it", b"bad/" + b"\xff" * 120, b"bad/good",
    )  # fmt: skip
    for raw in bad:
        tree.file(raw, raw)
    for name in ("odd/sp ace", "odd/new\nline", "odd/back\\slash", "odd/-rf", "odd/a=b", "odd/%41", "odd/'\"", "odd/ "):
        tree.file(name, name.encode())
    tree.directory("empty")
    tree.directory("empty-outer/empty-inner")
    tree.file("empty-file")


def _links(tree: Tree) -> None:
    tree.file("links/file", b"linked")
    targets: dict[str, bytes | str] = {
        "up": "../links/file", "absolute": "/nowhere/at/all", "dangling": "nothing", "directory": "../order",
        "100": "t" * 100, "101": "t" * 101, "1000": "/".join("t" * 199 for _ in range(5)), "unicode": "ünï",
        "bad": b"\xff\xfe", "itself": "itself",
    }  # fmt: skip
    for name, target in targets.items():
        tree.symlink(f"links/to-{name}", target)
    tree.symlink(b"links/\xff-to-good", "file")
    tree.symlink("links/" + "s" * 200, "s" * 200)
    tree.file("hard/b-first", b"shared by three")
    tree.hard_link("hard/c-second", "hard/b-first")
    tree.hard_link("a-hard-before-all", "hard/b-first")
    tree.file("hard/empty-1")
    tree.hard_link("hard/empty-2", "hard/empty-1")
    tree.file(b"hard/\xff-1", b"not UTF-8")
    tree.hard_link(b"hard/\xff-2", b"hard/\xff-1")
    tree.file("hard/" + "h" * 150, b"long")
    tree.hard_link("hard/z-long", "hard/" + "h" * 150)
    tree.file("hard/noise-1", noise(20 * KIB))
    tree.hard_link("hard/noise-2", "hard/noise-1")


def _modes(tree: Tree) -> None:
    is_root = os.geteuid() == 0
    for mode in (0o644, 0o600, 0o400, 0o755, 0o777, 0o4755, 0o2755, 0o1644, 0o7777, *((0, 0o111) if is_root else ())):
        tree.file(f"modes/{mode:04o}", b"%o" % mode, mode)
    for mode in (0o700, 0o755, 0o1777, 0o2775):
        tree.file(f"modes/d{mode:04o}/file", b"in it")
        tree.directory(f"modes/d{mode:04o}", mode)
    if is_root:
        for owner in (1, 65534, (1 << 21) - 1, 1 << 21, 3_000_000_000):
            path = tree.file(f"owners/{owner}", b"%d" % owner)
            os.chown(path, owner, owner // 2)


def _sizes(tree: Tree) -> None:
    borders = (0, 512, 16 * KIB, 128 * KIB, 256 * KIB)
    for size in (size + more for size in borders for more in (-1, 0, 1) if size + more >= 0):
        tree.file(f"sizes/text-{size:07}", text(size, size))
        tree.file(f"sizes/noise-{size:07}", noise(size))
    for more in (-513, -512, -511, -1, 0, 1):
        tree.file(f"group/{more + 600}", text(MIB + more, 3))
    for more in (-1, 0, 1):
        tree.file(f"slice/noise{more + 1}", noise(4 * MIB + more))
        tree.file(f"slice/text{more + 1}", text(4 * MIB + more, 4))
    tree.file("big/noise-0", noise(8 * MIB))
    tree.file("big/noise-1", noise(8 * MIB + 1))
    tree.file("big/text", text(8 * MIB - 1, 5))
    # A header, then a slice that compresses, one that does not, and a rest.
    tree.file("big/both", text(4 * MIB, 6) + noise(MIB) + text(100, 7))
    tree.hard_link("big/same", "big/noise-1")


def _classes(tree: Tree) -> None:
    for number in range(24):
        tree.file(f"pairs/{number:03}.jpg", noise(16 * KIB + 3333 * number, number))
        tree.file(f"pairs/{number:03}.txt", text(200 + 31 * number, number))
    for number in range(12):
        tree.file(f"runs/{number:03}.bin", noise(500 * KIB // (number + 1), 100 + number))
        tree.file(f"runs/{number:03}-empty")
        tree.symlink(f"runs/{number:03}-link", "000.bin")
    # The extension is a hint only: what compresses is compressed, whatever it is called.
    tree.file("hints/text.zip", text(40 * KIB, 1))
    tree.file("hints/noise.txt", noise(40 * KIB, 2))
    tree.file("hints/short.zip", noise(16 * KIB - 1, 3))
    late = noise(64 * KIB, 4) + text(128 * KIB, 5)
    tree.file("hints/late.zip", late)  # looked at because of its name, and its head says: stored
    tree.file("hints/late.txt", late)  # the middle is text, so nobody asks the head
    tree.file("hints/early.bin", text(64 * KIB, 6) + noise(128 * KIB, 7))  # a suspect; the head compresses


@dataclass(frozen=True)
class Seen:
    """What is to be seen of an entry. `target`: of a symbolic link, or the first name of a file that has several."""

    kind: str
    mode: int
    mtime: int
    target: bytes | None
    content: str | None


def look(root: Path) -> dict[bytes, Seen]:
    """Every entry below a directory."""
    found: dict[bytes, Seen] = {}
    names: dict[tuple[int, int], bytes] = {}
    for path in sorted(_below(os.fsencode(root))):
        name, status = path[len(os.fsencode(root)) + 1 :], os.lstat(path)
        kind, target, content = "?", None, None
        if stat.S_ISDIR(status.st_mode):
            kind = "directory"
        elif stat.S_ISLNK(status.st_mode):
            kind, target = "symlink", os.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            kind, content = "file", content_hash(path)
            if status.st_nlink > 1:
                target = names.setdefault((status.st_dev, status.st_ino), name)
        found[name] = Seen(kind, status.st_mode & 0o7777, status.st_mtime_ns // SECOND, target, content)
    return found


def _below(directory: bytes) -> list[bytes]:
    return [
        os.path.join(parent, name) for parent, directories, files in os.walk(directory) for name in directories + files
    ]


def content_hash(path: bytes | Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def has_xattrs(directory: Path) -> bool:
    """Whether a file may have attributes here; those of `user.` only, for a test."""
    with contextlib.suppress(OSError):
        os.setxattr(directory, "user.s3z-test", b"1")
        os.removexattr(directory, "user.s3z-test")
        return True
    return False
