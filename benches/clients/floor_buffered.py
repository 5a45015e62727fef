"""The floor through the page cache: what direct I/O gains or costs here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clients import floor

if TYPE_CHECKING:
    from lib.job import Job

KIND = "variant"
VERBS = ("download",)
FLAGS = "as floor, but written through the page cache"

available = floor.available


def command(job: Job) -> tuple[list[str], dict[str, str]]:
    """Return `floor get --buffered`."""
    argv, env = floor.command(job)
    return [*argv, "--buffered"], env
