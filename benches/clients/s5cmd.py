"""s5cmd, the fastest of the command-line clients in Go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib import peers

if TYPE_CHECKING:
    from lib.job import Job

KIND = "peer"
VERBS = ("download", "upload")
FLAGS = "cp -c 16 -p 8"


def available() -> str | None:
    """Return the version."""
    path = peers.program("s5cmd")
    return peers.first_line([path, "version"]) if path else None


def command(job: Job) -> tuple[list[str], dict[str, str]]:
    """Return `s5cmd cp`."""
    flags = ["--endpoint-url", job.endpoint, "--log", "error", "cp", "-c", "16", "-p", "8"]
    return [peers.program("s5cmd") or "s5cmd", *flags, *job.source_and_destination], job.env()
