"""aria2 on a presigned URL: many connections to one file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib import peers
from lib.presign import presigned_get

if TYPE_CHECKING:
    from lib.job import Job

KIND = "peer"
VERBS = ("download",)
FLAGS = "16 connections, file-allocation=falloc, presigned URL"


def available() -> str | None:
    """Return the version."""
    path = peers.program("aria2c")
    return peers.first_line([path, "--version"]) if path else None


def command(job: Job) -> tuple[list[str], dict[str, str]]:
    """Return `aria2c` with 16 connections."""
    argv = [peers.program("aria2c") or "aria2c", "--no-conf", "--quiet", "--allow-overwrite=true"]
    argv += ["--max-connection-per-server=16", "--split=16", "--min-split-size=8M", "--file-allocation=falloc"]
    if job.ca is not None:
        argv += [f"--ca-certificate={job.ca}"]
    return [*argv, f"--dir={job.path.parent}", f"--out={job.path.name}", presigned_get(job)], job.env()
