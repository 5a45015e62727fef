"""s3z by its command, as a person uses it: no flags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib import peers
from lib.job import MANY

if TYPE_CHECKING:
    from lib.job import Job

KIND = "ours"
VERBS = ("download", "upload", "pipe", "cat", "list", "download-many", "upload-many", "sync-many")
FLAGS = "python -m s3z cp, pipe, cat, ls or sync, no flags"


def available() -> str | None:
    """Return the version of the installed package."""
    return peers.package_version("s3z", peers.own_python())


def command(job: Job) -> tuple[list[str], dict[str, str]]:
    """Return `s3z cp SOURCE DESTINATION`, `pipe`, `cat` or `ls`."""
    if job.verb in MANY:
        verb = "sync" if job.verb == "sync-many" else "cp"
        return [peers.own_python(), "-m", "s3z", verb, *job.tree_and_prefix], job.env()
    if job.verb == "list":
        return job.to_file([peers.own_python(), "-m", "s3z", "ls", f"s3://{job.bucket}/*"]), job.env()
    if job.verb == "pipe":
        return job.from_stdin([peers.own_python(), "-m", "s3z", "pipe", job.uri]), job.env()
    if job.verb == "cat":
        return job.to_drain([peers.own_python(), "-m", "s3z", "cat", job.uri]), job.env()
    return [peers.own_python(), "-m", "s3z", "cp", *job.source_and_destination], job.env()
