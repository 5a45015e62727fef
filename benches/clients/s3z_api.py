"""s3z by its one-shot functions, with default settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib import peers

if TYPE_CHECKING:
    from lib.job import Job

KIND = "ours"
VERBS = ("download", "upload", "memory")
FLAGS = "s3z.download(uri, path), s3z.upload(path, uri), s3z.get_into(uri, mmap); default settings"


def available() -> str | None:
    """Return the version of the installed package."""
    return peers.package_version("s3z", peers.own_python())


def command(job: Job) -> tuple[list[str], dict[str, str]]:
    """Return a one-line program, or our script where the buffer is ours."""
    if job.verb == "memory":
        return peers.driver("drive_s3z.py", job.verb, job.uri, str(job.size), python=peers.own_python()), job.env()
    code = f"import sys, s3z; s3z.{job.verb}(*sys.argv[1:])"
    return [peers.own_python(), "-c", code, *job.source_and_destination], job.env()
