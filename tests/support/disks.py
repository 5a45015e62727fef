"""Small file systems, mounted for as long as a `with` lasts."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from typing import TYPE_CHECKING

from support.servers import unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def run(*command: str) -> str:
    """Run to the end; its output.

    Raises:
        OSError: it is missing or failed, with what it said.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout.strip()


@contextlib.contextmanager
def tmpfs(directory: Path, options: str) -> Iterator[Path]:
    """A file system in memory at `directory`, which is made; `options` such as `size=8m,nr_inodes=5`."""
    directory.mkdir()
    try:
        run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory))
    except OSError as error:
        unavailable(f"a small disk cannot be mounted here: {error}")
    try:
        yield directory
    finally:
        run("umount", "--lazy", str(directory))


class LoopDisk:
    """ext4 in a file, behind a loop device, so that the disk can be taken away and put back as it was.

    Args:
        directory: is made; holds the image and the mount point.
        size: bytes.
    """

    def __init__(self, directory: Path, size: int) -> None:
        directory.mkdir()
        self.image = directory / "image"
        self.at = directory / "disk"
        self.at.mkdir()
        self.device = ""
        with self.image.open("wb") as file:
            file.truncate(size)
        try:
            run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(self.image))
            self.device = run("losetup", "--find", "--show", str(self.image))
            self.mount()
        except OSError as error:
            self.close()
            unavailable(f"an image cannot be mounted here: {error}")
        # One owned by root stays; whoever downloads needs it.
        with contextlib.suppress(OSError):
            (self.at / "lost+found").rmdir()

    def __enter__(self) -> LoopDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def mount(self, *options: str) -> None:
        run("mount", *options, self.device, str(self.at))

    def remount(self, options: str) -> None:
        run("mount", "-o", f"remount,{options}", str(self.at))

    def unmount(self) -> None:
        run("umount", str(self.at))

    def snapshot(self) -> bytes:
        """What the disk holds at one moment, the page cache of its files apart: two readings must agree."""
        before = self.image.read_bytes()
        for _ in range(100):
            now = self.image.read_bytes()
            if now == before:
                return now
            before = now
        raise AssertionError("the image never stood still")

    def cut(self, state: bytes) -> None:
        """Power comes back, and the disk holds what it held then. Nobody may use it now."""
        self.unmount()
        run("losetup", "--detach", self.device)
        self.image.write_bytes(state)
        run("losetup", self.device, str(self.image))
        self.mount()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            run("umount", "--lazy", str(self.at))
        if self.device:
            with contextlib.suppress(OSError):
                run("losetup", "--detach", self.device)
        self.image.unlink(missing_ok=True)
        shutil.rmtree(self.at, ignore_errors=True)
