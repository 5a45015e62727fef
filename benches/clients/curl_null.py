"""curl to /dev/null: one stream without writing, the reference for TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clients import curl

if TYPE_CHECKING:
    from lib.job import Job

KIND = "reference"
VERBS = ("download",)
FLAGS = "one stream to /dev/null"

available = curl.available


def command(job: Job) -> tuple[list[str], dict[str, str]]:
    """Return `curl --output /dev/null`."""
    argv, env = curl.command(job)
    argv[argv.index("--output") + 1] = "/dev/null"
    return argv, env
