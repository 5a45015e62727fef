"""curl on a presigned URL: one stream, what a person without an S3 client would do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib import peers
from lib.presign import presigned_get

if TYPE_CHECKING:
    from lib.job import Job

KIND = "peer"
VERBS = ("download", "cat")
FLAGS = "one stream, presigned URL"


def available() -> str | None:
    """Return the version."""
    path = peers.program("curl")
    line = peers.first_line([path, "--version"]) if path else None
    return " ".join(line.split()[:2]) if line else None


def command(job: Job) -> tuple[list[str], dict[str, str]]:
    """Return `curl --output`, to a file or to standard output."""
    trust = ["--cacert", str(job.ca)] if job.ca is not None else []
    path = "-" if job.verb == "cat" else str(job.path)
    argv = ["curl", "--fail", "--silent", "--show-error", *trust, "--output", path, presigned_get(job)]
    return (job.to_drain(argv) if job.verb == "cat" else argv), job.env()
