"""Many small objects: the tree they are made of, and whether a result is the same."""

from __future__ import annotations

import os
import random
import subprocess
from typing import TYPE_CHECKING

from lib import peers

if TYPE_CHECKING:
    from pathlib import Path

    from lib.server import Server

#: files are spread over so many directories
DIRECTORIES = 100
#: of every file, so that nothing is newer than its object
MODIFIED = 1_700_000_000


def plant(directory: Path, count: int, size: int, seed: int) -> None:
    """Write `count` files of `size` random bytes below `directory`."""
    order = random.Random(seed)
    for number in range(count):
        path = directory / f"d{number % DIRECTORIES:02}" / f"f{number:07}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(order.randbytes(size))
        os.utime(path, (MODIFIED, MODIFIED))


def send(directory: Path, uri: str, env: dict[str, str]) -> None:
    """Put the tree on the server, before anything is measured."""
    argv = [peers.own_python(), "-m", "s3z", "cp", f"{directory}/", uri]
    subprocess.run(argv, env=env, check=True, stdout=subprocess.DEVNULL)


def wrong_file(wanted: Path, found: Path) -> str:
    """Return what is wrong with a tree that should be the same, empty if nothing is."""
    names = {path.relative_to(wanted) for path in wanted.rglob("*") if path.is_file()}
    others = {path.relative_to(found) for path in found.rglob("*") if path.is_file()}
    if names != others:
        return f"{len(others)} files instead of {len(names)}, {len(names - others)} missing"
    different = (name for name in sorted(names) if (wanted / name).read_bytes() != (found / name).read_bytes())
    first = next(different, None)
    return f"{first} differs" if first else ""


def wrong_object(server: Server, bucket: str, wanted: Path, prefix: str, sample: int) -> str:
    """Return what is wrong with the objects below a prefix, empty if nothing is; every `sample`-th is compared."""
    names = sorted(path.relative_to(wanted) for path in wanted.rglob("*") if path.is_file())
    for name in names[::sample]:
        try:
            found = server.ask("crc", bucket=bucket, key=f"{prefix}{name}")
            right = server.ask("crc", bucket=bucket, key=f"many/{name}")
        except RuntimeError as error:
            return f"{name}: {error}"
        if (found["size"], found["crc64nvme"]) != (right["size"], right["crc64nvme"]):
            return f"{name} differs"
    return ""
